"""Checks around a step: what they read, what a failed one does, and how a broken one is told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from assetflow.errors import CheckFailed

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

ORDERS = """
@asset
def customers() -> pa.Table:
    return pa.table({"customer_id": [1, 2]})

@asset(checks=[CHECKS])
def orders() -> pa.Table:
    ran("orders")
    return pa.table({
        "id": [1, 2, 2], "customer_id": [1, 2, 3], "status": ["paid", "open", None], "net": [1.0, -2.0, 3.0],
    })

@asset
def report(orders: pa.Table) -> int:
    ran("report")
    return orders.num_rows
"""

FAILING = {
    'not_null("status")': "1 of 3 rows: status is null",
    'unique("id")': "id repeats",
    'accepted_values("status", ["paid"])': "1 of 3 rows: status is not one of",
    'in_range("net", 0)': "1 of 3 rows",
    "row_count(5)": "3 rows",
    'schema(pa.schema([("id", pa.int64())]))': "",
    'foreign_key("customer_id", "customers")': "1 of 3 rows",
}


@pytest.mark.parametrize("check", FAILING)
def test_a_blocking_check_that_fails_keeps_the_version_from_being_published(workspace: Workspace, check: str) -> None:
    workspace.assets(ORDERS.replace("CHECKS", check))

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {
        "customers": "materialized", "orders": "rejected", "report": "blocked",
    }  # fmt: skip
    (outcome,) = result["orders"].checks
    assert (outcome.passed, outcome.blocking) == (False, True)
    assert FAILING[check] in outcome.message
    assert result["orders"].error is not None
    assert outcome.message in result["orders"].error.message


def test_a_warning_check_that_fails_is_recorded_and_stops_nothing(workspace: Workspace) -> None:
    workspace.assets(ORDERS.replace("CHECKS", 'unique("id", blocking=False), not_null("net")'))

    result = workspace.materialize()

    assert result.ok
    assert [(one.name, one.passed, one.blocking) for one in result["orders"].checks] == [
        ("unique(id)", False, False), ("not_null(net)", True, True),
    ]  # fmt: skip
    assert workspace.project().show("orders").checks == result["orders"].checks


def test_all_failed_checks_are_in_the_error(workspace: Workspace) -> None:
    workspace.assets(ORDERS.replace("CHECKS", 'unique("id"), not_null("status"), row_count(1)'))

    error = workspace.materialize()["orders"].error

    assert error is not None
    assert error.code == CheckFailed.code
    assert error.message.startswith("check `unique(id)` of orders failed: ")
    assert error.message.endswith("(and 1 more)")
    assert [fact.partition(":")[0] for fact in error.facts] == ["not_null(status)"]


@pytest.mark.parametrize(
    ("body", "passed", "message"),
    [
        ("return True", True, ""),
        ("return False", False, ""),
        ("return CheckResult(False, 'too few')", False, "too few"),
        ("return CheckResult(True, 'all is well')", True, "all is well"),
        ("import numpy as np\n    return np.bool_(True)", True, ""),
        ("import numpy as np\n    return np.bool_(False)", False, ""),
        ("return None", False, "it returned None instead of True, False or a CheckResult"),
        ("return 1", False, "it returned an int instead of True, False or a CheckResult"),
        ("import numpy as np\n    return CheckResult(np.bool_(True), np.str_('fits'))", True, "fits"),
        ("import numpy as np\n    return CheckResult(np.bool_(False))", False, ""),
        ("return CheckResult(True, None)", True, ""),
        ("return CheckResult(1)", False, "the `passed` of its CheckResult is an int instead of True or False"),
        ("return CheckResult(True, 5)", False, "the `message` of its CheckResult is an int instead of a text"),
    ],
)
def test_what_a_check_of_ones_own_may_return(workspace: Workspace, body: str, passed: bool, message: str) -> None:
    workspace.assets(f"""
@asset
def orders() -> pa.Table:
    return pa.table({{"id": [1]}})

@check(orders)
def fine(orders: pa.Table) -> object:
    {body}
