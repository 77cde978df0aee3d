"""Which lines of a log are wanted, and how they come while it grows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings, strategies as st

from assetflow.observing.lines import GrowingLog, LineFilter
from assetflow.run.steplog import StepLog

LOG = """\
before
2026-03-05 13:30:02,123 INFO    reading
printed
2026-03-05 13:30:02,124 WARNING slow page 3
2026-03-05 13:30:02,125 INFO    found it
Traceback (most recent call last):
  File "a.py", line 1, in f
ValueError: handled
2026-03-05 13:30:02,126 ERROR   lost
Traceback (most recent call last):
  File "a.py", line 2, in f
KeyError: 'x'
after
Traceback (most recent call last):
  File "a.py", line 3, in f
OSError: the end
""".splitlines()


@pytest.mark.parametrize(
    ("level", "numbers"),
    [
        (0, list(range(16))),
        (10, [1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15]),
        (30, [3, 8, 9, 10, 11, 13, 14, 15]),
        (40, [8, 9, 10, 11, 13, 14, 15]),
        (50, []),
    ],
)
def test_a_level_picks_records_with_their_tracebacks(level: int, numbers: list[int]) -> None:
    assert list(LineFilter(level=level)(LOG)) == [LOG[number] for number in numbers]
    by_one = LineFilter(level=level)
    assert [line for one in LOG for line in by_one([one])] == [LOG[number] for number in numbers]


def test_a_pattern_is_looked_for_in_the_lines_of_that_level() -> None:
    assert list(LineFilter(re.compile("slow|reading|a.py"), 30)(LOG)) == [LOG[3], LOG[10], LOG[14]]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text("ab é", max_size=60), max_size=30), st.sampled_from([40, 200, 10_000]))
def test_a_growing_log_gives_every_line_once(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], limit: int
) -> None:
    path = tmp_path_factory.mktemp("logs") / "x.log"
    growing, found = GrowingLog(path), list[str]()
    log = StepLog(path, limit)
    for line in lines:
        log.write(line + "\n")
        found += growing.lines()  # so often that nothing has gone yet
    log.close()
    found += growing.lines(is_over=True)
    growing.close()

    if all(len(line.encode()) < limit // 2 for line in lines):  # else there was no moment to see all of it
        assert found == lines
    assert found[:1] == lines[:1] or len(lines[0].encode()) >= limit // 2


def test_who_looks_seldom_gets_the_beginning_and_the_end(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    growing = GrowingLog(path)
    log = StepLog(path, 2_000)
    lines = [f"line {number}" for number in range(3_000)]
    found: list[str] = []
    for number, line in enumerate(lines):
        log.write(line + "\n")
        if number % 700 == 5:
            found += growing.lines()
    log.close()
    found += growing.lines(is_over=True)
    growing.close()

    told = [line for line in found if "left out" not in line]
    assert told[:6] == lines[:6]
    assert told[-20:] == lines[-20:]
    order = [lines.index(line) for line in told]
    assert order == sorted(set(order))


def test_a_log_that_is_not_there_yet_has_no_lines(tmp_path: Path) -> None:
    growing = GrowingLog(tmp_path / "x.log")
    assert growing.lines() == []
    (tmp_path / "x.log").touch()
    assert growing.lines(is_over=True) == []
    growing.close()
