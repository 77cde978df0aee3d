from __future__ import annotations

import json
import random
import time
from html.parser import HTMLParser
from itertools import combinations, pairwise
from xml.etree import ElementTree

import pytest

from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.plan.drawing import NodeLabel, dot, html, mermaid, svg, to_json, tree
from assetflow.plan.graph import AssetGraph
from assetflow.plan.layout import layered

NS = {"svg": "http://www.w3.org/2000/svg"}
HOSTILE = "</title><script>alert(1)</script> \"'&\\ `#;] \x00\x1b\n\ud800|"


def spec(key: str, *upstreams: str, kind: str = "asset", mode: str = "value") -> AssetSpec:
    return AssetSpec(
        key=AssetKey(key), kind=kind, node=key, inputs=tuple(InputSpec(u, AssetKey(u), mode) for u in upstreams),
        group="marts", owners=(), tags={}, description="", io="parquet", file="assets/marts.py", line=1,
    )  # fmt: skip


@pytest.fixture
def shop() -> AssetGraph:
    return AssetGraph(
        [
            spec("raw_orders", kind="source"),
            spec("fx_rates", kind="source"),
            spec("stg_orders", "raw_orders"),
            spec("orders", "stg_orders", "fx_rates"),
            spec("reconciled", "orders"),
            spec("revenue", "orders", "reconciled"),
        ]
    )


LABELS = {
    AssetKey("stg_orders"): NodeLabel("current", "v29"),
    AssetKey("orders"): NodeLabel("stale", ""),
    AssetKey("reconciled"): NodeLabel("failed", "check sums_match"),
    AssetKey("revenue"): NodeLabel("blocked", ""),
}


def test_tree_shows_upstreams_with_states_and_repeats_nothing(shop: AssetGraph) -> None:
    assert tree(shop, shop.order, LABELS) == [
        "revenue  ⊘ blocked",
        "├─ orders  ◐ stale",
        "│  ├─ stg_orders  ● current · v29",
        "│  │  └─ raw_orders  ◇ source",
        "│  └─ fx_rates  ◇ source",
        "└─ reconciled  ✗ failed · check sums_match",
        "   └─ orders  ↑ shown above",
        "4 assets · 2 sources · depth 5",
    ]


def test_tree_downwards_begins_at_the_roots_of_the_selection(shop: AssetGraph) -> None:
    assert tree(shop, [AssetKey("orders"), AssetKey("revenue"), AssetKey("fx_rates")], LABELS, down=True) == [
        "fx_rates  ◇ source",
        "└─ orders  ◐ stale",
        "   └─ revenue  ⊘ blocked",
        "2 assets · 1 source · depth 3",
    ]


def test_ascii_tree_has_no_other_characters_and_the_same_lines(shop: AssetGraph) -> None:
    labels = {**LABELS, AssetKey("orders"): NodeLabel("stale", "größer · café")}
    lines = tree(shop, shop.order, labels, ascii=True)

    assert "\n".join(lines).isascii()
    assert len(lines) == len(tree(shop, shop.order, labels))
    assert lines[0] == "revenue  / blocked"


def test_a_selection_in_pieces_gives_a_tree_for_each_piece(shop: AssetGraph) -> None:
    lines = tree(shop, [AssetKey("raw_orders"), AssetKey("revenue")], {})

    assert lines == ["revenue", "raw_orders  ◇ source", "1 asset · 1 source · depth 1"]


def test_nothing_selected_is_drawn_by_everything(shop: AssetGraph) -> None:
    assert tree(shop, [], {}) == ["0 assets · depth 0"]
    assert mermaid(shop, [], {}) == "flowchart LR\n"
    assert to_json(shop, [], {}) == {"nodes": [], "edges": []}
    ElementTree.fromstring(svg(shop, [], {}))
    assert "0 assets" in html(shop, [], {})


