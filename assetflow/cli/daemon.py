"""`daemon`: runs the jobs when they are due, says whether it does, and ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, cast

from assetflow.automation.locks import daemon_lock, holder
from assetflow.automation.rounds import JobState, look
from assetflow.cli.answer import Answer
from assetflow.cli.command import Command
from assetflow.cli.moments import given_now
from assetflow.cli.render_errors import error_lines
from assetflow.cli.scheduling import (
    NO_JOBS,
    daemon_words,
    holder_document,
    run_due,
    send_words,
    sent_answer,
    tick_answer,
    tick_line,
    tick_words,
)
from assetflow.cli.telling import told_after
from assetflow.cli.text import Line, aligned, dim, good, strong
from assetflow.errors import AssetflowError, RunConflict, UsageError
from assetflow.files import storage_error
from assetflow.load.settings import Settings
from assetflow.model.durations import seconds
from assetflow.run.locks import note_of_this_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from assetflow.cli.session import Session

_POLL_S = 0.05


def daemon(session: Session, options: Namespace) -> Answer:
    """Run, look at or end the daemon of the project."""
    word = " ".join(cast("list[str]", options.words))
    if options.once and word != "run":
        raise UsageError("--once is for `assetflow daemon run`")
    if word == "run":
        return _once(session, options) if options.once else _run(session, options)
    if word == "status":
        return _status(session, options)
    if word == "stop":
        return _stop(session, options)
    raise UsageError(
        f"`daemon {word}` is not one of its forms" if word else "`daemon` needs a word",
        fix="assetflow daemon run, assetflow daemon status, or assetflow daemon stop",
    )


def _once(session: Session, options: Namespace) -> Answer:
    with told_after(session, loads=True):
        return run_due(session, options, None)


def _run(session: Session, options: Namespace) -> Answer:
    from assetflow.automation.daemon import Daemon

    if not hasattr(signal, "SIGCHLD"):
        raise UsageError(
            "the daemon needs the signals of Linux or macOS",
            fix="have `assetflow daemon run --once` started each minute",
        )
    if options.now is not None:
        raise UsageError("`daemon run` goes by the clock", fix="--now is for `assetflow daemon run --once`")
    settings = session.settings()
    lock = daemon_lock(settings)
    try:
        is_mine = lock.acquire(note=note_of_this_process(session.now))
    except OSError as error:
        raise storage_error("locking the project with", lock.path, error) from error
    if not is_mine:
        raise _conflict(session, settings)
    with lock:
        options.project = str(settings.root)  # for its children, wherever this process was started
        voice = _Voice(session)
        voice.greet(settings)
        Daemon(session.settings, _starter(options), voice, time.time, lambda: _child(send_words(options))).run()
    return Answer(dict, text="")


def _starter(options: Namespace) -> Callable[[str], subprocess.Popen[str]]:
    return lambda job: _child([*tick_words(options, job), "--progress", "none"])


def _child(words: list[str]) -> subprocess.Popen[str]:
    # In a session of its own: ctrl-c is for the daemon, which passes it on, once.
    return subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True
    )


class _Voice:
    """Tells what the daemon does: a line each, or a line of JSON."""

    def __init__(self, session: Session) -> None:
        self._session, self._screen = session, session.screen

    def greet(self, settings: Settings) -> None:
        """Say that it is there."""
        jobs = len(settings.jobs)
        self._tell({"event": "started", "pid": os.getpid(), "jobs": jobs},
                   (good(" ●"), f" {settings.name} · {jobs} jobs · pid {os.getpid()} · ctrl-c ends it"))  # fmt: skip
        if not jobs:
            self._screen.note(NO_JOBS)

    def began(self, state: JobState) -> None:
        """Say that a job is taken up."""
        self._tell({"event": "began", "job": state.job.name}, (" ▶ ", strong(state.job.name)))

    def ended(self, job: str, code: int, answer: str) -> bool:
        """Say what became of it."""
        found = tick_answer(answer)
        if found is None:
            text = f"  its process ended with exit code {code}; the tick is taken up again"
            self._tell({"event": "lost", "job": job, "exit_code": code}, (" ✗ ", strong(job), text))
            return False
        for one in found["ticks"]:
            self._tell({"event": "tick", **one}, tick_line(one))
        return True

    def alerted(self, code: int, answer: str) -> None:
        """Say what was told to whom; a round with nothing to tell is none."""
        found = sent_answer(answer)
        if found is None:
            text = f"the process that sends alerts ended with exit code {code}"
            self._tell({"event": "alerts_lost", "exit_code": code}, (" ✗ ", text))
            return
        for one in (*found["sent"], *found["failed"]):
            error = f"  {one['error']}" if one["error"] else ""
            self._tell({"event": "alert", **one}, (f" {'✗' if error else '✉'} ", strong(one["channel"]),
                                                   f"  {one['title']}{error}"))  # fmt: skip

    def problem(self, error: AssetflowError) -> None:
        """Show it as the verbs do."""
        if self._screen.is_json:
            self._screen.event(json.dumps({"event": "problem", "code": error.code, "message": error.what}))
        else:
            self._screen.notes(error_lines(error, self._session.root_text))

    def _tell(self, document: dict[str, object], line: Line) -> None:
        if self._screen.is_json:
            self._screen.event(json.dumps(document))
        else:
            clock = self._session.clock(time.time()).removesuffix(" today")
            self._screen.note((dim(f" {clock}"), *line))


def _conflict(session: Session, settings: Settings) -> RunConflict:
    found = holder(daemon_lock(settings))
    who = "" if found is None else f": pid {found.pid}, {found.user}@{found.host}, since {session.clock(found.since)}"
    return RunConflict(f"a daemon of this project is running already{who}", fix="end it first: assetflow daemon stop")


def _status(session: Session, options: Namespace) -> Answer:
    settings = session.settings()
    found = holder(daemon_lock(settings))
    now = given_now(session, options.now, settings.tz)
    states = look(settings, now)
    coming = min(((one.next, one.job.name) for one in states if one.next is not None), default=None)
    words = daemon_words(session, found)
    rows = [("next", "nothing" if coming is None else f"{coming[1]} {session.clock(coming[0])}")]
    running = [one.job.name for one in states if one.is_busy]
    rows += [("at work", ", ".join(running))] if running else []
    return Answer(
        lambda: {"running": found is not None, "daemon": holder_document(found), "at_work": running},
        [(" ", good("●") if found else dim("○"), f" {words}"), *aligned(rows, indent=3)],
        exit_code=4 if options.exit_code and found is None else 0,
    )


def _stop(session: Session, options: Namespace) -> Answer:
    import platform

    settings = session.settings()
    lock = daemon_lock(settings)
    found = holder(lock)
    if found is None:
        return Answer(lambda: {"stopped": False}, [(" ", dim("○"), " daemon not running")])
    if found.host != platform.node():
        raise UsageError(f"the daemon runs on {found.host}", fix="run `assetflow daemon stop` there")
    try:
        os.kill(found.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass
    except PermissionError as error:
        raise UsageError(f"the daemon is {found.user}'s", fix=f"run `assetflow daemon stop` as {found.user}") from error
    wait_s = seconds(options.wait)
    deadline = time.monotonic() + wait_s
    while lock.is_held_by_anyone():
        if time.monotonic() > deadline:
            raise RunConflict(
                f"the daemon (pid {found.pid}) is still ending: it waits for its runs to stop",
                fix="wait for it: assetflow daemon stop --wait 10m",
            )
        time.sleep(_POLL_S)  # a lock of the kernel tells nobody that it is free
    return Answer(lambda: {"stopped": True, "pid": found.pid}, [(" ", good("●"), f" daemon stopped (pid {found.pid})")])


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("words", nargs="*", metavar="run | status | stop", help="be it, look at it, or end it")
    parser.add_argument(
        "--once", action="store_true", help="with run: run what is due now, and end: for cron and systemd"
    )
    parser.add_argument("--now", metavar="TIME", help="as if it were this time: for tests and trials")
    parser.add_argument("--exit-code", action="store_true", help="with status: exit 4 when it is not running")
    parser.add_argument("--wait", default="1m", metavar="TIME", help="with stop: wait this long for it (default 1m)")


COMMANDS = {
    "daemon": Command(
        daemon,
        _options,
        (("assetflow daemon run", "until ctrl-c, or assetflow daemon stop"),
         ("assetflow daemon run --once", "what is due now: from cron or a systemd timer"),
         ("assetflow daemon status --exit-code", "for scripts: exit 4 when it is not running")),
    ),
}  # fmt: skip
