"""A failure says something of an asset as long as the asset is what failed."""

from __future__ import annotations

from pathlib import Path

import pytest

from assetflow import Project

SHOP = '''
from assetflow import Config, Daily, Partition, asset


class Limits(Config):
    most: int = 9


@asset(partitions=Daily("2026-01-01", end="2026-01-03"))
def orders(partition: Partition, config: Limits) -> list:
    """All orders of a day."""
    if partition.start.day > config.most:
        raise ValueError("too late")
    return [{"day": partition.key}]


@asset
def total(orders: list) -> int:
    return len(orders)
'''


class Shop:
    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "assetflow.toml").write_text('modules = ["shop"]\nexecutor = "inline"\nhive = false\n')

    def write(self, old: str = "", new: str = "") -> Project:
        (self.root / "shop.py").write_text(SHOP.replace(old, new) if old else SHOP)
        return Project.load(self.root)

    def states(self) -> dict[str, object]:
        status = Project.load(self.root).status()
        return {"orders": dict(status["orders"].parts), "total": status["total"].state}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_an_old_failure_is_no_state_of_what_has_been_edited_since(shop: Shop) -> None:
    shop.write().materialize().raise_for_status()
    failing = shop.write("> config.most", "> 2")
    assert not failing.materialize().ok
    assert shop.states() == {"orders": {"failed": 1, "current": 2}, "total": "blocked"}

    shop.write("All orders", "Every order")  # taken back, and another text for people
    assert shop.states()["orders"] == {"current": 1, "reusable": 2}

    shop.write("> config.most", "> config.most + 1")
    assert shop.states() == {"orders": {"stale": 3}, "total": "maybe"}
    row = Project.load(shop.root).status()["orders"]
    assert [(one.word, one.text) for one in row.modifiers] == [("failed", "in run #2, as it was then")]
    assert Project.load(shop.root).select("is:failed") == ("orders",)

    Project.load(shop.root).materialize().raise_for_status()
    shop.write("> config.most", "> config.most + 2")
    assert shop.states() == {"orders": {"stale": 3}, "total": "maybe"}
    assert not Project.load(shop.root).status()["orders"].modifiers
    assert Project.load(shop.root).select("is:failed") == ()


def test_a_text_for_people_leaves_a_failure_and_another_config_does_not(shop: Shop) -> None:
    project = shop.write()
    assert not project.materialize("orders", config={"orders": {"most": 2}}).ok
    assert shop.states()["orders"] == {"missing": 1, "stale": 2}
    shop.write("= 9", "= 1")
    assert not Project.load(shop.root).materialize("orders").ok
    shop.write("= 9", "= 1")
    (shop.root / "shop.py").write_text((shop.root / "shop.py").read_text().replace("All orders", "Every order"))
    assert shop.states()["orders"] == {"failed": 2, "current": 1}
    shop.write("= 9", "= 3")
    assert shop.states()["orders"] == {"missing": 1, "stale": 2}
