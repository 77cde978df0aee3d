from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.database import SCHEMA_VERSION
from assetflow.catalog.locks import FileLock
from assetflow.errors import (
    AssetflowError,
    CatalogBusy,
    DamagedCatalog,
    DiskFull,
    NewerCatalog,
    NotWritable,
    StorageFailed,
)
from tests.unit.catalog.build import ORDERS, REPORT, begin, commit, numbers

Opener = Callable[..., Catalog]
BOTH = pytest.mark.parametrize("write", [False, True], ids=["reader", "writer"])


def filled(path: Path) -> None:
    """A catalog with some pages of content, closed properly: all of it is in the one file."""
    catalog = Catalog(path, write=True)
    for number in range(30):
        commit(catalog, ORDERS, f"content {number}", metadata={"long": "x" * 500})
    catalog.close()


def test_a_missing_catalog_reads_as_empty_and_stays_missing(opened: Opener, tmp_path: Path) -> None:
    reader = opened(write=False, path=tmp_path / "no" / "such" / "folder" / "catalog.db")

    assert reader.heads("dev") == {}
    assert reader.traces([(ORDERS, "")], "dev") == {}
    assert reader.history("dev", ORDERS) == reader.runs() == reader.running() == reader.attempts_of(ORDERS) == []
    assert reader.last_attempts("dev") == reader.file_states() == {}
    assert reader.run(1) is reader.version(ORDERS, 1) is None
    assert list(tmp_path.iterdir()) == []


def test_a_writer_makes_the_catalog_and_its_folder(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "catalog.db"
    commit(opened(path=path), ORDERS, "a")

    assert numbers(opened(write=False, path=path).heads("dev")) == {"orders": 1}


def test_an_empty_file_is_an_empty_catalog(opened: Opener, tmp_path: Path) -> None:
    (tmp_path / "catalog.db").touch()

    assert opened(write=False).heads("dev") == {}
    assert (tmp_path / "catalog.db").read_bytes() == b""
    assert commit(opened(), ORDERS, "a").number == 1


def test_a_catalog_whose_making_was_interrupted_reads_as_empty_and_is_made_anew(opened: Opener, tmp_path: Path) -> None:
    # The first thing that a writer does is to choose the write-ahead log, which is a page of a database without tables.
    connection = sqlite3.connect(tmp_path / "catalog.db")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()

    assert (tmp_path / "catalog.db").stat().st_size > 0
    assert opened(write=False).heads("dev") == {}
    assert commit(opened(), ORDERS, "a").number == 1


def test_closing_the_last_writer_leaves_one_file_and_the_lock(tmp_path: Path) -> None:
    filled(tmp_path / "catalog.db")

    assert sorted(path.name for path in tmp_path.iterdir()) == ["catalog.db", "catalog.lock", "journal"]


@BOTH
@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_a_newer_catalog_is_refused_and_not_touched(tmp_path: Path, write: bool, journal: str) -> None:
    path = tmp_path / "catalog.db"
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA journal_mode = {journal}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
        connection.execute("CREATE TABLE of_the_future (x)")
    connection.close()
    before = path.read_bytes()

    with pytest.raises(NewerCatalog) as caught:
        Catalog(path, write=write)
    assert caught.value.exit_code == 7
    assert f"{SCHEMA_VERSION + 1}" in str(caught.value)
    assert "upgrade" in str(caught.value.fix)
    assert path.read_bytes() == before
    assert not FileLock(tmp_path / "catalog.lock").is_held_by_anyone()


@BOTH
def test_a_text_file_is_a_damaged_catalog(tmp_path: Path, write: bool) -> None:
    path = tmp_path / "catalog.db"
    path.write_text("this is not a database, whatever its name says\n" * 100)
    before = path.read_bytes()

    with pytest.raises(DamagedCatalog) as caught:
        Catalog(path, write=write)
    assert caught.value.exit_code == 6
    assert str(path) in caught.value.what
    assert path.read_bytes() == before


@BOTH
def test_a_database_of_somebody_else_is_not_taken_for_a_catalog(tmp_path: Path, write: bool) -> None:
    path = tmp_path / "catalog.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE person (name)")
    connection.close()
    before = path.read_bytes()

    with pytest.raises(DamagedCatalog) as caught:
        Catalog(path, write=write)
    assert "not a catalog" in caught.value.what
    assert path.read_bytes() == before


