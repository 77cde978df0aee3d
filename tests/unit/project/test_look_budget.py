"""What a look at very many partitions costs: statements, rows, steps of SQLite and calls, and never times."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from assetflow.catalog.database import Database
from assetflow.plan import bulk
from assetflow.run import holding, settled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assetflow.model.records import Head
    from tests.unit.conftest import Workspace

PROJECT = """
import pandas as pd

DAYS = Daily("2026-01-01", end="{end}")


@asset(partitions=DAYS)
def day(partition: Partition) -> list[dict[str, int]]:
    return [{{"n": partition.start.day}}]


@asset(partitions=DAYS)
def week(day: Annotated[Rows, In(window=-6)]) -> int:
    return sum(one["n"] for one in day)
"""


class Read:
    """Counts what is read of catalogs: statements, the rows that came of them, and steps of SQLite's machine."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows: dict[str, int] = {}
        self.steps = 0
        monkeypatch.setattr(Database, "rows", self._reading(Database.rows))

    def clear(self) -> None:
        self.rows.clear()
        self.steps = 0

    def _reading(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def step() -> int:
            self.steps += 1
            return 0

        def called(database: Database, query: str, *rest: Any) -> Any:
            database._connection.set_progress_handler(step, 1)
            found = real(database, query, *rest)
            database._connection.set_progress_handler(None, 1)
            self.rows[query] = self.rows.get(query, 0) + len(found)
            return found

        return called


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    return Read(monkeypatch)


def made(workspace: Workspace, end: str) -> None:
    """All partitions up to a day."""
    workspace.assets(PROJECT.format(end=end))
    assert workspace.materialize("day week", executor="inline").ok


def test_a_plan_reads_as_much_of_many_current_partitions_as_of_few(workspace: Workspace, read: Read) -> None:
    steps: list[int] = []
    for end in ("2026-01-20", "2026-03-31"):
        made(workspace, end)
        project = workspace.project()
        assert project.plan().is_empty
        read.clear()

        assert project.plan().is_empty

        steps.append(read.steps)
        assert sum(read.rows.values()) <= 20, "a handful of rows, however many partitions there are"
    few, many = steps
    assert many <= 1.2 * few, "no statement goes through all partitions, or all that was ever recorded of them"


PARTITIONS = 2 * 90


@pytest.mark.parametrize("has_cache", [True, False])
def test_the_first_plan_after_a_large_run_reads_no_partition(workspace: Workspace, read: Read, has_cache: bool) -> None:
    made(workspace, "2026-03-31")
    if not has_cache:
        without_cache(workspace)
    project = workspace.project()
    read.clear()

    plan = project.plan()

    assert (plan.is_empty, plan.current_count) == (True, PARTITIONS)
    assert sum(read.rows.values()) <= 20, "the run has noted what is current"
    project.status()
    assert "slot_totals" not in read.rows


def rows_of(head: Head | None) -> int | None:
    return None if head is None else head.version.rows


def size_of(head: Head | None) -> int | None:
    return None if head is None else head.version.size_bytes


def test_a_status_after_another_one_reads_no_partition_to_sum_them_up(workspace: Workspace, read: Read) -> None:
    made(workspace, "2026-01-20")
    first = workspace.project().status()
    read.clear()

    second = workspace.project().status()

    rows, sizes = ([pick(row.newest) for row in second] for pick in (rows_of, size_of))
    assert rows == [rows_of(row.newest) for row in first]
    assert all(sizes)
    assert sizes == [size_of(row.newest) for row in first]
    assert "slot_totals" not in read.rows
    assert workspace.materialize("day", partitions="2026-01-05", force=True).ok
    workspace.project().status()
    assert "slot_totals" in read.rows


def test_a_small_run_is_no_reason_to_look_at_all_partitions(workspace: Workspace, read: Read) -> None:
    made(workspace, "2026-03-31")
    read.clear()

    assert workspace.materialize("day", partitions="2026-02-01", force=True).ok

    assert not read.rows.keys() & {"slot_heads", "slot_texts"}


def without_cache(workspace: Workspace) -> None:
    (workspace.root / ".assetflow" / "cache" / "partitions-dev.json").unlink()


def without_note(workspace: Workspace) -> None:
    without_cache(workspace)
    with closing(sqlite3.connect(workspace.root / ".assetflow" / "catalog.db")) as catalog, catalog:
        catalog.execute("DELETE FROM meta")


def test_a_look_at_everything_reads_a_row_for_each_asset_and_not_for_each_partition(
    workspace: Workspace, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MOST_IN_ROWS", 10)
    monkeypatch.setattr(holding, "MOST_LOOKED_FOR", 10)
    made(workspace, "2026-03-31")
    project = workspace.project()
    without_note(workspace)
    read.clear()

    plan = project.plan()

    assert (plan.is_empty, plan.current_count) == (True, PARTITIONS)
    assert (read.rows["slot_texts_alike"], read.rows.get("slot_heads", 0)) == (2, 0)
    assert sum(read.rows.values()) <= 25
    assert read.steps <= 75 * PARTITIONS
    project.status()
    assert "slot_totals" not in read.rows, "the look has the sums as well"


def test_what_many_commits_did_not_touch_is_not_read_again(
    workspace: Workspace, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holding, "MOST_IN_ROWS", 10)
    monkeypatch.setattr(holding, "MOST_LOOKED_FOR", 10)
    other = PROJECT.replace("def day(", "def other(").partition("@asset")[2].partition("@asset")[0]
    workspace.assets(f"{PROJECT}\n\n@asset{other}".format(end="2026-03-31"))
    assert workspace.materialize(executor="inline").ok
    workspace.project().status()
    assert workspace.materialize("week", partitions="2026-02", force=True).ok
    monkeypatch.setattr(settled, "FEW_MOVED", 10)
    project = workspace.project()
    read.clear()

    plan = project.plan()

    assert (plan.is_empty, plan.current_count) == (True, PARTITIONS + 90)
    assert (read.rows["slot_texts_alike"], read.rows.get("heads_since", 0)) == (2, 0), "week, and day that it reads"
    project.status()
    assert "slot_totals" not in read.rows


def test_what_was_made_of_other_code_is_not_hashed(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    made(workspace, "2026-03-31")
    workspace.edit("partition.start.day", "partition.start.month")
    assert workspace.materialize("day", partitions="2026-03-31").ok
    without_note(workspace)
    hashed: list[str] = []
    real = bulk.slot_keys

    def counting(base: str, sets: Sequence[Sequence[str]], partitions: Sequence[str]) -> list[str]:
        hashed.extend(partitions)
        return real(base, sets, partitions)

    monkeypatch.setattr(bulk, "slot_keys", counting)

    plan = workspace.project().plan("day")

    assert (len(plan.run), plan.current_count) == (89, 1)
    assert hashed == ["2026-03-31"]
