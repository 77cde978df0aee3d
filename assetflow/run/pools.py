"""Pools: what may run at the same time on this machine, in all runs of the project together.

A slot is a lock that the kernel holds, so whoever dies gives its slots back. Slots of one pool are taken one run at a
time (a second lock is held meanwhile), and pools in the order of their names: all of what an asset wants, or nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path

from assetflow.catalog.locks import FileLock

_TAKING_S = 0.2
"""How long one run waits for another that is just taking slots. One that was stopped there is asked again later."""


class Pools:
    """The pools as one run sees them. Only the thread of the coordinator uses it."""

    def __init__(self, folder: Path, sizes: Mapping[str, int]) -> None:
        self._folder, self._sizes = folder, sizes
        self._held: dict[str, list[tuple[str, int, FileLock]]] = {}

    def take(self, owner: str, wanted: Mapping[str, int], run_id: int) -> str | None:
        """Take the slots that `owner` wants; None when it has them, else the pool that lacks some."""
        taken: list[tuple[str, int, FileLock]] = []
        note = json.dumps({"run": run_id, "node": owner, "pid": os.getpid()})
        with ExitStack() as undo:
            for pool in sorted(wanted):
                found = self._take(pool, wanted[pool], note)
                for _, lock in found:
                    undo.callback(lock.release)
                if len(found) < wanted[pool]:
                    return pool
                taken += [(pool, number, lock) for number, lock in found]
            undo.pop_all()
        self._held[owner] = taken
        return None

    def give_back(self, owner: str) -> bool:
        """Let go of what `owner` holds; whether that was anything."""
        held = self._held.pop(owner, [])
        for _, _, lock in held:
            lock.release()
        return bool(held)

    def close(self) -> None:
        """Let go of everything."""
        for owner in list(self._held):
            self.give_back(owner)

    def holders(self, pool: str) -> list[str]:
        """Who has slots of a pool now: functions of this run by name, other runs as `run #41`."""
        mine = {number: owner for owner, held in self._held.items() for name, number, _ in held if name == pool}
        found: dict[str, None] = {}
        for number in range(self._sizes[pool]):
            if number in mine:
                found[mine[number]] = None
            elif (lock := self._slot(pool, number)).is_held_by_anyone():
                found[_run_of(lock.note())] = None
        return list(found)

    def reason(self, pool: str) -> str:
        """What to say of an asset that waits: `for pool warehouse (run #41)`."""
        holders = self.holders(pool)
        return f"for pool {pool}" + (f" ({', '.join(holders[:3])})" if holders else "")

    def _take(self, pool: str, slots: int, note: str) -> list[tuple[int, FileLock]]:
        """So many free slots, or fewer when there are no more. The caller gives back what does not help it."""
        mine = {number for held in self._held.values() for name, number, _ in held if name == pool}
        found: list[tuple[int, FileLock]] = []
        gate = FileLock(self._folder / f"pool-{pool}.lock")
        if self._sizes[pool] - len(mine) < slots or not gate.acquire(wait_s=_TAKING_S):
            return found
        with gate:
            for number in range(self._sizes[pool]):
                lock = self._slot(pool, number)
                if len(found) < slots and number not in mine and lock.acquire(note=note):
                    found.append((number, lock))
        return found

    def _slot(self, pool: str, number: int) -> FileLock:
        return FileLock(self._folder / f"pool-{pool}-{number}.lock")


class SlotQueue:
    """The functions of one run that wait for slots: each is tried once in a round, and what is ready overtakes it.

    `tell` is called with a function and what it waits for, whenever that is something else.
    """

    def __init__(self, pools: Pools, tell: Callable[[str, str], None]) -> None:
        self._pools, self._tell = pools, tell
        self._waiting: list[str] = []
        self._told: dict[str, str] = {}
        self._lacking: set[str] = set()

    @property
    def has_waiting(self) -> bool:
        """Whether some function waits."""
        return bool(self._waiting)

    def next_round(self) -> list[str]:
        """The functions to be tried again now."""
        waiting, self._waiting = self._waiting, []
        self._lacking.clear()
        return waiting

    def has(self, name: str, wanted: Mapping[str, int], run_id: int) -> bool:
        """Take the slots that a function wants; if some are lacking, it waits for the next round."""
        if not wanted:
            return True
        # Who comes later must not take the slots that the one before it waits for.
        pool = min(wanted.keys() & self._lacking, default=None) or self._pools.take(name, wanted, run_id)
        before = self._told.pop(name, "")
        if pool is None:
            return True
        self._lacking.update(wanted)
        self._waiting.append(name)
        self._told[name] = self._pools.reason(pool)
        if self._told[name] != before:
            self._tell(name, self._told[name])
        return False


def _run_of(note: str) -> str:
    try:
        return f"run #{json.loads(note)['run']}"
    except (ValueError, KeyError, TypeError):  # the other run has not written its note yet
        return "another run"
