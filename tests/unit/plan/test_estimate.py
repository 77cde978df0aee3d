"""How long a plan would take, and what explains it."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import pytest

from assetflow.model.keys import AssetKey
from assetflow.plan.causes import root_causes
from assetflow.plan.estimate import Work, estimate, start_order
from assetflow.plan.staleness import Reason


def work(**given: tuple[float | None, str]) -> list[Work]:
    """`a=(2.0, "b c")`: a takes two seconds, after b and c."""
    return [
        Work(name, (AssetKey(name),), seconds, frozenset(above.split())) for name, (seconds, above) in given.items()
    ]


DIAMOND = work(a=(1.0, ""), b=(5.0, "a"), c=(2.0, "a"), d=(1.0, "b c"), e=(3.0, ""))


@pytest.mark.parametrize(("workers", "wall"), [(1, 12.0), (2, 7.0), (3, 7.0), (100, 7.0)])
def test_work_is_shared_by_the_workers_as_the_runner_would(workers: int, wall: float) -> None:
    found = estimate(DIAMOND, workers, 4.5)

    assert (found.work_s, found.wall_s, found.saved_s) == (12.0, wall, 4.5)
    assert (found.critical_path, found.path_s) == (("a", "b", "d"), 7.0)


def test_the_longest_way_to_the_end_starts_first_and_shortens_the_whole() -> None:
    given = work(s1=(2.0, ""), s2=(2.0, ""), s3=(2.0, ""), slow=(3.0, ""), last=(3.0, "slow"))

    assert list(start_order(given)) == ["slow", "last", "s1", "s2", "s3"]
    assert estimate(given, 2, 0.0).wall_s == 6.0  # in the order in which they are given it would take 8


def test_what_never_ran_counts_as_the_median_when_things_start_and_ties_keep_the_order() -> None:
    given = work(a=(1.0, ""), b=(9.0, ""), c=(None, ""), d=(4.0, ""), e=(4.0, ""))
    assert list(start_order(given)) == ["b", "c", "d", "e", "a"]
    assert list(start_order(work(a=(None, ""), b=(None, ""), c=(None, "b")))) == ["a", "b", "c"]


def test_what_never_ran_counts_as_nothing_and_is_counted() -> None:
    found = estimate(work(a=(None, ""), b=(2.0, "a"), c=(None, "b")), 4, 0.0)
    assert (found.work_s, found.wall_s, found.unknown) == (2.0, 2.0, 2)
    assert estimate([], 4, 0.0).critical_path == ()


def test_no_schedule_is_faster_than_its_longest_chain_or_than_all_workers_at_work() -> None:
    for seed in range(50):
        chosen = random.Random(seed)
        names = [f"n{number}" for number in range(chosen.randrange(1, 30))]
        given = {
            name: (chosen.choice([0.5, 1.0, 4.0]), " ".join(chosen.sample(names[:place], min(place, 2))))
            for place, name in enumerate(names)
        }
        workers = chosen.randrange(1, 5)
        found = estimate(work(**given), workers, 0.0)
        assert found.wall_s >= max(found.path_s, found.work_s / workers) - 1e-9
        assert found.wall_s <= found.work_s + 1e-9
        assert sum(given[key][0] for key in found.critical_path) == found.path_s


def test_a_chain_of_many_needs_no_recursion() -> None:
    chain = [Work(f"n{n}", (AssetKey(f"n{n}"),), 1.0, frozenset([f"n{n - 1}"] if n else [])) for n in range(20_000)]
    assert estimate(chain, 8, 0.0).wall_s == 20_000.0


# ------------------------------------------------------------------------------------------------------- root causes


def causes(reasons: Mapping[str, Sequence[Reason]], below: Mapping[str, str]) -> list[tuple[str, int]]:
    planned = {AssetKey(key): tuple(ones) for key, ones in reasons.items()}
    found = root_causes(planned, lambda key: [AssetKey(one) for one in below.get(key, "").split()])
    return [(cause.words, cause.explains) for cause in found]


UPSTREAM = Reason("upstream_runs", "", is_root=False)


def test_one_edit_of_a_helper_explains_all_that_use_it_and_what_is_below() -> None:
    helper = Reason("helper_changed", "", {"changed": ["tax"]})
    config = Reason("config_changed", "", {"field": "limit"})
    found = causes({"a": [helper], "b": [helper], "c": [UPSTREAM], "d": [config]}, {"a": "c", "b": "c", "c": "gone"})
    assert found == [("an edit of tax", 3), ("config limit", 1)]


def test_only_the_largest_causes_are_followed() -> None:
    reasons = {f"a{n}": [Reason("config_changed", "", {"field": f"f{n}"})] for n in range(10)}
    found = causes(reasons, {})
    assert [explains for _, explains in found] == [1] * 5 + [0] * 5
