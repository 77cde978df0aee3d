"""Schedules and ticks in the catalog: each verb is one transaction, or one query.

The key of a tick is its job and its instant, so none can be taken up twice, whoever asks and whatever the clock says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.errors import Superseded
from assetflow.model.jobs import Schedule, Tick

Also = Callable[[Sequence[Tick]], None]
"""Is given ticks while they are recorded, within the same transaction."""


TICKS_KEPT, DAYS_KEPT = 10_000, 90
"""The newest ticks of a job are kept, and all of the last days before those that are accounted for: long enough for a
clock that was ahead and is put right. Ticks that wait or run are always kept."""


class Ticks:
    """What is recorded of the ticks of jobs. Who writes holds the lock of the job, but to pause and to resume."""

    def __init__(self, catalog: Catalog) -> None:
        self._database = catalog.database

    # -- reading

    def schedules(self) -> dict[str, Schedule]:
        """The schedules that were ever seen, by job."""
        rows = cast("list[tuple[Any, ...]]", self._database.rows("schedules"))
        return {row[0]: replace(Schedule(*row), is_off=bool(row[5])) for row in rows}

    def claimed(self) -> dict[str, list[Tick]]:
        """The ticks of each job that wait or run, or whose process is gone, oldest first."""
        found: dict[str, list[Tick]] = {}
        for tick in self._ticks("claimed_ticks"):
            found.setdefault(tick.job, []).append(tick)
        return found

    def last(self) -> dict[str, Tick]:
        """The newest tick of each job that was taken up."""
        return {tick.job: tick for tick in self._ticks("last_ticks")}

    def missed(self) -> dict[str, int]:
        """How many ticks of each job were missed."""
        return dict(cast("list[tuple[str, int]]", self._database.rows("missed_ticks")))

    def missed_after(self, instant: float) -> list[tuple[str, int, int, int]]:
        """The rows of missed ticks that reach beyond an instant: the job, the first, the last, and how many."""
        return cast("list[tuple[str, int, int, int]]", self._database.rows("missed_after", instant))

    def of(self, job: str, limit: int = 1000) -> list[Tick]:
        """The ticks of a job, newest first."""
        return self._ticks("ticks_of", job, limit)

    def ahead(self) -> dict[str, set[int]]:
        """The ticks after the mark of their job that something became of already: the clock was ahead once."""
        found: dict[str, set[int]] = {}
        for job, scheduled in cast("list[tuple[str, int]]", self._database.rows("ahead")):
            found.setdefault(job, set()).add(scheduled)
        return found

    def missed_across(self, job: str, instant: int) -> list[Tick]:
        """The rows of missed ticks with some up to an instant and others after it."""
        return self._ticks("missed_across", job, instant)

    # -- writing

    def put(self, schedules: Iterable[Schedule], ended: Iterable[Tick], at: float) -> None:
        """Record schedules as they are now, and how claimed ticks ended of jobs that nobody runs any more."""
        with self._database.transaction():
            for one in schedules:
                self._put(one)
            for tick in ended:
                self._end(tick, at)

    def take(
        self,
        seen: Schedule,
        *,
        mark: int,
        missed: Sequence[Tick],
        claim: Tick | None,
        ended: Sequence[Tick],
        at: float,
        also: Also | None = None,
    ) -> Tick | None:
        """Record what was decided of the ticks up to `mark`, all or nothing; the tick that is claimed now.

        `ended` are ticks whose process died, as they end. `also` is given all that ended or was missed.

        Raises:
            Superseded: the schedule is not as it was `seen` any more; nothing is recorded.
        """
        with self._database.transaction():
            if not self._database.change("move_mark", max(mark, seen.mark), seen.job, seen.mark, int(seen.is_paused)):
                raise Superseded(f"the schedule `{seen.job}` was changed meanwhile; nothing was recorded")
            for tick in ended:
                self._end(tick, at)
            for tick in missed:
                self._must(self._miss(tick, at), tick)
            if also is not None:
                also([*missed, *ended])
            if claim is None:
                return None
            row = self._database.row("claim_tick", claim.job, claim.scheduled, claim.policy, at)
            self._must(row is not None, claim)
            self._database.change("forget_ticks", claim.job, mark - DAYS_KEPT * 86_400, TICKS_KEPT - 1)
            return replace(claim, tries=cast("tuple[int]", row)[0], claimed_at=at)

    def end(self, tick: Tick, at: float, also: Also | None = None) -> None:
        """Record what became of a tick that was claimed; it stays as it is when it has ended before.

        `also` is given it as it is recorded, with the run that it has become.
        """
        with self._database.transaction():
            if also is not None:
                claimed = {one.scheduled: one for one in self.claimed().get(tick.job, [])}.get(tick.scheduled)
                also([tick if claimed is None else replace(tick, run_id=claimed.run_id)])
            self._end(tick, at)

    def pause(self, job: str, by: str, at: float) -> bool:
        """Pause a schedule that was seen; whether it was not paused before."""
        with self._database.transaction():
            found = self.schedules()[job]
            if not found.is_paused:
                self._put(replace(found, paused_at=at, paused_by=by))
            return not found.is_paused

    def resume(
        self, job: str, *, missed: Iterable[Tick], cut: Iterable[Tick], ended: Iterable[Tick], mark: int, at: float
    ) -> None:
        """Let a schedule go on from `mark`: what it `missed` meanwhile is recorded; what it missed after is forgotten.

        `cut` are rows of missed ticks, as far as they are up to the mark; `ended` are claimed ticks after it, as
        they end.
        """
        with self._database.transaction():
            found = self.schedules()[job]
            self._database.change("forget_missed", job, mark)
            for tick in ended:
                self._end(tick, at)
            for one in cut:
                self._database.change("shorten_missed", one.last, one.count, job, one.scheduled)
            for tick in missed:
                self._miss(tick, at)
            self._put(replace(found, paused_at=None, paused_by="", mark=mark))

    def _miss(self, tick: Tick, at: float) -> int:
        return self._database.change(
            "miss_ticks", tick.job, tick.scheduled, tick.policy, tick.last, tick.count, tick.note, at
        )

    def _end(self, tick: Tick, at: float) -> None:
        self._database.change("end_tick", tick.state, tick.note, at, tick.job, tick.scheduled, tick.tries)

    def _put(self, one: Schedule) -> None:
        self._database.change(
            "put_schedule", one.job, one.cron, one.tz, one.since, one.mark, int(one.is_off), one.paused_at,
            one.paused_by,
        )  # fmt: skip

    def _ticks(self, name: str, *parameters: object) -> list[Tick]:
        return [Tick(*cast("Any", row)) for row in self._database.rows(name, *parameters)]

    def _must(self, done: object, tick: Tick) -> None:
        if not done:
            raise Superseded(f"the tick {tick.scheduled} of `{tick.job}` has been taken up already")
