from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from assetflow.errors import BadDeclaration
from assetflow.partitions.axes import Axes, Axis, fitted
from assetflow.partitions.cron_windows import Cron
from assetflow.partitions.definition import Definition
from assetflow.partitions.hours import Hourly
from assetflow.partitions.mappings import (
    All,
    Identity,
    Latest,
    Mapping,
    Previous,
    Side,
    StaticMap,
    TimeWindow,
    check_needs,
    enough,
)
from assetflow.partitions.multi import Multi
from assetflow.partitions.named import Dynamic, Static, Whole
from assetflow.partitions.ordinals import EMPTY, Ordinals
from assetflow.partitions.windows import Daily, Monthly, Weekly
from tests.unit.partitions.naive import reads
from tests.unit.partitions.times import utc

NOW = utc("2026-04-20T07:30")
DAYS = Daily("2026-03-20")
ODD_DAYS = Daily("2026-03-22", exclude=["2026-03-29", "2026-04-05"])
PORTS = Static(["JFK", "LAX", "ORD"])


def side(definition: Definition) -> Side:
    return Side(definition, definition.keys_until(NOW))


def texts(mapping: Mapping | None, up: Definition, down: Definition, text: str) -> tuple[str, str]:
    """What the named partitions of the reader read, and what the same of the upstream touch."""
    chosen = fitted(mapping, up, down)
    ends = side(up), side(down)
    read = chosen.upstream(down.parse(text, NOW), *ends)
    return up.text(read), down.text(chosen.downstream(read, *ends))


@pytest.mark.parametrize(
    ("mapping", "up", "down", "wanted", "read", "touched"),
    [
        (None, DAYS, DAYS, "2026-04-01", "2026-04-01", "2026-04-01"),
        (TimeWindow(-6, 0), DAYS, DAYS, "2026-04-10", "2026-04-04..2026-04-10", "2026-04-04..2026-04-16"),
        (TimeWindow(-6, 0), DAYS, DAYS, "2026-03-22", "2026-03-20..2026-03-22", "2026-03-20..2026-03-28"),
        (TimeWindow(-1, 1), DAYS, DAYS, "2026-04-19", "2026-04-18..2026-04-20", "2026-04-17..2026-04-19"),
        (TimeWindow(-2, -1), DAYS, DAYS, "2026-04-05", "2026-04-03..2026-04-04", "2026-04-04..2026-04-06"),
        (TimeWindow(-2), ODD_DAYS, ODD_DAYS, "2026-03-30", "2026-03-28, 2026-03-30",
         "2026-03-28, 2026-03-30..2026-04-01"),
        (None, Hourly("2026-03-20"), DAYS, "2026-04-01", "2026-04-01T00..2026-04-01T23", "2026-04-01"),
        (None, DAYS, Monthly("2026-01"), "2026-03", "2026-03-20..2026-03-31", "2026-03"),
        (None, DAYS, Weekly("2026-01-01"), "2026-W14", "2026-03-30..2026-04-05", "2026-W14"),
        (None, Weekly("2026-01-01"), Monthly("2026-01"), "2026-02", "2026-W05..2026-W09", "2026-01..2026-03"),
        (None, Monthly("2026-01"), DAYS, "2026-04-01..2026-04-02", "2026-04", "2026-04-01..2026-04-19"),
        (TimeWindow(-1, 0), Monthly("2026-01"), DAYS, "2026-04-01", "2026-03..2026-04",
         "2026-03-20..2026-04-19"),
        (None, Hourly("2026-03-20"), Daily("2026-03-20", tz="Europe/London"), "2026-03-29",
         "2026-03-29T00..2026-03-29T22", "2026-03-29"),
        (None, Daily("2026-03-20", tz="Asia/Kathmandu"), Daily("2026-03-20", tz="America/New_York"), "2026-04-02",
         "2026-04-02..2026-04-03", "2026-04-01..2026-04-03"),
        (None, DAYS, Cron("0 6 * * 1", start="2026-03-20"), "2026-03-30T0600", "2026-03-30..2026-04-06",
         "2026-03-23T0600..2026-04-06T0600"),
        (Identity(), DAYS, Daily("2026-03-20", tz="America/New_York"), "2026-04-02", "2026-04-02", "2026-04-02"),
        (None, PORTS, Static(["ORD", "MIA", "JFK"]), "ORD..JFK", "JFK, ORD", "ORD, JFK"),
        (StaticMap({"east": ["JFK"], "west": ["LAX", "ORD"]}), PORTS, Static(["east", "west"]), "west",
         "LAX..ORD", "west"),
        (None, DAYS, Whole(), "*", "2026-03-20..2026-04-19", ""),
        (All(), DAYS, PORTS, "JFK", "2026-03-20..2026-04-19", "JFK..ORD"),
        (Latest(), DAYS, PORTS, "JFK", "2026-04-19", "JFK..ORD"),
        (Previous(), ODD_DAYS, ODD_DAYS, "2026-03-30", "2026-03-28", "2026-03-30"),
        (Previous(), DAYS, DAYS, "2026-03-20", "", ""),
        (None, Multi({"day": DAYS, "port": PORTS}), DAYS, "2026-04-01", "2026-04-01|*", "2026-04-01"),
        (None, DAYS, Multi({"day": DAYS, "port": PORTS}), "2026-04-01|JFK", "2026-04-01", "2026-04-01|*"),
        (None, Multi({"day": DAYS, "port": PORTS}), Monthly("2026-01"), "2026-03",
         "2026-03-20..2026-03-31|*", "2026-03"),
        (TimeWindow(-6), Multi({"day": DAYS, "port": PORTS}), Multi({"port": PORTS, "day": DAYS}), "JFK|2026-04-10",
         "2026-04-04..2026-04-10|JFK", "JFK|2026-04-04..2026-04-16"),
        (None, Multi({"day": DAYS, "port": PORTS}), PORTS, "LAX", "2026-03-20..2026-04-19|LAX", "LAX"),
        (Latest(), Multi({"day": DAYS, "port": PORTS}), Whole(), "*", "2026-04-19|*", ""),
        (Previous(), Multi({"day": DAYS, "port": PORTS}), Multi({"day": DAYS, "port": PORTS}), "2026-04-10|JFK",
         "2026-04-09|JFK", "2026-04-10|JFK"),
    ],
)  # fmt: skip
def test_what_is_read_and_what_is_touched(
    mapping: Mapping | None, up: Definition, down: Definition, wanted: str, read: str, touched: str
) -> None:
    assert texts(mapping, up, down, wanted) == (read, touched)


