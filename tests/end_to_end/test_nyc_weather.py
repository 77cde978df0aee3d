"""A year of hourly weather with missing values and time zones: types and nulls survive every hop."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from assetflow import Project

HERE = Path(__file__).parent
DATA = HERE.parents[1].parent / "shared" / "data" / "nyc_weather"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the weather's CSV files are not on this machine")


@pytest.mark.parametrize("io", ["parquet", "duckdb"])
def test_types_and_nulls_survive_from_file_to_daily_aggregates(tmp_path: Path, io: str) -> None:
    (tmp_path / "assetflow.toml").write_text(f'modules = ["weather"]\nio = "{io}"\nduckdb = "native"\n')
    shutil.copy(HERE / "weather.py", tmp_path / "weather.py")
    shutil.copytree(DATA, tmp_path / "data")
    project = Project.load(tmp_path)

    project.materialize().raise_for_status()

    frame = project.read("weather")
    assert isinstance(frame, pd.DataFrame)
    expected = {
        "origin": "category", "name": "str", "time": "datetime64[us, America/New_York]", "temp": "float64",
        "humid": "float64", "gust": "Float64", "direction": "Int32",
    }  # fmt: skip
    assert expected == {name: str(kind) for name, kind in frame.dtypes.items()}
    nulls: Any = duckdb.execute(
        f"""select count(*), count(*) filter (temp = 'NA'), count(*) filter (wind_gust = 'NA'),
        count(*) filter (wind_dir = 'NA') from read_csv('{DATA}/weather.csv', all_varchar = true)"""
    ).fetchall()
    assert nulls == [
        (len(frame), frame["temp"].isna().sum(), frame["gust"].isna().sum(), frame["direction"].isna().sum())
    ]

    daily = project.read("daily_weather", as_="arrow")
    rows: Any = duckdb.execute(
        f"""select origin, timezone('America/New_York', time_hour)::date as day, count(*),
            avg(try_cast(temp as double)), max(try_cast(wind_gust as double)), count(try_cast(wind_dir as int))
        from read_csv('{DATA}/weather.csv', all_varchar = true, types = {{'time_hour': 'timestamptz'}})
        group by all order by all"""
    ).fetchall()
    found = sorted(
        (r["origin"], r["day"].date(), r["hours"], r["mean_temp"], r["max_gust"], r["calm"]) for r in daily.to_pylist()
    )
    assert len(rows) == len(found)
    for expected_row, row in zip(rows, found, strict=True):
        assert expected_row[:3] == row[:3]
        assert expected_row[3:] == pytest.approx(row[3:], nan_ok=True)
