"""Packages, files, variables and cues in the planner's decisions."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from assetflow.model.policies import Cue
from assetflow.model.records import Discovered, Doubt
from assetflow.model.spec import AssetSpec
from assetflow.plan.staleness import Action, decide
from assetflow.plan.surroundings import is_compatible, may_stand_for, moved_discoveries, moved_packages
from tests.unit.plan.test_staleness import BOTH, ORDERS_2, TAKES_ORDERS, built, decided, report, why

RECORDED = {"pandas": "2.2.3", "numpy": "0.9.1", "python": "3.11.4"}


def with_packages(**policy: str) -> AssetSpec:
    return report(packages=RECORDED, package_policy=policy)


@pytest.mark.parametrize(
    ("before", "after", "compatible", "minor"),
    [
        ("2.2.3", "2.2.3", True, True),
        ("2.2.3", "2.2.4", True, True),
        ("2.2.3", "2.3.0", True, False),
        ("2.2.3", "3.0.0", False, False),
        ("0.9.1", "0.9.2", True, True),
        ("0.9.1", "0.10.0", False, False),
        ("0.0.1", "0.0.2", False, True),
        ("2", "2.0", True, True),
        ("2.1", "2.1.5", True, True),
        ("3.0rc1", "3.0", False, False),
        ("1.0+local", "1.0", False, False),
        ("unknown", "other", False, False),
        ("2024.1", "2025.1", False, False),
    ],
)
def test_versions_are_compared_as_the_policy_says(before: str, after: str, compatible: bool, minor: bool) -> None:
    assert is_compatible(before, after, "compatible") is compatible
    assert is_compatible(before, after, "minor") is minor
    assert is_compatible(before, after, "exact") is (before == after)
    assert is_compatible(before, after, "ignore")


def test_an_upgrade_within_the_policy_is_drift_and_makes_nothing_stale() -> None:
    head = built(with_packages())
    now = report(packages={**RECORDED, "pandas": "2.3.0"})

    assert decided(now, head).action is Action.CURRENT
    assert [one.words for one in moved_packages(now, head.trace)[1]] == ["pandas 2.2.3 → 2.3.0"]


def test_an_upgrade_beyond_the_policy_makes_it_stale_though_its_key_is_the_same() -> None:
    head = built(with_packages())
    now = report(packages={**RECORDED, "pandas": "3.0.0"})
    decision = decided(now, head)

    assert decision.action is Action.RUN
    assert why(decision) == [("dependency_changed", "pandas 2.2.3 → 3.0.0")]
    assert decision.key == head.trace.input_key
    assert not may_stand_for(now, head.trace, None), "and no earlier trace of that version is linked"


def test_the_policy_of_now_counts_and_a_stricter_one_alone_makes_nothing_stale() -> None:
    head = built(with_packages())

    assert decided(with_packages(pandas="exact"), head).action is Action.CURRENT
    newer = {**RECORDED, "pandas": "2.2.4"}
    assert decided(report(packages=newer), head).action is Action.CURRENT
    assert decided(report(packages=newer, package_policy={"pandas": "exact"}), head).action is Action.RUN
    major = {**RECORDED, "pandas": "3.0.0"}
    assert decided(report(packages=major, package_policy={"*": "ignore"}), head).action is Action.CURRENT


def test_a_package_that_only_one_of_the_two_reaches_is_a_matter_of_the_code() -> None:
    head = built(with_packages())
    assert decided(report(packages={"polars": "1.0"}), head).action is Action.CURRENT


def test_reasons_name_each_thing_that_changed() -> None:
    before = report(files={"a.csv": "f1", "b.csv": "f2"}, env_vars={"REGION": "e1"})
    head = built(before)
    now = replace(before, files={"a.csv": "f1", "b.csv": "f3", "c.csv": "f4"}, env_vars={"REGION": "e2"})

    assert why(decided(now, head)) == [
        ("files_changed", "files changed: b.csv, c.csv"),
        ("env_changed", "environment: REGION"),
    ]
    assert decided(before, head).action is Action.CURRENT


@pytest.mark.parametrize(
    ("cue", "change"),
    [
        (Cue(code=False), {"code": "c2", "code_parts": {"build": "b2"}}),
        (Cue(config=False), {"config": {"limit": "20"}}),
        (Cue(files=False), {"files": {"a.csv": "f2"}}),
        (Cue(env=False), {"env_vars": {"REGION": "e2"}}),
    ],
)
def test_what_a_cue_leaves_out_makes_nothing_stale(cue: Cue, change: dict[str, object]) -> None:
    spec = report(files={"a.csv": "f1"}, env_vars={"REGION": "e1"})
    assert decided(replace(spec, **change), built(spec)).action is Action.RUN, "without a cue it counts"
    with_cue = replace(spec, cue=cue)
    assert decided(replace(with_cue, **change), built(with_cue)).action is Action.CURRENT


def test_code_that_was_seen_to_run_counts_unless_edits_are_for_what_comes() -> None:
    seen, now = Discovered({"a.csv": "1"}, {"plug.py": "1"}), Discovered({"a.csv": "2"}, {"plug.py": "2"})
    trace = replace(built(report()).trace, discovered=seen)

    assert moved_discoveries(report(), trace, now) == (["a.csv"], ["plug.py"])
    assert moved_discoveries(report(cue=Cue(on_code_change="forward")), trace, now) == (["a.csv"], [])


def test_a_cue_that_says_never_ignores_inputs_too_but_not_what_is_gone() -> None:
    spec = report(TAKES_ORDERS, cue=Cue("never"))
    head = built(spec)

    assert decided(spec, head, orders=ORDERS_2).action is Action.CURRENT
    assert decided(spec, head, orders=None).action is Action.CURRENT, "nor does it wait for anything"
    assert decided(spec, None).action is Action.RUN
    assert why(decide(spec, head, BOTH, {}, is_lost=True)) == [("data_missing", "the bytes of v5 are gone")]
    assert why(decide(spec, head, BOTH, {}, is_forced=True)) == [("forced", "forced")]


def test_a_trace_that_was_invalidated_satisfies_nothing() -> None:
    spec = report()
    head = built(spec, number=5)
    doubt = Doubt(5, "invalidated: the feed was wrong", "ann@laptop")
    decision = decide(spec, head, BOTH, {}, doubt=doubt)

    assert why(decision) == [("invalidated", "invalidated by ann@laptop: the feed was wrong")]
    assert decide(spec, built(spec, number=6), BOTH, {}, doubt=doubt).action is Action.CURRENT
    assert not may_stand_for(spec, head.trace, doubt)
    later = built(spec, number=6).trace
    assert may_stand_for(spec, later, doubt)
    assert not may_stand_for(spec, replace(later, kind="link"), doubt), "another environment may have linked an old one"


def test_a_trace_that_was_revoked_satisfies_nothing() -> None:
    spec = report()
    head = built(spec)
    doubt = Doubt(revoked=frozenset({head.trace.trace_id}))

    assert why(decide(spec, head, BOTH, {}, doubt=doubt)) == [("invalidated", "what was accepted has been revoked")]
    assert not may_stand_for(spec, head.trace, doubt)
