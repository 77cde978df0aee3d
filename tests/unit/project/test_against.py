"""What is defined otherwise than in another environment, or than a run had it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from assetflow.cli.main import main
from assetflow.errors import UsageError

if TYPE_CHECKING:
    from assetflow import Project
    from tests.unit.conftest import Workspace

SHOP = """
raw = source("raw", path="raw.csv")

@asset(files=["notes.txt"])
def orders(raw: Rows) -> Rows:
    return [dict(row) for row in raw]

@asset
def total(orders: Rows) -> int:
    return len(orders)

@asset
def old() -> int:
    return 1
"""


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP)
    workspace.file("raw.csv", "n\n1\n")
    workspace.file("notes.txt", "a")
    assert workspace.materialize(env="prod").ok
    return workspace


def told(project: Project, name: str, expression: str | None = None) -> dict[str, tuple[str, list[str]]]:
    found = project.against(name, expression)
    return {one.asset: (one.change, [reason.code for reason in one.reasons]) for one in found.others}


def test_the_same_definitions_are_the_same_whatever_the_data(shop: Workspace) -> None:
    shop.file("raw.csv", "n\n1\n2\n")
    found = shop.project().against("prod")
    assert (found.others, found.same, found.name) == ((), 3, "env prod")


def test_edits_new_assets_and_removed_ones_are_told(shop: Workspace) -> None:
    shop.edit("return len(orders)", "return len(orders) + 1")
    shop.edit("def old() -> int:\n    return 1", "def new(total: int) -> int:\n    return total")
    shop.file("notes.txt", "b")
    project = shop.project()

    assert told(project, "prod") == {
        "orders": ("changed", ["files_changed"]),
        "total": ("changed", ["code_changed"]),
        "new": ("added", []),
        "old": ("removed", []),
    }
    assert told(project, "prod", "total") == {"total": ("changed", ["code_changed"])}
    assert told(project, "run:1") == {
        "orders": ("changed", ["files_changed"]), "total": ("changed", ["code_changed"]),
    }  # fmt: skip


@pytest.mark.parametrize("name", ["production", "77", "run:77"])
def test_what_is_not_there_is_named(shop: Workspace, name: str) -> None:
    with pytest.raises(UsageError, match=r"production|#77"):
        shop.project().against(name)


def test_the_command_line_prints_a_table_for_a_pull_request(
    shop: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["-C", str(shop.root), "plan", "--against", "prod"]
    assert main([*command, "--exit-code"]) == 0
    assert "the same definitions as in env prod: 3 assets" in capsys.readouterr().out
    shop.edit("return len(orders)", "return len(orders) + 1")

    assert main([*command, "--exit-code"]) == 4
    screen = capsys.readouterr().out
    assert "1 asset defined otherwise than in env prod" in screen
    assert "code changed (assets.py:" in screen
    assert main([*command, "--format", "md"]) == 0
    table = capsys.readouterr().out
    assert table.startswith("| CHANGE")
    assert "| changed" in table
    assert main([*command, "--json"]) == 0
    items = json.loads(capsys.readouterr().out)["data"]["items"]
    assert [(one["asset"], one["version"]) for one in items] == [("total", 1)]
    assert main([*command, "--force"]) == 2


DAYS = """
K = 1

@asset(partitions=Daily("2026-11-20", end="2026-11-22"))
def d(partition: Partition) -> Rows:
    return [{"k": partition.key, "n": K}]

@asset(partitions=Daily("2026-11-20", end="2026-11-22"))
def sums(d: Rows, sums: Rows | None) -> Rows:
    return [*(sums or []), *d]

@asset
def s(d: Rows) -> int:
    return len(d)
"""

HEAD = "from assetflow import Daily, Partition\n"


@pytest.fixture
def days(workspace: Workspace) -> Workspace:
    workspace.assets(HEAD + DAYS)
    assert workspace.materialize(env="prod").ok
    return workspace


def test_assets_with_partitions_are_compared_as_one(days: Workspace) -> None:
    for env in ("dev", "prod"):
        found = days.project(env=env).against("prod")
        assert (found.others, found.same, dict(found.mixed)) == ((), 3, {})
    assert days.materialize().ok
    days.edit("K}]", "K + 1}]")

    assert told(days.project(), "prod") == {"d": ("changed", ["code_changed"])}
    assert told(days.project(), "run:1") == {"d": ("changed", ["code_changed"])}
    [other] = days.project().against("prod").others
    assert other.parts is not None
    assert (other.version, other.parts.count, other.parts.definitions) == (None, 3, 1)


def test_the_first_partition_has_none_before_it_and_the_same_definition(workspace: Workspace) -> None:
    workspace.assets(HEAD + DAYS)
    assert workspace.materialize("sums", env="prod", partitions="2026-11-20").ok

    assert told(workspace.project(), "prod") == {"s": ("added", [])}


def test_new_and_removed_assets_with_partitions_are_one_each(days: Workspace) -> None:
    days.edit("def sums(d: Rows, sums:", "def totals(d: Rows, totals:")
    days.edit("(sums or [])", "(totals or [])")

    assert told(days.project(), "prod") == {"totals": ("added", []), "sums": ("removed", [])}
    assert told(days.project(), "prod", "totals") == {"totals": ("added", [])}


def test_of_partitions_made_with_several_definitions_the_one_used_last_counts(
    days: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    days.edit("K}]", "K + 1}]")
    assert days.materialize("d", env="prod", partitions="2026-11-21").ok

    found = days.project().against("prod")
    assert found.others == ()
    [parts] = found.mixed.values()
    assert (parts.count, parts.newest, parts.alike, parts.definitions) == (3, 1, 1, 2)
    command = ["-C", str(days.root), "plan", "--against", "prod"]
    assert main(command) == 0
    assert "d: partitions made with 2 definitions there, 1 of 3 with the newest\n" in capsys.readouterr().out

    days.edit("K + 1}]", "K}]")
    [other] = days.project().against("prod").others
    assert (other.asset, [reason.code for reason in other.reasons]) == ("d", ["code_changed"])
    assert main([*command, "--format", "md"]) == 0
    assert "| changed | d | 3 partitions | code changed (" in capsys.readouterr().out
    assert main(command) == 0
    assert "1 of 3 with the newest; 2 as here\n" in capsys.readouterr().out


def test_another_kind_of_partitions_is_another_definition(days: Workspace) -> None:
    days.edit('Daily("2026-11-20", end="2026-11-22")', 'Daily("2026-11-20", end="2026-11-24")')
    assert told(days.project(), "prod") == {}
    days.assets(
        HEAD.replace("Daily", "Static") + DAYS.replace('Daily("2026-11-20", end="2026-11-22")', 'Static(["a"])')
    )
    assert {key: change for key, (change, _) in told(days.project(), "prod").items()} == {
        "d": "changed", "sums": "changed",
    }  # fmt: skip
    days.assets("K = 1\n\n@asset\ndef d() -> Rows:\n    return []\n")
    assert told(days.project(), "prod", "d") == {"d": ("changed", ["code_changed"])}


def test_partitions_are_not_named(days: Workspace) -> None:
    with pytest.raises(UsageError, match="whole assets"):
        days.project().against("prod", "d[2026-11-20]")
