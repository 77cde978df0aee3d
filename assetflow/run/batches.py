"""Partitions that are made in one call: those of a plan that stand side by side, as far as their asset says so."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from msgspec.structs import replace

from assetflow.load.live import Loaded
from assetflow.load.slotted import with_slots
from assetflow.model.keys import AssetKey, slot, split_slot
from assetflow.model.spec import AssetSpec
from assetflow.plan.planner import Plan, Step, World
from assetflow.plan.staleness import Action


def in_batches(plan: Plan, world: World, loaded: Loaded) -> tuple[Plan, World, Loaded]:
    """The same plan with one function for several partitions, where an asset has `batch=`.

    Only partitions that will or may run come together, and only such as stand side by side, so that a call is for a
    range. What of a batch turns out to be current is left out of the call.
    """
    by_asset: defaultdict[AssetKey, list[Step]] = defaultdict(list)
    for step in plan:
        key = split_slot(step.asset)[0]
        node = loaded.nodes.get(split_slot(AssetKey(step.spec.node))[0])
        if node is not None and node.batch is not None and step.action in (Action.RUN, Action.MAYBE):
            by_asset[key].append(step)
    changed = [spec for key, steps in by_asset.items() for spec in _together(key, steps, loaded)]
    if not changed:
        return plan, world, loaded
    steps = dict(plan.steps)
    steps.update((one.key, replace(plan.steps[one.key], spec=one)) for one in changed)
    return (
        replace(plan, steps=steps),
        replace(world, graph=world.graph.having(changed)),
        with_slots(loaded, changed),
    )


def _together(key: AssetKey, steps: list[Step], loaded: Loaded) -> Iterator[AssetSpec]:
    """The specs of these partitions, with one node for each run of them that has at most as many as a call takes."""
    base = split_slot(AssetKey(steps[0].spec.node))[0]
    batch = loaded.nodes[base].batch
    definition = steps[0].spec.partitions
    assert batch is not None, "only assets with batch= come here"
    assert definition is not None, "and they have partitions"
    by_ordinal = {definition.ordinal(step.partition): step.spec for step in steps}
    own = definition.ordinals(step.partition for step in steps)
    for low, high in own.spans:
        size = batch.size or high - low
        for first in range(low, high, size):
            last = min(first + size, high)
            name = slot(base, definition.run_text(first, last))
            yield from (replace(by_ordinal[ordinal], node=name) for ordinal in range(first, last))
