"""Several ticks of a job at once: real locks and a real catalog, and processes that die by not coming back."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from assetflow.automation.daemon import Daemon, Work
from assetflow.automation.declared import Declared
from assetflow.automation.places import at_work
from assetflow.automation.rounds import Taken, look, resume, see, take_up
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.ticks import Ticks
from assetflow.load.settings import Settings, read_settings
from assetflow.model.jobs import DONE, Job, Tick, jobs_of
from tests.unit.automation.test_daemon import Heard, end, known

START = 1_772_323_200  # 1 March 2026, 00:00
HOUR = 3600
DIED = "its process ended before a run began"


class Killed(Exception):
    """The process is gone, and its lock with it."""


class Jobs:
    """A project with one job, of which several ticks may be taken up at once."""

    def __init__(self, folder: Path, catchup: str, runs: int = 2) -> None:
        (folder / "assets.py").write_text("")
        lines = ["[jobs.hourly]", 'cron = "0 * * * *"', f'catchup = "{catchup}"', f"max_active_runs = {runs}"]
        (folder / "assetflow.toml").write_text("\n".join(lines) + "\n")
        self.settings: Settings = read_settings(folder, environment={})
        self.job: Job = jobs_of(self.settings.jobs)[0]
        self.now = START
        see(self.settings, START)

    def take_up(self, meanwhile: Callable[[Tick], object] = lambda tick: None) -> Taken | None:
        """What a process does, with what happens while it is at its tick."""

        def carry_out(tick: Tick) -> Tick:
            meanwhile(tick)
            return Tick(tick.job, tick.scheduled, DONE, tick.policy, tick.last, tries=tick.tries)

        return take_up(self.settings, self.job, self.now, carry_out, lambda: self.now)

    def dies(self) -> int:
        """Take up a tick and die before a run of it began; the hour of it."""
        found: list[Tick] = []

        def die(tick: Tick) -> None:
            found.append(tick)
            raise Killed

        with pytest.raises(Killed):
            self.take_up(die)
        return self.hour(found[0])

    def hour(self, tick: Tick | None) -> int:
        assert tick is not None
        return (tick.scheduled - START) // HOUR

    def rows(self) -> list[tuple[int, int, str, str]]:
        """First hour, how many ticks, the state and the note of each row, oldest first."""
        with closing(Catalog(self.settings.catalog_path)) as catalog:
            found = Ticks(catalog).of("hourly")
        return [(self.hour(one), one.count, one.state, one.note) for one in reversed(found)]


def test_so_many_ticks_are_taken_up_at_once_and_no_more(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, "all", runs=3)
    jobs.now += 5 * HOUR
    seen: list[object] = []

    def third(tick: Tick) -> None:
        state = look(jobs.settings, jobs.now)[0]
        seen.append((jobs.take_up(), state.at_work, state.is_due, state.word))

    def second(tick: Tick) -> None:
        state = look(jobs.settings, jobs.now)[0]
        seen.append((state.at_work, state.is_due))
        seen.append(jobs.hour((jobs.take_up(third) or Taken()).tick))

    def first(tick: Tick) -> None:
        seen.append(jobs.hour((jobs.take_up(second) or Taken()).tick))

    taken = jobs.take_up(first) or Taken()

    assert seen == [(2, True), (None, 3, False, "running"), 3, 2]
    assert jobs.hour(taken.tick) == 1
    assert [row[:3] for row in jobs.rows()] == [(1, 1, "done"), (2, 1, "done"), (3, 1, "done")]
    assert at_work(jobs.settings, "hourly").held == 0


def test_what_does_not_fit_is_for_the_policy_when_a_place_is_free_again(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, "latest")
    jobs.now += HOUR

    def second(tick: Tick) -> None:
        jobs.now += 3 * HOUR
        assert jobs.take_up() is None

    def first(tick: Tick) -> None:
        jobs.now += HOUR
        jobs.take_up(second)

    jobs.take_up(first)
    jobs.take_up()

    assert [row[:3] for row in jobs.rows()] == [
        (1, 1, "done"), (2, 1, "done"), (3, 2, "missed"), (5, 1, "done"),
    ]  # fmt: skip


def test_a_tick_whose_process_died_is_told_from_one_that_somebody_is_at(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, "all")
    jobs.now += 2 * HOUR
    seen: list[object] = []

    def first(tick: Tick) -> None:
        seen.append(jobs.dies())
        seen.append(look(jobs.settings, jobs.now)[0].is_due)
        again = (jobs.take_up() or Taken()).tick
        seen.append((jobs.hour(again), 0 if again is None else again.tries))
        seen.append(look(jobs.settings, jobs.now)[0].is_due)

    jobs.take_up(first)

    assert seen == [2, True, (2, 2), False]
    assert [row[:3] for row in jobs.rows()] == [(1, 1, "done"), (2, 1, "done")]


def test_a_newer_tick_takes_the_place_of_one_whose_process_died_and_not_of_one_at_work(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, "latest", runs=3)
    jobs.now += HOUR

    def second(tick: Tick) -> None:
        jobs.now += HOUR
        assert jobs.dies() == 3
        jobs.now += 3 * HOUR
        assert jobs.hour((jobs.take_up() or Taken()).tick) == 6

    def first(tick: Tick) -> None:
        jobs.now += HOUR
        assert jobs.dies() == 2
        assert jobs.hour((jobs.take_up(second) or Taken()).tick) == 2

    jobs.take_up(first)

    assert jobs.rows() == [(1, 1, "done", ""), (2, 1, "done", ""), (3, 3, "missed", DIED), (6, 1, "done", "")]


def test_several_that_died_are_missed_each_with_its_reason(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, "latest")
    jobs.now += HOUR

    def both_die(tick: Tick) -> None:
        jobs.now += HOUR
        assert jobs.dies() == 2
        raise Killed

    with pytest.raises(Killed):
        jobs.take_up(both_die)
    jobs.now += 3 * HOUR
    jobs.take_up()

    assert jobs.rows() == [
        (1, 1, "missed", DIED), (2, 1, "missed", DIED), (3, 2, "missed", ""), (5, 1, "done", ""),
    ]  # fmt: skip


def test_a_pause_misses_what_waits_and_leaves_what_runs(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, "all")
    jobs.now += 2 * HOUR

    def first(tick: Tick) -> None:
        assert jobs.dies() == 2
        with closing(Catalog(jobs.settings.catalog_path, write=True)) as catalog:
            Ticks(catalog).pause("hourly", "ann", jobs.now)
        jobs.now += 2 * HOUR
        jobs.take_up()

    jobs.take_up(first)
    resume(jobs.settings, jobs.job, jobs.now)

    assert jobs.rows() == [(1, 1, "done", ""), (2, 3, "missed", f"paused by ann; {DIED}")]


def test_the_daemon_starts_as_many_processes_as_may_be_at_work(tmp_path: Path) -> None:
    jobs = Jobs(tmp_path, "all")
    jobs.now += 5 * HOUR
    # Each is at its tick until the daemon asks it to stop.
    code = (
        "import signal, sys, time\n"
        "from pathlib import Path\n"
        "from assetflow.automation.rounds import take_up\n"
        "from assetflow.load.settings import read_settings\n"
        "from assetflow.model.jobs import jobs_of\n"
        "from msgspec.structs import replace\n"
        "settings = read_settings(Path(sys.argv[1]), environment={})\n"
        "def run(tick):\n"
        "    (Path(sys.argv[1]) / f'at-{tick.scheduled}').touch()\n"
        "    signal.sigwait([signal.SIGTERM])\n"
        "    return replace(tick, state='done')\n"
        f"take_up(settings, jobs_of(settings.jobs)[0], {jobs.now}, run, time.time)\n"
        "print('done')\n"
    )
    starts: list[int] = []
    rounds = [0]

    def start(work: Work) -> subprocess.Popen[str]:
        starts.append(work.place)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
        try:
            return subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def looked() -> Declared:
        rounds[0] += 1
        if len(list(tmp_path.glob("at-*"))) == 2 or rounds[0] > 60:
            end()
        return known(jobs.settings)

    heard = Heard()
    Daemon(looked, start, heard, lambda: float(jobs.now)).run()

    assert starts == [0, 1]
    assert heard.lines == ["began hourly", "began hourly", "ended hourly: 0 done", "ended hourly: 0 done"]
    assert [row[:3] for row in jobs.rows()] == [(1, 1, "done"), (2, 1, "done")]
