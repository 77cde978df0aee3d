"""Each thing that a sensor sees is asked for once and run at most once, whatever dies between any two steps."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from msgspec.structs import replace

from assetflow.automation.requests import take_request
from assetflow.automation.sensing import Looked, record, record_failure, state_of
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.rebuild import rebuild
from assetflow.catalog.sensors import Sensors
from assetflow.errors import AssetFailed, Superseded
from assetflow.load.settings import Settings, read_settings
from assetflow.model.sensors import Look, Requested

STEPS = ("before the look", "before the record", "after the record", "after the claim", "after the run began",
         "after the run ended")  # fmt: skip


class Killed(Exception):
    """The process is gone."""


@dataclass
class World:
    """A sensor that sees letters, numbered from 1; its cursor is the number of the last one."""

    settings: Settings
    chosen: random.Random
    letters: int = 0
    now: float = 1000.0
    kills: Counter[str] = field(default_factory=Counter[str])

    def die(self, dies: str, step: str) -> None:
        if dies == step:
            self.kills[step] += 1
            raise Killed

    def disturb(self) -> None:
        """Somebody else looks, or fails to."""
        seen = state_of(self.settings, "letters")
        if self.chosen.random() < 0.1:
            record(self.settings, seen, self._found(seen.cursor), self.now)
        elif self.chosen.random() < 0.1:
            record_failure(self.settings, seen, AssetFailed("no net"), self.now)

    def look(self, dies: str = "", *, disturbed: bool = False) -> None:
        self.die(dies, "before the look")
        seen = state_of(self.settings, "letters")
        if disturbed:
            self.disturb()
        found = self._found(seen.cursor)
        self.die(dies, "before the record")
        record(self.settings, seen, found, self.now)
        self.die(dies, "after the record")

    def _found(self, cursor: str | None) -> Looked:
        new = range(int(cursor or 0) + 1, self.letters + 1)
        # Letters that are divisible by 5 have the key of the one before: they are left out.
        requests = tuple(
            Requested(0, "letters", "sensor", str(one - (one % 5 == 0)), "dev", f"letter_{one}", None, {}, self.now)
            for one in new
        )
        return Looked(Look("letters", 0, "", self.now, self.now), str(self.letters), requests)

    def run(self, dies: str = "") -> bool:
        with closing(Catalog(self.settings.catalog_path, write=True)) as catalog:
            taken = take_request(catalog, "letters", self.now)
            self.die(dies, "after the claim")
            if taken.request is None:
                return False
            run_id, _ = catalog.begin_run(
                "dev", selection=taken.request.select, cause=taken.request.cause, user="", host="", pid=0, at=self.now,
                tick=taken.request,
            )  # fmt: skip
            self.die(dies, "after the run began")
            catalog.finish_run(run_id, "ok", {}, self.now)
            self.die(dies, "after the run ended")
            Sensors(catalog).end(replace(taken.request, state="done"), self.now)
            return taken.is_more


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """In memory, where there is a folder in it: what a disk promises is tested elsewhere."""
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK):
        with TemporaryDirectory(dir=memory) as folder:
            yield made(Path(folder))
    else:
        yield made(tmp_path)


def made(tmp_path: Path) -> World:
    (tmp_path / "assetflow.toml").write_text("")
    (tmp_path / "assets.py").write_text("")
    return World(read_settings(tmp_path, environment={}), random.Random(7))


def test_nothing_is_lost_and_nothing_is_made_twice(world: World) -> None:
    for _ in range(150):
        world.letters += world.chosen.randrange(3)
        world.now += world.chosen.choice([-50.0, 1.0, 30.0])
        dies = world.chosen.choice(STEPS) if world.chosen.random() < 0.5 else ""
        with suppress(Killed):
            world.look(dies, disturbed=True)
            world.run(dies)
    world.look()
    while world.run():
        pass

    with closing(Catalog(world.settings.catalog_path)) as catalog:
        asked = list(reversed(Sensors(catalog).requests("letters")))
        runs = Counter(run.selection for run in catalog.runs(10_000))
    wanted = [f"letter_{one}" for one in range(1, world.letters + 1) if one % 5]
    assert [one.select for one in asked] == wanted
    assert {one.state for one in asked} <= {"done", "failed"}
    died_twice = {one.select for one in asked if one.run_id is None}
    assert runs == Counter(one for one in wanted if one not in died_twice)
    assert all(one.tries == 2 for one in asked if one.run_id is None)
    assert set(world.kills) == set(STEPS)


def test_a_look_that_was_overtaken_records_nothing(world: World) -> None:
    world.letters = 2
    early = state_of(world.settings, "letters")
    assert record(world.settings, early, world._found(None), world.now) is not None
    world.letters = 3

    assert record(world.settings, early, world._found(None), world.now) is None
    assert record_failure(world.settings, early, AssetFailed("late"), world.now) is None

    with closing(Catalog(world.settings.catalog_path)) as catalog:
        assert len(Sensors(catalog).requests("letters")) == 2
        assert Sensors(catalog).state("letters").cursor == "2"


def test_a_paused_sensor_records_and_runs_nothing_and_goes_on_where_it_was(world: World) -> None:
    world.letters = 2
    world.look()
    seen = state_of(world.settings, "letters")
    with closing(Catalog(world.settings.catalog_path, write=True)) as catalog:
        assert Sensors(catalog).pause("letters", "ann", world.now)
        assert not Sensors(catalog).pause("letters", "ann", world.now)
    world.letters = 3

    assert record(world.settings, seen, world._found(seen.cursor), world.now) is None
    with closing(Catalog(world.settings.catalog_path, write=True)) as catalog:
        assert take_request(catalog, "letters", world.now).request is None
        Sensors(catalog).pause("letters", None, world.now)
        taken = take_request(catalog, "letters", world.now)
    world.look()

    assert taken.request is not None
    assert taken.request.select == "letter_1"
    assert state_of(world.settings, "letters").cursor == "3"


def test_a_request_becomes_a_run_only_of_who_took_it_up_last(world: World) -> None:
    world.letters = 1
    world.look()
    with closing(Catalog(world.settings.catalog_path, write=True)) as catalog:
        first = take_request(catalog, "letters", world.now).request
        second = take_request(catalog, "letters", world.now).request  # the first one's process is gone
        assert first is not None
        assert second is not None
        with pytest.raises(Superseded, match="another process"):
            catalog.begin_run("dev", selection="", cause="", user="", host="", pid=1, at=1.0, tick=first)
        catalog.begin_run("dev", selection="", cause="", user="", host="", pid=1, at=1.0, tick=second)

        ended = take_request(catalog, "letters", world.now).ended

        assert ended is not None
        assert (ended.state, ended.note) == ("failed", "run #1 ended with its process")


def test_a_catalog_that_is_made_again_knows_where_a_sensor_was_and_what_it_asked_for(world: World) -> None:
    world.letters = 3
    world.look()
    world.run()
    path = world.settings.catalog_path
    with closing(Catalog(path)) as catalog:
        before = Sensors(catalog).requests("letters")
    for file in path.parent.glob(f"{path.name}*"):
        file.unlink()
    rebuild(path, [], backup=None, last_run=0, keep_in=path.parent / "kept")

    with closing(Catalog(path)) as catalog:
        assert Sensors(catalog).requests("letters") == before
        assert Sensors(catalog).state("letters").cursor == "3"


def test_looks_in_a_row_that_found_nothing_are_one_row_and_no_line_of_the_journal(world: World) -> None:
    world.letters = 1
    world.look()
    journal = world.settings.catalog_path.parent / "journal"
    before = sum(path.read_bytes().count(b'"changes"') for path in journal.iterdir())
    for _ in range(5):
        world.now += 30
        seen = state_of(world.settings, "letters")
        record(world.settings, seen, world._found(seen.cursor), world.now)

    with closing(Catalog(world.settings.catalog_path)) as catalog:
        looks = Sensors(catalog).looks("letters")
    assert [(one.state, one.count) for one in looks] == [("quiet", 5), ("requested", 1)]
    assert looks[0].last_at - looks[0].at == 120
    assert sum(path.read_bytes().count(b'"changes"') for path in journal.iterdir()) == before


def test_old_looks_are_forgotten_and_what_they_asked_for_is_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assetflow.catalog.sensors.LOOKS_KEPT", 3)
    for number in range(1, 7):
        world.letters = number
        world.look()

    with closing(Catalog(world.settings.catalog_path)) as catalog:
        record = Sensors(catalog)
        assert [one.state for one in record.looks("letters")] == ["requested"] * 3
        assert [one.key for one in record.requests("letters")][-2:] == ["2", "1"]
        assert record.last_looks()["letters"].number == record.state("letters").looks
