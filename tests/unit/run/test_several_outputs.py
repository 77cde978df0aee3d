"""Functions that make several assets: what they may return, and how each output goes its own way."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

SPLIT = """
@asset
def orders() -> Rows:
    ran("orders")
    return [{"id": 1, "paid": True}, {"id": 2, "paid": False}]

@assets("paid", Out("marts.unpaid"))
def split(orders: Rows) -> dict:
    ran("split")
    return {
        "paid": [row["id"] for row in orders if row["paid"]],
        "unpaid": [row["id"] for row in orders if not row["paid"]],
    }

@asset
def thanks(paid: list) -> int:
    ran("thanks")
    return len(paid)

@asset
def reminders(unpaid: list) -> int:
    ran("reminders")
    return len(unpaid)
"""


def test_a_mapping_by_key_or_last_name_runs_once_for_all_outputs(workspace: Workspace) -> None:
    workspace.assets(SPLIT)

    result = workspace.materialize(executor="inline")

    assert workspace.ran() == ["orders", "split", "thanks", "reminders"]
    assert result.counts == {"materialized": 5}
    project = workspace.project()
    assert (project.read("paid"), project.read("marts.unpaid")) == ([1], [2])


def test_a_tuple_in_the_order_of_the_outputs(workspace: Workspace) -> None:
    workspace.assets("""
        @assets("one", "two")
        def both() -> tuple:
            return 1, Result(2, metadata={"pages": 5})
        """)

    workspace.materialize().raise_for_status()

    project = workspace.project()
    assert (project.read("one"), project.read("two")) == (1, 2)
    assert [project.history(key)[0].head.trace.metadata for key in ("one", "two")] == [{}, {"pages": 5}]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1, 2, 3", "returned a tuple; it makes 2 assets"),
        ("5", "returned an int; it makes 2 assets"),
        ("None", "returned None; it makes 2 assets"),
        ('{"one": 1}', "returned nothing for two"),
        ('{"one": 1, "two": 2, "three": 3}', "returned more than it declares: three"),
        ('{"one": 1, "tow": 2}', "returned nothing for two"),
    ],
)
def test_another_shape_fails_all_outputs_and_says_what_came(workspace: Workspace, value: str, text: str) -> None:
    workspace.assets(f'@assets("one", "two")\ndef both() -> object:\n    return {value}\n')

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {"one": "failed", "two": "failed"}
    for outcome in result:
        assert outcome.error is not None
        assert outcome.error.code == "AF130"
        assert text in outcome.error.message


def test_an_exception_fails_all_outputs(workspace: Workspace) -> None:
    workspace.assets(SPLIT)
    workspace.edit('    ran("split")', '    raise ValueError("no")')

    assert workspace.outcomes() == {
        "orders": "materialized", "paid": "failed", "marts.unpaid": "failed",
        "thanks": "blocked", "reminders": "blocked",
    }  # fmt: skip


def test_each_output_is_cut_off_by_itself(workspace: Workspace) -> None:
    workspace.assets(SPLIT)
    workspace.materialize()
    workspace.ran()
    workspace.edit('{"id": 2, "paid": False}', '{"id": 22, "paid": False}')

    result = workspace.materialize(executor="inline")

    assert {one.asset: one.state for one in result} == {
        "orders": "materialized", "paid": "unchanged", "marts.unpaid": "materialized",
        "thanks": "cut_off", "reminders": "unchanged",
    }  # fmt: skip
    assert workspace.ran() == ["orders", "split", "reminders"]


def test_a_failed_check_of_one_output_does_not_keep_the_other_back(workspace: Workspace) -> None:
    workspace.assets(SPLIT + "\n\n@check('marts.unpaid')\ndef none(unpaid: list) -> bool:\n    return not unpaid\n")

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {
        "orders": "materialized", "paid": "materialized", "marts.unpaid": "rejected",
        "thanks": "materialized", "reminders": "blocked",
    }  # fmt: skip
    assert [(check.name, check.passed) for check in result["marts.unpaid"].checks] == [("none", False)]
    assert result["paid"].checks == ()
    assert result["reminders"].blocked_by == ("marts.unpaid",)
    assert not result.ok


def test_after_a_failed_check_the_function_runs_again_and_the_good_output_is_unchanged(workspace: Workspace) -> None:
    check = "\n\n@check('marts.unpaid')\ndef none(unpaid: list) -> bool:\n    return {}\n"
    workspace.assets(SPLIT + check.format("not unpaid"))
    workspace.materialize()
    workspace.ran()
    workspace.edit("return not unpaid", "return bool(unpaid)")

    result = workspace.materialize(executor="inline")

    assert {one.asset: one.state for one in result} == {
        "paid": "unchanged", "marts.unpaid": "materialized", "thanks": "cut_off", "reminders": "materialized",
    }  # fmt: skip
    assert workspace.ran() == ["split", "reminders"]


def test_an_output_that_cannot_be_stored_fails_the_function_and_leaves_nothing_behind(workspace: Workspace) -> None:
    workspace.assets("""
        @assets("one", "two")
        def both() -> tuple:
            return [1], object()
        """)

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {"one": "failed", "two": "failed"}
    assert workspace.stored() == set()


def test_one_selected_output_brings_the_others_along(workspace: Workspace) -> None:
    workspace.assets(SPLIT)

    result = workspace.materialize("marts.unpaid")

    assert set(result.outcomes) == {"orders", "paid", "marts.unpaid"}


def test_outputs_have_io_and_checks_of_their_own(workspace: Workspace) -> None:
    workspace.assets("""
        @assets(Out("table", checks=[row_count(2)]), Out("text", io="json"), io="parquet")
        def both() -> tuple:
            return pa.table({"n": [1, 2]}), {"a": 1}
        """)

    result = workspace.materialize()

    result.raise_for_status()
    assert [check.name for check in result["table"].checks] == ["row_count"]
    assert {key: workspace.project().history(key)[0].head.version.io for key in ("table", "text")} == {
        "table": "parquet", "text": "json",
    }  # fmt: skip


def test_metadata_of_the_context_is_recorded_with_every_output(workspace: Workspace) -> None:
    workspace.assets("""
        @assets("one", "two")
        def both(context: Context) -> tuple:
            context.add_metadata(pages=3)
            return 1, 2
        """)

    workspace.materialize().raise_for_status()

    project = workspace.project()
    assert [project.history(key)[0].head.trace.metadata for key in ("one", "two")] == [{"pages": 3}, {"pages": 3}]


def test_skip_keeps_all_outputs(workspace: Workspace) -> None:
    workspace.assets(SPLIT)
    workspace.materialize()
    workspace.edit('    ran("split")', '    raise Skip("later")')

    assert workspace.outcomes() == {
        "paid": "skipped", "marts.unpaid": "skipped", "thanks": "cut_off", "reminders": "cut_off",
    }  # fmt: skip
    assert workspace.project().read("paid") == [1]


def test_a_lost_output_runs_the_function_again(workspace: Workspace) -> None:
    workspace.assets(SPLIT)
    workspace.materialize()
    workspace.ran()
    (next((workspace.root / ".assetflow" / "data" / "paid").rglob("value.json"))).unlink()

    result = workspace.materialize(executor="inline")

    assert workspace.ran() == ["split"]
    assert {one.asset: one.state for one in result} == {
        "paid": "materialized", "marts.unpaid": "unchanged", "thanks": "cut_off", "reminders": "cut_off",
    }  # fmt: skip
