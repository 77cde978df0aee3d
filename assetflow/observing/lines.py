"""Lines of logs: which of them are wanted, and how they come while a log grows."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from assetflow.run.steplog import parts_of

LEVELS = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}

_RECORD = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ([A-Z]+) ")
_TRACEBACK = "Traceback (most recent call last):"
_OVERLAP = 200
"""So many bytes tell where in a log one is."""
_LEFT_OUT = re.compile(rb"\xe2\x80\xa6 +[\d,]+ bytes are left out here[^\n]*\n")


class LineFilter:
    """Picks lines of one log, given in order. Without `pattern` and `level` all of them.

    A record of `logging` has its level, and what follows a record as its traceback has that too; a traceback by itself
    is an error. What was printed has no level: with a `level` it is left out.
    """

    def __init__(self, pattern: re.Pattern[str] | None = None, level: int = 0) -> None:
        self._pattern, self._level = pattern, level
        self._is_wanted, self._in_traceback, self._after_record = False, False, False

    def __call__(self, lines: Iterable[str]) -> Iterator[str]:
        """Those of the lines that are wanted."""
        for line in lines:
            if (not self._level or self._has_level(line)) and (self._pattern is None or self._pattern.search(line)):
                yield line

    def _has_level(self, line: str) -> bool:
        record = _RECORD.match(line)
        if record is not None:
            self._is_wanted = LEVELS.get(record[1].lower(), 0) >= self._level
            self._in_traceback, self._after_record = False, True
        elif line == _TRACEBACK:
            if not self._after_record and not self._in_traceback:
                self._is_wanted = LEVELS["error"] >= self._level
            self._in_traceback, self._after_record = True, False
        elif self._in_traceback:
            self._in_traceback = line.startswith(
                " "
            )  # the first line that is not indented is the message, the last one
        else:
            self._is_wanted = self._after_record = False
        return self._is_wanted


class GrowingLog:
    """Gives the lines by which a log has grown since it was last asked, also one that is longer than its limit."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head: BinaryIO | None = None
        self._tail: BinaryIO | None = None
        self._begun = b""
        self._last = b""

    def lines(self, *, is_over: bool = False) -> list[str]:
        """The lines that are new; when it `is_over`, also one without an end."""
        data = self._begun + self._grown()
        end = len(data) if is_over else data.rfind(b"\n") + 1
        whole, self._begun = data[:end], data[end:]
        return whole.decode("utf-8", "replace").splitlines()

    def close(self) -> None:
        """Close what is open."""
        for stream in (self._head, self._tail):
            if stream is not None:
                stream.close()

    def _grown(self) -> bytes:
        if self._head is None:
            try:
                self._head = self._path.open("rb")
            except FileNotFoundError:
                return b""
        inode = _inode(self._head)
        is_whole = self._path.stat().st_ino != inode  # it was too long, and another file was put together
        data = b"" if self._tail is not None else _LEFT_OUT.sub(b"", self._head.read())
        data += self._grown_tail(parts_of(self._path, inode))
        self._last = (self._last + data)[-4096:]
        return data + (self._rest_of_whole() if is_whole else b"")

    def _grown_tail(self, parts: tuple[Path, Path]) -> bytes:
        """What has come to the end of a log that is too long: the rest of the part that is open, then newer ones."""
        newer: list[BinaryIO] = []
        for part in reversed(parts):  # the newer one first: it becomes the older one, and not the other way round
            with suppress(FileNotFoundError):
                newer.insert(0, part.open("rb"))
        known = [] if self._tail is None else [_inode(self._tail)]
        data = b"" if self._tail is None else self._tail.read()
        inodes = [_inode(stream) for stream in newer]
        start = max((place + 1 for place, one in enumerate(inodes) if one in known), default=0)
        for place, stream in enumerate(newer):
            if place < start or _inode(stream) in known:
                stream.close()
                continue
            known.append(_inode(stream))
            data += stream.read()
            if self._tail is not None:
                self._tail.close()
            self._tail = stream
        return data

    def _rest_of_whole(self) -> bytes:
        """What the file that was put together has after what was read of its parts; from now on it is the log."""
        self.close()
        self._tail, self._head = None, self._path.open("rb")
        whole = self._head.read()
        gap = _LEFT_OUT.search(whole)
        end = whole if gap is None else whole[gap.end() :]
        if not end or self._last.endswith(end[-len(self._last) :] if self._last else end):
            return b""
        known = self._last[-_OVERLAP:]
        place = end.rfind(known) if known else 0
        if place >= 0:
            return end[place + len(known) :]
        return whole[gap.start() :] if gap is not None else end


def _inode(stream: BinaryIO) -> int:
    return os.fstat(stream.fileno()).st_ino
