"""Reading a stored file so that every byte that is used was compared with what was written.

A Parquet page has a checksum, but its header and the footer have none, and other readers of Parquet ignore the
checksums. So the file has a hash of its own: of the whole, and for files that are not small also of its blocks, which
lie beside it. Blocks are checked in the memory that is decoded, not before in a read of its own: there is no moment in
which bytes could still change, and memory stays small however large the file is.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Any

from assetflow.files import BLOCK_BYTES, Files, SyncedFile, block_digest
from assetflow.io.hashing import algorithm_of, bytes_hash, file_hash
from assetflow.model.records import Version

BLOCKS = "data.blocks"
"""The digests of the blocks of the data file, one after the other."""

_BLOCKS_FROM = 4 << 20
"""Files up to this size have no blocks: they are read and checked as a whole."""

Source = Callable[[], Any]
"""Gives a new object that pyarrow reads the file from; every one may be used by a thread of its own."""


def file_details(out: SyncedFile, directory: Path, files: Files) -> tuple[dict[str, object], dict[str, str]]:
    """What has to be recorded to read the written file checked, and the hash of the file of blocks if one was made."""
    details: dict[str, object] = {"size": out.size, "file": out.hash}
    if out.size <= _BLOCKS_FROM:
        return details, {}
    found = files.write_bytes(directory / BLOCKS, out.block_digests())
    details["blocks"] = {"bytes": BLOCK_BYTES, "hash": found}
    return details, {BLOCKS: found}


def check_file(version: Version, path: Path) -> None:
    """Nothing, when every byte of the file is what was written.

    For readers that take the path, such as DuckDB; others read through `checked_source`.

    Raises:
        ValueError, OSError: it is not, or cannot be read.
    """
    _check_size(version, path, path.stat().st_size)
    recorded = version.details["file"]
    if file_hash(path, algorithm_of(recorded)) != recorded:
        raise ValueError(f"{path.name} is not what was written")


@contextmanager
def checked_source(version: Version, path: Path) -> Generator[Source]:
    """The file as a source for pyarrow whose reads raise ValueError when they meet a byte that was not written.

    Raises:
        ValueError, OSError: the file is not what was written, or cannot be read.
    """
    import pyarrow as pa

    blocks: Any = version.details.get("blocks")
    if blocks is not None:
        digests = checked_bytes(path.with_name(BLOCKS), blocks["hash"])
        with path.open("rb", buffering=0) as handle:
            size = os.fstat(handle.fileno()).st_size
            _check_size(version, path, size)
            file = _Blocks(handle, size, digests, blocks["bytes"], algorithm_of(blocks["hash"]))
            yield lambda: pa.PythonFile(CheckedFile(file), mode="r")
    elif path.stat().st_size <= _BLOCKS_FROM:
        data = checked_bytes(path, version.details["file"])
        yield lambda: pa.BufferReader(data)
    else:  # written before there were blocks
        check_file(version, path)
        yield lambda: str(path)


def checked_bytes(path: Path, recorded: object) -> bytes:
    """The content of a small file.

    Raises:
        ValueError, OSError: it is not what was written, or cannot be read.
    """
    data = path.read_bytes()
    if bytes_hash(data, algorithm_of(recorded)) != recorded:
        raise ValueError(f"{path.name} is not what was written")
    return data


def _check_size(version: Version, path: Path, size: int) -> None:
    if size != version.details["size"]:
        raise ValueError(f"{path.name} has {size} bytes instead of {version.details['size']}")


class _Blocks:
    """An open file with the digests of its blocks; threads may share it."""

    def __init__(self, handle: FileIO, size: int, digests: bytes, block: int, algorithm: str) -> None:
        self._handle, self._name, self._turn = handle, Path(str(handle.name)).name, Lock()
        self._digests, self._block, self._algorithm = digests, block, algorithm
        self._width = len(block_digest(b"", algorithm))
        self.size = size
        if len(digests) != -(-size // block) * self._width:
            raise ValueError(f"{BLOCKS} does not fit {self._name}")

    def read(self, start: int, end: int) -> Any:
        """The bytes from `start` to `end` as an Arrow buffer.

        Raises:
            ValueError: a block that they lie in is not what was written.
        """
        import pyarrow as pa

        first, last = start // self._block, -(-end // self._block)
        low = first * self._block
        data: Any = pa.allocate_buffer(min(last * self._block, self.size) - low)
        view = memoryview(data).cast("B")
        self._fill(view, low)
        for number in range(first, last):
            place = number * self._block - low
            found = block_digest(view[place : place + self._block], self._algorithm)
            if found != self._digests[number * self._width : (number + 1) * self._width]:
                raise ValueError(f"{self._name} is not what was written, in the bytes from {number * self._block:,}")
        return data.slice(start - low, end - start)

    def _fill(self, view: memoryview, position: int) -> None:
        done = 0
        while done < len(view):
            if hasattr(os, "preadv"):
                count = os.preadv(self._handle.fileno(), [view[done:]], position + done)
            else:  # Windows cannot read at a position without moving there
                with self._turn:
                    self._handle.seek(position + done)
                    count = self._handle.readinto(view[done:])
            if not count:
                raise ValueError(f"{self._name} ends too early")
            done += count


class CheckedFile:
    """A position in a file with checked blocks, in the shape that pyarrow reads from."""

    closed = False

    def __init__(self, blocks: _Blocks) -> None:
        self._blocks, self._position = blocks, 0

    def read_buffer(self, size: int = -1) -> Any:
        """The next `size` bytes, or those up to the end."""
        left = max(0, self._blocks.size - self._position)
        count = left if size < 0 else min(size, left)
        found = self._blocks.read(self._position, self._position + count)
        self._position += count
        return found

    def read(self, size: int = -1) -> bytes:
        """The next `size` bytes, or those up to the end."""
        return self.read_buffer(size).to_pybytes()

    def seek(self, offset: int, whence: int = 0) -> int:
        """Move to a position counted from the start (0), from here (1) or from the end (2)."""
        self._position = offset + (0, self._position, self._blocks.size)[whence]
        return self._position

    def tell(self) -> int:
        """The position."""
        return self._position

    def close(self) -> None:
        """Nothing: the file is closed by `checked_source`."""

    def flush(self) -> None:
        """Nothing."""

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """False."""
        return False

    def seekable(self) -> bool:
        """True."""
        return True
