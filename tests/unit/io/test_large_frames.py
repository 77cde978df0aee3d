"""Large tables: encoded side by side, taken over column by column, and handed on without copies."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assetflow.io.base import Want
from assetflow.io.chunks import Layout
from assetflow.io.handover import Handed
from assetflow.io.hashing import BLOCK_ROWS, table_hash
from assetflow.io.mapped import sealed
from assetflow.io.storage import Storage
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version
from tests.unit.io.arrow_tables import difference
from tests.unit.io.pandas_frames import frame_difference

KEY = AssetKey("orders")
ROWS = 2 * BLOCK_ROWS + 7


def store(storage: Storage, value: object, *inputs: Version) -> Version:
    staged = storage.write(
        value, key=KEY, partition="", io="parquet", io_is_explicit=True, declared=None, run_id=1, inputs=inputs
    )
    new = storage.publish(staged)
    return Version(
        1, KEY, "", 1, new.data_hash, new.io, new.location, new.rows, new.size_bytes, new.schema, new.columns,
        new.details, 0.0,
    )  # fmt: skip


def hand_on(storage: Storage, frame: pd.DataFrame) -> Handed:
    found = storage.hand_on(frame, key=KEY, io="parquet", io_is_explicit=True, declared=None, most_bytes=1 << 30)
    assert found is not None
    return found


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "store", warehouse=tmp_path / "warehouse.duckdb")


def table_of(seed: int = 0) -> pa.Table:
    random = np.random.default_rng(seed)
    numbers = np.arange(ROWS)
    some = pa.array(random.random(ROWS), mask=numbers % 5 == 0)
    return pa.table(
        {
            "x": random.random(ROWS),
            "n": random.integers(0, 1 << 60, ROWS),
            "some": some,
            "text": pa.array([f"name {one % 991}" if one % 7 else None for one in range(ROWS)]),
            "yes": pa.array(numbers % 3 == 0),
            "moment": pa.array(numbers, pa.timestamp("us", "UTC")),
            "price": pa.array([Decimal(one) / 100 for one in range(1000)] * (ROWS // 1000) + [None] * (ROWS % 1000)),
            "inner": pa.array([{"a": one, "b": [one, None]} for one in range(ROWS)]),
        }
    )


def test_a_file_of_several_row_groups_is_what_any_reader_of_parquet_reads(storage: Storage) -> None:
    table = table_of()
    version = store(storage, table)
    path = storage.root / version.location / "data.parquet"

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        assert [file.metadata.row_group(one).num_rows for one in range(3)] == [BLOCK_ROWS, BLOCK_ROWS, 7]
        pq.write_table(table, storage.root / "plain.parquet")
        read: Any = file.read()
    assert difference(read.replace_schema_metadata(None), pq.read_table(storage.root / "plain.parquet")) == ""
    import duckdb

    query = f"""select sum(n % 1000), count("some"), count("text"), max("inner".a) from '{path}'"""
    found = duckdb.execute(query).fetchall()
    expected = [int((table["n"].to_numpy() % 1000).sum()), ROWS - -(-ROWS // 5), ROWS - -(-ROWS // 7), ROWS - 1]
    assert list(found[0]) == expected
    assert version.data_hash == table_hash(table)[0]
    assert storage.verify(version, deep=True) == []


def test_columns_that_an_input_has_are_taken_over(storage: Storage) -> None:
    table = table_of()
    before = store(storage, table)
    changed: Any = table.set_column(0, "x", pa.array(np.arange(ROWS) * 1.5))

    version = store(storage, changed, before)

    digests = table_hash(changed)[1]
    inputs = [(before, storage.root / before.location / "data.parquet")]
    with Layout(changed.schema).reused(inputs, digests, ROWS) as reused:
        assert set(reused) == {"n", "some", "text", "yes", "moment", "price"}, "flat, and the same in both"
    assert difference(storage.read(version, Want("arrow")), changed) == ""
    assert storage.verify(version, deep=True) == []
    assert version.data_hash == table_hash(changed)[0]
    with Layout(changed.schema).reused(inputs, digests, ROWS - 1) as reused:
        assert not reused, "another number of rows"


def test_what_is_damaged_in_an_input_is_not_taken_over(storage: Storage) -> None:
    table = table_of()
    before = store(storage, table)
    path = storage.root / before.location / "data.parquet"
    path.chmod(0o644)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    version = store(storage, table, before)

    assert storage.verify(before, deep=True) != []
    assert storage.verify(version, deep=True) == []
    assert difference(storage.read(version, Want("arrow")), table) == ""


FRAME = pd.DataFrame(
    {
        "n": np.arange(ROWS),
        "x": np.where(np.arange(ROWS) % 4 == 0, np.nan, np.arange(ROWS) / 3),
        "small": np.arange(ROWS).astype("float32"),
        "yes": np.arange(ROWS) % 2 == 0,
        "day": pd.to_datetime(np.arange(ROWS), unit="s").where(np.arange(ROWS) % 9 > 0),
        "took": pd.to_timedelta(np.arange(ROWS), unit="us"),
        "text": pd.Series([f"name {one % 77}" if one % 11 else None for one in range(ROWS)], dtype="str"),
    }
)


@pytest.mark.parametrize("columns", [None, ("text", "n"), ("yes",), ("day", "x")])
def test_a_large_frame_is_handed_on_as_the_store_gives_it(storage: Storage, columns: Any) -> None:
    handed = hand_on(storage, FRAME)
    version = store(storage, handed)

    assert handed.sealed is not None
    assert version.data_hash == store(storage, FRAME).data_hash
    for form in ("pandas", "python"):
        kept: Any = handed.read(Want(form, columns))
        read: Any = storage.read(version, Want(form, columns))
        assert frame_difference(kept, read) == ""
    kept, read = handed.read(Want("arrow", columns)), storage.read(version, Want("arrow", columns))
    assert kept.schema.equals(read.schema, check_metadata=True)
    assert difference(kept, read) == ""


def test_numbers_that_are_missing_have_the_bits_that_the_store_gives(storage: Storage) -> None:
    odd = np.full(1, 0x7FF8DEADBEEF0001, "u8").view("f8")
    handed = hand_on(storage, pd.DataFrame({"x": np.repeat(odd, 1 << 20), "n": np.arange(1 << 20)}))

    read: Any = handed.read(Want("pandas"))

    assert set(read["x"].to_numpy().view("u8")) == {np.array([np.nan]).view("u8")[0]}


def test_what_anybody_writes_to_a_large_frame_reaches_nobody_else(storage: Storage) -> None:
    values = np.arange(float(ROWS * 5))
    text = pd.Series(["a"] * ROWS * 5, dtype="str")
    made = pd.DataFrame({"x": values, "n": np.arange(ROWS * 5), "text": text}, copy=False)
    expected = made.copy(deep=True)
    handed = hand_on(storage, made)

    values[:] = 0
    for _ in range(2):
        got: Any = handed.read(Want("pandas"))
        assert got.equals(expected)
        got["x"].array[0] = 5.0
        got["text"].array[0] = "z"
        got.loc[3, "n"] = -1
        got["n"] *= 2
        got.iloc[5, 0] = 8.0
    version = store(storage, handed)

    read: Any = storage.read(version, Want("pandas"))
    assert read.equals(expected)


def test_a_column_that_a_reader_changed_in_place_is_not_taken_for_the_old_one(storage: Storage) -> None:
    handed = hand_on(storage, FRAME)
    got: Any = handed.read(Want("pandas"))
    got["n"].array[5] = -7

    again = hand_on(storage, got)

    assert again.sealed is not None
    assert again.sealed.adopted == {"x", "small", "yes", "day", "took", "text"}
    assert again.columns["n"] != handed.columns["n"]
    read: Any = again.read(Want("pandas"))
    assert read["n"][5] == -7
    first: Any = handed.read(Want("pandas"))
    assert first["n"][5] == 5
    version = store(storage, again)
    assert storage.verify(version, deep=True) == []


def test_memory_that_is_sealed_cannot_be_written_to(storage: Storage) -> None:
    table: Any = hand_on(storage, FRAME).read(Want("arrow"))

    values = table.column("n").chunk(0).to_numpy()

    with pytest.raises(ValueError, match="WRITEABLE"):
        values.flags.writeable = True


def test_frames_that_are_not_simple_are_not_sealed() -> None:
    assert sealed(FRAME.astype({"text": "category"}), "a", "xxh3") is None
    assert sealed(FRAME.set_index("n"), "a", "xxh3") is None
    assert sealed(FRAME.astype({"n": "Int64"}), "a", "xxh3") is None
