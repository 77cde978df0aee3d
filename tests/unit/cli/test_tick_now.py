"""A tick that is tried out at another time sees the partitions that there are at that time."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from assetflow import Project
from assetflow.errors import UsageError
from tests.unit.cli.conftest import Cli

SHOP = """
from assetflow import Daily, Partition, asset, job


@asset(partitions=Daily("2031-02-26"))
def days(partition: Partition) -> list:
    return [{"day": partition.key}]


@asset
def whole(days: list) -> int:
    return len(days)


daily = job("daily", "days", cron="0 6 * * *", tz="UTC", partitions="tick")
every = job("every", "whole", cron="30 6 * * *", tz="UTC")
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "assetflow.toml").write_text('modules = ["shop"]\nexecutor = "inline"\nhive = false\n')
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_tick_makes_what_there_is_at_its_time(shop: Path, cli: Cli) -> None:
    assert cli("schedule", "tick", "--now", "2031-03-01T04:00Z").code == 0
    one = cli("__tick", "daily", "--now", "2031-03-01T06:10Z", "--json").document["data"]
    all_by_then = cli("__tick", "every", "--now", "2031-03-01T06:40Z", "--json").document["data"]

    assert [(tick["state"], tick["run"]) for tick in one["ticks"]] == [("done", 1)]
    assert [(tick["state"], tick["run"]) for tick in all_by_then["ticks"]] == [("done", 2)]
    project = Project.load(shop)
    assert [attempt.partition for attempt in project.run_details(1)[1]] == ["2031-02-28"]
    assert [attempt.partition for attempt in project.run_details(2)[1]] == ["2031-02-26", "2031-02-27", ""]


def test_a_program_may_say_what_time_it_is(shop: Path) -> None:
    project, moment = Project.load(shop), datetime(2031, 2, 28, tzinfo=UTC).timestamp()
    result = project.materialize("days", partitions="latest", now=moment)

    assert [*result.outcomes] == ["days[2031-02-27]"]
    with pytest.raises(UsageError, match="no partition of `2031-02-28` exists"):
        project.materialize("days", partitions="2031-02-28", now=moment)
