"""A shop with partitions, of which two days were made a second time: for tests that name single partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

DAYS = ["2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02"]

SHOP = """
HERE = Path(__file__).parent
DAYS = Daily("2026-01-30", end="2026-02-02")

@asset(partitions=DAYS)
def orders(partition: Partition) -> pa.Table:
    ran(f"orders {partition.key}")
    print("making", partition.key)
    price = int((HERE / "price.txt").read_text())
    return pa.Table.from_pylist([{"day": partition.key, "amount": price * partition.start.day}])

@asset(partitions=DAYS)
def doubled(orders: Rows) -> Rows:
    ran("doubled")
    return [{"amount": 2 * row["amount"]} for row in orders]

@asset(partitions=Monthly("2026-01", end="2026-02"))
def by_month(orders: Rows) -> Rows:
    ran("by_month")
    return [{"amount": sum(row["amount"] for row in orders)}]

@asset
def total(orders: Rows) -> Rows:
    ran("total")
    return [{"amount": sum(row["amount"] for row in orders)}]
"""


def make(workspace: Workspace) -> Workspace:
    """Version 1 of all by run 1, and version 2 of the days 2026-01-30 and 2026-01-31 of orders by run 2."""
    workspace.assets(SHOP, "discover = false\n")
    workspace.file("price.txt", "1")
    workspace.materialize(executor="inline").raise_for_status()
    workspace.file("price.txt", "2")
    again = workspace.materialize("orders[2026-01-30..2026-01-31]", force=True, executor="inline")
    again.raise_for_status()
    workspace.ran()
    return workspace
