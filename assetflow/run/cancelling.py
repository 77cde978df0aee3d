"""Ending a run from another process: it is asked to stop, and its end is waited for."""

from __future__ import annotations

import json
import os
import platform
import signal
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any, cast

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.locks import FileLock
from assetflow.errors import RunConflict, UsageError
from assetflow.load.settings import Settings
from assetflow.model.records import Run
from assetflow.run.locks import run_lock

WAIT_S = 20.0
"""A run that was asked to stop has ended after ten seconds, and then closes what it holds."""
_SECOND_S = 0.3
_PAUSE_S = 0.05


def cancel(settings: Settings, run_id: int, *, at_once: bool = False, wait_s: float = WAIT_S) -> tuple[Run, bool]:
    """Ask a run to stop like a first Ctrl-C, or with `at_once` like a second one, and wait until it has ended.

    The run afterwards, and whether it was going on before. The signal is sent to no other process: that one must hold
    the lock of the environment in the moment of the signal.

    Raises:
        UsageError: there is no such run, or it is not of this machine or not of this user.
        RunConflict: it has not ended after `wait_s`.
    """
    run = _run(settings, run_id)
    lock = run_lock(settings, run.env)
    note = lock.note()
    if run.state != "running" or not lock.is_held_by_anyone() or _holder(note).get("pid") != run.pid:
        return run, False
    if run.host != platform.node():
        raise UsageError(f"run #{run_id} is going on on {run.host}", fix="cancel it there")

    def is_over() -> bool:
        return not lock.is_held_by_anyone() or lock.note() != note

    _signal(run, is_over)
    if at_once and not _until(is_over, _SECOND_S):
        _signal(run, is_over)
    if not _until(is_over, wait_s):
        raise RunConflict(
            f"run #{run_id} (pid {run.pid}) was asked to stop and has not ended within {wait_s:.0f} s",
            fix=f"assetflow cancel {run_id} --now",
        )
    return _run(settings, run_id), True


def running_in(settings: Settings, lock: FileLock) -> Run | None:
    """The run whose process holds the lock of the environment; None when it is not a run."""
    with closing(Catalog(settings.catalog_path)) as catalog:
        pid = _holder(lock.note()).get("pid")
        return next((run for run in catalog.running() if run.env == settings.env and run.pid == pid), None)


def _run(settings: Settings, run_id: int) -> Run:
    with closing(Catalog(settings.catalog_path)) as catalog:
        run = catalog.run(run_id)
    if run is None:
        raise UsageError(f"there is no run #{run_id}", fix="`assetflow runs` lists the runs")
    return run


def _holder(note: str) -> dict[str, Any]:
    try:
        found = json.loads(note)
    except ValueError:  # it has not written its note yet
        return {}
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}


def _signal(run: Run, is_over: Callable[[], bool]) -> None:
    """Send SIGINT to the process of a run, unless that is over: its number may be that of another process then."""
    try:
        if not hasattr(os, "pidfd_open"):
            if not is_over():
                os.kill(run.pid, signal.SIGINT)
            return
        descriptor = os.pidfd_open(run.pid)  # from here on it means this very process, whatever becomes of the number
        try:
            if not is_over():
                signal.pidfd_send_signal(descriptor, signal.SIGINT)
        finally:
            os.close(descriptor)
    except ProcessLookupError:
        return
    except PermissionError as error:
        raise UsageError(f"run #{run.run_id} belongs to {run.user}", fix=f"ask {run.user} to cancel it") from error


def _until(condition: Callable[[], bool], wait_s: float) -> bool:
    deadline = time.monotonic() + wait_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(_PAUSE_S)
    return True