@BOTH
@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9], ids=["header", "third", "most"])
def test_a_truncated_catalog_is_damaged(opened: Opener, tmp_path: Path, write: bool, kept: float) -> None:
    path = tmp_path / "catalog.db"
    filled(path)
    size = path.stat().st_size
    os.truncate(path, max(50, int(size * kept)))

    with pytest.raises(DamagedCatalog):
        opened(write=write).heads("dev")


@BOTH
def test_pages_of_noise_are_damage(opened: Opener, tmp_path: Path, write: bool) -> None:
    path = tmp_path / "catalog.db"
    filled(path)
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(bytes(range(256)) * ((path.stat().st_size - 4096) // 256))

    with pytest.raises(DamagedCatalog):
        opened(write=write).heads("dev")


def test_a_folder_in_the_place_of_the_catalog_is_an_error_for_people(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").mkdir()

    for write in (False, True):
        with pytest.raises(AssetflowError):
            Catalog(tmp_path / "catalog.db", write=write)


def test_a_writer_that_never_lets_go_makes_the_catalog_busy(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog, reader = opened(), opened(write=False)
    commit(catalog, ORDERS, "a")
    monkeypatch.setattr("assetflow.catalog.database.BUSY_S", 0.05)
    lock = FileLock(tmp_path / "catalog.lock")
    assert lock.acquire()

    with pytest.raises(CatalogBusy) as caught:
        commit(catalog, ORDERS, "b")
    with pytest.raises(CatalogBusy):
        Catalog(tmp_path / "catalog.db", write=True)
    assert caught.value.exit_code == 75
    assert numbers(reader.heads("dev")) == {"orders": 1}, "readers do not wait"
    lock.release()
    assert commit(catalog, ORDERS, "b").number == 2


# ---------------------------------------------------------------------------------------------------------- no room


def test_a_full_disk_undoes_the_commit_and_says_so(opened: Opener) -> None:
    catalog = opened()
    commit(catalog, ORDERS, "a")
    connection = catalog.database._connection
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    before = catalog.heads("dev")

    with pytest.raises(DiskFull) as caught:
        commit(catalog, REPORT, "r", metadata={"long": "x" * 100_000})
    assert caught.value.exit_code == 1
    assert "make room" in str(caught.value.fix)
    assert catalog.heads("dev") == opened(write=False).heads("dev") == before
    connection.execute("PRAGMA max_page_count = 1000000")
    commit(catalog, REPORT, "r", metadata={"long": "x" * 100_000})
    assert numbers(catalog.heads("dev")) == {"orders": 1, "marts.report": 1}


LIMITED = """
import resource, signal, sys
from pathlib import Path
from assetflow.catalog.catalog import Catalog
from assetflow.errors import AssetflowError
from tests.unit.catalog.build import REPORT, commit, numbers

catalog = Catalog(Path(sys.argv[1]), write=True)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))
try:
    commit(catalog, REPORT, "r", metadata={"long": "x" * 1_000_000})
except AssetflowError as error:
    print(type(error).__name__, sorted(numbers(catalog.heads("dev"))))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
commit(catalog, REPORT, "r", metadata={"long": "x" * 1_000_000})
print(sorted(numbers(catalog.heads("dev"))))
catalog.close()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits on file sizes")
def test_a_limit_on_file_sizes_undoes_the_commit(opened: Opener, tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    commit(opened(path=path), ORDERS, "a")

    assert run_script(LIMITED, str(path)) == ["StorageFailed ['orders']", "['marts.report', 'orders']"]


def test_errors_of_the_disk_say_where_to_look(opened: Opener, tmp_path: Path) -> None:
    catalog = opened()
    (tmp_path / "elsewhere").mkdir()

    with pytest.raises(StorageFailed) as caught:
        Catalog(tmp_path / "elsewhere", write=False)
    assert "the disk" in str(caught.value.fix)
    assert catalog.heads("dev") == {}


# -------------------------------------------------------------------------------------------------------- read-only

READ_ONLY = """
import os, sys
from pathlib import Path
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.database import schema
from assetflow.catalog.rows import queries
from assetflow.errors import AssetflowError
from tests.unit.catalog.build import ORDERS, begin, commit, numbers

queries(), schema()
if os.geteuid() == 0:  # nothing is forbidden to root, so become somebody else
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
for folder in sys.argv[1:]:
    path = Path(folder) / "catalog.db"
    reader = Catalog(path)
    print("read", numbers(reader.heads("dev")))
    reader.close()
    for verb in (lambda: Catalog(path, write=True), lambda: Catalog(path.parent / "new" / "catalog.db", write=True)):
        try:
            verb()
        except AssetflowError as error:
            print(type(error).__name__)
"""


@pytest.fixture
def public_folder() -> Generator[Path]:
    """A folder that everybody may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        for path in [Path(name), *Path(name).rglob("*")]:
            if path.is_dir():
                path.chmod(0o755)


def run_script(text: str, *arguments: str) -> list[str]:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", text, *arguments], env={**os.environ, "PYTHONPATH": str(root)}, capture_output=True,
        text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.skipif(not hasattr(os, "setuid"), reason="permissions of folders do not bind")
def test_in_a_read_only_folder_a_reader_works_and_a_writer_says_what_to_do(public_folder: Path) -> None:
    names = ("closed", "after_a_reader", "copied", "in_use")
    closed, after_a_reader, copied, in_use = (public_folder / name for name in names)
    for folder in (closed, after_a_reader, copied):
        filled(folder / "catalog.db")
    reader = Catalog(after_a_reader / "catalog.db")  # leaves an empty log and its index behind
    reader.heads("dev")
    reader.close()
    (copied / "catalog.db-wal").touch()  # an empty log without its index
    writer = Catalog(in_use / "catalog.db", write=True)
    commit(writer, ORDERS, "a")  # still in the log
    for folder in (closed, after_a_reader, copied, in_use):
        folder.chmod(0o555)
        for path in folder.iterdir():
            path.chmod(0o444)
    found = run_script(READ_ONLY, *(str(public_folder / name) for name in names))
    in_use.chmod(0o755)
    writer.close()

    refused = ["NotWritable", "NotWritable"]
    assert found == [*(["read {'orders': 30}", *refused] * 3), "read {'orders': 1}", *refused]
    assert sorted(path.name for path in closed.iterdir()) == ["catalog.db", "catalog.lock", "journal"]


def test_a_catalog_that_cannot_be_written_says_where_it_could_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(NotWritable) as caught:
        Catalog(tmp_path / "file" / "catalog.db", write=True)
    assert "`catalog`" in str(caught.value.fix)


def test_a_closed_catalog_can_be_closed_again(tmp_path: Path) -> None:
    for write in (True, False):
        catalog = Catalog(tmp_path / "catalog.db", write=write)
        catalog.close()
        catalog.close()


def test_a_run_that_began_before_the_file_was_closed_is_there_afterwards(opened: Opener) -> None:
    first = opened()
    run_id = begin(first)
    first.close()

    assert [run.run_id for run in opened(write=False).running()] == [run_id]


def test_a_schema_that_is_no_text_any_more_is_damage(tmp_path: Path) -> None:
    path = tmp_path / "catalog.db"
    filled(path)
    content = path.read_bytes()
    where = content.index(b"CREATE TABLE asset")
    path.write_bytes(content[:where] + b"CR\xc5ATE TABLE asset" + content[where + len(b"CREATE TABLE asset") :])

    with pytest.raises(DamagedCatalog, match="damaged"):
        Catalog(path).heads("dev")
