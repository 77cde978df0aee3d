"""Hourly weather at three airports: load, clean, aggregate to days in local time."""

import pandas as pd

from assetflow import asset, in_range, not_null, row_count, source

raw_weather = source("raw_weather", path="data/weather.csv", types={"time_hour": "timestamp[us, UTC]"})
raw_airports = source("raw_airports", path="data/airports.csv")


@asset(checks=[not_null("origin", "time"), in_range("humid", 0, 100)])
def weather(raw_weather: pd.DataFrame, raw_airports: pd.DataFrame):
    named = raw_weather.merge(raw_airports[["faa", "name"]], left_on="origin", right_on="faa")
    return named.assign(
        time=named["time_hour"].dt.tz_convert("America/New_York"),
        origin=named["origin"].astype("category"),
        gust=named["wind_gust"].astype("Float64"),
        direction=named["wind_dir"].astype("Int32"),
    )[["origin", "name", "time", "temp", "humid", "gust", "direction"]]


@asset(checks=[row_count(1000, 1100)])
def daily_weather(weather: pd.DataFrame) -> pd.DataFrame:
    day = weather["time"].dt.tz_localize(None).dt.normalize().rename("day")
    grouped = weather.groupby(["origin", day], observed=True)
    return grouped.agg(
        hours=("temp", "size"), mean_temp=("temp", "mean"), max_gust=("gust", "max"), calm=("direction", "count")
    ).reset_index()
