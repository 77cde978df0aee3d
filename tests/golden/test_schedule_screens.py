"""The screens of `schedule` and `daemon`, and of jobs that are not what they should be."""

from __future__ import annotations

import json
from collections.abc import Callable

# pyright: basic

Golden = Callable[[str, str], None]

JOBS = """
modules = ["assets"]
workers = 2

[jobs.nightly]
select = "+report"
cron = "30 1 * * *"
tz = "Europe/London"

[jobs.hourly]
select = "orders"
cron = "0 */12 * * *"
catchup = "all"
config = { menu = { cheapest = 2.0 } }

[jobs.weekly]
cron = "0 9 * * 1"
enabled = false
"""


def with_jobs(cafe, text: str = JOBS) -> None:
    cafe.write("assetflow.toml", text)


def test_jobs_and_their_ticks(cafe, golden: Golden) -> None:
    golden("schedule_ls_nothing", cafe.run("schedule", "ls"))
    with_jobs(cafe)
    golden("schedule_ls_new", cafe.run("schedule", "ls", "--format", "table"))
    golden("home_jobs", cafe.run())
    golden("schedule_tick_nothing", cafe.run("schedule", "tick"))
    later = "2026-03-06T00:10Z"
    golden("schedule_tick", cafe.run("schedule", "tick", "hourly", "-q", "--now", later))
    cafe.change("def report(", "def report(:\n(")
    golden("schedule_tick_failed", cafe.run("schedule", "tick", "-q", "--now", "2026-03-08T02:10Z"))
    golden("schedule_history", cafe.run("schedule", "history", "nightly", "--format", "table"))
    golden("schedule_ls", cafe.run("schedule", "ls", "--format", "table", "--now", "2026-03-08T02:10Z"))
    golden("schedule_ls_json", cafe.run("schedule", "ls", "--json", "--now", "2026-03-08T02:10Z"))
    golden("schedule_ls_held", cafe.run("schedule", "ls", "--format", "table"))
    golden("schedule_pause", cafe.run("schedule", "pause", "hourly", "--now", "2026-03-08T02:20Z"))
    golden("schedule_pause_again", cafe.run("schedule", "pause", "hourly", "--now", "2026-03-08T02:30Z"))
    golden("schedule_resume", cafe.run("schedule", "resume", "hourly", "--now", "2026-03-09T05:30Z"))
    golden("schedule_resume_not_paused", cafe.run("schedule", "resume", "hourly", "--now", "2026-03-09T05:30Z"))


def test_what_was_missed_lately_is_counted_by_when_it_was_due(cafe) -> None:
    with_jobs(cafe)
    cafe.run("schedule", "tick", "nightly", "-q", "--now", "2026-03-05T02:10Z")
    cafe.run("schedule", "tick", "nightly", "-q", "--now", "2026-04-01T02:10Z")

    def missed(now: str) -> tuple[int, int]:
        jobs = json.loads(cafe.run("schedule", "ls", "--json", "--now", now).splitlines()[1])["data"]["jobs"]
        nightly = next(job for job in jobs if job["job"] == "nightly")
        return nightly["missed"], nightly["missed_recently"]

    assert missed("2026-04-01T02:20Z") == (26, 6)  # the last one was run
    assert missed("2026-04-05T02:20Z") == (26, 2)
    assert missed("2026-04-30T02:20Z") == (26, 0)


def test_the_next_times_of_a_job(cafe, golden: Golden) -> None:
    with_jobs(cafe)
    spring = ("--now", "2026-03-28T00:00Z")
    golden("schedule_next", cafe.run("schedule", "next", "nightly", "-n", "3", "--format", "table", *spring))
    golden("schedule_next_json", cafe.run("schedule", "next", "nightly", "-n", "2", "--json", *spring))


def test_the_daemon_that_is_not_there(cafe, golden: Golden) -> None:
    with_jobs(cafe)
    golden("daemon_status", cafe.run("daemon", "status", "--exit-code"))
    golden("daemon_stop", cafe.run("daemon", "stop"))
    golden("daemon_no_word", cafe.run("daemon"))
    golden("daemon_now", cafe.run("daemon", "run", "--now", "2026-03-05"))


def test_mistakes(cafe, golden: Golden) -> None:
    with_jobs(cafe)
    golden("schedule_no_such_job", cafe.run("schedule", "next", "nigthly"))
    golden("schedule_no_such_form", cafe.run("schedule", "nxt", "nightly"))
    golden("schedule_no_job", cafe.run("schedule", "pause"))
    golden("schedule_off", cafe.run("schedule", "pause", "weekly"))
    golden("schedule_no_time", cafe.run("schedule", "ls", "--now", "noon"))
    with_jobs(cafe, JOBS.replace('"30 1 * * *"', '"30 25 * * *"').replace('"+report"', '"+report or"'))
    golden("error_jobs", cafe.run("schedule", "ls"))
    with_jobs(cafe, JOBS.replace('"+report"', '"+reprot"'))
    golden("check_jobs", cafe.run("check"))


SENSORS = """

from assetflow import RunRequest, sensor

@sensor(every="5m")
def letters(context):
    context.cursor = str(int(context.cursor or 0) + 1)
    return RunRequest("orders", key="first")

@sensor(every="1h")
def broken(context):
    raise OSError("no net")
"""


def test_sensors_and_their_looks(cafe, golden: Golden) -> None:
    at = ("--now", "2026-03-06T00:10Z")
    golden("sensor_ls_nothing", cafe.run("sensor", "ls"))
    golden("sensor_no_such", cafe.run("sensor", "pause", "leters"))
    with_jobs(cafe, JOBS + '[jobs.after]\nselect = "report"\non_update = ["orders", "ordrs"]\n')
    cafe.write("assets.py", cafe.root.joinpath("assets.py").read_text() + SENSORS)
    golden("sensor_ls_new", cafe.run("sensor", "ls", "--format", "table"))
    golden("sensor_tick", cafe.run("sensor", "tick", "-q", *at))
    golden("sensor_pause", cafe.run("sensor", "pause", "letters"))
    golden("sensor_ls", cafe.run("sensor", "ls", "--format", "table"))
    golden("sensor_history_failed", cafe.run("sensor", "history", "broken"))
    golden("sensor_history", cafe.run("sensor", "history", "letters"))
    golden("sensor_resume", cafe.run("sensor", "resume", "letters"))
    golden("sensor_no_times", cafe.run("schedule", "next", "after"))
    golden("sensor_check", cafe.run("check"))
