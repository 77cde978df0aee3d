from __future__ import annotations

import random
import time
from itertools import pairwise

import pytest

from assetflow.errors import Cycle, NoSuchAsset, UsageError
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.plan.graph import AssetGraph, find_cycle


def spec(key: str, *upstreams: str, line: int = 1) -> AssetSpec:
    return AssetSpec(
        key=AssetKey(key), kind="asset", node=key, inputs=tuple(InputSpec(u, AssetKey(u)) for u in upstreams),
        group="marts", owners=(), tags={}, description="", io="parquet", file="assets/marts.py", line=line,
    )  # fmt: skip


def k(*names: str) -> tuple[AssetKey, ...]:
    return tuple(AssetKey(name) for name in names)


def test_order_is_topological_and_free_choices_keep_declaration_order() -> None:
    graph = AssetGraph(
        [spec("report", "orders", "rates"), spec("zebra"), spec("orders", "raw"), spec("rates"), spec("raw")]
    )

    assert graph.order == k("zebra", "rates", "raw", "orders", "report")
    assert tuple(graph.specs) == graph.order


def test_declaration_order_is_kept_when_it_is_already_topological() -> None:
    names = ["d", "b", "c", "a"]
    graph = AssetGraph([spec(name, *names[:index]) for index, name in enumerate(names)])

    assert graph.order == k(*names)


def test_upstream_is_in_parameter_order_without_repeats() -> None:
    graph = AssetGraph([spec("a"), spec("b"), spec("c", "b", "a", "b")])

    assert graph.upstream(AssetKey("c")) == k("b", "a")


def test_downstream_is_in_topological_order() -> None:
    graph = AssetGraph([spec("late", "mid", "a"), spec("mid", "a"), spec("a"), spec("first", "a")])

    assert graph.downstream(AssetKey("a")) == k("mid", "late", "first")


def test_walk_counts_the_shortest_way() -> None:
    graph = AssetGraph([spec("a"), spec("b", "a"), spec("c", "b"), spec("d", "c", "a")])

    assert graph.walk(k("a"), up=False, depth=1) == set(k("a", "b", "d"))
    assert graph.walk(k("d"), up=True, depth=1) == set(k("d", "c", "a"))
    assert graph.walk(k("d"), up=True, depth=0) == set(k("d"))
    assert graph.walk(k("d"), up=True) == set(k("a", "b", "c", "d"))


def test_resolve_takes_a_full_key_before_a_last_name() -> None:
    graph = AssetGraph([spec("raw.orders"), spec("orders"), spec("marts.report")])

    assert graph.resolve("orders") == "orders"
    assert graph.resolve("raw.orders") == "raw.orders"
    assert graph.resolve("report") == "marts.report"


def test_resolve_lists_the_assets_that_a_last_name_fits() -> None:
    graph = AssetGraph([spec("raw.orders"), spec("marts.orders")])

    with pytest.raises(UsageError) as caught:
        graph.resolve("orders")
    assert "`raw.orders`, `marts.orders`" in str(caught.value)


def test_resolve_takes_one_name_and_no_selection() -> None:
    graph = AssetGraph([spec("stg_orders"), spec("stg_items"), spec("report")])

    for selection, facts in (
        ("stg_*", ("it fits `stg_orders`, `stg_items`",)), ("x*", ()), ("+report", ()), ("tag:gold", ()),
        ("report stg_items", ()),
    ):  # fmt: skip
        with pytest.raises(UsageError, match="is a selection, and one asset is meant here") as caught:
            graph.resolve(selection)
        assert caught.value.facts == facts
    with pytest.raises(UsageError) as caught:
        graph.resolve("stg_*")
    assert caught.value.fix == "name one, such as `stg_orders`; `assetflow ls 'stg_*'` lists what it selects"


def test_resolve_suggests_a_near_name() -> None:
    graph = AssetGraph([spec("stg_orders"), spec("report")])

    with pytest.raises(NoSuchAsset) as caught:
        graph.resolve("stg_ordres")
    assert caught.value.fix == "did you mean `stg_orders`?"


def test_cycle_names_every_asset_in_it_and_where() -> None:
    with pytest.raises(Cycle) as caught:
        AssetGraph(
            [spec("raw"), spec("orders", "raw", "ltv", line=24), spec("ltv", "orders", line=70), spec("end", "ltv")]
        )
    assert caught.value.what == "these assets form a cycle: orders → ltv → orders"
    assert caught.value.facts == (
        "orders (assets/marts.py:24) takes `ltv`",
        "ltv (assets/marts.py:70) takes `orders`",
    )


def test_the_arrows_of_a_cycle_point_the_way_data_flows() -> None:
    with pytest.raises(Cycle) as caught:
        AssetGraph([spec("a", "c"), spec("b", "a"), spec("c", "b")])
    assert "a → b → c → a" in caught.value.what


def test_an_asset_that_takes_itself_is_a_cycle() -> None:
    assert find_cycle({"a": [], "b": ["a", "b"]}) == ["b", "b"]


def test_find_cycle_begins_with_the_earliest_key() -> None:
    assert find_cycle({"end": ["c"], "a": ["b"], "b": ["c"], "c": ["a"]}) == ["a", "b", "c", "a"]


def test_find_cycle_gives_none_for_diamonds_and_unknown_targets() -> None:
    assert find_cycle({"d": ["b", "c"], "b": ["a"], "c": ["a"], "a": ["elsewhere"]}) is None


def test_find_cycle_answers_with_a_real_circle_exactly_when_there_is_one() -> None:
    rng = random.Random(7)
    for _ in range(400):
        names = [f"n{i}" for i in range(rng.randint(1, 8))]
        edges = {name: rng.sample(names, rng.randint(0, min(2, len(names)))) for name in names}
        circle = find_cycle(edges)
        left = dict(edges)
        while free := [name for name, targets in left.items() if not any(t in left for t in targets)]:
            for name in free:
                del left[name]
        assert (circle is not None) == bool(left)
        if circle is not None:
            assert circle[0] == circle[-1]
            assert len(set(circle)) == len(circle) - 1
            assert all(other in edges[one] for one, other in pairwise(circle))


@pytest.mark.parametrize("shape", ["chain", "star", "reverse_star"])
def test_twenty_thousand_assets_take_well_under_a_second(shape: str) -> None:
    names = [f"a{i}" for i in range(20_000)]
    if shape == "chain":
        specs = [spec(name, *names[max(i - 1, 0) : i]) for i, name in enumerate(names)]
    elif shape == "star":
        specs = [spec(name, *([names[0]] if i else [])) for i, name in enumerate(names)]
    else:
        specs = [spec(names[0], *names[1:]), *map(spec, names[1:])]
    before = time.process_time()
    graph = AssetGraph(reversed(specs))
    found = graph.walk(k(names[0]), up=False) | graph.walk(k(names[-1]), up=True)
    find_cycle({str(key): graph.upstream(key) for key in graph.order})

    assert time.process_time() - before < 1.0
    assert len(found) == (2 if shape == "reverse_star" else 20_000)
