"""Partitions that are made by themselves: which are asked for, and which are left alone."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from assetflow.automation import eager
from assetflow.automation.sensing import state_of
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.sensors import Sensors
from assetflow.errors import UsageError
from assetflow.model.keys import AssetKey
from assetflow.plan.slots import of_each
from tests.unit.automation.test_auto import SIX, World

SHOP = """
    from pathlib import Path
    from typing import Annotated
    from assetflow import Daily, In, Monthly, Partition, asset, cron

    DAYS = Daily("2026-01-30", end="2026-02-02")

    def text(name: str) -> str:
        file = Path(__file__).parent / "in" / name
        return file.read_text() if file.exists() else "1"

    @asset(partitions=DAYS)
    def raw(partition: Partition) -> list[dict]:
        return [{"n": int(text(partition.key))}]

    @asset(auto="eager", partitions=DAYS)
    def orders(raw: list[dict]) -> list[dict]:
        if raw[0]["n"] == 13:
            raise ValueError("thirteen")
        return raw

    @asset(auto="eager", partitions=DAYS)
    def pair(orders: Annotated[list[dict], In(window=-1)]) -> list[dict]:
        return orders

    @asset(auto="eager", partitions=Monthly("2026-01", end="2026-02"))
    def month(orders: list[dict]) -> list[dict]:
        return [{"n": len(orders)}]

    @asset(auto="eager")
    def total(month: list[dict]) -> int:
        return sum(row["n"] for row in month)
"""
DAYS = ["2026-01-30", "2026-01-31", "2026-02-01", "2026-02-02"]


class Shop(World):
    """The same world, of days."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        (root / "assetflow.toml").write_text('modules = ["shop"]\nexecutor = "inline"\ndiscover = false\n')
        self.code(SHOP)
        (root / "in").mkdir()

    def raw(self, day: str, text: str) -> None:
        """Somebody delivers a day, maybe once more."""
        (self.root / "in" / day).write_text(text)
        self.project.materialize("raw", partitions=day, force=True).raise_for_status()

    def parts(self) -> dict[str, str]:
        """What a look asks for, of each asset, when it is run."""
        if not self.look():
            return {}
        with closing(Catalog(self.project.settings.catalog_path)) as catalog:
            one = Sensors(catalog).open_requests()["auto"][0]
        self.run()
        return {
            str(key): own for key, own in (of_each(one.partitions) or dict.fromkeys(one.select.split(), "")).items()
        }

    def failed(self) -> dict[str, str]:
        """What failed in the newest run."""
        _, attempts = self.project.run_details(self.project.runs(1)[0].run_id)
        return {f"{one.asset}[{one.partition}]": str((one.error or {}).get("message")) for one in attempts if one.error}


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


def test_partitions_are_asked_for_when_what_they_read_is_there(shop: Shop) -> None:
    assert shop.parts() == {}
    assert shop.no("orders[2026-01-31]") == {"upstreams current": "not current, and not made now: raw"}

    shop.raw("2026-01-30", "1")
    assert shop.parts() == {"orders": "2026-01-30", "pair": "2026-01-30"}
    for day in DAYS[1:]:
        shop.raw(day, "1")
    assert shop.parts() == {
        "orders": "2026-01-31..2026-02-02", "pair": "2026-01-31..2026-02-02", "month": "2026-01..2026-02",
    }  # fmt: skip
    assert shop.failed() == {}
    assert shop.parts() == {}
    assert shop.project.plan().is_empty


@pytest.fixture
def made(shop: Shop) -> Shop:
    shop.project.materialize().raise_for_status()
    return shop


