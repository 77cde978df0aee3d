"""What a look at very many partitions costs: statements, rows, steps of SQLite and calls, and never times."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from assetflow.catalog.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable

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
