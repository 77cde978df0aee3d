from __future__ import annotations

import json
import os
import shutil
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import duckdb
import pytest

from assetflow import Project
from assetflow.care.checkup import Checkup
from assetflow.care.restoring import restore
from assetflow.catalog.backups import back_up, backups
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.database import backup
from assetflow.catalog.keeping import Keeping
from assetflow.catalog.locks import FileLock
from assetflow.errors import DamagedCatalog, DiskFull, RunConflict, UsageError
from assetflow.files import Files
from assetflow.model.keys import AssetKey
from tests.unit.conftest import Workspace

# pyright: basic

ASSETS = """
    level = source("level", path="setting.txt")

    @asset
    def orders(level: bytes) -> pa.Table:
        return pa.table({"id": [0, 1, 2], "level": [int(level)] * 3})

    @asset
    def totals(orders: Rows) -> pa.Table:
        return pa.table({"sum": [sum(row["level"] for row in orders)]})

    @asset
    def fixed(orders: Rows) -> dict:
        return {"one": 1}
"""


def set_level(workspace: Workspace, level: int) -> None:
    path = workspace.file("setting.txt", str(level))
    os.utime(path, (time.time() - 100, time.time() - 100 + level))


def built(workspace: Workspace, levels: int = 1) -> Project:
    workspace.assets(ASSETS)
    for level in range(levels):
        set_level(workspace, level)
        assert workspace.materialize().ok
    return workspace.project()


def folders(workspace: Workspace) -> list[str]:
    data = workspace.root / ".assetflow" / "data"
    return sorted(path.parent.relative_to(data).as_posix() for path in data.rglob("_version.json"))


def numbers(project: Project, key: str) -> list[int]:
    with closing(Catalog(project.settings.catalog_path)) as catalog:
        return [one.number for one in Keeping(catalog.database).versions("live") if one.asset == key]


def folder_of(project: Project, key: str, number: int) -> Path:
    with closing(Catalog(project.settings.catalog_path)) as catalog:
        version = catalog.version(AssetKey(key), number)
    assert version is not None
    return project.settings.storage_path / version.location


def data_file(folder: Path) -> Path:
    [found] = [path for path in folder.iterdir() if path.name != "_version.json"]
    return found


