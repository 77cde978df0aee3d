"""Many edits of many projects, counted: changes that were missed, and assets that were stale for nothing."""

from __future__ import annotations

import gc
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tests.mutations.projects import Edit, World, deal, generate
from tests.mutations.shapes import Shape

_LISTS = ("missed", "needless", "unjustified", "unstable")


@dataclass
class Tally:
    """What a campaign found. An answer is one asset after one edit."""

    edits: int = 0
    changing: int = 0
    answers: int = 0
    stale: int = 0
    missed: list[str] = field(default_factory=list)
    needless: list[str] = field(default_factory=list)
    unjustified: list[str] = field(default_factory=list)
    unstable: list[str] = field(default_factory=list)
    by_shape: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, object]:
        return {
            "edits": self.edits, "changing": self.changing, "answers": self.answers, "stale": self.stale,
            "missed": len(self.missed), "needless": len(self.needless),
            "needless_per_stale": round(len(self.needless) / max(1, self.stale), 5),
            "unjustified": len(self.unjustified), "unstable": len(self.unstable), "seconds": round(self.seconds, 1),
            "examples": {name: sorted(set(getattr(self, name)))[:20] for name in _LISTS},
        }  # fmt: skip


def campaign(edits: int, seed: int, folder: Path | None = None) -> Tally:
    """Make `edits` edits, each from a clean namespace, and judge every asset of the project after each."""
    rng = random.Random(seed)
    shapes = deal(rng)
    tally = Tally()
    started = time.monotonic()
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        while tally.edits < edits:
            with tempfile.TemporaryDirectory(dir=folder) as root:
                _one_project(rng, next(shapes), tally, Path(root).resolve(), edits)
            gc.collect()
    finally:
        sys.dont_write_bytecode = writes
        tally.seconds = time.monotonic() - started
    return tally


def _one_project(rng: random.Random, shapes: Sequence[Shape], tally: Tally, root: Path, most: int) -> None:
    project = generate(rng, shapes)
    world = World(root, project)
    before, values = world.look(None, run=True)
    again, _ = world.look(None, run=False)
    tally.unstable += [f"{'+'.join(project.shapes)}: {name}" for name in before if before[name] != again[name]]
    order = list(project.edits)
    rng.shuffle(order)
    for edit in order[: most - tally.edits]:
        after, computed = world.look(edit, run=True)
        tally.edits += 1
        tally.changing += edit.changes_meaning
        tally.by_shape[edit.name.partition("/")[0]] += 1
        stale = {name for name in before if name not in after or before[name].digest != after[name].digest}
        differs = {name for name in values if values[name] != computed.get(name)}
        _judge(tally, edit, set(before), stale, differs)


def _judge(tally: Tally, edit: Edit, every: set[str], stale: set[str], differs: set[str]) -> None:
    """The values that the assets compute decide first, the label after them."""
    tally.answers += len(every)
    tally.stale += len(stale)
    must = set(edit.stale) | differs
    tally.missed += [f"{edit.name}: {name}" for name in sorted(must - stale)]
    if not edit.others_may:
        needless = sorted(name for name in stale - must if not _sees_all(name))
        tally.needless += [f"{edit.name}: {_without_digits(name)}" for name in needless]
    if edit.changes_meaning and not differs:
        tally.unjustified.append(edit.name)


def _sees_all(name: str) -> bool:
    """Whether the asset imports a module whose name it computes: every change of the project may be one of its own."""
    return name.startswith("f") and name.endswith("_computed")


def _without_digits(name: str) -> str:
    return "".join(one for one in name if not one.isdigit())
