"""Figures: what was measured of each tool, in turns, and how it compares with the base of the same round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.peers.processes import Command, ProcessFailed, Took, run

LEFT_OUT = "left out"
"""So the error of a figure begins that is missing on purpose."""


class WrongOutput(Exception):
    """A run ended well and left something else than it should have."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One side of a comparison.

    Attributes:
        tool: whose figure it is.
        prepare: gives the process to be measured; what it does itself is not measured.
        check: looks at what was left; raises `WrongOutput`, or returns how many outputs were made.
        base: the tool that this one is compared with; its own name for a base.
        rounds: in how many rounds it takes part; 0: no more than it is asked for.
        note: what a reader has to know of this figure.
        needed: how many outputs have to be made, where that is a question.
        timeout_s: after so long the process is ended.
    """

    tool: str
    prepare: Callable[[], Command]
    check: Callable[[], int | None]
    base: str
    rounds: int = 0
    note: str = ""
    needed: int | None = None
    timeout_s: float = 600


@dataclass(slots=True)
class Figure:
    """What was measured of one tool in one case.

    Attributes:
        part: the part of the benchmark.
        case: the case in it, such as `everything`.
        size: assets, rows or versions.
        tool: whose figure it is.
        base: the tool that it is compared with.
        note: what a reader has to know.
        error: why there is none; samples of rounds before the failure are dropped.
        samples: what each round took.
        made: outputs that the last round made, if that can be seen.
        needed: how many had to be made; None where that is no question.
        facts: figures that are not of processes, by what they are of.
    """

    part: str
    case: str
    size: int
    tool: str
    base: str
    note: str = ""
    error: str = ""
    samples: list[Took] = field(default_factory=list[Took])
    made: int | None = None
    needed: int | None = None
    facts: dict[str, float] = field(default_factory=dict[str, float])

    def spread(self, value: Callable[[Took], float]) -> tuple[float, float, float]:
        """Median, least and greatest of the samples."""
        found = [value(one) for one in self.samples]
        return median(found), min(found), max(found)

    def ratio(self, base: Figure, value: Callable[[Took], float]) -> tuple[float, float, float] | None:
        """Median, least and greatest of the ratios within a round; None without rounds in common."""
        found = [value(own) / value(other) for own, other in zip(self.samples, base.samples, strict=False)]
        return (median(found), min(found), max(found)) if found else None


def in_turns(
    part: str, case: str, size: int, turns: Sequence[Turn], rounds: int, said: Callable[[str], None]
) -> list[Figure]:
    """The figures of all sides: A B C A B C, so that whatever else the machine does meets all of them alike."""
    figures = [Figure(part, case, size, one.tool, one.base, one.note, needed=one.needed) for one in turns]
    for number in range(rounds):
        for turn, figure in zip(turns, figures, strict=True):
            if figure.error or (turn.rounds and number >= turn.rounds):
                continue
            said(f"{part} {case} {size}: {turn.tool}, round {number + 1}")
            try:
                took = run(turn.prepare(), turn.timeout_s)
                figure.made = turn.check()
            except (ProcessFailed, WrongOutput, OSError) as problem:
                figure.error, figure.samples = f"{_at_least(problem, figure, figures)}{problem}", []
                said(f"{turn.tool} failed: {problem}")
            else:
                figure.samples.append(took)
    return figures


def _at_least(problem: Exception, figure: Figure, figures: Sequence[Figure]) -> str:
    """Of a process that was not done in time, how much longer than its base it took at least."""
    late_s = getattr(problem, "late_s", None)
    base = next((one for one in figures if one.tool == figure.base and one.samples), None)
    if late_s is None or base is None:
        return ""
    return f"more than {late_s / base.samples[-1].wall_s:.3g} x {base.tool}, "
