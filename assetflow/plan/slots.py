"""A graph of asset partitions: each one that is asked for, and those that it needs, as a node of its own.

The graph of a project has one node for each asset. Planner and runner work on nodes, so an asset with partitions is
replaced by its slots; a project without partitions is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping as MappingOf, Sequence
from dataclasses import replace
from datetime import datetime

from assetflow.errors import UsageError
from assetflow.model.keys import AssetKey, slot
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.partitions.axes import fitted
from assetflow.partitions.definition import Definition
from assetflow.partitions.mappings import Mapping, Side, TimeWindow, enough
from assetflow.partitions.named import Whole
from assetflow.partitions.ordinals import EMPTY, Ordinals
from assetflow.partitions.paths import path_of
from assetflow.plan.graph import AssetGraph, Slots, is_own_past

_WHOLE = Side(Whole(), Ordinals.run(0, 1))


def slots_of(
    graph: AssetGraph,
    targets: Sequence[AssetKey],
    wanted: Callable[[AssetKey, Definition, Ordinals], Ordinals],
    now: datetime,
) -> Slots:
    """The slots of the targets and of all that they need, in the place of the assets of a project.

    `wanted(key, definition, existing)` says which partitions of a target are meant. An asset without partitions needs
    all that exist at `now` of an upstream with some; one with partitions needs what its windows say, as far as that
    exists. A partition that needs more than exists (`In(need=)`) does not exist yet. Linear in slots and edges.

    Raises:
        UsageError: an asset needs a partition of an upstream that has none there, or is to be made before it exists.
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
        self._waiting: dict[AssetKey, Ordinals] = {}
        for key in graph.order:
            inputs = [one for one in graph.specs[key].inputs if one.need is not None or one.upstream in self._waiting]
            if inputs and key in self._sides:
                self._wait(key, inputs)

    def _wait(self, key: AssetKey, inputs: Iterable[InputSpec]) -> None:
        """Leave out the partitions for which one of the inputs does not have enough yet; without `need`, not one."""
        down = self._sides[key]
        waiting = EMPTY
        for given in inputs:
            up, mapping = self._sides[given.upstream], self._mapping(key, given)
            need = given.need or (0 if given.optional or given.looks_back else 1)
            missing = mapping.upstream(down.existing, up, down) - up.existing
            for one in mapping.downstream(missing, up, down) if missing else ():
                if not enough(need, mapping.upstream(Ordinals.run(one, one + 1), up, down), up.existing):
                    waiting |= Ordinals.run(one, one + 1)
        if waiting:
            self._waiting[key] = waiting
            self._sides[key] = Side(down.definition, down.existing - waiting)

    def chosen(self, key: AssetKey, wanted: Callable[[AssetKey, Definition, Ordinals], Ordinals]) -> Ordinals | None:
        """What is meant of a target: some of its partitions, or None for one that has no partitions."""
        side = self._sides.get(key)
        if side is None:
            return None
        meant = wanted(key, side.definition, side.existing)
        if meant and not meant & side.existing and (waiting := meant & self._waiting.get(key, EMPTY)):
            name = slot(key, side.definition.key(waiting.first))
            fix = "wait for them, or make it with fewer: In(need=)"
            raise UsageError(f"{name} needs more partitions of what it reads than exist by now", fix=fix)
        return meant & side.existing

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
                need(key, self._with_own_past(key, found[key]))
                own = found[key]
                for given in self._graph.specs[key].inputs:
                    need(given.upstream, self._read(key, given, own))
        return found

    def _with_own_past(self, key: AssetKey, own: Ordinals | None) -> Ordinals | None:
        """These partitions, and those before them that they are made from, one from the other."""
        spec = self._graph.specs[key]
        past = [given for given in spec.inputs if is_own_past(given, spec, self._graph.specs)]
        new = own if past else None
        while own is not None and new:
            new = Ordinals.joined(
                span for given in past for span in (self._read(key, given, new) or EMPTY).spans
            ) - own  # fmt: skip
            own |= new
        return own

    def specs(self, key: AssetKey, own: Ordinals | None) -> Iterable[AssetSpec]:
        """The spec of each of these partitions, or that of an asset without, with slots in the place of upstreams."""
        spec = self._graph.specs[key]
        if own is None:
            yield self._on_slots(key, spec, None)
            return
        for ordinal, partition in zip(own, self.keys(key, own), strict=True):
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
        return self._mapping(key, given).upstream(own, up, down) & up.existing

    def _mapping(self, key: AssetKey, given: InputSpec) -> Mapping:
        """How the ends of an edge belong together, found once for each."""
        if (key, given) not in self._mappings:
            up, down = self._sides[given.upstream], self._sides.get(key, _WHOLE)
            self._mappings[key, given] = mapping_of(given, up.definition, down.definition)
        return self._mappings[key, given]

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
                raise UsageError(
                    f"{spec.key} reads {given.upstream}, which has no partition there",
                    fix=f"give `{given.parameter}` a default, leave it out, or begin {given.upstream} earlier",
                )
            inputs += [given.on(slot(given.upstream, name)) for name in self.keys(given.upstream, read)]
        return replace(spec, inputs=tuple(inputs))


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


def asked_for(text: str | None, now: datetime) -> Callable[[AssetKey, Definition, Ordinals], Ordinals]:
    """The partitions that a user's text names, of whatever asset it is asked; all that exist without a text."""

    def wanted(key: AssetKey, definition: Definition, existing: Ordinals) -> Ordinals:
        if text is None:
            return existing
        try:
            return definition.parse(text, now)
        except UsageError as error:
            raise UsageError(f"{key}: {error.what}", facts=error.facts, fix=error.fix) from error

    return wanted
