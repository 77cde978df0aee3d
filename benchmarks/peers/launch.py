"""Starts one process, waits for it and for all that it leaves behind, and writes down what they took.

    python -I -S launch.py RESULT TIMEOUT_S COMMAND…

A program of its own, of the standard library alone, because the kernel counts the memory of whoever starts a process
as a peak of that process: started by the benchmark, which has loaded dataframes, a small one would look big. And here
every child belongs to the measured process, also one whose parent ended without waiting for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import resource

PATIENCE_S = 1.0
"""For so long what is left behind may go on to its own end."""


def main() -> None:
    """Write a JSON document with the exit code, wall and CPU seconds, peak memory, and whether it was too late."""
    result, timeout_s, *command = sys.argv[1:]
    if sys.platform == "linux":
        set_child_subreaper = 36  # PR_SET_CHILD_SUBREAPER of <sys/prctl.h>: orphans become children of this process
        ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)
    is_late = False
    began = time.perf_counter()
    child = os.posix_spawnp(command[0], command, os.environ, setpgroup=0)

    def end(_signal: int, _frame: object) -> None:
        nonlocal is_late
        is_late = True
        kill_group(child)

    signal.signal(signal.SIGALRM, end)
    signal.signal(signal.SIGTERM, end)  # the benchmark was stopped
    signal.setitimer(signal.ITIMER_REAL, float(timeout_s))
    _, status, usage = os.wait4(child, 0)
    wall_s = time.perf_counter() - began
    signal.setitimer(signal.ITIMER_REAL, 0)
    usages = [usage, *left_behind(child)]
    unit = 1 if sys.platform == "darwin" else 1024
    found = {
        "code": os.waitstatus_to_exitcode(status),
        "is_late": is_late,
        "wall_s": wall_s,
        "cpu_s": sum(one.ru_utime + one.ru_stime for one in usages),
        "peak_mib": max(one.ru_maxrss for one in usages) * unit / (1 << 20),
    }
    with open(result, "w") as file:
        json.dump(found, file)


def left_behind(group: int) -> list[resource.struct_rusage]:
    """The usage of all other children, which are ended if they do not end by themselves."""
    usages: list[resource.struct_rusage] = []
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            ended, _, usage = os.wait4(-1, os.WNOHANG)
        except ChildProcessError:
            return usages
        if ended:
            usages.append(usage)
            continue
        if time.monotonic() > deadline:
            kill_group(group)
            for child in children():
                os.kill(child, signal.SIGKILL)
        time.sleep(0.01)


def kill_group(group: int) -> None:
    """End a process group, if there is still one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)


def children() -> list[int]:
    """The children that are there now, where the system tells (Linux); they stay until they are waited for here."""
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return [int(number) for number in file.read().split()]
    except OSError:
        return []


if __name__ == "__main__":
    main()
