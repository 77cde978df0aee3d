"""A project on disk for each test, and a search path that is what it was when the test ends."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from assetflow.errors import ProjectLoadError
from assetflow.load.definitions import load_project
from assetflow.load.live import Loaded
from assetflow.load.settings import read_settings

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def search_path() -> Iterator[None]:
    before = list(sys.path)
    yield
    sys.path[:] = before


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes files of a project (`name="text"`, without `.py`; `__` is a slash in a keyword) and gives its root."""

    def write_files(settings: str = "", /, **files: str) -> Path:
        (tmp_path / "assetflow.toml").write_text(dedent(settings))
        for name, text in files.items():
            path = tmp_path / ((name if "/" in name else name.replace("__", "/")) + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(dedent(text))
        return tmp_path

    return write_files


@pytest.fixture
def load(write: Write) -> Callable[..., Loaded]:
    """Writes the files of a project and loads it."""

    def load_files(settings: str = "", /, **files: str) -> Loaded:
        return load_project(read_settings(write(settings, **files), environment={}))

    return load_files


@pytest.fixture
def problems(load: Callable[..., Loaded]) -> Callable[..., list[str]]:
    """Writes the files of a project that does not load, and gives the text of every problem."""

    def problem_texts(settings: str = "", /, **files: str) -> list[str]:
        with pytest.raises(ProjectLoadError) as raised:
            load(settings, **files)
        return [str(problem) for problem in raised.value.problems]

    return problem_texts
