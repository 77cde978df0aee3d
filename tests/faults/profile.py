"""The profiles: what CI runs in minutes, and the long run whose figures docs/reliability.md shows.

python -m tests.faults.profile ci [--only kills,errors] [--seed S] [--sabotage NAME]
python -m tests.faults.profile long --seed S [--only kills,...] [--json FILE] [--share 0.1]
python -m tests.faults.profile sabotage [NAME...]
python -m tests.faults.profile again kills|errors POINT [--sabotage NAME]
python -m tests.faults.profile table FILE [--write docs/reliability.md]
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import platform
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.faults.report import Budget, Report, say
from tests.warm import SERVER

WORKERS = 2
ROOT = Path(__file__).resolve().parents[2]

CI = {
    "kills": Budget(150, 60), "errors": Budget(120, 60), "full": Budget(1, 60), "races": Budget(4, 60),
    "contention": Budget(0, 6), "syscalls": Budget(12, 60), "power": Budget(200, 60), "rot": Budget(100, 60),
    "chaos": Budget(12, 120),
}  # fmt: skip
LONG = {
    "contention": Budget(0, 1200), "races": Budget(4, 60), "full": Budget(1, 60), "syscalls": Budget(400, 900),
    "errors": Budget(2_000, 1800), "rot": Budget(20_000, 2400), "power": Budget(20_000, 2400),
    "kills": Budget(9_700, 3000), "chaos": Budget(2_000, 3600),
}  # fmt: skip
"""Faults and seconds at most of each harness, in this order; those of `syscalls` are mostly kills, by strace."""
BROKEN = "the harness itself failed"
ONE_WORKER = ("full", "races", "contention")
LONG_OPTIONS: Mapping[str, Mapping[str, object]] = {"contention": {"processes": 8}}


def run_harness(name: str, budget: Budget, seed: int, *, sabotage: str | None = None, **options: object) -> Report:
    """One harness in this process; options that it does not take are left out."""
    run: Callable[..., Report] = importlib.import_module(f"tests.faults.{name}").run
    known = inspect.signature(run).parameters
    takes_all = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values())
    kept = {key: value for key, value in options.items() if takes_all or key in known}
    worker = options.get("worker")
    if isinstance(worker, tuple) and "worker" not in kept:  # it knows nothing of workers: each gets seeds of its own
        budget, seed = Budget(-(-budget.points // worker[1]), budget.seconds), seed * 1000 + worker[0]
    return run(sabotage=sabotage, budget=budget, seed=seed, **kept)


def in_workers(name: str, budget: Budget, seed: int, sabotage: str | None, options: Mapping[str, object]) -> Report:
    """One harness in processes of its own, which may fork: they have no threads."""
    count = 1 if name in ONE_WORKER else int(str(options.get("workers", WORKERS)))
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="assetflow-faults-report-") as folder:
        files = [Path(folder) / f"{number}.json" for number in range(count)]
        command = [sys.executable, "-m", "tests.faults.profile", "worker", name, "--points", str(budget.points)]
        command += ["--seconds", str(budget.seconds), "--seed", str(seed), "--options", json.dumps(dict(options))]
        command += ["--sabotage", sabotage] if sabotage else []
        workers = [
            SERVER.start([*command, "--worker", f"{number}/{count}", "--json", str(file)], cwd=ROOT)
            for number, file in enumerate(files)
        ]
        report = Report(name, seed)
        for worker, file in zip(workers, files, strict=True):
            code = worker.wait()
            if file.exists():
                report.merge(Report.from_json(json.loads(file.read_text())))
            else:
                report.violation(f"{BROKEN} (exit {code})", " ".join(command))
    report.seconds = time.monotonic() - began
    return report


def profile(
    budgets: Mapping[str, Budget],
    seed: int,
    *,
    sabotage: str | None = None,
    long: bool = False,
    keep: Callable[[Mapping[str, Report]], None] = lambda _: None,
) -> dict[str, Report]:
    """Every harness in turn, said on the way; `keep` is given what there is after each."""
    reports: dict[str, Report] = {}
    for name, budget in budgets.items():
        if not (Path(__file__).parent / f"{name}.py").exists():
            say(f"{name}: not there")
            continue
        options = {**(LONG_OPTIONS.get(name, {}) if long else {}), "progress": long}
        say(f"-- {name}: {budget.points or ''} points, at most {budget.seconds:.0f} s")
        reports[name] = in_workers(name, budget, seed, sabotage, options)
        say(reports[name].summary())
        keep(reports)
    return reports


def sabotages(names: Sequence[str], seed: int) -> list[str]:
    """The sabotage builds that no harness has seen; each is run by the harnesses that must."""
    from tests.faults.sabotage import SABOTAGES

    missed: list[str] = []
    for name in names or SABOTAGES:
        seen = [harness for harness in SABOTAGES[name].caught_by if sabotage_report(name, harness, seed).violations]
        say(f"{name}: {'caught by ' + ', '.join(seen) if seen else 'NOT CAUGHT'}")
        missed += [] if seen else [name]
    return missed


def sabotage_report(name: str, harness: str, seed: int = 0) -> Report:
    """What a harness says about a sabotage build. It stops at the first violation.

    Raises:
        RuntimeError: the harness did not run, so it has caught nothing.
    """
    from tests.faults.sabotage import SABOTAGES

    report = in_workers(harness, Budget(300, 90), seed, name, _sabotage_options(harness, SABOTAGES[name].scenario))
    if any(found["what"].startswith(BROKEN) for found in report.violations):
        raise RuntimeError(report.summary())
    return report


@cache
def clean_report(harness: str, scenario: str, points: int, seed: int = 0) -> Report:
    """What the same harness says, at the same points, about assetflow as it is."""
    return in_workers(
        harness, Budget(points, 90), seed, None, {**_sabotage_options(harness, scenario), "telling": True}
    )


def _sabotage_options(harness: str, scenario: str) -> dict[str, object]:
    match harness:
        case "kills" | "errors":
            return {"only": [scenario], "workers": 1}
        case "power":
            return {"scenarios": [scenario], "workers": 1}
        case "rot":
            return {"kinds": ["data.parquet"], "workers": 1}
        case _:
            return {"workers": 1}


# --------------------------------------------------------------------------------------------------------- reports


def environment(folder: Path) -> dict[str, str]:
    """Versions of everything that takes part in keeping a promise."""
    found = subprocess.run(["stat", "-f", "-c", "%T", str(folder)], capture_output=True, text=True, check=False)
    return {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in ("pyarrow", "pandas", "duckdb", "xxhash")},
        "kernel": platform.release(),
        "machine": platform.machine(),
        "file system": f"{found.stdout.strip() or 'unknown'} (disk), tmpfs (failpoints)",
    }


LABELS = {
    "kills": "kill -9 at a file operation or statement",
    "syscalls": "kill -9 and errors at a system call (strace)",
    "power": "power loss: states of the disk after it",
    "errors": "ENOSPC, EIO, EDQUOT, EMFILE, EROFS, EACCES, EINTR, short writes",
    "full": "a full disk and a full catalog, for real",
    "rot": "corruptions: flipped bits, truncation, zeroed blocks, swaps, lost files",
    "races": "two commands stopped at the worst moment",
    "chaos": "kill -9 of the coordinator, the nursery or a child of a run in processes",
    "contention": "commands of 8 processes at once, killed and stopped at random",
}
MARKS = ("<!-- figures -->", "<!-- end of figures -->")


def table(report: dict[str, Any]) -> str:
    """The figures as a Markdown table."""
    lines = ["| Harness | Faults | Violations | Minutes | Seed |", "|---|---:|---:|---:|---:|"]
    for name, one in report["harnesses"].items():
        lines.append(
            f"| {LABELS.get(name, name)} | {one['points']:,} | {len(one['violations'])} | {one['seconds'] / 60:.0f} "
            f"| {one['seed']} |"
        )
    versions = ", ".join(f"{name} {found}" for name, found in report["environment"].items())
    return "\n".join([*lines, "", f"With {versions}."])


def write_table(report: dict[str, Any], page: Path) -> None:
    """Put the table between the marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(MARKS[0])
    after = rest.partition(MARKS[1])[2]
    page.write_text(f"{before}{MARKS[0]}\n\n{table(report)}\n\n{MARKS[1]}{after}", encoding="utf-8")


