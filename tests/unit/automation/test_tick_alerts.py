"""Alerts of schedules: ticks that were missed or came to nothing, and that they go on; and the daemon's part."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from assetflow.automation.daemon import ALERTS_S, Daemon, Work
from assetflow.automation.declared import Declared
from assetflow.automation.rounds import job_named, resume, see, take_up
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.ticks import Ticks
from assetflow.cli.main import main
from assetflow.load.settings import Settings, read_settings
from assetflow.model.jobs import DONE, FAILED, INTERRUPTED, Tick
from tests.unit.automation.alerts_kit import alerts, channel, send, titles, told, waiting
from tests.unit.automation.test_daemon import START, Heard, child, end, known

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="channels of these tests are commands of a shell")

HOUR = 3600
JOB = '[jobs.hourly]\ncron = "0 * * * *"\n'


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets("@asset\ndef orders() -> int:\n    return 1\n", JOB + channel())
    see(settings_of(workspace), START)
    return workspace


def settings_of(shop: Workspace) -> Settings:
    return read_settings(shop.root, environment={})


def ticks(shop: Workspace, now: float, **ends: object) -> None:
    """Take up what is due, and have the tick end like this."""
    settings = settings_of(shop)
    take_up(settings, job_named(settings, "hourly"), now, lambda tick: replace(tick, **ends), lambda: now)


def test_missed_ticks_are_told_and_over_when_the_job_runs_again(shop: Workspace) -> None:
    shop.edit('cron = "0', 'catchup = "none"\ncron = "0', "assetflow.toml")
    ticks(shop, START + 3 * HOUR + 600)
    send(shop, START + 3 * HOUR + 600)
    ticks(shop, START + 4 * HOUR + 1, state=DONE)

    send(shop, START + 4 * HOUR + 1)

    assert titles(shop.root) == [
        "hourly missed 3 ticks (catchup: none)", "recovered: hourly missed 3 ticks (catchup: none)",
    ]  # fmt: skip
    assert told(shop.root)[0]["fix"] == "assetflow schedule history hourly"


def test_ticks_that_somebody_paused_are_no_news(shop: Workspace) -> None:
    settings = settings_of(shop)
    catalog = Catalog(settings.catalog_path, write=True)
    Ticks(catalog).pause("hourly", "ann", START + 60)
    catalog.close()
    ticks(shop, START + 3 * HOUR)

    resume(settings, job_named(settings, "hourly"), START + 3 * HOUR)

    assert alerts(shop) == []


def test_a_tick_that_could_not_begin_is_told_once(shop: Workspace) -> None:
    for hours in (1, 2, 3):
        ticks(shop, START + hours * HOUR, state=FAILED, note="assets.py:3: cannot be imported")
        send(shop, START + hours * HOUR)

    assert titles(shop.root) == ["hourly could not run: assets.py:3: cannot be imported"]
    [alert] = alerts(shop)
    assert (alert.event, alert.seen) == ("tick.failed", 3)


@pytest.mark.parametrize("note", [INTERRUPTED, "orders failed"])
def test_a_tick_that_was_stopped_or_had_a_run_is_none_of_that(shop: Workspace, note: str) -> None:
    settings = settings_of(shop)

    def begins(tick: Tick) -> Tick:
        if note != INTERRUPTED:  # as a run does that breaks off: it is recorded, and the tick does not learn of it
            catalog = Catalog(settings.catalog_path, write=True)
            catalog.begin_run("dev", selection="", cause="", user="", host="", pid=1, at=1.0, tick=tick)
            catalog.close()
        return replace(tick, state=FAILED, note=note)

    take_up(settings, job_named(settings, "hourly"), START + HOUR, begins, lambda: START + HOUR)

    assert alerts(shop) == []


def test_a_job_that_does_not_load_is_told_by_the_process_of_its_tick(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(shop.root)
    shop.edit("def orders()", "def orders(:", "assets.py")

    assert main(["__tick", "hourly", "--now", "2026-03-01T01:00Z", "--json"]) == 0

    assert titles(shop.root)[0].startswith("hourly could not run: assets.py:")
    assert waiting(shop) == []


# --------------------------------------------------------------------------------------------------------- the daemon


def test_the_daemon_has_alerts_sent_again_and_again(shop: Workspace) -> None:
    now = [float(START)]
    started: list[float] = []

    def tell():
        started.append(now[0])
        return child("print('told')")(Work("tick", ""))

    heard = Heard(then=lambda _: now.__setitem__(0, now[0] + ALERTS_S) if len(started) < 2 else end())
    Daemon(lambda: known(settings_of(shop)), child(""), heard, lambda: now[0], tell).run()

    assert heard.lines == ["alerted: 0 told"] * 2
    assert started == [START, START + ALERTS_S]


def test_the_daemon_of_a_project_with_nobody_to_tell_starts_nothing(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef orders() -> int:\n    return 1\n", JOB)
    looks: list[int] = []

    def looked() -> Declared:
        looks.append(1)
        end()
        return known(settings_of(workspace))

    heard = Heard()
    Daemon(looked, child(""), heard, lambda: START, lambda: pytest.fail("nobody is to be told")).run()

    assert (heard.lines, looks) == ([], [1])


def test_one_call_of_the_daemon_looks_for_what_is_overdue(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    workspace.assets('@asset(freshness=Freshness(within="1ms"))\ndef orders() -> int:\n    return 1\n', channel())
    workspace.materialize()
    monkeypatch.chdir(workspace.root)

    assert main(["daemon", "run", "--once", "--json"]) == 0

    assert json.loads(capsys.readouterr().out)["data"]["ticks"] == []
    assert titles(workspace.root) == ["orders is overdue: orders was not made since, and nothing makes it run"]
