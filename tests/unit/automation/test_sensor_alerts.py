"""Alerts of sensors that fail again and again, and that they look again."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from assetflow.automation.sensing import record, record_failure, sense, state_of
from assetflow.errors import AssetFailed
from assetflow.load.settings import Settings, read_settings
from assetflow.model.sensors import SensorSpec
from tests.unit.automation.alerts_kit import alerts, channel, look_around, send, titles, told

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="channels of these tests are commands of a shell")

LETTERS = """
@asset
def orders() -> int:
    return 1


@sensor(every="30s")
def letters(context):
    return None
"""
SPEC = SensorSpec("letters", 30.0, 60.0)


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(LETTERS, channel())
    workspace.project()
    return workspace


def settings_of(shop: Workspace) -> Settings:
    return read_settings(shop.root, environment={})


def fails(shop: Workspace, now: float, why: str) -> None:
    settings = settings_of(shop)
    record_failure(settings, state_of(settings, "letters"), AssetFailed(why), now)
    send(shop, now)


def looks(shop: Workspace, now: float) -> None:
    settings = settings_of(shop)
    seen = state_of(settings, "letters")
    record(settings, seen, sense(settings, SPEC, seen, now), now)
    send(shop, now)


def test_a_sensor_that_fails_again_and_again_is_told_once_and_when_it_is_over(shop: Workspace) -> None:
    for number, why in enumerate(["no mail", "no mail", "no server", "no server", "no mail"]):
        fails(shop, 100.0 + 30 * number, why)
    looks(shop, 300.0)
    looks(shop, 330.0)

    assert titles(shop.root) == [
        "letters failed 3 times in a row: no server", "recovered: letters failed 5 times in a row: no mail",
    ]  # fmt: skip
    assert told(shop.root)[0]["fix"] == "assetflow sensor history letters"
    [alert] = alerts(shop)
    assert (alert.event, alert.subject, alert.seen) == ("sensor.failed", "letters", 3)


def test_one_that_fails_now_and_then_is_none(shop: Workspace) -> None:
    for number in range(6):
        fails(shop, 100.0 + 30 * number, "no mail")
        if number % 2:
            looks(shop, 110.0 + 30 * number)

    assert alerts(shop) == []


def test_the_alert_of_a_sensor_that_is_gone_is_over(shop: Workspace) -> None:
    for number in range(3):
        fails(shop, 100.0 + number, "no mail")
    look_around(shop, 200.0)
    assert len(alerts(shop)) == 1
    assert alerts(shop)[0].closed_at is None

    shop.edit('@sensor(every="30s")\n', "")
    look_around(shop, 300.0)

    assert (alerts(shop)[0].closed_at, alerts(shop)[0].how) == (300.0, "gone")
