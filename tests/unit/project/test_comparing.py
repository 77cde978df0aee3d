"""`Project.diff`: which versions are meant, which key, and what made the difference."""

from __future__ import annotations

from typing import Any

import pytest

from assetflow.errors import NoSuchVersion, UsageError
from assetflow.io.diff_results import TableDiff, ValueDiff

ASSETS = """
    raw = source("raw", path="raw.csv")

    class Tax(Config):
        rate: float = 0.5

    SHIFT = 0

    def taxed(amount, rate):
        return amount * (1 + rate) + SHIFT

    @asset(checks=[unique("id")])
    def orders(raw: Rows, config: Tax) -> pa.Table:
        return pa.table({"id": [row["id"] for row in raw], "net": [taxed(row["amount"], config.rate) for row in raw]})

    @asset
    def facts(orders: Rows) -> dict:
        return {"count": len(orders), "sum": sum(row["net"] for row in orders)}

    @asset
    def chance() -> pa.Table:
        count = len(list(Path(__file__).parent.glob("mark*")))
        return pa.table({"x": [count]})
"""


@pytest.fixture
def shop(workspace: Any) -> Any:
    workspace.assets(ASSETS)
    workspace.file("raw.csv", "id,amount\n1,10.0\n2,20.0\n")
    workspace.materialize()
    return workspace


def test_the_current_version_is_compared_with_the_one_before(shop: Any) -> None:
    shop.file("raw.csv", "id,amount\n1,10.0\n2,30.0\n")
    shop.materialize()
    shop.file("raw.csv", "id,amount\n2,30.0\n")
    shop.materialize()

    project = shop.project()
    last, older = project.diff("orders"), project.diff("orders@1")
    first = project.diff("orders@1", "orders@2")

    assert isinstance(last, TableDiff)
    assert (last.old.name, last.new.name, last.key, last.key_from) == ("orders@2", "orders@3", ("id",), "declared")
    assert (older.old.name, older.new.name) == ("orders@1", "orders@3")
    assert repr(first) == "<TableDiff orders@1 → orders@2: 1 changed>"
    assert (last.added, last.removed, last.changed) == (0, 1, 0)


def test_the_cause_names_inputs_code_and_config(shop: Any) -> None:
    shop.file("raw.csv", "id,amount\n1,10.0\n2,30.0\n")
    shop.materialize()
    shop.edit("SHIFT = 0", "SHIFT = 1")
    shop.materialize()
    shop.edit("rate: float = 0.5", "rate: float = 0.25")
    shop.materialize()

    project = shop.project()
    causes = [project.diff(f"orders@{number}", f"orders@{number + 1}").cause for number in (1, 2, 3)]

    assert [(one.upstream, one.old, one.new) for one in causes[0].inputs] == [("raw", 1, 2)]
    assert (causes[0].code, causes[0].config) == ((), ())
    assert [(one.name, one.change) for one in causes[1].code] == [("SHIFT", "changed")]
    assert causes[1].code[0].line == 1 + (shop.root / "assets.py").read_text().splitlines().index("SHIFT = 1")
    assert (causes[1].inputs, causes[1].config) == ((), ())
    assert [(one.field, one.old, one.new) for one in causes[2].config] == [("rate", "0.5", "0.25")]


def test_a_function_that_gives_other_results_for_the_same_inputs_is_said_to(shop: Any) -> None:
    shop.file("mark1", "")
    shop.materialize("chance", force=True)

    cause = shop.project().diff("chance").cause

    assert cause is not None
    assert cause.is_same


def test_values_that_are_not_tables_are_compared_by_path(shop: Any) -> None:
    shop.file("raw.csv", "id,amount\n1,10.0\n")
    shop.materialize()

    found = shop.project().diff("facts")

    assert isinstance(found, ValueDiff)
    assert [(one.path, one.old, one.new) for one in found.paths] == [("$.count", 2, 1), ("$.sum", 45.0, 15.0)]
    with pytest.raises(UsageError, match="is not a table, so `where` cannot be applied"):
        shop.project().diff("facts", where="count > 1")


def test_two_assets_are_compared_without_a_cause(shop: Any) -> None:
    found = shop.project().diff("orders", "chance")

    assert found.is_different
    assert found.cause is None


def test_a_single_version_has_nothing_before_it(shop: Any) -> None:
    with pytest.raises(NoSuchVersion):
        shop.project().diff("orders")
    with pytest.raises(NoSuchVersion):
        shop.project().diff("orders@1", "orders@9")


def test_options_that_make_no_sense_are_errors(shop: Any) -> None:
    with pytest.raises(UsageError, match=r"neither \.csv nor \.parquet"):
        shop.project().diff("orders@1", "orders@1", export="changes.xlsx")
    with pytest.raises(UsageError, match="a tolerance is a number from 0"):
        shop.project().diff("orders@1", "orders@1", tolerance=-1)


def test_columns_that_both_versions_have_are_counted(shop: Any) -> None:
    shop.edit('"net": [taxed', '"total": [taxed')
    shop.edit('row["net"]', 'row["total"]')
    shop.materialize()

    found = shop.project().diff("orders")

    assert isinstance(found, TableDiff)
    assert (found.schema.renamed, found.common) == ((("net", "total"),), 1)
