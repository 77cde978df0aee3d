"""Kills the coordinator, the nursery or a child process of a run at random moments, several in one run.

Nothing of a run may be alive two seconds after its coordinator has ended, and then it is judged as ever.

    python -m tests.faults.chaos --kills 2000 [--seed S]
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

from assetflow import Project
from tests.faults.driver import Bench, Child, bench as new_bench
from tests.faults.report import Budget, Pace, Report
from tests.faults.scenarios import Acks, Scenario, stale
from tests.faults.trial import judged, recovered

MARK = "ASSETFLOW_TEST_CHAOS"
GONE_S = 2.0
MOST_KILLS = 3
KINDS = ("coordinator", "nursery", "child")


def in_children(project: Project, acks: Acks) -> None:
    """Build what is stale in three child processes."""
    acks.materialized(project, project.materialize(executor="processes", workers=3))


SCENARIO = Scenario("children", stale, in_children)


@dataclass(slots=True)
class Run:
    """A run that is going on: its coordinator, and the mark that all below has in its environment."""

    child: Child
    mark: str = field(default_factory=lambda: uuid4().hex)

    def has_ended(self) -> bool:
        """Whether the coordinator has ended; it is not collected by that."""
        return os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def alive(self) -> dict[int, int]:
        """The processes below the coordinator, with their parents."""
        found: dict[int, int] = {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdecimal():
                continue
            try:
                if self.mark.encode() in (entry / "environ").read_bytes():
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if fields[0] != "Z":
                        found[int(entry.name)] = int(fields[1])
            except OSError:
                continue
        return found

    def victim(self, kind: str) -> int | None:
        """A process of that kind, if there is one now."""
        if kind == "coordinator":
            return self.child.pid
        alive = self.alive()
        nurseries = {pid for pid, parent in alive.items() if parent == self.child.pid}
        fitting = nurseries if kind == "nursery" else {pid for pid, parent in alive.items() if parent in nurseries}
        return random.choice(sorted(fitting)) if fitting else None


def run(
    sabotage: str | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    *,
    worker: tuple[int, int] = (0, 1),
    progress: bool = False,
) -> Report:
    """Kill as often as the budget allows."""
    chosen = budget or Budget(30, 180)
    report, chance = Report("chaos", seed), random.Random(f"{seed}/{worker[0]}")
    if sys.platform != "linux":
        report.skipped["chaos"] = "looks into /proc"
        return report
    began, deadline, pace = time.monotonic(), chosen.deadline(), Pace(worker)
    with new_bench() as bench:
        while report.points * worker[1] < chosen.points and time.monotonic() < deadline:
            one(bench, chance.getrandbits(32), report, sabotage)
            if progress:
                pace.tell(report)
    report.seconds = time.monotonic() - began
    return report


def one(bench: Bench, seed: int, report: Report, sabotage: str | None = None) -> None:
    """One run with its kills, the judge, the next run, the judge again."""
    chance = random.Random(seed)
    before, earlier = bench.begin(SCENARIO)
    ack = bench.folder / "acks"
    ack.unlink(missing_ok=True)
    mark = uuid4().hex
    run = Run(bench.start(SCENARIO, ack, None, sabotage, lambda _: os.environ.update({MARK: mark})), mark)
    killed = kill_some(run, chance)
    ended = run.child.wait()
    problems = [] if gone(run) else [f"P7: of a run that has ended there are still {run.alive()}"]
    if ended.code == 124 or ("error" in ended.facts and not ended.facts["is_ours"]):
        problems.append(f"P15: the run ended badly: {ended.facts.get('error')}")
    problems += judged(bench, SCENARIO, ack, before, earlier)
    problems += problems or recovered(bench, SCENARIO, ack, before, earlier, sabotage)
    report.points += len(killed)
    report.counts["runs"] += 1
    for kind in killed:
        report.counts[f"kills of a {kind}"] += 1
    for problem in dict.fromkeys(problems):
        report.violation(f"kills of {', '.join(killed)}: {problem}", f"python -m tests.faults.chaos --run {seed}")


def kill_some(run: Run, chance: random.Random) -> list[str]:
    """Kill up to three processes while the run goes on; the kinds of those that were."""
    killed: list[str] = []
    if chance.random() < 0.7:  # most of a short run is start-up, and most that can go wrong comes after it
        wait_for(lambda: run.victim("child") is not None or run.has_ended(), 20.0)
    for _ in range(chance.randint(1, MOST_KILLS)):
        wait_for(run.has_ended, chance.choice((0.01, 0.05, 0.2, 1.0)) * chance.random())
        kind = chance.choice(KINDS)
        victim = run.victim(kind)
        if run.has_ended() or victim is None:
            continue
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
        killed.append(kind)
        if kind == "coordinator":
            break
    return killed


def gone(run: Run) -> bool:
    """Whether nothing is alive below a coordinator that has ended, in the time that is promised."""
    return wait_for(lambda: not run.alive(), GONE_S)


def wait_for(is_so: object, seconds: float) -> bool:
    """Wait until it is so, at most so long; whether it was."""
    assert callable(is_so)
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seconds", type=float, default=36_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--run", type=int, help="one run once more, as a violation says")
    options = parser.parse_args()
    if options.run is not None:
        report = Report("chaos")
        with new_bench() as bench:
            one(bench, options.run, report)
    else:
        report = run(budget=Budget(options.kills, options.seconds), seed=options.seed, progress=True)
    sys.stdout.write(report.summary() + "\n")
    return 0 if not report.violations else 1


if __name__ == "__main__":
    sys.exit(main())
