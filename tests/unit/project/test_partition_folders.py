"""Folders of partitions: every reader gets what is current, and only what changed is touched."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import polars as pl
import pyarrow.dataset as ds
import pytest

from assetflow import Project

SHOP = """
import pandas as pd
from assetflow import Daily, Dynamic, Multi, Partition, Static, asset, source

DAYS = Daily("2026-01-01", end="2026-01-03")
raw = source("raw", path="in/{partition}.csv", partitions=DAYS)


@asset(key="marts.orders", partitions=DAYS)
def orders(raw: pd.DataFrame) -> pd.DataFrame:
    return raw


@asset(partitions=Multi({"port": Static(["J/K %", "LAX"]), "day": Daily("2026-01-01", end="2026-01-02")}))
def weather(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({"Day": [partition.axes["day"]], "degrees": [partition.start.day]})


@asset(partitions=Static(["a", "b"]))
def words(partition: Partition) -> dict:
    return {"word": partition.key}


@asset
def plain() -> pd.DataFrame:
    return pd.DataFrame({"n": [1]})
"""


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "assetflow.toml").write_text('modules = ["shop"]\n')
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "in").mkdir()
    for day in (1, 2, 3):
        correct(tmp_path, day, day)
    return tmp_path


def correct(folder: Path, day: int, amount: int) -> None:
    (folder / "in" / f"2026-01-0{day}.csv").write_text(f"amount\n{amount}\n")


def make(folder: Path, selection: str = "marts.orders") -> None:
    Project.load(folder).materialize(selection).raise_for_status()


def base(folder: Path, asset: str = "marts.orders", env: str = "dev") -> Path:
    return folder / ".assetflow" / "views" / env / asset


def amounts(folder: Path, env: str = "dev") -> list[tuple[str, int]]:
    frame = pd.read_parquet(base(folder, env=env))
    return sorted(zip(frame["day"].astype(str), frame["amount"].astype(int), strict=True))


def files(folder: Path, asset: str = "marts.orders") -> dict[str, int]:
    place = base(folder, asset)
    return {str(one.relative_to(place)): one.stat().st_ino for one in place.rglob("*.parquet")}


def readers(place: Path) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, Any] = {
        "pandas": pd.read_parquet(place).to_dict("records"),
        "pyarrow": ds.dataset(place, partitioning="hive").to_table().to_pylist(),
        "duckdb": duckdb.read_parquet(f"{place}/**/*.parquet", hive_partitioning=True).arrow().read_all().to_pylist(),
        "polars": pl.read_parquet(place).to_dicts(),
    }
    return {name: sorted(tuple(str(row[key]) for key in sorted(row)) for row in rows) for name, rows in found.items()}


def test_every_reader_gets_what_is_current_with_the_values_of_the_partitions(shop: Path) -> None:
    make(shop, "*")
    orders = [(str(day), f"2026-01-0{day}") for day in (1, 2, 3)]
    weather = [
        (f"2026-01-0{day}", f"2026-01-0{day}", str(day), port) for day in (1, 2) for port in ("J/K %", "LAX")
    ]  # Day is a column of the table, so the axis is called day_key

    assert readers(base(shop)) == dict.fromkeys(("pandas", "pyarrow", "duckdb", "polars"), orders)
    assert readers(base(shop, "weather")) == dict.fromkeys(("pandas", "pyarrow", "duckdb", "polars"), weather)
    assert set(files(shop, "weather")) == {
        f"port={port}/day_key=2026-01-0{day}/data.parquet" for day in (1, 2) for port in ("J%2FK%20%25", "LAX")
    }
    assert not base(shop, "words").exists()
    assert not base(shop, "plain").exists()


def test_a_corrected_day_is_the_only_file_that_changes(shop: Path) -> None:
    make(shop)
    before = files(shop)
    correct(shop, 2, 20)
    make(shop)
    after = files(shop)

    assert {name for name in after if after[name] != before.get(name)} == {"day=2026-01-02/data.parquet"}
    assert amounts(shop) == [("2026-01-01", 1), ("2026-01-02", 20), ("2026-01-03", 3)]


def test_each_environment_has_folders_of_its_own(shop: Path) -> None:
    make(shop)
    Project.load(shop, env="prod").materialize("marts.orders").raise_for_status()
    correct(shop, 2, 20)
    make(shop)

    assert dict(amounts(shop))["2026-01-02"] == 20
    assert dict(amounts(shop, "prod"))["2026-01-02"] == 2


def test_what_a_run_that_died_did_not_show_is_shown_by_the_next_verb(shop: Path) -> None:
    make(shop)
    views = shop / ".assetflow" / "views"
    shutil.copytree(views, shop / "before", copy_function=shutil.copy2)
    correct(shop, 3, 30)
    make(shop)
    shutil.rmtree(views)
    shutil.copytree(shop / "before", views)  # as if it had been killed between its last commit and its end
    assert amounts(shop)[-1] == ("2026-01-03", 3)

    make(shop)

    assert amounts(shop)[-1] == ("2026-01-03", 30)


def test_partitions_and_assets_that_are_none_any_more_are_not_shown(shop: Path) -> None:
    make(shop, "marts.orders or weather")
    text = (shop / "shop.py").read_text()
    (shop / "shop.py").write_text(
        text.replace('end="2026-01-03"', 'end="2026-01-02"').replace('["J/K %", "LAX"]', '["LAX"]')
    )
    make(shop)
    assert [day for day, _ in amounts(shop)] == ["2026-01-01", "2026-01-02"]
    assert [one.name for one in base(shop, "weather").iterdir()] == ["port=LAX"]

    (shop / "shop.py").write_text(text[: text.index("@asset(partitions=Multi")])
    make(shop)
    assert not base(shop, "weather").exists()
    assert len(amounts(shop)) == 3


def test_a_column_that_comes_later_takes_its_name_back(shop: Path) -> None:
    make(shop)
    text = (shop / "shop.py").read_text()
    (shop / "shop.py").write_text(text.replace("return raw", "return raw.assign(day=[1])"))
    Project.load(shop).materialize("marts.orders", partitions="2026-01-01").raise_for_status()

    assert {name.partition("=")[0] for name in files(shop)} == {"day_key"}
    rows = duckdb.read_parquet(f"{base(shop)}/**/*.parquet", union_by_name=True, hive_partitioning=True)
    assert rows.select("day_key::varchar, day, amount").order("all").fetchall() == [
        ("2026-01-01", 1, 1), ("2026-01-02", None, 2), ("2026-01-03", None, 3),
    ]  # fmt: skip


def test_without_the_setting_there_are_no_folders(shop: Path) -> None:
    make(shop)
    assert base(shop).exists()
    (shop / "assetflow.toml").write_text('modules = ["shop"]\nhive = false\n')
    make(shop)

    assert not base(shop).parent.exists()


def test_doctor_finds_what_somebody_changed_and_puts_it_right(shop: Path) -> None:
    make(shop)
    day = base(shop) / "day=2026-01-01" / "data.parquet"
    day.unlink()
    day.write_bytes(b"mine")
    shutil.rmtree(base(shop) / "day=2026-01-02")
    (base(shop) / "day=2026-01-03" / "more.parquet").write_bytes(b"mine")
    project = Project.load(shop)
    found = project.doctor()
    lines = [one.text for one in found.findings if one.topic == "folders"]
    assert lines == ["folders of partitions do not show what is current: marts.orders (3 files)"]
    assert found.can_be_fixed
    assert found.is_healthy

    project.mend(found)

    assert amounts(shop) == [("2026-01-01", 1), ("2026-01-02", 2), ("2026-01-03", 3)]
    assert not (base(shop) / "day=2026-01-03" / "more.parquet").exists()
    assert [one.level for one in project.doctor().findings if one.topic == "folders"] == ["ok"]


def test_a_damaged_version_is_shown_no_longer_when_it_was_put_aside(shop: Path) -> None:
    make(shop)
    file = base(shop) / "day=2026-01-02" / "data.parquet"
    file.chmod(0o644)
    file.write_bytes(b"rot")  # the file of the version itself, by its other name
    project = Project.load(shop)
    project.mend(project.doctor(deep=True))
    assert [day for day, _ in amounts(shop)] == ["2026-01-01", "2026-01-03"]

    make(shop)

    assert amounts(shop) == [("2026-01-01", 1), ("2026-01-02", 2), ("2026-01-03", 3)]
