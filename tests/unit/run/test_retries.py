"""Trying again: which errors, how often, how long apart, and what is recorded of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from assetflow import Retry
from assetflow.model.keys import AssetKey
from assetflow.run.outcome import NextTry, SilentObserver

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

FLAKY = """
@asset(retry=Retry(3, delay=0.01, on=(OSError,)))
def flaky(context: Context) -> int:
    ran(f"attempt {context.attempt}")
    print("attempt", context.attempt)
    if context.attempt < 3:
        raise ConnectionError(f"no answer to call {context.attempt}")
    return context.attempt

@asset
def below(flaky: int) -> int:
    return flaky + 1
"""


def test_an_asset_is_tried_until_it_succeeds(workspace: Workspace) -> None:
    workspace.assets(FLAKY)

    result = workspace.materialize()

    assert result.ok
    assert workspace.ran() == ["attempt 1", "attempt 2", "attempt 3"]
    assert (result["flaky"].attempts, result["below"].state) == (3, "materialized")
    assert workspace.project().read("flaky") == 3


def test_every_attempt_is_recorded_with_its_error_its_reasons_and_its_log(workspace: Workspace) -> None:
    workspace.assets(FLAKY)
    workspace.materialize("flaky")
    project = workspace.project()

    _, attempts = project.run_details(1)

    assert [(one.number, one.state) for one in attempts] == [(1, "failed"), (2, "failed"), (3, "materialized")]
    assert [one.error and one.error["message"] for one in attempts] == [
        "no answer to call 1", "no answer to call 2", None,
    ]  # fmt: skip
    assert [[reason["code"] for reason in one.reasons] for one in attempts] == [["never_materialized"]] * 3
    assert [log.text.splitlines()[0] for log in project.logs(key="flaky")] == ["attempt 1", "attempt 2", "attempt 3"]
    assert [entry.reason for entry in project.history("flaky")] == ["never_materialized"]


def test_an_error_of_another_type_is_not_tried_again(workspace: Workspace) -> None:
    workspace.assets(FLAKY)
    workspace.edit("raise ConnectionError", "raise ValueError")

    result = workspace.materialize()

    assert workspace.ran() == ["attempt 1"]
    assert {one.asset: one.state for one in result} == {"flaky": "failed", "below": "blocked"}


def test_tries_end_after_the_number_that_was_given(workspace: Workspace) -> None:
    workspace.assets(FLAKY)
    workspace.edit("context.attempt < 3", "True")

    result = workspace.materialize()

    assert workspace.ran() == ["attempt 1", "attempt 2", "attempt 3", "attempt 4"]
    assert (result["flaky"].state, result["flaky"].attempts) == ("failed", 4)
    assert result["flaky"].error is not None
    assert result["flaky"].error.message == "no answer to call 4"


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_the_delay_is_kept_and_other_assets_run_meanwhile(workspace: Workspace, executor: str) -> None:
    workspace.assets("""
        import time

        @asset(retry=Retry(1, delay=0.3))
        def flaky(context: Context) -> int:
            ran(f"flaky {context.attempt}")
            (Path(__file__).parent / f"at{context.attempt}").write_text(str(time.monotonic()))
            if context.attempt == 1:
                raise ValueError("once")
            return 1

        @asset
        def other() -> int:
            ran("other")
            return 2
        """)

    workspace.materialize(executor=executor, workers=1)

    first, second = (float((workspace.root / f"at{number}").read_text()) for number in (1, 2))
    assert second - first >= 0.3
    assert workspace.ran() == ["flaky 1", "other", "flaky 2"]


def test_a_wrong_return_is_not_tried_again(workspace: Workspace) -> None:
    workspace.assets("""
        @asset(retry=3)
        def table() -> pa.Table:
            ran("table")
            return "text"
        """)

    assert workspace.outcomes() == {"table": "failed"}
    assert workspace.ran() == ["table"]


def test_a_failed_check_is_not_tried_again(workspace: Workspace) -> None:
    workspace.assets("""
        @asset(retry=3, checks=[row_count(5)])
        def table() -> pa.Table:
            ran("table")
            return pa.table({"n": [1]})
        """)

    assert workspace.outcomes() == {"table": "rejected"}
    assert workspace.ran() == ["table"]


def test_skip_is_not_tried_again(workspace: Workspace) -> None:
    workspace.assets("@asset(retry=3)\ndef table() -> pa.Table:\n    ran('table')\n    raise Skip('later')\n")

    assert workspace.outcomes() == {"table": "skipped"}
    assert workspace.ran() == ["table"]


def test_the_default_retry_of_the_project_file_counts(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef bad() -> int:\n    ran('bad')\n    raise ValueError\n", "[defaults]\nretry = 2\n")

    workspace.materialize()

    assert workspace.ran() == ["bad", "bad", "bad"]


def test_a_run_that_stops_does_not_wait_for_a_retry_and_keeps_what_is_recorded(workspace: Workspace) -> None:
    workspace.assets("""
        @asset(retry=Retry(1, delay="1h"))
        def flaky() -> int:
            raise ValueError("first")

        @asset(deps=[])
        def hopeless() -> int:
            raise ValueError("hopeless")
        """)
    began = time.monotonic()

    result = workspace.materialize(fail_fast=True, executor="inline")

    assert time.monotonic() - began < 60
    assert {one.asset: one.state for one in result} == {"flaky": "cancelled", "hopeless": "failed"}
    _, attempts = workspace.project().run_details(1)
    flaky = [(one.number, one.state) for one in attempts if one.asset == "flaky"]
    assert flaky == [(1, "failed"), (2, "cancelled")]


class Told(SilentObserver):
    """Remembers what it was told of retries."""

    def __init__(self) -> None:
        self.tries: list[tuple[str, NextTry]] = []

    def retrying(self, asset: AssetKey, again: NextTry) -> None:
        self.tries.append((asset, again))


def test_who_watches_is_told_of_each_try(workspace: Workspace) -> None:
    workspace.assets(FLAKY)
    told = Told()

    workspace.materialize(observer=told)

    assert [(asset, again.words) for asset, again in told.tries] == [
        ("flaky", "attempt 2 of 4 at once"), ("flaky", "attempt 3 of 4 at once"),
    ]  # fmt: skip
    assert [again.error and again.error.message for _, again in told.tries] == [
        "no answer to call 1", "no answer to call 2",
    ]  # fmt: skip
    assert NextTry(2, 4, 3.1).words == "attempt 2 of 4 in 3.1 s"


def test_what_is_not_to_be_tried_again_is_not_though_its_base_class_is(workspace: Workspace) -> None:
    workspace.assets(FLAKY)
    workspace.edit("on=(OSError,)", "on=(OSError,), not_on=ConnectionError")

    workspace.materialize()

    assert workspace.ran() == ["attempt 1"]


@pytest.mark.parametrize(("retries", "tries"), [(0, 1), (1, 2), (5, 3)])
def test_the_number_of_a_call_is_over_that_of_the_declaration(workspace: Workspace, retries: int, tries: int) -> None:
    workspace.assets(FLAKY)

    workspace.materialize("flaky", retries=retries)

    assert len(workspace.ran()) == tries


def test_a_call_may_ask_for_retries_where_none_are_declared(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef bad() -> int:\n    ran('bad')\n    raise ValueError\n")

    assert workspace.outcomes(retries=2) == {"bad": "failed"}
    assert workspace.ran() == ["bad", "bad", "bad"]


def test_waits_grow_up_to_the_longest_and_never_overflow() -> None:
    retry = Retry(2000, delay="1s", backoff=10, max_delay="1m")

    assert [retry.wait_s(n) for n in (1, 2, 3, 4, 1999)] == [1, 10, 60, 60, 60]
    assert Retry(2000, backoff=10).wait_s(1999) == 0


def test_jitter_is_full_or_a_share_of_the_delay() -> None:
    full, tenth = Retry(1, delay=100, jitter=True), Retry(1, delay=100, jitter="10%", max_delay=105)

    assert [full.wait_s(1, lambda chance=chance: chance) for chance in (0.0, 0.25, 1.0)] == [0, 25, 100]
    assert [tenth.wait_s(1, lambda chance=chance: chance) for chance in (0.0, 0.5, 1.0)] == [90, 100, 105]
    assert full.wait_s(1) == 100  # without a source of chance, as in a plan


@pytest.mark.parametrize("jitter", ["much", "-1%", "110%", 2.0])
def test_a_jitter_that_is_none_is_refused(jitter: str | float) -> None:
    with pytest.raises(ValueError, match="is not a jitter"):
        Retry(1, jitter=jitter)


def test_the_jitter_of_a_run_is_drawn(workspace: Workspace) -> None:
    workspace.assets(FLAKY)
    workspace.edit("delay=0.01", "delay=0.02, jitter=True")
    told = Told()

    assert workspace.materialize(observer=told).ok

    waits = [again.wait_s for _, again in told.tries]
    assert all(0 <= wait <= 0.02 for wait in waits)
    assert len(set(waits)) == 2  # the same wait twice would take a chance of one in 2**53
