"""The lineage as an SVG picture and as one self-contained HTML page: no scripts, no fonts or files from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from msgspec import Struct

from assetflow.model.keys import AssetKey
from assetflow.plan.graph import AssetGraph
from assetflow.plan.labels import (
    LOOKS,
    NodeLabel,
    edges_within,
    in_order,
    label_of,
    look_name,
    state_text,
)  # fmt: skip
from assetflow.plan.layout import Layout, layered

_BOX_HEIGHT = 44.0
_LAYER_GAP = 64.0
_MARGIN = 16.0
_LONGEST = 34

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"

# Characters that XML does not allow at all, not even as character references.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;"})


class _Box(Struct, frozen=True):
    """Where an asset is drawn, and what it says. `y` is its middle."""

    key: AssetKey
    label: NodeLabel
    x: float
    y: float
    width: float


def svg(
    graph: AssetGraph,
    selected: Iterable[AssetKey],
    labels: Mapping[AssetKey, NodeLabel],
    *,
    title: str = "Lineage",
    anchors: bool = False,
) -> str:
    """The selected assets as boxes, left to right, with the edges between them, in light or dark as the viewer likes.

    Each box has the state as a shape, as text and as a colour, and the whole label as its tooltip. Dashed edges mean
    only the order of building. With `anchors`, a box links to `#asset-` and its key, for a page that has such places.
    """
    keys = in_order(graph, selected)
    number = {key: index for index, key in enumerate(keys)}
    edges = edges_within(graph, keys)
    layout = layered(len(keys), [(number[upstream], number[key]) for upstream, key, _ in edges])
    shown = [label_of(graph, labels, key) for key in keys]
    lefts, widths = _columns(keys, shown, layout)
    top = _MARGIN + _BOX_HEIGHT / 2
    boxes = [
        _Box(key, label, lefts[layer], height + top, widths[layer])
        for key, label, layer, height in zip(keys, shown, layout.layers, layout.heights, strict=True)
    ]
    width = max([box.x + box.width for box in boxes], default=160.0) + _MARGIN
    height = max([box.y + _BOX_HEIGHT / 2 for box in boxes], default=40.0) + _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="af" role="img" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" font-family="{_FONT}">',
        f"<title>{escape(title)}</title>",
        f"<desc>{len(keys)} assets and {len(edges)} edges, from left to right</desc>",
        f"<style>{_style({look_name(label.state) for label in shown})}</style>",
        f'<rect class="af-back" width="{width:.0f}" height="{height:.0f}" rx="8"/>',
    ]
    for (upstream, key, only_order), stops in zip(edges, layout.stops, strict=True):
        one, other = boxes[number[upstream]], boxes[number[key]]
        ways = [(lefts[layer], lefts[layer] + widths[layer], at + top) for layer, at in stops]
        dashed = " af-order" if only_order else ""
        parts.append(
            f'<g class="af-edge{dashed}"><title>{escape(upstream)} → {escape(key)}</title>{_edge(one, other, ways)}</g>'
        )
    parts.extend(_box(box, anchors=anchors) for box in boxes)
    return "\n".join([*parts, "</svg>"]) + "\n"


def html(
    graph: AssetGraph,
    selected: Iterable[AssetKey],
    labels: Mapping[AssetKey, NodeLabel],
    *,
    title: str = "Lineage",
) -> str:
    """One page with the picture, the number of assets in each state, and a table of the assets."""
    keys = in_order(graph, selected)
    inside = set(keys)
    counts: dict[str, int] = {}
    for key in keys:
        state = label_of(graph, labels, key).state or "no state"
        counts[state] = counts.get(state, 0) + 1
    summary = " · ".join([f"{len(keys)} assets", *[f"{count} {escape(state)}" for state, count in counts.items()]])
    rows = "\n".join([_row(graph, key, label_of(graph, labels, key), inside) for key in keys])
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{escape(title)}</title>
<style>{_PAGE_STYLE}</style>
</head>
<body>
<main>
<h1>{escape(title)}</h1>
<p>{summary}</p>
<div class="picture" tabindex="0" role="region" aria-label="Picture of the lineage">
{svg(graph, keys, labels, title=title, anchors=True)}</div>
<table>
<caption>Assets, each after what it needs</caption>
<thead><tr><th scope="col">Asset</th><th scope="col">State</th><th scope="col">Group</th><th scope="col">Needs</th>\
<th scope="col">Needed by</th><th scope="col">Description</th></tr></thead>
<tbody>
{rows}
</tbody>
</table>
</main>
</body>
</html>
"""


