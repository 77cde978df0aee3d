from __future__ import annotations

import multiprocessing
import sys
import threading
from pathlib import Path

import pytest

from assetflow.catalog.locks import FileLock
from tests.unit.catalog import workers
from tests.unit.catalog.test_concurrency import Worker

SPAWN = multiprocessing.get_context("spawn")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no flock")


def test_a_lock_has_one_holder_at_a_time(tmp_path: Path) -> None:
    one, other = FileLock(tmp_path / "x.lock"), FileLock(tmp_path / "x.lock")

    assert one.acquire()
    assert not other.acquire()
    assert not one.acquire(), "not even the holder gets it twice"
    one.release()
    assert other.acquire()
    other.release()


def test_is_held_by_anyone_is_true_for_the_holder_and_for_others(tmp_path: Path) -> None:
    one, other = FileLock(tmp_path / "x.lock"), FileLock(tmp_path / "x.lock")

    assert not one.is_held_by_anyone()
    assert not (tmp_path / "x.lock").exists(), "looking makes no file"
    with one:
        assert one.acquire()
        assert one.is_held_by_anyone()
        assert other.is_held_by_anyone()
    assert not one.is_held_by_anyone()
    assert not other.is_held_by_anyone()
    assert other.acquire(), "looking did not take it"
    other.release()


def test_the_note_says_who_holds_the_lock(tmp_path: Path) -> None:
    one, other = FileLock(tmp_path / "x.lock"), FileLock(tmp_path / "x.lock")

    assert other.note() == ""
    assert one.acquire(note="pid 4711, ann@laptop, a long note")
    assert other.note() == "pid 4711, ann@laptop, a long note"
    one.release()
    assert other.acquire(note="pid 12")
    assert one.note() == "pid 12", "nothing is left of the longer note before"
    other.release()


def test_a_lock_that_is_held_stays_held_when_others_give_up(tmp_path: Path) -> None:
    one = FileLock(tmp_path / "x.lock")
    assert one.acquire(note="mine")
    for _ in range(3):
        assert not FileLock(tmp_path / "x.lock").acquire(note="theirs")

    assert FileLock(tmp_path / "x.lock").is_held_by_anyone()
    assert one.note() == "mine"
    one.release()


def test_releasing_twice_or_without_holding_does_nothing(tmp_path: Path) -> None:
    lock = FileLock(tmp_path / "folder" / "x.lock")
    lock.release()
    assert lock.acquire(), "the folder is made"
    lock.release()
    lock.release()


def test_waiting_is_told_once_and_ends_after_the_given_time(tmp_path: Path) -> None:
    holder, told = FileLock(tmp_path / "x.lock"), list[str]()
    assert holder.acquire()

    assert not FileLock(tmp_path / "x.lock").acquire(wait_s=0.1, on_wait=lambda: told.append("waiting"))
    assert told == ["waiting"]
    assert FileLock(tmp_path / "x.lock").acquire(wait_s=30, on_wait=holder.release), "it is taken as soon as it is free"


def test_an_interrupt_while_waiting_keeps_nothing(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    holder, waiting = FileLock(tmp_path / "x.lock"), FileLock(tmp_path / "x.lock")
    assert holder.acquire()
    with pytest.raises(KeyboardInterrupt):
        waiting.acquire(wait_s=30, on_wait=interrupt)
    holder.release()

    assert not waiting.is_held_by_anyone()


def test_the_kernel_frees_the_lock_of_a_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "x.lock"
    mine, theirs = SPAWN.Pipe(duplex=False)
    process = SPAWN.Process(target=workers.hold, args=(path, "pid of the dead", theirs), daemon=True)
    process.start()
    assert mine.recv() is True
    lock = FileLock(path)

    assert lock.is_held_by_anyone()
    assert not lock.acquire()
    assert lock.note() == "pid of the dead"
    process.kill()
    process.join(30)
    assert not lock.is_held_by_anyone()
    assert lock.acquire()
    lock.release()


def test_processes_take_turns(tmp_path: Path) -> None:
    counter = tmp_path / "counter"
    counter.write_text("0")
    for worker in [Worker(workers.take_turns, tmp_path / "x.lock", counter, 40) for _ in range(3)]:
        worker.result()

    assert counter.read_text() == "120"


def test_whoever_looks_just_now_is_waited_for_even_by_those_who_do_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    lock, told = FileLock(tmp_path / "x.lock"), list[str]()
    with (tmp_path / "x.lock").open("w") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)  # what looking does for an instant
        threading.Timer(0.1, fcntl.flock, (looking, fcntl.LOCK_UN)).start()
        assert lock.acquire(on_wait=lambda: told.append("waiting"))
        assert told == [], "nobody holds it, so there is nothing to tell"
        lock.release()

        fcntl.flock(looking, fcntl.LOCK_SH)
        monkeypatch.setattr("assetflow.catalog.locks._LOOK_S", 0.1)
        assert not lock.acquire(), "but not for ever: that one was stopped"


def test_those_who_only_look_do_not_keep_anybody_from_the_lock(tmp_path: Path) -> None:
    # A status screen asks all the time whether a run is alive; a run that starts meanwhile must not be refused.
    path = tmp_path / "x.lock"
    lock = FileLock(path)
    assert lock.acquire()
    lock.release()
    mine, theirs = SPAWN.Pipe()
    looker = Worker(workers.look_at_the_lock, path, theirs)
    assert mine.recv() == "looking"
    taken, refused = 0, 0
    while taken < 500 or not mine.poll():
        taken += 1
        refused += not lock.acquire()
        lock.release()
    mine.send("stop")

    assert looker.result() >= workers.OFTEN
    assert refused == 0
