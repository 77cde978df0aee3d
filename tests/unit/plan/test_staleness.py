from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest
from msgspec.structs import replace

from assetflow.model.keys import AssetKey
from assetflow.model.records import Head, Trace, TraceInput, Version
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.plan.selection_words import REASONS
from assetflow.plan.staleness import Action, Content, Decision, Reason, decide, digest_of, input_key

ORDERS, RATES = AssetKey("orders"), AssetKey("rates")
TAKES_ORDERS, TAKES_RATES = InputSpec("orders", ORDERS), InputSpec("rates", RATES)
ORDERS_1 = Content("hash 1", 10, {"id": "i1", "amount": "a1"}, 1)
ORDERS_2 = Content("hash 2", 10, {"id": "i1", "amount": "a2"}, 2)
RATES_1 = Content("rates 1", 3, {}, 1)
BOTH: dict[AssetKey, Content | None] = {ORDERS: ORDERS_1, RATES: RATES_1}


def report(*inputs: InputSpec, **changes: object) -> AssetSpec:
    spec = AssetSpec(
        key=AssetKey("marts.report"), kind="asset", node="marts.report", inputs=inputs or (TAKES_ORDERS, TAKES_RATES),
        group="marts", owners=(), tags={}, description="", io="parquet", file="assets/marts.py", line=12, code="c1",
        code_parts={"build": "b1", "clean": "h1", "TAX": "t1"}, config={"limit": "10"},
    )  # fmt: skip
    return replace(spec, **changes)


def built(spec: AssetSpec, contents: Mapping[AssetKey, Content | None] = BOTH, number: int = 5) -> Head:
    """The head that a run of `spec` on these contents left."""
    known = [(one, content) for one in spec.inputs if (content := contents.get(one.upstream)) is not None]
    digests = [(one, digest_of(one, content)) for one, content in known]
    inputs = tuple(
        TraceInput(one.parameter, one.upstream, one.mode, digest_of(one, content), content.number)
        for one, content in known
    )
    version = Version(number, spec.key, "", number, f"data {number}", "parquet", "", 1, 1, {}, {}, {}, 0.0)
    trace = Trace(
        number, spec.key, "", input_key(spec, digests), spec.code, spec.code_parts or {}, spec.config or {}, inputs,
        number, number, version.data_hash, 1, "run", 0.0, 1.0, None, {}, spec.packages, spec.files, spec.env_vars,
        code_version=spec.code_version,
    )  # fmt: skip
    return Head("dev", trace, version, 1, 1, 0.0)


def why(decision: Decision) -> list[tuple[str, str]]:
    return [(reason.code, reason.text) for reason in decision.reasons]


def decided(spec: AssetSpec, head: Head | None, **contents: Content | None) -> Decision:
    return decide(spec, head, {**BOTH, **{AssetKey(key): content for key, content in contents.items()}}, {})


# --------------------------------------------------------------------------------------------------------- input keys


@pytest.mark.parametrize(
    ("limit", "key"),
    [
        ("10", "afk1:bbf31d2021497f7c6b3d960ab745c070"),
        ("x" * 127, "afk1:3c981f276cc755efe85c710932c0aee7"),
        ("x" * 128, "afk1:984b5dcaca62065aab6da2c4d24a2806"),
        ("x" * 1000, "afk1:40dbd5d8808364bb5c13041470754a25"),
        ("ü", "afk1:6474fdb8303564eb57e9aafa00fba966"),
        ("😀" * 40, "afk1:825eeaba2703944bbd54fe79ea3f8dd9"),
    ],
)
def test_input_keys_are_those_of_earlier_versions(limit: str, key: str) -> None:
    """Another key makes every asset of every project run again."""
    spec = report(config={"limit": limit})

    assert input_key(spec, [(TAKES_ORDERS, "hash 1"), (TAKES_RATES, "rates 1")]) == key


# ------------------------------------------------------------------------------------------------------------ digests


def test_an_input_depends_on_the_whole_content_by_default() -> None:
    assert digest_of(TAKES_ORDERS, ORDERS_1) == "hash 1"
    assert digest_of(InputSpec("", ORDERS, "version"), ORDERS_1) == "hash 1"
    assert digest_of(InputSpec("", ORDERS, "order"), ORDERS_1) == "", "and in order only, on nothing"


