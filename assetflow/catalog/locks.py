"""Locks that the kernel holds: whoever dies, however it dies, lets go. No heartbeats, no stale lock files."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self
from weakref import WeakSet

try:
    import fcntl
except ImportError:  # Windows has no flock; SQLite's own locks still keep the catalog whole there
    fcntl = None

_PAUSE_S = 0.02
_LOOK_S = 2.0


class FileLock:
    """An advisory lock on a file, exclusive or shared, with a note of who holds it for people who have to wait.

    The file stays when the lock is released: removing it would let two processes lock two different files.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor: int | None = None

    def acquire(
        self,
        *,
        wait_s: float = 0.0,
        note: str = "",
        on_wait: Callable[[], None] | None = None,
        is_shared: bool = False,
    ) -> bool:
        """Take the lock, waiting at most `wait_s` seconds; False when somebody else still holds it.

        Any number may share it, and nobody has it exclusively meanwhile.

        Raises:
            OSError: the lock file cannot be opened.
        """
        descriptor = self._opened()
        try:
            is_mine = _wait_for(descriptor, wait_s, on_wait, is_shared=is_shared)
        except BaseException:
            os.close(descriptor)
            raise
        if not is_mine:
            os.close(descriptor)
            return False
        self._descriptor = descriptor
        _HELD.add(self)
        if note:
            with suppress(OSError):  # the note only helps a message; a full disk must not keep the lock from being used
                os.ftruncate(descriptor, 0)
                os.pwrite(descriptor, note.encode(), 0)
        return True

    def rewrite(self, note: str) -> None:
        """Write another note into a lock that is held.

        Raises:
            OSError: that did not work.
        """
        assert self._descriptor is not None, "only who holds a lock writes into it"
        data = note.encode()
        os.pwrite(self._descriptor, data, 0)
        os.ftruncate(self._descriptor, len(data))

    def _opened(self) -> int:
        how = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self.path, how, 0o644)
        except FileNotFoundError:  # the folder is there every time but the first
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(self.path, how, 0o644)

    def release(self) -> None:
        """Let go of the lock; nothing happens when it is not held."""
        if self._descriptor is not None:
            # Said outright: a process that was forked meanwhile has the descriptor too, and would keep it held.
            if fcntl is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None

    def forget(self) -> None:
        """Close the lock's file without releasing the lock, which belongs to the parent of this forked process."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def is_held_by_anyone(self) -> bool:
        """Whether some process, maybe this one, holds the lock now."""
        if self._descriptor is not None:
            return True
        try:
            descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)  # who may not write may look
        except OSError:  # no lock file: nobody ever took it (or nobody can, in a read-only folder)
            return False
        try:
            return _is_held(descriptor)
        finally:
            os.close(descriptor)

    def note(self) -> str:
        """What the last holder wrote about itself."""
        try:
            return self.path.read_text(errors="replace")
        except OSError:  # the note only helps a message; without it the message says less
            return ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.release()


_HELD: WeakSet[FileLock] = WeakSet()


def _let_go_in_child() -> None:
    """Close what a forked child got: it must not keep the locks of a parent that was killed."""
    for lock in list(_HELD):
        lock.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


def _wait_for(descriptor: int, wait_s: float, on_wait: Callable[[], None] | None, *, is_shared: bool) -> bool:
    deadline = time.monotonic() + wait_s
    while not _try_lock(descriptor, is_shared=is_shared):
        # Whoever only looks whether the lock is held shares it for an instant: that is no reason to give up.
        patience_s = 0.0 if _is_held(descriptor) else _LOOK_S
        if time.monotonic() >= deadline + patience_s:
            return False
        if on_wait is not None and not patience_s:
            on_wait()
            on_wait = None
        time.sleep(_PAUSE_S)  # flock has no time limit of its own
    return True


def _is_held(descriptor: int) -> bool:
    if fcntl is None:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(descriptor, fcntl.LOCK_UN)  # at once: all who wait look, and while they share it nobody can have it
    return False


def _try_lock(descriptor: int, *, is_shared: bool) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
