"""Failpoints: every file operation below a folder counted, and one of them made to fail, to tear, or to kill.

The operations of Python are intercepted where they leave it (`os.rename`, raw writes, ...), not at some seam of ours,
so that a write which goes around the seam is hit as well. Made for a forked child: what is installed stays for good.
"""

from __future__ import annotations

import builtins
import io
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Never, cast

from msgspec import Struct, field

Action = Literal["kill", "kill after", "torn", "short", "error"]
"""What happens at the point: die before it, after it, in the middle of a write; write half; raise."""

ONE_PATH = ("mkdir", "rmdir", "unlink", "remove", "chmod", "truncate")
TWO_PATHS = ("rename", "replace", "link", "symlink")
DESCRIPTOR = ("fsync", "fdatasync", "ftruncate", "write", "pwrite")
_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Failpoints(Struct):
    """Counts the operations below `folder`; at number `at` (from 1) `action` happens, when `lasting` from then on.

    `error` makes the exception of the action `error`. With `reads`, opening files to read them is a point as well.
    `log` gets the name of every point passed. Operations of other kinds, such as statements of a database, are counted
    by calling `point` or `around` where they happen.

    Example:
        >>> points = Failpoints(Path("store"), at=3, action="kill")
        >>> points.install()  # doctest: +SKIP
    """

    folder: Path
    at: int = 0
    action: Action = "kill"
    error: Callable[[str], BaseException] | None = None
    lasting: bool = False
    reads: bool = False
    passed: int = 0
    fired: str = ""
    log: list[str] = field(default_factory=list[str])

    def around(self, name: str, operation: Callable[[], Any], error: Callable[[], BaseException] | None = None) -> Any:
        """Do the operation, unless this is where it fails; its result."""
        chosen = self.point(name)
        if chosen is None or chosen == "short":
            return operation()
        if chosen == "error":
            raise error() if error is not None else self._error(name)
        if chosen == "kill after":
            operation()
        return kill()

    def point(self, name: str) -> Action | None:
        """Count one operation; what is to happen there, or None."""
        self.passed += 1
        self.log.append(name)
        if self.at and (self.passed == self.at or (self.lasting and self.passed > self.at)):
            self.fired = self.fired or name
            return self.action
        return None

    def install(self) -> None:
        """Intercept the operations of this process from now on, for ever."""
        root = str(self.folder.absolute())

        def is_inside(path: object) -> bool:
            try:
                text = os.fsdecode(os.fspath(cast("str", path)))
            except TypeError:
                return False
            return text == root or text.startswith(root + os.sep)

        for name in ONE_PATH + TWO_PATHS:
            self._intercept_paths(name, is_inside)
        for name in DESCRIPTOR:
            self._intercept_descriptor(name, is_inside)
        self._intercept_open(is_inside)

    def _error(self, name: str) -> BaseException:
        assert self.error is not None, "an action `error` needs the error"
        return self.error(name)

    def _intercept_paths(self, name: str, is_inside: Callable[[object], bool]) -> None:
        original: Callable[..., Any] = getattr(os, name)

        def intercepted(path: Any, *rest: Any, **options: Any) -> Any:
            if not is_inside(path):
                return original(path, *rest, **options)
            return self.around(f"{name} {_short(path)}", lambda: original(path, *rest, **options))

        setattr(os, name, intercepted)

    def _intercept_descriptor(self, name: str, is_inside: Callable[[object], bool]) -> None:
        original: Callable[..., Any] = getattr(os, name)

        def intercepted(descriptor: Any, *rest: Any, **options: Any) -> Any:
            path = _path_of(descriptor)
            if not is_inside(path):
                return original(descriptor, *rest, **options)
            if name in ("write", "pwrite"):
                return self._write(name, path, rest[0], lambda data: original(descriptor, data, *rest[1:]))
            return self.around(f"{name} {_short(path)}", lambda: original(descriptor, *rest, **options))

        setattr(os, name, intercepted)

    def _intercept_open(self, is_inside: Callable[[object], bool]) -> None:
        open_descriptor, open_file = os.open, io.open

        def opened_descriptor(path: Any, flags: int, *rest: Any, **options: Any) -> int:
            if not (flags & _WRITING or self.reads) or not is_inside(path):
                return open_descriptor(path, flags, *rest, **options)
            return self.around(f"open {_short(path)}", lambda: open_descriptor(path, flags, *rest, **options))

        def _opened_file(
            file: Any, mode: str = "r", buffering: int = -1, encoding: str | None = None, errors: str | None = None,
            newline: str | None = None, closefd: bool = True, opener: Any = None,
        ) -> Any:  # fmt: skip
            path = _path_of(file) if isinstance(file, int) else file
            is_read = not set(mode) & set("wax+")
            if not is_inside(path) or (is_read and (not self.reads or isinstance(file, int))):
                return open_file(file, mode, buffering, encoding, errors, newline, closefd, opener)
            if is_read:
                arguments = (file, mode, buffering, encoding, errors, newline, closefd, opener)
                return self.around(f"read {_short(path)}", lambda: open_file(*arguments))
            plain = mode.replace("b", "").replace("t", "")

            def open_raw() -> io.FileIO:
                return _Raw(self, os.fsdecode(path), file, plain, closefd, opener)

            # Who gives a descriptor has opened the file already, and that was a point of its own.
            raw: Any = open_raw() if isinstance(file, int) else self.around(f"open {_short(path)}", open_raw)
            if buffering == 0:
                return raw
            size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
            buffered = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
            if "b" in mode:
                return buffered
            return io.TextIOWrapper(buffered, encoding, errors, newline, line_buffering=buffering == 1)

        os.open = opened_descriptor
        io.open = _opened_file
        builtins.open = _opened_file

    def _write(self, name: str, path: str, data: Any, write: Callable[[Any], int]) -> int:
        chosen = self.point(f"{name} {_short(path)}")
        half = memoryview(data).cast("B")
        half = half[: len(half) // 2]
        if chosen is None:
            return write(data)
        if chosen == "error":
            raise self._error(name)
        if chosen == "short":
            return write(half) if len(half) else write(data)
        if chosen == "torn":
            write(half)
        elif chosen == "kill after":
            write(data)
        return kill()


class _Raw(io.FileIO):
    """A file whose writes are failpoints; the buffer of Python calls it as it would the system."""

    def __init__(self, points: Failpoints, path: str, file: Any, mode: str, closefd: bool, opener: Any) -> None:
        super().__init__(file, mode, closefd, opener)
        self._points, self._path = points, path

    def write(self, data: Any, /) -> int:
        return self._points._write("write", self._path, data, super().write)  # pyright: ignore[reportPrivateUsage]


def kill() -> Never:
    """End this process as the kernel does when memory runs out: nothing is flushed, nothing is cleaned up."""
    os.kill(os.getpid(), signal.SIGKILL)
    raise SystemExit("killed")


def _path_of(descriptor: object) -> str:
    number = descriptor if isinstance(descriptor, int) else cast("Any", descriptor).fileno()
    try:
        return str(Path(f"/proc/self/fd/{number}").readlink())
    except OSError:  # without /proc nothing of this kind is intercepted
        return ""


def _short(path: object) -> str:
    """The last two names of a path, which say what it is and stay the same from run to run."""
    return "/".join(Path(os.fsdecode(os.fspath(cast("str", path)))).parts[-2:])
