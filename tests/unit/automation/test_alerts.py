"""Alerts from the run that fails to the channel that is told: each root cause once, and its end."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from assetflow.automation.alerts import look
from assetflow.catalog.locks import FileLock
from assetflow.cli.main import main
from assetflow.run.locks import run_lock
from tests.unit.automation.alerts_kit import alerts, channel, look_around, send, titles, told, waiting

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="channels of these tests are commands of a shell")

HOUR, DAY = 3600.0, 86_400.0
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
SHOP = """
@asset
def orders() -> int:
    return 1

@asset
def rates() -> int:
    return 1

def make(number):
    @asset(key=f"marts.mart_{number:02}", group="marts", inputs={"above": "orders" if number < 12 else "rates"})
    def mart(above: int) -> int:
        return above
    return mart

marts = [make(number) for number in range(14)]
"""
FAILS = "    raise ValueError('row 17 is empty')\n"


def soon() -> float:
    """A time at which all that is posted by now is due."""
    return time.time() + 1.0


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP, channel())
    return workspace


def breaks(shop: Workspace, name: str = "orders", how: str = FAILS) -> None:
    shop.edit(f"def {name}() -> int:\n    return 1\n", f"def {name}() -> int:\n{how}    return 1\n")


def mends(shop: Workspace, name: str = "orders", how: str = FAILS) -> None:
    shop.edit(f"def {name}() -> int:\n{how}    return 1\n", f"def {name}() -> int:\n    return 1\n")


# ------------------------------------------------------------------------------------------------ root causes, once


def test_one_message_for_a_root_cause_names_all_that_it_blocks(shop: Workspace) -> None:
    breaks(shop)
    shop.materialize()

    send(shop, soon())

    [message] = told(shop.root)
    assert message["title"].endswith("[dev] orders failed: ValueError: row 17 is empty")
    assert message["event"] == "asset.failed"
    assert message["kind"] == "opened"
    assert message["blocked"] == [f"marts.mart_{number:02}" for number in range(12)]
    assert message["where"].startswith("assets.py:")
    assert message["why"] == "never materialized"
    assert message["fix"] == "assetflow logs orders, then assetflow retry 1"
    assert "blocked (12): marts.mart_00, " in message["text"]


def test_two_root_causes_are_two_messages(shop: Workspace) -> None:
    breaks(shop)
    breaks(shop, "rates")
    shop.materialize()

    send(shop, soon())

    assert {message["subject"]: len(message["blocked"]) for message in told(shop.root)} == {"orders": 12, "rates": 2}


def test_what_still_fails_for_the_same_cause_is_told_once(shop: Workspace) -> None:
    breaks(shop)
    shop.materialize()
    send(shop, soon())
    shop.edit("row 17 is empty", "row 18 is empty")  # another message, on another line, of the same error
    shop.edit("    raise", "    pass\n    raise")
    shop.materialize()

    send(shop, soon())

    assert titles(shop.root) == ["orders failed: ValueError: row 17 is empty"]
    [alert] = alerts(shop)
    assert (alert.seen, alert.run_id, alert.is_open) == (2, 2, True)
    assert alert.title == "orders failed: ValueError: row 18 is empty"


def test_another_kind_of_error_is_another_alert(shop: Workspace) -> None:
    breaks(shop)
    shop.materialize()
    send(shop, soon())
    shop.edit("ValueError", "KeyError")
    shop.materialize()

    send(shop, soon())

    assert [title.partition(":")[0] for title in titles(shop.root)] == ["orders failed"] * 2
    assert [alert.how for alert in alerts(shop)] == ["", "other cause"]


def test_a_blocking_check_is_an_event_of_its_own(workspace: Workspace) -> None:
    checked = channel("checks", 'on = "check.failed"', "checks.jsonl")
    workspace.assets(
        """
        @asset(checks=[row_count(2)])
        def orders() -> Rows:
            return [{"n": 1}]
        """,
        channel("assets", 'on = "asset.failed"', "assets.jsonl") + checked,
    )
    workspace.materialize()

    send(workspace, soon())

    [message] = told(workspace.root, "checks.jsonl")
    assert (message["event"], message["subject"]) == ("check.failed", "orders")
    assert message["title"].partition("] ")[2].startswith("orders was refused by a check: ")
    assert told(workspace.root, "assets.jsonl") == []


def test_partitions_that_fail_for_one_cause_are_one_alert_until_all_are_well(workspace: Workspace) -> None:
    workspace.assets(
        """
        BAD = {"a", "b"}

        @asset(partitions=Static(["a", "b", "c"]))
        def orders(partition: Partition) -> int:
            if partition.key in BAD:
                raise ValueError(partition.key)
            return 1
        """,
        channel(),
    )
    workspace.materialize()
    send(workspace, soon())
    workspace.edit('BAD = {"a", "b"}', 'BAD = {"b"}')
    workspace.materialize()
    send(workspace, soon())
    is_open = [alert.is_open for alert in alerts(workspace)]
    workspace.edit('BAD = {"b"}', "BAD = set()")
    workspace.materialize()

    send(workspace, soon())

    assert is_open == [True]
    assert titles(workspace.root) == [
        "orders[a] and 1 more failed: ValueError: a",
        "recovered: orders[b] failed: ValueError: b",
    ]
    assert told(workspace.root)[0]["partitions"] == ["a", "b"]


# ----------------------------------------------------------------------------------------------------------- its end


def test_who_was_told_is_told_when_it_is_over(shop: Workspace) -> None:
    breaks(shop)
    shop.materialize()
    send(shop, soon())
    mends(shop)
    shop.materialize()

    send(shop, soon())
    send(shop, soon())

    assert titles(shop.root) == [
        "orders failed: ValueError: row 17 is empty",
        "recovered: orders failed: ValueError: row 17 is empty",
    ]
    first, last = told(shop.root)
    assert (first["alert"], last["kind"]) == (last["alert"], "recovered")
    assert first["id"] != last["id"]
    assert [alert.how for alert in alerts(shop)] == ["recovered"]


def test_it_is_told_anew_when_it_fails_again_after_that(shop: Workspace) -> None:
    breaks(shop)
    shop.materialize()
    send(shop, soon())
    mends(shop)
    shop.materialize()
    breaks(shop)
    shop.materialize()

    send(shop, soon())

    assert [message["kind"] for message in told(shop.root)] == ["opened", "recovered", "opened"]


def test_what_was_over_before_it_could_be_told_is_one_message(shop: Workspace) -> None:
    breaks(shop)
    shop.materialize()
    mends(shop)
    shop.materialize()

    send(shop, soon())

    assert titles(shop.root) == ["recovered: orders failed: ValueError: row 17 is empty"]


def test_a_channel_that_does_not_want_to_know_the_end_still_learns_of_the_failure(workspace: Workspace) -> None:
    workspace.assets(SHOP, channel(more="recovered = false"))
    breaks(workspace)
    workspace.materialize()
    mends(workspace)
    workspace.materialize()

    send(workspace, soon())

    assert titles(workspace.root) == ["orders failed: ValueError: row 17 is empty"]


def test_an_edit_that_is_taken_back_ends_it_without_a_run(shop: Workspace) -> None:
    shop.materialize()
    breaks(shop)
    shop.materialize()
    mends(shop)
    assert shop.materialize().run_id is None  # what there is fits again

    look_around(shop, soon())

    assert [alert.how for alert in alerts(shop)] == ["recovered"]


def test_what_was_seen_before_it_failed_does_not_end_it(shop: Workspace) -> None:
    shop.materialize()
    project, before = shop.project(), time.time()
    status = project.status(now=before)  # all is well, still
    breaks(shop)
    shop.materialize()

    look(project.settings, project.graph.specs.values(), status, before)

    assert [alert.is_open for alert in alerts(shop)] == [True]


def test_an_asset_that_is_gone_ends_it_in_silence(shop: Workspace) -> None:
    breaks(shop)
    shop.materialize()
    send(shop, soon())
    shop.assets("@asset\ndef rates() -> int:\n    return 1\n", channel())

    look_around(shop, soon())
    send(shop, soon())

    assert [alert.how for alert in alerts(shop)] == ["gone"]
    assert len(told(shop.root)) == 1


def test_a_reminder_comes_after_its_time_and_not_before(workspace: Workspace) -> None:
    workspace.assets(SHOP, channel(more='repeat = "4h"'))
    breaks(workspace)
    workspace.materialize()
    start = soon()
    send(workspace, start)

    for hours in (3, 4, 5, 7.5, 8.1):
        look_around(workspace, start + hours * HOUR)
        send(workspace, start + hours * HOUR)

    assert [message["kind"] for message in told(workspace.root)] == ["opened", "reminder", "reminder"]
    assert titles(workspace.root)[1] == "still: orders failed: ValueError: row 17 is empty"


# ------------------------------------------------------------------------------------------------ who is told of what


def test_a_channel_for_some_assets_hears_of_what_blocks_them(workspace: Workspace) -> None:
    wants = {"rates": "rates", "marts": "group:marts", "orders": "orders"}
    text = "".join(channel(name, f'assets = "{select}"', f"{name}.jsonl") for name, select in wants.items())
    workspace.assets(SHOP, text + channel("prod", 'env = "prod"', "prod.jsonl"))
    breaks(workspace)
    workspace.materialize()

    send(workspace, soon())

    assert {name: len(told(workspace.root, f"{name}.jsonl")) for name in (*wants, "prod")} == {
        "rates": 0, "marts": 1, "orders": 1, "prod": 0,
    }  # fmt: skip


def test_a_channel_that_is_switched_off_is_told_nothing(workspace: Workspace) -> None:
    workspace.assets(SHOP, channel(more="enabled = false"))
    breaks(workspace)
    workspace.materialize()

    found = send(workspace, soon())

    assert found.deliveries == ()
    assert told(workspace.root) == []


def test_a_channel_that_is_gone_loses_its_messages(shop: Workspace) -> None:
    breaks(shop)
    shop.materialize()
    shop.file("assetflow.toml", 'modules = ["assets"]\n' + channel("other", file="other.jsonl"))

    found = send(shop, soon())

    assert [one.is_dropped for one in found.deliveries] == [True]
    assert waiting(shop) == []


# ------------------------------------------------------------------------------------------------ runs without an asset


def test_a_run_that_died_is_seen_by_the_next_round_and_is_over_with_the_next_run(shop: Workspace) -> None:
    shop.edit("def orders() -> int:\n", "def orders() -> int:\n    import os\n    os._exit(9)\n")
    died = subprocess.run(
        [sys.executable, "-m", "assetflow", "materialize"], cwd=shop.root, env=ENVIRONMENT, check=False
    )
    assert died.returncode == 9
    assert not run_lock(shop.project().settings, "dev").is_held_by_anyone()
    look_around(shop, soon())
    send(shop, soon())
    look_around(shop, soon())
    assert [alert.seen for alert in alerts(shop)] == [1]
    shop.edit("    import os\n    os._exit(9)\n", "")
    shop.materialize()

    send(shop, soon())

    assert titles(shop.root) == ["run #1 died: its process is gone", "recovered: run #1 died: its process is gone"]


def test_a_run_that_died_is_seen_by_the_run_that_follows(shop: Workspace) -> None:
    shop.edit("def orders() -> int:\n", "def orders() -> int:\n    import os\n    os._exit(9)\n")
    subprocess.run([sys.executable, "-m", "assetflow", "materialize"], cwd=shop.root, env=ENVIRONMENT, check=False)
    shop.edit("    import os\n    os._exit(9)\n", FAILS)
    shop.materialize()

    send(shop, soon())

    assert titles(shop.root) == ["run #1 died: its process is gone", "orders failed: ValueError: row 17 is empty"]


def test_a_run_that_has_nothing_to_run_on_is_told_of(shop: Workspace) -> None:
    shop.materialize("marts.mart_00", with_upstream=False)

    send(shop, soon())

    [message] = told(shop.root)
    assert (message["event"], message["title"].partition("] ")[2]) == (
        "run.failed",
        "run #1 could not run marts.mart_00",
    )


# ------------------------------------------------------------------------------------------------------------ overdue

LATE = """
raw = source("raw", path="raw.csv")

