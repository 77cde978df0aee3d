"""What planning costs as projects grow: `python benchmarks/planning/measure.py [--project]`.

Without options: synthetic specs in memory, planned when nothing has changed, when everything was edited, and when only
sources changed (so that all the rest may be cut off); CPU seconds, microseconds for each asset, and the slope.
With `--project`: a real project of 10,000 assets in 200 modules, built once; then the CPU of the commands, measured in
processes of their own beside that of `python -c pass`: when nothing has changed, in the short way and in the long one,
and what making one edited leaf, or one edited root with all below it, costs beside importing the project.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import runpy
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from msgspec.structs import replace

from assetflow.model.keys import AssetKey
from assetflow.model.records import Head, Trace, TraceInput, Version
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.plan.graph import AssetGraph
from assetflow.plan.planner import SourceNow, World, make_plan
from assetflow.plan.staleness import Content, digest_of, input_key

SIZES = (1_000, 10_000, 100_000)


def spec_of(number: int) -> AssetSpec:
    """One asset of a wide and deep project: most read two others, every hundredth is a source."""
    is_source = number % 100 == 0
    above = () if is_source else (number - 1, number // 2)
    inputs = tuple(InputSpec(f"p{one}", AssetKey(f"a{one}")) for one in dict.fromkeys(above))
    return AssetSpec(
        key=AssetKey(f"a{number}"), kind="source" if is_source else "asset", node=f"a{number}", inputs=inputs,
        group=f"g{number % 50}", owners=(), tags={}, description="", io="" if is_source else "json", file="assets.py",
        line=number, code=f"code {number}", code_parts={f"a{number}": f"p{number}", "helper": "h"},
        packages={"python": "3.11.4", "pandas": "3.0.0"},
    )  # fmt: skip


def head_of(spec: AssetSpec, number: int, contents: Mapping[AssetKey, Content]) -> Head:
    """The head that a run of this asset left."""
    digests = [(one, digest_of(one, contents[one.upstream])) for one in spec.inputs]
    inputs = tuple(TraceInput(one.parameter, one.upstream, one.mode, digest, 1) for one, digest in digests)
    version = Version(number, spec.key, "", 1, f"data {number}", spec.io, f"x{number}", 1, 1, {}, {}, {}, 0.0)
    trace = Trace(
        number, spec.key, "", input_key(spec, digests), spec.code, spec.code_parts or {}, {}, inputs, number, 1,
        version.data_hash, 1, "run", 0.0, 1.0, None, {}, packages=spec.packages,
    )  # fmt: skip
    return Head("dev", trace, version, number, number, 0.0)


def world_of(size: int, *, edited: bool = False, new_sources: bool = False) -> World:
    """A project in which everything was built, and then maybe edited."""
    built = [spec_of(number) for number in range(size)]
    contents = {spec.key: Content(f"data {number}", 1, {}, 1) for number, spec in enumerate(built)}
    heads = {(spec.key, ""): head_of(spec, number, contents) for number, spec in enumerate(built)}
    sources = {
        spec.key: SourceNow(f"{'new' if new_sources else 'data'} {number}")
        for number, spec in enumerate(built)
        if spec.is_source
    }
    specs = [replace(spec, code=f"{spec.code}+") if edited else spec for spec in built]
    return World(AssetGraph(specs), "dev", heads, sources, lambda _: {})


def cpu_of(size: int, **change: bool) -> float:
    """CPU seconds of a plan, the best of three."""
    world = world_of(size, **change)
    best = float("inf")
    for _ in range(3):
        gc.collect()
        began = time.process_time()
        make_plan(world, world.graph.order)
        best = min(best, time.process_time() - began)
    return best


def slopes() -> None:
    """Print what a plan costs at each size, and the exponent of its growth."""
    sys.stdout.write(f"{'assets':>8}  {'unchanged':>18}  {'all edited':>18}  {'new sources':>18}" + "\n")
    cases: Iterable[dict[str, bool]] = ({}, {"edited": True}, {"new_sources": True})
    found = {size: [cpu_of(size, **case) for case in cases] for size in SIZES}
    for size, seconds in found.items():
        sys.stdout.write(f"{size:>8}" + "".join(f"  {one:8.3f} s {1e6 * one / size:5.1f} µs" for one in seconds) + "\n")
    small, large = found[SIZES[0]], found[SIZES[-1]]
    growth = [large[place] / small[place] / (SIZES[-1] / SIZES[0]) for place in range(3)]
    sys.stdout.write("  growth, where 1 is linear:" + "".join(f"  {one:.2f}" for one in growth) + "\n")


def cpu_of_command(command: list[str], folder: Path, **variables: str) -> float:
    """CPU seconds of a process and its children."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"} | variables
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


