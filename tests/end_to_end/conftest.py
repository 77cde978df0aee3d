"""A project in a folder, driven through the real command line in processes of its own."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.warm import Server

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)["data"]


@dataclass(frozen=True)
class Folder:
    """A project folder. `run` is one call of the command line; `stored` digests every stored file by its path."""

    path: Path
    warm: Server

    def write(self, name: str, text: str) -> None:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def replace(self, name: str, old: str, new: str) -> None:
        text = (self.path / name).read_text()
        assert old in text
        self.write(name, text.replace(old, new))

    def beside(self, path: Path) -> Folder:
        """Another folder."""
        return replace(self, path=path)

    def run(self, *arguments: str, timeout: float = 60, cold: bool = False, **variables: str) -> Answer:
        """What a call says; `cold` starts Python for it, where what the system knows of the process matters."""
        command, environment = self.command(*arguments), self.environment(variables)
        if cold:
            done = subprocess.run(
                command, capture_output=True, text=True, timeout=timeout, env=environment, check=False
            )
        else:
            done = self.warm.run(command, timeout=timeout, env=environment)
        assert "Traceback (most recent call last)" not in done.stderr, done.stderr
        return Answer(done.returncode, done.stdout, done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command(*arguments),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment({}),
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "assetflow", "-C", str(self.path), *arguments]

    def environment(self, variables: Mapping[str, str]) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("ASSETFLOW_", "FORCE_"))}
        return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", "COLUMNS": "100", **variables}

    def stored(self) -> dict[str, str]:
        found = self.path / ".assetflow" / "data"
        files = (file for file in found.rglob("*") if file.is_file() and "tmp" not in file.relative_to(found).parts)
        return {str(file.relative_to(found)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    def states(self) -> dict[str, str]:
        return {row["asset"]: row["state"] for row in self.run("ls", "--json").data["assets"]}


ASSETS = """
import pandas as pd
from assetflow import asset, source, not_null

raw = source("raw", path="data/raw.csv")

@asset
def cleaned(raw: pd.DataFrame) -> pd.DataFrame:
    return raw.dropna()

@asset(checks=[not_null("total")])
def totals(cleaned: pd.DataFrame) -> pd.DataFrame:
    return cleaned.groupby("shop", as_index=False).agg(total=("amount", "sum"))

@asset
def report(totals: pd.DataFrame) -> dict:
    return {"total": float(totals["total"].sum())}

@asset
def apart() -> int:
    return 7
"""


@pytest.fixture
def make_folder(tmp_path: Path, warm: Server) -> Callable[[], Folder]:
    def make(path: Path = tmp_path / "project") -> Folder:
        folder = Folder(path, warm)
        folder.write("assetflow.toml", 'modules = ["assets"]\n')
        folder.write("assets.py", ASSETS)
        folder.write("data/raw.csv", "shop,amount\nnorth,10\nsouth,20\nnorth,5\n")
        return folder

    return make


@pytest.fixture
def folder(make_folder: Callable[[], Folder]) -> Folder:
    return make_folder()