def test_a_detail_with_line_breaks_stays_on_one_line(shop: AssetGraph) -> None:
    labels = {AssetKey("orders"): NodeLabel("stale", HOSTILE)}

    assert all("\n" not in line and "\x1b" not in line for line in tree(shop, shop.order, labels))


def test_a_deep_branch_goes_on_at_the_left_and_loses_no_asset() -> None:
    graph = chain(100)
    lines = tree(graph, graph.order, {})
    first_words = [line.strip("│├└─ ").split()[0] for line in lines[:-1] if "goes on below" not in line]

    assert first_words == [f"a{i}" for i in range(99, -1, -1)]
    assert sum("↓ goes on below" in line for line in lines) == 4
    assert max(map(len, lines)) < 100


def test_every_selected_asset_is_in_the_tree_once_with_its_state() -> None:
    rng = random.Random(3)
    for _ in range(60):
        graph = random_graph(rng, 40)
        selected = [key for key in graph.order if rng.random() < 0.7]
        labels = {key: NodeLabel("stale", "") for key in graph.order}
        for down in (True, False):
            lines = tree(graph, selected, labels, down=down)
            named = {line.split("◐")[0].strip("│├└─ ") for line in lines if "◐ stale" in line}
            assert named == set(selected)


def test_mermaid_gives_nodes_edges_and_a_class_for_each_state(shop: AssetGraph) -> None:
    text = mermaid(shop, shop.order, LABELS)

    assert text.startswith("flowchart LR\n")
    assert 'n3["orders<br/>◐ stale"]' in text
    assert 'n0[/"raw_orders<br/>◇ source"/]' in text
    assert "n2 --> n3" in text
    assert "class n3 stale" in text
    assert "classDef stale fill:" in text


def test_mermaid_text_cannot_leave_its_quotes(shop: AssetGraph) -> None:
    labels = {AssetKey("orders"): NodeLabel(HOSTILE, HOSTILE)}
    text = mermaid(shop, [AssetKey("orders")], labels)
    line = text.splitlines()[1]

    assert line.startswith('    n0["')
    assert line.endswith('"]')
    assert line.count('"') == 2
    assert "<script" not in text
    assert "class n0 other" in text


def test_edges_that_only_order_are_dashed() -> None:
    graph = AssetGraph([spec("a"), spec("b", "a", mode="order")])

    assert "n0 -.-> n1" in mermaid(graph, graph.order, {})
    assert "style=dashed" in dot(graph, graph.order, {})
    assert 'class="af-edge af-order"' in svg(graph, graph.order, {})


def test_dot_quotes_what_users_wrote(shop: AssetGraph) -> None:
    text = dot(shop, [AssetKey("orders"), AssetKey("revenue")], {AssetKey("orders"): NodeLabel("stale", 'a"b\\c')})

    assert 'label="orders\\n◐ stale · a\\"b\\\\c"' in text
    assert '"orders" -> "revenue";' in text


def test_json_has_nodes_and_edges_as_plain_values(shop: AssetGraph) -> None:
    found = to_json(shop, [AssetKey("orders"), AssetKey("revenue")], LABELS)

    assert json.loads(json.dumps(found)) == {
        "nodes": [
            {"key": "orders", "kind": "asset", "group": "marts", "state": "stale", "detail": ""},
            {"key": "revenue", "kind": "asset", "group": "marts", "state": "blocked", "detail": ""},
        ],
        "edges": [{"from": "orders", "to": "revenue", "parameter": "orders", "mode": "value"}],
    }


def test_svg_is_well_formed_and_names_every_asset_with_its_state(shop: AssetGraph) -> None:
    root = ElementTree.fromstring(svg(shop, shop.order, LABELS, title="Lineage of <shop>"))
    titles = [node.findtext("svg:title", namespaces=NS) for node in root.iterfind(".//svg:g[svg:rect]", NS)]

    assert root.findtext("svg:title", namespaces=NS) == "Lineage of <shop>"
    assert titles == [
        "raw_orders: source", "fx_rates: source", "stg_orders: current · v29", "orders: stale",
        "reconciled: failed · check sums_match", "revenue: blocked",
    ]  # fmt: skip
    assert len(root.findall(".//svg:g/svg:path[@class='af-line']", NS)) == 6
    assert "prefers-color-scheme:dark" in svg(shop, shop.order, LABELS)


