"""One round over the jobs: what each is up to, and taking up the tick that is due.

A tick is claimed in one transaction before its run begins, by a process that holds a place of the job meanwhile. So a
claimed tick that nobody in such a place is at is of a process that died: without a run it is taken up once more, with
one it ends as that run did.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from heapq import merge

from msgspec import Struct
from msgspec.structs import replace

from assetflow.automation.due import Decision, Gap, decide, due_ticks, next_ticks, settled
from assetflow.automation.places import Place, at_work, turn
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.ticks import Also, Ticks
from assetflow.errors import Superseded, UsageError, did_you_mean
from assetflow.load.settings import Settings
from assetflow.model.jobs import CLAIMED, FAILED, MISSED, PAUSED, Job, Schedule, Tick, jobs_of

_CHANGED_TIMES = 5


class JobState(Struct, frozen=True):
    """A job and what is recorded of its schedule. `at_work` is how many processes are at its ticks now.

    `schedule` is None before a round has seen it. `claimed` are ticks that wait or run, or whose process is gone.
    `held_until` is the instant that the clock has yet to reach, when it is behind what was already accounted for.
    """

    job: Job
    schedule: Schedule | None
    claimed: tuple[Tick, ...]
    last: Tick | None
    missed: int
    at_work: int
    is_due: bool
    next: int | None
    held_until: int | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a process is at one of its ticks now."""
        return self.at_work > 0

    @property
    def is_full(self) -> bool:
        """Whether no more of its ticks are taken up until one has ended."""
        return self.at_work >= self.job.max_active_runs

    @property
    def word(self) -> str:
        """off, running, paused, held or on."""
        if not self.job.enabled:
            return "off"
        if self.is_busy:
            return "running"
        if self.schedule is not None and self.schedule.is_paused:
            return "paused"
        return "held" if self.held_until is not None else "on"


def job_named(settings: Settings, name: str) -> Job:
    """The job of this name.

    Raises:
        UsageError: there is none.
    """
    known = {job.name: job for job in jobs_of(settings.jobs)}
    if name in known:
        return known[name]
    fix = did_you_mean(name, known) or "assetflow schedule ls lists the jobs"
    if not known:
        fix = f'declare one in the project file: [jobs.{name}] with cron = "0 6 * * *"'
    raise UsageError(f"there is no job `{name}`", fix=fix)


def look(settings: Settings, now: float) -> tuple[JobState, ...]:
    """What every job is up to. Changes nothing."""
    jobs = jobs_of(settings.jobs)
    if not jobs:
        return ()
    with closing(Catalog(settings.catalog_path)) as catalog:
        ticks = Ticks(catalog)
        schedules, claimed, ahead = ticks.schedules(), ticks.claimed(), ticks.ahead()
        last, missed = ticks.last(), ticks.missed()
    found: list[JobState] = []
    for job in jobs:
        schedule, open_ticks = schedules.get(job.name), tuple(claimed.get(job.name, ()))
        working = at_work(settings, job.name)
        is_due, held, upcoming = False, None, None
        if job.enabled and job.cron:
            if schedule is not None and not schedule.is_off:
                held = schedule.mark if schedule.mark > now else None
                left = any(tick.scheduled not in working.ticks for tick in open_ticks)
                is_due = working.held < job.max_active_runs
                is_due = is_due and (left or _is_due(schedule, now, ahead.get(job.name)))
            upcoming = next_ticks(job.cron, job.tz, now if held is None else held)[0]
        found.append(
            JobState(
                job, schedule, open_ticks, last.get(job.name), missed.get(job.name, 0), working.held, is_due, upcoming,
                held,
            )
        )  # fmt: skip
    return tuple(found)


def see(settings: Settings, now: float, *, is_whole: bool = True) -> None:
    """Record the schedules that are new, were changed, switched on or off: they count from now.

    A schedule that was changed is left alone until the ticks that were due before have been taken up. When not all
    jobs are known (`is_whole`), one that is not there may well be declared in a module that cannot be imported now.
    """
    jobs = {job.name: job for job in jobs_of(settings.jobs) if job.enabled and job.cron}
    with closing(Catalog(settings.catalog_path)) as catalog:
        ticks = Ticks(catalog)
        schedules, claimed, ahead = ticks.schedules(), ticks.claimed(), ticks.ahead()
    seen = [one for one in _seen(jobs, schedules, ahead, now) if is_whole or not one.is_off]
    if not seen:
        return
    left = [
        replace(tick, state=FAILED, note="its process ended, and the job was off then")
        for one in seen
        if one.job in claimed and schedules[one.job].is_off
        for tick in _left(claimed[one.job], at_work(settings, one.job).ticks)
    ]
    with closing(Catalog(settings.catalog_path, write=True)) as catalog:
        Ticks(catalog).put(seen, left, now)