def test_a_projection_depends_on_its_columns_and_the_row_count_alone() -> None:
    ids = InputSpec("orders", ORDERS, "columns", ("id",))

    assert digest_of(ids, ORDERS_1) == digest_of(ids, ORDERS_2), "only another column changed"
    assert digest_of(ids, ORDERS_1) != digest_of(ids, replace(ORDERS_1, rows=11))
    assert digest_of(ids, ORDERS_1) != digest_of(ids, replace(ORDERS_1, columns={"id": "i2"}))
    amounts = replace(ids, columns=("id", "amount"))
    assert digest_of(amounts, ORDERS_1) != digest_of(amounts, ORDERS_2)


def test_a_projection_of_no_columns_depends_on_the_row_count() -> None:
    nothing = InputSpec("orders", ORDERS, "columns", ())

    assert digest_of(nothing, ORDERS_1) == digest_of(nothing, ORDERS_2)
    assert digest_of(nothing, ORDERS_1) != digest_of(nothing, replace(ORDERS_1, rows=0))


@pytest.mark.parametrize("columns", [("id", "gone"), ("gone",)])
def test_a_projection_of_a_column_that_is_not_there_depends_on_everything(columns: tuple[str, ...]) -> None:
    assert digest_of(InputSpec("orders", ORDERS, "columns", columns), ORDERS_1) == "hash 1"


def test_a_projection_of_a_source_depends_on_everything() -> None:
    source = Content("files:1", None, {}, 1)

    assert digest_of(InputSpec("raw", AssetKey("raw"), "columns", ("id",)), source) == "files:1"


def test_columns_with_names_that_read_alike_are_told_apart() -> None:
    joined = Content("x", 1, {"a=1": "2", "a": "1=2"}, 1)
    one, other = InputSpec("p", ORDERS, "columns", ("a=1",)), InputSpec("p", ORDERS, "columns", ("a",))
    spec = report()

    assert input_key(spec, [(one, digest_of(one, joined))]) != input_key(spec, [(other, digest_of(other, joined))])


# --------------------------------------------------------------------------------------------------------------- keys


def key_of(spec: AssetSpec, **digests: str) -> str:
    return input_key(spec, [(one, digests.get(one.parameter, "d")) for one in spec.inputs])


def test_the_key_is_the_same_in_every_release() -> None:
    # Another value would make every asset of every project stale: change the tag `afk1` too if it must be.
    spec = report(InputSpec("rates", RATES, "columns", ("a", "b")), InputSpec("", ORDERS, "order"), TAKES_ORDERS)
    parts = [
        "afk1", "marts.report", "c1", "1", "limit=10",
        "orders", "orders", "value", "", "d",
        "rates", "rates", "columns", "a,b", "d",
    ]  # fmt: skip
    text = b"".join(len(part.encode()).to_bytes(8, "big") + part.encode() for part in parts)

    assert key_of(spec) == f"afk1:{hashlib.sha256(text).hexdigest()[:32]}" == "afk1:a90dc2b58a4f73335e227e3d46eed7d7"


@pytest.mark.parametrize(
    "changed",
    [
        report(key=AssetKey("marts.other")),
        report(code="c2"),
        report(config={"limit": "11"}),
        report(config={}),
        report(config={"limit": "10", "more": "1"}),
        report(config={"limi": "t=10"}),
        report(TAKES_ORDERS),
        report(TAKES_ORDERS, replace(TAKES_RATES, parameter="rate")),
        report(TAKES_ORDERS, replace(TAKES_RATES, upstream=AssetKey("fx.rates"))),
        report(TAKES_ORDERS, replace(TAKES_RATES, mode="columns")),
        report(TAKES_ORDERS, replace(TAKES_RATES, mode="columns", columns=("a",))),
        report(TAKES_ORDERS, TAKES_RATES, InputSpec("more", AssetKey("more"))),
    ],
)
def test_everything_that_the_content_depends_on_is_in_the_key(changed: AssetSpec) -> None:
    assert key_of(changed) != key_of(report())


def test_the_contents_of_inputs_are_in_the_key_each_at_its_place() -> None:
    spec = report()
    keys = {key_of(spec), key_of(spec, orders="e"), key_of(spec, rates="e"), key_of(spec, orders="e", rates="e")}

    assert len(keys) == 4


@pytest.mark.parametrize(
    "same",
    [
        report(TAKES_RATES, TAKES_ORDERS),
        report(TAKES_ORDERS, TAKES_RATES, InputSpec("", AssetKey("setup"), "order")),
        report(owners=("ann",), tags={"a": "b"}, description="…", group="other", file="b.py", line=99, retries=3),
        report(io="duckdb"),
        report(code_parts={"anything": "else"}),
        report(config={"limit": "10"}),
    ],
)
def test_what_the_content_does_not_depend_on_is_not_in_the_key(same: AssetSpec) -> None:
    assert key_of(same) == key_of(report())


