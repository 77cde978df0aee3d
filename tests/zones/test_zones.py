from __future__ import annotations

from tests.zones import oracle
from tests.zones.campaign import SHAPES, campaign

HARD = [
    "Europe/London", "America/New_York", "Australia/Lord_Howe", "America/St_Johns", "America/Havana",
    "Africa/Cairo", "Africa/Casablanca", "Asia/Gaza",
]  # fmt: skip


def test_ticks_and_windows_around_changes_of_clocks_are_those_of_the_walk() -> None:
    report = campaign(400, seed=27, names=HARD)

    assert (report.wrong, report.examples, report.windows) == (0, [], 400)
    assert report.ticks > 40_000
    assert report.partitions > 2_000


def test_there_are_forty_shapes() -> None:
    assert len({shape.text for shape in SHAPES}) == len(SHAPES) == 40


def test_the_walk_finds_the_changes_of_a_year() -> None:
    found = [f"{change:%m-%d %H:%M}" for change in oracle.changes("Australia/Lord_Howe", 2026, 2026)]

    assert found == ["04-04 15:00", "10-03 15:30"]
