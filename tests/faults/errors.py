"""Makes every write-like operation fail once, or from there on, with each error that a disk can give; short writes too.

A command whose disk fails must end with an error of ours that names what failed, or have done all it says; the store
stays whole, and the next command, with the disk well again, does what is missing.
"""

from __future__ import annotations

import errno
import os
import random
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from assetflow.testing.failpoints import Failpoints
from tests.faults import project as workload
from tests.faults.driver import Bench, Ended, bench as new_bench, read_acks
from tests.faults.kills import operations
from tests.faults.report import Budget, Pace, Report
from tests.faults.scenarios import SCENARIOS, Scenario, skipped
from tests.faults.trial import last_lines, trial

ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EMFILE", "EROFS", "EACCES", "EINTR")
WORDS = (
    *workload.TARGETS,
    "ducks",
    "numbers",
    "catalog",
    "journal",
    "lock",
    "disk",
    "warehouse",
    "backup",
    ".assetflow",
)
"""One of these must be in the message of an error: what failed, in words that a user can place."""

Point = tuple[str, int, str, bool]
"""Scenario, number of the operation, error (or `short`), and whether it lasts."""


def run(
    sabotage: str | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    *,
    only: Sequence[str] = (),
    telling: bool = False,
    worker: tuple[int, int] = (0, 1),
    progress: bool = False,
) -> Report:
    """Fail at as many points as the budget allows."""
    chosen = budget or Budget()
    report = Report("errors", seed)
    report.skipped.update(skipped())
    began, deadline, pace = time.monotonic(), chosen.deadline(), Pace(worker)
    for native in (False, True):
        names = [
            n for n, s in SCENARIOS.items() if s.native == native and (not only or n in only) and n not in skipped()
        ]
        if not names:
            continue
        # A sabotage is looked for at the most telling points of all; DuckDB is slow, so fewer of its are taken.
        wanted = 1_000_000 if sabotage or telling else max(1, chosen.points // (10 if native and not only else 1))
        with new_bench(native=native) as bench:
            points = _chosen(bench, names, wanted, seed, worker)
            if sabotage or telling:
                points.sort(key=lambda point: not _is_telling(bench, point))
            for point in points:
                if (sabotage and report.violations) or (telling and report.points >= chosen.points):
                    break
                if time.monotonic() > deadline:
                    report.counts["points left out for lack of time"] += 1
                    continue
                _one(bench, point, sabotage, report)
                if progress:
                    pace.tell(report)
    report.seconds = time.monotonic() - began
    return report


def again(point: Point, sabotage: str | None = None) -> Report:
    """One point once more, as its violation says."""
    report = Report("errors")
    with new_bench(native=SCENARIOS[point[0]].native) as bench:
        _one(bench, point, sabotage, report)
    return report


def _chosen(bench: Bench, names: Sequence[str], wanted: int, seed: int, worker: tuple[int, int]) -> list[Point]:
    every: list[Point] = []
    for name in names:
        for number, what in enumerate(operations(bench, SCENARIOS[name], reads=True), 1):
            if what == "sql close":
                continue
            every += [(name, number, error, lasting) for error in ERRORS for lasting in (False, True)]
            if what.startswith(("write", "pwrite")):
                every += [(name, number, "short", lasting) for lasting in (False, True)]
    random.Random(seed).shuffle(every)
    return sorted(every[:wanted])[worker[0] :: worker[1]]


def _is_telling(bench: Bench, point: Point) -> bool:
    name, number, error, lasting = point
    what = operations(bench, SCENARIOS[name], reads=True)[number - 1]
    return error == "EIO" and not lasting and what.startswith("fsync") and "data.parquet" in what


def _one(bench: Bench, point: Point, sabotage: str | None, report: Report) -> None:
    name, number, error, lasting = point
    lasting = lasting and error != "EINTR"  # Python tries again what a signal interrupted, for ever if it must
    points = Failpoints(bench.store, at=number, action="error", error=partial(failure, error), lasting=lasting,
                        reads=True)  # fmt: skip
    if error == "short":
        points = Failpoints(bench.store, at=number, action="short", lasting=lasting, reads=True)
    scenario = SCENARIOS[name]
    outcome = trial(bench, scenario, points, sabotage=sabotage)
    fired = str(outcome.ended.facts.get("fired", ""))
    problems = outcome.problems + (ended_well(bench.folder / "acks", scenario, outcome.ended, error) if fired else [])
    report.points += bool(fired)
    report.counts[f"{error}{' for good' if lasting else ''}"] += bool(fired)
    report.counts["points that were not reached"] += not fired
    for problem in problems:
        option = f" --sabotage {sabotage}" if sabotage else ""
        report.violation(
            f"{name}, operation {number} ({fired}), {error}{' for good' if lasting else ''}: {problem}",
            f"python -m tests.faults.profile again errors {name}:{number}:{error}:{int(lasting)}{option}",
        )


def failure(name: str, operation: str) -> OSError:
    """The exception of the operating system for the name of an error."""
    number = int(getattr(errno, name))
    return OSError(number, os.strerror(number))


def ended_well(ack: Path, scenario: Scenario, ended: Ended, error: str) -> list[str]:
    """Whether the command ended as promised: an error of ours that says what failed, or all of the work."""
    message = str(ended.facts.get("error", ""))
    if ended.was_killed or ended.code or (message and not ended.facts.get("is_ours")):
        return [f"P14: it ended with something else than an error of ours: {last_lines(ended)}"]
    if message and error == "short":
        return [f"P14: a short write became an error: {last_lines(ended)}"]
    acks = read_acks(ack)
    if message and not any(word in message for word in WORDS) and not any(ack.get("failed") for ack in acks):
        return [f"P14: the error does not say what failed: {last_lines(ended)}"]
    # Whether the copy of the hour was made is nobody's concern but that of the next command, which makes it.
    is_extra = "backups/catalog-" in str(ended.facts.get("fired")) and ".db.new" in str(ended.facts.get("fired"))
    if not message and error == "EIO" and str(ended.facts.get("fired")).startswith("fsync") and not is_extra:
        return ["P14: what could not be synced was said to be done"]
    if not message and scenario.act is SCENARIOS["changed"].act and scenario.name != "no-op":  # that has no work
        said = {asset for ack in acks[:1] for asset in ack.get("versions", {})}
        if missing := set(workload.TARGETS) - said:
            return [f"P14: it ended well without {sorted(missing)}"]
    return []
