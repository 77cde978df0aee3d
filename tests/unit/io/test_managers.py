"""The IO managers: what goes in comes out exactly, and damage is told, never read."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from assetflow.errors import (
    CannotStore,
    ContractBroken,
    DamagedVersion,
    NotExact,
    StorageFailed,
    WarehouseLocked,
)
from assetflow.files import Files
from assetflow.io import parquet
from assetflow.io.base import IOManager, Target, Want, Written
from assetflow.io.duckdb_views import Surface
from assetflow.io.handover import handed
from assetflow.io.hashing import BLOCK_ROWS, table_hash
from assetflow.io.managers import DuckDBIO, FileIO, JsonIO, MemoryIO, NothingIO, ParquetIO, PickleIO
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version
from assetflow.testing import check_io_manager, stored_version

ORDERS = AssetKey("orders")
FRAME = pd.DataFrame(
    {
        "id": pd.array([1, None, 3], dtype="Int64"),
        "t": ["a", None, "é"],
        "at": pd.Series(["2024-07-01", None, "2025-01-01"], dtype="datetime64[s, Europe/London]"),
        "ns": pd.Series([1, None, 2], dtype="datetime64[ns, UTC]"),
        "took": pd.Series([1, None, 2], dtype="timedelta64[ms]"),
        "kind": pd.Categorical(["b", None, "a"], ["z", "b", "a"], ordered=True),
        "size": pd.Categorical([2, 1, 2], [3, 2, 1]),
        "month": pd.period_range("2024", periods=3, freq="M"),
        "price": [Decimal("1.50"), None, Decimal("2.00")],
        "raw": [b"\0", None, b""],
        "tags": [["x"], None, []],
        "day": [dt.date(2024, 1, 1), None, dt.date(2025, 1, 1)],
        "T": [0.5, np.nan, -0.0],
    },
    index=pd.date_range("2024-03-30", periods=3, freq="D", tz="Europe/London", name="when"),
)
TYPES: dict[str, pa.Array] = {
    "uint64": pa.array([2**64 - 1, None], pa.uint64()),
    "float16": pa.array(np.array([1.5, np.nan], "f2")),
    "float32": pa.array([1.5, float("nan")], pa.float32()),
    "nan and null": pa.array([float("nan"), None]),
    "bool": pa.array([True, None]),
    "string": pa.array(["a\0b", None]),
    "large string": pa.array(["a", None], pa.large_string()),
    "binary": pa.array([b"\0", None]),
    "fixed binary": pa.array([b"ab", None], pa.binary(2)),
    "null": pa.nulls(2),
    "date32": pa.array([1, None], pa.date32()),
    "date64": pa.array([86_400_000, None], pa.date64()),
    "time32 s": pa.array([1, None], pa.time32("s")),
    "time32 ms": pa.array([1, None], pa.time32("ms")),
    "time64 us": pa.array([1, None], pa.time64("us")),
    "time64 ns": pa.array([1, None], pa.time64("ns")),
    **{f"timestamp {unit}": pa.array([1, None], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")},
    **{f"tz {unit}": pa.array([1, None], pa.timestamp(unit, "Asia/Tokyo")) for unit in ("s", "ms", "us", "ns")},
    **{f"duration {unit}": pa.array([1, None], pa.duration(unit)) for unit in ("s", "ms", "us", "ns")},
    "decimal32": pa.array([Decimal("1.5"), None], pa.decimal32(5, 1)),
    "decimal128": pa.array([Decimal("1.5"), None], pa.decimal128(38, 10)),
    "narrow decimal256": pa.array([Decimal("1.5"), None], pa.decimal256(20, 1)),
    "list": pa.array([[1, None], None]),
    "large list": pa.array([["a"], None], pa.large_list(pa.string())),
    "fixed list": pa.array([[1, 2], None], pa.list_(pa.int8(), 2)),
    "struct": pa.array([{"x": 1, "y": None}, None], pa.struct([("x", pa.int64()), ("y", pa.string())])),
    "map": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int8())),
    "list of struct": pa.array([[{"x": ["a"]}], None]),
    "dictionary": pa.array(["b", None]).dictionary_encode(),
}
HARD: dict[str, pa.Array] = {
    "decimal256": pa.array([Decimal("1.5"), None], pa.decimal256(60, 1)),
    "list of durations": pa.array([[1], None], pa.list_(pa.duration("s"))),
    "struct of dates": pa.array([{"x": 86_400_000}], pa.struct([("x", pa.date64())])),
    "empty struct": pa.array([{}, {}], pa.struct([])),
}


class Place:
    """A manager with folders to write into; `put` publishes as the storage does."""

    def __init__(self, manager: IOManager, root: Path) -> None:
        self.manager, self._root, self._count = manager, root, 0

    def put(self, value: object) -> tuple[Version, Path]:
        self._count += 1
        directory = self._root / f"v{self._count}"
        directory.mkdir()
        written = self.manager.write(value, Target(ORDERS, "", directory))
        version = stored_version(written, self.manager, directory, key=ORDERS)
        if isinstance(self.manager, DuckDBIO):
            self.manager.publish(version, directory, f"id{self._count}")
        return version, directory

    def through(self, value: object, form: str = "python", columns: tuple[str, ...] | None = None) -> Any:
        return self.manager.read(*self.put(value), Want(form, columns))


def warehouse(folder: Path, wait_s: float = 10) -> DuckDBIO:
    return DuckDBIO(folder / "warehouse.duckdb", wait_s=wait_s)


@pytest.fixture(params=["parquet", "duckdb", "memory"])
def tables(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    made: dict[str, IOManager] = {"parquet": ParquetIO(), "duckdb": warehouse(tmp_path), "memory": MemoryIO()}
    return Place(made[request.param], tmp_path)


@pytest.mark.parametrize("name", ["parquet", "duckdb", "json", "file", "pickle"])
def test_manager_conforms(name: str, tmp_path: Path) -> None:
    source = tmp_path / "report"
    source.mkdir()
    (source / "a").write_bytes(b"x" * 100)
    plain = [{"a": [1, 2.5, None, "é"]}, [], "text"]
    if name == "parquet":
        check_io_manager(ParquetIO)
    elif name == "duckdb":
        check_io_manager(lambda: warehouse(tmp_path))
    elif name == "json":
        check_io_manager(JsonIO, values=plain)
    elif name == "file":
        check_io_manager(FileIO, values=[b"bytes", b""])
        check_io_manager(FileIO, values=[source, source / "a"], same=same_files)
    else:
        check_io_manager(lambda: PickleIO(allowed=True), values=[*plain, {1, 2}])


def same_files(one: object, other: object) -> bool:
    left, right = cast("Path", one), cast("Path", other)
    if left.is_dir():
        return sorted(e.name for e in left.iterdir()) == sorted(e.name for e in right.iterdir())
    return left.read_bytes() == right.read_bytes()


class Forgetful(JsonIO):
    """A manager that a conformance suite must not let pass."""

    def read(self, version: Version, directory: Path, want: Want) -> object:
        try:
            return super().read(version, directory, want)
        except DamagedVersion:
            return None


class Constant(JsonIO):
    def write(self, value: object, target: Target) -> Written:
        return Written("same", None, details=super().write(value, target).details)


@pytest.mark.parametrize(
    ("manager", "rule"), [(Forgetful, "byte 0 of value.json is flipped"), (Constant, "damaged|hash")]
)
def test_the_conformance_suite_finds_a_manager_that_breaks_a_rule(manager: type[JsonIO], rule: str) -> None:
    with pytest.raises((AssertionError, DamagedVersion), match=rule):
        check_io_manager(manager, values=[{"a": 1}, {"a": 2}])


def test_a_frame_of_many_dtypes_comes_back_exactly(tables: Place) -> None:
    version, directory = tables.put(FRAME)

    back = cast("pd.DataFrame", tables.manager.read(version, directory, Want("pandas")))

    pd.testing.assert_frame_equal(back, FRAME, check_freq=True)
    assert [repr(dtype) for dtype in back.dtypes] == [repr(dtype) for dtype in FRAME.dtypes]
    assert list(back["kind"].cat.categories) == ["z", "b", "a"]
    assert tables.manager.verify(version, directory, deep=True) == []


@pytest.mark.parametrize("array", TYPES.values(), ids=TYPES.keys())
def test_an_arrow_column_comes_back_with_its_type_and_hash(tables: Place, array: pa.Array) -> None:
    version, directory = tables.put(pa.table({"c": array, "n": [1, 2]}))

    back = cast("pa.Table", tables.manager.read(version, directory, Want("arrow")))

    assert back.schema.field("c").type == array.type
    assert table_hash(back)[0] == version.data_hash == table_hash(pa.table({"c": array, "n": [1, 2]}))[0]


@pytest.mark.parametrize("array", HARD.values(), ids=HARD.keys())
def test_what_duckdb_cannot_hold_is_refused_with_the_column_and_parquet_holds_it(
    tmp_path: Path, array: pa.Array
) -> None:
    table = pa.table({"n": pa.array([1] * len(array)), "odd": array})

    with pytest.raises(CannotStore, match="`odd`") as caught:
        Place(warehouse(tmp_path), tmp_path).put(table)

    assert caught.value.fix
    other = tmp_path / "parquet"
    other.mkdir()
    if array.type != pa.struct([]):
        assert Place(ParquetIO(), other).through(table, "arrow").equals(table)


def test_intervals_are_refused_by_parquet_with_the_column(tmp_path: Path) -> None:
    with pytest.raises(CannotStore, match="`gap`"):
        Place(ParquetIO(), tmp_path).put(pa.table({"gap": pa.array([(1, 2, 3)], pa.month_day_nano_interval())}))


def test_every_form_can_be_read(tables: Place) -> None:
    table = pa.table({"id": [2, 1], "t": ["a", None], "f": [0.5, 1.5]})
    version, directory = tables.put(table)

    def read(form: str) -> Any:
        return tables.manager.read(version, directory, Want(form, ("t", "id")))

    rows = [{"t": "a", "id": 2}, {"t": None, "id": 1}]
    assert read("records") == rows
    assert read("arrow").to_pylist() == rows
    assert read("reader").read_all().to_pylist() == rows
    assert read("polars").to_dicts() == rows
    assert read("polars_lazy").collect().to_dicts() == rows
    assert list(read("pandas").columns) == ["t", "id"]
    assert read("duckdb").fetchall() == [("a", 2), (None, 1)]


def test_a_relation_can_be_named_in_a_query_of_the_user(tables: Place) -> None:
    version, directory = tables.put(pa.table({"id": [1, 2]}))
    connection = duckdb.default_connection().cursor()

    def step(orders: object) -> Any:
        return cast("Any", duckdb.sql("SELECT sum(id) AS s FROM orders")).fetchall()

    assert step(tables.manager.read(version, directory, Want("duckdb", None, connection))) == [(3,)]


def test_a_missing_column_is_a_broken_contract(tables: Place) -> None:
    version, directory = tables.put(FRAME)

    for form in ("pandas", "duckdb", "reader"):
        with pytest.raises(ContractBroken, match="`nope`"):
            tables.manager.read(version, directory, Want(form, ("nope",)))


@pytest.mark.parametrize("columns", [["a.b", "", "A", "a", "q\"uo'te", "π", "a_1", "select"]], ids=["odd"])
def test_odd_column_names_survive(tables: Place, columns: list[str]) -> None:
    table = pa.table({name: [position, None] for position, name in enumerate(columns)})
    version, directory = tables.put(table)

    assert cast("pa.Table", tables.manager.read(version, directory, Want("arrow"))).to_pylist() == table.to_pylist()
    picked = tables.manager.read(version, directory, Want("records", ("a", "A")))
    assert picked == [{"a": 3, "A": 2}, {"a": None, "A": None}]


EMPTY: dict[str, Any] = {
    "pandas": FRAME.iloc[:0],
    "polars": pl.DataFrame(schema={"a": pl.Int8, "c": pl.Categorical}),
    "reader": pa.RecordBatchReader.from_batches(pa.schema([("a", pa.int8())]), []),
}


@pytest.mark.parametrize("form", EMPTY)
def test_an_empty_table_keeps_its_columns(tables: Place, form: str) -> None:
    value = EMPTY[form] if form != "reader" else pa.schema([("a", pa.int8())]).empty_table().to_reader()

    back = tables.through(value, form)

    if form == "pandas":
        pd.testing.assert_frame_equal(back, FRAME.iloc[:0], check_freq=False)
        assert list(back["kind"].cat.categories) == ["z", "b", "a"]
    elif form == "polars":
        assert back.schema == value.schema
    else:
        assert back.schema == pa.schema([("a", pa.int8())])


def test_streams_go_in_and_out_batch_by_batch(tmp_path: Path) -> None:
    schema = pa.schema([("n", pa.int64())])
    most, alive = 0, 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal most, alive
        for start in range(0, 5 * BLOCK_ROWS, 50_000):
            alive += 1
            most = max(most, alive)
            yield pa.record_batch({"n": pa.array(np.arange(start, start + 50_000))}, schema=schema)
            alive -= 1

    place = Place(ParquetIO(), tmp_path)
    version, directory = place.put(pa.RecordBatchReader.from_batches(schema, batches()))
    reader = cast("pa.RecordBatchReader", place.manager.read(version, directory, Want("reader")))
    sizes = [batch.num_rows for batch in reader]

    assert most == 1
    assert sum(sizes) == version.rows == 700_000
    assert max(sizes) == BLOCK_ROWS
    assert version.data_hash == table_hash(pa.table({"n": np.arange(700_000)}))[0]


def test_a_large_table_that_is_changed_while_it_is_stored_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.arange(BLOCK_ROWS + 1, dtype="float64")
    frame = pd.DataFrame({"x": numbers}, copy=False)
    real = parquet.table_hash

    def hashed_and_then_changed(table: pa.Table, algorithm: str) -> tuple[str, dict[str, str]]:
        found = real(table, algorithm)
        numbers[7] += 1  # by another thread
        return found

    monkeypatch.setattr(parquet, "table_hash", hashed_and_then_changed)
    with pytest.raises(CannotStore, match="the value of `orders` was changed while it was stored"):
        Place(ParquetIO(), tmp_path).put(frame)


def test_a_smaller_table_that_is_changed_meanwhile_is_stored_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = np.arange(1000, dtype="float64")
    frame = pd.DataFrame({"x": numbers}, copy=False)
    expected, real = numbers.copy(), parquet.writer_options

    def changed(schema: pa.Schema) -> dict[str, Any]:
        numbers[:] = -1  # by another thread, when it is about to be written
        return real(schema)

    monkeypatch.setattr(parquet, "writer_options", changed)
    place = Place(ParquetIO(), tmp_path)
    version, directory = place.put(frame)

    assert numbers[0] == -1
    assert cast("pd.DataFrame", place.manager.read(version, directory, Want("pandas")))["x"].tolist() == [*expected]
    assert version.data_hash == table_hash(pa.table({"x": expected}))[0]


@pytest.mark.parametrize(("rows", "codec"), [(10, "UNCOMPRESSED"), (10_000, "ZSTD")])
def test_a_table_of_less_than_a_block_of_the_disk_is_not_compressed(tmp_path: Path, rows: int, codec: str) -> None:
    table = pa.table({"n": pa.array(range(rows)), "t": ["x"] * rows})
    version, directory = Place(ParquetIO(), tmp_path).put(handed(table, "orders", Files().hash))

    with pq.ParquetFile(directory / "data.parquet") as file:
        group = file.metadata.row_group(0)
        assert {group.column(position).compression for position in range(2)} == {codec}
        assert file.read().replace_schema_metadata().equals(table)
    assert version.data_hash == table_hash(table)[0]


def test_a_parquet_file_carries_its_origin_and_the_tuned_settings(tmp_path: Path) -> None:
    version, directory = Place(ParquetIO(), tmp_path).put(
        pa.table({"n": np.arange(BLOCK_ROWS + 1), "f": np.zeros(BLOCK_ROWS + 1), "t": ["x"] * (BLOCK_ROWS + 1)})
    )

    with pq.ParquetFile(directory / "data.parquet") as file:
        found = file.metadata
        groups = [found.row_group(group) for group in range(found.num_row_groups)]
        encodings = [groups[0].column(position).encodings for position in range(3)]

    assert [group.num_rows for group in groups] == [BLOCK_ROWS, 1]
    assert {groups[0].column(position).compression for position in range(3)} == {"ZSTD"}
    assert "DELTA_BINARY_PACKED" in encodings[0]
    assert "BYTE_STREAM_SPLIT" in encodings[1]
    assert version.data_hash in found.metadata[b"assetflow.version"].decode()
    assert b"orders" in found.metadata[b"assetflow.version"]


def drained(value: object) -> object:
    """The value, read to its end: the errors of a reader surface while it is read."""
    return cast("Any", value).read_all() if isinstance(value, pa.RecordBatchReader) else value


def test_other_tools_read_the_file(tmp_path: Path) -> None:
    _, directory = Place(ParquetIO(), tmp_path).put(pd.DataFrame({"a": [1, 2], "c": pd.Categorical(["x", "y"])}))
    path = directory / "data.parquet"

    assert duckdb.default_connection().cursor().read_parquet(str(path)).fetchall() == [(1, "x"), (2, "y")]
    assert pl.read_parquet(path).rows() == [(1, "x"), (2, "y")]
    assert pd.read_parquet(path)["c"].tolist() == ["x", "y"]


@given(st.data())
@settings(max_examples=40)
def test_a_flipped_byte_never_gives_wrong_rows(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    place = Place(ParquetIO(), tmp_path_factory.mktemp("store"))
    version, directory = place.put(pa.table({"n": list(range(50)), "t": [str(n) for n in range(50)]}))
    path = directory / "data.parquet"
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content))

    for form in ("pandas", "reader", "duckdb", "polars"):
        with pytest.raises(DamagedVersion, match="orders@1"):
            drained(place.manager.read(version, directory, Want(form)))
    assert place.manager.verify(version, directory, deep=True)


@given(st.data())
@settings(max_examples=40)
def test_a_flipped_byte_never_gives_wrong_values_of_some_columns(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    # A projection does not read the whole file, so damage in another column, or in what is padding, may go unseen.
    place = Place(ParquetIO(), tmp_path_factory.mktemp("store"))
    table = pa.table({"n": list(range(50)), "t": [str(n) for n in range(50)]})
    version, directory = place.put(table)
    path = directory / "data.parquet"
    content = bytearray(path.read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path.write_bytes(bytes(content))

    try:
        found = cast("pa.Table", place.manager.read(version, directory, Want("arrow", ("n",))))
    except DamagedVersion:
        return

    assert found.column("n").to_pylist() == table.column("n").to_pylist()


def test_a_changed_footer_is_damage_even_when_only_some_columns_are_read(tmp_path: Path) -> None:
    place = Place(ParquetIO(), tmp_path)
    version, directory = place.put(pa.table({"n": [1, 2], "t": ["a", "b"]}))
    path = directory / "data.parquet"
    whole = path.read_bytes()
    position = whole.rindex(b"orders")  # in the footer's own description, which no reader needs
    path.write_bytes(whole[:position] + b"O" + whole[position + 1 :])

    with pytest.raises(DamagedVersion, match="is not what was written"):
        place.manager.read(version, directory, Want("arrow", ("n",)))


def test_a_truncated_or_missing_file_is_damage(tmp_path: Path) -> None:
    place = Place(ParquetIO(), tmp_path)
    version, directory = place.put(FRAME)
    path = directory / "data.parquet"
    whole = path.read_bytes()

    for content in (b"", whole[:4], whole[:-1], whole + b"x"):
        path.write_bytes(content)
        with pytest.raises(DamagedVersion):
            place.manager.read(version, directory, Want())
        assert place.manager.verify(version, directory, deep=False)
    path.unlink()
    with pytest.raises(DamagedVersion, match="orders@1") as caught:
        place.manager.read(version, directory, Want())
    assert caught.value.fix


# --------------------------------------------------------------------------------------------------------- duckdb


def rows_of(manager: IOManager, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(cast("DuckDBIO", manager).warehouse), read_only=True) as connection:
        return connection.execute(query).fetchall()


def present(manager: DuckDBIO, *pairs: tuple[Version, Path]) -> None:
    places = {version.location: directory for version, directory in pairs}
    manager.present(Surface(tuple(version for version, _ in pairs)), lambda version: places[version.location])


def test_views_show_the_current_version_under_the_name_of_the_asset(tmp_path: Path) -> None:
    manager = warehouse(tmp_path)
    place = Place(manager, tmp_path)
    first, second = place.put(pa.table({"a": [1]})), place.put(pa.table({"a": [2], "b": ["x"]}))

    present(manager, first)
    assert rows_of(manager, "FROM orders") == [(1,)]
    present(manager, second)
    assert rows_of(manager, "FROM orders") == [(2, "x")]


def test_an_asset_of_a_schema_is_shown_in_it(tmp_path: Path) -> None:
    from msgspec.structs import replace

    manager = warehouse(tmp_path)
    version, path = Place(manager, tmp_path).put(pa.table({"a": [1]}))

    present(manager, (replace(version, asset=AssetKey("marts.orders")), path))

    assert rows_of(manager, "FROM marts.orders") == [(1,)]


def test_a_table_of_the_user_is_not_replaced_by_a_view(tmp_path: Path) -> None:
    manager = warehouse(tmp_path)
    place = Place(manager, tmp_path)
    pair = place.put(pa.table({"a": [1]}))
    with duckdb.connect(str(manager.warehouse)) as connection:
        connection.execute("CREATE TABLE orders AS SELECT 'mine' AS x")

    with pytest.raises(StorageFailed, match="`orders`"):
        present(manager, pair)

    assert rows_of(manager, "FROM orders") == [("mine",)]


def test_the_file_has_small_blocks_and_a_format_that_older_releases_read(tmp_path: Path) -> None:
    manager = warehouse(tmp_path)
    place = Place(manager, tmp_path)
    for number in range(10):
        place.put(pa.table({"a": [number]}))

    assert rows_of(manager, "SELECT block_size FROM pragma_database_size()") == [(16384,)]
    assert rows_of(manager, "SELECT tags['storage_version'] FROM duckdb_databases() WHERE NOT internal") == [
        ("v1.5.0+",)
    ]
    assert manager.warehouse.stat().st_size < 1 << 20
    assert not manager.warehouse.with_name("warehouse.duckdb.wal").exists()


def test_deleting_drops_the_table_and_leaves_the_others(tmp_path: Path) -> None:
    manager = warehouse(tmp_path)
    place = Place(manager, tmp_path)
    first, second = place.put(pa.table({"a": [1]})), place.put(pa.table({"a": [2]}))

    manager.delete(*first)

    tables = "SELECT table_name FROM duckdb_tables() WHERE schema_name = '_assetflow'"
    assert rows_of(manager, tables) == [("orders__id2",)]
    assert manager.verify(*first, deep=False)
    assert manager.verify(*second, deep=True) == []


def test_changed_rows_a_dropped_table_and_a_lost_file_are_damage(tmp_path: Path) -> None:
    manager = warehouse(tmp_path)
    place = Place(manager, tmp_path)
    pair = place.put(pa.table({"a": [1, 2]}))

    def change(statement: str) -> None:
        with duckdb.connect(str(manager.warehouse)) as connection:
            connection.execute(statement)

    change('UPDATE _assetflow."orders__id1" SET a = 3 WHERE a = 1')
    assert manager.verify(*pair, deep=False) == []
    assert manager.verify(*pair, deep=True)
    change('DELETE FROM _assetflow."orders__id1" WHERE a = 3')
    assert manager.verify(*pair, deep=False)
    for form in ("pandas", "duckdb"):
        with pytest.raises(DamagedVersion):
            manager.read(*pair, Want(form))
    change('DROP TABLE _assetflow."orders__id1"')
    with pytest.raises(DamagedVersion, match="orders@1"):
        manager.read(*pair, Want())
    manager.warehouse.unlink()
    with pytest.raises(DamagedVersion):
        manager.read(*pair, Want())


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the DuckDB file open for writing."""
    code = (
        "import duckdb, sys\n"
        f"c = duckdb.connect({str(tmp_path / 'warehouse.duckdb')!r})\n"
        "print('open', flush=True)\n"
        "sys.stdin.read()\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"open\n"
    yield process
    process.stdin.close()
    process.wait(timeout=20)
    process.stdout.close()


def test_a_file_held_by_another_program_is_told_with_its_process(
    tmp_path: Path, holder: subprocess.Popen[bytes]
) -> None:
    manager = warehouse(tmp_path, wait_s=0.1)

    with pytest.raises(WarehouseLocked) as caught:
        Place(manager, tmp_path).put(pa.table({"a": [1]}))

    assert str(holder.pid) in str(caught.value)
    assert caught.value.fix


def test_publishing_waits_for_a_program_that_lets_go(tmp_path: Path, holder: subprocess.Popen[bytes]) -> None:
    manager = warehouse(tmp_path, wait_s=20)
    assert holder.stdin is not None
    timer = threading.Timer(0.2, holder.stdin.close)
    timer.start()

    pair = Place(manager, tmp_path).put(pa.table({"a": [1]}))

    timer.join()
    assert manager.verify(*pair, deep=True) == []


def test_a_connection_of_this_process_does_not_stand_in_the_way(tmp_path: Path) -> None:
    manager = warehouse(tmp_path, wait_s=0.1)
    place = Place(manager, tmp_path)
    place.put(pa.table({"a": [1]}))

    with duckdb.connect(str(manager.warehouse)):
        pair = place.put(pa.table({"a": [2]}))

        assert manager.read(*pair, Want("records")) == [{"a": 2}]


def test_threads_publish_and_read_at_the_same_time(tmp_path: Path) -> None:
    manager, problems = warehouse(tmp_path), list[BaseException]()

    def work(name: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        try:
            for number in range(3):
                directory = folder / str(number)
                directory.mkdir()
                written = manager.write(pa.table({"a": [number]}), Target(ORDERS, "", directory))
                version = stored_version(written, manager, directory, key=ORDERS)
                manager.publish(version, directory, f"{name}{number}")
                assert manager.read(version, directory, Want("records")) == [{"a": number}]
        except BaseException as error:  # noqa: BLE001 - told to the main thread
            problems.append(error)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert problems == []


# ---------------------------------------------------------------------------------------------- other than tables


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**70),
        1.5,
        float("inf"),
        -0.0,
        "",
        "é\ud800",
        [],
        {},
        [1, [None, {"a": [True]}]],
        {"": {"x": 1.0}},
    ],
    ids=repr,
)
def test_a_json_value_comes_back_exactly(tmp_path: Path, value: object) -> None:
    back = Place(JsonIO(), tmp_path).through(value)

    assert repr(back) == repr(value)


