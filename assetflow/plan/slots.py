"""A graph of asset partitions: each one that is asked for, and those that it needs, as a node of its own.

The graph of a project has one node for each asset. Planner and runner work on nodes, so an asset with partitions is
replaced by its slots; a project without partitions is left as it is.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping as MappingOf, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from assetflow.errors import UsageError
from assetflow.model.automation import TICK
from assetflow.model.keys import AssetKey, slot, split_slot
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.partitions.axes import fitted
from assetflow.partitions.definition import Definition
from assetflow.partitions.mappings import Mapping, Side, TimeWindow, enough
from assetflow.partitions.multi import Multi
from assetflow.partitions.named import Whole
from assetflow.partitions.ordinals import EMPTY, Ordinals
from assetflow.partitions.paths import path_of
from assetflow.partitions.windows import TimeDefinition
from assetflow.plan.crowds import FEW, Crowd
from assetflow.plan.graph import AssetGraph, Slots, is_own_past

MISSING, STALE = "is:missing", "is:stale"
_EACH = "each:"
_WHOLE = Side(Whole(), Ordinals.run(0, 1))


def slots_of(
    graph: AssetGraph,
    targets: Sequence[AssetKey],
    wanted: Callable[[AssetKey, Definition, Ordinals], Ordinals],
    now: datetime,
    settled: MappingOf[AssetKey, Ordinals] = MappingProxyType({}),
    shown: MappingOf[AssetKey, Ordinals] = MappingProxyType({}),
    crowds: MappingOf[AssetKey, Sequence[Crowd]] = MappingProxyType({}),
) -> Slots:
    """The slots of the targets and of all that they need, in the place of the assets of a project.

    `wanted(key, definition, existing)` says which partitions of a target are meant. An asset without partitions needs
    all that exist at `now` of an upstream with some; one with partitions needs what its windows say, as far as that
    exists. One that needs more than exists (`In(need=)`) does not exist yet. Of partitions that are `settled` (known to
    be current) only those become slots that others read, and they have no inputs; but those to be `shown` become slots
    as if they were not settled, with all that they need. Of `crowds` one slot stands for all that is needed of each.
    Linear in slots and edges.

    Raises:
        UsageError: an asset is to be made before it exists.
    """
    expansion = _Expansion(graph, now, settled, crowds)
    chosen = expansion.all_chosen(targets, wanted)
    needed = expansion.needed(chosen, shown)
    specs = [one for key in graph.order for one in expansion.specs(key, needed)]
    names = tuple(
        slot(key, partition)
        for key, own in chosen.items()
        for partition in expansion.names(key, expansion.opened(key, own))
    )
    return Slots(
        AssetGraph(specs), names, expansion.border(), expansion.current(chosen), expansion.crowds, expansion.unmet
    )


class _Expansion:
    """What is known of the partitions of a graph at one instant, and how the ends of each edge belong together."""

    def __init__(
        self, graph: AssetGraph, now: datetime, settled: MappingOf[AssetKey, Ordinals],
        crowds: MappingOf[AssetKey, Sequence[Crowd]],
    ) -> None:  # fmt: skip
        self._graph = graph
        self._sides = sides_of(graph, now)
        self._settled = settled
        self._opened: dict[AssetKey, Ordinals] = {}
        self._border: dict[AssetKey, Ordinals] = {}
        self._mappings: dict[tuple[AssetKey, InputSpec], Mapping] = {}
        self._alike = crowds
        self._apart: dict[AssetKey, Ordinals] = {}
        self.crowds: dict[AssetKey, Crowd] = {}
        """What is needed of crowds, by the name of its slot."""
        self.unmet: dict[AssetKey, InputSpec] = {}
        """An input that must have partitions and has none at all, by the name of the slot that needs it."""

    def opened(self, key: AssetKey, own: Ordinals | None) -> Ordinals | None:
        """Those of these partitions that are looked at each by itself."""
        return None if own is None else own - self._told(key)

    def border(self) -> frozenset[AssetKey]:
        """The slots of settled partitions that others read."""
        return frozenset(slot(key, name) for key, own in self._border.items() for name in self.keys(key, own))

    def current(self, chosen: MappingOf[AssetKey, Ordinals | None]) -> dict[AssetKey, int]:
        """How many of the chosen partitions of each asset are settled, and have no slot."""
        left = {
            key: ((own & self._told(key)) - self._border.get(key, EMPTY)).count
            for key, own in chosen.items()
            if own is not None
        }
        return {key: count for key, count in left.items() if count}

    def _told(self, key: AssetKey) -> Ordinals:
        return self._settled.get(key, EMPTY) - self._opened.get(key, EMPTY)

    def all_chosen(
        self, targets: Sequence[AssetKey], wanted: Callable[[AssetKey, Definition, Ordinals], Ordinals]
    ) -> dict[AssetKey, Ordinals | None]:
        """What is meant of each target, without those of which nothing is, where something is of another one.

        Days of a month that is not over yet have no month.

        Raises:
            UsageError: nothing is meant of any of them, or a part of what is asked for is nothing of all of them.
        """
        found: dict[AssetKey, Ordinals | None] = {}
        errors: list[UsageError] = []
        for key in targets:
            try:
                found[key] = self.chosen(key, wanted)
            except UsageError as error:
                errors.append(error)
        if errors and not any(found.values()):
            raise errors[0]
        if isinstance(wanted, Asked):
            wanted.refuse_unmeant()
        return found

    def chosen(self, key: AssetKey, wanted: Callable[[AssetKey, Definition, Ordinals], Ordinals]) -> Ordinals | None:
        """What is meant of a target: some of its partitions, or None for one that has no partitions."""
        side = self._sides.get(key)
        if side is None:
            return None
        meant = wanted(key, side.definition, side.existing)
        if meant and not meant & side.existing:
            name = slot(key, side.definition.key(meant.first))
            fix = "wait for them, or make it with fewer: In(need=)"
            raise UsageError(f"{name} needs more partitions of what it reads than exist by now", fix=fix)
        return meant & side.existing

    def keys(self, key: AssetKey, own: Ordinals | None) -> Iterable[str]:
        """The keys of these partitions; one empty text for an asset without."""
        return ("",) if own is None else self._sides[key].definition.keys(own)

    def names(self, key: AssetKey, own: Ordinals | None) -> Iterable[str]:
        """The same, with the name of a crowd in the place of its members."""
        if own is None:
            yield ""
            return
        for name, crowd in self._crowds_of(key):
            if own & crowd.members:
                yield name
                own -= crowd.members
        yield from self.keys(key, own)

    def _crowds_of(self, key: AssetKey) -> list[tuple[str, Crowd]]:
        return [(split_slot(name)[1], crowd) for name, crowd in self.crowds.items() if crowd.asset == key]

    def needed(
        self, chosen: MappingOf[AssetKey, Ordinals | None], shown: MappingOf[AssetKey, Ordinals]
    ) -> dict[AssetKey, Ordinals | None]:
        """What is needed of each asset for what is chosen, in the way of `chosen`."""
        self._opened = self._walked({key: own & self._sides[key].existing for key, own in shown.items()}, {}, {})
        return self._walked(chosen, self._settled, self._alike)

    def _walked(
        self, chosen: MappingOf[AssetKey, Ordinals | None], settled: MappingOf[AssetKey, Ordinals],
        crowds: MappingOf[AssetKey, Sequence[Crowd]],
    ) -> dict[AssetKey, Any]:  # fmt: skip
        together: dict[str, list[AssetKey]] = {}
        for key, spec in self._graph.specs.items():
            together.setdefault(spec.node, []).append(key)
        found: dict[AssetKey, Ordinals | None] = {}

        def need(key: AssetKey, ordinals: Ordinals | None, *, is_read: bool) -> None:
            for one in together[self._graph.specs[key].node]:  # outputs of one function are made together
                own = ordinals
                if own is not None and one in settled:
                    told = self._told(one)
                    if is_read and one == key:
                        self._border[one] = self._border.get(one, EMPTY) | (own & told)
                    own -= told
                if own is None or own:
                    before = found.get(one)
                    found[one] = own if before is None or own is None else before | own

        for key, own in chosen.items():
            need(key, own, is_read=False)
        for key in reversed(self._graph.order):
            if key not in found:
                continue
            need(key, self._with_own_past(key, found[key]), is_read=False)
            own, gathered = found[key], EMPTY
            if own is not None and key in crowds:
                gathered = self._gathered(key, own, crowds[key])
                found[key] = own - gathered
            apart = self._apart.get(key, EMPTY)
            for given in self._graph.specs[key].inputs:
                need(given.upstream, self._read(key, given, found[key]), is_read=True)
                if gathered:
                    need(given.upstream, self._read(key, given, gathered), is_read=False)
                read = self._read(key, given, apart) if apart else None
                if read is not None and read.count <= FEW:
                    self._apart[given.upstream] = self._apart.get(given.upstream, EMPTY) | read
        return found

    def _gathered(self, key: AssetKey, own: Ordinals, crowds: Sequence[Crowd]) -> Ordinals:
        """Those of the needed partitions that have a slot together; what is needed of each crowd is noted under a name.

        The one that the others are like has a slot of its own, as what it reads has.
        """
        gathered = EMPTY
        for crowd in crowds:
            members = (own & crowd.members) - self._apart.get(key, EMPTY)
            if members.count <= FEW:
                continue
            definition, like = self._sides[key].definition, None
            if crowd.like is not None:
                like = definition.key(members.last)
                first = Ordinals.run(members.last, members.last + 1)
                members, self._apart[key] = members - first, self._apart.get(key, EMPTY) | first
            gathered |= members
            name = definition.run_text(members.first, members.last + 1)
            while slot(key, name) in self.crowds:
                name += "+"
            self.crowds[slot(key, name)] = Crowd(key, members, like)
        return gathered

    def _with_own_past(self, key: AssetKey, own: Ordinals | None) -> Ordinals | None:
        """These partitions, and those before them that they are made from, one from the other."""
        spec = self._graph.specs[key]
        past = [given for given in spec.inputs if is_own_past(given, spec, self._graph.specs)]
        new = own if past else None
        while own is not None and new:
            read = [span for given in past for span in (self._read(key, given, new) or EMPTY).spans]
            new = Ordinals.joined(read) - own
            own |= new
        return own

    def specs(self, key: AssetKey, needed: MappingOf[AssetKey, Ordinals | None]) -> Iterable[AssetSpec]:
        """The spec of each of these partitions, or that of an asset without, with slots in the place of upstreams.

        Before them those of settled partitions that others read.
        """
        spec = self._graph.specs[key]
        border = self._border.get(key, EMPTY)
        for partition in self.keys(key, border) if border else ():
            yield replace(spec, key=slot(key, partition), node=slot(AssetKey(spec.node), partition), inputs=())
        own = needed.get(key, EMPTY)
        if own is None:
            yield self._on_slots(key, spec, None)
            return
        for partition, crowd in self._crowds_of(key):
            yield self._of_crowd(spec, partition, crowd)
        for ordinal, partition in zip(own, self.keys(key, own) if own else (), strict=True):
            found = replace(spec, key=slot(key, partition), node=slot(AssetKey(spec.node), partition))
            if spec.source is not None and spec.source.path is not None and spec.partitions is not None:
                path = path_of(spec.source.path, spec.partitions, ordinal)
                found = replace(found, source=replace(spec.source, path=path))
            yield self._on_slots(key, found, Ordinals.run(ordinal, ordinal + 1))

    def _read(self, key: AssetKey, given: InputSpec, own: Ordinals | None) -> Ordinals | None:
        """The partitions that these of an asset read by one input; None of an upstream without partitions."""
        up, down = self._sides.get(given.upstream), self._sides.get(key)
        if up is None or ((down is None or own is None) and given.partitions is None):
            return None if up is None else up.existing
        down, own = (_WHOLE, _WHOLE.existing) if down is None or own is None else (down, own)
        if (key, given) not in self._mappings:
            self._mappings[key, given] = mapping_of(given, up.definition, down.definition)
        return self._mappings[key, given].upstream(own, up, down) & up.existing

    def _on_slots(self, key: AssetKey, spec: AssetSpec, own: Ordinals | None) -> AssetSpec:
        if not any(given.upstream in self._sides for given in spec.inputs):
            return spec
        inputs: list[InputSpec] = []
        for given in spec.inputs:
            read = self._read(key, given, own)
            if read is None:
                inputs.append(given)
                continue
            if not read and given.parameter and not (given.optional or given.looks_back):
                self.unmet.setdefault(spec.key, given)
            inputs += [given.on(slot(given.upstream, name)) for name in self.names(given.upstream, read)]
        return replace(spec, inputs=tuple(inputs))

    def _of_crowd(self, spec: AssetSpec, partition: str, crowd: Crowd) -> AssetSpec:
        """The spec of a crowd: it reads crowds, and what is decided on it rests on the partition that it is like."""
        key = spec.key
        inputs: list[InputSpec] = []
        for given in spec.inputs:
            read = self._read(key, given, crowd.members)
            if read is None:
                inputs.append(given)
                continue
            crowds = [name for name, other in self._crowds_of(given.upstream) if read & other.members]
            inputs += [given.on(slot(given.upstream, name)) for name in crowds]
        if crowd.like is not None:
            inputs.append(InputSpec("", slot(key, crowd.like), "order"))
        name = slot(key, partition)
        return replace(spec, key=name, node=slot(AssetKey(spec.node), partition), inputs=tuple(inputs))


def sides_of(graph: AssetGraph, now: datetime) -> dict[AssetKey, Side]:
    """The assets with partitions, each with those that exist at `now`: one that needs more than exists does not yet."""
    sides: dict[AssetKey, Side] = {}
    short: set[AssetKey] = set()
    for key, spec in graph.specs.items():
        if spec.partitions is None:
            continue
        sides[key] = Side(spec.partitions, spec.partitions.keys_until(now))
        inputs = [given for given in spec.inputs if given.need is not None or given.upstream in short]
        if inputs and (waiting := _waiting(sides, key, inputs)):
            short.add(key)
            sides[key] = Side(spec.partitions, sides[key].existing - waiting)
    return sides


def _waiting(sides: MappingOf[AssetKey, Side], key: AssetKey, inputs: Iterable[InputSpec]) -> Ordinals:
    """The partitions for which one of the inputs does not have enough yet; without `need`, not a single one."""
    down, waiting = sides[key], EMPTY
    for given in inputs:
        up = sides[given.upstream]
        mapping = mapping_of(given, up.definition, down.definition)
        need = given.need or (0 if given.optional or given.looks_back else 1)
        missing = mapping.upstream(down.existing, up, down) - up.existing
        for one in mapping.downstream(missing, up, down) if missing else ():
            own = Ordinals.run(one, one + 1)
            if not enough(need, mapping.upstream(own, up, down), up.existing):
                waiting |= own
    return waiting


def mapping_of(given: InputSpec, up: Definition, down: Definition | None) -> Mapping:
    """How the partitions of an upstream belong to those of an asset that takes it: as is said, by key, or by time.

    Raises:
        BadDeclaration: they do not belong together.
    """
    said = TimeWindow(*given.window) if given.window != (0, 0) else given.partitions
    return fitted(said, up, _WHOLE.definition if down is None else down)


def narrowed(graph: AssetGraph, targets: Sequence[AssetKey]) -> tuple[AssetKey, ...]:
    """The targets of a run for some partitions, without assets that have none and are made of all those of others.

    Raises:
        UsageError: nothing is left.
    """
    below: set[AssetKey] = set()
    for key in graph.order:
        if any(up in below or graph.specs[up].partitions is not None for up in graph.upstream(key)):
            below.add(key)
    found = tuple(key for key in targets if graph.specs[key].partitions is not None or key not in below)
    if targets and not found:
        raise UsageError(
            f"{targets[0]} is made of all partitions of what it reads, and has none itself", fix="leave -p out"
        )
    return found


class Asked:
    """The partitions that a user's text names, of whatever asset it is asked; all that exist without a text.

    `tick:2026-03-02T06:00Z` names of each the newest that there was at that instant; `is:missing` and `is:stale` are
    those that were `found` to be so. Of a list, each asset takes what is a partition of it: `JFK,2026-01-05` is one of
    an asset of airports, and one of those of days. What `each_of` gives names others of each asset.
    """

    def __init__(self, text: str | None, now: datetime, found: MappingOf[AssetKey, Ordinals]) -> None:
        self._text, self._now, self._found = text, now, found
        self._instant, self._own = None if text is None else _tick(text), of_each(text)
        self._meant, self._refused = set[str](), dict[str, UsageError]()

    def __call__(self, key: AssetKey, definition: Definition, existing: Ordinals) -> Ordinals:
        """What is named of an asset.

        Raises:
            UsageError: nothing is.
        """
        if self._text is None:
            return existing
        if names_state(self._text):
            return self._found.get(key, EMPTY)
        if self._instant is not None:
            return newest_at(definition, self._instant)
        if self._own is not None:
            return self._named(key, definition, [self._own[key]]) if key in self._own else EMPTY
        items = [item for item in self._text.split(",") if item.strip()]
        return self._named(key, definition, items or [self._text])

    def refuse_unmeant(self) -> None:
        """Refuse what was named and is nothing of any of the assets that were asked for.

        Raises:
            UsageError: for the first such item of the list.
        """
        error = next((error for item, error in self._refused.items() if item not in self._meant), None)
        if error is not None:
            raise error

    def _named(self, key: AssetKey, definition: Definition, items: Sequence[str]) -> Ordinals:
        found, errors = EMPTY, list[UsageError]()
        for item in items:
            try:
                found |= definition.parse(item, self._now)
                self._meant.add(item)
            except UsageError as error:
                named = UsageError(f"{key}: {error.what}", facts=error.facts, fix=error.fix)
                self._refused.setdefault(item, named)
                errors.append(named)
        if errors and not found:
            raise errors[0]
        return found


def asked_for(text: str | None, now: datetime, found: MappingOf[AssetKey, Ordinals] = MappingProxyType({})) -> Asked:
    """What says of each asset which of its partitions are meant by a user's text."""
    return Asked(text, now, found)


