"""Values that are handed on within a run: kept from where they are made until the last consumer has taken them."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from shutil import rmtree
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from assetflow.io.handover import FORMS, LARGEST_BYTES, OnFile, unless_the_disk_refuses
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version

if TYPE_CHECKING:
    from assetflow.io.base import Want
    from assetflow.io.handover import Handed
    from assetflow.io.storage import Storage
    from assetflow.run.task import NodeResult, Task


class Handing(Protocol):
    """What a step is given its inputs by, and gives its outputs to, besides the store."""

    @property
    def most_bytes(self) -> int:
        """The size of the largest value that is taken."""
        ...

    def wants(self, key: AssetKey) -> bool:
        """Whether somebody in this run still waits for the asset."""
        ...

    def offer(self, key: AssetKey, location: str, value: Handed) -> None:
        """Keep the value of the version at `location`."""
        ...

    def take(self, version: Version, name: str, want: Want) -> object | None:
        """The value for one of its consumers, or None when it has to be read."""
        ...


class Handover:
    """What waits in memory for its consumers, at most `limit_bytes` of it; the oldest gives way, and is read instead.

    A value belongs to the place where its version is stored, so that nobody gets another version's. All methods may be
    called from any thread.
    """

    def __init__(self, limit_bytes: int = 0) -> None:
        self._limit = limit_bytes
        self._lock = threading.Lock()
        self._waiting: dict[AssetKey, set[str]] = {}
        self._takes: dict[str, list[AssetKey]] = {}
        self._kept: dict[AssetKey, tuple[set[str], Handed | OnFile]] = {}
        self._size = 0

    @property
    def most_bytes(self) -> int:
        """The size of the largest value that is taken."""
        return self._limit

    def expect(self, consumers: Mapping[AssetKey, Iterable[str]]) -> None:
        """Say which functions of the run, by their nodes, will take which assets from memory."""
        if self._limit <= 0:
            return
        self._waiting = {key: set(names) for key, names in consumers.items()}
        for key, names in self._waiting.items():
            for name in names:
                self._takes.setdefault(name, []).append(key)

    def wants(self, key: AssetKey) -> bool:
        """Whether somebody in this run still waits for the asset."""
        return bool(self._waiting.get(key))

    def offer(self, key: AssetKey, location: str, value: Handed | OnFile) -> None:
        """Keep the value of the version at `location`, if it fits and somebody waits for it.

        A value that was offered before, for what was announced of it, is now also that of its stored version.
        """
        with self._lock:
            if not self._waiting.get(key) or value.size_bytes > self._limit:
                value.close()
                return
            before = self._kept.get(key)
            if before is not None and before[1] is value:
                before[0].add(location)
                return
            self._drop(key)
            self._kept[key] = ({location}, value)
            self._size += value.size_bytes
            while self._size > self._limit:
                self._drop(next(iter(self._kept)))

    def take(self, version: Version, name: str, want: Want) -> object | None:
        """The value for one of its consumers, or None when it has to be read. The last one leaves nothing behind."""
        key = version.asset
        with self._lock:
            locations, value = self._kept.get(key, ((), None))
            if value is None or version.location not in locations or want.form not in FORMS:
                return None
            self._leave(key, name)
        return value.read(want)

    def dressed(self, task: Task) -> Task:
        """The task for another process: with the inputs that wait in files, and which outputs are wanted so."""
        with self._lock:
            found = {key: self._kept.get(key, ((), None)) for key in task.versions}
            on_files = {
                task.versions[key].location: value
                for key, (locations, value) in found.items()
                if isinstance(value, OnFile) and task.versions[key].location in locations
            }
            return replace(task, on_files=on_files, wanted=frozenset(key for key in task.origins if self.wants(key)))

    def take_files(self, result: NodeResult) -> None:
        """Keep what a step in another process left in files, or remove it."""
        for key, value in result.on_files.items():
            made = result.outputs.get(key)
            if made is None or made.version is None or made.error is not None:
                value.close()
            else:
                self.offer(key, made.version.location, value)

    def leave(self, name: str) -> None:
        """A consumer is settled, whether it took what waited for it or not."""
        with self._lock:
            for key in self._takes.pop(name, ()):
                self._leave(key, name)

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._waiting.clear()
            self._takes.clear()
            for key in list(self._kept):
                self._drop(key)

    def _leave(self, key: AssetKey, name: str) -> None:
        names = self._waiting.get(key, set())
        names.discard(name)
        if not names:
            self._waiting.pop(key, None)
            self._drop(key)

    def _drop(self, key: AssetKey) -> None:
        if (found := self._kept.pop(key, None)) is not None:
            self._size -= found[1].size_bytes
            found[1].close()


class FileHandover:
    """How one task in a child process gets its inputs from files of the run, and leaves its outputs in such."""

    def __init__(self, task: Task, storage: Storage) -> None:
        self._task, self._storage = task, storage
        self.written: dict[AssetKey, OnFile] = {}

    @property
    def most_bytes(self) -> int:
        """As large as what is copied: mappings of this process are no use to another."""
        return LARGEST_BYTES

    def wants(self, key: AssetKey) -> bool:
        """Whether another process waits for the asset."""
        return key in self._task.wanted

    def offer(self, key: AssetKey, location: str, value: Handed) -> None:
        """Leave the value in a file. It only saves time: a disk that refuses does not make the step fail."""
        if key in self.written:
            return
        folder = self._storage.scratch(self._task.run_id)
        with unless_the_disk_refuses():
            self.written[key] = OnFile.of(value, folder)
            return
        rmtree(folder, ignore_errors=True)

    def take(self, version: Version, name: str, want: Want) -> object | None:
        """The value of a version that waits in a file, or None when it has to be read."""
        found = self._task.on_files.get(version.location)
        if found is None or want.form not in FORMS:
            return None
        with unless_the_disk_refuses():
            return found.read(want)
        return None


def usual_limit() -> int:
    """A quarter of the machine's memory, in bytes; nothing where it is not known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 4
    except (ValueError, OSError, AttributeError):
        return 0
