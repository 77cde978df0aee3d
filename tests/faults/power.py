"""Power loss: every state that a disk may be in when the current fails while a scenario runs, given to the checker.

A scenario is recorded once (trace.py); crashes.py says what may be on the disk at every moment of it.

    python -m tests.faults.power --points 2000 --seed 7 [--scenario first] [--sabotage no_fsync_file] [--json]
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults import checker, project as workload
from tests.faults.crashes import Crash, Platter, crashes
from tests.faults.driver import Bench, bench, forked, read_acks
from tests.faults.report import Budget, Pace, Report
from tests.faults.scenarios import SCENARIOS
from tests.faults.trace import (
    Acknowledged,
    Link,
    Operation,
    Rename,
    Resize,
    Trace,
    Unlink,
    Write,
    record,
    why_no_strace,
)

RECOVER_EACH = 50
CORE = ("first", "changed", "threads")
"""What a small budget is spent on: recording a scenario costs seconds."""

MANY = 1000
RECORDED = (
    "first",
    "changed",
    "forced",
    "threads",
    "large",
    "together",
    "rollback",
    "gc",
    "doctor-fix",
    "rebuild-catalog",
    "native",
)
MAKES_ALL_CURRENT = ("first", "changed", "forced", "threads", "large", "together", "native")
REPOSITORY = Path(__file__).resolve().parents[2]

# ---------------------------------------------------------------------------------------------------- recording


@dataclass(frozen=True, slots=True)
class Recording:
    """A scenario as it happened, what was committed before it, and what had been acknowledged before it."""

    scenario: str
    trace: Trace
    before: checker.Snapshot
    acknowledged: list[dict[str, Any]]
    generation: int

    def told(self, moment: int) -> list[dict[str, Any]]:
        """The acknowledgements that were out when so many operations were done."""
        new = [op.text for op in self.trace.operations[:moment] if isinstance(op, Acknowledged)]
        return [*self.acknowledged, *map(json.loads, new)]


def record_scenario(place: Bench, name: str, sabotage: str | None = None) -> Recording:
    """Run the scenario in a process of its own under strace, from a store that is wholly on the disk."""
    if name == "first":
        shutil.rmtree(place.store, ignore_errors=True)
        workload.set_generation(place.root, 1)
        before, acknowledged = {"heads": {}, "versions": {}}, []
    else:
        before, acknowledged = place.begin(SCENARIOS[name])
    said, log = place.folder / "said", place.folder / "strace.log"
    said.unlink(missing_ok=True)
    command = [sys.executable, "-m", "tests.faults.driver", str(place.root), name, "--ack", str(said)]
    command += ["--sabotage", sabotage] if sabotage else []
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASSETFLOW_", "COVERAGE_"))}
    environment = {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONDONTWRITEBYTECODE": "1"}
    trace = record(place.root, command, said=said, log=log, environment=environment)
    log.unlink()
    return Recording(name, trace, before, acknowledged, workload.generation_of(place.root))


# ------------------------------------------------------------------------------------------------------- the harness


@dataclass(slots=True)
class _Sweep:
    """One recording's crash states, as they are put on the disk and looked at."""

    place: Bench
    recording: Recording
    report: Report
    again: str
    pace: Pace | None = None
    seen: set[bytes] = field(default_factory=set[bytes])

    def run(self, points: int, deadline: float, seed: int, *, first_only: bool) -> None:
        """Look at so many different states; with `first_only` stop at the first that breaks a promise."""
        workload.set_generation(self.place.root, self.recording.generation)
        operations, last = self.recording.trace.operations, 0
        source = crashes(self.recording.trace, self.place.store.name, seed)
        done, barren = 0, 0
        while done < points and barren < 5 and time.monotonic() < deadline:
            chunk = sorted((next(source) for _ in range(min(points - done, 2000))), key=lambda crash: crash.moment)
            platter, last, found = Platter(self.recording.trace, self.place.store.name), 0, 0
            for crash in chunk:
                for number in range(last, crash.moment):
                    platter.do(number, operations[number])
                last = crash.moment
                found += self._look(platter, crash)
                if self.pace is not None:
                    self.pace.tell(self.report)
                if time.monotonic() > deadline or (first_only and self.report.violations):
                    break
            done += found
            barren = 0 if found else barren + 1
            if first_only and self.report.violations:
                return

    def _look(self, platter: Platter, crash: Crash) -> int:
        """Check the state if it is a new one; how many new ones there were."""
        files, folders = platter.survivors(crash.kept)
        told = self.recording.told(crash.moment)
        digest = _digest(files, len(told))
        if digest in self.seen:
            return 0
        self.seen.add(digest)
        self._put(files, folders)
        scenario = SCENARIOS[self.recording.scenario]
        problems = self._problems(told) if scenario.is_whole_before_recovery else []
        self.report.points += 1
        self.report.counts[crash.kind] += 1
        if not problems and (self.report.points % RECOVER_EACH == 0 or not scenario.is_whole_before_recovery):
            self._put(files, folders)
            problems = self._recover(told)
            self.report.counts["gone on from"] += 1
        for problem in problems[:3]:
            self.report.violation(f"{' '.join(problem.split())} [{self._describe(platter, crash)}]", self.again)
        return 1

    def _put(self, files: Mapping[str, bytes], folders: set[str]) -> None:
        """Make the store what the disk holds."""
        shutil.rmtree(self.place.store, ignore_errors=True)
        above = self.place.store.name
        for name in sorted(folders):
            if name == above or name.startswith(f"{above}/"):
                (self.place.root / name).mkdir()
        for name, content in files.items():
            if name.startswith(f"{above}/"):
                (self.place.root / name).write_bytes(content)

    def _problems(self, told: list[dict[str, Any]], *, is_clean: bool = False) -> list[str]:
        store = self.place.store
        try:
            if (path := store / "catalog.db").exists():
                with closing(sqlite3.connect(path)) as catalog:  # SQLite puts right what it can, as for any reader
                    catalog.execute("SELECT count(*) FROM sqlite_master").fetchone()
            damaged = SCENARIOS[self.recording.scenario].damaged
            return checker.check(store, told, before=self.recording.before, damaged=damaged, is_clean=is_clean)
        except sqlite3.DatabaseError as error:
            return [f"P2: the catalog cannot be read: {error}"]

    def _recover(self, told: list[dict[str, Any]]) -> list[str]:
        ack, project = self.place.folder / "recovered", self.place.project
        ack.unlink(missing_ok=True)
        scenario = SCENARIOS[self.recording.scenario]
        if scenario.is_whole_before_recovery and not scenario.damaged:
            seen = forked(lambda: {"problems": look_around(project)})
            if seen.code or seen.facts["problems"]:
                return seen.facts.get("problems") or [f"P2: looking ended with {seen.code}: {seen.facts.get('error')}"]
        ended = self.place.recover(scenario, ack)
        if ended.code or "error" in ended.facts:
            return [f"P1: the next materialize ended with {ended.code}: {ended.facts.get('error')}"]
        generation = self.recording.generation if scenario.name in MAKES_ALL_CURRENT else None
        spoiled = frozenset(name.partition("@")[0] for name in scenario.damaged)
        seen = forked(lambda: {"problems": look_around(project, generation, spoiled)})
        return seen.facts.get("problems", [str(seen)]) or self._problems([*told, *read_acks(ack)], is_clean=True)

    def _describe(self, platter: Platter, crash: Crash) -> str:
        lost = [_words(op) for number, op in platter.pending.items() if number not in crash.kept]
        torn = [_words(platter.pending[number]) for number, how in crash.kept.items() if how is not None]
        text = f"{self.recording.scenario}, after operation {crash.moment}: {crash.kind}"
        text += f"; lost: {', '.join(lost[:6])}{' ...' if len(lost) > 6 else ''}" if lost else ""
        return text + (f"; torn: {', '.join(torn[:6])}" if torn else "")


