"""Screens and documents that speak of single partitions."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.unit.project import parted

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli
    from tests.unit.conftest import Workspace


@pytest.fixture(scope="module")
def made(shared_workspace: Workspace) -> Workspace:
    return parted.make(shared_workspace)


@pytest.fixture
def shop(made: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.chdir(made.root)
    return made


def test_show_counts_partitions_and_says_no_version_of_all(shop: Workspace, cli: Cli) -> None:
    screen = cli("show", "doubled").out
    assert "2 of 4 current   2 stale" in screen
    assert "last made    2026-0" in screen
    assert "version" not in screen
    data = cli("show", "doubled", "--json").document["data"]
    assert (data["version"], data["data_hash"], data["partitions"]) == (None, None, {"stale": 2, "current": 2})
    assert data["newest"]["partition"] in parted.DAYS
    assert data["newest"]["version"] == 1


def test_show_counts_partitions_of_a_source_as_ls_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "assetflow.toml").write_text('modules = ["assets"]\n')
    (tmp_path / "assets.py").write_text(
        "from assetflow import Daily, source\n\n"
        'raw = source("raw", path="{partition}.csv", partitions=Daily("2026-01-01", end="2026-01-03"))\n'
    )
    for day in (1, 2, 3):
        (tmp_path / f"2026-01-0{day}.csv").write_text("a\n1\n")

    assert "raw\tsource\t3/3" in cli("ls", "--format", "tsv").out
    assert "partitions   3 of 3 current\n" in cli("show", "raw").out
    (tmp_path / "2026-01-02.csv").unlink()
    assert "partitions   2 of 3 current   1 blocked\n" in cli("show", "raw").out


def test_lineage_counts_partitions(shop: Workspace, cli: Cli) -> None:
    screen = cli("lineage", "+total", "--format", "tree").out

    assert "orders  ● current · 4/4 parts · " in screen
    assert "total  ◐ stale · v1 · " in screen


def test_show_of_a_partition_is_about_its_version(shop: Workspace, cli: Cli) -> None:
    screen = cli("show", "orders[2026-01-30]").out
    assert "orders[2026-01-30]  ● current" in screen
    assert "version      v2" in screen
    assert "assetflow preview 'orders[2026-01-30]'" in screen
    data = cli("show", "orders[2026-01-30]", "--json").document["data"]
    assert (data["asset"], data["version"], data["partitions"], data["newest"]) == (
        "orders[2026-01-30]", 2, None, None,
    )  # fmt: skip


def test_the_history_of_a_partition_says_how_to_compare(shop: Workspace, cli: Cli) -> None:
    command = "assetflow diff 'orders[2026-01-30]@1' 'orders[2026-01-30]@2'"
    assert command in cli("history", "orders[2026-01-30]").err
    assert cli("diff", "orders[2026-01-30]@1", "orders[2026-01-30]@2").out.startswith(" orders[2026-01-30] v1 → v2 ")
    assert "assetflow diff" not in cli("history", "orders[2026-02-01]").err
    entries = cli("history", "orders[2026-01-30]", "--json").document["data"]["history"]
    assert [(one["partition"], one["version"]) for one in entries] == [("2026-01-30", 2), ("2026-01-30", 1)]


def test_a_partition_without_versions_says_how_to_make_it(workspace: Workspace, cli: Cli) -> None:
    workspace.assets(parted.SHOP)
    workspace.project()
    found = cli("-C", str(workspace.root), "history", "orders[2026-01-30]")

    assert (
        "orders[2026-01-30] has no versions yet; make one with  assetflow materialize orders -p 2026-01-30" in found.out
    )


def test_status_has_a_line_for_each_partition(shop: Workspace, cli: Cli) -> None:
    found = cli("status", "doubled[2026-01-31..2026-02-01]", "--format", "table")

    assert "doubled[2026-01-31]  ◐ stale" in found.out
    assert "doubled[2026-02-01]  ● current" in found.out
    assert "2 partitions · 1 current · 1 stale" in found.out


def test_logs_name_the_partition(shop: Workspace, cli: Cli) -> None:
    assert cli("logs", "orders[2026-02-01]").out.startswith(" orders[2026-02-01] · run #1 · ")
    [log] = cli("logs", "orders[2026-02-01]", "--json").document["data"]["logs"]
    assert (log["asset"], log["partition"]) == ("orders", "2026-02-01")
    assert cli("logs", "-f", "orders[2026-02-01]").out == "making 2026-02-01\n"
    assert "orders[2026-01-31]" in cli("logs", "-f", "orders[2026-01]").out


def test_a_partition_that_fails_is_followed_by_the_command_for_its_log(workspace: Workspace, cli: Cli) -> None:
    workspace.assets("""
    @asset(partitions=Static(["a b", "c"]))
    def parts(partition: Partition) -> int:
        print("trying")
        return 1 // (partition.key == "c")
    """)
    workspace.project()
    failed = cli("-C", str(workspace.root), "materialize", "--progress", "none")

    assert failed.code == 1
    assert "assetflow logs 1 'parts[a b]'" in failed.err
    assert cli("-C", str(workspace.root), "logs", "1", "parts[a b]").out.count("trying") == 1


def test_the_plan_of_a_partition_is_carried_out_by_its_command(shop: Workspace, cli: Cli) -> None:
    found = cli("plan", "doubled[2026-01-31]")

    assert "RUN (1)" in found.out
    assert "assetflow materialize 'doubled[2026-01-31]'" in found.out
