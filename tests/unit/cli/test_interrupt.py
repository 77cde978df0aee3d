from __future__ import annotations

import io
import json
import os
import signal
from pathlib import Path

import pytest

from assetflow.cli import progress
from assetflow.cli.render import Screen
from tests.unit.cli.conftest import Cli

ASSETS = """
import os, pathlib, signal, threading
from assetflow import asset

HERE = pathlib.Path(__file__).parent


def wait_for(name):
    for _ in range(1000):
        if (HERE / name).exists():
            return
        threading.Event().wait(0.01)


@asset
def first() -> int:
    os.kill(os.getpid(), signal.SIGINT)
    wait_for("told")
    if (HERE / "stubborn").exists():
        os.kill(os.getpid(), signal.SIGINT)
        wait_for("end")
    return 1


@asset
def second(first: int) -> int:
    return first
"""


@pytest.fixture
def interrupted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project whose first asset presses ctrl-c, and goes on when the answer to it has been written."""
    (tmp_path / "assets.py").write_text(ASSETS)
    (tmp_path / "assetflow.toml").write_text('modules = ["assets"]\n')
    monkeypatch.chdir(tmp_path)
    words = progress.stopping_words

    def told(running: int) -> str:
        (tmp_path / "told").touch()
        return words(running)

    monkeypatch.setattr(progress, "stopping_words", told)
    return tmp_path


def states(cli: Cli) -> dict[str, str]:
    return {row["asset"]: row["state"] for row in cli("status", "--json").document["data"]["assets"]}


def test_the_first_interrupt_is_answered_and_what_runs_finishes(cli: Cli, interrupted: Path) -> None:
    screen = cli("materialize")

    assert screen.code == 130
    assert 'running=1 note="stopping: 1 running asset gets a few seconds, no new ones start' in screen.err
    assert screen.err.count("stopping:") == 1
    assert screen.err.splitlines()[-1] == "interrupted: run #1; what was built is kept"
    assert "error[" not in screen.err
    assert "resume   assetflow retry 1   1 left; what is built stays" in screen.err
    assert "interrupted · 1 materialized · 1 not finished" in screen.out
    assert states(cli) == {"first": "current", "second": "missing"}


@pytest.mark.parametrize("how", ["rich", "none", "summary"])
def test_every_watcher_answers_the_first_interrupt(cli: Cli, interrupted: Path, how: str) -> None:
    screen = cli("materialize", "--progress", how)

    assert (
        "stopping: 1 running asset gets a few seconds, no new ones start (ctrl-c again to stop at once)" in screen.err
    )


def test_programs_are_told_of_the_first_interrupt() -> None:
    out = io.StringIO()
    progress.JsonWatcher(Screen(out, io.StringIO())).stopping(2)

    event = json.loads(out.getvalue())
    assert (event["type"], event["running"]) == ("stopping", 2)


def test_an_asset_that_was_interrupted_has_not_failed(cli: Cli, interrupted: Path) -> None:
    screen = cli("materialize", "--executor", "inline")

    assert screen.code == 130
    assert states(cli) == {"first": "missing", "second": "missing"}
    assert cli("runs", "show", "1", "--json").document["data"]["attempts"][0]["state"] == "cancelled"


def test_what_the_second_interrupt_gives_up_has_not_failed(cli: Cli, interrupted: Path) -> None:
    (interrupted / "stubborn").touch()
    screen = cli("materialize")
    (interrupted / "end").touch()

    assert screen.code == 130
    assert screen.err.splitlines()[-1] == "interrupted: run #1; what was built is kept (go on: assetflow retry 1)"
    assert states(cli) == {"first": "missing", "second": "missing"}
    assert cli("runs", "show", "1", "--json").document["data"]["attempts"][0]["state"] == "cancelled"


@pytest.mark.parametrize(
    ("running", "words"),
    [
        (0, "stopping: nothing is running, no new assets start"),
        (2, "stopping: 2 running assets get a few seconds, no new ones start (ctrl-c again to stop at once)"),
    ],
)
def test_the_words_for_stopping(running: int, words: str) -> None:
    assert progress.stopping_words(running) == words


DROPPED = """
import os, signal
from assetflow import asset

try:
    if os.environ.get("PRESSED_IN") == str(os.getpid()):  # not where the project is loaded apart
        os.kill(os.getpid(), signal.SIGINT)
    for _ in range(1000):
        pass
except KeyboardInterrupt as stop:
    if RAISES:
        raise ImportError("what C makes of it") from None


@asset
def first() -> int:
    return 1
"""


@pytest.mark.parametrize("raises", [False, True], ids=["dropped", "wrapped"])
def test_an_interrupt_while_modules_load_is_heeded_whatever_they_make_of_it(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raises: bool
) -> None:
    (tmp_path / "assets.py").write_text(DROPPED.replace("RAISES", str(raises)))
    (tmp_path / "assetflow.toml").write_text('modules = ["assets"]\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PRESSED_IN", str(os.getpid()))

    screen = cli("materialize")

    assert screen.code == 130
    assert "interrupted" in screen.err
    assert "error[" not in screen.err
    monkeypatch.delenv("PRESSED_IN")
    assert states(cli) == {"first": "missing"}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
