"""What assetflow costs beside a plain script and beside other tools, on the same work, side by side in one run.

    python benchmarks/peers/measure.py                     # assetflow and the plain script
    python benchmarks/peers/measure.py --only all          # and all peers, in environments made for them
    python benchmarks/peers/measure.py --only dagster,dbt --parts tiny --sizes 10,100 --json figures.json

README.md in the folder above says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import functools
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.peers import report
from benchmarks.peers.environments import Environments, NotInstalled
from benchmarks.peers.figures import Figure
from benchmarks.peers.partitioned import partitions
from benchmarks.peers.starts import cli
from benchmarks.peers.tools import bases, choose
from benchmarks.peers.tools.base import Tool
from benchmarks.peers.versions import catalog
from benchmarks.peers.works import Bench, changes, frames, tiny

HERE = Path(__file__).resolve().parent
PARTS = ("cli", "tiny", "noop", "change", "frames", "partitions", "catalog")
Part = Callable[[], Iterable[list[Figure]]]
"""Measures a part, and gives the figures of each case as soon as they are there."""
LATER = {"noop": ("nothing",), "change": ("leaf", "root")}
CASES = {"cli": ("everything",), "tiny": ("everything",), "frames": ("frames",), **LATER}
"""The cases of the parts in which several tools take part."""
CATALOG_ASSETS = 1_000
SIZES: dict[str, tuple[object, object]] = {
    "rows": (1_000_000, 5_000_000),
    "sizes": ([10, 100, 1_000], [10, 100, 1_000, 10_000]),
    "change_sizes": ([1_000], [100, 1_000, 10_000]),
    "partitions": (10_000, 100_000),
    "backfill": (1_000, 10_000),
    "versions": (50_000, 1_000_000),
}
"""What is measured without and with `--full`."""


def main() -> None:
    """Measure, say what is going on on stderr, and print the table."""
    options = _options()
    began = time.perf_counter()

    def said(text: str) -> None:
        sys.stderr.write(f"{time.perf_counter() - began:7.1f} s  {text}\n")
        sys.stderr.flush()

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended then too
    environments = Environments(options.envs)
    tools = bases(choose(options.only, environments), environments)
    absent = _made(environments, tools, said)
    names = {tool.environment for tool in tools if tool.environment}
    about = {
        "machine": report.machine(),
        "rounds": options.rounds,
        "pinned": {name: environments.versions(name) for name in sorted(names)},
    }
    figures: list[Figure] = []
    stopped = 0
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        bench = Bench(Path(folder) / "case", tools, absent, options.rounds, options.full, said, environments)
        bench.patience_s = options.patience
        if options.warm:
            bench.warm({case for part in options.parts for case in CASES.get(part, ())})
        for name, size, part in _parts(options, bench):
            try:
                for some in part():
                    figures += some
                    if options.json:
                        report.save(options.json, about, figures)
            except KeyboardInterrupt:
                said(f"stopped in {name}")
                signal.signal(signal.SIGTERM, signal.SIG_IGN)  # what is left to do is short
                stopped = 130
                break
            except Exception as problem:  # noqa: BLE001 - what one part meets must not lose the others
                said("".join(traceback.format_exception(problem)))
                figures.append(Figure(name, "all", size, "benchmark", "", error=repr(problem)))
        if options.json:
            report.save(options.json, about, figures)
    sys.stdout.write(report.headline(about) + "\n\n" + report.table(report.as_json(figures)))
    said("done")
    sys.exit(stopped)


def _parts(options: argparse.Namespace, bench: Bench) -> Iterator[tuple[str, int, Part]]:
    wanted: list[str] = options.parts
    later = [case for part, cases in LATER.items() if part in wanted for case in cases]
    if "cli" in wanted:
        yield "cli", options.cli_size, lambda: [cli(bench, options.cli_size)]
    for size in options.sizes if "tiny" in wanted else ():
        yield "tiny", size, lambda size=size: [tiny(bench, size)]
    for size in options.change_sizes if later else ():
        yield "tiny", size, functools.partial(changes, bench, size, later)
    if "frames" in wanted:
        yield "frames", options.rows, lambda: frames(bench, options.rows)
    if "partitions" in wanted:
        yield "partitions", options.partitions, lambda: [partitions(bench, options.partitions, options.backfill)]
    if "catalog" in wanted:
        yield "catalog", options.versions, lambda: catalog(bench, options.versions, CATALOG_ASSETS)


def _made(environments: Environments, tools: list[Tool], said: Callable[[str], None]) -> dict[str, str]:
    """Make the environments that are needed; why a tool cannot take part, by its name."""
    absent: dict[str, str] = {}
    problems: dict[str, str] = {}
    for tool in tools:
        name = tool.environment
        if name and name not in problems:
            said(f"environment of {name}")
            try:
                environments.make(name)
                problems[name] = ""
            except (NotInstalled, OSError) as problem:
                problems[name] = f"not installed: {problem}"
        if problems.get(name):
            absent[tool.name] = problems[name]
    return absent


def _words(text: str) -> list[str]:
    return [one for one in text.split(",") if one]


def _numbers(text: str) -> list[int]:
    return [int(one) for one in _words(text)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", type=_words, default=["floor", "assetflow"], help="tools, or first words of names")
    parser.add_argument("--parts", type=_words, default=list(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--sizes", type=_numbers, help="how many tiny assets (default: 10,100,1000; full: and 10000)")
    parser.add_argument("--change-sizes", type=_numbers, help="in `noop`, `change` (1000; full: 100,1000,10000)")
    parser.add_argument("--cli-size", type=int, default=1000, help="assets of the project in `cli`")
    parser.add_argument("--rows", type=int, help="of each big frame (default: 1000000; full: 5000000)")
    parser.add_argument("--partitions", type=int, help="of each asset (default: 10000; full: 100000)")
    parser.add_argument("--backfill", type=int, help="partitions that are really made (default: 1000; full: 10000)")
    parser.add_argument("--versions", type=int, help="in the catalog (default: 50000; full: 1000000)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each figure is taken")
    parser.add_argument("--patience", type=float, default=1800, help="seconds after which a process is ended")
    parser.add_argument("--no-warm", dest="warm", action="store_false", help="no run before that is not counted")
    parser.add_argument("--full", action="store_true", help="the larger sizes, and slow tools in larger ones")
    parser.add_argument("--envs", type=Path, default=HERE / ".envs", help="folder of the environments of peers")
    parser.add_argument("--folder", type=Path, default=None, help="where projects are made (default: the system's)")
    parser.add_argument("--json", type=Path, help="file that is written after every case")
    options = parser.parse_args()
    for name, (usual, full) in SIZES.items():
        if getattr(options, name) is None:
            setattr(options, name, full if options.full else usual)
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    return options


if __name__ == "__main__":
    main()