# ---------------------------------------------------------------------------------------------------------- decisions


def test_what_was_made_by_this_code_from_this_content_is_current() -> None:
    head = built(report())

    assert decided(report(), head) == Decision(Action.CURRENT, (), head.trace.input_key)


def test_an_asset_without_inputs_is_current_once_made() -> None:
    spec = replace(report(), inputs=())

    assert decide(spec, built(spec), {}, {}).action is Action.CURRENT
    assert decide(spec, None, {}, {}).action is Action.RUN


def test_never_materialized() -> None:
    decision = decided(report(), None)

    assert decision.action is Action.RUN
    assert why(decision) == [("never_materialized", "never materialized")]


def test_code_changed_when_the_function_itself_did() -> None:
    spec = report(code="c2", code_parts={"build": "b2", "clean": "h2", "TAX": "t1"})
    decision = decided(spec, built(report()))

    assert decision.action is Action.RUN
    assert decision.reasons == (
        Reason(
            "code_changed", "code changed (assets/marts.py:12)",
            {"changed": ["build", "clean"], "file": "assets/marts.py", "line": 12},
        ),
    )  # fmt: skip


def test_helper_changed_when_only_what_the_function_uses_did() -> None:
    spec = report(code="c2", code_parts={"build": "b1", "clean": "h2", "RATE": "r1"})
    decision = decided(spec, built(report()))

    assert why(decision) == [("helper_changed", "helper changed: RATE, TAX, clean")]


def test_code_changed_when_the_function_has_another_name_now() -> None:
    spec = report(code="c2", code_parts={"make": "b1", "clean": "h1", "TAX": "t1"})

    assert [code for code, _ in why(decided(spec, built(report())))] == ["code_changed"]


def test_code_changed_when_nobody_knows_which_part_of_it() -> None:
    same_parts = report(code="c2")
    no_parts = report(code="c2", code_parts=None)
    before = built(replace(report(), code_parts=None))

    for spec, head in ((same_parts, built(report())), (no_parts, before)):
        assert [code for code, _ in why(decided(spec, head))] == ["code_changed"]


def test_config_changed_names_each_field_with_its_values() -> None:
    spec = report(config={"new": '"x"', "limit": "20"})
    decision = decided(spec, built(report(config={"limit": "10", "old": "1"})))

    assert decision.action is Action.RUN
    assert [(reason.text, dict(reason.data)) for reason in decision.reasons] == [
        ("config limit: 10 → 20", {"field": "limit", "from": "10", "to": "20"}),
        ('config new: unset → "x"', {"field": "new", "from": None, "to": '"x"'}),
        ("config old: 1 → unset", {"field": "old", "from": "1", "to": None}),
    ]
    assert {reason.code for reason in decision.reasons} == {"config_changed"}


def test_input_changed_names_the_versions() -> None:
    decision = decided(report(), built(report()), orders=ORDERS_2)

    assert decision.action is Action.RUN
    assert decision.reasons == (Reason("input_changed", "orders v1 → v2", {"input": "orders", "from": 1, "to": 2}),)


def test_input_changed_for_a_source_that_is_not_recorded_yet() -> None:
    decision = decided(report(), built(report()), orders=replace(ORDERS_2, number=None))

    assert why(decision) == [("input_changed", "orders v1 → new content")]


def test_equal_content_under_another_number_is_no_change() -> None:
    assert decided(report(), built(report()), orders=replace(ORDERS_1, number=9)).action is Action.CURRENT


def test_a_change_in_columns_that_are_not_read_is_no_change() -> None:
    spec = report(InputSpec("orders", ORDERS, "columns", ("id",)), TAKES_RATES)

    assert decided(spec, built(spec), orders=ORDERS_2).action is Action.CURRENT
    assert decided(spec, built(spec), orders=replace(ORDERS_2, rows=11)).action is Action.RUN


def test_input_added_and_input_removed() -> None:
    fewer, more = report(TAKES_ORDERS), report()
    added, removed = decided(more, built(fewer)), decided(fewer, built(more))

    assert (added.action, removed.action) == (Action.RUN, Action.RUN)
    assert added.reasons == (Reason("input_added", "reads rates now", {"input": "rates", "parameter": "rates"}),)
    assert removed.reasons == (
        Reason("input_removed", "reads rates no more", {"input": "rates", "parameter": "rates"}),
    )


def test_a_parameter_with_another_name_is_told_as_such() -> None:
    renamed = report(TAKES_ORDERS, replace(TAKES_RATES, parameter="fx"))

    assert why(decided(renamed, built(report()))) == [
        ("input_added", "reads rates as `fx` now"),
        ("input_removed", "reads rates as `rates` no more"),
    ]


