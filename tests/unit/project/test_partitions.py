"""Assets with partitions through the public API: each partition is planned, run, stored and read by itself."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from assetflow import Project
from assetflow.errors import AssetflowError, NoSuchVersion, ProjectLoadError, UsageError
from assetflow.model.keys import AssetKey
from assetflow.run.outcome import RunResult

SHOP = """
from pathlib import Path
from typing import Annotated

import pandas as pd

from assetflow import Context, Daily, In, Monthly, Multi, Partition, Static, asset, source

HERE = Path(__file__).parent
DAYS = Daily("2026-01-28", end="2026-02-03")


@asset(partitions=DAYS)
def orders(partition: Partition, context: Context) -> pd.DataFrame:
    assert context.partition == partition and context.asset_key == "orders"
    text = (HERE / f"{partition.key}.txt").read_text()
    return pd.DataFrame({"day": [partition.key], "amount": [int(text)]})


@asset(partitions=DAYS)
def week(orders: Annotated[pd.DataFrame, In(window=-6)]) -> pd.DataFrame:
    return pd.DataFrame({"days": [len(orders)], "amount": [orders["amount"].sum()]})


@asset(partitions=Monthly("2026-01", end="2026-02"))
def by_month(orders: pd.DataFrame, partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({"month": [partition.key], "amount": [orders["amount"].sum()]})


@asset
def total(orders: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"amount": [orders["amount"].sum()]})
"""
DAYS = ["2026-01-28", "2026-01-29", "2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02", "2026-02-03"]


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "assetflow.toml").write_text('modules = ["shop"]\n')
    (tmp_path / "shop.py").write_text(SHOP)
    for place, day in enumerate(DAYS):
        (tmp_path / f"{day}.txt").write_text(str(10**place))
    return tmp_path


def states(result: RunResult) -> dict[str, str]:
    return {str(key): outcome.state for key, outcome in result.outcomes.items()}


def amounts(project: Project, key: str) -> list[int]:
    return project.read(key)["amount"].tolist()


@pytest.mark.parametrize("executor", ["inline", "threads", "processes"])
def test_every_partition_is_made_by_a_call_of_its_own_and_then_nothing_is_left(shop: Path, executor: str) -> None:
    project = Project.load(shop)
    done = project.materialize(executor=executor, workers=2)
    done.raise_for_status()

    assert len(done.outcomes) == 7 + 7 + 2 + 1
    assert amounts(project, "orders") == [10**place for place in range(7)]
    assert amounts(project, "week") == [sum(10**one for one in range(place + 1)) for place in range(7)]
    assert project.read("by_month")["month"].tolist() == ["2026-01", "2026-02"]
    assert amounts(project, "by_month") == [1111, 1110000]
    assert amounts(project, "total") == [1111111]
    assert project.materialize().run_id is None
    assert Project.load(shop).plan().is_empty


def test_a_corrected_day_runs_that_day_its_windows_and_its_month_and_nothing_else(shop: Path) -> None:
    Project.load(shop).materialize().raise_for_status()
    (shop / "2026-01-30.txt").write_text("500")

    project = Project.load(shop)
    done = states(project.materialize())

    assert done == {
        "orders[2026-01-30]": "materialized",
        **{f"week[{day}]": "materialized" for day in DAYS[2:]},
        "by_month[2026-01]": "materialized",
        "total": "materialized",
    }
    assert amounts(project, "by_month") == [1511, 1110000]
    assert amounts(project, "week[2026-02-03]") == [1111511]
    assert amounts(project, "week[2026-02-03]@1") == [1111111]


def test_some_partitions_bring_along_only_what_they_need(shop: Path) -> None:
    project = Project.load(shop)
    done = states(project.materialize("week", partitions="2026-01-29"))

    assert set(done) == {"orders[2026-01-28]", "orders[2026-01-29]", "week[2026-01-29]"}
    assert set(states(project.materialize(partitions="latest"))) == {
        *(f"orders[{day}]" for day in DAYS[2:]), "week[2026-02-03]", "by_month[2026-02]",
    }  # fmt: skip
    rows = project.status()
    assert {row.spec.key: dict(row.parts) for row in rows} == {
        "orders": {"current": 7}, "week": {"current": 2, "missing": 5},
        "by_month": {"current": 1, "missing": 1}, "total": {},
    }  # fmt: skip
    assert (rows["week"].state, rows["orders"].state, rows["total"].state) == ("missing", "current", "missing")
    assert rows["orders"].head is not None
    assert rows["orders"].head.version.rows == 7


def test_an_edit_makes_all_partitions_stale_and_going_back_links_them(shop: Path) -> None:
    Project.load(shop).materialize().raise_for_status()
    (shop / "shop.py").write_text(SHOP.replace('"days": [len(orders)]', '"days": [7]'))
    edited = Project.load(shop)
    plan = edited.plan()
    assert {str(step.asset) for step in plan.run} == {f"week[{day}]" for day in DAYS}
    assert plan.to_json()["items"][0]["partition"] == "2026-01-28"  # type: ignore[index]
    edited.materialize().raise_for_status()
    (shop / "shop.py").write_text(SHOP)

    assert set(states(Project.load(shop).materialize()).values()) == {"linked"}


def test_another_end_adds_partitions_and_makes_none_stale(shop: Path) -> None:
    Project.load(shop).materialize("week").raise_for_status()
    (shop / "2026-02-04.txt").write_text("1")
    (shop / "shop.py").write_text(SHOP.replace('end="2026-02-03"', 'end="2026-02-04"'))

    assert set(states(Project.load(shop).materialize("week"))) == {"orders[2026-02-04]", "week[2026-02-04]"}


def test_a_partition_that_fails_blocks_only_what_reads_it(shop: Path) -> None:
    (shop / "2026-02-02.txt").write_text("no number")
    project = Project.load(shop)
    done = states(project.materialize())

    assert done["orders[2026-02-02]"] == "failed"
    assert [day for day in DAYS if done[f"week[{day}]"] == "blocked"] == DAYS[5:]
    assert (done["by_month[2026-01]"], done["by_month[2026-02]"], done["total"]) == (
        "materialized", "blocked", "blocked",
    )  # fmt: skip
    assert project.status()["orders"].state == "failed"
    logs = {log.path.name for log in project.logs(key="orders")}
    assert "orders[2026-02-02].1.log" in logs

    (shop / "2026-02-02.txt").write_text("100000")
    assert set(states(Project.load(shop).materialize()).values()) == {"materialized"}


def test_commands_that_help_after_a_failure_name_the_partition(shop: Path) -> None:
    from assetflow.cli.render_run import next_lines
    from assetflow.cli.text import flat

    (shop / "2026-02-02.txt").write_text("no number")
    project = Project.load(shop)
    lines = [flat(line) for line in next_lines(project.materialize("orders"))]

    assert any("assetflow materialize orders -p 2026-02-02 --pdb" in line for line in lines)


def test_combinations_of_a_day_and_a_name(shop: Path) -> None:
    (shop / "shop.py").write_text("""
