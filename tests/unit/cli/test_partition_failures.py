"""Partitions that fail together are one block of the screen, and what they block is one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli

ASSETS = """
from typing import Annotated

from assetflow import Daily, In, Partition, asset

DAYS = Daily("2026-01-01", end="2026-01-11")
BAD = (3, 4, 5, 9)


@asset(partitions=DAYS)
def orders(partition: Partition) -> list:
    if partition.start.day in BAD:
        raise ValueError("late" if partition.start.day == 9 else "no file")
    return [{"amount": 1}]


@asset(partitions=DAYS)
def week(orders: Annotated[list, In(window=-2)]) -> list:
    return orders
"""
SCREEN = """ ✗ orders[2026-01-03..2026-01-05, 2026-01-09]   4 failed   ValueError: no file
     2026-01-09: ValueError: late
     assets.py:13 in orders
         12 │     if partition.start.day in BAD:
       ❱ 13 │         raise ValueError("late" if partition.start.day == 9 else "no file")
         14 │     return [{"amount": 1}]
     served nothing is published yet

 ⊘ week[2026-01-03..2026-01-07, 2026-01-09..2026-01-11]   8 not run (orders[2026-01-03..2026-01-05, 2026-01-09] failed)

 run #1 ✗ 10 materialized · 4 failed · 8 blocked"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "assets.py").write_text(ASSETS)
    (tmp_path / "assetflow.toml").write_text('modules = ["assets"]\nexecutor = "inline"\nhive = false\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_what_failed_in_the_same_way_is_told_once_with_its_ranges(shop: Path, cli: Cli) -> None:
    screen = cli("materialize", "--progress", "none", "--format", "table")

    assert screen.out.startswith(SCREEN)
    assert "`orders[2026-01-03..2026-01-05, 2026-01-09]` failed, 8 blocked" in screen.err


def test_what_stays_is_counted_and_other_ways_to_fail_are_bounded(shop: Path, cli: Cli) -> None:
    cli("materialize", "orders", "--progress", "none")
    ways = "\n".join(f"    if partition.start.day == {day}:\n        raise KeyError({day})" for day in range(5, 9))
    ways += "\n    if partition.start.day < 5:\n        raise KeyError(1)"
    (shop / "assets.py").write_text(ASSETS.replace("    if partition.start.day in BAD", f"{ways}\n    if len(BAD) < 0"))
    lines = cli("materialize", "orders", "--progress", "none", "--format", "table").out.splitlines()

    assert [line for line in lines if line.startswith((" ✗", " run"))][:4] == [
        " ✗ orders[2026-01-01..2026-01-04]   4 failed   KeyError: 1",
        " ✗ orders[2026-01-05]   0 ms   KeyError: 5",
        " ✗ orders[2026-01-06]   0 ms   KeyError: 6",
        " ✗ orders[2026-01-07..2026-01-08]   2 failed in other ways: assetflow runs show 2",
    ]
    assert [line.strip() for line in lines if "served" in line] == [
        "served 2 versions stay current, and nothing is published of 2",
        "served nothing is published yet",
        "served v1 stays current",
    ]


def test_a_backfill_names_the_ranges_that_failed_in_a_run(shop: Path, cli: Cli) -> None:
    screen = cli("backfill", "orders", "-p", "2026-01-01..2026-01-10", "--yes")

    assert "   ✗ orders[2026-01-03..2026-01-05, 2026-01-09]  4 failed  ValueError: no file\n" in screen.err
