"""Durable files: the one place that creates, syncs, moves or removes what lies in the store.

Everything goes through one `Files` object, so that a test can put a faulty one in its place and see that every failure
leaves the previous version untouched. Operating system errors become our errors here and nowhere else.
"""

from __future__ import annotations

import errno
import os
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from io import FileIO
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, ParamSpec, TypeVar

from assetflow.errors import AssetflowError, DiskFull, NotWritable, StorageFailed

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor
    from types import TracebackType

    from assetflow.whole_disk import WholeDisk

P = ParamSpec("P")
R = TypeVar("R")

_FULL = frozenset([errno.ENOSPC, errno.EDQUOT])
_FORBIDDEN = frozenset([errno.EACCES, errno.EPERM, errno.EROFS])
_NO_LINKS = frozenset([errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP])
_ABOUT_US = _FORBIDDEN | {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EINTR, errno.EAGAIN}
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_CHUNK = 1 << 20  # a multiple of BLOCK_BYTES
_LARGE = 8 << 20  # a file of more bytes is worth a thread
_PARTS = 4  # so many chunks may wait for it
_SYNC_EACH = 16 << 20

HASHES = ("xxh3", "sha256")
"""The hash algorithms of a store. xxh3 finds every accident; sha256 also withstands somebody who forges content."""

BLOCK_BYTES = 1 << 16
"""Bytes of a file that have a digest of their own, so that a part can be checked without reading the whole."""


class Files:
    """The file operations of the store; subclass it to inject faults. All methods raise our errors.

    `hash` is the algorithm of what is written from now on.

    Raises (every method):
        DiskFull, NotWritable, StorageFailed: the operating system refused.
    """

    hash = "xxh3"

    def __init__(self, hash: str = "xxh3") -> None:
        self.hash = hash

    def make_directory(self, path: Path) -> None:
        """Make the directory and the missing ones above it."""
        with _mapped("making the folder", path):
            try:
                os.mkdir(path)  # noqa: PTH102 - mostly there is what is above, and nothing here
            except FileExistsError:
                if not path.is_dir():
                    raise
            except FileNotFoundError:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.mkdir(exist_ok=True)

    def create(self, path: Path) -> BinaryIO:
        """A new file for writing; the caller syncs it with `sync_file` before closing. It must not exist yet.

        Once it is closed nobody can open it for writing again: what is stored never changes.
        """
        with _mapped("creating", path):
            return FileIO(os.open(path, _NEW_FILE, 0o444), "wb")

    def write(self, handle: BinaryIO, data: bytes | memoryview) -> int:
        """Append all of `data`; the number of bytes written."""
        written = handle.write(data)
        while written < len(data):  # an unbuffered file may take a part of it
            written += handle.write(memoryview(data)[written:])
        return written

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
            if os.path.lexists(target):
                raise FileExistsError(errno.EEXIST, "it exists already", str(target))
            os.rename(source, target)  # noqa: PTH104 - for each version: a Path costs more than the system call

    def replace(self, source: Path, target: Path) -> None:
        """Move a file over one that may exist, on the same file system, in one step: readers see the old or the new."""
        with _mapped("publishing", target):
            source.replace(target)

    def link(self, source: Path, target: Path) -> bool:
        """Give a closed file a second name, which must not exist; false where the file system cannot do that."""
        with _mapped("linking", target):
            try:
                target.hardlink_to(source)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return False
            return True

    def sync_all(self) -> None:
        """Return when everything that was written is on the disk: less work than many folders one by one."""
        if hasattr(os, "sync"):  # Windows has none, and cannot sync folders either
            os.sync()

    def sync_disk(self, disk: WholeDisk) -> bool:
        """Return true when all that was written to a file system is on the disk; false where that cannot be had."""
        with _mapped("syncing", disk.folder):
            return disk.sync()

    def sync_path(self, path: Path) -> None:
        """Return when a closed file is on the disk."""
        with _mapped("syncing", path), path.open("rb+" if os.name == "nt" else "rb") as handle:
            self.sync_file(handle)

    def remove_tree(self, path: Path) -> None:
        """Remove a file, a link or a directory with all it contains; nothing happens when it is not there."""
        with _mapped("removing", path):
            _remove(path)

    @contextmanager
    def writing(self, path: Path, *, small: int = 0) -> Generator[SyncedFile]:
        """A new file to write; on a normal exit its content is on the disk, after an error the file is removed.

        If the file has not more than `small` bytes, it is the caller who syncs it later.
        What is yielded knows the hash of all that was written, so nothing has to be read again to learn it.
        """
        with _mapped("writing", path):
            handle = self.create(path)
            try:
                with handle:
                    out = SyncedFile(self, handle, self.hash)
                    try:
                        yield out
                        out.finish()
                    finally:
                        out.stop()
                    if out.size > small or not small:
                        self.sync_file(handle)
            except BaseException:
                path.unlink(missing_ok=True)
                raise

    def write_bytes(self, path: Path, data: bytes | memoryview, *, is_durable: bool = True) -> str:
        """Make a file with this content, which is on the disk when the call returns, if `is_durable`; its hash.

        Else the caller sees to it later.
        """
        with _mapped("writing", path):
            handle = self.create(path)
            try:
                with handle:
                    self.write(handle, data)
                    if is_durable:
                        self.sync_file(handle)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
        return f"bytes-{self.hash}:{new_hash(self.hash, data).hexdigest()}"

    def append_line(self, path: Path, line: bytes, *, is_durable: bool = True) -> None:
        """Add a line to a file, which is made when it is not there; on the disk when the call returns, if `is_durable`.

        A line that an earlier call did not finish is ended first, so that only it is spoiled.
        """
        with _mapped("writing", path):
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
            with os.fdopen(descriptor, "a+b", buffering=0) as handle:
                is_whole = handle.tell() == 0 or _last_byte(handle) == b"\n"
                self.write(handle, (b"" if is_whole else b"\n") + line + b"\n")
                if is_durable:
                    self.sync_file(handle)

    def copy_tree(self, source: Path, target: Path) -> dict[Path, str]:
        """Copy a file, or a directory with all it contains (links are followed), and sync every part of it.

        The answer has the hash of each new file, of the bytes that were written and not of what the source holds later.
        """
        if source.is_dir():
            found: dict[Path, str] = {}
            self.make_directory(target)
            for entry in sorted(source.iterdir()):
                found |= self.copy_tree(entry, target / entry.name)
            self.sync_directory(target)
            return found
        with _mapped("reading", source):
            incoming = source.open("rb")
        with incoming, self.writing(target) as out:
            while chunk := incoming.read(_CHUNK):
                out.write(chunk)
        return {target: out.hash}


