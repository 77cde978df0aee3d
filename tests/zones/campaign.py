"""Windows around changes of clocks: what the package says, and what the walk says."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from random import Random

from assetflow.partitions.cron import ticks
from assetflow.partitions.cron_windows import Cron
from assetflow.partitions.hours import Hourly
from assetflow.partitions.windows import Daily, TimeDefinition
from tests.zones import oracle

SHAPES = tuple(
    oracle.read(text)
    for text in (
        "0 0 * * *", "30 0 * * *", "0 1 * * *", "30 1 * * *", "0 2 * * *", "15 2 * * *", "30 2 * * *", "0 3 * * *",
        "59 23 * * *", "0 6 * * 1-5", "0 12 * * 0", "30 1 * * 7", "0 0 1 * *", "0 2 1,15 * *", "0 1,2,3 * * *",
        "0,30 0-4 * * *", "*/15 1 * * *", "*/20 2 * * *", "* 1 * * *", "5-10 2,3 * * *", "0 0-12/3 * * *",
        "0 22-2 * * *", "0 2 * MAR,OCT,NOV *", "0 0 8-14 * 0", "0 4 */2 * *", "30 2 L * *", "0 2 * * 0#2",
        "30 1 * * L0", "@daily", "@weekly",
        "* * * * *", "*/5 * * * *", "*/15 * * * *", "0 * * * *", "45 * * * *", "0 */2 * * *", "15 */6 * * *",
        "*/7 * * * SUN", "@hourly", "0 0-23 * * *",
    )
)  # fmt: skip
AROUND = timedelta(days=2)
WARM = timedelta(days=2)
MINUTE = timedelta(minutes=1)
SECOND = timedelta(seconds=1)


@dataclass
class Report:
    """How many windows were compared, and the first disagreements."""

    seed: int
    windows: int = 0
    ticks: int = 0
    zones: set[str] = field(default_factory=set)
    changes: int = 0
    mismatches: int = 0
    not_restartable: int = 0
    not_rising: int = 0
    partitions: int = 0
    wrong_partitions: int = 0
    seconds: float = 0.0
    examples: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        return self.mismatches + self.not_restartable + self.not_rising + self.wrong_partitions

    def tell(self, what: str) -> None:
        if len(self.examples) < 10:
            self.examples.append(what)

    def to_json(self) -> dict[str, object]:
        facts: dict[str, object] = dict(vars(self))
        return facts | {"zones": len(self.zones), "seconds": round(self.seconds, 1), "shapes": len(SHAPES)}


def campaign(windows: int, seed: int, names: list[str] | None = None, years: tuple[int, int] = (2020, 2037)) -> Report:
    """Compare so many windows; each zone that has a change in these years comes before any comes again."""
    began = time.monotonic()
    random = Random(seed)
    report = Report(seed)
    waiting = {zone: oracle.changes(zone, *years) for zone in names or oracle.zones()}
    for found in waiting.values():
        random.shuffle(found)
    while report.windows < windows and any(waiting.values()):
        for zone, found in waiting.items():
            if found and report.windows < windows:
                around(zone, found.pop(), random, report)
    report.seconds = time.monotonic() - began
    return report


def around(zone: str, change: datetime, random: Random, report: Report) -> None:
    """Every shape in the four days around a change, and the days and hours of that time."""
    low = change - AROUND + MINUTE * random.randrange(-90, 90)
    high = change + AROUND + MINUTE * random.randrange(-90, 90)
    walked = oracle.walk(zone, low - WARM, int((high - low + WARM) / MINUTE) + 1)
    report.zones.add(zone)
    report.changes += 1
    for shape in SHAPES:
        report.windows += 1
        expected = [tick for tick in oracle.ticks_of(shape, walked) if low < tick <= high]
        compare(zone, shape.text, (low, high), expected, random, report)
    start = f"{low.year - 1}-01-01"
    for definition, starts in (
        (Daily(start, tz=zone), oracle.day_starts(walked)),
        (Hourly(start, tz=zone), oracle.hour_starts(walked)),
    ):
        compare_partitions(definition, [start for start in starts if low < start <= high], zone, report)


def compare(zone: str, text: str, ends: tuple[datetime, datetime], expected: list[datetime], random: Random,
            report: Report) -> None:  # fmt: skip
    """One expression in one window: the same ticks, from any start, each later than the one before."""
    low, high = ends
    actual = [*ticks(text, zone, low, high)]
    report.ticks += len(actual)
    if actual != expected:
        report.mismatches += 1
        odd = sorted({*actual} ^ {*expected})
        report.tell(f"{text} in {zone}: {odd[0].isoformat()} is {'extra' if odd[0] in actual else 'missing'}")
    if any(first >= then for first, then in pairwise(actual)):
        report.not_rising += 1
        report.tell(f"{text} in {zone}: ticks do not rise after {low.isoformat()}")
    middle = random.choice(expected) if expected and random.random() < 0.3 else low + (high - low) * random.random()
    if [*ticks(text, zone, middle, high)] != [tick for tick in expected if tick > middle] or [
        *ticks(text, zone, low, middle)
    ] != [tick for tick in expected if tick <= middle]:
        report.not_restartable += 1
        report.tell(f"{text} in {zone}: other ticks when started at {middle.isoformat()}")
    if random.random() < 0.05:
        compare_partitions(Cron(text, start=f"{low.year - 1}-01-01", tz=zone), expected, zone, report)


def compare_partitions(definition: TimeDefinition, starts: list[datetime], zone: str, report: Report) -> None:
    """A partition begins at each of these instants and nowhere between, and is found again by its key."""
    if not starts:
        return
    first = definition.partition_at(starts[0])
    for place, start in enumerate(starts):
        report.partitions += 1
        ordinal = first + place
        right = (
            definition.window(ordinal).start == start
            and definition.partition_at(start) == ordinal
            and definition.partition_at(start - SECOND) == ordinal - 1
            and definition.ordinal(definition.key(ordinal)) == ordinal
        )
        if not right:
            report.wrong_partitions += 1
            report.tell(f"{definition} in {zone}: no partition of its own from {start.isoformat()}")
            return
