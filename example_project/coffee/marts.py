"""Marts: what people look at."""

from typing import Annotated

import duckdb
import pandas as pd

from assetflow import (
    Config,
    Freshness,
    In,
    Out,
    asset,
    assets,
    check,
    foreign_key,
    in_range,
    not_null,
    row_count,
    unique,
)
from coffee.tax import net_of_vat


class OrdersConfig(Config):
    """Settings of `orders`: [config.orders] in the project file, or `--set orders.late_after_days=14`."""

    late_after_days: int = 30


@asset(
    checks=[
        unique("order_id"),
        in_range("net_gbp", low=0),
        foreign_key("customer_id", to="stg_customers", blocking=False),
    ]
)
def orders(
    stg_orders: pd.DataFrame,
    stg_payments: Annotated[pd.DataFrame, In(columns=["order_id", "paid_at", "paid"])],
    raw_fx_rates: pd.DataFrame,
    config: OrdersConfig,
) -> pd.DataFrame:
    """One row per order: in GBP, net of tax, and whether it was paid."""
    rates = raw_fx_rates.rename(columns={"gbp": "rate"})
    found = stg_orders.assign(day=stg_orders.placed_at.dt.normalize()).merge(rates, on=["day", "currency"], how="left")
    found["gross_gbp"] = (found.gross * found.rate.fillna(1.0)).round(2)
    found["net_gbp"] = net_of_vat(found.gross_gbp)
    found = found.merge(stg_payments, on="order_id", how="left")
    found["is_paid"] = found.paid.notna()
    found["is_late"] = (found.paid_at - found.placed_at) > pd.Timedelta(days=config.late_after_days)
    columns = ["order_id", "customer_id", "day", "channel", "product", "quantity", "gross_gbp", "net_gbp"]
    return found[[*columns, "is_paid", "is_late"]].sort_values("order_id", ignore_index=True)


@assets("paid_orders", Out("open_orders", description="Orders without a payment.", checks=(not_null("order_id"),)))
def split_orders(orders: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Orders with a payment."""
    return {
        "paid_orders": orders[orders.is_paid].reset_index(drop=True),
        "open_orders": orders[~orders.is_paid].reset_index(drop=True),
    }


@asset(
    key="marts.daily_revenue",
    io="duckdb",
    tags={"for": "board"},
    freshness=Freshness(by="0 8 * * *", tz="Europe/London"),
    checks=[unique("day"), row_count(low=1)],
)
def daily_revenue(paid_orders: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    """Revenue by day. Written as SQL over a DuckDB relation, and stored as a table in the DuckDB file."""
    return duckdb.sql("""
        select day, count(*) as orders, round(sum(net_gbp), 2) as revenue
        from paid_orders
        group by day
        order by day
    """)


@check(daily_revenue)
def every_paid_order_counts(daily_revenue: pd.DataFrame, paid_orders: pd.DataFrame) -> bool:
    """The days together have as many orders as were paid. Blocking: a wrong table is never published."""
    return int(daily_revenue.orders.sum()) == len(paid_orders)


@asset(checks=[unique("customer_id")])
def customer_value(
    paid_orders: Annotated[pd.DataFrame, In(columns=["order_id", "customer_id", "net_gbp"])],
    raw_refunds: pd.DataFrame,
    stg_customers: pd.DataFrame,
) -> pd.DataFrame:
    """What each customer is worth: orders, revenue, refunds."""
    refunds = raw_refunds.groupby("order_id", as_index=False).amount.sum()
    found = paid_orders.merge(refunds, on="order_id", how="left").fillna({"amount": 0.0})
    totals = found.groupby("customer_id", as_index=False).agg(
        orders=("order_id", "count"), revenue=("net_gbp", "sum"), refunded=("amount", "sum")
    )
    named = totals.merge(stg_customers, on="customer_id", how="left")
    return named.round({"revenue": 2, "refunded": 2}).sort_values("revenue", ascending=False, ignore_index=True)
