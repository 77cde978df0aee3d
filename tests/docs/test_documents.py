"""The README and the pages of docs/ are run: every command, every Python block, every screen.

Each page gets a folder of its own: a copy of the example project, or an empty one for pages that begin with
`<!-- runs in: an empty folder -->`, or a copy of one that lies beside it (`<!-- runs in: the folder NAME -->`).
In the order of the page,

- a block whose first line is `# name.ending` is written to that file;
- other `python` blocks are executed, in one process for the page;
- lines of `console` blocks that begin with `$ ` are run in a terminal of 100 columns. `# exit 4` at the end of a line
  is the exit code that it must have; what follows is compared with what appears, as words: times, sizes, hashes and the
  order of what ran at the same time may differ. A line `...` stands for whatever is left out.

A block after `<!-- not run: REASON -->` is left alone. ASSETFLOW_UPDATE_DOCS=1 writes what appears into the pages.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.warm import CLIENT, IS_POSSIBLE, Server

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "example_project"
GENERATED = ROOT / "docs" / "reference"
DECISIONS = ROOT / "docs" / "decisions"
PAGES = [
    ROOT / "README.md",
    EXAMPLE / "README.md",
    *sorted(p for p in (ROOT / "docs").rglob("*.md") if GENERATED not in p.parents and DECISIONS not in p.parents),
]
WIDTH = 100
UPDATE = os.environ.get("ASSETFLOW_UPDATE_DOCS") == "1"

_BLOCK = re.compile(r"(<!-- not run: [^\n]+ -->\n)?```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w/.-]+\.\w+)\n")
_BESIDE = re.compile(r"<!-- runs in: the folder (\w+) -->")
_EXIT = re.compile(r"# exit (\d+)\s*$")
_ANSI = re.compile(r"\x1b\[([?\d;]*)([A-Za-z])")
_OF_A_SLOW_MACHINE = re.compile(
    r" · [\d.,]+ (ms|s|min) on \d+ workers| · saves [^·\n]+|\(saved ≈[^)\n]*\)|^ *longest chain [^\n]*$", re.MULTILINE
)
"""What screens say only when something took long, or longer than now: it is not compared."""
_VARYING = (
    (re.compile(r"\b(just now|\d+ (s|min|h|d) ago)\b"), "#"),  # one word, however long ago it is
    (re.compile(r"\b(?=[a-f]*\d)[0-9a-f]{8,}\b|\b\w+@[A-Za-z]\S*|\d+ workers|(workers|bytes|secs)=[\d.]+"), "#"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]?|\d\d:\d\d(:\d\d)?([.,]\d+)?Z?"), "#"),
    (re.compile(r"\d{1,2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)\b( \d{4}\b)?"), "#"),
    (re.compile(r"[\d.,]+ ?(ms|s|min|h|d|B|kB|MB)\b"), "#"),
    (re.compile(r"\b(today|yesterday|ago|just now|GMT|BST)\b"), "#"),
)  # fmt: skip


@dataclass(frozen=True)
class Block:
    language: str
    text: str
    start: int
    line: int


def blocks_of(text: str) -> Iterator[Block]:
    for match in _BLOCK.finditer(text):
        if match[1] is None:
            yield Block(match[2], match[3], match.start(3), text[: match.start(3)].count("\n") + 1)


@pytest.mark.slow
@pytest.mark.end_to_end
@pytest.mark.skipif(sys.platform == "win32", reason="the pages are written for a POSIX shell and terminal")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_page_runs_and_shows_what_really_appears(page: Path, tmp_path: Path, warm: Server) -> None:
    text = page.read_text(encoding="utf-8")
    folder = _folder_for(page, text, tmp_path, warm)
    python: subprocess.Popen[str] | None = None
    written: list[tuple[Block, str]] = []
    try:
        for block in blocks_of(text):
            place = f"{page.relative_to(ROOT)}:{block.line}"
            name = _FILE.match(block.text)
            if name and block.language != "console":
                file = folder / name[1]
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                python = python or _interpreter(folder, tmp_path)
                problem = _execute(python, block.text)
                assert not problem, f"{place}\n{problem}"
            elif block.language == "console":
                written.append((block, _console(block, place, folder, tmp_path)))
    finally:
        if python is not None:
            python.kill()
            python.communicate()
    if UPDATE:
        for block, new in reversed(written):
            text = text[: block.start] + new + text[block.start + len(block.text) :]
        page.write_text(text, encoding="utf-8")


def test_every_block_that_is_not_run_says_why() -> None:
    silent = [
        f"{page.relative_to(ROOT)}:{text[: fence.start()].count(chr(10)) + 1}"
        for page in PAGES
        for text in [page.read_text(encoding="utf-8")]
        for fence in re.finditer(r"^```(?!\w)(?!\s*$)|^```(?:sh|bash|shell|py)$", text, re.MULTILINE)
    ]

    assert silent == []


def test_files_in_a_page_are_those_of_the_folder_beside_it() -> None:
    compared = 0
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        beside = _BESIDE.search(text)
        for block in blocks_of(text) if beside else ():
            name = _FILE.match(block.text)
            if beside and name:
                compared += 1
                assert (page.parent / beside[1] / name[1]).read_text(encoding="utf-8") == block.text, page

    assert compared >= 6


def _folder_for(page: Path, text: str, tmp_path: Path, warm: Server) -> Path:
    folder = tmp_path / "project"
    beside = _BESIDE.search(text)
    if beside:
        shutil.copytree(page.parent / beside[1], folder, ignore=shutil.ignore_patterns(".assetflow", "__pycache__"))
    elif "<!-- runs in: an empty folder -->" in text:
        folder.mkdir()
    else:
        # Not with their times: the files of an old checkout are overdue, and screens would say so.
        ignored = shutil.ignore_patterns(".assetflow", "outbox", "__pycache__")
        shutil.copytree(EXAMPLE, folder, ignore=ignored, copy_function=shutil.copyfile)
    if UPDATE:
        time.sleep(2.5)  # files younger than two seconds are read again by every verb, and the times shown would be odd
    commands = tmp_path / "bin"
    commands.mkdir()
    python = shlex.quote(sys.executable)
    call = f"{python} -S {shlex.quote(CLIENT)} {shlex.quote(warm.address)}" if IS_POSSIBLE else python
    for name, words in {"assetflow": f"{call} -m assetflow", "af": f"{call} -m assetflow", "python": python}.items():
        (commands / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        (commands / name).chmod(0o755)
    return folder


def _environment(tmp_path: Path) -> dict[str, str]:
    left_out = ("CI", "COLUMNS", "LINES", "FORCE_COLOR", "GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY")
    kept = {k: v for k, v in os.environ.items() if k not in left_out and not k.startswith(("ASSETFLOW_", "PYTEST_"))}
    path = os.pathsep.join([str(tmp_path / "bin"), kept.get("PATH", os.defpath)])
    return {
        **kept,
        "PATH": path,
        "TERM": "xterm",
        "LOGNAME": "you",  # columns leave a table when a name is long
        "NO_COLOR": "1",
        "PYTHONPATH": str(ROOT),
        "TZ": "UTC",
        "LC_ALL": "C.UTF-8",
    }


# ------------------------------------------------------------------------------------------------ Python

_LOOP = """
import contextlib, io, json, sys, traceback
names = {"__name__": "__page__"}
for line in sys.stdin:
    problem = ""
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            exec(compile(json.loads(line), "<page>", "exec"), names)
        except BaseException:
            problem = traceback.format_exc()
    print(json.dumps(problem), flush=True)
