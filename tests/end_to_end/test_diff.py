"""`assetflow diff` through the real command line."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from tests.end_to_end.conftest import Folder

pytestmark = pytest.mark.end_to_end

MORE = "shop,amount\nnorth,10\nsouth,25\nnorth,5\neast,1\n"


def built_twice(folder: Folder) -> None:
    folder.run("materialize", "-q")
    folder.write("data/raw.csv", MORE)
    folder.run("materialize", "-q")


def test_a_difference_is_shown_exported_and_told_by_the_exit_code(folder: Folder) -> None:
    built_twice(folder)
    path = folder.path / "changes.parquet"

    found = folder.run("diff", "totals", "--exit-code", "--export", str(path))

    assert found.code == 4
    assert "totals v1 → v2   rows 2 → 3   +1 · ~1 · −0   key shop (found)" in found.out
    assert "south  20 → 25" in found.out
    assert "inputs   cleaned v1 → v2" in found.out
    assert sorted(pq.read_table(path).to_pylist(), key=lambda row: (row["shop"], row["change"])) == [
        {"change": "added", "shop": "east", "total": 1},
        {"change": "after", "shop": "south", "total": 25},
        {"change": "before", "shop": "south", "total": 20},
    ]
    assert folder.run("diff", "totals@2", "totals@2", "--exit-code").code == 0


def test_the_json_document_says_all_of_it(folder: Folder) -> None:
    built_twice(folder)

    found = folder.run("diff", "totals@1", "--json").data

    assert (found["level"], found["key"], found["key_from"], found["is_different"]) == (
        "keyed",
        ["shop"],
        "found",
        True,
    )
    assert (found["added"], found["removed"], found["changed"]) == (1, 0, 1)
    assert found["rows"][0] == {
        "change": "changed",
        "key": {"shop": "south"},
        "values": {"total": [20, 25]},
        "count": 1,
    }
    assert found["cause"]["inputs"] == [
        {"upstream": "cleaned", "parameter": "cleaned", "change": "changed", "old": 1, "new": 2}
    ]


def test_wrong_options_are_usage_errors(folder: Folder) -> None:
    built_twice(folder)

    assert folder.run("diff", "totals", "--where", "total > (select 1)").code == 2
    assert folder.run("diff", "totals", "--key", "shp").code == 2
    assert folder.run("diff", "totals", "--tolerance", "much").code == 2
    assert folder.run("diff", "totals", "--schema", "--stats").code == 2
    assert folder.run("diff", "raw").code == 2


def test_reading_changes_nothing_in_the_store(folder: Folder) -> None:
    built_twice(folder)
    before = folder.stored()

    folder.run("diff", "totals", "--stats")

    assert folder.stored() == before
