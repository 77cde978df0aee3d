"""The jaffle shop in DuckDB relations: the same assets as in pandas."""

import duckdb
from duckdb import DuckDBPyConnection, DuckDBPyRelation

from assetflow import asset, not_null, source, unique

raw_customers = source("raw_customers", path="data/raw_customers.csv")
raw_orders = source("raw_orders", path="data/raw_orders.csv")
raw_payments = source("raw_payments", path="data/raw_payments.csv")


@asset
def stg_customers(raw_customers: DuckDBPyRelation) -> DuckDBPyRelation:
    return raw_customers.select("id as customer_id, first_name, last_name")


@asset
def stg_orders(raw_orders: DuckDBPyRelation) -> DuckDBPyRelation:
    return raw_orders.select("id as order_id, user_id as customer_id, order_date, status")


@asset
def stg_payments(raw_payments: DuckDBPyRelation) -> DuckDBPyRelation | None:
    return duckdb.sql("select id as payment_id, order_id, payment_method, amount / 100 as amount from raw_payments")


@asset(checks=[not_null("order_id"), unique("order_id")])
def orders(stg_orders: DuckDBPyRelation, stg_payments: DuckDBPyRelation, con: DuckDBPyConnection) -> DuckDBPyRelation:
    return con.sql("""
        with amounts as (
            select order_id,
                sum(case when payment_method = 'credit_card' then amount else 0 end) as credit_card_amount,
                sum(case when payment_method = 'coupon' then amount else 0 end) as coupon_amount,
                sum(case when payment_method = 'bank_transfer' then amount else 0 end) as bank_transfer_amount,
                sum(case when payment_method = 'gift_card' then amount else 0 end) as gift_card_amount,
                sum(amount) as amount
            from stg_payments group by order_id
        )
        select stg_orders.*, amounts.* exclude (order_id) from stg_orders left join amounts using (order_id)
        order by order_id
    """)


@asset(checks=[not_null("customer_id"), unique("customer_id")])
def customers(
    stg_customers: DuckDBPyRelation,
    stg_orders: DuckDBPyRelation,
    stg_payments: DuckDBPyRelation,
    con: DuckDBPyConnection,
) -> DuckDBPyRelation:
    return con.sql("""
        with by_customer as (
            select customer_id, min(order_date) as first_order, max(order_date) as most_recent_order,
                count(order_id) as number_of_orders
            from stg_orders group by customer_id
        ), paid as (
            select customer_id, sum(amount) as customer_lifetime_value
            from stg_payments left join stg_orders using (order_id) group by customer_id
        )
        select * from stg_customers left join by_customer using (customer_id) left join paid using (customer_id)
        order by customer_id
    """)