""")

    result = workspace.materialize()

    (outcome,) = result["orders"].checks
    assert (outcome.name, outcome.passed, outcome.message) == ("fine", passed, message)
    assert result["orders"].state == ("materialized" if passed else "rejected")


def test_whether_a_check_blocks_may_be_a_bool_of_numpy(workspace: Workspace) -> None:
    workspace.assets("""
        import numpy as np

        @asset(checks=[row_count(2, blocking=np.bool_(False))])
        def orders() -> pa.Table:
            return pa.table({"id": [1]})

        @check(orders, blocking=np.bool_(False))
        def fine(orders: pa.Table) -> bool:
            return False
        """)

    result = workspace.materialize()

    assert result.ok
    assert [(one.name, one.passed, one.blocking) for one in result["orders"].checks] == [
        ("row_count", False, False), ("fine", False, False),
    ]  # fmt: skip
    assert workspace.project().show("orders").checks == result["orders"].checks


@pytest.mark.parametrize(("blocking", "state"), [(True, "rejected"), (False, "materialized")])
def test_a_check_that_raises_has_failed_and_says_where(workspace: Workspace, blocking: bool, state: str) -> None:
    workspace.assets(f"""
@asset
def orders() -> pa.Table:
    return pa.table({{"id": [1]}})

@check(orders, blocking={blocking}, name="no surprises")
def surprises(orders: pa.Table) -> bool:
    raise KeyError("gone")
""")

    result = workspace.materialize()

    (outcome,) = result["orders"].checks
    assert result["orders"].state == state
    assert outcome.name == "no surprises"
    assert outcome.message.startswith("KeyError: 'gone' (")
    assert outcome.message.endswith(f"assets.py:{_line(workspace, 'gone')})")
    assert 'raise KeyError("gone")' in workspace.project().logs(key="orders")[0].text


def _line(workspace: Workspace, text: str) -> int:
    lines = (workspace.root / "assets.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_a_check_sees_the_value_as_readers_will_get_it(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def orders() -> pa.Table:
            return pa.table({"id": [1, 2], "more": [3, 4]})

        @check(orders)
        def rows(orders: Rows) -> bool:
            return orders == [{"id": 1, "more": 3}, {"id": 2, "more": 4}]

        @check(orders)
        def some(orders: Annotated[pa.Table, In(columns=["more"])]) -> bool:
            return orders.column_names == ["more"]
        """)

    result = workspace.materialize()

    assert [check.passed for check in result["orders"].checks] == [True, True]


def test_a_check_takes_other_assets_the_context_and_resources(workspace: Workspace) -> None:
    workspace.assets("""
        class Limits(Resource):
            most: int = 3

        @asset
        def orders() -> Rows:
            ran("orders")
            return [{"id": 1}]

        @asset
        def customers() -> Rows:
            ran("customers")
            return [{"id": 1}, {"id": 2}]

        @check("orders")
        def not_too_many(orders: Rows, customers: Rows, context: Context, limits: Limits) -> bool:
            ran(f"{context.asset_key} {context.run_id} {limits.most}")
            return len(orders) <= len(customers) <= limits.most
        """)

    result = workspace.materialize(executor="inline")

    assert workspace.ran() == ["customers", "orders", "orders 1 3"]
    assert [check.passed for check in result["orders"].checks] == [True]


def test_a_change_of_what_a_check_reads_does_not_make_the_asset_stale(workspace: Workspace) -> None:
    workspace.assets(ORDERS.replace("CHECKS", 'foreign_key("customer_id", "customers", blocking=False)'))
    workspace.materialize()
    workspace.edit('pa.table({"customer_id": [1, 2]})', 'pa.table({"customer_id": [1, 2, 3]})')

    assert [step.asset for step in workspace.project().plan().run] == ["customers"]


def test_a_foreign_key_reads_a_source(workspace: Workspace) -> None:
    workspace.assets(
        'customers_csv = source("customers_csv", path="customers.csv")\n'
        + ORDERS.replace("CHECKS", 'foreign_key("customer_id", "customers_csv")')
    )
    workspace.file("customers.csv", "customer_id\n1\n2\n3\n")

    assert workspace.materialize()["orders"].state == "materialized"


