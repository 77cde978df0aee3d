"""Columns of large frames in memory that the system lets nobody change, and that costs its readers no copy.

What is written into such memory is sealed. A reader maps it for itself: the system copies the pages that it writes to,
and no other page. Columns are known by their digests, so that frames which have one in common have it once.
"""

from __future__ import annotations

import mmap
import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from weakref import WeakValueDictionary, finalize

from msgspec import Struct

from assetflow.io.simple import look_at
from assetflow.model.records import Version

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_PAGE = 1 << 16
_MAPPED_KINDS = frozenset("iufmM")
"""Kinds of numpy types whose arrays are the very memory of Arrow's."""


class _Memory:
    """Sealed memory; `data` is all of it, as a buffer that cannot be written to."""

    def __init__(self, descriptor: int) -> None:
        import pyarrow as pa

        self._descriptor = descriptor
        # Shared mappings of what is sealed are refused by older kernels, even if they are only read.
        self._view = mmap.mmap(descriptor, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        self.data: Any = pa.py_buffer(self._view)
        finalize(self, os.close, descriptor)

    def rest(self) -> None:
        """Take the pages out of this mapping until they are looked at again: the system counts them for each."""
        self._view.madvise(mmap.MADV_DONTNEED)

    def own(self) -> mmap.mmap:
        """A mapping that belongs to who asks: what is written to it is seen nowhere else."""
        return mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_COPY)


class Column(Struct, eq=False, weakref=True):
    """One column in sealed memory. `place` is where its values begin, if NumPy can have them as they lie there."""

    memory: _Memory
    array: pa.ChunkedArray
    dtype: Any
    place: int | None
    stored: tuple[Version, Path] | None = None
    """A version that has it, and where that lies."""

    def is_like(self, array: Any, dtype: Any) -> bool:
        """Whether it takes the same form as a column with the same digest."""
        return len(self.array) == len(array) and self.array.type == array.type and bool(self.dtype == dtype)


_columns: WeakValueDictionary[str, Column] = WeakValueDictionary()
_guard = threading.Lock()


class Frame(Struct, frozen=True):
    """A frame of sealed columns, by name, in the schema that it is stored with."""

    schema: pa.Schema
    columns: Mapping[str, Column]
    adopted: frozenset[str] = frozenset()
    """The columns that another frame had before."""

    def batches(self) -> tuple[pa.RecordBatch, ...]:
        """The rows as Arrow has them, without a copy."""
        return tuple(self.table().to_batches())

    def table(self, names: Sequence[str] | None = None) -> pa.Table:
        """The columns, or some of them, without a copy."""
        import pyarrow as pa

        schema = self._schema(names)
        return pa.Table.from_arrays([self.columns[name].array for name in schema.names], schema=schema)

    def is_being_stored(self) -> bool:
        """Whether another version has columns of this one, and is not stored yet."""
        return any(self.columns[name].stored is None for name in self.adopted)

    def stored(self) -> list[tuple[Version, Path]]:
        """Versions in which columns are stored."""
        found = [column.stored for column in self.columns.values() if column.stored is not None]
        return list({directory: (version, directory) for version, directory in found}.values())

    def read(self, names: Sequence[str] | None = None) -> pd.DataFrame:
        """A frame that may be written to: equal to what the store gives, and nobody else sees what is written."""
        import numpy as np
        import pandas as pd

        from assetflow.io.frames import pandas_from_table

        table = self.table(names)
        mapped = [name for name in table.column_names if self.columns[name].place is not None]
        others = [name for name in table.column_names if self.columns[name].place is None]
        own: dict[int, Any] = {id(self.columns[name].memory): None for name in mapped}
        values: dict[str, Any] = {}
        for name in mapped:
            column = self.columns[name]
            memory = own[id(column.memory)] = own[id(column.memory)] or column.memory.own()
            values[name] = np.frombuffer(memory, column.dtype, len(column.array), cast("int", column.place))
        if others:
            rest = pandas_from_table(self.table(others))
            values |= {name: rest[name] for name in others}
        frame = pd.DataFrame({name: values[name] for name in table.column_names}, copy=False)
        frame.columns = pandas_from_table(table.slice(0, 0)).columns
        return frame

    def _schema(self, names: Sequence[str] | None) -> pa.Schema:
        if names is None:
            return self.schema
        from assetflow.io.frames import project_metadata

        return project_metadata(self.schema, names)