def look_around(project: Any, generation: int | None = None, spoiled: Collection[str] = ()) -> list[str]:
    """What is wrong when somebody looks: status, and every asset's value. With `generation`, all must be of that.

    The `spoiled` assets were damaged on purpose: refusing to read them is right.
    """
    from assetflow.errors import AssetflowError, DamagedVersion, NoSuchVersion

    problems: list[str] = []
    try:
        project.status()
    except AssetflowError as error:
        return [f"P1: status says {type(error).__name__}: {error}"]
    for asset in [key for key in project.graph.order if not project.graph.specs[key].is_source]:
        try:
            problems += value_problems(asset, project.read(asset), generation)
        except NoSuchVersion:
            problems += [f"P1: {asset} has no version"] if generation is not None else []
        except AssetflowError as error:
            if asset in spoiled and isinstance(error, DamagedVersion):
                continue
            problems.append(f"P2: reading {asset} says {type(error).__name__}: {error}")
    return problems


def value_problems(asset: str, value: Any, generation: int | None = None) -> list[str]:
    """What is wrong with a value that assetflow gave for an asset of the workload; any generation fits None."""
    if asset in checker.SALTS:
        rows = value if isinstance(value, list) else value.to_dict("records")
        held = int(rows[0]["generation"]) if rows else -1
        expected: object = checker.expected_rows(asset, held) if rows else []
        value = [{name: _plain(one) for name, one in row.items()} for row in rows]
    elif asset == "facts":
        held = value["generation"]
        rows = checker.expected_rows("arrows", held)
        expected = {"generation": held, "rows": len(rows), "total": sum(int(str(row["value"])) for row in rows)}
    elif asset == "blob":
        held = int(value.split(b"\n")[0].split()[1])
        expected = f"generation {held}\n".encode() * 400
    else:
        held, expected = generation, {"parity": value.get("parity") if generation is None else generation % 2}
    if value != expected:
        return [f"P12: {asset} holds other rows than those of generation {held}"]
    if generation is not None and held != generation:
        return [f"P1: {asset} is of generation {held} instead of {generation}"]
    return []


