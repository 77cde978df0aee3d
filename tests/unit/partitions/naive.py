"""What mappings mean, partition by partition: the slow and plain way, against which the arithmetic is compared."""

from __future__ import annotations

from itertools import product

from assetflow.partitions.axes import Axes, Axis
from assetflow.partitions.definition import Definition
from assetflow.partitions.mappings import All, Identity, Latest, Mapping, PreviousSelf, Side, StaticMap, TimeWindow
from assetflow.partitions.multi import Multi
from assetflow.partitions.named import Dynamic, Static
from assetflow.partitions.windows import TimeDefinition

REACH = 60


def key_or_none(definition: Definition, ordinal: int) -> str | None:
    names = {Static: "names", Dynamic: "added"}.get(type(definition))
    if names is not None:
        known = getattr(definition, names)
        return known[ordinal] if 0 <= ordinal < len(known) else None
    return definition.key(ordinal)


def candidates(definition: Definition, existing: set[int]) -> set[int]:
    """Every ordinal that could be meant, though it may not exist."""
    if isinstance(definition, TimeDefinition):
        return set(range(min(existing) - REACH, max(existing) + REACH)) if existing else set()
    if isinstance(definition, Multi):
        axes = [(name, candidates(axis, {definition.coordinates(one)[name] for one in existing}))
                for name, axis in definition.axes.items()]  # fmt: skip
        names = [name for name, _ in axes]
        return {definition.at(dict(zip(names, places, strict=True))) for places in product(*(some for _, some in axes))}
    return existing


def has(definition: Definition, ordinal: int) -> bool:
    """Whether a definition has a partition, now or later."""
    if isinstance(definition, Multi):
        return all(has(definition.axes[name], place) for name, place in definition.coordinates(ordinal).items())
    if isinstance(definition, TimeDefinition):
        key = definition.key(ordinal)
        window = definition.window(ordinal)
        first = definition.ordinal(definition.start)  # type: ignore[attr-defined]
        excluded = definition.exclude
        assert not any(".." in item for item in excluded)
        return first <= ordinal and key not in excluded and window.start < window.end
    key = key_or_none(definition, ordinal)
    return key is not None and not (isinstance(definition, Dynamic) and key in definition.removed)


def reads(mapping: Mapping, reader: int, up: Side, down: Side) -> set[int]:
    """What one partition reads, of what the upstream has."""
    existing = {*up.existing}
    known = {one for one in candidates(up.definition, existing)}
    return {one for one in _reads(mapping, reader, known, existing, up.definition, down.definition, {*down.existing})}


def _reads(mapping: Mapping, reader: int, known: set[int], existing: set[int], up: Definition, down: Definition,
           mine: set[int]) -> set[int]:  # fmt: skip
    if isinstance(mapping, Identity):
        return {one for one in known if key_or_none(up, one) == key_or_none(down, reader) and has(up, one)}
    if isinstance(mapping, TimeWindow):
        assert isinstance(up, TimeDefinition)
        assert isinstance(down, TimeDefinition)
        mine_is = down.window(reader)
        meets = [one for one in known if up.window(one).start < mine_is.end and mine_is.start < up.window(one).end
                 and up.window(one).start < up.window(one).end]  # fmt: skip
        if not meets:
            return set()
        wide = range(min(meets) + mapping.start_offset, max(meets) + mapping.end_offset + 1)
        return {one for one in wide if has(up, one)}
    if isinstance(mapping, StaticMap):
        named = mapping.reads.get(key_or_none(down, reader) or "", ())
        return {one for one in known if key_or_none(up, one) in named and has(up, one)}
    if isinstance(mapping, All):
        return existing
    if isinstance(mapping, Latest):
        return {max(existing)} if existing else set()
    if isinstance(mapping, PreviousSelf):
        earlier = [one for one in existing if one < reader]
        return {max(earlier)} if reader in existing and earlier else set()
    assert isinstance(mapping, (Axis, Axes))
    return _reads_by_axis(mapping, reader, known, existing, up, down, mine)


def _reads_by_axis(mapping: Axis | Axes, reader: int, known: set[int], existing: set[int], up: Definition,
                   down: Definition, mine: set[int]) -> set[int]:  # fmt: skip
    if isinstance(mapping, Axis):
        links = {mapping.name: mapping.mapping}
    else:
        assert isinstance(up, Multi)
        assert isinstance(down, Multi)
        links = {name: mapping.by_name.get(name, Identity()) for name in up.axes if name in down.axes}
    allowed: dict[str, set[int]] = {}
    for name, inner in links.items():
        up_axis = up.axes[name] if isinstance(up, Multi) else up
        down_axis = down.axes[name] if isinstance(down, Multi) else down
        place = down.coordinates(reader)[name] if isinstance(down, Multi) else reader
        some = {up.coordinates(one)[name] for one in known} if isinstance(up, Multi) else known
        there = {up.coordinates(one)[name] for one in existing} if isinstance(up, Multi) else existing
        others = {down.coordinates(one)[name] for one in mine} if isinstance(down, Multi) else mine
        allowed[name] = _reads(inner, place, some, there, up_axis, down_axis, others)
    if not isinstance(up, Multi):
        return allowed[next(iter(links))]
    there = {name: {up.coordinates(one)[name] for one in existing} for name in up.axes}
    return {
        one
        for one in known
        if all(place in allowed.get(name, there[name]) for name, place in up.coordinates(one).items())
    }
