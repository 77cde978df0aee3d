"""One text for partitions of several definitions: each asset takes what is named of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from assetflow import Project
from assetflow.cli.folding import range_name
from assetflow.errors import UsageError
from assetflow.model.keys import AssetKey, split_slot

SHOP = """
from assetflow import Daily, Multi, Partition, Static, asset

DAYS, PORTS = Daily("2026-01-01", end="2026-01-09"), Static(["JFK", "LAX", "SFO"])


@asset(partitions=DAYS)
def orders(partition: Partition) -> list:
    return []


@asset(partitions=PORTS)
def ports(partition: Partition) -> list:
    return []


@asset(partitions=Multi({"port": PORTS, "day": DAYS}))
def weather(partition: Partition) -> list:
    return []


@asset(partitions=Multi({"day": DAYS, "port": PORTS}))
def flights(partition: Partition) -> list:
    return []
"""


@pytest.fixture
def shop(tmp_path: Path) -> Project:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "assetflow.toml").write_text('modules = ["shop"]\nexecutor = "inline"\nhive = false\n')
    return Project.load(tmp_path)


def planned(project: Project, partitions: str, selection: str | None = None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for step in project.plan(selection, partitions=partitions).run:
        asset, partition = split_slot(step.asset)
        found.setdefault(asset, []).append(partition)
    return found


def test_of_a_list_each_asset_takes_what_is_a_partition_of_it(shop: Project) -> None:
    assert planned(shop, "JFK,2026-01-02", "orders or ports") == {"orders": ["2026-01-02"], "ports": ["JFK"]}
    assert planned(shop, "LAX|2026-01-02..2026-01-03, 2026-01-08|SFO, 2026-01-09") == {
        "orders": ["2026-01-09"],
        "weather": ["LAX|2026-01-02", "LAX|2026-01-03", "JFK|2026-01-09", "LAX|2026-01-09", "SFO|2026-01-09"],
        "flights": ["2026-01-08|SFO", "2026-01-09|JFK", "2026-01-09|LAX", "2026-01-09|SFO"],
    }


def test_a_plan_names_combinations_in_the_way_in_which_they_can_be_asked_for(shop: Project) -> None:
    definition = shop.graph.specs[AssetKey("weather")].partitions
    for text in ("JFK..LAX|2026-01-02..2026-01-03", "*|2026-01-02", "LAX|2026-01-02..2026-01-09"):
        parts = planned(shop, text, "weather")["weather"]
        assert range_name(AssetKey("weather"), parts, definition) == f"weather[{text}]"


@pytest.mark.parametrize(
    ("partitions", "selection", "message"),
    [
        ("2026-01-02,2026-01-0x", None, "orders: `2026-01-0x` is not a time"),
        ("2026-01-02,JFK", "orders", "orders: `JFK` is not a time"),
        ("JFK,LAXX", None, "orders: `LAXX` is not a time"),
        ("2026-01-02,2026-02-02", None, "orders: no partition of `2026-02-02` exists"),
    ],
)
def test_what_is_a_partition_of_no_asset_is_an_error(
    shop: Project, partitions: str, selection: str | None, message: str
) -> None:
    with pytest.raises(UsageError) as raised:
        planned(shop, partitions, selection)

    assert raised.value.what == message


def test_a_backfill_goes_over_what_is_named_of_each_asset(shop: Project) -> None:
    one = shop.plan_backfill(partitions="JFK")
    both = shop.plan_backfill("orders or ports", partitions="LAX,2026-01-01..2026-01-02")

    assert {strip.asset: len(strip.states) for strip in one.strips} == {"ports": 1}
    assert {strip.asset: len(strip.states) for strip in both.strips} == {"orders": 2, "ports": 1}
