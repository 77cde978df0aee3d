"""Pictures of the lineage as text: the terminal tree, Mermaid, Graphviz and plain values. `svg` and `html` come along.

Every function takes the graph, the selected keys and a label for each asset; the same input gives the same text.
Nothing recurses and nothing costs more than a constant for each asset and edge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from assetflow.model.keys import AssetKey
from assetflow.plan.graph import AssetGraph
from assetflow.plan.labels import LOOKS, NodeLabel, edges_within, in_order, label_of, look_name, state_text
from assetflow.plan.picture import html, svg

__all__ = ["NodeLabel", "dot", "html", "mermaid", "svg", "to_json", "tree"]

_MAX_INDENT = 24
"""How many levels a tree is indented before it goes on at the left margin: a long chain would be quadratic in size."""

_UNICODE = ("├─ ", "│  ", "└─ ", "   ")
_ASCII = ("|- ", "|  ", "`- ", "   ")


def tree(
    graph: AssetGraph,
    selected: Iterable[AssetKey],
    labels: Mapping[AssetKey, NodeLabel],
    *,
    down: bool = False,
    ascii: bool = False,
) -> list[str]:
    """The selected assets as trees, one line each, and a line with counts.

    A tree begins at each selected asset that no selected one takes and shows what it takes; with `down` it begins at
    those that take no selected one and shows what takes them. A sub-tree is shown once: after that comes a line that
    points up. A branch deeper than 24 levels goes on as a tree of its own.
    """
    keys = in_order(graph, selected)
    inside = set(keys)
    near = graph.downstream if down else graph.upstream
    below = {key: [other for other in near(key) if other in inside] for key in keys}
    taken = {other for others in below.values() for other in others}
    starts = [key for key in (keys if down else reversed(keys)) if key not in taken]
    lines: list[str] = []
    shown: set[AssetKey] = set()
    branch, bar, last, gap = _ASCII if ascii else _UNICODE
    above, later = ("^ shown above", "v goes on below") if ascii else ("↑ shown above", "↓ goes on below")
    postponed: set[AssetKey] = set()
    waiting = deque([(key, "", "", 0) for key in reversed(starts)])
    while waiting:
        key, own, indent, level = waiting.pop()
        others = below[key]
        if key in shown and others:
            lines.append(f"{own}{key}  {above}")
            continue
        if level == _MAX_INDENT and others:
            lines.append(f"{own}{key}  {later}")
            if key not in postponed:
                postponed.add(key)
                waiting.appendleft((key, "", "", 0))
            continue
        lines.append(f"{own}{_line(graph, labels, key, ascii=ascii)}")
        shown.add(key)
        for position in range(len(others) - 1, -1, -1):
            is_last = position == len(others) - 1
            own_mark, next_mark = (last, gap) if is_last else (branch, bar)
            waiting.append((others[position], indent + own_mark, indent + next_mark, level + 1))
    lines.append(_counts(graph, keys, "-" if ascii else "·"))
    return lines


def mermaid(graph: AssetGraph, selected: Iterable[AssetKey], labels: Mapping[AssetKey, NodeLabel]) -> str:
    """A Mermaid flowchart, to be pasted between fences. GitHub draws at most 500 edges and 50,000 characters."""
    keys = in_order(graph, selected)
    number = {key: index for index, key in enumerate(keys)}
    lines = ["flowchart LR"]
    looks: dict[str, list[str]] = {}
    for key, index in number.items():
        label = label_of(graph, labels, key)
        words = _mermaid_text(state_text(label))
        text = f"{_mermaid_text(key)}<br/>{words}" if words else _mermaid_text(key)
        opening, closing = ("[/", "/]") if graph.specs[key].is_source else ("[", "]")
        lines.append(f'    n{index}{opening}"{text}"{closing}')
        looks.setdefault(look_name(label.state), []).append(f"n{index}")
    for upstream, key, only_order in edges_within(graph, keys):
        lines.append(f"    n{number[upstream]} {'-.->' if only_order else '-->'} n{number[key]}")
    for name, members in looks.items():
        look = LOOKS[name]
        lines.append(f"    classDef {name} fill:{look.light_fill},stroke:{look.light_line},color:#1c2128")
        lines.append(f"    class {','.join(members)} {name}")
    return "\n".join(lines) + "\n"


def dot(graph: AssetGraph, selected: Iterable[AssetKey], labels: Mapping[AssetKey, NodeLabel]) -> str:
    """A Graphviz digraph, left to right."""
    keys = in_order(graph, selected)
    lines = [
        "digraph lineage {",
        "    rankdir=LR;",
        '    node [shape=box, style="rounded,filled", fontname="sans-serif", fontcolor="#1c2128"];',
        '    edge [color="#5b6472"];',
    ]
    for key in keys:
        label = label_of(graph, labels, key)
        look = LOOKS[look_name(label.state)]
        words = state_text(label)
        text = _dot_text(key) + (f"\\n{_dot_text(words)}" if words else "")
        shape = ", shape=cds" if graph.specs[key].is_source else ""
        lines.append(
            f'    "{_dot_text(key)}" [label="{text}", fillcolor="{look.light_fill}", color="{look.light_line}"{shape}];'
        )
    for upstream, key, only_order in edges_within(graph, keys):
        style = " [style=dashed]" if only_order else ""
        lines.append(f'    "{_dot_text(upstream)}" -> "{_dot_text(key)}"{style};')
    return "\n".join([*lines, "}"]) + "\n"


def to_json(
    graph: AssetGraph, selected: Iterable[AssetKey], labels: Mapping[AssetKey, NodeLabel]
) -> dict[str, list[dict[str, object]]]:
    """`nodes` and `edges` as values that JSON has, both in topological order."""
    keys = in_order(graph, selected)
    inside = set(keys)
    nodes: list[dict[str, object]] = []
    edges: list[dict[str, object]] = []
    for key in keys:
        spec, label = graph.specs[key], label_of(graph, labels, key)
        nodes.append({"key": key, "kind": spec.kind, "group": spec.group, "state": label.state, "detail": label.detail})
        edges.extend(
            {"from": given.upstream, "to": key, "parameter": given.parameter, "mode": given.mode}
            for given in spec.inputs
            if given.upstream in inside
        )
    return {"nodes": nodes, "edges": edges}


def _line(graph: AssetGraph, labels: Mapping[AssetKey, NodeLabel], key: AssetKey, *, ascii: bool) -> str:
    """The text of one asset in a tree, on one line whatever the detail holds."""
    label = label_of(graph, labels, key)
    if not ascii:
        words = state_text(label)
    else:
        letter = f"{LOOKS[look_name(label.state)].letter} " if label.state else ""
        words = letter + " - ".join([word for word in (label.state, label.detail) if word])
        words = words.replace("·", "-").encode("ascii", "replace").decode("ascii")
    words = "".join([sign if sign.isprintable() else " " for sign in words])
    return f"{key}  {words}".rstrip()


def _counts(graph: AssetGraph, keys: list[AssetKey], separator: str) -> str:
    """`7 assets · 3 sources · depth 4`; the depth counts the assets on the longest way."""
    depths: dict[AssetKey, int] = {}
    for key in keys:
        depths[key] = 1 + max([depths.get(other, 0) for other in graph.upstream(key)], default=0)
    sources = sum(graph.specs[key].is_source for key in keys)
    assets = len(keys) - sources
    parts = [f"{assets} asset{'' if assets == 1 else 's'}"]
    if sources:
        parts.append(f"{sources} source{'' if sources == 1 else 's'}")
    return f" {separator} ".join([*parts, f"depth {max(depths.values(), default=0)}"])


def _mermaid_text(text: str) -> str:
    """The text as Mermaid takes it between quotes: everything that could mean something is a character code."""
    plain = [
        sign if sign.isalnum() or sign in " _.,:" or (sign.isprintable() and ord(sign) > 127)
        else f"#{ord(sign)};" if sign.isprintable() else " "
        for sign in text
    ]  # fmt: skip
    return "".join(plain)


def _dot_text(text: str) -> str:
    """The text as Graphviz takes it between quotes."""
    line = "".join([sign if sign.isprintable() else " " for sign in text])
    return line.replace("\\", "\\\\").replace('"', '\\"')
