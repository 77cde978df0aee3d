"""Starting ahead: an asset is computed from values whose versions are still being written.

Writing, hashing onto the disk and committing take longer than many computations, and what follows does not need them:
it needs the value, and its content hash to know that it has to run at all. So a step announces what it has made as
soon as that is hashed and checked. What depends on it may start, and waits with its own publication until the commit:
nothing is published before its inputs are. When the commit does not come, what was started is thrown away.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec import Struct, field

from assetflow.io.handover import LARGEST_BYTES, LEAST_BYTES
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version

if TYPE_CHECKING:
    from assetflow.load.live import LiveNode
    from assetflow.model.spec import AssetSpec
    from assetflow.run.task import NodeResult, Origin, Task


AHEAD = "ahead:"
"""Begins the `location` of what was announced, which is no place in the store."""

_DEEP_BYTES = 64 << 20
"""With more than this in memory that is not published, nothing starts on what was itself started ahead."""


class Announced(Struct, frozen=True):
    """What a step has made and not yet published, by output, as versions without a number.

    Their `location` is no place in the store: only who takes the value from memory can use them.
    """

    task: Task
    versions: Mapping[AssetKey, Version]


def is_ahead_of_large(task: Task) -> bool:
    """Whether a task reads large values that are being written: it had better take over what is then stored."""
    given = task.versions.values()
    return any(one.location.startswith(AHEAD) and (one.size_bytes or 0) >= LEAST_BYTES for one in given)


Announce = Callable[[Announced], None]
"""Tells the coordinator; may be called from any thread."""


class Permit:
    """What a step that was started ahead waits for before it publishes."""

    def __init__(self) -> None:
        self._decided = threading.Event()
        self._origins: Mapping[AssetKey, Origin] | None = None

    def grant(self, origins: Mapping[AssetKey, Origin]) -> None:
        """Its inputs are committed; `origins` say of each output what it is made of."""
        self._origins = origins
        self._decided.set()

    def deny(self) -> None:
        """Its inputs did not become what they were announced as."""
        self._decided.set()

    def wait(self) -> Mapping[AssetKey, Origin] | None:
        """The origins when they are known, or None when what was computed is to be thrown away."""
        self._decided.wait()
        return self._origins


class Denied(BaseException):
    """What was computed ahead is to be thrown away. Never seen by anybody's code."""


class Started(Struct):
    """A function that was started ahead, on these versions. `held` is its result, if it came before the permit."""

    versions: Mapping[AssetKey, Version]
    permit: Permit = field(default_factory=Permit)
    held: NodeResult | None = None


class Ahead:
    """What a run has announced and started ahead. Only the coordinator's thread calls it."""

    def __init__(self, takers: Mapping[AssetKey, set[str]]) -> None:
        self._takers = takers
        self.versions: dict[AssetKey, Version] = {}
        self.started: dict[str, Started] = {}
        self.denied: set[str] = set()
        self.candidates: dict[str, None] = {}

    def needs(
        self, name: str, node: LiveNode, specs: list[AssetSpec], waits_for: set[str], node_of: Callable[[AssetKey], str]
    ) -> dict[AssetKey, Version] | None:
        """The announced versions that the function would start on, or None when it has to wait for something else."""
        found: dict[AssetKey, Version] = {}
        for given in (one for spec in specs for one in spec.inputs):
            if node_of(given.upstream) not in waits_for:
                continue
            version = self.versions.get(given.upstream)
            if version is None or given.mode == "order" or name not in self._takers.get(given.upstream, ()):
                return None
            found[given.upstream] = version
        if not found or {node_of(key) for key in found} != waits_for:
            return None
        if any((one.size_bytes or 0) > LARGEST_BYTES for one in found.values()):
            return None  # what is written, what is made of it and its own copy would be three of them
        if waits_for & self.started.keys() and sum(one.size_bytes or 0 for one in self.versions.values()) > _DEEP_BYTES:
            return None
        return None if any(node_of(key) in waits_for for key in node.checked_against()) else found

    def hold(self, result: NodeResult) -> bool:
        """Keep a result whose inputs are not settled yet; whether that was needed."""
        started = self.started.get(result.task.node)
        if started is None:
            return False
        started.held = result
        return True

    def deny(self, name: str, started: Started) -> None:
        """Throw away what was started ahead; a result that is yet to come will be passed over."""
        started.permit.deny()
        if started.held is None:
            self.denied.add(name)

    def deny_below(self, name: str, dependents: Mapping[str, list[str]]) -> None:
        """Throw away all that was started ahead on a function, and on what that made."""
        below = [name]
        while below:
            for other in dependents.get(below.pop(), ()):
                if (started := self.started.pop(other, None)) is not None:
                    self.deny(other, started)
                    below.append(other)

    def close(self) -> None:
        """Throw away what still waits: the run is over."""
        for started in self.started.values():
            started.permit.deny()
