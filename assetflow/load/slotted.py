"""Functions as they are called for one partition: what their parameters get, and what their outputs are called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from zoneinfo import ZoneInfo

from assetflow.load.live import Binding, LiveNode, LiveOutput, Loaded
from assetflow.model.context import Partition
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.spec import AssetSpec, InputSpec


def with_slots(loaded: Loaded, specs: Iterable[AssetSpec]) -> Loaded:
    """The project with the functions of these specs of a graph of slots, beside those of the whole assets."""
    found = dict(loaded.nodes)
    for node, together in _by_node(specs).items():
        base = split_slot(AssetKey(node))[0]
        if base in loaded.nodes and (node != base or any(_is_slot(one) for spec in together for one in spec.inputs)):
            found[node] = _slotted(loaded.nodes[base], together)
    return replace(loaded, nodes=found)


def _by_node(specs: Iterable[AssetSpec]) -> Mapping[str, list[AssetSpec]]:
    found: defaultdict[str, list[AssetSpec]] = defaultdict(list)
    for spec in specs:
        if not spec.is_source:
            found[spec.node].append(spec)
    return found


def _is_slot(given: InputSpec) -> bool:
    return split_slot(given.upstream)[1] != ""


def _slotted(node: LiveNode, specs: list[AssetSpec]) -> LiveNode:
    names = {split_slot(spec.key)[0]: spec.key for spec in specs}
    read: defaultdict[str, list[AssetKey]] = defaultdict(list)
    for given in specs[0].inputs:
        if given.parameter:
            read[given.parameter].append(given.upstream)
    return replace(
        node,
        outputs=tuple(_output(one, names) for one in node.outputs),
        bindings=tuple(_binding(one, read.get(one.parameter, [])) for one in node.bindings),
        partition=partition_of(specs[0]),
    )


def _output(output: LiveOutput, names: Mapping[AssetKey, AssetKey]) -> LiveOutput:
    checks = tuple(
        replace(
            check,
            bindings=tuple(
                replace(one, upstream=names.get(one.upstream, one.upstream)) if one.upstream is not None else one
                for one in check.bindings
            ),
        )
        for check in output.custom_checks
    )
    return replace(output, key=names.get(output.key, output.key), custom_checks=checks)


def _binding(binding: Binding, read: list[AssetKey]) -> Binding:
    if binding.kind != "asset" or binding.upstream is None or read == [binding.upstream]:
        return binding
    if not read:
        return replace(binding, kind="nothing", upstream=None)
    if len(read) == 1:
        return replace(binding, upstream=read[0])
    return replace(binding, upstream=None, parts=tuple(read))


def partition_of(spec: AssetSpec) -> Partition | None:
    """The partition that a spec of a graph of slots stands for; None for an asset without partitions."""
    key = split_slot(spec.key)[1]
    if not key or spec.partitions is None:
        return None
    from assetflow.partitions.multi import Multi
    from assetflow.partitions.windows import TimeDefinition

    definition, axes = spec.partitions, dict[str, str]()
    ordinal, times = definition.ordinal(key), definition
    if isinstance(definition, Multi):
        places = definition.coordinates(ordinal)
        axes = {name: definition.axes[name].key(place) for name, place in places.items()}
        if definition.time_axis is None:
            return Partition(key, axes=axes)
        ordinal, times = places[definition.time_axis], definition.axes[definition.time_axis]
    if not isinstance(times, TimeDefinition):
        return Partition(key, axes=axes)
    window, zone = times.window(ordinal), ZoneInfo(times.tz)
    return Partition(key, window.start.astimezone(zone), window.end.astimezone(zone), axes)
