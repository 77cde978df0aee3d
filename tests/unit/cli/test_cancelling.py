"""Stopping runs from elsewhere, going on where they ended, and two runs that want the same: real processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli

DEADLINE_S = 60.0
ASSETS = """
import pathlib, time
from assetflow import Config, asset

HERE = pathlib.Path(__file__).parent


def ran(name):
    with (HERE / "ran.txt").open("a") as file:
        file.write(name + "\\n")


@asset
def first() -> int:
    ran("first")
    return 1


@asset
def slow(first: int) -> int:
    ran("slow")
    (HERE / "slow.began").touch()
    for _ in range(12000):
        if (HERE / "go").exists():
            break
        time.sleep(0.005)
    if (HERE / "broken").exists():
        raise ValueError("broken")
    return first


class LastConfig(Config):
    amount: int = 1


@asset
def last(slow: int, config: LastConfig) -> int:
    ran("last")
    return slow + config.amount
"""


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.01)


class Runs:
    """A project whose slow asset waits for a file, and the processes that run it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.processes: list[subprocess.Popen[str]] = []
        (root / "assets.py").write_text(ASSETS)
        (root / "assetflow.toml").write_text('modules = ["assets"]\n')

    def start(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "assetflow", *(words or ("materialize",))]
        pipe = subprocess.PIPE
        process = subprocess.Popen(
            command, cwd=self.root, stdout=pipe, stderr=pipe, text=True, start_new_session=True
        )  # fmt: skip
        self.processes.append(process)
        return process

    def slow(self, *words: str) -> subprocess.Popen[str]:
        """A run whose slow asset is being computed."""
        process = self.start(*words)
        until(lambda: (self.root / "slow.began").exists() or process.poll() is not None)
        assert process.poll() is None, process.communicate()
        return process

    def go(self) -> None:
        (self.root / "go").touch()

    def ran(self) -> list[str]:
        return (self.root / "ran.txt").read_text().split()


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runs]:
    monkeypatch.chdir(tmp_path)
    found = Runs(tmp_path)
    yield found
    found.go()
    for process in found.processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def states(cli: Cli) -> dict[str, str]:
    return {row["asset"]: row["state"] for row in cli("status", "--json").document["data"]["assets"]}


def test_a_run_is_cancelled_and_gone_on_with(cli: Cli, runs: Runs) -> None:
    process = runs.slow()
    until((runs.root / ".assetflow" / "catalog.db").exists)

    stopper = runs.start("cancel", "1")
    until(lambda: "stopping" in ((process.stderr and process.stderr.readline()) or ""))
    runs.go()  # what is being computed may finish
    out, err = stopper.communicate(timeout=DEADLINE_S)
    assert process.wait(DEADLINE_S) == 130

    assert (stopper.returncode, err) == (0, "")
    assert "run #1 was stopped · 2 kept · 1 not finished" in out
    assert "resume   assetflow retry 1   1 left" in out
    assert cli("cancel", "1").out == " run #1 has ended: · cancelled\n"
    again = cli("retry")
    assert again.code == 0
    assert runs.ran() == ["first", "slow", "last"]
    assert cli("resume", "2").out == " ● nothing to retry in run #2: it did all that it was asked for\n"


def test_a_run_is_cancelled_at_once(cli: Cli, runs: Runs) -> None:
    process = runs.slow()

    began = time.monotonic()
    screen = cli("cancel", "1", "--now")

    assert process.wait(DEADLINE_S) == 130
    assert time.monotonic() - began < 5
    assert "run #1 was stopped" in screen.out
    assert states(cli) == {"first": "current", "slow": "missing", "last": "missing"}


def test_a_run_that_has_ended_or_never_was_is_not_cancelled(cli: Cli, runs: Runs) -> None:
    runs.go()
    cli("materialize")

    assert cli("runs", "cancel", "1").out == " run #1 has ended: ✓ ok\n"
    assert cli("cancel", "1", "--json").document["data"]["was_running"] is False
    assert "there is no run #7" in cli("cancel", "7").err
    assert cli("cancel", "7").code == 2


