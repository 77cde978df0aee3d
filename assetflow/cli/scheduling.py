"""`schedule`: the jobs, when they are due, and what became of each time that they were."""

from __future__ import annotations

import json
import subprocess
from argparse import ArgumentParser, Namespace
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from assetflow.automation.due import due_ticks, next_ticks
from assetflow.automation.locks import Holder, daemon_lock, holder
from assetflow.automation.rounds import JobState, job_named, look, see
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.ticks import Ticks
from assetflow.cli.again import again
from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, positive
from assetflow.cli.moments import given_now, wall
from assetflow.cli.table import Cell, Column, Table, cell
from assetflow.cli.text import Line, Piece, Span, bad, count, dim, good, head, iso, strong, warn
from assetflow.cli.ticking import tick_document
from assetflow.errors import AssetFailed, InternalError, UsageError
from assetflow.model.durations import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assetflow.automation.declared import Declared
    from assetflow.cli.session import Session
    from assetflow.model.jobs import Job, Tick

_RECENT_S = 7 * 86_400.0
_STATES = {
    "on": ("●", "good"), "running": ("▶", "head"), "paused": ("·", "warn"), "held": ("⏱", "warn"), "off": ("○", "dim"),
}  # fmt: skip
_ENDS = {"done": ("✓", "good"), "failed": ("✗", "bad"), "claimed": ("▶", "head"), "missed": ("·", "warn")}
NO_JOBS: Line = (" no jobs; declare one in the project file: ", strong('[jobs.nightly] with cron = "0 6 * * *"'))

Document = Mapping[str, Any]


def schedule(session: Session, options: Namespace) -> Answer:
    """The list of jobs, or one of the other forms."""
    word, *rest = cast("list[str]", options.words) or ["ls"]
    if word == "ls" and not rest:
        return _ls(session, options)
    forms: dict[str, Callable[[Session, Namespace, str], Answer]] = {
        "next": _next, "pause": _pause, "resume": _resume, "history": _history,
    }  # fmt: skip
    if word in forms and len(rest) == 1:
        return forms[word](session, options, rest[0])
    if word == "tick" and len(rest) <= 1:
        return run_due(session, options, rest[0] if rest else None)
    fix = f"assetflow schedule {word} JOB" if word in forms else "assetflow schedule --help"
    raise UsageError(f"`schedule {' '.join(options.words)}` is not one of its forms", fix=fix)


# ------------------------------------------------------------------------------------------------------- looking


def _ls(session: Session, options: Namespace) -> Answer:
    known = session.declared()
    settings = known.settings
    now = given_now(session, options.now, settings.tz)
    states = look(settings, now)
    with closing(Catalog(settings.catalog_path)) as catalog:
        recent = _missed_lately(states, Ticks(catalog).missed_after(now - _RECENT_S), now - _RECENT_S)
    runner = holder(daemon_lock(settings))
    if not states:
        return Answer(lambda: {"daemon": holder_document(runner), "jobs": []}, unknown_lines(known) or [NO_JOBS])
    columns = (
        Column("job", "JOB"), Column("cron", "CRON"), Column("tz", "ZONE", leave=2),
        Column("select", "SELECTION", leave=3, least=12), Column("next_at", "NEXT"), Column("last", "LAST"),
        Column("state", "STATE"), Column("missed", "MISSED", is_right=True),
    )  # fmt: skip
    rows = tuple(_row(session, state, recent.get(state.job.name, 0)) for state in states)
    below: list[Line] = [(dim(f" {count(len(states), 'job')} · {daemon_words(session, runner)} · missed: in 7 days"),)]
    below += [_held(session, state) for state in states if state.held_until is not None]
    below += unknown_lines(known)
    return Answer(
        lambda: {
            "daemon": holder_document(runner),
            "jobs": [state_document(state, recent.get(state.job.name, 0)) for state in states],
        },
        table=Table(columns, rows),
        below=below,
    )


def _missed_lately(
    states: Sequence[JobState], rows: Sequence[tuple[str, int, int, int]], since: float
) -> Mapping[str, int]:
    """How many ticks of each job that were due after `since` were missed: a row of them may have begun before."""
    jobs = {state.job.name: state.job for state in states}
    found: Counter[str] = Counter()
    for name, first, last, number in rows:
        job = jobs.get(name)
        if first > since or job is None or not job.cron:
            found[name] += number
        else:
            found[name] += min(number, sum(1 for _ in due_ticks(job.cron, job.tz, int(since), last)))
    return found