def test_what_failed_waits_until_its_input_or_the_code_is_another(made: Shop) -> None:
    made.raw("2026-01-31", "13")

    assert made.parts() == {"orders": "2026-01-31", "pair": "2026-01-31..2026-02-01", "month": "2026-01"}
    assert made.failed() == {"orders[2026-01-31]": "thirteen"}
    assert [made.parts() for _ in range(3)] == [{}, {}, {}]
    not_tried = "failed in run #3 with this code and these inputs: thirteen"
    assert made.no("orders[2026-01-31]") == {"not tried": not_tried}
    assert made.no("pair[2026-02-01]")["upstreams current"] == "not current, and not made now: orders"

    made.raw("2026-02-02", "2")  # another day is another matter
    assert made.parts() == {"orders": "2026-02-02", "pair": "2026-02-02", "month": "2026-02"}
    made.code(SHOP.replace('"thirteen"', '"13"'))
    assert made.parts()["orders"] == "2026-01-30..2026-02-02"  # the edit is for all of them
    assert made.failed() == {"orders[2026-01-31]": "13"}
    made.raw("2026-01-31", "14")
    assert made.parts() == {"orders": "2026-01-31", "pair": "2026-01-31..2026-02-01", "month": "2026-01"}
    assert made.failed() == {}
    assert made.project.plan().is_empty


def test_no_partition_that_is_current_is_remembered_or_decided_on(made: Shop) -> None:
    made.raw("2026-01-31", "13")
    made.parts()
    made.raw("2026-01-31", "2")
    made.parts()
    assert made.parts() == {}

    remembered = eager.memory_of(state_of(made.project.settings, "auto").cursor, "dev")
    assert sorted(remembered) == ["month", "orders", "pair", "total"]
    plan = made.project.plan()
    assert not [step for step in plan if step.asset.startswith("orders[")]
    assert plan.settled[AssetKey("orders")] == 4
    assert made.no("orders[2026-01-31]") == {"stale": "code, config and inputs are those of its version"}
    assert made.no("orders")["stale"] == "no partition is"
    with pytest.raises(UsageError, match="2026-02-03"):
        made.project.why_not("orders[2026-02-03]")


def test_missing_makes_what_was_never_made(made: Shop) -> None:
    made.code(SHOP.replace('auto="eager"', 'auto="missing"').replace('end="2026-02-02"', 'end="2026-02-03"'))
    made.raw("2026-01-30", "3")
    made.raw("2026-02-03", "3")

    assert made.parts() == {"orders": "2026-02-03", "pair": "2026-02-03"}
    assert made.parts() == {}
    assert made.no("orders[2026-01-30]")["stale"] == "stale, but there is a version"


def test_at_its_times_all_that_is_stale_then_and_what_waits_is_made_when_it_can_be(made: Shop) -> None:
    made.code(SHOP.replace('auto="eager"', 'auto=cron("0 6 * * *")'))
    assert made.parts() == {}
    made.raw("2026-01-30", "3")
    assert made.no("orders[2026-01-30]") == {"tick due": "the next is 2026-03-02T06:00Z"}
    made.project.invalidate("raw[2026-01-31]")

    made.now = SIX
    assert made.parts()["orders"] == "2026-01-30"
    assert made.parts() == {}
    assert list(made.no("orders[2026-01-31]")) == ["upstreams current"]
    made.raw("2026-01-31", "3")
    assert made.parts()["orders"] == "2026-01-31"  # its tick had waited
    assert made.parts() == {}
    made.raw("2026-02-01", "3")
    assert made.parts() == {}
    made.now = SIX + 86_400
    assert made.parts()["orders"] == "2026-02-01"


def test_so_many_at_once_and_the_others_when_these_have_ended(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eager, "MOST", 3)
    for day in DAYS:
        shop.raw(day, "1")

    assert shop.look() == "orders pair month"
    assert shop.look() == ""
    assert shop.no("orders[2026-02-02]") == {
        "its turn": "others of its partitions were asked for, and that has not ended"
    }
    shop.run()
    assert shop.parts() == {"orders": "2026-02-02", "pair": "2026-02-02", "month": "2026-02"}
    assert shop.project.plan().is_empty


def test_runs_that_die_before_its_turn_are_asked_for_again_but_not_for_ever(shop: Shop) -> None:
    shop.raw("2026-01-30", "1")
    asked: list[str] = []
    for _ in range(eager.TRIES + 2):
        asked.append(shop.look())
        if asked[-1]:
            shop.die()

    assert asked == ["orders pair"] * eager.TRIES + [""] * 2
    assert shop.no("orders[2026-01-30]")["not tried"].startswith("asked for 3 times, and no run came to it: run #")
