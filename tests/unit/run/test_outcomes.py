"""How an asset can end: each state, what it leaves behind, and what the assets below it do then."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from assetflow.errors import AssetFailed, CheckFailed

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

CHAIN = """
@asset
def orders() -> pa.Table:
    ran("orders")
    return pa.table({"id": [1, 2], "amount": [10, 20]})

@asset
def totals(orders: Rows) -> Rows:
    ran("totals")
    return [{"total": sum(row["amount"] for row in orders)}]

@asset
def apart() -> int:
    ran("apart")
    return 7
"""


def test_new_content_is_materialized_as_a_version(workspace: Workspace) -> None:
    workspace.assets(CHAIN)

    result = workspace.materialize()

    assert result.ok
    assert result.counts == {"materialized": 3}
    orders = result["orders"]
    assert (orders.version, orders.rows, orders.attempts) == (1, 2, 1)
    assert (orders.size_bytes or 0) > 0
    assert set(orders.seconds) == {"load", "compute", "write", "check", "commit"}
    assert [(one.parameter, one.upstream, one.version_number) for one in result["totals"].inputs] == [
        ("orders", "orders", 1)
    ]
    assert workspace.project().read("totals") == [{"total": 30}]


def test_a_second_run_has_nothing_to_do_and_is_not_recorded(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.materialize()
    workspace.ran()

    result = workspace.materialize()

    assert (result.run_id, result.current, result.counts, result.ok) == (None, 3, {}, True)
    assert workspace.ran() == []
    assert len(workspace.project().runs()) == 1


def test_equal_content_is_unchanged_and_keeps_its_version_and_bytes(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.materialize()
    stored = workspace.stored()
    workspace.edit('"amount": [10, 20]', '"amount": [9 + 1, 20]')

    result = workspace.materialize("orders")

    assert result["orders"].state == "unchanged"
    assert result["orders"].version == 1
    assert workspace.stored() == stored


def test_unchanged_content_cuts_off_what_is_below(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.materialize()
    workspace.ran()
    workspace.edit('"amount": [10, 20]', '"amount": [9 + 1, 20]')

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {"orders": "unchanged", "totals": "cut_off"}
    assert result["totals"].version == 1
    assert workspace.ran() == ["orders"]
    assert workspace.states() == {"orders": "current", "totals": "current", "apart": "current"}


def test_a_revert_links_earlier_results_and_runs_nothing(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.materialize()
    workspace.edit("[10, 20]", "[10, 21]")
    workspace.materialize()
    workspace.ran()
    workspace.edit("[10, 21]", "[10, 20]")

    result = workspace.materialize()

    assert {one.asset: (one.state, one.version) for one in result} == {"orders": ("linked", 1), "totals": ("linked", 1)}
    assert workspace.ran() == []
    assert workspace.project().read("totals") == [{"total": 30}]
    assert workspace.materialize().run_id is None


def test_skip_without_a_change_keeps_the_version_and_the_assets_below(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.materialize()
    workspace.ran()
    workspace.edit('    ran("orders")', '    ran("orders")\n    raise Skip("no new data")')

    result = workspace.materialize()

    assert result.ok
    assert {one.asset: one.state for one in result} == {"orders": "skipped", "totals": "cut_off"}
    assert (result["orders"].message, result["orders"].version) == ("no new data", 1)
    assert workspace.ran() == ["orders"]
    assert workspace.project().read("totals") == [{"total": 30}]


def test_a_skipped_asset_is_tried_again_next_time(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.edit('    ran("apart")', '    ran("apart")\n    raise Skip')

    assert workspace.outcomes("apart") == {"apart": "skipped"}
    assert workspace.outcomes("apart") == {"apart": "skipped"}
    assert workspace.ran() == ["apart", "apart"]


def test_what_is_below_an_asset_that_skipped_before_it_had_a_version_is_blocked(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.edit('    ran("orders")', '    ran("orders")\n    raise Skip("no new data")')

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {
        "orders": "skipped", "totals": "blocked", "apart": "materialized",
    }  # fmt: skip
    assert result["totals"].blocked_by == ("orders",)
    assert "totals" not in workspace.ran()


def test_an_exception_fails_the_asset_and_blocks_what_is_below_and_nothing_else(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.edit('    ran("orders")', '    ran("orders")\n    raise ValueError("no luck")')

    result = workspace.materialize()

    assert not result.ok
    assert {one.asset: one.state for one in result} == {
        "orders": "failed", "totals": "blocked", "apart": "materialized",
    }  # fmt: skip
    error = result["orders"].error
    assert error is not None
    assert (error.code, error.type, error.message, error.function) == ("AF160", "ValueError", "no luck", "orders")
    assert (error.file, error.line) == (str(workspace.root / "assets.py"), _line(workspace, "no luck"))
    assert error.text.startswith("Traceback")
    assert "assetflow/run" not in error.text
    assert result["totals"].blocked_by == ("orders",)


def _line(workspace: Workspace, text: str) -> int:
    lines = (workspace.root / "assets.py").read_text().splitlines()
    return next(number for number, line in enumerate(lines, 1) if text in line)


def test_the_error_of_a_helper_is_shown_at_the_innermost_line_of_the_project(workspace: Workspace) -> None:
    workspace.assets("""
        from helper import parse

        @asset
        def number() -> int:
            return parse("seven")
        """)
    workspace.file("helper.py", "def parse(text):\n    return int(text)\n")

    error = workspace.materialize()["number"].error

    assert error is not None
    assert (error.file, error.line, error.function) == (str(workspace.root / "helper.py"), 2, "parse")
    assert (2, "    return int(text)") in error.frame


def test_a_failed_run_leaves_the_head_and_the_store_as_they_were(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.materialize()
    stored, before = workspace.stored(), workspace.project().history("orders")
    workspace.edit('    ran("orders")\n', '    ran("orders")\n    return object()\n')

    result = workspace.materialize()

    assert result["orders"].state == "failed"
    assert result["orders"].version == 1
    assert workspace.stored() == stored
    assert workspace.project().history("orders") == before


def test_a_mended_asset_takes_what_is_below_along(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.edit('    ran("orders")', '    raise ValueError("no luck")')
    workspace.materialize()
    workspace.ran()
    workspace.edit('    raise ValueError("no luck")', '    ran("orders")')

    result = workspace.materialize()

    assert result.ok
    assert {one.asset: one.state for one in result} == {"orders": "materialized", "totals": "materialized"}
    assert workspace.ran() == ["orders", "totals"]


def test_a_blocking_check_rejects_the_new_version_and_blocks_what_is_below(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.materialize()
    stored = workspace.stored()
    workspace.edit("@asset\ndef orders", '@asset(checks=[in_range("amount", 0)])\ndef orders')
    workspace.edit("[10, 20]", "[10, -20]")

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {"orders": "rejected", "totals": "blocked"}
    assert not result.ok
    orders = result["orders"]
    assert (orders.version, [check.passed for check in orders.checks]) == (1, [False])
    assert orders.error is not None
    assert orders.error.code == CheckFailed.code
    assert workspace.stored() > stored, "it is kept to be looked at"
    assert workspace.project().read("totals") == [{"total": 30}]


def test_the_exception_of_a_result_is_that_of_the_first_asset_that_failed(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.materialize().raise_for_status()
    workspace.edit('    ran("apart")', '    raise KeyError("apart")')

    with pytest.raises(AssetFailed, match="KeyError: 'apart'"):
        workspace.materialize().raise_for_status()


def test_a_rejected_result_raises_check_failed(workspace: Workspace) -> None:
    workspace.assets("@asset(checks=[row_count(5)])\ndef few() -> pa.Table:\n    return pa.table({'n': [1]})\n")

    with pytest.raises(CheckFailed, match="row_count"):
        workspace.materialize().raise_for_status()


def test_sys_exit_in_an_asset_fails_that_asset_only(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.edit('    ran("orders")', "    raise SystemExit(3)")

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {
        "orders": "failed", "totals": "blocked", "apart": "materialized",
    }  # fmt: skip


def test_a_result_knows_its_assets_by_key_and_names_the_nearest_one(workspace: Workspace) -> None:
    workspace.assets(CHAIN)

    result = workspace.materialize()

    with pytest.raises(KeyError, match="did you mean `totals`"):
        result["total"]


def test_what_a_wrong_result_left_aside_is_removed(workspace: Workspace) -> None:
    workspace.assets(CHAIN)
    workspace.edit("def apart() -> int:", "def apart() -> pa.Table:")

    result = workspace.materialize()

    assert result["apart"].error is not None
    assert result["apart"].error.code == "AF130"
    assert list((workspace.root / ".assetflow" / "data" / "tmp").iterdir()) == []
