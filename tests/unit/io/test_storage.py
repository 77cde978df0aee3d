"""The store: staged in private, published in one step, read back checked."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO, cast

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from msgspec.structs import replace

from assetflow.errors import (
    AssetflowError,
    BadConfig,
    CannotStore,
    DamagedVersion,
    DiskFull,
    StorageFailed,
    WrongReturn,
)
from assetflow.files import Files
from assetflow.io.base import Want
from assetflow.io.duckdb_views import Surface
from assetflow.io.plain import JsonIO
from assetflow.io.storage import Staged, Storage
from assetflow.model.keys import AssetKey
from assetflow.model.records import NewVersion, Version

ORDERS = AssetKey("orders")
FRAME = pd.DataFrame({"id": [1, 2], "kind": pd.Categorical(["b", "a"], ["b", "a", "z"])}, index=pd.Index(["x", "y"]))
TABLE_KINDS = ["parquet", "duckdb", "memory"]


class Shop:
    """A storage in a temporary folder, with the calls that tests make again and again."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.root, self.warehouse = folder / "store", folder / "warehouse.duckdb"
        self.storage = Storage(self.root, warehouse=self.warehouse, **options)

    def write(
        self,
        value: object,
        io: str = "parquet",
        *,
        explicit: bool = False,
        declared: str | None = None,
        key: AssetKey = ORDERS,
        partition: str = "",
    ) -> Staged:
        return self.storage.write(
            value, key=key, partition=partition, io=io, io_is_explicit=explicit, declared=declared, run_id=7
        )

    def put(self, value: object, io: str = "parquet", **options: Any) -> Version:
        return version_of(self.storage.publish(self.write(value, io, **options)), **options)

    def files(self) -> list[str]:
        return sorted(path.relative_to(self.root).as_posix() for path in self.root.rglob("*") if path.is_file())


def version_of(new: NewVersion, key: AssetKey = ORDERS, partition: str = "", **_: object) -> Version:
    return Version(
        1, key, partition, 1, new.data_hash, new.io, new.location, new.rows, new.size_bytes, new.schema, new.columns,
        new.details, 0.0,
    )  # fmt: skip


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize("io", TABLE_KINDS)
def test_a_table_goes_through_the_whole_life_of_a_version(shop: Shop, io: str) -> None:
    staged = shop.write(FRAME, io, declared="pandas")
    pd.testing.assert_frame_equal(cast("pd.DataFrame", shop.storage.read_staged(staged, Want("pandas"))), FRAME)

    version = version_of(shop.storage.publish(staged))

    assert (version.io, version.rows, version.data_hash) == (io, 2, staged.data_hash)
    assert dict(version.schema) == {"id": "int64", "kind": "string", "__index_level_0__": "string"}
    assert list(version.columns) == list(version.schema)
    pd.testing.assert_frame_equal(cast("pd.DataFrame", shop.storage.read(version, Want())), FRAME)
    assert shop.storage.exists(version)
    assert shop.storage.verify(version, deep=True) == []

    shop.storage.present(Surface((version,)))
    shop.storage.delete(version)
    assert not shop.storage.exists(version)
    assert shop.storage.verify(version)
    with pytest.raises(DamagedVersion):
        shop.storage.read(version, Want())