def each_of(parts: MappingOf[AssetKey, str]) -> str:
    """One text for a run of other partitions of each asset, each named as after `-p`."""
    return _EACH + json.dumps(parts, sort_keys=True)


def of_each(text: str | None) -> dict[AssetKey, str] | None:
    """What `each_of` was given; None of another text."""
    if text is None or not text.startswith(_EACH):
        return None
    try:
        found = json.loads(text.removeprefix(_EACH))
        return {AssetKey(key): str(own) for key, own in found.items()}
    except (ValueError, AttributeError) as error:
        raise UsageError(f"`{text}` names no partitions", fix="-p 2026-01-01..2026-01-31") from error


def names_state(text: str | None) -> bool:
    """Whether a text names partitions by what they are, `is:missing` or `is:stale`, and not by their keys.

    Raises:
        UsageError: partitions cannot be named by that state.
    """
    if text is None or not text.strip().startswith("is:"):
        return False
    if text.strip() not in (MISSING, STALE):
        raise UsageError(f"`{text}` names no partitions", fix=f"-p {MISSING}, or -p {STALE}")
    return True


def newest_at(definition: Definition, instant: datetime) -> Ordinals:
    """The newest partition of time that there was at an instant; of a product all that have it, of a list all."""
    if isinstance(definition, TimeDefinition):
        return definition.keys_until(instant).newest(1)
    if isinstance(definition, Multi) and any(isinstance(axis, TimeDefinition) for axis in definition.axes.values()):
        return definition.of({name: newest_at(axis, instant) for name, axis in definition.axes.items()})
    return definition.keys_until(instant)


def _tick(text: str) -> datetime | None:
    word, colon, time = text.partition(":")
    if word.strip() != TICK or not colon:
        return None
    try:
        found = datetime.fromisoformat(time)
    except ValueError as error:
        raise UsageError(f"`{text}` names no instant", fix=f"-p {TICK}:2026-03-02T06:00Z") from error
    if found.tzinfo is None:
        raise UsageError(f"`{text}` does not say in which zone", fix=f"-p {TICK}:{time}Z")
    return found
