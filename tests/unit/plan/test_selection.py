from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress

import pytest
from hypothesis import given, settings, strategies as st

from assetflow.errors import NoSuchAsset, SelectionSyntaxError, VersionInSelection
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.plan.graph import AssetGraph
from assetflow.plan.selection import NoFacts, parse_selection


def spec(
    key: str, *upstreams: str, kind: str = "asset", group: str = "marts", tags: Mapping[str, str] | None = None,
    owners: tuple[str, ...] = (), file: str = "/home/me/shop/assets/marts.py", io: str = "parquet",
    kinds: tuple[str, ...] = (),
) -> AssetSpec:  # fmt: skip
    return AssetSpec(
        key=AssetKey(key), kind=kind, node=key, inputs=tuple(InputSpec(u, AssetKey(u)) for u in upstreams),
        group=group, owners=owners, tags=tags or {}, description="", io=io, file=file, line=1, kinds=kinds,
    )  # fmt: skip


SHOP = AssetGraph(
    [
        spec("raw_orders", kind="source", group="raw", kinds=("csv",)),
        spec("fx_rates", kind="source", group="raw"),
        spec(
            "stg_orders", "raw_orders", group="staging", tags={"nightly": ""}, file="/home/me/shop/assets/staging/o.py"
        ),
        spec("marts.orders", "stg_orders", "fx_rates", tags={"tier": "gold"}, owners=("data@coffee.example",)),
        spec("status", "marts.orders", group="my-group", tags={"tier": "silver", "nightly": "x"}, io="duckdb"),
        spec("legacy.daily", group="legacy", owners=("team/data",)),
        spec("marts.daily", "status", "marts.orders"),
    ]
)


class ShopFacts(NoFacts):
    saved_selections: Mapping[str, str] = {
        "nightly": "tag:nightly and not is:blocked",
        "all-of-it": ":nightly or +status",
    }

    def state(self) -> Mapping[AssetKey, frozenset[str]]:
        return {AssetKey("stg_orders"): frozenset(["stale", "overdue"]), AssetKey("status"): frozenset(["blocked"])}

    def reasons(self) -> Mapping[AssetKey, frozenset[str]]:
        return {
            AssetKey("stg_orders"): frozenset(["code_changed", "input_changed"]),
            AssetKey("status"): frozenset(["helper_changed"]),
        }

    def saved(self) -> Mapping[str, str]:
        return self.saved_selections

    def last(self) -> Mapping[AssetKey, str]:
        return {AssetKey("status"): "failed"}


def select(text: str) -> str:
    return " ".join(parse_selection(text).select(SHOP, ShopFacts()))


ALL_TEXT = "raw_orders fx_rates stg_orders marts.orders status legacy.daily marts.daily"


