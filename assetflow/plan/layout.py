"""Where the boxes of a lineage go: layers from left to right, few crossings, straight edges.

Source: the layered method of Sugiyama, Tagawa and Toda (1981): layers by longest path, invisible stops where an edge
crosses a layer, orders by barycentre, then heights as close to the neighbours as the order allows (least squares by
pooling adjacent violators). Every step is a fixed number of passes over assets and edges.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

_SWEEPS = 12
_BOX_GAP = 62.0
_STOP_GAP = 22.0


class Layout(Struct, frozen=True):
    """Layer and height (of the middle) of each node, and for each edge the stops between its ends as such pairs."""

    layers: list[int]
    heights: list[float]
    stops: list[list[tuple[int, float]]]


def layered(count: int, edges: Sequence[tuple[int, int]]) -> Layout:
    """The layout of `count` nodes in topological order with `edges` from lower to higher numbers."""
    layers = _layers(count, edges)
    chains, node_layers = _with_stops(layers, edges)
    total = len(node_layers)
    left: list[list[int]] = [[] for _ in range(total)]
    right: list[list[int]] = [[] for _ in range(total)]
    for chain in chains:
        for one, other in pairwise(chain):
            right[one].append(other)
            left[other].append(one)
    rows: list[list[int]] = [[] for _ in range(max(node_layers, default=-1) + 1)]
    for node in _walk_order(total, left, right):
        rows[node_layers[node]].append(node)
    rows = _untangled(rows, left, right)
    heights = _heights(rows, left, right, count)
    stops = [[(node_layers[node], heights[node]) for node in chain[1:-1]] for chain in chains]
    return Layout(layers, heights[:count], stops)


def _layers(count: int, edges: Sequence[tuple[int, int]]) -> list[int]:
    """One more than the highest layer upstream; what has nothing upstream stands just before what first takes it."""
    layers = [0] * count
    nearest = [count] * count
    has_upstream = [False] * count
    for one, other in sorted(edges):  # sorted by the upstream, so its layer is final when it is used
        layers[other] = max(layers[other], layers[one] + 1)
        has_upstream[other] = True
    for one, other in edges:
        nearest[one] = min(nearest[one], layers[other])
    for node in range(count):
        if not has_upstream[node] and nearest[node] < count:
            layers[node] = nearest[node] - 1
    return layers


def _with_stops(layers: list[int], edges: Sequence[tuple[int, int]]) -> tuple[list[list[int]], list[int]]:
    """Each edge as a chain of nodes, one in every layer that it crosses, and the layers of nodes old and new.

    Long edges beyond a budget go straight, so that stops never outnumber assets and edges by more than a constant.
    """
    budget = 4 * (len(layers) + len(edges)) + 1000
    all_layers = list(layers)
    chains: list[list[int]] = []
    for one, other in edges:
        chain = [one]
        between = layers[other] - layers[one] - 1
        if between <= budget:
            budget -= between
            for layer in range(layers[one] + 1, layers[other]):
                chain.append(len(all_layers))
                all_layers.append(layer)
        chain.append(other)
        chains.append(chain)
    return chains, all_layers


def _walk_order(total: int, left: list[list[int]], right: list[list[int]]) -> list[int]:
    """All nodes, neighbours near each other: a good order to begin with."""
    order: list[int] = []
    seen = [False] * total
    for start in range(total):
        waiting = [start]
        while waiting:
            node = waiting.pop()
            if seen[node]:
                continue
            seen[node] = True
            order.append(node)
            waiting.extend(reversed(left[node]))
            waiting.extend(reversed(right[node]))
    return order


def _untangled(rows: list[list[int]], left: list[list[int]], right: list[list[int]]) -> list[list[int]]:
    """The layers in the order with the fewest crossings that sweeps in both directions came by."""
    place = [0] * sum(map(len, rows))
    for row in rows:
        _number(row, place)
    best, fewest = [list(row) for row in rows], _crossings(rows, right, place)
    for sweep in range(_SWEEPS):
        near, ordered = (left, rows) if sweep % 2 == 0 else (right, rows[::-1])
        for row in ordered:
            centre = {
                node: sum(place[other] for other in near[node]) / len(near[node]) if near[node] else place[node]
                for node in row
            }
            row.sort(key=centre.__getitem__)
            _number(row, place)
        crossings = _crossings(rows, right, place)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
        if fewest == 0:
            break
    return best


def _number(row: list[int], place: list[int]) -> None:
    """Note where in its layer each node is."""
    for index, node in enumerate(row):
        place[node] = index


def _crossings(rows: list[list[int]], right: list[list[int]], place: list[int]) -> int:
    """How many pairs of edges cross: inversions, counted with a binary indexed tree for each layer.

    Source: Barth, Mutzel and Jünger, "Simple and efficient bilayer cross counting" (2004).
    """
    total = 0
    for row in rows:
        ends = [end for node in row for end in sorted(place[other] for other in right[node])]
        size = max(ends, default=-1) + 1
        sums = [0] * (size + 1)
        for seen, end in enumerate(ends):
            not_above, at = 0, end + 1
            while at > 0:
                not_above += sums[at]
                at -= at & -at
            total += seen - not_above
            at = end + 1
            while at <= size:
                sums[at] += 1
                at += at & -at
    return total


def _heights(rows: list[list[int]], left: list[list[int]], right: list[list[int]], count: int) -> list[float]:
    """Heights near those of the neighbours, layer by layer, that keep the order and the gaps; the least is 0."""
    heights = [0.0] * len(left)
    for row in rows:
        at = 0.0
        for index, node in enumerate(row):
            at += _gap(row[index - 1], node, count) if index else 0.0
            heights[node] = at
    both = [one + other for one, other in zip(left, right, strict=True)]
    plans = [(left, 1), (right, -1), (left, 1), (both, -1), (both, 1), (right, -1), (both, 1)]
    for near, step in plans:
        for row in rows[::step]:
            wanted = [
                sum(heights[other] for other in near[node]) / len(near[node]) if near[node] else heights[node]
                for node in row
            ]
            # A stop pulls harder than a box, so that long edges become straight lines.
            weights = [(1.0 if node < count else 4.0) if near[node] else 0.1 for node in row]
            _settle(row, wanted, weights, heights, count)
    least = min(heights, default=0.0)
    return [height - least for height in heights]


def _settle(row: list[int], wanted: list[float], weights: list[float], heights: list[float], count: int) -> None:
    """Give a layer the heights nearest to those wanted, in least squares, that keep its order and gaps."""
    offset = 0.0
    offsets: list[float] = []
    blocks: list[tuple[float, float, int]] = []  # sum of weighted wishes, sum of weights, number of nodes
    for index, node in enumerate(row):
        offset += _gap(row[index - 1], node, count) if index else 0.0
        offsets.append(offset)
        wish, weight, size = (wanted[index] - offset) * weights[index], weights[index], 1
        while blocks and blocks[-1][0] / blocks[-1][1] > wish / weight:
            more_wish, more_weight, more = blocks.pop()
            wish, weight, size = wish + more_wish, weight + more_weight, size + more
        blocks.append((wish, weight, size))
    index = 0
    for wish, weight, size in blocks:
        for _ in range(size):
            heights[row[index]] = wish / weight + offsets[index]
            index += 1


def _gap(one: int, other: int, count: int) -> float:
    """The least distance between the middles of two neighbours; numbers from `count` on are stops of edges."""
    boxes = (one < count) + (other < count)
    return _BOX_GAP if boxes == 2 else _STOP_GAP if boxes == 0 else (_BOX_GAP + _STOP_GAP) / 2
