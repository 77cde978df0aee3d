"""Damaged bytes: found when they are read, and made again when that is asked for."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from assetflow import Project
from assetflow.errors import DamagedVersion

ASSETS = """
import pandas as pd
from assetflow import asset, source

SHARED = [{"x": 1}]
shared = source("shared", version=lambda: "1", load=lambda: SHARED)

@asset
def table() -> pd.DataFrame:
    return pd.DataFrame({"x": [1, 2, 3]})

@asset
def reader(table: pd.DataFrame) -> int:
    return int(table.x.sum())

@asset
def first(shared: list[dict]) -> list:
    shared[0]["x"] = 99
    return shared

@asset(deps=["first"])
def second(shared: list[dict]) -> list:
    return shared
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "assetflow.toml").write_text("")
    (tmp_path / "assets.py").write_text(ASSETS)
    project = Project.load(tmp_path)
    project.materialize().raise_for_status()
    return project


def stored(project: Project, key: str) -> Path:
    return next((project.settings.storage_path / key).rglob("data.parquet"))


def test_force_stores_equal_content_again_when_the_stored_bytes_are_damaged(project: Project) -> None:
    file = stored(project, "table")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DamagedVersion):
        project.read("table")
    with pytest.raises(DamagedVersion):
        project.sql('select * from "table"')

    result = project.materialize("table", force=True)

    assert result["table"].state == "materialized"
    assert project.read("table", as_="records") == [{"x": 1}, {"x": 2}, {"x": 3}]
    assert [entry.head.version.number for entry in project.history("table")] == [2, 1]
    assert project.materialize().counts.get("materialized", 0) == 0


def test_force_stores_equal_content_again_when_the_disk_does_not_give_it_and_loses_nothing(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patch:
        patch.setattr("assetflow.io.parquet.check_file", fail)
        result = project.materialize("table", force=True)

    assert result["table"].state == "materialized"
    found = {entry.head.version.number: entry.head.version.state for entry in project.history("table")}
    assert found == {1: "live", 2: "live"}
    assert project.read("table@1", as_="records") == project.read("table@2", as_="records")


def test_force_keeps_sound_bytes(project: Project) -> None:
    before = stored(project, "table")

    assert project.materialize("table", force=True)["table"].state == "unchanged"
    assert stored(project, "table") == before


def test_what_one_asset_does_to_a_loaded_value_does_not_reach_the_next(project: Project) -> None:
    assert project.read("first") == [{"x": 99}]
    assert project.read("second") == [{"x": 1}]
