"""The world of the simulation: a real catalog and real locks, and processes that die between any two of their steps."""

from __future__ import annotations

import os
import random
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec.structs import replace

from assetflow.automation.locks import job_lock
from assetflow.automation.rounds import JobState, look, resume, see, take
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.ticks import Ticks
from assetflow.errors import Superseded
from assetflow.load.settings import read_settings
from assetflow.model.jobs import Job, Tick, jobs_of
from tests.ticks.days import DAY, HOUR, KINDS, between
from tests.ticks.model import Model

STEPS = ("before the claim", "after the claim", "after the run began", "after the run ended")


class Killed(Exception):
    """The process is gone; the kernel has given its locks back."""


class World:
    """One project, its clock, what was done to it, and what went wrong."""

    def __init__(self, folder: Path, ticks: Mapping[str, Sequence[int]], start: int, seed: int) -> None:
        lines = ['modules = ["assets"]']
        for one in KINDS:
            lines += [f"[jobs.{one.name}]", f'cron = "{one.cron}"', f'tz = "{one.tz}"', f'catchup = "{one.catchup}"']
        (folder / "assetflow.toml").write_text("\n".join(lines) + "\n")
        self.settings = read_settings(folder, environment={})
        self.now, self._chosen = start, random.Random(seed)
        self.models = {one.name: Model(one, ticks[one.name], start) for one in KINDS}
        self.jobs = {job.name: job for job in jobs_of(self.settings.jobs)}
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        see(self.settings, start)

    def live(self, until: int, kill_share: float) -> None:
        """Rounds of daemons that are killed and started again, until the clock has reached an instant."""
        while self.now < until and not self.problems:
            states = self.round(kill_share)
            self._time_passes(states)
            self._somebody_acts()
        self.now = max([until, *(model.seen_until for model in self.models.values())])
        for name, model in self.models.items():
            if model.is_paused:
                self._resume(name)
        self.round(0.0)

    def round(self, kill_share: float) -> Sequence[JobState]:
        """One round of a daemon. If it is killed at a step, the round ends there."""
        self.counts["rounds"] += 1
        see(self.settings, self.now)
        states = look(self.settings, self.now)
        with suppress(Killed):
            for state in states:
                name = state.job.name
                is_due = self.models[name].is_due(self.now)
                self._must(state.is_due == is_due, f"{name} is due: {state.is_due}, not {is_due}")
                is_more = state.is_due
                while is_more:
                    is_more = self._process(state.job, kill_share)
        return states

    def _process(self, job: Job, kill_share: float) -> bool:
        """What a process does for one tick; whether another is due."""
        share = min(1.0, 4 * kill_share) if self.models[job.name].open is not None else kill_share  # misfortunes gather
        dies = self._chosen.choice(STEPS) if self._chosen.random() < share else ""
        lock = job_lock(self.settings, job.name)
        self._must(lock.acquire(), f"{job.name} is held by a process that died")
        with lock, self._catalog() as catalog:
            self._die(dies, "before the claim")
            taken = take(catalog, job, self.now)
            got, wanted = None if taken.tick is None else taken.tick.scheduled, self.models[job.name].take(self.now)
            self._must(got == wanted, f"{job.name} took {got}, not {wanted}")
            self._a_second_daemon(catalog, job, taken.tick)
            self._die(dies, "after the claim")
            if taken.tick is not None:
                self._run(catalog, taken.tick, dies)
        return taken.is_more

    def _run(self, catalog: Catalog, tick: Tick, dies: str) -> None:
        model = self.models[tick.job]
        assert model.open is not None
        run_id = self._begin(catalog, tick)
        model.runs[tick.scheduled] += 1
        model.open.run = "running"
        self._die(dies, "after the run began")
        model.open.run = "ok" if self._chosen.random() < 0.9 else "failed"
        catalog.finish_run(run_id, model.open.run, {}, self.now)
        self._die(dies, "after the run ended")
        Ticks(catalog).end(replace(tick, state="done" if model.open.run == "ok" else "failed"), self.now)
        model.end()

    def _begin(self, catalog: Catalog, tick: Tick) -> int:
        run_id, _ = catalog.begin_run(
            "dev", selection="", cause=f"schedule {tick.job}", user="", host="", pid=0, at=self.now, tick=tick
        )
        self.counts["runs"] += 1
        return run_id

    def _die(self, dies: str, step: str) -> None:
        if dies == step:
            self.counts[f"killed {step}"] += 1
            raise Killed

    def _a_second_daemon(self, catalog: Catalog, job: Job, tick: Tick | None) -> None:
        """One that is started now finds the job taken, and even without the lock it begins no second run."""
        if self._chosen.random() > 0.05:
            return
        other = job_lock(self.settings, job.name)
        self._must(not other.acquire(), f"two processes had {job.name}")
        if tick is not None:
            with suppress(Superseded):
                self._begin(catalog, replace(tick, tries=tick.tries + 1))
                self._must(False, f"a second run of {job.name} began")
        self.counts["second daemons"] += 1

    # -- time and people

    def _time_passes(self, states: Sequence[JobState]) -> None:
        luck = self._chosen.random()
        if luck < 0.75:  # the daemon sleeps until the next tick, or wakes a little later
            coming = [state.next for state in states if state.next is not None and state.next > self.now]
            self.now = min([*coming, self.now + DAY]) + self._chosen.choice([0, 0, 1, 30, 61])
        elif luck < 0.95:
            self.now += self._chosen.randrange(3 * HOUR)
        elif luck < 0.98:  # nobody runs a daemon for a while, or the clock is set forward
            self.now += self._chosen.randrange(4 * DAY)
            self.counts["outages"] += 1
        else:
            self.now -= self._chosen.randrange(2 * DAY)
            self.counts["clock set back"] += 1

    def _somebody_acts(self) -> None:
        held = [name for name, model in self.models.items() if model.is_held(self.now)]
        if held and self._chosen.random() < 0.2:
            self._resume(self._chosen.choice(held))
        if self._chosen.random() > 0.02:
            return
        name = self._chosen.choice(list(self.models))
        if self.models[name].is_paused:
            self._resume(name)
            return
        with self._catalog() as catalog:
            Ticks(catalog).pause(name, "ann", self.now)
        self.models[name].is_paused = True
        self.counts["paused"] += 1

    def _resume(self, name: str) -> None:
        resume(self.settings, self.jobs[name], self.now)
        self.models[name].resume(self.now)
        self.counts["resumed"] += 1

    # -- the account

    def judge(self, start: int) -> None:
        """Each tick has exactly what became of it by the account; runs that began are in the catalog, once for each."""
        with self._catalog() as catalog:
            runs = Counter(run.trigger for run in catalog.runs(10**9))
            for name, model in self.models.items():
                rows = Ticks(catalog).of(name, 10**9)
                found: dict[int, str] = {}
                for row in rows:
                    inside = between(model.ticks, row.scheduled - 1, row.last)
                    self._must(len(inside) == row.count, f"{name} has {row}, but {len(inside)} ticks are there")
                    for at in inside:
                        self._must(at not in found, f"{name}: two rows have {at}")
                        found[at] = row.state
                self._must(found == model.ends, f"{name}: {_difference(found, model.ends)}")
                every = set(between(model.ticks, start, self.now))
                self._must(set(found) == every, f"{name}: {len(every - set(found))} ticks are lost")
                self._must(max(model.runs.values(), default=0) <= 1, f"{name}: a tick had two runs")
                self._must(runs[f"schedule {name}"] == model.runs.total(), f"{name}: runs without ticks")
                self.counts.update(found.values())
        self.counts["ticks"] = sum(len(model.ends) for model in self.models.values())

    def _must(self, holds: object, problem: str) -> None:
        if not holds:
            self.problems.append(f"at {self.now}: {problem}")

    @contextmanager
    def _catalog(self) -> Generator[Catalog]:
        with closing(Catalog(self.settings.catalog_path, write=True)) as catalog:
            yield catalog


def _difference(found: Mapping[int, str], wanted: Mapping[int, str]) -> str:
    wrong = sorted(at for at in {*found, *wanted} if found.get(at) != wanted.get(at))
    return ", ".join(f"{at} is {found.get(at)}, not {wanted.get(at)}" for at in wrong[:3])


def simulate(days: int, seed: int) -> World:
    """So many virtual days from a spring on, over changes of the clocks in two countries.

    In memory, where there is a folder in it: what a disk promises is tested elsewhere, and here it only takes its time.
    """
    memory = Path("/dev/shm")
    with TemporaryDirectory(dir=memory if memory.is_dir() and os.access(memory, os.W_OK) else None) as folder:
        return _simulated(Path(folder), days, seed)


def _simulated(folder: Path, days: int, seed: int) -> World:
    start = 1_772_323_200 + seed % 97  # 1 March 2026
    end = start + days * DAY
    ticks = {kind.name: kind.ticks(start, end + 10 * DAY) for kind in KINDS}
    world = World(folder, ticks, start, seed)
    world.live(end, kill_share=0.15)
    world.judge(start)
    return world
