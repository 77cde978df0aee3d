"""Which partitions of an upstream an input brings, as declarations say it."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import pytest

from assetflow import Project
from assetflow.errors import AssetflowError, ProjectLoadError, UsageError
from assetflow.plan.slots import asked_for, slots_of
from assetflow.run.outcome import RunResult

HEAD = """
from pathlib import Path
from typing import Annotated

import pandas as pd

from assetflow import (
    All, Axes, Axis, Daily, In, Latest, Monthly, Multi, Partition, Previous, Static, StaticMap, TimeWindow, asset,
    assets,
)

HERE = Path(__file__).parent
DAYS = Daily("2026-01-01", end="2026-01-04")
PORTS = Static(["JFK", "LGA", "EWR"])


def key_of(partition):
    return pd.DataFrame({"key": [partition.key]})


"""
DAILY = """
@asset(partitions=DAYS)
def days(partition: Partition) -> pd.DataFrame:
    return key_of(partition).assign(amount=int((HERE / "amount.txt").read_text()) if partition.key[-1] == "1" else 1)
"""
PORTLY = """
@asset(partitions=PORTS)
def ports(partition: Partition) -> pd.DataFrame:
    return key_of(partition)
"""
BOTH = """
@asset(partitions=Multi({"day": DAYS, "port": PORTS}))
def both(partition: Partition) -> pd.DataFrame:
    return key_of(partition)
"""


def project_of(folder: Path, text: str) -> Project:
    (folder / "assetflow.toml").write_text('modules = ["shop"]\n')
    (folder / "shop.py").write_text(HEAD + text)
    (folder / "amount.txt").write_text("1")
    return Project.load(folder)


def made(result: RunResult) -> set[str]:
    result.raise_for_status()
    return {str(key) for key, outcome in result.outcomes.items() if outcome.state == "materialized"}


def keys(project: Project, name: str) -> list[str]:
    return project.read(name)["key"].tolist()


def test_a_static_map_says_what_each_partition_reads(tmp_path: Path) -> None:
    project = project_of(
        tmp_path,
        PORTLY
        + """
CITIES = StaticMap({"new_york": ["JFK", "LGA"], "newark": "EWR"})

@asset(partitions=Static(["new_york", "newark"]))
def city(ports: Annotated[pd.DataFrame, In(partitions=CITIES)]) -> pd.DataFrame:
    return ports
""",
    )
    assert made(project.materialize("city", partitions="newark")) == {"ports[EWR]", "city[newark]"}
    project.materialize().raise_for_status()
    assert keys(project, "city[new_york]") == ["JFK", "LGA"]


def test_all_and_the_newest_one_whatever_the_own_partition_is(tmp_path: Path) -> None:
    project = project_of(
        tmp_path,
        DAILY
        + """
@asset(partitions=PORTS)
def everything(days: Annotated[pd.DataFrame, In(partitions=All())]) -> pd.DataFrame:
    return days

@asset(partitions=PORTS)
def newest(days: Annotated[pd.DataFrame, In(partitions=Latest())]) -> pd.DataFrame:
    return days

@asset
def now(days: Annotated[pd.DataFrame, In(partitions=Latest())]) -> pd.DataFrame:
    return days
""",
    )
    project.materialize().raise_for_status()

    assert keys(project, "everything[LGA]") == ["2026-01-01", "2026-01-02", "2026-01-03", "2026-01-04"]
    assert keys(project, "newest[LGA]") == keys(project, "now") == ["2026-01-04"]


def test_one_axis_of_a_product_and_mappings_on_axes(tmp_path: Path) -> None:
    project = project_of(
        tmp_path,
        BOTH
        + PORTLY
        + """
@asset(partitions=DAYS)
def window(both: Annotated[pd.DataFrame, In(partitions=Axis("day", TimeWindow(-1, 0)))]) -> pd.DataFrame:
    return both

@asset(partitions=Multi({"day": DAYS, "port": PORTS}))
def other(
    both: Annotated[pd.DataFrame, In(partitions=Axes({"day": TimeWindow(-1, 0), "port": All()}))],
    ports: pd.DataFrame,
) -> pd.DataFrame:
    return pd.concat([both, ports])