import pandas as pd
from assetflow import Daily, Multi, Partition, Static, asset

DAYS = Daily("2026-01-01", end="2026-01-02")

@asset(partitions=Multi({"day": DAYS, "airport": Static(["JFK", "LGA"])}))
def weather(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({"day": [partition.axes["day"]], "airport": [partition.axes["airport"]]})

@asset(partitions=DAYS)
def everywhere(weather: pd.DataFrame) -> pd.DataFrame:
    return weather
""")
    project = Project.load(shop)
    done = states(project.materialize(partitions="2026-01-02"))

    assert set(done) == {"weather[2026-01-02|JFK]", "weather[2026-01-02|LGA]", "everywhere[2026-01-02]"}
    assert project.read("everywhere[2026-01-02]")["airport"].tolist() == ["JFK", "LGA"]


def test_history_and_why_speak_of_partitions(shop: Path) -> None:
    Project.load(shop).materialize().raise_for_status()
    (shop / "2026-01-30.txt").write_text("500")
    project = Project.load(shop)
    why = project.why("week[2026-02-03]")
    assert [cause.asset for cause in why.causes] == ["orders[2026-01-30]"]
    project.materialize().raise_for_status()

    first, *_ = project.history("orders")
    assert (first.head.trace.partition, first.head.version.number, first.is_current) == ("2026-01-30", 2, True)
    current = [one.head.trace.partition for one in project.history("orders", 50) if one.is_current]
    assert sorted(current) == DAYS
    found = project.sql("select sum(amount)::bigint as amount from orders")
    assert found.table.to_pylist() == [{"amount": 1111511}]


def test_the_asset_itself_is_what_the_catalog_knows(shop: Path) -> None:
    project = Project.load(shop)
    project.materialize().raise_for_status()
    with sqlite3.connect(project.settings.catalog_path) as connection:
        keys = {key for (key,) in connection.execute("SELECT key FROM asset")}
    connection.close()

    assert keys == {"orders", "week", "by_month", "total"}


@pytest.mark.parametrize("act", [
    lambda project: project.invalidate("week"),
    lambda project: project.pin("week"),
    lambda project: project.pin("w*k"),
    lambda project: project.pin("week@1"),
    lambda project: project.rollback("week"),
], ids=["invalidate", "pin", "pin by a pattern", "pin a version", "rollback"])  # fmt: skip
def test_what_wants_to_know_which_partitions_says_so_and_changes_nothing(shop: Path, act: object) -> None:
    project = Project.load(shop)
    project.materialize().raise_for_status()
    with pytest.raises(UsageError, match="week has partitions"):
        act(project)  # type: ignore[operator]

    assert Project.load(shop).plan().is_empty


@pytest.mark.parametrize(("text", "message"), [
    ("2027-01-01", "no partition of `2027-01-01` exists"),
    ("soon", "is not a time"),
])  # fmt: skip
def test_partitions_that_do_not_exist_are_refused(shop: Path, text: str, message: str) -> None:
    with pytest.raises(AssetflowError, match=message):
        Project.load(shop).plan("orders", partitions=text)


def test_partitions_of_what_has_none_are_refused(shop: Path) -> None:
    project = Project.load(shop)
    with pytest.raises(UsageError, match="has none itself"):
        project.plan("total", partitions="latest")
    with pytest.raises(NoSuchVersion, match="total has no partitions"):
        project.read("total[2026-01-28]")
    with pytest.raises(NoSuchVersion, match="has not been materialized"):
        project.read("week[2026-01-28]")
    with pytest.raises(NoSuchVersion, match="each has versions of its own"):
        project.read("week@1")


@pytest.mark.parametrize(("old", "new", "message"), [
    ("@asset(partitions=DAYS)\ndef week", '@asset(partitions=Static(["a"]))\ndef week', "not windows of time"),
    ("@asset(partitions=DAYS)\ndef week", "@asset\ndef week", r"In\(window=\)"),
], ids=["apart", "window"])  # fmt: skip
def test_what_does_not_go_together_is_said_when_the_project_is_loaded(
    shop: Path, old: str, new: str, message: str
) -> None:
    (shop / "shop.py").write_text(SHOP.replace(old, new))
    with pytest.raises(ProjectLoadError, match=message):
        Project.load(shop)


def test_columns_that_differ_between_partitions_are_named(shop: Path) -> None:
    (shop / "shop.py").write_text(SHOP.replace('{"day": [partition.key], "amount"', '{partition.key: [1], "amount"'))
    error = Project.load(shop).materialize("total").outcomes["total"].error  # type: ignore[index]

    assert error is not None
    assert "other columns" in error.message


FILTERED = """
import pandas as pd

from assetflow import Daily, Partition, asset


@asset(partitions=Daily("2026-01-01", end="2026-01-03"))
def big(partition: Partition) -> pd.DataFrame:
    stores = {1: "ABAA", 2: "ABAB", 3: "AABB"}[partition.start.day]
    rows = pd.DataFrame({"store": list(stores), "value": range(4)})
    return rows[rows["store"] == "A"]


@asset
def total(big: pd.DataFrame) -> int:
    assert list(big.columns) == ["store", "value"]
    return int(big["value"].sum())
"""


def test_labels_without_a_name_that_a_filter_left_do_not_keep_partitions_apart(shop: Path) -> None:
    (shop / "shop.py").write_text(FILTERED)
    project = Project.load(shop)
    project.materialize().raise_for_status()

    assert project.read("total") == 0 + 2 + 3 + 0 + 2 + 0 + 1
    found = project.read("big")
    assert isinstance(found, pd.DataFrame)
    assert found["value"].tolist() == [0, 2, 3, 0, 2, 0, 1]
    assert list(found.index) == list(range(7))
    assert list(project.read("big[2026-01-01]").index) == [0, 2, 3]  # by itself it is what it was
    assert project.sql("select sum(value) as value from big").table.to_pylist() == [{"value": 8}]


def test_labels_of_rows_that_all_partitions_have_are_kept_and_named_ones_must_be_in_all(shop: Path) -> None:
    (shop / "shop.py").write_text(FILTERED.replace('return rows[rows["store"] == "A"]', "return rows.iloc[[1, 0, 3]]"))
    project = Project.load(shop)
    project.materialize().raise_for_status()
    assert list(project.read("big").index) == [1, 0, 3] * 3

    text = 'return rows.set_index("store") if partition.start.day == 1 else rows[["value"]]'
    (shop / "shop.py").write_text(FILTERED.replace('return rows[rows["store"] == "A"]', text))
    error = Project.load(shop).materialize().outcomes["total"].error  # type: ignore[index]
    assert error is not None
    assert "other columns" in error.message


DYNAMIC = """
import pandas as pd

from assetflow import Dynamic, Partition, asset


@asset(partitions=Dynamic("shops"))
def visits(partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({"shop": [partition.key]})


@asset
def total(visits: pd.DataFrame) -> int:
    return len(visits)


@asset
def below(total: int) -> int:
    return total + 1


@asset
def guarded(visits: pd.DataFrame | None = None) -> int:
    return 0 if visits is None else len(visits)


@asset
def other() -> int:
    return 1
"""


def test_what_reads_an_asset_without_any_partition_is_blocked_and_nothing_else_is(shop: Path) -> None:
    (shop / "shop.py").write_text(DYNAMIC)
    project = Project.load(shop)
    plan = project.plan()
    assert {str(step.asset) for step in plan.blocked} == {"total", "below"}
    total = plan.steps[AssetKey("total")]
    assert [one.text for one in total.reasons] == ["visits has no partition there, and `visits` no default"]
    assert {str(row.spec.key): row.state for row in project.status()}["total"] == "blocked"
    assert project.show("other").status.state == "missing"  # it has nothing to do with that

    result = project.materialize()
    assert states(result) == {
        "other": "materialized",
        "guarded": "materialized",
        "total": "blocked",
        "below": "blocked",
    }
    assert result.outcomes["below"].blocked_by == ("visits",)  # type: ignore[index]
    assert project.read("guarded") == 0

    project.add_partitions("shops", ["north"])
    again = Project.load(shop)
    again.materialize().raise_for_status()
    assert (again.read("total"), again.read("below"), again.read("guarded")) == (1, 2, 1)


def test_a_column_with_a_missing_value_in_one_partition_is_read_with_the_others(shop: Path) -> None:
    (shop / "shop.py").write_text(SHOP.replace("[int(text)]", '[int(text) if text != "1" else None]'))
    project = Project.load(shop)
    project.materialize("orders").raise_for_status()
    found = project.read("orders")

    assert isinstance(found, pd.DataFrame)
    assert list(found.index) == list(range(7))
    assert found["amount"].isna().tolist() == [True, *[False] * 6]


def test_partitions_that_are_invalidated_run_again_and_nothing_else(shop: Path) -> None:
    Project.load(shop).materialize().raise_for_status()
    project = Project.load(shop)
    said = project.invalidate("orders[2026-01-30] orders[2026-02-02..]", reason="the feed was wrong")

    wrong = ["2026-01-30", "2026-02-02", "2026-02-03"]
    assert said.assets == tuple((f"orders[{day}]", 1) for day in wrong)
    assert {str(step.asset) for step in project.plan().run} == {f"orders[{day}]" for day in wrong}
    why = project.why("orders[2026-01-30]")
    assert [cause.code for cause in why.causes] == ["invalidated"]
    assert "the feed was wrong" in project.history("orders", 1)[0].reason
    assert set(states(project.materialize("orders")).values()) == {"unchanged"}
    assert Project.load(shop).plan().is_empty


def test_what_is_made_of_all_partitions_is_invalidated_as_a_whole(shop: Path) -> None:
    project = Project.load(shop)
    project.materialize().raise_for_status()
    project.invalidate("total")

    assert [str(step.asset) for step in project.plan().run] == ["total"]


@pytest.mark.parametrize(("text", "message"), [
    ("week", "week has partitions"), ("week[2027-01-01]", "no partition of `2027-01-01` exists"),
    ("total[2026-01-28]", "total has no partitions"), ("week[2026-01-28] total", "`total` names assets"),
    ("nope[2026-01-28]", "nope"),
])  # fmt: skip
def test_what_cannot_be_invalidated_is_said_and_nothing_changes(shop: Path, text: str, message: str) -> None:
    project = Project.load(shop)
    project.materialize().raise_for_status()
    with pytest.raises(AssetflowError, match=re.escape(message)):
        project.invalidate(text)

    assert Project.load(shop).plan().is_empty
