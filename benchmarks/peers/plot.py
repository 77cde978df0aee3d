"""Draws how the time of a first run grows with the number of assets, a line for each tool.

    python benchmarks/peers/plot.py figures.json docs/images/scaling.png

`figures.json` is what `measure.py --json` wrote. matplotlib is in an environment of its own, made when it is missing.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.peers.environments import Environments
from benchmarks.peers.processes import own_environment

HERE = Path(__file__).resolve().parent
STYLES: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "floor": ("plain script", "#8a8a8a", {"linestyle": (0, (4, 2)), "linewidth": 1.8}),
    "assetflow-threads": ("assetflow", "#d1495b", {"linewidth": 3.0, "zorder": 5}),
    "hamilton": ("Hamilton", "#2e7d6b", {}),
    "dagster": ("Dagster, in process", "#5b5fc7", {}),
    "dagster-default": ("Dagster, default", "#5b5fc7", {"linestyle": (0, (1, 1.4))}),
    "prefect": ("Prefect", "#1f77b4", {}),
    "dbt": ("dbt-duckdb", "#e08e0b", {}),
    "sqlmesh": ("SQLMesh", "#7a5c3e", {}),
}
"""What is drawn, how it is called, and how it looks; other tools of the figures are not drawn."""
INK = "#333333"


def main() -> None:
    """Draw in the environment that has matplotlib."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--measure", choices=("wall_s", "cpu_s"), default="wall_s")
    parser.add_argument("--envs", type=Path, default=HERE / ".envs", help="folder of the environments")
    options = parser.parse_args()
    if os.environ.get("ASSETFLOW_PLOT_HERE") is None:
        environments = Environments(options.envs)
        environments.make("plot")
        arguments = [environments.python("plot"), __file__, *sys.argv[1:]]
        sys.exit(
            subprocess.run(arguments, env=own_environment() | {"ASSETFLOW_PLOT_HERE": "1"}, check=False).returncode
        )
    document = json.loads(options.figures.read_text())
    lines = curves(document["figures"], options.measure)
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    draw(lines, options.measure, document["machine"], options.picture)


def curves(figures: Sequence[Mapping[str, Any]], measure: str) -> dict[str, list[tuple[int, float, float, float]]]:
    """Size, median, least and greatest of each tool, by size; tools in the order of `STYLES`."""
    found: dict[str, list[tuple[int, float, float, float]]] = {}
    for tool in STYLES:
        for one in figures:
            if (one["part"], one["case"], one["tool"]) == ("tiny", "everything", tool) and one[measure]:
                spread = one[measure]
                found.setdefault(tool, []).append((one["size"], spread["median"], spread["min"], spread["max"]))
    return {tool: sorted(points) for tool, points in found.items()}


def draw(
    lines: Mapping[str, Sequence[tuple[int, float, float, float]]],
    measure: str,
    machine: Mapping[str, Any],
    picture: Path,
) -> None:
    """Write the picture: both axes logarithmic, each line named at its end, least to greatest as a bar."""
    importlib.import_module("matplotlib").use("Agg")
    plt: Any = importlib.import_module("matplotlib.pyplot")  # only the environment of plots has it

    plt.rcParams.update({"font.size": 11, "font.family": "DejaVu Sans", "axes.edgecolor": INK})
    figure, axes = plt.subplots(figsize=(9.6, 5.8), dpi=150)
    for tool, points in lines.items():
        _, colour, more = STYLES[tool]
        sizes, medians = [one[0] for one in points], [one[1] for one in points]
        axes.plot(sizes, medians, color=colour, **{"linewidth": 1.8, "marker": "o", "markersize": 5, **more})
        axes.vlines(
            sizes, [one[2] for one in points], [one[3] for one in points], color=colour, alpha=0.5, linewidth=1.2
        )
    axes.set(xscale="log", yscale="log", xlabel="assets in the graph")
    sizes = sorted({one[0] for points in lines.values() for one in points})
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.minorticks_off()
    axes.set_xlim(min(sizes) * 0.85, max(sizes) * 1.25)
    values = [one[1] for points in lines.values() for one in points]
    ticks = [one for one in (0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600, 1800) if min(values) / 2 < one < max(values) * 2]
    axes.set_yticks(ticks, [f"{one:g} s" if one < 60 else f"{one / 60:g} min" for one in ticks])
    axes.grid(visible=True, color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(length=0, colors=INK)
    named(axes, lines)
    what = "seconds on the clock" if measure == "wall_s" else "seconds of the processors"
    axes.set_title("Making every asset of a new project", loc="left", fontsize=14, fontweight="bold", color=INK, pad=26)
    axes.text(
        0, 1.03, f"{what}, the whole process · tiny tables, each read from three others · {machine['cores']} cores",
        transform=axes.transAxes, color="#666666", fontsize=10,
    )  # fmt: skip
    figure.savefig(picture, bbox_inches="tight", pad_inches=0.2, facecolor="white")


def named(axes: Any, lines: Mapping[str, Sequence[tuple[int, float, float, float]]]) -> None:
    """Write the name of each line behind its last point, those that end at one size far enough apart."""
    axes.figure.canvas.draw()
    height = 13.5 * axes.figure.dpi / 72
    taken: dict[int, float] = {}
    ends = sorted((points[-1][0], points[-1][1], tool) for tool, points in lines.items())
    for size, seconds, tool in ends:
        label, colour, _ = STYLES[tool]
        _, y = axes.transData.transform((size, seconds))
        y = max(y, taken.get(size, y - height) + height)
        taken[size] = y
        _, moved = axes.transData.inverted().transform((0, y))
        weight = "bold" if tool == "assetflow-threads" else "normal"
        place = {"xytext": (9, 0), "textcoords": "offset points", "va": "center"}
        axes.annotate(label, (size, moved), color=colour, fontweight=weight, **place)


if __name__ == "__main__":
    main()
