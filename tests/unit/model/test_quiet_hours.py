"""Quiet hours of alert channels: over midnight, over the nights on which clocks change, and against a slow look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, strategies as st

from assetflow.model.alerts import Channel, events_in, quiet_times, quiet_until


def channel(quiet: str, tz: str = "UTC") -> Channel:
    return Channel("team", command=("true",), quiet=quiet, tz=tz)


def until(quiet: str, tz: str, now: str) -> str | None:
    """When quiet hours end, in UTC; None when it is not quiet."""
    found = quiet_until(channel(quiet, tz), datetime.fromisoformat(now).timestamp())
    return None if found is None else datetime.fromtimestamp(found, UTC).strftime("%d %H:%M")


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        ("2026-03-05T21:59:59Z", None),
        ("2026-03-05T22:00Z", "06 07:00"),
        ("2026-03-05T23:59:59Z", "06 07:00"),
        ("2026-03-06T00:00Z", "06 07:00"),
        ("2026-03-06T06:59:59Z", "06 07:00"),
        ("2026-03-06T07:00Z", None),
    ],
)
def test_quiet_hours_go_over_midnight(now: str, expected: str | None) -> None:
    assert until("22:00..07:00", "UTC", now) == expected


@pytest.mark.parametrize(
    ("now", "expected"),
    [("2026-03-05T11:59Z", None), ("2026-03-05T12:00Z", "05 13:30"), ("2026-03-05T13:30Z", None)],
)
def test_quiet_hours_may_be_within_a_day(now: str, expected: str | None) -> None:
    assert until("12:00..13:30", "UTC", now) == expected


@pytest.mark.parametrize(
    ("quiet", "now", "expected"),
    [
        # London goes from 01:00 GMT to 02:00 BST on 29 March: the night is an hour shorter.
        ("22:00..07:00", "2026-03-28T22:00Z", "29 06:00"),
        ("22:00..07:00", "2026-03-29T05:59Z", "29 06:00"),
        ("22:00..07:00", "2026-03-29T06:00Z", None),
        # What would end at 01:30, which there is not, ends when the clock is past it.
        ("22:00..01:30", "2026-03-29T00:59Z", "29 01:00"),
        ("22:00..01:30", "2026-03-29T01:00Z", None),
        # What would begin in the hour that is left out begins behind it.
        ("01:30..03:00", "2026-03-29T00:59Z", None),
        ("01:30..03:00", "2026-03-29T01:00Z", "29 02:00"),
        # From 02:00 BST to 01:00 GMT on 25 October: the night is an hour longer.
        ("22:00..07:00", "2026-10-24T21:00Z", "25 07:00"),
        ("22:00..07:00", "2026-10-25T06:30Z", "25 07:00"),
        # 01:15 comes twice, and is quiet twice.
        ("01:00..01:30", "2026-10-25T00:15Z", "25 00:30"),
        ("01:00..01:30", "2026-10-25T00:45Z", None),
        ("01:00..01:30", "2026-10-25T01:15Z", "25 01:30"),
    ],
)
def test_quiet_hours_are_what_clocks_on_the_wall_show(quiet: str, now: str, expected: str | None) -> None:
    assert until(quiet, "Europe/London", now) == expected


CHANGES = (datetime(2026, 3, 28, 12, tzinfo=UTC), datetime(2026, 10, 24, 12, tzinfo=UTC))


@given(
    begin=st.integers(0, 47), length=st.integers(1, 47), start=st.sampled_from(CHANGES), minute=st.integers(0, 2 * 1440)
)
def test_the_end_is_the_first_instant_that_is_not_quiet(begin: int, length: int, start: datetime, minute: int) -> None:
    def clock(half_hours: int) -> str:
        return f"{half_hours % 48 // 2:02}:{half_hours % 2 * 30:02}"

    quiet = f"{clock(begin)}..{clock(begin + length)}"
    now = start + timedelta(minutes=minute, seconds=7)
    found = quiet_until(channel(quiet, "Europe/Berlin"), now.timestamp())

    def is_quiet(moment: datetime) -> bool:
        wall = moment.astimezone(ZoneInfo("Europe/Berlin"))
        return (wall.hour * 2 + wall.minute // 30 - begin) % 48 < length

    step = now
    while is_quiet(step):
        step = step.replace(second=0) + timedelta(minutes=1)

    assert found == (None if step == now else step.timestamp())


@pytest.mark.parametrize("text", ["22:00", "22..07", "24:00..07:00", "22:60..07:00", "07:00..07:00", "", "a:00..7:00"])
def test_what_is_no_time_of_the_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"22:00\.\.07:00|begins when it ends"):
        quiet_times(text)


def test_a_channel_without_quiet_hours_is_never_quiet() -> None:
    assert quiet_until(channel(""), 0.0) is None


def test_patterns_mean_events() -> None:
    assert events_in("tick.*") == ("tick.failed", "tick.missed")
    assert events_in("asset.failed") == ("asset.failed",)
    assert events_in("asset") == events_in("asse*") == ()