def test_numpy_numbers_become_python_numbers(tmp_path: Path) -> None:
    back = Place(JsonIO(), tmp_path).through({"n": np.int64(3), "f": np.float64(1.5), "b": np.bool_(True)})

    assert repr(back) == "{'n': 3, 'f': 1.5, 'b': True}"


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": [1, {2}]}, r"set at \['a'\]\[1\]"),
        ({1: "a"}, "key 1"),
        ([(1, 2)], "tuple"),
        (dt.datetime(2024, 1, 1, tzinfo=dt.UTC), "datetime"),
        (object(), "object"),
        (np.datetime64("2024-01-01"), "datetime64"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_would_change_is_refused_with_its_place(tmp_path: Path, value: object, words: str) -> None:
    with pytest.raises((CannotStore, NotExact), match=words) as caught:
        Place(JsonIO(), tmp_path).put(value)

    assert caught.value.fix


def test_a_value_that_contains_itself_is_refused(tmp_path: Path) -> None:
    value: list[object] = []
    value.append(value)

    with pytest.raises(CannotStore, match="contains itself"):
        Place(JsonIO(), tmp_path).put(value)


def test_a_stored_list_of_dicts_arrives_as_a_table_and_other_values_do_not(tmp_path: Path) -> None:
    place = Place(JsonIO(), tmp_path)

    frame = place.through([{"a": 1, "b": "x"}, {"a": 2, "b": None}], "pandas")

    pd.testing.assert_frame_equal(frame, pd.DataFrame({"a": [1, 2], "b": ["x", None]}))
    assert place.through([{"a": 1, "b": 2}], "records", ("b",)) == [{"b": 2}]
    assert len(place.through([], "pandas")) == 0
    for value in ({"a": 1}, [1, 2], 3):
        with pytest.raises(ContractBroken, match="orders"):
            place.through(value, "pandas")


def test_files_and_directories_are_copied_in(tmp_path: Path) -> None:
    place = Place(FileIO(), tmp_path)
    source = tmp_path / "report.html"
    source.write_bytes(b"<p>")
    version, directory = place.put(source)
    source.write_bytes(b"changed")

    stored = cast("Path", place.manager.read(version, directory, Want()))
    assert (stored.name, stored.read_bytes()) == ("report.html", b"<p>")
    assert place.manager.read(version, directory, Want("bytes")) == b"<p>"
    assert place.through(b"raw", "path").read_bytes() == b"raw"
    assert place.through(b"raw") == b"raw"
    with pytest.raises(ContractBroken, match="cannot arrive as"):
        place.manager.read(version, directory, Want("pandas"))
    with pytest.raises(CannotStore, match="nothing"):
        place.put(tmp_path / "missing")
    with pytest.raises(CannotStore, match="int"):
        place.put(3)


def test_pickle_is_refused_until_it_is_allowed(tmp_path: Path) -> None:
    with pytest.raises(CannotStore, match="off") as caught:
        Place(PickleIO(), tmp_path).put({1, 2})
    version, directory = Place(PickleIO(allowed=True), tmp_path / "v1").put({1, 2})

    assert "allow_pickle" in str(caught.value.fix)
    assert PickleIO(allowed=True).read(version, directory, Want()) == {1, 2}
    with pytest.raises(CannotStore, match="off"):
        PickleIO().read(version, directory, Want())


def test_values_in_memory_are_not_shared_between_readers(tmp_path: Path) -> None:
    place = Place(MemoryIO(), tmp_path)
    for value, change in (([1], list.append), ({"a": [1]}, lambda held, _: held["a"].append(2))):
        version, directory = place.put(value)
        cast("Any", change)(place.manager.read(version, directory, Want()), 2)
        assert place.manager.read(version, directory, Want()) == value
    version, directory = place.put(pd.DataFrame({"a": [1, 2]}))
    frame = cast("pd.DataFrame", place.manager.read(version, directory, Want()))
    frame.loc[0, "a"] = 9
    assert cast("pd.DataFrame", place.manager.read(version, directory, Want()))["a"].tolist() == [1, 2]
    lock = threading.Lock()
    assert place.through(lock) is lock


def test_none_is_recorded_and_each_time_counts_as_a_change(tmp_path: Path) -> None:
    place = Place(NothingIO(), tmp_path)
    first, second = place.put(None), place.put(None)

    assert place.manager.read(*first, Want()) is None
    assert first[0].data_hash != second[0].data_hash
    with pytest.raises(CannotStore, match="int"):
        place.put(3)
