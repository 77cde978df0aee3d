"""Sources with files for each partition: each is observed, read and stale by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from assetflow import Project
from assetflow.errors import NoSuchVersion, ProjectLoadError, SourceMissing
from assetflow.run.outcome import RunResult

SHOP = """
from pathlib import Path
from typing import Annotated

import pandas as pd

from assetflow import Daily, In, Monthly, Multi, Partition, Static, asset, source

DAYS = Daily("2026-01-30", end="2026-02-02")

raw = source("raw", path="in/{partition:%Y/%m}/{partition}.csv", partitions=DAYS)
visits = source("visits", path="visits/{partition}-*.csv", partitions=DAYS)


@asset(partitions=DAYS)
def orders(raw: pd.DataFrame) -> pd.DataFrame:
    return raw


@asset(partitions=DAYS)
def week(raw: Annotated[pd.DataFrame, In(window=-6)]) -> pd.DataFrame:
    return pd.DataFrame({"rows": [len(raw)], "kind": [str(raw["amount"].dtype)]})


@asset(partitions=Monthly("2026-01", end="2026-02"))
def month(visits: pd.DataFrame) -> pd.DataFrame:
    return visits


@asset
def total(raw: pd.DataFrame) -> int:
    return len(raw)
"""
DAYS = ["2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02"]


def file_of(folder: Path, day: str) -> Path:
    return folder / "in" / day[:4] / day[5:7] / f"{day}.csv"


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "assetflow.toml").write_text('modules = ["shop"]\n')
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "visits").mkdir()
    for place, day in enumerate(DAYS):
        file_of(tmp_path, day).parent.mkdir(parents=True, exist_ok=True)
        file_of(tmp_path, day).write_text(f"day,amount\n{day},{place}\n")
        for part in ("a", "b"):
            (tmp_path / "visits" / f"{day}-{part}.csv").write_text(f"who\n{day}{part}\n")
    return tmp_path


def made(done: RunResult) -> set[str]:
    done.raise_for_status()
    return {str(key) for key, outcome in done.outcomes.items() if outcome.state == "materialized"}


@pytest.mark.parametrize("executor", ["threads", "processes"])
def test_a_file_is_a_partition(shop: Path, executor: str) -> None:
    project = Project.load(shop)
    done = made(project.materialize(executor=executor, workers=2))

    assert done == {*(f"{name}[{day}]" for name in ("orders", "week") for day in DAYS), "month[2026-01]",
                    "month[2026-02]", "total"}  # fmt: skip
    assert project.read("orders[2026-02-01]")["amount"].tolist() == [2]
    assert project.read("week")["rows"].tolist() == [1, 2, 3, 4]
    assert project.read("month[2026-02]")["who"].tolist() == [f"{day}{part}" for day in DAYS[2:] for part in "ab"]
    assert project.read("total") == 4
    assert Project.load(shop).plan().is_empty


def test_a_corrected_file_is_read_by_exactly_what_it_is_in(shop: Path) -> None:
    Project.load(shop).materialize().raise_for_status()
    file_of(shop, "2026-02-01").write_text("day,amount\n2026-02-01,7\n")
    (shop / "visits" / "2026-02-02-c.csv").write_text("who\nnew\n")
    project = Project.load(shop)

    assert [str(step.asset) for step in project.plan().changed_sources] == ["raw[2026-02-01]", "visits[2026-02-02]"]
    done = {str(key): outcome.state for key, outcome in project.materialize().outcomes.items()}
    assert done == {
        "orders[2026-02-01]": "materialized", "month[2026-02]": "materialized", "total": "unchanged",
        "week[2026-02-01]": "unchanged", "week[2026-02-02]": "unchanged",
    }  # fmt: skip
    sources = [(one.head.trace.partition, one.head.version.number) for one in project.history("raw")]
    assert ("2026-02-01", 2) in sources
    assert ("2026-02-02", 1) in sources


def test_types_are_those_of_all_files_that_are_read_together(shop: Path) -> None:
    file_of(shop, "2026-01-31").write_text("day,amount\n2026-01-31,1.5\n")
    project = Project.load(shop)
    project.materialize("week").raise_for_status()

    assert project.read("week")["kind"].tolist() == ["int64", "float64", "float64", "float64"]


def test_it_is_read_by_partition_or_as_a_whole(shop: Path) -> None:
    project = Project.load(shop)

    assert project.read("raw")["amount"].tolist() == [0, 1, 2, 3]
    assert project.read("raw[2026-01-31]")["amount"].tolist() == [1]
    assert [row[1] for row in project.preview("raw[2026-02-02]").rows] == [3]
    assert project.sql("select sum(amount)::bigint as sum from raw").table.to_pylist() == [{"sum": 6}]
    with pytest.raises(NoSuchVersion, match="keeps no copies"):
        project.read("raw[2026-01-31]@1")


def test_a_file_that_is_not_there_blocks_what_reads_it_and_nothing_else(shop: Path) -> None:
    file_of(shop, "2026-01-31").unlink()
    project = Project.load(shop)
    done = {str(key): outcome.state for key, outcome in project.materialize("orders or week").outcomes.items()}

    assert {key for key, state in done.items() if state == "blocked"} == {
        "orders[2026-01-31]", *(f"week[{day}]" for day in DAYS[1:]),
    }  # fmt: skip
    assert done["raw[2026-01-31]"] == "failed"
    assert done["orders[2026-02-02]"] == "materialized"
    status = project.status()["raw"]
    assert (status.state, dict(status.parts)) == ("blocked", {"source": 3, "blocked": 1})
    with pytest.raises(SourceMissing, match=r"raw\[2026-01-31\]"):
        project.read("raw")


def test_the_file_of_another_partition_is_not_offered_for_one_that_is_not_there(shop: Path) -> None:
    file_of(shop, "2026-01-30").unlink()

    result = Project.load(shop).materialize("raw[2026-01-30]")

    problem = result["raw[2026-01-30]"].error
    assert problem is not None
    assert "in/2026/01/2026-01-30.csv` does not exist" in problem.message
    assert problem.fix == "put a file of partition 2026-01-30 there: `path=` of the source has one for each"


def test_a_source_that_never_changed_is_current_in_every_partition(shop: Path) -> None:
    project = Project.load(shop)
    project.materialize().raise_for_status()

    assert (project.status()["raw"].state, dict(project.status()["raw"].parts)) == ("source", {"source": 4})


def test_keys_with_signs_of_patterns_are_names(tmp_path: Path) -> None:
    (tmp_path / "assetflow.toml").write_text('modules = ["shop"]\n')
    (tmp_path / "shop.py").write_text("""
