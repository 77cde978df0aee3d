from __future__ import annotations

from hypothesis import given, settings, strategies as st

from assetflow.model.keys import AssetKey
from assetflow.model.records import VersionUse
from assetflow.plan.retention import DAY_S, Retention, judge, needed

# pyright: basic

NOW = 1_000 * DAY_S
ALL = Retention(keep=1, keep_days=0, grace_s=0)


def use(number: int, asset: str = "orders", *, days: float = 400, current: bool = False, of=(), state="live"):
    version_id = number + 1000 * (ord(asset[0]) - ord("a"))
    return VersionUse(version_id, AssetKey(asset), "", number, 10, state, NOW - days * DAY_S, current, tuple(of))


def going(uses, policy=ALL) -> list[tuple[str, int]]:
    return [(one.asset, one.number) for one in judge(uses, policy, NOW).going]


def test_all_but_the_newest_go_the_oldest_first() -> None:
    uses = [use(3), use(1), use(2)]

    assert going(uses) == [("orders", 1), ("orders", 2)]
    assert going(uses, Retention(2, 0, 0)) == [("orders", 1)]


def test_the_newest_are_counted_for_each_asset() -> None:
    assert going([use(1, "a"), use(2, "a"), use(1, "b")]) == [("a", 1)]


def test_what_is_current_stays_however_old_it_is() -> None:
    uses = [use(1, current=True), use(2), use(3)]

    assert going(uses) == [("orders", 2)]
    assert judge(uses, ALL, NOW).kept[1 + 14_000] == "current"


def test_what_a_version_that_stays_was_made_from_stays_over_any_number_of_steps() -> None:
    chain = [use(1, "a"), use(1, "b", of=[1]), use(1, "c", of=[1001], current=True)]
    newer = [use(n, key) for key in "abc" for n in (2, 3)]

    assert going(chain + newer) == [("a", 2), ("b", 2), ("c", 2)]


def test_what_was_made_or_current_not_long_ago_stays() -> None:
    uses = [use(1, days=29), use(2, days=31), use(3)]

    assert going(uses, Retention(1, 30, 0)) == [("orders", 2)]
    assert going(uses, Retention(1, 0, 30 * DAY_S)) == [("orders", 2)]
    assert going([use(1, days=-5), use(2)], Retention(1, 30, 0)) == []  # a clock that was ahead


def test_a_condemned_version_is_not_counted_and_not_condemned_again() -> None:
    uses = [use(1), use(2), use(3, state="condemned")]

    assert going(uses) == [("orders", 1)]


@st.composite
def stores(draw):
    count = draw(st.integers(1, 30))
    uses = []
    for position in range(count):
        asset = draw(st.sampled_from("abc"))
        below = [one.version_id for one in uses]
        uses.append(
            VersionUse(
                position + 1, AssetKey(asset), "", position + 1, 1,
                draw(st.sampled_from(["live", "live", "condemned"])),
                NOW - draw(st.integers(0, 60)) * DAY_S, draw(st.booleans()) and draw(st.booleans()),
                tuple(draw(st.lists(st.sampled_from(below), max_size=3)) if below else ()),
            )
        )  # fmt: skip
    return uses


@settings(max_examples=200, derandomize=True, deadline=None)
@given(stores(), st.integers(1, 4), st.integers(0, 40), st.integers(0, 40))
def test_nothing_that_is_needed_ever_goes(uses, keep, days, grace) -> None:
    policy = Retention(keep, days, grace * DAY_S)
    verdict = judge(uses, policy, NOW)
    gone = {one.version_id for one in verdict.going}
    stays = [one for one in uses if one.version_id not in gone and one.version_id in verdict.kept]

    assert not gone & {one.version_id for one in uses if one.is_current}
    assert not gone & {upstream for one in stays for upstream in one.made_from}
    assert not gone & needed(uses)
    assert all(NOW - one.needed_at >= max(days, grace) * DAY_S for one in verdict.going)
    for asset in "abc":
        live = sorted((one.number for one in uses if one.asset == asset and one.state == "live"), reverse=True)
        assert not gone & {one.version_id for one in uses if one.asset == asset and one.number in live[:keep]}
