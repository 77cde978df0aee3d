"""Alerts as values: the channels of a project, what is to be told, and when a channel wants to be left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import msgspec

from assetflow.model.durations import seconds

RUN_FAILED, ASSET_FAILED, CHECK_FAILED = "run.failed", "asset.failed", "check.failed"
ASSET_OVERDUE, TICK_FAILED, TICK_MISSED = "asset.overdue", "tick.failed", "tick.missed"
SENSOR_FAILED = "sensor.failed"

EVENTS = (RUN_FAILED, ASSET_FAILED, CHECK_FAILED, ASSET_OVERDUE, TICK_FAILED, TICK_MISSED, SENSOR_FAILED)
"""What a channel may be told of. `run.failed` is whatever makes a run fail: `asset.failed` and `check.failed` too."""

OPENED, REMINDER, RECOVERED, TEST = "opened", "reminder", "recovered", "test"
"""The kinds of messages."""

WAITING, SENT, REPLACED, DROPPED = "waiting", "sent", "replaced", "dropped"
"""The states of a message: one that was replaced is told by a later one, one that was dropped is never sent."""

OVER, OTHER_CAUSE, GONE = "recovered", "other cause", "gone"
"""How an alert ends: what it is about is well again, fails for another cause, or is no part of the project now."""

SCHEMA = "assetflow.message/1"
"""The form of the documents that channels get."""


@dataclass(frozen=True, slots=True)
class Channel:
    """Who is told of what, as the project file has it. `url` may be `env:NAME`; it is shown nowhere.

    `assets` is a selection and `env` an environment; empty for all. `quiet` is a time of the day such as
    `22:00..07:00`, in the zone `tz`.
    """

    name: str
    on: tuple[str, ...] = EVENTS
    assets: str = ""
    url: str = field(default="", repr=False)
    command: tuple[str, ...] = ()
    quiet: str = ""
    tz: str = "UTC"
    repeat_s: float | None = None
    recovered: bool = True
    env: str = ""
    enabled: bool = True

    def hears(self, event: str, env: str) -> bool:
        """Whether it is to be told of events of this name in this environment."""
        if self.env not in ("", env):
            return False
        return event in self.on or (event in (ASSET_FAILED, CHECK_FAILED) and RUN_FAILED in self.on)

    @property
    def way(self) -> str:
        """How it is told, without any address: `command notify.py`, `$SLACK_URL`, `webhook`, `slack`."""
        if self.command:
            return f"command {self.command[0]}"
        if self.url.startswith("env:"):
            return f"${self.url.removeprefix('env:')}"
        scheme = self.url.partition("://")[0]
        return "webhook" if scheme in ("http", "https") else scheme


class Trouble(msgspec.Struct, frozen=True):
    """One root cause as it is seen now. `cause` tells apart what is told apart: the kind of error, and its place.

    `subject` is the asset or the job that it is about. `assets` are all that it concerns, the subject included.
    `slots` are the asset partitions that have to be well again before it is over.
    """

    event: str
    env: str
    subject: str
    cause: str
    title: str
    facts: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])
    assets: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    run_id: int | None = None

    @property
    def key(self) -> str:
        """What makes two of them the same."""
        return "|".join([self.event, self.env, self.subject, self.cause])


class Alert(msgspec.Struct, frozen=True):
    """One root cause from when it was first seen until it is over. `alert_id` is never given to another one.

    `seen` counts how often it was seen, for the last time in `run_id`. `how` is empty while it is open.
    """

    alert_id: str
    key: str
    event: str
    env: str
    subject: str
    title: str
    opened_at: float
    seen_at: float
    seen: int = 1
    run_id: int | None = None
    facts: Mapping[str, object] = msgspec.field(default_factory=dict[str, object])
    assets: tuple[str, ...] = ()
    slots: tuple[str, ...] = ()
    closed_at: float | None = None
    how: str = ""

    @property
    def is_open(self) -> bool:
        """Whether it is not over."""
        return self.closed_at is None


class Message(msgspec.Struct, frozen=True):
    """What is to be told to one channel. `document` is what it gets; the `message_id` stays the same at every try."""

    message_id: str
    alert_id: str
    channel: str
    kind: str
    document: Mapping[str, object]
    created_at: float
    due_at: float
    state: str = WAITING
    tries: int = 0
    error: str = ""
    sent_at: float | None = None


def channels_of(settings: Mapping[str, Mapping[str, object]]) -> tuple[Channel, ...]:
    """The channels of the table `[alerts]` of the settings, by name."""
    found: list[Channel] = []
    for name, values in sorted(settings.items()):
        known = dict(cast("Mapping[str, Any]", values))  # the schema has checked what they are
        on = cast("list[str] | None", known.pop("on", None))
        command = cast("list[str]", known.pop("command", None) or [])
        repeat = cast("float | str | None", known.pop("repeat", None))
        found.append(
            Channel(
                name,
                on=EVENTS if on is None else tuple(one for event in on for one in events_in(event)),
                command=tuple(command),
                repeat_s=None if repeat is None else seconds(repeat),
                **known,
            )
        )
    return tuple(found)


def events_in(pattern: str) -> tuple[str, ...]:
    """The events that a name or a pattern such as `tick.*` means; none for what is neither."""
    if pattern == "*":
        return EVENTS
    start = pattern.removesuffix("*")
    if start != pattern and start.endswith("."):
        return tuple(event for event in EVENTS if event.startswith(start))
    return (pattern,) if pattern in EVENTS else ()


def quiet_times(text: str) -> tuple[int, int]:
    """The first minute of the day in `22:00..07:00` that is quiet, and the first that is not any more.

    Raises:
        ValueError: it is not of that form, or both are the same.
    """
    begin, dots, end = text.partition("..")
    if not dots:
        raise ValueError(f'`{text}` is not a time of the day; write "22:00..07:00"')
    minutes = (_minute(begin.strip()), _minute(end.strip()))
    if minutes[0] == minutes[1]:
        raise ValueError(f"`{text}` begins when it ends; use enabled = false for a channel that is never told")
    return minutes


def quiet_until(channel: Channel, now: float) -> float | None:
    """When the quiet hours of a channel end, if they are at `now`; None when they are not.

    A time of the day is what clocks on the wall show: hours that come twice are quiet twice, and quiet hours that end
    in hours that are left out end with these.
    """
    if not channel.quiet or not _is_quiet(channel, now):
        return None
    minute = now - now % 60
    for _ in range(3 * 24 * 60):  # clocks change by whole minutes, so no other instant can be the end
        minute += 60
        if not _is_quiet(channel, minute):
            break
    return minute


def _is_quiet(channel: Channel, now: float) -> bool:
    from zoneinfo import ZoneInfo

    begin, end = quiet_times(channel.quiet)
    then = datetime.fromtimestamp(now, UTC).astimezone(ZoneInfo(channel.tz))
    minute = then.hour * 60 + then.minute
    return begin <= minute < end if begin < end else minute >= begin or minute < end


def _minute(text: str) -> int:
    hour, colon, minute = text.partition(":")
    is_time = colon and len(minute) == 2 and hour.isdecimal() and minute.isdecimal() and hour.isascii()
    if not is_time or int(minute) > 59 or int(hour) > 23:
        raise ValueError(f'`{text}` is not a time of the day; write "22:00..07:00"')
    return int(timedelta(hours=int(hour), minutes=int(minute)).total_seconds() // 60)
