"""`backfill`: making many partitions in several runs, with a look before and a way to go on after."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.automation.backfilling import BackfillListener
from assetflow.cli.answer import Answer
from assetflow.cli.asking import confirmed
from assetflow.cli.command import Command, add_selection, natural, positive, selection_text
from assetflow.cli.progress import LiveWatcher, Watcher, is_dumb, watcher_for
from assetflow.cli.render_backfill import (
    backfills_table,
    chunk_line,
    failure_lines,
    plan_lines,
    result_lines,
    resume_line,
)
from assetflow.cli.telling import told_after
from assetflow.cli.text import Line, count, dim, good, iso, shell, strong
from assetflow.errors import AssetFailed, UsageError
from assetflow.model.backfills import NEWEST, OLDEST, PAUSED, STOPPED
from assetflow.model.durations import words

if TYPE_CHECKING:
    from assetflow.automation.backfilling import BackfillResult
    from assetflow.automation.chunks import BackfillPlan, Chunk
    from assetflow.cli.session import Session
    from assetflow.model.backfills import Backfill
    from assetflow.project import Project
    from assetflow.run.outcome import Observer, RunResult, StepOutcome

_ASKS_ABOVE = 100
_BAD = ("failed", "rejected", "died")


def backfill(session: Session, options: Namespace) -> Answer:
    """Make partitions that are not current, a run for each chunk of them; or list, pause and resume such."""
    if options.selection == ["ls"] and not options.partitions:
        return _ls(session, options)
    if options.progress == "jsonl":
        raise UsageError("the events of several runs are no answer", fix="assetflow runs show RUN --events --json")
    if options.pause is not None:
        return _pause(session, options.pause)
    project = session.project()
    plan = _plan(project, options)
    apply = _command(options)
    if not plan.planned and not plan.last:
        asked = sum(strip.counts.get("undecided", 0) for strip in plan.strips)
        line: Line = (" ", good("●"), f" all {count(plan.total, 'partition')} are current · nothing to do")
        if asked:
            said = f" nothing to do · {count(plan.total - asked, 'partition')} current, {asked:,} undecided · "
            line = (said, "assetflow plan -p ", shell([plan.partitions]))
        return Answer(lambda: {"project": project.name, **plan.to_json()}, [line])
    if options.dry_run:
        return Answer(
            lambda: {"project": project.name, **plan.to_json()}, plan_lines(plan, session.width, apply)
        )  # fmt: skip
    if plan.planned > _ASKS_ABOVE and not options.yes:
        session.screen.notes(plan_lines(plan, session.width, apply))
        if not confirmed(session, options, f"make {plan.planned:,} partitions?"):
            return Answer(lambda: {"project": project.name, **plan.to_json()}, [(" nothing was made",)])
    return _carry_out(session, options, project, plan)


def _plan(project: Project, options: Namespace) -> BackfillPlan:
    if options.resume is None:
        if options.partitions is None:
            fix = shell(["assetflow", "backfill", *options.selection, "-p", "2026-01-01..2026-03-31"])
            raise UsageError("`backfill` has to be told which partitions", fix=fix)
        return project.plan_backfill(
            selection_text(options), partitions=options.partitions, order=options.order or OLDEST, chunk=options.chunk
        )
    if options.selection or options.partitions or options.order or options.chunk:
        raise UsageError(
            "--resume goes on with what was asked for: it takes no selection, -p, --order or --chunk",
            fix=f"assetflow backfill --resume {options.resume}",
        )
    return project.backfill_left(options.resume)


def _carry_out(session: Session, options: Namespace, project: Project, plan: BackfillPlan) -> Answer:
    voice = _Voice(session, project, options.progress or "auto")
    try:
        with told_after(session):
            result = project.backfill(plan, workers=options.jobs, max_failures=options.max_failures, listener=voice)
    except KeyboardInterrupt as stop:
        if voice.backfill is None:
            raise
        number = voice.backfill.backfill_id
        raise KeyboardInterrupt(
            f"interrupted: backfill #{number}; what was built is kept (go on: assetflow backfill --resume {number})"
        ) from stop
    finally:
        voice.close()
    failure = _failure(result, options.max_failures)
    return Answer(
        lambda: {"project": project.name, **result.to_json()},
        result_lines(result),
        hints=() if result.ok or failure is not None else (resume_line(result.backfill),),
        exit_code=0 if result.ok else 128 + result.signal_number if _is_interrupted(result) else 1,
        failure=failure,
        ending=("interrupted: what was built is kept",) if failure is None and not result.ok else (),
    )


def _is_interrupted(result: BackfillResult) -> bool:
    return bool(result.signal_number) and result.backfill.state != PAUSED


def _failure(result: BackfillResult, max_failures: int | None) -> AssetFailed | None:
    found = result.backfill
    if result.ok or _is_interrupted(result):
        return None
    name, failed = f"backfill #{found.backfill_id}", count(len(result.failed), "partition")
    fix = f"assetflow backfill --resume {found.backfill_id} tries again what is left"
    if found.state == PAUSED:
        return AssetFailed(f"{name} was paused, {found.left} left", fix=fix)
    if found.state == STOPPED:
        return AssetFailed(
            f"{name} stopped: more than {count(max_failures or 0, 'failure')}, {found.left} left", fix=fix
        )
    return AssetFailed(f"{name}: {failed} failed, {found.left} left", fix=fix)


class _Voice(BackfillListener):
    """Tells how it goes on: what runs is drawn on a terminal, and each run that ended is a line."""

    def __init__(self, session: Session, project: Project, progress: str) -> None:
        self._session, self._project, self._progress = session, project, progress
        self._watcher: Watcher | None = None
        self.backfill: Backfill | None = None

    def began(self, backfill: Backfill) -> None:
        """Remember its number, for who interrupts it."""
        self.backfill = backfill

    def chunk_begins(self, chunk: Chunk, number: int, of: int) -> Observer:
        """A watcher for this run."""
        screen = self._session.screen
        if self._progress != "auto":
            self._watcher = watcher_for(self._progress, screen, self._project.root)
        elif screen.is_terminal_err and not screen.is_quiet and not is_dumb():
            self._watcher = _ChunkWatcher(screen)
        else:
            self._watcher = Watcher(screen)
        return self._watcher

    def chunk_ended(self, chunk: Chunk, result: RunResult, number: int, of: int) -> None:
        """A line for the run, and what failed in it."""
        plan = None if self._watcher is None else self._watcher.plan
        self.close()
        if not self._session.screen.is_quiet:
            self._session.screen.notes([chunk_line(chunk, result, number, of), *failure_lines(result, plan)])

    def close(self) -> None:
        """Leave the screen as a finished run leaves it."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None


