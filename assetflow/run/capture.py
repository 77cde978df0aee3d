"""What user code prints and logs goes to the log file of its attempt, never to our standard output.

`sys.stdout` and `sys.stderr` are replaced for the length of a run by routers that look at the calling thread: the
thread of a step writes to that step's file, a thread that the step started writes to the file of the run.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from io import TextIOBase
from pathlib import Path
from typing import TextIO

_local = threading.local()


class _Router(TextIOBase):
    """A text stream that writes to the file of the calling thread's step, or to `fallback`."""

    def __init__(self, fallback: TextIO) -> None:
        self._fallback = fallback

    def write(self, text: str, /) -> int:
        return current_stream(self._fallback).write(text)

    def flush(self) -> None:
        current_stream(self._fallback).flush()

    def isatty(self) -> bool:
        return getattr(_local, "stream", None) is None and self._fallback.isatty()

    def fileno(self) -> int:
        return self._fallback.fileno()

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - TextIOBase has a plain attribute
        return self._fallback.encoding


class _LogHandler(logging.Handler):
    """Writes records of any logger to the file of the calling thread's step."""

    def emit(self, record: logging.LogRecord) -> None:
        stream = getattr(_local, "stream", None)
        if stream is not None:
            stream.write(self.format(record) + "\n")


def current_stream(fallback: TextIO) -> TextIO:
    """Where the calling thread's output goes."""
    stream = getattr(_local, "stream", None)
    return fallback if stream is None else stream


@contextmanager
def capturing() -> Generator[None]:
    """Route output and log records of steps to their files while the block runs."""
    before = sys.stdout, sys.stderr
    handler = _LogHandler(logging.INFO)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    root = logging.getLogger()
    asset_logger = logging.getLogger("assetflow.asset")
    level = asset_logger.level
    asset_logger.setLevel(logging.INFO)
    root.addHandler(handler)
    sys.stdout, sys.stderr = _Router(before[0]), _Router(before[1])
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
        root.removeHandler(handler)
        asset_logger.setLevel(level)


@contextmanager
def writing_to(file: Path) -> Generator[None]:
    """Send the calling thread's output to `file` (made with its folder) while the block runs.

    Raises:
        OSError: the file cannot be made.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8", errors="backslashreplace", buffering=1) as stream:
        before = getattr(_local, "stream", None)
        _local.stream = stream
        try:
            yield
        finally:
            _local.stream = before