CUSTOMERS = Dynamic("customers").with_keys(["acme", "bolt", "coil"], removed=["bolt"])
PAIRS: list[tuple[Mapping | None, Definition, Definition]] = [
    (Identity(), DAYS, ODD_DAYS),
    (Identity(), ODD_DAYS, DAYS),
    (Identity(), PORTS, Static(["ORD", "MIA", "JFK"])),
    (Identity(), Static(["acme", "bolt"]), CUSTOMERS),
    (Identity(), CUSTOMERS, CUSTOMERS),
    (StaticMap({"JFK": ["acme", "coil"], "ORD": "coil", "LAX": "bolt"}), CUSTOMERS, PORTS),
    (All(), DAYS, PORTS),
    (Latest(), ODD_DAYS, DAYS),
    (Previous(), ODD_DAYS, ODD_DAYS),
    (Previous(), CUSTOMERS, CUSTOMERS),
    (None, DAYS, Whole()),
]
FLIGHTS = Multi({"port": PORTS, "day": Daily("2026-04-12", exclude=["2026-04-15"])})
OTHERS = Multi({"day": Daily("2026-04-14"), "who": CUSTOMERS})
TWO_TIMES = Multi({"day": Daily("2026-04-16"), "week": Weekly("2026-03-30"), "port": Static(["JFK", "LAX"])})
WEEKLY = Multi({"week": Weekly("2026-03-30"), "port": Static(["LAX", "JFK"])})
PRODUCTS: list[tuple[Mapping | None, Definition, Definition]] = [
    (None, FLIGHTS, FLIGHTS),
    (None, FLIGHTS, OTHERS),
    (None, OTHERS, FLIGHTS),
    (TimeWindow(-2, 0), FLIGHTS, OTHERS),
    (TimeWindow(-1, 1), FLIGHTS, Daily("2026-04-10")),
    (None, FLIGHTS, Weekly("2026-04-01")),
    (None, Weekly("2026-04-01"), FLIGHTS),
    (None, PORTS, FLIGHTS),
    (None, FLIGHTS, PORTS),
    (Axis("port", StaticMap({"east": ["JFK", "ORD"]})), FLIGHTS, Static(["east", "west"])),
    (Axis("week", TimeWindow(-1, 0)), TWO_TIMES, DAYS),
    (Axes({"day": TimeWindow(-1, 0), "port": All()}), FLIGHTS, TWO_TIMES),
    (Axes({"port": Latest()}), TWO_TIMES, FLIGHTS),
    (Previous(), FLIGHTS, FLIGHTS),
    (None, FLIGHTS, WEEKLY),
    (None, WEEKLY, FLIGHTS),
    (TimeWindow(-3, 0), FLIGHTS, WEEKLY),
    (Axes({"week": TimeWindow(-1, -1), "port": All()}), FLIGHTS, WEEKLY),
    (Latest(), FLIGHTS, PORTS),
    (Latest(), FLIGHTS, Whole()),
    (All(), FLIGHTS, FLIGHTS),
]
TIMES: list[Definition] = [
    DAYS,
    ODD_DAYS,
    Daily("2026-03-25", tz="Australia/Lord_Howe", end_offset=1),
    Hourly("2026-04-04", tz="Australia/Lord_Howe", exclude=["2026-04-05T03"]),
    Hourly("2026-04-18", tz="Asia/Kathmandu"),
    Weekly("2026-03-01", tz="America/New_York"),
    Monthly("2025-11", tz="Asia/Kathmandu", end_offset=-1),
    Cron("0 6,18 * * 1-5", start="2026-04-10", tz="Europe/London"),
]