@pytest.mark.parametrize(
    ("text", "selected"),
    [
        ("stg_orders", "stg_orders"),
        ("orders", "marts.orders"),
        ("daily", "legacy.daily marts.daily"),
        ("marts.orders", "marts.orders"),
        ("*", ALL_TEXT),
        ("*orders", "raw_orders stg_orders marts.orders"),
        ("order?", "marts.orders"),
        ("marts.*", "marts.orders marts.daily"),
        ("*.daily", "legacy.daily marts.daily"),
        ("nothing_*", ""),
        ("key:stg_orders", "stg_orders"),
        ('key:"stg_*"', "stg_orders"),
        ('"stg_orders"', "stg_orders"),
        ("'stg_orders'", "stg_orders"),
        ("+orders", "raw_orders fx_rates stg_orders marts.orders"),
        ("orders+", "marts.orders status marts.daily"),
        ("1+status", "marts.orders status"),
        ("raw_orders+1", "raw_orders stg_orders"),
        ("1+orders+1", "fx_rates stg_orders marts.orders status marts.daily"),
        ("orders + 1", "marts.orders status marts.daily"),
        ("0+orders", "marts.orders"),
        ("+(orders+)", "raw_orders fx_rates stg_orders marts.orders status marts.daily"),
        ("stg_orders..status", "stg_orders marts.orders status"),
        ("stg_orders .. marts.daily", "stg_orders marts.orders status marts.daily"),
        ("status..stg_orders", ""),
        ("key:stg_orders..status", "stg_orders marts.orders status"),
        ("stg_orders or status", "stg_orders status"),
        ("stg_orders | status", "stg_orders status"),
        ("stg_orders status", "stg_orders status"),
        ("(stg_orders)(status)", "stg_orders status"),
        ("+orders AND *orders Or status", "raw_orders stg_orders marts.orders status"),
        ("+orders & !stg_*", "raw_orders fx_rates marts.orders"),
        ("* and NOT tag:tier", "raw_orders fx_rates stg_orders legacy.daily marts.daily"),
        ("status *orders and stg_*", "stg_orders status"),
        ("stg_orders+ status", "stg_orders marts.orders status marts.daily"),
        ("fx_rates +stg_orders", "raw_orders fx_rates stg_orders"),
        ("fx_rates 1+stg_orders", "raw_orders fx_rates stg_orders"),
        ("stg_orders+ 1+stg_orders", "raw_orders stg_orders marts.orders status marts.daily"),
        ("raw_orders+1 +fx_rates", "raw_orders fx_rates stg_orders"),
        ("roots(+orders)", "raw_orders fx_rates"),
        ("sinks(+orders or legacy.*)", "marts.orders legacy.daily"),
        ("roots(raw_orders marts.daily)", "raw_orders"),
        ("sinks (raw_orders marts.daily)", "marts.daily"),
        ("sinks(*)+1", "legacy.daily marts.daily"),
        ("tag:tier", "marts.orders status"),
        ("tag:nightly", "stg_orders status"),
        ("tag:tier=gold", "marts.orders"),
        ('tag:"tier"="gold"', "marts.orders"),
        ("tag: tier = gold", "marts.orders"),
        ("tag:tier=*", "marts.orders status"),
        ('tag:nightly=""', "stg_orders"),
        ("tag:nightly=<null>", "stg_orders"),
        ("tag:<null>", "raw_orders fx_rates legacy.daily marts.daily"),
        ("group:raw", "raw_orders fx_rates"),
        ("group:my-group", "status"),
        ("group:nothing", ""),
        ("kind:source", "raw_orders fx_rates"),
        ("kind:csv", "raw_orders"),
        ("owner:data@coffee.example", "marts.orders"),
        ("owner:*@coffee.example", "marts.orders"),
        ("owner:team/data", "legacy.daily"),
        ("owner:<null> and stg_*", "stg_orders"),
        ("path:assets/staging", "stg_orders"),
        ("path:staging/o.py", "stg_orders"),
        ("path:o.py", "stg_orders"),
        ("path:s/o.py", ""),
        ("path:stag*", "stg_orders"),
        ("path:/home/me/shop/assets/staging/o.py", "stg_orders"),
        ("io:duckdb", "status"),
        ("store:duckdb", "status"),
        ("is:stale", "stg_orders"),
        ("status:stale", "stg_orders"),
        ("is:overdue and is:stale", "stg_orders"),
        ("is:missing", ""),
        ("is:source", "raw_orders fx_rates"),
        ("is:external", "raw_orders fx_rates"),
        ("is:materializable and tag:tier", "marts.orders status"),
        ("why:code_changed", "stg_orders"),
        ("changed:code", "stg_orders status"),
        ("code_changed:yes", "stg_orders status"),
        ("code_changed:", "stg_orders status"),
        ("code_changed: and stg_*", "stg_orders"),
        ("code_changed:no and tag:tier", "marts.orders"),
        ("changed:input", "stg_orders"),
        ("last:failed", "status"),
        ("last:<null> and tag:tier", "marts.orders"),
        (":nightly", "stg_orders"),
        (":all-of-it and not fx_rates", "raw_orders stg_orders marts.orders status"),
        ("legacy.daily :nightly", "stg_orders legacy.daily"),
        ("status", "status"),
        ("status or tag:tier", "marts.orders status"),
    ],
)
def test_selection_means(text: str, selected: str) -> None:
    assert select(text) == selected


def test_an_exact_key_is_taken_before_a_last_name() -> None:
    graph = AssetGraph([spec("raw.orders"), spec("orders")])

    assert parse_selection("orders").select(graph, NoFacts()) == ("orders",)
    assert parse_selection("*orders").select(graph, NoFacts()) == ("raw.orders", "orders")


@pytest.mark.parametrize("name", ["group", "tag", "key", "is", "owner", "roots", "sinks", "column", "code_changed"])
def test_an_asset_named_like_a_word_of_the_language_needs_no_quotes(name: str) -> None:
    graph = AssetGraph([spec(name), spec("below", name)])

    assert parse_selection(f"+{name}+ and not below").select(graph, NoFacts()) == (name,)


def test_an_end_in_the_middle_shows_a_caret_and_what_could_stand_there() -> None:
    with pytest.raises(SelectionSyntaxError) as caught:
        parse_selection("orders and")
    assert str(caught.value).splitlines() == [
        "`orders and` ends where a selection was expected",
        "   orders and",
        "             ^ expected a name, an attribute such as tag:gold, a number, `+`, `not` or `(`",
    ]


