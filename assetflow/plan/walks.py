"""Walks over the graph of a plan: what belongs to it, and in which order it is decided."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator

from assetflow.model.keys import AssetKey
from assetflow.plan.graph import AssetGraph


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


def siblings(graph: AssetGraph) -> dict[str, list[AssetKey]]:
    """The assets that each function makes, by node."""
    by_node: defaultdict[str, list[AssetKey]] = defaultdict(list)
    for key, spec in graph.specs.items():
        by_node[spec.node].append(key)
    return by_node


def by_function(graph: AssetGraph, members: list[AssetKey]) -> Iterator[list[AssetKey]]:
    """The members, outputs of one function together, each group after all that any of its assets takes."""
    by_node = siblings(graph)
    inside, done, opened = set(members), set[str](), set[str]()
    for member in members:
        waiting = [] if graph.specs[member].node in done else [graph.specs[member].node]
        while waiting:
            node = waiting[-1]
            together = [key for key in by_node[node] if key in inside]
            above = {graph.specs[up].node for key in together for up in graph.upstream(key) if up in inside}
            # Outputs differ in what their checks read, so one of them may need what stands later in the order.
            needed = above - done - {node} if node not in opened else ()
            opened.add(node)
            if needed:
                waiting.extend(needed)
                continue
            waiting.pop()
            if node not in done:
                done.add(node)
                yield together
