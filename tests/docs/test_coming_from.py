"""The projects of docs/coming-from do what their pages promise, also where a screen shows only a part of it."""

from __future__ import annotations

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assetflow import Project
from assetflow.load.definitions import load_project
from assetflow.load.manifest import write_manifest
from assetflow.load.settings import read_settings

PROJECTS = Path(__file__).resolve().parents[2] / "docs" / "coming-from"

Opened = Callable[[], Project]


@pytest.fixture
def opened(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Opened]:
    """Opens a copy of the project named by the test's parameter, anew each time, from within its folder."""
    name = request.param
    folder = tmp_path / name
    shutil.copytree(PROJECTS / name, folder, ignore=shutil.ignore_patterns(".assetflow", "__pycache__"))
    monkeypatch.chdir(folder)
    before, path = set(sys.modules), list(sys.path)
    settings = read_settings(folder, {})
    write_manifest(settings, load_project(settings))
    yield lambda: Project.load(folder)
    sys.path[:] = path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(folder)):
            del sys.modules[name]


def states(project: Project, now: float | None = None) -> dict[str, str]:
    plan = project.plan(now=now)
    return {str(step.asset): str(step.action) for step in plan if not step.spec.is_source}


@pytest.mark.parametrize("opened", ["airflow"], indirect=True)
def test_extract_is_tried_three_times_and_then_the_rest_waits(opened: Opened) -> None:
    for number in (1, 2, 3):
        Path(f"down-{number}").mkdir()
    failed = opened().materialize()

    assert {one.asset: one.state for one in failed} == {"extract": "failed", "transform": "blocked", "load": "blocked"}
    assert failed.run_id is not None
    tries = [(one.number, one.state) for one in opened().run_details(failed.run_id)[1] if one.asset == "extract"]
    assert tries == [(1, "failed"), (2, "failed"), (3, "failed")]
    assert not Path("delivered").exists()
    assert opened().materialize().ok
    assert Path("delivered/day.json").read_text() == '{"payments": 3, "total": 59.75, "largest": 40.0}'


@pytest.mark.parametrize("opened", ["dagster"], indirect=True)
def test_orders_become_days_and_a_late_order_makes_them_again(opened: Opened) -> None:
    assert opened().materialize().ok
    assert opened().read("daily_revenue")["so_far"].tolist() == [25.5, 40.0, 70.0]
    assert opened().materialize().run_id is None
    with Path("data/raw_orders.csv").open("a") as file:
        file.write("6,2026-03-01 10:00:00,4.5\n7,2026-03-01 11:00:00,\n")

    assert {one.asset: one.state for one in opened().materialize("+daily_revenue")} == dict.fromkeys(
        ("cleaned_orders", "orders_by_day", "daily_revenue"), "materialized"
    )
    assert opened().read("daily_revenue")["so_far"].tolist() == [30.0, 44.5, 74.5]
    assert opened().read("orders_by_day")["orders"].tolist() == [3, 1, 1]


@pytest.mark.parametrize("opened", ["prefect"], indirect=True)
def test_what_was_extracted_counts_for_an_hour(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    assert opened().materialize().ok
    done = time.time()
    delivered = Path("delivered/readings.json").stat().st_mtime_ns

    assert set(states(opened(), done + 3590).values()) == {"current"}
    assert states(opened(), done + 3601) == {"extract": "run", "transform": "maybe", "load": "maybe"}

    monkeypatch.setattr(time, "time", lambda: done + 3601)
    run = opened().materialize()
    assert {one.asset: one.state for one in run} == {"extract": "unchanged", "transform": "cut_off", "load": "cut_off"}
    assert Path("delivered/readings.json").stat().st_mtime_ns == delivered, "what is the same is not delivered again"
    assert opened().materialize().run_id is None