def test_inputs_are_told_in_the_order_of_the_parameters() -> None:
    names = [f"u{number}" for number in range(20)]
    spec = report(*(InputSpec(name, AssetKey(name)) for name in reversed(names)))
    contents: dict[AssetKey, Content | None] = {AssetKey(name): ORDERS_1 for name in names}
    decision = decide(spec, built(replace(spec, inputs=()), {}), contents, {})

    assert [reason.data["input"] for reason in decision.reasons] == names[::-1]


def test_an_input_read_in_another_way_is_a_change_of_the_definition_not_of_the_input() -> None:
    whole, ids = report(), report(InputSpec("orders", ORDERS, "columns", ("id",)), TAKES_RATES)
    amounts = report(InputSpec("orders", ORDERS, "columns", ("amount",)), TAKES_RATES)

    for before, now in ((whole, ids), (ids, whole), (ids, amounts)):
        decision = decided(now, built(before))
        assert (decision.action, why(decision)) == (Action.RUN, [("code_changed", "its definition changed")])


def test_an_input_read_in_another_way_that_changed_too_is_both() -> None:
    ids = report(InputSpec("orders", ORDERS, "columns", ("id",)), TAKES_RATES)

    assert why(decided(ids, built(report()), orders=ORDERS_2)) == [
        ("code_changed", "its definition changed"),
        ("input_changed", "orders v1 → v2"),
    ]


def test_a_key_of_another_shape_is_a_change_of_the_definition() -> None:
    # As after a release that computes keys in another way.
    head = built(report())
    head = replace(head, trace=replace(head.trace, input_key="afk0:1"))

    assert why(decided(report(), head)) == [("code_changed", "its definition changed")]


def test_data_missing_when_the_bytes_of_the_current_version_are_gone() -> None:
    decision = decide(report(), built(report()), BOTH, {}, is_lost=True)

    assert decision.action is Action.RUN
    assert decision.reasons == (Reason("data_missing", "the bytes of v5 are gone", {"version": 5}),)


def test_forced_comes_first_and_does_not_hide_the_other_reasons() -> None:
    decision = decide(report(code="c2"), built(report()), {**BOTH, ORDERS: ORDERS_2}, {}, is_forced=True, is_lost=True)

    assert decision.action is Action.RUN
    assert [code for code, _ in why(decision)] == ["forced", "data_missing", "code_changed", "input_changed"]
    assert [code for code, _ in why(decide(report(), None, BOTH, {}, is_forced=True))] == [
        "forced",
        "never_materialized",
    ]


def test_an_upstream_that_is_about_to_run_makes_it_maybe() -> None:
    decision = decided(report(), built(report()), orders=None)

    assert decision.action is Action.MAYBE
    assert decision.key is None
    assert decision.reasons == (Reason("upstream_runs", "← orders", {"inputs": ["orders"]}, is_root=False),)


def test_upstreams_that_are_about_to_run_are_named_once_each() -> None:
    twice = report(TAKES_ORDERS, InputSpec("again", ORDERS), TAKES_RATES)
    decision = decided(twice, built(twice), orders=None, rates=None)

    assert why(decision) == [("upstream_runs", "← orders, rates")]


@pytest.mark.parametrize(
    ("spec", "given", "code"),
    [
        (report(code="c2", code_parts={"build": "b2"}), {}, "code_changed"),
        (report(config={"limit": "11"}), {}, "config_changed"),
        (report(TAKES_ORDERS, TAKES_RATES, InputSpec("x", ORDERS)), {}, "input_added"),
        (report(TAKES_ORDERS), {}, "input_removed"),
        (report(), {"rates": replace(RATES_1, data_hash="other", number=2)}, "input_changed"),
        (report(replace(TAKES_ORDERS, mode="columns"), TAKES_RATES), {}, "code_changed"),
    ],
)
def test_a_reason_of_its_own_outweighs_an_upstream_that_is_about_to_run(
    spec: AssetSpec, given: Mapping[str, Content], code: str
) -> None:
    decision = decided(spec, built(report()), **{"orders": None, **given})

    assert decision.action is Action.RUN
    assert [reason.code for reason in decision.reasons] == [code]
    assert decision.key is None


def test_lost_or_forced_outweighs_an_upstream_that_is_about_to_run() -> None:
    waiting: dict[AssetKey, Content | None] = {**BOTH, ORDERS: None}

    assert decide(report(), built(report()), waiting, {}, is_lost=True).action is Action.RUN
    assert decide(report(), built(report()), waiting, {}, is_forced=True).action is Action.RUN
    assert decide(report(), None, waiting, {}).action is Action.RUN


