from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.faults import rot
from tests.faults.profile import in_workers
from tests.faults.report import Budget, Report

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(600)]

DATA = (
    "data.parquet", "data.parquet, large", "data.blocks", "categories.arrow", "_version.json", "value.json",
    "value.bin", "value.pickle", "file", "views",
)  # fmt: skip


def found(points: int, kinds: Sequence[str], sabotage: str | None = None) -> Report:
    """What a process of its own says: it forks, and this one has threads, some of them of libraries that then hang."""
    return in_workers("rot", Budget(points, 150), 1, sabotage, {"kinds": kinds, "workers": 1})


def test_a_damage_is_told_and_read_back() -> None:
    text = "flip:data/small@1/data.parquet:17"

    assert str(rot.Damage.parse(text)) == text


def test_damaged_versions_are_refused_and_made_again() -> None:
    report = found(50, DATA)

    assert report.ok, report.summary()


def test_a_damaged_catalog_or_journal_never_gives_other_rows() -> None:
    report = found(32, ("catalog.db", "catalog.db-wal", "journal", "backups"))

    assert report.ok, report.summary()


def test_a_damaged_store_of_duckdb_tables_is_refused_and_made_again() -> None:
    report = found(12, rot.NATIVE)

    assert report.ok, report.summary()


def test_a_damaged_cache_is_passed_over() -> None:
    report = found(12, ("cache",))

    assert report.ok, report.summary()


def test_reads_that_check_nothing_are_found_out() -> None:
    report = found(60, ("data.parquet",), "unchecked_reads")

    assert any("other rows" in one["what"] for one in report.violations), report.summary()
