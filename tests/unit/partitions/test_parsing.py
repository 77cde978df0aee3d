from __future__ import annotations

import pytest
from hypothesis import given, settings, strategies as st

from assetflow.errors import UsageError
from assetflow.partitions.cron_windows import Cron
from assetflow.partitions.definition import Definition
from assetflow.partitions.hours import Hourly
from assetflow.partitions.multi import Multi
from assetflow.partitions.named import Dynamic, Static, Whole
from assetflow.partitions.ordinals import EMPTY, Ordinals
from assetflow.partitions.windows import Daily, Monthly, Weekly
from tests.unit.partitions.times import utc

NOW = utc("2026-04-01T05:00")
DAYS = Daily("2026-01-01", tz="America/New_York", exclude="2026-01-06")
PORTS = Static(["JFK", "LAX", "ORD"])
FLIGHTS = Multi({"airport": PORTS, "day": DAYS})
HOURS = Hourly("2026-01-01", tz="America/New_York")
CUSTOMERS = Dynamic("customers").with_keys(["acme", "bolt", "coil"], removed=["bolt"])


@pytest.mark.parametrize(
    ("definition", "text", "expected"),
    [
        (DAYS, "2026-01-03", "2026-01-03"),
        (DAYS, " 2026-01-03 ,2026-01-01, 2026-01-02,", "2026-01-01..2026-01-03"),
        (DAYS, "2026-01-04..2026-01-07", "2026-01-04..2026-01-05, 2026-01-07"),
        (DAYS, "2026-02", "2026-02-01..2026-02-28"),
        (DAYS, "2026-02..2026-03-02", "2026-02-01..2026-03-02"),
        (DAYS, "2026-W02", "2026-01-05, 2026-01-07..2026-01-11"),
        (DAYS, "2026-03-30..", "2026-03-30..2026-03-31"),
        (DAYS, "..2026-01-02", "2026-01-01..2026-01-02"),
        (DAYS, "2025..2026-01-02", "2026-01-01..2026-01-02"),
        (DAYS, "..", "2026-01-01..2026-01-05, 2026-01-07..2026-03-31"),
        (DAYS, "*", "2026-01-01..2026-01-05, 2026-01-07..2026-03-31"),
        (DAYS, "latest", "2026-03-31"),
        (DAYS, "latest:3", "2026-03-29..2026-03-31"),
        (DAYS, "2026-01-03T12", "2026-01-03"),
        (Weekly("2026-01-01"), "2026-01-15", "2026-W03"),
        (Weekly("2026-01-01"), "2026-02", "2026-W05..2026-W09"),
        (Monthly("2026-01"), "2026-01-15..2026-02-01", "2026-01..2026-02"),
        (HOURS, "2026-03-08", "2026-03-08T00..2026-03-08T23"),
        (HOURS, "2026-01-05T06:00..2026-01-05T08", "2026-01-05T06..2026-01-05T08"),
        (HOURS, "2026-01-05 06", "2026-01-05T06"),
        (HOURS, "2026-01-05T06-05:00", "2026-01-05T06"),
        (HOURS, "2026-01-05T11Z", "2026-01-05T06"),
        (Cron("0 6 * * 1-5", start="2026-01-01"), "2026-01-03", "2026-01-02T0600"),
        (Cron("0 6 * * 1-5", start="2026-01-01"), "2026-W03", "2026-01-09T0600..2026-01-16T0600"),
        (PORTS, "LAX, JFK", "JFK..LAX"),
        (PORTS, "LAX..", "LAX..ORD"),
        (CUSTOMERS, "*", "acme, coil"),
        (CUSTOMERS, "latest", "coil"),
        (Whole(), "*", ""),
        (FLIGHTS, "JFK|2026-01-02", "JFK|2026-01-02"),
        (FLIGHTS, "JFK..LAX|2026-01-04..2026-01-07", "JFK..LAX|2026-01-04..2026-01-05, JFK..LAX|2026-01-07"),
        (FLIGHTS, "*|2026-02", "*|2026-02-01..2026-02-28"),
        (FLIGHTS, "ORD|latest:2", "ORD|2026-03-30..2026-03-31"),
        (FLIGHTS, "2026-01-01", "*|2026-01-01"),
        (FLIGHTS, "airport=LAX", "LAX|2026-01-01..2026-01-05, LAX|2026-01-07..2026-03-31"),
        (FLIGHTS, "day=2026-01-01|airport=LAX", "LAX|2026-01-01"),
        (FLIGHTS, "JFK|2026-01-01, LAX|2026-01-01, ORD|2026-01-01..2026-01-02", "*|2026-01-01, ORD|2026-01-02"),
    ],
)
def test_a_text_names_partitions(definition: Definition, text: str, expected: str) -> None:
    found = definition.parse(text, NOW)

    assert definition.text(found) == expected
    assert found <= definition.keys_until(NOW)
    if expected:
        assert definition.parse(expected, NOW) == found


