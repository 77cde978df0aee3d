"""Edits that are only for partitions that are made after them."""

from __future__ import annotations

import pytest

from assetflow.errors import ProjectLoadError
from tests.unit.conftest import Workspace

SHOP = """
DAYS = Daily("2026-01-01", end="2026-01-03")


def rate() -> float:
    return 1.0


@asset(partitions=DAYS)
def orders(partition: Partition) -> pa.Table:
    amount = float((Path(__file__).parent / f"{partition.key}.txt").read_text())
    return pa.table({"amount": [amount]})


@asset(partitions=DAYS, on_code_change="forward")
def net(orders: pa.Table, partition: Partition) -> pa.Table:
    ran(f"net {partition.key}")
    return pa.table({"net": [orders["amount"][0].as_py() * rate()]})


@asset(partitions=DAYS)
def shown(net: pa.Table, partition: Partition) -> pa.Table:
    ran(f"shown {partition.key}")
    return net
"""


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP, 'executor = "inline"\n')
    for day in range(1, 6):
        workspace.file(f"2026-01-0{day}.txt", str(day))
    workspace.materialize().raise_for_status()
    workspace.ran()
    return workspace


def rates(shop: Workspace) -> list[float]:
    return shop.project().read("net")["net"].tolist()


def test_what_was_made_before_an_edit_stays_and_new_partitions_have_the_new_code(shop: Workspace) -> None:
    shop.edit("return 1.0", "return 10.0")
    project = shop.project()
    assert project.plan().is_empty
    row = project.status()["net"]
    assert (row.state, dict(row.parts)) == ("current", {"current": 3})
    assert "forward" in [one.word for one in row.modifiers]
    assert "forward" not in [one.word for one in project.status()["shown"].modifiers]

    shop.edit('end="2026-01-03"', 'end="2026-01-04"')
    shop.materialize().raise_for_status()

    assert shop.ran() == ["net 2026-01-04", "shown 2026-01-04"]
    assert rates(shop) == [1.0, 2.0, 3.0, 40.0]
    assert shop.project().plan().is_empty


def test_late_data_is_made_with_the_code_of_now(shop: Workspace) -> None:
    shop.edit("return 1.0", "return 10.0")
    shop.file("2026-01-02.txt", "7")
    plan = shop.project().plan()
    assert [(step.asset, step.action.value) for step in plan.maybe] == [
        ("net[2026-01-02]", "maybe"), ("shown[2026-01-02]", "maybe"),
    ]  # fmt: skip

    shop.materialize().raise_for_status()

    assert shop.ran() == ["net 2026-01-02", "shown 2026-01-02"]
    assert rates(shop) == [1.0, 70.0, 3.0]


def test_what_is_forced_is_made_with_the_code_of_now(shop: Workspace) -> None:
    shop.edit("return 1.0", "return 10.0")
    shop.materialize("net", force=True, partitions="2026-01-03").raise_for_status()

    assert rates(shop) == [1.0, 2.0, 30.0]


def test_taking_it_back_makes_all_of_them_again(shop: Workspace) -> None:
    shop.edit("return 1.0", "return 10.0")
    shop.edit(', on_code_change="forward"', "")
    plan = shop.project().plan()
    assert [step.asset for step in plan.run] == [f"net[2026-01-0{day}]" for day in (1, 2, 3)]
    assert [reason.code for reason in plan.run[0].reasons] == ["helper_changed"]


@pytest.mark.parametrize(("given", "message"), [
    ('partitions=DAYS, on_code_change="no"', "on_code_change is rebuild, forward or ask, not `no`"),
    ('on_code_change="forward"', "on_code_change= is for assets with partitions"),
])  # fmt: skip
def test_what_does_not_go_is_refused(workspace: Workspace, given: str, message: str) -> None:
    workspace.assets(SHOP.replace('partitions=DAYS, on_code_change="forward"', given))
    with pytest.raises(ProjectLoadError, match=message):
        workspace.project()
