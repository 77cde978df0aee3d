"""Ctrl-C and SIGTERM during a run: once, the run stops gracefully; twice, it ends where it is.

A handler that counts, instead of an exception at any point, so that a result that has just come is never lost.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """Counts the signals that ask the run to stop. `signal_number` is the last of them, 0 for none."""

    def __init__(self) -> None:
        self.signal_number = 0
        self._count = 0
        self._began = 0.0
        self._raises = False

    @property
    def is_stopping(self) -> bool:
        """Whether the run was asked to stop."""
        return self._count > 0

    @property
    def seconds(self) -> float:
        """How long ago the run was asked to stop."""
        return time.monotonic() - self._began if self._count else 0.0

    @contextmanager
    def watched(self) -> Generator[None]:
        """Count SIGINT and SIGTERM while the block runs; outside the main thread, which alone may, nothing changes."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._handle) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
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

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._began = self._began or time.monotonic()
        self._count += 1
        self.signal_number = number
        if self._raises or self._count > 1:
            raise KeyboardInterrupt
