"""`watch`: plan again whenever a file of the project is saved, each time in a process of its own."""

from __future__ import annotations

import json
import subprocess
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

from msgspec import Struct

from assetflow.cli.again import again
from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, add_selection
from assetflow.cli.render_errors import error_lines
from assetflow.cli.render_watch import Item, begin_line, items_of, plan_changes
from assetflow.errors import AssetflowError, InternalError, Location, UsageError, error_classes
from assetflow.load.saves import Saves
from assetflow.model.durations import seconds

if TYPE_CHECKING:
    from assetflow.cli.session import Session

_POLL_S = 0.25

Document = Mapping[str, object]


class _Call(Struct, frozen=True):
    """How the verbs of each round are called: the options that `watch` was given itself."""

    options: Namespace

    def words(self, verb: str) -> list[str]:
        given = self.options
        words = again(verb, *given.selection)
        for flag, value in (("-C", given.project), ("-e", given.env), ("--tz", given.tz)):
            words += [] if value is None else [flag, value]
        return [*words, *(["--utc"] if given.utc else [])]


def watch(session: Session, options: Namespace) -> Answer:
    """Plan again whenever a file is saved."""
    debounce_s = _debounce_s(options.debounce)
    if options.run and session.screen.is_json:
        raise UsageError("`watch --run` shows the runs, which are no JSON document", fix="leave out --json or --run")
    root, overrides = _root(session, options), {} if options.env is None else {"env": options.env}
    saves = Saves(root, overrides)
    rounds = _Rounds(session, options, _Call(options), str(root))
    count = saves.begin()
    if not session.screen.is_json:
        session.screen.note(begin_line(count, str(root.name), is_running=options.run))
    code = rounds.one(())
    saves.learn()
    for changed in () if options.once else saved(saves, debounce_s, time.sleep):
        rounds.one(changed)
        saves.learn()
    return Answer(lambda: rounds.last, text="" if not session.screen.is_json else None, exit_code=code)


def saved(saves: Saves, debounce_s: float, wait: Callable[[float], None]) -> Iterator[tuple[str, ...]]:
    """The files of each save, for ever. Saves that follow each other within `debounce_s` are one."""
    while True:
        wait(_POLL_S)
        names = set(saves.changed())
        more = names
        while more:
            wait(debounce_s)
            more = set(saves.changed())
            names |= more
        if names:
            yield tuple(sorted(names))


class _Rounds:
    """The rounds so far: what the last plan said, so that only what is new is told."""

    def __init__(self, session: Session, options: Namespace, call: _Call, root: str) -> None:
        self._screen, self._session, self._options, self._call, self._root = (
            session.screen,
            session,
            options,
            call,
            root,
        )
        self._items: Mapping[str, Item] | None = None
        self.last: object = None

    def one(self, changed: tuple[str, ...]) -> int:
        """One round: plan, show what is new, and run it if that was asked for; the exit code of it."""
        document = self._asked()
        data = document.get("data")
        if not document.get("ok"):
            return self._failed(cast("Document", document.get("error") or {}), changed)
        self.last = {"saved": list(changed), "plan": data}
        items = items_of(cast("Document", data))
        if self._screen.is_json:
            if not self._options.once:
                self._screen.event(json.dumps({"schema": "assetflow.watch/1", "ok": True, "data": self.last}))
        else:
            clock = self._session.clock(time.time()).removesuffix(" today")
            self._screen.lines(plan_changes(self._items, items, changed, clock, self._session.width))
            self._screen.close()
        self._items = items
        if self._options.run and any(item.action != "current" for item in items.values()):
            return self._run()
        return 0

    def _asked(self) -> Document:
        """What `plan --json` answers in a process of its own, so that the code is what was just saved."""
        done = _finished([*self._call.words("plan"), "--json"], is_quiet=True)
        try:
            return cast("Document", json.loads(done.stdout))
        except ValueError:
            what = f"planning ended with exit code {done.returncode} and no answer"
            tail = (done.stderr or "").strip().splitlines()[-5:]
            return {"ok": False, "error": {"code": InternalError.code, "message": what, "facts": tail}}

    def _run(self) -> int:
        words = self._call.words("materialize")
        if self._options.progress is not None:
            words += ["--progress", self._options.progress]
        code = _finished(words, is_quiet=False).returncode
        after = self._asked()
        if after.get("ok"):  # what the run did is on the screen already
            self._items = items_of(cast("Document", after["data"]))
        return code

    def _failed(self, error: Document, changed: tuple[str, ...]) -> int:
        failure = _error(error)
        self.last = {"saved": list(changed), "error": dict(error)}
        if self._screen.is_json and not self._options.once:
            self._screen.event(
                json.dumps({"schema": "assetflow.watch/1", "ok": False, **cast("dict[str, object]", self.last)})
            )
        elif not self._screen.is_json:
            self._screen.notes(error_lines(failure, self._root))
            if not self._options.once:
                self._screen.note((" waiting for the next save",))
        return failure.exit_code


def _finished(words: list[str], *, is_quiet: bool) -> subprocess.CompletedProcess[str]:
    """Run a command to its end. Ctrl-C reaches it as well, and it is given the time to stop in good order."""
    pipe = subprocess.PIPE if is_quiet else None
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, encoding="utf-8"
    ) as child:
        try:
            out, err = child.communicate()
        except KeyboardInterrupt:
            child.wait()
            raise
    return subprocess.CompletedProcess(words, child.returncode, out, err)


def _error(error: Document) -> AssetflowError:
    """The error that a document tells of; the problems of a load one by one."""
    from assetflow.errors import DefinitionError, ProjectLoadError

    problems = cast("list[Document]", error.get("problems") or [])
    if problems:
        return ProjectLoadError([cast("DefinitionError", _error(one)) for one in problems])
    cls = error_classes().get(cast("str", error.get("code", "")), AssetflowError)
    place = cast("Mapping[str, object] | None", error.get("where"))
    where = None
    if place is not None:
        where = Location(str(place["file"]), cast("int", place["line"]), cast("int", place.get("column") or 0))
    facts, fix = cast("list[str]", error.get("facts") or []), cast("str | None", error.get("fix"))
    return cls(str(error.get("message", "")), facts=facts, fix=fix, where=where)


def _root(session: Session, options: Namespace) -> Path:
    """The project's folder. Its settings may be wrong for now: the rounds say so."""
    from assetflow.load.settings import find_project

    return find_project(Path(options.project or ".")).parent


def _debounce_s(text: str) -> float:
    try:
        return seconds(text)
    except ValueError as error:
        raise UsageError(str(error), fix="--debounce 300ms") from error


def _options(parser: ArgumentParser) -> None:
    add_selection(parser)
    parser.add_argument("--run", action="store_true", help="materialize what is not current, each time")
    parser.add_argument("--debounce", default="300ms", metavar="TIME", help="wait for more saves (default 300ms)")
    parser.add_argument("--once", action="store_true", help="one round, and end: for scripts and tests")


COMMANDS = {
    "watch": Command(
        watch,
        _options,
        (("assetflow watch", "what would run, told again after every save"),
         ("assetflow watch +daily_revenue --run", "and run it: one asset and what it is made of"),
         ("assetflow watch --json", "a line of JSON for each round, for editors")),
    ),
}  # fmt: skip
