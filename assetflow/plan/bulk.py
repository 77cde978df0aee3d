"""Which partitions of an asset are current, told for all of them at once.

A partition is current when its head has the input key of now and what it reads is current too. That is all the planner
looks at where nothing is declared, seen or said beside it, and it needs no object for a partition: a number for its
place, a hash of what it holds, running sums over those hashes. What cannot be told that way is left to the planner.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import accumulate, compress
from operator import eq, sub
from typing import TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.partitions.mappings import Identity, Mapping, Side, TimeWindow, same_keys, same_windows
from assetflow.partitions.ordinals import EMPTY, Ordinals, Span
from assetflow.plan.slotkeys import members, set_digest, set_digests, slot_keys
from assetflow.plan.staleness import Content, definition_key, digest_of

T = TypeVar("T")


class Held(Struct, frozen=True):
    """What is current of the partitions of an asset, as columns: an entry for each partition, in their order.

    `hashes` are of what they hold, and there is none where nobody reads that; `contents` only where columns are read.
    """

    ordinals: Sequence[int] = ()
    partitions: Sequence[str] = ()
    input_keys: Sequence[str] = ()
    hashes: Sequence[str] = ()
    contents: Sequence[Content] = ()


class Edge(Struct, frozen=True, dict=True):
    """An input of which partitions are read, and how they belong to those of the reader."""

    given: InputSpec
    mapping: Mapping
    up: Side
    down: Side

    def read(self, ordinal: int) -> Sequence[Span]:
        """The runs of existing upstream partitions that one partition reads."""
        own = Ordinals.run(ordinal, ordinal + 1)
        if self.offsets is None:
            return (self.mapping.upstream(own, self.up, self.down) & self.up.existing).spans
        low, high = ordinal + self.offsets[0], ordinal + self.offsets[1]
        return (Ordinals.run(low, high) & self.up.existing).spans

    @cached_property
    def offsets(self) -> Span | None:
        """Where the upstream partitions lie beside the own one, by number; None when they do not lie there."""
        up, down, mapping = self.up.definition, self.down.definition, self.mapping
        if isinstance(mapping, TimeWindow) and same_windows(up, down):
            return mapping.start_offset, mapping.end_offset + 1
        return (0, 1) if isinstance(mapping, Identity) and same_keys(up, down) else None


class Running:
    """Sums over what the partitions of an asset hold, so that any run of them has its digest at once."""

    def __init__(self, existing: Ordinals, settled: Ordinals, numbers: Sequence[int]) -> None:
        """`numbers` has the `member` of each partition that is `settled`, in their order."""
        self._lows = [low for low, _ in existing.spans]
        self._bases = list(accumulate((high - low for low, high in existing.spans), initial=0))
        own: Sequence[int | None] = numbers
        if settled != existing:
            own = list(map(dict(zip(settled, numbers, strict=True)).get, existing))
        self._gaps = list(accumulate((one is None for one in own), initial=0)) if None in own else None
        self._sums = list(accumulate([one or 0 for one in own] if self._gaps else cast("list[int]", own), initial=0))

    def digests(self, edge: Edge, ordinals: Sequence[int]) -> list[str | None]:
        """The digest of the set that each of these partitions reads by an edge, in their order.

        Empty where there is nothing to be read, None where one of those that are read is not settled.
        """
        if edge.offsets is None or len(self._lows) != 1:
            counted = [self._over(edge.read(ordinal)) for ordinal in ordinals]
            return [one if one is None else set_digest(*one) if one[0] else "" for one in counted]
        found: list[str | None] = []
        for low, high in Ordinals.ascending(ordinals).spans:
            found += self._beside(low - self._lows[0], high - self._lows[0], edge.offsets)
        return found

    def _beside(self, low: int, high: int, offsets: Span) -> list[str | None]:
        """The digests of a run of readers that read a window beside their own place, counted from the first one."""

        def within(sums: Sequence[int]) -> Iterable[int]:
            begins, ends = (_clamped(sums, low + offset, high + offset) for offset in offsets)
            return map(sub, ends, begins)

        missing = [0] * (high - low) if self._gaps is None else list(within(self._gaps))
        if all(missing):
            return [None] * (high - low)
        counts = list(within(range(len(self._sums))))
        digests = set_digests(counts, within(self._sums))
        if not any(missing) and 0 not in counts:
            return cast("list[str | None]", digests)
        return [
            None if gaps else digest if count else ""
            for digest, count, gaps in zip(digests, counts, missing, strict=True)
        ]

    def _over(self, spans: Sequence[Span]) -> tuple[int, int] | None:
        """How many partitions these runs have, and the sum of their members; None when one of them is not settled."""
        count = total = 0
        for low, high in spans:
            place = bisect_right(self._lows, low) - 1 if len(self._lows) > 1 else 0
            start = self._bases[place] + low - self._lows[place]
            end = start + high - low
            if self._gaps is not None and self._gaps[end] != self._gaps[start]:
                return None
            count += end - start
            total += self._sums[end] - self._sums[start]
        return count, total


def _clamped(sums: Sequence[int], low: int, high: int) -> list[int]:
    """The entries from `low` to before `high`; before the first one that is the first, after the last one the last."""
    last = len(sums) - 1
    inside = sums[max(low, 0) : max(min(high, last + 1), 0)]
    before, after = max(min(high, 0) - low, 0), max(high - max(low, last + 1), 0)
    return [*[sums[0]] * before, *inside, *[sums[last]] * after]


def settled_partitions(
    key: AssetKey,
    spec: AssetSpec,
    whole: Sequence[tuple[InputSpec, str]],
    edges: Sequence[Edge],
    held: Held,
    running: Callable[[InputSpec], Running],
) -> Ordinals:
    """The partitions of an asset that are current, of those that are `held`, by ordinal.

    `whole` are the inputs that are read as a whole, each with its digest; `edges` those of which partitions are read,
    in the order of their names; `running(given)` has the sums of an upstream under the part of its content that the
    input depends on. Linear in partitions and edges.
    """
    if not held.ordinals:
        return EMPTY
    read = [edge for edge in edges if edge.given.mode != "order"]
    sets = [running(edge.given).digests(edge, held.ordinals) for edge in read]
    needed = [bool(edge.given.parameter) and not edge.given.optional for edge in read]
    found: list[int] = []
    for shape, places in _by_shape(sets, needed, len(held.ordinals)):
        base = definition_key(
            key, spec, whole, [edge.given for edge, is_there in zip(read, shape, strict=True) if is_there]
        )
        there = [digests for digests, is_there in zip(sets, shape, strict=True) if is_there]
        keys = slot_keys(
            base, [cast("list[str]", _at(digests, places)) for digests in there], _at(held.partitions, places)
        )
        found += compress(_at(held.ordinals, places), map(eq, keys, _at(held.input_keys, places)))
    return Ordinals.ascending(sorted(found))


def _by_shape(
    sets: Sequence[Sequence[str | None]], needed: Sequence[bool], count: int
) -> Iterable[tuple[tuple[bool, ...], Sequence[int] | None]]:
    """The partitions by which of their inputs have something to be read; None for all, without those that have not.

    One with an input that is not settled, or that needs more than there is, has no shape.
    """
    if not any(None in digests or "" in digests for digests in sets):
        return [((True,) * len(sets), None)]
    found: dict[tuple[bool, ...], list[int]] = {}
    for place in range(count):
        read = [digests[place] for digests in sets]
        if None not in read and not any(one == "" and must for one, must in zip(read, needed, strict=True)):
            found.setdefault(tuple([bool(one) for one in read]), []).append(place)
    return list(found.items())


def _at(column: Sequence[T], places: Sequence[int] | None) -> Sequence[T]:
    return column if places is None else [column[place] for place in places]


def numbers_of(given: InputSpec, held: Held, settled: Ordinals) -> tuple[Ordinals, Sequence[int]]:
    """The partitions of an upstream that are settled and held, and the number of each in the set of an input."""
    own = Ordinals.ascending(held.ordinals)
    if given.mode == "columns":
        digests = [digest_of(given, content) for content in held.contents]
    else:
        digests = held.hashes
    found = members(held.partitions, digests)
    if settled == own:
        return own, found
    of = dict(zip(held.ordinals, found, strict=True))
    left = settled & own
    return left, [of[ordinal] for ordinal in left]


def still_settled(before: Ordinals, moved: Ordinals, edges: Iterable[tuple[Edge, Ordinals]]) -> Ordinals:
    """What is current of what was, without those whose head `moved`, and those that read what is not as it was.

    `edges` have, for each input, the partitions of its upstream that are not known to be as they were.
    """
    left = before - moved
    for edge, unsure in edges:
        if unsure and left:
            left -= edge.mapping.downstream(unsure, replace(edge.up, existing=edge.up.existing | unsure), edge.down)
    return left
