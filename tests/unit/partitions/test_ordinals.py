from __future__ import annotations

import json

from hypothesis import given, strategies as st

from assetflow.partitions.ordinals import EMPTY, Ordinals

MEMBERS = st.frozensets(st.integers(-30, 30))


def set_of(members: frozenset[int]) -> Ordinals:
    return Ordinals.of(*members)


@given(MEMBERS, MEMBERS)
def test_sets_are_sets_of_integers(left: frozenset[int], right: frozenset[int]) -> None:
    a, b = set_of(left), set_of(right)

    assert [*a] == sorted(left)
    assert [*reversed(a)] == sorted(left, reverse=True)
    assert a | b == set_of(left | right)
    assert a & b == set_of(left & right)
    assert a - b == set_of(left - right)
    assert (a <= b) == (left <= right)
    assert (a == b) == (left == right)
    assert a.count == len(left)
    assert bool(a) == bool(left)
    assert [number in a for number in range(-31, 32)] == [number in left for number in range(-31, 32)]
    assert Ordinals.from_json(json.loads(json.dumps(a.to_json()))) == a


@given(MEMBERS)
def test_a_set_of_single_members_has_the_runs_of_a_joined_one(members: frozenset[int]) -> None:
    expected = Ordinals.joined((one, one + 1) for one in members)

    assert set_of(members) == Ordinals.ascending(sorted(members)) == expected


@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20))))
def test_runs_are_sorted_apart_and_not_empty(spans: list[tuple[int, int]]) -> None:
    found = Ordinals.joined(spans)

    assert {*found} == {number for low, high in spans for number in range(low, high)}
    assert all(low < high for low, high in found.spans)
    assert all(first[1] < then[0] for first, then in zip(found.spans, found.spans[1:], strict=False))


@given(MEMBERS, st.integers(-2, 70))
def test_newest_are_the_highest(members: frozenset[int], count: int) -> None:
    assert [*set_of(members).newest(count)] == sorted(members)[max(len(members) - max(count, 0), 0) :]


def test_a_set_of_many_is_as_small_as_one_of_few() -> None:
    everything = Ordinals.run(0, 10**30)

    assert everything.count == 10**30
    assert (everything - Ordinals.of(5)).spans == ((0, 5), (6, 10**30))
    assert hash(everything) == hash(Ordinals.run(0, 10**30))
    assert (everything.first, everything.last) == (0, 10**30 - 1)


def test_the_empty_set_has_one_form() -> None:
    assert Ordinals.of() == Ordinals.run(3, 3) == Ordinals.joined([(4, 1)]) == EMPTY
