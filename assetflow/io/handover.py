"""Tables that are handed on in memory: what a reader gets is what it would get from the store.

A table is kept as Arrow batches in memory of its own, which is what is hashed, written and handed on: neither who made
it nor who gets it can change it afterwards, whatever they do with the arrays behind their frames. Readers get copies,
or of large frames mappings, of which the system copies what is written to.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct, field

from assetflow.io.base import Want
from assetflow.model.keys import UNPARTITIONED, AssetKey
from assetflow.model.records import Version

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from assetflow.io.arrow import TableStream
    from assetflow.io.mapped import Frame

FORMS = ("pandas", "python", "arrow", "polars", "records")
"""The forms that come from memory. DuckDB reads the file itself, and who asks for a stream wants to save memory."""

_SMALL_BYTES = 1 << 20
"""A smaller table is also kept as a pandas frame once somebody wanted one: the copy costs less than the conversion."""

LEAST_BYTES = 8 << 20
"""Smaller frames are copied: that takes less than mappings."""

LARGEST_BYTES = 128 << 20
"""A larger table that has to be copied is read from the store: its copies would cost more memory than decoding it costs
time."""


class Handed(Struct, frozen=True, eq=False):
    """One table in memory that nobody else can change."""

    key: str
    schema: pa.Schema
    batches: tuple[pa.RecordBatch, ...]
    size_bytes: int
    data_hash: str
    columns: Mapping[str, str]
    frames: list[Any] = field(default_factory=list[Any])
    """The table as a pandas frame which is only given away as copies, when there is one."""
    sealed: Frame | None = None
    """The table in memory that can be given away without a copy, when it is there."""

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(batch.num_rows for batch in self.batches)

    @property
    def is_being_stored(self) -> bool:
        """Whether columns of it are being written with another table, and can be taken from there afterwards."""
        return self.sealed is not None and self.sealed.is_being_stored()

    def version(self, location: str) -> Version:
        """The table as a version that is not stored, and has no number; readers take it from memory by `location`."""
        from assetflow.io.arrow import type_names

        return Version(
            0, AssetKey(self.key), UNPARTITIONED, 0, self.data_hash, "parquet", location, self.rows, self.size_bytes,
            type_names(self.schema), self.columns, {}, 0.0,
        )  # fmt: skip

    def close(self) -> None:
        """Nothing: memory is let go of with the object."""

    def stream(self) -> TableStream:
        """The rows in their logical schema."""
        from assetflow.io.arrow import TableStream

        return TableStream(self.schema, iter(self.batches))

    def read(self, want: Want) -> object:
        """The table in one of `FORMS`, equal to what the store gives.

        Raises:
            ContractBroken: a wanted column is not there, or the table cannot take the form.
        """
        import numpy as np

        from assetflow.io import arrow

        if want.form not in ("pandas", "python"):
            return arrow.forms_of(arrow.select(self.stream(), want.columns, self.key), want, self.key)
        if self.sealed is not None and want.columns != ():
            arrow.project(self.schema, want.columns, self.key)
            return self.sealed.read(want.columns)
        if self.frames and want.columns is None:
            return self.frames[0].copy(deep=True)
        found: Any = arrow.forms_of(arrow.select(self.stream(), want.columns, self.key), want, self.key)
        if want.columns is None and self.size_bytes <= _SMALL_BYTES and np.dtype(object) not in list(found.dtypes):
            self.frames.append(found)
        # A column may have come over without a copy; what is written to it must not reach the next reader.
        return found.copy(deep=True)


class OnFile(Struct, frozen=True):
    """One table in a file of Arrow's own format, for another process of the same run, which maps it into its memory."""

    key: str
    path: str
    size_bytes: int

    @classmethod
    def of(cls, table: Handed, folder: Path) -> OnFile:
        """Write the table into a folder that is private to it.

        Raises:
            OSError, ArrowException: the disk refused.
        """
        import pyarrow as pa

        path = folder / "table.arrow"
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            for batch in table.batches:
                writer.write_batch(batch)
        return cls(table.key, str(path), table.size_bytes)

    def read(self, want: Want) -> object:
        """As `Handed.read`; what is made of it without a copy keeps the memory mapped.

        Raises:
            OSError, ArrowException: the file is gone or cannot be read.
        """
        import pyarrow as pa

        reader: Any = pa.ipc.open_file(pa.memory_map(self.path, "r"))
        batches = tuple(reader.get_batch(number) for number in range(reader.num_record_batches))
        return Handed(self.key, reader.schema, batches, self.size_bytes, "", {}).read(want)

    def close(self) -> None:
        """Remove the file with its folder; memory that is still mapped stays until nobody needs it."""
        from shutil import rmtree

        rmtree(Path(self.path).parent, ignore_errors=True)


