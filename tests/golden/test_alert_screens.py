"""The screens of `alert`, and of channels that are not what they should be."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

# pyright: basic

Golden = Callable[[str, str], None]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="the channels are commands of a shell")

CHANNELS = """
modules = ["assets"]
workers = 2

[alerts.team]
command = ["cat"]

[alerts.night]
on = ["run.failed", "asset.overdue"]
assets = "group:marts"
command = ["cat"]
quiet = "22:00..17:00"

[alerts.pager]
on = "run.failed"
command = ["/bin/sh", "-c", "echo 'the line is busy' >&2; exit 7"]

[alerts.old]
url = "env:OLD_URL"
enabled = false
"""
BREAKS = ('    print("reading"', '    raise ValueError("no such till")\n    print("reading"')


def test_a_failure_and_its_end(cafe, golden: Golden) -> None:
    golden("alert_ls_no_channels", cafe.run("alert", "ls"))
    cafe.write("assetflow.toml", CHANNELS)
    golden("alert_ls_new", cafe.run("alert", "ls", "--format", "table"))
    golden("alert_history_nothing", cafe.run("alert", "history"))
    golden("alert_test", cafe.run("alert", "test"))
    cafe.change(*BREAKS)
    golden("alert_after_run", cafe.run("materialize", "--progress", "none"))
    golden("alert_ls", cafe.run("alert", "ls", "--format", "table", "--now", "2026-03-05T13:30:02Z"))
    golden("alert_ls_json", cafe.run("alert", "ls", "--json", "--now", "2026-03-05T13:30:02Z"))
    golden("alert_send", cafe.run("alert", "send", "--now", "2026-03-05T17:00:02Z"))
    cafe.change(*reversed(BREAKS))
    cafe.run("materialize", "-q")
    golden("alert_history", cafe.run("alert", "history", "--format", "table"))
    golden("alert_send_nothing", cafe.run("alert", "send", "--now", "2026-03-05T17:00:02Z"))


def test_what_is_not_right(cafe, golden: Golden) -> None:
    cafe.write(
        "assetflow.toml",
        'modules = ["assets"]\n[alerts.team]\nurl = "//hooks.example/abcdef"\non = "asset.fialed"\n'
        '[alerts.marts]\nassets = "group:marts"\n',
    )
    golden("error_alerts", cafe.run("alert", "ls"))
    cafe.write("assetflow.toml", 'modules = ["assets"]\n[alerts.team]\nurl = "nonsense://abcdef"\nassets = "ordrs"\n')
    golden("check_alerts", cafe.run("check"))
    golden("alert_no_form", cafe.run("alert", "mute"))
    golden("alert_no_channel", cafe.run("alert", "test", "taem"))
