"""Times that people give to `--now`, and times that schedules show."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from assetflow.errors import UsageError

if TYPE_CHECKING:
    from assetflow.cli.session import Session


def given_now(session: Session, text: str | None, zone: str) -> float:
    """The time of `--now`, or of the clock. Without an offset it is in the zone that screens show, or else `zone`.

    Raises:
        UsageError: it is not a time.
    """
    if text is None:
        return session.now
    from assetflow.model.versions import zone_named

    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=found.tzinfo or session.zone() or zone_named(zone)).timestamp()
    except (ValueError, OverflowError, OSError) as error:
        raise UsageError(f"`--now {text}` is not a time", fix="--now 2026-11-22T07:00Z") from error


def wall(moment: float, zone: str) -> str:
    """`Mon 30 Nov 2026 07:00 GMT`: an instant as a clock in a zone shows it."""
    from zoneinfo import ZoneInfo

    then = datetime.fromtimestamp(moment, UTC).astimezone(ZoneInfo(zone))
    return f"{then:%a} {then.day} {then:%b %Y %H:%M} {_zone_word(then)}"


def _zone_word(then: datetime) -> str:
    name = then.tzname() or ""
    return name if name.isalpha() else f"UTC{then:%z}"