class _ChunkWatcher(LiveWatcher):
    """What is running, on a terminal; of hundreds of partitions that were made, none leaves a line."""

    def step_finished(self, outcome: StepOutcome) -> None:
        """Count it."""
        self._running.pop(outcome.asset, None)
        self._waiting.pop(outcome.asset, None)
        self._done += 1
        self._draw()


def _ls(session: Session, options: Namespace) -> Answer:
    found = session.project().backfills(options.limit)
    if not found:
        return Answer(lambda: {"backfills": []}, [(" no backfills yet",)])
    return Answer(
        lambda: {"backfills": [{**one.to_json(), "started_at": iso(one.started_at)} for one in found]},
        table=backfills_table(found, session),
        below=((dim(f" {count(len(found), 'backfill')} · {words(session.elapsed_s)}"),),),
    )


def _pause(session: Session, number: int) -> Answer:
    found = session.project().pause_backfill(number)
    line: Line = (" ", strong(f"backfill #{number}"), " is paused · what it is making may finish, and is kept")
    return Answer(found.to_json, [line], hints=(resume_line(found),))


def _command(options: Namespace) -> str:
    """The same command without --dry-run."""
    words = ["assetflow"]
    words += [] if options.project is None else ["-C", options.project]
    words += [] if options.env is None else ["-e", options.env]
    words += ["backfill", *options.selection]
    words += [] if options.partitions is None else ["-p", options.partitions]
    words += [] if options.resume is None else ["--resume", str(options.resume)]
    words += [] if options.order in (None, OLDEST) else ["--order", options.order]
    words += [] if options.chunk is None else ["--chunk", str(options.chunk)]
    return shell(words)


def _chunk(text: str) -> int | None:
    return None if text == "auto" else positive(text)


def _options(parser: ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument(
        "-p", "--partitions", metavar="KEYS", help="which: 2026-01-01..2026-03-31, 2026-01, latest:7 or is:missing"
    )
    parser.add_argument("--order", choices=(OLDEST, NEWEST), help="which are made first (default: oldest)")
    parser.add_argument(
        "--chunk", type=_chunk, metavar="N", help="how many partitions of an asset a run makes (default: auto)"
    )
    parser.add_argument("-j", "--jobs", type=positive, metavar="N", help="how many partitions are made at once")
    parser.add_argument(
        "--max-failures", type=natural, metavar="N", help="stop when more than so many partitions have failed"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would be made, and change nothing")
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--pause", type=positive, metavar="ID", help="end one that another process is at")
    which.add_argument("--resume", type=positive, metavar="ID", help="go on with what one has left")
    parser.add_argument("-n", "--limit", type=positive, default=20, metavar="N", help="with ls: how many (default 20)")


COMMANDS = {
    "backfill": Command(
        backfill,
        _options,
        (("assetflow backfill orders+ -p 2026-01-01..2026-03-31 --dry-run", "what that would make"),
         ("assetflow backfill orders+ -p 2026-01-01..2026-03-31", "orders and what is made of it"),
         ("assetflow backfill -p 2026 --order newest --max-failures 5", "the newest first, until too much fails"),
         ("assetflow backfill --resume 3", "what one has left"),
         ("assetflow backfill ls", "which there were, and how far they are")),
    ),
}  # fmt: skip
