from __future__ import annotations

import pytest

from assetflow.errors import BadDeclaration, UsageError
from assetflow.partitions.cron_windows import Cron
from assetflow.partitions.hours import Hourly
from assetflow.partitions.ordinals import Ordinals
from assetflow.partitions.windows import Daily, Monthly, TimeDefinition, Weekly
from tests.unit.partitions.times import hours_of, local, utc

# (zone, day, its first instant, how many hours it has, how many hourly partitions)
LENGTHS = [
    ("UTC", "2026-03-29", "2026-03-29T00:00+00:00", 24, 24),
    ("Europe/London", "2026-03-29", "2026-03-29T00:00+00:00", 23, 23),
    ("Europe/London", "2026-10-25", "2026-10-25T00:00+01:00", 25, 25),
    ("America/New_York", "2026-03-08", "2026-03-08T00:00-05:00", 23, 23),
    ("America/New_York", "2026-11-01", "2026-11-01T00:00-04:00", 25, 25),
    ("Australia/Lord_Howe", "2026-10-04", "2026-10-04T00:00+10:30", 23.5, 24),
    ("Australia/Lord_Howe", "2026-04-05", "2026-04-05T00:00+11:00", 24.5, 25),
    ("America/St_Johns", "2026-03-08", "2026-03-08T00:00-03:30", 23, 23),
    ("America/St_Johns", "2006-10-29", "2006-10-29T00:00-02:30", 25, 25),  # midnight comes twice: the first counts
    ("America/St_Johns", "2006-04-02", "2006-04-02T00:00-03:30", 23, 23),  # from 00:01 to 01:01
    ("Asia/Kathmandu", "2026-03-29", "2026-03-29T00:00+05:45", 24, 24),
    ("Asia/Kathmandu", "1986-01-01", "1986-01-01T00:15+05:45", 23.75, 24),  # by a quarter of an hour, for good
    ("Africa/Cairo", "2026-04-24", "2026-04-24T01:00+03:00", 23, 23),  # no midnight
    ("Africa/Cairo", "2026-10-29", "2026-10-29T00:00+03:00", 25, 25),  # from 00:00 of the 30th back to 23:00
    ("Pacific/Apia", "2011-12-29", "2011-12-29T00:00-10:00", 24, 24),
    ("Pacific/Apia", "2011-12-31", "2011-12-31T00:00+14:00", 24, 24),
    ("America/Sao_Paulo", "2018-11-04", "2018-11-04T01:00-02:00", 23, 23),  # no midnight
    ("America/Sao_Paulo", "2018-02-17", "2018-02-17T00:00-02:00", 25, 25),
    ("America/Havana", "2026-11-01", "2026-11-01T00:00-04:00", 25, 25),  # midnight comes twice
]
NOW = utc("2040-01-01")


@pytest.mark.parametrize(("tz", "day", "start", "hours", "count"), LENGTHS)
def test_a_day_is_from_midnight_to_midnight(tz: str, day: str, start: str, hours: float, count: int) -> None:
    days, hourly = Daily("1980-01-01", tz=tz), Hourly("1980-01-01", tz=tz)
    ordinal = days.ordinal(day)
    within = hourly.parse(day, NOW)

    assert local(days.window(ordinal).start, tz) == start
    assert hours_of(days, day) == hours
    assert within.count == count
    assert hourly.window(within.first).start == days.window(ordinal).start
    assert hourly.window(within.last).end == days.window(ordinal).end
    assert days.key(ordinal) == day


# (zone, from, keys of the hourly partitions that follow one another)
HOURS = [
    ("America/New_York", "2026-11-01T00",
     ["2026-11-01T00", "2026-11-01T01-0400", "2026-11-01T01-0500", "2026-11-01T02"]),
    ("America/New_York", "2026-03-08T01", ["2026-03-08T01", "2026-03-08T03"]),
    ("Europe/London", "2026-10-25T00",
     ["2026-10-25T00", "2026-10-25T01+0100", "2026-10-25T01+0000", "2026-10-25T02"]),
    ("Australia/Lord_Howe", "2026-10-04T01", ["2026-10-04T01", "2026-10-04T0230", "2026-10-04T03"]),
    ("Australia/Lord_Howe", "2026-04-05T00",
     ["2026-04-05T00", "2026-04-05T01", "2026-04-05T0130+1030", "2026-04-05T02"]),
    ("Asia/Kathmandu", "2026-03-29T23", ["2026-03-29T23", "2026-03-30T00"]),
    ("Asia/Kathmandu", "1985-12-31T23", ["1985-12-31T23", "1986-01-01T0015", "1986-01-01T01"]),
    ("Africa/Cairo", "2026-04-23T23", ["2026-04-23T23", "2026-04-24T01"]),
    ("Pacific/Apia", "2011-12-29T23", ["2011-12-29T23", "2011-12-31T00"]),
    ("America/St_Johns", "2006-10-28T23",
     ["2006-10-28T23", "2006-10-29T00-0230", "2006-10-29T00-0330", "2006-10-29T01"]),
]  # fmt: skip


