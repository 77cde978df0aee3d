"""What goes wrong in a data engineer's day: one clear message with the fix, the right exit code, nothing lost."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def built(folder: Any) -> Any:
    assert folder.run("materialize").code == 0
    return folder


@pytest.fixture
def small_disk(tmp_path: Path) -> Generator[Path]:
    """A file system of two megabytes, mounted for the test."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = (
        sys.platform == "linux" and os.geteuid() == 0 and _mount("-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place))
    )
    if not mounted:
        pytest.skip("mounting a small file system needs root on Linux")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def _mount(*arguments: str) -> bool:
    return subprocess.run(["mount", *arguments], capture_output=True, check=False).returncode == 0


def test_misspelt_parameter(built: Any) -> None:
    built.replace("assets.py", "def totals(cleaned:", "def totals(cleand:")

    answer = built.run("materialize")

    assert answer.code == 3
    assert "error[AF101]: asset `totals` needs `cleand`" in answer.err
    assert "did you mean `cleaned`?" in answer.err
    assert "^^^^^^" in answer.err


def test_cycle(built: Any) -> None:
    built.replace("assets.py", "def cleaned(raw: pd.DataFrame)", "def cleaned(raw: pd.DataFrame, report: dict)")

    answer = built.run("plan")

    assert answer.code == 3
    assert "error[AF110]" in answer.err
    assert "report (assets.py:" in answer.err
    assert "takes `totals`" in answer.err


def test_missing_file_blocks_what_reads_it_and_nothing_else(built: Any) -> None:
    before = built.stored()
    (built.path / "data" / "raw.csv").rename(built.path / "data" / "raw-2.csv")
    built.replace("assets.py", "return 7", "return 8")

    answer = built.run("materialize")

    assert answer.code == 1
    assert "[AF201]" in answer.out
    assert "raw-2.csv" in answer.out
    assert "blocked" in answer.out
    assert built.states()["apart"] == "current"
    assert before.items() <= built.stored().items()


def test_broken_csv_row(built: Any) -> None:
    before = built.stored()
    built.write("data/raw.csv", "shop,amount\nnorth,10\nsouth,20,surprise\n")

    answer = built.run("materialize")

    assert answer.code == 1
    assert "[AF202] `raw.csv` line 3: expected 2 values, found 3" in answer.out
    assert "south,20,surprise" in answer.out
    assert "help: correct line 3" in answer.out
    assert before == built.stored()


def test_function_that_raises(built: Any) -> None:
    before = built.stored()
    built.replace("assets.py", "    return raw.dropna()", '    raise ValueError("no luck today")')

    answer = built.run("materialize")

    assert answer.code == 1
    assert "ValueError: no luck today" in answer.out
    assert "assets.py:9 in cleaned" in answer.out
    assert "2 blocked" in answer.out
    assert before == built.stored()
    assert "no luck today" in built.run("logs", "cleaned").out
    assert {"cleaned": "failed", "totals": "blocked", "report": "blocked", "apart": "current"}.items() <= (
        built.states().items()
    )
    assert "north" in built.run("preview", "totals").out


def test_wrong_return_type(built: Any) -> None:
    before = built.stored()
    built.replace("assets.py", "return raw.dropna()", 'return "a string"')

    answer = built.run("materialize")

    assert answer.code == 1
    assert "[AF130] `cleaned` returned a str; its annotation says a pandas DataFrame" in answer.out
    assert before == built.stored()


def test_failed_check_makes_nothing_current(built: Any) -> None:
    before = built.stored()
    built.replace(
        "assets.py", 'agg(total=("amount", "sum"))', 'agg(total=("amount", "sum")).replace({"total": {20: None}})'
    )

    answer = built.run("materialize")

    assert answer.code == 1
    assert "not_null(total)" in answer.out
    assert "1 of 2 rows" in answer.out
    after = built.stored()
    assert after.items() > before.items(), "what was there stays, and what was refused is kept to be looked at"
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {"totals"}
    assert "20" in built.run("preview", "totals").out
    assert "20" not in built.run("preview", "totals@rejected").out


def test_full_disk(make_folder: Any, small_disk: Path) -> None:
    folder = make_folder(small_disk / "project")
    folder.write("assets.py", "from assetflow import asset\n\n@asset\ndef noise() -> bytes:\n    return bytes(1000)\n")
    assert folder.run("materialize").code == 0
    before = folder.stored()
    folder.replace("assets.py", "bytes(1000)", "bytes(5_000_000)")

    answer = folder.run("materialize")

    assert answer.code == 1
    assert "[AF401]" in answer.out
    assert "disk is full" in answer.out
    assert before == folder.stored()
    assert folder.states()["noise"] != "current"
    folder.replace("assets.py", "bytes(5_000_000)", "bytes(2000)")
    assert folder.run("materialize").code == 0


def test_read_only_folder(make_folder: Any, small_disk: Path) -> None:
    folder = make_folder(small_disk / "project")
    assert folder.run("materialize").code == 0
    folder.replace("data/raw.csv", "south,20", "south,21")
    folder.run("ls")
    assert _mount("-o", "remount,ro", str(small_disk))

    reading = folder.run("ls", "--json")
    answer = folder.run("materialize")

    assert reading.code == 0
    assert answer.code == 1
    assert "AF402" in answer.err
    assert "help:" in answer.err
    assert "20" in folder.run("preview", "totals").out


def test_two_command_lines_at_once(folder: Any) -> None:
    folder.replace(
        "assets.py",
        "    return raw.dropna()",
        """    import pathlib, time
    here = pathlib.Path(__file__).parent
    (here / "started").touch()
    while not (here / "go").exists():
        time.sleep(0.01)
    return raw.dropna()""",
    )
    with folder.start("materialize") as first:
        while not (folder.path / "started").exists():
            assert first.poll() is None
        second = folder.run("materialize")
        states = folder.states()
        with folder.start("materialize", "--wait", "1m") as third:
            assert third.stderr is not None
            told = third.stderr.readline()
            (folder.path / "go").touch()
            waited, _ = third.communicate(timeout=60)
        first.communicate(timeout=60)

    assert second.code == 5
    assert "error[AF301]" in second.err
    assert f"pid {first.pid}" in second.err
    assert "--wait" in second.err
    assert f"waiting for run #1 (pid {first.pid}, " in told
    assert states["cleaned"] == "running"
    assert (first.returncode, third.returncode) == (0, 0)
    assert "nothing to do" in waited
    assert [run["run"] for run in folder.run("runs", "--json").data["runs"]] == [1]


def test_a_killed_run_is_seen_at_once_and_the_next_one_goes_on(folder: Any) -> None:
    folder.replace(
        "assets.py", "    return raw.dropna()", "    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert folder.run("materialize").code == -9

    assert folder.run("runs", "--json").data["runs"][0]["state"] == "died"
    assert folder.states()["cleaned"] == "failed"
    folder.replace(
        "assets.py", "    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)", "    return raw.dropna()"
    )
    assert folder.run("materialize").code == 0
    assert list((folder.path / ".assetflow" / "data" / "tmp").iterdir()) == []


def test_interrupted_run_keeps_what_it_committed(folder: Any) -> None:
    folder.replace(
        "assets.py",
        "    return raw.dropna()",
        "    import _thread\n    _thread.interrupt_main()\n    return raw.dropna()",
    )

    answer = folder.run("materialize")

    assert answer.code == 130
    assert folder.run("runs", "--json").data["runs"][0]["state"] == "cancelled"
    assert folder.states()["cleaned"] == "current"
    assert folder.run("materialize").code == 0
