"""Sensors through the real command line: real processes that are killed, hang, crash and are edited meanwhile."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Folder

pytestmark = pytest.mark.end_to_end

SHOP = """
import json, os, signal, time
from pathlib import Path
from assetflow import RunRequest, asset, sensor

ROOT = Path(__file__).parent

@asset
def orders() -> int:
    return int((ROOT / "data" / "count.txt").read_text())

@sensor(every="1m", timeout="30s")
def letters(context):
    '''Letters, one in each line.'''
    lines = (ROOT / "letters.txt").read_text().splitlines()
    start = int(context.cursor or 0)
    context.cursor = str(len(lines))
    for line in lines[start:]:
        if line == "KILL" and (ROOT / "kill.txt").exists():
            os.kill(os.getpid(), signal.SIGKILL)
        yield RunRequest("orders", key=line)
"""
MORE = """
@sensor(every="1m", timeout=1)
def hangs(context):
    time.sleep(100)

@sensor(every="1m")
def raises(context):
    raise OSError("no net")

@sensor(every="1m")
def exits(context):
    os._exit(7)

@sensor(every="1m")
def odd(context):
    context.cursor = 7

@sensor(every="1m")
def wrong(context):
    return ["orders"]
"""


@pytest.fixture
def folder(make_folder: Callable[[], Folder]) -> Folder:
    found = make_folder()
    found.write("assetflow.toml", 'modules = ["shop"]\ntz = "UTC"\n')
    found.write("shop.py", SHOP)
    found.write("letters.txt", "")
    found.write("data/count.txt", "1")
    return found


def once(folder: Folder, now: str, code: int = 0) -> Any:
    answer = folder.run("daemon", "run", "--once", "--now", now, "--json")
    assert answer.code == code, answer.err
    return answer.data


def history(folder: Folder, name: str) -> Any:
    return folder.run("sensor", "history", name, "--json").data


def test_a_kill_in_a_look_loses_nothing_and_makes_nothing_twice(folder: Folder) -> None:
    folder.write("letters.txt", "one\nKILL\n")
    folder.write("kill.txt", "")

    dead = once(folder, "2026-03-02T06:00Z", code=1)
    Path(folder.path / "kill.txt").unlink()
    alive = once(folder, "2026-03-02T06:01Z")
    folder.write("letters.txt", "one\nKILL\none\nthree\n")
    later = once(folder, "2026-03-02T06:02Z")

    assert [(one["state"], one["note"]) for one in dead["looks"]] == [("failed", "its process died (signal 9)")]
    assert dead["requests"] == []
    assert [(one["key"], one["state"]) for one in alive["requests"]] == [("one", "done"), ("KILL", "done")]
    assert [one["key"] for one in later["requests"]] == ["three"]
    assert [(one["requests"], one["repeated"]) for one in later["looks"]] == [(1, 1)]
    runs = folder.run("runs", "--json").data["runs"]
    assert [run["trigger"] for run in runs] == ["sensor letters"]
    assert alive["requests"][1]["note"] == "nothing to do"


def test_a_sensor_that_fails_is_recorded_and_the_others_go_on(folder: Folder) -> None:
    folder.write("shop.py", SHOP + MORE)
    folder.write("letters.txt", "one\n")

    found = once(folder, "2026-03-02T06:00Z", code=1)

    notes = {one["sensor"]: one["note"] for one in found["looks"] if one["state"] == "failed"}
    assert notes == {
        "exits": "its process ended with exit code 7",
        "hangs": "it did not end within 1.0 s (shop.py:25 in hangs)",
        "odd": "sensor `odd` set its cursor to 7",
        "raises": "shop.py:29: OSError: no net",
        "wrong": "sensor `wrong` gave 'orders'",
    }
    assert [one["sensor"] for one in found["requests"]] == ["letters"]
    assert "in raises" in history(folder, "raises")["looks"][0]["traceback"]
    listed = {one["sensor"]: one["state"] for one in folder.run("sensor", "ls", "--json").data["sensors"]}
    assert listed == {**dict.fromkeys(notes, "failing"), "letters": "on"}


def test_new_code_is_what_looks_next_and_neither_a_dry_run_nor_a_paused_sensor_changes_anything(folder: Folder) -> None:
    folder.write("letters.txt", "one\n")

    dry = folder.run("sensor", "tick", "letters", "--dry-run", "--json")
    assert ([one["key"] for one in dry.data["requests"]], dry.data["cursor"]) == (["one"], "1")
    assert folder.run("sensor", "ls", "--json").data["sensors"][0]["looks"] == 0

    folder.replace("shop.py", "key=line)", 'key=line + "!")')
    assert folder.run("sensor", "pause", "letters").code == 0
    assert folder.run("sensor", "tick", "letters", "--json").data["looks"] == []
    assert folder.run("sensor", "resume", "letters", "--json").data["changed"]
    looked = folder.run("sensor", "tick", "letters", "--json").data
    assert [one["key"] for one in looked["requests"]] == ["one!"]

    folder.write("shop.py", SHOP + "\n(")
    broken = folder.run("sensor", "tick", "letters", "--dry-run")
    assert (broken.code, "shop.py" in broken.err) == (3, True)
    assert "assetflow check" in folder.run("sensor", "ls").out


ON_UPDATE = """
from assetflow import asset, job, on_update

