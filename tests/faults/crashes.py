"""What may be on a disk after a power loss: the states that a record of operations (disk.py) allows.

What was synced is there. Of what was not, any part may be: each name on its own, each write whole, torn at a sector, as
zeros, or not at all. That is as little as POSIX promises and less than any file system in use keeps; only a rename
happens as a whole or not at all, and lasts once the folder of the new name is synced.
Source: Pillai et al., "All File Systems Are Not Created Equal", OSDI 2014.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.faults.disk import (
    EVERYTHING,
    ROOT,
    Acknowledged,
    Disk,
    Link,
    Operation,
    Rename,
    Resize,
    Sync,
    Trace,
    Unlink,
    Write,
    overwritten,
    resized,
)

SECTOR = 512

Kept = Mapping[int, int | None]
"""The operations that survive by number: None whole, -1 its size only, else the seed of what is torn off."""


class Platter:
    """What is on the disk for certain after some operations, and those whose effect may or may not be."""

    def __init__(self, trace: Trace, store: str) -> None:
        self.disk = trace.initial.copy()
        self._store = store
        top = trace.initial.folders[ROOT]
        self._others = {number for name, number in top.items() if name != store}
        self.pending: dict[int, Operation] = {}

    def do(self, number: int, operation: Operation) -> None:
        """Go on by one operation."""
        if self._is_of_others(operation):
            self.disk.apply(operation)
        elif isinstance(operation, Sync):
            self._settle(operation)
        elif not isinstance(operation, Acknowledged):
            self.pending[number] = operation

    def _is_of_others(self, operation: Operation) -> bool:
        """Whether it touches the user's own files beside the store, which are taken to be safe."""
        match operation:
            case Link(folder, name, inode) if folder in self._others or (folder == ROOT and name != self._store):
                self._others.add(inode)
                return True
            case Link(folder, name) | Unlink(folder, name) | Rename(folder, name):
                return folder in self._others or (folder == ROOT and name != self._store)
            case Write(inode) | Resize(inode) | Sync(inode):
                return inode in self._others
            case Acknowledged():
                return False

    def _settle(self, sync: Sync) -> None:
        for number, operation in list(self.pending.items()):
            if number >= sync.since or number not in self.pending or sync.inode not in (_home(operation), EVERYTHING):
                continue
            del self.pending[number]
            _apply(self.disk, operation, None)
            if isinstance(operation, Rename):
                # The old name is gone for good, however it came about.
                for earlier, other in list(self.pending.items()):
                    if earlier < number and isinstance(other, Link | Rename) and _name_of(other) == (
                        operation.folder, operation.name
                    ):  # fmt: skip
                        del self.pending[earlier]

    def survivors(self, kept: Kept) -> tuple[dict[str, bytes], set[str]]:
        """The files and folders that there are when of the pending operations only these survive."""
        disk = self.disk.copy()
        for number, operation in self.pending.items():
            if number in kept:
                _apply(disk, operation, kept[number])
        return disk.listing()


def _home(operation: Operation) -> int:
    """The file or folder that has to be synced for this operation to last."""
    match operation:
        case Write(inode) | Resize(inode) | Sync(inode):
            return inode
        case Link(folder) | Unlink(folder):
            return folder
        case Rename():
            return operation.new_folder
        case Acknowledged():
            return -1


def _name_of(operation: Link | Rename) -> tuple[int, str]:
    if isinstance(operation, Link):
        return operation.folder, operation.name
    return operation.new_folder, operation.new_name


def _apply(disk: Disk, operation: Operation, torn: int | None) -> None:
    """Like `Disk.apply`, of an operation that comes without some of those before it."""
    match operation:
        case Write(inode, offset, data):
            disk.files[inode] = _written(disk.files.get(inode, b""), offset, data, torn)
        case Resize(inode, size):
            disk.files[inode] = resized(disk.files.get(inode, b""), size)
        case Link(folder, name, inode, is_folder):
            disk.folders.setdefault(folder, {})[name] = inode
            if is_folder:
                disk.folders.setdefault(inode, {})
            else:
                disk.files.setdefault(inode, b"")
        case Unlink(folder, name):
            disk.folders.setdefault(folder, {}).pop(name, None)
        case Rename(folder, name, new_folder, new_name, inode):
            if disk.folders.setdefault(folder, {}).get(name) == inode:
                del disk.folders[folder][name]
            disk.folders.setdefault(new_folder, {})[new_name] = inode
            if inode not in disk.folders:
                disk.files.setdefault(inode, b"")
        case Sync() | Acknowledged():
            pass


