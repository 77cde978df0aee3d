"""Durable files: the one place that creates, syncs, moves or removes what lies in the store.

Everything goes through one `Files` object, so that a test can put a faulty one in its place and see that every failure
leaves the previous version untouched. Operating system errors become our errors here and nowhere else.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from assetflow.errors import AssetflowError, DiskFull, NotWritable, StorageFailed

_FULL = frozenset([errno.ENOSPC, errno.EDQUOT])
_FORBIDDEN = frozenset([errno.EACCES, errno.EPERM, errno.EROFS])
_CHUNK = 1 << 20


class Files:
    """The file operations of the store; subclass it to inject faults. All methods raise our errors.

    Raises (every method):
        DiskFull, NotWritable, StorageFailed: the operating system refused.
    """

    def make_directory(self, path: Path) -> None:
        """Make the directory and the missing ones above it."""
        with _mapped("making the folder", path):
            path.mkdir(parents=True, exist_ok=True)

    def create(self, path: Path) -> BinaryIO:
        """A new file for writing; the caller syncs it with `sync_file` before closing. It must not exist yet."""
        with _mapped("creating", path):
            return path.open("xb", buffering=_CHUNK)

    def write(self, handle: BinaryIO, data: bytes | memoryview) -> int:
        """Append `data`; the number of bytes written."""
        return handle.write(data)

    def sync_file(self, handle: BinaryIO) -> None:
        """Return when the content of an open file is on the disk. After an error the file must be given up."""
        handle.flush()
        os.fsync(handle.fileno())

    def sync_directory(self, path: Path) -> None:
        """Return when the entries of the directory are on the disk. Does nothing where directories cannot be opened."""
        with _mapped("syncing the folder", path):
            try:
                descriptor = os.open(path, os.O_RDONLY)
            except PermissionError:  # Windows cannot open directories, and does not need it
                if os.name == "nt":
                    return
                raise
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Move a file or directory to a place that does not exist yet, on the same file system, in one step."""
        with _mapped("publishing", target):
            if target.exists():
                raise FileExistsError(errno.EEXIST, "it exists already", str(target))
            source.rename(target)

    def remove_tree(self, path: Path) -> None:
        """Remove a file, a link or a directory with all it contains; nothing happens when it is not there."""
        with _mapped("removing", path):
            _remove(path)

    @contextmanager
    def writing(self, path: Path) -> Generator[SyncedFile]:
        """A new file to write; on a normal exit its content is on the disk, after an error the file is removed."""
        with _mapped("writing", path):
            handle = self.create(path)
            try:
                with handle:
                    yield SyncedFile(self, handle)
                    self.sync_file(handle)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def write_bytes(self, path: Path, data: bytes) -> None:
        """Make a file with this content; it is on the disk when the call returns."""
        with self.writing(path) as out:
            out.write(data)

    def append_line(self, path: Path, line: bytes) -> None:
        """Add a line to a file, which is made when it is not there; on the disk when the call returns.

        A line that an earlier call did not finish is ended first, so that only it is spoiled.
        """
        with _mapped("writing", path):
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            with os.fdopen(descriptor, "ab") as handle:
                is_whole = handle.tell() == 0 or _last_byte(path) == b"\n"
                self.write(handle, (b"" if is_whole else b"\n") + line + b"\n")
                self.sync_file(handle)

    def copy_tree(self, source: Path, target: Path) -> None:
        """Copy a file, or a directory with all it contains (links are followed), and sync every part of it."""
        if source.is_dir():
            self.make_directory(target)
            for entry in sorted(source.iterdir()):
                self.copy_tree(entry, target / entry.name)
            self.sync_directory(target)
            return
        with _mapped("reading", source):
            incoming = source.open("rb")
        with incoming, self.writing(target) as out:
            while chunk := incoming.read(_CHUNK):
                out.write(chunk)


class SyncedFile:
    """The writable side of `Files.writing`, in the shape that pyarrow takes as a sink."""

    closed = False

    def __init__(self, files: Files, handle: BinaryIO) -> None:
        self._files, self._handle = files, handle

    def write(self, data: bytes | memoryview) -> int:
        """Append `data`; the number of bytes written."""
        return self._files.write(self._handle, data)

    def tell(self) -> int:
        """The position, which is the number of bytes written so far."""
        return self._handle.tell()

    def flush(self) -> None:
        """Nothing: the file is flushed and synced once, at its end."""

    def close(self) -> None:
        """Nothing: `Files.writing` closes the file after it has synced it."""

    def readable(self) -> bool:
        """False."""
        return False

    def writable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """False."""
        return False


def size_of(path: Path) -> int:
    """Bytes in a file, or in all files below a directory."""
    with _mapped("measuring", path):
        return sum(file.stat().st_size for file in tree_files(path))


def tree_files(path: Path) -> Iterator[Path]:
    """The file itself, or every file below a directory in the order of their names."""
    if not path.is_dir():
        yield path
        return
    for entry in sorted(path.iterdir()):
        yield from tree_files(entry)


def free_bytes(path: Path) -> int | None:
    """Bytes free on the file system of `path` (or of the nearest folder above that exists); None when unknown."""
    from shutil import disk_usage

    for place in (path, *path.parents):
        try:
            return disk_usage(place).free
        except OSError:
            continue
    return None


def storage_error(doing: str, path: Path, error: OSError) -> AssetflowError:
    """What a user should see for an operating system error that came up while `doing` something to `path`."""
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        free = free_bytes(path)
        left = () if free is None else (f"free:     {free:,} bytes",)
        return DiskFull(
            f"the disk is full: {doing} {path.name} failed",
            facts=(f"path:     {path}", *left, "the previous version is untouched"),
            fix="free some space and run again",
        )
    if error.errno in _FORBIDDEN:
        return NotWritable(
            f"{doing} {path.name} is not permitted: {reason}",
            facts=(f"path:     {path}", "the previous version is untouched"),
            fix="give this user the right to write there, or choose another storage folder in the project file",
        )
    return StorageFailed(f"{doing} {path.name} failed: {reason}", facts=(f"path:     {path}",))


@contextmanager
def _mapped(doing: str, path: Path) -> Generator[None]:
    try:
        yield
    except OSError as error:
        raise storage_error(doing, path, error) from error


def _last_byte(path: Path) -> bytes:
    with path.open("rb") as handle:
        handle.seek(-1, os.SEEK_END)
        return handle.read(1)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        for entry in list(path.iterdir()):
            _remove(entry)
        path.rmdir()
    else:
        path.unlink(missing_ok=True)
