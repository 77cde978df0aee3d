"""`accept="last_good"`: an asset that runs on what its upstream was when that cannot be built."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from assetflow import In
from assetflow.load.definitions import load_project
from assetflow.load.settings import read_settings
from assetflow.model.spec import spec_from_json, spec_to_json

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

SHOP = """
@asset
def rates() -> int:
    return 1

@asset
def orders() -> int:
    return 10

@asset
def report(orders: int, rates: Annotated[int, In(accept="last_good")]) -> int:
    ran("report")
    return orders * rates

@asset
def strict(rates: int) -> int:
    return rates
"""
FAILS = "def rates() -> int:\n    raise ValueError('no rates')"


def broken(workspace: Workspace) -> None:
    """All is built, then orders changes, and rates cannot be built any more."""
    workspace.assets(SHOP)
    workspace.materialize()
    workspace.ran()
    workspace.edit("return 10", "return 20")
    workspace.edit("def rates() -> int:\n    return 1", FAILS)


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_it_runs_on_the_last_good_version_and_says_so(workspace: Workspace, executor: str) -> None:
    broken(workspace)

    result = workspace.materialize(executor=executor)

    assert {one.asset: one.state for one in result} == {
        "rates": "failed", "orders": "materialized", "report": "materialized", "strict": "blocked",
    }  # fmt: skip
    assert result["report"].message == "on the last good rates@1"
    project = workspace.project()
    assert project.read("report") == 20
    read = {one.upstream: one.version_number for one in project.history("report")[0].head.trace.inputs}
    assert read == {"orders": 2, "rates": 1}


def test_afterwards_it_is_not_called_current_while_its_upstream_is_stale(workspace: Workspace) -> None:
    broken(workspace)
    workspace.materialize()

    assert workspace.project().status()["report"].content == "maybe"

    workspace.edit("raise ValueError('no rates')", "return 3")
    assert workspace.outcomes()["report"] == "materialized"
    assert workspace.project().read("report") == 60


def test_without_another_change_nothing_is_computed_again(workspace: Workspace) -> None:
    workspace.assets(SHOP)
    workspace.materialize()
    workspace.edit("def rates() -> int:\n    return 1", FAILS)
    workspace.ran()

    result = workspace.materialize()

    assert result["report"].state == "cut_off"
    assert result["report"].message == "on the last good rates@1"
    assert workspace.ran() == []


def test_without_any_version_it_is_blocked(workspace: Workspace) -> None:
    workspace.assets(SHOP)
    workspace.edit("def rates() -> int:\n    return 1", FAILS)

    result = workspace.materialize()

    assert (result["report"].state, result["report"].blocked_by) == ("blocked", ("rates",))


def test_what_a_check_refuses_and_what_is_blocked_above_count_as_not_built(workspace: Workspace) -> None:
    workspace.assets(
        SHOP.replace("def rates() -> int:\n    return 1", "def rates(feed: int) -> int:\n    return feed")
        + """
@asset
def feed() -> int:
    return 1

@check("feed")
def is_small(feed: int) -> bool:
    return feed < 5
"""
    )
    workspace.materialize()
    workspace.edit("return 10", "return 30")
    workspace.edit("def feed() -> int:\n    return 1", "def feed() -> int:\n    return 9")

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {
        "feed": "rejected", "rates": "blocked", "orders": "materialized", "report": "materialized", "strict": "blocked",
    }  # fmt: skip
    assert workspace.project().read("report") == 30  # and not 30 * 9: what was refused is not read


def test_a_plan_says_which_version_stands_when_a_source_is_away(workspace: Workspace) -> None:
    workspace.file("feed.json", '[{"n": 1}]')
    workspace.assets(
        "feed = source('feed', path='feed.json')\n"
        + SHOP.replace("def rates() -> int:\n    return 1", "def rates(feed: Rows) -> int:\n    return 1")
    )
    workspace.materialize()
    workspace.edit("return 10", "return 20")
    (workspace.root / "feed.json").unlink()

    plan = workspace.project().plan()

    assert {step.asset: str(step.action) for step in plan if not step.spec.is_source} == {
        "rates": "blocked", "orders": "run", "report": "maybe", "strict": "blocked",
    }  # fmt: skip
    (said,) = plan["report"].modifiers
    assert (said.word, said.text) == ("last_good", "reads rates@1, as it cannot be built")
    assert workspace.outcomes()["report"] == "materialized"
    assert workspace.project().read("report") == 20


def test_it_is_in_the_manifest_and_not_in_the_fingerprint(workspace: Workspace) -> None:
    workspace.assets(SHOP)
    (with_it,) = [spec for spec in load_project(read_settings(workspace.root)).specs if spec.key == "report"]
    workspace.materialize()

    workspace.edit('Annotated[int, In(accept="last_good")]', "int")

    (without,) = [spec for spec in load_project(read_settings(workspace.root)).specs if spec.key == "report"]
    assert [one.accept for one in with_it.inputs] == ["", "last_good"]
    assert [one.accept for one in without.inputs] == ["", ""]
    assert spec_from_json(spec_to_json(with_it)).inputs == with_it.inputs
    assert with_it.code_parts == without.code_parts
    assert with_it.code == without.code
    assert workspace.project().plan().is_empty


def test_another_word_is_refused() -> None:
    with pytest.raises(ValueError, match='In\\(accept="newest"\\) is not known; "last_good" is'):
        In(accept="newest")
