"""The lineage as a value: which asset needs which, in which order they can be built."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from copy import copy
from fnmatch import translate
from heapq import heapify, heappop, heappush
from itertools import pairwise
from types import MappingProxyType
from typing import TYPE_CHECKING

from msgspec import Struct, field

from assetflow.errors import Cycle, Location, NoSuchAsset, UsageError, near_names
from assetflow.model.keys import AssetKey, last_name
from assetflow.model.spec import AssetSpec, InputSpec

if TYPE_CHECKING:
    from assetflow.plan.crowds import Crowd

_SELECTING = frozenset("*?+:&|!() ")
"""What is in selections and in no name."""


class AssetGraph:
    """An acyclic graph of asset specs, in an order in which every asset comes after its upstreams.

    Building it costs O(V log V + E), and nothing recurses, so chains and stars of any size work. The same specs in
    the same order give the same graph.

    Raises:
        Cycle: assets need each other in a circle.
    """

    specs: Mapping[AssetKey, AssetSpec]
    """Every spec by its key, in topological order; among assets that are free to go, the first declared goes first."""

    order: tuple[AssetKey, ...]
    """The keys of `specs`."""

    def __init__(self, specs: Iterable[AssetSpec]) -> None:
        declared = {spec.key: spec for spec in specs}
        self._upstream: dict[AssetKey, tuple[AssetKey, ...]] = {
            key: tuple(dict.fromkeys(given.upstream for given in spec.inputs if not is_own_past(given, spec, declared)))
            for key, spec in declared.items()
        }
        self.order = _topological(self._upstream)
        if len(self.order) < len(declared):
            raise _cycle_error(declared, self._upstream)
        self.specs = MappingProxyType({key: declared[key] for key in self.order})
        downstream: dict[AssetKey, list[AssetKey]] = {key: [] for key in self.order}
        by_last_name: dict[str, list[AssetKey]] = {}
        for key in self.order:
            for upstream in self._upstream[key]:
                downstream[upstream].append(key)
            by_last_name.setdefault(last_name(key), []).append(key)
        self._downstream = {key: tuple(found) for key, found in downstream.items()}
        self._by_last_name = {name: tuple(found) for name, found in by_last_name.items()}

    def having(self, specs: Iterable[AssetSpec]) -> AssetGraph:
        """This graph with other specs of the same keys, names and inputs; itself when there are none."""
        changed = {spec.key: spec for spec in specs}
        if not changed:
            return self
        found = copy(self)
        found.specs = MappingProxyType({key: changed.get(key, spec) for key, spec in self.specs.items()})
        return found

    def __len__(self) -> int:
        return len(self.order)

    def __contains__(self, key: object) -> bool:
        return key in self.specs

    def upstream(self, key: AssetKey) -> tuple[AssetKey, ...]:
        """The assets that `key` takes, each once, in the order of its parameters."""
        return self._upstream[key]

    def downstream(self, key: AssetKey) -> tuple[AssetKey, ...]:
        """The assets that take `key`, in topological order."""
        return self._downstream[key]

    def walk(self, start: Iterable[AssetKey], *, up: bool, depth: int | None = None) -> set[AssetKey]:
        """`start` and what is above (or below) it, at most `depth` steps away; None is no limit."""
        near = self._upstream if up else self._downstream
        found = set(start)
        frontier = list(found)
        steps = 0
        # One level at a time, so that an asset reached by a long and a short way counts with the short one.
        while frontier and (depth is None or steps < depth):
            reached: list[AssetKey] = []
            for key in frontier:
                for other in near[key]:
                    if other not in found:
                        found.add(other)
                        reached.append(other)
            frontier = reached
            steps += 1
        return found

    def named(self, name: str) -> tuple[AssetKey, ...]:
        """The asset with the key `name`; else all assets whose last name it is, in topological order; maybe none."""
        if name in self.specs:
            return (AssetKey(name),)
        return self._by_last_name.get(name, ())

    def resolve(self, name: str) -> AssetKey:
        """The one asset that `name` means: a full key, or a last name that only one asset has.

        Raises:
            NoSuchAsset: no asset has that name; near names are in the message.
            UsageError: the last name fits several assets, or it is a selection; those that it fits are in the message.
        """
        found = self.named(name)
        if len(found) == 1:
            return found[0]
        if found:
            raise UsageError(
                f"`{name}` fits {len(found)} assets",
                facts=(", ".join(f"`{key}`" for key in found),),
                fix=f"write the full key, such as `{found[0]}`",
            )
        if not _SELECTING.isdisjoint(name):
            raise _one_is_meant(self, name)
        raise no_such_asset(self, name)

    def _repr_html_(self) -> str:
        from assetflow.plan.picture import svg

        return svg(self, self.order, {})


def no_such_asset(graph: AssetGraph, name: str, fix: str | None = None) -> NoSuchAsset:
    """The error for a name that fits no asset, with the nearest names."""
    near = near_names(name, graph.order)
    facts = [f"similar: {', '.join(f'`{key}`' for key in near)}"] if near else []
    default = f"did you mean `{near[0]}`?" if near else "`assetflow ls` lists the assets"
    return NoSuchAsset(f"no asset matches `{name}`", facts=facts, fix=fix or default)


def _one_is_meant(graph: AssetGraph, selection: str) -> UsageError:
    """The error for a selection in the place of a name, with what a glob fits."""
    fits = re.compile(translate(selection.replace("[", "[[]"))).match
    found = [key for key in graph.order if fits(key)]
    more = f" and {len(found) - 5} more" if len(found) > 5 else ""
    such = f", such as `{found[0]}`" if found else ""
    return UsageError(
        f"`{selection}` is a selection, and one asset is meant here",
        facts=[f"it fits {', '.join(f'`{key}`' for key in found[:5])}{more}"] if found else [],
        fix=f"name one{such}; `assetflow ls {shlex.quote(selection)}` lists what it selects",
    )


def is_own_past(given: InputSpec, spec: AssetSpec, specs: Mapping[AssetKey, AssetSpec]) -> bool:
    """Whether the input is an earlier partition of what the same function makes: no edge between assets."""
    if given.partitions is None and given.window[1] >= 0:
        return False
    upstream = specs.get(given.upstream)
    return upstream is not None and upstream.node == spec.node and spec.partitions is not None and given.looks_back


class Slots(Struct, frozen=True):
    """A graph of asset partitions (`orders[2026-01-05]`) in the place of assets, and the targets in it.

    Partitions that were told to be current in bulk are left out, but for the `settled` ones: others read them,
    and they have no inputs. `current` counts for each asset those targets that are left out. The slots of `crowds`
    stand for many partitions each. Those that are `unmet` need an input of which no partition is there.
    """

    graph: AssetGraph
    targets: tuple[AssetKey, ...]
    settled: frozenset[AssetKey] = frozenset()
    current: Mapping[AssetKey, int] = field(default_factory=dict[AssetKey, int])
    crowds: Mapping[AssetKey, Crowd] = field(default_factory=dict[AssetKey, "Crowd"])
    unmet: Mapping[AssetKey, InputSpec] = field(default_factory=dict[AssetKey, InputSpec])


def find_cycle(edges: Mapping[str, Iterable[str]]) -> list[str] | None:
    """A circle in the edges, its first key repeated at the end, or None when there is none.

    Every key in the answer has an edge to the one after it. The first circle that a walk in the order of `edges` meets
    is returned, turned so that its earliest key comes first. Targets that are not keys of `edges` have no edges.

    Example:
        >>> find_cycle({"orders": ["ltv"], "ltv": ["orders"], "report": ["ltv"]})
        ['orders', 'ltv', 'orders']
    """
    done: set[str] = set()
    for start in edges:
        if start in done:
            continue
        # `trail` is the way from `start` to where the walk is; `ahead` holds the edges not yet followed of each step.
        trail, on_trail, ahead = [start], {start}, [iter(edges[start])]
        while trail:
            target = next(ahead[-1], None)
            if target is None:
                ahead.pop()
                on_trail.discard(trail[-1])
                done.add(trail.pop())
            elif target in on_trail:
                return _turned(trail[trail.index(target) :], edges)
            elif target not in done:
                trail.append(target)
                on_trail.add(target)
                ahead.append(iter(edges.get(target, ())))
    return None


def _turned(circle: list[str], order: Iterable[str]) -> list[str]:
    """The circle from its earliest key on, closed."""
    place = {key: index for index, key in enumerate(order)}
    first = min(range(len(circle)), key=lambda index: place[circle[index]])
    return [*circle[first:], *circle[: first + 1]]


def _topological(upstream: Mapping[AssetKey, tuple[AssetKey, ...]]) -> tuple[AssetKey, ...]:
    """The keys after all their upstreams, declaration order among equals; those on and behind a circle are left out."""
    keys = list(upstream)
    place = {key: index for index, key in enumerate(keys)}
    waiting_for = [len(upstream[key]) for key in keys]
    below: list[list[int]] = [[] for _ in keys]
    for index, key in enumerate(keys):
        for other in upstream[key]:
            below[place[other]].append(index)
    ready = [index for index, count in enumerate(waiting_for) if count == 0]
    heapify(ready)
    order: list[AssetKey] = []
    while ready:
        index = heappop(ready)
        order.append(keys[index])
        for other in below[index]:
            waiting_for[other] -= 1
            if waiting_for[other] == 0:
                heappush(ready, other)
    return tuple(order)


def _cycle_error(specs: Mapping[AssetKey, AssetSpec], upstream: Mapping[AssetKey, tuple[AssetKey, ...]]) -> Cycle:
    """The error that names every asset of a circle, with the place where it takes the next one."""
    circle = [AssetKey(key) for key in find_cycle({str(key): above for key, above in upstream.items()}) or ()]
    facts: list[str] = []
    for taker, taken in pairwise(circle):
        spec = specs[taker]
        facts.append(f"{taker} ({spec.file}:{spec.line}) takes `{taken}`")
    shown = _shortened(circle[::-1])
    first = specs[circle[0]]
    return Cycle(
        f"these assets form a cycle: {' → '.join(shown)}",
        facts=_shortened(facts),
        fix="take one of these inputs away, or split an asset so that data flows one way only",
        where=Location(first.file, first.line),
    )


def _shortened(words: list[str] | list[AssetKey], limit: int = 12) -> list[str]:
    """The words, or the first and last of them around a count when there are more than `limit`."""
    if len(words) <= limit:
        return [str(word) for word in words]
    half = limit // 2
    return [*map(str, words[:half]), f"… {len(words) - 2 * half} more …", *map(str, words[-half:])]
