# ruff: noqa: E501 - messages are written out as the user reads them
"""Jobs in the project file: what they take, what goes over what, and what a mistake looks like."""

from __future__ import annotations

from pathlib import Path

import pytest

from assetflow.errors import ProjectLoadError
from assetflow.load.settings import read_settings, settings_from_json, settings_to_json
from assetflow.model.jobs import Job, jobs_of


def jobs(root: Path, text: str, local: str = "", file: str = "assetflow.toml") -> tuple[Job, ...]:
    (root / file).write_text(text)
    (root / "assets.py").write_text("")
    if local:
        (root / "assetflow.local.toml").write_text(local)
    return jobs_of(read_settings(root, {}, {}).jobs)


def problem(root: Path, text: str) -> str:
    with pytest.raises(ProjectLoadError) as raised:
        jobs(root, text)
    assert len(raised.value.problems) == 1
    return str(raised.value.problems[0])


def test_a_job_has_a_selection_a_time_and_a_policy(tmp_path: Path) -> None:
    found = jobs(
        tmp_path,
        """
        [tool.assetflow.jobs.nightly]
        select = "+daily_revenue and not tag:slow"
        cron = "0 6 * * *"
        tz = "Europe/London"
        catchup = "all"
        max_active_runs = 3
        env = "prod"
        config = { rates = { base = "EUR" } }
        [tool.assetflow.jobs.hourly]
        cron = "@hourly"
        enabled = false
        """,
        file="pyproject.toml",
    )

    assert found == (
        Job("hourly", "@hourly", enabled=False),
        Job("nightly", "0 6 * * *", "Europe/London", "+daily_revenue and not tag:slow", "all",
            {"rates": {"base": "EUR"}}, "prod", max_active_runs=3),
    )  # fmt: skip


def test_the_file_of_this_machine_goes_over_it_key_by_key(tmp_path: Path) -> None:
    found = jobs(tmp_path, '[jobs.nightly]\ncron = "0 6 * * *"\n', local="[jobs.nightly]\nenabled = false\n")

    assert found == (Job("nightly", "0 6 * * *", enabled=False),)


def test_jobs_reach_another_process_as_they_are(tmp_path: Path) -> None:
    jobs(tmp_path, '[jobs.nightly]\ncron = "0 6 * * *"\nconfig = { rates = { base = "EUR" } }\n')
    settings = read_settings(tmp_path, {}, {})

    assert settings_from_json(settings_to_json(settings)).jobs == settings.jobs


CASES = {
    "no cron": ('select = "orders"', "the job `nightly` has no `cron`\n  at assetflow.toml:2\n"
                '  help: say when it is due, such as cron = "0 6 * * *" for every day at 06:00'),
    "bad cron": ('cron = "0 25 * * *"', "`jobs.nightly.cron`: the hour field `25` is not one that cron takes (0-23); write five "
                 'fields, such as "0 6 * * 1-5" for 06:00 on working days\n  at assetflow.toml:2'),
    "never": ('cron = "0 0 30 2 *"', "`jobs.nightly.cron`: `0 0 30 2 *` never fires: no month that it names has such a day; write "
              'five fields, such as "0 6 * * 1-5" for 06:00 on working days\n  at assetflow.toml:2'),
    "zone": ('cron = "0 6 * * *"\ntz = "Europe/Lundun"', '`jobs.nightly.tz`: `Europe/Lundun` is not the name of a time zone; '
             'write "Europe/London" or "UTC"\n  at assetflow.toml:3'),
    "local": ('cron = "0 6 * * *"\ntz = "local"', '`jobs.nightly.tz`: `local` is not the name of a time zone; write '
              '"Europe/London" or "UTC"\n  at assetflow.toml:3'),
    "key": ('cron = "0 6 * * *"\nselekt = "a"', "unknown key `selekt` in `jobs.nightly`\n  did you mean `select`?\n"
            "  at assetflow.toml:3\n  help: known keys in `jobs.nightly`: select, cron, tz, catchup, partitions, on_update, "
            "max_active_runs, config, env, enabled"),
    "policy": ('cron = "0 6 * * *"\ncatchup = "lastest"', '`jobs.nightly.catchup` is "lastest", but takes "latest" or "all" or '
               '"none"\n  did you mean `latest`?\n  at assetflow.toml:3'),
    "no runs": ('cron = "0 6 * * *"\nmax_active_runs = 0', "`jobs.nightly.max_active_runs` is 0: input should be greater "
                "than or equal to 1\n  at assetflow.toml:3"),
    "many runs": ('cron = "0 6 * * *"\nmax_active_runs = 17', "`jobs.nightly.max_active_runs` is 17: input should be less "
                  "than or equal to 16\n  at assetflow.toml:3"),
    "selection": ('cron = "0 6 * * *"\nselect = "orders and"', "`jobs.nightly.select`: `orders and` ends where a "
                  "selection was expected\n  at assetflow.toml:3"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_names_its_line_and_what_to_write(tmp_path: Path, name: str) -> None:
    lines, expected = CASES[name]

    found = problem(tmp_path, f"[jobs.nightly]\n{lines}\n")

    assert found == expected


def test_a_name_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "job `a b` is not a legal name" in problem(tmp_path, '[jobs."a b"]\ncron = "0 6 * * *"\n')