@pytest.mark.parametrize(
    ("text", "at", "says"),
    [
        ("", 0, "the selection is empty"),
        ("(a or b", 7, "ends where `)` was expected"),
        ("a)", 1, "something after its end"),
        ("a and or b", 6, "`or` stands where a selection was expected"),
        ("a or +", 6, "ends where a selection was expected"),
        ("2a b 3", 6, "a number of levels without a `+`"),
        ("tag:", 4, "ends where a value was expected"),
        ("tag:k=", 6, "ends where a value was expected"),
        ("foo(a)", 0, "`foo(` is not a function"),
        ("a+b", 1, "`a+b` has a `+` between two selections"),
        ("a + b", 2, "has a `+` between two selections"),
        ('a or "b', 5, "a quote is not closed"),
        ("a..", 3, "ends where a selection was expected"),
        ("a or -b", 5, "`-` cannot begin a name"),
        ("orders[2026-01-05]", 6, "names assets, not partitions"),
        ("a % b", 2, "`%` means nothing in a selection"),
        ("a or :", 6, "without a name"),
        ('""', 0, "an empty name"),
        ("tags:gold", 0, "`tags:` is not an attribute"),
        ("column:x", 0, "`column:` is not an attribute"),
        ("is:stael", 3, "`stael` is not a value of `is:`"),
        ("why:code_change", 4, "is not a value of `why:`"),
        ("changed:main", 8, "is not a value of `changed:`"),
        ("last:ok", 5, "is not a value of `last:`"),
        ("code_changed:maybe", 13, "expected yes or no"),
    ],
)
def test_what_cannot_be_read_is_said_with_a_caret_at_the_place(text: str, at: int, says: str) -> None:
    with pytest.raises(SelectionSyntaxError) as caught:
        parse_selection(text)
    error = caught.value
    assert says in str(error)
    assert error.facts[1].index("^") == at + 1


def test_values_that_are_listed_are_words() -> None:
    for text in ("last:ok", "why:code_change"):
        with pytest.raises(SelectionSyntaxError) as caught:
            parse_selection(text)
        assert "<null>" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fix"),
    [
        ("tags:gold or a", "did you mean `tag:gold or a`?"),
        ("+a and is:stael", "did you mean `+a and is:stale`?"),
        ("is:late", "did you mean `is:overdue`?"),
        ("status:fresh", "did you mean `status:current`?"),
        ("why:code_change", "did you mean `why:code_changed`?"),
        ("a, b", "write `a or b` for what is in either, `a and b` for what is in both"),
        ("+a,tag:x", "write `+a or tag:x` for what is in either, `+a and tag:x` for what is in both"),
    ],
)
def test_errors_offer_the_whole_selection_as_it_was_meant(text: str, fix: str) -> None:
    with pytest.raises(SelectionSyntaxError) as caught:
        parse_selection(text)
    assert caught.value.fix == fix


def test_at_before_a_name_is_rewritten() -> None:
    with pytest.raises(VersionInSelection) as caught:
        parse_selection("tag:x or @orders")
    assert "`tag:x or +(orders+)`" in (caught.value.fix or "")
    assert caught.value.facts[1].index("^") == 10


@pytest.mark.parametrize("text", ["orders@3", "orders@HEAD~1", '"orders"@3'])
def test_a_version_goes_with_read_verbs(text: str) -> None:
    with pytest.raises(VersionInSelection) as caught:
        parse_selection(text)
    assert "go with verbs that read data" in str(caught.value)
    assert caught.value.fix == "leave the version out: `orders`"


def test_an_unknown_name_is_an_error_with_the_corrected_selection() -> None:
    with pytest.raises(NoSuchAsset) as caught:
        select("+stg_ordres & !statsu")
    assert caught.value.what == "no asset matches `stg_ordres`"
    assert caught.value.fix == "did you mean `+stg_orders and not status`?"


@pytest.mark.parametrize(
    ("text", "fix"),
    [("stale", "write `is:stale`"), ("staging", "write `group:staging`"), ("nightly", "write `tag:nightly`")],
)
def test_a_name_that_is_a_state_or_a_group_or_a_tag_says_so(text: str, fix: str) -> None:
    graph = AssetGraph([spec("qqq", group="staging", tags={"nightly": ""})])

    with pytest.raises(NoSuchAsset) as caught:
        parse_selection(text).select(graph, NoFacts())
    assert caught.value.fix == fix


