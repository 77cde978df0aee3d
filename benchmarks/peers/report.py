"""The figures as JSON and as a table."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.peers.figures import LEFT_OUT, Figure
from benchmarks.peers.processes import Took

PLAIN = ("part", "case", "size", "tool", "base", "note", "error", "made", "needed", "facts")
"""What is written as it is."""
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


def headline(about: dict[str, Any]) -> str:
    """What a reader of the table has to know of the machine."""
    on = about["machine"]
    packages = ", ".join(f"{name} {version}" for name, version in on["versions"].items())
    return f"{on['cores']} cores, {on['load_before']} of load before, Python {on['python']}, {packages}"


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
        name: getattr(figure, name)
        for name in ("part", "case", "size", "tool", "base", "note", "error", "made", "needed", "facts")
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
        wide = max(len(head), *(len(_name(one)) for one in members)) + 2
        columns = f"{'wall s':>9}{'CPU s':>9}{'MiB':>7}  {'CPU, of base':<23}{'wall, of base':<23}rounds"
        lines += ["", head.ljust(wide) + columns if any(one["rounds"] for one in members) else head]
        for one in members:
            lines += _lines(one, wide, figures)
    return "\n".join(lines[1:]) + "\n"


def _name(one: dict[str, Any]) -> str:
    return f"  {one['tool']}" + (f" ({one['base']})" if one["base"] not in ("", one["tool"]) else "")


def _lines(one: dict[str, Any], wide: int, figures: Sequence[dict[str, Any]]) -> list[str]:
    if one["error"]:
        return [f"{_name(one):<{wide}} - {one['error'].splitlines()[0][:160]}{_estimate(one, figures)}"]
    if not one["rounds"]:
        return [f"  {name:<60}{value:>14,.6g}" for name, value in one["facts"].items()]
    return [
        f"{_name(one):<{wide}}{one['wall_s']['median']:>9.3f}{one['cpu_s']['median']:>9.3f}"
        f"{one['peak_mib']['median']:>7.0f}  {_times(one['times_cpu']):<23}{_times(one['times_wall']):<23}"
        f"{one['rounds']}{_made(one)}{'  ' + one['note'] if one['note'] else ''}".rstrip()
    ]


def _made(one: dict[str, Any]) -> str:
    if one["made"] is None or one["needed"] is None:
        return ""
    return f"  made {one['made']}" + (f", needed {one['needed']}" if one["made"] != one["needed"] else "")


def _times(spread: dict[str, float] | None) -> str:
    if spread is None:
        return "-"
    return f"x{spread['median']:.3g} ({spread['min']:.3g}..{spread['max']:.3g})"


def _estimate(one: dict[str, Any], figures: Sequence[dict[str, Any]]) -> str:
    """What a size that was left out would take, by what each asset more took in the two largest that were measured."""
    same = [other for other in figures if all(other[key] == one[key] for key in ("part", "case", "tool"))]
    known = sorted((other["size"], other["wall_s"]["median"]) for other in same if other["rounds"])[-2:]
    if not one["error"].startswith(LEFT_OUT) or len(known) < 2:
        return ""
    (few, less), (many, more) = known
    seconds = more + (more - less) / (many - few) * (one["size"] - many)
    return f"; by what each asset more took from {few} to {many}: about {seconds:.3g} s of the wall"
