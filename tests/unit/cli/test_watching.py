from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Cli

START = "import sys; from assetflow.cli.main import run; run()"
HOME = Path(__file__).resolve().parents[3]


def test_once_shows_the_plan_and_ends(cli: Cli, project: Path) -> None:
    (project / "assets.py").write_text((project / "assets.py").read_text().replace("2 * row", "3 * row"))

    screen = cli("watch", "--once", "--utc")

    assert screen.code == 0
    assert "1 to run · 1 maybe · 0 current" in screen.out
    assert "◐ doubled  code changed (assets.py:9)" in screen.out
    assert "◔ total    ← doubled" in screen.out


def test_once_as_json_is_one_document(cli: Cli, project: Path) -> None:
    screen = cli("watch", "--once", "--json", "total")

    assert screen.document["schema"] == "assetflow.watch/1"
    assert [item["asset"] for item in screen.document["data"]["plan"]["items"]] == ["doubled", "total"]


def test_once_with_run_materializes(cli: Cli, project: Path) -> None:
    (project / "assets.py").write_text((project / "assets.py").read_text().replace("2 * row", "3 * row"))

    assert cli("watch", "--once", "--run", "--progress", "none").code == 0
    assert cli("plan", "--exit-code").code == 0


def test_once_on_broken_code_has_its_exit_code(cli: Cli, project: Path) -> None:
    (project / "assets.py").write_text("def (\n")

    screen = cli("watch", "--once")

    assert screen.code == 3
    assert "error[AF106]: `assets.py` is not Python" in screen.err
    assert "1 │ def (" in screen.err


def test_json_with_run_is_refused(cli: Cli, project: Path) -> None:
    assert cli("watch", "--once", "--run", "--json").code == 2


class Watching:
    """A watch in a process of its own, whose rounds are read line by line."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(HOME), "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", START, "watch", "--json", "--debounce", "20ms", *arguments],
            cwd=folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip

    def round(self) -> dict:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def watching(project: Path) -> Iterator[Watching]:
    found = Watching(project)
    yield found
    if found.process.poll() is None:
        os.killpg(found.process.pid, signal.SIGKILL)
    found.process.communicate()


@pytest.mark.end_to_end
def test_each_save_is_a_round_with_the_new_code_also_after_broken_code(watching: Watching, project: Path) -> None:
    def actions(found: dict) -> dict[str, str]:
        return {item["asset"]: item["action"] for item in found["data"]["plan"]["items"]}

    text = (project / "assets.py").read_text()
    assert actions(watching.round()) == {"doubled": "current", "total": "current"}

    (project / "assets.py").write_text(text.replace("2 * row", "3 * row"))
    second = watching.round()
    assert (second["data"]["saved"], actions(second)) == (["assets.py"], {"doubled": "run", "total": "maybe"})

    (project / "assets.py").write_text(text + "\ndef (\n")
    third = watching.round()
    assert (third["ok"], third["error"]["problems"][0]["code"]) == (False, "AF106")

    (project / "assets.py").write_text(text)
    assert actions(watching.round()) == {"doubled": "current", "total": "current"}

    os.killpg(watching.process.pid, signal.SIGINT)
    _, err = watching.process.communicate(timeout=60)
    assert watching.process.returncode == 130
    assert err.strip().endswith("interrupted")
