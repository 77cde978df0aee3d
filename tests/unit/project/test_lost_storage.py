"""What is stored is away, or the catalog is: nothing is made again, recorded as lost or deleted because of it."""

from __future__ import annotations

import math
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from assetflow import Project
from assetflow.care.restoring import restore
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.keeping import Keeping
from assetflow.catalog.locks import FileLock
from assetflow.errors import DamagedCatalog, StorageFailed, UsageError
from tests.unit.conftest import Workspace
from tests.unit.project.test_care import ASSETS, built, data_file, flip, folder_of, folders, numbers, set_level

# pyright: basic


def states(project: Project) -> dict[str, str]:
    with closing(Catalog(project.settings.catalog_path)) as catalog:
        found = Keeping(catalog.database).versions("live", "lost", "damaged", "condemned", "evicted")
    places = {version.location: f"{version.asset}@{version.number}" for version in found}
    with closing(sqlite3.connect(project.settings.catalog_path)) as connection:
        rows = connection.execute("SELECT location, state FROM version WHERE location <> ''").fetchall()
    return {places[location]: state for location, state in rows}


def away(workspace: Workspace) -> Path:
    """The storage folder, moved out of the way; where it is now."""
    data = workspace.root / ".assetflow" / "data"
    return data.rename(data.with_name("elsewhere"))


def brought_back(workspace: Workspace, moved: Path) -> None:
    shutil.copytree(moved, workspace.root / ".assetflow" / "data", dirs_exist_ok=True)
    shutil.rmtree(moved)


def made_again(workspace: Workspace) -> Project:
    """All was made again in an empty folder, and then what was there before came back."""
    built(workspace)
    moved = away(workspace)
    (workspace.root / ".assetflow" / "data").mkdir()
    assert workspace.materialize().ok
    brought_back(workspace, moved)
    return workspace.project()


# --------------------------------------------------------------------------------------------- the storage is away


@pytest.mark.parametrize("env", [None, "other"])
def test_nothing_runs_while_the_storage_folder_is_away(workspace: Workspace, env: str | None) -> None:
    project = built(workspace)
    moved = away(workspace)

    for verb in (workspace.project(env).plan, workspace.project(env).materialize):
        with pytest.raises(StorageFailed, match="is its disk mounted"):
            verb()
    assert not (workspace.root / ".assetflow" / "data").exists()
    brought_back(workspace, moved)

    assert workspace.project().plan().is_empty
    assert set(states(project).values()) == {"live"}


def test_in_an_empty_storage_folder_everything_is_made_again(workspace: Workspace) -> None:
    built(workspace)
    away(workspace)
    (workspace.root / ".assetflow" / "data").mkdir()

    assert workspace.materialize().ok
    assert workspace.project().plan().is_empty


def test_mending_while_the_storage_folder_is_away_records_nothing_as_lost(workspace: Workspace) -> None:
    project = built(workspace)
    away(workspace)

    found = project.doctor()
    assert not found.is_healthy
    project.mend(found, grace_s=0)

    assert set(states(project).values()) == {"live"}


def test_versions_that_came_back_are_taken_back_by_mending_also_in_the_journal(workspace: Workspace) -> None:
    project = made_again(workspace)
    assert states(project)["orders@1"] == "lost"

    found = project.doctor()
    assert sorted(f"{one.asset}@{one.number}" for one in found.back) == ["fixed@1", "orders@1", "totals@1"]
    assert found.is_healthy
    assert found.can_be_fixed
    project.mend(found)

    assert set(states(project).values()) == {"live"}
    assert project.doctor(deep=True).back == ()
    project.settings.catalog_path.unlink()
    restore(project.settings)
    assert set(states(project).values()) == {"live"}


def test_a_version_that_came_back_damaged_is_not_taken_back_and_gc_removes_it(workspace: Workspace) -> None:
    project = made_again(workspace)
    orders = folder_of(project, "orders", 1)
    flip(data_file(orders))

    assert "orders" not in {one.asset for one in project.doctor().back}
    project.gc(grace_s=0)

    assert not orders.exists()


def test_gc_leaves_the_folder_of_a_version_that_was_taken_for_lost_and_is_whole(workspace: Workspace) -> None:
    project = made_again(workspace)

    foreseen = project.gc(grace_s=0, dry_run=True)
    done = project.gc(keep=1, keep_days=0, grace_s=0)

    assert folder_of(project, "orders", 1).exists()
    assert len(folders(workspace)) == 6
    assert any("doctor --fix" in note for note in foreseen.notes)
    assert any("doctor --fix" in note for note in done.notes)


# ------------------------------------------------------------------------------------- the catalog and its journal


def lose_catalog(workspace: Workspace, *names: str) -> None:
    for name in ("journal", *names):
        shutil.rmtree(workspace.root / ".assetflow" / name)
    (workspace.root / ".assetflow" / "catalog.db").unlink()


