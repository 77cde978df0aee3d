"""The tables of `ls` and `status`, from rows that hold just what stands in them. On the shortest way to an answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from assetflow.cli.table import Cell, Column, Table, cell
from assetflow.cli.text import Line, Piece, ago, bad, count, dim, iso, number, size, state_words, strong, warn
from assetflow.model.durations import words


class Fresh(Protocol):
    """How an asset stands in time."""

    @property
    def timeliness(self) -> str:
        """on_time, due, overdue, unknown or no_policy."""
        ...

    @property
    def deadline(self) -> float | None:
        """When it is due."""
        ...

    @property
    def late_s(self) -> float:
        """How late it is."""
        ...


class Clock(Protocol):
    """What times are shown by: `now` in UTC seconds, and a moment in the user's zone as text."""

    @property
    def now(self) -> float:
        """What `2 h ago` counts from."""
        ...

    def clock(self, moment: float | None) -> str:
        """A moment as text."""
        ...


class Place(Clock, Protocol):
    """A clock on a screen of some width."""

    @property
    def width(self) -> int:
        """Columns of the screen."""
        ...


class Shown(Clock, Protocol):
    """A clock on a screen of which it is known who reads it."""

    @property
    def wants_values(self) -> bool:
        """Whether programs read the tables, so that what people would see is not needed."""
        ...


ORDER = ("current", "pinned", "undecided", "reusable", "running", "stale", "maybe", "failed", "blocked", "missing")
"""States in the order in which counts name them."""


class Glance:
    """One row: what people and programs see of an asset in a list.

    `version` is its number, or of partitions `3/7`, with its words; `why` and `whole_why` say why it is not current.
    `timeliness`, `deadline` and `late_s` are of the moment of the look.
    """

    __slots__ = (
        "deadline", "estimate_s", "group", "is_source", "key", "kind", "late_s", "rows", "size_bytes", "state",
        "timeliness", "updated_at", "version", "version_words", "whole_why", "why",
    )  # fmt: skip

    def __init__(  # noqa: PLR0913 - the columns
        self,
        key: str,
        state: str,
        is_source: bool,
        kind: str,
        group: str,
        version: object,
        version_words: str,
        rows: int | None,
        size_bytes: int | None,
        updated_at: float | None,
        estimate_s: float | None,
        timeliness: str,
        deadline: float | None,
        late_s: float,
        why: str,
        whole_why: str,
    ) -> None:
        self.key, self.state, self.is_source, self.kind, self.group = key, state, is_source, kind, group
        self.version, self.version_words, self.rows, self.size_bytes = version, version_words, rows, size_bytes
        self.updated_at, self.estimate_s, self.timeliness = updated_at, estimate_s, timeliness
        self.deadline, self.late_s, self.why, self.whole_why = deadline, late_s, why, whole_why

    def to_json(self) -> list[Any]:
        """The row as JSON-able values, in the order in which it is made of them."""
        return [
            self.key, self.state, self.is_source, self.kind, self.group, self.version, self.version_words, self.rows,
            self.size_bytes, self.updated_at, self.estimate_s, self.timeliness, self.deadline, self.late_s, self.why,
            self.whole_why,
        ]  # fmt: skip


def asset_table(rows: Sequence[Glance], clock: Shown) -> Table:
    """One row for each asset, with all that fits."""
    columns = (
        Column("asset", "ASSET"),
        Column("state", "STATE"),
        Column("version", "VERSION", is_right=True),
        Column("rows", "ROWS", is_right=True, leave=1),
        Column("bytes", "SIZE", is_right=True, leave=3),
        Column("updated_at", "UPDATED", leave=2),
        Column("deadline", "DUE", leave=4),
        Column("kind", "KIND", leave=6),
        Column("group", "GROUP", leave=5),
    )
    values = [
        (row.key, row.state, row.version, row.rows, row.size_bytes, iso(row.updated_at) or None,
         iso(row.deadline) or None, row.kind, row.group)
        for row in rows
    ]  # fmt: skip
    if clock.wants_values:
        return Table(columns, _values(values))
    shown = (
        (strong(row.key), state_words(row.state), _version(row), number(row.rows), size(row.size_bytes),
         ago(row.updated_at, clock.now), due_words(row, clock), None, None)
        for row in rows
    )  # fmt: skip
    return Table(columns, _cells(values, shown))


