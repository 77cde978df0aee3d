"""The figures as JSON and as a table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.peers.figures import Figure
from benchmarks.peers.processes import Took

MEASURES: dict[str, Callable[[Took], float]] = {
    "wall_s": lambda took: took.wall_s,
    "cpu_s": lambda took: took.cpu_s,
    "peak_mib": lambda took: took.peak_mib,
}


def machine() -> dict[str, Any]:
    """What the figures were taken on."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    packages = ("assetflow", "pandas", "pyarrow", "duckdb", "numpy")
    return {
        "cores": cores,
        "load_before": round(os.getloadavg()[0], 2),
        "system": platform.system(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
    }


def as_json(figures: Sequence[Figure]) -> list[dict[str, Any]]:
    """Each figure with its samples, and its ratios to the base of the same case."""
    return [_one(figure, _base(figure, figures)) for figure in figures]


def save(file: Path, about: dict[str, Any], figures: Sequence[Figure]) -> None:
    """Write what there is so far; a reader never finds half of it."""
    part = file.with_name(file.name + ".part")
    part.write_text(json.dumps({**about, "figures": as_json(figures)}, indent=1) + "\n")
    part.replace(file)


def _base(figure: Figure, figures: Iterable[Figure]) -> Figure | None:
    same = (one for one in figures if (one.part, one.case, one.size) == (figure.part, figure.case, figure.size))
    return next((one for one in same if one.tool == figure.base), None)


def _one(figure: Figure, base: Figure | None) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: getattr(figure, name) for name in ("part", "case", "size", "tool", "base", "note", "error", "made")
    }
    found["rounds"] = len(figure.samples)
    for name, measure in MEASURES.items():
        found[name] = _spread(figure.spread(measure)) if figure.samples else None
        ratio = figure.ratio(base, measure) if base is not None else None
        found["times_" + name.rpartition("_")[0]] = _spread(ratio) if ratio else None
    found["samples"] = [{name: round(measure(one), 4) for name, measure in MEASURES.items()} for one in figure.samples]
    return found


def _spread(values: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip(("median", "min", "max"), (float(f"{value:.4g}") for value in values), strict=True))


def table(figures: Sequence[dict[str, Any]]) -> str:
    """The figures as text, a block for each case; ratios are to the base of the same round, with their extremes."""
    blocks: dict[tuple[str, str, int], list[dict[str, Any]]] = {}
    for one in figures:
        blocks.setdefault((one["part"], one["case"], one["size"]), []).append(one)
    lines: list[str] = []
    for (part, case, size), members in blocks.items():
        head = f"{part}: {case}, {size:,}"
        lines += [
            "",
            f"{head:<34}{'wall s':>9}{'CPU s':>9}{'MiB':>7}  {'CPU, times base':<24}{'wall, times base':<24}n made",
        ]
        lines += [_line(one) for one in members]
    return "\n".join(lines[1:]) + "\n"


def _line(one: dict[str, Any]) -> str:
    if one["error"]:
        return f"  {one['tool']:<32}- {one['error'].splitlines()[0][:120]}"
    made = "" if one["made"] is None else str(one["made"])
    against = f" ({one['base']})" if one["base"] != one["tool"] else ""
    note = f"  {one['note']}" if one["note"] else ""
    return (
        f"  {one['tool'] + against:<32}{one['wall_s']['median']:>9.3f}{one['cpu_s']['median']:>9.3f}"
        f"{one['peak_mib']['median']:>7.0f}  {_times(one['times_cpu']):<24}{_times(one['times_wall']):<24}"
        f"{one['rounds']} {made}{note}"
    ).rstrip()


def _times(spread: dict[str, float] | None) -> str:
    if spread is None:
        return "-"
    return f"x{spread['median']:.3g} ({spread['min']:.3g}..{spread['max']:.3g})"