def unknown_lines(known: Declared) -> list[Line]:
    """That jobs of modules may be missing, because the project does not load."""
    if known.is_whole:
        return []
    return [(warn(" the project does not load, so what its modules declare is not known: "), "assetflow check")]


def named(known: Declared, name: str) -> Job:
    """The job of this name.

    Raises:
        UsageError: there is none.
        ProjectLoadError: there is none in the project file, and the modules do not load.
    """
    if known.problem is not None and name not in known.settings.jobs:
        raise known.problem
    return job_named(known.settings, name)


def _scheduled(known: Declared, name: str) -> Job:
    """The job of this name, which has times.

    Raises:
        UsageError: there is none, or it has no times.
    """
    job = named(known, name)
    if not job.cron:
        raise UsageError(f"the job `{name}` has no times: it runs when assets were updated", fix="assetflow sensor ls")
    return job


def _row(session: Session, state: JobState, recent: int) -> tuple[Cell, ...]:
    job, last = state.job, state.last
    mark, style = _STATES[state.word]
    shown_last: Line | None = None
    if last is not None:
        run = "" if last.run_id is None else f"#{last.run_id} "
        shown_last = (_end_mark(last.state), f" {run}{session.clock(last.scheduled)}")
    return (
        cell(job.name, strong(job.name)),
        cell(job.cron or None),
        cell(job.tz if job.cron else None),
        cell(job.select or None, job.select or dim("all")),
        cell(
            None if state.next is None else iso(state.next), None if state.next is None else session.clock(state.next)
        ),
        cell(None if last is None else last.run_id, shown_last),
        cell(state.word, Span(f"{mark} {state.word}{f' {state.at_work}' if state.at_work > 1 else ''}", style)),
        cell(recent, warn(str(recent)) if recent else None),
    )


def _held(session: Session, state: JobState) -> Line:
    until = session.clock(state.held_until)
    name = state.job.name
    return (warn(f" {name}"), f" waits until {until}: the clock was ahead before. From now on instead: "
            f"assetflow schedule resume {name}")  # fmt: skip


def _end_mark(state: str) -> Piece:
    mark, style = _ENDS[state]
    return Span(mark, style)


def daemon_words(session: Session, runner: Holder | None) -> str:
    """`daemon running since 07:00 today (pid 812)`, or that it is not."""
    if runner is None:
        return "daemon not running"
    return f"daemon running since {session.clock(runner.since)} (pid {runner.pid})"


def holder_document(runner: Holder | None) -> Document | None:
    """The process that has the daemon's lock."""
    if runner is None:
        return None
    return {"pid": runner.pid, "user": runner.user, "host": runner.host, "since": iso(runner.since)}


def state_document(state: JobState, recent: int) -> Document:
    """One job with its schedule."""
    job, known = state.job, state.schedule
    return {
        "job": job.name, "select": job.select, "partitions": job.partitions, "cron": job.cron or None, "tz": job.tz,
        "catchup": job.catchup, "env": job.env,
        "enabled": job.enabled, "state": state.word, "is_due": state.is_due,
        "max_active_runs": job.max_active_runs, "at_work": state.at_work,
        "next_at": None if state.next is None else iso(state.next),
        "last": None if state.last is None else tick_document(state.last),
        "missed": state.missed, "missed_recently": recent,
        "since": None if known is None else iso(known.since),
        "paused_at": None if known is None or known.paused_at is None else iso(known.paused_at),
        "paused_by": None if known is None else known.paused_by or None,
        "held_until": None if state.held_until is None else iso(state.held_until),
    }  # fmt: skip


def _next(session: Session, options: Namespace, name: str) -> Answer:
    known = session.declared()
    settings, job = known.settings, _scheduled(known, name)
    now = given_now(session, options.now, settings.tz)
    found = next_ticks(job.cron, job.tz, now, options.limit or 5)
    columns = (Column("at", "UTC"), Column("local", f"IN {job.tz}"), Column("in", "IN", is_right=True))
    rows = tuple(
        (cell(iso(tick)), cell(wall(tick, job.tz)), cell(tick - now, words(max(0.0, tick - now)))) for tick in found
    )
    return Answer(
        lambda: {"job": name, "cron": job.cron, "tz": job.tz, "next": [iso(tick) for tick in found]},
        table=Table(columns, rows),
        below=((dim(f" {name} · {job.cron} · {job.tz}"),),),
    )


