"""Native tables: earlier versions by number, changes by hand found, damage told and made good, space given back."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa
import pytest

from assetflow import Project
from assetflow.errors import DamagedVersion, StorageFailed
from assetflow.io.base import Want
from assetflow.io.duckdb_views import Surface
from assetflow.io.storage import Storage
from assetflow.io.warehouse import identity
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

NATIVE = 'duckdb = "native"\n'
SHOP = """
@asset(key="shop.orders", io="duckdb")
def orders() -> pa.Table:
    ran("orders")
    return pa.table({"id": [1, 2, 3], "amount": [10, 20, 30]})

@asset(io="duckdb")
def total(orders: pa.RecordBatchReader) -> pa.Table:
    ran("total")
    return pa.table({"amount": [sum(sum(batch["amount"].to_pylist()) for batch in orders)]})

@asset
def apart() -> int:
    return 1
"""


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP, NATIVE)
    workspace.materialize().raise_for_status()
    workspace.ran()
    return workspace


def warehouse(shop: Workspace) -> Path:
    return shop.root / ".assetflow" / "warehouse.duckdb"


def ask(shop: Workspace, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(warehouse(shop)), read_only=True) as connection:
        return connection.execute(query).fetchall()


def change(shop: Workspace, *statements: str) -> None:
    """What somebody does in a shell."""
    with duckdb.connect(str(warehouse(shop))) as connection:
        for statement in statements:
            connection.execute(statement)


def table_of(shop: Workspace, key: str = "shop.orders") -> str:
    rows = ask(shop, f"SELECT path FROM _assetflow.versions WHERE asset = '{key}' AND is_current")
    return f'_assetflow."{rows[0][0]}"'


# ----------------------------------------------------------------------------------------------- names


def test_earlier_versions_are_asked_for_by_number(shop: Workspace) -> None:
    shop.edit("[10, 20, 30]", "[10, 20, 40]")
    shop.materialize().raise_for_status()

    assert ask(shop, "SELECT sum(amount) FROM shop.orders") == [(70,)]
    assert ask(shop, "SELECT sum(amount) FROM shop.orders_at(1)") == [(60,)]
    assert ask(shop, "FROM total_at(version := 1)") == [(60,)]
    with pytest.raises(duckdb.Error, match=r"shop\.orders has no version 9"):
        ask(shop, "FROM shop.orders_at(9)")


def test_the_file_lists_its_versions_and_comments_its_views(shop: Workspace) -> None:
    shop.edit("[10, 20, 30]", "[10, 20, 40]")
    shop.materialize().raise_for_status()

    listed = ask(
        shop, "SELECT asset, version, is_current, rows, made_at IS NOT NULL FROM _assetflow.versions ORDER BY 1, 2"
    )
    assert listed == [
        ("shop.orders", 1, False, 3, True), ("shop.orders", 2, True, 3, True),
        ("total", 1, False, 1, True), ("total", 2, True, 1, True),
    ]  # fmt: skip
    (comment,) = ask(shop, "SELECT comment FROM duckdb_views() WHERE view_name = 'orders'")
    assert comment[0].startswith("shop.orders@2 ")
    assert " 3 rows, made 20" in comment[0]


def test_the_view_of_an_asset_that_moved_to_parquet_is_dropped(shop: Workspace) -> None:
    shop.edit('@asset(io="duckdb")\ndef total', "@asset\ndef total")
    shop.materialize("total", force=True).raise_for_status()

    views = "SELECT view_name FROM duckdb_views() WHERE NOT internal ORDER BY 1"
    assert ask(shop, views) == [("orders",), ("total",)]  # the content is the same, so it stays where it is
    shop.edit("sum(sum(", "1 + sum(sum(")
    shop.materialize().raise_for_status()
    assert ask(shop, views) == [("orders",)]
    with pytest.raises(duckdb.Error, match="total_at"):
        ask(shop, "FROM total_at(1)")


def test_another_environment_has_names_of_its_own(shop: Workspace) -> None:
    shop.edit("[10, 20, 30]", "[1, 2, 3]")
    shop.materialize(env="trial").raise_for_status()

    assert ask(shop, "SELECT sum(amount) FROM shop.orders") == [(60,)]
    assert ask(shop, "SELECT sum(amount) FROM trial__shop.orders") == [(6,)]
    assert ask(shop, "FROM trial__main.total") == [(6,)]


def test_nothing_is_opened_when_no_view_would_change(shop: Workspace) -> None:
    before = identity(warehouse(shop))
    shop.project()
    code = (
        "import sys\nfrom assetflow import Project\n"
        f"project = Project.load({str(shop.root)!r})\n"
        "project.materialize('apart', force=True).raise_for_status()\n"
        "assert project.runs()[0].state == 'ok'\n"
        "assert 'duckdb' not in sys.modules, 'duckdb was imported'\n"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert identity(warehouse(shop)) == before


# ----------------------------------------------------------------------------------------------- changes by hand


def test_a_value_that_somebody_changed_is_found_in_the_columns_that_are_read(shop: Workspace) -> None:
    change(shop, f"UPDATE {table_of(shop)} SET amount = 21 WHERE id = 2")
    project = shop.project()

    for form in ("pandas", "arrow", "reader", "records", "duckdb", "polars"):
        with pytest.raises(DamagedVersion, match="amount") as caught:
            project.read("orders", as_=form)
        assert caught.value.fix is not None
        with pytest.raises(DamagedVersion, match="amount"):
            project.read("orders", as_=form, columns=["amount"])
    assert project.read("orders", as_="records", columns=["id"]) == [{"id": 1}, {"id": 2}, {"id": 3}]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO {} VALUES (4, 40)", "DELETE FROM {} WHERE id = 1", "ALTER TABLE {} DROP amount",
        "ALTER TABLE {} ALTER amount TYPE UTINYINT USING amount + 1", "DROP TABLE {} CASCADE",
        "CREATE OR REPLACE TABLE {} AS SELECT id, amount FROM {} ORDER BY id DESC",
    ],
)  # fmt: skip
def test_whatever_somebody_does_to_a_table_no_wrong_row_is_read(shop: Workspace, statement: str) -> None:
    table = table_of(shop)
    change(shop, "DROP VIEW shop.orders", statement.replace("{}", table).replace(" CASCADE", ""))

    with pytest.raises(DamagedVersion, match=r"shop\.orders@1"):
        shop.project().read("orders", as_="arrow")


def test_a_dropped_table_is_made_again_by_the_next_run(shop: Workspace) -> None:
    change(shop, "DROP VIEW shop.orders", f"DROP TABLE {table_of(shop)}")
    assert shop.states()["shop.orders"] != "current"

    shop.materialize().raise_for_status()

    assert shop.ran() == ["orders"]
    assert ask(shop, "SELECT sum(amount) FROM shop.orders") == [(60,)]


# ----------------------------------------------------------------------------------------------- damage


def flip(data: bytes) -> bytes:
    return data[:5000] + bytes([data[5000] ^ 1]) + data[5001:]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "half": lambda data: data[: len(data) // 2],
    "another file": lambda _: b"not a database" * 2000,
    "zeros": lambda data: bytes(len(data)),
    "a flipped bit in a header": flip,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_told_put_aside_and_made_again(shop: Workspace, damage: Callable[[bytes], bytes]) -> None:
    file = warehouse(shop)
    spoiled = damage(file.read_bytes())
    file.write_bytes(spoiled)

    assert shop.states() == {"shop.orders": "stale", "total": "stale", "apart": "current"}
    with pytest.raises(DamagedVersion, match=r"warehouse\.duckdb is damaged") as caught:
        shop.project().read("orders")
    assert "materialize shop.orders" in str(caught.value.fix)

    shop.materialize().raise_for_status()

    assert sorted(shop.ran()) == ["orders", "total"]
    assert ask(shop, "FROM total") == [(60,)]
    (kept,) = (shop.root / ".assetflow" / "quarantine").iterdir()
    assert kept.read_bytes() == spoiled


def test_a_lost_file_is_made_again(shop: Workspace) -> None:
    warehouse(shop).unlink()

    assert shop.states()["total"] == "stale"
    shop.materialize().raise_for_status()

    assert ask(shop, "FROM total") == [(60,)]


def leave_log(shop: Workspace) -> Path:
    """A shell that dies in the middle of its work leaves a log beside the file."""
    code = (
        "import duckdb, os, signal, sys\n"
        "connection = duckdb.connect(sys.argv[1])\n"
        "connection.execute('CREATE TABLE mine AS SELECT range FROM range(500)')\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(warehouse(shop))], check=False)
    assert done.returncode == -signal.SIGKILL
    return warehouse(shop).with_name("warehouse.duckdb.wal")


def test_a_log_that_a_dead_shell_left_is_taken_in(shop: Workspace) -> None:
    log = leave_log(shop)
    assert log.exists()

    assert set(shop.states().values()) == {"current"}
    assert shop.project().read("total", as_="records") == [{"amount": 60}]
    shop.edit("[10, 20, 30]", "[10, 20, 40]")
    shop.materialize().raise_for_status()

    assert not log.exists()
    assert ask(shop, "SELECT count(*) FROM mine") == [(500,)]


def test_a_log_that_cannot_be_read_goes_to_the_quarantine_and_the_tables_stay(shop: Workspace) -> None:
    log = leave_log(shop)
    data = log.read_bytes()
    middle = len(data) // 2
    spoiled = data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]
    log.write_bytes(spoiled)

    assert set(shop.states().values()) == {"current"}

    assert shop.project().read("total", as_="records") == [{"amount": 60}]
    (kept,) = (shop.root / ".assetflow" / "quarantine").iterdir()
    assert kept.read_bytes() == spoiled
    assert ask(shop, "FROM total") == [(60,)]


# ----------------------------------------------------------------------------------------------- space and memory


def put(storage: Storage, value: object, number: int = 1) -> Version:
    staged = storage.write(
        value, key=AssetKey("orders"), partition="", io="duckdb", io_is_explicit=True, declared=None, run_id=1
    )
    new = storage.publish(staged)
    return Version(
        number, AssetKey("orders"), "", number, new.data_hash, new.io, new.location, new.rows, new.size_bytes,
        new.schema, new.columns, new.details, 0.0,
    )  # fmt: skip


def test_compacting_gives_space_back_and_keeps_tables_views_and_macros(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "store", warehouse=tmp_path / "warehouse.duckdb")
    file = tmp_path / "warehouse.duckdb"
    versions = [
        put(storage, pa.table({"a": [n * 7919 % 1_000_003 for n in range(k, k + 60_000)]}), k) for k in (1, 2, 3)
    ]
    storage.present(Surface((versions[2],), (versions[1],)))
    storage.delete(versions[0])
    before = file.stat().st_size

    freed = storage.compact()

    assert 0 < freed == before - file.stat().st_size
    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM orders").fetchall() == [(60_000,)]
        assert connection.execute("SELECT count(*) FROM orders_at(2)").fetchall() == [(60_000,)]
        assert connection.execute("SELECT block_size FROM pragma_database_size()").fetchall() == [(16384,)]
    assert [storage.verify(version, deep=True) for version in versions[1:]] == [[], []]
    stamp = identity(file)
    storage.present(Surface((versions[2],), (versions[1],)))
    assert identity(file) == stamp
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "store", "warehouse.duckdb", "warehouse.duckdb.json", "warehouse.duckdb.lock",
    ]  # fmt: skip


def test_compacting_nothing_does_nothing(tmp_path: Path) -> None:
    assert Storage(tmp_path / "store", warehouse=tmp_path / "warehouse.duckdb").compact() == 0
    assert list(tmp_path.iterdir()) == []


def test_a_reader_streams_and_the_file_is_free_meanwhile(tmp_path: Path) -> None:
    storage = Storage(tmp_path / "store", warehouse=tmp_path / "warehouse.duckdb")
    value: Any = pa.table({"a": pa.array(range(2_000_000)), "b": pa.array([float(n) for n in range(2_000_000)])})
    version = put(storage, value)
    size = value.nbytes
    del value
    before = pa.total_allocated_bytes()

    reader: Any = storage.read(version, Want("reader"))

    rows, most = 0, 0
    for batch in reader:
        if not rows:
            put(storage, pa.table({"a": [1]}), 2)
        rows += batch.num_rows
        most = max(most, pa.total_allocated_bytes() - before)
    assert rows == 2_000_000
    assert most < size / 3
    assert not list(tmp_path.glob("rows-*"))


# ----------------------------------------------------------------------------------------------- odd paths


@pytest.mark.parametrize("name", ["it's", 'say "x"', "a*b", "[a]", "{a,b}", "x=y", "a b", "é%41#;", "$HOME"])
def test_a_folder_may_have_almost_any_name(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    storage = Storage(folder / "store", warehouse=folder / "warehouse.duckdb")

    version = put(storage, pa.table({"a": [1]}))
    storage.present(Surface((version,)))
    storage.compact()

    assert storage.exists(version)
    assert storage.read(version, Want("records")) == [{"a": 1}]
    with duckdb.connect(str(folder / "warehouse.duckdb"), read_only=True) as connection:
        assert connection.execute("FROM orders_at(1)").fetchall() == [(1,)]


@pytest.mark.skipif(os.name == "nt", reason="the letters are not allowed there")
@pytest.mark.parametrize("name", ["a?b", "a\\b"])
def test_a_folder_in_which_duckdb_would_open_another_file_is_refused(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    storage = Storage(folder / "store", warehouse=folder / "warehouse.duckdb")

    with pytest.raises(StorageFailed, match="path") as caught:
        put(storage, pa.table({"a": [1]}))

    assert "warehouse" in str(caught.value.fix)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_two_assets_whose_names_differ_in_case_alone_are_told(tmp_path: Path) -> None:
    from msgspec.structs import replace

    storage = Storage(tmp_path / "store", warehouse=tmp_path / "warehouse.duckdb")
    version = put(storage, pa.table({"a": [1]}))

    with pytest.raises(StorageFailed, match="same name"):
        storage.present(Surface((version, replace(version, asset=AssetKey("Orders")))))


def test_sources_and_versions_of_other_stores_are_left_out(shop: Workspace) -> None:
    project: Project = shop.project()

    assert project.storage.shows("dev")
    assert ask(shop, "SELECT count(*) FROM duckdb_views() WHERE NOT internal") == [(2,)]