@pytest.mark.parametrize(
    ("value", "io"),
    [
        (FRAME, "parquet"),
        (pl.DataFrame({"a": [1]}), "parquet"),
        (pl.LazyFrame({"a": [1]}), "parquet"),
        (pa.table({"a": [1]}), "parquet"),
        (pa.table({"a": [1]}).to_reader(), "parquet"),
        (duckdb.default_connection().cursor().sql("SELECT 1 AS a"), "parquet"),
        ([{"a": 1}], "json"),
        (3, "json"),
        (b"x", "file"),
        (Path(__file__), "file"),
        (None, "none"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_the_kind_of_the_value_chooses_the_manager(shop: Shop, value: object, io: str) -> None:
    version = shop.put(value)

    assert version.io == io
    assert shop.storage.exists(version)
    assert shop.storage.verify(version, deep=True) == []
    shop.storage.read(version, Want())


def test_an_explicit_manager_gets_whatever_was_returned(shop: Shop) -> None:
    assert shop.put([{"a": 1}], "parquet", explicit=True).rows == 1
    assert shop.put({"a": 1}, "json", explicit=True).io == "json"
    for value, io in ((FRAME, "json"), (FRAME, "file"), ({"a": 1}, "file"), (3, "parquet"), (FRAME, "pickle")):
        with pytest.raises((CannotStore, WrongReturn)) as caught:
            shop.write(value, io, explicit=True)
        assert caught.value.fix


@pytest.mark.parametrize(
    ("value", "declared", "words"),
    [
        (None, "pandas", "returned None; its annotation says a pandas DataFrame"),
        ("text", "polars", "returned a str; its annotation says a polars DataFrame"),
        (3, "records", "returned an int; its annotation says a list of dicts"),
        ("a/b", "path", "returned a str; its annotation says a Path"),
        (pd.Series([1]), "arrow", "its annotation says a pyarrow Table"),
    ],
    ids=["none", "text", "number", "path", "series"],
)
def test_something_other_than_declared_is_a_wrong_return(shop: Shop, value: object, declared: str, words: str) -> None:
    with pytest.raises(WrongReturn, match=words):
        shop.write(value, declared=declared)

    assert not shop.root.exists()


def test_any_table_will_do_where_a_table_is_declared(shop: Shop) -> None:
    assert shop.put(pl.DataFrame({"a": [1]}), declared="pandas").rows == 1
    assert shop.put([{"a": 1}], declared="records").io == "json"
    assert shop.put(FRAME, declared="records").io == "parquet"


def test_what_cannot_be_stored_leaves_nothing(shop: Shop) -> None:
    for value in (object(), pd.DataFrame({"c": [1j]}), {1, 2}):
        with pytest.raises(AssetflowError) as caught:
            shop.write(value)
        assert caught.value.fix

    assert shop.files() == []
    assert list((shop.root / "tmp").iterdir()) == []


def test_an_unknown_manager_is_told_with_the_known_ones(shop: Shop) -> None:
    with pytest.raises(BadConfig, match="`parkett`") as caught:
        shop.write(FRAME, "parkett", explicit=True)

    assert "duckdb" in str(caught.value)


def test_pickle_works_only_where_it_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(CannotStore, match="off"):
        Shop(tmp_path / "no").write({1, 2}, "pickle", explicit=True)
    allowed = Shop(tmp_path / "yes", allow_pickle=True)
    assert allowed.storage.read(allowed.put({1, 2}, "pickle", explicit=True), Want()) == {1, 2}


def test_a_manager_of_the_user_is_used_by_name(tmp_path: Path) -> None:
    class Shouting(JsonIO):
        name = "shouting"

        def read(self, version: Version, directory: Path, want: Want) -> object:
            return str(super().read(version, directory, want)).upper()

    shop = Shop(tmp_path, managers={"shouting": Shouting()})
    version = shop.put("hello", "shouting", explicit=True)

    assert shop.storage.read(version, Want()) == "HELLO"
    assert shop.storage.exists(version)
    assert shop.storage.verify(version) == []


def test_equal_data_has_an_equal_hash_and_a_folder_of_its_own(shop: Shop) -> None:
    first, second = shop.put(FRAME), shop.put(FRAME)

    assert first.data_hash == second.data_hash == shop.write(FRAME, "duckdb").data_hash
    assert first.location != second.location
    assert first.location.startswith("orders/_/" + first.data_hash.rpartition(":")[2][:16])


def test_partitions_and_schemas_have_folders_whatever_they_are_called(shop: Shop) -> None:
    partitions = ["2024-01-01", "a/b", "a%2Fb", "..", ".", "_", "é", "x" * 300, "x" * 301, "A", "con ", "*"]
    versions = [shop.put(number, partition=partition) for number, partition in enumerate(partitions)]

    folders = [Path(version.location).parent.name for version in versions]
    assert len({folder.lower() for folder in folders}) == len(partitions)
    assert all((shop.root / "orders").resolve() in (shop.root / v.location).resolve().parents for v in versions)
    assert [shop.storage.read(version, Want()) for version in versions] == list(range(len(partitions)))
    assert shop.put(1, key=AssetKey("marts.orders")).location.startswith("marts/orders/_/")


def test_an_asset_named_tmp_survives_sweeping(shop: Shop) -> None:
    versions = [shop.put(1, key=AssetKey("tmp")), shop.put(2, key=AssetKey("tmp.orders"))]

    shop.storage.sweep([])

    assert [shop.storage.read(version, Want()) for version in versions] == [1, 2]


def test_discarding_leaves_nothing(shop: Shop) -> None:
    for value, io in ((FRAME, "parquet"), (FRAME, "duckdb"), (FRAME, "memory"), (None, "parquet")):
        staged = shop.write(value, io)
        shop.storage.discard(staged)
        shop.storage.discard(staged)

    assert shop.files() == []
    assert not shop.warehouse.exists()


def test_sweeping_removes_what_dead_runs_staged_and_nothing_else(shop: Shop) -> None:
    staged, version = shop.write(FRAME), shop.put(FRAME)

    assert shop.storage.sweep([7]) == 0
    pd.testing.assert_frame_equal(cast("pd.DataFrame", shop.storage.read_staged(staged, Want())), FRAME)
    assert shop.storage.sweep([8]) == 1
    assert shop.storage.sweep([]) == 0
    with pytest.raises(DamagedVersion):
        shop.storage.read_staged(staged, Want())
    assert shop.storage.exists(version)


def test_values_in_memory_touch_no_disk(shop: Shop) -> None:
    versions = [shop.put(value, "memory") for value in (FRAME, {"a": 1}, None, b"x", {1, 2})]

    pd.testing.assert_frame_equal(cast("pd.DataFrame", shop.storage.read(versions[0], Want())), FRAME)
    assert [shop.storage.read(version, Want()) for version in versions[1:]] == [{"a": 1}, None, b"x", {1, 2}]
    assert not shop.root.exists()
    assert not shop.warehouse.exists()


def damage_each_file(shop: Shop, version: Version) -> None:
    for path in (shop.root / version.location).rglob("*"):
        if path.is_file():
            content = bytearray(path.read_bytes())
            content[len(content) // 3] ^= 0x10
            path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("value", "io"), [(FRAME, "parquet"), ({"a": 1}, "parquet"), (b"bytes", "parquet"), (FRAME, "duckdb")]
)
def test_damage_is_told_and_the_damaged_version_can_be_deleted(shop: Shop, value: object, io: str) -> None:
    version = shop.put(value, io)
    damage_each_file(shop, version)

    with pytest.raises(DamagedVersion, match="orders@1"):
        shop.storage.read(version, Want())
    assert shop.storage.verify(version, deep=True)
    shop.storage.delete(version)
    assert not (shop.root / version.location).exists()


@pytest.mark.parametrize("io", ["parquet", "duckdb"])
def test_a_missing_folder_is_damage(shop: Shop, io: str) -> None:
    version = shop.put(FRAME, io)
    Files().remove_tree(shop.root / version.location)

    assert not shop.storage.exists(version)
    assert shop.storage.verify(version)
    with pytest.raises(DamagedVersion):
        shop.storage.read(version, Want())


def test_the_views_follow_what_is_presented(shop: Shop) -> None:
    key = AssetKey("marts.sales")
    old, new = (shop.put(pa.table({"a": [n]}), "duckdb", key=key) for n in (1, 2))
    shop.storage.present(Surface((old, shop.put(FRAME))))
    shop.storage.present(Surface((new,)))
    shop.storage.delete(old)

    with duckdb.connect(str(shop.warehouse), read_only=True) as connection:
        assert connection.execute("FROM marts.sales").fetchall() == [(2,)]


def test_presenting_nothing_of_duckdb_makes_no_file(shop: Shop) -> None:
    shop.storage.present(Surface((shop.put(FRAME),)))

    assert not shop.warehouse.exists()


def test_sql_gets_the_files_of_parquet_versions_only(shop: Shop) -> None:
    assert [path.name for path in shop.storage.parquet_files(shop.put(FRAME))] == ["data.parquet"]
    assert shop.storage.parquet_files(shop.put(FRAME, "duckdb")) == ()


# ------------------------------------------------------------------------------------------------------- faults


def count_tables(shop: Shop) -> int:
    with duckdb.connect(str(shop.warehouse), read_only=True) as connection:
        return cast("Any", connection.execute("SELECT count(*) FROM duckdb_tables()").fetchall())[0][0]


class FailingAt(Files):
    """Files whose n-th operation fails: every step of a write and a publish is tried in turn."""

    def __init__(self, number: int) -> None:
        self.left = number

    def _step(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise DiskFull("injected")

    def make_directory(self, path: Path) -> None:
        self._step()
        super().make_directory(path)

    def create(self, path: Path) -> BinaryIO:
        self._step()
        return super().create(path)

    def write(self, handle: BinaryIO, data: bytes | memoryview) -> int:
        self.left -= 1
        if self.left == 0:
            handle.write(bytes(data)[: len(data) // 2])
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(handle, data)

    def sync_file(self, handle: BinaryIO) -> None:
        self._step()
        super().sync_file(handle)

    def sync_directory(self, path: Path) -> None:
        self._step()
        super().sync_directory(path)

    def rename(self, source: Path, target: Path) -> None:
        self._step()
        super().rename(source, target)


@pytest.mark.parametrize("io", ["parquet", "duckdb"])
@pytest.mark.parametrize("value", [FRAME, {"a": 1}, b"x"], ids=["table", "json", "bytes"])
def test_a_failure_at_any_step_leaves_the_previous_version_and_nothing_half(
    tmp_path: Path, io: str, value: object
) -> None:
    shop = Shop(tmp_path)
    previous = shop.put(value, io)
    before, number = shop.files(), 0
    while True:
        number += 1
        assert number < 60
        faulty = Shop(tmp_path, files=FailingAt(number))
        try:
            staged = faulty.write(value, io)
        except DiskFull:
            assert shop.files() == before
            continue
        try:
            new = version_of(faulty.storage.publish(staged))
        except DiskFull:
            if number % 2:
                shop.storage.discard(staged)
            else:
                assert shop.storage.sweep([]) == 1
            assert shop.files() == before
            assert shop.storage.verify(previous, deep=True) == []
            continue
        break
    assert shop.storage.verify(new, deep=True) == []
    assert number > 5
    if shop.warehouse.exists():
        assert count_tables(shop) == 2


def test_a_killed_process_leaves_nothing_that_sweeping_does_not_remove(tmp_path: Path) -> None:
    code = f"""
import os
import pyarrow as pa
from pathlib import Path
from assetflow.io.storage import Storage
storage = Storage(Path({str(tmp_path / "store")!r}), warehouse=Path({str(tmp_path / "warehouse.duckdb")!r}))
def batches():
    for number in range(3):
        yield pa.record_batch({{"a": list(range(200_000))}})
    os.kill(os.getpid(), 9)
schema = pa.schema([("a", pa.int64())])
storage.write(pa.RecordBatchReader.from_batches(schema, batches()), key="orders", partition="", io="parquet",
              io_is_explicit=False, declared=None, run_id=7)
"""
    repository = Path(__file__).resolve().parents[3]
    done = subprocess.run([sys.executable, "-c", code], cwd=repository, check=False, timeout=60)
    shop = Shop(tmp_path)

    assert done.returncode == -9
    assert shop.files() != []
    assert shop.storage.sweep([]) == 1
    assert shop.files() == []


def test_a_table_loaded_by_a_run_that_died_is_dropped_by_sweeping(shop: Shop) -> None:
    kept = shop.put(FRAME, "duckdb")
    staged = shop.write(FRAME, "duckdb")

    class Dying(Files):
        def rename(self, source: Path, target: Path) -> None:
            raise StorageFailed("the run dies here")

    dying = Storage(shop.root, warehouse=shop.warehouse, files=Dying())
    with pytest.raises(StorageFailed):
        dying.publish(staged)

    assert count_tables(shop) == 2
    shop.storage.sweep([])
    assert count_tables(shop) == 1
    assert shop.storage.verify(kept, deep=True) == []


# ------------------------------------------------------------------------------------------------------- duckdb


def test_a_step_queries_its_inputs_by_name(shop: Shop) -> None:
    version = shop.put(pa.table({"a": [1, 2, 3]}))

    def step(orders: duckdb.DuckDBPyRelation) -> object:
        return duckdb.sql("SELECT sum(a)::BIGINT AS total FROM orders")

    with shop.storage.connection() as connection:
        with shop.storage.turn():
            made = step(cast("Any", shop.storage.read(version, Want("duckdb", None, connection))))
        result = shop.put(made, declared="duckdb")

    assert shop.storage.read(result, Want("records")) == [{"total": 6}]


def test_steps_that_use_the_shared_connection_take_turns(shop: Shop) -> None:
    version, problems = shop.put(pa.table({"a": list(range(1000))})), list[BaseException]()

    def step(orders: object) -> object:
        cast("Any", duckdb.sql("SELECT count(*) FROM orders")).fetchall()
        return duckdb.sql("SELECT max(a) AS m FROM orders")

    def work() -> None:
        try:
            for _ in range(5):
                with shop.storage.connection() as connection:
                    orders = shop.storage.read(version, Want("duckdb", None, connection))
                    with shop.storage.turn():
                        made = step(orders)
                    assert shop.storage.read(shop.put(made), Want("records")) == [{"m": 999}]
        except BaseException as error:  # noqa: BLE001 - told to the main thread
            problems.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []


@pytest.mark.parametrize("call", ["import", "exists"])
def test_looking_whether_a_version_exists_imports_nothing_heavy(shop: Shop, call: str) -> None:
    version = replace(shop.put(FRAME), details={}, schema={}, columns={})
    code = f"""
import sys
from pathlib import Path
from assetflow.io.storage import Storage
from assetflow.model.records import Version
if {call!r} == "exists":
    storage = Storage(Path({str(shop.root)!r}), warehouse=Path({str(shop.warehouse)!r}))
    assert storage.exists({version!r})
heavy = {{"pyarrow", "pandas", "duckdb", "numpy", "polars", "xxhash"}} & set(sys.modules)
assert not heavy, heavy
"""
    repository = Path(__file__).resolve().parents[3]

    subprocess.run([sys.executable, "-c", code], cwd=repository, check=True, timeout=60)


def test_the_manager_of_a_reader_that_fails_leaves_nothing(shop: Shop) -> None:
    schema = pa.schema([("a", pa.int64())])

    def batches(fail: Callable[[], None]) -> Any:
        yield pa.record_batch({"a": [1]}, schema=schema)
        fail()

    def fail() -> None:
        raise ValueError("the line broke")

    with pytest.raises(CannotStore, match="`orders`") as caught:
        shop.write(pa.RecordBatchReader.from_batches(schema, batches(fail)))

    assert "the line broke" in str(caught.value)
    assert shop.files() == []
