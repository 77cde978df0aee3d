"""Many real processes at random verbs on one store, killed and stopped at random; then the whole history is judged.

Each process is a Python of its own that writes down what it saw, with the time before and after. Afterwards every read
must be of a version that was current in between, and never older than what was acknowledged before it began.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.faults import checker, project as workload
from tests.faults.report import Budget, Report, say

ENVIRONMENTS = ("dev", "prod", "test")
WEIGHTS = {
    "materialize": 6, "read": 6, "sql": 3, "plan": 2, "status": 2, "history": 2, "advance": 3, "rollback": 2, "pin": 1,
    "unpin": 2, "gc": 1, "doctor": 1,
}  # fmt: skip
EXPECTED = {
    "RunConflict": "another run holds the environment",
    "SourceChanged": "the source changed while a run read it",
    "NoSuchVersion": "nothing was materialized yet",
    "Superseded": "another command moved the head",
}
"""Errors that the verbs may end with here, and why."""
ROOT = Path(__file__).resolve().parents[2]
SLACK_S = 8.0
"""How much later than it says a move of a head may be seen: a process can be stopped between the two."""


def run(
    sabotage: str | None = None,
    budget: Budget | None = None,
    seed: int = 0,
    *,
    processes: int = 4,
    worker: tuple[int, int] = (0, 1),
    progress: bool = False,
    **_: object,
) -> Report:
    """So many processes for `budget.seconds`; a point is a command that ended."""
    report = Report("contention", seed)
    if worker[0]:
        return report
    chosen = budget or Budget()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="assetflow-faults-", ignore_cleanup_errors=True) as folder:
        root = Path(folder) / "work"
        workload.make(root)
        _fight(Path(folder), chosen.seconds, seed, processes, sabotage, report, progress)
        for problem in judge(root, Path(folder), report):
            which = "long" if chosen.seconds > 60 else "ci"
            report.violation(problem, f"python -m tests.faults.profile {which} --only contention --seed {seed}")
        if report.violations:
            kept = Path(tempfile.mkdtemp(prefix="assetflow-faults-kept-"))
            shutil.copytree(folder, kept, dirs_exist_ok=True)
            report.skipped["the store was kept"] = str(kept)
    report.seconds = time.monotonic() - began
    return report


# ------------------------------------------------------------------------------------------------------ the nemesis


def _fight(
    folder: Path, seconds: float, seed: int, processes: int, sabotage: str | None, report: Report, progress: bool
) -> None:
    chance = random.Random(seed)
    deadline = time.monotonic() + seconds
    running: dict[int, subprocess.Popen[bytes]] = {}
    stopped: dict[int, float] = {}
    started, told = 0, time.monotonic()
    try:
        while time.monotonic() < deadline:
            for number in range(processes):
                if number not in running or running[number].poll() is not None:
                    started += 1
                    running[number] = _start(folder, f"{seed}{started:04d}", deadline - time.monotonic(), sabotage)
                    stopped.pop(number, None)
            time.sleep(chance.uniform(0.2, 1.0))  # the nemesis has its own pace
            number = chance.randrange(processes)
            match chance.choice(["kill", "stop", "stop", "nothing"]):
                case "kill":
                    running[number].kill()
                    report.counts["processes killed"] += 1
                case "stop" if number not in stopped:
                    running[number].send_signal(signal.SIGSTOP)
                    stopped[number] = time.monotonic() + chance.uniform(0.05, 2.0)
                    report.counts["processes stopped for a while"] += 1
                case _:
                    pass
            for one in [one for one, until in stopped.items() if until < time.monotonic()]:
                running[one].send_signal(signal.SIGCONT)
                del stopped[one]
            if progress and time.monotonic() - told > 15:
                told = time.monotonic()
                say(f"contention: {deadline - told:.0f} s left")
    finally:
        for process in running.values():
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
        for process in running.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                report.violation("P15: a process did not end", "see the seed")


def _start(folder: Path, seed: str, seconds: float, sabotage: str | None) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tests.faults.contention", str(folder), seed, f"{seconds:.1f}"]
    command += ["--sabotage", sabotage] if sabotage else []
    with (folder / f"{seed}.err").open("wb") as errors:
        return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors)


# ------------------------------------------------------------------------------------------------------- the worker


class Worker:
    """One process: random verbs until the time is over, each written down."""

    def __init__(self, folder: Path, seed: str) -> None:
        self.folder, self.seed, self.chance = folder, seed, random.Random(seed)
        self.root = folder / "work"
        self.out = os.open(folder / f"{seed}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def run(self, seconds: float) -> None:
        from assetflow.errors import AssetflowError

        deadline = time.monotonic() + seconds
        names, weights = list(WEIGHTS), list(WEIGHTS.values())
        while time.monotonic() < deadline:
            verb = self.chance.choices(names, weights)[0]
            env = self.chance.choice(ENVIRONMENTS)
            facts: dict[str, Any] = {"began": time.time(), "verb": verb, "env": env, "pid": os.getpid()}
            try:
                facts.update(self.do(verb, env) or {})
            except AssetflowError as error:
                facts.update(error=type(error).__name__, message=str(error))
            except Exception as error:  # noqa: BLE001 - whatever else comes out is what we look for
                import traceback

                facts.update(error=type(error).__name__, message=traceback.format_exc())
            facts["ended"] = time.time()
            os.write(self.out, json.dumps(facts).encode() + b"\n")

    def do(self, verb: str, env: str) -> dict[str, Any] | None:
        """One command as a user would give it: the project is loaded anew."""
        from assetflow import Project

        project = Project.load(self.root, env=env)
        asset = self.chance.choice(["plain", "arrows", "left", "right", "facts"])
        target: Callable[..., Any] = getattr(project, verb, None) or (lambda *_: None)
        match verb:
            case "advance":
                return self._advance()
            case "materialize":
                result = project.materialize(workers=2)
                made = {one.asset: one.version for one in result if one.version and one.asset != "numbers"}
                problems = [f"{one.asset}: {one.error.type}: {one.error.message}" for one in result if one.error]
                return {"versions": made, "failed": problems}
            case "read":
                return {"asset": asset, "saw": _content(asset, project.read(asset))}
            case "sql":
                rows = project.sql(f'select * from "{_table(asset)}" order by row').table.to_pylist()
                return {"asset": _table(asset), "saw": _rows(_table(asset), rows)}
            case "history" | "pin" | "unpin" | "rollback" if hasattr(project, verb):
                target(asset)
            case "gc":
                project.gc(keep=2, keep_days=0, grace_s=self.chance.choice([0.0, 60.0]))
            case _:
                target()
        return None

    def _advance(self) -> dict[str, Any]:
        """The source changes, in one step as a careful program does it."""
        generation = int(time.time() * 1000) % 1_000_000_000
        aside = self.root / f"numbers-{os.getpid()}.part"
        aside.write_text(f"generation,factor\n{generation},3\n{generation},5\n")
        aside.replace(self.root / workload.SOURCE)
        return {"generation": generation}


def _table(asset: str) -> str:
    return "arrows" if asset == "facts" else asset


def _content(asset: str, value: Any) -> int | str:
    """The generation that a value holds, or what is wrong with it."""
    if asset == "facts":
        return value["generation"]
    if hasattr(value, "to_pylist"):
        return _rows(asset, value.to_pylist())
    return _rows(asset, value.to_dict("records"))


def _rows(asset: str, rows: list[dict[str, Any]]) -> int | str:
    generations = {row["generation"] for row in rows}
    if len(generations) != 1:
        return f"a mix of the generations {sorted(generations)}"
    (generation,) = generations
    return generation if rows == checker.expected_rows(asset, generation) else f"not the rows of {generation}"


def _versions(root: Path, states: str) -> set[tuple[str, int]]:
    with sqlite3.connect(f"file:{root / '.assetflow' / 'catalog.db'}?mode=ro", uri=True, timeout=30) as catalog:
        rows = catalog.execute(
            f"SELECT a.key, v.number FROM version v JOIN asset a USING (asset_id) WHERE v.state {states}"
        ).fetchall()
    return {(key, number) for key, number in rows}


# --------------------------------------------------------------------------------------------------------- the judge


def judge(root: Path, folder: Path, report: Report) -> list[str]:
    """What the history and the store show to be broken."""
    lines: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.jsonl")):
        lines += [json.loads(line) for line in path.read_text().split("\n")[:-1]]
    report.points += len(lines)
    problems: list[str] = []
    tally: Counter[str] = Counter()
    for line in lines:
        tally[f"{line['verb']}{'' if 'error' not in line else ': ' + line['error']}"] += 1
        if "error" in line and line["error"] not in EXPECTED:
            problems.append(f"{line['verb']} in {line['env']} ended with {line['error']}: {line['message'][-1500:]}")
        problems += [
            f"materialize in {line['env']}: {what}" for what in line.get("failed", ()) if "SourceChanged" not in what
        ]
    report.counts.update({f"verb {name}": count for name, count in tally.items()})
    problems += [f"P2: {line['verb']} of {line['asset']}: {line['saw']}" for line in lines
                 if isinstance(line.get("saw"), str)]  # fmt: skip
    # Who collected may have been killed before it wrote that down. What is current was not: the checker looks at that.
    acks: list[dict[str, Any]] = [{"verb": "gc", "collected": sorted(_versions(root, "IN ('condemned', 'evicted')"))}]
    acks += [{**line, "at": line["ended"]} for line in lines if line.get("versions")]
    problems += _reads(root / ".assetflow", [line for line in lines if isinstance(line.get("saw"), int)], acks)
    problems += checker.check(root / ".assetflow", acks)
    errors = "".join(path.read_text(errors="replace") for path in folder.glob("*.err"))
    if "Traceback" in errors or "database is locked" in errors:
        problems.append(f"a process printed: {errors[-1500:]}")
    return problems


def _reads(store: Path, reads: Sequence[dict[str, Any]], acks: Sequence[dict[str, Any]]) -> list[str]:
    """Reads that saw something else than a version that was current meanwhile."""
    moves: dict[tuple[str, str], list[tuple[float, int, int | None]]] = {}
    with sqlite3.connect(f"file:{store / 'catalog.db'}?mode=ro", uri=True, timeout=30) as catalog:
        for env, asset, at, number, location in catalog.execute(
            "SELECT e.name, a.key, l.moved_at, v.number, v.location FROM head_log l JOIN env e USING (env_id) "
            "JOIN asset a ON a.asset_id = l.asset_id JOIN trace t ON t.trace_id = l.trace_id "
            "JOIN version v USING (version_id) ORDER BY l.seq"
        ):
            folder = store / "data" / location
            generation = checker.generation_in(asset, folder) if location and folder.is_dir() else None
            moves.setdefault((env, asset), []).append((at, number, generation))
    problems: list[str] = []
    for read in reads:
        line = moves.get((read["env"], read["asset"]), [])
        told = [ack["at"] for ack in acks if ack.get("env") == read["env"] and read["asset"] in ack.get("versions", {})]
        floor = max((at for at in told if at < read["began"]), default=0.0)
        first = max((i for i, (at, *_) in enumerate(line) if at <= min(floor, read["began"])), default=0)
        slack = [i for i, (at, *_) in enumerate(line) if at <= read["began"] - SLACK_S]
        first = max(first, max(slack, default=0))
        seen = [generation for at, _, generation in line[first:] if at <= read["ended"]]
        if read["saw"] not in seen and None not in seen:
            problems.append(
                f"P2: {read['verb']} of {read['asset']} in {read['env']} saw {read['saw']}, current: {seen}"
            )
    return problems


def main(arguments: Sequence[str] | None = None) -> None:
    """The entry of one worker process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("seed")
    parser.add_argument("seconds", type=float)
    parser.add_argument("--sabotage")
    given = parser.parse_args(arguments)
    if given.sabotage:
        from tests.faults.sabotage import apply

        apply(given.sabotage)
    Worker(given.folder, given.seed).run(given.seconds)


if __name__ == "__main__":
    main()
