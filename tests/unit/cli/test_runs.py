"""`runs`: one run with the times of its parts, and how two runs differ."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.cli.conftest import Cli

ASSETS = """
import time

import pyarrow as pa
from assetflow import Context, asset

PAGES = 2


@asset
def orders(context: Context) -> pa.Table:
    with context.step("fetch"):
        for _ in range(PAGES):
            with context.step("page"):
                time.sleep(0.15 * (PAGES - 2))
    with context.step("fit"):
        pass
    return pa.table({"page": list(range(PAGES))})


@asset
def report(orders: pa.Table) -> int:
    return len(orders)
"""


DAYS = """
from assetflow import Daily, Partition, asset


@asset(partitions=Daily("2026-01-01", end="2026-01-03"))
def days(partition: Partition) -> int:
    if partition.key == "2026-01-02":
        raise ValueError("no luck")
    return 1
"""


@pytest.fixture
def two_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Cli:
    (tmp_path / "assetflow.toml").write_text('modules = ["assets"]\n')
    (tmp_path / "assets.py").write_text(ASSETS)
    monkeypatch.chdir(tmp_path)
    cli("materialize", "-q")
    (tmp_path / "assets.py").write_text(
        ASSETS.replace("PAGES = 2", "PAGES = 4") + "\n@asset\ndef new() -> int:\n    return 1\n"
    )
    cli("materialize", "-q", "+report", "new")
    return cli


def test_a_run_shows_the_steps_of_its_assets(two_runs: Cli) -> None:
    shown = two_runs("runs", "show", "1").out
    lines = [" ".join(line.split()) for line in shown.splitlines()]

    first = next(n for n, line in enumerate(lines) if line.startswith("✓ orders"))
    assert [line.split()[0] for line in lines[first + 1 : first + 4]] == ["fetch", "page", "fit"]
    assert lines[first + 2].endswith("2 times")
    attempt = two_runs("runs", "show", "1", "--json").document["data"]["attempts"][0]
    assert [(step["name"], step["count"], step["failed"]) for step in attempt["steps"]] == [
        ("fetch", 1, 0), ("fetch/page", 2, 0), ("fit", 1, 0),
    ]  # fmt: skip
    assert attempt["wait_seconds"] >= 0
    assert attempt["peak_memory_bytes"] is None


def test_the_times_are_a_table_whose_columns_leave_when_narrow(two_runs: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    wide = two_runs("runs", "show", "1", "--times", "--format", "table").out
    monkeypatch.setenv("COLUMNS", "60")
    narrow = two_runs("runs", "show", "1", "--times", "--format", "table").out
    rows = [line.split(",") for line in two_runs("runs", "show", "1", "--times", "--format", "csv").out.splitlines()]

    assert wide.split("\n")[0].split() == [
        "ASSET", "TRY", "STEP", "WAIT", "LOAD", "COMPUTE", "CHECK", "WRITE", "COMMIT", "PEAK", "TIMES",
    ]  # fmt: skip
    assert "PEAK" not in narrow
    assert "COMPUTE" in narrow
    assert [row[2] for row in rows if row[0] == "orders"] == ["", "fetch", "fetch/page", "fit"]
    assert all(float(row[rows[0].index("commit")]) >= 0 for row in rows if row[0] == "report")


def test_a_run_names_the_partitions_that_it_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    (tmp_path / "assetflow.toml").write_text('modules = ["assets"]\n')
    (tmp_path / "assets.py").write_text(DAYS)
    monkeypatch.chdir(tmp_path)
    cli("materialize", "-q", "--executor", "inline")
    keys = ["days[2026-01-01]", "days[2026-01-02]", "days[2026-01-03]"]

    lines = [line.split() for line in cli("runs", "show", "1").out.splitlines()]
    values = [line.split("\t") for line in cli("runs", "show", "1", "--format", "tsv").out.splitlines()]

    states = ["materialized", "failed", "materialized"]
    assert [(line[1], line[2]) for line in lines if line and line[0] in "✓✗"] == list(zip(keys, states, strict=True))
    assert [row[:2] for row in values if row[0] in keys] == [list(pair) for pair in zip(keys, states, strict=True)]
    for words in (("--times",), ("--times", "--format", "tsv")):
        shown = cli("runs", "show", "1", *words).out
        assert [line.split()[0] for line in shown.splitlines() if "days" in line] == keys


def test_two_runs_are_compared(two_runs: Cli) -> None:
    found = two_runs("runs", "compare", "1", "2", "--json").document["data"]
    assets = {one["asset"]: one for one in found["assets"]}

    assert (found["old"]["run"], found["new"]["run"]) == (1, 2)
    assert "seconds" in assets["orders"]["changed"]
    assert {"version", "rows"} <= set(assets["orders"]["changed"])
    assert (assets["orders"]["old"]["rows"], assets["orders"]["new"]["rows"]) == (2, 4)
    assert assets["new"]["changed"] == ["added"]
    assert assets["new"]["old"] is None
    back = two_runs("runs", "compare", "2", "1", "--json").document["data"]
    assert {one["asset"]: one["changed"] for one in back["assets"]}["new"] == ["removed"]

    screen = two_runs("runs", "compare", "1", "2", "--format", "table").out
    assert "run #1 → #2 · 3 of 3 assets differ" in screen
    assert "no difference" in two_runs("runs", "compare", "2", "2", "--format", "table").out


def test_a_run_that_does_not_exist_cannot_be_compared(two_runs: Cli) -> None:
    assert two_runs("runs", "compare", "1", "9").code == 2
    assert "there is no run #9" in two_runs("runs", "compare", "1", "9").err
    assert two_runs("runs", "compare", "1").code == 2
