"""What only the kernel knows about processes: who belongs to whom, how much memory they take, when they must die.

Linux tells it by `/proc` and `prctl`. Elsewhere the answers are empty, and what depends on them is not done.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path

from msgspec import Struct

_PROC = Path("/proc")
IS_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36
_PAGE = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_ROUNDS_S = 2.0


class Process(Struct, frozen=True):
    """One line of the table of processes. `state` is the letter of the kernel: `Z` has ended and is not collected."""

    pid: int
    parent: int
    session: int
    state: str


def die_with_parent(number: int) -> None:
    """Let the kernel send this signal to the calling process when the thread that started it ends."""
    _prctl(_PR_SET_PDEATHSIG, number)


def adopt_orphans() -> None:
    """Make the calling process the parent of descendants whose own parent has ended, so that none gets lost."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    if IS_LINUX:
        import ctypes

        with suppress(OSError, AttributeError):  # another C library: then the socket alone tells of the end
            ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def prefer_to_kill(pid: int) -> None:
    """Let the kernel, when it is out of memory, end this process before the one that coordinates the run."""
    with suppress(OSError):
        (_PROC / str(pid) / "oom_score_adj").write_text("500")


def processes() -> dict[int, Process]:
    """All processes that can be seen."""
    found: dict[int, Process] = {}
    for name in os.listdir(_PROC) if IS_LINUX else ():  # noqa: PTH208 - looked at often: names are enough
        if name.isdecimal() and (one := _process(int(name))) is not None:
            found[one.pid] = one
    return found


def _process(pid: int) -> Process | None:
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name of the program comes second, in brackets, and may itself hold spaces and brackets.
            fields = file.read().rpartition(b")")[2].split()
    except OSError:  # it has ended meanwhile
        return None
    return Process(pid, int(fields[1]), int(fields[3]), fields[0].decode())


def family(root: int, *, known: dict[int, Process] | None = None) -> list[int]:
    """The descendants of a process and what else is in its session, without itself and without the dead."""
    table = processes() if known is None else known
    below: dict[int, list[int]] = {}
    for one in table.values():
        below.setdefault(one.parent, []).append(one.pid)
    found: dict[int, None] = {}
    waiting = [root, *(one.pid for one in table.values() if one.session == root)]
    while waiting:
        pid = waiting.pop()
        if pid != root:
            found[pid] = None
        waiting += [child for child in below.get(pid, ()) if child not in found and child != root]
    return [pid for pid in found if table[pid].state != "Z"]


def marked(mark: str) -> list[int]:
    """The processes that were started with this text among their environment variables, without the calling one."""
    needle, own = mark.encode(), os.getpid()
    found: list[int] = []
    for pid in processes():
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if pid != own and needle in file.read():
                    found.append(pid)
        except OSError:  # it has ended, or is another user's
            continue
    return found


def kill_all(find: Iterable[int]) -> None:
    """Send SIGKILL to each of them; those that are gone already are no matter."""
    for pid in find:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGKILL)


def kill_family(root: int, spare: Collection[int] = ()) -> None:
    """End all descendants of a process. They may start new ones meanwhile: until none is left, or it takes too long."""
    deadline = time.monotonic() + _ROUNDS_S
    while time.monotonic() < deadline:
        found = [pid for pid in family(root) if pid not in spare]
        if not found:
            return
        kill_all(found)
        time.sleep(0.001)


def resident_bytes(pid: int) -> int:
    """The resident set of one process; 0 when it is gone."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def forget_peak() -> None:
    """Let the peak of the calling process begin anew with what it takes now."""
    with suppress(OSError):
        (_PROC / "self" / "clear_refs").write_text("5")


def peak_bytes() -> int | None:
    """The largest resident set of the calling process since `forget_peak`."""
    try:
        for line in (_PROC / "self" / "status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return maxrss_bytes()


def maxrss_bytes() -> int | None:
    """The largest resident set that the calling process ever had."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    return in_bytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def in_bytes(maxrss: int) -> int:
    """What `getrusage` says, in bytes: Linux counts kilobytes."""
    return maxrss if sys.platform == "darwin" else maxrss * 1024


def threads() -> dict[int, str]:
    """The threads of the calling process by number, those of libraries too, with their names; none where not known.

    Those of jemalloc are left out: it looks after them itself when the process forks.
    """
    found: dict[int, str] = {}
    for number in os.listdir("/proc/self/task") if IS_LINUX else ():  # noqa: PTH208
        with suppress(OSError):
            name = Path(f"/proc/self/task/{number}/comm").read_text(errors="replace").strip()
            if name != "jemalloc_bg_thd":
                found[int(number)] = name
    return found


def memory_kills() -> int:
    """How many processes the kernel has killed for lack of memory since it started."""
    with suppress(OSError, ValueError):
        for line in (_PROC / "vmstat").read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
    return 0