def _history(session: Session, options: Namespace, name: str) -> Answer:
    known = session.declared()
    with closing(Catalog(known.settings.catalog_path)) as catalog:
        found = Ticks(catalog).of(name, options.limit or 20)
    if not found:
        named(known, name)  # a job that is gone may have a history, one that never was has none
        return Answer(lambda: {"job": name, "ticks": []}, [(f" nothing has become of `{name}` yet",)])
    columns = (
        Column("scheduled_at", "DUE"), Column("state", "STATE"), Column("count", "TICKS", is_right=True),
        Column("run", "RUN", is_right=True), Column("policy", "POLICY", leave=1), Column("note", "NOTE", least=16),
    )  # fmt: skip
    rows = tuple(
        (
            cell(iso(one.scheduled), _span(session, one)),
            cell(one.state, (_end_mark(one.state), f" {one.state}")),
            cell(one.count),
            cell(one.run_id, None if one.run_id is None else f"#{one.run_id}"),
            cell(one.policy),
            cell(one.note or None),
        )
        for one in found
    )
    return Answer(lambda: {"job": name, "ticks": [tick_document(one) for one in found]}, table=Table(columns, rows))


def _span(session: Session, one: Tick) -> str:
    first = session.clock(one.scheduled)
    return first if one.count == 1 else f"{first} – {session.clock(one.last)}"


# --------------------------------------------------------------------------------------------- pausing and going on


def _pause(session: Session, options: Namespace, name: str) -> Answer:
    from assetflow.run.locks import user_name

    known = session.declared()
    settings, job = known.settings, _scheduled(known, name)
    now = given_now(session, options.now, settings.tz)
    if not job.enabled:
        raise UsageError(f"the job `{name}` is not enabled", fix=f"set enabled = true under [jobs.{name}]")
    see(settings, now, is_whole=known.is_whole)
    with closing(Catalog(settings.catalog_path, write=True)) as catalog:
        is_new = Ticks(catalog).pause(name, user_name(), now)
    said = " is paused" if is_new else " was paused already"
    line: Line = (" ", strong(name), said, dim(" · its ticks are missed meanwhile"))
    return Answer(
        lambda: {"job": name, "paused": True, "changed": is_new},
        [line],
        hints=((head(" go on  "), f"assetflow schedule resume {name}"),),
    )


def _resume(session: Session, options: Namespace, name: str) -> Answer:
    from assetflow.automation.rounds import resume

    known = session.declared()
    settings, job = known.settings, _scheduled(known, name)
    now = given_now(session, options.now, settings.tz)
    was_held, missed = resume(settings, job, now)
    upcoming = next_ticks(job.cron, job.tz, now)[0]
    passed = sum(one.count for one in missed)
    line: Line = (" ", strong(name), f" goes on · next {session.clock(upcoming)}" if was_held else " was not paused",
                  dim(f" · {count(passed, 'tick')} missed meanwhile" if passed else ""))  # fmt: skip
    return Answer(
        lambda: {"job": name, "paused": False, "changed": was_held, "missed": passed, "next_at": iso(upcoming)}, [line]
    )


# --------------------------------------------------------------------------------------------------------- running


def run_due(session: Session, options: Namespace, name: str | None) -> Answer:
    """Run what is due now, of one job or of all, one after the other; each in a process of its own."""
    known = session.declared()
    if name is not None:
        named(known, name)
    done, busy = take_ticks(session, options, known, name)
    states = look(known.settings, given_now(session, options.now, known.settings.tz))
    return _ran(session, done, busy, [one for one in states if name in (None, one.job.name)])


def take_ticks(
    session: Session, options: Namespace, known: Declared, name: str | None
) -> tuple[list[Document], list[str]]:
    """Run the ticks that are due, of one job or of all; what became of them, and the jobs that others are at."""
    if options.progress == "jsonl":
        raise UsageError("the events of several runs are no answer", fix="assetflow runs show RUN --events --json")
    settings = known.settings
    now = given_now(session, options.now, settings.tz)
    see(settings, now, is_whole=known.is_whole)
    done: list[Document] = []
    busy: list[str] = []
    for state in look(settings, now):
        if name not in (None, state.job.name):
            continue
        if state.is_full:
            busy.append(state.job.name)
        is_more = state.is_due
        while is_more:
            document = _one(session, options, state.job.name)
            done += document["ticks"]
            is_more = document["more"]
    return done, busy


