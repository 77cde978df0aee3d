from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import sys
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from assetflow.catalog.catalog import Catalog
from tests.unit.catalog import workers
from tests.unit.catalog.build import ORDERS, commit

# Spawned, not forked: what they have in common is the file alone, as with two shells.
SPAWN = multiprocessing.get_context("spawn")
WRITERS, COMMITS, READERS = 4, 30, 2


class Worker:
    """Another process that does one thing and reports."""

    def __init__(self, work: Callable[..., object], *arguments: object) -> None:
        self.results, theirs = SPAWN.Pipe(duplex=False)
        self.process = SPAWN.Process(target=workers.report, args=(work, theirs, *arguments), daemon=True)
        self.process.start()
        theirs.close()

    def result(self) -> Any:
        found = self.results.recv()
        self.process.join(30)
        assert self.process.exitcode == 0, found
        return found


@pytest.mark.timeout(60)
def test_processes_that_commit_at_once_lose_nothing_and_never_say_locked(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    ends = [SPAWN.Pipe() for _ in range(READERS)]
    readers = [Worker(workers.look_until_told, path, theirs) for _, theirs in ends]
    assert [mine.recv() for mine, _ in ends] == ["looking"] * READERS
    writers = [Worker(workers.commit_until_done, path, f"writer {number}", COMMITS) for number in range(WRITERS)]
    moved = [worker.result() for worker in writers]
    for mine, _ in ends:
        mine.send("stop")
    looks = [worker.result() for worker in readers]

    assert [len(one) for one in moved] == [COMMITS] * WRITERS
    for count, problems in looks:
        assert count > 2, "it did look while others wrote"
        assert problems == []

    catalog = Catalog(path)
    history = catalog.history("dev", workers.SHARED)
    assert sorted(one.trace.trace_id for one in history) == sorted(chain.from_iterable(moved))
    assert [one.trace.metadata["after"] for one in history] == [*(one.trace.trace_id for one in history[1:]), None]
    catalog.close()
    assert_every_commit_is_counted(path)


def assert_every_commit_is_counted(path: Path) -> None:
    """Read without our code: the counter has no gap, no move was logged twice, version numbers have no gap."""
    connection = sqlite3.connect(path)
    [(counted,)] = connection.execute("SELECT value FROM counter WHERE name = 'seq'")
    traces = [one for (one,) in connection.execute("SELECT trace_id FROM trace ORDER BY trace_id")]
    moves = [one for (one,) in connection.execute("SELECT seq FROM head_log")]
    versions = connection.execute(
        "SELECT asset_id, count(*), max(number), count(DISTINCT number) FROM version GROUP BY 1"
    )

    assert traces == list(range(1, counted + 1))
    assert len(set(moves)) == len(moves)
    assert set(moves) <= set(range(1, counted + 1))
    assert all(count == newest == different for _, count, newest, different in versions)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    connection.close()


def told_before_the_kill(path: Path, after: int) -> list[int]:
    """Start a process that commits, kill it in the midst of it; the commits that it had told of."""
    mine, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=workers.commit_and_tell, args=(path, theirs), daemon=True)
    process.start()
    theirs.close()
    told = [mine.recv() for _ in range(after)]
    process.kill()
    process.join(30)
    with suppress(EOFError):
        while mine.poll(0):
            told.append(mine.recv())
    return told


@pytest.mark.fault
@pytest.mark.timeout(60)
@pytest.mark.skipif(sys.platform == "win32", reason="processes are killed otherwise")
def test_what_was_told_as_committed_is_there_after_kill_9(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    told: list[int] = []
    for after in (1, 7, 20):
        told += told_before_the_kill(path, after)
        reader = Catalog(path)
        line = [one.trace.trace_id for one in reader.history("dev", workers.SHARED)]
        head = reader.heads("dev")[workers.SHARED, ""]
        reader.close()

        assert set(told) <= set(line)
        assert len(line) - len(told) <= 3, "at most the last commit of each process was not told any more"
        assert head.trace.trace_id == line[0] == max(line)
    assert_every_commit_is_counted(path)

    catalog = Catalog(path, write=True)
    assert commit(catalog, ORDERS, "a").moved, "the dead process holds no lock"
    catalog.close()


@pytest.mark.skipif(sys.platform == "win32", reason="processes are stopped otherwise")
def test_readers_do_not_wait_for_a_writer_that_was_stopped(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    mine, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=workers.commit_and_tell, args=(path, theirs), daemon=True)
    process.start()
    for _ in range(3):
        mine.recv()
    assert process.pid is not None
    os.kill(process.pid, signal.SIGSTOP)  # wherever it is, maybe in the middle of a transaction
    try:
        reader = Catalog(path)
        assert len(reader.history("dev", workers.SHARED)) >= 3
        reader.close()
    finally:
        process.kill()
        process.join(30)
