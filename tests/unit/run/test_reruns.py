"""What runs again after each kind of change, and for what reason: exactly what the change can reach."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from assetflow.errors import NoSuchAsset

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

SHOP = """
from helper import rounded

raw = source("raw", path="data/raw.csv")
LIMIT = 100

@asset
def orders(raw: pa.Table) -> pa.Table:
    ran("orders")
    return raw.select(["id", "shop", "amount"])

@asset
def totals(orders: Annotated[pa.Table, In(columns=["amount"])]) -> Rows:
    ran("totals")
    assert orders.column_names == ["amount"]
    return [{"total": rounded(sum(orders["amount"].to_pylist()))}]

@asset
def shops(orders: pa.Table) -> Rows:
    ran("shops")
    return [{"shop": shop} for shop in sorted(set(orders["shop"].to_pylist()))]

@asset
def big(orders: Rows) -> int:
    ran("big")
    return len([row for row in orders if row["amount"] > LIMIT])

@asset
def report(totals: Rows, shops: Rows) -> dict:
    ran("report")
    return {"total": totals[0]["total"], "shops": len(shops)}
"""
ALL = ["orders", "totals", "shops", "big", "report"]


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP)
    workspace.file("helper.py", "def rounded(value):\n    return inner(value)\n\ndef inner(value):\n    return value\n")
    workspace.file("data/raw.csv", "id,shop,amount\n1,north,10\n2,south,20\n")
    assert workspace.materialize(executor="inline").ok
    assert workspace.ran() == ALL
    return workspace


def reasons(workspace: Workspace) -> dict[str, list[str]]:
    """The codes of the root reasons of what a plan would run."""
    plan = workspace.project().plan()
    return {step.asset: [reason.code for reason in step.reasons if reason.is_root] for step in plan.run}


def test_nothing_when_nothing_changed(shop: Workspace) -> None:
    assert shop.materialize().run_id is None
    assert shop.ran() == []


def test_nothing_after_comments_docstrings_and_moved_lines(shop: Workspace) -> None:
    shop.edit('    ran("orders")\n', '    # a comment\n\n    ran("orders")\n')
    shop.edit("def shops(orders: pa.Table) -> Rows:\n", 'def shops(orders: pa.Table) -> Rows:\n    """All shops."""\n')
    shop.edit("LIMIT = 100", "\n\n\nLIMIT = 100")

    assert shop.materialize().run_id is None


def test_nothing_when_a_source_was_written_again_with_the_same_content(shop: Workspace) -> None:
    path = shop.root / "data" / "raw.csv"
    path.write_text(path.read_text())
    os.utime(path, (1_000_000_000, 1_000_000_000))

    assert shop.materialize().run_id is None


def test_the_asset_whose_code_changed_and_what_reads_it(shop: Workspace) -> None:
    shop.edit('"shop": shop}', '"shop": shop.upper()}')

    assert reasons(shop) == {"shops": ["code_changed"]}
    shop.materialize()
    assert shop.ran() == ["shops", "report"]


def test_the_users_of_a_helper_however_deep(shop: Workspace) -> None:
    shop.edit("    return value\n", "    return value + 1\n", "helper.py")

    assert reasons(shop) == {"totals": ["helper_changed"]}
    shop.materialize()
    assert shop.ran() == ["totals", "report"]


def test_the_users_of_a_constant(shop: Workspace) -> None:
    shop.edit("LIMIT = 100", "LIMIT = 15")

    assert reasons(shop) == {"big": ["helper_changed"]}
    shop.materialize()
    assert shop.ran() == ["big"]


def test_what_reads_a_changed_source_down_to_where_content_is_the_same(shop: Workspace) -> None:
    shop.file("data/raw.csv", "id,shop,amount\n1,south,10\n2,north,20\n")

    assert reasons(shop) == {"orders": ["input_changed"]}
    result = shop.materialize(executor="inline")
    assert shop.ran() == ["orders", "shops", "big"]
    assert {one.asset: one.state for one in result} == {
        "orders": "materialized", "totals": "cut_off", "shops": "unchanged", "big": "unchanged", "report": "cut_off",
    }  # fmt: skip


def test_a_column_that_a_projection_leaves_out_costs_nothing(shop: Workspace) -> None:
    shop.edit('select(["id", "shop", "amount"])', 'select(["id", "shop", "amount"]).append_column("x", [[1, 2]])')

    result = shop.materialize(executor="inline")

    assert shop.ran() == ["orders", "shops", "big"]
    assert result["totals"].state == "cut_off"


def test_another_row_reaches_what_reads_a_projection(shop: Workspace) -> None:
    shop.file("data/raw.csv", "id,shop,amount\n1,north,10\n2,south,20\n3,south,0\n")

    shop.materialize(executor="inline")

    assert "totals" in shop.ran()


def test_another_projection_runs_its_asset(shop: Workspace) -> None:
    shop.edit('In(columns=["amount"])', 'In(columns=["id", "amount"])')
    shop.edit('== ["amount"]', '== ["id", "amount"]')

    shop.materialize()

    assert shop.ran() == ["totals"]


def test_an_input_that_is_new_or_gone_is_the_reason(shop: Workspace) -> None:
    shop.edit("def big(orders: Rows) -> int:", "def big(orders: Rows, shops: Rows) -> int:")
    shop.edit("def report(totals: Rows, shops: Rows) -> dict:", "def report(totals: Rows) -> dict:")
    shop.edit(', "shops": len(shops)}', "}")

    found = reasons(shop)

    assert "input_added" in found["big"]
    assert "input_removed" in found["report"]
    shop.materialize()
    assert sorted(shop.ran()) == ["big", "report"]


def test_another_asset_given_by_the_same_parameter_runs_it(shop: Workspace) -> None:
    shop.edit("@asset\ndef report", '@asset(inputs={"shops": "big"})\ndef report')
    shop.edit("def report(totals: Rows, shops: Rows)", "def report(totals: Rows, shops: int)")
    shop.edit("len(shops)}", "shops}")

    shop.materialize().raise_for_status()

    assert shop.ran() == ["report"]
    assert shop.project().read("report") == {"total": 30, "shops": 0}


def test_description_owners_tags_group_and_checks_run_nothing(shop: Workspace) -> None:
    shop.edit(
        "@asset\ndef big", '@asset(description="Many", owners=["a@b.example"], tags={"t": "1"}, group="g")\ndef big'
    )
    shop.edit("@asset\ndef shops", "@asset(checks=[row_count(1)])\ndef shops")

    assert shop.materialize().run_id is None


def test_an_asset_whose_bytes_are_gone_is_computed_again_and_cuts_off_what_is_below(shop: Workspace) -> None:
    shutil.rmtree(shop.root / ".assetflow" / "data" / "shops")

    assert reasons(shop) == {"shops": ["data_missing"]}
    result = shop.materialize()
    assert shop.ran() == ["shops"]
    assert (result["shops"].state, result["shops"].version) == ("materialized", 2)
    assert result["report"].state == "cut_off"
    assert shop.project().read("shops") == [{"shop": "north"}, {"shop": "south"}]


def test_a_result_whose_bytes_are_gone_is_not_linked(shop: Workspace) -> None:
    shop.edit("shop in sorted(", "shop in reversed(")
    shop.edit("set(orders", "sorted(set(orders")
    shop.edit('["shop"].to_pylist()))]', '["shop"].to_pylist())))]')
    shop.materialize("shops")
    shop.ran()
    for folder in (shop.root / ".assetflow" / "data" / "shops").rglob("*-*"):
        if '"north"},' in (folder / "value.json").read_text():
            shutil.rmtree(folder)
    shop.edit("shop in reversed(", "shop in sorted(")
    shop.edit("sorted(set(orders", "set(orders")
    shop.edit('["shop"].to_pylist())))]', '["shop"].to_pylist()))]')

    result = shop.materialize("shops")

    assert shop.ran() == ["shops"]
    assert result["shops"].state == "materialized"


def test_a_new_asset_alone(shop: Workspace) -> None:
    shop.edit(
        "@asset\ndef report",
        "@asset\ndef fresh(big: int) -> int:\n    ran('fresh')\n    return big\n\n\n@asset\ndef report",
    )

    assert reasons(shop) == {"fresh": ["never_materialized"]}
    shop.materialize()
    assert shop.ran() == ["fresh"]


def test_force_runs_the_selection_though_it_is_current_and_nothing_else(shop: Workspace) -> None:
    result = shop.materialize("shops", force=True)

    assert shop.ran() == ["shops"]
    assert {one.asset: one.state for one in result} == {"shops": "unchanged"}
    assert [reason.code for reason in result["shops"].reasons] == ["forced"]


def test_force_does_not_link_an_earlier_result(shop: Workspace) -> None:
    shop.edit("LIMIT = 100", "LIMIT = 15")
    shop.materialize("big")
    shop.edit("LIMIT = 15", "LIMIT = 100")
    shop.ran()

    result = shop.materialize("big", force=True)

    assert shop.ran() == ["big"]
    assert result["big"].state == "materialized"


def test_a_selection_builds_its_upstreams_and_nothing_else(workspace: Workspace) -> None:
    workspace.assets(SHOP)
    workspace.file("helper.py", "def rounded(value):\n    return value\n")
    workspace.file("data/raw.csv", "id,shop,amount\n1,north,10\n")

    result = workspace.materialize("shops")

    assert workspace.ran() == ["orders", "shops"]
    assert set(result.outcomes) == {"orders", "shops"}
    assert workspace.states() == {
        "raw": "source", "orders": "current", "shops": "current",
        "totals": "missing", "big": "missing", "report": "missing",
    }  # fmt: skip


def test_a_selection_with_what_is_below(shop: Workspace) -> None:
    shop.edit("select(", "slice(0, 1).select(")

    shop.materialize("shops+", executor="inline")

    first, *between, last = shop.ran()  # which of the two comes first depends on how long they took before
    assert (first, sorted(between), last) == ("orders", ["shops", "totals"], "report")


def test_only_runs_the_selection_on_the_inputs_as_they_are(shop: Workspace) -> None:
    shop.edit("select(", "slice(0, 1).select(")
    shop.edit('"shop": shop}', '"shop": shop.upper()}')

    result = shop.materialize("shops", with_upstream=False)

    assert shop.ran() == ["shops"]
    assert [one.version_number for one in result["shops"].inputs] == [1]
    assert shop.project().read("shops") == [{"shop": "NORTH"}, {"shop": "SOUTH"}]
    assert shop.states()["shops"] == "maybe"


def test_only_is_blocked_when_an_input_has_no_version(workspace: Workspace) -> None:
    workspace.assets(SHOP)
    workspace.file("helper.py", "def rounded(value):\n    return value\n")
    workspace.file("data/raw.csv", "id,shop,amount\n1,north,10\n")

    result = workspace.materialize("shops", with_upstream=False)

    assert workspace.ran() == []
    assert not result.ok
    assert (result["shops"].state, result["shops"].blocked_by) == ("blocked", ("orders",))


def test_a_misspelt_selection_is_an_error_with_the_nearest_name(shop: Workspace) -> None:
    with pytest.raises(NoSuchAsset, match="did you mean `shops`"):
        shop.materialize("shop")


def test_what_is_stale_can_be_selected(shop: Workspace) -> None:
    shop.edit("LIMIT = 100", "LIMIT = 15")
    shop.edit('"shop": shop}', '"shop": shop.upper()}')

    assert shop.project().select("is:stale") == ("shops", "big")
    assert shop.project().select("why:helper_changed") == ("big",)
    shop.materialize("is:stale and not big")
    assert shop.ran() == ["shops"]


def test_order_alone_builds_before_but_does_not_make_stale(workspace: Workspace) -> None:
    workspace.assets("""
        @asset(deps=["first"])
        def second() -> int:
            ran("second")
            return 2

        @asset
        def first() -> int:
            ran("first")
            return 1
        """)
    workspace.materialize(executor="inline")
    assert workspace.ran() == ["first", "second"]
    workspace.edit("return 1", "return 11")

    workspace.materialize()

    assert workspace.ran() == ["first"]


def test_what_stands_behind_a_failed_dependency_is_blocked_too(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def first() -> int:
            raise ValueError("no")

        @asset(deps=[first])
        def second() -> int:
            ran("second")
            return 2
        """)

    assert workspace.outcomes() == {"first": "failed", "second": "blocked"}
    assert workspace.ran() == []


def test_a_version_of_a_source_counts_for_what_only_depends_on_it(workspace: Workspace) -> None:
    workspace.assets("""
        model = source("model", path="model.bin")

        @asset(deps=[model])
        def score() -> int:
            ran("score")
            return 2
        """)
    workspace.file("model.bin", "1")
    workspace.materialize()
    workspace.file("model.bin", "22")

    workspace.materialize()

    assert workspace.ran() == ["score", "score"]