# ------------------------------------------------------------------------------------------------------ command line


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when no promise was broken."""
    given = _parser().parse_args(arguments)
    if given.command == "worker":
        number, count = given.worker.split("/")
        options = {**json.loads(given.options), "worker": (int(number), int(count))}
        budget = Budget(given.points, given.seconds)
        report = run_harness(given.harness, budget, given.seed, sabotage=given.sabotage, **options)
        Path(given.json).write_text(json.dumps(report.to_json()))
        return 0
    if given.command == "again":
        return _again(given.harness, given.point, given.sabotage)
    if given.command == "sabotage":
        return 1 if sabotages(given.names, given.seed) else 0
    if given.command == "table":
        found = json.loads(Path(given.file).read_text())
        if given.write:
            write_table(found, Path(given.write))
        say(table(found))
        return 0
    return _profile(given)


def _profile(given: argparse.Namespace) -> int:
    long = given.command == "long"
    wanted = given.only.split(",") if given.only else [*CI]
    budgets = {name: budget for name, budget in (LONG if long else CI).items() if name in wanted}
    budgets = {
        name: Budget(max(4, int(one.points * given.share)), one.seconds * (given.share if name == "contention" else 1))
        for name, one in budgets.items()
    }
    say(f"seed {given.seed}")
    earlier: dict[str, Any] = {}
    if given.json and given.resume and Path(given.json).exists():
        earlier = json.loads(Path(given.json).read_text())["harnesses"]
        budgets = {name: one for name, one in budgets.items() if name not in earlier}

    def keep(found: Mapping[str, Report]) -> None:
        if given.json:
            content = {
                "seed": given.seed,
                "sabotage": given.sabotage,
                "environment": environment(Path(tempfile.gettempdir())),
                "harnesses": {**earlier, **{name: report.to_json() for name, report in found.items()}},
            }
            Path(given.json).write_text(json.dumps(content, indent=1))

    reports = profile(budgets, given.seed, sabotage=given.sabotage, long=long, keep=keep)
    broken = sum(len(report.violations) for report in reports.values())
    say(f"{sum(one.points for one in reports.values())} faults, {broken} violations, seed {given.seed}")
    return 1 if broken or not all(report.points for report in reports.values()) else 0


def _again(harness: str, text: str, sabotage: str | None) -> int:
    from tests.faults import errors, kills

    name, number, what, more = text.split(":")
    if harness == "kills":
        then = tuple(int(one) for one in more.split("+") if int(one))
        report = kills.again((name, int(number), what.replace("-", " "), then), sabotage)
    else:
        report = errors.again((name, int(number), what, bool(int(more))), sabotage)
    say(report.summary())
    return 1 if report.violations else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.profile")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("ci", "long"):
        one = commands.add_parser(name)
        one.add_argument("--only", default="", help="harnesses, with commas between")
        one.add_argument("--seed", type=int, default=1)
        one.add_argument("--sabotage")
        one.add_argument("--json", help="write the report there")
        one.add_argument("--resume", action="store_true", help="only the harnesses that the report does not have yet")
        one.add_argument("--share", type=float, default=1.0, help="this share of the points")
    worker = commands.add_parser("worker")
    worker.add_argument("harness")
    worker.add_argument("--points", type=int, required=True)
    worker.add_argument("--seconds", type=float, required=True)
    worker.add_argument("--seed", type=int, required=True)
    worker.add_argument("--sabotage")
    worker.add_argument("--options", default="{}")
    worker.add_argument("--worker", default="0/1")
    worker.add_argument("--json", required=True)
    again = commands.add_parser("again")
    again.add_argument("harness", choices=["kills", "errors"])
    again.add_argument("point")
    again.add_argument("--sabotage")
    sabotage = commands.add_parser("sabotage")
    sabotage.add_argument("names", nargs="*")
    sabotage.add_argument("--seed", type=int, default=1)
    figures = commands.add_parser("table")
    figures.add_argument("file")
    figures.add_argument("--write")
    return parser


if __name__ == "__main__":
    sys.exit(main())
