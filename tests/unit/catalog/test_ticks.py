"""Ticks in the catalog: the key, the fence before a run, and what a lost catalog keeps of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.rebuild import rebuild
from assetflow.catalog.ticks import Ticks
from assetflow.errors import Superseded
from assetflow.model.jobs import Schedule, Tick
from tests.unit.catalog.test_journal import in_catalog, in_journal

SEEN = Schedule("nightly", "0 6 * * *", "UTC", 100.5, 100)
CLAIM = Tick("nightly", 200, "claimed", "latest", 200)
MISSED = Tick("nightly", 120, "missed", "latest", 180, 4)


@pytest.fixture
def catalog(opened: Callable[..., Catalog]) -> Catalog:
    found = opened()
    Ticks(found).put([SEEN], [], 100.5)
    return found


def begin(catalog: Catalog, tick: Tick) -> int:
    return catalog.begin_run("dev", selection="", cause="", user="", host="", pid=1, at=1.0, tick=tick)[0]


def take(catalog: Catalog, seen: Schedule = SEEN, claim: Tick | None = CLAIM, *missed: Tick) -> Tick | None:
    return Ticks(catalog).take(seen, mark=200, missed=missed, claim=claim, ended=(), at=201.0)


def test_a_claim_its_misses_and_the_mark_are_one(catalog: Catalog) -> None:
    assert take(catalog, SEEN, CLAIM, MISSED) == replace(CLAIM, tries=1, claimed_at=201.0)

    ticks = Ticks(catalog)
    assert ticks.schedules() == {"nightly": replace(SEEN, mark=200)}
    assert [(one.scheduled, one.state, one.count) for one in ticks.of("nightly")] == [
        (200, "claimed", 1),
        (120, "missed", 4),
    ]
    assert ticks.missed() == {"nightly": 4}


@pytest.mark.parametrize("change", [{"mark": 99}, {"paused_at": 1.0}])
def test_nothing_is_taken_of_a_schedule_that_is_not_as_it_was_seen(catalog: Catalog, change: dict[str, float]) -> None:
    with pytest.raises(Superseded, match="was changed meanwhile"):
        take(catalog, replace(SEEN, **change), CLAIM, MISSED)

    assert Ticks(catalog).of("nightly") == []


def test_a_tick_that_has_ended_is_never_claimed_again(catalog: Catalog) -> None:
    taken = take(catalog)
    assert taken is not None
    Ticks(catalog).end(replace(taken, state="done"), 202.0)

    with pytest.raises(Superseded, match="taken up already"):
        take(catalog, replace(SEEN, mark=200))
    Ticks(catalog).end(replace(taken, state="failed"), 203.0)

    assert [one.state for one in Ticks(catalog).of("nightly")] == ["done"]


def test_a_tick_becomes_one_run_and_only_of_who_took_it_up_last(catalog: Catalog) -> None:
    first = take(catalog)
    second = take(catalog, replace(SEEN, mark=200))
    assert first is not None
    assert second is not None
    assert (first.tries, second.tries) == (1, 2)

    with pytest.raises(Superseded, match="another process"):
        begin(catalog, first)
    run_id = begin(catalog, second)
    with pytest.raises(Superseded, match="another process"):
        begin(catalog, second)

    assert [one.run_id for one in Ticks(catalog).of("nightly")] == [run_id]
    assert [run.run_id for run in catalog.runs()] == [run_id]


def test_a_catalog_that_is_made_again_knows_what_became_of_ticks(catalog: Catalog, tmp_path: Path) -> None:
    take(catalog, SEEN, CLAIM, MISSED)
    Ticks(catalog).pause("nightly", "ann", 300.0)
    catalog.close()
    before = in_catalog(tmp_path)
    assert in_journal(tmp_path) == before

    (tmp_path / "catalog.db").unlink()
    rebuild(tmp_path / "catalog.db", [], backup=None, last_run=0, keep_in=tmp_path / "kept")

    after = in_catalog(tmp_path)
    assert (after["tick"], after["schedule"]) == (before["tick"], before["schedule"])
    assert len(after["tick"]) == 2


def test_old_ticks_are_forgotten_but_none_that_decides_something(
    catalog: Catalog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("assetflow.catalog.ticks.TICKS_KEPT", 3)
    day, seen = 86_400, SEEN
    for number in range(1, 7):
        at = number * 40 * day
        claim = Tick("nightly", at, "claimed", "all", at)
        taken = Ticks(catalog).take(seen, mark=at, missed=(), claim=claim, ended=(), at=float(at))
        seen = replace(seen, mark=at)
        if number != 2 and taken is not None:  # that one waits, or its process is gone
            Ticks(catalog).end(replace(taken, state="done"), float(at))

    found = [(one.scheduled // day, one.state) for one in Ticks(catalog).of("nightly")]

    assert found == [(240, "done"), (200, "done"), (160, "done"), (80, "claimed")]
    catalog.close()
    assert in_journal(tmp_path)["tick"] == in_catalog(tmp_path)["tick"]
