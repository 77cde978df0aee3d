from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from assetflow.cli.watching import saved
from assetflow.load.definitions import load_project
from assetflow.load.manifest import write_manifest
from assetflow.load.saves import Saves, words
from assetflow.load.settings import read_settings

ASSETS = """
from assetflow import asset, source

raw = source("raw", path="data/raw-*.csv")

@asset
def copied(raw: list[dict]) -> list[dict]:
    return raw
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(tmp_path / "assetflow.toml", 'modules = ["assets", "shop"]\n')
    write(tmp_path / "assets.py", ASSETS)
    write(tmp_path / "shop" / "__init__.py", "")
    write(tmp_path / "shop" / "deep" / "steps.py", "")
    write(tmp_path / "data" / "raw-1.csv", "a\n1\n")
    write(tmp_path / "data" / "notes.txt", "")
    write(tmp_path / "env" / "pyvenv.cfg", "")
    write(tmp_path / "env" / "lib.py", "")
    return tmp_path


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def loaded(root: Path) -> Saves:
    settings = read_settings(root, {})
    write_manifest(settings, load_project(settings))
    saves = Saves(root, {})
    saves.begin()
    return saves


@pytest.mark.parametrize(
    "name",
    ["assetflow.toml", "assets.py", "shop/__init__.py", "shop/deep/steps.py", "data/raw-1.csv", "data/raw-2.csv"],
)
def test_save_of_a_file_of_the_project_is_noticed_once(root: Path, name: str) -> None:
    saves = loaded(root)

    with (root / name).open("a") as stream:
        stream.write("\n")

    assert saves.changed() == [name]
    assert saves.changed() == []


@pytest.mark.parametrize("name", ["data/notes.txt", "env/lib.py", ".assetflow/cache/x.py", ".hidden/a.py"])
def test_save_of_something_else_is_not(root: Path, name: str) -> None:
    saves = loaded(root)

    write(root / name, "changed")

    assert saves.changed() == []


def test_deleted_and_renamed_modules_are_noticed(root: Path) -> None:
    saves = loaded(root)

    (root / "shop" / "deep" / "steps.py").rename(root / "shop" / "deep" / "parts.py")

    assert saves.changed() == ["shop/deep/parts.py", "shop/deep/steps.py"]


def test_sources_are_kept_in_view_while_the_project_does_not_load(root: Path) -> None:
    saves = loaded(root)
    write(root / "assets.py", "def (")
    saves.changed()
    saves.learn()

    write(root / "data" / "raw-1.csv", "a\n22\n")

    assert saves.changed() == ["data/raw-1.csv"]


def test_source_that_was_declared_meanwhile_is_watched_from_then_on(root: Path) -> None:
    saves = loaded(root)
    write(root / "more.csv", "a\n1\n")
    write(root / "assets.py", ASSETS + 'more = source("more", path="more.csv")\n')
    settings = read_settings(root, {})
    assert saves.changed() == ["assets.py"]
    write_manifest(settings, load_project(settings))
    saves.learn()
    assert saves.changed() == []

    write(root / "more.csv", "a\n1\n2\n")

    assert saves.changed() == ["more.csv"]


def test_settings_that_cannot_be_read_do_not_stop_the_watch(root: Path) -> None:
    saves = loaded(root)
    write(root / "assetflow.toml", "modules = [")
    assert saves.changed() == ["assetflow.toml"]
    saves.learn()

    write(root / "assetflow.toml", 'modules = ["assets"]\n')

    assert saves.changed() == ["assetflow.toml"]


class Editor:
    """Saves files while others wait: one step for each wait."""

    def __init__(self, *steps: Callable[[], object]) -> None:
        self._steps = list(steps)
        self.waited: list[float] = []

    def wait(self, duration_s: float) -> None:
        self.waited.append(duration_s)
        if self._steps:
            self._steps.pop(0)()
        elif len(self.waited) > 50:
            raise AssertionError("nothing was noticed")


def test_saves_that_follow_each_other_are_one_round(root: Path) -> None:
    saves = loaded(root)
    editor = Editor(
        lambda: None,
        lambda: write(root / "assets.py", ASSETS + "# 1\n"),
        lambda: write(root / "shop" / "__init__.py", "# 1\n"),
        lambda: write(root / "assets.py", ASSETS + "# 12\n"),
        lambda: None,
        lambda: write(root / "assets.py", ASSETS + "# 123\n"),
    )

    rounds = saved(saves, 0.3, editor.wait)

    assert next(rounds) == ("assets.py", "shop/__init__.py")
    assert editor.waited == [0.25, 0.25, 0.3, 0.3, 0.3]
    assert next(rounds) == ("assets.py",)


def test_save_of_the_same_size_is_noticed(root: Path) -> None:
    saves = loaded(root)
    path = root / "assets.py"
    before = path.stat()
    path.write_text(ASSETS.replace("copied", "cobied"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1))

    assert saves.changed() == ["assets.py"]


def test_names_of_many_files_are_abridged() -> None:
    assert words(["a.py", "b.py", "c.py", "d.py", "e.py"]) == "a.py, b.py, c.py and 2 more"
