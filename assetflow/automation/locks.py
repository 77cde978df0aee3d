"""The locks of jobs and of the daemon. Held means alive: the kernel frees them with the process, however it dies."""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager

from msgspec import Struct

from assetflow.catalog.locks import FileLock
from assetflow.files import storage_error
from assetflow.load.settings import Settings
from assetflow.run.locks import note_of_this_process


class Holder(Struct, frozen=True):
    """Who holds a lock, as far as it is known."""

    pid: int
    user: str
    host: str
    since: float


def job_lock(settings: Settings, job: str) -> FileLock:
    """Held by the process that takes up a tick of a job, from before it is claimed until its end is recorded.

    The same for runs that a sensor asks for, by its name: no job has the name of a sensor.
    """
    return FileLock(settings.state_path / "locks" / f"job-{job}.lock")


def sensor_lock(settings: Settings, name: str) -> FileLock:
    """Held by the process that looks at something, until what came of it is recorded."""
    return FileLock(settings.state_path / "locks" / f"sensor-{name}.lock")


def daemon_lock(settings: Settings) -> FileLock:
    """Held by the daemon of a project."""
    return FileLock(settings.state_path / "locks" / "daemon.lock")


@contextmanager
def acquired(lock: FileLock, what: str, now: float) -> Generator[bool]:
    """Hold a lock, with a note of who does; whether that worked, because no other process holds it.

    Raises:
        NotWritable: the folder of the project cannot be written.
    """
    try:
        is_mine = lock.acquire(note=note_of_this_process(now))
    except OSError as error:
        raise storage_error(f"locking {what} with", lock.path, error) from error
    if not is_mine:
        yield False
        return
    with lock:
        yield True


def holder(lock: FileLock) -> Holder | None:
    """Who holds a lock now; None when nobody does, or nothing is known of who does yet."""
    if not lock.is_held_by_anyone():
        return None
    try:
        return Holder(**json.loads(lock.note()))
    except (ValueError, TypeError):  # it has not written its note yet
        return None
