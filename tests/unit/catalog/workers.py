"""What the tests of the catalog do in other processes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.locks import FileLock
from assetflow.model.keys import AssetKey
from assetflow.model.records import NewTrace
from tests.unit.catalog.build import new_trace, read

SHARED, LEFT, RIGHT = AssetKey("shared"), AssetKey("left"), AssetKey("right")


def report(work: Callable[..., object], results: Connection, *arguments: object) -> None:
    """Send what `work` returns, or the error as text."""
    try:
        results.send(work(*arguments))
    except BaseException as error:
        results.send(f"{type(error).__name__}: {error}")
        raise


def commit_until_done(path: Path, name: str, count: int) -> list[int]:
    """Move the head of the shared asset `count` times, trying again when others were faster; the traces that moved it.

    Each commit also puts equal content into LEFT and RIGHT, and says in the metadata which trace it followed.
    """
    moved: list[int] = []
    catalog = Catalog(path, write=True)
    while len(moved) < count:
        if len(moved) % 5 == 4:  # opening and closing are the moments at which SQLite wants the file for itself
            catalog.close()
            catalog = Catalog(path, write=True)
        heads = catalog.heads("dev")
        seen = {key: head.trace.trace_id for (key, _), head in heads.items()}
        content = f"{name} {len(moved)} after {seen.get(SHARED)}"
        metadata = {"after": seen.get(SHARED), "content": content}
        inputs = (read("x", AssetKey("upstream"), digest=content),)
        traces: list[NewTrace] = [
            new_trace(key, content, seen.get(key), metadata=metadata, inputs=inputs) for key in (SHARED, LEFT, RIGHT)
        ]
        [shared, *_] = catalog.commit("dev", None, traces, at=time.time())
        if shared.moved:
            moved.append(shared.trace_id)
    catalog.close()
    return moved


def look_until_told(path: Path, other: Connection) -> tuple[int, list[str]]:
    """Read heads again and again; how often, and what was wrong with them."""
    problems: list[str] = []
    last_seq, looks = 0, 0
    while not other.poll():
        looks += 1
        if looks == 2:
            other.send("looking")
        catalog = Catalog(path)
        for _ in range(3):
            heads = {key: head for (key, _), head in catalog.heads("dev").items()}
            if len({heads[key].version.data_hash for key in (SHARED, LEFT, RIGHT) if key in heads}) > 1:
                problems.append(f"torn: {[(key, head.version.data_hash) for key, head in heads.items()]}")
            if any([one.digest for one in h.trace.inputs] != [h.trace.metadata["content"]] for h in heads.values()):
                problems.append("a trace with the inputs of another")
            if heads and heads[SHARED].seq < last_seq:
                problems.append("time runs backwards")
            last_seq = heads[SHARED].seq if heads else 0
        history = catalog.history("dev", SHARED)
        if [one.trace.metadata["after"] for one in history] != [
            *(one.trace.trace_id for one in history[1:]),
            *[None][: len(history)],
        ]:
            problems.append("the history is not one line")
        catalog.close()
    return looks, problems


def commit_and_tell(path: Path, results: Connection) -> None:
    """Commit for ever, telling each trace that is committed."""
    catalog = Catalog(path, write=True)
    number = 0
    while True:
        number += 1
        head = catalog.heads("dev").get((SHARED, ""))
        seen = None if head is None else head.trace.trace_id
        long = {"long": "x" * (number % 7) * 1000}
        [done] = catalog.commit(
            "dev", None, [new_trace(SHARED, f"{os.getpid()} {number}", seen, metadata=long)], at=1.0
        )
        results.send(done.trace_id)


def hold(path: Path, note: str, results: Connection) -> None:
    """Take a lock and keep it until the process ends."""
    lock = FileLock(path)
    results.send(lock.acquire(note=note))
    time.sleep(60)


def take_turns(path: Path, counter: Path, count: int) -> None:
    """Add one to the number in a file, `count` times, each time under the lock."""
    for _ in range(count):
        lock = FileLock(path)
        assert lock.acquire(wait_s=30)
        number = int(counter.read_text())
        counter.write_text(f"{number + 1}")
        lock.release()


OFTEN = 200


def look_at_the_lock(path: Path, other: Connection) -> int:
    """Ask whether the lock is held, without a pause, until told to stop; how often. Says when it was often."""
    lock = FileLock(path)
    other.send("looking")
    looks = 0
    while not other.poll():
        looks += 1
        lock.is_held_by_anyone()
        if looks == OFTEN:
            other.send("often")
    return looks
