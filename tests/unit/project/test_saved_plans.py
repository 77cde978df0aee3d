"""Plans in files: exactly that is done later, or nothing, and the message says what moved."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from assetflow.errors import PlanMoved, UsageError
from assetflow.plan.saved import read_saved_plan, saved_plan

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

SHOP = """
raw = source("raw", path="raw.csv")

@asset
def orders(raw: Rows) -> Rows:
    ran("orders")
    return [{"n": row["n"]} for row in raw]

@asset
def report(orders: Rows) -> dict:
    ran("report")
    return {"total": sum(row["n"] for row in orders)}

@asset
def apart() -> int:
    ran("apart")
    return 7
"""


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP)
    workspace.file("raw.csv", "n\n1\n")
    assert workspace.materialize(executor="inline").ok
    workspace.edit("for row in raw", "for row in list(raw)")
    workspace.ran()
    return workspace


def save(workspace: Workspace, selection: str | None = None, *, force: bool = False) -> Path:
    path = workspace.root / "plan.json"
    path.write_text(json.dumps(saved_plan(workspace.project().plan(selection, force=force), force=force,
                                          with_upstream=True)))  # fmt: skip
    return path


def apply(workspace: Workspace, path: Path) -> dict[str, str]:
    return {one.asset: one.state for one in workspace.project().materialize(saved=read_saved_plan(path))}


def test_what_was_planned_is_done(shop: Workspace) -> None:
    assert apply(shop, save(shop)) == {"orders": "unchanged", "report": "cut_off"}
    assert shop.ran() == ["orders"]


def test_the_selection_and_force_are_those_of_the_plan(shop: Workspace) -> None:
    assert apply(shop, save(shop, "apart", force=True)) == {"apart": "unchanged"}
    assert shop.ran() == ["apart"]


def edit_code(shop: Workspace) -> None:
    shop.edit("list(raw)", "tuple(raw)")


def change_source(shop: Workspace) -> None:
    shop.file("raw.csv", "n\n2\n")


def run_it(shop: Workspace) -> None:
    assert shop.materialize("orders").ok


def run_more(shop: Workspace) -> None:
    shop.edit('{"n": row["n"]}', '{"n": row["n"] + 1}')
    assert shop.materialize("orders").ok
    shop.edit('{"n": row["n"] + 1}', '{"n": row["n"]}')


def add_one(shop: Workspace) -> None:
    shop.edit("@asset\ndef apart", "@asset\ndef another() -> int:\n    return 1\n\n@asset\ndef apart")


def remove_one(shop: Workspace) -> None:
    shop.edit("@asset\ndef apart", "def apart")


def lose_bytes(shop: Workspace) -> None:
    for path in (shop.root / ".assetflow" / "data" / "apart").rglob("value*"):
        path.unlink()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (edit_code, "orders has another definition"),
        (change_source, "raw has other content"),
        (run_it, "orders was made again"),
        (run_more, "orders is at version 2, and was at 1"),
        (add_one, "another was not planned"),
        (remove_one, "apart is not there any more"),
        (lose_bytes, "apart is planned as run, and was as current"),
    ],
)
def test_a_plan_that_is_out_of_date_is_refused(shop: Workspace, change: Callable[[Workspace], None], told: str) -> None:
    path = save(shop)
    change(shop)
    shop.ran()
    with pytest.raises(PlanMoved) as caught:
        apply(shop, path)
    assert told in caught.value.facts
    assert shop.ran() == []
    assert caught.value.exit_code == 5


def test_a_plan_that_was_carried_out_is_not_carried_out_again(shop: Workspace) -> None:
    path = save(shop)
    apply(shop, path)
    with pytest.raises(PlanMoved, match="nothing was run"):
        apply(shop, path)


def test_a_plan_of_another_environment_is_refused(shop: Workspace) -> None:
    saved = read_saved_plan(save(shop))
    with pytest.raises(UsageError, match="the plan is for env dev, and this is env prod"):
        shop.project("prod").materialize(saved=saved)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"schema": "assetflow.saved-plan/2"}', '{"schema": "assetflow.saved-plan/1", "env": "dev"}'],
)
def test_what_is_no_plan_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(UsageError):
        read_saved_plan(path)
    with pytest.raises(UsageError, match="cannot be read as a plan"):
        read_saved_plan(tmp_path / "nothing.json")
