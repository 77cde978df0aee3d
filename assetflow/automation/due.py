"""What is to be done about the ticks that are due: a decision from values alone, without clock, catalog or process."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from msgspec import Struct
from msgspec.structs import replace

from assetflow.model.jobs import ALL, DONE, FAILED, LATEST, NONE, PAUSED, Tick
from assetflow.model.sensors import Requested
from assetflow.partitions.cron import ticks

ON_TIME_S = 60
"""With `catchup = "none"` a tick is taken up so many seconds late at most, then it is missed."""
TRIES = 2
"""So often a tick is taken up when the process that did so dies before its run begins."""
_WINDOWS = tuple(timedelta(days=days) for days in (2, 60, 800, 4000))
"""How far ahead the next ticks are looked for: the rarest that there are, 29 February, are eight years apart."""


class Gap(Struct, frozen=True):
    """Ticks in a row that will not run: the first, the last, and how many."""

    first: int
    last: int
    count: int


class Decision(Struct, frozen=True):
    """What becomes of ticks that are due: the one that `runs` now, those `missed`, and the policy that said so.

    Ticks up to `mark` are then accounted for; `is_more` says that there are others after it.
    """

    policy: str
    runs: int | None = None
    missed: Gap | None = None
    mark: int | None = None
    is_more: bool = False


def decide(due: Iterable[int], catchup: str, now: float, *, is_paused: bool = False) -> Decision:
    """What becomes of the ticks that are due, given in order.

    `latest` runs the newest and misses the others. `all` runs the oldest, and the others after it, one by one. `none`
    runs the newest if it has only just come, and misses whatever was not taken up in time. While the schedule is
    paused, all are missed.
    """
    known = iter(due)
    if is_paused:
        gap, _ = _gap(known)
        return Decision(PAUSED, missed=gap, mark=None if gap is None else gap.last)
    if catchup == ALL:
        first = next(known, None)
        return Decision(ALL, runs=first, mark=first, is_more=next(known, None) is not None)
    gap, newest = _gap(known, keep_newest=True)
    if newest is None:
        return Decision(catchup)
    if catchup == LATEST or (catchup == NONE and now - newest <= ON_TIME_S):
        return Decision(catchup, runs=newest, missed=gap, mark=newest)
    late = Gap(newest, newest, 1) if gap is None else Gap(gap.first, newest, gap.count + 1)
    return Decision(catchup, missed=late, mark=newest)


Claimed = TypeVar("Claimed", Tick, Requested)


def settled(tick: Claimed, run_state: str | None) -> Claimed | None:
    """A claimed tick, or request, whose process is gone, as it ends; None when it may be taken up again.

    That is when no run of it ever began. `run_state` is the state of its run in the catalog, None when it has none.
    """
    if tick.run_id is None:
        if tick.tries < TRIES:
            return None
        return _ended(tick, FAILED, f"its process ended {tick.tries} times before a run began")
    if run_state == "ok":
        return _ended(tick, DONE, "")
    how = {"failed": "failed", "cancelled": "was interrupted"}.get(run_state or "", "ended with its process")
    return _ended(tick, FAILED, f"run #{tick.run_id} {how}")


def due_ticks(cron: str, tz: str, mark: int, now: float) -> Iterator[int]:
    """The instants after `mark` and up to now at which a schedule fires. None, when the clock is behind the mark."""
    if now <= mark:
        return iter(())
    return (_seconds(tick) for tick in ticks(cron, tz, _moment(mark), _moment(now)))


def next_ticks(cron: str, tz: str, after: float, count: int = 1) -> list[int]:
    """The next instants at which a schedule fires, after a time."""
    found: list[int] = []
    start = begin = _moment(after)
    for window in _WINDOWS:
        for tick in ticks(cron, tz, begin, start + window):
            found.append(_seconds(tick))
            if len(found) == count:
                return found
        begin = start + window
    return found


def _gap(due: Iterator[int], *, keep_newest: bool = False) -> tuple[Gap | None, int | None]:
    first = last = before = None
    count = 0
    for tick in due:
        before, last, count = last, tick, count + 1
        first = tick if first is None else first
    if first is None or last is None:
        return None, None
    if not keep_newest:
        return Gap(first, last, count), None
    return None if before is None else Gap(first, before, count - 1), last


def _ended(tick: Claimed, state: str, note: str) -> Claimed:
    return replace(tick, state=state, note=note)


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
