"""Syncing a whole file system at once: many small files and folders with one wait for the disk instead of many.

Only where that is known to keep the promise of `fsync`, which is that of Linux: `syncfs(2)` says so of its local file
systems, and since 5.8 it reports what could not be written. Over a network, and for what is stacked upon others, it
does not hold.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from pathlib import Path

_LOCAL = frozenset(["ext4", "xfs", "btrfs", "f2fs", "tmpfs"])
_REPORTS_ERRORS = (5, 8)
_LONG_S = 0.5
"""A sync that takes longer than this had to write what others wrote: from then on files are synced one by one."""


class WholeDisk:
    """The file system that a folder is on; `sync` says whether it could be synced as a whole.

    Open it before what is to be synced is written, so that no error of that is missed.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor = _opened(folder) if _is_known(folder) else None
        self.folder = folder

    def sync(self) -> bool:
        """Return true when everything that was written to the file system is on the disk; false: nothing was done.

        Raises:
            OSError: something could not be written.
        """
        if self._descriptor is None:
            return False
        began = time.monotonic()
        sync_all_of(self._descriptor, str(self.folder))
        if time.monotonic() - began > _LONG_S:
            self.close()
        return True

    def close(self) -> None:
        """Let go of it; it cannot be synced any more."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __del__(self) -> None:
        self.close()


def sync_all_of(descriptor: int, name: str) -> None:
    """Sync the file system that an open file is on; `name` is for the error.

    Raises:
        OSError: something could not be written.
    """
    if _libc().syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)


def _opened(folder: Path) -> int | None:
    try:
        return os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def _is_known(folder: Path) -> bool:
    if sys.platform != "linux" or _kernel() < _REPORTS_ERRORS or not hasattr(_libc(), "syncfs"):
        return False
    try:
        number = folder.stat().st_dev
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
    except OSError:
        return False
    place = f"{os.major(number)}:{os.minor(number)}"
    kinds = {line.partition(" - ")[2].split(" ")[0] for line in lines if line.split(" ")[2] == place}
    return bool(kinds) and kinds <= _LOCAL


def _kernel() -> tuple[int, int]:
    major, minor, *_ = (*os.uname().release.split("."), "0")
    return (int(major), int(minor)) if major.isdigit() and minor.isdigit() else (0, 0)
