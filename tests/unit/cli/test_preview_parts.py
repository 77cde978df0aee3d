"""`preview` of assets with partitions: one of them, all as one table, and what cannot be shown so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli

SHOP = """
import pandas as pd

from assetflow import Daily, Partition, asset

DAYS = Daily("2026-01-01", end="2026-01-02")


@asset(partitions=DAYS)
def orders(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({"day": [partition.key]})


@asset(partitions=DAYS)
def counts(partition: Partition) -> int:
    return partition.start.day


@asset(partitions=DAYS)
def odd(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({partition.key: [1]})
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Path:
    (tmp_path / "assetflow.toml").write_text('modules = ["shop_to_show"]\nexecutor = "inline"\ndiscover = false\n')
    (tmp_path / "shop_to_show.py").write_text(SHOP)
    monkeypatch.chdir(tmp_path)
    assert cli("materialize", "-q").code == 0
    return tmp_path


def test_one_partition_and_all_of_them_are_shown(shop: Path, cli: Cli) -> None:
    assert cli("preview", "orders", "--format", "csv").out.splitlines() == ["day", "2026-01-01", "2026-01-02"]
    assert cli("preview", "orders[2026-01-02]", "--format", "csv").out.splitlines() == ["day", "2026-01-02"]
    one = cli("preview", "counts[2026-01-02]")
    assert one.out == "2\n"
    assert "counts[2026-01-02]@1 · JSON" in one.err


@pytest.mark.parametrize(("name", "said"), [
    ("counts", "`counts` holds an int and cannot arrive as a pyarrow Table"),
    ("odd", "`odd[2026-01-01]` and `odd[2026-01-02]` have other columns"),
    ("orders[2027-01-01]", "orders has no partition `2027-01-01`"),
])  # fmt: skip
def test_what_cannot_be_shown_as_one_table_or_is_not_there_is_said(shop: Path, cli: Cli, name: str, said: str) -> None:
    screen = cli("preview", name)

    assert screen.code != 0
    assert said in screen.err
    assert "has not been materialized" not in screen.err
