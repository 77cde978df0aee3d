"""The jaffle shop in pandas: three sources, three staging assets, customers and orders."""

import pandas as pd

from assetflow import asset, not_null, source, unique

raw_customers = source("raw_customers", path="data/raw_customers.csv")
raw_orders = source("raw_orders", path="data/raw_orders.csv")
raw_payments = source("raw_payments", path="data/raw_payments.csv")

METHODS = ["credit_card", "coupon", "bank_transfer", "gift_card"]


@asset
def stg_customers(raw_customers: pd.DataFrame) -> pd.DataFrame:
    return raw_customers.rename(columns={"id": "customer_id"})


@asset
def stg_orders(raw_orders: pd.DataFrame) -> pd.DataFrame:
    return raw_orders.rename(columns={"id": "order_id", "user_id": "customer_id"})


@asset
def stg_payments(raw_payments: pd.DataFrame) -> pd.DataFrame:
    renamed = raw_payments.rename(columns={"id": "payment_id"})
    return renamed.assign(amount=renamed["amount"] / 100)


@asset(checks=[not_null("order_id"), unique("order_id")])
def orders(stg_orders: pd.DataFrame, stg_payments: pd.DataFrame) -> pd.DataFrame:
    amounts = stg_payments.pivot_table(
        index="order_id", columns="payment_method", values="amount", aggfunc="sum", fill_value=0.0
    ).reindex(columns=METHODS, fill_value=0.0)
    amounts.columns = [f"{name}_amount" for name in METHODS]
    amounts["amount"] = amounts.sum(axis=1)
    return stg_orders.merge(amounts.reset_index(), on="order_id", how="left")


@asset(checks=[not_null("customer_id"), unique("customer_id")])
def customers(stg_customers: pd.DataFrame, stg_orders: pd.DataFrame, stg_payments: pd.DataFrame) -> pd.DataFrame:
    by_customer = stg_orders.groupby("customer_id").agg(
        first_order=("order_date", "min"),
        most_recent_order=("order_date", "max"),
        number_of_orders=("order_id", "count"),
    )
    paid = stg_payments.merge(stg_orders[["order_id", "customer_id"]], on="order_id", how="left")
    by_customer["customer_lifetime_value"] = paid.groupby("customer_id")["amount"].sum()
    return stg_customers.merge(by_customer.reset_index(), on="customer_id", how="left")
