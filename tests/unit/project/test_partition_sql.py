"""All current partitions as one table in SQL, in queries of a project and in the DuckDB file that others open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from assetflow import Project
from assetflow.errors import NoSuchVersion, ProjectLoadError

SHOP = """
import pandas as pd
from assetflow import Daily, Partition, Static, asset

@asset(io="duckdb", partitions=Daily("2026-01-01", end="2026-01-03"))
def orders(partition: Partition) -> pd.DataFrame:
    count = int(partition.key[-1])
    rows = {"at": range(count), "net": [1.5 if count == 3 else 1] * count}
    return pd.DataFrame(rows if count != 2 else dict(reversed(rows.items())))[["at", "net"]]

@asset(io="duckdb", partitions=Static(["it's", "b [1]"]))
def odd(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({"key": [partition.key], "_partition": ["own"]} if partition.key == "b [1]" else {"key": ["a"]})

@asset(io="duckdb", partitions=Static(["it's", "b [1]"]))
def names(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({"key": [partition.key]})
"""
SUMS = "select _partition, count(*)::int as n, sum(net)::double as net from orders group by all order by all"
EXPECTED = [("2026-01-01", 1, 1.0), ("2026-01-02", 2, 2.0), ("2026-01-03", 3, 4.5)]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    root = tmp_path / "shop [1]"
    root.mkdir()
    (root / "assetflow.toml").write_text('modules = ["shop"]\n')
    (root / "shop.py").write_text(SHOP)
    return root


def asked(folder: Path, text: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(folder / ".assetflow" / "views" / "dev.duckdb"), read_only=True) as connection:
        return connection.sql(text).fetchall()


def test_a_query_sees_all_partitions_and_which_a_row_is_in(shop: Path) -> None:
    project = Project.load(shop)
    project.materialize("orders").raise_for_status()

    assert [tuple(row.values()) for row in project.sql(SUMS).table.to_pylist()] == EXPECTED
    assert project.sql("select * from orders").columns == ("at", "net", "_partition")
    assert list(project.read("orders").columns) == ["at", "net"]


def test_the_view_of_others_does_too_and_follows_a_partition_that_is_made_again(shop: Path) -> None:
    project = Project.load(shop)
    project.materialize("orders").raise_for_status()
    assert asked(shop, SUMS) == EXPECTED
    assert [row[0] for row in asked(shop, "describe orders")] == ["at", "net", "_partition"]

    (shop / "shop.py").write_text(SHOP.replace("count = int", "count = 1 + int"))
    Project.load(shop).materialize("orders", partitions="2026-01-01").raise_for_status()
    assert asked(shop, SUMS) == [("2026-01-01", 2, 2.0), *EXPECTED[1:]]


def test_keys_with_signs_and_a_column_of_that_name(shop: Path) -> None:
    Project.load(shop).materialize("names or odd").raise_for_status()

    assert sorted(asked(shop, "from names")) == [("b [1]", "b [1]"), ("it's", "it's")]
    assert sorted(asked(shop, "select key, _partition from odd")) == [("a", None), ("b [1]", "own")]


def test_tables_of_duckdb_have_no_partitions(shop: Path) -> None:
    (shop / "assetflow.toml").write_text('modules = ["shop"]\nduckdb = "native"\n')
    with pytest.raises(ProjectLoadError, match="not as tables of DuckDB"):
        Project.load(shop)


def test_partitions_that_the_definition_has_no_more_are_not_read(shop: Path) -> None:
    Project.load(shop).materialize("names or orders").raise_for_status()
    text = SHOP.replace('["it\'s", "b [1]"]', '["new", "b [1]"]')
    (shop / "shop.py").write_text(text.replace('Daily("2026-01-01"', 'Daily("2026-01-02"'))
    project = Project.load(shop)

    assert project.read("names")["key"].tolist() == ["b [1]"]
    assert [row["_partition"] for row in project.sql(SUMS).table.to_pylist()] == ["2026-01-02", "2026-01-03"]

    (shop / "shop.py").write_text(SHOP.replace('["it\'s", "b [1]"]', '["new"]'))
    with pytest.raises(NoSuchVersion, match="no partition that still exists"):
        Project.load(shop).read("names")