def test_a_lost_catalog_beside_backups_is_not_taken_for_a_new_one(workspace: Workspace) -> None:
    project = built(workspace)
    before = workspace.stored()
    lose_catalog(workspace)

    for verb in (project.status, project.materialize, project.gc):
        with pytest.raises(DamagedCatalog, match="backups of it are there") as caught:
            verb()
        assert "doctor --rebuild-catalog" in (caught.value.fix or "")
    assert project.doctor().needs_rebuild
    restore(project.settings, from_backup=True)

    assert workspace.stored() == before
    assert workspace.materialize().ok


def test_gc_of_a_catalog_that_began_anew_leaves_the_versions_of_the_earlier_one(workspace: Workspace) -> None:
    built(workspace, 3)
    before = set(folders(workspace))
    lose_catalog(workspace, "backups")
    assert workspace.materialize().ok  # its runs are counted from 1 again
    with closing(sqlite3.connect(workspace.root / ".assetflow" / "catalog.db")) as connection, connection:
        connection.execute("UPDATE run SET started_at = started_at + 3600")

    done = workspace.project().gc(grace_s=0)

    assert before < set(folders(workspace))
    assert any("doctor --rebuild-catalog" in note for note in done.notes)
    assert any("doctor --rebuild-catalog" in one.text for one in workspace.project().doctor(grace_s=0).findings)


# --------------------------------------------------------------------------------------------- a catalog made again


def test_a_catalog_made_of_sidecars_tells_what_was_made_of_what_by_content(workspace: Workspace) -> None:
    project = built(workspace, 3)
    read = {number: project.read("totals", version=number, as_="records") for number in (1, 2, 3)}
    assert [row[0]["sum"] for row in read.values()] == [0, 3, 6]
    project.gc(keep=1, keep_days=0, grace_s=0)  # of each asset the third version is left, which gets the number 1
    set_level(workspace, 5)
    workspace.materialize()
    lose_catalog(workspace)

    restore(project.settings, from_backup=False)

    with closing(sqlite3.connect(project.settings.catalog_path)) as connection:
        rows = connection.execute(
            "SELECT v.number, i.number FROM trace_in i JOIN trace t USING (trace_id) JOIN version v USING (version_id)"
            " JOIN asset a ON a.asset_id = t.asset_id WHERE a.key = 'totals' ORDER BY 1"
        ).fetchall()
    assert numbers(project, "orders") == [1, 2]
    assert rows == [(1, 1), (2, 2)]


# ------------------------------------------------------------------------------------------------ calls and locks


@pytest.mark.parametrize(
    "options", [{"keep": -5}, {"keep": 0}, {"grace_s": -100}, {"grace_s": math.nan}, {"keep_days": math.inf}]
)
def test_a_retention_that_makes_no_sense_is_refused(workspace: Workspace, options: dict[str, float]) -> None:
    project = built(workspace, 2)
    before = workspace.stored()

    with pytest.raises(UsageError, match=next(iter(options))):
        project.gc(**options)  # type: ignore[arg-type]

    assert workspace.stored() == before


def test_gc_waits_for_who_makes_the_catalog_again_before_it_opens_it(workspace: Workspace) -> None:
    project = built(workspace, 3)
    catalog = project.settings.catalog_path
    replaced = catalog.with_name("made-again.db")
    shutil.copy(catalog, replaced)
    rebuilding = FileLock(project.settings.state_path / "locks" / "store.lock")
    assert rebuilding.acquire()

    from assetflow.care import retention
    from assetflow.care.removal import collect

    def on_wait() -> None:
        if replaced.exists():
            replaced.replace(catalog)
            rebuilding.release()

    done = collect(
        project.settings, project.storage, retention(project.settings, keep=1, keep_days=0, grace_s=0), wait_s=30,
        on_wait=on_wait,
    )  # fmt: skip

    assert done.versions == 4
    assert numbers(project, "orders") == [3]


# ---------------------------------------------------------------------------------------------- views of a project


def test_views_are_made_anew_when_the_project_was_moved(workspace: Workspace) -> None:
    workspace.assets(
        ASSETS.replace("@asset\n    def orders", '@asset(io="duckdb")\n    def orders'), 'duckdb = "views"'
    )
    set_level(workspace, 1)
    assert workspace.materialize().ok
    project = workspace.project()
    assert project.storage.shows(project.env)
    state = workspace.root / ".assetflow"
    moved = Workspace(workspace.root / "moved")
    moved.assets(ASSETS.replace("@asset\n    def orders", '@asset(io="duckdb")\n    def orders'), 'duckdb = "views"')
    state.rename(moved.root / ".assetflow")

    there = moved.project()
    assert not there.storage.shows(there.env)
    there._present_again()
    assert there.storage.shows(there.env)


def test_a_quick_look_opens_the_file_of_native_tables(workspace: Workspace) -> None:
    workspace.assets(
        ASSETS.replace("@asset\n    def orders", '@asset(io="duckdb")\n    def orders'), 'duckdb = "native"'
    )
    set_level(workspace, 1)
    assert workspace.materialize().ok
    project = workspace.project()
    assert project.doctor().is_healthy
    file = project.settings.warehouse_path
    file.write_bytes(b"garbage" * 1000)

    found = project.doctor()

    assert [one.name for one in found.damage] == ["orders@1"]
    assert "cannot be opened" in found.damage[0].problems[0]
    assert file.read_bytes() == b"garbage" * 1000
