"""Tables as files for elsewhere: what `assetflow sql -o` writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from assetflow.errors import NotWritable


def write_parquet(table: Any, path: Path) -> None:
    """Write a `pyarrow.Table` as one Parquet file, in place of what is there.

    Raises:
        NotWritable: the file cannot be written, or Parquet cannot hold a type of the table.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.write_table(table, path)
    except (OSError, pa.ArrowException) as error:
        raise NotWritable(f"{path} cannot be written: {error}") from error
