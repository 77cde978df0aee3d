"""Digests over a graph that may contain cycles: every node's digest says what it reaches, not where it stands.

Components are handled callees first (Tarjan's algorithm, iterative). Edges are sorted by their labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from assetflow.fingerprint.hashing import digest

Edges = Sequence[Sequence[tuple[str, int]]]


def reachable(root: int, edges: Edges) -> list[int]:
    """The nodes that can be reached from `root`, itself first, in the order in which labels lead to them."""
    seen = {root: None}
    waiting = [root]
    while waiting:
        for _, target in edges[waiting.pop()]:
            if target not in seen:
                seen[target] = None
                waiting.append(target)
    return list(seen)


def closure_digests(root: int, edges: Edges, local: Sequence[str], done: dict[int, str]) -> None:
    """Put the digests of `root` and of all it reaches into `done`; those that are there already stay."""
    for component in _components(root, edges, done):
        first = component[0]
        if len(component) == 1 and all(target != first for _, target in edges[first]):
            done[first] = digest("closure", local[first].encode(), *_links(first, edges, done))
        else:
            done.update(_of_cycle(component, edges, local, done))


def _of_cycle(component: list[int], edges: Edges, local: Sequence[str], done: Mapping[int, str]) -> dict[int, str]:
    """Refine the digests of a cycle's members until no two that look alike lead to what looks different.

    The members then stand for the states of the smallest machine that does what the cycle does. Its whole table goes
    into every digest, so that equal digests mean equal cycles.
    """
    colours = {member: digest("start", local[member].encode()) for member in component}
    count = len(set(colours.values()))
    while True:
        table = {
            member: digest("step", local[member].encode(), *_links(member, edges, colours, done))
            for member in component
        }
        fresh = len(set(table.values()))
        if fresh == count:
            break
        colours, count = table, fresh
    rows = {digest("row", colours[member].encode(), table[member].encode()) for member in component}
    whole = digest("cycle", *(row.encode() for row in sorted(rows)))
    return {member: digest("member", whole.encode(), table[member].encode()) for member in component}


def _links(member: int, edges: Edges, colours: Mapping[int, str], done: Mapping[int, str] | None = None) -> list[bytes]:
    found = {f"{label}\0{colours[to] if done is None or to in colours else done[to]}" for label, to in edges[member]}
    return [one.encode("utf-8", "surrogatepass") for one in sorted(found)]


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