def _written(content: bytes, offset: int, data: bytes, torn: int | None) -> bytes:
    if torn is None:
        return overwritten(content, offset, data)
    end = offset + len(data)
    if torn == -1:
        return resized(content, max(len(content), end))
    dice = random.Random(torn)
    if dice.random() < 0.5:
        content = resized(content, max(len(content), end))
    unit = dice.choice((SECTOR, 4096))
    is_prefix, share = dice.random() < 0.4, dice.random()
    start = offset
    while start < end:
        stop = min(end, (start // unit + 1) * unit)
        if (start - offset < share * len(data)) if is_prefix else (dice.random() < share):
            content = overwritten(content, start, data[start - offset : stop - offset])
        start = stop
    return content


# ------------------------------------------------------------------------------------------------- which states


@dataclass(frozen=True, slots=True)
class Crash:
    """A moment (how many operations were done) and what of the pending ones survives."""

    moment: int
    kept: Kept
    kind: str


def crashes(trace: Trace, store: str, seed: int) -> Iterator[Crash]:
    """Crashes without end, the telling ones first; the systematic ones each once, then random ones for ever."""
    dice = random.Random(seed)
    pending = _pending_at(trace, store)
    data = {n for n, op in enumerate(trace.operations) if isinstance(op, Write | Resize)}
    moments = [moment for moment in range(len(pending)) if moment == 0 or pending[moment] or pending[moment - 1]]
    telling = [
        moment
        for moment in moments
        if moment == len(trace.operations)
        or isinstance(trace.operations[moment], Sync | Acknowledged)
        or isinstance(trace.operations[max(0, moment - 1)], Acknowledged)
    ]
    first = [crash for moment in telling for crash in _coarse(moment, pending[moment], data)]
    dice.shuffle(first)
    rest = [crash for moment in moments for crash in _coarse(moment, pending[moment], data)]
    rest += [crash for moment in moments for crash in _fine(moment, pending[moment], data, dice)]
    dice.shuffle(rest)
    yield from first
    yield from rest
    while True:
        moment = dice.choice(moments)
        yield _random(moment, pending[moment], data, dice)


def _pending_at(trace: Trace, store: str) -> list[list[int]]:
    platter = Platter(trace, store)
    found: list[list[int]] = [[]]
    for number, operation in enumerate(trace.operations):
        platter.do(number, operation)
        found.append(list(platter.pending))
    return found


def _coarse(moment: int, pending: Sequence[int], data: set[int]) -> Iterator[Crash]:
    yield Crash(moment, {}, "nothing of it")
    yield Crash(moment, dict.fromkeys(pending), "all of it")
    if any(n in data for n in pending) and any(n not in data for n in pending):
        yield Crash(moment, {n: None for n in pending if n not in data}, "names without content")
        yield Crash(moment, {n: None for n in pending if n in data}, "content without names")
    if any(n in data for n in pending):
        yield Crash(moment, {n: -1 if n in data else None for n in pending}, "zeros for content")


def _fine(moment: int, pending: Sequence[int], data: set[int], dice: random.Random) -> Iterator[Crash]:
    for number in pending:
        yield Crash(moment, {n: None for n in pending if n != number}, "all but one")
        yield Crash(moment, {number: None}, "only one")
        if number in data:
            torn = dice.randrange(1 << 30)
            yield Crash(moment, {n: torn if n == number else None for n in pending}, "one torn")
    if len(pending) > 2:
        for _ in range(3):
            pair = dice.sample(pending, 2)
            yield Crash(moment, {n: None for n in pending if n not in pair}, "all but two")


def _random(moment: int, pending: Sequence[int], data: set[int], dice: random.Random) -> Crash:
    share, tearing = dice.random(), dice.random() * 0.5
    kept = {
        n: (-1 if dice.random() < 0.3 else dice.randrange(1 << 30)) if n in data and dice.random() < tearing else None
        for n in pending
        if dice.random() < share
    }
    return Crash(moment, kept, "some of it")