def escape(text: str) -> str:
    """The text for XML and HTML, between tags and in attributes; what XML cannot hold becomes a question mark."""
    return _NOT_XML.sub("\ufffd", text).translate(_ESCAPES)


def _columns(keys: list[AssetKey], labels: list[NodeLabel], layout: Layout) -> tuple[list[float], list[float]]:
    """The left side and the width of each layer, wide enough for its longest text."""
    widths = [0.0] * (max(layout.layers, default=-1) + 1)
    for key, label, layer in zip(keys, labels, layout.layers, strict=True):
        name, words = len(_cut(key)) * 8.5, len(_cut(state_text(label, glyph=False))) * 6.5 + 18
        widths[layer] = max(widths[layer], name + 28, words + 28, 110.0)
    lefts: list[float] = []
    at = _MARGIN
    for width in widths:
        lefts.append(at)
        at += width + _LAYER_GAP
    return lefts, widths


def _edge(one: _Box, other: _Box, ways: list[tuple[float, float, float]]) -> str:
    """A curve from the right of a box, through the free ways between others, to the left of another, and its head."""
    x, y = one.x + one.width, one.y
    path = [f"M{x:.1f} {y:.1f}"]
    for left, right, at in [*ways, (other.x - 7, other.x - 7, other.y)]:
        middle = (x + left) / 2
        path.append(f"C{middle:.1f} {y:.1f} {middle:.1f} {at:.1f} {left:.1f} {at:.1f}")
        if right > left:
            path.append(f"H{right:.1f}")
        x, y = right, at
    head = f"M{other.x - 1:.1f} {other.y:.1f}l-8 -4v8z"
    return f'<path class="af-line" d="{"".join(path)}"/><path class="af-head" d="{head}"/>'


def _box(box: _Box, *, anchors: bool) -> str:
    """A box: a coloured bar, the key, and below it the state's shape and words."""
    name = look_name(box.label.state)
    top, text_x = box.y - _BOX_HEIGHT / 2, box.x + 16
    words = state_text(box.label, glyph=False)
    tooltip = f"{box.key}: {words}" if words else box.key
    parts = [
        f'<g class="af-node af-{name}"><title>{escape(tooltip)}</title>',
        f'<rect class="af-box" x="{box.x:.1f}" y="{top:.1f}" width="{box.width:.1f}" height="{_BOX_HEIGHT}" rx="6"/>',
        f'<path class="af-bar" d="M{box.x + 6:.1f} {top:.1f}a6 6 0 0 0 -6 6v{_BOX_HEIGHT - 12}a6 6 0 0 0 6 6z"/>',
        f'<text class="af-key" x="{text_x:.1f}" y="{box.y + (-3 if words else 5):.1f}">{escape(_cut(box.key))}</text>',
    ]
    if words:
        at = box.y + 10
        parts.append(_shape(name, text_x + 5, at))
        parts.append(f'<text class="af-words" x="{text_x + 17:.1f}" y="{at + 4:.1f}">{escape(_cut(words))}</text>')
    parts.append("</g>")
    drawn = "".join(parts)
    return f'<a href="#asset-{escape(box.key)}">{drawn}</a>' if anchors else drawn


_SHAPES = {
    "current": '<circle r="4.5" class="af-solid"/>',
    "stale": '<circle r="4.5" class="af-ring"/><path d="M0 -4.5a4.5 4.5 0 0 0 0 9z" class="af-solid"/>',
    "maybe": '<circle r="4.5" class="af-ring"/><path d="M0 0V-4.5A4.5 4.5 0 0 1 4.5 0z" class="af-solid"/>',
    "missing": '<circle r="4.5" class="af-ring"/>',
    "failed": '<path d="M-4 -4L4 4M4 -4L-4 4" class="af-ring"/>',
    "blocked": '<circle r="4.5" class="af-ring"/><path d="M-3.2 3.2L3.2 -3.2" class="af-ring"/>',
    "running": '<path d="M-3.5 -4.5L4.5 0L-3.5 4.5z" class="af-solid"/>',
    "source": '<path d="M0 -5L5 0L0 5L-5 0z" class="af-ring"/>',
    "other": '<circle r="2" class="af-solid"/>',
}