def _ran(session: Session, done: Sequence[Document], busy: Sequence[str], states: Sequence[JobState]) -> Answer:
    failed = [one for one in done if one["state"] == "failed"]
    lines: list[Line] = [tick_line(one) for one in done]
    lines += [
        (
            " ",
            strong(name),
            dim("  is being run by another process"),
        )
        for name in busy
    ]
    if not lines:
        coming = min((state.next for state in states if state.next is not None), default=None)
        upcoming = "" if coming is None else f" · next {session.clock(coming)}"
        lines = [(" ", good("●"), f" nothing is due{upcoming}")] if states else [NO_JOBS]
    names = [*dict.fromkeys(str(one["job"]) for one in failed)]
    words_of_it = f"{', '.join(f'`{name}`' for name in names)} failed"
    return Answer(
        lambda: {"ticks": list(done), "busy": list(busy)},
        lines,
        exit_code=1 if failed else 0,
        failure=AssetFailed(words_of_it, fix=f"assetflow schedule history {names[0]}") if failed else None,
    )


def tick_line(one: Document) -> Line:
    """` ✓ nightly  2026-11-22T07:00:00Z  run #12`."""
    times = one["scheduled_at"] if one["count"] == 1 else f"{one['scheduled_at']} to {one['last_scheduled_at']}"
    facts = [f"run #{one['run']}"] if one["run"] is not None else []
    facts += [f"{count(one['count'], 'tick')} missed: {one['policy']}"] if one["state"] == "missed" else []
    facts += [one["note"]] if one["note"] else []
    note = " · ".join(facts)
    shown = bad(note) if one["state"] == "failed" else dim(note)
    return (" ", _end_mark(one["state"]), " ", strong(one["job"]), f"  {times}  ", shown)


def child_words(options: Namespace, verb: str, *arguments: str) -> list[str]:
    """The call of a verb in a process of its own, with the options that this call was given."""
    return _with_given(again(verb, *arguments, "--json"), options)


def send_words(options: Namespace) -> list[str]:
    """The call that looks for what is overdue and sends what waits, with the options that this call was given."""
    return _with_given(again("alert", "send", "--json"), options)


def _with_given(found: list[str], options: Namespace) -> list[str]:
    given = (("-C", options.project), ("-e", options.env), ("--now", options.now), ("--tz", options.tz))
    for flag, value in given:
        found += [] if value is None else [flag, value]
    return [*found, *(["--utc"] if options.utc else [])]


def child_answer(text: str) -> Document | None:
    """What such a process answered, behind whatever code wrote that was imported there; None without an answer."""
    return _answer_with("job", text)


def sent_answer(text: str) -> Document | None:
    """What `alert send` answered; None when there is no answer."""
    return _answer_with("sent", text)


def _answer_with(key: str, text: str) -> Document | None:
    try:
        data = cast("Document", json.loads(text[max(0, text.rfind('{"schema": "assetflow.')) :])["data"])
        return data if data[key] is not None else None
    except (ValueError, KeyError, TypeError):
        return None


def _one(session: Session, options: Namespace, name: str) -> Document:
    found, code = ask_child(session, options, "__tick", name)
    if found is None:
        raise InternalError(
            f"the process that ran a tick of `{name}` ended with exit code {code} and no answer",
            fix=f"its tick is taken up once more: assetflow schedule tick {name}",
        )
    return found


def ask_child(
    session: Session, options: Namespace, *words: str, timeout_s: float | None = None
) -> tuple[Document | None, int]:
    """What a verb answers in a process of its own, and its exit code; it is ended when that takes too long."""
    how = "none" if session.screen.is_quiet or session.screen.is_json else options.progress or "auto"
    with subprocess.Popen(
        [*child_words(options, *words), "--progress", how], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
        encoding="utf-8",
    ) as child:  # fmt: skip
        try:
            out, _ = child.communicate(timeout=timeout_s)
        except subprocess.TimeoutExpired:
            child.kill()
            out, _ = child.communicate()
        except KeyboardInterrupt:  # it has it too, and is given the time to stop in good order
            child.communicate()
            raise
    return child_answer(out), child.returncode


def _options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="ls | next JOB | tick [JOB] | pause JOB | resume JOB | history JOB",
        help="the list (default), the next times, run what is due, hold it and go on, what became of its ticks",
    )  # fmt: skip
    parser.add_argument("-n", "--limit", type=positive, metavar="N", help="how many (next: 5, history: 20)")
    parser.add_argument("--now", metavar="TIME", help="as if it were this time: for tests and trials")


COMMANDS = {
    "schedule": Command(
        schedule,
        _options,
        (("assetflow schedule ls", "the jobs, when they are due, and how they ended last"),
         ("assetflow schedule next nightly -n 3", "the next three times"),
         ("assetflow schedule tick", "run what is due, once"),
         ("assetflow schedule pause nightly", "until schedule resume nightly"),
         ("assetflow schedule history nightly", "its runs and what was missed")),
    ),
}  # fmt: skip
