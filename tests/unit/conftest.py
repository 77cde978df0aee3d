"""A project in a folder of the test's own, whose assets write down that they ran, driven through the Python API."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from textwrap import dedent
from typing import Any

import pytest

from assetflow import Project
from assetflow.cli.main import main
from assetflow.cli.short import short_answer
from assetflow.load.definitions import load_project
from assetflow.load.manifest import read_manifest, write_manifest
from assetflow.load.settings import read_settings
from assetflow.run.outcome import RunResult

PRELUDE = """
from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import pyarrow as pa
from assetflow import *
from journal import ran

Rows = list[dict[str, object]]
"""

JOURNAL = """
from pathlib import Path


def ran(name):
    with (Path(__file__).parent / "ran.txt").open("a") as file:
        file.write(f"{name}\\n")
"""


class Workspace:
    """Writes and edits the files of a project, opens it, and knows which functions ran."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._read = 0
        self._journal = root / "ran.txt"

    def assets(self, text: str, settings: str = "", prelude: str = PRELUDE) -> None:
        """Write `assets.py` below a few imports, and the project file."""
        self.file("assets.py", prelude + "\n\n" + dedent(text).lstrip())
        self.file("journal.py", JOURNAL)
        self.file("assetflow.toml", 'modules = ["assets"]\n' + dedent(settings))

    def file(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def edit(self, old: str, new: str, name: str = "assets.py") -> None:
        path = self.root / name
        text = path.read_text(encoding="utf-8")
        assert old in text, f"{old!r} is not in {name}"
        path.write_text(text.replace(old, new), encoding="utf-8")

    def project(self, env: str | None = None, overrides: Mapping[str, str] | None = None) -> Project:
        """The project as it is now. What `Project.load` does in a child process is done here, which is much faster."""
        given = {**(overrides or {}), **({} if env is None else {"env": env})}
        settings = read_settings(self.root, given)
        if read_manifest(settings) is None:
            write_manifest(settings, load_project(settings))
        return Project.load(self.root, env=env, overrides=overrides)

    def materialize(self, expression: str | None = None, *, env: str | None = None, **options: Any) -> RunResult:
        return self.project(env).materialize(expression, **options)

    def outcomes(self, expression: str | None = None, *, env: str | None = None, **options: Any) -> dict[str, str]:
        """The state in which each asset of a run ended."""
        return {one.asset: one.state for one in self.materialize(expression, env=env, **options)}

    def states(self, env: str | None = None) -> dict[str, str]:
        return {row.spec.key: row.state for row in self.project(env).status()}

    def call(self, *words: str, env: str | None = None) -> int:
        """The exit code of a call of the command line."""
        self.project(env)  # what it would load in a child process
        return main([*self._words(words, env)])

    def is_known(self, *words: str, env: str | None = None) -> bool:
        """Whether a call of the command line is answered from what was said before."""
        verb, *rest = self._words(words, env)
        return short_answer(verb, rest, None) is not None

    def _words(self, words: tuple[str, ...], env: str | None) -> list[str]:
        return [*words, "-C", str(self.root), *([] if env is None else ["-e", env])]

    def ran(self) -> list[str]:
        """The names that functions gave to `ran` since this was last asked."""
        lines = self._journal.read_text().splitlines() if self._journal.exists() else []
        new, self._read = lines[self._read :], len(lines)
        return new

    def stored(self) -> set[Path]:
        """Every file in the storage."""
        return {path for path in (self.root / ".assetflow" / "data").rglob("*") if path.is_file()}


@contextmanager
def _quick_folder(factory: pytest.TempPathFactory) -> Generator[Path]:
    """A folder in memory where the system has such: waiting for a disk to sync would be most of the time of a test."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield factory.mktemp("workspace")
        return
    with TemporaryDirectory(prefix="assetflow-test-", dir=memory) as folder:
        yield Path(folder)


@contextmanager
def _workspace(factory: pytest.TempPathFactory) -> Generator[Workspace]:
    path = list(sys.path)
    with pytest.MonkeyPatch.context() as monkeypatch, _quick_folder(factory) as root:
        for name in [name for name in os.environ if name.startswith("ASSETFLOW_")]:
            monkeypatch.delenv(name)
        yield Workspace(root)
        sys.path[:] = path
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None) or "").startswith(f"{root}/"):
                del sys.modules[name]


@pytest.fixture
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    with _workspace(tmp_path_factory) as found:
        yield found


@pytest.fixture(scope="module")
def shared_workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspace]:
    """One for all tests of a file, which only read."""
    with _workspace(tmp_path_factory) as found:
        yield found
