"""`__look`: looks at a sensor, or at the assets of a job, in this process. The daemon and `sensor tick` start it."""

from __future__ import annotations

import faulthandler
import sys
from argparse import ArgumentParser, Namespace
from contextlib import contextmanager, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING

from assetflow.automation.locks import acquired, sensor_lock
from assetflow.automation.sensing import (
    Looked,
    Watched,
    notice,
    record,
    record_failure,
    sense,
    stack_path,
    state_of,
    watch,
    watched_named,
)
from assetflow.cli.answer import Answer
from assetflow.cli.command import Command
from assetflow.cli.moments import given_now
from assetflow.cli.render_errors import error_lines
from assetflow.cli.text import iso
from assetflow.errors import AssetflowError, ProjectLoadError
from assetflow.model.sensors import AUTO

if TYPE_CHECKING:
    from collections.abc import Generator

    from assetflow.cli.session import Session
    from assetflow.load.settings import Settings
    from assetflow.model.sensors import Look, Requested, SensorState


def look(session: Session, options: Namespace) -> Answer:
    """Look once, and record what came of it; with `--dry-run` only say it."""
    known = session.declared()
    settings = known.own
    now = given_now(session, options.now, settings.tz)
    one = watched_named(watch(known, now), known, options.sensor)
    with acquired(sensor_lock(settings, one.name), "a sensor", now) as is_mine:
        seen = state_of(settings, one.name)
        if not is_mine or (seen.is_paused and not options.dry_run):
            return Answer(lambda: {"job": one.name, "busy": True, "look": None, "requests": []}, text="")
        try:
            found = _look(session, settings, one, seen, now)
        except AssetflowError as error:
            if options.dry_run:
                return Answer(partial(_problem, one.name, error), text="")
            session.screen.notes(error_lines(error, session.root_text))
            failed = record_failure(settings, seen, error, now)
            return Answer(partial(_document, one.name, failed, (), seen.cursor), text="")
        if options.dry_run:
            return Answer(lambda: _document(one.name, found.look, found.requests, found.cursor), text="")
        done = record(settings, seen, found, now)
    if done is None:
        return Answer(lambda: {"job": one.name, "busy": True, "look": None, "requests": []}, text="")
    return Answer(lambda: _document(one.name, done.look, done.requests, done.cursor), text="")


def _problem(name: str, error: AssetflowError) -> dict[str, object]:
    first = (error.problems[0] if error.problems else error) if isinstance(error, ProjectLoadError) else error
    return {"job": name, "problem": str(first).partition("\n")[0], "facts": list(first.facts)}


def _look(session: Session, settings: Settings, one: Watched, seen: SensorState, now: float) -> Looked:
    if one.kind == AUTO and one.spec is not None:
        from assetflow.automation.autoround import ask_round

        with _bounded(settings, one.name, one.spec.timeout_s), redirect_stdout(sys.stderr):
            project = session.project()
            plan = project.plan(in_crowds=False)
            return ask_round(settings, plan, project.graph, seen, now)
    if one.spec is not None:
        with _bounded(settings, one.name, one.spec.timeout_s), redirect_stdout(sys.stderr):
            return sense(settings, one.spec, seen, now)
    assert one.job is not None
    return notice(settings, one.job, seen, now)


@contextmanager
def _bounded(settings: Settings, name: str, timeout_s: float) -> Generator[None]:
    """End this process after so long, and leave its stack: nobody else may be there to end it."""
    path = stack_path(settings, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w", encoding="utf-8") as stack:
        faulthandler.dump_traceback_later(timeout_s, exit=True, file=stack)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
    path.unlink(missing_ok=True)


def _document(name: str, found: Look | None, requests: tuple[Requested, ...], cursor: str | None) -> dict[str, object]:
    return {
        "job": name,
        "busy": found is None,
        "look": None if found is None else look_document(found),
        "requests": [request_document(one) for one in requests],
        "cursor": cursor,
    }


def look_document(one: Look) -> dict[str, object]:
    """One look of a sensor, or the looks in a row that came to the same."""
    return {
        "sensor": one.sensor, "number": one.number, "state": one.state, "at": iso(one.at), "last_at": iso(one.last_at),
        "count": one.count, "requests": one.requests, "repeated": one.repeated, "note": one.note or None,
        "traceback": one.traceback or None,
    }  # fmt: skip


def request_document(one: Requested) -> dict[str, object]:
    """A run that was asked for, and what became of that."""
    return {
        "sensor": one.sensor, "request": one.request_id or None, "kind": one.kind, "key": one.key, "env": one.env,
        "select": one.select, "partitions": one.partitions, "config": one.config, "state": one.state,
        "run": one.run_id, "note": one.note or None, "tries": one.tries, "asked_at": iso(one.asked_at),
        "claimed_at": None if one.claimed_at is None else iso(one.claimed_at),
        "ended_at": None if one.ended_at is None else iso(one.ended_at),
    }  # fmt: skip


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("sensor", metavar="SENSOR")
    parser.add_argument("--now", metavar="TIME")
    parser.add_argument("--dry-run", action="store_true")


COMMANDS = {"__look": Command(look, _options)}