@asset(freshness=Freshness(within="24h"))
def orders(raw: Rows) -> Rows:
    return raw

@asset(freshness=Freshness(within="24h"))
def revenue(orders: Rows) -> int:
    return len(orders)
"""


@pytest.fixture
def late(workspace: Workspace) -> Workspace:
    workspace.assets(LATE, channel())
    workspace.file("raw.csv", "n\n1\n")
    workspace.materialize().raise_for_status()
    return workspace


def test_what_is_overdue_is_told_once_with_its_root_cause_and_its_end(late: Workspace) -> None:
    start = soon()
    for hours in (1, 25, 26, 30):
        look_around(late, start + hours * HOUR)
        send(late, start + hours * HOUR)
    assert titles(late.root) == ["2 assets are overdue: raw has no newer data"]
    path = late.file("raw.csv", "n\n1\n2\n")
    os.utime(path, (start + 30 * HOUR, start + 30 * HOUR))
    look_around(late, start + 31 * HOUR)  # newer data is there and nobody has run it: that is no news
    send(late, start + 31 * HOUR)
    late.materialize()
    look_around(late, start + 31 * HOUR)

    send(late, start + 31 * HOUR)

    [opened, over] = told(late.root)
    assert (opened["event"], opened["assets"], opened["env"]) == ("asset.overdue", ["orders", "revenue"], "dev")
    assert opened["fix"] == "put newer data there, then assetflow materialize raw+"
    assert (over["kind"], over["alert"]) == ("recovered", opened["alert"])


def test_a_round_looks_at_the_environments_of_jobs_and_channels(
    late: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    late.materialize(env="prod")
    late.file("assetflow.toml", 'modules = ["assets"]\n[jobs.nightly]\ncron = "@daily"\nenv = "prod"\n' + channel())
    monkeypatch.chdir(late.root)
    later = datetime.fromtimestamp(soon() + 25 * HOUR, UTC).isoformat()

    assert main(["alert", "send", "--now", later]) == 0

    assert sorted(message["env"] for message in told(late.root)) == ["dev", "prod"]


def test_what_is_late_because_of_a_failure_that_was_told_is_not_told_again(late: Workspace) -> None:
    start = soon()
    path = late.file("raw.csv", "n\n1\n2\n")
    os.utime(path, (start + 20 * HOUR, start + 20 * HOUR))
    late.edit("    return raw\n", "    raise ValueError('no')\n")
    late.materialize()
    send(late, start + HOUR)

    look_around(late, start + 26 * HOUR)
    send(late, start + 26 * HOUR)

    assert titles(late.root) == ["orders failed: ValueError: no"]
    assert sorted(alert.event for alert in alerts(late)) == ["asset.failed", "asset.overdue"]


# ------------------------------------------------------------------------------------------------------------ sending


def test_a_channel_that_fails_keeps_nobody_waiting_and_is_tried_again_later(workspace: Workspace) -> None:
    broken = '[alerts.broken]\ncommand = ["/bin/sh", "-c", "echo no such host >&2; exit 3"]\n'
    workspace.assets(SHOP, broken + channel())
    breaks(workspace)
    workspace.materialize()
    start = soon()

    found = send(workspace, start)

    assert len(told(workspace.root)) == 1
    assert [one.error for one in found.failed] == ["/bin/sh ended with exit code 3: no such host"]
    [message] = waiting(workspace)
    assert (message.channel, message.tries, message.due_at) == ("broken", 1, start + 30.0)
    assert send(workspace, start + 29.0).deliveries == ()
    send(workspace, start + 30.0)
    [message] = waiting(workspace)
    assert (message.tries, message.due_at) == (2, start + 90.0)


def test_the_waits_grow_to_an_hour_and_end_after_three_days(workspace: Workspace) -> None:
    workspace.assets(SHOP, '[alerts.team]\ncommand = ["/bin/false"]\n')
    breaks(workspace)
    workspace.materialize()
    now = start = soon()
    waits: list[float] = []
    for _ in range(10):
        send(workspace, now)
        [message] = waiting(workspace)
        waits.append(message.due_at - now)
        now = message.due_at

    found = send(workspace, start + 3 * DAY + 60.0)

    assert waits == [30.0, 60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0, 3600.0]
    assert [one.is_dropped for one in found.deliveries] == [True]
    assert waiting(workspace) == []


def test_a_message_that_is_sent_again_has_the_same_id(workspace: Workspace) -> None:
    text = "cat >> told.jsonl; echo >> told.jsonl; [ -e well ]"
    workspace.assets(SHOP, f'[alerts.team]\ncommand = ["/bin/sh", "-c", "{text}"]\n')
    breaks(workspace)
    workspace.materialize()
    send(workspace, soon())
    workspace.file("well", "")

    send(workspace, soon() + 60.0)
    send(workspace, soon() + 999.0)

    first, second = told(workspace.root)
    assert first == second


def test_quiet_hours_put_off_and_do_not_lose(workspace: Workspace) -> None:
    workspace.assets(SHOP, channel(more='quiet = "22:00..07:00"') + channel("loud", file="loud.jsonl"))
    breaks(workspace)
    workspace.materialize()
    midnight = (soon() // DAY + 2) * DAY

    found = send(workspace, midnight + 60.0)

    assert (len(told(workspace.root)), len(told(workspace.root, "loud.jsonl"))) == (0, 1)
    assert found.quiet == {"team": midnight + 7 * HOUR}
    send(workspace, midnight + 7 * HOUR)
    assert len(told(workspace.root)) == 1


def test_what_another_process_is_sending_is_left_to_it(shop: Workspace) -> None:
    breaks(shop)
    shop.materialize()
    lock = FileLock(shop.root / ".assetflow" / "locks" / "alert-team.lock")
    assert lock.acquire()

    with lock:
        found = send(shop, soon())

    assert (found.busy, told(shop.root)) == (("team",), [])
    assert len(send(shop, soon()).deliveries) == 1


def test_the_python_api_records_and_leaves_the_sending_to_the_next_round(shop: Workspace) -> None:
    breaks(shop)

    shop.materialize()

    assert told(shop.root) == []
    assert [message.kind for message in waiting(shop)] == ["opened"]


def test_what_is_over_for_long_is_forgotten(shop: Workspace) -> None:
    breaks(shop)
    shop.materialize()
    mends(shop)
    shop.materialize()
    send(shop, soon())

    look_around(shop, soon() + 91 * DAY)

    assert alerts(shop) == []