def _seen(
    jobs: Mapping[str, Job], schedules: Mapping[str, Schedule], ahead: Mapping[str, set[int]], now: float
) -> Iterator[Schedule]:
    for name, job in jobs.items():
        known = schedules.get(name)
        if known is None:
            yield Schedule(name, job.cron, job.tz, now, int(now))
        elif known.is_off:
            yield replace(known, cron=job.cron, tz=job.tz, since=now, mark=max(known.mark, int(now)), is_off=False)
        elif (known.cron, known.tz) != (job.cron, job.tz) and not _is_due(known, now, ahead.get(name)):
            yield replace(known, cron=job.cron, tz=job.tz, since=now, mark=max(known.mark, int(now)))
    for name, known in schedules.items():
        if name not in jobs and not known.is_off:
            yield replace(known, is_off=True)


def _is_due(schedule: Schedule, now: float, ahead: set[int] | None) -> bool:
    return next(_due(schedule, now, ahead), None) is not None


def _due(schedule: Schedule, now: float, ahead: set[int] | None) -> Iterator[int]:
    """The ticks that something has to become of."""
    found = due_ticks(schedule.cron, schedule.tz, schedule.mark, now)
    return found if not ahead else (tick for tick in found if tick not in ahead)


class Taken(Struct, frozen=True):
    """What was done for one job: the tick that was taken up, what was recorded beside, and whether more are due."""

    tick: Tick | None = None
    missed: tuple[Tick, ...] = ()
    ended: tuple[Tick, ...] = ()
    is_more: bool = False


def take_up(
    settings: Settings, job: Job, now: float, carry_out: Callable[[Tick], Tick], clock: Callable[[], float]
) -> Taken | None:
    """Take up what is due of a job in this process; None when as many as may be are at its ticks.

    `carry_out` runs a claimed tick and gives it back as it ended, whatever goes wrong. `clock` says when that was.

    Raises:
        NotWritable: the folder of the project cannot be written.
    """
    place: Place | None = None
    try:
        with turn(settings, job, now) as place:
            if place is None:
                return None
            with closing(Catalog(settings.catalog_path, write=True)) as catalog:
                also = _alerts(settings, job, catalog, now)
                taken = take(catalog, job, now, also, alive=place.others.ticks, announce=place.announce)
        if taken.tick is None:
            return taken
        done = carry_out(taken.tick)
        with closing(Catalog(settings.catalog_path, write=True)) as catalog:
            Ticks(catalog).end(done, at := clock(), _alerts(settings, job, catalog, at))
        return replace(taken, tick=done)
    finally:
        if place is not None:
            place.lock.release()


def _alerts(settings: Settings, job: Job, catalog: Catalog, now: float) -> Also | None:
    if not settings.alerts:
        return None
    from assetflow.automation.alerts import tick_alerts

    return tick_alerts(settings, job, catalog, now)


def take(
    catalog: Catalog,
    job: Job,
    now: float,
    also: Also | None = None,
    *,
    alive: Collection[int] = (),
    announce: Callable[[int], None] = lambda tick: None,
) -> Taken:
    """Take up what is due of a job, and record what is not run. Nobody else does so for this job meanwhile.

    `also` is given what ended or was missed, within the transaction that records it. Processes are at the ticks that
    are `alive`. `announce` is given a tick before it is claimed.

    Raises:
        Superseded: the schedule is changed again and again while this looks at it.
    """
    for _ in range(_CHANGED_TIMES):
        try:
            return _take(catalog, job, now, also, alive, announce)
        except Superseded:  # somebody paused it in between: look again
            continue
    raise Superseded(f"the schedule `{job.name}` is being changed", fix="run the command again")


def _take(
    catalog: Catalog, job: Job, now: float, also: Also | None, alive: Collection[int], announce: Callable[[int], None]
) -> Taken:
    ticks = Ticks(catalog)
    seen = ticks.schedules().get(job.name)
    if seen is None or seen.is_off:
        return Taken()
    claimed = ticks.claimed().get(job.name, [])
    ended, again = _settled(catalog, _left(claimed, alive))
    ahead = ticks.ahead().get(job.name)
    due = merge((tick.scheduled for tick in again), _due(seen, now, ahead))
    decision = decide(due, job.catchup, now, is_paused=seen.is_paused)
    missed = _missed(seen, decision, ahead, again, {tick.scheduled for tick in claimed})
    claim = None if decision.runs is None else _claim(job.name, decision)
    if not ended and not missed and claim is None:
        return Taken()
    if claim is not None:
        announce(claim.scheduled)
    mark = seen.mark if decision.mark is None else decision.mark
    tick = ticks.take(seen, mark=mark, missed=missed, claim=claim, ended=ended, at=now, also=also)
    return Taken(tick, missed, tuple(ended), decision.is_more)


