"""Ctrl-C and SIGTERM during a run: once, the run stops gracefully; twice, it ends where it is.

A handler that counts, instead of an exception at any point, so that a result that has just come is never lost.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class _Noted:
    """A handler of SIGINT that raises as Python's own does, and remembers it."""

    is_so = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self.is_so = True
        raise KeyboardInterrupt


def note_interrupts() -> None:
    """From now on, know of each Ctrl-C, whoever catches what it raises.

    Native modules drop what is raised while they are being imported, and Ctrl-C would do nothing. `watched` heeds it.
    """
    is_main = threading.current_thread() is threading.main_thread()
    if is_main and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _Noted())


def forget_interrupts() -> None:
    """Leave Ctrl-C to Python again."""
    if isinstance(signal.getsignal(signal.SIGINT), _Noted) and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def was_interrupted() -> bool:
    """Whether there was a Ctrl-C since `note_interrupts`, outside of what is `watched`."""
    handler = signal.getsignal(signal.SIGINT)
    return isinstance(handler, _Noted) and handler.is_so


class Interrupts:
    """Counts the signals that ask the run to stop. `signal_number` is the last of them, 0 for none.

    `is_expired` says that the time of the run was over, which stops it like a first signal.
    """

    def __init__(self) -> None:
        self.signal_number = 0
        self.is_expired = False
        self._count = 0
        self._began = 0.0
        self._raises = False
        self._is_over = False
        self._leaving = threading.Lock()

    @property
    def is_stopping(self) -> bool:
        """Whether the run was asked to stop."""
        return self._count > 0 or self.is_expired

    @property
    def why(self) -> str:
        """Why nothing more is started: `the run was stopped` says that it was not by a signal."""
        if self.is_expired:
            return "the time of the run was over"
        return "the run was " + ("interrupted" if self.is_stopping else "stopped")

    @property
    def seconds(self) -> float:
        """How long ago the run was asked to stop."""
        return time.monotonic() - self._began if self.is_stopping else 0.0

    @contextmanager
    def watched(self, timeout_s: float | None = None) -> Generator[None]:
        """Count SIGINT and SIGTERM while the block runs; outside the main thread, which alone may, nothing changes.

        After `timeout_s` the run is asked to stop as well.

        Raises:
            KeyboardInterrupt: there was a Ctrl-C before (`note_interrupts`).
        """
        if was_interrupted():
            raise KeyboardInterrupt
        is_main = threading.current_thread() is threading.main_thread()
        timer = None if timeout_s is None else threading.Timer(timeout_s, self._expire, [is_main])
        if timer is not None:
            timer.daemon = True
            timer.start()
        before = {number: signal.signal(number, self._handle) for number in _SIGNALS} if is_main else {}
        try:
            yield
        finally:
            with self._leaving:
                self._is_over = True  # a timer that fires in this moment must not signal what comes after the block
            if timer is not None:
                timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def raising(self) -> Generator[None]:
        """Let the first signal raise in the block: for user code that runs in the main thread."""
        self._raises = True
        try:
            yield
        finally:
            self._raises = False

    def _expire(self, is_main: bool) -> None:
        with self._leaving:
            if not self._is_over and not self._count:
                self._began = time.monotonic()
                self.is_expired = True
                if is_main and self._raises:  # user code in the main thread: only a signal gets it out of a sleep
                    os.kill(os.getpid(), signal.SIGINT)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._began = self._began or time.monotonic()
        self._count += 1
        self.signal_number = number
        if self._raises or self._count > 1:
            raise KeyboardInterrupt
