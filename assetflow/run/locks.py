"""The locks of a store: one run at a time in an environment, and nothing is removed while a run goes on."""

from __future__ import annotations

import getpass
import json
import os
import platform
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress

from assetflow.catalog.locks import FileLock
from assetflow.errors import AssetflowError, RunConflict
from assetflow.files import storage_error
from assetflow.load.settings import Settings
from assetflow.model.records import Run


def run_lock(settings: Settings, env: str) -> FileLock:
    """The lock of an environment's runs. Held means that the run is alive: the kernel frees it with the process."""
    return FileLock(settings.state_path / "locks" / f"run-{env}.lock")


def store_lock(settings: Settings) -> FileLock:
    """The lock of stored versions: every run shares it, and who removes versions has it alone."""
    return FileLock(settings.state_path / "locks" / "store.lock")


@contextmanager
def environment_lock(
    settings: Settings, wait_s: float, *, verb: str = "materialize", on_wait: Callable[[str], None] | None = None
) -> Generator[None]:
    """Hold the environment for as long as the block takes: no run begins in it meanwhile.

    `on_wait` is told once who holds it, when there is somebody to wait for and time to do so.

    Raises:
        RunConflict: another process holds it for longer than `wait_s`.
        NotWritable: the folder of the project cannot be written.
    """
    lock = run_lock(settings, settings.env)
    note = note_of_this_process(time.time())
    try:
        tell = None if on_wait is None or wait_s <= 0 else lambda: on_wait("".join(_holder(settings, lock)[:2]))
        is_mine = lock.acquire(wait_s=wait_s, note=note, on_wait=tell)
    except OSError as error:
        raise storage_error("locking the environment with", lock.path, error) from error
    if not is_mine:
        raise _conflict(settings, lock, verb)
    try:
        yield
    finally:
        lock.release()


def note_of_this_process(now: float) -> str:
    """What this process writes into a lock that it takes at `now`: who it is."""
    return json.dumps({"pid": os.getpid(), "user": user_name(), "host": platform.node(), "since": now})


def user_name() -> str:
    """The name of the user who runs this process, or its number where it has none."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # no name for this user id, as in some containers
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _holder(settings: Settings, lock: FileLock) -> tuple[str, str, Run | None]:
    """The run that holds the environment in words, what is known of its process, and itself if the catalog has it."""
    from assetflow.run.cancelling import running_in

    who, run = "", None
    with suppress(ValueError, KeyError, TypeError):  # the other one may not have written its note yet
        holder = json.loads(lock.note())
        since = time.strftime("%H:%M:%S", time.localtime(holder["since"]))
        who = f" (pid {holder['pid']}, {holder['user']}@{holder['host']}) since {since}"
    with suppress(AssetflowError):  # a catalog that cannot be read is no reason to say less than that
        run = running_in(settings, lock)
    return "another run" if run is None else f"run #{run.run_id}", who, run


def _conflict(settings: Settings, lock: FileLock, verb: str) -> RunConflict:
    name, who, run = _holder(settings, lock)
    end = "" if run is None else f", or end it: assetflow cancel {run.run_id}"
    return RunConflict(
        f"{name} is materializing in env {settings.env}{who}",
        fix=f"wait for it with `assetflow {verb} --wait 5m`{end or ', or try again when it has finished'}",
    )
