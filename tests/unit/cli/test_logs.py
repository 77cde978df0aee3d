"""`logs` with its ways to pick lines."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli

ASSETS = """
from assetflow import Context, asset


@asset
def orders(context: Context) -> int:
    print("reading")
    for page in range(3):
        context.log.info("page %s", page)
    context.log.warning("page 2 was short")
    return 1


@asset
def quiet() -> int:
    return 1


@asset
def bad(orders: int) -> int:
    raise ValueError("no luck")
"""


@pytest.fixture
def ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Cli:
    (tmp_path / "assetflow.toml").write_text('modules = ["assets"]\n')
    (tmp_path / "assets.py").write_text(ASSETS)
    monkeypatch.chdir(tmp_path)
    cli("materialize", "-q")
    return cli


def test_lines_are_picked_by_pattern_level_and_number(ran: Cli) -> None:
    assert ran("logs", "orders", "--raw", "--grep", "^read|short").out.splitlines()[0] == "reading"
    assert ran("logs", "orders", "--raw", "--grep", "page [01]", "-n", "1").out.endswith("INFO    page 1\n")
    assert ran("logs", "orders", "--raw", "-n", "2").out.count("\n") == 2
    assert ran("logs", "orders", "--raw", "-n", "0").out == ""
    [warning] = ran("logs", "orders", "--raw", "--level", "warning").out.splitlines()
    assert warning.endswith("WARNING page 2 was short")


def test_a_silent_asset_says_so_and_has_no_file(ran: Cli, tmp_path: Path) -> None:
    screen = ran("logs", "quiet").out

    assert "nothing was printed or logged" in screen
    assert ".log" not in screen  # there is none to look at
    assert not list(tmp_path.glob(".assetflow/runs/*/quiet*"))
    assert list(tmp_path.glob(".assetflow/runs/1/orders.1.log"))
    assert ran("logs", "quiet", "--raw").out == ""


def test_a_log_whose_folder_is_gone_is_not_called_silent(ran: Cli, tmp_path: Path) -> None:
    shutil.rmtree(tmp_path / ".assetflow" / "runs" / "1")

    assert "no logs for quiet" in ran("logs", "quiet").out


def test_assets_without_such_a_line_are_counted(ran: Cli) -> None:
    screen = ran("logs", "--level", "error").out

    assert "ValueError: no luck" in screen
    assert "2 assets had no such line" in screen
    assert "no such line" in ran("logs", "quiet", "--grep", "x").out
    texts = {log["asset"]: log["text"] for log in ran("logs", "--json", "--grep", "short").document["data"]["logs"]}
    assert texts["bad"] == ""
    assert texts["orders"].endswith("short\n")


def test_what_is_no_pattern_or_level_is_an_error(ran: Cli) -> None:
    assert ran("logs", "--grep", "(").code == 2
    assert "not a regular expression" in ran("logs", "--grep", "(").err
    assert ran("logs", "--level", "loud").code == 2


def test_following_a_run_that_has_ended_gives_all_of_it(ran: Cli) -> None:
    everything = ran("logs", "-f")

    assert everything.code == 0
    assert "orders                   │ reading" in everything.out
    assert "bad                      │ ValueError: no luck" in everything.out
    assert ran("logs", "-f", "orders", "--raw").out == ran("logs", "orders", "--raw").out
    assert ran("logs", "-f", "orders", "-n", "1").out.endswith("WARNING page 2 was short\n")
    lines = [json.loads(line) for line in ran("logs", "-f", "1", "--json", "--grep", "luck").out.splitlines()]
    assert lines[-1] == {
        "schema": "assetflow.log/1", "run": 1, "asset": "bad", "partition": None, "attempt": 1,
        "line": "ValueError: no luck",
    }  # fmt: skip
    assert ran("logs", "-f", "9").code == 2
    assert ran("logs", "-f", "nobody").code == 2


DAYS = """
from assetflow import Daily, Partition, asset


@asset(partitions=Daily("2026-01-01", end="2026-01-30"))
def days(partition: Partition) -> int:
    print("making", partition.key)
    if partition.key == "2026-01-09":
        raise ValueError("no luck")
    return 1
"""


def test_only_partitions_with_such_a_line_are_shown_and_the_others_counted(ran: Cli, tmp_path: Path) -> None:
    (tmp_path / "assets.py").write_text(DAYS)
    ran("materialize", "-q", "--executor", "inline")

    by_name, by_run = ran("logs", "days", "--level", "error").out, ran("logs", "2", "--level", "error").out

    assert "days[2026-01-09] · run #2" in by_name
    assert by_name.endswith("\n\n 29 partitions had no such line\n")
    assert by_name.count("run #2") == 1
    assert by_name == by_run
    assert ran("logs", "days").out == ran("logs", "2").out
    assert ran("logs", "days[2026-01-08]", "--grep", "x").out.endswith("\n   no such line\n")


def test_the_log_of_what_ran_only_elsewhere_names_the_environment(ran: Cli) -> None:
    ran("-e", "prod", "materialize", "quiet", "orders", "--force", "-q")

    assert "orders · run #1 · " in ran("logs", "orders").out
    assert "orders · run #2 in env prod · " in ran("logs", "2", "orders").out
    assert "orders · run #2 · " in ran("-e", "prod", "logs", "orders").out
    assert "orders · run #2 in env prod · " in ran("-e", "stage", "logs", "orders").out
    assert [one["env"] for one in ran("logs", "2", "--json").document["data"]["logs"]] == ["prod", "prod"]
    assert "no logs for bad in run #2" in ran("logs", "2", "bad").out