@pytest.mark.parametrize(
    ("definition", "text", "what", "help_"),
    [
        (DAYS, "2026-1-3", "`2026-1-3` is not a time", "did you mean `2026-01-03`?"),
        (DAYS, "2026/01/03", "`2026/01/03` is not a time", "did you mean `2026-01-03`?"),
        (DAYS, "20260103", "`20260103` is not a time", "did you mean `2026-01-03`?"),
        (DAYS, "2026-02-30", "there is no date `2026-02-30`", "write one of the calendar, such as 2026-01-31"),
        (HOURS, "9999-12-31T05", "there is no date `9999-12-31T05`", "write one of the calendar, such as 2026-01-31"),
        (HOURS, "0001-01-01T05", "there is no date `0001-01-01T05`", "write one of the calendar, such as 2026-01-31"),
        (DAYS, "yesterday", "`yesterday` is not a time",
         "write a year, month, day or hour: 2026, 2026-01, 2026-01-31, 2026-01-31T06"),
        (DAYS, "2026-03..2026-01", "`2026-03..2026-01` ends before it begins", "did you mean `2026-01..2026-03`?"),
        (DAYS, "2025-12-31", "no partition of `2025-12-31` exists",
         "write keys between `2026-01-01` and `2026-03-31`, such as `2026-01-01..2026-03-31` or `latest:7`"),
        (DAYS, "latest:0", "`latest:0` does not say how many", "write a number from 1 on, such as `latest:7`"),
        (DAYS, " , ", "no partition is named",
         "write keys between `2026-01-01` and `2026-03-31`, such as `2026-01-01..2026-03-31` or `latest:7`"),
        (HOURS, "2026-03-08T02", "`2026-03-08T02` does not exist in America/New_York",
         "clocks go forward over it; write 2026-03-08T0300 instead"),
        (PORTS, "JFX", "`JFX` is none of the static partitions (JFK, LAX, ORD)", "did you mean `JFK`?"),
        (PORTS, "Berlin", "`Berlin` is none of the static partitions (JFK, LAX, ORD)", "the keys are JFK, LAX, ORD"),
        (Dynamic("customers"), "acme", "`acme` is none of the dynamic partitions of customers",
         "add it first: there is no key yet"),
        (CUSTOMERS, "bolt", "no partition of `bolt` exists",
         "write keys between `acme` and `coil`, such as `acme..coil` or `latest:7`"),
        (FLIGHTS, "airprt=LAX", "there is no axis `airprt`", "did you mean `airport`?"),
        (FLIGHTS, "JFK|2026-01-01..LAX|2026-01-01", "`JFK|2026-01-01..LAX|2026-01-01` does not say what it takes of"
         " each axis", "write `AIRPORT|DAY`, where each part is a key, a range with `..`, `latest` or `*`"),
        (FLIGHTS, "JKF|2026-01-01", "`JKF` is none of the static partitions (JFK, LAX, ORD)", "did you mean `JFK`?"),
        (Whole(), "2026-01-01", "there is no partition `2026-01-01`",
         "leave the partition out: there are none here"),
    ],
)  # fmt: skip
def test_a_text_that_names_none_says_what_to_write(definition: Definition, text: str, what: str, help_: str) -> None:
    with pytest.raises(UsageError) as raised:
        definition.parse(text, NOW)

    assert (raised.value.what, raised.value.fix) == (what, help_)


