"""What very many partitions cost: the figures of `benchmarks/partitions`, and how many starts of Python each is."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from statistics import median

from benchmarks.peers.figures import Figure
from benchmarks.peers.processes import Command, own_environment, run
from benchmarks.peers.works import Bench

MEASURE = Path(__file__).resolve().parents[1] / "partitions" / "measure.py"
REPOSITORY = MEASURE.parents[2]


def partitions(bench: Bench, count: int, made: int) -> list[Figure]:
    """Two assets of so many partitions, looked at; and partitions of trivial ones that are really made."""
    bench.said(f"partitions: {count} of each of two assets, and {made} that are made")
    bench.folder.mkdir(exist_ok=True)
    start = Command((sys.executable, "-c", "pass"), bench.folder)
    starts = [run(start) for _ in range(3)]
    arguments = [sys.executable, str(MEASURE), "--json", "--partitions", str(count), "--backfill", str(made)]
    done = subprocess.run(
        arguments, capture_output=True, text=True, check=False, env=own_environment() | {"PYTHONPATH": str(REPOSITORY)}
    )
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines() or [""]
        return [Figure("partitions", "all", count, "assetflow", "", error="\n".join((lines[-1], *lines[-20:])))]
    starts += [run(start) for _ in range(3)]
    facts: dict[str, float] = {"python -c pass, s of the wall": round(median(one.wall_s for one in starts), 4)}
    start_s = facts["python -c pass, s of the wall"]
    for name, value in json.loads(done.stdout.splitlines()[-1]).items():
        facts[name] = value
        if ", s" in name:
            facts[f"  in starts of Python: {name.replace(', s', '')}"] = round(value / start_s, 2)
    return [Figure("partitions", "looks and backfill", count, "assetflow", "", facts=facts)]
