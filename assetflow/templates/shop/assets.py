"""A small shop: orders and payments from two files, cleaned, joined and summed up.

Each function is an asset. The names of its parameters say which assets it reads.
"""

from __future__ import annotations

import pandas as pd

from assetflow import Config, Freshness, asset, check, foreign_key, in_range, not_null, row_count, source, unique

raw_orders = source("raw_orders", path="data/orders.csv", group="raw", description="Orders as the shop exports them.")
raw_payments = source("raw_payments", path="data/payments.csv", group="raw", description="Payments of the bank.")


@asset(group="staging", checks=[unique("order_id"), not_null("order_id", "customer")])
def orders(raw_orders: pd.DataFrame) -> pd.DataFrame:
    """One row for each order, without test orders."""
    found = raw_orders[raw_orders["customer"] != "test"].copy()
    found["ordered_on"] = pd.to_datetime(found["ordered_on"])
    return found.reset_index(drop=True)


@asset(group="staging", checks=[unique("payment_id"), in_range("amount", low=0)])
def payments(raw_payments: pd.DataFrame) -> pd.DataFrame:
    """One row for each payment that arrived."""
    return raw_payments[raw_payments["status"] == "settled"].reset_index(drop=True)


@asset(group="marts", checks=[foreign_key("order_id", to="orders")])
def paid_orders(orders: pd.DataFrame, payments: pd.DataFrame) -> pd.DataFrame:
    """Orders with what was paid for them."""
    paid = payments.groupby("order_id", as_index=False)["amount"].sum().rename(columns={"amount": "paid"})
    return orders.merge(paid, on="order_id", how="inner")


@asset(group="marts")
def unpaid_orders(orders: pd.DataFrame, payments: pd.DataFrame) -> pd.DataFrame:
    """Orders for which nothing arrived yet."""
    return orders[~orders["order_id"].isin(payments["order_id"])].reset_index(drop=True)


class RevenueConfig(Config):
    """Settings of `daily_revenue`; the values stand in assetflow.toml."""

    currency: str = "EUR"


@asset(
    group="marts",
    owners=["data@shop.example"],
    tags={"tier": "gold"},
    checks=[row_count(1)],
    freshness=Freshness(within="7d"),
)
def daily_revenue(paid_orders: pd.DataFrame, config: RevenueConfig) -> pd.DataFrame:
    """What was paid, for each day on which orders were placed."""
    found = paid_orders.groupby("ordered_on", as_index=False)["paid"].sum().rename(columns={"paid": "revenue"})
    return found.assign(currency=config.currency)


@asset(group="marts")
def best_customers(paid_orders: pd.DataFrame) -> pd.DataFrame:
    """The five customers who paid the most."""
    found = paid_orders.groupby("customer", as_index=False)["paid"].sum()
    return found.nlargest(5, "paid").reset_index(drop=True)


@check("daily_revenue")
def revenue_adds_up(daily_revenue: pd.DataFrame, paid_orders: pd.DataFrame) -> bool:
    """No payment was lost or counted twice."""
    return bool(abs(daily_revenue["revenue"].sum() - paid_orders["paid"].sum()) < 0.005)
