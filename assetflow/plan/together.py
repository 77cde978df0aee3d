"""Outputs of one function, which are made together: the order of functions, and what one output means for others."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from assetflow.model.keys import AssetKey
from assetflow.plan.graph import AssetGraph
from assetflow.plan.staleness import STAYS, Action, Decision, Reason


def siblings(graph: AssetGraph) -> dict[str, list[AssetKey]]:
    """The assets that each function makes, by node."""
    by_node: defaultdict[str, list[AssetKey]] = defaultdict(list)
    for key, spec in graph.specs.items():
        by_node[spec.node].append(key)
    return by_node


def by_function(graph: AssetGraph, members: list[AssetKey]) -> Iterator[list[AssetKey]]:
    """The members, outputs of one function together, each group after all that any of its assets takes."""
    by_node = siblings(graph)
    if len(by_node) == len(graph.specs):
        yield from ([key] for key in members)  # each function has one output, and they are in order already
        return
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


def joined(decided: Mapping[AssetKey, Decision]) -> Mapping[AssetKey, Decision]:
    """Outputs of one function run together: where one runs, the others may change with it; or none of them can.

    Those that are pinned do not take part: they are made along with the others, and not kept.
    """
    if len(decided) <= 1:
        return decided
    blocked = next((one for one in decided.values() if one.action is Action.BLOCKED), None)
    if blocked is not None:
        return {key: one if one.action in STAYS else blocked for key, one in decided.items()}
    first = next((key for key, one in decided.items() if one.action is Action.RUN), None)
    if first is None:
        return decided  # they read the same, so they wait for the same, or all can stay or be linked
    reason = Reason("made_together", f"made together with {first}", {"with": first}, is_root=False)
    stands = (Action.RUN, Action.MAYBE)
    return {key: one if one.action in stands else Decision(Action.MAYBE, (reason,)) for key, one in decided.items()}
