"""The daemon: sleeps until a tick is due, and has each taken up by a fresh process of its own.

It keeps nothing in memory that matters: killed at any moment, the next one finds all in the catalog and in the locks.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol

from assetflow.automation.rounds import JobState, look, see
from assetflow.errors import AssetflowError
from assetflow.load.settings import Settings

SLEEP_S = 5.0
"""It looks at the project and at the clock at least so often: both may be changed under it."""
ALERTS_S = 60.0
"""So often it has somebody look for what is overdue, and send the messages that wait."""
_AGAIN_S = 30.0
"""A job whose process ended without an answer is left alone for so long."""

Child = subprocess.Popen[str]


class Told(Protocol):
    """Who hears what the daemon does."""

    def began(self, state: JobState) -> None:
        """A process was started for a job."""
        ...

    def ended(self, job: str, code: int, answer: str) -> bool:
        """It has ended; whether the answer could be read."""
        ...

    def alerted(self, code: int, answer: str) -> None:
        """A round of alerts has ended."""
        ...

    def problem(self, error: AssetflowError) -> None:
        """The project or its catalog could not be looked at; the daemon tries again."""
        ...


@dataclass(slots=True)
class Daemon:
    """One daemon. `settings` reads the project as it is now, `start` starts the process for a job.

    `tell` starts one that sends alerts, for a project that has somebody to tell.
    """

    settings: Callable[[], Settings]
    start: Callable[[str], Child]
    told: Told
    clock: Callable[[], float]
    tell: Callable[[], Child] | None = None
    _teller: Child | None = None
    _tell_after: float = 0.0
    _children: dict[str, Child] = field(default_factory=dict[str, Child])
    _not_before: dict[str, float] = field(default_factory=dict[str, float])
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
            settings = self.settings()
            see(settings, now)
            states = look(settings, now)
        except AssetflowError as error:  # a file that is being edited, a catalog that is busy: it may be better soon
            if error.what != self._said:
                self.told.problem(error)
            self._said = error.what
            return SLEEP_S
        self._said = ""
        for state in states:
            name = state.job.name
            if state.is_due and name not in self._children and self._not_before.get(name, 0.0) <= now:
                self._children[name] = self.start(name)
                self.told.began(state)
        if settings.alerts and self.tell is not None and self._teller is None and self._tell_after <= now:
            self._teller, self._tell_after = self.tell(), now + ALERTS_S
        if self._tell_after > now + ALERTS_S:  # the clock was set back
            self._tell_after = now
        coming = [state.next - now for state in states if state.next is not None]
        return max(0.0, min([SLEEP_S, *coming]))

    def _reap(self) -> None:
        if self._teller is not None and self._teller.poll() is not None:
            answer, _ = self._teller.communicate()
            self.told.alerted(self._teller.returncode, answer)
            self._teller = None
        for name, child in list(self._children.items()):
            if child.poll() is None:
                continue
            del self._children[name]
            answer, _ = child.communicate()
            if not self.told.ended(name, child.returncode, answer):
                self._not_before[name] = self.clock() + _AGAIN_S

    def _ask_to_stop(self) -> None:
        for child in (*self._children.values(), *([] if self._teller is None else [self._teller])):
            with suppress(ProcessLookupError):
                child.send_signal(signal.SIGTERM)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stops += 1


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
