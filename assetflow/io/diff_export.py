"""Rows that differ as a file: all of them, batch by batch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assetflow.errors import NotWritable, UsageError

ENDINGS = (".parquet", ".csv")


def require_ending(path: Path) -> None:
    """Nothing, when rows can be written to a file of this name.

    Raises:
        UsageError: the name ends otherwise.
    """
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"`{path}` is neither .csv nor .parquet", fix="--export changes.parquet")


def write_rows(batches: Iterator[Any], path: Path) -> int:
    """How many rows were written to the file, which takes the place of an older one only when it is complete.

    Raises:
        NotWritable: the file cannot be written, or Parquet cannot hold a type of the rows.
    """
    import pyarrow as pa

    waiting = path.with_name(f".{path.name}.part")
    count = 0
    try:
        first = next(batches)
        schema = first.schema if path.suffix.lower() == ".parquet" else _csv_batch(first).schema
        with _writer(waiting, schema) as writer:
            while True:
                count += first.num_rows
                writer.write_batch(first if path.suffix.lower() == ".parquet" else _csv_batch(first))
                following = next(batches, None)
                if following is None:
                    break
                first = following
        waiting.replace(path)
    except (OSError, pa.ArrowException) as error:
        raise NotWritable(f"{path} cannot be written: {error}") from error
    finally:
        waiting.unlink(missing_ok=True)
    return count


def _writer(path: Path, schema: Any) -> Any:
    import pyarrow.parquet as pq
    from pyarrow import csv

    return csv.CSVWriter(path, schema) if path.suffixes[-2:-1] == [".csv"] else pq.ParquetWriter(path, schema)


def _csv_batch(batch: Any) -> Any:
    """The batch with columns that CSV has words for: bytes become hexadecimal, lists and structs JSON."""
    import pyarrow as pa

    columns = [_csv_column(column) for column in batch.columns]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _csv_column(column: Any) -> Any:
    import pyarrow as pa

    types: Any = pa.types
    kind = column.type
    is_plain = types.is_integer(kind) or types.is_boolean(kind) or types.is_date(kind) or types.is_string(kind)
    if is_plain or types.is_floating(kind) or types.is_large_string(kind):
        return column.cast(pa.float32()) if types.is_float16(kind) else column
    return pa.array([None if value is None else _csv_text(value) for value in column.to_pylist()], pa.string())


def _csv_text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, (list, dict, tuple)):
        return json.dumps(value, default=_csv_text, ensure_ascii=False)
    isoformat = getattr(value, "isoformat", None)
    return str(value if isoformat is None else isoformat())
