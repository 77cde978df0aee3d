"""`materialize --pdb` on a real pseudo-terminal: at the user's frame, whatever is captured."""

from __future__ import annotations

import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli

pty = pytest.importorskip("pty")

DEADLINE_S = 60.0
PROMPT = "(Pdb) "

ASSETS = """
import json
from assetflow import Retry, asset, check


@asset
def numbers() -> list:
    print("printed by the asset")
    return [1, 2, 3]


@asset(retry=Retry(times=3, delay="1ms"))
def bad(numbers: list) -> int:
    wanted = len(numbers) + 39
    return json.loads("{" + str(wanted))


@asset
def after(bad: int) -> int:
    return bad


@asset
def stops() -> int:
    secret = 7
    breakpoint()
    print("going on")
    return secret


@asset
def checked() -> int:
    return 1


@check(checked)
def looks(checked: int) -> bool:
    expected = checked + 1
    raise LookupError("in the check")
"""


class Terminal:
    """A process on a terminal of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        ours, theirs = pty.openpty()
        environment = {**os.environ, "TERM": "xterm", "COLUMNS": "200", "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
        for name in ("CI", "PYTHONBREAKPOINT"):
            environment.pop(name, None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "assetflow", "materialize", *arguments],
            stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self._end = ours
        self._text = ""

    def until(self, words: str) -> str:
        """What has appeared since the last time, up to these words."""
        deadline = time.monotonic() + DEADLINE_S
        while words not in self._text:
            assert self._read(deadline), f"it ended without {words!r}: {self._text}"
        found, _, self._text = self._text.partition(words)
        return found

    def type(self, line: str) -> None:
        os.write(self._end, f"{line}\n".encode())

    def ending(self) -> tuple[int, str]:
        """The exit code, and all that was still to come."""
        deadline = time.monotonic() + DEADLINE_S
        while self._read(deadline):
            pass
        return self.process.wait(DEADLINE_S), self._text

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._end)

    def _read(self, deadline: float) -> bool:
        """Read what comes; whether there may be more."""
        while not select.select([self._end], [], [], 0.2)[0]:
            assert time.monotonic() < deadline, f"nothing came for {DEADLINE_S} s after {self._text!r}"
        try:
            data = os.read(self._end, 4096)
        except OSError:  # Linux says so when the other end is closed
            return False
        self._text += re.sub(r"\x1b\[[?\d;]*[A-Za-z]|\r", "", data.decode(errors="replace"))
        return bool(data)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "assets.py").write_text(ASSETS)
    (tmp_path / "assetflow.toml").write_text('modules = ["assets"]\n')
    return tmp_path


@pytest.fixture
def terminals() -> Iterator[list[Terminal]]:
    found: list[Terminal] = []
    yield found
    for one in found:
        one.close()


def test_the_debugger_opens_at_the_users_frame_and_the_run_goes_on(folder: Path, terminals: list[Terminal]) -> None:
    terminals.append(terminal := Terminal(folder, "after", "--pdb"))

    screen = terminal.until(PROMPT)
    assert "bad   JSONDecodeError: " in screen
    assert f"> {folder}/assets.py(15)bad()" in screen
    assert "printed by the asset" not in screen
    terminal.type("p wanted + 1000")
    assert "1042" in terminal.until(PROMPT)
    terminal.type("down")
    assert "json/__init__.py" in terminal.until(PROMPT)
    terminal.type("q")
    code, rest = terminal.ending()

    assert code == 1
    assert PROMPT not in rest, "a retry asks again"
    assert "1 materialized · 1 failed · 1 blocked" in rest
    assert "printed by the asset" in (folder / ".assetflow" / "runs" / "1" / "numbers.1.log").read_text()


def test_breakpoints_ask_on_the_terminal_and_prints_stay_captured(folder: Path, terminals: list[Terminal]) -> None:
    terminals.append(terminal := Terminal(folder, "stops", "--pdb"))

    assert re.search(rf"> {re.escape(str(folder))}/assets\.py\(2[67]\)stops\(\)", terminal.until(PROMPT))
    terminal.type("p secret * 6")
    assert "42" in terminal.until(PROMPT)
    shown = ""
    while "-> return secret" not in shown:  # from Python 3.13 on it stops at the line of the breakpoint itself
        terminal.type("n")
        shown = terminal.until(PROMPT)
    assert "going on" not in shown
    terminal.type("c")
    code, rest = terminal.ending()

    assert (code, "1 materialized" in rest, "going on" in rest) == (0, True, False)
    assert (folder / ".assetflow" / "runs" / "1" / "stops.1.log").read_text() == "going on\n"


def test_who_quits_at_a_breakpoint_fails_the_asset_and_is_not_asked_again(
    folder: Path, terminals: list[Terminal]
) -> None:
    terminals.append(terminal := Terminal(folder, "stops", "--pdb"))

    terminal.until(PROMPT)
    terminal.type("q")
    code, rest = terminal.ending()

    assert code == 1
    assert PROMPT not in rest
    assert "BdbQuit" in rest


def test_checks_can_be_looked_into(folder: Path, terminals: list[Terminal]) -> None:
    terminals.append(terminal := Terminal(folder, "checked", "--pdb"))

    assert "LookupError: in the check" in terminal.until(PROMPT)
    terminal.type("p expected + 40")
    assert "42" in terminal.until(PROMPT)
    terminal.type("q")

    assert terminal.ending()[0] == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--pdb needs a terminal to ask at, and standard input is none"),
        (("--json",), "--pdb talks on the terminal"),
        (("--progress", "jsonl"), "--pdb talks on the terminal"),
        (("--no-input",), "--no-input says never to ask"),
    ],
)
def test_it_is_refused_where_nobody_can_be_asked(
    folder: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], words: str
) -> None:
    monkeypatch.chdir(folder)

    screen = cli("materialize", "--pdb", *options)

    assert screen.code == 2
    assert words in screen.out + screen.err
    assert not (folder / ".assetflow" / "runs").exists()


def test_only_the_inline_executor_can_be_debugged(folder: Path, terminals: list[Terminal]) -> None:
    terminals.append(terminal := Terminal(folder, "--pdb", "--executor", "threads"))

    code, text = terminal.ending()

    assert code == 2
    assert "a debugger needs the executor `inline`, not `threads`" in text