def overwrite(path: Path, data: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(data)


def flip(path: Path, position: int = -20) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    overwrite(path, bytes(data))


def bad(checkup: Checkup) -> list[str]:
    return [one.text for one in checkup.findings if one.level == "bad"]


# ------------------------------------------------------------------------------------------------------------ gc


def test_gc_keeps_the_newest_versions_of_each_asset_and_removes_the_bytes_of_the_others(workspace: Workspace) -> None:
    project = built(workspace, 6)

    done = project.gc(keep=2, keep_days=0, grace_s=0)

    assert numbers(project, "orders") == [5, 6]
    assert numbers(project, "totals") == [5, 6]
    assert [(one.asset, one.numbers) for one in done.going] == [("orders", (1, 2, 3, 4)), ("totals", (1, 2, 3, 4))]
    assert len(folders(workspace)) == 5
    assert done.freed_bytes > 0


def test_what_is_current_reads_as_before_after_a_gc_that_keeps_as_little_as_it_can(workspace: Workspace) -> None:
    project = built(workspace, 4)
    before = {key: str(project.read(key)) for key in ("orders", "totals", "fixed")}

    project.gc(keep=1, keep_days=0, grace_s=0)

    assert {key: str(project.read(key)) for key in before} == before
    assert workspace.project().plan().is_empty


def test_a_dry_run_says_what_a_real_one_does_and_changes_nothing(workspace: Workspace) -> None:
    project = built(workspace, 5)
    before = folders(workspace)

    foreseen = project.gc(keep=1, keep_days=0, grace_s=0, dry_run=True)

    assert folders(workspace) == before
    assert foreseen.going == project.gc(keep=1, keep_days=0, grace_s=0).going


def test_young_versions_stay_unless_the_call_says_otherwise(workspace: Workspace) -> None:
    project = built(workspace, 4)

    assert project.gc(keep=1).versions == 0
    assert project.gc(keep=1, keep_days=0).versions == 0  # the grace of a day
    assert project.gc(keep=1, keep_days=0, grace_s=0).versions == 6


def test_the_project_file_says_how_much_is_kept(workspace: Workspace) -> None:
    workspace.assets(ASSETS, '[retention]\nkeep = 2\nkeep_days = 0\ngrace = "0s"')
    for level in range(4):
        set_level(workspace, level)
        workspace.materialize()

    workspace.project().gc()

    assert numbers(workspace.project(), "orders") == [3, 4]


def test_a_version_that_is_current_in_another_environment_stays_with_what_it_was_made_from(
    workspace: Workspace,
) -> None:
    built(workspace)
    workspace.materialize(env="prod")
    for level in range(1, 4):
        set_level(workspace, level)
        workspace.materialize()
    project = workspace.project()
    in_prod = workspace.project("prod").history("totals")[0].head.version.number

    project.gc(keep=1, keep_days=0, grace_s=0)

    assert in_prod in numbers(project, "totals")
    assert workspace.project("prod").read("orders", as_="records") == [{"id": n, "level": 0} for n in range(3)]


def test_while_a_run_goes_on_versions_are_condemned_and_their_bytes_stay(workspace: Workspace) -> None:
    project = built(workspace, 3)
    before = folders(workspace)
    with FileLock(project.settings.state_path / "locks" / "store.lock") as running:
        assert running.acquire(is_shared=True)
        done = project.gc(keep=1, keep_days=0, grace_s=0)

    assert done.left == 4
    assert done.why_left == "a run is going on"
    assert folders(workspace) == before
    assert numbers(project, "orders") == [3]

    project.gc()

    assert len(folders(workspace)) == 3


def test_a_condemned_version_that_a_run_went_back_to_is_not_removed(workspace: Workspace) -> None:
    project = built(workspace, 2)
    with FileLock(project.settings.state_path / "locks" / "store.lock") as running:
        running.acquire(is_shared=True)
        project.gc(keep=1, keep_days=0, grace_s=0)
    with closing(sqlite3.connect(project.settings.catalog_path)) as catalog, catalog:
        # What a run that began before leaves: its head is on the version that was condemned meanwhile.
        [(trace, asset)] = catalog.execute(
            "SELECT trace_id, asset_id FROM trace JOIN version USING (version_id, asset_id) "
            "JOIN asset USING (asset_id) WHERE key = 'totals' AND number = 1"
        )
        catalog.execute("UPDATE head SET trace_id = ? WHERE asset_id = ?", (trace, asset))

    project.gc(keep=1, keep_days=0, grace_s=0)

    assert 1 in numbers(project, "totals")
    assert 1 in numbers(project, "orders")  # what it was made from
    assert project.read("totals", as_="records") == [{"sum": 0}]


def test_a_result_whose_bytes_were_removed_is_computed_again_and_not_linked(workspace: Workspace) -> None:
    project = built(workspace, 3)
    project.gc(keep=1, keep_days=0, grace_s=0)
    set_level(workspace, 0)

    outcomes = workspace.outcomes()

    assert outcomes["orders"] == "materialized"
    assert workspace.project().read("orders", as_="records")[0]["level"] == 0


class Stopping(Files):
    """Ends the process, as far as the code can tell, at the n-th removal."""

    def __init__(self, at: int) -> None:
        super().__init__()
        self.left = at

    def remove_tree(self, path: Path) -> None:
        self.left -= 1
        if self.left <= 0:
            raise KeyboardInterrupt
        super().remove_tree(path)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_gc_that_was_killed_is_finished_by_the_next_one(workspace: Workspace, at: int) -> None:
    project = built(workspace, 3)
    before = {key: str(project.read(key)) for key in ("orders", "totals", "fixed")}
    project.storage._files = Stopping(at)
    with pytest.raises(KeyboardInterrupt):
        project.gc(keep=1, keep_days=0, grace_s=0)

    again = workspace.project()
    assert {key: str(again.read(key)) for key in before} == before
    again.gc()

    assert len(folders(workspace)) == 3
    assert again.doctor(deep=True).is_healthy


def test_folders_that_were_never_committed_go_when_they_are_old(workspace: Workspace) -> None:
    project = built(workspace)
    orders = folder_of(project, "orders", 1)
    orphan = orders.with_name("0" * 16 + "-" + "a" * 12)
    shutil.copytree(orders, orphan)
    assert project.gc().litter.orphans == ()
    os.utime(orphan, (time.time() - 90_000, time.time() - 90_000))

    project.gc()

    assert not orphan.exists()
    assert orders.exists()


def test_many_folders_that_the_catalog_does_not_know_are_left_alone(workspace: Workspace) -> None:
    project = built(workspace)
    orders = folder_of(project, "orders", 1)
    for number in range(25):
        shutil.copytree(orders, orders.with_name(f"{number:016}-" + "a" * 12))

    done = project.gc(grace_s=0)

    assert len(folders(workspace)) == 28
    assert "rebuild-catalog" in done.notes[0]


def test_staging_of_runs_that_died_goes(workspace: Workspace) -> None:
    project = built(workspace)
    staging = project.settings.storage_path / "tmp" / ("7-" + "0" * 32)
    staging.mkdir(parents=True)
    (staging / "data.parquet").write_bytes(b"half")

    done = project.gc()

    assert not staging.exists()
    assert done.litter.staging_bytes == 4


def test_on_a_full_disk_gc_first_removes_what_needs_no_line(workspace: Workspace, monkeypatch) -> None:
    project = built(workspace, 3)
    staging = project.settings.storage_path / "tmp" / ("7-" + "0" * 32)
    staging.mkdir(parents=True)
    real = Files.append_line

    def append_line(self: Files, path: Path, line: bytes, *, is_durable: bool = True) -> None:
        if staging.exists():
            raise DiskFull("the disk is full")
        real(self, path, line, is_durable=is_durable)

    monkeypatch.setattr(Files, "append_line", append_line)

    project.gc(keep=1, keep_days=0, grace_s=0)

    assert len(folders(workspace)) == 3


def test_a_table_in_the_duckdb_file_is_dropped_with_its_version(workspace: Workspace) -> None:
    workspace.assets(
        ASSETS.replace("@asset\n    def orders", '@asset(io="duckdb")\n    def orders'), 'duckdb = "native"'
    )
    for level in range(3):
        set_level(workspace, level)
        workspace.materialize()
    project = workspace.project()
    # A marker that names the table of another version must not take that one along.
    current = (folder_of(project, "orders", 3) / "table.txt").read_text()
    overwrite(folder_of(project, "orders", 1) / "table.txt", current.encode())

    project.gc(keep=1, keep_days=0, grace_s=0)

    assert numbers(project, "orders") == [3]
    assert len(project.read("orders", as_="records")) == 3


# -------------------------------------------------------------------------------------------------------- doctor


def test_a_store_in_order_is_healthy_in_a_quick_and_in_a_deep_look(workspace: Workspace) -> None:
    project = built(workspace, 2)

    quick, deep = project.doctor(), project.doctor(deep=True, workers=2)

    assert (quick.damage, bad(quick), quick.can_be_fixed) == ((), [], False)
    assert (deep.damage, bad(deep), deep.checked) == ((), [], 5)


def test_a_project_that_has_built_nothing_is_healthy(workspace: Workspace) -> None:
    workspace.assets(ASSETS)
    set_level(workspace, 1)

    assert workspace.project().doctor(deep=True).is_healthy


def test_one_changed_bit_is_found_by_a_deep_look(workspace: Workspace) -> None:
    project = built(workspace)
    flip(data_file(folder_of(project, "orders", 1)))

    found = project.doctor(deep=True)

    assert [one.name for one in found.damage] == ["orders@1"]
    assert found.damage[0].problems == ("the bytes of data.parquet are not what was written",)
    assert found.damage[0].current_in == ("dev",)
    assert found.to_materialize == ("orders",)


@pytest.mark.parametrize(
    "harm",
    [
        lambda folder: data_file(folder).unlink(),
        lambda folder: overwrite(data_file(folder), b"PAR1"),
        lambda folder: flip(folder / "_version.json", 30),
        lambda folder: (folder / "_version.json").unlink(),
        shutil.rmtree,
        lambda folder: (folder / "more.txt").write_text("?"),
    ],
    ids=["data gone", "data cut", "sidecar changed", "sidecar gone", "folder gone", "foreign file"],
)
def test_a_quick_look_finds_what_is_missing_or_cut(workspace: Workspace, harm) -> None:
    project = built(workspace, 2)
    harm(folder_of(project, "totals", 2))

    found = project.doctor()

    assert [one.name for one in found.damage] == ["totals@2"]
    assert not found.is_healthy


def test_two_folders_that_were_swapped_are_found(workspace: Workspace) -> None:
    project = built(workspace, 2)
    one, two = folder_of(project, "orders", 1), folder_of(project, "orders", 2)
    one.rename(one.with_name("aside"))
    two.rename(one)
    one.with_name("aside").rename(two)

    assert [damage.name for damage in project.doctor().damage] == ["orders@1", "orders@2"]


def test_a_link_in_the_store_is_an_error_and_is_not_followed(workspace: Workspace) -> None:
    project = built(workspace)
    place = folder_of(project, "orders", 1)
    outside = workspace.root / "outside"
    place.rename(outside)
    place.symlink_to(outside)

    found = project.doctor()

    assert any("symbolic link" in text for text in bad(found))
    assert [one.name for one in found.damage] == ["orders@1"]


def test_mending_puts_damage_into_quarantine_and_the_next_run_makes_it_again(workspace: Workspace) -> None:
    project = built(workspace, 2)
    before = project.read("totals", as_="records")
    place = folder_of(project, "totals", 2)
    flip(data_file(place))

    done = project.mend(project.doctor(deep=True))

    assert done.to_materialize == ("totals",)
    assert (workspace.root / ".assetflow" / "quarantine" / "totals" / f"2-{place.name}" / "_version.json").exists()
    assert [step.asset for step in workspace.project().plan().run] == ["totals"]
    assert workspace.outcomes()["totals"] == "materialized"
    assert workspace.project().read("totals", as_="records") == before
    assert workspace.project().doctor(deep=True).is_healthy


def test_mending_waits_for_nobody_and_says_that_a_run_is_going_on(workspace: Workspace) -> None:
    project = built(workspace)
    flip(data_file(folder_of(project, "orders", 1)))
    found = project.doctor(deep=True)
    with FileLock(project.settings.state_path / "locks" / "store.lock") as running:
        running.acquire(is_shared=True)
        with pytest.raises(RunConflict):
            project.mend(found)

    assert folder_of(project, "orders", 1).exists()


def test_runs_whose_process_is_gone_are_ended_by_mending(workspace: Workspace) -> None:
    project = built(workspace)
    with closing(Catalog(project.settings.catalog_path, write=True)) as catalog:
        run_id, _ = catalog.begin_run(
            "dev", selection="", cause="cli", user="you", host="laptop", pid=1, at=time.time()
        )

    found = project.doctor()
    project.mend(found)

    assert [run.run_id for run in found.dead_runs] == [run_id]
    with closing(Catalog(project.settings.catalog_path)) as catalog:
        assert catalog.running() == []


def test_a_journal_that_lost_a_line_is_found_and_written_anew(workspace: Workspace) -> None:
    project = built(workspace, 2)
    [journal] = (workspace.root / ".assetflow" / "journal").iterdir()
    lines = journal.read_bytes().splitlines(keepends=True)
    overwrite(journal, b"".join([*lines[:2], *lines[3:]]))

    found = project.doctor()
    project.mend(found)

    assert any("journal" in text for text in bad(found))
    assert project.doctor(deep=True).is_healthy
    assert restored_heads(workspace) == heads_of(project)


def test_on_a_full_disk_the_old_journal_stays_until_there_is_room_for_the_new_one(
    workspace: Workspace, monkeypatch
) -> None:
    project = built(workspace, 2)
    [journal] = (workspace.root / ".assetflow" / "journal").iterdir()
    lines = journal.read_bytes().splitlines(keepends=True)
    overwrite(journal, damaged := b"".join([*lines[:2], *lines[3:]]))
    found = project.doctor()

    def full(self: Files, source: Path, target: Path) -> None:
        raise DiskFull("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Files, "rename", full)
        with pytest.raises(DiskFull):
            project.mend(found)

    assert journal.read_bytes() == damaged
    project.mend(project.doctor())
    assert project.doctor(deep=True).is_healthy


def test_a_disk_that_fails_to_give_what_it_gave_before_is_no_damage(workspace: Workspace, monkeypatch) -> None:
    project = built(workspace, 2)
    failing = "import sys; [print('[\"[Errno 5] Input/output error\"]', flush=True) for line in sys.stdin]"
    with monkeypatch.context() as patch:
        patch.setattr("assetflow.care.deep._START", failing)
        found = project.doctor(deep=True)

    assert found.damage == ()
    assert any("Input/output error" in one.text for one in found.findings)


def test_a_deep_look_finds_a_row_that_the_journal_tells_otherwise(workspace: Workspace) -> None:
    project = built(workspace)
    with closing(sqlite3.connect(project.settings.catalog_path)) as catalog, catalog:
        catalog.execute("UPDATE version SET row_count = 99 WHERE io = 'parquet' AND number = 1 AND row_count = 3")

    assert any("rows of `version`" in text for text in bad(project.doctor(deep=True)))


def test_a_catalog_that_is_no_database_is_said_and_nothing_else_is_needed(workspace: Workspace) -> None:
    project = built(workspace)
    project.settings.catalog_path.write_bytes(b"garbage" * 1000)

    found = project.doctor(deep=True)

    assert found.needs_rebuild
    assert any("3 versions lie in the storage" in one.text for one in found.findings)


def test_looking_at_a_pickle_does_not_load_it(workspace: Workspace) -> None:
    workspace.assets(
        """
        @asset(io="pickle")
        def thing() -> object:
            return {"a": 1}
        """,
        "allow_pickle = true",
    )
    workspace.materialize()
    project = workspace.project()
    place = folder_of(project, "thing", 1)
    trap = workspace.root / "sprung"
    payload = b"cos\nsystem\n(S'touch " + str(trap).encode() + b"'\ntR."
    overwrite(data_file(place), payload)

    found = project.doctor(deep=True)

    assert [one.name for one in found.damage] == ["thing@1"]
    assert not trap.exists()


# --------------------------------------------------------------------------------------------------- DuckDB files

IN_DUCKDB = """
    level = source("level", path="setting.txt")

    @asset(io="duckdb")
    def orders(level: bytes) -> pa.Table:
        return pa.table({"level": [int(level)] * 3})
"""


def in_duckdb(workspace: Workspace, settings: str = "") -> Project:
    workspace.assets(IN_DUCKDB, settings)
    for level in range(4):
        set_level(workspace, level)
        assert workspace.materialize().ok
    set_level(workspace, 3)
    assert workspace.materialize(env="trial").ok
    return workspace.project()


def listed(file: Path, env: str) -> list[int]:
    with duckdb.connect(str(file), read_only=True) as connection:
        found = connection.execute(
            "SELECT version FROM _assetflow.versions WHERE env IN (?, '') ORDER BY 1", [env]
        ).fetchall()
    return [number for (number,) in found]


@pytest.mark.parametrize("mode", ["views", "native"])
def test_after_gc_duckdb_programs_see_no_version_that_is_gone(workspace: Workspace, mode: str) -> None:
    project = in_duckdb(workspace, f'duckdb = "{mode}"')
    state = project.settings.state_path
    files = {
        env: state / ("warehouse.duckdb" if mode == "native" else f"views/{env}.duckdb") for env in ("dev", "trial")
    }
    assert all(len(listed(file, env)) == 4 for env, file in files.items())

    project.gc(keep=1, keep_days=0, grace_s=0)

    assert {env: listed(file, env) for env, file in files.items()} == {"dev": [4], "trial": [4]}
    with duckdb.connect(str(files["dev"]), read_only=True) as connection:
        assert connection.execute("SELECT level FROM orders").fetchall() == [(3,)] * 3
        assert connection.execute("SELECT count(*) FROM orders_at(4)").fetchall() == [(3,)]
        with pytest.raises(duckdb.Error, match="orders has no version 1"):
            connection.execute("SELECT * FROM orders_at(1)").fetchall()


def test_files_that_dead_programs_left_beside_the_duckdb_file_are_removed_and_no_others(workspace: Workspace) -> None:
    project = in_duckdb(workspace, 'duckdb = "native"')
    state = project.settings.state_path
    (state / "views").mkdir()
    left = [state / "rows-ab12cd3_", state / "warehouse.duckdb.compact", state / "views" / "dev.0a1b.aside"]
    alike = [state / "rows-ab12cd3_.csv", state / "warehouse.duckdb.lock", state / "warehouse.duckdb.json"]
    for path in [*left, *alike]:
        path.touch()
        os.utime(path, (time.time() - 7200, time.time() - 7200))
    being_written = state / "rows-ab12cd3x"
    being_written.touch()

    found = project.doctor(grace_s=0)
    project.gc(keep_days=0, grace_s=0)

    assert found.is_healthy
    assert sorted(found.litter.rests) == sorted(left)
    assert not any(path.exists() for path in left)
    assert all(path.exists() for path in [*alike, being_written])


# ------------------------------------------------------------------------------------------------------- rebuild


def heads_of(project: Project) -> dict[tuple[str, str], tuple[int, str]]:
    """What is current in every environment."""
    with closing(Catalog(project.settings.catalog_path)) as catalog:
        return {
            (env, key): (head.version.number, head.trace.input_key)
            for env in ("dev", "prod")
            for (key, _), head in catalog.heads(env).items()
        }


def restored_heads(workspace: Workspace, *, from_backup: bool = False) -> dict[tuple[str, str], tuple[int, str]]:
    project = workspace.project()
    project.settings.catalog_path.unlink(missing_ok=True)
    restore(project.settings, from_backup=from_backup)
    return heads_of(workspace.project())


def everything(project: Project) -> dict[str, list[object]]:
    with closing(sqlite3.connect(project.settings.catalog_path)) as catalog:
        return {
            table: sorted(catalog.execute(f"SELECT {columns} FROM {table}").fetchall())
            for table, columns in (
                ("version", "*"),
                ("trace", "*"),
                ("trace_in", "*"),
                ("head", "env_id, asset_id, part_id, trace_id, seq, changed_seq"),
                ("head_log", "*"),
                ("asset", "*"),
            )
        }


def test_a_lost_catalog_comes_back_from_the_journal_whole(workspace: Workspace) -> None:
    built(workspace, 3)
    workspace.materialize(env="prod")
    project = workspace.project()
    before = everything(project)
    project.settings.catalog_path.unlink()

    with pytest.raises(DamagedCatalog):
        project.status()
    found = restore(project.settings)

    assert everything(project) == before
    assert found.rebuilt.adopted == ()
    assert found.rebuilt.lost == ()
    assert workspace.project().plan().is_empty
    assert workspace.project().doctor(deep=True).is_healthy


def test_a_rebuilt_catalog_gives_new_runs_numbers_that_no_run_ever_had(workspace: Workspace) -> None:
    built(workspace, 2)
    (workspace.root / ".assetflow" / "runs" / "9").mkdir()  # of one that committed nothing
    restored_heads(workspace)
    set_level(workspace, 7)

    assert workspace.materialize().run_id == 10


def test_a_rebuild_can_be_followed_by_another(workspace: Workspace) -> None:
    project = built(workspace, 2)
    before = heads_of(project)
    assert restored_heads(workspace) == before
    set_level(workspace, 5)
    workspace.materialize()
    after = heads_of(workspace.project())

    assert restored_heads(workspace) == after


def test_the_old_file_is_kept_in_quarantine(workspace: Workspace) -> None:
    project = built(workspace)
    project.settings.catalog_path.write_bytes(b"garbage" * 1000)

    found = restore(project.settings)

    assert found.rebuilt.kept_in is not None
    assert (found.rebuilt.kept_in / "catalog.db").read_bytes() == b"garbage" * 1000
    assert workspace.project().plan().is_empty


def test_without_a_journal_versions_come_back_from_their_sidecars_and_are_linked_by_the_next_run(
    workspace: Workspace,
) -> None:
    project = built(workspace, 2)
    content = project.read("orders", as_="records")
    shutil.rmtree(workspace.root / ".assetflow" / "journal")
    project.settings.catalog_path.unlink()

    found = restore(project.settings)

    assert sorted(found.rebuilt.adopted) == ["fixed@1", "orders@1", "orders@2", "totals@1", "totals@2"]
    assert found.rebuilt.heads == 0
    outcomes = workspace.outcomes()
    assert (outcomes["orders"], outcomes["totals"]) == ("linked", "linked")
    assert workspace.project().read("orders", as_="records") == content


def test_what_a_bad_line_of_the_journal_lost_comes_back_from_sidecars(workspace: Workspace) -> None:
    project = built(workspace, 3)
    journal = next((workspace.root / ".assetflow" / "journal").iterdir())
    lines = journal.read_bytes().splitlines(keepends=True)
    spoiled = [n for n, line in enumerate(lines) if b'["version","put"' in line and b"parquet" in line][2]
    lines[spoiled] = lines[spoiled].replace(b'"changes"', b'"chances"')
    overwrite(journal, b"".join(lines))
    project.settings.catalog_path.unlink()

    found = restore(project.settings)

    assert found.rebuilt.lost
    assert len(found.rebuilt.adopted) >= 1
    assert found.rebuilt.versions == 7
    workspace.materialize()
    assert workspace.project().doctor(deep=True).is_healthy
    assert workspace.project().read("totals", as_="records") == [{"sum": 6}]


def test_a_folder_whose_bytes_are_not_those_of_its_sidecar_is_not_taken_in(workspace: Workspace) -> None:
    project = built(workspace)
    flip(data_file(folder_of(project, "orders", 1)))
    shutil.rmtree(workspace.root / ".assetflow" / "journal")
    project.settings.catalog_path.unlink()

    found = restore(project.settings)

    assert [location.split("/")[0] for location, _ in found.refused] == ["orders"]
    assert sorted(found.rebuilt.adopted) == ["fixed@1", "totals@1"]


def test_with_nothing_to_make_it_from_nothing_is_made(workspace: Workspace) -> None:
    workspace.assets(ASSETS)
    project = workspace.project()

    with pytest.raises(DamagedCatalog, match="nothing to make the catalog"):
        restore(project.settings)
    with pytest.raises(UsageError, match="no whole backup"):
        restore(project.settings, from_backup=True)

    assert not project.settings.catalog_path.exists()


def test_a_backup_brings_the_history_of_runs_back_and_the_journal_what_came_after_it(workspace: Workspace) -> None:
    project = built(workspace)
    set_level(workspace, 4)
    workspace.materialize()
    after = heads_of(workspace.project())
    for newer in backups(project.settings.catalog_path)[:-1]:  # of a second run in the next hour
        newer.path.unlink()

    assert restored_heads(workspace, from_backup=True) == after
    states = {run.run_id: run.state for run in workspace.project().runs()}
    assert states == {1: "ok", 2: "lost"}


def test_a_damaged_backup_is_passed_over(workspace: Workspace) -> None:
    project = built(workspace)
    now = time.time()
    catalog = project.settings.catalog_path
    older = back_up(catalog, now - 7200)
    assert older is not None
    for newer in backups(catalog)[:-1]:  # that of the run
        overwrite(newer.path, b"garbage" * 500)
    catalog.unlink()

    found = restore(project.settings, from_backup=True)

    assert found.rebuilt.backup == older


def test_a_backup_is_of_the_minute_in_which_it_was_made(workspace: Workspace) -> None:
    project = built(workspace)
    newest = backups(project.settings.catalog_path)[0]
    hour = newest.made_at - newest.made_at % 3600
    os.utime(newest.path, (hour + 2520, hour + 2520))
    assert [one.made_at for one in backups(project.settings.catalog_path)] == [hour + 2520]
    said = [one.text for one in project.doctor().findings if one.topic == "backups"]
    assert said == [f"newest backup from {time.strftime('%Y-%m-%d %H:42 UTC', time.gmtime(hour))}"]

    os.utime(newest.path, (hour - 1, hour - 1))  # copied from elsewhere: then its name is all that is known
    assert [one.made_at for one in backups(project.settings.catalog_path)] == [hour]


def test_there_is_one_backup_an_hour_and_old_ones_thin_out_to_one_a_day(workspace: Workspace) -> None:
    project = built(workspace)
    catalog, now = project.settings.catalog_path, 1_800_000_000.0
    assert back_up(catalog, now) is not None
    assert back_up(catalog, now + 60) is None
    with closing(sqlite3.connect(catalog)) as connection:
        for hour in range(1, 24 * 30):
            name = time.strftime("%Y%m%dT%H", time.gmtime(now - 3600 * hour))
            if hour < 3:
                backup(connection, catalog, name)
            else:
                (catalog.parent / "backups" / f"catalog-{name}.db").touch()

    assert back_up(catalog, now + 3600) is not None

    kept = [one.made_at for one in backups(catalog)]
    assert len(kept) == 24 + 12
    assert kept[0] > kept[23] > kept[24]


def test_sidecars_say_no_more_than_the_file_that_they_lie_in(workspace: Workspace) -> None:
    # One that names an asset or a place outside of the storage is refused, whoever wrote it.
    project = built(workspace)
    place = folder_of(project, "orders", 1)
    from xxhash import xxh3_128

    facts = json.loads((place / "_version.json").read_bytes().partition(b"\n")[0])
    facts["asset"] = "../../outside"
    data = json.dumps(facts).encode()
    overwrite(place / "_version.json", data + b"\nxxh3:" + xxh3_128(data).hexdigest().encode() + b"\n")
    shutil.rmtree(workspace.root / ".assetflow" / "journal")
    project.settings.catalog_path.unlink()

    found = restore(project.settings)

    assert [location.split("/")[0] for location, _ in found.refused] == ["orders"]
