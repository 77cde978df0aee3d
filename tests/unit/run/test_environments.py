"""Environments: apart from each other, over one store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from assetflow.errors import NoSuchVersion

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

PAIR = """
@asset(checks=[in_range("n", 0, 50, blocking=False)])
def numbers() -> pa.Table:
    ran("numbers")
    return pa.table({"n": [1, 2]})

@asset
def total(numbers: Rows) -> int:
    ran("total")
    return sum(row["n"] for row in numbers)
"""


def test_what_is_built_in_one_is_not_current_in_the_other(workspace: Workspace) -> None:
    workspace.assets(PAIR)
    workspace.materialize(env="dev")

    assert workspace.states("prod") == {"numbers": "missing", "total": "missing"}
    with pytest.raises(NoSuchVersion, match="has not been materialized"):
        workspace.project("prod").read("total")


def test_a_result_of_the_other_environment_is_linked_and_not_computed_again(workspace: Workspace) -> None:
    workspace.assets(PAIR)
    workspace.materialize(env="dev")
    workspace.ran()

    result = workspace.materialize(env="prod")

    assert {one.asset: (one.state, one.version) for one in result} == {"numbers": ("linked", 1), "total": ("linked", 1)}
    assert workspace.ran() == []
    assert workspace.project("prod").read("total") == 3


def test_a_change_in_one_leaves_the_other_where_it_is(workspace: Workspace) -> None:
    workspace.assets(PAIR)
    workspace.materialize(env="dev")
    workspace.materialize(env="prod")
    workspace.edit("[1, 2]", "[1, 99]")
    workspace.materialize(env="dev")

    dev, prod = workspace.project("dev"), workspace.project("prod")

    assert (dev.read("total"), prod.read("total")) == (100, 3)
    assert workspace.states("dev") == {"numbers": "current", "total": "current"}
    assert workspace.states("prod")["numbers"] == "reusable"
    assert [entry.head.version.number for entry in dev.history("total")] == [2, 1]
    assert [entry.head.version.number for entry in prod.history("total")] == [1]


def test_checks_and_runs_of_one_are_not_shown_in_the_other(workspace: Workspace) -> None:
    workspace.assets(PAIR)
    workspace.materialize(env="prod")
    workspace.edit("[1, 2]", "[1, 99]")
    workspace.materialize(env="dev")
    workspace.edit("[1, 99]", "[1, 2]")

    prod = workspace.project("prod")

    assert [check.passed for check in prod.show("numbers").checks] == [True]
    last = prod.status().last_run
    assert last is not None
    assert (last.env, last.run_id) == ("prod", 1)
    assert [(run.run_id, run.env) for run in prod.runs()] == [(2, "dev"), (1, "prod")]


def test_a_failure_in_one_is_not_a_failure_in_the_other(workspace: Workspace) -> None:
    workspace.assets(PAIR)
    workspace.materialize(env="prod")
    workspace.edit('ran("total")', 'raise ValueError("no")')
    workspace.materialize(env="dev")
    assert workspace.states("dev")["total"] == "failed"
    assert workspace.states("prod")["total"] == "stale"
    workspace.edit('raise ValueError("no")', 'ran("total")')

    assert workspace.states("prod") == {"numbers": "current", "total": "current"}
    assert workspace.states("dev")["total"] == "missing"


def test_the_environment_comes_from_the_argument_then_the_variable_then_the_file(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.assets(PAIR, settings='env = "filed"\n')
    assert workspace.project().env == "filed"

    monkeypatch.setenv("ASSETFLOW_ENV", "variable")
    assert workspace.project().env == "variable"
    assert workspace.project("given").env == "given"
