"""The decision about ticks that are due, against a model that looks at each of them by itself."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given, strategies as st
from msgspec.structs import replace

from assetflow.automation.due import ON_TIME_S, decide, due_ticks, next_ticks, settled
from assetflow.model.jobs import Tick

POLICIES = st.sampled_from(["latest", "all", "none"])
DUE = st.lists(st.integers(0, 10_000), unique=True, max_size=12).map(sorted)


def expected(due: list[int], policy: str, now: float, *, is_paused: bool) -> dict[int, str]:
    """What becomes of each tick: run, missed, or left for later."""
    found: dict[int, str] = {}
    for tick in due:
        is_newest, is_oldest = tick == max(due), tick == min(due)
        if is_paused:
            found[tick] = "missed"
        elif policy == "all":
            found[tick] = "run" if is_oldest else "later"
        elif policy == "latest":
            found[tick] = "run" if is_newest else "missed"
        else:
            found[tick] = "run" if is_newest and now <= tick + ON_TIME_S else "missed"
    return found


@given(DUE, POLICIES, st.integers(0, 200), st.booleans())
def test_every_due_tick_is_run_missed_or_left_as_the_policy_says(
    due: list[int], policy: str, late: int, is_paused: bool
) -> None:
    now = (due[-1] if due else 0) + late
    want = expected(due, policy, now, is_paused=is_paused)

    found = decide(due, policy, now, is_paused=is_paused)

    got: dict[int, str] = dict.fromkeys(due, "later")
    if found.missed is not None:
        inside = [tick for tick in due if found.missed.first <= tick <= found.missed.last]
        assert (inside[0], inside[-1], len(inside)) == (found.missed.first, found.missed.last, found.missed.count)
        got.update(dict.fromkeys(inside, "missed"))
    if found.runs is not None:
        got[found.runs] = "run"
    assert got == want
    done = [tick for tick, what in want.items() if what != "later"]
    assert found.mark == (max(done) if done else None)
    assert found.is_more == ("later" in want.values())


def test_nothing_is_due_while_the_clock_is_behind_the_mark() -> None:
    assert list(due_ticks("* * * * *", "UTC", 6000, 5000)) == []
    assert list(due_ticks("* * * * *", "UTC", 6000, 6060)) == [6060]


def test_the_next_ticks_are_found_however_rare_they_are() -> None:
    after = datetime(2028, 3, 1, tzinfo=UTC).timestamp()

    found = [datetime.fromtimestamp(tick, UTC).date().isoformat() for tick in next_ticks("0 0 29 2 *", "UTC", after, 2)]

    assert found == ["2032-02-29", "2036-02-29"]


@given(st.sampled_from(["*/7 * * * *", "30 1 * * *", "0 6 * * 1", "0 0 1 * *"]), st.integers(0, 2 * 10**9))
def test_the_next_tick_is_the_first_that_will_be_due(cron: str, after: int) -> None:
    found = next_ticks(cron, "Europe/London", after, 3)

    assert list(due_ticks(cron, "Europe/London", after, found[-1])) == found


CLAIMED = Tick("nightly", 60, "claimed", "latest", 60, tries=1)


@pytest.mark.parametrize(
    ("tick", "run_state", "state", "note"),
    [
        (CLAIMED, None, None, ""),
        (replace(CLAIMED, tries=2), None, "failed", "its process ended 2 times before a run began"),
        (replace(CLAIMED, run_id=7), "ok", "done", ""),
        (replace(CLAIMED, run_id=7), "failed", "failed", "run #7 failed"),
        (replace(CLAIMED, run_id=7), "cancelled", "failed", "run #7 was interrupted"),
        (replace(CLAIMED, run_id=7), "running", "failed", "run #7 ended with its process"),
        (replace(CLAIMED, run_id=7), "died", "failed", "run #7 ended with its process"),
        (replace(CLAIMED, run_id=7, tries=2), None, "failed", "run #7 ended with its process"),
    ],
)
def test_a_claimed_tick_of_a_dead_process_ends_as_its_run_did(
    tick: Tick, run_state: str | None, state: str | None, note: str
) -> None:
    found = settled(tick, run_state)

    assert (None if found is None else found.state) == state
    assert found is None or found.note == note
