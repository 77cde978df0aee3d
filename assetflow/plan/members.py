"""What belongs to a plan."""

from __future__ import annotations

from collections.abc import Container

from assetflow.model.keys import AssetKey
from assetflow.plan.graph import AssetGraph
from assetflow.plan.together import siblings


def members_of(
    graph: AssetGraph, targets: tuple[AssetKey, ...], pinned: Container[AssetKey], *, with_upstream: bool
) -> list[AssetKey]:
    """The targets, what is made together with them, and what they need; what is pinned needs nothing."""
    by_node = siblings(graph)
    found: set[AssetKey] = set()
    waiting = list(targets)
    while waiting:
        key = waiting.pop()
        if key in found:
            continue
        found.add(key)
        waiting.extend(by_node.pop(graph.specs[key].node, ()))
        if key in pinned:
            continue
        if with_upstream:
            waiting.extend(graph.upstream(key))
        else:
            waiting.extend(up for up in graph.upstream(key) if graph.specs[up].is_source)
    return [key for key in graph.order if key in found]
