"""What assetflow costs beside a plain script and beside other tools, on the same work, side by side in one run.

    python benchmarks/peers/measure.py                     # assetflow and the plain script
    python benchmarks/peers/measure.py --only all          # and all peers, in environments made for them
    python benchmarks/peers/measure.py --only dagster,dbt --parts tiny --sizes 10,100 --json figures.json

README.md in the folder above says what is measured and how to read it.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.peers import report, works
from benchmarks.peers.environments import Environments, NotInstalled
from benchmarks.peers.figures import Figure
from benchmarks.peers.tools import bases, choose
from benchmarks.peers.tools.base import Tool

HERE = Path(__file__).resolve().parent
PARTS = ("tiny", "change", "frames")


def main() -> None:
    """Measure, say what is going on on stderr, and print the table."""
    options = _options()
    began = time.perf_counter()

    def said(text: str) -> None:
        sys.stderr.write(f"{time.perf_counter() - began:7.1f} s  {text}\n")

    environments = Environments(options.envs)
    tools = bases(choose(options.only, environments), environments)
    absent = _made(environments, tools, said)
    figures: list[Figure] = []
    about = {"machine": report.machine(), "rounds": options.rounds}
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        bench = works.Bench(Path(folder) / "case", tools, absent, options.rounds, options.full, said)
        for name, part in _parts(options, bench):
            try:
                figures += part()
            except Exception as problem:  # noqa: BLE001 - what one part meets must not lose the others
                said(f"{name} failed: {problem!r}")
                figures.append(Figure(name, "all", 0, "benchmark", "", error=repr(problem)))
            if options.json:
                report.save(options.json, about, figures)
    sys.stdout.write(report.table(report.as_json(figures)))
    said("done")


def _parts(options: argparse.Namespace, bench: works.Bench) -> Iterator[tuple[str, Callable[[], list[Figure]]]]:
    for size in options.sizes if "tiny" in options.parts else ():
        yield "tiny", lambda size=size: works.tiny(bench, size)
    for size in options.change_sizes if "change" in options.parts else ():
        yield "change", lambda size=size: works.changes(bench, size)
    if "frames" in options.parts:
        yield "frames", lambda: works.frames(bench, options.rows)


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
    parser.add_argument("--sizes", type=_numbers, default=[10, 100, 1000], help="how many tiny assets")
    parser.add_argument("--change-sizes", type=_numbers, default=[1000], help="how many, in the part `change`")
    parser.add_argument("--rows", type=int, default=5_000_000, help="of each big frame")
    parser.add_argument("--rounds", type=int, default=3, help="how often each figure is taken")
    parser.add_argument("--full", action="store_true", help="let slow tools take part in larger sizes too")
    parser.add_argument("--envs", type=Path, default=HERE / ".envs", help="folder of the environments of peers")
    parser.add_argument("--folder", type=Path, default=None, help="where projects are made (default: the system's)")
    parser.add_argument("--json", type=Path, help="file that is written after every case")
    return parser.parse_args()


if __name__ == "__main__":
    main()
