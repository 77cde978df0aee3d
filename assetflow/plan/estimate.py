"""How long a plan would take, from how long its assets took before: work, wall time, and the chain that decides it."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from assetflow.model.keys import AssetKey


class Work(Struct, frozen=True):
    """One function that would run: what it makes, how long that takes if that is known, and what it waits for."""

    name: str
    makes: tuple[AssetKey, ...]
    seconds: float | None
    after: frozenset[str]
    calls: int = 1
    """How often it would run, for partitions that do not wait for each other; `seconds` is all of it."""

    def spread(self, workers: int) -> list[Work]:
        """The same as so many functions at most, beside each other."""
        pieces = min(self.calls, max(1, workers)) if self.seconds is not None else 1
        if pieces == 1:
            return [self]
        seconds = None if self.seconds is None else self.seconds / pieces
        names = [self.name, *(f"{self.name}\0{number}" for number in range(1, pieces))]
        return [replace(self, name=name, seconds=seconds, calls=self.calls // pieces) for name in names]


class Estimate(Struct, frozen=True):
    """What a plan costs at most: if everything that may run does.

    `work_s` is the sum, `wall_s` the time with so many `workers`. `critical_path` is the chain of assets that takes
    longest one after the other, `path_s`: no number of workers is faster. `unknown` functions never finished and
    count as nothing. `saved_s` is what is not computed again, since it is current or fits again.
    """

    work_s: float
    wall_s: float
    workers: int
    critical_path: tuple[AssetKey, ...]
    path_s: float
    unknown: int
    saved_s: float

    def to_json(self) -> dict[str, object]:
        """The estimate as JSON-able values."""
        return {
            "work_seconds": self.work_s,
            "wall_seconds": self.wall_s,
            "workers": self.workers,
            "critical_path": list(self.critical_path),
            "critical_path_seconds": self.path_s,
            "unknown": self.unknown,
            "saved_seconds": self.saved_s,
        }


def estimate(work: Sequence[Work], workers: int, saved_s: float) -> Estimate:
    """The estimate for functions that come in topological order. O((V + E) log V)."""
    path, path_s = _critical(work)
    return Estimate(
        sum(one.seconds or 0.0 for one in work),
        _wall(work, max(1, workers)),
        max(1, workers),
        path,
        path_s,
        sum(one.calls for one in work if one.seconds is None),
        saved_s,
    )


def _critical(work: Sequence[Work]) -> tuple[tuple[AssetKey, ...], float]:
    ends: dict[str, float] = {}
    before: dict[str, str | None] = {}
    makes: dict[str, AssetKey] = {}
    for one in work:
        last = max((name for name in sorted(one.after) if name in ends), key=lambda name: ends[name], default=None)
        ends[one.name] = (ends[last] if last is not None else 0.0) + (one.seconds or 0.0) / one.calls
        before[one.name], makes[one.name] = last, one.makes[0]
    at = max(ends, key=lambda name: ends[name], default=None)
    if at is None:
        return (), 0.0
    total, path = ends[at], list[AssetKey]()
    while at is not None:
        path.append(makes[at])
        at = before[at]
    return tuple(reversed(path)), total


def start_order(work: Sequence[Work]) -> dict[str, int]:
    """The place of each function among those that are ready at the same time: the longest way to the end first.

    The functions come in topological order, which decides where ways are equally long. One that never finished counts
    as the median of the others, so that what is new is neither always first nor always last.
    """
    known = sorted(one.seconds for one in work if one.seconds is not None)
    usual = known[len(known) // 2] if known else 0.0
    left: dict[str, float] = {}
    below: defaultdict[str, float] = defaultdict(float)
    for one in reversed(work):
        left[one.name] = below[one.name] + (usual if one.seconds is None else one.seconds)
        for name in one.after:
            below[name] = max(below[name], left[one.name])
    in_order = sorted(work, key=lambda one: -left[one.name])
    return {one.name: place for place, one in enumerate(in_order)}


def _wall(work: Sequence[Work], workers: int) -> float:
    """When the last function would end, were they started as the runner does: of what is ready, in that order."""
    waits: dict[str, int] = {}
    below: defaultdict[str, list[str]] = defaultdict(list)
    seconds: Mapping[str, float] = {one.name: one.seconds or 0.0 for one in work}
    rank = start_order(work)
    for one in work:
        known = [name for name in one.after if name in rank]
        waits[one.name] = len(known)
        for name in known:
            below[name].append(one.name)
    ready = [(rank[name], name) for name, count in waits.items() if count == 0]
    heapq.heapify(ready)
    running: list[tuple[float, int, str]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < workers:
            place, name = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[name], place, name))
        now, _, ended = heapq.heappop(running)
        for name in below[ended]:
            waits[name] -= 1
            if waits[name] == 0:
                heapq.heappush(ready, (rank[name], name))
    return now
