"""What user code prints and logs goes to the log file of its attempt, never to our standard output.

`sys.stdout` and `sys.stderr` are replaced for the length of a run by routers that look at the calling thread: the
thread of a step writes to that step's file, and so do the threads that it starts.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Generator
from contextlib import closing, contextmanager, suppress
from io import TextIOBase
from pathlib import Path
from typing import TextIO

from assetflow.io.connection import TURN_OF_STARTER, has_turn
from assetflow.run.steplog import LOG_LIMIT, StepLog

_FORMAT = logging.Formatter("%(asctime)s %(levelname)-7s %(message)s")
_local = threading.local()
_STARTED_BY = "_assetflow_log"
"""The attribute of a thread that holds the log of the step that started it."""


class _Router(TextIOBase):
    """A text stream that writes to the log of the calling thread's step, or to `fallback`."""

    def __init__(self, fallback: TextIO) -> None:
        self._fallback = fallback

    def write(self, text: str, /) -> int:
        return (current_log() or self._fallback).write(text)

    def flush(self) -> None:
        (current_log() or self._fallback).flush()

    def isatty(self) -> bool:
        return current_log() is None and self._fallback.isatty()

    def fileno(self) -> int:
        return self._fallback.fileno()

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - TextIOBase has a plain attribute
        return self._fallback.encoding


class _LogHandler(logging.Handler):
    """Writes records of any logger to the file of the calling thread's step."""

    def emit(self, record: logging.LogRecord) -> None:
        log = current_log()
        if log is not None:
            log.write(self.format(record) + "\n")


def current_log() -> StepLog | None:
    """The log of the step that the calling thread belongs to."""
    return own_log() or getattr(threading.current_thread(), _STARTED_BY, None)


def own_log() -> StepLog | None:
    """The log of the step that the calling thread carries out; None in threads that a step started."""
    return getattr(_local, "log", None)


@contextmanager
def capturing() -> Generator[None]:
    """Route output and log records of steps to their files while the block runs; once, where blocks are nested."""
    if isinstance(sys.stdout, _Router):
        yield
        return
    before = sys.stdout, sys.stderr
    handler = _LogHandler(logging.INFO)
    handler.setFormatter(_FORMAT)
    root = logging.getLogger()
    asset_logger = logging.getLogger("assetflow.asset")
    level = asset_logger.level
    asset_logger.setLevel(logging.INFO)
    root.addHandler(handler)
    sys.stdout, sys.stderr = _Router(before[0]), _Router(before[1])
    start = threading.Thread.start

    def start_with_log(self: threading.Thread) -> None:
        setattr(self, _STARTED_BY, current_log())  # a thread does not know by itself which thread started it
        setattr(self, TURN_OF_STARTER, has_turn())
        start(self)

    threading.Thread.start = start_with_log
    try:
        yield
    finally:
        threading.Thread.start = start
        sys.stdout, sys.stderr = before
        root.removeHandler(handler)
        asset_logger.setLevel(level)


@contextmanager
def writing_to(target: Path | int, limit: int = LOG_LIMIT) -> Generator[None]:
    """Send the calling thread's output to a file, or to a descriptor, while the block runs.

    The file and its folder are made when there is output.
    """
    before = getattr(_local, "log", None)
    with closing(StepLog(target, limit)) as log:
        _local.log = log
        try:
            yield
        finally:
            _local.log = before


def with_file(log: Path) -> Path:
    """The log file, made now, for who has another place for what cannot be written.

    Raises:
        OSError: the file cannot be made.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    log.touch()
    return log


def error_record(message: str) -> str:
    """The line that a record of `logging` with this error has in a log."""
    return _FORMAT.format(logging.LogRecord("assetflow", logging.ERROR, "", 0, message, None, None))


def write_to_log(text: str) -> None:
    """Add text to the log of the calling thread's step, as a line or lines of its own."""
    log = current_log()
    if log is not None:
        # The error itself is in the result and in the catalog; a log that cannot be written must not replace it.
        with suppress(OSError):
            log.write(text if text.endswith("\n") else text + "\n")