def _left(claimed: Sequence[Tick], alive: Collection[int]) -> list[Tick]:
    """The claimed ticks whose processes are gone."""
    return [tick for tick in claimed if tick.scheduled not in alive]


def _settled(catalog: Catalog, left: Sequence[Tick]) -> tuple[list[Tick], list[Tick]]:
    """Ticks whose processes died: those that have ended with that, and those that may be taken up again."""
    ended: list[Tick] = []
    again: list[Tick] = []
    for tick in left:
        run = None if tick.run_id is None else catalog.run(tick.run_id)
        end = settled(tick, None if run is None else run.state)
        (again if end is None else ended).append(tick if end is None else end)
    return ended, again


def _claim(job: str, decision: Decision) -> Tick:
    scheduled = decision.runs or 0
    return Tick(job, scheduled, CLAIMED, decision.policy, scheduled)


def _missed(
    seen: Schedule, decision: Decision, ahead: set[int] | None, left: Sequence[Tick] = (), claimed: Collection[int] = ()
) -> tuple[Tick, ...]:
    """The rows of the ticks that a decision misses: one, unless something became of some between them already.

    Those `left` by processes that died have a row of their own, unless nothing became of others behind the first.
    """
    gap = decision.missed
    if gap is None:
        return ()
    paused = [f"paused by {seen.paused_by}"] if decision.policy == PAUSED else []
    parts = [gap]
    known = [tick for tick in {*(ahead or ()), *claimed} if gap.first <= tick <= gap.last]
    if any(tick > gap.first for tick in known):
        own = [Gap(tick.scheduled, tick.scheduled, 1) for tick in left if tick.scheduled in known]
        parts = sorted([*_parts(seen, gap, known), *own], key=lambda one: one.first)
    rows: list[Tick] = []
    for part in parts:
        died = ["its process ended before a run began"] if any(one.scheduled == part.first for one in left) else []
        note = "; ".join([*paused, *died])
        rows.append(Tick(seen.job, part.first, MISSED, decision.policy, part.last, part.count, note))
    return tuple(rows)


def _parts(seen: Schedule, gap: Gap, known: Collection[int]) -> list[Gap]:
    parts: list[Gap] = []
    start = gap.first - 1
    for end in [*sorted(known), gap.last + 1]:
        inside = list(due_ticks(seen.cron, seen.tz, start, end - 1))
        if inside:
            parts.append(Gap(inside[0], inside[-1], len(inside)))
        start = end
    return parts


def resume(settings: Settings, job: Job, now: float) -> tuple[bool, tuple[Tick, ...]]:
    """Let a schedule go on from now; whether it was paused or held, and the ticks that it missed meanwhile.

    One that is held because the clock was ahead goes on from now as well: ticks that come are run, whatever was
    recorded of them as missed.
    """
    see(settings, now)
    with closing(Catalog(settings.catalog_path, write=True)) as catalog:
        ticks = Ticks(catalog)
        seen = ticks.schedules().get(job.name)
        if seen is None or seen.is_off or not (seen.is_paused or seen.mark > now):
            return False, ()
        ahead = ticks.ahead().get(job.name)
        decision = decide(_due(seen, now, ahead), job.catchup, now, is_paused=True)
        missed = _missed(seen, decision, ahead)
        cut = [_cut(one, seen, int(now)) for one in ticks.missed_across(job.name, int(now))]
        ended = [
            replace(tick, state=FAILED, note="its process ended, and the clock was ahead then")
            for tick in _left(ticks.claimed().get(job.name, []), at_work(settings, job.name).ticks)
            if tick.scheduled > now
        ]
        ticks.resume(job.name, missed=missed, cut=cut, ended=ended, mark=int(now), at=now)
        return True, missed


def _cut(row: Tick, seen: Schedule, until: int) -> Tick:
    """A row of missed ticks as far as they are up to an instant."""
    kept = list(due_ticks(seen.cron, seen.tz, row.scheduled - 1, until)) or [row.scheduled]
    return replace(row, last=kept[-1], count=len(kept))
