"""Jobs of modules, and jobs over partitions, through the real command line."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.end_to_end.conftest import Folder

pytestmark = pytest.mark.end_to_end

SHOP = """
from assetflow import Daily, Multi, Partition, RunRequest, Static, asset, job, schedule

@asset(partitions=Daily("2026-03-01", tz="Europe/London"))
def days(partition: Partition) -> int:
    return partition.start.day

@asset(partitions=Multi({"day": Daily("2026-03-01"), "airport": Static(["JFK", "LAX"])}))
def flights(partition: Partition) -> str:
    return partition.key

@asset
def whole() -> int:
    return 1

daily = job("daily", "days flights", cron="0 6 * * *", tz="Europe/London", partitions="tick", catchup="all")

@schedule("0 7 * * *", tz="Europe/London", catchup="all")
def mornings(at):
    if at.day == 4:
        raise ValueError("not on the fourth")
    return RunRequest("whole") if at.weekday() < 5 else None
"""


@pytest.fixture
def folder(make_folder: Callable[[], Folder]) -> Folder:
    found = make_folder()
    found.write("assetflow.toml", 'modules = ["shop"]\ntz = "UTC"\n')
    found.write("shop.py", SHOP)
    assert found.run("schedule", "tick", "--now", "2026-03-01T04:00Z").code == 0
    return found


def ticks(folder: Folder, now: str, job: str, code: int = 0) -> list[tuple[str, str, str | None]]:
    answer = folder.run("schedule", "tick", job, "--now", now, "--json")
    assert answer.code == code, answer.err
    return [(one["scheduled_at"][8:16], one["state"], one["note"]) for one in answer.data["ticks"]]


def test_each_tick_makes_the_partition_that_had_just_ended(folder: Folder) -> None:
    found = ticks(folder, "2026-03-03T06:30Z", "daily")

    assert found == [("01T06:00", "done", "nothing to do"), ("02T06:00", "done", None), ("03T06:00", "done", None)]
    made = {
        one["partition"]
        for run in folder.run("runs", "--json").data["runs"]
        for one in folder.run("runs", "show", str(run["run"]), "--json").data["attempts"]
    }
    assert made == {f"2026-03-0{day}{axis}" for day in (1, 2) for axis in ("", "|JFK", "|LAX")}


def test_a_function_says_what_is_run_at_a_tick_and_fails_alone(folder: Folder) -> None:
    found = ticks(folder, "2026-03-05T08:00Z", "mornings", code=1)

    assert found == [
        ("01T07:00", "done", "nothing was asked for"),
        ("02T07:00", "done", None),
        ("03T07:00", "done", "nothing to do"),
        ("04T07:00", "failed", "shop.py:21: ValueError: not on the fourth"),
        ("05T07:00", "done", "nothing to do"),
    ]


def test_jobs_of_modules_that_do_not_load_now_are_neither_lost_nor_made_up_for_twice(folder: Folder) -> None:
    folder.write("shop.py", SHOP + "\n(")
    assert folder.run("schedule", "tick", "--now", "2026-03-03T06:10Z").code == 0
    answer = folder.run("schedule", "tick", "daily", "--now", "2026-03-03T06:10Z")
    assert answer.code == 3
    assert "shop.py:" in answer.err
    assert "assetflow check" in folder.run("schedule", "ls").out

    folder.write("shop.py", SHOP)

    assert [tick[:2] for tick in ticks(folder, "2026-03-03T06:20Z", "daily")] == [
        ("01T06:00", "done"), ("02T06:00", "done"), ("03T06:00", "done"),
    ]  # fmt: skip