def test_a_check_against_what_is_made_of_the_asset_reads_what_is_there(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def orders() -> Rows:
            return [{"id": 1}, {"id": 2}]

        @asset
        def summary(orders: Rows) -> int:
            return len(orders)

        @check(orders)
        def not_fewer_than_before(orders: Rows, summary: int) -> bool:
            return len(orders) >= summary
        """)

    first = workspace.materialize()
    workspace.edit('[{"id": 1}, {"id": 2}]', '[{"id": 1}]')
    second = workspace.materialize()

    (told,) = first["orders"].checks
    assert told.passed
    assert told.message == "not evaluated: summary, which is made of orders, has no version yet"
    assert second["orders"].state == "rejected"
    (told,) = second["orders"].checks
    assert (told.passed, told.message) == (False, "")


def test_a_check_of_one_output_reads_another_output_as_it_was_just_made(workspace: Workspace) -> None:
    workspace.assets("""
        @assets(Out("lines", checks=[foreign_key("id", "heads")]), "heads")
        def both() -> tuple:
            return pa.table({"id": [1, 1, 2]}), pa.table({"id": [1, 2]})

        @check("heads")
        def has_lines(heads: pa.Table, lines: pa.Table, context: Context) -> CheckResult:
            return CheckResult(set(heads["id"].to_pylist()) == set(lines["id"].to_pylist()), context.asset_key)
        """)

    assert workspace.outcomes() == {"lines": "materialized", "heads": "materialized"}
    workspace.edit(
        'pa.table({"id": [1, 1, 2]}), pa.table({"id": [1, 2]})', 'pa.table({"id": [3]}), pa.table({"id": [3]})'
    )
    result = workspace.materialize()
    assert {one.asset: one.state for one in result} == {"lines": "materialized", "heads": "materialized"}
    assert [(check.passed, check.message) for check in result["heads"].checks] == [(True, "heads")]


def test_a_check_takes_relations_and_a_connection(workspace: Workspace) -> None:
    workspace.assets("""
        import duckdb

        @asset
        def customers() -> pa.Table:
            return pa.table({"id": [1, 2]})

        @asset
        def orders() -> pa.Table:
            return pa.table({"customer": [1, 2, 2]})

        @check(orders)
        def known(
            orders: duckdb.DuckDBPyRelation, customers: duckdb.DuckDBPyRelation, con: duckdb.DuckDBPyConnection
        ) -> bool:
            found = con.sql("select count(*) from orders where customer not in (select id from customers)").fetchall()
            return found == [(0,)]
        """)

    workspace.materialize().raise_for_status()

    assert [check.passed for check in workspace.project().show("orders").checks] == [True]


def test_a_foreign_key_to_an_asset_without_a_version_fails_with_a_message(workspace: Workspace) -> None:
    workspace.assets(ORDERS.replace("CHECKS", 'foreign_key("customer_id", "customers", blocking=False)'))

    result = workspace.materialize("orders", with_upstream=False)

    (told,) = result["orders"].checks
    assert (told.passed, told.message) == (False, "customers has no version yet, so the check has nothing to read")


def test_a_check_of_a_column_that_is_not_there_fails_with_the_near_name(workspace: Workspace) -> None:
    workspace.assets(ORDERS.replace("CHECKS", 'not_null("staus")'))

    result = workspace.materialize()

    assert "status" in result["orders"].checks[0].message


def test_a_check_of_a_table_fails_on_what_is_no_table(workspace: Workspace) -> None:
    workspace.assets("@asset(checks=[row_count(1)])\ndef total() -> int:\n    return 7\n")

    result = workspace.materialize()

    assert result["total"].state == "rejected"
    assert result["total"].checks[0].message == "`total` holds an int and cannot arrive as a pyarrow Table"


def test_checks_run_also_when_the_content_is_the_same(workspace: Workspace) -> None:
    workspace.assets(ORDERS.replace("CHECKS", "row_count(1)"))
    workspace.materialize()
    workspace.edit("row_count(1)", "row_count(5)")

    result = workspace.materialize("orders", force=True)

    assert result["orders"].state == "rejected"
    assert workspace.states()["orders"] == "current"
