"""Parquet files put together from the stored bytes of their columns, encoded here or taken over from another version.

In a row group the bytes of each column lie by themselves, and the footer says where. So row groups are encoded at the
same time, each as a small file in memory, and a column that an input has with the same content is not encoded again.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from assetflow.errors import AssetflowError
from assetflow.io import thrift
from assetflow.io.hashing import BLOCK_ROWS
from assetflow.io.per_schema import per_schema
from assetflow.io.thrift import Fields, Many, number_of, set_number
from assetflow.io.verified import checked_source
from assetflow.model.records import Version

if TYPE_CHECKING:
    import pyarrow as pa

    from assetflow.files import SyncedFile

_MAGIC = b"PAR1"
_SCHEMA, _ROWS, _GROUPS, _ABOUT = 2, 3, 4, 5
"""Fields of the footer."""

_GROUP_COLUMNS, _GROUP_ROWS = 1, 3
_NAME, _CHILDREN = 4, 5
"""Fields of an element of the schema."""

_META = 3
_PLACES_OUTSIDE = (4, 5, 6, 7)
"""Fields of a column: where an index of its pages lies, which is left out."""

_PATH, _UNPACKED, _SIZE, _PAGES, _INDEX, _DICTIONARY, _BLOOM = 3, 6, 7, 9, 10, 11, (14, 15)
"""Fields of what is said about a column: its path, its sizes, and where its pages lie."""

_I64, _TEXT, _MANY, _STRUCT = 6, 8, 9, 12

_LANES = max(2, min(4, os.cpu_count() or 2))
"""Row groups that are encoded at the same time."""


class Chunk(Struct, frozen=True):
    """The stored bytes of one column in one row group, and what the footer says about them."""

    source: Any
    about: Fields

    def bytes(self) -> Any:
        """The bytes as a buffer.

        Raises:
            ValueError, OSError: they are not what was written, or cannot be read.
        """
        start, size = _place(self.about)
        self.source.seek(start)
        found = self.source.read_buffer(size)
        if len(found) != size:
            raise ValueError("the file ends too early")
        return found


Reused = Mapping[str, Sequence[Chunk]]
"""The chunks of columns that need not be encoded, one for each row group, by the name of the column."""


class Layout:
    """How tables of one schema lie in a file: its footer without any rows."""

    def __init__(self, schema: pa.Schema) -> None:
        raw = _footer_in(self._file_of(schema.empty_table()))
        self.footer = thrift.decode(raw)
        self.is_understood = thrift.encode(self.footer) == raw

    @contextmanager
    def reused(
        self, inputs: Iterable[tuple[Version, Path]], digests: Mapping[str, str], rows: int
    ) -> Generator[Reused]:
        """Columns that a stored input has with the same content, and so divided. What cannot be read is not among them.

        `inputs` are versions with their files, `digests` those of the columns of a table with `rows` rows.
        """
        elements = _flat_elements(self.footer)
        found: dict[str, list[Chunk]] = {}
        with ExitStack() as opened:
            for version, path in inputs:
                same = [
                    name
                    for name, digest in digests.items()
                    if name not in found and name in elements and version.columns.get(name) == digest
                ]
                if version.rows != rows or not same:
                    continue
                try:
                    source = opened.enter_context(_opened(version, path))
                    chunks = _chunks_in(source, int(str(version.details["size"])), rows)
                except (OSError, ValueError, LookupError, TypeError, AssetflowError):
                    continue  # reading it says what is wrong with it; here it would only have saved time
                found |= {
                    name: chunks[name][1] for name in same if name in chunks and chunks[name][0] == elements[name]
                }
            yield found

    def write(self, out: SyncedFile, table: pa.Table, reused: Reused, about: Mapping[str, str]) -> None:
        """Write the whole file; `about` is what it says in its key-value metadata.

        Raises:
            ArrowException: a column cannot be written.
        """
        names: list[str] = table.column_names
        own = [name for name in names if name not in reused]
        out.write(_MAGIC)
        groups: list[Fields] = []
        for number, encoded in enumerate(self._encoded(table.select(own))):
            part: Any = table.slice(number * BLOCK_ROWS, BLOCK_ROWS)
            columns: list[Fields] = []
            start = out.size
            for name in names:
                chunks = encoded[name] if name in encoded else [reused[name][number]]
                columns += self._put(out, part.select([name]), name, chunks)
            groups.append(_group(columns, part.num_rows, start))
        self._finish(out, table.num_rows, groups, about)

    def _put(self, out: SyncedFile, part: pa.Table, name: str, chunks: Sequence[Chunk]) -> list[Fields]:
        """Append the bytes of a column in a row group; what the footer is to say about them."""
        try:
            found = [chunk.bytes() for chunk in chunks]
        except (OSError, ValueError):  # the input was damaged meanwhile
            chunks = self._encode(part)[name]
            found = [chunk.bytes() for chunk in chunks]
        moved: list[Fields] = []
        for chunk, data in zip(chunks, found, strict=True):
            moved.append(_moved(chunk.about, out.size))
            out.write(memoryview(data))
        return moved

    def _encoded(self, table: pa.Table) -> Iterator[Mapping[str, Sequence[Chunk]]]:
        """The chunks of each row group in order, some of them encoded ahead."""
        if not table.num_columns:
            yield from ({} for _ in range(0, table.num_rows, BLOCK_ROWS))
            return
        waiting: deque[Future[Mapping[str, Sequence[Chunk]]]] = deque()
        with ThreadPoolExecutor(_LANES, thread_name_prefix="assetflow-encode") as pool:
            try:
                for start in range(0, table.num_rows, BLOCK_ROWS):
                    waiting.append(pool.submit(self._encode, table.slice(start, BLOCK_ROWS)))
                    if len(waiting) > _LANES:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:  # writing may fail
                for one in waiting:
                    one.cancel()

    def _encode(self, part: pa.Table) -> Mapping[str, Sequence[Chunk]]:
        """Some columns of one row group, each with the chunks of all that is nested in it."""
        import pyarrow as pa

        data = self._file_of(part)
        source = pa.BufferReader(data)
        found: dict[str, list[Chunk]] = {name: [] for name in part.column_names}
        for column in _items(_items(thrift.decode(_footer_in(data)), _GROUPS)[0], _GROUP_COLUMNS):
            found[_path(column)[0].decode()].append(Chunk(source, column))
        return found

    def _file_of(self, part: pa.Table) -> Any:
        import pyarrow as pa
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        # The schema of Arrow is only said in the footer of the whole.
        with pq.ParquetWriter(
            sink, part.schema, store_schema=not part.num_rows, **writer_options(part.schema)
        ) as writer:
            if part.num_rows:
                writer.write_table(part, row_group_size=BLOCK_ROWS)
        return sink.getvalue()

    def _finish(self, out: SyncedFile, rows: int, groups: list[Fields], about: Mapping[str, str]) -> None:
        before = _items(self.footer, _ABOUT)
        said: list[Fields] = [{1: (_TEXT, key.encode()), 2: (_TEXT, text.encode())} for key, text in about.items()]
        footer: Fields = {
            **self.footer,
            _ROWS: (_I64, rows),
            _GROUPS: (_MANY, Many(_STRUCT, groups)),
            _ABOUT: (_MANY, Many(_STRUCT, [*before, *said])),
        }
        raw = thrift.encode(dict(sorted(footer.items())))
        out.write(raw + len(raw).to_bytes(4, "little") + _MAGIC)


@per_schema
def writer_options(schema: pa.Schema) -> dict[str, Any]:
    """The arguments of `pyarrow.parquet.ParquetWriter` for the columns of a plain schema."""
    import pyarrow as pa

    encodings = {field.name: found for field in schema if (found := _encoding(pa, field.type)) is not None}
    return {
        "compression": "zstd",
        "use_dictionary": [field.name for field in schema if _is_text(pa, field.type)] or False,
        "column_encoding": encodings or None,
        "write_page_checksum": True,
        "version": "2.6",
    }


@contextmanager
def _opened(version: Version, path: Path) -> Generator[Any]:
    """The stored file, to be read at any place.

    Raises:
        ValueError, OSError: it is not what was written, or would have to be read as a whole to know.
    """
    if "blocks" not in version.details:
        raise ValueError("it has no blocks")
    with checked_source(version, path) as source:
        yield source()


def _chunks_in(source: Any, size: int, rows: int) -> dict[str, tuple[Fields, list[Chunk]]]:
    """The columns of a file that are not nested: what its schema says about each, and its chunks.

    Raises:
        ValueError, LookupError: the file is not one of ours, or has row groups of other sizes.
    """
    source.seek(size - 8)
    length = int.from_bytes(source.read(8)[:4], "little")
    source.seek(size - 8 - length)
    footer = thrift.decode(source.read(length))
    groups = _items(footer, _GROUPS)
    sizes = [number_of(group, _GROUP_ROWS) for group in groups]
    if sizes != [min(BLOCK_ROWS, rows - start) for start in range(0, rows, BLOCK_ROWS)]:
        raise ValueError("it is divided in another way")
    found = {name: (element, list[Chunk]()) for name, element in _flat_elements(footer).items()}
    for group in groups:
        for column in _items(group, _GROUP_COLUMNS):
            path = _path(column)
            if len(path) == 1:
                found[path[0].decode()][1].append(Chunk(source, column))
    return found


def _flat_elements(footer: Fields) -> dict[str, Fields]:
    """What a schema says about the columns that are not nested, by name."""
    found: dict[str, Fields] = {}
    inside = 0
    for element in _items(footer, _SCHEMA)[1:]:
        children = number_of(element, _CHILDREN) or 0
        if not inside and not children:
            found[element[_NAME][1].decode()] = element
        inside = max(0, inside - 1) + children
    return found


def _items(fields: Fields, key: int) -> list[Any]:
    found = fields.get(key)
    return [] if found is None else found[1].items


def _path(column: Fields) -> list[bytes]:
    return _items(column[_META][1], _PATH)


def _place(column: Fields) -> tuple[int, int]:
    """Where the pages of a column begin, and how many bytes they have."""
    about = column[_META][1]
    places = [place for key in (_PAGES, _INDEX, _DICTIONARY) if (place := number_of(about, key))]
    return min(places), number_of(about, _SIZE) or 0


def _moved(column: Fields, start: int) -> Fields:
    """What the footer says about a column whose pages begin at `start`."""
    shift = start - _place(column)[0]
    about: Fields = {key: one for key, one in column[_META][1].items() if key not in _BLOOM}
    for key in (_PAGES, _INDEX, _DICTIONARY):
        if place := number_of(about, key):
            set_number(about, key, place + shift)
    found: Fields = {key: one for key, one in column.items() if key not in _PLACES_OUTSIDE}
    return {**found, 2: (_I64, 0), _META: (_STRUCT, about)}


def _group(columns: list[Fields], rows: int, start: int) -> Fields:
    abouts: list[Fields] = [column[_META][1] for column in columns]
    sizes = [sum(number_of(about, key) or 0 for about in abouts) for key in (_UNPACKED, _SIZE)]
    return {
        _GROUP_COLUMNS: (_MANY, Many(_STRUCT, columns)), 2: (_I64, sizes[0]), _GROUP_ROWS: (_I64, rows),
        5: (_I64, start), 6: (_I64, sizes[1]),
    }  # fmt: skip


def _footer_in(file: Any) -> bytes:
    length = int.from_bytes(memoryview(file)[-8:-4], "little")
    return bytes(memoryview(file)[-8 - length : -8])


def _is_text(pa: Any, kind: Any) -> bool:
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)


def _encoding(pa: Any, kind: Any) -> str | None:
    types = pa.types
    if types.is_floating(kind):
        return "BYTE_STREAM_SPLIT"
    return "DELTA_BINARY_PACKED" if types.is_integer(kind) or types.is_temporal(kind) else None
