"""The log file of one attempt: whole lines, without secrets, and never larger than its limit.

Half of the limit is for how it began, half for how it ended; what is left out between is counted. While the attempt
runs, its end lies in two files beside the log, of which the older is dropped when the newer is full; at the end they
become part of the log. So nothing is held in memory, and a short log is written once. Who says nothing has no file.
"""

from __future__ import annotations

import os
import threading
from codecs import getincrementaldecoder
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import unquote

from assetflow.errors import UsageError
from assetflow.io.folders import folder_name
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.secrets import SECRETS, after_key, is_open_key

if TYPE_CHECKING:
    from assetflow.partitions.definition import Definition

LOG_LIMIT = 10_000_000
"""Bytes of a log, if the project says nothing else."""

_LATE = 100_000
"""So much may be written by threads that go on when the step has ended."""
_LINE = 1 << 16
_BACK = 4096
"""Of a line that does not end, so many characters are kept back: a secret may be coming."""
_CHUNK = 1 << 20


def log_path(runs: Path, run_id: int, node: str, attempt: int) -> Path:
    """Where the log of an attempt at a function lies, or at one partition of it."""
    base, partition = split_slot(AssetKey(node))
    name = f"{base}[{folder_name(partition)}]" if partition else base
    return Path(f"{runs}/{run_id}/{name}.{attempt}.log")


def range_log(path: Path, definition: Definition, partition: str) -> Path | None:
    """The log of a call that made several partitions, this one among them, where one by itself would have `path`."""
    base, attempt = path.name.partition("[")[0], path.name.rpartition("].")[2]
    place = definition.ordinal(partition)
    for found in path.parent.glob(f"{base}[[]*..*[]].{attempt}"):
        first, _, last = unquote(found.name[len(base) + 1 : -len(attempt) - 2]).partition("..")
        with suppress(UsageError):
            if definition.ordinal(first) <= place <= definition.ordinal(last):
                return found
    return None


def partitions_in(path: Path, partition: str) -> str:
    """What a log is of: this partition, or all that were made in the same call, as `2026-01-01..2026-01-10`."""
    inside = path.name.partition("[")[2].rpartition("].")[0]
    return partition if not partition or inside == folder_name(partition) else unquote(inside)


class StepLog:
    """Writes the log of an attempt. A thread that goes on when its step has ended still writes there.

    Instead of a file the target may be a descriptor: a process of its own hands its lines to the one that has the file
    and `feed`s it with what comes, output of what is not Python as well.

    The file, and its folder, are made when there is something to write. What cannot be written is lost.
    """

    def __init__(self, target: Path | int, limit: int = LOG_LIMIT) -> None:
        self._lock = threading.RLock()
        self._file = _Descriptor(target) if isinstance(target, int) else _BoundedFile(target, limit)
        self._decoder = getincrementaldecoder("utf-8")("replace")
        self._begun: dict[int, str] = {}  # by thread: what several print at a time stays in lines of each
        self._is_in_key = False

    def write(self, text: str) -> int:
        """Take text in; lines are written when they are complete."""
        thread = threading.get_ident()
        with self._lock:
            begun = self._begun.pop(thread, "")
            end = max(text.rfind("\n"), text.rfind("\r")) + 1
            if end:
                whole, begun = begun + text[:end], text[end:]
                self._put(whole)
            else:
                begun += text
            if len(begun) > _LINE:
                cut = SECRETS.cut(begun, len(begun) - max(_BACK, SECRETS.longest))
                whole, begun = begun[:cut], begun[cut:]
                self._put(whole)
            if begun:
                self._begun[thread] = begun
        return len(text)

    def feed(self, data: bytes) -> None:
        """Take bytes in, cut anywhere."""
        with self._lock:
            self.write(self._decoder.decode(data))

    def flush(self) -> None:
        """Nothing: whole lines have been written, and of others a secret may be a part."""

    def close(self) -> None:
        """Write what is left, and put the file together."""
        with self._lock, suppress(OSError):
            whole, self._begun = "".join(self._begun.values()), {}
            self._put(whole)
            self._file.close()

    def _put(self, text: str) -> None:
        if self._is_in_key:
            rest = after_key(text)
            if rest is None:
                return
            self._is_in_key, text = False, rest
        if text:
            self._is_in_key = "PRIVATE KEY-----" in text and is_open_key(text)
            with suppress(OSError):  # words are lost, but no asset fails because it said them
                self._file.write(SECRETS.text(text).encode("utf-8", "backslashreplace"))


class _Descriptor:
    """An open descriptor; whoever opened it closes it."""

    def __init__(self, number: int) -> None:
        self._number = number

    def write(self, data: bytes) -> None:
        with suppress(OSError):  # user code may have closed it: what it prints then is lost, and nothing else
            while data:
                data = data[os.write(self._number, data) :]

    def close(self) -> None:
        """Nothing: it is not ours."""


