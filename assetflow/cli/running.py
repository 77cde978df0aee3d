"""`runs` and `logs`: what was done, and what it said."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, positive
from assetflow.cli.documents import attempt_document, run_document
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import BLANK, Line, Span, count, dim, iso, shell, state_mark, state_words, strong
from assetflow.errors import UsageError
from assetflow.model.durations import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetflow.cli.session import Session
    from assetflow.model.records import Attempt, Run
    from assetflow.project import LogFile

_NO_RUNS: Line = (" no runs yet; start one with  assetflow materialize",)
LOST = "lost"
"""The state of a run of which a catalog that was made again knows the number alone."""

MADE, SAME, FAILED = ("materialized",), ("unchanged", "linked", "cut_off"), ("failed", "rejected", "died")


def runs(session: Session, options: Namespace) -> Answer:
    """The last runs, or with `show RUN` one of them."""
    given: list[str] = options.words
    word, *rest = given or ["ls"]
    if word == "show" and len(rest) == 1:
        return _run(session, run_number(rest[0]), with_events=options.events)
    if word == "ls" and not rest:
        if options.events:
            raise UsageError("--events shows those of one run", fix="assetflow runs show 42 --events")
        return _runs(session, options.limit)
    if len(given) == 1 and given[0].lstrip("#").isdecimal():
        return _run(session, run_number(given[0]), with_events=options.events)
    raise UsageError(
        f"`runs {' '.join(given)}` is not one of its forms", fix="assetflow runs, or assetflow runs show 42"
    )


def run_number(text: str) -> int:
    """`42` or `#42` as a number.

    Raises:
        UsageError: it is not one.
    """
    digits = text.removeprefix("#")
    if not digits.isdecimal():
        raise UsageError(f"`{text}` is not the number of a run", fix="assetflow runs lists the runs")
    return int(digits)


def _runs(session: Session, limit: int) -> Answer:
    project = session.project()
    found = project.runs(limit)
    below: tuple[Line, ...] = ((dim(f" {count(len(found), 'run')} · {words(session.elapsed_s)}"),),)
    if not found:
        return Answer(lambda: {"runs": []}, [_NO_RUNS])
    return Answer(lambda: {"runs": [run_document(run) for run in found]}, table=runs_table(found, session), below=below)


def runs_table(found: Sequence[Run], session: Session) -> Table:
    """One row for each run, newest first."""
    columns = (
        Column("run", "RUN", is_right=True),
        Column("state", "STATE"),
        Column("started_at", "STARTED"),
        Column("seconds", "TOOK", is_right=True),
        Column("made", "MADE", is_right=True),
        Column("same", "SAME", is_right=True, leave=1),
        Column("failed", "FAIL", is_right=True),
        Column("blocked", "BLOCK", is_right=True),
        Column("env", "ENV", leave=2),
        Column("by", "BY", leave=4),
        Column("selection", "SELECTION", leave=3, least=12),
    )

    def amount(run: Run, states: Sequence[str]) -> int | None:
        return None if run.state == LOST else sum(run.counts.get(state, 0) for state in states)

    return Table(
        columns,
        tuple(
            (
                cell(run.run_id, strong(f"#{run.run_id}")),
                cell(run.state, state_words(run.state)),
                cell(None) if run.state == LOST else cell(iso(run.started_at), session.clock(run.started_at)),
                cell(_seconds(run), _took(run)),
                cell(amount(run, MADE)),
                cell(amount(run, SAME)),
                cell(amount(run, FAILED)),
                cell(amount(run, ("blocked",))),
                cell(run.env),
                cell(_by(run)),
                cell(run.selection or None, run.selection or (None if run.state == LOST else dim("all"))),
            )
            for run in found
        ),
    )


def _seconds(run: Run) -> float | None:
    return None if run.finished_at is None or run.state == LOST else round(run.finished_at - run.started_at, 3)


def _took(run: Run) -> str | None:
    found = _seconds(run)
    return None if found is None else words(max(0.0, found))


def _by(run: Run) -> str | None:
    return None if run.state == LOST else f"{run.user}@{run.host}"


def _run(session: Session, run_id: int, *, with_events: bool) -> Answer:
    project = session.project()
    run, attempts = project.run_details(run_id)
    known: Line = (f" · {session.clock(run.started_at)}", f" · {_took(run) or 'not finished'} · {_by(run)}")
    if run.state == LOST:  # its times are guesses from what was made in it
        known = (" · only its number is known",)
    title: Line = (
        " ", strong(f"run #{run.run_id}"), "  ", state_words(run.state), f" · env {run.env}", *known,
    )  # fmt: skip
    if with_events:
        from assetflow.cli.events import events_answer

        return events_answer(project, run_id, title)
    return Answer(
        lambda: {**run_document(run), "attempts": [attempt_document(attempt) for attempt in attempts]},
        [
            title,
            *([] if run.state == LOST else [_command(run)]),
            BLANK,
            *_attempt_lines(attempts),
        ],
        attempts_table(attempts),
    )


def _command(run: Run) -> Line:
    return (dim(" " + shell(["assetflow", "materialize", *([run.selection] if run.selection else [])])),)


def _attempt_lines(attempts: Sequence[Attempt]) -> list[Line]:
    wide = max((len(attempt.asset) for attempt in attempts), default=0)
    lines: list[Line] = []
    for attempt in attempts:
        took = sum(attempt.seconds.values())
        version = f"v{attempt.version_number}" if attempt.version_number is not None else ""
        note = ""
        if attempt.error:
            note = f"{attempt.error.get('type', '')}: {str(attempt.error.get('message', '')).partition(chr(10))[0]}"
        elif attempt.blocked_by:
            note = f"waited for {', '.join(attempt.blocked_by)}"
        elif attempt.reasons:
            note = str(attempt.reasons[0].get("text", ""))
        state = attempt.state.replace("_", " ")
        again = f" (attempt {attempt.number})" if attempt.number > 1 else ""
        lines.append(
            (" ", state_mark(attempt.state), " ", strong(f"{attempt.asset:<{wide}}"), f"  {state:<12} {version:<5} ",
             f"{words(took) if took else '':>8}   ", dim(note + again))
        )  # fmt: skip
    return lines


def attempts_table(attempts: Sequence[Attempt]) -> Table:
    """One row for each attempt of a run."""
    columns = (
        Column("asset", "ASSET"), Column("state", "STATE"), Column("version", "VERSION", is_right=True),
        Column("seconds", "TOOK", is_right=True), Column("attempt", "ATTEMPT", is_right=True), Column("error", "ERROR"),
    )  # fmt: skip
    return Table(
        columns,
        tuple(
            (
                cell(attempt.asset),
                cell(attempt.state),
                cell(attempt.version_number),
                cell(round(sum(attempt.seconds.values()), 3)),
                cell(attempt.number),
                cell((attempt.error or {}).get("message")),
            )
            for attempt in attempts
        ),
    )


def logs(session: Session, options: Namespace) -> Answer:
    """What assets printed and logged: in the last run, in one run, or when one asset last ran."""
    run_id, key = _which(options.words)
    project = session.project()
    if run_id is None and key is None and not project.runs(1):
        return Answer(lambda: {"logs": []}, [_NO_RUNS])
    found = project.logs(run_id, key)

    def data() -> object:
        return {
            "logs": [
                {"run": log.run_id, "asset": log.asset, "attempt": log.attempt, "path": str(log.path), "text": log.text}
                for log in found
            ]
        }

    if options.raw:
        return Answer(data, text="".join([log.text for log in found]))
    lines: list[Line] = []
    for log in found:
        if log.text.strip() or key is not None:
            lines += [*_log_lines(session, log), BLANK]
    silent = sum(not log.text.strip() for log in found) if key is None else 0
    if silent:
        lines += [(dim(f" {count(silent, 'asset')} printed and logged nothing"),), BLANK]
    if not found:
        lines = [(f" no logs for {f'run #{run_id}' if run_id is not None else key or 'the last run'}",), BLANK]
    return Answer(data, lines[:-1])


def _which(given: list[str]) -> tuple[int | None, str | None]:
    run_id: int | None = None
    key: str | None = None
    for word in given:
        if word.lstrip("#").isdecimal() and run_id is None:
            run_id = run_number(word)
        elif key is None:
            key = word
        else:
            raise UsageError(f"`logs {' '.join(given)}` names too much", fix="name a run, an asset, or one of each")
    return run_id, key


def _log_lines(session: Session, log: LogFile) -> list[Line]:
    again = f" · attempt {log.attempt}" if log.attempt > 1 else ""
    title: Line = (" ", strong(log.asset), f" · run #{log.run_id}{again}", dim(f" · {session.place(str(log.path))}"))
    body: list[Line] = [("   ", line.expandtabs(4)) for line in log.text.splitlines()]
    return [title, *(body or [("   ", Span("nothing was printed or logged", "dim"))])]


def _runs_options(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="ls | show RUN", help="the list (default), or one run")
    parser.add_argument("-n", "--limit", type=positive, default=20, metavar="N", help="how many (default 20)")
    parser.add_argument("--events", action="store_true", help="with show: what happened, in the order in which it did")


def _logs_options(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="RUN | ASSET", help="default: the last run")
    parser.add_argument("--raw", action="store_true", help="the files as they are, without titles")


COMMANDS = {
    "runs": Command(
        runs, _runs_options, (("assetflow runs -n 5", "the last five"), ("assetflow runs show 42", "one of them"))
    ),
    "logs": Command(
        logs,
        _logs_options,
        (("assetflow logs", "the last run"), ("assetflow logs orders", "when orders last ran"),
         ("assetflow logs 42 orders", "orders in run #42")),
    ),
}  # fmt: skip
