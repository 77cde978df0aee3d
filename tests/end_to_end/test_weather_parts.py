"""Days, weeks that roll and months per airport, from a file for each: late data runs exactly what it is in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from assetflow import Project
from assetflow.run.outcome import RunResult

HERE = Path(__file__).parent
DATA = HERE.parents[1].parent / "shared" / "data" / "nyc_weather"
FIRST, LAST = "2013-01-10", "2013-02-20"
AIRPORTS = ("EWR", "JFK", "LGA")

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the weather's CSV files are not on this machine")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project with the weather of six weeks, in a file for each day of New York and each airport."""
    (tmp_path / "assetflow.toml").write_text('modules = ["weather_parts"]\n')
    shutil.copy(HERE / "weather_parts.py", tmp_path / "weather_parts.py")
    rows: Any = pd.read_csv(DATA / "weather.csv", dtype=str, keep_default_na=False)
    rows["local"] = (
        pd.to_datetime(rows["time_hour"], utc=True).dt.tz_convert("America/New_York").dt.strftime("%Y-%m-%d")
    )
    for (day, airport), part in rows[rows["local"].between(FIRST, LAST)].groupby(["local", "origin"]):
        path = file_of(tmp_path, day, airport)
        path.parent.mkdir(parents=True, exist_ok=True)
        part.drop(columns="local").to_csv(path, index=False)
    return tmp_path


def file_of(folder: Path, day: str, airport: str) -> Path:
    return folder / "data" / day[:4] / day / f"{airport}.csv"


def whole(folder: Path) -> Any:
    """All hours in one frame, read and computed without partitions."""
    parts = [pd.read_csv(path, na_values=["NA"]) for path in sorted((folder / "data").rglob("*.csv"))]
    rows: Any = pd.concat(parts)[["origin", "time_hour", "temp", "precip", "wind_gust"]]
    rows["time_hour"] = pd.to_datetime(rows["time_hour"], utc=True)
    rows["day"] = rows["time_hour"].dt.tz_convert("America/New_York").dt.tz_localize(None).dt.normalize()
    return rows


def weeks(rows: Any) -> pd.DataFrame:
    found: list[dict[str, object]] = []
    for day in pd.date_range(FIRST, LAST):
        for airport in AIRPORTS:
            part = rows[(rows["origin"] == airport) & rows["day"].between(day - pd.Timedelta(days=6), day)]
            found.append({
                "day": f"{day:%Y-%m-%d}", "airport": airport, "hours": len(part), "mean_temp": part["temp"].mean(),
                "max_gust": part["wind_gust"].max(),
            })  # fmt: skip
    return pd.DataFrame(found)


def months(rows: Any) -> pd.DataFrame:
    grouped = rows.groupby([rows["day"].dt.strftime("%Y-%m").rename("month"), rows["origin"].rename("airport")])
    return grouped.agg(
        hours=("temp", "size"), rain=("precip", "sum"), coldest=("temp", "min")
    ).reset_index()  # fmt: skip


def made(done: RunResult) -> set[str]:
    done.raise_for_status()
    return {str(key) for key, outcome in done.outcomes.items() if outcome.state == "materialized"}


def must_equal_the_whole(project: Project, folder: Path) -> None:
    rows = whole(folder)
    pd.testing.assert_frame_equal(project.read("week"), weeks(rows), check_dtype=False)
    pd.testing.assert_frame_equal(project.read("by_month"), months(rows), check_dtype=False)
    stored = project.read("hours").sort_values(["origin", "time_hour"], ignore_index=True)
    expected = rows.drop(columns="day").sort_values(["origin", "time_hour"], ignore_index=True)
    pd.testing.assert_frame_equal(stored, expected, check_dtype=False)


def test_a_corrected_day_runs_that_day_its_weeks_and_its_month_and_gives_what_the_whole_gives(folder: Path) -> None:
    project = Project.load(folder)
    everything = made(project.materialize())
    assert len(everything) == 42 * 3 * 2 + 2 * 3
    must_equal_the_whole(project, folder)

    corrected = file_of(folder, "2013-01-28", "JFK")
    rows = pd.read_csv(corrected, dtype=str, keep_default_na=False)
    rows.loc[3, ["temp", "wind_gust"]] = ["-40.0", "99.5"]
    rows.to_csv(corrected, index=False)

    late = Project.load(folder)
    plan = late.plan()
    expected = {
        "hours[2013-01-28|JFK]", "by_month[2013-01|JFK]",
        *(f"week[2013-{day}|JFK]" for day in ("01-28", "01-29", "01-30", "01-31", "02-01", "02-02", "02-03")),
    }  # fmt: skip
    assert [str(step.asset) for step in plan.changed_sources] == ["raw[2013-01-28|JFK]"]
    assert {str(step.asset) for step in (*plan.run, *plan.maybe)} == expected
    assert made(late.materialize()) == expected
    must_equal_the_whole(late, folder)
    assert Project.load(folder).plan().is_empty


def test_a_file_that_is_late_blocks_only_what_it_is_in(folder: Path) -> None:
    late = file_of(folder, "2013-02-18", "LGA")
    rows = late.read_bytes()
    late.unlink()
    project = Project.load(folder)
    wanted = "2013-02-17..2013-02-20|LGA"
    done = {str(key): outcome.state for key, outcome in project.materialize("week", partitions=wanted).outcomes.items()}

    assert {key for key, state in done.items() if state == "blocked"} == {
        "hours[2013-02-18|LGA]", *(f"week[2013-02-{day}|LGA]" for day in (18, 19, 20)),
    }  # fmt: skip
    assert done["week[2013-02-17|LGA]"] == "materialized"

    late.write_bytes(rows)
    assert made(Project.load(folder).materialize("week", partitions=wanted)) == {
        "hours[2013-02-18|LGA]", *(f"week[2013-02-{day}|LGA]" for day in (18, 19, 20)),
    }  # fmt: skip
