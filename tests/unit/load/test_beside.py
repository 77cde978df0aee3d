"""Indexing beside the import of a large project: the same indexes, or none, and never a process left over."""

from __future__ import annotations

import ast
import json
import os
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from assetflow.fingerprint.files import index_key
from assetflow.fingerprint.index import Earlier, FileIndex, index_of
from assetflow.load.beside import indexing_beside
from assetflow.load.definitions import load_project
from assetflow.load.settings import read_settings

HEAD = '"""Works."""\nfrom assetflow import asset\n\n'
ASSET = (
    "@asset\ndef {0}_{1}():\n    total = sum(value * {1} for value in range(10))\n    return [dict(total=total)]\n\n"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project of 500 assets in a package and a module, and of a module without assets."""
    (tmp_path / "assetflow.toml").write_text('modules = ["works", "more"]\n')
    package = tmp_path / "works"
    package.mkdir()
    for name in ("a", "b", "c", "d"):
        (package / f"{name}.py").write_text(HEAD + "".join(ASSET.format(name, number) for number in range(100)))
    (package / "__init__.py").write_text("")
    (package / "helper.py").write_text("def helps():\n    return 1\n")
    (tmp_path / "more.py").write_text(HEAD + "".join(ASSET.format("more", number) for number in range(100)))
    return tmp_path


def children() -> set[str]:
    """The processes that this one has started and not waited for."""
    return {pid for file in Path("/proc/self/task").glob("*/children") for pid in file.read_text().split()}


def of_others_only(tree: ast.Module, content: bytes, earlier: Earlier | None = None) -> FileIndex:
    assert b"assetflow" not in content
    return index_of(tree, content, earlier)


def expected(root: Path) -> dict[str, list[object]]:
    contents = [path.read_bytes() for path in root.rglob("*.py") if b"assetflow" in path.read_bytes()]
    return {index_key(content): index_of(ast.parse(content), content).row for content in contents}


def test_all_files_that_declare_something_are_indexed_beside(root: Path) -> None:
    (root / "works" / "broken.py").write_text("import assetflow\ndef (:\n")
    with indexing_beside(root, ["works", "more", "nothing"]) as beside:
        found = beside.rows()
    (root / "works" / "broken.py").unlink()

    assert len(found) == 5
    assert json.dumps(found, sort_keys=True) == json.dumps(expected(root), sort_keys=True)


def test_a_project_that_is_loaded_so_has_the_code_versions_that_it_has_otherwise(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as only_beside:
        only_beside.setattr("assetflow.fingerprint.files.index_of", of_others_only)
        first = load_project(read_settings(root))
    kept = (root / ".assetflow" / "cache" / "code-index.json").read_bytes()
    (root / ".assetflow" / "cache" / "code-index.json").unlink()
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    alone = load_project(read_settings(root))

    assert len(first.specs) == 500
    assert [(one.key, one.code) for one in first.specs] == [(one.key, one.code) for one in alone.specs]
    assert (root / ".assetflow" / "cache" / "code-index.json").read_bytes() == kept


@pytest.mark.parametrize("program", ["/nothing/there", "false", "cat"])
def test_what_cannot_be_indexed_beside_is_indexed_by_the_load_itself(
    root: Path, program: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", program)
    with indexing_beside(root, ["works"]) as beside:
        assert beside.rows() == {}
    assert len(load_project(read_settings(root)).specs) == 500


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="no /proc on this system")
def test_no_process_is_left_over_when_nobody_asks_for_what_it_found(root: Path) -> None:
    before = children()
    with suppress(KeyboardInterrupt), indexing_beside(root, ["works"]):
        assert len(children()) == len(before) + 1
        raise KeyboardInterrupt
    assert children() == before


@pytest.mark.parametrize("is_small", [True, False])
def test_little_text_and_one_processor_are_not_worth_a_process(
    root: Path, is_small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not is_small:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0})
    with indexing_beside(root, ["works.a" if is_small else "works"]) as beside:
        assert beside.rows() == {}
