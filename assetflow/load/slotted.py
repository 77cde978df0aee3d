"""Functions as they are called for one partition: what their parameters get, and what their outputs are called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from assetflow.load.live import Batch, Binding, LiveNode, LiveOutput, Loaded
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.spec import AssetSpec, InputSpec

if TYPE_CHECKING:
    from assetflow.model.context import Partition


def with_slots(loaded: Loaded, specs: Iterable[AssetSpec]) -> Loaded:
    """The project with the functions of these specs of a graph of slots, beside those of the whole assets."""
    if all(spec.partitions is None for spec in loaded.specs):
        return loaded
    found = dict(loaded.nodes)
    for node, together in _by_node(specs).items():
        base = split_slot(AssetKey(node))[0]
        whole = loaded.nodes.get(base)
        if whole is not None and (node != base or _has_others(whole, together)):
            found[node] = _slotted(whole, together)
    return replace(loaded, nodes=found)


def _has_others(node: LiveNode, specs: Sequence[AssetSpec]) -> bool:
    """Whether a function takes slots, or nothing of an upstream of which there are none."""
    if any(_is_slot(one) for spec in specs for one in spec.inputs):
        return True
    taken = {one.parameter for one in specs[0].inputs}
    return any(one.kind == "asset" and one.parameter not in taken for one in node.bindings)


def _by_node(specs: Iterable[AssetSpec]) -> Mapping[str, list[AssetSpec]]:
    found: defaultdict[str, list[AssetSpec]] = defaultdict(list)
    for spec in specs:
        if not spec.is_source:
            found[spec.node].append(spec)
    return found


def _is_slot(given: InputSpec) -> bool:
    return split_slot(given.upstream)[1] != ""


def _slotted(node: LiveNode, specs: list[AssetSpec]) -> LiveNode:
    calls = [specs] if node.batch is None else [[spec] for spec in specs]  # the specs of each partition
    read: defaultdict[str, dict[AssetKey, None]] = defaultdict(dict)
    for given in (given for call in calls for given in call[0].inputs):
        if given.parameter:
            read[given.parameter][given.upstream] = None
    named = [{split_slot(spec.key)[0]: spec.key for spec in call} for call in calls]
    return replace(
        node,
        outputs=tuple(_output(one, names) for names in named for one in node.outputs),
        bindings=tuple(_binding(one, [*read.get(one.parameter, ())]) for one in node.bindings),
        partition=_range_of([partition_of(call[0]) for call in calls]),
        batch=_batch_of(node, specs[0]),
    )


def _batch_of(node: LiveNode, spec: AssetSpec) -> Batch | None:
    """What is made in one call, with the keys of now of dynamic partitions."""
    if node.batch is None or spec.partitions is None:
        return node.batch
    return replace(node.batch, definition=spec.partitions)


def node_of(loaded: Loaded, name: str, slots: Iterable[AssetSpec]) -> LiveNode:
    """The function of a task. Of several partitions in one call it makes those that the task has `slots` for."""
    node = loaded.nodes[name]
    if node.batch is None:
        return node
    return _slotted(loaded.nodes[split_slot(AssetKey(name))[0]], [spec for spec in slots if not spec.is_source])


def _range_of(made: Sequence[Partition | None]) -> Partition | None:
    """What a call is told to make: one partition, or several that stand side by side."""
    first, last = made[0], made[-1]
    if first is None or last is None:
        return None
    from assetflow.model.context import Partition

    if len(made) == 1:
        return replace(first, keys=(first.key,))
    common = {name: key for name, key in first.axes.items() if all(one and one.axes[name] == key for one in made)}
    keys = tuple(one.key for one in made if one is not None)
    return Partition(f"{first.key}..{last.key}", first.start, last.end, common, keys)


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
    from assetflow.model.context import Partition
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
