"""Alerts and messages in the catalog: with the event that they are of or not at all, and never two for one cause."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.outbox import Outbox
from assetflow.catalog.rebuild import rebuild
from assetflow.errors import AssetflowError
from assetflow.model.alerts import DROPPED, Alert, Message
from tests.unit.catalog.build import commit
from tests.unit.catalog.test_commit import ORDERS

ALERT = Alert(
    "a1", "asset.failed|dev|orders|ValueError", "asset.failed", "dev", "orders", "orders failed", 100.5, 101.5, 2, 7,
    {"error": "ValueError: ü", "blocked": ["total"]}, ("orders", "total"), ("orders[a]", "orders[b]"),
)  # fmt: skip
MESSAGE = Message("m1", "a1", "team", "opened", {"title": "orders failed"}, 101.5, 102.5)


def begin(catalog: Catalog) -> int:
    return catalog.begin_run("dev", selection="", cause="", user="", host="", pid=1, at=1.0)[0]


def recorded(catalog: Catalog) -> Outbox:
    outbox = Outbox(catalog)
    with outbox.transaction():
        outbox.put(ALERT)
        outbox.post(MESSAGE)
    return outbox


def test_alerts_and_messages_come_back_as_they_are(catalog: Catalog) -> None:
    outbox = recorded(catalog)

    assert outbox.open() == outbox.alerts(5) == [ALERT]
    assert outbox.waiting() == outbox.of("a1") == [MESSAGE]
    assert outbox.last() == {}


def test_what_is_recorded_with_the_end_of_a_run_is_there_with_it_or_not_at_all(catalog: Catalog) -> None:
    run_id = begin(catalog)
    outbox = Outbox(catalog)

    def fails(at: float) -> None:
        outbox.put(ALERT)
        outbox.post(MESSAGE)
        raise AssetflowError("the disk is full")

    with pytest.raises(AssetflowError):
        catalog.finish_run(run_id, "failed", {}, 2.0, fails)

    run = catalog.run(run_id)
    assert run is not None
    assert (run.state, outbox.alerts(5), outbox.waiting()) == ("running", [], [])


def test_only_who_ends_a_run_records_what_is_wrong_with_it(catalog: Catalog) -> None:
    run_id, times = begin(catalog), list[float]()

    catalog.finish_run(run_id, "failed", {}, 2.0, times.append)
    catalog.finish_run(run_id, "ok", {}, 3.0, times.append)

    assert times == [2.0]


def test_runs_that_died_are_given_to_who_records_them(catalog: Catalog) -> None:
    dead, found = begin(catalog), list[tuple[list[int], float]]()

    def take(runs: list[int], at: float) -> None:
        found.append((runs, at))

    catalog.begin_run("dev", selection="", cause="", user="", host="", pid=1, at=5.0, on_dead=take)
    catalog.end_dead_runs("other", 6.0, take)

    assert found == [([dead], 5.0)]


def test_two_open_alerts_of_one_cause_cannot_be(catalog: Catalog) -> None:
    outbox = recorded(catalog)

    with pytest.raises(AssetflowError), outbox.transaction():
        outbox.put(replace(ALERT, alert_id="a2"))

    with outbox.transaction():
        outbox.put(replace(ALERT, closed_at=200.0, how="recovered"))
        outbox.put(replace(ALERT, alert_id="a2", opened_at=300.0))
    assert [alert.alert_id for alert in outbox.open()] == ["a2"]


def test_a_message_ends_once_and_is_posted_once(catalog: Catalog) -> None:
    outbox = recorded(catalog)

    with outbox.transaction():
        outbox.put_off(MESSAGE, "no connection", 132.5)
        outbox.post(replace(MESSAGE, kind="reminder"))
    tried = outbox.waiting()
    with outbox.transaction():
        outbox.sent(MESSAGE, 140.0)
        outbox.take_out(MESSAGE, DROPPED, "too late")
        outbox.put_off(MESSAGE, "too late", 150.0)

    assert tried == [replace(MESSAGE, tries=1, error="no connection", due_at=132.5)]
    assert outbox.waiting() == []
    ended = replace(MESSAGE, state="sent", tries=2, error="", due_at=132.5, sent_at=140.0)
    assert outbox.of("a1") == [ended]
    assert outbox.last() == {"team": ended}


def test_what_is_over_for_long_is_forgotten_when_it_has_been_told(catalog: Catalog) -> None:
    outbox = recorded(catalog)
    with outbox.transaction():
        outbox.put(replace(ALERT, closed_at=200.0, how="recovered"))
        outbox.forget(201.0)
    assert len(outbox.alerts(5)) == 1  # a message still waits

    with outbox.transaction():
        outbox.sent(MESSAGE, 202.0)
        outbox.forget(200.0)
        kept = len(outbox.alerts(5))
        outbox.forget(201.0)

    assert (kept, outbox.alerts(5), outbox.of("a1")) == (1, [], [])


def test_a_catalog_that_is_made_again_knows_of_no_alerts_and_lacks_nothing_else(
    catalog: Catalog, tmp_path: Path
) -> None:
    commit(catalog, ORDERS, "o")
    recorded(catalog)
    catalog.close()

    rebuild(tmp_path / "catalog.db", [], backup=None, last_run=0, keep_in=tmp_path / "kept")

    with sqlite3.connect(tmp_path / "catalog.db") as made:
        counts = [made.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in ("alert", "outbox", "head")]
    made.close()
    assert counts == [0, 0, 1]