def handed(value: object, key: str, algorithm: str, most_bytes: int = LARGEST_BYTES) -> Handed | None:
    """A table in memory, hashed, to be written and handed on; None where only the store gives it as readers get it.

    So it is with categories and extension types, and with what is larger than `LARGEST_BYTES`, or than `most_bytes`
    where it can be handed on without copies.

    Raises:
        NotExact, CannotStore: it cannot be stored so that it comes back.
    """
    import pyarrow as pa

    from assetflow.io.hashing import TableHasher

    if not is_whole(value):
        return None
    if (found := _sealed(value, key, algorithm, most_bytes)) is not None:
        return found
    frame, schema, shared = _opened(value, key)
    kinds: list[Any] = [field.type for field in schema]
    if any(pa.types.is_dictionary(kind) or isinstance(kind, pa.BaseExtensionType) for kind in kinds):
        return None  # the categories of a stored version are those of all its batches together
    size = sum(batch.nbytes for batch in shared)
    if size > LARGEST_BYTES:
        return None
    batches = tuple(shared) if frame is not None else _private(schema, shared)
    hasher = TableHasher(schema, algorithm)
    for batch in batches:
        hasher.update(batch)
    data_hash, columns = hasher.finish({})
    # A missing number comes back as the usual one, whatever its bits were.
    is_same = frame is not None and not any(column.null_count for batch in batches for column in batch.columns)
    return Handed(key, schema, batches, size, data_hash, columns, [frame] if is_same else [])


def private_if_small(value: object, key: str, algorithm: str, rows: int) -> Handed | None:
    """What `handed` makes of a table in memory of at most so many rows: who has it may change it while it is stored.

    Raises:
        NotExact, CannotStore: it cannot be stored so that it comes back.
    """
    return handed(value, key, algorithm) if is_whole(value) and cast("Any", value).shape[0] <= rows else None


def _sealed(value: object, key: str, algorithm: str, most_bytes: int) -> Handed | None:
    """A large frame in memory that is given away without copies, or None."""
    from assetflow.io.arrow import is_instance

    if not is_instance(value, "pandas", "DataFrame") or not LEAST_BYTES <= cast("Any", value).size * 8 <= most_bytes:
        return None
    from assetflow.io.mapped import sealed

    if (found := sealed(cast("Any", value), key, algorithm)) is None:
        return None
    frame, data_hash, columns = found
    batches = frame.batches()
    size = sum(batch.nbytes for batch in batches)
    return Handed(key, frame.schema, batches, size, data_hash, columns, sealed=frame)


def _opened(value: object, key: str) -> tuple[pd.DataFrame | None, pa.Schema, list[pa.RecordBatch]]:
    """The logical schema of a table, its batches, and a pandas frame in memory of its own where they lie in that."""
    from assetflow.io.arrow import from_table, is_instance, open_table

    if is_instance(value, "pandas", "DataFrame") and cast("Any", value).size * 8 <= LARGEST_BYTES:
        from assetflow.io.frames import table_from_pandas
        from assetflow.io.layout import is_logical
        from assetflow.io.simple import batch_like_before, private_copy

        if (private := private_copy(cast("Any", value))) is not None:
            frame, look = private
            if (like_before := batch_like_before(look)) is not None and is_logical(like_before[0]):
                schema, batch = like_before
                return frame, schema, [batch]
            stream = from_table(table_from_pandas(frame, key, look), key)
            return frame, stream.schema, list(stream.batches)
    stream = open_table(value, key)
    return None, stream.schema, list(stream.batches)


def is_whole(value: object) -> bool:
    """Whether the value is a table that is in memory already: writing it does not use it up."""
    from assetflow.io.arrow import is_instance

    return any(
        is_instance(value, module, name)
        for module, name in (("pandas", "DataFrame"), ("pyarrow", "Table"), ("polars", "DataFrame"))
    )


def _private(schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> tuple[pa.RecordBatch, ...]:
    """The same rows in memory of their own: who made them may go on changing what they came from."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return tuple(pa.ipc.open_stream(sink.getvalue()))


@contextmanager
def unless_the_disk_refuses() -> Generator[None]:
    """Pass over that a file which only saves time could not be written or read."""
    import pyarrow as pa

    with suppress(OSError, pa.ArrowException):
        yield
