"""Partitions that were made before an edit, of assets that ask what it is for, and the answer that it is for all."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.model.keys import AssetKey, slot, split_slot
from assetflow.model.policies import ASK, REBUILD
from assetflow.plan.graph import AssetGraph
from assetflow.plan.planner import Plan

if TYPE_CHECKING:
    from assetflow.partitions.definition import Definition

_MOST_RUNS = 3
"""So many runs of partitions are named; of more only the first and the last partition."""


def undecided_names(plan: Plan) -> tuple[str, ...]:
    """What of a plan is undecided, as commands take it: `net[2026-01-01..2026-01-31]`."""
    found: dict[str, list[str]] = {}
    definitions: dict[str, Definition | None] = {}
    for step in plan.undecided:
        asset = split_slot(step.asset)[0]
        found.setdefault(asset, []).append(step.partition)
        definitions[asset] = step.spec.partitions
    names: list[str] = []
    if not found:
        return ()
    from assetflow.partitions.ordinals import Ordinals

    for asset, partitions in found.items():
        definition = definitions[asset]
        assert definition is not None, "only partitions are undecided"
        ordinals = definition.ordinals(partitions)
        if len(ordinals.spans) > _MOST_RUNS:
            ordinals = Ordinals.run(ordinals.spans[0][0], ordinals.spans[-1][1])
        names.append(slot(AssetKey(asset), definition.text(ordinals)))
    return tuple(names)


def rebuilding(graph: AssetGraph, targets: Collection[AssetKey]) -> AssetGraph:
    """The graph in which edits of these assets are for all of their partitions, where they ask."""
    asking = [
        replace(spec, cue=replace(cue, on_code_change=REBUILD))
        for key in targets
        if (cue := (spec := graph.specs[key]).cue) is not None and cue.on_code_change == ASK
    ]
    return graph.having(asking)
