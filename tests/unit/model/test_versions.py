from __future__ import annotations

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from assetflow.errors import NoSuchVersion, UsageError
from assetflow.model.versions import parse_version, time_name

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.mark.parametrize(
    ("text", "kind", "number"),
    [
        ("3", "number", 3), ("v3", "number", 3), ("HEAD", "back", 0), ("HEAD~2", "back", 2), ("run:41", "run", 41),
        ("prod", "env", 0), ("v3x", "env", 0), ("HEADS", "env", 0),
    ],
)  # fmt: skip
def test_names_of_versions(text: str, kind: str, number: int) -> None:
    found = parse_version(text)

    assert (found.kind, found.number, found.text) == (kind, number, text)


@pytest.mark.parametrize("text", ["", "3.5", "-1", "HEAD~", "run:", "HEAD~x", "²", "2026-11-20T", "2026-1-2", "a b"])
def test_what_is_no_name_of_a_version_is_refused(text: str) -> None:
    with pytest.raises(NoSuchVersion, match="does not name a version"):
        parse_version(text, of="orders")


@pytest.mark.parametrize("text", ["2026-13-01", "2026-02-30", "2026-11-20T25:00", "9999-12-31"])
def test_a_day_that_does_not_exist_is_refused(text: str) -> None:
    with pytest.raises(NoSuchVersion, match="is not a time"):
        parse_version(text, UTC)


def test_a_time_is_an_instant_in_the_zone() -> None:
    expected = datetime(2026, 11, 20, 9, 0, tzinfo=UTC).timestamp()

    assert parse_version("2026-11-20T10:00", BERLIN).moment == expected
    assert parse_version("2026-11-20 10:00:00", BERLIN).moment == expected
    assert parse_version("2026-11-20T10:00+01:00", UTC).moment == expected
    assert parse_version("2026-11-20T09:00Z", BERLIN).moment == expected
    assert time_name(datetime(2026, 11, 20, 10, 0), BERLIN).moment == expected  # noqa: DTZ001 - the zone's
    assert time_name(datetime(2026, 11, 20, 9, 0, tzinfo=UTC), BERLIN).moment == expected


@pytest.mark.parametrize(
    ("day", "next_midnight"),
    [
        (date(2026, 11, 20), datetime(2026, 11, 20, 23, 0, tzinfo=UTC)),
        (date(2026, 3, 29), datetime(2026, 3, 29, 22, 0, tzinfo=UTC)),  # summer time begins: a day of 23 hours
        (date(2026, 10, 25), datetime(2026, 10, 25, 23, 0, tzinfo=UTC)),  # and of 25
    ],
)
def test_a_day_means_its_end_in_the_zone(day: date, next_midnight: datetime) -> None:
    found = parse_version(day.isoformat(), BERLIN).moment

    assert found == time_name(day, BERLIN).moment
    assert next_midnight.timestamp() - 0.001 < found < next_midnight.timestamp()


@pytest.mark.parametrize("when", ["yesterday", "3", "HEAD", 20261120])
def test_as_of_takes_times_only(when: object) -> None:
    with pytest.raises(UsageError, match="as_of takes a time"):
        time_name(when)  # pyright: ignore[reportArgumentType]