def some(existing: Ordinals) -> st.SearchStrategy[Ordinals]:
    members = [*existing]
    few = st.lists(st.sampled_from(members), max_size=6).map(lambda chosen: Ordinals.of(*chosen))
    run = st.tuples(st.sampled_from(members), st.integers(0, 20)).map(
        lambda span: Ordinals.run(span[0], span[0] + span[1]) & existing
    )
    return st.one_of(few, run, st.just(existing))


def compare(mapping: Mapping | None, up: Definition, down: Definition, data: st.DataObject) -> None:
    chosen = fitted(mapping, up, down)
    above, below = side(up), side(down)
    wanted = data.draw(some(below.existing))
    changed = data.draw(some(above.existing))
    by_reader = {reader: reads(chosen, reader, above, below) for reader in below.existing}

    read = chosen.upstream(wanted, above, below)
    touched = chosen.downstream(changed, above, below)

    assert {*read} == {one for reader in wanted for one in by_reader[reader]}
    assert {*touched} == {reader for reader, found in by_reader.items() if found & {*changed}}


@pytest.mark.parametrize(("mapping", "up", "down"), [*PAIRS, *PRODUCTS])
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_arithmetic_is_what_each_partition_means(
    mapping: Mapping | None, up: Definition, down: Definition, data: st.DataObject
) -> None:
    compare(mapping, up, down, data)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TIMES), st.sampled_from(TIMES), st.integers(-3, 2), st.integers(0, 3), st.data())
def test_windows_of_any_two_grains(
    up: Definition, down: Definition, start: int, length: int, data: st.DataObject
) -> None:
    compare(TimeWindow(start, start + length), up, down, data)


def test_a_month_reads_over_a_date_that_the_zone_left_out() -> None:
    days, months = Daily("2011-12-01", end="2012-01-05", tz="Pacific/Apia"), Monthly("2011-12", tz="Pacific/Apia")
    mapping = TimeWindow(-1, -1)
    ends = side(days), side(months)

    read = mapping.upstream(months.parse("2011-12", NOW), *ends)
    touched = mapping.downstream(days.parse("2011-12-29", NOW), *ends)

    assert days.text(read) == "2011-12-01..2011-12-29"
    assert months.text(touched) == "2011-12"


def test_a_hundred_thousand_partitions_are_mapped_as_one_run() -> None:
    hours, days = Hourly("1990-01-01", tz="America/New_York"), Daily("1990-01-01", tz="America/New_York")
    ends = side(hours), side(days)

    read = TimeWindow(-6, 0).upstream(ends[1].existing, *ends)

    assert read.count > 300_000
    assert len(read.spans) == 1
    assert TimeWindow(-6, 0).downstream(read, *ends) == ends[1].existing


