"""Results of quick steps are published and recorded together, never for long, and all the promises hold for each."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from assetflow.catalog.catalog import Catalog
from assetflow.errors import DiskFull, StorageFailed
from assetflow.files import Files
from assetflow.io.publishing import Prepared
from assetflow.io.storage import Storage
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version
from assetflow.run import pace
from assetflow.run.pace import PutOff
from assetflow.whole_disk import WholeDisk

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

DEADLINE_S = 30.0
MANY = 40

QUICK = "\n".join(f"@asset\ndef one_{number}() -> list[int]:\n    return [{number}]\n" for number in range(MANY))

LOOKING = '''
import time
from contextlib import closing
from pathlib import Path

from assetflow.catalog.catalog import Catalog

@asset
def slow() -> int:
    """Ends when the catalog has what was made before it, which nobody else can see to while this runs."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with closing(Catalog(Path(__file__).parent / ".assetflow" / "catalog.db")) as catalog:
            if (found := len(catalog.heads("dev"))) >= 40:
                break
    return found
'''


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps count as quick from the first, and what they give may wait for as long as it takes."""
    monkeypatch.setattr(pace, "LOOK_BACK", 0)
    monkeypatch.setattr(pace, "_LONGEST_S", DEADLINE_S)


def transactions(workspace: Workspace) -> int:
    """How many transactions the journal tells of."""
    files = (workspace.root / ".assetflow" / "journal").iterdir()
    return sum(file.read_text().count('"changes":') for file in files)


def all_versions(workspace: Workspace) -> list[Version]:
    with closing(Catalog(workspace.root / ".assetflow" / "catalog.db")) as catalog:
        return [head.version for head in catalog.heads("dev").values()]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_quick_steps_share_transactions_and_every_version_is_sound(workspace: Workspace, executor: str) -> None:
    workspace.assets(QUICK)
    project = workspace.project()
    assert project.materialize(executor=executor).ok
    versions = all_versions(workspace)

    assert len(versions) == MANY
    assert [problem for one in versions for problem in project.storage.verify(one, deep=True)] == []
    assert transactions(workspace) < MANY / 2
    assert not project.storage.has_begun()


def test_what_was_quick_is_recorded_while_a_slow_step_runs_in_the_same_thread(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "LOOK_BACK", 0)
    workspace.assets(QUICK + LOOKING)
    project = workspace.project()
    assert project.materialize(executor="inline").ok
    assert project.read("slow") >= MANY


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_what_the_disk_refuses_fails_alone(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, executor: str
) -> None:
    rename = Files.rename

    def refusing(self: Files, source: Path, target: Path) -> None:
        if "one_7" in target.parts:
            raise DiskFull("no room for seven")
        rename(self, source, target)

    monkeypatch.setattr(Files, "rename", refusing)
    workspace.assets(QUICK + "@asset\ndef after(one_7: list, one_8: list) -> list:\n    return one_7 + one_8\n")
    project = workspace.project()
    result = project.materialize(executor=executor)

    states = {key: one.state for key, one in result.outcomes.items()}
    assert {key: state for key, state in states.items() if state != "materialized"} == {
        "one_7": "failed", "after": "blocked"
    }  # fmt: skip
    error = result.outcomes[AssetKey("one_7")].error
    assert error is not None
    assert error.message == "no room for seven"
    assert not project.storage.has_begun()
    assert project.read("one_8") == [8]

    monkeypatch.undo()
    assert project.materialize(executor=executor).ok
    assert project.read("after") == [7, 8]


@pytest.mark.usefixtures("eager")
def test_what_a_check_rejects_is_kept_and_not_current(workspace: Workspace) -> None:
    bad = """
@check("odd")
def is_even(odd: list) -> bool:
    return False

@asset
def odd() -> list[int]:
    return [1]
"""
    workspace.assets(QUICK + bad)
    project = workspace.project()
    result = project.materialize(executor="inline")

    assert result.outcomes[AssetKey("odd")].state == "rejected"
    assert result.outcomes[AssetKey("odd")].rejected == 1
    assert len(all_versions(workspace)) == MANY
    assert not project.storage.has_begun()


@pytest.mark.usefixtures("eager")
def test_with_fail_fast_nothing_starts_after_a_failure(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef a_bad() -> int:\n    raise ValueError('no')\n\n" + QUICK)
    project = workspace.project()
    result = project.materialize(executor="inline", fail_fast=True)

    states = [one.state for one in result.outcomes.values()]
    assert (states.count("failed"), states.count("materialized")) == (1, 0)


# --------------------------------------------------------------------------------------------------- publishing


class Counting(Files):
    """Files that count what they sync, and cannot sync a whole disk when told so."""

    def __init__(self, *, fails_at: int = 0, whole: bool = True) -> None:
        super().__init__()
        self.whole, self.fails_at, self.steps = whole, fails_at, 0
        self.synced: list[str] = []

    def _step(self) -> None:
        self.steps += 1
        if self.steps == self.fails_at:
            raise StorageFailed("injected")

    def sync_path(self, path: Path) -> None:
        self._step()
        self.synced.append(path.name)
        super().sync_path(path)

    def sync_directory(self, path: Path) -> None:
        self._step()
        self.synced.append(path.name)
        super().sync_directory(path)

    def sync_disk(self, disk: WholeDisk) -> bool:
        self._step()
        self.synced.append("disk")
        return self.whole and super().sync_disk(disk)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)


def prepared(storage: Storage, names: Iterable[str]) -> list[Prepared]:
    found: list[Prepared] = []
    for name in names:
        staged = storage.write(
            {"of": name}, key=AssetKey(name), partition="", io="json", io_is_explicit=True, declared=None, run_id=1,
            is_synced_later=True,
        )  # fmt: skip
        one = storage.prepare(staged, {})
        assert isinstance(one, Prepared)
        found.append(one)
    return found


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "store"


def storage_with(place: Path, files: Files) -> Storage:
    storage = Storage(place, warehouse=place.parent / "warehouse.duckdb", files=files)
    storage.watch_disk()
    return storage


def test_many_are_published_with_two_syncs_of_the_disk(place: Path) -> None:
    storage = storage_with(place, files := Counting())

    storage.publish_all(all_of := prepared(storage, "abcde"))

    assert files.synced.count("disk") == 2
    if WholeDisk(place).sync():  # where the file system is not known, all are synced one by one as well
        assert set(files.synced) == {"disk"}
    assert all((place / one.version.location / "value.json").exists() for one in all_of)


def test_without_a_disk_to_sync_every_file_and_folder_is(place: Path) -> None:
    storage = storage_with(place, files := Counting(whole=False))

    storage.publish_all(all_of := prepared(storage, "abc"))

    assert files.synced.count("value.json") == files.synced.count("_version.json") == 3
    assert {one.directory.name for one in all_of} <= set(files.synced)
    assert {"a", "b", "c", "_", "store"} <= set(files.synced)


@pytest.mark.parametrize("whole", [True, False])
def test_a_failure_at_any_step_publishes_none(tmp_path: Path, whole: bool) -> None:
    for number in range(1, 100):
        place = tmp_path / str(number) / "store"
        storage = storage_with(place, files := Counting(whole=whole, fails_at=number))
        all_of = prepared(storage, "abcd")
        try:
            storage.publish_all(all_of)
        except StorageFailed:
            assert all(one.directory.exists() for one in all_of)
            assert not any((place / one.version.location).exists() for one in all_of)
            assert storage.sweep([]) == len(all_of)
            continue
        assert number > 5
        assert files.steps < number
        return
    pytest.fail("it never succeeded")


def test_a_folder_that_is_not_of_a_known_disk_is_not_synced_as_a_whole() -> None:
    disk = WholeDisk(Path("/proc") if Path("/proc").is_dir() else Path("nowhere"))

    assert not disk.sync()


# ---------------------------------------------------------------------------------------------------- putting off


class Turns:
    """Records when it is told to, from whichever thread."""

    def __init__(self) -> None:
        self.recorded = threading.Event()
        self.by: list[str] = []
        self.put_off = PutOff(self.record)
        self.error: Exception | None = None

    def record(self) -> None:
        self.by.append(threading.current_thread().name)
        self.put_off.recorded()
        self.recorded.set()
        if self.error is not None:
            raise self.error


def test_what_waits_too_long_is_recorded_beside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "LOOK_BACK", 0)
    turns = Turns()
    with turns.put_off:
        assert turns.put_off.may_wait(1)
        with turns.put_off.away(is_long=True):
            assert turns.recorded.wait(DEADLINE_S)

    assert turns.by == ["assetflow-record"]


def test_nobody_records_while_the_coordinator_has_its_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "LOOK_BACK", 0)
    turns = Turns()
    with turns.put_off:
        turns.put_off.may_wait(1)
        with turns.put_off.away(is_long=True):
            assert turns.recorded.wait(DEADLINE_S)
        turns.recorded.clear()
        turns.put_off.may_wait(1)
        while turns.put_off.left_s > 0:
            pass
        assert not turns.recorded.wait(4 * pace._LONGEST_S)


def test_an_error_beside_reaches_the_coordinator(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "LOOK_BACK", 0)
    turns = Turns()
    turns.error = DiskFull("no room")

    def wait_for_it() -> None:
        with turns.put_off:
            turns.put_off.may_wait(1)
            with turns.put_off.away(is_long=True):
                assert turns.recorded.wait(DEADLINE_S)

    with pytest.raises(DiskFull, match="no room"):
        wait_for_it()


@pytest.mark.parametrize("results", [0, 31, 32])
def test_only_so_many_wait_and_only_while_steps_are_quick(monkeypatch: pytest.MonkeyPatch, results: int) -> None:
    assert not PutOff(lambda: None).may_wait(results)  # nothing is known of how long steps take
    monkeypatch.setattr(pace, "LOOK_BACK", 0)
    assert PutOff(lambda: None).may_wait(results) == (results < 32)
