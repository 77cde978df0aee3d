"""The screen of `status --freshness`: deadlines in the zone that they were declared in, and what makes assets late."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol

from assetflow.cli.documents import last_good_at
from assetflow.cli.render_glance import Place
from assetflow.cli.table import Cell, Column, Table, cell
from assetflow.cli.text import Line, Piece, bad, count, dim, head, iso, state_words, strong, warn, wrapped
from assetflow.model.durations import words

if TYPE_CHECKING:
    from assetflow.views import AssetStatus, Status

_MOST_ROOTS = 5
_LAST = float("inf")


class Zones(Place, Protocol):
    """A place that knows the zone which was asked for, and tells a moment in another one."""

    @property
    def asked_zone(self) -> str:
        """The zone of `--tz` or `--utc`; empty when nobody asked for one."""
        ...

    def clock_in(self, moment: float | None, zone: str, *, is_named: bool = False) -> str:
        """A moment as text in the zone of this name; empty is the one of the screen. `is_named` adds its short name."""
        ...


def with_deadline(rows: Iterable[AssetStatus]) -> tuple[AssetStatus, ...]:
    """The rows that have a policy: the latest first, then by deadline, those without data at the end."""
    found = [row for row in rows if row.spec.freshness is not None]
    found.sort(key=lambda row: (-row.freshness.late_s, row.freshness.deadline or _LAST, row.spec.key))
    return tuple(found)


def freshness_table(rows: Sequence[AssetStatus], place: Zones) -> Table:
    """One row for each of these assets, which have a policy."""
    shared = _shared_zone(rows, place)
    columns = (
        Column("asset", "ASSET"),
        Column("deadline", f"DUE ({shared})" if shared else "DUE"),
        Column("last_good_at", "LAST GOOD", leave=1),
        Column("late_seconds", "LATE", is_right=True),
        Column("because", "BECAUSE", least=26),
        Column("timeliness", "TIME", leave=3),
        Column("state", "STATE", leave=2),
        Column("as_of", "DATA OF", leave=4),
        Column("policy", "POLICY", leave=5),
    )
    return Table(columns, tuple(_cells(row, place, is_shared=shared is not None) for row in rows))


def _cells(row: AssetStatus, place: Zones, *, is_shared: bool) -> tuple[Cell, ...]:
    fresh, zone = row.freshness, _zone(row, place)
    return (
        cell(row.spec.key, strong(row.spec.key)),
        cell(iso(fresh.deadline) or None, place.clock_in(fresh.deadline, zone, is_named=not is_shared)),
        cell(iso(last_good_at(row)) or None, place.clock(last_good_at(row))),
        cell(fresh.late_s, _late(row)),
        cell(None if row.late is None else row.late.words, "" if row.late is None else row.late.words),
        cell(str(fresh.timeliness), _timeliness(row)),
        cell(row.state, state_words(row.state)),
        cell(iso(fresh.as_of) or None, place.clock(fresh.as_of)),
        cell(str(row.spec.freshness)),
    )


def _zone(row: AssetStatus, place: Zones) -> str:
    """The zone in which a deadline is told: that of a cron policy, unless another was asked for."""
    policy = row.spec.freshness
    return place.asked_zone or ("" if policy is None or policy.by is None else policy.tz)


def _shared_zone(rows: Iterable[AssetStatus], place: Zones) -> str | None:
    """The zone of all deadlines, empty for that of the screen; None when they have several."""
    zones = {_zone(row, place) for row in rows}
    return zones.pop() if len(zones) == 1 else None


def _late(row: AssetStatus) -> Piece:
    return bad(words(row.freshness.late_s)) if row.freshness.late_s > 0 else dim("–")


def _timeliness(row: AssetStatus) -> Piece:
    match str(row.freshness.timeliness):
        case "overdue":
            return bad("⏱ overdue")
        case "due":
            return warn("⏱ due")
        case "unknown":
            return dim("no data")
        case _:
            return dim("on time")


def freshness_below(rows: Sequence[AssetStatus], status: Status, place: Zones) -> list[Line]:
    """Counts, the next deadline, and what to do about what is late. `rows` have a policy, those of `status` may."""
    coming = [row for row in rows if str(row.freshness.timeliness) in ("on_time", "due")]
    without = sum(row.spec.freshness is None and not row.spec.is_source for row in status.rows)
    unknown = sum(str(row.freshness.timeliness) == "unknown" for row in rows)
    parts = [f"{len(status.overdue)} overdue"]
    if coming:
        first = min(coming, key=lambda row: (row.freshness.deadline or _LAST, row.spec.key))
        same = sum(row.freshness.deadline == first.freshness.deadline for row in coming)
        is_named = _shared_zone(rows, place) is None
        due = place.clock_in(first.freshness.deadline, _zone(first, place), is_named=is_named)
        parts.append(f"{same} due next at {due}")
    if unknown:
        parts.append(f"{unknown} without data")
    if without:
        parts.append(f"{without} without deadline")
    return [(dim(" " + " · ".join(parts)),), *_roots(status, place)]


def _roots(status: Status, place: Place) -> list[Line]:
    lines: list[Line] = []
    roots = status.late_roots
    for root in roots[:_MOST_ROOTS]:
        told: list[Piece] = [*f"{root.cause.words} · {count(len(root.assets), 'asset')} →".split()]
        told += root.fix.replace(", then ", ",\0then ").split("\0")  # a command is not broken, so that it can be copied
        lines += wrapped((head(" root cause: "),), told, width=place.width, separator=" ")
    if len(roots) > _MOST_ROOTS:
        lines.append((dim(f"   … {count(len(roots) - _MOST_ROOTS, 'more root cause')}: --json has all"),))
    return lines
