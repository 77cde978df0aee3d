"""Logs stay within their limit: the beginning and the end are kept, and what is left out is counted."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings, strategies as st

from assetflow.errors import ProjectLoadError
from assetflow.model.secrets import SECRETS
from assetflow.run.steplog import StepLog, log_text

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

LEFT_OUT = re.compile(r"… +([\d,]+) bytes are left out here")


def written(path: Path, pieces: list[str], limit: int) -> str:
    log = StepLog(path, limit)
    for piece in pieces:
        log.write(piece)
    log.close()
    return log_text(path) if path.exists() else ""


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("abc \né", max_size=120), max_size=40), st.integers(20, 600))
def test_a_log_keeps_its_beginning_and_its_end_within_the_limit(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], limit: int
) -> None:
    folder = tmp_path_factory.mktemp("logs")
    whole = "".join(pieces).encode()
    found = written(folder / "x.log", pieces, limit).encode()

    assert [path.name for path in folder.iterdir()] == ["x.log"] * bool(whole)
    marker = re.search(rb"\xe2\x80\xa6 +([\d,]+) bytes are left out here[^\n]*\n", found)
    if marker is None:
        assert found == whole
        assert len(whole) <= limit + 1
        return
    head, tail = found[: marker.start()], found[marker.end() :]
    text_head, text_tail = head.decode("utf-8", "replace"), tail.decode("utf-8", "replace").lstrip("�")
    assert whole.decode().startswith(text_head)
    assert whole.decode().endswith(text_tail)
    assert len(head) + len(tail) <= limit
    left_out = int(marker[1].replace(b",", b""))
    assert abs(len(whole) - len(head) - len(tail) - left_out) <= 4  # a character may have been cut in two


def test_what_says_nothing_has_no_file_and_one_word_makes_it_with_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "1" / "x.log"
    log = StepLog(path)
    log.flush()
    log.close()
    assert not path.parent.exists()

    log.write("late\n")  # by a thread that went on
    assert path.read_text() == "late\n"

    StepLog(path).close()
    assert path.read_text() == "late\n"  # nothing was written by the second


def test_a_short_log_is_one_file_from_the_first_line_on(tmp_path: Path) -> None:
    log = StepLog(tmp_path / "x.log")
    log.write("one\ntwo")

    assert (tmp_path / "x.log").read_text() == "one\n"
    log.write(" and three\n")
    assert (tmp_path / "x.log").read_text() == "one\ntwo and three\n"
    log.close()
    assert [path.name for path in tmp_path.iterdir()] == ["x.log"]


def test_a_long_log_can_be_read_while_it_is_written(tmp_path: Path) -> None:
    log = StepLog(tmp_path / "x.log", 2_000)
    last = ""
    for number in range(1_000):
        log.write(last := f"line {number}\n")
        text = log_text(tmp_path / "x.log")
        assert text.startswith("line 0\n")
        assert text.endswith(last)
        assert len(text) < 3_200
        assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 3_200
    before = log_text(tmp_path / "x.log")
    log.close()

    after = log_text(tmp_path / "x.log")
    counts = [int(LEFT_OUT.findall(text)[0].replace(",", "")) for text in (before, after)]
    assert counts[0] <= counts[1]
    assert len(after) <= 2_100
    numbers = [int(line.removeprefix("line ")) for line in after.splitlines() if line.startswith("line ")]
    assert numbers == sorted(numbers)


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    log = StepLog(tmp_path / "x.log", 100_000)
    together = threading.Barrier(4, timeout=30)

    def work(name: str) -> None:
        together.wait()
        for number in range(200):
            log.write(f"{name} {number}\n")

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()

    assert sorted(log_text(tmp_path / "x.log").splitlines()) == sorted(f"{a} {n}" for a in "abcd" for n in range(200))


def test_a_line_without_end_is_not_held_in_memory(tmp_path: Path) -> None:
    log = StepLog(tmp_path / "x.log")
    for _ in range(200):
        log.write("." * 1_000)

    assert (tmp_path / "x.log").stat().st_size >= 100_000
    log.close()
    assert log_text(tmp_path / "x.log") == "." * 200_000


def test_lines_of_another_process_come_through_a_pipe_with_those_that_are_not_of_python(tmp_path: Path) -> None:
    SECRETS.add("known-to-both")
    outside, inside = os.pipe()
    log = StepLog(tmp_path / "x.log", 10_000)

    def read() -> None:
        while data := os.read(outside, 3):  # so that characters and secrets come in pieces
            log.feed(data)

    reader = threading.Thread(target=read)
    reader.start()
    worker = StepLog(inside)
    for piece in ("é of Pyth", "on, known-to", "-both\n", "the end"):
        worker.write(piece)
    subprocess.run(["sh", "-c", "echo of sh, known-to-both"], stdout=inside, check=True)
    worker.close()
    os.close(inside)
    reader.join()
    os.close(outside)
    log.close()

    assert log_text(tmp_path / "x.log") == "é of Python, ***\nof sh, ***\nthe end"


def test_the_limit_is_a_setting(workspace: Workspace) -> None:
    workspace.assets(
        """
        @asset
        def loud() -> int:
            print("first")
            for number in range(20_000):
                print("line", number)
            print("last")
            raise ValueError("at the end")
        """,
        settings="log_limit = '20kB'\n",
    )

    workspace.materialize()

    (log,) = workspace.project().logs(key="loud")
    assert log.text.startswith("first\nline 0\n")
    assert log.text.endswith("ValueError: at the end\n")
    assert "\nlast\nTraceback" in log.text
    assert len(LEFT_OUT.findall(log.text)) == 1
    assert log.path.stat().st_size <= 20_200


@pytest.mark.parametrize("value", ["'many'", "10", "'10 zB'", "-5"])
def test_a_limit_that_is_none_is_refused(workspace: Workspace, value: str) -> None:
    workspace.assets("", settings=f"log_limit = {value}\n")

    with pytest.raises(ProjectLoadError, match="log_limit"):
        workspace.project()