def _plain(value: Any) -> Any:
    return value.item() if hasattr(value, "item") else value


def _digest(files: Mapping[str, bytes], told: int) -> bytes:
    state = hashlib.blake2b(str(told).encode(), digest_size=16)
    for name in sorted(files):
        state.update(f"{name}\0{len(files[name])}\0".encode())
        state.update(files[name])
    return state.digest()


def _words(operation: Operation) -> str:
    match operation:
        case Write(inode, offset, data):
            return f"{len(data)} bytes at {offset} of file {inode}"
        case Resize(inode, size):
            return f"size {size} of file {inode}"
        case Link(_, name, inode):
            return f"name {name} of {inode}"
        case Unlink(_, name):
            return f"removal of {name}"
        case Rename(_, name, _, new_name):
            return f"rename {name} to {new_name}"
        case _:
            return str(operation)


def run(
    budget: Budget,
    seed: int = 0,
    sabotage: str | None = None,
    scenarios: Sequence[str] | None = None,
    *,
    progress: bool = False,
) -> Report:
    """Spread the budget over the scenarios; with a sabotage, stop at the first state that breaks a promise."""
    scenarios = scenarios or (RECORDED if budget.points >= MANY else CORE)
    report, began = Report("power", seed), time.monotonic()
    if (reason := why_no_strace()) is not None:
        report.skipped["all"] = reason
        return report
    missing = {name: "not a scenario" for name in scenarios if name not in SCENARIOS}
    missing.update(_unavailable(scenarios))
    report.skipped.update(missing)
    names = [name for name in scenarios if name not in missing]
    deadline, pace = budget.deadline(), Pace()
    for position, name in enumerate(names):
        with bench(native=SCENARIOS[name].native) as place:
            recording = record_scenario(place, name, sabotage)
            report.counts[f"operations of {name}"] = len(recording.trace.operations)
            again = f"python -m tests.faults.power --seed {seed} --points {budget.points} --scenario {name}"
            again += f" --sabotage {sabotage}" if sabotage else ""
            sweep = _Sweep(place, recording, report, again, pace if progress else None)
            share = (budget.points - report.points) // (len(names) - position)
            until = time.monotonic() + (deadline - time.monotonic()) / (len(names) - position)
            sweep.run(share, until, seed, first_only=sabotage is not None)
        if sabotage is not None and report.violations:
            break
    report.seconds = time.monotonic() - began
    return report


def _unavailable(scenarios: Sequence[str]) -> dict[str, str]:
    from tests.faults.scenarios import skipped

    return {name: why for name, why in skipped().items() if name in scenarios}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the harness from the command line; 1 when a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.power")
    parser.add_argument("--points", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenario", action="append")
    parser.add_argument("--sabotage")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args(arguments)
    report = run(Budget(given.points, given.seconds), given.seed, given.sabotage, given.scenario)
    sys.stdout.write(json.dumps(report.to_json()) if given.json else report.summary() + "\n")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
