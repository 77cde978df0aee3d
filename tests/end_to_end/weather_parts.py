"""Hourly weather in a file for each day and airport: weeks that roll, and months."""

from typing import Annotated

import pandas as pd

from assetflow import Daily, In, Monthly, Multi, Partition, Static, asset, not_null, source

DAYS = Daily("2013-01-10", end="2013-02-20", tz="America/New_York")
MONTHS = Monthly("2013-01", end="2013-02", tz="America/New_York")
AIRPORTS = Static(["EWR", "JFK", "LGA"])
BOTH = Multi({"day": DAYS, "airport": AIRPORTS})

raw = source(
    "raw", path="data/{day:%Y}/{day}/{airport}.csv", partitions=BOTH, nulls=["NA"],
    types={"time_hour": "timestamp[us, UTC]", "temp": "float64", "precip": "float64", "wind_gust": "float64"},
)  # fmt: skip


@asset(partitions=BOTH, checks=[not_null("origin", "time_hour")])
def hours(raw: pd.DataFrame):
    return raw[["origin", "time_hour", "temp", "precip", "wind_gust"]]


@asset(partitions=BOTH)
def week(hours: Annotated[pd.DataFrame, In(window=-6)], partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({
        "day": [partition.axes["day"]], "airport": [partition.axes["airport"]], "hours": [len(hours)],
        "mean_temp": [hours["temp"].mean()], "max_gust": [hours["wind_gust"].max()],
    })  # fmt: skip


@asset(partitions=Multi({"month": MONTHS, "airport": AIRPORTS}))
def by_month(hours: pd.DataFrame, partition: Partition) -> pd.DataFrame:
    return pd.DataFrame({
        "month": [partition.axes["month"]], "airport": [partition.axes["airport"]], "hours": [len(hours)],
        "rain": [hours["precip"].sum()], "coldest": [hours["temp"].min()],
    })  # fmt: skip