@pytest.mark.parametrize(("tz", "first", "keys"), HOURS)
def test_hours_have_keys_of_their_own(tz: str, first: str, keys: list[str]) -> None:
    hours = Hourly("1980-01-01", tz=tz)
    place = hours.ordinal(first)

    found = [hours.key(place + number) for number in range(len(keys))]

    assert found == keys
    assert [hours.ordinal(key) for key in keys] == [place + number for number in range(len(keys))]


def test_a_minute_that_comes_twice_belongs_to_the_hour_that_began_before_it() -> None:
    hours = Hourly("2006-01-01", tz="America/St_Johns")
    midnight = hours.parse("2006-10-29T00", NOW)

    # 00:00 to 00:01, then 23:01 to 00:00 again, then 00:00 to 01:00
    assert [*hours.keys(midnight)] == ["2006-10-29T00-0230", "2006-10-29T00-0330"]
    assert hours_of(hours, "2006-10-29T00-0230") == 1


def test_a_day_goes_on_while_clocks_show_the_day_before_again() -> None:
    days = Daily("2006-01-01", tz="America/St_Johns")
    again = utc("2006-10-29T03:00")

    assert local(again, "America/St_Johns") == "2006-10-28T23:30-03:30"
    assert days.key(days.partition_at(again)) == "2006-10-29"


def test_a_date_that_a_zone_left_out_is_no_partition() -> None:
    days = Daily("2011-12-28", end="2012-01-02", tz="Pacific/Apia")

    assert days.text(days.keys_until(NOW)) == "2011-12-28..2011-12-29, 2011-12-31..2012-01-02"
    with pytest.raises(UsageError, match="does not exist in Pacific/Apia"):
        days.parse("2011-12-30", NOW)


GRAINS: list[tuple[TimeDefinition, str, list[str]]] = [
    (Hourly("2026-01-01"), "2025-12-31T23", ["2025-12-31T23", "2026-01-01T00", "2026-01-01T01"]),
    (Daily("2026-01-01"), "2028-02-28", ["2028-02-28", "2028-02-29", "2028-03-01"]),
    (Weekly("2026-01-01"), "2026-W52", ["2026-W52", "2026-W53", "2027-W01"]),
    (Monthly("2026-01"), "1969-12", ["1969-12", "1970-01", "1970-02"]),
    (Cron("0 6 * * 1-5", start="2026-01-01"), "1999-12-31T0600",
     ["1999-12-31T0600", "2000-01-03T0600", "2000-01-04T0600"]),
    (Cron("30 1 * * *", start="2026-01-01", tz="Europe/London"), "2026-03-28T0130",
     ["2026-03-28T0130", "2026-03-29T0200", "2026-03-30T0130"]),
    (Cron("30 */2 * * *", start="2026-01-01", tz="Asia/Gaza"), "2026-10-31T0030",
     ["2026-10-31T0030", "2026-10-31T0230", "2026-10-31T0430"]),
    (Cron("30 * * * *", start="2026-01-01", tz="Europe/London"), "2026-10-25T0130+0100",
     ["2026-10-25T0130+0100", "2026-10-25T0130+0000", "2026-10-25T0230"]),
    (Cron("0 0 29 2 1", start="2026-01-01"), "2024-02-29T0000", ["2024-02-29T0000", "2025-02-03T0000"]),
]  # fmt: skip


@pytest.mark.parametrize(("definition", "first", "keys"), GRAINS)
def test_one_partition_begins_where_the_last_one_ends(definition: TimeDefinition, first: str, keys: list[str]) -> None:
    ordinal = definition.ordinal(first)

    assert [definition.key(ordinal + number) for number in range(len(keys))] == keys
    for number in range(len(keys)):
        window = definition.window(ordinal + number)
        assert definition.window(ordinal + number + 1).start == window.end
        assert definition.partition_at(window.start) == ordinal + number
        assert definition.partition_at(window.end) == ordinal + number + 1


@pytest.mark.parametrize("definition", [definition for definition, _, _ in GRAINS])
def test_keys_of_many_partitions_lead_back_to_them(definition: TimeDefinition) -> None:
    low = definition.keys_until(NOW).first
    some = Ordinals.joined([(low, low + 100), (low + 110, low + 120)])

    assert definition.ordinals(reversed([*definition.keys(some)])) == some


