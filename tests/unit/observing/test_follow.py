"""`logs -f` in a process of its own, while another one runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ASSETS = """
import logging
import time
from pathlib import Path

from assetflow import Context, Retry, asset

HERE = Path(__file__).parent


def wait_for(name):
    deadline = time.monotonic() + 60
    while not (HERE / name).exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@asset(retry=Retry(2))
def slow(context: Context) -> int:
    print("begin", context.attempt)
    logging.getLogger("lib").warning("careful %s", context.attempt)
    wait_for(f"go_{context.attempt}")
    if context.attempt == 1:
        raise ValueError("once")
    print("end")
    return 1


@asset
def below(slow: int) -> int:
    print("below begins")
    wait_for("go_below")
    print("below ends")
    return 2
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "assetflow.toml").write_text('modules = ["assets"]\n')
    (tmp_path / "assets.py").write_text(ASSETS)
    return tmp_path


@contextmanager
def started(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "assetflow", *words],
        cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8",
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def wait_until_it_runs(folder: Path) -> None:
    deadline = time.monotonic() + 60
    while not list(folder.glob(".assetflow/runs/1/slow.1.log")):
        assert time.monotonic() < deadline, "the run has not begun"
        time.sleep(0.02)


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().rstrip("\n")


def test_a_run_is_followed_over_attempts_until_it_ends(project: Path) -> None:
    with started(project, "materialize", "-q"):
        wait_until_it_runs(project)
        with started(project, "logs", "-f") as follower, started(project, "logs", "-f", "slow", "--json") as other:
            assert next_line(follower).split(" │ ")[1] == "begin 1"
            assert next_line(follower).endswith("WARNING careful 1")
            (project / "go_1").touch()
            lines = [next_line(follower)]
            while "begin 2" not in lines[-1]:
                lines.append(next_line(follower))
            assert lines[-2].endswith("ValueError: once")
            (project / "go_2").touch()
            events = [json.loads(line) for line in other.communicate(timeout=60)[0].splitlines()]
            assert other.returncode == 0
            while "below begins" not in lines[-1]:
                lines.append(next_line(follower))
            (project / "go_below").touch()
            rest, _ = follower.communicate(timeout=60)

    assert lines[-1].startswith("below ")
    assert rest.splitlines()[-1].endswith(" │ below ends")
    assert follower.returncode == 0
    assert {event["schema"] for event in events} == {"assetflow.log/1"}
    said = [(event["attempt"], event["line"]) for event in events]
    assert (said[0], said[-1]) == ((1, "begin 1"), (2, "end"))
    assert {(event["run"], event["asset"]) for event in events} == {(1, "slow")}


def test_a_run_that_is_killed_is_not_followed_for_ever(project: Path) -> None:
    with started(project, "materialize", "-q") as run:
        wait_until_it_runs(project)
        with started(project, "logs", "-f", "--level", "warning") as follower:
            assert next_line(follower).endswith("WARNING careful 1")
            run.kill()
            rest, _ = follower.communicate(timeout=60)

    assert rest == ""
    assert follower.returncode == 0