def test_hostile_labels_neither_break_the_svg_nor_the_page(shop: AssetGraph) -> None:
    labels = {key: NodeLabel(HOSTILE, HOSTILE) for key in shop.order}
    picture = svg(shop, shop.order, labels, title=HOSTILE)
    page = html(shop, shop.order, labels, title=HOSTILE)
    tags: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            tags.append(tag)

    Reader().feed(page)
    ElementTree.fromstring(picture.encode())
    assert "script" not in tags
    assert page.encode()


def test_html_is_one_file_with_a_row_for_each_asset_and_no_script(shop: AssetGraph) -> None:
    page = html(shop, shop.order, LABELS)

    assert page.count('<tr id="asset-') == 6
    assert 'href="#asset-orders"' in page
    assert "1 stale" in page
    assert "<script" not in page
    assert "src=" not in page


def test_layout_puts_every_asset_right_of_its_upstreams_and_boxes_apart() -> None:
    rng = random.Random(11)
    for _ in range(40):
        graph = random_graph(rng, 30)
        number = {key: i for i, key in enumerate(graph.order)}
        edges = [(number[up], number[key]) for key in graph.order for up in graph.upstream(key)]
        layout = layered(len(number), edges)

        assert all(layout.layers[one] < layout.layers[other] for one, other in edges)
        for layer in set(layout.layers):
            heights = sorted(h for h, at in zip(layout.heights, layout.layers, strict=True) if at == layer)
            assert all(other - one >= 61.9 for one, other in pairwise(heights))


def test_layout_uncrosses_what_can_be_uncrossed() -> None:
    # Two chains whose second halves were declared in the other order.
    layout = layered(6, [(0, 3), (1, 2), (3, 4), (2, 5)])
    upper_is_same = [(layout.heights[a] < layout.heights[b]) for a, b in [(0, 1), (3, 2), (4, 5)]]

    assert len(set(upper_is_same)) == 1


def test_layout_crosses_fewer_edges_than_the_order_it_begins_with() -> None:
    rng = random.Random(5)
    total = 0
    for _ in range(30):
        edges = sorted({(rng.randrange(8), 8 + rng.randrange(8)) for _ in range(14)})
        heights = layered(16, edges).heights
        total += sum(
            (heights[a] - heights[c]) * (heights[b] - heights[d]) < 0 for (a, b), (c, d) in combinations(edges, 2)
        )

    assert total < 150  # sweeping gives 103; without it there are 264


@pytest.mark.parametrize("shape", ["chain", "star"])
def test_twenty_thousand_assets_are_drawn_in_seconds_and_linear_space(shape: str) -> None:
    graph = (
        chain(20_000) if shape == "chain" else AssetGraph([spec("hub"), *[spec(f"a{i}", "hub") for i in range(19_999)]])
    )
    before = time.process_time()
    lines = tree(graph, graph.order, {})
    picture = svg(graph, graph.order, {})

    assert time.process_time() - before < 8
    assert sum(map(len, lines)) < 4_000_000
    assert picture.count('class="af-box"') == 20_000


def chain(length: int) -> AssetGraph:
    return AssetGraph([spec(f"a{i}", *([f"a{i - 1}"] if i else [])) for i in range(length)])


def random_graph(rng: random.Random, size: int) -> AssetGraph:
    return AssetGraph(
        [spec(f"a{i}", *[f"a{j}" for j in rng.sample(range(i), min(i, rng.randint(0, 3)))]) for i in range(size)]
    )