import pandas as pd
from assetflow import Static, asset, source

KEYS = Static(["a[1]", "b?"])
raw = source("raw", path="{partition}-*.csv", partitions=KEYS)

@asset(partitions=KEYS)
def copy(raw: pd.DataFrame) -> pd.DataFrame:
    return raw
""")
    (tmp_path / "a[1]-x.csv").write_text("n\n1\n")
    (tmp_path / "b?-x.csv").write_text("n\n2\n")
    (tmp_path / "bc-x.csv").write_text("n\n3\n")
    project = Project.load(tmp_path)
    project.materialize().raise_for_status()

    assert project.read("copy")["n"].tolist() == [1, 2]


@pytest.mark.parametrize(("declared", "message"), [
    ('source("r", path="in/all.csv", partitions=DAYS)', "has no place `{partition}`"),
    ('source("r", path="in/{day}.csv", partitions=DAYS)', "has no place `{partition}`"),
    ('source("r", path="in/{partition}{airport}.csv", partitions=DAYS)', "has the place `{airport}`; there is"),
    ('source("r", path="{day}.csv", partitions=Multi({"day": DAYS, "port": Static(["a"])}))', "no place `{port}`"),
    ('source("r", path="{partition:%Y}.csv", partitions=Static(["a"]))', "is a form of times"),
    ('source("r", version=lambda: 1, partitions=DAYS)', "partitions= goes with path="),
])  # fmt: skip
def test_a_path_must_have_a_place_for_each_axis(shop: Path, declared: str, message: str) -> None:
    (shop / "shop.py").write_text(f"{SHOP}\nodd = {declared}\n")
    with pytest.raises(ProjectLoadError) as raised:
        Project.load(shop)
    assert message in str(raised.value)


def test_files_that_are_no_tables_come_one_at_a_time(shop: Path) -> None:
    (shop / "shop.py").write_text(SHOP.replace("def total(raw: pd.DataFrame) -> int:\n    return len(raw)",
                                               "def total(raw: Path) -> int:\n    return 1"))  # fmt: skip
    error = Project.load(shop).materialize("total").outcomes["total"].error  # type: ignore[index]

    assert error is not None
    assert "which only tables can be" in error.message
