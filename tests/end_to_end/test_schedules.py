"""Schedules through the real command line: real processes, real locks, real kills; the time is given with --now."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.conftest import Folder

pytestmark = pytest.mark.end_to_end

JOBS = """
modules = ["assets"]
tz = "UTC"
[jobs.nightly]
cron = "0 7 * * *"
select = "+report"
[jobs.every]
cron = "0 * * * *"
select = "apart"
catchup = "all"
[jobs.strict]
cron = "30 * * * *"
select = "apart"
catchup = "none"
"""


@pytest.fixture
def folder(make_folder: Callable[[], Folder]) -> Folder:
    found = make_folder()
    found.write("assetflow.toml", JOBS)
    assert tick(found, "2026-03-02T06:00Z", code=0) == []
    return found


def tick(folder: Folder, now: str, *jobs: str, code: int = 0) -> list[tuple[str, str, str, int, str]]:
    """What a round made of each tick: job, time, state, how many, and the policy."""
    answer = folder.run("schedule", "tick", *jobs, "--now", now, "--json")
    assert answer.code == code, answer.err
    return [rowed(one) for one in answer.data["ticks"]]


def rowed(one: dict[str, Any]) -> tuple[str, str, str, int, str]:
    return one["job"], one["scheduled_at"][5:16], one["state"], one["count"], one["policy"]


def history(folder: Folder, job: str) -> list[tuple[str, str, str, int, str]]:
    return [rowed(one) for one in reversed(folder.run("schedule", "history", job, "--json").data["ticks"])]


def job(folder: Folder, name: str, now: str) -> dict[str, Any]:
    return next(one for one in folder.run("schedule", "ls", "--now", now, "--json").data["jobs"] if one["job"] == name)


def test_what_is_due_is_run_once_by_its_policy(folder: Folder) -> None:
    first = tick(folder, "2026-03-02T09:30:20Z")

    assert first == [
        ("every", "03-02T07:00", "done", 1, "all"),
        ("every", "03-02T08:00", "done", 1, "all"),
        ("every", "03-02T09:00", "done", 1, "all"),
        ("nightly", "03-02T07:00", "done", 1, "latest"),
        ("strict", "03-02T06:30", "missed", 3, "none"),
        ("strict", "03-02T09:30", "done", 1, "none"),
    ]
    assert tick(folder, "2026-03-02T09:30:25Z") == []

    later = tick(folder, "2026-03-05T06:59Z", "nightly")

    assert later == [("nightly", "03-03T07:00", "missed", 1, "latest"), ("nightly", "03-04T07:00", "done", 1, "latest")]
    runs = folder.run("runs", "--json").data["runs"]
    assert [(run["trigger"], run["selection"]) for run in runs] == [
        ("schedule nightly", "+report"),
        ("schedule every", "apart"),
    ]
    assert folder.run("history", "report", "--format", "tsv").out.splitlines()[-1].endswith("schedule nightly")


def test_nothing_before_a_schedule_was_first_seen_is_ever_due(folder: Folder) -> None:
    folder.write("assetflow.toml", JOBS + '[jobs.late]\ncron = "* * * * *"\ncatchup = "all"\nselect = "apart"\n')

    assert tick(folder, "2026-03-02T06:10Z", "late") == []
    assert tick(folder, "2026-03-02T06:11Z", "late") == [("late", "03-02T06:11", "done", 1, "all")]


def test_a_clock_set_back_repeats_nothing_and_set_forward_records_what_it_left_out(folder: Folder) -> None:
    tick(folder, "2026-03-04T07:00Z", "nightly")

    assert tick(folder, "2026-03-03T07:00Z", "nightly") == []
    assert job(folder, "nightly", "2026-03-03T07:00Z")["state"] == "held"
    assert tick(folder, "2026-03-04T07:00Z", "nightly") == []
    assert tick(folder, "2026-03-09T08:00Z", "nightly") == [
        ("nightly", "03-05T07:00", "missed", 4, "latest"),
        ("nightly", "03-09T07:00", "done", 1, "latest"),
    ]

    tick(folder, "2031-03-09T08:00Z", "nightly")  # five years ahead for a moment
    assert tick(folder, "2026-03-10T08:00Z", "nightly") == []
    folder.run("schedule", "resume", "nightly", "--now", "2026-03-10T08:00Z")
    assert tick(folder, "2026-03-11T08:00Z", "nightly") == [("nightly", "03-11T07:00", "done", 1, "latest")]
    assert history(folder, "nightly")[-2:] == [
        ("nightly", "03-11T07:00", "done", 1, "latest"),
        ("nightly", "03-09T07:00", "done", 1, "latest"),
    ]


def test_ticks_of_a_paused_schedule_are_missed_and_none_is_made_up_for(folder: Folder) -> None:
    assert folder.run("schedule", "pause", "every", "--now", "2026-03-02T06:30Z").code == 0
    assert tick(folder, "2026-03-02T08:10Z", "every") == [("every", "03-02T07:00", "missed", 2, "paused")]
    assert job(folder, "every", "2026-03-02T08:10Z")["state"] == "paused"

    answer = folder.run("schedule", "resume", "every", "--now", "2026-03-02T10:30Z", "--json")

    assert (answer.data["missed"], answer.data["next_at"]) == (2, "2026-03-02T11:00:00Z")
    assert tick(folder, "2026-03-02T10:31Z", "every") == []
    assert tick(folder, "2026-03-02T11:00Z", "every") == [("every", "03-02T11:00", "done", 1, "all")]


def test_a_job_that_was_off_is_not_made_up_for(folder: Folder) -> None:
    folder.write("assetflow.toml", JOBS.replace('catchup = "all"', 'catchup = "all"\nenabled = false'))
    assert tick(folder, "2026-03-02T09:10Z", "every") == []
    assert job(folder, "every", "2026-03-02T09:10Z")["state"] == "off"
    folder.write("assetflow.toml", JOBS)

    assert tick(folder, "2026-03-02T12:10Z", "every") == []
    assert tick(folder, "2026-03-02T13:10Z", "every") == [("every", "03-02T13:00", "done", 1, "all")]


def test_a_schedule_that_was_changed_settles_the_old_times_and_counts_from_then(folder: Folder) -> None:
    folder.write("assetflow.toml", JOBS.replace('"0 7 * * *"', '"*/10 * * * *"'))

    assert tick(folder, "2026-03-02T07:15Z", "nightly") == [("nightly", "03-02T07:00", "done", 1, "latest")]
    assert tick(folder, "2026-03-02T07:16Z", "nightly") == []
    assert tick(folder, "2026-03-02T07:21Z", "nightly") == [("nightly", "03-02T07:20", "done", 1, "latest")]


DIES = """
import os, signal, sys
from pathlib import Path
left = Path(__file__).parent / "dies.txt"
if "__tick" in sys.argv and left.exists() and (count := int(left.read_text())):
    left.write_text(str(count - 1))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("times", [1, 2])
