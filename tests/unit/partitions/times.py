"""What the tests of windows share: instants from text, and windows as text."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from assetflow.partitions.windows import TimeDefinition


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def local(instant: datetime, tz: str) -> str:
    return instant.astimezone(ZoneInfo(tz)).isoformat(timespec="minutes")


def hours_of(definition: TimeDefinition, key: str) -> float:
    window = definition.window(definition.ordinal(key))
    return (window.end - window.start).total_seconds() / 3600
