from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from assetflow.errors import BadDeclaration, UsageError
from assetflow.partitions.multi import Multi
from assetflow.partitions.named import Dynamic, Static, Whole
from assetflow.partitions.ordinals import Ordinals
from assetflow.partitions.windows import Daily, Window
from tests.unit.partitions.times import utc

NOW = utc("2026-01-08")
DAYS = Daily("2026-01-01")
PORTS = Static(["JFK", "LAX", "ORD"])


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Static([]), "Static has no keys"),
        (lambda: Static("eu"), "Static takes a list of keys"),
        (lambda: Static(["eu", "eu"]), "the key `eu` is there twice"),
        (lambda: Static(["a|b"]), "the key `a|b` has `|` in it, which stands between or for keys"),
        (lambda: Static(["a..b"]), "the key `a..b` has `..` in it, which stands between or for keys"),
        (lambda: Static(["a, b"]), "the key `a, b` has `,` in it, which stands between or for keys"),
        (lambda: Static([" eu"]), "the key ' eu' is empty or has space at its ends"),
        (lambda: Static(["e\nu"]), "the key 'e\\nu' has characters that cannot be shown"),
        (lambda: Static(["latest"]), "the key `latest` means the newest partition"),
        (lambda: Dynamic(""), "Dynamic needs a name for its set of keys"),
        (lambda: Dynamic("customers").with_keys([""]), "the key '' is empty or has space at its ends"),
        (lambda: Multi({"day": DAYS}), "Multi needs two axes or more"),
        (lambda: Multi({"day": DAYS, "a b": PORTS}), "`a b` cannot name an axis"),
        (lambda: Multi({"day": DAYS, "all": Whole()}), "the axis `all` has no partitions"),
    ],
)
def test_names_that_could_not_be_told_apart_are_refused(make: object, what: str) -> None:
    assert callable(make)
    with pytest.raises(BadDeclaration) as raised:
        make()

    assert raised.value.what == what
    assert raised.value.fix


def test_removing_a_key_leaves_the_ordinals_of_the_others() -> None:
    before = Dynamic("customers").with_keys(["acme", "bolt"])
    after = before.with_keys(["acme", "bolt", "coil"], removed=["acme"])

    assert after.ordinal("bolt") == before.ordinal("bolt") == 1
    assert [*after.keys(after.keys_until(NOW))] == ["bolt", "coil"]


def test_the_whole_is_one_partition_without_a_name() -> None:
    assert [*Whole().keys(Whole().keys_until(NOW))] == [""]


def test_days_of_all_airports_are_one_run_and_of_one_airport_a_run_each() -> None:
    flights = Multi({"port": PORTS, "day": DAYS})

    assert len(flights.parse("*|2026-01-02..2026-01-05", NOW).spans) == 1
    assert len(flights.parse("LAX|2026-01-02..2026-01-05", NOW).spans) == 4
    assert flights.keys_until(NOW).count == 21


def test_a_combination_has_a_key_a_time_and_a_place_on_each_axis() -> None:
    flights = Multi({"day": DAYS, "port": PORTS})
    ordinal = flights.ordinal("2026-01-02|ORD")

    assert flights.key(ordinal) == "2026-01-02|ORD"
    assert flights.coordinates(ordinal) == {"day": DAYS.ordinal("2026-01-02"), "port": 2}
    assert flights.window(ordinal) == Window(utc("2026-01-02"), utc("2026-01-03"))
    assert Multi({"a": PORTS, "b": Static(["x"])}).window(0) is None
    with pytest.raises(UsageError, match="`2026-01-02` is no key of partitions by day and port"):
        flights.ordinal("2026-01-02")


AXES = {
    "port": PORTS,
    "day": DAYS,
    "then": Daily("1965-01-03", end="1965-01-20", tz="Europe/London"),
    "who": Dynamic("who").with_keys(["a", "b"]),
}


@given(
    st.lists(st.sampled_from(sorted(AXES)), min_size=2, max_size=3, unique=True),
    st.lists(st.lists(st.integers(0, 2), min_size=3, max_size=3), max_size=12),
)
def test_products_are_sets_of_combinations(names: list[str], places: list[list[int]]) -> None:
    product = Multi({name: AXES[name] for name in names})
    lows = {name: AXES[name].keys_until(NOW).first for name in names}
    wanted = {
        tuple(lows[name] + place % (2 if name == "who" else 3) for name, place in zip(names, row, strict=False))
        for row in places
    }

    ordinals = Ordinals.of(*(product.at(dict(zip(names, row, strict=True))) for row in wanted))
    boxes = product.boxes(ordinals)

    assert {tuple(product.coordinates(one)[name] for name in names) for one in ordinals} == wanted
    assert sum(product.of(box).count for box in boxes) == ordinals.count == len(wanted)
    assert Ordinals.joined(span for box in boxes for span in product.of(box).spans) == ordinals
    for place, name in enumerate(names):
        assert {*product.along(name, ordinals)} == {row[place] for row in wanted}
    assert [product.ordinal(product.key(one)) for one in ordinals] == [*ordinals]
