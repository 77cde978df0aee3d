from __future__ import annotations

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.model.records import Run
from tests.unit.catalog.build import ORDERS, REPORT, attempt, begin, commit, full_attempt

Opener = Callable[..., Catalog]


def test_a_run_comes_back_with_every_field(catalog: Catalog) -> None:
    run_id = begin(catalog)
    running = Run(run_id, "dev", "running", "cli", "+orders", 1700000000.5, None, "ann", "laptop", 4711, {})

    assert catalog.run(run_id) == running
    catalog.finish_run(run_id, "failed", {"materialized": 2, "failed": 1}, at=1700000009.5)

    ended = replace(running, state="failed", finished_at=1700000009.5, counts={"materialized": 2, "failed": 1})
    assert catalog.run(run_id) == ended
    assert catalog.run(run_id + 1) is None


def test_an_attempt_comes_back_with_every_field(catalog: Catalog) -> None:
    run_id = begin(catalog)
    saved = full_attempt(run_id, REPORT)
    catalog.save_attempts("dev", [saved])

    assert catalog.attempts(run_id) == [saved]
    assert catalog.last_attempts("dev") == {(REPORT, ""): saved}
    assert catalog.attempts_of(REPORT) == [saved]


def test_an_attempt_without_anything_comes_back_without_anything(catalog: Catalog) -> None:
    saved = attempt(begin(catalog), ORDERS, "blocked", started_at=None)
    catalog.save_attempts("dev", [saved])

    assert catalog.attempts(saved.run_id) == [saved]


def test_attempts_of_a_run_are_in_the_order_they_began(catalog: Catalog) -> None:
    run_id = begin(catalog)
    late, early = attempt(run_id, ORDERS, started_at=9.0), attempt(run_id, REPORT, started_at=3.0)
    never = attempt(run_id, ORDERS, "blocked", 2, started_at=None)
    catalog.save_attempts("dev", [never, late, early])

    assert catalog.attempts(run_id) == [early, late, never]


def test_an_attempt_is_rewritten_while_its_run_goes_on(catalog: Catalog) -> None:
    run_id = begin(catalog)
    catalog.save_attempts("dev", [attempt(run_id, ORDERS)])
    ended = replace(full_attempt(run_id, ORDERS), number=1)
    catalog.save_attempts("dev", [ended])

    assert catalog.attempts(run_id) == [ended]


def test_the_last_attempt_is_the_newest_of_its_environment(catalog: Catalog) -> None:
    first = begin(catalog, "dev")
    catalog.save_attempts("dev", [attempt(first, ORDERS, "failed"), attempt(first, ORDERS, "materialized", 2)])
    catalog.save_attempts("dev", [attempt(first, REPORT, "materialized")])
    catalog.finish_run(first, "ok", {}, at=2.0)
    second, elsewhere = begin(catalog, "dev"), begin(catalog, "prod")
    catalog.save_attempts("dev", [attempt(second, ORDERS, "failed")])
    catalog.save_attempts("prod", [attempt(elsewhere, ORDERS, "skipped")])
    found = {key: (one.run_id, one.number, one.state) for (key, _), one in catalog.last_attempts("dev").items()}

    assert found == {"orders": (second, 1, "failed"), "marts.report": (first, 1, "materialized")}
    assert [one.run_id for one in catalog.attempts_of(ORDERS)] == [elsewhere, second, first, first]
    assert [one.number for one in catalog.attempts_of(ORDERS, limit=3)] == [1, 1, 2]


@pytest.mark.parametrize("state", ["ok", "failed", "cancelled", "died"])
def test_a_run_that_has_ended_does_not_change(catalog: Catalog, state: str) -> None:
    run_id = begin(catalog)
    catalog.finish_run(run_id, state, {"materialized": 1}, at=2.0)
    ended = catalog.run(run_id)
    catalog.finish_run(run_id, "failed" if state == "ok" else "ok", {"failed": 9}, at=3.0)
    begin(catalog)

    assert ended is not None
    assert ended.state == state
    assert catalog.run(run_id) == ended


def test_beginning_a_run_ends_those_that_died_and_what_they_left_running(opened: Opener) -> None:
    died, elsewhere = begin(opened(), "dev"), begin(opened(), "prod")
    catalog = opened()
    done, left = attempt(died, ORDERS, "materialized", finished_at=4.0), attempt(died, REPORT, started_at=1700000002.0)
    catalog.save_attempts("dev", [done, left])
    alive = attempt(elsewhere, ORDERS)
    catalog.save_attempts("prod", [alive])
    run_id, dead = catalog.begin_run("dev", selection="", cause="cli", user="", host="", pid=1, at=50.0)
    found = catalog.run(died)

    assert dead == [died]
    assert found is not None
    assert (found.state, found.finished_at) == ("died", 50.0)
    assert catalog.attempts(died) == [done, replace(left, state="died", finished_at=50.0)]
    assert catalog.attempts(elsewhere) == [alive], "a run of another environment may be alive"
    assert [run.run_id for run in catalog.running()] == [elsewhere, run_id]


def test_beginning_a_run_after_runs_that_ended_finds_none_dead(catalog: Catalog) -> None:
    catalog.finish_run(begin(catalog), "ok", {}, at=1.0)

    assert catalog.begin_run("dev", selection="", cause="", user="", host="", pid=1, at=2.0)[1] == []


def test_ending_a_run_ends_what_it_left_running(catalog: Catalog) -> None:
    run_id = begin(catalog)
    done, left = attempt(run_id, ORDERS, "failed", finished_at=4.0), attempt(run_id, REPORT, started_at=1700000002.0)
    catalog.save_attempts("dev", [done, left])
    catalog.finish_run(run_id, "cancelled", {}, at=6.0)

    assert catalog.attempts(run_id) == [done, replace(left, state="died", finished_at=6.0)]


def test_runs_are_listed_newest_first(catalog: Catalog) -> None:
    ids = [begin(catalog, env) for env in ("dev", "prod", "dev", "test")]

    assert ids == [1, 2, 3, 4]
    assert [run.run_id for run in catalog.runs()] == [4, 3, 2, 1]
    assert [run.run_id for run in catalog.runs(limit=2)] == [4, 3]
    assert [run.env for run in catalog.runs_by_id([1, 4, 99, 4])] == ["test", "dev"]


def test_verified_says_when_heads_were_found_current(catalog: Catalog) -> None:
    commit(catalog, ORDERS, "a")
    commit(catalog, REPORT, "r")
    commit(catalog, ORDERS, "a", env="prod")
    catalog.verified("dev", [ORDERS], at=1800000000.5)

    assert catalog.heads("dev")[ORDERS, ""].verified_at == 1800000000.5
    assert catalog.heads("dev")[ORDERS, ""].seq == 1, "nothing moved"
    assert catalog.heads("dev")[REPORT, ""].verified_at == 1700000003.0
    assert catalog.heads("prod")[ORDERS, ""].verified_at == 1700000003.0
