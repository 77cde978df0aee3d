"""What a blocking check refuses: it is kept to be looked at, and never becomes current, whatever is done then."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from assetflow.care.restoring import restore
from assetflow.catalog.catalog import Catalog
from assetflow.errors import NoSuchVersion
from assetflow.model.keys import AssetKey

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

ORDERS = """
@asset
def seed() -> int:
    return 1

@asset
def orders(seed: int) -> pa.Table:
    ran("orders")
    return pa.table({"id": [1, 2]})

@check("orders")
def is_right(orders: pa.Table) -> bool:
    ran("check")
    return orders.num_rows == 2

@asset
def report(orders: pa.Table) -> int:
    ran("report")
    return orders.num_rows
"""
BAD = "pa.table({'id': [7]})"
GOOD = 'pa.table({"id": [1, 2]})'


def refused(workspace: Workspace, settings: str = "") -> None:
    """A good first version, and a second one that the check refused."""
    workspace.assets(ORDERS, settings)
    workspace.materialize()
    workspace.edit(GOOD, BAD)
    assert workspace.outcomes() == {"orders": "rejected", "report": "blocked"}
    workspace.ran()


def test_it_is_kept_and_can_be_read_and_what_was_current_stays(workspace: Workspace) -> None:
    workspace.assets(ORDERS)
    workspace.materialize()
    workspace.edit(GOOD, BAD)

    outcome = workspace.materialize()["orders"]

    assert (outcome.state, outcome.version, outcome.rejected) == ("rejected", 1, 2)
    project = workspace.project()
    for name in ("orders@2", "orders@rejected"):
        assert project.read(name, as_="arrow").to_pydict() == {"id": [7]}
    assert project.read("orders", version=2, as_="arrow").to_pydict() == {"id": [7]}
    assert project.read("orders", as_="arrow").to_pydict() == {"id": [1, 2]}
    assert [entry.head.version.number for entry in project.history("orders")] == [1]
    assert [(one.number, one.state) for one in project.rejected("orders")] == [(2, "rejected")]
    _, attempts = project.run_details(2)
    assert [(one.asset, one.state, one.version_number) for one in attempts if one.asset == "orders"] == [
        ("orders", "rejected", 2)
    ]


def test_of_an_asset_without_any_good_version_it_is_kept_too(workspace: Workspace) -> None:
    workspace.assets(ORDERS.replace(GOOD, BAD))

    assert workspace.materialize()["orders"].rejected == 1

    project = workspace.project()
    assert project.read("orders@rejected", as_="arrow").to_pydict() == {"id": [7]}
    with pytest.raises(NoSuchVersion):
        project.read("orders")
    with pytest.raises(NoSuchVersion, match="no check has rejected a version of report"):
        project.read("report@rejected")


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_a_check_that_passes_after_an_edit_has_the_asset_computed_never_linked(
    workspace: Workspace, executor: str
) -> None:
    refused(workspace)
    workspace.edit("orders.num_rows == 2", "orders.num_rows > 0")

    assert {step.asset for step in workspace.project().plan().run} == {"orders"}
    assert workspace.outcomes(executor=executor) == {"orders": "materialized", "report": "materialized"}

    assert workspace.ran() == ["orders", "check", "report"]
    project = workspace.project()
    assert project.read("orders", as_="arrow").to_pydict() == {"id": [7]}
    assert [entry.head.version.number for entry in project.history("orders")] == [3, 1]
    assert project.plan().is_empty


def test_going_back_to_the_good_code_is_current_again_and_coming_back_is_refused_again(workspace: Workspace) -> None:
    refused(workspace)
    workspace.edit(BAD, GOOD)
    assert workspace.project().plan().is_empty

    workspace.edit(GOOD, BAD)

    assert workspace.outcomes() == {"orders": "rejected", "report": "blocked"}
    assert workspace.ran() == ["orders", "check"]


def test_the_same_content_that_fails_once_more_is_no_second_copy(workspace: Workspace) -> None:
    refused(workspace)
    stored = workspace.stored()

    outcome = workspace.materialize()["orders"]

    assert (outcome.state, outcome.rejected) == ("rejected", 2)
    assert workspace.stored() == stored
    assert len(workspace.project().rejected("orders")) == 1


def test_it_cannot_be_pinned_or_rolled_back_to(workspace: Workspace) -> None:
    refused(workspace)
    project = workspace.project()

    for verb in (lambda: project.pin("orders@2"), lambda: project.rollback("orders", to=2)):
        with pytest.raises(NoSuchVersion, match="a check rejected orders v2, so it cannot become current"):
            verb()


def test_gc_removes_it_when_it_is_old_enough_however_few_versions_there_are(workspace: Workspace) -> None:
    refused(workspace)
    project = workspace.project()
    assert project.gc(dry_run=True).versions == 0
    before = workspace.stored()

    done = project.gc(keep_days=0, grace_s=0, keep=1)

    assert [(one.asset, one.numbers) for one in done.going] == [("orders", (2,))]
    assert len(workspace.stored()) < len(before)
    assert project.rejected("orders") == ()
    with pytest.raises(NoSuchVersion, match="gc removed the bytes of orders v2"):
        project.read("orders@2")
    assert project.read("orders", as_="arrow").to_pydict() == {"id": [1, 2]}
    # What was removed is stored anew when it is refused again.
    assert workspace.materialize()["orders"].rejected == 3


@pytest.mark.parametrize("has_journal", [True, False])
def test_a_rebuilt_catalog_does_not_make_it_current_or_link_it(workspace: Workspace, has_journal: bool) -> None:
    refused(workspace)
    project = workspace.project()
    state = project.settings.catalog_path.parent
    for path in state.glob("catalog.db*"):
        path.unlink()
    if not has_journal:
        for path in (state / "journal").iterdir():
            path.unlink()

    restore(project.settings)

    with closing(Catalog(project.settings.catalog_path)) as catalog:
        assert len(catalog.live_versions([AssetKey("orders")])) == 1
        assert len(catalog.rejected_versions([AssetKey("orders")])) == 1
    assert workspace.outcomes("orders") == {"orders": "rejected", **({} if has_journal else {"seed": "linked"})}
    assert workspace.ran() == ["orders", "check"]


def test_outputs_of_one_function_are_kept_or_published_each_by_its_own_checks(workspace: Workspace) -> None:
    workspace.assets("""
        @assets(Out("good"), Out("bad", checks=[row_count(5)]))
        def both():
            return pa.table({"n": [1]}), pa.table({"n": [2]})
        """)

    result = workspace.materialize()

    assert {one.asset: (one.state, one.version, one.rejected) for one in result} == {
        "good": ("materialized", 1, None), "bad": ("rejected", None, 1),
    }  # fmt: skip


def test_json_values_are_kept_too_and_what_stores_nothing_is_not(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def value() -> dict[str, int]:
            return {"n": 1}

        @asset
        def nothing() -> None:
            ...

        @check("value")
        def never(value: dict[str, int]) -> bool:
            return False

        @check("nothing")
        def not_that(nothing: None) -> bool:
            return False
        """)

    result = workspace.materialize()

    assert (result["value"].rejected, result["nothing"].rejected) == (1, None)
    assert workspace.project().read("value@rejected") == {"n": 1}
    assert json.loads(json.dumps(result.to_json()))["outcomes"][0]["rejected_version"] in (1, None)


def test_a_native_duckdb_table_that_was_refused_is_kept_and_read(workspace: Workspace) -> None:
    refused(workspace, 'io = "duckdb"\nduckdb = "native"\n')
    project = workspace.project()

    assert project.read("orders@rejected", as_="arrow").to_pydict() == {"id": [7]}
    assert project.doctor(deep=True).is_healthy
