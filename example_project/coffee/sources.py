"""Data that other programs write. A source is not copied: its version is the content of the file."""

from assetflow import Freshness, source

raw_orders = source(
    "raw_orders",
    path="data/orders.csv",
    types={"placed_at": "timestamp[us]"},
    freshness=Freshness(within="7d"),
    description="Orders as the till and the web shop export them.",
)

raw_payments = source(
    "raw_payments",
    path="data/payments.csv",
    types={"paid_at": "timestamp[us]"},
    description="Payments of the card terminal.",
)

raw_refunds = source("raw_refunds", path="data/refunds.csv", description="Refunds, written by hand.")

raw_customers = source("raw_customers", path="data/customers.csv", description="The customer cards.")

raw_fx_rates = source(
    "raw_fx_rates",
    path="data/fx_rates.csv",
    types={"day": "timestamp[us]"},
    description="What one unit of a currency is worth in GBP, by day.",
)