def test_an_unknown_name_inside_a_saved_selection_says_where() -> None:
    class Facts(NoFacts):
        def saved(self) -> Mapping[str, str]:
            return {"broken": "+ordrs", "unreadable": "a and"}

    with pytest.raises(NoSuchAsset) as caught:
        parse_selection(":broken").select(SHOP, Facts())
    assert "in the saved selection `:broken`" in str(caught.value)
    with pytest.raises(SelectionSyntaxError) as unreadable:
        parse_selection(":unreadable").select(SHOP, Facts())
    assert "in the saved selection `:unreadable`" in str(unreadable.value)


def test_an_unknown_saved_selection_suggests_one() -> None:
    with pytest.raises(SelectionSyntaxError) as caught:
        select(":nigthly")
    assert caught.value.what == "no saved selection is called `:nigthly`"
    assert caught.value.fix == "did you mean `:nightly`?"


def test_saved_selections_in_a_circle_are_named() -> None:
    class Facts(NoFacts):
        def saved(self) -> Mapping[str, str]:
            return {"a": "x or :b", "b": "not :c", "c": ":a"}

    with pytest.raises(SelectionSyntaxError) as caught:
        parse_selection("status or :a").select(SHOP, Facts())
    assert "circle: :a → :b → :c → :a" in caught.value.what


def test_a_long_chain_of_saved_selections_works() -> None:
    class Facts(NoFacts):
        def saved(self) -> Mapping[str, str]:
            return {**{f"s{i}": f":s{i + 1}" for i in range(3000)}, "s3000": "status"}

    assert parse_selection(":s0").select(SHOP, Facts()) == ("status",)


def test_facts_are_asked_only_when_a_selection_needs_them() -> None:
    class Nothing(NoFacts):
        def state(self) -> Mapping[AssetKey, frozenset[str]]:
            raise AssertionError

        reasons = saved = last = state  # pyright: ignore[reportAssignmentType] - never called, so never of a wrong type

    assert parse_selection("tag:tier and not is:source").select(SHOP, Nothing())


@pytest.mark.parametrize("text", ["(" * 100_000, "not " * 100_000 + "a", "(" * 101 + "a" + ")" * 101, "+(" * 50_000])
def test_deep_nesting_is_an_error_and_not_a_crash(text: str) -> None:
    with pytest.raises(SelectionSyntaxError, match="more than 100 levels"):
        parse_selection(text)


def test_nesting_up_to_the_limit_works_and_siblings_do_not_add_up() -> None:
    deep = "+(not status and " * 50 + "status" + ")+" * 50
    selection = parse_selection(deep)

    assert str(parse_selection(str(selection))) == str(selection)
    assert selection.select(SHOP, NoFacts()) is not None
    assert select(" or ".join(["(not status)"] * 500)) == ALL_TEXT.replace(" status", "")


def test_a_number_beyond_all_graphs_is_no_limit() -> None:
    assert select(f"{'9' * 5000}+orders") == select("+orders")


PIECES = st.sampled_from(
    [*'()+&|!:="\'@,.-*?[]\\ \t\n12', "..", "and", "OR", "not", "tag:", "is:", "key:", "a", "orders", "stale", "<null>",
     "code_changed:", "changed:", "roots(", "²", "٣", "\x00", "\ud800", "é"]
)  # fmt: skip


@settings(max_examples=800, derandomize=True, deadline=None)
@given(st.one_of(st.lists(PIECES, max_size=14).map("".join), st.text(max_size=20)))
def test_any_text_is_read_or_refused_with_our_own_error(text: str) -> None:
    try:
        selection = parse_selection(text)
    except (SelectionSyntaxError, VersionInSelection):
        return
    assert parse_selection(str(selection)) == selection
    with suppress(NoSuchAsset, SelectionSyntaxError):
        selection.select(SHOP, ShopFacts())


@pytest.mark.parametrize("shape", ["chain", "star"])
def test_twenty_thousand_assets_are_selected_in_linear_time(shape: str) -> None:
    graph = AssetGraph(
        [
            spec("a0"),
            *[spec(f"a{i}", f"a{i - 1}" if shape == "chain" else "a0", tags={"t": ""}) for i in range(1, 20_000)],
        ]
    )
    before = time.process_time()
    for text in ["roots(*) or sinks(*)", "+a19999", "a0+ and not a7", "a0..a19999", "a1* and tag:t", "5+a9+5"]:
        parse_selection(text).select(graph, NoFacts())
    parse_selection(" or ".join(f"a{i}" for i in range(20_000))).select(graph, NoFacts())

    assert time.process_time() - before < 4


def test_a_glob_with_many_stars_takes_no_long_time() -> None:
    graph = AssetGraph([spec("a" * 95 + "b")])
    before = time.process_time()
    parse_selection("*a" * 30 + "*c").select(graph, NoFacts())

    assert time.process_time() - before < 0.5
