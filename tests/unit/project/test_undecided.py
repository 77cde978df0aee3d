"""Edits of which somebody has to say whether they are for what was made before them."""

from __future__ import annotations

import json

import pytest

from assetflow.plan.saved import read_saved_plan, saved_plan
from tests.unit.conftest import Workspace
from tests.unit.project.test_forward import SHOP as FORWARD

SHOP = FORWARD.replace('on_code_change="forward"', 'on_code_change="ask"')
DAYS = ["2026-01-01", "2026-01-02", "2026-01-03"]


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP, 'executor = "inline"\n')
    for day in range(1, 6):
        workspace.file(f"2026-01-0{day}.txt", str(day))
    workspace.materialize().raise_for_status()
    workspace.ran()
    return workspace


def net(shop: Workspace) -> list[float]:
    return shop.project().read("net")["net"].tolist()


def undecided(shop: Workspace, *, rebuild: bool = False) -> list[str]:
    return [step.partition for step in shop.project().plan(rebuild=rebuild).undecided]


def test_an_edit_leaves_what_was_made_before_until_somebody_says_what_it_is_for(shop: Workspace) -> None:
    shop.edit("return 1.0", "return 10.0")
    project = shop.project()
    plan = project.plan()

    assert [step.asset for step in plan.undecided] == [f"net[{day}]" for day in DAYS]
    assert {reason.code for step in plan.undecided for reason in step.reasons} == {"helper_changed"}
    assert plan.is_empty
    row = project.status()["net"]
    assert (row.state, dict(row.parts)) == ("undecided", {"undecided": 3})
    assert project.status()["shown"].state == "current"
    assert project.select("is:undecided") == ("net",)

    result = project.materialize()

    assert result.ok
    assert result.undecided == ("net[2026-01-01..2026-01-03]",)
    assert shop.ran() == []


def test_the_rest_runs_and_what_is_stale_anyway_is_made_with_the_code_of_now(shop: Workspace) -> None:
    shop.edit("return 1.0", "return 10.0")
    shop.edit('end="2026-01-03"', 'end="2026-01-04"')
    shop.file("2026-01-02.txt", "7")

    result = shop.materialize()

    assert result.ok
    assert result.undecided == ("net[2026-01-01, 2026-01-03]",)
    assert sorted(shop.ran()) == ["net 2026-01-02", "net 2026-01-04", "shown 2026-01-02", "shown 2026-01-04"]
    assert net(shop) == [1.0, 70.0, 3.0, 40.0]
    assert undecided(shop) == ["2026-01-01", "2026-01-03"]


def test_an_input_that_comes_out_the_same_leaves_it_undecided(shop: Workspace) -> None:
    shop.edit("return 1.0", "return 10.0")
    shop.materialize("orders", force=True, partitions="2026-01-02").raise_for_status()
    shop.project().invalidate("orders[2026-01-02]")

    result = shop.materialize()

    assert result["net[2026-01-02]"].state == "cut_off"
    assert shop.ran() == []
    assert undecided(shop) == DAYS


def test_rebuild_says_that_it_is_for_them(shop: Workspace) -> None:
    shop.edit("return 1.0", "return 10.0")
    assert undecided(shop, rebuild=True) == []

    shop.materialize("net", rebuild=True, partitions="2026-01-02..2026-01-03").raise_for_status()

    assert shop.ran() == ["net 2026-01-02", "net 2026-01-03"]
    assert net(shop) == [1.0, 20.0, 30.0]
    shop.materialize("shown", rebuild=True).raise_for_status()  # of what is selected, and of nothing above it
    assert shop.ran() == ["shown 2026-01-02", "shown 2026-01-03"]
    assert undecided(shop) == ["2026-01-01"]
    assert shop.materialize("net").undecided == ("net[2026-01-01]",)


def test_accept_says_that_it_is_not_for_them_and_can_be_taken_back(shop: Workspace) -> None:
    shop.edit("return 1.0", "return 10.0")

    found = shop.project().accept("net[2026-01-01..2026-01-02]", reason="for what comes")

    assert found.assets == (("net[2026-01-01]", 1), ("net[2026-01-02]", 1))
    assert undecided(shop) == ["2026-01-03"]
    assert shop.materialize().undecided == ("net[2026-01-03]",)
    assert shop.ran() == []
    assert net(shop) == [1.0, 2.0, 3.0]
    assert shop.project().accept("net[*]").assets == (("net[2026-01-03]", 1),)
    assert shop.project().accept("net[*]").assets == ()

    taken_back = shop.project().revoke("net[2026-01-02..]")

    assert taken_back.assets == (("net[2026-01-02]", 1), ("net[2026-01-03]", 1))
    assert undecided(shop) == ["2026-01-02", "2026-01-03"]
    assert shop.project().revoke("net[2026-01-02]").left == (("net[2026-01-02]", "nothing of it was accepted"),)


def test_a_later_edit_asks_again_also_about_what_was_accepted(shop: Workspace) -> None:
    shop.edit("return 1.0", "return 10.0")
    shop.project().accept("net[*]")
    shop.edit("return 10.0", "return 100.0")
    assert undecided(shop) == DAYS
    shop.edit("return 100.0", "return 10.0")
    assert undecided(shop) == []


def test_accept_of_stale_partitions_of_any_asset(shop: Workspace) -> None:
    shop.edit("    return net\n", "    return net.slice(0)\n")
    assert len(shop.project().plan().run) == 3

    shop.project().accept("shown[2026-01-01]")

    assert [step.asset for step in shop.project().plan().run] == ["shown[2026-01-02]", "shown[2026-01-03]"]
    shop.project().accept("shown")
    assert shop.project().plan().is_empty


def test_what_is_forced_or_invalidated_runs(shop: Workspace) -> None:
    shop.edit("return 1.0", "return 10.0")
    shop.materialize("net", force=True, partitions="2026-01-03").raise_for_status()
    assert net(shop) == [1.0, 2.0, 30.0]
    shop.project().invalidate("net[2026-01-01]")
    assert [step.asset for step in shop.project().plan("net").run] == ["net[2026-01-01]"]


def test_a_saved_plan_keeps_the_answer(shop: Workspace) -> None:
    shop.edit("return 1.0", "return 10.0")
    plan = shop.project().plan("net", rebuild=True)
    file = shop.root / "plan.json"
    file.write_text(json.dumps(saved_plan(plan, force=False, with_upstream=True, rebuild=True)))

    shop.project().materialize(saved=read_saved_plan(file)).raise_for_status()

    assert net(shop) == [10.0, 20.0, 30.0]
