"""Which partitions of an asset are current, told for all of them at once.

A partition is current when its head has the input key of now and what it reads is current too. That is all the planner
looks at where nothing is declared, seen or said beside it, and it needs no object for a partition: a number for its
place, a hash of what it holds, running sums over those hashes. What cannot be told that way is left to the planner.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping as MappingOf, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.partitions.mappings import Identity, Mapping, Side, TimeWindow, same_keys, same_windows
from assetflow.partitions.ordinals import Ordinals, Span
from assetflow.plan.slotkeys import member, set_digest, slot_key
from assetflow.plan.staleness import Content, definition_key, digest_of


class Held(NamedTuple):
    """What is current of one partition: the input key of its trace, and what it holds."""

    partition: str
    input_key: str
    data_hash: str
    rows: int | None = None
    columns: MappingOf[str, str] | None = None


@dataclass(frozen=True)
class Edge:
    """An input of which partitions are read, and how they belong to those of the reader."""

    given: InputSpec
    mapping: Mapping
    up: Side
    down: Side

    def read(self, ordinal: int) -> Sequence[Span]:
        """The runs of existing upstream partitions that one partition reads."""
        existing = self.up.existing.spans
        if self._offsets is None:
            own = Ordinals.run(ordinal, ordinal + 1)
            return (self.mapping.upstream(own, self.up, self.down) & self.up.existing).spans
        low, high = ordinal + self._offsets[0], ordinal + self._offsets[1]
        if len(existing) > 1:
            return (Ordinals.run(low, high) & self.up.existing).spans
        first, end = existing[0] if existing else (0, 0)
        low, high = max(low, first), min(high, end)
        return ((low, high),) if low < high else ()

    @cached_property
    def _offsets(self) -> Span | None:
        """Where the upstream partitions lie beside the own one, by number; None when they do not lie there."""
        up, down, mapping = self.up.definition, self.down.definition, self.mapping
        if isinstance(mapping, TimeWindow) and same_windows(up, down):
            return mapping.start_offset, mapping.end_offset + 1
        return (0, 1) if isinstance(mapping, Identity) and same_keys(up, down) else None


class Running:
    """Sums over what the partitions of an asset hold, so that any run of them has its digest at once."""

    def __init__(self, existing: Ordinals, numbers: MappingOf[int, int]) -> None:
        """`numbers` has the `member` of each partition that is settled."""
        self._lows = [low for low, _ in existing.spans]
        self._bases = list(accumulate((high - low for low, high in existing.spans), initial=0))
        own = [numbers.get(ordinal) for ordinal in existing]
        self._sums = list(accumulate((one or 0 for one in own), initial=0))
        self._gaps = list(accumulate((one is None for one in own), initial=0)) if None in own else None

    def over(self, spans: Sequence[Span]) -> tuple[int, int] | None:
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


def settled_partitions(
    key: AssetKey,
    spec: AssetSpec,
    whole: Sequence[tuple[InputSpec, str]],
    edges: Sequence[Edge],
    held: MappingOf[int, Held],
    running: Callable[[InputSpec], Running],
) -> Ordinals:
    """The partitions of an asset that are current, of those that are `held`, by ordinal.

    `whole` are the inputs that are read as a whole, each with its digest; `edges` those of which partitions are read,
    in the order of their names; `running(given)` has the sums of an upstream under the part of its content that the
    input depends on. Linear in partitions and edges.
    """
    bases: dict[tuple[bool, ...], str] = {}
    sums = [(edge, running(edge.given)) for edge in edges if edge.given.mode != "order"]
    found: list[Span] = []
    for ordinal, one in held.items():
        sets: list[str] = []
        present: list[bool] = []
        for edge, upstream in sums:
            counted = upstream.over(edge.read(ordinal))
            if counted is None or (not counted[0] and edge.given.parameter and not edge.given.optional):
                break
            present.append(counted[0] > 0)
            if counted[0]:
                sets.append(set_digest(*counted))
        else:
            shape = tuple(present)
            if shape not in bases:
                read = [edge.given for (edge, _), is_there in zip(sums, shape, strict=True) if is_there]
                bases[shape] = definition_key(key, spec, whole, read)
            if slot_key(bases[shape], sets, one.partition) == one.input_key:
                found.append((ordinal, ordinal + 1))
    return Ordinals.joined(found)


def members(given: InputSpec, held: MappingOf[int, Held], settled: Ordinals) -> dict[int, int]:
    """The number of each settled partition of an upstream in the set of what an input reads."""
    there = ((ordinal, one) for ordinal in settled if (one := held.get(ordinal)) is not None)
    if given.mode != "columns":
        return {ordinal: member(one.partition, one.data_hash) for ordinal, one in there}
    return {
        ordinal: member(one.partition, digest_of(given, Content(one.data_hash, one.rows, one.columns or {}, None)))
        for ordinal, one in there
    }


def still_settled(before: Ordinals, moved: Ordinals, edges: Iterable[tuple[Edge, Ordinals]]) -> Ordinals:
    """What is current of what was, without those whose head `moved`, and those that read what is not as it was.

    `edges` have, for each input, the partitions of its upstream that are not known to be as they were.
    """
    left = before - moved
    for edge, unsure in edges:
        if unsure and left:
            left -= edge.mapping.downstream(unsure, replace(edge.up, existing=edge.up.existing | unsure), edge.down)
    return left