class _BoundedFile:
    """A file of which the beginning and the end are kept."""

    def __init__(self, path: Path, limit: int) -> None:
        self._path, self._room = path, max(limit // 2, 1)
        self._head: BinaryIO | None = None
        self._parts = path, path  # of the file, when there is one
        self._tail: BinaryIO | None = None
        self._size = self._tail_size = self._dropped = self._late = 0
        self._is_closed = False

    def write(self, data: bytes) -> None:
        if self._is_closed:
            self._write_late(data)
            return
        if self._head is None:
            self._head = _made_open(self._path, "w+b")
            self._parts = parts_of(self._path, os.fstat(self._head.fileno()).st_ino)
        if self._tail is None and self._size + len(data) <= self._room:
            _write(self._head, data)
            self._size += len(data)
            return
        if self._tail is None:
            fits = data.rfind(b"\n", 0, self._room - self._size) + 1
            _write(self._head, data[:fits])
            self._size += fits
            data = data[fits:]
            self._tail = self._parts[1].open("wb", buffering=0)
        if len(data) > self._room:
            self._turn()
            self._turn()
            self._dropped += len(data) - self._room
            data = data[-self._room :]
            self._tell_dropped()
        elif self._tail_size + len(data) > self._room:
            self._turn()
        _write(self._tail, data)
        self._tail_size += len(data)

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        if self._head is None:
            return
        with self._head:
            if self._tail is None:
                return
            self._tail.close()
            whole = self._path.with_name(self._path.name + ".new")
            with whole.open("wb") as stream:
                self._put_together(self._head, stream)
            whole.replace(self._path)
        for part in self._parts:
            part.unlink(missing_ok=True)

    def _put_together(self, head: BinaryIO, stream: BinaryIO) -> None:
        sizes = [part.stat().st_size if part.exists() else 0 for part in self._parts]
        skips = [0, 0]
        if surplus := max(0, sum(sizes) - self._room):
            skips[0] = _line_after(self._parts[0], surplus)
        self._dropped += skips[0]
        head.seek(0)
        _copy(head, stream, self._size)
        if self._dropped:
            stream.write(left_out(self._dropped))
        for part, size, skip in zip(self._parts, sizes, skips, strict=True):
            if skip < size:
                with part.open("rb") as source:
                    source.seek(skip)
                    _copy(source, stream, size - skip)

    def _turn(self) -> None:
        """The newer part becomes the older one, and what was that is dropped."""
        old, new = self._parts
        if self._tail is not None:
            self._tail.close()
        if old.exists():
            self._dropped += old.stat().st_size
            self._tell_dropped()
        new.replace(old)
        self._tail, self._tail_size = new.open("wb", buffering=0), 0

    def _tell_dropped(self) -> None:
        """Say it at the end of the beginning, for who reads the log before it is put together."""
        if self._head is not None:
            self._head.seek(self._size)
            _write(self._head, left_out(self._dropped))

    def _write_late(self, data: bytes) -> None:
        if self._late + len(data) <= _LATE:
            self._late += len(data)
            with _made_open(self._path, "ab") as stream:
                _write(stream, data)


def _made_open(path: Path, mode: str) -> BinaryIO:
    """The file opened without a buffer; its folder is mostly there."""
    try:
        return cast("BinaryIO", open(path, mode, buffering=0))
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
        return cast("BinaryIO", open(path, mode, buffering=0))


def parts_of(path: Path, inode: int) -> tuple[Path, Path]:
    """The two files beside a log that hold how it goes on while it runs, the older first.

    They belong to the file with this inode: the log that is put together of them is another one.
    """
    return path.with_name(f"{path.name}.{inode}.0"), path.with_name(f"{path.name}.{inode}.1")


def left_out(amount: int) -> bytes:
    """The line in the middle of a log that was too long. All are of one length, as far as numbers are."""
    return f"… {amount:>15,} bytes are left out here: the log is longer than log_limit …\n".encode()


def log_text(path: Path) -> str:
    """The text of a log, also of an attempt that runs or was killed.

    Raises:
        OSError: it cannot be read.
    """
    while True:
        with path.open("rb") as stream:
            inode = os.fstat(stream.fileno()).st_ino
            pieces = [stream.read()]
        for part in parts_of(path, inode):
            with suppress(FileNotFoundError):
                pieces.append(part.read_bytes())
        if path.stat().st_ino == inode:  # else it was put together meanwhile
            return b"".join(pieces).decode("utf-8", "replace")


def _line_after(part: Path, place: int) -> int:
    """The beginning of the first line after a place, or the place itself in a line without end."""
    with part.open("rb") as stream:
        stream.seek(place)
        line = stream.readline(_BACK)
        return place + len(line) if line.endswith(b"\n") else place


def _write(stream: BinaryIO, data: bytes) -> None:
    """All of the data: without a buffer, a file on a full disk takes a part of it, and says so the next time."""
    while (written := stream.write(data)) < len(data):
        data = data[written:]


def _copy(source: BinaryIO, target: BinaryIO, amount: int) -> None:
    while amount and (chunk := source.read(min(_CHUNK, amount))):
        target.write(chunk)
        amount -= len(chunk)
