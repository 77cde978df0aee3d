"""Staging: one asset for each source, cleaned and with proper names, nothing computed."""

from typing import Annotated

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from assetflow import CheckResult, In, accepted_values, asset, check, not_null, schema, unique


@asset(
    checks=[not_null("order_id", "placed_at"), unique("order_id"), accepted_values("currency", ["GBP", "EUR", "USD"])]
)
def stg_orders(raw_orders: pd.DataFrame) -> pd.DataFrame:
    """One row per order; the till sometimes writes an order twice."""
    return raw_orders.drop_duplicates("order_id").sort_values("order_id", ignore_index=True)


@asset(checks=[unique("payment_id")])
def stg_payments(raw_payments: pd.DataFrame) -> pd.DataFrame:
    """One row per payment."""
    return raw_payments.rename(columns={"amount": "paid"})


@check(stg_payments, blocking=False)
def payments_are_prompt(
    stg_payments: pd.DataFrame,
    stg_orders: Annotated[pd.DataFrame, In(columns=["order_id", "placed_at"])],
) -> CheckResult:
    """Payments arrive within 30 days."""
    both = stg_payments.merge(stg_orders, on="order_id")
    late = both[both.paid_at - both.placed_at > pd.Timedelta(days=30)]
    return CheckResult(late.empty, f"{len(late)} later than 30 days")


@asset(checks=[schema(pa.schema([("customer_id", pa.int64()), ("name", pa.string()), ("country", pa.string())]))])
def stg_customers(raw_customers: pa.Table) -> pa.Table:
    """One row per customer, with a tidy name. Written with Arrow."""
    tidy = pc.utf8_trim_whitespace(raw_customers["name"])
    return pa.table({"customer_id": raw_customers["customer_id"], "name": tidy, "country": raw_customers["country"]})
