"""Tests of the assets: a decorated function is still a plain function, and `materialize` runs several in memory."""

import pandas as pd
import pytest
from coffee.marts import daily_revenue, every_paid_order_counts, split_orders
from coffee.staging import stg_orders
from coffee.tax import net_of_vat

import assetflow as af

ORDERS = pd.DataFrame({
    "order_id": [2, 1, 2],
    "customer_id": [1, 1, 1],
    "placed_at": pd.to_datetime(["2026-09-02 10:00", "2026-09-01 09:00", "2026-09-02 10:00"]),
    "currency": ["GBP", "GBP", "GBP"],
})  # fmt: skip


def test_orders_that_were_written_twice_count_once() -> None:
    found = stg_orders(ORDERS)

    assert list(found.order_id) == [1, 2]


def test_tax_is_taken_off_to_the_penny() -> None:
    assert list(net_of_vat(pd.Series([12.0, 9.5]))) == [10.0, 7.92]


def test_daily_revenue_counts_paid_orders_only() -> None:
    orders = pd.DataFrame({
        "order_id": [1, 2, 3],
        "day": pd.to_datetime(["2026-09-01", "2026-09-01", "2026-09-02"]),
        "net_gbp": [10.0, 5.0, 7.0],
        "is_paid": [True, True, False],
    })  # fmt: skip

    result = af.materialize([split_orders, daily_revenue, every_paid_order_counts], inputs={"orders": orders})

    assert result.ok
    assert result["marts.daily_revenue"].value.fetchall() == [(pd.Timestamp("2026-09-01"), 2, 15.0)]


def test_an_unknown_currency_is_refused() -> None:
    with pytest.raises(af.AssetflowError, match="accepted_values"):
        af.materialize([stg_orders], inputs={"raw_orders": ORDERS.assign(currency="XXX")})
