"""How much sooner assets that only compute in Python are done in child processes, and what a child costs.

python benchmarks/execution/measure.py [--seconds 4] [--tiny 50]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

from assetflow import Project

HEAVY = """
from assetflow import asset


def work(rounds: int) -> int:
    total = 0
    for number in range(rounds):
        total = (total * 31 + number) % 1_000_003
    return total


@asset
def one() -> int:
    return work({rounds})


@asset
def two() -> int:
    return work({rounds} + 1)
"""

TINY = """
from assetflow import asset


def make(number: int):
    @asset(key=f"tiny_{{number}}"{options})
    def tiny() -> int:
        return number

    return tiny


made = [make(number) for number in range({count})]
"""


def took(text: str, executor: str, workers: int) -> float:
    """Seconds of one run of a new project, without loading it here."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "assetflow.toml").write_text('modules = ["assets"]\n')
        (root / "assets.py").write_text(text)
        with Project.load(root) as project:
            project._load()
            began = time.perf_counter()
            project.materialize(executor=executor, workers=workers).raise_for_status()
            return time.perf_counter() - began


def rounds_for(seconds: float) -> int:
    """How many rounds of the loop take so long here."""
    began = time.perf_counter()
    total = 0
    for number in range(1_000_000):
        total = (total * 31 + number) % 1_000_003
    return int(1_000_000 * seconds / (time.perf_counter() - began))


def main() -> None:
    """Measure and say."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=6.0, help="of each of the two heavy assets")
    parser.add_argument("--tiny", type=int, default=100, help="how many tiny assets")
    options = parser.parse_args()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    heavy = HEAVY.format(rounds=rounds_for(options.seconds))
    lines = [f"{cores} cores, {os.getloadavg()[0]:.1f} load before"]
    inline = took(heavy, "inline", 1)
    for executor in ("inline", "threads", "processes"):
        seconds = inline if executor == "inline" else took(heavy, executor, 2)
        lines.append(f"two heavy assets, {executor:<9} {seconds:6.2f} s  {inline / seconds:4.2f} x")
    for name, executor, more in (
        ("in a child that is used again", "processes", ""),
        ("in a child of its own each", "processes", ', isolation="process"'),
        ("in threads", "threads", ""),
    ):
        few = took(TINY.format(count=2, options=more), executor, 2)
        many = took(TINY.format(count=2 + options.tiny, options=more), executor, 2)
        lines.append(f"a tiny asset {name:<30} {(many - few) / options.tiny * 1000:6.1f} ms (start: {few:.2f} s)")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
