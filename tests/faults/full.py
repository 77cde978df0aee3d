"""Limits that are real: a disk of a few megabytes that is full, and a catalog that SQLite may not let grow."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from tests.faults.driver import Bench, bench as new_bench
from tests.faults.errors import ended_well
from tests.faults.report import Budget, Report
from tests.faults.scenarios import SCENARIOS
from tests.faults.trial import judged, recovered

AGAIN = "python -m tests.faults.profile ci --only full"


def run(sabotage: str | None = None, budget: Budget | None = None, seed: int = 0, **_: object) -> Report:
    """Fill a disk and a catalog up to a little, and materialize."""
    del sabotage, budget
    report = Report("full", seed)
    began = time.monotonic()
    with new_bench() as bench:
        full_catalog(bench, report)
    full_disk(report)
    report.seconds = time.monotonic() - began
    return report


def full_catalog(bench: Bench, report: Report) -> None:
    """SQLite refuses to grow the catalog by more than 0, 1, 2, ... pages."""
    scenario = SCENARIOS["changed"]
    for pages in range(8):
        before, earlier = bench.begin(scenario)
        ack = bench.folder / "acks"
        ack.unlink(missing_ok=True)
        ended = bench.act(scenario, ack, setup=partial(_limit_pages, pages))
        problems = judged(bench, scenario, ack, before, earlier) + ended_well(ack, scenario, ended, "SQLITE_FULL")
        problems = problems or recovered(bench, scenario, ack, before, earlier, None)
        report.points += 1
        report.counts["SQLITE_FULL"] += "error" in ended.facts
        for problem in problems:
            report.violation(f"a catalog that may grow by {pages} pages: {problem}", AGAIN)


def _limit_pages(pages: int, _: object) -> None:
    original: Callable[..., sqlite3.Connection] = sqlite3.connect

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = original(*arguments, **options)
        count = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {count + pages}")
        return connection

    sqlite3.connect = connect


def full_disk(report: Report, sizes_kb: Sequence[int] = (0, 4, 16, 40, 64, 100, 160, 240, 400, 800)) -> None:
    """A disk of 12 MB, filled up to a few kilobytes: the errors are the kernel's own."""
    with tempfile.TemporaryDirectory(prefix="assetflow-faults-disk-") as folder:
        mount = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", folder], capture_output=True, text=True, check=False
        )
        if mount.returncode:
            report.skipped["a real full disk"] = f"mounting is not permitted: {mount.stderr.strip()}"
            return
        try:
            _on_full_disk(Path(folder), sizes_kb, report)
        finally:
            subprocess.run(["umount", "-l", folder], check=False)


def _on_full_disk(folder: Path, sizes_kb: Sequence[int], report: Report) -> None:
    bench = Bench(folder / "bench")
    scenario = SCENARIOS["changed"]
    for free in sizes_kb:
        before, earlier = bench.begin(scenario)
        with tempfile.TemporaryDirectory() as elsewhere:
            ack = Path(elsewhere) / "acks"
            ballast = folder / "ballast"
            _fill(ballast, folder, free)
            ended = bench.act(scenario, ack)
            ballast.unlink()
            problems = judged(bench, scenario, ack, before, earlier) + ended_well(ack, scenario, ended, "ENOSPC")
            problems = problems or recovered(bench, scenario, ack, before, earlier, None)
        report.points += 1
        report.counts["real full disk"] += "error" in ended.facts
        for problem in problems:
            report.violation(f"a disk with {free} kB left: {problem}", AGAIN)


def _fill(ballast: Path, folder: Path, free_kb: int) -> None:
    """Leave so many kilobytes."""
    found = os.statvfs(folder)
    rest = found.f_bavail * found.f_frsize - free_kb * 1024
    with ballast.open("wb") as out:
        out.write(b"\0" * max(0, rest))
