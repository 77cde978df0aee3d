from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assetflow.cli.main import main

ASSETS = """
from assetflow import asset, source

numbers = source("numbers", path="numbers.csv")
Rows = list[dict[str, object]]


@asset(group="staging", tags={"tier": "gold"}, owners=["ann@example.com"])
def doubled(numbers: Rows) -> Rows:
    return [{"n": 2 * row["n"]} for row in numbers]


@asset
def total(doubled: Rows) -> Rows:
    print("adding up")
    return [{"total": sum(row["n"] for row in doubled)}]
"""


@dataclass
class Screen:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one JSON document on stdout."""
        return json.loads(self.out)


class Cli:
    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str, now: float | None = None) -> Screen:
        code = main(list(arguments), now=now)
        captured = self._capsys.readouterr()
        return Screen(code, captured.out, captured.err)


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs the command line in this process, with nothing of this terminal showing through."""
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "ASSETFLOW_ENV", "COLUMNS", "LINES", "CI"):
        monkeypatch.delenv(name, raising=False)
    return Cli(capsys)


def write_project(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "assets.py").write_text(ASSETS)
    (folder / "numbers.csv").write_text("n\n1\n2\n3\n")
    # A file that was written just now is read again by every verb: its time of change cannot be trusted yet.
    os.utime(folder / "numbers.csv", (1_700_000_000, 1_700_000_000))
    (folder / "assetflow.toml").write_text('modules = ["assets"]\n\n[selections]\nnightly = "total"\n')
    return folder


@pytest.fixture(scope="session")
def built_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project that has been materialized; only for tests that read."""
    folder = write_project(tmp_path_factory.mktemp("built") / "shop")
    assert main(["-C", str(folder), "materialize", "-q", "--progress", "none"]) == 0
    return folder


@pytest.fixture
def built(built_once: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(built_once)
    return built_once


@pytest.fixture
def project(built_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A materialized project of the test's own."""
    folder = tmp_path / "shop"
    shutil.copytree(built_once, folder)
    monkeypatch.chdir(folder)
    return folder
