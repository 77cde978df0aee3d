"""Random histories by seed, replayed and made smaller when they end in a disagreement."""

from __future__ import annotations

import random
import time
from collections import Counter
from dataclasses import dataclass, field
from math import inf

from tests.model.judge import Disagreement
from tests.model.machine import WEIGHTS, Machine, Op

LENGTH = 80
"""Steps of one history: long enough for all to meet all, short enough for the memory to stay small."""


@dataclass
class Failure:
    """A history that ends in a disagreement, made as small as it gets."""

    seed: int
    ops: list[Op]
    problem: str


@dataclass
class Report:
    """What a campaign found; `rules` counts the steps of each rule."""

    steps: int = 0
    seconds: float = 0.0
    histories: int = 0
    rules: Counter[str] = field(default_factory=Counter[str])
    failure: Failure | None = None


def history(seed: int, length: int = LENGTH) -> list[Op]:
    """The steps of a seed."""
    draw = random.Random(seed)
    names = draw.choices(list(WEIGHTS), list(WEIGHTS.values()), k=length)
    return [op_of(name, [draw.randrange(100) for _ in range(4)]) for name in names]


def op_of(name: str, numbers: list[int]) -> Op:
    """A step of a rule with its four numbers."""
    a, b, c, d = numbers
    return (name, a, b, c, d)


def problem_of(seed: int, ops: list[Op]) -> str:
    """The disagreement that a history ends in, or nothing."""
    machine = Machine(seed)
    try:
        machine.begin()
        for op in ops:
            machine.step(op)
        machine.finish()
    except Exception as error:  # noqa: BLE001 - an exception of assetflow where none belongs is a finding as well
        place = error.__traceback__
        while place is not None and place.tb_next is not None:
            place = place.tb_next
        where = f"{place.tb_frame.f_code.co_filename}:{place.tb_lineno}" if place is not None else ""
        kind = "" if isinstance(error, Disagreement) else f"{type(error).__name__} at {where}: "
        return f"{kind}{error}"
    finally:
        machine.close()
    return ""


def smaller(seed: int, ops: list[Op], budget_s: float = 60.0) -> list[Op]:
    """The history without what is not needed for it to end in a disagreement."""
    until = time.monotonic() + budget_s
    size = max(1, len(ops) // 2)
    while size:
        place = 0
        while place < len(ops) and time.monotonic() < until:
            shorter = ops[:place] + ops[place + size :]
            if shorter and problem_of(seed, shorter):
                ops = shorter
            else:
                place += size
        size //= 2
    for place in range(len(ops)):
        for n in range(4):
            for value in range(4):
                name, *numbers = ops[place]
                if value < numbers[n] and time.monotonic() < until:
                    numbers[n] = value
                    changed = [*ops[:place], op_of(name, numbers), *ops[place + 1 :]]
                    if problem_of(seed, changed):
                        ops = changed
    return ops


def campaign(steps: int, seed: int, *, shrinks: bool = True, seconds: float = inf) -> Report:
    """Histories from this seed on until so many steps or seconds are over, or one ends in a disagreement."""
    report, began = Report(), time.monotonic()
    while report.steps < steps and report.seconds < seconds:
        ops = history(seed * 1_000_003 + report.histories)
        problem = problem_of(seed * 1_000_003 + report.histories, ops)
        report.histories += 1
        report.steps += len(ops)
        report.rules.update(name for name, *_ in ops)
        report.seconds = time.monotonic() - began
        if problem:
            at = seed * 1_000_003 + report.histories - 1
            least = smaller(at, ops) if shrinks else ops
            report.failure = Failure(at, least, problem_of(at, least) or problem)
            break
    return report
