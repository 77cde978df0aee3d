"""What a harness did and found: counts, violations with the command that shows each again, and what it left out."""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import dataclass, field

TELL_EACH_S = 15.0


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a harness may do: at most `points` faults and about `seconds`."""

    points: int = 200
    seconds: float = 60.0

    def deadline(self) -> float:
        """The monotonic time at which to stop."""
        return time.monotonic() + self.seconds


@dataclass(slots=True)
class Report:
    """One harness, one seed. `points` counts faults that fired; `skipped` says what could not be tried, and why."""

    harness: str
    seed: int = 0
    points: int = 0
    violations: list[dict[str, str]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    counts: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing was violated and something was tried."""
        return not self.violations and self.points > 0

    def violation(self, what: str, again: str) -> None:
        """Note a broken promise (`P1: ...`) and the command that shows it again."""
        self.violations.append({"what": what, "again": again})

    def merge(self, other: Report) -> None:
        """Add what another worker of the same harness found."""
        self.points += other.points
        self.violations += other.violations
        self.skipped.update(other.skipped)
        self.counts.update(other.counts)
        self.seconds = max(self.seconds, other.seconds)

    def to_json(self) -> dict[str, object]:
        """The report as JSON values."""
        return {
            "harness": self.harness,
            "seed": self.seed,
            "points": self.points,
            "violations": self.violations,
            "skipped": self.skipped,
            "counts": dict(sorted(self.counts.items())),
            "seconds": round(self.seconds, 1),
        }

    @classmethod
    def from_json(cls, found: dict) -> Report:
        """The report that `to_json` wrote."""
        return cls(
            found["harness"], found["seed"], found["points"], found["violations"], found["skipped"],
            Counter(found["counts"]), found["seconds"],
        )  # fmt: skip

    def summary(self) -> str:
        """A few lines for people: at most five violations in full."""
        lines = [f"{self.harness}: {self.points} points, {len(self.violations)} violations, {self.seconds:.0f} s"]
        lines += [f"  {name}: {count}" for name, count in sorted(self.counts.items())]
        lines += [f"  skipped {name}: {why}" for name, why in sorted(self.skipped.items())]
        for found in self.violations[:5]:
            lines += [f"  VIOLATION {found['what']}", f"    again: {found['again']}"]
        return "\n".join(lines)


@dataclass(slots=True)
class Pace:
    """Tells how far a worker is, every fifteen seconds."""

    worker: tuple[int, int] = (0, 1)
    began: float = field(default_factory=time.monotonic)
    told: float = field(default_factory=time.monotonic)

    def tell(self, report: Report) -> None:
        """Say it when it is time."""
        now = time.monotonic()
        if now - self.told < TELL_EACH_S:
            return
        self.told = now
        each = 1000 * (now - self.began) / max(1, report.points)
        who = f"{report.harness} {self.worker[0] + 1}/{self.worker[1]}"
        say(f"{who}: {report.points} points, {each:.0f} ms each, {len(report.violations)} violations")


def say(text: str) -> None:
    """A line on the way, seen at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()
