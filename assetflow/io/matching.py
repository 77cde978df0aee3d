"""Which files a path or a glob means, and whether one is as it was. Imports nothing but what looks at files."""

from __future__ import annotations

import os
from collections.abc import Sequence

RACY_NS = 2_000_000_000
"""A file changed this shortly before it was recorded may change again without a new time: its content is read again."""

Known = tuple[str, int, int, int, int, str, int]
"""path, size, mtime_ns, inode, ctime_ns, digest, recorded_ns: a file as it was when its content was hashed."""


def is_one(path_or_glob: str) -> bool:
    """Whether this is the path of one file; a file whose name contains `[` is one when it is there."""
    return not any(mark in path_or_glob for mark in "*?[") or os.path.isfile(path_or_glob)  # noqa: PTH113


def matching(path_or_glob: str) -> list[str]:
    """The files that it means, in no order."""
    if is_one(path_or_glob):
        return [path_or_glob]
    import glob

    return [path for path in glob.glob(path_or_glob, recursive=True) if not os.path.isdir(path)]  # noqa: PTH112, PTH207


def times_of(found: os.stat_result) -> tuple[int, int, int, int]:
    """Size, time of change, inode, and when that changed: when all are equal, so is the content, unless it was new."""
    return (found.st_size, found.st_mtime_ns, found.st_ino, found.st_ctime_ns)


def is_as_known(known: Sequence[object]) -> bool:
    """Whether a file is what is `Known` of it; it is read when it was new then, or only its times differ.

    Raises:
        OSError: it cannot be read.
    """
    path, size, mtime_ns, inode, ctime_ns, digest, recorded_ns = known
    before = times_of(os.stat(str(path)))  # noqa: PTH116
    if before != (size, mtime_ns, inode, ctime_ns):
        return False
    assert isinstance(mtime_ns, int)
    assert isinstance(recorded_ns, int)
    if mtime_ns < recorded_ns - RACY_NS:
        return True
    from xxhash import xxh3_128

    state = xxh3_128()
    with open(str(path), "rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest() == digest and times_of(os.stat(str(path))) == before  # noqa: PTH116
