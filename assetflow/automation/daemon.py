"""The daemon: sleeps until something is due, and has each thing done by a fresh process of its own.

It keeps nothing in memory that matters: killed at any moment, the next one finds all in the catalog and in the locks.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from math import inf
from types import FrameType
from typing import Protocol

import msgspec

from assetflow.automation.declared import Declared
from assetflow.automation.rounds import JobState, look, see
from assetflow.automation.sensing import record_death, watch
from assetflow.errors import AssetflowError
from assetflow.model.sensors import SensorSpec

SLEEP_S = 5.0
"""It looks at the project and at the clock at least so often: both may be changed under it."""
ALERTS_S = 60.0
"""So often it has somebody look for what is overdue, and send the messages that wait."""
_AGAIN_S = 30.0
"""What a process ended without an answer of is left alone for so long."""
_SOON_S = 0.5
"""It looks again so soon when another tick of a job waits for a process to have taken up the one before."""
_PATIENCE_S = 15.0
"""The process of a look ends itself when that takes too long; so much later it is ended."""

TICK, LOOK, RUN, LOAD = "tick", "look", "run", "load"
"""What a process is started for: a tick of a job, a look of a sensor, a run that one asked for, the project itself."""

Child = subprocess.Popen[str]


@dataclass(frozen=True, slots=True)
class Work:
    """Something that a process is started for; `name` is the job or sensor. `spec` is there for looks of sensors.

    `place` tells processes for ticks of one job apart.
    """

    kind: str
    name: str
    spec: SensorSpec | None = field(default=None, compare=False)
    place: int = 0


class Told(Protocol):
    """Who hears what the daemon does."""

    def began(self, work: Work) -> None:
        """A process was started."""
        ...

    def ended(self, work: Work, code: int, answer: str) -> bool:
        """It has ended; whether the answer could be read."""
        ...

    def alerted(self, code: int, answer: str) -> None:
        """A round of alerts has ended."""
        ...

    def problem(self, error: AssetflowError) -> None:
        """The project or its catalog could not be looked at; the daemon tries again."""
        ...


class Daemon(msgspec.Struct):
    """One daemon. `known` reads the project as it is now, importing nothing; `start` starts a process.

    `tell` starts one that sends alerts, for a project that has somebody to tell.
    """

    known: Callable[[], Declared]
    start: Callable[[Work], Child]
    told: Told
    clock: Callable[[], float]
    tell: Callable[[], Child] | None = None
    _teller: Child | None = None
    _tell_after: float = 0.0
    _children: dict[Work, Child] = msgspec.field(default_factory=dict[Work, Child])
    _not_before: dict[tuple[str, str], float] = msgspec.field(default_factory=dict[tuple[str, str], float])
    _ends_by: dict[Work, float] = msgspec.field(default_factory=dict[Work, float])
    _stops: int = 0
    _said: str = ""

    def run(self) -> None:
        """Until a signal says to end: then the runs that go on are asked to stop, and waited for."""
        with _woken_by_signals(self._stop) as wake:
            while not self._stops:
                _sleep(wake, self._round())
                self._reap()
            asked = 0
            while self._children or self._teller is not None:
                if self._stops > asked:
                    asked = self._stops
                    self._ask_to_stop()
                _sleep(wake, SLEEP_S)
                self._reap()

    def _round(self) -> float:
        """Start what is due; how many seconds may pass before the next look."""
        now = self.clock()
        try:
            known = self.known()
            see(known.settings, now, is_whole=known.is_whole)
            states = look(known.settings, now)
            watched = watch(known, now)
        except AssetflowError as error:  # a file that is being edited, a catalog that is busy: it may be better soon
            if error.what != self._said:
                self.told.problem(error)
            self._said = error.what
            return SLEEP_S
        self._said = ""
        ticks = [self._next_place(state) for state in states if state.is_due]
        work = [one for one in ticks if one is not None]
        work += [Work(LOOK, one.name, one.spec) for one in watched if one.is_due]
        work += [Work(RUN, one.name) for one in watched if one.has_work]
        work += [] if known.is_whole else [Work(LOAD, "")]
        for one in work:
            if one not in self._children and self._not_before.get((one.kind, one.name), 0.0) <= now:
                self._begin(one)
        self._tell(known, now)
        coming = [state.next - now for state in states if state.next is not None]
        idle = (one for one in watched if not (one.is_due or one.is_looking))
        coming += [at - now for one in idle if (at := one.next_at(now)) is not None]
        coming += [_SOON_S] if any(state.job.max_active_runs > 1 for state in states if state.is_due) else []
        return max(0.0, min([SLEEP_S, *coming]))

    def _next_place(self, state: JobState) -> Work | None:
        """The process for one more tick of a job; None while one that was started has not taken up its tick yet."""
        own = {work.place for work in self._children if (work.kind, work.name) == (TICK, state.job.name)}
        if len(own) > state.at_work:
            return None
        return Work(TICK, state.job.name, place=min(set(range(len(own) + 1)) - own))

    def _tell(self, known: Declared, now: float) -> None:
        if known.settings.alerts and self.tell is not None and self._teller is None and self._tell_after <= now:
            self._teller, self._tell_after = self.tell(), now + ALERTS_S
        if self._tell_after > now + ALERTS_S:  # the clock was set back
            self._tell_after = now

    def _begin(self, work: Work) -> None:
        self._children[work] = self.start(work)
        if work.spec is not None:
            self._ends_by[work] = time.monotonic() + work.spec.timeout_s + _PATIENCE_S
        self.told.began(work)

    def _reap(self) -> None:
        if self._teller is not None and self._teller.poll() is not None:
            answer, _ = self._teller.communicate()
            self.told.alerted(self._teller.returncode, answer)
            self._teller = None
        for work, child in list(self._children.items()):
            if child.poll() is None:
                if self._ends_by.get(work, inf) < time.monotonic():
                    child.kill()
                continue
            del self._children[work]
            self._ends_by.pop(work, None)
            answer, _ = child.communicate()
            if not self.told.ended(work, child.returncode, answer):
                self._not_before[work.kind, work.name] = self.clock() + _AGAIN_S
                self._mourn(work, child.returncode)

    def _mourn(self, work: Work, code: int) -> None:
        """Record that a look came to nothing: its process could not."""
        if work.spec is None or self._stops:  # it was told to end
            return
        try:
            record_death(self.known().settings, work.spec, death_words(code), self.clock())
        except AssetflowError as error:
            self.told.problem(error)

    def _ask_to_stop(self) -> None:
        for child in (*self._children.values(), *([] if self._teller is None else [self._teller])):
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1


def death_words(code: int) -> str:
    """How a process ended without an answer."""
    return f"its process died (signal {-code})" if code < 0 else f"its process ended with exit code {code}"


def _sleep(wake: int, seconds: float) -> None:
    ready, _, _ = select.select([wake], [], [], seconds)
    if ready:
        with suppress(BlockingIOError):
            os.read(wake, 4096)


@contextmanager
def _woken_by_signals(stop: Callable[[int, FrameType | None], None]) -> Generator[int]:
    """A descriptor that is readable when a signal came: one to end, a child's end, or SIGUSR1 to look at once.

    What whoever started this process has it ignore, as `nohup` does, it ignores.
    """
    reading, writing = os.pipe()  # which no child inherits
    os.set_blocking(reading, False)
    os.set_blocking(writing, False)
    handlers = {
        signal.SIGTERM: stop, signal.SIGINT: stop, signal.SIGHUP: stop, signal.SIGCHLD: _only_wake,
        signal.SIGUSR1: _only_wake,
    }  # fmt: skip
    before = {
        number: signal.signal(number, handler)
        for number, handler in handlers.items()
        if number is signal.SIGCHLD or signal.getsignal(number) is not signal.SIG_IGN
    }
    wakeup = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    try:
        yield reading
    finally:
        signal.set_wakeup_fd(wakeup)
        for number, handler in before.items():
            signal.signal(number, handler)
        os.close(reading)
        os.close(writing)


def _only_wake(number: int, frame: FrameType | None) -> None:
    """Nothing: that the signal came is in the pipe."""