def _shape(name: str, x: float, y: float) -> str:
    """The shape of a state, drawn rather than written, because few fonts have all the glyphs."""
    return f'<g transform="translate({x:.1f} {y:.1f})">{_SHAPES[name]}</g>'


def _cut(text: str) -> str:
    """The text in one line, its end left out when it would make the box too wide."""
    line = "".join([sign if sign.isprintable() else " " for sign in text])
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"


def _style(names: set[str]) -> str:
    """The rules for the states in the picture; every class begins with `af-`, for the page around has classes too."""
    light = [
        ".af-back{fill:#ffffff}",
        ".af-line{fill:none;stroke:#8b95a3;stroke-width:1.4}",
        ".af-order .af-line{stroke-dasharray:5 4}",
        ".af-head{fill:#8b95a3}",
        ".af-key{font-size:13px;font-weight:600;fill:#1c2128}",
        ".af-words{font-size:11.5px;fill:#3c4550}",
        ".af-box{stroke-width:1.2}",
        ".af-ring{fill:none;stroke-width:1.7}",
        ".af a:focus .af-box,.af a:hover .af-box{stroke-width:2.6}",
    ]
    dark = [
        ".af-back{fill:#0f1318}",
        ".af-line{stroke:#77818f}",
        ".af-head{fill:#77818f}",
        ".af-key{fill:#eef1f5}",
        ".af-words{fill:#c3cad4}",
    ]
    for name in sorted(names):
        look = LOOKS[name]
        for rules, fill, line in ((light, look.light_fill, look.light_line), (dark, look.dark_fill, look.dark_line)):
            rules.append(f".af-{name} .af-box{{fill:{fill};stroke:{line}}}")
            rules.append(f".af-{name} .af-bar,.af-{name} .af-solid{{fill:{line}}}")
            rules.append(f".af-{name} .af-ring{{stroke:{line}}}")
    return f"{''.join(light)}@media (prefers-color-scheme:dark){{{''.join(dark)}}}"


_PAGE_STYLE = (
    ":root{color-scheme:light dark}"
    f"body{{margin:0;font:15px/1.5 {_FONT};color:#1c2128;background:#ffffff}}"
    "main{max-width:80rem;margin:0 auto;padding:1.5rem}"
    "h1{font-size:1.4rem;margin:0}"
    ".picture{overflow:auto;max-height:80vh;margin:1rem 0;border:1px solid #c9d0d8;border-radius:8px}"
    "table{border-collapse:collapse;width:100%}"
    "caption{text-align:left;padding:.5rem 0;font-weight:600}"
    "th,td{text-align:left;vertical-align:top;padding:.35rem .75rem .35rem 0;border-bottom:1px solid #d8dde3}"
    "tr:target{outline:2px solid #1c5fc4}"
    "a{color:#1c5fc4}"
    "@media (prefers-color-scheme:dark){body{color:#eef1f5;background:#0f1318}"
    ".picture{border-color:#3a424d}th,td{border-color:#2c333c}a{color:#78aefc}tr:target{outline-color:#78aefc}}"
)


def _row(graph: AssetGraph, key: AssetKey, label: NodeLabel, inside: set[AssetKey]) -> str:
    """A row of the table; assets that are on the page are links."""
    spec = graph.specs[key]
    near = [_links(graph.upstream(key), inside), _links(graph.downstream(key), inside)]
    cells = [escape(state_text(label)), escape(spec.group), *near, escape(spec.description)]
    inner = "".join([f"<td>{cell}</td>" for cell in cells])
    return f'<tr id="asset-{escape(key)}"><th scope="row">{escape(key)}</th>{inner}</tr>'


def _links(keys: tuple[AssetKey, ...], inside: set[AssetKey], limit: int = 20) -> str:
    """The keys with commas between; only the first of very many, so that a hub does not fill the page."""
    texts = [escape(key) for key in keys[:limit]]
    found = [f'<a href="#asset-{text}">{text}</a>' if text in inside else text for text in texts]
    return ", ".join(found) + (f" and {len(keys) - limit} more" if len(keys) > limit else "")
