"""`logs`: what assets printed and logged, in the past or as it comes."""

from __future__ import annotations

import json
import re
from argparse import ArgumentParser, Namespace
from collections import deque
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, natural
from assetflow.cli.running import NO_RUNS, run_number
from assetflow.cli.text import BLANK, Line, Span, cells, count, dim, strong
from assetflow.errors import UsageError
from assetflow.model.keys import slot
from assetflow.observing.lines import LEVELS, LineFilter
from assetflow.plan.named import named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from assetflow.cli.session import Session
    from assetflow.observing.follow import LogLines
    from assetflow.project import Project
    from assetflow.views import LogFile

_WIDE = 24


def logs(session: Session, options: Namespace) -> Answer:
    """What assets printed and logged: in the last run, in one run, or when one asset last ran."""
    run_id, key = _which(options.words)
    make_filter = _filter(options)
    project = session.project()
    if run_id is None and key is None and not project.runs(1):
        return Answer(lambda: {"logs": []}, [NO_RUNS])
    if options.follow:
        return _follow(session, options, run_id, key, make_filter)
    found = project.logs(run_id, key)
    is_picked = options.grep is not None or options.level is not None
    if is_picked or options.tail is not None:
        found = [replace(log, text=_picked(log.text, make_filter(), options.tail)) for log in found]

    def data() -> object:
        return {
            "logs": [
                {
                    "run": log.run_id,
                    "env": log.env,
                    "asset": log.asset,
                    "partition": log.partition or None,
                    "attempt": log.attempt,
                    "path": str(log.path),
                    "text": log.text,
                }
                for log in found
            ]
        }

    if options.raw:
        return Answer(data, text="".join([log.text for log in found]))
    return Answer(data, _screen(session, found, run_id, key, is_picked=is_picked))


def _screen(
    session: Session, found: Sequence[LogFile], run_id: int | None, key: str | None, *, is_picked: bool
) -> list[Line]:
    """The logs that say something, and how many say nothing; a single one that was asked for says so itself."""
    if not found:
        which = f" in run #{run_id}" if run_id is not None else ""
        return [(f" no logs for {f'{key}{which}' if key else which.removeprefix(' in ') or 'the last run'}",)]
    nothing = "no such line" if is_picked else "nothing was printed or logged"
    lines: list[Line] = []
    silent: list[LogFile] = []
    for log in found:
        if log.text.strip() or (key is not None and len(found) == 1):
            lines += [*_log_lines(session, log, nothing), BLANK]
        else:
            silent.append(log)
    if silent:
        said = "had no such line" if is_picked else "printed and logged nothing"
        lines += [(dim(f" {_amount(silent)} {said}"),), BLANK]
    return lines[:-1]


def _amount(silent: Sequence[LogFile]) -> str:
    """`2 assets and 27 partitions`; of what was tried several times, `3 attempts`."""
    made = {(log.asset, log.partition) for log in silent}
    if len(made) < len(silent):
        return count(len(silent), "attempt")
    assets = sum(not partition for _, partition in made)
    parts = "call" if any(".." in partition for _, partition in made) else "partition"
    return " and ".join([count(n, what) for n, what in ((assets, "asset"), (len(made) - assets, parts)) if n])


def _filter(options: Namespace) -> Callable[[], LineFilter]:
    """Makes the filter of one log."""
    try:
        pattern = None if options.grep is None else re.compile(options.grep)
    except re.error as error:
        raise UsageError(f"--grep: `{options.grep}` is not a regular expression: {error}") from error
    level = 0 if options.level is None else LEVELS[options.level]
    return lambda: LineFilter(pattern, level)


def _picked(text: str, wanted: LineFilter, tail: int | None) -> str:
    lines: Iterable[str] = wanted(text.splitlines())
    return "".join([line + "\n" for line in (lines if tail is None else deque(lines, tail))])


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


def _log_lines(session: Session, log: LogFile, nothing: str) -> list[Line]:
    again = f" · attempt {log.attempt}" if log.attempt > 1 else ""
    name = slot(log.asset, log.partition)
    place = f" · {session.place(str(log.path))}" if log.text else ""
    elsewhere = f" in env {log.env}" if log.env != session.settings().env else ""
    title: Line = (" ", strong(name), f" · run #{log.run_id}{elsewhere}{again}", dim(place))
    body: list[Line] = [("   ", line.expandtabs(4)) for line in log.text.splitlines()]
    return [title, *(body or [("   ", Span(nothing, "dim"))])]


def _follow(
    session: Session, options: Namespace, run_id: int | None, key: str | None, make_filter: Callable[[], LineFilter]
) -> Answer:
    """Write lines as they come: of one asset as they are, of several with their names in front."""
    filters: dict[tuple[str, int], LineFilter] = {}
    screen, project = session.screen, session.project()
    is_one = key is not None and _is_one(project, key)
    for new in project.follow_logs(run_id, key):
        wanted = filters.setdefault((name := slot(new.asset, new.partition), new.attempt), make_filter())
        lines: Sequence[str] = list(wanted(new.lines))
        if new.is_first and options.tail is not None:
            lines = lines[len(lines) - min(len(lines), options.tail) :]
        if screen.is_json:
            for line in lines:
                screen.event(_event(new, line))
        elif options.raw:
            screen.text("".join([line + "\n" for line in lines]))
        else:
            if new.is_first and new.attempt > 1 and is_one:
                screen.note((dim(f" attempt {new.attempt}"),))
            before = "" if is_one else name + " " * max(0, _WIDE - cells(name)) + " │ "
            screen.lines([(dim(before), line.expandtabs(4)) for line in lines])
        screen.close()
    return Answer(dict, is_told=True)


def _is_one(project: Project, key: str) -> bool:
    """Whether a name means a single asset or partition, so that its lines need no name in front."""
    found = named(project.graph, key)
    has_partitions = project.graph.specs[found.asset].partitions is not None
    return len(found.slots) == 1 and not (has_partitions and found.partitions is None)


def _event(new: LogLines, line: str) -> str:
    return json.dumps({
        "schema": "assetflow.log/1", "run": new.run_id, "asset": new.asset, "partition": new.partition or None,
        "attempt": new.attempt, "line": line,
    })  # fmt: skip


def _logs_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="RUN | ASSET", help="default: the last run; also orders[2026-01-05]"
    )
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run, or the asset, has ended")
    parser.add_argument("--grep", metavar="RE", help="only lines in which this regular expression is found")
    parser.add_argument(
        "--level", choices=list(LEVELS), metavar="LEVEL",
        help="only log records of at least this level (debug, info, warning, error or critical), and tracebacks",
    )  # fmt: skip
    parser.add_argument("-n", "--tail", type=natural, metavar="N", help="only the last lines of each attempt")
    parser.add_argument("--raw", action="store_true", help="the files as they are, without titles")


COMMANDS = {
    "logs": Command(
        logs,
        _logs_options,
        (("assetflow logs", "the last run"), ("assetflow logs orders", "when orders last ran"),
         ("assetflow logs 'orders[2026-01-05]'", "when this partition last ran"),
         ("assetflow logs 42 orders", "orders in run #42"), ("assetflow logs -f", "the run that is going on"),
         ("assetflow logs --level warning", "what was worth a warning")),
    ),
}  # fmt: skip