def test_a_partition_exists_when_it_has_ended() -> None:
    days = Daily("2026-01-01", tz="America/New_York")

    assert days.text(days.keys_until(utc("2026-01-03T04:59:59"))) == "2026-01-01"
    assert days.text(days.keys_until(utc("2026-01-03T05:00"))) == "2026-01-01..2026-01-02"
    assert not days.keys_until(utc("2020-01-01"))


@pytest.mark.parametrize(
    ("offset", "last"), [(-1, "2026-01-02"), (0, "2026-01-03"), (1, "2026-01-04"), (3, "2026-01-05")]
)
def test_end_offset_moves_the_newest_but_not_beyond_the_end(offset: int, last: str) -> None:
    days = Daily("2026-01-01", end="2026-01-05", end_offset=offset)

    assert days.key(days.keys_until(utc("2026-01-04T12:00")).last) == last


def test_start_and_end_are_times_within_which_whole_partitions_lie() -> None:
    assert Monthly("2026-01-15", end="2026-06-14") == Monthly("2026-02", end="2026-05")
    assert Weekly("2026-01-01") == Weekly("2026-W02")
    assert Daily("2026") == Daily("2026-01-01")
    assert Daily("2026-01-01", end="2026") == Daily("2026-01-01", end="2026-12-31")
    assert Hourly("2026-01-01T06:00Z", tz="Asia/Kathmandu").start == "2026-01-01T12"
    assert Cron("0  6 * * *", start="2026-01-01T07:00") == Cron("0 6 * * *", start="2026-01-02")


def test_ordinals_do_not_depend_on_the_start() -> None:
    assert Daily("2020-01-01").ordinal("2026-01-01") == Daily("2026-01-01").ordinal("2026-01-01") == 20454
    early, late = (Cron("0 */5 * * *", start=start, tz="Europe/London") for start in ("2001-01-01", "2026-01-01"))
    assert early.ordinal("2026-05-05T0500") == late.ordinal("2026-05-05T0500")


def test_exclusions_are_keys_times_and_ranges() -> None:
    days = Daily("2026-01-01", end="2026-12-31", exclude=["2026-01-02", "2026-02", "2026-03-02..2026-12-30"])

    assert days.text(days.keys_until(NOW)) == "2026-01-01, 2026-01-03..2026-01-31, 2026-03-01, 2026-12-31"
    assert days == Daily("2026-01-01", end="2026-12-31",
                         exclude="2026-02-01..2026-02-28, 2026-01-02, 2026-03-02..2026-12-30")  # fmt: skip


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Daily("2026-13-01"), "there is no date `2026-13-01`"),
        (lambda: Daily("2026-02-30"), "there is no date `2026-02-30`"),
        (lambda: Daily("01.02.2026"), "`01.02.2026` is not a time"),
        (lambda: Daily("2026-01-02", end="2026-01-01"), "no daily partition lies between 2026-01-02 and 2026-01-01"),
        (
            lambda: Monthly("2026-01-02", end="2026-02-01"),
            "no monthly partition lies between 2026-01-02 and 2026-02-01",
        ),
        (lambda: Daily("2026-01-01", tz="Europe/Londn"), "there is no time zone `Europe/Londn`"),
        (lambda: Daily("2026-01-01", exclude="2026-1-2"), "exclude: `2026-1-2` is not a time"),
        (lambda: Daily("2026-01-01", exclude="2026-01-02.."), "exclude: `2026-01-02..` has no end"),
        (lambda: Cron("0 25 * * *", start="2026"), "the hour field `25` is not one that cron takes (0-23)"),
    ],
)
def test_a_definition_that_makes_no_sense_is_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(BadDeclaration) as raised:
        make()

    assert raised.value.what == message
    assert raised.value.fix


def test_a_hundred_thousand_partitions_are_one_run() -> None:
    hours = Hourly("1990-01-01", tz="America/New_York").keys_until(utc("2026-01-01"))

    assert hours.count > 300_000
    assert len(hours.spans) == 1


def test_definitions_are_values() -> None:
    made = [Daily("2026-01-01"), Daily("2026-01-01", exclude=()), Daily("2026-01-01", tz="Europe/Paris")]

    assert len({*made}) == 2
    assert str(made[2]) == "daily partitions (start 2026-01-01, tz Europe/Paris)"


def test_keys_of_many_days_are_the_key_of_each() -> None:
    days = Daily("0400-01-01")
    some = Ordinals.joined([(-573_000, -572_000), (-1, 0), (10_950, 11_100), (20_000, 20_031), (2_932_000, 2_932_800)])

    assert [*days.keys(some)] == [days.key(one) for one in some]