VERBS = ("--version", "ls", "ls --json", "status", "status --json", "plan", "plan --json", "materialize")
IMPORT = """
import importlib, sys
sys.path.insert(0, ".")
for number in range(int(sys.argv[1])):
    importlib.import_module(f"big.m{number:03d}")
"""


def commands(assets: int, modules: int) -> None:
    """Build a project and print what commands cost in it."""
    place = Path(__file__).parents[1] / "fingerprints" / "measure.py"
    generate = runpy.run_path(str(place))["generate"]

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        generate(root, assets, modules)
        run = [sys.executable, "-m", "assetflow"]
        sys.stdout.write(
            f"built in {cpu_of_command([*run, 'materialize', '-q', '--executor', 'inline'], root):.0f} s of CPU" + "\n"
        )
        base = statistics.median(cpu_of_command([sys.executable, "-c", "pass"], root) for _ in range(15))
        sys.stdout.write(f"{'python -c pass':<28} {1000 * base:7.0f} ms" + "\n")
        sys.stdout.write(f"{'nothing has changed':<28} {'short way':>20}  {'long way':>20}" + "\n")
        for words in VERBS:
            cpu_of_command([*run, *words.split()], root)
            short, long = (
                statistics.median(cpu_of_command([*run, *words.split()], root, ASSETFLOW_SHORT=way) for _ in range(5))
                for way in ("1", "0")
            )
            sys.stdout.write(f"{'assetflow ' + words:<28} {_ratio(short, base)}  {_ratio(long, base)}" + "\n")
        _edits(root, modules, base, run)


def _edits(root: Path, modules: int, base: float, run: list[str]) -> None:
    """Print what a run costs after an edit of one asset, beside importing the project."""
    imports = [sys.executable, "-c", IMPORT, str(modules)]
    cpu_of_command(imports, root)
    importing = statistics.median(cpu_of_command(imports, root) for _ in range(5))
    sys.stdout.write(f"{'importing the project':<28} {_ratio(importing, base)}" + "\n")
    for name, module, asset in (("a leaf", modules - 1, 9), ("a root", 0, 0)):
        path, spent = root / "big" / f"m{module:03d}.py", list[float]()
        for number in range(3):
            lines = path.read_text().splitlines(keepends=True)
            place = next(n for n, line in enumerate(lines) if line.startswith(f"def a{module:03d}_{asset:03d}("))
            lines[place + 2] = f"    total = sum(rows) * RATE_1 + {number}\n"
            path.write_text("".join(lines))
            spent.append(cpu_of_command([*run, "materialize", "-q", "--executor", "inline"], root))
        seconds = statistics.median(spent)
        told = f"{seconds / importing:6.1f} x importing"
        sys.stdout.write(f"{'materialize, edited ' + name:<28} {_ratio(seconds, base)}  {told:>20}" + "\n")


def _ratio(seconds: float, base: float) -> str:
    return f"{1000 * seconds:7.0f} ms {seconds / base:7.1f} x"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--project", action="store_true", help="measure commands in a project of 10,000 assets")
    parser.add_argument("--assets", type=int, default=10_000)
    parser.add_argument("--modules", type=int, default=200)
    options = parser.parse_args()
    if options.project:
        commands(options.assets, options.modules)
    else:
        slopes()
