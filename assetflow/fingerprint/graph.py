"""Digests over a graph that may contain cycles: every node's digest says what it reaches, not where it stands.

Components are handled callees first (Tarjan's algorithm, iterative). Inside a cycle, digests are refined in as many
rounds as it has members: by then two members differ if anything that can be reached from them differs.
"""

from __future__ import annotations

from collections.abc import Sequence

from assetflow.fingerprint.hashing import digest

Edges = Sequence[Sequence[tuple[str, int]]]


def reachable(root: int, edges: Edges) -> list[int]:
    """The nodes that can be reached from `root`, itself first, in the order in which labels lead to them."""
    seen = {root: None}
    waiting = [root]
    while waiting:
        node = waiting.pop()
        for _, target in sorted(edges[node]):
            if target not in seen:
                seen[target] = None
                waiting.append(target)
    return list(seen)


def closure_digests(root: int, edges: Edges, local: Sequence[str], done: dict[int, str]) -> None:
    """Put the digests of `root` and of all it reaches into `done`; those that are there already stay."""
    for component in _components(root, edges, done):
        inside = set(component)
        colours = {member: digest("start", local[member].encode()) for member in component}
        looped = len(component) > 1 or any(target in inside for _, target in edges[component[0]])
        for _ in range(len(component) if looped else 1):
            colours = {
                member: digest(
                    "closure",
                    local[member].encode(),
                    *sorted({f"{label}\0{colours.get(to) or done[to]}".encode() for label, to in edges[member]}),
                )
                for member in component
            }
        done.update(colours)


def _components(root: int, edges: Edges, done: dict[int, str]) -> list[list[int]]:
    """The strongly connected components that `root` reaches, each after those that it refers to."""
    if root in done:
        return []
    order: dict[int, int] = {root: 0}
    low: dict[int, int] = {root: 0}
    stack, on_stack = [root], {root}
    path: list[tuple[int, int]] = [(root, 0)]
    found: list[list[int]] = []
    while path:
        node, place = path.pop()
        if place < len(edges[node]):
            path.append((node, place + 1))
            target = edges[node][place][1]
            if target in done:
                continue
            if target not in order:
                order[target] = low[target] = len(order)
                stack.append(target)
                on_stack.add(target)
                path.append((target, 0))
            elif target in on_stack:
                low[node] = min(low[node], order[target])
            continue
        if path:
            parent = path[-1][0]
            low[parent] = min(low[parent], low[node])
        if low[node] == order[node]:
            cut = stack.index(node)
            component = stack[cut:]
            del stack[cut:]
            on_stack.difference_update(component)
            found.append(component)
    return found