def test_a_tick_whose_process_died_before_its_run_began_is_taken_up_once_more(folder: Folder, times: int) -> None:
    folder.write("assets.py", DIES + (folder.path / "assets.py").read_text())
    folder.run("plan")
    folder.write("dies.txt", str(times))

    dead = [folder.run("schedule", "tick", "nightly", "--now", "2026-03-02T07:00Z") for _ in range(times)]

    assert [(one.code, "exit code -9" in one.err) for one in dead] == [(70, True)] * times
    assert history(folder, "nightly") == [("nightly", "03-02T07:00", "claimed", 1, "latest")]
    state = "done" if times == 1 else "failed"
    assert tick(folder, "2026-03-02T07:05Z", "nightly", code=int(times > 1)) == [
        ("nightly", "03-02T07:00", state, 1, "latest")
    ]
    assert len(folder.run("runs", "--json").data["runs"]) == (times == 1)


def test_a_tick_whose_run_died_has_failed_and_is_not_run_again(folder: Folder) -> None:
    folder.replace("assets.py", "    return 7\n", "    import os\n    os.kill(os.getpid(), 9)\n")
    folder.run("plan")

    assert folder.run("schedule", "tick", "every", "--now", "2026-03-02T07:00Z").code == 70

    answer = folder.run("schedule", "tick", "every", "--now", "2026-03-02T07:01Z", "--json")
    assert [(one["state"], one["note"]) for one in answer.data["ticks"]] == [
        ("failed", "run #1 ended with its process")
    ]
    assert answer.code == 1
    assert tick(folder, "2026-03-02T07:02Z", "every") == []


def test_code_that_does_not_load_fails_the_tick_and_says_why(folder: Folder) -> None:
    folder.write("assets.py", "def broken(:\n")

    answer = folder.run("schedule", "tick", "nightly", "--now", "2026-03-02T07:00Z", "--json")

    assert answer.code == 1
    assert [one["state"] for one in answer.data["ticks"]] == ["failed"]
    assert "assets.py:1" in answer.err


def test_code_that_prints_when_it_is_imported_is_in_nobodys_way(folder: Folder) -> None:
    folder.write(
        "assets.py", "import os\nprint('hello')\nos.write(1, b'hello')\n" + (folder.path / "assets.py").read_text()
    )

    assert tick(folder, "2026-03-02T07:00Z", "nightly") == [("nightly", "03-02T07:00", "done", 1, "latest")]


# -- the daemon


