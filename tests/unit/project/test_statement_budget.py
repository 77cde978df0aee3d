"""What a verb asks of the catalog: as much for 300 assets as for 10, and few commits for each asset that runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from assetflow.catalog.database import Database

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

PROJECT = """
raw = source("raw", path="raw.csv")

@asset
def first(raw: Rows) -> int:
    return len(raw)

def make(number):
    @asset(key=f"number_{number}", inputs={"before": "first" if number % 10 == 0 else f"number_{number - 1}"})
    def step(before: int) -> int:
        return before + OFFSET + len((Path(__file__).parent / f"opened-{number % 20}.txt").read_text())
    return step

OFFSET = 1
steps = [make(number) for number in range(COUNT)]
"""
SIZES = (10, 300)


class Spy:
    """Every database that was opened, and how many write transactions were committed."""

    def __init__(self) -> None:
        self.databases: list[Database] = []
        self.commits = 0

    def statements(self, action: Callable[[], object]) -> int:
        """How many statements an action executes."""
        self.databases.clear()
        action()
        return sum(database.statements for database in self.databases)


@pytest.fixture
def spy(monkeypatch: pytest.MonkeyPatch) -> Spy:
    found = Spy()
    open_database, transaction = Database.__init__, Database.transaction

    def opened(self: Database, *arguments: Any, **options: Any) -> None:
        open_database(self, *arguments, **options)
        found.databases.append(self)

    @contextmanager
    def counted(self: Database, *, is_durable: bool = True) -> Generator[None]:
        with transaction(self, is_durable=is_durable):
            yield
        found.commits += 1

    monkeypatch.setattr(Database, "__init__", opened)
    monkeypatch.setattr(Database, "transaction", counted)
    return found


@pytest.fixture
def sized(workspace: Workspace) -> Callable[[int], Workspace]:
    """The workspace as a project of this many assets, each built."""

    def build(count: int) -> Workspace:
        workspace.assets(PROJECT.replace("COUNT", str(count)))
        files = [workspace.file("raw.csv", "n\n1\n")]
        files += [workspace.file(f"opened-{number}.txt", "") for number in range(20)]  # without declaring them
        for file in files:
            old = file.stat().st_mtime - 60
            os.utime(file, (old, old))  # a file younger than two seconds is read, and noted, once more
        assert workspace.materialize(executor="inline").ok
        return workspace

    return build


def test_a_project_of_300_assets_works_and_its_verbs_ask_as_much_as_those_of_10(
    sized: Callable[[int], Workspace], spy: Spy
) -> None:
    found: dict[int, dict[str, int]] = {}
    for count in SIZES:
        workspace = sized(count)
        project = workspace.project()
        project.materialize()
        found[count] = {
            "status": spy.statements(project.status),
            "plan": spy.statements(project.plan),
            "no-op": spy.statements(project.materialize),
            "metrics": spy.statements(project.metrics),
            "selection": spy.statements(lambda project=project: project.select("is:stale")),
        }
        assert set(workspace.states().values()) == {"source", "current"}

        workspace.edit("OFFSET = 1", "OFFSET = 2")
        changed = workspace.project()
        found[count]["status after a change"] = spy.statements(changed.status)
        found[count]["plan after a change"] = spy.statements(changed.plan)
        assert len(changed.plan().run) == count

    assert found[10] == found[300]
    assert max(found[10].values()) <= 12, found[10]


def test_a_run_commits_at_most_three_times_for_each_asset(sized: Callable[[int], Workspace], spy: Spy) -> None:
    workspace = sized(30)
    workspace.edit("OFFSET = 1", "OFFSET = 2")
    spy.commits = 0

    result = workspace.materialize()

    assert result.counts == {"materialized": 30}
    assert 1 < spy.commits <= 3 * 30  # those that finish together share one


def test_a_run_in_which_all_is_cut_off_commits_next_to_nothing(sized: Callable[[int], Workspace], spy: Spy) -> None:
    workspace = sized(30)
    workspace.edit("return len(raw)", "return len(list(raw))")
    spy.commits = 0

    result = workspace.materialize()

    assert result.counts == {"unchanged": 1, "cut_off": 30}
    assert spy.commits <= 6


def test_a_project_with_nobody_to_tell_asks_nothing_of_alerts(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    for name in ("rows", "change"):
        real = getattr(Database, name)
        monkeypatch.setattr(
            Database, name, lambda self, query, *rest, real=real: asked.append(query) or real(self, query, *rest)
        )
    workspace.assets(PROJECT.replace("COUNT", "3") + "\n@asset\ndef fails() -> int:\n    raise ValueError('no')\n")
    for name in ("raw.csv", *(f"opened-{number}.txt" for number in range(20))):
        workspace.file(name, "n\n1\n")
    alone = _asked(workspace, asked)

    workspace.file("assetflow.toml", 'modules = ["assets"]\n[alerts.team]\ncommand = ["true"]\n')
    with_channel = _asked(workspace, asked)

    assert not {name for name in alone if "alert" in name or "message" in name}
    more = [name for name in with_channel if name not in alone]
    assert sorted(set(more)) == ["open_alerts", "put_alert", "put_message"]
    assert len(more) == 3, more


def _asked(workspace: Workspace, asked: list[str]) -> list[str]:
    """The queries of a run in which an asset fails."""
    asked.clear()
    assert not workspace.materialize("fails", force=True).ok
    return list(asked)
