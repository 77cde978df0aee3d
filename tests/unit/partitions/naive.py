"""What mappings mean, partition by partition: the slow and plain way, against which the arithmetic is compared."""

from __future__ import annotations

from collections.abc import Set
from datetime import datetime
from functools import lru_cache
from itertools import product

from assetflow.partitions.axes import Axes, Axis
from assetflow.partitions.definition import Definition
from assetflow.partitions.mappings import All, Identity, Latest, Mapping, Previous, Side, StaticMap, TimeWindow
from assetflow.partitions.multi import Multi
from assetflow.partitions.named import Dynamic, Static
from assetflow.partitions.windows import TimeDefinition

REACH = 30
REACH_OF_AN_AXIS = 6


def key_or_none(definition: Definition, ordinal: int) -> str | None:
    if isinstance(definition, (Static, Dynamic)):
        known = definition.names if isinstance(definition, Static) else definition.added
        return known[ordinal] if 0 <= ordinal < len(known) else None
    return definition.key(ordinal)


@lru_cache(maxsize=1024)
def candidates(definition: Definition, existing: frozenset[int], reach: int = REACH) -> frozenset[int]:
    """Every ordinal that could be meant, though it may not exist."""
    if isinstance(definition, TimeDefinition):
        return frozenset(range(min(existing) - reach, max(existing) + reach)) if existing else frozenset()
    if isinstance(definition, Multi):
        axes = [(name, candidates(axis, on_axis(definition, name, existing), REACH_OF_AN_AXIS))
                for name, axis in definition.axes.items()]  # fmt: skip
        names = [name for name, _ in axes]
        places = product(*(some for _, some in axes))
        return frozenset(definition.at(dict(zip(names, place, strict=True))) for place in places)
    return existing


@lru_cache(maxsize=1024)
def on_axis(definition: Definition, name: str, ordinals: frozenset[int]) -> frozenset[int]:
    """The places on one axis; of what has no axes, the ordinals."""
    if not isinstance(definition, Multi):
        return ordinals
    return frozenset(definition.coordinates(one)[name] for one in ordinals)


@lru_cache(maxsize=100_000)
def window(definition: TimeDefinition, ordinal: int) -> tuple[datetime, datetime]:
    found = definition.window(ordinal)
    return found.start, found.end


@lru_cache(maxsize=100_000)
def has(definition: Definition, ordinal: int) -> bool:
    """Whether a definition has a partition, now or later."""
    if isinstance(definition, Multi):
        return all(has(definition.axes[name], place) for name, place in definition.coordinates(ordinal).items())
    if isinstance(definition, TimeDefinition):
        key = definition.key(ordinal)
        start, end = window(definition, ordinal)
        first = definition.ordinal(definition.start)  # type: ignore[attr-defined]
        excluded = definition.exclude
        assert not any(".." in item for item in excluded)
        return first <= ordinal and key not in excluded and start < end
    key = key_or_none(definition, ordinal)
    return key is not None and not (isinstance(definition, Dynamic) and key in definition.removed)


def reads(mapping: Mapping, reader: int, up: Side, down: Side) -> set[int]:
    """What one partition reads, of what the upstream has."""
    existing = frozenset(up.existing)
    known = candidates(up.definition, existing)
    return {*_reads(mapping, reader, known, existing, up.definition, down.definition, frozenset(down.existing))}


def _reads(mapping: Mapping, reader: int, known: frozenset[int], existing: frozenset[int], up: Definition,
           down: Definition, mine: frozenset[int]) -> Set[int]:  # fmt: skip
    if isinstance(mapping, Identity):
        return {one for one in known if key_or_none(up, one) == key_or_none(down, reader) and has(up, one)}
    if isinstance(mapping, TimeWindow):
        assert isinstance(up, TimeDefinition)
        assert isinstance(down, TimeDefinition)
        start, end = window(down, reader)
        spans = ((one, *window(up, one)) for one in known)
        meets = [one for one, low, high in spans if low < end and start < high and low < high]
        if not meets:
            return set()
        wide = range(min(meets) + mapping.start_offset, max(meets) + mapping.end_offset + 1)
        return {one for one in wide if has(up, one)}
    if isinstance(mapping, StaticMap):
        named = mapping.reads.get(key_or_none(down, reader) or "", ())
        return {one for one in known if (key_or_none(up, one) or "") in named and has(up, one)}
    if isinstance(mapping, All):
        return existing
    if isinstance(mapping, Latest):
        return {max(existing)} if existing else set()
    if isinstance(mapping, Previous):
        earlier = [one for one in existing if one < reader]
        return {max(earlier)} if reader in existing and earlier else set()
    assert isinstance(mapping, (Axis, Axes))
    return _reads_by_axis(mapping, reader, known, existing, up, down, mine)


def _reads_by_axis(mapping: Axis | Axes, reader: int, known: frozenset[int], existing: frozenset[int],
                   up: Definition, down: Definition, mine: frozenset[int]) -> Set[int]:  # fmt: skip
    if isinstance(mapping, Axis):
        links = {mapping.name: (mapping.name, mapping.mapping)}
    else:
        assert isinstance(up, Multi)
        assert isinstance(down, Multi)
        links = {name: (name, mapping.by_name.get(name, Identity())) for name in up.axes if name in down.axes}
        times = [[name for name, axis in one.axes.items() if isinstance(axis, TimeDefinition)] for one in (up, down)]
        if len(times[0]) == len(times[1]) == 1 and not {times[0][0], times[1][0]} & (up.axes.keys() & down.axes.keys()):
            said = [mapping.by_name[name] for name in (times[0][0], times[1][0]) if name in mapping.by_name]
            links[times[0][0]] = (times[1][0], (said or [TimeWindow()])[0])
    allowed: dict[str, Set[int]] = {}
    for name, (other, inner) in links.items():
        up_axis = up.axes[name] if isinstance(up, Multi) else up
        down_axis = down.axes[other] if isinstance(down, Multi) else down
        place = down.coordinates(reader)[other] if isinstance(down, Multi) else reader
        ends = on_axis(up, name, known), on_axis(up, name, existing)
        allowed[name] = _reads(inner, place, *ends, up_axis, down_axis, on_axis(down, other, mine))
    if not isinstance(up, Multi):
        return allowed[next(iter(links))]
    there = {name: allowed.get(name, on_axis(up, name, existing)) for name in up.axes}
    return {one for one in known if all(place in there[name] for name, place in up.coordinates(one).items())}