"""


def _interpreter(folder: Path, tmp_path: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _LOOP],
        cwd=folder, env=_environment(tmp_path), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip


def _execute(python: subprocess.Popen[str], text: str) -> str:
    """The traceback of a block, or nothing."""
    assert python.stdin is not None
    assert python.stdout is not None
    python.stdin.write(json.dumps(text) + "\n")
    python.stdin.flush()
    return json.loads(python.stdout.readline())


# ------------------------------------------------------------------------------------------------ console


def _console(block: Block, place: str, folder: Path, tmp_path: Path) -> str:
    """The block with what really appears; fails when that is not what the block says."""
    found: list[str] = []
    for part in re.split(r"^(?=\$ )", block.text, flags=re.MULTILINE):
        if not part:
            continue
        assert part.startswith("$ "), f"{place}: a console block begins with `$ `, not {part!r}"
        command, _, shown = part.removeprefix("$ ").partition("\n")
        wanted_exit = _EXIT.search(command)
        code, screen = _run_in_terminal(command, folder, tmp_path)
        assert code == int(wanted_exit[1] if wanted_exit else 0), f"{place}: `{command}` ended with {code}\n{screen}"
        has_gap = re.search(r"^\s*\.\.\.$", shown, re.MULTILINE) is not None
        if not UPDATE:
            missing, extra = _difference(shown, screen, tmp_path)
            extra = [] if has_gap else extra
            assert (missing, extra) == ([], []), f"{place}: `{command}`: not there, not in the page\n{screen}"
        keeps = has_gap and not _difference(shown, screen, tmp_path)[0]
        found.append(part if keeps or not UPDATE else f"$ {command}\n{screen}")
    return "".join(found)


def _difference(shown: str, screen: str, tmp_path: Path) -> tuple[list[str], list[str]]:
    """The words that are only in the page, and those that are only on the screen."""
    counts = [Counter(_plain(text, tmp_path).split()) for text in (shown.replace("...", ""), screen)]
    return sorted((counts[0] - counts[1]).elements()), sorted((counts[1] - counts[0]).elements())


def _plain(text: str, tmp_path: Path) -> str:
    text = _OF_A_SLOW_MACHINE.sub("", text.replace(str(tmp_path), "/home/you"))
    for pattern, mark in _VARYING:
        text = pattern.sub(mark, text)
    return re.sub(r"[─#│━]+", " ", text)


def _run_in_terminal(command: str, folder: Path, tmp_path: Path) -> tuple[int, str]:
    """The exit code of a shell command in a new terminal, and what is on the screen when it ends."""
    import fcntl
    import pty
    import struct
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 60, WIDTH, 0, 0))
    process = subprocess.Popen(
        ["/bin/sh", "-c", command],
        cwd=folder, env=_environment(tmp_path), stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs, close_fds=True,
    )  # fmt: skip
    os.close(theirs)
    received = bytearray()
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # Linux ends a terminal that nobody holds any more like this
            break
        if not piece:
            break
        received += piece
    os.close(ours)
    return process.wait(timeout=60), _screen(received.decode("utf-8", "replace")).replace(str(tmp_path), "/home/you")


def _screen(received: str) -> str:
    """What stands on the screen: lines drawn over others are gone."""
    lines, row, column = [""], 0, 0
    position = 0
    while position < len(received):
        sequence = _ANSI.match(received, position)
        letter = received[position]
        if sequence:
            position = sequence.end()
            if sequence[2] == "A":
                row = max(0, row - int(sequence[1] or 1))
            elif sequence[2] == "K":
                lines[row] = "" if sequence[1] == "2" else lines[row][:column]
            continue
        position += 1
        if letter == "\r":
            column = 0
        elif letter == "\n":
            row += 1
            if row == len(lines):
                lines.append("")
        else:
            lines[row] = lines[row][:column].ljust(column) + letter + lines[row][column + 1 :]
            column += 1
    return "\n".join(line.rstrip() for line in lines).strip("\n") + "\n" if any(lines) else ""