class SyncedFile:
    """The writable side of `Files.writing`, in the shape that pyarrow takes as a sink; hashes what passes through.

    `size` is the number of bytes written so far. What a large file gets is hashed, written and, now and then, synced in
    a thread beside the one that makes it, so that little is left to do at its end.
    """

    closed = False

    def __init__(self, files: Files, handle: BinaryIO, algorithm: str) -> None:
        self._files, self._handle, self._algorithm = files, handle, algorithm
        self._whole, self._digests = new_hash(algorithm), list[bytes]()
        self._gathered = bytearray()
        self._beside: ThreadPoolExecutor | None = None
        self._parts: deque[Future[None]] = deque()
        self._unsynced = 0
        self.size = 0

    @property
    def hash(self) -> str:
        """The hash of all that was written, once it is finished: `bytes-xxh3:...`."""
        return f"bytes-{self._algorithm}:{self._whole.hexdigest()}"

    def block_digests(self) -> bytes:
        """The digests of the blocks of `BLOCK_BYTES` one after the other, once the file is finished."""
        return b"".join(self._digests)

    def write(self, data: bytes | memoryview) -> int:
        """Append `data`; the number of bytes taken. pyarrow writes many small parts, so they are gathered first."""
        view = memoryview(data).cast("B")
        self.size += len(view)
        if self._gathered or len(view) < _CHUNK:
            room = _CHUNK - len(self._gathered)
            self._gathered += view[:room]
            view_left = view[room:]
            if len(self._gathered) < _CHUNK:
                return len(view)
            self._pass_on(self._gathered)
            self._gathered = bytearray()
        else:
            view_left = view
        whole = len(view_left) - len(view_left) % BLOCK_BYTES
        if whole:
            self._pass_on(view_left[:whole])
        self._gathered += view_left[whole:]
        return len(view)

    def finish(self) -> None:
        """Hash what was gathered and hand it to the system. The file ends here."""
        self._pass_on(self._gathered)
        self._gathered = bytearray()
        while self._parts:
            self._parts.popleft().result()

    def stop(self) -> None:
        """End the thread, if there is one; what it was not yet given is not written."""
        for part in self._parts:
            part.cancel()
        if self._beside is not None:
            self._beside.shutdown()

    def _pass_on(self, data: bytearray | memoryview) -> None:
        """Have the data hashed and written, all but the last part of a file being a multiple of a block."""
        if self._beside is None and self.size > _LARGE:
            from concurrent.futures import ThreadPoolExecutor

            self._beside = ThreadPoolExecutor(1, thread_name_prefix="assetflow-write")
        if self._beside is None:
            self._take(data)
            return
        while len(self._parts) >= _PARTS:
            self._parts.popleft().result()
        kept = bytes(data) if isinstance(data, memoryview) else data  # the view is of memory that is used again
        self._parts.append(self._beside.submit(self._take, kept))

    def _take(self, data: bytes | bytearray | memoryview) -> None:
        with memoryview(data) as part:
            self._whole.update(part)
            for start in range(0, len(part), BLOCK_BYTES):
                self._digests.append(block_digest(part[start : start + BLOCK_BYTES], self._algorithm))
            if part:
                self._files.write(self._handle, part)
            self._unsynced += len(part)
        if self._unsynced >= _SYNC_EACH:
            self._files.sync_file(self._handle)
            self._unsynced = 0

    def tell(self) -> int:
        """The position, which is the number of bytes written so far."""
        return self.size

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