class Running:
    """A daemon of a folder: what it says, line by line."""

    def __init__(self, folder: Folder) -> None:
        self.child = folder.start("daemon", "run", "--json")

    def event(self, name: str) -> dict[str, Any]:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            if (found := json.loads(line)).get("event") == name:
                return found
        raise AssertionError(f"no {name}: {self.child.stderr.read() if self.child.stderr else ''}")

    def close(self) -> None:
        """Read no more of it: what it started has the same streams."""
        assert self.child.stdout is not None
        assert self.child.stderr is not None
        self.child.stdout.close()
        self.child.stderr.close()

    def end(self, number: int) -> int:
        self.child.send_signal(number)
        self.child.communicate(timeout=60)
        return self.child.returncode


def due_now(folder: Folder) -> None:
    """Have a job whose tick is due when the daemon starts: it was seen long ago."""
    folder.write(
        "assetflow.toml", JOBS.partition("[jobs")[0] + '[jobs.monthly]\ncron = "0 0 1 * *"\nselect = "apart"\n'
    )
    assert tick(folder, "2020-01-15T00:00Z") == []


def test_there_is_one_daemon_and_it_ends_when_it_is_told_to(folder: Folder) -> None:
    due_now(folder)
    first = Running(folder)
    pid = first.event("started")["pid"]
    try:
        second = folder.run("daemon", "run")
        assert (second.code, f"pid {pid}," in second.err) == (5, True)
        assert first.event("tick")["state"] == "missed"
        assert first.event("tick")["state"] == "done"
        assert folder.run("daemon", "status", "--json").data["daemon"]["pid"] == pid
        assert folder.run("daemon", "stop").code == 0
        assert first.child.wait(30) == 0
        assert folder.run("daemon", "status", "--exit-code").code == 4
    finally:
        first.child.kill()
        first.child.communicate()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run_in_good_order_and_then_the_daemon(folder: Folder, number: int, tmp_path: Path) -> None:
    due_now(folder)
    fifo = tmp_path / "running"
    os.mkfifo(fifo)
    folder.replace(
        "assets.py", "    return 7\n", f"    open({str(fifo)!r}, 'w').write('x')\n    import time\n    time.sleep(60)\n"
    )
    daemon = Running(folder)
    try:
        daemon.event("began")
        with fifo.open() as stream:
            assert stream.read() == "x"
        assert daemon.end(number) == 0
    finally:
        daemon.child.kill()
    [last] = [
        one for one in folder.run("schedule", "history", "monthly", "--json").data["ticks"] if one["state"] != "missed"
    ]
    assert (last["state"], last["run"]) == ("failed", 1)
    assert folder.run("runs", "--json").data["runs"][0]["state"] == "cancelled"


def test_a_run_outlives_a_daemon_that_is_killed_and_the_next_one_leaves_it_alone(
    folder: Folder, tmp_path: Path
) -> None:
    due_now(folder)
    started, go = tmp_path / "started", tmp_path / "go"
    os.mkfifo(started)
    os.mkfifo(go)
    wait = f"    open({str(started)!r}, 'w').write('x')\n    open({str(go)!r}).read()\n    return 7\n"
    folder.replace("assets.py", "    return 7\n", wait)
    first = Running(folder)
    try:
        first.event("began")
        with started.open() as stream:
            stream.read()
    finally:
        first.child.kill()
        assert first.child.wait(30) == -signal.SIGKILL
        first.close()
    assert job(folder, "monthly", "2026-03-02T00:00Z")["state"] == "running"
    assert folder.run("schedule", "tick", "--json").data == {"ticks": [], "busy": ["monthly"]}
    second = Running(folder)
    try:
        second.event("started")
        with go.open("w") as stream:
            stream.write("on")
        folder.run("materialize", "apart", "--wait", "60s")  # waits for the run that goes on
    finally:
        assert second.end(signal.SIGTERM) == 0
    ticks = folder.run("schedule", "history", "monthly", "--json").data["ticks"]
    assert [one["state"] for one in ticks if one["state"] != "missed"] == ["done"]
    assert len(folder.run("runs", "--json").data["runs"]) == 1


def test_rounds_at_once_run_each_tick_once(folder: Folder) -> None:
    calls = [folder.command("daemon", "run", "--once", "--now", "2026-03-02T11:00Z", "--json") for _ in range(4)]
    env = folder.environment({})
    children = [subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env) for words in calls]
    ticks = [one for child in children for one in json.loads(child.communicate(timeout=60)[0])["data"]["ticks"]]

    ran = sorted(one["scheduled_at"] for one in ticks if one["job"] == "every")

    assert ran == [f"2026-03-02T{hour:02}:00:00Z" for hour in (7, 8, 9, 10, 11)]
    assert [row[2] for row in history(folder, "every")] == ["done"] * 5
