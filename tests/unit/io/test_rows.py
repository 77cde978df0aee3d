"""Rows taken apart by what columns mean: as if each row were asked for by itself."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from assetflow import Cron, Daily, Hourly, Monthly, Static
from assetflow.errors import UsageError
from assetflow.io.rows import Coding, Rows
from assetflow.partitions.cells import ordinal_of_cell, step_of
from assetflow.partitions.definition import Definition

DEFINITIONS = [
    Hourly("2026-01-01", tz="Europe/London"),
    Hourly("2026-01-01", tz="Australia/Lord_Howe"),
    Daily("2026-01-01", tz="America/New_York"),
    Monthly("2026-01", tz="Asia/Kathmandu"),
    Cron("7,8 */3 * * *", start="2026-01-01", tz="Europe/London"),
    Daily("1900-01-01", tz="Africa/Monrovia"),
]


def coding(column: str, definition: Definition, asked: list[object] | None = None) -> Coding:
    def meaning(value: object, row: int) -> int:
        if asked is not None:
            asked.append(value)
        return ordinal_of_cell(definition, value)

    return Coding(column, meaning, step_of(definition))


def groups(value: object, *codings: Coding) -> dict[tuple[int, ...], list[int]]:
    return {meant: rows.tolist() for meant, rows in Rows(value, "x").groups(codings)}


def moments(start: str, days: int, unit: str) -> Any:
    seconds = np.random.default_rng(7).integers(0, days * 86_400 * 1000, 1500)
    return pd.Series((pd.Timestamp(start) + pd.to_timedelta(seconds, unit="ms")).astype(f"datetime64[{unit}]"))


@pytest.mark.parametrize("definition", DEFINITIONS, ids=str)
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/London"])
@pytest.mark.parametrize("start", ["2026-03-27", "2026-10-24", "1960-06-01"])
def test_times_mean_what_each_of_them_means(definition: Definition, zone: str | None, start: str) -> None:
    times = moments(start, 4, "us")
    times = times if zone is None else times.dt.tz_localize("UTC").dt.tz_convert(zone)
    one_by_one: dict[tuple[int, ...], list[int]] = {}
    for row, value in enumerate(times):
        one_by_one.setdefault((ordinal_of_cell(definition, value.to_pydatetime()),), []).append(row)

    assert groups(pd.DataFrame({"at": times}), coding("at", definition)) == one_by_one
    assert groups(pl.DataFrame({"at": times}), coding("at", definition)) == one_by_one


def test_what_a_value_means_is_asked_as_often_as_there_are_values() -> None:
    days = Daily("2026-01-01")
    asked: list[object] = []
    groups(pa.table({"at": pa.array(moments("2026-02-01", 1, "ns"))}), coding("at", days, asked))
    assert len(asked) <= 2 * 24 * 4

    asked.clear()
    found = groups(pd.DataFrame({"day": ["2026-01-02", "2026-01-01"] * 500}), coding("day", days, asked))
    assert asked == ["2026-01-02", "2026-01-01"]
    assert [*found.values()] == [list(range(1, 1000, 2)), list(range(0, 1000, 2))]


@pytest.mark.parametrize(
    "column",
    [
        pd.Series(["2026-01-01", date(2026, 1, 2), pd.Timestamp("2026-01-03T10:00")]),
        pd.Series([date(2026, 1, 1), date(2026, 1, 2), date(2026, 1, 3)]),
        pd.Categorical(["2026-01-01", "2026-01-02", "2026-01-03"], ["2026-01-03", "2026-01-02", "2026-01-01", "soon"]),
        pd.Series(["2026-01-01", "2026-01-02", "2026-01-03"], dtype="string[pyarrow]"),
        pd.to_datetime(["2026-01-01", "2026-01-02", "2026-01-03"]),
    ],
    ids=["mixed", "dates", "categories", "text", "times"],
)
def test_a_frame_may_say_it_in_many_ways(column: Any) -> None:
    days = Daily("2026-01-01")
    first = days.ordinal("2026-01-01")

    assert groups(pd.DataFrame({"day": column}), coding("day", days)) == {(first + n,): [n] for n in range(3)}


def test_columns_count_together_and_rows_come_in_the_form_of_the_whole() -> None:
    ports = Static(["JFK", "LGA"])
    values = {"port": ["LGA", "JFK", "LGA"], "day": [date(2026, 1, 2), date(2026, 1, 1), date(2026, 1, 2)]}
    codings = [coding("port", ports), coding("day", Daily("2026-01-01"))]
    tables: Sequence[Any] = [
        pd.DataFrame(values, index=[7, 8, 9]),
        pa.table(values),
        [dict(zip(values, row, strict=True)) for row in zip(*values.values(), strict=True)],
    ]
    for table in tables:
        rows = Rows(table, "x")
        parts = [rows.take(numbers) for _, numbers in rows.groups(codings)]
        assert [len(part) for part in parts] == [1, 2]  # type: ignore[arg-type]
        assert type(parts[0]) is type(table)
        assert len(rows.take(None)) == 0  # type: ignore[arg-type]
    assert [list(part.index) for part in (Rows(tables[0], "x").take(one) for one in (np.array([1]), None))] == [[8], []]  # type: ignore[attr-defined]


def test_what_is_not_there_is_counted_and_what_means_nothing_says_where() -> None:
    rows = Rows(pd.DataFrame({"a": [1.0, None, 2.0], "b": [None, "x", None], "c": ["x", None, 1]}), "x")
    assert [rows.missing(name) for name in rows.columns] == [1, 2, 1]
    assert Rows(pa.table({"a": [1, None]}), "x").missing("a") == 1
    assert groups(pd.DataFrame({"day": pd.Series([], dtype=object)}), coding("day", Daily("2026-01-01"))) == {}

    seen: list[int] = []

    def meaning(value: object, row: int) -> int:
        seen.append(row)
        raise UsageError(str(value))

    with pytest.raises(UsageError, match="2026-01-01 10:07:03"):
        groups(pd.DataFrame({"at": pd.to_datetime(["2026-01-01T10:07:03.5"])}), Coding("at", meaning, 900))
    assert seen == [0, 0, 0]