@asset
def orders() -> int:
    return 1

@asset
def mart() -> int:
    return 1

own = job("own", "mart", on=on_update(orders))
far = job("far", "mart", on=on_update("orders", project="../warehouse"))
"""


def test_a_job_runs_once_for_each_new_content_whatever_the_clock_says(folder: Folder, tmp_path: Path) -> None:
    other = folder.beside(tmp_path / "warehouse")
    other.write("assetflow.toml", 'modules = ["shop"]\n')
    other.write("shop.py", SHOP)
    other.write("letters.txt", "")
    other.write("data/count.txt", "1")
    folder.write("shop.py", ON_UPDATE)

    def asked(now: str) -> list[str]:
        return [f"{one['sensor']} {one['state']}" for one in once(folder, now)["requests"]]

    assert asked("2026-03-02T06:00Z") == []  # it begins with what is there
    folder.run("materialize", "orders")
    other.run("materialize", "orders")
    before = (tmp_path / "warehouse" / ".assetflow" / "catalog.db").read_bytes()
    assert asked("2026-03-02T05:00Z") == ["far done", "own done"]
    assert (tmp_path / "warehouse" / ".assetflow" / "catalog.db").read_bytes() == before  # it is only read
    assert asked("2031-03-02T06:00Z") == []
    folder.run("materialize", "orders", "--force")  # a new version would be, but the content is the same
    assert asked("2026-03-02T06:10Z") == []
    other.write("data/count.txt", "2")
    other.run("materialize", "orders", "--force")
    assert asked("2026-03-01T06:10Z") == ["far done"]
    assert [one["note"] for one in history(folder, "far")["looks"] if one["state"] == "requested"] == [
        "../warehouse:orders",
        "../warehouse:orders",
    ]

    (tmp_path / "warehouse").rename(tmp_path / "gone")
    failed = once(folder, "2026-03-02T06:20Z", code=1)
    assert [(one["sensor"], one["state"]) for one in failed["looks"]] == [("far", "failed")]
    (tmp_path / "gone").rename(tmp_path / "warehouse")
    assert asked("2026-03-02T06:30Z") == []


def test_the_daemon_looks_by_itself_and_runs_what_is_asked_for(folder: Folder) -> None:
    folder.write("letters.txt", "one\n")
    folder.write(
        "shop.py",
        SHOP + '\nfrom assetflow import job, on_update\nafter = job("after", "orders", on=on_update("orders"))\n',
    )
    once(folder, "2026-03-02T06:00Z")
    folder.write("data/count.txt", "2")
    folder.write("letters.txt", "one\ntwo\n")
    with folder.start("daemon", "run", "--json") as child:
        try:
            assert child.stdout is not None
            seen: list[str] = []
            for line in child.stdout:
                event = json.loads(line)
                if event["event"] == "request":
                    seen.append(f"{event['sensor']} {event['state']}")
                if len(seen) == 2:
                    break
            child.send_signal(signal.SIGTERM)
            child.communicate(timeout=30)
        finally:
            child.kill()

    assert seen == ["letters done", "after done"]
