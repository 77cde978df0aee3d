"""Ctrl-C at any moment of a run: the shell is back in time, nothing is left, and the next run goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.end_to_end.test_bad_citizens import alive

pytestmark = [
    pytest.mark.end_to_end, pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc"),
]  # fmt: skip
ASSETS = """
import time
from pathlib import Path
import pandas as pd
from assetflow import asset

HERE = Path(__file__).parent


def make(number):
    @asset(key=f"quick_{number}")
    def quick() -> pd.DataFrame:
        return pd.DataFrame({"n": range(number)})
    return quick


made = [make(number) for number in range(6)]


@asset
def stubborn(quick_0: pd.DataFrame) -> int:
    (HERE / "begun").touch()
    deadline = time.monotonic() + (0 if (HERE / "calm").exists() else 600)
    while time.monotonic() < deadline:
        try:
            time.sleep(1)
        except BaseException:
            pass
    return 1


@asset
def below(stubborn: int) -> int:
    return 2
"""
GRACE_S = 4.0
SLACK_S = 3.0  # for a machine that does other things as well


def begin(folder: Any, executor: str, mark: str) -> subprocess.Popen[str]:
    """A run as a terminal starts it: in a group of its own, to which the terminal sends ctrl-c."""
    command = folder.command("materialize", "--executor", executor)
    environment = folder.environment({"INTERRUPTED": mark})
    return subprocess.Popen(
        command, env=environment, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def wait_for(is_so: Callable[[], object], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.005)
    return True


def interrupt(run: subprocess.Popen[str], times: int, most_s: float) -> float:
    """Send ctrl-c so often and wait for the end; how long that took."""
    began = time.monotonic()
    for number in range(times):
        if number:
            wait_for(lambda: run.poll() is not None, 0.3)
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGINT)
    try:
        _, told = run.communicate(timeout=most_s)
    except subprocess.TimeoutExpired:
        os.killpg(run.pid, signal.SIGKILL)
        run.communicate()
        pytest.fail(f"it did not end within {most_s} s")
    assert "Traceback (most recent call last)" not in told
    return time.monotonic() - began


@pytest.mark.parametrize("executor", ["threads", "processes"])
@pytest.mark.parametrize("times", [1, 2])
def test_the_shell_is_back_in_time(folder: Any, executor: str, times: int) -> None:
    folder.write("assets.py", ASSETS)
    folder.write("assetflow.toml", f'modules = ["assets"]\nstop_grace = "{GRACE_S:g}s"\n')
    moments = [None, 0.2, 0.6, 1.0, 1.4, 1.8] if times == 1 else [None, 0.4, 1.2]
    for moment in moments:
        (folder.path / "begun").unlink(missing_ok=True)
        mark = f"600.{uuid4().int}"
        run = begin(folder, executor, mark)
        if moment is None:
            assert wait_for((folder.path / "begun").exists, 60)
        else:
            wait_for(lambda: False, moment)

        interrupt(run, times, (GRACE_S if times == 1 else 1.0) + SLACK_S)

        assert wait_for(lambda mark=mark: not alive(mark), 2.0), f"{moment}: {alive(mark)}"
        assert run.returncode in (130, -signal.SIGINT), f"{moment}: {run.returncode}"

    (folder.path / "calm").touch()
    assert folder.run("materialize").code == 0
    assert set(folder.states().values()) == {"current"}
