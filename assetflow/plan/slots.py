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
from assetflow.partitions.mappings import Mapping, Side, TimeWindow
from assetflow.partitions.ordinals import EMPTY, Ordinals
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
    existing = {
        key: spec.partitions.keys_until(now) for key, spec in graph.specs.items() if spec.partitions is not None
    }
    needed = _needed(graph, targets, wanted, existing)
    specs = [one for key in graph.order if key in needed for one in _specs(graph, key, needed, existing)]
    names = tuple(
        slot(key, partition) for key in targets for partition in _partitions(graph.specs[key], wanted, existing)
    )
    return Slots(AssetGraph(specs), names)


def _partitions(
    spec: AssetSpec,
    wanted: Callable[[AssetKey, Definition, Ordinals], Ordinals],
    existing: MappingOf[AssetKey, Ordinals],
) -> Iterable[str]:
    if spec.partitions is None:
        return ("",)
    return spec.partitions.keys(wanted(spec.key, spec.partitions, existing[spec.key]) & existing[spec.key])


def _needed(
    graph: AssetGraph,
    targets: Iterable[AssetKey],
    wanted: Callable[[AssetKey, Definition, Ordinals], Ordinals],
    existing: MappingOf[AssetKey, Ordinals],
) -> dict[AssetKey, Ordinals | None]:
    """What is needed of each asset: some of its partitions, or None for one that has no partitions."""
    together: dict[str, list[AssetKey]] = {}
    for key, spec in graph.specs.items():
        together.setdefault(spec.node, []).append(key)
    needed: dict[AssetKey, Ordinals | None] = {}

    def need(key: AssetKey, ordinals: Ordinals | None) -> None:
        for one in together[graph.specs[key].node]:  # outputs of one function are made together
            before = needed.get(one)
            needed[one] = ordinals if before is None or ordinals is None else before | ordinals

    for key in targets:
        definition = graph.specs[key].partitions
        need(key, None if definition is None else wanted(key, definition, existing[key]) & existing[key])
    for key in reversed(graph.order):
        if key not in needed:
            continue
        own = needed[key]
        for given in graph.specs[key].inputs:
            need(given.upstream, _read(graph, key, given, own, existing))
    return needed


def _read(
    graph: AssetGraph,
    key: AssetKey,
    given: InputSpec,
    own: Ordinals | None,
    existing: MappingOf[AssetKey, Ordinals],
) -> Ordinals | None:
    """The partitions that these partitions of an asset read by one input; None of an upstream without partitions."""
    up, down = graph.specs[given.upstream].partitions, graph.specs[key].partitions
    if up is None:
        return None
    if down is None or own is None:
        return existing[given.upstream]
    sides = Side(up, existing[given.upstream]), Side(down, existing[key])
    return mapping_of(given, up, down).upstream(own, *sides) & existing[given.upstream]


def mapping_of(given: InputSpec, up: Definition, down: Definition) -> Mapping:
    """How the partitions of an upstream belong to those of an asset that takes it: by their keys, or by their time.

    Raises:
        BadDeclaration: they do not belong together.
    """
    return fitted(TimeWindow(*given.window) if given.window != (0, 0) else None, up, down)


def _specs(
    graph: AssetGraph,
    key: AssetKey,
    needed: MappingOf[AssetKey, Ordinals | None],
    existing: MappingOf[AssetKey, Ordinals],
) -> Iterable[AssetSpec]:
    spec, own = graph.specs[key], needed[key]
    if spec.partitions is None or own is None:
        yield _on_slots(graph, spec, "", None, existing)
        return
    for ordinal in own:
        partition = spec.partitions.key(ordinal)
        found = replace(spec, key=slot(key, partition), node=slot(AssetKey(spec.node), partition))
        yield _on_slots(graph, found, key, Ordinals.run(ordinal, ordinal + 1), existing)


def _on_slots(
    graph: AssetGraph, spec: AssetSpec, asset: str, own: Ordinals | None, existing: MappingOf[AssetKey, Ordinals]
) -> AssetSpec:  # fmt: skip
    """The spec with the slots of its upstreams in their place."""
    if all(graph.specs[given.upstream].partitions is None for given in spec.inputs):
        return spec
    inputs: list[InputSpec] = []
    for given in spec.inputs:
        definition = graph.specs[given.upstream].partitions
        if definition is None:
            inputs.append(given)
            continue
        read = _read(graph, AssetKey(asset or spec.key), given, own, existing) or EMPTY
        if not read and given.parameter:
            raise UsageError(
                f"{spec.key} reads {given.upstream}, which has no partition there",
                fix=f"leave it out, or begin {given.upstream} earlier",
            )
        inputs += [replace(given, upstream=slot(given.upstream, name)) for name in definition.keys(read)]
    return replace(spec, inputs=tuple(inputs))


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
