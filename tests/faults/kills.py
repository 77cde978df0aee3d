"""Kills the process at every write-like operation: before it, in the middle of a write, and again while recovering."""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence

from assetflow.testing.failpoints import Failpoints
from tests.faults.driver import Bench, bench as new_bench
from tests.faults.report import Budget, Pace, Report
from tests.faults.scenarios import SCENARIOS, Scenario, skipped
from tests.faults.trial import trial

Point = tuple[str, int, str, tuple[int, ...]]
"""Scenario, number of the operation, action, and the operations of the recoveries after it at which to kill again."""

CHAIN = 3
"""How many recoveries in a row are killed, once every operation of every scenario had its kill."""


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
    """Kill at as many points as the budget allows, evenly over all scenarios, and judge each time."""
    chosen = budget or Budget()
    report = Report("kills", seed)
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
            try:
                points = _chosen(bench, names, wanted, seed, worker)
            except RuntimeError as error:
                report.points += 1
                report.violation(str(error), "python -m tests.faults.profile ci --only kills")
                continue
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
    report = Report("kills")
    with new_bench(native=SCENARIOS[point[0]].native) as bench:
        _one(bench, point, sabotage, report)
    return report


def _chosen(bench: Bench, names: Iterable[str], wanted: int, seed: int, worker: tuple[int, int]) -> list[Point]:
    """A sample of all points: each at most once, then with a second kill while recovering, until there are enough."""
    chance = random.Random(seed)
    every: list[Point] = []
    counts: dict[str, int] = {}
    for name in names:
        log = operations(bench, SCENARIOS[name])
        counts[name] = len(log)
        every += [(name, number, "kill", ()) for number in range(1, len(log) + 1)]
        every += [(name, n, "torn", ()) for n, what in enumerate(log, 1) if what.startswith(("write", "pwrite"))]
        every += [(name, len(log), "kill after", ())]
    chance.shuffle(every)
    chosen = every[:wanted]
    missing = wanted - len(chosen) if wanted < 1_000_000 else 0
    while missing > 0:
        name, number, action, _ = chance.choice(every)
        then = tuple(chance.randint(1, max(2, counts[name] // 2)) for _ in range(CHAIN))
        chosen.append((name, number, action, then))
        missing -= 1 + CHAIN * 0.75  # so many come about: a recovery may have less to do
    return sorted(chosen)[worker[0] :: worker[1]]


_TELLING = ("rename", "sql COMMIT", "write journal", "fsync journal", "pwrite journal", "open journal", "write _")


def _is_telling(bench: Bench, point: Point) -> bool:
    """Whether a kill there shows most: between what is published and what is recorded."""
    log = operations(bench, SCENARIOS[point[0]])
    around = log[max(0, point[1] - 2) : point[1]]
    return any(what.startswith(_TELLING) for what in around)


def operations(bench: Bench, scenario: Scenario, *, reads: bool = False) -> list[str]:
    """The names of all write-like operations of a scenario, in order; counted once for each bench."""
    known = bench.operations.get((scenario.name, reads))
    if known is None:
        known = bench.operations[scenario.name, reads] = _count(bench, scenario, reads)
    return known


def _count(bench: Bench, scenario: Scenario, reads: bool) -> list[str]:
    bench.begin(scenario)
    ended = bench.act(scenario, bench.folder / "acks", Failpoints(bench.store, reads=reads))
    if "log" not in ended.facts or "error" in ended.facts:
        raise RuntimeError(f"scenario {scenario.name} fails without any fault: {ended.facts.get('error')}")
    return ended.facts["log"]


def _one(bench: Bench, point: Point, sabotage: str | None, report: Report) -> None:
    name, number, action, then = point
    scenario = SCENARIOS[name]
    first = Failpoints(bench.store, at=number, action=action)  # pyright: ignore[reportArgumentType]
    later = [Failpoints(bench.store, at=one) for one in then]
    outcome = trial(bench, scenario, first, sabotage=sabotage, again=later)
    report.points += outcome.kills
    report.counts[f"kills in {name}"] += bool(outcome.kills)
    report.counts["kills of a recovery"] += max(0, outcome.kills - 1)
    if not outcome.kills:
        report.counts["points that were not reached"] += 1
    for problem in outcome.problems:
        option = f" --sabotage {sabotage}" if sabotage else ""
        what = f"{name}, operation {number} ({action}{f', then {list(then)}' if then else ''}): {problem}"
        named = f"{name}:{number}:{action.replace(' ', '-')}:{'+'.join(map(str, then)) or 0}"
        report.violation(what, f"python -m tests.faults.profile again kills {named}{option}")