def _values(rows: Iterable[tuple[object, ...]]) -> tuple[tuple[Cell, ...], ...]:
    """Cells that nobody sees: there may be very many, and what people would see of them is most of the work."""
    return tuple([tuple([Cell((), value) for value in row]) for row in rows])


def _cells(
    rows: Iterable[tuple[object, ...]], shown: Iterable[tuple[Piece | None, ...]]
) -> tuple[tuple[Cell, ...], ...]:
    return tuple([tuple(map(cell, *pair)) for pair in zip(rows, shown, strict=True)])


def _version(row: Glance) -> Piece | None:
    return None if row.version is None else row.version_words


def due_words(fresh: Fresh, clock: Clock) -> Piece:
    """`08:00 today`, or how late it is; a dash without a policy."""
    word = str(fresh.timeliness)
    if word == "overdue":
        return bad(f"⏱ {words(fresh.late_s)} late")
    if word in ("on_time", "due"):
        text = clock.clock(fresh.deadline)
        return warn(f"⏱ {text}") if word == "due" else f"{text} ✓"
    return dim("unknown" if word == "unknown" else "–")


def sorted_rows(rows: Sequence[Glance], by: str) -> tuple[Glance, ...]:
    """The rows in lineage order (topo), by name, or with the oldest, biggest or slowest first."""
    if by == "name":
        return tuple(sorted(rows, key=lambda row: row.key))
    if by == "age":
        return tuple(sorted(rows, key=lambda row: row.updated_at or float("inf")))
    if by == "size":
        return tuple(sorted(rows, key=lambda row: 1 if row.updated_at is None else -(row.size_bytes or 0)))
    if by == "duration":
        return tuple(sorted(rows, key=lambda row: -(row.estimate_s or 0.0)))
    return tuple(rows)


def counts_line(rows: Sequence[Glance], elapsed_s: float) -> Line:
    """`14 assets · 8 current · 4 stale · 0.06 s`."""
    own = [row for row in rows if not row.is_source]
    sources = len(rows) - len(own)
    states = Counter(row.state for row in own)
    parted = sum(row.key.endswith("]") for row in own)
    parts = [count(parted, "partition")] if parted else []
    parts += [count(len(own) - parted, "asset")] if len(own) > parted or not parted else []
    if sources:
        parts.append(count(sources, "source"))
    parts += [f"{states[state]} {state}" for state in ORDER if states[state]]
    late = sum(row.timeliness == "overdue" for row in rows)
    if late:
        parts.append(f"{late} overdue")
    return (dim(" " + " · ".join([*parts, words(elapsed_s)])),)


def status_table(rows: Sequence[Glance], clock: Shown, *, is_verbose: bool = False) -> Table:
    """One row for each asset: both axes of its state, and why it is not current."""
    columns = (
        Column("asset", "ASSET"),
        Column("state", "STATE"),
        Column("version", "VERSION", is_right=True, leave=2),
        Column("updated_at", "UPDATED", leave=3),
        Column("timeliness", "DUE", leave=1),
        Column("why", "WHY", least=30),
    )
    values = [
        (row.key, row.state, row.version, iso(row.updated_at) or None, row.timeliness,
         row.whole_why if is_verbose else row.why)
        for row in rows
    ]  # fmt: skip
    if clock.wants_values:
        return Table(columns, _values(values))
    shown = (
        (strong(row.key), state_words(row.state), _version(row), ago(row.updated_at, clock.now), due_words(row, clock),
         None)
        for row in rows
    )  # fmt: skip
    return Table(columns, _cells(values, shown))
