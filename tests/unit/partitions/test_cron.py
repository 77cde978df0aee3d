from __future__ import annotations

from datetime import date, datetime, timedelta
from itertools import islice, pairwise, takewhile
from random import Random

import pytest
from croniter import croniter

from assetflow.errors import BadDeclaration
from assetflow.partitions.cron import check_cron, read_cron, ticks
from tests.unit.partitions.times import local, utc

# What fires on a day, in local time: (expression, zone, from the local day on, for how many days, ticks)
DAYS = [
    # the clocks of London go forward over 01:00 to 02:00, and back over it
    ("30 1 * * *", "Europe/London", "2026-03-28", 3, ["28 01:30+00:00", "29 02:00+01:00", "30 01:30+01:00"]),
    ("30 1 * * *", "Europe/London", "2026-10-24", 3, ["24 01:30+01:00", "25 01:30+01:00", "26 01:30+00:00"]),
    ("0 1,2 * * *", "Europe/London", "2026-03-29", 1, ["29 02:00+01:00"]),
    ("0 1,2 * * *", "Europe/London", "2026-10-25", 1, ["25 01:00+01:00", "25 02:00+00:00"]),
    ("*/30 1 * * *", "Europe/London", "2026-10-25", 1, ["25 01:00+01:00", "25 01:30+01:00"]),
    ("*/30 1 * * *", "Europe/London", "2026-03-29", 1, ["29 02:00+01:00"]),
    ("0 6 * * *", "Europe/London", "2026-03-29", 1, ["29 06:00+01:00"]),
    # real hours come as often as they do
    ("0 */3 * * *", "America/New_York", "2026-03-08", 1,
     [f"08 {hour:02}:00-0{5 if hour < 2 else 4}:00" for hour in range(0, 24, 3)]),
    ("15 * * * 0", "America/New_York", "2026-11-01", 1,
     ["01 00:15-04:00", "01 01:15-04:00", *(f"01 {hour:02}:15-05:00" for hour in range(1, 24))]),
    ("15 * * * 0", "America/New_York", "2026-03-08", 1,
     ["08 00:15-05:00", "08 01:15-05:00", *(f"08 {hour:02}:15-04:00" for hour in range(3, 24))]),
    ("15 0-23 * * 0", "America/New_York", "2026-11-01", 1,
     ["01 00:15-04:00", "01 01:15-04:00", *(f"01 {hour:02}:15-05:00" for hour in range(1, 24))]),
    # by half an hour: 02:00 becomes 02:30 in October, and 01:30 in April
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-04", 1, ["04 02:30+11:00"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-05", 1, ["05 01:45+11:00"]),
    ("45 */8 * * *", "Australia/Lord_Howe", "2026-04-05", 1, ["05 00:45+11:00", "05 08:45+10:30", "05 16:45+10:30"]),
    ("45 * 5 4 *", "Australia/Lord_Howe", "2026-04-05", 1,
     ["05 00:45+11:00", "05 01:45+11:00", *(f"05 {hour:02}:45+10:30" for hour in range(1, 24))]),
    # midnight does not exist in Cairo and once did not in Sao Paulo; it comes twice in Havana
    ("0 0 * * *", "Africa/Cairo", "2026-04-23", 3, ["23 00:00+02:00", "24 01:00+03:00", "25 00:00+03:00"]),
    ("30 0 * * *", "America/Sao_Paulo", "2018-11-03", 3, ["03 00:30-03:00", "04 01:00-02:00", "05 00:30-02:00"]),
    ("0 0 * * *", "America/Havana", "2026-10-31", 3, ["31 00:00-04:00", "01 00:00-04:00", "02 00:00-05:00"]),
    # the clocks of St. John's went back from 00:01 to 23:01 of the day before, so midnight came twice
    ("0 0 * * *", "America/St_Johns", "2006-10-28", 3, ["28 00:00-02:30", "29 00:00-02:30", "30 00:00-03:30"]),
    ("30 23 * * *", "America/St_Johns", "2006-10-28", 2, ["28 23:30-02:30", "29 23:30-03:30"]),
    # no change at all, at 45 minutes
    ("0 0 * * *", "Asia/Kathmandu", "2026-03-28", 2, ["28 00:00+05:45", "29 00:00+05:45"]),
    # Apia had no 30 December 2011
    ("0 6 * * *", "Pacific/Apia", "2011-12-29", 3, ["29 06:00-10:00", "31 06:00+14:00"]),
    ("0 * 30 12 *", "Pacific/Apia", "2011-12-29", 3, []),
    # special days
    ("0 0 L * *", "UTC", "2028-02-25", 7, ["29 00:00+00:00"]),
    ("0 0 * * 5#2", "UTC", "2026-01-05", 7, ["09 00:00+00:00"]),
    ("0 0 * * L5", "UTC", "2026-01-26", 7, ["30 00:00+00:00"]),
    ("0 0 15W * *", "UTC", "2026-02-14", 4, ["16 00:00+00:00"]),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "tz", "day", "count", "expected"), DAYS)
def test_ticks_of_days(expression: str, tz: str, day: str, count: int, expected: list[str]) -> None:
    first = date.fromisoformat(day)
    days = {first + timedelta(days=number) for number in range(count)}
    found = [local(tick, tz) for tick in ticks(expression, tz, utc(day) - 2 * DAY, utc(day) + (count + 2) * DAY)]

    assert [text[8:].replace("T", " ") for text in found if date.fromisoformat(text[:10]) in days] == expected


DAY = timedelta(days=1)


def test_the_start_is_left_out_and_the_end_is_given() -> None:
    ends = utc("2026-01-01T06:00"), utc("2026-01-03T06:00")

    assert [f"{tick:%d}" for tick in ticks("0 6 * * *", "UTC", *ends)] == ["02", "03"]
    assert [*ticks("0 6 * * *", "UTC", ends[0], ends[0])] == []
    assert [*ticks("0 6 * * *", "UTC", ends[1], ends[0])] == []