def test_a_number_that_another_process_has_now_is_never_hit(cli: Cli, runs: Runs) -> None:
    """The run died, and its environment is locked by somebody else with the note of another process."""
    process = runs.slow()
    os.kill(process.pid, 9)
    process.wait(DEADLINE_S)
    (runs.root / "slow.began").unlink()
    other = runs.slow()  # the same environment, another run

    assert cli("cancel", "1").out == " run #1 has ended: ✗ died\n"
    assert other.poll() is None
    runs.go()
    assert other.wait(DEADLINE_S) == 0


def test_retry_asks_for_the_same_and_keeps_what_was_made(cli: Cli, runs: Runs) -> None:
    runs.go()
    (runs.root / "broken").touch()
    cli("materialize", "first")
    failed = cli("materialize", "--force", "--executor", "inline", "--set", "last.amount=41")
    assert failed.code == 1
    assert "assetflow retry 2   2 left; what is built stays" in failed.err
    (runs.root / "broken").unlink()

    again = cli("retry", "--json")

    assert again.code == 0
    assert {one["asset"]: one["state"] for one in again.document["data"]["outcomes"]} == {
        "slow": "materialized", "last": "materialized",
    }  # fmt: skip
    assert runs.ran() == ["first", "first", "slow", "slow", "last"]
    assert cli("preview", "last").code != 70
    shown = json.loads((runs.root / ".assetflow" / "runs" / "3" / "request.json").read_text())
    assert (shown["executor"], shown["config"]) == ("inline", {"last": {"amount": "41"}})


def test_retry_says_that_the_code_has_changed(cli: Cli, runs: Runs) -> None:
    runs.go()
    (runs.root / "broken").touch()
    cli("materialize")
    (runs.root / "assets.py").write_text(ASSETS.replace('raise ValueError("broken")', "return 7"))

    again = cli("retry", "1")

    assert "the code has changed since run #1: slow; it runs as it is now" in again.err
    assert again.code == 0
    assert runs.ran() == ["first", "slow", "slow", "last"]


def test_there_is_nothing_to_retry_before_the_first_run(cli: Cli, runs: Runs) -> None:
    assert (cli("retry").code, cli("retry", "3").code) == (2, 2)


def test_a_run_ends_when_its_time_is_over(cli: Cli, runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSETFLOW_STOP_GRACE", "300ms")

    screen = cli("materialize", "--timeout", "1s")

    assert screen.code == 124
    assert screen.err.splitlines()[-1] == "timed out: run #1; what was built is kept"
    assert states(cli) == {"first": "current", "slow": "missing", "last": "missing"}
    attempts = cli("runs", "show", "1", "--json").document["data"]["attempts"]
    assert [(one["asset"], one["state"]) for one in attempts] == [
        ("first", "materialized"), ("slow", "cancelled"), ("last", "cancelled"),
    ]  # fmt: skip
    runs.go()
    assert cli("retry", "--timeout", "1h").code == 0


def test_what_runs_in_the_main_thread_is_stopped_by_the_time_limit_too(cli: Cli, runs: Runs) -> None:
    screen = cli("materialize", "--timeout", "1s", "--executor", "inline")

    assert screen.code == 124
    assert states(cli)["first"] == "current"


def test_keep_going_is_the_default_and_excludes_fail_fast(cli: Cli, runs: Runs) -> None:
    runs.go()
    assert cli("materialize", "--keep-going").code == 0
    assert cli("materialize", "--keep-going", "--fail-fast").code == 2


def test_of_two_runs_that_want_the_same_one_computes_and_the_other_finds_it_current(cli: Cli, runs: Runs) -> None:
    one = runs.slow()
    refused = cli("materialize")
    assert refused.code == 5
    assert f"run #1 is materializing in env dev (pid {one.pid}, " in refused.err
    assert "wait for it with `assetflow materialize --wait 5m`, or end it: assetflow cancel 1" in refused.err

    other = runs.start("materialize", "--wait", "1m", "--json")
    time.sleep(0.5)  # it may be waiting by now, or still begin: both must do
    runs.go()
    out, _ = other.communicate(timeout=DEADLINE_S)

    assert one.wait(DEADLINE_S) == 0
    assert other.returncode == 0
    assert json.loads(out)["data"]["current"] == 3
    assert runs.ran() == ["first", "slow", "last"]