@asset(partitions=Multi({"day": DAYS, "port": PORTS}))
def rolling(both: Annotated[pd.DataFrame, In(window=-1)]) -> pd.DataFrame:
    return both
""",
    )
    project.materialize("window or other or rolling", partitions="2026-01-02").raise_for_status()
    two = [f"2026-01-0{day}|{port}" for day in (1, 2) for port in ("JFK", "LGA", "EWR")]

    assert keys(project, "window[2026-01-02]") == two
    assert keys(project, "other[2026-01-02|LGA]") == [*two, "LGA"]
    assert keys(project, "rolling[2026-01-02|LGA]") == ["2026-01-01|LGA", "2026-01-02|LGA"]


BALANCE = """
@asset(partitions=DAYS)
def balance(days: pd.DataFrame, balance: pd.DataFrame | None) -> pd.DataFrame:
    before = 0 if balance is None else balance["sum"].sum()
    return pd.DataFrame({"key": days["key"], "sum": before + days["amount"].sum()})
"""


def test_the_own_partition_before_is_what_a_partition_goes_on_from(tmp_path: Path) -> None:
    project = project_of(tmp_path, DAILY + BALANCE)
    assert made(project.materialize("balance", partitions="2026-01-02")) == {
        "days[2026-01-01]", "days[2026-01-02]", "balance[2026-01-01]", "balance[2026-01-02]",
    }  # fmt: skip
    project.materialize().raise_for_status()
    assert project.read("balance")["sum"].tolist() == [1, 2, 3, 4]
    assert Project.load(tmp_path).plan().is_empty

    (tmp_path / "amount.txt").write_text("5")
    changed = Project.load(tmp_path)
    assert made(changed.materialize("balance")) == {
        "days[2026-01-01]", *(f"balance[2026-01-0{day}]" for day in range(1, 5)),
    }  # fmt: skip
    assert changed.read("balance")["sum"].tolist() == [5, 6, 7, 8]


@pytest.mark.parametrize("executor", ["inline", "processes"])
def test_the_first_partition_gets_the_default_where_there_is_one(tmp_path: Path, executor: str) -> None:
    project = project_of(
        tmp_path,
        """
@assets("total", "twice", partitions=DAYS)
def both_of(partition: Partition, last: Annotated[pd.DataFrame, In("total", partitions=Previous())] = 10):
    before = last if isinstance(last, int) else int(last["sum"].sum())
    one = pd.DataFrame({"sum": [before + 1]})
    return {"total": one, "twice": one * 2}

@asset(partitions=DAYS)
def earlier(twice: Annotated[pd.DataFrame, In(window=(-2, -1))] = None) -> pd.DataFrame:
    return pd.DataFrame({"key": ["none"]}) if twice is None else twice.assign(key="some")
""",
    )
    project.materialize(executor=executor, workers=2).raise_for_status()

    assert project.read("total")["sum"].tolist() == [11, 12, 13, 14]
    assert project.read("twice")["sum"].tolist() == [22, 24, 26, 28]
    assert keys(project, "earlier[2026-01-01]") == ["none"]
    assert project.read("earlier[2026-01-03]")["sum"].tolist() == [22, 24]


def test_the_last_seven_of_its_own(tmp_path: Path) -> None:
    project = project_of(
        tmp_path,
        """
@asset(partitions=Multi({"day": DAYS, "port": PORTS}))
def seen(partition: Partition, seen: Annotated[pd.DataFrame, In(window=(-2, -1))]) -> pd.DataFrame:
    count = 0 if seen is None else len(seen)
    return pd.DataFrame({"key": [partition.key], "before": [count]})
""",
    )
    project.materialize().raise_for_status()

    assert [project.read(f"seen[2026-01-0{day}|LGA]")["before"].item() for day in (1, 2, 3, 4)] == [0, 1, 2, 2]


MONTH = """
@asset(partitions=Daily("2026-01-01"))
def days(partition: Partition) -> pd.DataFrame:
    return key_of(partition)

@asset(partitions=Monthly("2026-01", end_offset=1))
def month(days: Annotated[pd.DataFrame, In(need=NEED)]) -> pd.DataFrame:
    return days

@asset(partitions=Monthly("2026-01", end_offset=1))
def after(month: pd.DataFrame) -> pd.DataFrame:
    return month
