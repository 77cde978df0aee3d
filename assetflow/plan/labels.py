"""What a picture of the lineage says about each asset, and how each state looks. State is always shape and text too."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from msgspec import Struct

from assetflow.model.keys import AssetKey
from assetflow.plan.graph import AssetGraph


class NodeLabel(Struct, frozen=True):
    """The state of an asset, such as `stale`, and more to say about it, such as `v17 · 2 h ago`; both may be empty."""

    state: str
    detail: str


class Look(Struct, frozen=True):
    """How a state is drawn: a glyph and its ASCII stand-in, and colours (text contrast 4.5 to 1 or more) by theme."""

    glyph: str
    letter: str
    light_fill: str
    light_line: str
    dark_fill: str
    dark_line: str


LOOKS: Mapping[str, Look] = {
    "current": Look("●", "*", "#e8f5ec", "#1a7f45", "#12291c", "#4cc38a"),
    "pinned": Look("◆", "^", "#e7f0fe", "#1c5fc4", "#10233f", "#78aefc"),
    "undecided": Look("?", "?", "#e7f0fe", "#1c5fc4", "#10233f", "#78aefc"),
    "stale": Look("◐", "~", "#fff4dc", "#9a6200", "#2e2308", "#f0b849"),
    "maybe": Look("◔", "?", "#fdf8e7", "#7d6b1d", "#26220f", "#d6c25e"),
    "missing": Look("○", "o", "#f3f4f6", "#5b6472", "#1d222b", "#9aa5b4"),
    "failed": Look("✗", "x", "#fdebea", "#c02b22", "#341514", "#ff7b72"),
    "blocked": Look("⊘", "/", "#f7ecfa", "#87399f", "#2a1731", "#d59ae8"),
    "running": Look("▶", ">", "#e7f0fe", "#1c5fc4", "#10233f", "#78aefc"),
    "source": Look("◇", "<>", "#e6f4f7", "#0f6f85", "#0d272e", "#5cc2d8"),
    "other": Look("·", "-", "#f3f4f6", "#5b6472", "#1d222b", "#9aa5b4"),
}
"""The looks by state; a state that is not listed looks like `other`."""


def look_name(state: str) -> str:
    """The name of the look of a state; it is made of letters only, so it can be a class name."""
    return state if state in LOOKS else "other"


def label_of(graph: AssetGraph, labels: Mapping[AssetKey, NodeLabel], key: AssetKey) -> NodeLabel:
    """The label of an asset; without one, a source is a source and other assets have no state."""
    found = labels.get(key)
    return found if found is not None else NodeLabel("source" if graph.specs[key].is_source else "", "")


def state_text(label: NodeLabel, *, glyph: bool = True) -> str:
    """`◐ stale · v17` for a label; without the glyph, `stale · v17`."""
    words = " · ".join([word for word in (label.state, label.detail) if word])
    return f"{LOOKS[look_name(label.state)].glyph} {words}" if glyph and label.state else words


def in_order(graph: AssetGraph, selected: Iterable[AssetKey]) -> list[AssetKey]:
    """The selected keys in topological order, each once."""
    wanted = set(selected)
    return [key for key in graph.order if key in wanted]


def edges_within(graph: AssetGraph, keys: list[AssetKey]) -> list[tuple[AssetKey, AssetKey, bool]]:
    """The edges between the keys, as upstream, downstream, and whether nothing but the order of building is meant."""
    inside = set(keys)
    found: list[tuple[AssetKey, AssetKey, bool]] = []
    for key in keys:
        modes: dict[AssetKey, bool] = {}
        for given in graph.specs[key].inputs:
            if given.upstream in inside:
                modes[given.upstream] = modes.get(given.upstream, True) and given.mode == "order"
        found.extend((upstream, key, only_order) for upstream, only_order in modes.items())
    return found
