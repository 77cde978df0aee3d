"""Assets that are made by themselves: when they are asked for, and when they are left alone."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from textwrap import dedent

import pytest
from msgspec.structs import replace

from assetflow.automation.autoround import ask_round
from assetflow.automation.eager import TRIES
from assetflow.automation.requests import take_request
from assetflow.automation.sensing import record, state_of
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.sensors import Sensors
from assetflow.errors import ProjectLoadError
from assetflow.model.sensors import Requested
from assetflow.project import Project

SIX = 1_772_431_200  # 2 March 2026, 06:00 UTC

SHOP = """
    from pathlib import Path
    from assetflow import asset, cron, source

    raw = source("raw", path="raw.csv")

    @asset(auto="eager")
    def orders(raw: list[dict]) -> int:
        return len(raw)

    @asset(auto="eager")
    def mart(orders: int) -> int:
        if orders == 2:
            raise ValueError("two")
        return orders + 1

    @asset
    def byhand(orders: int) -> int:
        return orders

    @asset(auto="eager")
    def below(byhand: int) -> int:
        return byhand

    @asset(auto="missing")
    def once(orders: int) -> int:
        return orders

    @asset(auto=cron("0 6 * * *"))
    def daily(orders: int) -> int:
        return orders

    @asset(auto=cron("0 6 * * *"))
    def daily_below(byhand: int) -> int:
        return byhand
"""


class World:
    """A project, and rounds of a daemon over it in this process."""

    def __init__(self, root: Path) -> None:
        self.root, self.now = root, SIX - 3600.0
        (root / "assetflow.toml").write_text('modules = ["shop"]\nexecutor = "inline"\n')
        self.code(SHOP)
        self.rows(1)

    def code(self, text: str) -> None:
        (self.root / "shop.py").write_text(dedent(text))

    def rows(self, count: int) -> None:
        (self.root / "raw.csv").write_text("id\n" + "".join(f"{one}\n" for one in range(count)))

    @property
    def project(self) -> Project:
        return Project.load(self.root)

    def look(self) -> str:
        """What one look asks for."""
        self.now += 30
        project = self.project
        seen = state_of(project.settings, "auto")
        found = record(
            project.settings, seen, ask_round(project.settings, project.plan(), project.graph, seen, self.now), self.now
        )
        assert found is not None
        return " ".join(sorted(request.select for request in found.requests))

    def claim(self) -> Requested:
        with closing(Catalog(self.project.settings.catalog_path, write=True)) as catalog:
            taken = take_request(catalog, "auto", self.now)
        assert taken.request is not None
        return taken.request

    def run(self) -> None:
        """The run that was asked for."""
        one = self.claim()
        result = self.project.materialize(
            one.select, partitions=one.partitions, with_upstream=one.with_upstream, tick=one
        )
        ended = replace(one, run_id=result.run_id, state="done" if result.ok else "failed")
        with closing(Catalog(self.project.settings.catalog_path, write=True)) as catalog:
            Sensors(catalog).end(ended, self.now)

    def die(self) -> None:
        """The run that was asked for begins, and its process is gone."""
        one = self.claim()
        with closing(Catalog(self.project.settings.catalog_path, write=True)) as catalog:
            catalog.begin_run("dev", selection="", cause=one.cause, user="", host="", pid=0, at=self.now, tick=one)
        with closing(Catalog(self.project.settings.catalog_path, write=True)) as catalog:
            assert take_request(catalog, "auto", self.now).ended is not None

    def round(self) -> str:
        asked = self.look()
        if asked:
            self.run()
        return asked

    def no(self, key: str) -> dict[str, str]:
        """The conditions that keep an asset from being made."""
        table = self.project.why_not(key, now=self.now).conditions
        return {one.name: one.text for one in table if not one.holds and one.name != "daemon running"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_all_that_is_stale_is_one_run_and_what_failed_waits_until_something_changed(world: World) -> None:
    assert world.round() == "orders mart once"
    assert world.round() == ""
    assert world.no("below") == {"upstreams current": "not current, and not made now: byhand"}

    world.rows(2)
    assert world.round() == "orders mart"  # `once` has a version, though a stale one
    assert [world.round() for _ in range(3)] == ["", "", ""]
    assert world.no("mart") == {"not tried": "failed in run #2 with this code and these inputs: two"}
    assert world.no("once") == {"stale": "stale, but there is a version"}
    assert not world.project.materialize("mart").ok  # somebody else's run of it fails too
    assert [world.round() for _ in range(2)] == ["", ""]
    assert world.no("mart") == {"not tried": "failed in run #3 with this code and these inputs: two"}

    world.code(SHOP.replace('"two"', '"2"'))
    assert world.round() == "mart"
    assert world.round() == ""
    world.rows(3)
    assert world.round() == "orders mart"
    assert world.no("mart") == {"stale": "code, config and inputs are those of its version"}


def test_with_cron_an_asset_is_made_at_its_times_and_waits_for_what_it_reads(world: World) -> None:
    assert world.round() == "orders mart once"
    assert world.no("daily") == {"tick due": "the next is 2026-03-02T06:00Z"}
    world.now = SIX
    assert world.round() == "daily"
    assert world.round() == ""
    assert list(world.no("daily_below")) == ["upstreams current"]
    world.project.materialize("byhand")
    assert world.round() == "below daily_below"  # its tick had waited

    world.rows(3)
    world.now = SIX + 3600
    assert world.round() == "orders mart"
    world.now = SIX - 7200  # the clock is set back
    assert world.round() == ""
    world.now = SIX + 86_400
    assert world.round() == "daily"


def test_runs_that_died_before_its_turn_are_asked_for_again_but_not_for_ever(world: World) -> None:
    asked: list[str] = []
    for _ in range(TRIES + 2):
        asked.append(world.look())
        if not asked[-1]:
            continue
        assert world.look() == ""  # while it waits
        world.die()

    assert asked == ["orders mart once"] * TRIES + [""] * 2
    assert world.no("orders")["not tried"].startswith("asked for 3 times, and no run came to it: run #")


def test_a_pause_is_a_condition_too(world: World) -> None:
    with closing(Catalog(world.project.settings.catalog_path, write=True)) as catalog:
        Sensors(catalog).pause("auto", "ann", world.now)

    assert world.no("orders") == {"not paused": "paused by ann: assetflow sensor resume auto"}
    assert world.no("byhand") == {"policy": "no auto= is declared, and no job selects it"}


def test_policies_that_are_none_are_refused(world: World) -> None:
    world.code(
        """
        from assetflow import asset, cron

        @asset(auto=cron("0 25 * * *", tz="Europe/Lundun"))
        def orders() -> int:
            return 1
        """
    )

    with pytest.raises(ProjectLoadError) as raised:
        world.look()

    assert [one.what for one in raised.value.problems] == [
        "asset `orders`: auto= `Europe/Lundun` is not the name of a time zone",
        "asset `orders`: auto= the hour field `25` is not one that cron takes (0-23)",
    ]
