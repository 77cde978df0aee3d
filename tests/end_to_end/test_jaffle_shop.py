"""The jaffle shop, in pandas and in DuckDB relations, on both table stores, against an independent computation."""

from __future__ import annotations

import datetime
import math
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest

from assetflow import Project

HERE = Path(__file__).parent
DATA = HERE.parents[1].parent / "shared" / "data" / "jaffle_shop"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the jaffle shop's CSV files are not on this machine")

ORDERS = """
select o.id as order_id, o.user_id as customer_id, o.order_date, o.status,
    coalesce(sum(p.amount) filter (p.payment_method = 'credit_card'), 0) / 100 as credit_card_amount,
    coalesce(sum(p.amount) filter (p.payment_method = 'coupon'), 0) / 100 as coupon_amount,
    coalesce(sum(p.amount) filter (p.payment_method = 'bank_transfer'), 0) / 100 as bank_transfer_amount,
    coalesce(sum(p.amount) filter (p.payment_method = 'gift_card'), 0) / 100 as gift_card_amount,
    coalesce(sum(p.amount), 0) / 100 as amount
from read_csv('{data}/raw_orders.csv') o left join read_csv('{data}/raw_payments.csv') p on p.order_id = o.id
group by all order by order_id
"""
CUSTOMERS = """
select c.id as customer_id, c.first_name, c.last_name,
    (select min(order_date) from read_csv('{data}/raw_orders.csv') o where o.user_id = c.id) as first_order,
    (select max(order_date) from read_csv('{data}/raw_orders.csv') o where o.user_id = c.id) as most_recent_order,
    (select nullif(count(*), 0) from read_csv('{data}/raw_orders.csv') o where o.user_id = c.id) as number_of_orders,
    (select sum(p.amount) / 100 from read_csv('{data}/raw_payments.csv') p
        join read_csv('{data}/raw_orders.csv') o on p.order_id = o.id where o.user_id = c.id) as customer_lifetime_value
from read_csv('{data}/raw_customers.csv') c order by customer_id
"""


@pytest.mark.parametrize("io", ["parquet", "duckdb"])
@pytest.mark.parametrize("style", ["pandas", "duckdb"])
def test_results_equal_an_independent_sql_computation_row_for_row(tmp_path: Path, style: str, io: str) -> None:
    project = shop(tmp_path, style, io)

    result = project.materialize()

    assert result.ok, [outcome.error for outcome in result if outcome.error]
    assert result.counts == {"materialized": 5}
    for key, query in (("orders", ORDERS), ("customers", CUSTOMERS)):
        expected: Any = duckdb.sql(query.format(data=DATA))
        table = project.read(key, as_="arrow")
        assert expected.columns == table.column_names
        wanted = [plain(row) for row in expected.fetchall()]
        assert wanted == sorted(plain(row.values()) for row in table.to_pylist())
    assert project.materialize().run_id is None


@pytest.mark.parametrize(("mode", "file"), [("views", "views/dev.duckdb"), ("native", "warehouse.duckdb")])
@pytest.mark.parametrize("style", ["pandas", "duckdb"])
def test_duckdb_shell_reads_the_tables_by_name(tmp_path: Path, style: str, mode: str, file: str) -> None:
    project = shop(tmp_path, style, "duckdb", mode)
    project.materialize().raise_for_status()

    with duckdb.connect(str(tmp_path / ".assetflow" / file), read_only=True) as shell:
        rows = shell.sql("select count(*), round(sum(amount), 2) from orders").fetchall()

    assert rows == [(99, 1672.0)]


def test_one_changed_payment_runs_what_follows_from_it_and_nothing_else(tmp_path: Path) -> None:
    project = shop(tmp_path, "pandas", "parquet")
    project.materialize().raise_for_status()
    payments = tmp_path / "data" / "raw_payments.csv"
    payments.write_text(payments.read_text().replace("1,1,credit_card,1000", "1,1,credit_card,1100"))

    plan = project.plan()

    assert [step.asset for step in plan.run] == ["stg_payments"]
    assert [reason.code for reason in plan["stg_payments"].reasons] == ["input_changed"]
    assert [step.asset for step in plan.maybe] == ["orders", "customers"]
    assert {"stg_payments", "orders", "customers"} == set(project.materialize().outcomes)
    assert project.materialize().run_id is None


def shop(root: Path, style: str, io: str, mode: str = "native") -> Project:
    (root / "assetflow.toml").write_text(f'modules = ["shop"]\nio = "{io}"\nduckdb = "{mode}"\n')
    shutil.copy(HERE / f"jaffle_{style}.py", root / "shop.py")
    shutil.copytree(DATA, root / "data")
    for file in (root / "data").iterdir():
        file.chmod(0o644)
    return Project.load(root)


def plain(row: object) -> list[object]:
    """The values of a row, comparable: money to the cent, dates as text, no difference between NaN and null."""
    found: list[object] = []
    for value in row:  # type: ignore[attr-defined]
        if isinstance(value, datetime.date):
            found.append(value.isoformat()[:10])
        elif value is None or (isinstance(value, float) and math.isnan(value)):
            found.append("")
        elif isinstance(value, str):
            found.append(value)
        else:
            found.append(round(float(value), 2))
    return found
