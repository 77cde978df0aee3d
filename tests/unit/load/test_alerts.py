# ruff: noqa: E501 - messages are written out as the user reads them
"""Alert channels in the project file: what they take, what a mistake looks like, and that no address is ever repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from assetflow.errors import ProjectLoadError
from assetflow.load.settings import read_settings, settings_from_json, settings_to_json
from assetflow.model.alerts import EVENTS, Channel, channels_of

SECRET = "T0PSECRETTOKEN"
URL = f"https://hooks.shop.example/services/{SECRET}"


def channels(root: Path, text: str, local: str = "", file: str = "assetflow.toml") -> tuple[Channel, ...]:
    (root / file).write_text(text)
    (root / "assets.py").write_text("")
    if local:
        (root / "assetflow.local.toml").write_text(local)
    return channels_of(read_settings(root, {}, {}).alerts)


def problem(root: Path, text: str) -> str:
    with pytest.raises(ProjectLoadError) as raised:
        channels(root, text)
    assert len(raised.value.problems) == 1
    return str(raised.value.problems[0])


def test_a_channel_has_an_address_and_says_what_it_is_told(tmp_path: Path) -> None:
    found = channels(
        tmp_path,
        f"""
        [tool.assetflow.alerts.marts]
        on = ["asset.failed", "tick.*"]
        assets = "+group:marts and not tag:slow"
        url = "{URL}"
        quiet = "22:00..07:00"
        tz = "Europe/London"
        repeat = "4h"
        recovered = false
        env = "prod"
        [tool.assetflow.alerts.all]
        command = ["./tell.sh", "--loud"]
        """,
        file="pyproject.toml",
    )

    assert found == (
        Channel("all", EVENTS, command=("./tell.sh", "--loud")),
        Channel("marts", ("asset.failed", "tick.failed", "tick.missed"), "+group:marts and not tag:slow", URL, (),
                "22:00..07:00", "Europe/London", 14_400.0, recovered=False, env="prod"),
    )  # fmt: skip
    assert SECRET not in repr(found)


def test_one_event_may_stand_by_itself(tmp_path: Path) -> None:
    [found] = channels(tmp_path, '[alerts.team]\non = "run.failed"\nurl = "env:URL"\n')

    assert found.on == ("run.failed",)


def test_the_file_of_this_machine_may_have_the_address(tmp_path: Path) -> None:
    text = '[alerts.team]\non = "asset.overdue"\n'

    [found] = channels(tmp_path, text, local=f'[alerts.team]\nurl = "{URL}"\n')

    assert (found.on, found.url) == (("asset.overdue",), URL)


def test_channels_reach_another_process_as_they_are(tmp_path: Path) -> None:
    channels(tmp_path, '[alerts.team]\ncommand = ["true"]\nrepeat = "1h"\n')
    settings = read_settings(tmp_path, {}, {})

    assert settings_from_json(settings_to_json(settings)).alerts == settings.alerts


FORMS = 'write "https://…", an address of apprise such as "slack://…", or "env:NAME" for one in a variable'
CASES = {
    "no address": ('on = "run.failed"', "the alert channel `team` has neither `url` nor `command`\n  at assetflow.toml:2\n"
                   f"  help: {FORMS}; or command = [...]"),
    "two": (f'url = "{URL}"\ncommand = ["true"]', "the alert channel `team` has both `url` and `command`\n  at assetflow.toml:2\n"
            "  help: keep one of them, or make two channels"),
    "no url": (f'url = "//{SECRET}"', f"`alerts.team.url`: this is not an address; {FORMS}\n  at assetflow.toml:2"),
    "list": (f'url = ["{URL}"]', f"`alerts.team.url`: an address is one text; {FORMS}\n  at assetflow.toml:2"),
    "variable": ('url = "env:my-url"', f"`alerts.team.url`: `env:` is followed by the name of a variable; {FORMS}\n  at assetflow.toml:2"),
    "event": ('command = ["true"]\non = "asset.fialed"', "`alerts.team.on.0`: there is no event `asset.fialed` (did you mean "
              "`asset.failed`?); there are run.failed, asset.failed, check.failed, asset.overdue, tick.failed, tick.missed, "
              "sensor.failed, asset.*, tick.*, *\n"
              "  at assetflow.toml:3"),
    "state": ('command = ["true"]\nassets = "is:stale"', "`alerts.team.assets`: `is:` changes from run to run; select by what is "
              "declared, such as tag: or group:\n  at assetflow.toml:3"),
    "selection": ('command = ["true"]\nassets = "orders and"', "`alerts.team.assets`: `orders and` ends where a selection was "
                  "expected\n  at assetflow.toml:3"),
    "quiet": ('command = ["true"]\nquiet = "22..7"', '`alerts.team.quiet`: `22` is not a time of the day; write "22:00..07:00"\n'
              "  at assetflow.toml:3"),
    "zone": ('command = ["true"]\ntz = "Europe/Lundun"', '`alerts.team.tz`: `Europe/Lundun` is not the name of a time zone; '
             'write "Europe/London" or "UTC"\n  at assetflow.toml:3'),
    "repeat": ('command = ["true"]\nrepeat = "5s"', "`alerts.team.repeat`: input should be greater than or equal to 60\n"
               "  at assetflow.toml:3"),
    "key": ('command = ["true"]\nevents = "*"', "unknown key `events` in `alerts.team`\n  at assetflow.toml:3\n  help: known keys "
            "in `alerts.team`: on, assets, url, command, quiet, tz, repeat, recovered, env, enabled"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_names_its_line_and_what_to_write(tmp_path: Path, name: str) -> None:
    lines, expected = CASES[name]

    found = problem(tmp_path, f"[alerts.team]\n{lines}\n")

    assert found == expected
    assert SECRET not in found


@pytest.mark.parametrize(
    "text", [f'alerts = "{URL}"', f'[alerts]\nteam = "{URL}"', f'[alerts.team]\nquiet = ["{URL}"]']
)
def test_an_address_in_the_wrong_place_is_not_repeated(tmp_path: Path, text: str) -> None:
    assert SECRET not in problem(tmp_path, text + "\n")
