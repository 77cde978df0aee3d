"""Faults at system calls: strace kills the process, or makes the call fail, at the n-th call of one name.

This reaches what no failpoint in Python does: SQLite's, DuckDB's and Arrow's own calls. The process is a child forked
from one that has all imported, and strace attaches to it, so that a point takes a fraction of a second. Calls are
counted by name, as strace does; only those on files of the store are made to fail.

    python -m tests.faults.syscalls --points 300 --seed 7 [--scenario changed] [--sabotage pointer_first] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.driver import FORK_TIMEOUT_S, Bench, Ended, bench, run_here
from tests.faults.report import Budget, Pace, Report
from tests.faults.scenarios import SCENARIOS, Acks, Scenario, skipped
from tests.faults.trace import why_no_strace
from tests.faults.trial import judged, recovered

KILLED_AT = (
    "write", "pwrite64", "writev", "fsync", "fdatasync", "syncfs", "rename", "renameat", "renameat2", "link", "unlink",
    "unlinkat", "mkdir", "rmdir", "ftruncate", "fallocate", "chmod", "fchmod", "openat", "flock", "close",
)  # fmt: skip
SAMPLED = {"openat": 0.2, "close": 0.1, "flock": 0.5}
"""Of calls that change nothing by themselves, this share is tried."""

FAILING = {
    "write": ("ENOSPC", "EDQUOT", "EIO"),
    "pwrite64": ("ENOSPC", "EDQUOT", "EIO"),
    "writev": ("ENOSPC", "EIO"),
    "fsync": ("EIO", "ENOSPC", "EDQUOT"),
    "fdatasync": ("EIO", "ENOSPC"),
    "syncfs": ("EIO", "ENOSPC"),
    "rename": ("EIO", "ENOSPC", "EROFS"),
    "unlink": ("EIO", "EROFS"),
    "mkdir": ("ENOSPC", "EROFS", "EDQUOT"),
    "rmdir": ("EIO",),
    "ftruncate": ("EIO", "ENOSPC"),
    "fallocate": ("ENOSPC",),
    "openat": ("ENOSPC", "EROFS", "EMFILE", "EIO"),
    "chmod": ("EIO", "EROFS"),
}
PERSISTENT = ("write", "pwrite64", "fsync", "fdatasync", "syncfs", "rename", "mkdir", "ftruncate")
"""Calls that can fail from one on for ever without making Python itself unable to go on."""

MANY = 100
CORE = ("changed",)
RUN = ("changed", "first", "threads", "large", "rollback", "gc", "doctor-fix", "native")
_INJECTED = "(INJECTED)"


@dataclass(frozen=True, slots=True)
class Fault:
    """`effect` is `kill` or the name of an error number; `is_persistent`: every later call of the name fails too."""

    call: str
    number: int
    effect: str
    is_persistent: bool = False

    def option(self) -> str:
        """How strace is told."""
        what = "signal=SIGKILL" if self.effect == "kill" else f"error={self.effect}"
        return f"inject={self.call}:{what}:when={self.number}{'+' if self.is_persistent else ''}"

    def __str__(self) -> str:
        return f"{self.call}:{self.number}{'+' if self.is_persistent else ''}:{self.effect}"

    @classmethod
    def parse(cls, text: str) -> Fault:
        """The fault of a name that `str` gave."""
        call, number, effect = text.split(":")
        return cls(call, int(number.rstrip("+")), effect, number.endswith("+"))


def why_not_attachable() -> str | None:
    """Why strace cannot attach to a process here, or None when it can."""
    if (reason := why_no_strace()) is not None:
        return reason
    ended, lines = attached(dict, ["-e", "trace=getppid"], Path(os.devnull))
    if ended is not None:
        return None
    return f"strace cannot attach to a running process here: {lines}"


def attached(work: Callable[[], dict[str, Any]], options: Sequence[str], log: Path) -> tuple[Ended | None, str]:
    """Do the work in a child while strace watches it; how it ended, or None and why strace could not attach."""
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        ours.close()
        _in_child(work, theirs)
    theirs.close()
    command = ["strace", "-f", "-y", "-s", "0", "-o", str(log), *options, "-p", str(child)]
    with ours, subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr is not None
        first = tracer.stderr.readline()  # it is printed when strace holds the process
        if "attached" not in first:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return None, first.strip()
        ours.sendall(b"go")
        told = _told(ours, child)
        _, status = os.waitpid(child, 0)
        tracer.stderr.read()
    if told is None:
        return Ended(124, 0, {"error": f"no end after {FORK_TIMEOUT_S:.0f} s", "is_ours": False}), ""
    facts = json.loads(told) if told else {}
    return Ended(os.waitstatus_to_exitcode(status), os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, facts), ""


def _in_child(work: Callable[[], dict[str, Any]], there: socket.socket) -> None:
    """Wait to be told to begin, do the work, tell what came of it. A socket: `write` may be what fails here."""
    try:
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        there.recv(2)
        there.sendall(json.dumps(work()).encode())
    except BaseException:  # noqa: BLE001 - a child must not return into the parent's loop
        there.sendall(json.dumps({"error": traceback.format_exc(), "is_ours": False}).encode())
    finally:
        os._exit(0)


def _told(there: socket.socket, child: int) -> bytes | None:
    found, deadline = b"", time.monotonic() + FORK_TIMEOUT_S
    while True:
        ready, _, _ = select.select([there], [], [], max(0.0, deadline - time.monotonic()))
        if not ready:
            os.kill(child, signal.SIGKILL)
            return None
        try:
            chunk = there.recv(65536)
        except ConnectionResetError:  # it was killed before it had read that it may begin
            return found
        if not chunk:
            return found
        found += chunk


# ----------------------------------------------------------------------------------------------------------- the points


def faults(place: Bench, scenario: Scenario, seed: int) -> list[Fault]:
    """Every fault that can be made in a scenario, kills first, in an order that mixes the calls."""
    place.begin(scenario)
    log = place.folder / "strace.log"
    calls = sorted({*KILLED_AT, *FAILING})
    ended, reason = attached(
        lambda: run_here(scenario.act, place.project, Acks(place.folder / "acks"), None, None, None),
        ["-e", f"trace={','.join(calls)}", "-e", "signal=none"],
        log,
    )
    if ended is None or "error" in ended.facts:
        raise RuntimeError(f"{scenario.name} cannot be watched: {reason or ended}")
    ours: dict[str, list[int]] = {}
    seen: Counter[tuple[str, str]] = Counter()
    for line in log.read_text().splitlines():
        thread, _, call = line.partition(" ")
        name = call.strip().partition("(")[0]
        if name not in calls:
            continue
        seen[thread, name] += 1
        if str(place.store) in line:
            ours.setdefault(name, []).append(seen[thread, name])
    dice = random.Random(seed)
    kills = [Fault(name, n, "kill") for name in KILLED_AT for n in sorted(set(ours.get(name, [])))]
    kills = [fault for fault in kills if dice.random() < SAMPLED.get(fault.call, 1.0)]
    errors = [
        Fault(name, n, effect, is_persistent)
        for name, effects in FAILING.items()
        for n in sorted(set(ours.get(name, [])))
        for effect in effects
        for is_persistent in ((False, True) if name in PERSISTENT else (False,))
    ]
    dice.shuffle(kills)
    dice.shuffle(errors)
    mixed: list[Fault] = []
    while kills or errors:
        mixed += [pile.pop() for pile in (kills, errors) if pile]
    return mixed


def attempt(place: Bench, scenario: Scenario, fault: Fault, sabotage: str | None = None) -> tuple[bool, list[str]]:
    """Whether the fault came about, and the promises that were broken by it."""
    before, earlier = place.begin(scenario)
    ack, log = place.folder / "acks", place.folder / "strace.log"
    ack.unlink(missing_ok=True)
    ended, reason = attached(
        lambda: run_here(scenario.act, place.project, Acks(ack), None, sabotage, None),
        ["-e", f"trace={fault.call}", "-e", fault.option(), "-e", "signal=none"],
        log,
    )
    if ended is None:
        raise RuntimeError(reason)
    problems: list[str] = []
    if fault.effect == "kill":
        fired = ended.was_killed
    else:
        lines = [line for line in log.read_text().splitlines() if _INJECTED in line]
        fired = bool(lines)
        if not _is_answered(ended) and all(str(place.store) in line for line in lines):
            problems.append(f"P14: it ended by itself with {ended.code}: {_last(ended)}")
    if not fired:
        return False, []
    if scenario.is_whole_before_recovery:
        problems += judged(place, scenario, ack, before, earlier)
    return True, problems or recovered(place, scenario, ack, before, earlier, sabotage)


def _is_answered(ended: Ended) -> bool:
    """Whether it ended well, or with an error of ours, or failed where the harness itself writes."""
    if ended.code != 0:
        return False
    error = str(ended.facts.get("error", ""))
    return not error or ended.facts.get("is_ours", False) or "in say" in error


def _last(ended: Ended) -> str:
    return " | ".join(str(ended.facts.get("error", "")).strip().splitlines()[-6:])


# ---------------------------------------------------------------------------------------------------------- the harness


def run(
    budget: Budget,
    seed: int = 0,
    sabotage: str | None = None,
    scenarios: Sequence[str] | None = None,
    *,
    progress: bool = False,
) -> Report:
    """Spread the budget over the scenarios; with a sabotage, stop at the first fault that breaks a promise."""
    scenarios = scenarios or (RUN if budget.points >= MANY else CORE)
    report, began = Report("syscalls", seed), time.monotonic()
    if (reason := why_not_attachable()) is not None:
        report.skipped["all"] = reason
        return report
    missing = skipped()
    report.skipped.update({name: why for name, why in missing.items() if name in scenarios})
    names = [name for name in scenarios if name not in missing]
    deadline, pace = budget.deadline(), Pace() if progress else None
    for position, name in enumerate(names):
        share = (budget.points - report.points) // (len(names) - position)
        until = time.monotonic() + (deadline - time.monotonic()) / (len(names) - position)
        with bench(native=SCENARIOS[name].native) as place:
            _sweep(place, SCENARIOS[name], report, (share, until, seed), sabotage, pace)
        if sabotage is not None and report.violations:
            break
    report.seconds = time.monotonic() - began
    return report


def _sweep(
    place: Bench,
    scenario: Scenario,
    report: Report,
    limits: tuple[int, float, int],
    sabotage: str | None,
    pace: Pace | None,
) -> None:
    share, until, seed = limits
    done = 0
    for fault in faults(place, scenario, seed):
        if done >= share or time.monotonic() > until or (sabotage is not None and report.violations):
            return
        fired, problems = attempt(place, scenario, fault, sabotage)
        if pace is not None:
            pace.tell(report)
        if not fired:
            report.counts["did not come about"] += 1
            continue
        done += 1
        report.points += 1
        report.counts[f"{fault.call} {fault.effect}"] += 1
        again = f"python -m tests.faults.syscalls --scenario {scenario.name} --fault {fault}"
        again += f" --sabotage {sabotage}" if sabotage else ""
        for problem in problems[:3]:
            report.violation(f"{' '.join(problem.split())} [{scenario.name}, {fault}]", again)


def problems_at_renames(sabotage: str) -> list[str]:
    """What is wrong after a kill at each rename of one run."""
    scenario = SCENARIOS["changed"]
    with bench() as place:
        kills = [one for one in faults(place, scenario, 1) if one.call == "rename" and one.effect == "kill"]
        return [problem for one in kills for problem in attempt(place, scenario, one, sabotage)[1]]


def fired_at_and_beyond_the_last(call: str) -> tuple[bool, bool]:
    """Whether a fault came about at the last such call of one run, and long after it."""
    scenario = SCENARIOS["changed"]
    with bench() as place:
        numbers = [one.number for one in faults(place, scenario, 1) if one.call == call]
        fired, _ = attempt(place, scenario, Fault(call, max(numbers), "kill"))
        beyond, _ = attempt(place, scenario, Fault(call, max(numbers) + 50, "kill"))
    return fired, beyond


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the harness from the command line; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.syscalls")
    parser.add_argument("--points", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenario", action="append", choices=list(SCENARIOS))
    parser.add_argument("--fault", help="only this one, such as pwrite64:12:ENOSPC, write:3:kill or fsync:2+:EIO")
    parser.add_argument("--sabotage")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    if given.fault:
        scenario = SCENARIOS[(given.scenario or RUN)[0]]
        with bench(native=scenario.native) as place:
            fired, problems = attempt(place, scenario, Fault.parse(given.fault), given.sabotage)
        sys.stdout.write("\n".join(problems or ["all is well" if fired else "it did not come about"]) + "\n")
        return 1 if problems else 0
    report = run(Budget(given.points, given.seconds), given.seed, given.sabotage, given.scenario)
    sys.stdout.write(json.dumps(report.to_json()) if given.json else report.summary() + "\n")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
