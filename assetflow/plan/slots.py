"""A graph of asset partitions: each one that is asked for, and those that it needs, as a node of its own.

The graph of a project has one node for each asset. Planner and runner work on nodes, so an asset with partitions is
replaced by its slots; a project without partitions is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping as MappingOf, Sequence
from dataclasses import replace
from datetime import datetime

from assetflow.errors import UsageError
from assetflow.model.automation import TICK
from assetflow.model.keys import AssetKey, slot
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.partitions.axes import fitted
from assetflow.partitions.definition import Definition
from assetflow.partitions.mappings import Mapping, Side, TimeWindow
from assetflow.partitions.multi import Multi
from assetflow.partitions.ordinals import Ordinals
from assetflow.partitions.windows import TimeDefinition
from assetflow.plan.graph import AssetGraph, Slots


def slots_of(
    graph: AssetGraph,
    targets: Sequence[AssetKey],
    wanted: Callable[[AssetKey, Definition, Ordinals], Ordinals],
    now: datetime,
) -> Slots:
    """The slots of the targets and of all that they need, in the place of the assets of a project.

    `wanted(key, definition, existing)` says which partitions of a target are meant. An asset without partitions needs
    all that exist at `now` of an upstream with some; one with partitions needs what its windows say, as far as that
    exists. Linear in slots and edges.

    Raises:
        UsageError: an asset needs a partition of an upstream that has none there.
    """
    expansion = _Expansion(graph, now)
    chosen = {key: expansion.chosen(key, wanted) for key in targets}
    needed = expansion.needed(chosen)
    specs = [one for key in graph.order if key in needed for one in expansion.specs(key, needed[key])]
    names = tuple(slot(key, partition) for key, own in chosen.items() for partition in expansion.keys(key, own))
    return Slots(AssetGraph(specs), names)


class _Expansion:
    """What is known of the partitions of a graph at one instant, and how the ends of each edge belong together."""

    def __init__(self, graph: AssetGraph, now: datetime) -> None:
        self._graph = graph
        self._sides = {
            key: Side(spec.partitions, spec.partitions.keys_until(now))
            for key, spec in graph.specs.items()
            if spec.partitions is not None
        }
        self._mappings: dict[tuple[AssetKey, InputSpec], Mapping] = {}

    def chosen(self, key: AssetKey, wanted: Callable[[AssetKey, Definition, Ordinals], Ordinals]) -> Ordinals | None:
        """What is meant of a target: some of its partitions, or None for one that has no partitions."""
        side = self._sides.get(key)
        return None if side is None else wanted(key, side.definition, side.existing) & side.existing

    def keys(self, key: AssetKey, own: Ordinals | None) -> Iterable[str]:
        """The keys of these partitions; one empty text for an asset without."""
        return ("",) if own is None else self._sides[key].definition.keys(own)

    def needed(self, chosen: MappingOf[AssetKey, Ordinals | None]) -> dict[AssetKey, Ordinals | None]:
        """What is needed of each asset for what is chosen, in the way of `chosen`."""
        together: dict[str, list[AssetKey]] = {}
        for key, spec in self._graph.specs.items():
            together.setdefault(spec.node, []).append(key)
        found: dict[AssetKey, Ordinals | None] = {}

        def need(key: AssetKey, ordinals: Ordinals | None) -> None:
            for one in together[self._graph.specs[key].node]:  # outputs of one function are made together
                before = found.get(one)
                found[one] = ordinals if before is None or ordinals is None else before | ordinals

        for key, own in chosen.items():
            need(key, own)
        for key in reversed(self._graph.order):
            if key in found:
                own = found[key]
                for given in self._graph.specs[key].inputs:
                    need(given.upstream, self._read(key, given, own))
        return found

    def specs(self, key: AssetKey, own: Ordinals | None) -> Iterable[AssetSpec]:
        """The spec of each of these partitions, or that of an asset without, with slots in the place of upstreams."""
        spec = self._graph.specs[key]
        if own is None:
            yield self._on_slots(key, spec, None)
            return
        for ordinal, partition in zip(own, self.keys(key, own), strict=True):
            found = replace(spec, key=slot(key, partition), node=slot(AssetKey(spec.node), partition))
            yield self._on_slots(key, found, Ordinals.run(ordinal, ordinal + 1))

    def _read(self, key: AssetKey, given: InputSpec, own: Ordinals | None) -> Ordinals | None:
        """The partitions that these of an asset read by one input; None of an upstream without partitions."""
        up, down = self._sides.get(given.upstream), self._sides.get(key)
        if up is None or down is None or own is None:
            return None if up is None else up.existing
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
            if not read and given.parameter:
                raise UsageError(
                    f"{spec.key} reads {given.upstream}, which has no partition there",
                    fix=f"leave it out, or begin {given.upstream} earlier",
                )
            inputs += [replace(given, upstream=slot(given.upstream, name)) for name in self.keys(given.upstream, read)]
        return replace(spec, inputs=tuple(inputs))


def mapping_of(given: InputSpec, up: Definition, down: Definition) -> Mapping:
    """How the partitions of an upstream belong to those of an asset that takes it: by their keys, or by their time.

    Raises:
        BadDeclaration: they do not belong together.
    """
    return fitted(TimeWindow(*given.window) if given.window != (0, 0) else None, up, down)


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


def asked_for(text: str | None, now: datetime) -> Callable[[AssetKey, Definition, Ordinals], Ordinals]:
    """The partitions that a user's text names, of whatever asset it is asked; all that exist without a text.

    `tick:2026-03-02T06:00Z` names of each the newest that there was at that instant.
    """
    instant = None if text is None else _tick(text)

    def wanted(key: AssetKey, definition: Definition, existing: Ordinals) -> Ordinals:
        if text is None:
            return existing
        if instant is not None:
            return newest_at(definition, instant)
        try:
            return definition.parse(text, now)
        except UsageError as error:
            raise UsageError(f"{key}: {error.what}", facts=error.facts, fix=error.fix) from error

    return wanted


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