def test_ends_may_be_in_any_zone() -> None:
    after = datetime.fromisoformat("2026-01-01T06:00+05:30")
    found = [*ticks("0 * * * *", "UTC", after, after + timedelta(hours=1))]

    assert found == [utc("2026-01-01T01:00")]
    assert found[0].utcoffset() == timedelta(0)


def test_a_rare_expression_is_walked_over_a_century() -> None:
    found = [tick.year for tick in ticks("0 0 29 2 *", "Europe/Paris", utc("1990-01-01"), utc("2030-01-01"))]

    assert found == [1992, 1996, 2000, 2004, 2008, 2012, 2016, 2020, 2024, 2028]


def random_expression(random: Random) -> str:
    def field(low: int, high: int) -> str:
        first = random.randint(low, high)
        last = random.randint(first, high)
        return random.choice(["*", "*", f"{first}", f"{first}-{last}", f"{first},{last}", f"*/{random.randint(1, 9)}"])

    day = random.choice([field(1, 28), "L", "1,L", "13W", "*"])
    weekday = random.choice([field(0, 7), "1#3", "L4", "MON-FRI", "*"])
    return " ".join([field(0, 59), field(0, 23), day, random.choice(["*", field(1, 12)]), weekday])


def test_without_changes_of_clocks_ticks_are_those_of_croniter() -> None:
    random = Random(27)
    compared = 0
    for _ in range(250):
        expression = random_expression(random)
        if check_cron(expression) is not None:
            continue
        start = utc(f"20{random.randint(10, 40)}-0{random.randint(1, 9)}-01T0{random.randint(0, 9)}:07")
        walk = croniter(expression, start.replace(tzinfo=None), ret_type=datetime)
        expected = [walk.get_next(datetime).isoformat() for _ in range(20)]
        end = start + timedelta(days=9000)
        actual = [f"{tick:%Y-%m-%dT%H:%M:%S}" for tick in islice(ticks(expression, "UTC", start, end), 20)]

        assert actual == expected, expression
        compared += 1
    assert compared > 100


@pytest.mark.parametrize(
    ("expression", "problem"),
    [
        ("0 6 * * 1-5", None),
        ("@daily", None),
        ("*/7 9-17 1,15 JAN-MAR mon", None),
        ("0 0 * * 7", None),
        ("61 * * * *", "the minute field `61` is not one that cron takes (0-59)"),
        ("0 24 * * *", "the hour field `24` is not one that cron takes (0-23)"),
        ("0 0 0 * *", "the day field `0` is not one that cron takes (1-31)"),
        ("0 0 * 13 *", "the month field `13` is not one that cron takes (1-12 or JAN-DEC)"),
        ("0 0 * * 8", "the weekday field `8` is not one that cron takes (0-7 or SUN-SAT)"),
        ("0 x * * *", "the hour field `x` is not one that cron takes (0-23)"),
        ("H 1 * * *", "the minute field `H` is a random time; write the time itself"),
        ("0 0 * *", "`0 0 * *` has 4 fields; cron has five: minute hour day month weekday"),
        ("0 0 0 * * *", "`0 0 0 * * *` has 6 fields; cron has five: minute hour day month weekday"),
        ("", "`` has 0 fields; cron has five: minute hour day month weekday"),
        (
            "0 0 1 * 5#2",
            "the day field `1` and the weekday field `5#2` do not go together; write two expressions",
        ),
        ("0 0 30 2 *", "`0 0 30 2 *` never fires: no month that it names has such a day"),
        (
            "@reboot",
            "`@reboot` is not a name of cron; the names are "
            "@hourly, @daily, @midnight, @weekly, @monthly, @yearly, @annually",
        ),
    ],
)
def test_what_is_wrong_with_an_expression(expression: str, problem: str | None) -> None:
    assert check_cron(expression) == problem


def test_an_unreadable_expression_is_refused_before_the_first_tick() -> None:
    with pytest.raises(BadDeclaration) as raised:
        ticks("61 * * * *", "UTC", utc("2026-01-01"), utc("2026-01-02"))

    assert raised.value.fix == 'write five fields, such as "0 6 * * 1-5" for 06:00 on working days'


def test_an_unknown_zone_is_refused_with_the_nearest() -> None:
    with pytest.raises(BadDeclaration) as raised:
        ticks("0 6 * * *", "Europe/Londn", utc("2026-01-01"), utc("2026-01-02"))

    assert raised.value.facts == ("did you mean `Europe/London`?",)


@pytest.mark.parametrize("expression", ["0 0 * * *", "0 */5 * * *", "*/10 * * * *", "30 1,2 * * 0"])
def test_ticks_rise_and_do_not_depend_on_where_one_starts(expression: str) -> None:
    low, high = utc("2026-03-01"), utc("2026-04-10")
    whole = [*ticks(expression, "Australia/Lord_Howe", low, high)]

    assert all(first < then for first, then in pairwise(whole))
    for start in [*whole[:: len(whole) // 12 + 1], utc("2026-04-04T14:59:59"), utc("2026-04-04T15:10:01")]:
        later = [tick for tick in whole if tick > start]
        assert [*ticks(expression, "Australia/Lord_Howe", start, high)] == later


def test_reading_finds_real_hours_by_the_hour_field() -> None:
    texts = ["0 * * * *", "0 */2 * * *", "0 0-23 * * *", "@hourly", "* 6 * * *", "*/5 9-17 * * *", "@daily"]

    assert [text for text in texts if read_cron(text).real_hours] == [*takewhile(lambda text: "6" not in text, texts)]
