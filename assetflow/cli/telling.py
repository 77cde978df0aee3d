"""Alerts at the end of a command: what its run left in the outbox is sent, within bounds, whatever comes of that."""

from __future__ import annotations

import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from assetflow.errors import AssetflowError

if TYPE_CHECKING:
    from assetflow.cli.session import Session


@contextmanager
def told_after(session: Session, *, loads: bool = False) -> Generator[None]:
    """Send what waits in the outbox when the block has ended, unless it was interrupted.

    What is overdue is looked for if the project has been loaded, or if the block `loads` it. None of it changes how the
    command ends: what could not be sent is told on stderr, and sent later.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException:
        _tell(session, loads=loads)
        raise
    _tell(session, loads=loads)


def _tell(session: Session, *, loads: bool) -> None:
    settings = session.known_settings
    if settings is None or not settings.alerts:
        return
    from assetflow.automation.delivery import AFTER_RUN_S, deliver

    try:
        is_known = loads or session.has_project
        problem = look_around(session, time.time(), everywhere=loads) if is_known else ""
        found = deliver(settings, time.time(), AFTER_RUN_S)
    except AssetflowError as error:
        session.screen.note((f"alerts are sent later: {error.what}",))
        return
    except KeyboardInterrupt:  # the run has ended, and how it did stays so
        session.screen.note(("alerts are sent later: interrupted",))
        return
    problems = [f"{one.message.channel}: {one.error}" for one in found.failed if not one.is_dropped]
    problems += [f"{name}: no answer yet" for name in found.late]
    problems += [*found.problems, *([problem] if problem else [])]
    for text in dict.fromkeys(problems):
        session.screen.note((f"alert not sent yet: {text}",))


def look_around(session: Session, now: float, *, everywhere: bool = False) -> str:
    """Take in what is overdue and what is over without a run; what kept that from being seen, or nothing.

    It looks at the environment of the command, or at all that jobs and channels speak of.
    """
    from assetflow.automation.alerts import is_worth_a_look, look, watched

    try:
        project = session.project()
        for env in watched(project.settings) if everywhere else (project.env,):
            other = project if env == project.env else type(project).load(project.root, env=env)
            specs = other.graph.specs.values()
            if is_worth_a_look(other.settings, specs):
                look(other.settings, specs, other.status(now=now), now)
    except AssetflowError as error:
        return f"the project cannot be looked at: {error.what}"
    return ""