@pytest.mark.parametrize(
    ("text", "fact"),
    [
        ("2025-12-31", "the first partition is 2026-01-01"),
        ("2026-04-01", "the newest so far is 2026-03-31"),
        ("2026-01-06", "it is excluded by the definition"),
    ],
)
def test_a_partition_that_does_not_exist_says_why(text: str, fact: str) -> None:
    with pytest.raises(UsageError) as raised:
        DAYS.parse(text, NOW)

    assert raised.value.facts == (fact,)


@pytest.mark.parametrize("key", ["9999-12-31T05", "0001-01-01", "0001-01-01T00", "9999-12", "9998-12-31T2", ""])
@pytest.mark.parametrize("definition", [DAYS, HOURS, Monthly("2026"), Cron("0 6 * * *", start="2026")])
def test_a_key_at_the_ends_of_the_calendar_is_refused(definition: Definition, key: str) -> None:
    with pytest.raises(UsageError):
        definition.ordinal(key)


def test_beyond_the_end_is_not_called_the_future() -> None:
    with pytest.raises(UsageError) as raised:
        Daily("2026-01-01", end="2026-01-31").parse("2026-02-01", NOW)

    assert raised.value.facts == ("the last partition is 2026-01-31",)


@pytest.mark.parametrize(
    ("key", "meant"),
    [("2026-01", "2026-01-01"), ("2026-01-03T00", "2026-01-03"), ("2026-W02", "2026-01-05")],
)
def test_only_the_one_form_is_a_key(key: str, meant: str) -> None:
    with pytest.raises(UsageError) as raised:
        DAYS.ordinal(key)

    assert raised.value.fix == f"did you mean `{meant}`?"


EVERYTHING: list[Definition] = [
    DAYS, HOURS, PORTS, FLIGHTS, CUSTOMERS, Whole(), Weekly("2026-01-01"), Monthly("2026-01", tz="Asia/Kathmandu"),
    Cron("0 6 * * 1-5", start="2026-01-01", tz="Europe/London"), Dynamic("empty"), Daily("2030-01-01"),
]  # fmt: skip
PARTS = ["2026", "-01", "-W02", "-05", "T06", ":30", "Z", "-0500", "..", "|", "*", "latest", ":7", ",", " ", "JFK",
         "day=", "0001", "9999", "-12-31", "=", "-", "0", "acme", "é", "\0"]  # fmt: skip


@settings(deadline=None)
@given(st.sampled_from(EVERYTHING), st.lists(st.sampled_from(PARTS), max_size=8).map("".join))
def test_any_text_names_existing_partitions_or_is_refused_with_a_fix(definition: Definition, text: str) -> None:
    fix: str | None = None
    found = EMPTY
    try:
        found = definition.parse(text, NOW)
    except UsageError as error:
        fix = error.fix

    assert fix or found or not definition.keys_until(NOW)
    assert found <= definition.keys_until(NOW)


DEFINITIONS = [DAYS, HOURS, PORTS, FLIGHTS, CUSTOMERS, Weekly("2026-01-01"), Cron("*/45 * * * *", start="2026-01-01")]


@given(st.sampled_from(DEFINITIONS), st.lists(st.tuples(st.integers(0, 400), st.integers(1, 60)), max_size=5))
def test_text_and_parse_are_each_others_inverse(definition: Definition, runs: list[tuple[int, int]]) -> None:
    existing = definition.keys_until(NOW)
    low = existing.first
    chosen = Ordinals.joined((low + start, low + start + length) for start, length in runs) & existing

    if chosen:
        assert definition.parse(definition.text(chosen), NOW) == chosen
    else:
        assert definition.text(chosen) == ""