@pytest.mark.parametrize(
    ("needs", "wanted", "there", "expected"),
    [
        ("all", 7, 7, True), ("all", 7, 6, False), ("all", 0, 0, True),
        (3, 7, 3, True), (3, 7, 2, False), (3, 2, 2, True), (3, 2, 1, False), (0, 7, 0, True),
        (0.9, 10, 9, True), (0.9, 10, 8, False), (0.9, 7, 6, False), (0.9, 7, 7, True), (0.9, 0, 0, True),
        (0.1, 1000, 100, True), (0.1, 1000, 99, False), (1.0, 3, 3, True), (1.0, 3, 2, False), (0.07, 100, 7, True),
    ],
)  # fmt: skip
def test_needs(needs: object, wanted: int, there: int, expected: bool) -> None:
    assert check_needs(needs) is None
    assert enough(needs, Ordinals.run(0, wanted), Ordinals.run(0, there) | Ordinals.run(5000, 6000)) is expected  # type: ignore[arg-type]


@pytest.mark.parametrize("needs", ["most", True, -1, 0.0, 1.5, None])
def test_needs_that_make_no_sense(needs: object) -> None:
    assert f"need={needs!r}"[:8] in (check_needs(needs) or "")


@pytest.mark.parametrize(
    ("mapping", "up", "down", "what"),
    [
        (None, DAYS, PORTS, f"{DAYS} and {PORTS} have nothing in common"),
        (None, Static(["a"]), Static(["b"]), "static partitions (a) and static partitions (b) have nothing in common"),
        (TimeWindow(-6), PORTS, PORTS, "static partitions (JFK, LAX, ORD) are not windows of time"),
        (Identity(), DAYS, Monthly("2026"), "daily partitions (start 2026-03-20) and monthly partitions (start 2026-01)"
         " do not have the same keys"),
        (Identity(), Hourly("2026"), Hourly("2026", tz="Asia/Kathmandu"), "hourly partitions (start 2026-01-01T00) and"
         " hourly partitions (start 2026-01-01T00, tz Asia/Kathmandu) do not have the same keys"),
        (Previous(), DAYS, ODD_DAYS, f"{DAYS} and {ODD_DAYS} are not the partitions of one asset"),
        (StaticMap({"west": "LAXX"}), PORTS, Static(["west"]),
         "`LAXX` is none of the static partitions (JFK, LAX, ORD): did you mean `LAX`?"),
        (Axis("hour"), FLIGHTS, DAYS, "the axes of the product are port, day, not `hour`"),
        (Axis("port"), FLIGHTS, FLIGHTS, "one axis goes between a product and a definition without axes"),
        (Axes({"who": All()}), FLIGHTS, OTHERS, "the products share day, not `who`"),
        (Axes({"port": TimeWindow()}), FLIGHTS, FLIGHTS,
         "on the axis `port`: static partitions (JFK, LAX, ORD) are not windows of time"),
        (None, TWO_TIMES, Hourly("2026"),
         "more than one axis of partitions by day and week and port goes with hourly partitions (start 2026-01-01T00)"),
    ],
)  # fmt: skip
def test_a_mapping_that_does_not_fit_is_refused(
    mapping: Mapping | None, up: Definition, down: Definition, what: str
) -> None:
    with pytest.raises(BadDeclaration) as raised:
        fitted(mapping, up, down)

    assert raised.value.what == what
    assert raised.value.fix


def test_a_change_of_what_does_not_exist_yet_touches_nothing() -> None:
    tomorrow = FLIGHTS.of({"day": DAYS.clip(Ordinals.of(DAYS.ordinal("2026-05-01"))), "port": Ordinals.run(0, 3)})
    ends = side(FLIGHTS), side(PORTS)

    assert tomorrow
    assert Axis("port").downstream(tomorrow, *ends) == EMPTY
    assert All().downstream(tomorrow, *ends) == EMPTY


def test_a_window_that_ends_before_it_begins_is_refused() -> None:
    with pytest.raises(BadDeclaration, match="ends before it begins"):
        TimeWindow(1, 0)


def test_nothing_reads_nothing() -> None:
    for mapping in (Identity(), TimeWindow(-6), All(), Latest(), Previous()):
        assert mapping.upstream(EMPTY, side(DAYS), side(DAYS)) == EMPTY
        assert mapping.downstream(EMPTY, side(DAYS), side(DAYS)) == EMPTY
