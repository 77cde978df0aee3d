from __future__ import annotations

import pytest

from tests.faults import rot
from tests.faults.report import Budget

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(600)]

DATA = (
    "data.parquet", "data.parquet, large", "data.blocks", "categories.arrow", "_version.json", "value.json",
    "value.bin", "value.pickle", "file", "views",
)  # fmt: skip


def test_a_damage_is_told_and_read_back() -> None:
    text = "flip:data/small@1/data.parquet:17"

    assert str(rot.Damage.parse(text)) == text


def test_damaged_versions_are_refused_and_made_again() -> None:
    report = rot.run(Budget(75, 150), seed=1, kinds=DATA)

    assert report.ok, report.summary()


def test_a_damaged_catalog_or_journal_never_gives_other_rows() -> None:
    report = rot.run(Budget(50, 150), seed=1, kinds=("catalog.db", "catalog.db-wal", "journal", "backups"))

    assert report.ok, report.summary()


def test_a_damaged_store_of_duckdb_tables_is_refused_and_made_again() -> None:
    report = rot.run(Budget(25, 150), seed=1, kinds=rot.NATIVE)

    assert report.ok, report.summary()


def test_a_damaged_cache_is_passed_over() -> None:
    report = rot.run(Budget(25, 150), seed=1, kinds=("cache",))

    assert report.ok, report.summary()


def test_reads_that_check_nothing_are_found_out() -> None:
    report = rot.run(Budget(60, 120), seed=1, sabotage="unchecked_reads", kinds=("data.parquet",))

    assert any("other rows" in one["what"] for one in report.violations), report.summary()
