"""`runs`: what was done."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, positive
from assetflow.cli.documents import attempt_document, run_document
from assetflow.cli.render_runs import (
    attempt_lines,
    attempts_table,
    comparison_document,
    comparison_table,
    comparison_title,
    times_table,
)
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import BLANK, Line, count, dim, iso, shell, state_words, strong
from assetflow.errors import UsageError
from assetflow.model.durations import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetflow.cli.session import Session
    from assetflow.model.records import Run

NO_RUNS: Line = (" no runs yet; start one with  assetflow materialize",)
LOST = "lost"
"""The state of a run of which a catalog that was made again knows the number alone."""

MADE, SAME, FAILED = ("materialized",), ("unchanged", "linked", "cut_off"), ("failed", "rejected", "died")


def runs(session: Session, options: Namespace) -> Answer:
    """The last runs, or with `show RUN` one of them."""
    given: list[str] = options.words
    word, *rest = given or ["ls"]
    if word == "compare" and len(rest) == 2:
        return _comparison(session, run_number(rest[0]), run_number(rest[1]))
    if word == "show" and len(rest) == 1:
        return _run(session, run_number(rest[0]), options)
    if word == "cancel" and len(rest) == 1:
        from assetflow.cli.cancelling import cancel_run

        return cancel_run(session, run_number(rest[0]), at_once=False)
    if word == "ls" and not rest:
        if options.events:
            raise UsageError("--events shows those of one run", fix="assetflow runs show 42 --events")
        return _runs(session, options.limit)
    if len(given) == 1 and given[0].lstrip("#").isdecimal():
        return _run(session, run_number(given[0]), options)
    raise UsageError(
        f"`runs {' '.join(given)}` is not one of its forms",
        fix="assetflow runs, assetflow runs show 42, or assetflow runs compare 41 42",
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
        return Answer(lambda: {"runs": []}, [NO_RUNS])
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
        Column("trigger", "CAUSE", leave=5),
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
                cell(run.trigger),
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


def _cause(run: Run) -> str:
    """` · schedule nightly`; nothing for what somebody ran."""
    return "" if run.trigger in ("cli", "") else f" · {run.trigger}"


def _comparison(session: Session, old: int, new: int) -> Answer:
    found = session.project().compare_runs(old, new)
    return Answer(
        lambda: comparison_document(found), table=comparison_table(found), below=(BLANK, comparison_title(found))
    )


def _run(session: Session, run_id: int, options: Namespace) -> Answer:
    project = session.project()
    run, attempts = project.run_details(run_id)
    known: Line = (
        f" · {session.clock(run.started_at)}",
        f" · {_took(run) or 'not finished'} · {_by(run)}",
        _cause(run),
    )
    if run.state == LOST:  # its times are guesses from what was made in it
        known = (" · only its number is known",)
    title: Line = (
        " ", strong(f"run #{run.run_id}"), "  ", state_words(run.state), f" · env {run.env}", *known,
    )  # fmt: skip

    def data() -> object:
        return {**run_document(run), "attempts": [attempt_document(attempt) for attempt in attempts]}

    if options.times:
        return Answer(
            data, table=times_table(attempts), below=((dim(f" run #{run.run_id} · {_took(run) or 'not finished'}"),),)
        )
    if options.events:
        from assetflow.cli.events import events_answer

        return events_answer(project, run_id, title)
    return Answer(
        data,
        [
            title,
            *([] if run.state == LOST else [_command(run)]),
            BLANK,
            *attempt_lines(attempts),
        ],
        attempts_table(attempts),
    )


def _command(run: Run) -> Line:
    return (dim(" " + shell(["assetflow", "materialize", *([run.selection] if run.selection else [])])),)


def _runs_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="ls | show RUN | compare OLD NEW | cancel RUN",
        help="the list (default), one run, how two differ, or end one",
    )  # fmt: skip
    parser.add_argument("--times", action="store_true", help="with show: where the time of each asset went")
    parser.add_argument("-n", "--limit", type=positive, default=20, metavar="N", help="how many (default 20)")
    parser.add_argument("--events", action="store_true", help="with show: what happened, in the order in which it did")


COMMANDS = {
    "runs": Command(
        runs,
        _runs_options,
        (("assetflow runs -n 5", "the last five"), ("assetflow runs show 42", "one of them"),
         ("assetflow runs show 42 --times", "waiting, loading, computing, checking, writing, committing"),
         ("assetflow runs compare 41 42", "which assets, states, rows and times differ")),
    ),
}  # fmt: skip
