from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.faults import power
from tests.faults.crashes import Crash, Platter, crashes
from tests.faults.disk import EVERYTHING, Disk, Link, Rename, Sync, Trace, Write
from tests.faults.report import Budget
from tests.faults.trace import TraceError, record, why_no_strace

pytestmark = [pytest.mark.fault, pytest.mark.timeout(600)]

no_strace = why_no_strace()
needs_strace = pytest.mark.skipif(no_strace is not None, reason=str(no_strace))

STORE = Link(0, "store", 1, is_folder=True)


def contents(trace: Trace, count: int = 400) -> set[tuple[tuple[str, bytes], ...]]:
    """What many crashes at the end leave in the store."""
    source = crashes(trace, "store", 1)
    platter = Platter(trace, "store")
    for number, operation in enumerate(trace.operations):
        platter.do(number, operation)
    found = set[tuple[tuple[str, bytes], ...]]()
    for _ in range(count):
        crash: Crash = next(source)
        if crash.moment == len(trace.operations):
            found.add(tuple(sorted(platter.survivors(crash.kept)[0].items())))
    return found


def store(*operations: Link | Write | Rename | Sync) -> Trace:
    """A trace in which the store's own folder is safe."""
    return Trace(Disk(), (STORE, Sync(0, 1), *operations))


def test_a_file_renamed_before_it_was_synced_may_be_empty_or_zeros() -> None:
    trace = store(Link(1, "new", 2), Write(2, 0, b"data"), Rename(1, "new", 1, "value", 2), Sync(1, 5))

    assert contents(trace) >= {(("store/value", b"data"),), (("store/value", b""),), (("store/value", b"\0\0\0\0"),)}


def test_a_file_that_was_synced_and_named_in_a_synced_folder_is_whole() -> None:
    trace = store(
        Link(1, "new", 2), Write(2, 0, b"data"), Sync(2, 4), Rename(1, "new", 1, "value", 2), Sync(1, 6)
    )  # fmt: skip

    assert contents(trace) == {(("store/value", b"data"),)}


def test_a_synced_file_in_a_folder_that_was_not_may_have_no_name() -> None:
    trace = store(Link(1, "value", 2), Write(2, 0, b"data"), Sync(2, 4))

    assert contents(trace) == {(), (("store/value", b"data"),)}


def test_a_write_that_ended_after_the_sync_began_is_not_covered_by_it() -> None:
    trace = store(Link(1, "value", 2), Sync(1, 3), Write(2, 0, b"data"), Sync(2, 4))

    assert (("store/value", b""),) in contents(trace)


def test_a_sync_of_all_covers_every_file_and_folder() -> None:
    trace = store(Link(1, "value", 2), Write(2, 0, b"data"), Sync(EVERYTHING, 4))

    assert contents(trace) == {(("store/value", b"data"),)}


@needs_strace
def test_the_record_of_a_process_leads_to_the_files_that_it_left(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import os, sqlite3\n"
        "os.mkdir('a'); open('a/b', 'w').write('one'); os.rename('a/b', 'a/c'); open('a/c', 'a').write('two')\n"
        "with sqlite3.connect('db') as db: db.execute('PRAGMA journal_mode = WAL'); db.execute('CREATE TABLE t (x)')\n"
    )
    folder = tmp_path / "folder"
    folder.mkdir()

    trace = record(folder, [sys.executable, str(script)], said=tmp_path / "said", log=tmp_path / "log")

    disk = trace.initial.copy()
    for operation in trace.operations:
        disk.apply(operation)
    assert disk.listing()[0]["a/c"] == b"onetwo"


@needs_strace
def test_a_record_that_misses_a_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "file").write_bytes(bytes(4096))
    script = "import mmap; f = open('file', 'r+b'); m = mmap.mmap(f.fileno(), 4096); m[0] = 1; m.flush()"

    with pytest.raises(TraceError, match="through memory"):
        record(folder, [sys.executable, "-c", script], said=tmp_path / "said", log=tmp_path / "log")


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize(("scenario", "points"), [("first", 80), ("changed", 120), ("threads", 40), ("together", 60)])
def test_no_state_after_a_power_loss_breaks_a_promise(scenario: str, points: int) -> None:
    report = power.run(Budget(points, 120), seed=1, scenarios=(scenario,))

    assert report.ok, report.summary()


@needs_strace
@pytest.mark.slow
@pytest.mark.parametrize(
    ("sabotage", "scenario"),
    [("pointer_first", "changed"), ("commit_before_journal", "changed"), ("no_sync_of_all", "together")],
)
def test_a_power_loss_shows_what_was_not_made_durable(sabotage: str, scenario: str) -> None:
    report = power.run(Budget(400, 120), seed=1, sabotage=sabotage, scenarios=(scenario,))

    assert report.violations, report.summary()
