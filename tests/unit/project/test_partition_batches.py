"""Several partitions in one call: the rows are told apart, checked, and committed partition by partition."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from assetflow import Project
from assetflow.errors import ProjectLoadError
from assetflow.run.outcome import RunResult

SHOP = """
from datetime import date
from pathlib import Path
from typing import Annotated

import pandas as pd
import pyarrow as pa

from assetflow import Context, Daily, In, Monthly, Multi, Partition, Result, Static, asset, not_null

HERE = Path(__file__).parent
DAYS = Daily("2026-01-01", end="2026-01-06")


def told(name, partition):
    with (HERE / "calls.txt").open("a") as file:
        file.write(f"{name} {partition.key}\\n")


@asset(partitions=DAYS)
def raw(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({"day": [partition.key], "amount": [int((HERE / f"{partition.key}.txt").read_text())]})


@asset(partitions=DAYS, batch=True, partition_column="day", checks=[not_null("amount")])
def orders(raw: pd.DataFrame, partition: Partition, context: Context) -> pd.DataFrame:
    assert context.partition == partition
    assert list(raw["day"]) == list(partition.keys)
    assert (partition.end - partition.start).days == len(partition.keys)
    told("orders", partition)
    return raw.iloc[::-1].assign(twice=raw["amount"] * 2)


@asset(partitions=DAYS, batch=2, partition_column="at")
def week(orders: Annotated[pd.DataFrame, In(window=-2)], partition: Partition) -> pa.Table:
    told("week", partition)
    found = [[date.fromisoformat(key), int(orders[orders["day"].between(before(key), key)]["amount"].sum())]
             for key in partition.keys]
    return pa.Table.from_pylist([{"at": at, "sum": total} for at, total in found])


def before(key):
    return str(pd.Timestamp(key) - pd.Timedelta(days=2))[:10]
"""
DAYS = [f"2026-01-0{day}" for day in range(1, 7)]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "assetflow.toml").write_text('modules = ["shop"]\n')
    (tmp_path / "shop.py").write_text(SHOP)
    for place, day in enumerate(DAYS):
        (tmp_path / f"{day}.txt").write_text(str(10**place))
    return tmp_path


def calls(folder: Path) -> list[str]:
    file = folder / "calls.txt"
    found = sorted(file.read_text().splitlines()) if file.exists() else []
    file.unlink(missing_ok=True)
    return found


def states(result: RunResult) -> dict[str, str]:
    return {str(key): outcome.state for key, outcome in result.outcomes.items()}


def changed(folder: Path, text: str) -> Project:
    (folder / "shop.py").write_text(text)
    return Project.load(folder)


def test_the_log_of_a_call_is_that_of_each_of_its_partitions(shop: Path) -> None:
    project = changed(shop, SHOP.replace('told("week", partition)', 'told("week", partition); print(partition.key)'))
    project.materialize().raise_for_status()

    texts = sorted(log.text.strip() for log in project.logs(key="week"))
    assert texts == [f"2026-01-0{day}..2026-01-0{day + 1}" for day in (1, 3, 5)]
    assert {log.path.name for log in project.logs(key="week")} == {f"week[{text}].1.log" for text in texts}


@pytest.mark.parametrize("executor", ["inline", "threads", "processes"])
def test_a_call_makes_a_range_and_each_day_of_it_is_a_version(shop: Path, executor: str) -> None:
    project = Project.load(shop)
    done = project.materialize(executor=executor, workers=2)
    done.raise_for_status()

    assert calls(shop) == ["orders 2026-01-01..2026-01-06", *(
        f"week 2026-01-0{day}..2026-01-0{day + 1}" for day in (1, 3, 5)
    )]  # fmt: skip
    assert len(done.outcomes) == 18
    assert [project.read(f"orders[{day}]")["twice"].tolist() for day in DAYS] == [[2 * 10**n] for n in range(6)]
    assert project.read("week")["sum"].tolist() == [1, 11, 111, 1110, 11100, 111000]
    assert {entry.head.version.number for entry in project.history("orders")} == {1}
    assert Project.load(shop).plan().is_empty


def test_only_what_is_stale_is_in_the_calls_and_what_is_apart_is_not_together(shop: Path) -> None:
    Project.load(shop).materialize().raise_for_status()
    calls(shop)
    for day in ("2026-01-02", "2026-01-05"):
        (shop / f"{day}.txt").write_text("7")
    project = Project.load(shop)
    done = states(project.materialize())

    assert calls(shop) == ["orders 2026-01-02", "orders 2026-01-05", "week 2026-01-02..2026-01-03",
                           "week 2026-01-04..2026-01-05", "week 2026-01-06"]  # fmt: skip
    assert set(done.values()) == {"materialized"}
    assert {key for key in done if key.startswith("orders")} == {"orders[2026-01-02]", "orders[2026-01-05]"}
    assert project.read("week")["sum"].tolist() == [1, 8, 108, 1107, 1107, 101007]


def test_what_comes_out_the_same_is_cut_off_and_what_need_not_run_is_left_out_of_the_call(shop: Path) -> None:
    Project.load(shop).materialize().raise_for_status()
    calls(shop)
    edited = changed(shop, SHOP.replace("raw.iloc[::-1].assign(", "raw.iloc[::-1].copy().assign("))
    assert set(states(edited.materialize()).values()) == {"unchanged", "cut_off"}
    assert calls(shop) == ["orders 2026-01-01..2026-01-06"]

    (shop / "2026-01-03.txt").write_text("7")
    more = changed(shop, SHOP.replace('"amount": [int(', '"amount": [0 + int('))
    done = states(more.materialize())
    assert [key for key, state in done.items() if state == "materialized"] == [
        "raw[2026-01-03]", "orders[2026-01-03]", "week[2026-01-03]", "week[2026-01-04]", "week[2026-01-05]",
    ]  # fmt: skip
    assert calls(shop) == ["orders 2026-01-03", "week 2026-01-03..2026-01-04", "week 2026-01-05"]


def test_one_of_a_range_that_is_blocked_does_not_keep_the_others(shop: Path) -> None:
    (shop / "2026-01-06.txt").write_text("none")
    done = states(Project.load(shop).materialize("orders"))

    assert {key: state for key, state in done.items() if state != "materialized"} == {
        "raw[2026-01-06]": "failed", "orders[2026-01-06]": "blocked",
    }  # fmt: skip
    assert calls(shop) == ["orders 2026-01-01..2026-01-05"]


def test_a_check_refuses_one_partition_of_a_call(shop: Path) -> None:
    text = SHOP.replace('twice=raw["amount"] * 2', 'amount=raw["amount"].where(raw["amount"] != 100)')
    project = changed(shop, text)
    done = states(project.materialize("orders"))

    assert {key: state for key, state in done.items() if state != "materialized"} == {"orders[2026-01-03]": "rejected"}


@pytest.mark.parametrize(("returned", "message"), [
    ("raw.assign(day='2026-01-07')", r"`orders` was to make 2026-01-01..2026-01-06, and returned rows of 2026-01-07"),
    ("raw.assign(day='2025-12-31')", r"2025-12-31 \(6 rows\)"),
    ("raw.assign(day=[None, *raw['day'][1:]])", "1 row without a value in `day`"),
    ("raw.assign(day='soon')", "a row of no partition: day=soon"),
    ("raw.assign(day='2026-01')", "a row of no partition: day=2026-01"),
    ("raw.rename(columns={'day': 'date'})", "returned no column `day`"),
    ("7", "returned what is no table"),
])  # fmt: skip
def test_rows_that_belong_elsewhere_fail_the_call_and_nothing_is_stored(
    shop: Path, returned: str, message: str
) -> None:
    text = SHOP.replace('raw.iloc[::-1].assign(twice=raw["amount"] * 2)', returned)
    project = changed(shop, text.replace("context: Context) -> pd.DataFrame", "context: Context)"))
    result = project.materialize("orders")
    error = result.outcomes["orders[2026-01-02]"].error  # type: ignore[index]

    assert {outcome.state for key, outcome in result.outcomes.items() if key.startswith("orders")} == {"failed"}
    assert error is not None
    assert re.search(message, error.message)
    assert dict(project.status()["orders"].parts) == {"failed": 6}


OTHERS = """
HALF = Monthly("2026-01", end="2026-02")

BOTH = Multi({"month": HALF, "port": Static(["JFK", "LGA"])})

@asset(partitions=BOTH, batch=True, partition_column={"port": "origin"})
def both(partition: Partition) -> list:
    rows = [{"month": key[:7] + "-15", "origin": key[8:], "n": 1} for key in partition.keys]
    return Result(rows * 2, metadata={"a": 1})

@asset(partitions=HALF, batch=True, partition_column="at")
def months() -> pd.DataFrame:
    at = pd.to_datetime(["2026-01-31T23:30", "2026-02-01T00:00"]).tz_localize("UTC")
    return pd.DataFrame({"at": at, "n": [1, 2]})

@asset(partitions=Static(["a", "b", "c"]), batch=True, partition_column="name")
def names() -> pa.Table:
    return pa.table({"name": ["c", "a", "c"], "n": [1, 2, 3]})
"""


def test_axes_times_and_names_are_told_by_their_columns(shop: Path) -> None:
    project = changed(shop, SHOP + OTHERS)
    project.materialize("both or months or names").raise_for_status()

    assert [row["n"] for row in project.read("both[2026-02|LGA]")] == [1, 1]
    assert project.history("both")[0].head.trace.metadata["a"] == 1
    assert [project.read(f"months[2026-0{month}]")["n"].tolist() for month in (1, 2)] == [[1], [2]]
    assert [project.read(f"names[{name}]")["n"].tolist() for name in "abc"] == [[2], [], [1, 3]]


@pytest.mark.parametrize(("declared", "message"), [
    ("@asset(batch=True, partition_column='a')\ndef x() -> int: return 1", "has batch=, but no partitions"),
    ("@asset(partitions=DAYS, batch=True)\ndef x() -> int: return 1", "nothing says by which column"),
    ("@asset(partitions=DAYS, batch=True, partition_column={'day': 'a'})\ndef x() -> int: return 1", "nothing says"),
    ("@asset(partitions=DAYS, batch=True, partition_column='d')\ndef x(x: int) -> int: return 1", "goes on from its"),
    ("@asset(partitions=DAYS, batch=0, partition_column='d')\ndef x() -> int: return 1", "is no number of partitions"),
    ("@asset(partitions=DAYS, partition_column='d')\ndef x() -> int: return 1", "goes with batch="),
])  # fmt: skip
def test_what_cannot_be_is_said_when_the_project_is_loaded(shop: Path, declared: str, message: str) -> None:
    with pytest.raises(ProjectLoadError, match=message):
        changed(shop, f"{SHOP}\n{declared}\n")
