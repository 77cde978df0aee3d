"""What each of many partitions costs: counts of commits, statements and texts read, which only ever go down."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from assetflow.catalog.database import Database

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

PROJECT = """
import pandas as pd

DAYS = Daily("2026-01-01", end="2026-02-09")

@asset(partitions=DAYS)
def day(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({"n": [partition.start.day + OFFSET]})

@asset(partitions=DAYS)
def week(day: Annotated[pd.DataFrame, In(window=-6)]) -> int:
    return int(day["n"].sum())

@asset
def fails() -> int:
    raise ValueError("no")

@asset
def works() -> int:
    return 1

OFFSET = 0
"""
DAYS, SLOTS = 40, 80


class Counted:
    """Counts what is called while it is looked at."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.queries: list[str] = []
        self.loads = 0
        for name in ("rows", "change"):
            monkeypatch.setattr(Database, name, self._noting(getattr(Database, name)))
        monkeypatch.setattr(Database, "_note_changes", self._committing(Database._note_changes))  # once for each commit
        monkeypatch.setattr(json, "loads", self._loading(json.loads))

    def clear(self) -> None:
        self.queries.clear()
        self.loads = 0

    def count(self, name: str) -> int:
        return self.queries.count(name)

    def _noting(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def called(database: Database, query: str, *rest: Any) -> Any:
            self.queries.append(query)
            return real(database, query, *rest)

        return called

    def _committing(self, real: Callable[[Database], int | None]) -> Callable[[Database], int | None]:
        def called(database: Database) -> int | None:
            self.queries.append("COMMIT")
            return real(database)

        return called

    def _loading(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def called(*arguments: Any, **options: Any) -> Any:
            self.loads += 1
            return real(*arguments, **options)

        return called


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


def events(workspace: Workspace, run_id: int) -> list[tuple[str, str]]:
    text = (workspace.root / ".assetflow" / "runs" / str(run_id) / "events.jsonl").read_text()
    found = [json.loads(line) for line in text.splitlines()]
    return [(one["type"], one["asset"]) for one in found if "asset" in one]


def test_a_partition_costs_one_commit_and_its_definition_is_recorded_once(
    workspace: Workspace, counted: Counted
) -> None:
    workspace.assets(PROJECT)

    result = workspace.materialize("day", executor="inline")

    assert result.counts == {"materialized": DAYS}
    assert counted.count("COMMIT") <= DAYS + 6  # what ends is recorded together with what begins then
    assert counted.count("add_fp") == 1
    assert len(counted.queries) - counted.count("COMMIT") <= 18 * DAYS


def test_each_partition_is_told_to_have_ended_before_the_next_is_told_to_have_begun(workspace: Workspace) -> None:
    workspace.assets(PROJECT)

    result = workspace.materialize("day", partitions="2026-01-01..2026-01-05", executor="inline")

    assert result.run_id is not None
    told = events(workspace, result.run_id)
    assert [kind for kind, _ in told] == ["asset_started", "asset_materialized"] * 5
    assert [asset for _, asset in told[::2]] == [asset for _, asset in told[1::2]]


def test_nothing_begins_beside_what_fails_when_a_run_is_to_stop_there(workspace: Workspace) -> None:
    workspace.assets(PROJECT)

    result = workspace.materialize("fails works", executor="inline", fail_fast=True)

    assert result.run_id is not None
    assert result.counts == {"failed": 1, "cancelled": 1}
    assert [kind for kind, _ in events(workspace, result.run_id)].count("asset_started") == 1


def test_partitions_that_are_not_current_are_planned_without_their_traces_where_none_fits(
    workspace: Workspace, counted: Counted
) -> None:
    workspace.assets(PROJECT)
    assert workspace.materialize("day week", executor="inline").ok
    workspace.edit("OFFSET = 0", "OFFSET = 1")
    changed = workspace.project()
    counted.clear()

    plan = changed.plan("day week")

    assert (len(plan.run), len(plan.maybe)) == (DAYS, DAYS)
    assert counted.count("slots_with_key") == 1
    assert counted.count("traces_in") == 0
    assert counted.loads < 1.5 * SLOTS, "a text that partitions share is read once"


def test_partitions_whose_traces_fit_are_linked_with_one_query_for_them_all(
    workspace: Workspace, counted: Counted
) -> None:
    workspace.assets(PROJECT)
    assert workspace.materialize("day week", executor="inline").ok
    workspace.edit("OFFSET = 0", "OFFSET = 1")
    assert workspace.materialize("day week", executor="inline").ok
    workspace.edit("OFFSET = 1", "OFFSET = 0")
    changed = workspace.project()
    counted.clear()

    plan = changed.plan("day week")

    assert len(plan.link) == SLOTS
    assert counted.count("traces_in") == 1


def test_partitions_made_by_different_definitions_have_reasons_of_their_own(workspace: Workspace) -> None:
    workspace.assets(PROJECT)
    assert workspace.materialize("day", partitions="2026-01-01..2026-01-02", executor="inline").ok
    workspace.edit("partition.start.day + OFFSET", "partition.start.day - OFFSET")
    assert workspace.materialize("day", partitions="2026-01-02..2026-01-03", executor="inline").ok
    workspace.edit("OFFSET = 0", "OFFSET = 1")

    plan = workspace.project().plan("day", partitions="2026-01-01..2026-01-04")

    assert {step.partition: [one.data.get("changed") for one in step.reasons] for step in plan} == {
        "2026-01-01": [["OFFSET", "day"]],
        "2026-01-02": [["OFFSET"]],
        "2026-01-03": [["OFFSET"]],
        "2026-01-04": [None],
    }