def new_hash(algorithm: str, start: bytes | memoryview = b"") -> Any:
    """A running hash of 128 bits (xxh3) or 256 bits (sha256) that has taken in `start`.

    Raises:
        ValueError: the algorithm is not one of `HASHES`.
    """
    if algorithm == "xxh3":
        from xxhash import xxh3_128

        return xxh3_128(start)
    if algorithm == "sha256":
        from hashlib import sha256

        return sha256(start)
    raise ValueError(f"the hash algorithm `{algorithm}` is not known")


def block_digest(data: bytes | memoryview, algorithm: str) -> bytes:
    """The digest of one block of a file: 64 bits are enough for xxh3 beside the hash of the whole.

    Raises:
        ValueError: the algorithm is not one of `HASHES`.
    """
    if algorithm == "xxh3":
        from xxhash import xxh3_64_digest

        return xxh3_64_digest(data)
    return new_hash(algorithm, data).digest()


class _Names:
    """Names that nothing else has: digests of a secret of this process and a number. No call asks the system."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        self._secret, self._numbers = os.urandom(16), count()

    def __call__(self) -> str:
        from xxhash import xxh3_128_hexdigest

        return xxh3_128_hexdigest(self._secret + next(self._numbers).to_bytes(8, "big"))


fresh_name = _Names()
"""32 hexadecimal digits, each call others, in every thread and process: as good as `uuid4().hex` for names of files."""

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=fresh_name.begin)


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


def says_nothing_of(error: BaseException) -> bool:
    """Whether an error is about this process or its rights, and says nothing about what the file holds."""
    return isinstance(error, OSError) and error.errno in _ABOUT_US


def is_of_the_disk(problem: str) -> bool:
    """Whether a problem, as a sentence, is that the disk gave no bytes, which says nothing about those that it has."""
    return any(os.strerror(number) in problem for number in (errno.EIO, *_FULL))


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


def names_disk_errors(function: Callable[P, R]) -> Callable[P, R]:
    """Turn what the operating system refuses in a function into our error, which names the file that it was about.

    For verbs that look at many places: inside, errors that mean something are caught where they come up.
    """

    @wraps(function)
    def named(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BrokenPipeError:  # whoever reads our screen has gone
            raise
        except OSError as error:
            raise storage_error("using", Path(os.fsdecode(error.filename or "the store")), error) from error

    return named


class _mapped:  # noqa: N801 - is called as a function would be, around every operation: a generator costs thrice that
    """Turn errors of the system into ours, which say what was being done to which file."""

    __slots__ = ("_doing", "_path")

    def __init__(self, doing: str, path: Path) -> None:
        self._doing, self._path = doing, path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if isinstance(error, OSError):
            raise storage_error(self._doing, self._path, error) from error


def _last_byte(handle: BinaryIO) -> bytes:
    handle.seek(-1, os.SEEK_END)
    return handle.read(1)


def _remove(path: Path) -> None:
    """Remove it with all it contains; that somebody else removes the same things meanwhile is no failure."""
    if path.is_dir() and not path.is_symlink():
        with suppress(FileNotFoundError):
            for entry in list(path.iterdir()):
                _remove(entry)
            path.rmdir()
        return
    if os.name == "nt" and path.exists():  # Windows does not remove what is read-only
        path.chmod(0o600)
    path.unlink(missing_ok=True)