def sealed(frame: pd.DataFrame, key: str, algorithm: str) -> tuple[Frame, str, Mapping[str, str]] | None:
    """The frame in sealed memory with its hash and the digests of its columns; None where it has to be copied.

    So it is with all but simple frames, and where the system has no such memory.

    Raises:
        NotExact, CannotStore: it cannot be stored so that it comes back.
    """
    if not hasattr(os, "memfd_create") or (look := look_at(frame)) is None or not all(map(_is_plain, look.columns)):
        return None
    import pandas as pd

    from assetflow.io.frames import pandas_from_table, table_from_pandas
    from assetflow.io.hashing import hash_of_columns, table_hash

    table = table_from_pandas(frame, key, look)
    like = pandas_from_table(table.slice(0, 0))
    if not all(a == b for a, b in zip(frame.dtypes, like.dtypes, strict=True)) or type(like.columns) is not pd.Index:
        return None
    dtypes = dict(zip(table.column_names, frame.dtypes, strict=True))
    found: dict[str, Column] = {}
    digests: Mapping[str, str] = {}
    if _columns:
        # What has the digest of a sealed column is that column from here on, whatever becomes of the frame's memory.
        digests = table_hash(table, algorithm)[1]
        for name, digest in digests.items():
            column = _columns.get(f"{algorithm}:{digest}")
            if column is not None and column.is_like(table.column(name), dtypes[name]):
                found[name] = column
    adopted = frozenset(found)
    if new := [name for name in table.column_names if name not in found]:
        try:
            found |= _written(table.select(new), dtypes)
        except OSError:  # there is not so much memory, or the system does not let us
            return None
        own = Frame(table.schema, found).table(new).replace_schema_metadata(table.schema.metadata)
        digests = {**digests, **table_hash(own, algorithm)[1]}
        with _guard:
            _columns.update({f"{algorithm}:{digests[name]}": found[name] for name in new})
    digests = {name: digests[name] for name in table.column_names}
    columns = {name: found[name] for name in table.column_names}
    return (
        Frame(table.schema, columns, adopted),
        hash_of_columns(table.schema, table.num_rows, digests, algorithm),
        digests,
    )


def note_stored(version: Version, directory: Path) -> None:
    """Remember where the columns of a version are stored, as long as they are in sealed memory."""
    from assetflow.io.hashing import algorithm_of

    if not _columns or version.io != "parquet":
        return
    algorithm = algorithm_of(version.data_hash)
    for digest in version.columns.values():
        if (column := _columns.get(f"{algorithm}:{digest}")) is not None:
            column.stored = version, directory
            column.memory.rest()


def _is_plain(series: Any) -> bool:
    """Whether the column comes back from Arrow without a look at its values."""
    import numpy as np
    import pandas as pd

    dtype: Any = series.dtype
    if isinstance(dtype, np.dtype):
        return cast("Any", dtype).isnative
    return bool(dtype == pd.StringDtype(na_value=np.nan)) and dtype.storage == "pyarrow"


def _written(table: pa.Table, dtypes: Mapping[str, Any]) -> dict[str, Column]:
    """The columns of the table in new memory, which is sealed.

    Raises:
        OSError: the system refused.
    """
    import fcntl

    import pyarrow as pa

    descriptor = os.memfd_create("assetflow", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    starts: dict[str, int] = {}
    try:
        for name in table.column_names:
            starts[name] = os.fstat(descriptor).st_size
            part = pa.table({"": _canonical(table.column(name))})
            with (
                pa.OSFile(f"/proc/self/fd/{descriptor}", "ab") as sink,
                pa.ipc.new_stream(sink, part.schema) as writer,
            ):
                writer.write_table(part)
            os.ftruncate(descriptor, -(-os.fstat(descriptor).st_size // _PAGE) * _PAGE)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
        memory = _Memory(descriptor)
    except BaseException:
        os.close(descriptor)
        raise
    return {name: _column(memory, start, dtypes[name]) for name, start in starts.items()}


def _column(memory: _Memory, start: int, dtype: Any) -> Column:
    import pyarrow as pa

    array: Any = pa.ipc.open_stream(memory.data.slice(start)).read_all().column(0)
    place: int | None = None
    if dtype.kind in _MAPPED_KINDS and array.num_chunks == 1 and not array.chunk(0).offset:
        place = array.chunk(0).buffers()[1].address - memory.data.address
    return Column(memory, array, dtype, place)


def _canonical(column: Any) -> Any:
    """The column with the usual bits for each missing number, which is what comes back from the store."""
    import pyarrow as pa

    if not pa.types.is_floating(column.type) or not column.null_count:
        return column
    # By way of NumPy, which fills what is missing with the usual bits.
    return pa.chunked_array([pa.array(column.to_numpy(), column.type, from_pandas=True)])
