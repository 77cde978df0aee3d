"""What a function can return besides its data: metadata, the data's own time, nothing at all."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from assetflow.errors import WrongReturn

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace


def test_metadata_of_a_result_is_recorded_with_the_version(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def orders() -> Result:
            return Result([{"id": 1}], metadata={"pages": 3, "from": "api"})
        """)

    workspace.materialize().raise_for_status()

    project = workspace.project()
    assert project.read("orders") == [{"id": 1}]
    assert project.history("orders")[0].head.trace.metadata == {"pages": 3, "from": "api"}


def test_metadata_of_the_context_is_recorded_and_that_of_the_result_wins(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def orders(context: Context) -> Result:
            context.add_metadata(pages=1, calls=7)
            return Result([{"id": 1}], metadata={"pages": 3})
        """)

    workspace.materialize().raise_for_status()

    assert workspace.project().history("orders")[0].head.trace.metadata == {"pages": 3, "calls": 7}


def test_metadata_that_is_not_json_fails_the_asset_and_not_the_run(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def orders() -> Result:
            return Result([{"id": 1}], metadata={"seen": {1, 2}})

        @asset
        def apart() -> int:
            return 1
        """)

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {"orders": "failed", "apart": "materialized"}
    error = result["orders"].error
    assert error is not None
    assert error.code == WrongReturn.code
    assert "`seen`" in error.message


@pytest.mark.parametrize("metadata", ["{(1, 2): 3}", "5", "{'seen': {'in': object()}}"])
def test_metadata_of_another_form_fails_the_asset_and_not_the_run(workspace: Workspace, metadata: str) -> None:
    workspace.assets(f"""
        @asset
        def orders() -> Result:
            return Result([{{"id": 1}}], metadata={metadata})

        @asset
        def apart() -> int:
            return 1
        """)

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {"orders": "failed", "apart": "materialized"}
    assert result["orders"].error is not None
    assert result["orders"].error.code == WrongReturn.code


def test_the_reason_of_a_skip_may_be_an_exception(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def orders() -> int:
            raise Skip(ValueError("no new files"))

        @asset
        def apart() -> int:
            return 1
        """)

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {"orders": "skipped", "apart": "materialized"}


def test_numbers_of_numpy_within_metadata_are_numbers(workspace: Workspace) -> None:
    workspace.assets("""
        import numpy as np

        @asset
        def orders() -> Result:
            return Result([{"id": 1}], metadata={"means": {"net": [np.float64(1.5), np.int64(3)], "n": (1, 2)}})
        """)

    workspace.materialize().raise_for_status()

    found = workspace.project().history("orders")[0].head.trace.metadata
    assert found == {"means": {"net": [1.5, 3], "n": [1, 2]}}


def test_numbers_of_numpy_are_metadata(workspace: Workspace) -> None:
    workspace.assets("""
        import numpy as np

        @asset
        def orders(context: Context) -> Result:
            context.add_metadata(total=np.int64(3), mean=np.float64(1.5), any=np.bool_(True))
            return Result([{"id": 1}])
        """)

    workspace.materialize().raise_for_status()

    assert workspace.project().history("orders")[0].head.trace.metadata == {"total": 3, "mean": 1.5, "any": True}


def test_as_of_of_a_result_is_the_time_of_its_data_and_of_what_is_below(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def orders() -> Result:
            return Result([{"id": 1}], as_of=datetime(2024, 5, 1, tzinfo=UTC))

        @asset(freshness=Freshness(within="1h"))
        def below(orders: Rows) -> int:
            return len(orders)
        """)

    workspace.materialize().raise_for_status()

    below = workspace.project().status()["below"].freshness
    assert below.as_of == datetime(2024, 5, 1, tzinfo=UTC).timestamp()
    assert (str(below.timeliness), below.because) == ("overdue", "orders")


def test_as_of_without_a_time_zone_is_refused(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef orders() -> Result:\n    return Result(1, as_of=datetime(2024, 5, 1))\n")

    with pytest.raises(WrongReturn, match="without a time zone"):
        workspace.materialize().raise_for_status()


def test_without_as_of_data_is_as_old_as_the_oldest_input(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def old() -> Result:
            return Result(1, as_of=datetime(2024, 5, 1, tzinfo=UTC))

        @asset
        def new() -> Result:
            return Result(2, as_of=datetime(2025, 5, 1, tzinfo=UTC))

        @asset
        def both(old: int, new: int) -> int:
            return old + new
        """)

    workspace.materialize().raise_for_status()

    head = workspace.project().history("both")[0].head
    assert head.trace.as_of == datetime(2024, 5, 1, tzinfo=UTC).timestamp()


def test_nothing_returned_is_a_side_effect_that_is_recorded_and_versioned(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def orders() -> int:
            return 1

        @asset
        def delivered(orders: int) -> None:
            ran(f"delivered {orders}")
        """)

    first = workspace.materialize()
    again = workspace.materialize()

    assert (first["delivered"].state, first["delivered"].version, first["delivered"].rows) == ("materialized", 1, None)
    assert again.run_id is None
    assert workspace.ran() == ["delivered 1"]


def test_a_side_effect_runs_again_after_each_change_also_back_to_what_was(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def orders() -> int:
            return 1

        @asset
        def delivered(orders: int) -> None:
            ran(f"delivered {orders}")
        """)
    workspace.materialize()
    workspace.edit("return 1", "return 2")
    workspace.materialize()
    workspace.edit("return 2", "return 1")

    result = workspace.materialize()

    assert result["orders"].state == "linked"
    assert workspace.ran() == ["delivered 1", "delivered 2", "delivered 1"]


def test_what_depends_on_a_side_effect_runs_after_it(workspace: Workspace) -> None:
    workspace.assets("""
        @asset(deps=["loaded"])
        def queried() -> int:
            ran("queried")
            return 1

        @asset
        def loaded() -> None:
            ran("loaded")
        """)

    workspace.materialize()

    assert workspace.ran() == ["loaded", "queried"]


def test_an_annotated_table_that_was_forgotten_to_return_is_not_a_side_effect(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef orders() -> pa.Table:\n    pa.table({'id': [1]})\n")

    result = workspace.materialize()

    error = result["orders"].error
    assert error is not None
    assert (error.code, error.fix) == (WrongReturn.code, "add the missing `return`")
