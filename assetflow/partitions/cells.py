"""Which partition a value in a column of data means: a key, a date or a time, as people write it into tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from assetflow.errors import UsageError
from assetflow.partitions.definition import Definition
from assetflow.partitions.multi import Multi
from assetflow.partitions.windows import TimeDefinition

ONLY = ""
"""The name of the axis where there are no axes."""


def axes_of(definition: Definition, only: str = ONLY) -> Mapping[str, Definition]:
    """The axes by name; a definition without axes is the only one, by the name `only`."""
    return definition.axes if isinstance(definition, Multi) else {only: definition}


def key_of_ordinals(definition: Definition, ordinals: Sequence[int]) -> str:
    """The key of the partition with these ordinals, one for each axis in the order in which they are written."""
    if isinstance(definition, Multi):
        return definition.key(definition.at(dict(zip(definition.axes, ordinals, strict=True))))
    return definition.key(ordinals[0])


def step_of(definition: Definition) -> int | None:
    """How many seconds of a clock, from a multiple of them on, are in one partition if their ends are.

    None where partitions are no times. Zones are a multiple of a quarter of an hour from UTC, or were something else
    when a quarter that has a change begins and ends in two partitions. Ticks of cron come by the minute.
    """
    if not isinstance(definition, TimeDefinition):
        return None
    return 60 if definition.kind == "cron" else 900


def ordinal_of_cell(definition: Definition, value: object) -> int:
    """The partition that a value means. A time without a zone, and a date, are of the zone of the definition.

    Raises:
        UsageError: it means none, or a time that is longer than a partition.

    Example:
        >>> from assetflow.partitions.windows import Monthly
        >>> months = Monthly("2026-01")
        >>> months.key(ordinal_of_cell(months, date(2026, 2, 14)))
        '2026-02'
    """
    if not isinstance(definition, TimeDefinition):
        return definition.ordinal(str(value))
    if isinstance(value, date):
        found = value if isinstance(value, datetime) else datetime.combine(value, time())
        return definition.partition_at(
            found if found.tzinfo is not None else found.replace(tzinfo=ZoneInfo(definition.tz))
        )
    low, high = definition.named(str(value))
    if high - low != 1:
        raise UsageError(f"`{value}` is more than one of {definition}", fix="write the time of one partition")
    return low


def columns_problem(definition: Definition, columns: Mapping[str, str]) -> str | None:
    """Why these columns do not say to which partition a row belongs, as a sentence without a full stop, or None."""
    axes = axes_of(definition)
    missing: Sequence[str] = [name for name in axes if name not in columns]
    if missing == [ONLY]:
        return "nothing says by which column the rows belong to partitions"
    foreign = next((name for name in columns if name not in axes), None)
    if foreign is not None:
        return (
            f"partition_column= names `{foreign or next(iter(columns.values()))}`, and the axes are {', '.join(axes)}"
        )
    return None
