"""What it costs to ask: the start of command lines, and the looks that load no values, beside `python -c pass`."""

from __future__ import annotations

import functools
import sys

from benchmarks.peers.figures import Figure, Turn, in_turns
from benchmarks.peers.graphs import layered
from benchmarks.peers.processes import Command, ProcessFailed, run
from benchmarks.peers.works import NOTHING, Bench

ROUNDS_MORE = 3
"""What is short has so many times the rounds of other parts."""
SLOW_SIZE = 500
"""With so many assets and more, verbs of peers that load a project are measured in one round."""


def cli(bench: Bench, size: int) -> list[Figure]:
    """The verbs of each command line, with a project of tiny assets that are all there."""
    bench.clear()
    python = functools.partial(Command, folder=bench.folder)
    turns = [
        _turn(NOTHING, python((sys.executable, "-c", "pass"))),
        _turn("python -c 'import pandas'", python((sys.executable, "-c", "import pandas"))),
    ]
    others: list[Figure] = []
    graph = layered(size)
    for tool in bench.tools:
        looks = tool.looks(bench.folder / tool.name)
        error = bench.absent.get(tool.name, "")
        try:
            if looks and not error:
                root = bench.add(tool, graph)
                if tool.is_looked_at_made:
                    bench.said(f"cli {size}: {tool.name} makes everything")
                    run(tool.make(root))
        except (ProcessFailed, OSError) as problem:
            error = str(problem)
        for name, command in looks.items():
            is_slow = size >= SLOW_SIZE and "--version" not in name
            rounds = (1 if is_slow else bench.rounds) if tool.environment else 0
            if error:
                others.append(Figure("cli", "verbs", size, name, NOTHING, error=error))
            else:
                turns.append(_turn(name, command, rounds))
    return in_turns("cli", "verbs", size, turns, bench.rounds * ROUNDS_MORE, bench.said) + others


def _turn(name: str, command: Command, rounds: int = 0) -> Turn:
    return Turn(name, lambda: command, lambda: None, NOTHING, rounds)
