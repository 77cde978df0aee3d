"""Readers whose batches do not agree with each other, or with their schema: exact, or refused."""

# pyright: basic

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from assetflow.errors import CannotStore, NotExact
from assetflow.io.base import Want
from assetflow.io.hashing import BLOCK_ROWS
from assetflow.io.storage import Storage
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version

SCHEMA = pa.schema([("net", pa.int64()), ("gross", pa.int64())])


def keep(storage: Storage, value: object) -> Version:
    """The value as a published version."""
    key = AssetKey("it")
    staged = storage.write(
        value, key=key, partition="", io="parquet", io_is_explicit=True, declared=None, run_id=1
    )  # fmt: skip
    new = storage.publish(staged)
    return Version(
        1, key, "", 1, new.data_hash, new.io, new.location, new.rows, new.size_bytes, new.schema, new.columns,
        new.details, 0.0,
    )  # fmt: skip


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage(tmp_path / "store", warehouse=tmp_path / "warehouse.duckdb")


@pytest.mark.parametrize(
    "batch",
    [
        pa.record_batch({"gross": [20], "net": [10]}),
        pa.record_batch({"net": [10], "other": [20]}),
        pa.record_batch({"net": [10]}),
        pa.record_batch({"net": [10], "gross": [20], "more": [1]}),
        pa.record_batch({"net": [10], "gross": pa.array([20], pa.int32())}),
        pa.record_batch({"net": [10], "gross": ["20"]}),
    ],
    ids=["order", "name", "fewer", "more", "narrower", "text"],
)
def test_a_batch_with_other_columns_than_the_schema_is_refused(storage: Storage, batch: pa.RecordBatch) -> None:
    right = pa.record_batch({"net": [1], "gross": [2]})
    reader = pa.RecordBatchReader.from_batches(SCHEMA, iter([right, batch]))

    with pytest.raises(CannotStore, match="not those of its schema"):
        keep(storage, reader)


def chunk(names: list[str], rows: int, index: pa.DataType) -> pa.RecordBatch:
    codes = pa.array(np.arange(rows) % len(names), index)
    return pa.record_batch({"city": pa.DictionaryArray.from_arrays(codes, pa.array(names))})


@pytest.mark.parametrize("rows", [1000, 50_000, BLOCK_ROWS, 200_000])
def test_batches_with_categories_of_their_own_are_sound_when_looked_at_again(storage: Storage, rows: int) -> None:
    batches = [chunk([f"c{i}" for i in range(start, start + 30)], rows, pa.int32()) for start in range(4)]

    version = keep(storage, pa.RecordBatchReader.from_batches(batches[0].schema, batches))

    assert storage.verify(version, deep=True) == []
    found: Any = storage.read(version, Want("arrow"))
    assert found["city"].to_pylist() == [value for batch in batches for value in batch["city"].to_pylist()]


def test_more_values_together_than_the_type_can_count_are_refused(storage: Storage) -> None:
    batches = [chunk([f"{start}-{i}" for i in range(100)], BLOCK_ROWS, pa.int8()) for start in range(3)]

    with pytest.raises(NotExact, match="more than 128 values together"):
        keep(storage, pa.RecordBatchReader.from_batches(batches[0].schema, batches))


def test_a_maker_of_batches_may_use_its_memory_again(storage: Storage) -> None:
    buffer = np.zeros(BLOCK_ROWS, "i8")

    def batches() -> Iterator[pa.RecordBatch]:
        for number in range(6):
            buffer[:] = number
            yield pa.record_batch({"x": pa.array(buffer)})

    version = keep(storage, pa.RecordBatchReader.from_batches(pa.schema([("x", pa.int64())]), batches()))

    assert storage.verify(version, deep=True) == []
    found: Any = storage.read(version, Want("arrow"))
    assert found["x"].unique().to_pylist() == list(range(6))
