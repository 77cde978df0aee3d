"""Loading a project in the process that goes on to run it, which saves importing it twice.

A process of its own (`refresh`) survives modules that hang, print or crash on import, and says where. Here a time limit
stands in for that, and a note beside the caches: who finds the note of a load that never ended loads apart.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING

from assetflow.errors import ProjectLoadError
from assetflow.fingerprint.files import ProjectFiles
from assetflow.load.caches import make_cache_folder
from assetflow.load.refresh import hang, load_note

if TYPE_CHECKING:
    from assetflow.load.live import Loaded
    from assetflow.load.settings import Settings


class _TooLate(BaseException):
    """The time is up; not an `Exception`, so that no module takes it for one of its own."""


def can_load_here(settings: Settings) -> bool:
    """Whether a load in this process can be given a time limit, and the last one came to an end."""
    in_main = threading.current_thread() is threading.main_thread()
    has_timer = in_main and hasattr(signal, "setitimer") and signal.getitimer(signal.ITIMER_REAL)[0] == 0
    return has_timer and not load_note(settings).exists()


def load_here(settings: Settings, timeout_s: float = 30.0) -> Loaded:
    """The project, imported in this process within `timeout_s` seconds. Call it where `can_load_here` is true.

    Raises:
        ProjectLoadError: with everything that is wrong; also when the project did not load in time.
    """
    from assetflow.load.definitions import load_project

    frames: list[tuple[str, int, str]] = []
    with _noted(settings), _limited(timeout_s, frames):
        try:
            loaded = load_project(settings)
        except (_TooLate, ProjectLoadError):
            if not frames:
                raise
            loaded = None
    if frames or loaded is None:  # the import of a module turned the interruption into a problem of its own
        raise ProjectLoadError([hang(ProjectFiles([settings.root]), frames, timeout_s)])
    return loaded


@contextmanager
def _noted(settings: Settings) -> Generator[None]:
    note = load_note(settings)
    try:
        make_cache_folder(note.parent)
        note.touch()
    except OSError:  # a folder that cannot be written: then there is no note
        yield
        return
    try:
        yield
    finally:
        with suppress(OSError):
            note.unlink(missing_ok=True)


@contextmanager
def _limited(timeout_s: float, frames: list[tuple[str, int, str]]) -> Generator[None]:
    """Raise in what runs when the time is up; `frames` are then where it was, innermost first."""

    def end(_: int, frame: FrameType | None) -> None:
        while frame is not None:
            frames.append((frame.f_code.co_filename, frame.f_lineno, frame.f_code.co_name))
            frame = frame.f_back
        raise _TooLate

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, timeout_s)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
