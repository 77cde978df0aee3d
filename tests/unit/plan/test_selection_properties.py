from __future__ import annotations

import random
from collections.abc import Mapping

from hypothesis import given, settings, strategies as st

from assetflow.model.keys import AssetKey, last_name
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.plan.graph import AssetGraph
from assetflow.plan.selection import NoFacts, Selection, parse_selection
from assetflow.plan.selection_ast import (
    ALL,
    NULL,
    And,
    Attribute,
    Between,
    Expression,
    Function,
    Name,
    Not,
    Or,
    Saved,
    Tag,
    Walk,
)
from assetflow.plan.selection_words import ATTEMPTS, KINDS, REASONS, STATES


def spec(key: str, *upstreams: str, tags: Mapping[str, str]) -> AssetSpec:
    return AssetSpec(
        key=AssetKey(key), kind="asset", node=key, inputs=tuple(InputSpec(u, AssetKey(u)) for u in upstreams),
        group="marts", owners=(), tags=tags, description="", io="parquet", file="assets/marts.py", line=1,
    )  # fmt: skip


NAME_TEXT = st.one_of(
    st.sampled_from(
        ["orders", "marts.orders", "stg_*", "*", "status", "roots", "and", "OR", "12", "a..b", "key", "<null>"]
    ),
    st.text(min_size=1, max_size=6),
)
VALUE_TEXT = st.one_of(st.sampled_from([NULL, "", "a@b.c", "x/y-z", "a=b", 'q"', "\\"]), st.text(max_size=6))
NAMES = NAME_TEXT.map(Name)
LEVELS = st.sampled_from([ALL, 0, 1, 2, 17])
LEAVES = st.one_of(
    NAMES,
    st.builds(Between, NAMES, NAMES),
    st.builds(Tag, VALUE_TEXT, st.none() | VALUE_TEXT),
    st.builds(Attribute, st.sampled_from(["group", "kind", "owner", "path", "io"]), VALUE_TEXT),
    st.builds(Attribute, st.just("is"), st.sampled_from([*STATES, *KINDS])),
    st.builds(Attribute, st.just("why"), st.sampled_from(REASONS)),
    st.builds(Attribute, st.just("last"), st.sampled_from(ATTEMPTS)),
    st.builds(Saved, VALUE_TEXT),
)


def combined(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    several = st.lists(inner, min_size=2, max_size=4).map(tuple)
    return st.one_of(
        st.builds(Walk, inner, LEVELS, LEVELS).filter(lambda walk: bool(walk.up or walk.down)),
        st.builds(Function, st.sampled_from(["roots", "sinks"]), inner),
        st.builds(Not, inner),
        st.builds(And, several),
        st.builds(Or, several),
    )


EXPRESSIONS: st.SearchStrategy[Expression] = st.recursive(LEAVES, combined, max_leaves=12)


@settings(max_examples=400, derandomize=True, deadline=None)
@given(EXPRESSIONS)
def test_what_a_selection_prints_reads_back_to_an_equal_one(expression: Expression) -> None:
    text = str(Selection(expression))

    assert parse_selection(text).expression == expression


def oracle(node: Expression, graph: AssetGraph, tags: Mapping[str, set[str]]) -> set[str]:
    """The same meaning, slowly: sets of pairs instead of walks."""
    keys: set[str] = set(graph.order)
    if isinstance(node, Name):
        exact = {key for key in keys if key == node.text}
        return exact or {key for key in keys if node.text in ("*", last_name(key))}
    if isinstance(node, Tag):
        return tags[node.key]
    if isinstance(node, Or):
        return set[str]().union(*[oracle(part, graph, tags) for part in node.operands])
    if isinstance(node, And):
        return keys.intersection(*[oracle(part, graph, tags) for part in node.operands])
    if isinstance(node, Not):
        return keys - oracle(node.operand, graph, tags)
    distance = distances(graph)
    if isinstance(node, Between):
        starts, ends = oracle(node.start, graph, tags), oracle(node.end, graph, tags)
        return {k for k in keys if any((s, k) in distance for s in starts) and any((k, e) in distance for e in ends)}
    if isinstance(node, Walk):
        found = oracle(node.operand, graph, tags)
        up = {a for (a, b), steps in distance.items() if b in found and (node.up == ALL or steps <= node.up)}
        return up | {b for (a, b), steps in distance.items() if a in found and (node.down == ALL or steps <= node.down)}
    assert isinstance(node, Function)
    found = oracle(node.argument, graph, tags)
    if node.name == "roots":
        return {key for key in found if not any((other, key) in distance for other in found - {key})}
    return {key for key in found if not any((key, other) in distance for other in found - {key})}


def distances(graph: AssetGraph) -> dict[tuple[str, str], int]:
    """The steps of the shortest way from one asset down to another, for each pair that has one."""
    found: dict[tuple[str, str], int] = {(key, key): 0 for key in graph.order}
    for _ in graph.order:
        for one in graph.order:
            for key in graph.order:
                for upstream in graph.upstream(key):
                    if (one, upstream) in found:
                        steps = found[one, upstream] + 1
                        found[one, key] = min(found.get((one, key), steps), steps)
    return found


GRAPH_NAMES = ["a", "b", "x.a", "x.c", "d", "y.e", "f"]
ORACLE_NAMES = st.sampled_from(["a", "b", "x.a", "c", "x.c", "d", "e", "y.e", "f", "*"]).map(Name)
ORACLE_LEAVES: st.SearchStrategy[Expression] = st.one_of(
    ORACLE_NAMES,
    st.builds(Between, ORACLE_NAMES, ORACLE_NAMES),
    st.sampled_from(["t", "u"]).map(lambda k: Tag(k, None)),
)


@settings(max_examples=250, derandomize=True, deadline=None)
@given(st.recursive(ORACLE_LEAVES, combined, max_leaves=6), st.integers(0, 2**32))
def test_selecting_agrees_with_plain_sets_on_random_graphs(expression: Expression, seed: int) -> None:
    rng = random.Random(seed)
    names = rng.sample(GRAPH_NAMES, len(GRAPH_NAMES))
    tags = {tag: {name for name in names if rng.random() < 0.4} for tag in ("t", "u")}
    graph = AssetGraph(
        spec(
            name,
            *rng.sample(names[:i], rng.randint(0, min(i, 2))),
            tags={tag: rng.choice(["", "v"]) for tag in tags if name in tags[tag]},
        )
        for i, name in enumerate(names)
    )
    expected = oracle(expression, graph, tags)

    assert Selection(expression).select(graph, NoFacts()) == tuple(key for key in graph.order if key in expected)
