"""The places of a job: how many processes are at its ticks at once, and at which.

A place is a lock with a note of the tick that its holder is at. The note is written before the tick is claimed, and all
that claims is done one after the other. So a claimed tick that no held place names is one of a process that died.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager

from msgspec import Struct

from assetflow.automation.locks import job_lock
from assetflow.catalog.locks import FileLock
from assetflow.files import storage_error
from assetflow.load.settings import Settings
from assetflow.model.jobs import MOST_RUNS, Job
from assetflow.run.locks import note_of_this_process

_PATIENCE_S = 10.0
"""Another process decides what becomes of the ticks of the job: that is a transaction, not a run."""


class AtWork(Struct, frozen=True):
    """How many places of a job are held, and the ticks that their holders are at. What a sensor asked for is none."""

    held: int = 0
    ticks: frozenset[int] = frozenset()


class Place(Struct):
    """A place that this process holds. `others` are those that were at work when it came."""

    lock: FileLock
    others: AtWork
    now: float

    def announce(self, tick: int) -> None:
        """Say at which tick this process will be, before it claims it.

        Raises:
            NotWritable: that cannot be written.
        """
        note = json.loads(note_of_this_process(self.now))
        try:
            self.lock.rewrite(json.dumps({**note, "tick": tick}))
        except OSError as error:
            raise storage_error("writing into", self.lock.path, error) from error


def at_work(settings: Settings, job: str) -> AtWork:
    """Who is at the ticks of a job now, in this process or in others."""
    held = [place for place in _places(settings, job, MOST_RUNS) if place.is_held_by_anyone()]
    ticks = (_tick_of(place.note()) for place in held)
    return AtWork(len(held), frozenset(tick for tick in ticks if tick is not None))


@contextmanager
def turn(settings: Settings, job: Job, now: float) -> Generator[Place | None]:
    """Decide on the ticks of a job alone, in a place of it: None when all are taken. The place stays held afterwards.

    Raises:
        NotWritable: the folder of the project cannot be written.
    """
    alone = FileLock(settings.state_path / "locks" / f"turn-{job.name}.lock")
    note = note_of_this_process(now)
    try:
        is_mine = alone.acquire(note=note, wait_s=_PATIENCE_S)
    except OSError as error:
        raise storage_error("locking a job with", alone.path, error) from error
    if not is_mine:
        yield None
        return
    with alone:
        others = at_work(settings, job.name)
        if others.held >= job.max_active_runs:
            yield None
            return
        # The first is for what sensors and `on_update` ask for as well: it is taken last.
        for lock in reversed(_places(settings, job.name, job.max_active_runs)):
            try:
                is_mine = lock.acquire(note=note)
            except OSError as error:
                raise storage_error("locking a job with", lock.path, error) from error
            if is_mine:
                yield Place(lock, others, now)
                return
        yield None


def _places(settings: Settings, job: str, count: int) -> list[FileLock]:
    folder = settings.state_path / "locks"
    more = [FileLock(folder / f"place-{number}-{job}.lock") for number in range(1, count)]
    return [job_lock(settings, job), *more]


def _tick_of(note: str) -> int | None:
    try:
        found = json.loads(note)["tick"]
    except (ValueError, KeyError, TypeError):  # it is at none, or is about to say at which
        return None
    return found if isinstance(found, int) else None
