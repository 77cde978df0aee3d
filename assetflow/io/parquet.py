"""Tables as Parquet files: one file per version, checked on every read."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from assetflow.errors import AssetflowError, CannotStore, DamagedVersion, NotExact, StorageFailed
from assetflow.files import Files, SyncedFile, says_nothing_of, storage_error
from assetflow.io import arrow, layout
from assetflow.io.base import SMALL_BYTES, Target, Want, Written
from assetflow.io.chunks import Layout, writer_options
from assetflow.io.handover import Handed, private_if_small
from assetflow.io.hashing import BLOCK_ROWS, TableHasher, algorithm_of, table_hash
from assetflow.io.verified import Source, check_file, checked_bytes, checked_source, file_details
from assetflow.model.keys import arguments_of
from assetflow.model.records import Version

if TYPE_CHECKING:
    import pyarrow as pa

DATA = "data.parquet"
CATEGORIES = "categories.arrow"

_LANES = 2
"""Row groups that are decoded at the same time: one thread waits for its columns while the other reads and checks."""

_SPAN_BYTES = 8 << 20
"""Row groups of about this many stored bytes are decoded in one go when the whole table is wanted in memory."""

_SMALL_BITS = 16
"""Indices of dictionaries with no more bits may be too few for the values of several batches together."""

_TINY_BYTES = 4096
"""Tables of at most this many bytes in memory are less than a block of the disk, and stored as they are: the memory
that zstd asks for costs more than all else about them."""
_UNCOMPRESSED = {"compression": "none"}
_LARGE_GROUP = 64 << 20
"""Row groups that decode to more than this are read one after the other, to bound the memory of a stream."""


class ParquetIO:
    """Stores tables as `data.parquet` with tuned encodings, zstd and page checksums."""

    name = "parquet"

    def __init__(self, files: Files | None = None) -> None:
        self._files = files or Files()

    def write(self, value: object, target: Target) -> Written:
        """Write the table, batch by batch when it is a stream, and hash it on the way.

        Raises:
            CannotStore, NotExact: the value is not a table that can come back exactly, or was changed meanwhile.
            DiskFull, NotWritable, StorageFailed: the file could not be written.
        """
        hash_name = self._files.hash
        known = value if isinstance(value, Handed) else private_if_small(value, target.key, hash_name, BLOCK_ROWS)
        stream = arrow.open_table(value, target.key) if known is None else known.stream()
        plain = layout.plain_schema(stream.schema)
        layout.refuse_unwritable(plain, target.key)
        if known is not None and known.size_bytes <= SMALL_BYTES:
            return self._write_at_once(known, plain, target)
        small = SMALL_BYTES if target.is_synced_later else 0
        found: bytes | None = None
        with self._files.writing(target.directory / DATA, small=small) as out:
            if (whole := _whole(value, stream, plain)) is not None:
                data_hash, columns, rows = self._write_whole(out, whole, target, known)
            else:
                data_hash, columns, rows, found = self._write_stream(out, stream, plain, target, known)
        details, blocks = file_details(out, target.directory, self._files)
        details["schema"] = arrow.schema_to_text(stream.schema)
        hashes = {DATA: out.hash, **blocks}
        if found is not None:
            is_durable = not target.is_synced_later
            hashes[CATEGORIES] = self._files.write_bytes(target.directory / CATEGORIES, found, is_durable=is_durable)
            details["categories"] = hashes[CATEGORIES]
        return Written(data_hash, rows, arrow.type_names(stream.schema), columns, details, hashes)

    def _write_at_once(self, table: Handed, plain: pa.Schema, target: Target) -> Written:
        """Write a small table, whose hashes are known, by way of memory: Arrow hands a file many small parts."""
        import pyarrow as pa

        sink = pa.BufferOutputStream()
        with _parquet_writer(sink, plain, target.key, is_tiny=table.size_bytes <= _TINY_BYTES) as writer:
            for batch in arrow.blocks(table.batches, table.schema):
                _write_block(writer, batch, plain)
            writer.add_key_value_metadata(_about(target, table.data_hash))
        data = memoryview(sink.getvalue())
        found = self._files.write_bytes(target.directory / DATA, data, is_durable=not target.is_synced_later)
        details = {"size": len(data), "file": found, "schema": arrow.schema_to_text(table.schema)}
        types = arrow.type_names(table.schema)
        return Written(table.data_hash, table.rows, types, table.columns, details, {DATA: found}, {DATA: len(data)})

    def _write_stream(
        self, out: SyncedFile, stream: arrow.TableStream, plain: pa.Schema, target: Target, known: Handed | None
    ) -> tuple[str, Mapping[str, str], int, bytes | None]:
        """Write and hash batch by batch; the hashes, the number of rows, and the file of categories if there is one."""
        hasher, categories = TableHasher(stream.schema, self._files.hash), Categories(stream.schema, target.key)
        rows = 0
        with (
            _parquet_writer(out, plain, target.key) as writer,
            ThreadPoolExecutor(1, thread_name_prefix="assetflow-hash") as beside,
        ):
            for batch in arrow.blocks(stream.batches, stream.schema):
                hashed: Future[None] | None = None
                if known is not None:
                    pass
                elif batch.num_rows < BLOCK_ROWS:  # not worth a thread
                    hasher.update(batch)
                else:
                    hashed = beside.submit(hasher.update, batch)
                categories.note(batch)
                rows += batch.num_rows
                _write_block(writer, batch, plain)
                if hashed is not None:  # before the next batch is asked for: who makes it may use this one's memory
                    hashed.result()
            data_hash, columns = (
                hasher.finish(categories.found()) if known is None else (known.data_hash, known.columns)
            )  # fmt: skip
            writer.add_key_value_metadata(_about(target, data_hash))
        return data_hash, columns, rows, categories.to_bytes()

    def _write_whole(
        self, out: SyncedFile, whole: Whole, target: Target, known: Handed | None
    ) -> tuple[str, Mapping[str, str], int]:
        """Hash a table of several row groups and write it, without encoding again what an input has."""
        if known is None:
            data_hash, columns = table_hash(whole.table, self._files.hash)
        else:
            data_hash, columns = known.data_hash, known.columns
        inputs = [(version, place / DATA) for version, place in target.inputs]
        rows: int = whole.table.num_rows
        with _storable(target.key), whole.layout.reused(inputs, columns, rows) as reused:
            whole.layout.write(out, whole.table, reused, _about(target, data_hash))
        if known is None and table_hash(whole.table, self._files.hash)[0] != data_hash:
            raise CannotStore(
                f"the value of `{target.key}` was changed while it was stored",
                facts=("by a thread that goes on, or by another asset that has the same object",),
                fix="return a table that nobody else has: frame.copy()",
            )
        return data_hash, columns, rows

    def read(self, version: Version, directory: Path, want: Want) -> object:
        """The table in the form that is wanted.

        Raises:
            DamagedVersion: the file is missing or is not what was written.
            ContractBroken: a wanted column is not there, or a table cannot take the form.
        """
        can_scan = bool(version.schema) and not set("*?[{") & set(str(directory))
        if want.form == "path" or (want.form == "duckdb" and can_scan):
            with damage(version):  # others read the file by its path, and do not check what they read
                check_file(version, directory / DATA)
                return directory / DATA if want.form == "path" else self._relation(version, directory, want)
        stream = self._stream(version, directory, want.columns, in_memory=want.form != "reader")
        return arrow.forms_of(stream, want, version.asset)

    def stream(self, version: Version, directory: Path, columns: tuple[str, ...] | None = None) -> arrow.TableStream:
        """The rows of the version as a stream in their logical schema. Errors surface while it is read."""
        return self._stream(version, directory, columns, in_memory=False)

    def delete(self, version: Version, directory: Path) -> None:
        """Nothing: all that is stored lies inside the directory."""

    def verify(self, version: Version, directory: Path, *, deep: bool) -> list[str]:
        """What is wrong with the file; `deep` also decodes and hashes its content."""
        problems: list[str] = []
        try:
            with damage(version):
                _check_shape(version, directory)
            if deep:
                with damage(version):
                    check_file(version, directory / DATA)
                if problem := content_problem(
                    version, self.stream(version, directory), categories_of(version, directory)
                ):
                    problems.append(problem)
        except DamagedVersion as error:
            problems.append(error.facts[0].removeprefix("found:").strip() if error.facts else error.what)
        return problems

    def _stream(
        self, version: Version, directory: Path, columns: tuple[str, ...] | None, *, in_memory: bool
    ) -> arrow.TableStream:
        with damage(version):
            schema = arrow.schema_from_text(str(version.details["schema"]))
        schema = arrow.project(schema, columns, version.asset)
        return arrow.TableStream(schema, _batches(version, directory, schema, in_memory=in_memory))

    def _relation(self, version: Version, directory: Path, want: Want) -> object:
        """A relation that reads the file itself: it streams, in parallel, and reads only what the query needs."""
        from assetflow.io.connection import new_cursor

        owner: Any = want.connection if want.connection is not None else new_cursor()
        relation: Any = owner.read_parquet(str(directory / DATA), hive_partitioning=False)
        if want.columns is None:
            return relation
        schema = arrow.schema_from_text(str(version.details["schema"]))
        arrow.project(schema, want.columns, version.asset)
        return relation.project(", ".join('"' + name.replace('"', '""') + '"' for name in want.columns))


class Categories:
    """Collects the categories of dictionary columns; a column whose batches disagree is stored by its values alone."""

    def __init__(self, schema: pa.Schema, key: str) -> None:
        import pyarrow as pa

        self._key, self._unions = key, dict[int, Any]()
        self._positions = {i: field.name for i, field in enumerate(schema) if pa.types.is_dictionary(field.type)}
        self._found: dict[str, Any] = {}

    def note(self, batch: pa.RecordBatch) -> None:
        """Look at the next batch.

        Raises:
            NotExact: the batches have more values together than the type of the column can count.
        """
        for position, values in self._unions.items():
            self._unions[position] = self._joined(batch, position, values)
        for position, name in list(self._positions.items()):
            values: Any = cast("Any", batch.column(position)).dictionary
            if name not in self._found and not values.null_count:
                self._found[name] = values
            elif name not in self._found or not self._found[name].equals(values):
                before = self._found.pop(name, values)
                del self._positions[position]
                if cast("Any", batch.column(position)).type.index_type.bit_width <= _SMALL_BITS:
                    self._unions[position] = self._joined(batch, position, before)

    def _joined(self, batch: pa.RecordBatch, position: int, before: Any) -> Any:
        """The distinct values of a column so far, which a reader of the whole table gets as one dictionary."""
        import pyarrow as pa

        column: Any = batch.column(position)
        if column.dictionary.equals(before):
            return before
        plain = [layout.plain_array(one, layout.plain_type(one.type)) for one in (before, column.dictionary)]
        found = pa.concat_arrays(plain).unique()
        index = column.type.index_type
        room = 2 ** (index.bit_width - (0 if pa.types.is_unsigned_integer(index) else 1))
        if len(found) > room:
            raise NotExact(
                f"column `{batch.schema.names[position]}` of `{self._key}` has {column.type}, and its batches have "
                f"more than {room} values together",
                fix="cast it to text, or to a dictionary with int32 indices",
            )
        return found

    def found(self) -> dict[str, Any]:
        """The categories by column name."""
        return self._found

    def to_bytes(self) -> bytes | None:
        """The categories as an Arrow file, or None when there are none."""
        import pyarrow as pa

        if not self._found:
            return None
        make: Any = pa.LargeListArray
        lists: list[Any] = []  # one row: each column has a number of categories of its own
        for values in self._found.values():
            plain = layout.plain_array(values, layout.plain_type(values.type))
            lists.append(make.from_arrays(pa.array([0, len(values)], pa.int64()), plain))
        batch: Any = pa.RecordBatch.from_arrays(lists, names=list(self._found))
        sink = pa.BufferOutputStream()
        with pa.ipc.new_file(sink, batch.schema) as writer:
            writer.write_batch(batch)
        return sink.getvalue().to_pybytes()


def categories_of(version: Version, directory: Path) -> Mapping[str, Any]:
    """The recorded categories of the version's columns, by name.

    Raises:
        ValueError, OSError: the file is missing or is not what was written.
    """
    import pyarrow as pa

    recorded = version.details.get("categories")
    if recorded is None:
        return {}
    data = checked_bytes(directory / CATEGORIES, recorded)
    table: Any = pa.ipc.open_file(pa.py_buffer(data)).read_all()
    return {name: table.column(name)[0].values for name in table.column_names}


def typed_batches(pa: Any, plain: Any, schema: Any, categories: Mapping[str, Any]) -> Iterator[Any]:
    """A plain table as batches of the logical schema, by position."""
    pieces = plain.combine_chunks().to_batches() if plain.num_columns else []
    if not pieces:
        pieces = [pa.RecordBatch.from_arrays([pa.array([], field.type) for field in plain.schema], schema=plain.schema)]
    for piece in pieces:
        columns = [
            layout.typed_array(column, field.type, categories.get(field.name))
            for column, field in zip(piece.columns, schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def content_problem(version: Version, stream: arrow.TableStream, kept: Collection[str] | None = None) -> str | None:
    """How the content of the stream differs from what the version recorded, or None; `kept` as in `TableHasher`.

    Raises:
        DamagedVersion: the content cannot even be read.
    """
    try:
        hasher = TableHasher(stream.schema, algorithm_of(version.data_hash))
    except ValueError as error:
        return str(error)
    for batch in stream.batches:
        hasher.update(batch)
    found = hasher.finish(kept)[0]
    return None if found == version.data_hash else f"the content has the hash {found}, not {version.data_hash}"


@contextmanager
def damage(version: Version) -> Generator[None]:
    """Map everything that reading a stored version can raise to DamagedVersion."""
    import pyarrow as pa

    try:
        yield
    except AssetflowError:
        raise
    except (MemoryError, pa.ArrowMemoryError) as error:
        raise StorageFailed(
            f"there is not enough memory to read `{version.asset}`", fix="read fewer columns, or read it as a stream"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, pa.ArrowException) as error:
        if says_nothing_of(error):
            place = Path(str(getattr(error, "filename", None) or version.location))
            raise storage_error("reading", place, cast("OSError", error)) from error
        reason = "a file is missing" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0]
        raise damaged(version, reason) from error


def damaged(version: Version, reason: str) -> DamagedVersion:
    """The error for a version whose bytes are not what was recorded."""
    name = version.name if version.number else version.slot
    return DamagedVersion(
        f"the stored data of `{name}` is damaged",
        facts=(f"found:    {reason}", f"location: {version.location}"),
        fix=f"make it again: assetflow materialize {' '.join(arguments_of(version.slot))} --force",
    )


def _check_shape(version: Version, directory: Path) -> None:
    """Raise ValueError when the footer, the categories, the blocks or the sizes are not what was written."""
    import pyarrow.parquet as pq

    categories_of(version, directory)
    with checked_source(version, directory / DATA) as source, pq.ParquetFile(source()) as file:
        if file.metadata.num_rows != version.rows:
            raise ValueError(f"{file.metadata.num_rows} rows instead of {version.rows}")


def _batches(version: Version, directory: Path, schema: Any, *, in_memory: bool) -> Iterator[pa.RecordBatch]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with damage(version), checked_source(version, directory / DATA) as source:
        categories, rows = categories_of(version, directory), 0
        with pq.ParquetFile(source()) as file:
            metadata, names = file.metadata, file.schema_arrow.names
        if metadata.num_rows != version.rows:
            raise ValueError(f"{metadata.num_rows} rows instead of {version.rows}")
        columns = None if schema.names == names else list[str](schema.names)
        for plain in _decoded(source, metadata, columns, in_memory=in_memory):
            rows += plain.num_rows
            yield from typed_batches(pa, plain.select(schema.names), schema, categories)
        if not metadata.num_row_groups:
            yield from typed_batches(pa, layout.plain_schema(schema).empty_table(), schema, categories)
        if schema.names and rows != version.rows:
            raise ValueError(f"{rows} rows instead of {version.rows}")


def _decoded(source: Source, metadata: Any, columns: list[str] | None, *, in_memory: bool) -> Iterator[Any]:
    """The row groups in order as tables, some of them decoded ahead."""
    import pyarrow.parquet as pq

    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    spans = _spans([_stored_bytes(group) for group in groups], _SPAN_BYTES if in_memory else 0)
    lanes = 1 if not in_memory and any(group.total_byte_size > _LARGE_GROUP for group in groups) else _LANES
    files: SimpleQueue[Any] = SimpleQueue()
    for _ in range(min(lanes, len(spans))):
        files.put(pq.ParquetFile(source(), metadata=metadata, page_checksum_verification=True))

    def decode(span: Sequence[int]) -> Any:
        file = files.get()
        try:
            return file.read_row_groups(span, columns=columns, use_threads=True)
        finally:
            files.put(file)

    if files.qsize() < _LANES:
        yield from map(decode, spans)
        return
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(_LANES, thread_name_prefix="assetflow-read") as pool:
        try:
            for span in spans:
                waiting.append(pool.submit(decode, span))
                if len(waiting) > _LANES:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # the reader may stop early
            for one in waiting:
                one.cancel()


def _stored_bytes(group: Any) -> int:
    return sum(group.column(number).total_compressed_size for number in range(group.num_columns))


def _spans(sizes: Sequence[int], least: int) -> list[list[int]]:
    """The numbers of the row groups in order, cut so that each part but the last has at least `least` bytes."""
    spans: list[list[int]] = []
    room = 0
    for number, size in enumerate(sizes):
        if room <= 0:
            spans.append([])
            room = least
        spans[-1].append(number)
        room -= size
    return spans


class Whole(Struct, frozen=True):
    """A table of several row groups that is all in memory, and how it lies in a file."""

    table: pa.Table
    layout: Layout


def _whole(value: object, stream: arrow.TableStream, plain: pa.Schema) -> Whole | None:
    """The table, or None when it is one row group or less, is made while it is written, or has encodings to note."""
    import pyarrow as pa

    is_known = isinstance(value, Handed)
    in_memory = is_known or any(
        arrow.is_instance(value, module, name) for module, name in (("pandas", "DataFrame"), ("pyarrow", "Table"))
    )
    rows = value.rows if is_known else cast("Any", value).shape[0] if in_memory else 0
    if rows <= BLOCK_ROWS or not len(plain) or any(a.type != b.type for a, b in zip(plain, stream.schema, strict=True)):
        return None
    layout = Layout(plain)
    if not layout.is_understood:
        return None
    table: Any = pa.Table.from_batches(list(stream.batches), stream.schema)
    return Whole(table.cast(plain) if table.schema != plain else table, layout)


@contextmanager
def _parquet_writer(out: Any, schema: pa.Schema, key: str, *, is_tiny: bool = False) -> Generator[Any]:
    import pyarrow.parquet as pq

    options: dict[str, Any] = {**writer_options(schema), **(_UNCOMPRESSED if is_tiny else {})}
    with _storable(key), pq.ParquetWriter(out, schema, **options) as writer:
        yield writer


@contextmanager
def _storable(key: str) -> Generator[None]:
    """Say what Arrow has against writing a table."""
    import pyarrow as pa

    try:
        yield
    except pa.ArrowException as error:
        raise CannotStore(
            f"`{key}` cannot be stored as Parquet", facts=(f"reason:   {str(error).splitlines()[0]}",),
            fix="cast the column to a plain type before returning the table",
        ) from error  # fmt: skip


def _about(target: Target, data_hash: str) -> dict[str, str]:
    """What the file itself says about the version."""
    about = {"asset": target.key, "partition": target.partition, "data_hash": data_hash}
    return {"assetflow.version": json.dumps(about)}


def _write_block(writer: Any, batch: Any, plain: Any) -> None:
    import pyarrow as pa

    columns = [layout.plain_array(column, field.type) for column, field in zip(batch.columns, plain, strict=True)]
    table: Any = pa.Table.from_arrays(columns, schema=plain)
    if batch.num_rows:
        writer.write_table(table, row_group_size=BLOCK_ROWS)