def test_an_order_only_input_is_not_waited_for_and_not_compared() -> None:
    spec = report(TAKES_ORDERS, InputSpec("", RATES, "order"))
    head = built(spec)

    assert decided(spec, head, rates=None).action is Action.CURRENT
    assert decided(spec, head, rates=replace(RATES_1, data_hash="other", number=2)).action is Action.CURRENT
    assert decided(report(TAKES_ORDERS), head).action is Action.CURRENT, "and may come and go"
    assert decided(spec, built(report(TAKES_ORDERS))).action is Action.CURRENT


def test_an_order_only_input_that_becomes_data_is_an_input_added() -> None:
    before = report(TAKES_ORDERS, InputSpec("", RATES, "order"))
    now = report(TAKES_ORDERS, InputSpec("", RATES, "version"))

    newer = replace(RATES_1, data_hash="other", number=2)
    assert [code for code, _ in why(decided(now, built(before)))] == ["input_added"]
    assert [code for code, _ in why(decided(now, built(before), rates=newer))] == ["input_added"]
    assert [code for code, _ in why(decided(before, built(now)))] == ["input_removed"]


def test_an_earlier_result_that_fits_again_is_linked_with_the_reasons_why_it_is_not_current() -> None:
    earlier, now = built(report()), built(report(code="c2", code_parts={"build": "b2"}), number=6)
    traces = {earlier.trace.input_key: earlier, now.trace.input_key: now}
    decision = decide(report(), now, BOTH, traces)

    assert (decision.action, decision.link, decision.key) == (Action.LINK, earlier, earlier.trace.input_key)
    assert [code for code, _ in why(decision)] == ["code_changed"]


def test_an_asset_that_is_new_in_this_environment_is_linked_to_a_result_of_another() -> None:
    elsewhere = built(report())
    decision = decide(report(), None, BOTH, {elsewhere.trace.input_key: elsewhere})

    assert (decision.action, decision.link) == (Action.LINK, elsewhere)
    assert [code for code, _ in why(decision)] == ["never_materialized"]


def test_lost_bytes_are_linked_when_another_version_of_the_same_key_has_them() -> None:
    lost, other = built(report()), built(report(), number=7)
    decision = decide(report(), lost, BOTH, {other.trace.input_key: other}, is_lost=True)

    assert (decision.action, decision.link) == (Action.LINK, other)
    assert [code for code, _ in why(decision)] == ["data_missing"]


def test_a_current_head_is_not_linked_to_another_result_of_the_same_key() -> None:
    head, other = built(report()), built(report(), number=7)

    assert decide(report(), head, BOTH, {other.trace.input_key: other}).action is Action.CURRENT


def test_forcing_is_not_satisfied_by_an_earlier_result() -> None:
    head = built(report())
    decision = decide(report(), head, BOTH, {head.trace.input_key: head}, is_forced=True)

    assert (decision.action, decision.link) == (Action.RUN, None)


def test_nothing_is_linked_while_an_upstream_is_about_to_run() -> None:
    head = built(report())
    decision = decide(report(code="c2"), built(report()), {**BOTH, ORDERS: None}, {head.trace.input_key: head})

    assert (decision.action, decision.link) == (Action.RUN, None)


def test_reasons_are_json_with_their_facts_beside_code_and_text() -> None:
    [reason] = decided(report(), built(report()), orders=ORDERS_2).reasons

    assert reason.to_json() == {
        "code": "input_changed", "text": "orders v1 → v2", "root": True, "input": "orders", "from": 1, "to": 2,
    }  # fmt: skip


def test_every_code_that_a_decision_gives_is_a_word_of_the_selection_language() -> None:
    head, force = built(report()), decide(report(code="c2"), built(report()), BOTH, {}, is_forced=True, is_lost=True)
    changed = report(
        InputSpec("orders", ORDERS), InputSpec("x", RATES), code="c2", code_parts={"build": "b1"}, config={}
    )
    found = [
        *force.reasons, *decided(changed, head, orders=ORDERS_2).reasons, *decided(report(), None).reasons,
        *decided(report(), head, orders=None).reasons,
    ]  # fmt: skip

    assert {reason.code for reason in found} == {
        "forced", "data_missing", "code_changed", "helper_changed", "config_changed", "input_added", "input_removed",
        "input_changed", "never_materialized", "upstream_runs",
    }  # fmt: skip
    assert {reason.code for reason in found} <= set(REASONS)
