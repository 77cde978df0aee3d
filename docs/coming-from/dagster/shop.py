# shop.py
import pandas as pd

from assetflow import asset, not_null, source

raw_orders = source("raw_orders", path="data/raw_orders.csv")


@asset(group="staging", checks=[not_null("amount")])
def cleaned_orders(raw_orders: pd.DataFrame) -> pd.DataFrame:
    """The orders that say what they cost, with a day in the place of a text."""
    known = raw_orders.dropna(subset=["amount"])
    return known.assign(day=pd.to_datetime(known["ordered_at"]).dt.normalize()).drop(columns="ordered_at")


@asset(group="marts")
def orders_by_day(cleaned_orders: pd.DataFrame) -> pd.DataFrame:
    """How many orders a day had, and what they came to."""
    return cleaned_orders.groupby("day", as_index=False).agg(orders=("order_id", "count"), amount=("amount", "sum"))


@asset(group="marts")
def daily_revenue(orders_by_day: pd.DataFrame) -> pd.DataFrame:
    """Revenue of each day, and of all days until then."""
    days = orders_by_day.sort_values("day", ignore_index=True)
    return pd.DataFrame({"day": days["day"], "revenue": days["amount"], "so_far": days["amount"].cumsum()})
