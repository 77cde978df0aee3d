"""Fingerprints of a loaded project: on the specs, in the manifest, and from what earlier loads kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from assetflow.load.definitions import load_project
from assetflow.load.manifest import Manifest, read_manifest, write_manifest
from assetflow.load.settings import read_settings

Write = Callable[..., Path]
TEXT = "import pandas as pd\nfrom assetflow import *\nRATE = 2\n@asset\ndef one(): return pd.DataFrame({'n': [RATE]}), globals()\n"  # noqa: E501


def load(root: Path) -> Manifest:
    settings = read_settings(root, environment={})
    return write_manifest(settings, load_project(settings))


def codes(manifest: Manifest) -> dict[str, str]:
    return {spec.key: spec.code for spec in manifest.specs}


def test_texts_notes_and_packages_are_in_the_manifest(write: Write) -> None:
    root = write(assets=TEXT)
    written = load(root)
    found = read_manifest(read_settings(root, environment={}))

    assert found is not None
    assert found == written
    spec = found.specs[0]
    assert [note.kind for note in spec.code_notes] == ["widened", "widened"]
    assert list(spec.packages) == ["python", "pandas"]
    assert spec.code_parts is not None
    assert found.code_sources[spec.code_parts["one"]].text.endswith("globals()")
    assert set(spec.code_parts.values()) <= set(found.code_sources)


def test_manifest_whose_texts_are_gone_is_made_again(write: Write) -> None:
    root = write(assets=TEXT)
    load(root)
    next(root.rglob("code-sources.json")).unlink()

    assert read_manifest(read_settings(root, environment={})) is None


def test_damaged_texts_are_not_shown_and_are_made_again(write: Write) -> None:
    root = write(assets=TEXT)
    load(root)
    path = next(root.rglob("code-sources.json"))
    path.write_bytes(path.read_bytes().replace(b"RATE", b"ROTE"))
    found = read_manifest(read_settings(root, environment={}))

    assert found is not None
    assert len(found.code_sources) == 0
    assert read_manifest(read_settings(root, environment={})) is None


@pytest.mark.parametrize("damage", ["flip", "cut", "empty", "gone", "other"])
def test_kept_indexes_change_nothing_even_when_they_are_damaged(write: Write, damage: str) -> None:
    root = write(assets=TEXT, helper="def g(): return 1\n")
    first = codes(load(root))
    path = next(root.rglob("code-index.json"))
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(
            {"flip": content.replace(b"RATE", b"ROTE"), "cut": content[:-20], "empty": b"", "other": b"[]"}[damage]
        )

    assert codes(load(root)) == first
    assert path.read_bytes() == content


def test_edit_is_seen_with_indexes_that_were_kept(write: Write) -> None:
    root = write(assets=TEXT)
    first = codes(load(root))
    (root / "assets.py").write_text(TEXT.replace("RATE = 2", "RATE = 3"))
    edited = codes(load(root))
    (root / "assets.py").write_text(TEXT)

    assert first != edited
    assert codes(load(root)) == first
