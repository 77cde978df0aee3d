"""`__request`: takes up one run that a sensor asked for, in this process. The daemon and `sensor tick` start it."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.automation.requests import take_up_request
from assetflow.cli.answer import Answer
from assetflow.cli.command import Command
from assetflow.cli.looks import request_document
from assetflow.cli.moments import given_now
from assetflow.cli.render_errors import error_lines
from assetflow.cli.telling import told_after
from assetflow.cli.ticking import WAIT_S, why
from assetflow.errors import AssetflowError
from assetflow.model.jobs import DONE, FAILED
from assetflow.model.secrets import SECRETS

if TYPE_CHECKING:
    from assetflow.cli.session import Session
    from assetflow.model.sensors import Requested


def request(session: Session, options: Namespace) -> Answer:
    """Take up the next request of a sensor, and run it."""
    settings = session.settings()
    now = given_now(session, options.now, settings.tz)
    clock, trial = (time.time, None) if options.now is None else ((lambda: now), now)
    name = str(options.sensor)
    with told_after(session):
        taken = take_up_request(settings, name, now, lambda one: _run(session, one, trial), clock)
    if taken is None:
        return Answer(lambda: {"job": name, "busy": True, "requests": [], "more": False}, text="")
    done = [one for one in (taken.ended, taken.request) if one is not None]
    return Answer(
        lambda: {
            "job": name,
            "busy": False,
            "requests": [request_document(one) for one in done],
            "more": taken.is_more,
        },
        text="",
    )


def _run(session: Session, one: Requested, now: float | None) -> Requested:
    """The request as it ended. Whatever goes wrong, it has ended when this returns, or the process with it.

    `now` is given in trials: then the partitions are those that exist at that time.
    """
    session.options.env = one.env
    try:
        return _carry_out(session, one, now)
    except AssetflowError as error:
        session.screen.notes(error_lines(error, session.root_text))
        return replace(one, state=FAILED, note=SECRETS.text(why(error)))
    except KeyboardInterrupt:
        return replace(one, state=FAILED, note="it was interrupted")


def _carry_out(session: Session, one: Requested, now: float | None) -> Requested:
    from assetflow.cli.planning import failure_of
    from assetflow.cli.progress import watcher_for

    project = session.project()
    watcher = watcher_for(session.options.progress or "auto", session.screen, project.root)
    try:
        result = project.materialize(
            one.select or None, partitions=one.partitions, config=one.config or None, wait_s=WAIT_S, observer=watcher,
            tick=one, with_upstream=one.with_upstream, now=now,
        )  # fmt: skip
    finally:
        watcher.close()
    failure = failure_of(result)
    if failure is None:
        return replace(one, state=DONE, run_id=result.run_id, note="" if result.run_id else "nothing to do")
    return replace(one, state=FAILED, run_id=result.run_id, note=SECRETS.text(failure.what))


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("sensor", metavar="SENSOR")
    parser.add_argument("--now", metavar="TIME")


COMMANDS = {"__request": Command(request, _options)}
