"""`__tick`: takes up one tick of a job in this process and runs it. The daemon and `schedule tick` start it."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.automation.calling import requested
from assetflow.automation.rounds import Taken, job_named, take_up
from assetflow.cli.answer import Answer
from assetflow.cli.command import Command
from assetflow.cli.moments import given_now
from assetflow.cli.render_errors import error_lines
from assetflow.cli.telling import told_after
from assetflow.cli.text import iso
from assetflow.errors import AssetflowError
from assetflow.model.jobs import DONE, FAILED, INTERRUPTED, Job, Tick
from assetflow.model.secrets import SECRETS

if TYPE_CHECKING:
    from assetflow.cli.session import Session

WAIT_S = 86_400.0
"""A tick waits so long for another run in its environment, then it has failed."""


def tick(session: Session, options: Namespace) -> Answer:
    """Take up the tick of a job that is due, and run it. Nothing is due while another process is at one of them."""
    known = session.declared()
    if known.problem is not None and options.job not in known.settings.jobs:
        raise known.problem
    settings, job = known.settings, job_named(known.settings, options.job)
    now = given_now(session, options.now, settings.tz)
    clock, trial = (time.time, None) if options.now is None else ((lambda: now), now)
    with told_after(session):
        taken = take_up(settings, job, now, lambda tick: _run(session, job, tick, trial), clock)
    if taken is None:
        return Answer(lambda: {"job": job.name, "busy": True, "ticks": [], "more": False}, text="")
    return Answer(lambda: _document(job, taken), text="")


def _run(session: Session, job: Job, tick: Tick, now: float | None) -> Tick:
    """The tick as it ended. Whatever goes wrong, it has ended when this returns, or the process with it.

    `now` is given in trials: then the partitions are those that exist at that time.
    """
    if job.env is not None:
        session.options.env = job.env
    try:
        return _carry_out(session, job, tick, now)
    except AssetflowError as error:
        session.screen.notes(error_lines(error, session.root_text))
        return replace(tick, state=FAILED, note=SECRETS.text(why(error)))
    except KeyboardInterrupt:
        return replace(tick, state=FAILED, note=INTERRUPTED)


def why(error: AssetflowError) -> str:
    """`shop.py:12: cannot be imported`: the first of the problems, when there are several."""
    from assetflow.errors import ProjectLoadError

    if not isinstance(error, ProjectLoadError) or not error.problems:
        return error.what
    first, *others = error.problems
    place = "" if first.where is None else f"{first.where}: "
    return f"{place}{first.what}{f' (and {len(others)} more)' if others else ''}"


def _carry_out(session: Session, job: Job, tick: Tick, now: float | None) -> Tick:
    from assetflow.cli.planning import failure_of
    from assetflow.cli.progress import watcher_for

    project = session.project()
    wanted = requested(project.settings, job, tick)
    if wanted is None:
        return replace(tick, state=DONE, note="nothing was asked for")
    watcher = watcher_for(session.options.progress or "auto", session.screen, project.root)
    try:
        result = project.materialize(
            wanted.select or None, partitions=wanted.partitions, config=wanted.config or None, wait_s=WAIT_S,
            observer=watcher, tick=tick, now=now,
        )  # fmt: skip
    finally:
        watcher.close()
    failure = failure_of(result)
    if failure is None:
        return replace(tick, state=DONE, run_id=result.run_id, note="" if result.run_id else "nothing to do")
    return replace(tick, state=FAILED, run_id=result.run_id, note=SECRETS.text(failure.what))


def _document(job: Job, taken: Taken) -> dict[str, object]:
    ticks = [one for one in (*taken.ended, *taken.missed, taken.tick) if one is not None]
    return {"job": job.name, "busy": False, "ticks": [tick_document(one) for one in ticks], "more": taken.is_more}


def tick_document(tick: Tick) -> dict[str, object]:
    """One tick, or the ticks in a row that were missed together."""
    return {
        "job": tick.job,
        "scheduled_at": iso(tick.scheduled),
        "last_scheduled_at": iso(tick.last),
        "count": tick.count,
        "state": tick.state,
        "policy": tick.policy,
        "run": tick.run_id,
        "note": tick.note or None,
        "tries": tick.tries,
        "claimed_at": None if tick.claimed_at is None else iso(tick.claimed_at),
        "ended_at": None if tick.ended_at is None else iso(tick.ended_at),
    }


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("job", metavar="JOB")
    parser.add_argument("--now", metavar="TIME")


COMMANDS = {"__tick": Command(tick, _options)}