"""


@pytest.mark.parametrize(("need", "today", "months"), [
    ('"all"', "2026-02-01", ["2026-01"]), ('"all"', "2026-02-20", ["2026-01"]), ('"all"', "2026-01-31", []),
    ("4", "2026-02-04", ["2026-01"]), ("4", "2026-02-05", ["2026-01", "2026-02"]),
    ("0.9", "2026-02-26", ["2026-01"]), ("0.9", "2026-02-27", ["2026-01", "2026-02"]),
])  # fmt: skip
def test_a_partition_waits_until_enough_of_what_it_takes_exists(
    tmp_path: Path, need: str, today: str, months: list[str]
) -> None:
    graph = project_of(tmp_path, MONTH.replace("NEED", need)).graph
    now = datetime.fromisoformat(f"{today}T00:00+00:00")
    found = slots_of(graph, graph.order, asked_for(None, now), now)

    for name in ("month", "after"):
        assert [slot for slot in found.targets if slot.startswith(name)] == [f"{name}[{month}]" for month in months]
    assert f"days[{today}]" not in found.targets
    if "2026-01" not in months:
        with pytest.raises(UsageError, match=r"month\[2026-01\] needs more partitions"):
            slots_of(graph, graph.order[1:2], asked_for("2026-01", now), now)


@pytest.mark.parametrize(("text", "message"), [
    (DAILY + "@asset(partitions=PORTS)\ndef x(days: pd.DataFrame): return days", "nothing in common"),
    (DAILY + "@asset(partitions=DAYS)\ndef x(days: Annotated[pd.DataFrame, In(partitions=Previous())]): return days",
     "the asset's own partition before this one"),
    (DAILY + '@asset(partitions=DAYS)\ndef x(days: Annotated[pd.DataFrame, In(partitions=Axis("day"))]): return days',
     "one axis goes between a product and"),
    (BOTH + '@asset(partitions=PORTS)\ndef x(both: Annotated[pd.DataFrame, In(partitions=Axis("dya"))]): return both',
     "the axes of the product are day, port"),
    (PORTLY + 'ONE = StaticMap({"a": "JKF"})\n@asset(partitions=Static(["a"]))\n'
     "def x(ports: Annotated[pd.DataFrame, In(partitions=ONE)]): return ports", "`JKF` is none of the"),
    (DAILY + '@asset\ndef x(days: Annotated[pd.DataFrame, In(need="all")]): return days', "In\\(need=\\) of `days`"),
    ("@asset\ndef y(): return 1\n@asset(partitions=DAYS)\n"
     "def x(y: Annotated[int, In(partitions=All())]): return y", "`y` has no partitions"),
    ("@asset\ndef x(x: int): return 1", "takes itself"),
    ("@asset(partitions=DAYS)\ndef x(x: Annotated[int, In(partitions=All())]): return 1", "takes itself"),
    (DAILY + "@asset(partitions=DAYS)\ndef x(days: Annotated[int, In(need=7.5)]): return 1", "need=7.5 is not a share"),
    (DAILY + '@asset(partitions=DAYS)\ndef x(days: Annotated[int, In(partitions="all")]): return 1', "not 'all'"),
    (DAILY + "@asset(partitions=DAYS)\ndef x(days: Annotated[int, In(window=-1, partitions=All())]): return 1",
     "either window= or partitions="),
])  # fmt: skip
def test_what_does_not_go_together_is_said_when_the_project_is_loaded(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(AssetflowError, match=message) as raised:
        project_of(tmp_path, text)
    assert isinstance(raised.value, ProjectLoadError)


def test_declarations_go_through_the_manifest(tmp_path: Path) -> None:
    first = project_of(
        tmp_path,
        BOTH
        + BALANCE.replace("days: pd.DataFrame", "days: Annotated[pd.DataFrame, LAST]").replace(
            "@asset", 'LAST = In("both", partitions=Axis("day", TimeWindow(-1, 0)), need=0.9)\n@asset'
        ),
    )
    again = Project.load(tmp_path)

    assert again.graph.specs == first.graph.specs
    assert [given.need for given in again.graph.specs["balance"].inputs] == [0.9, None]  # type: ignore[index]
