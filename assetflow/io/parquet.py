"""Tables as Parquet files: one file per version, checked on every read."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from assetflow.errors import AssetflowError, CannotStore, DamagedVersion
from assetflow.files import Files, storage_error
from assetflow.io import arrow
from assetflow.io.base import Target, Want, Written
from assetflow.io.hashing import BLOCK_ROWS, TableHasher, file_hash
from assetflow.model.records import Version

if TYPE_CHECKING:
    import pyarrow as pa

DATA = "data.parquet"
CATEGORIES = "categories.arrow"
_WHOLE_FILE_LIMIT = 256 << 20
"""Files up to this size are hashed before each read; of larger ones the footer is, and the pages have checksums."""


class ParquetIO:
    """Stores tables as `data.parquet` with tuned encodings, zstd and page checksums."""

    name = "parquet"

    def __init__(self, files: Files | None = None) -> None:
        self._files = files or Files()

    def write(self, value: object, target: Target) -> Written:
        """Write the table, batch by batch when it is a stream, and hash it on the way.

        Raises:
            CannotStore, NotExact: the value is not a table that can come back exactly.
            DiskFull, NotWritable, StorageFailed: the file could not be written.
        """
        stream = arrow.open_table(value, target.key)
        hasher, categories = TableHasher(stream.schema), Categories(stream.schema)
        plain = arrow.plain_schema(stream.schema)
        _refuse_unwritable(plain, target.key)
        rows = 0
        about = {"asset": target.key, "partition": target.partition}
        path = target.directory / DATA
        with self._files.writing(path) as out, _parquet_writer(out, plain, target.key) as writer:
            for batch in arrow.blocks(stream.batches, stream.schema):
                hasher.update(batch)
                categories.note(batch)
                rows += batch.num_rows
                _write_block(writer, batch, plain)
            data_hash, columns = hasher.finish()
            writer.add_key_value_metadata({"assetflow.version": json.dumps({**about, "data_hash": data_hash})})
        details: dict[str, object] = {
            "schema": arrow.schema_to_text(stream.schema),
            "size": path.stat().st_size,
            "file": file_hash(path),
            "footer": _footer_hash(path),
        }
        found = categories.to_bytes()
        if found is not None:
            self._files.write_bytes(target.directory / CATEGORIES, found)
            details["categories"] = file_hash(target.directory / CATEGORIES)
        return Written(data_hash, rows, arrow.type_names(stream.schema), columns, details)

    def read(self, version: Version, directory: Path, want: Want) -> object:
        """The table in the form that is wanted.

        Raises:
            DamagedVersion: the file is missing or is not what was written.
            ContractBroken: a wanted column is not there, or a table cannot take the form.
        """
        if want.form == "path":
            return directory / DATA
        with damage(version):
            check_file(version, directory / DATA, whole=want.columns is None)
            if want.form == "duckdb" and not set("*?[{") & set(str(directory)):
                return self._relation(version, directory, want)
        return arrow.forms_of(self.stream(version, directory, want.columns), want, version.asset)

    def stream(self, version: Version, directory: Path, columns: tuple[str, ...] | None = None) -> arrow.TableStream:
        """The rows of the version as a stream in their logical schema. Errors surface while it is read."""
        with damage(version):
            schema = arrow.schema_from_text(str(version.details["schema"]))
        schema = arrow.project(schema, columns, version.asset)
        return arrow.TableStream(schema, self._batches(version, directory, schema, whole=columns is None))

    def delete(self, version: Version, directory: Path) -> None:
        """Nothing: all that is stored lies inside the directory."""

    def verify(self, version: Version, directory: Path, *, deep: bool) -> list[str]:
        """What is wrong with the file; `deep` also decodes and hashes its content."""
        problems: list[str] = []
        try:
            with damage(version):
                check_file(version, directory / DATA, whole=deep)
                categories = categories_of(version, directory)
            if deep and (problem := content_problem(version, self.stream(version, directory))):
                problems.append(problem)
            del categories
        except DamagedVersion as error:
            problems.append(error.facts[0].removeprefix("found:").strip() if error.facts else error.what)
        return problems

    def _batches(self, version: Version, directory: Path, schema: Any, *, whole: bool) -> Iterator[pa.RecordBatch]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        with damage(version):
            check_file(version, directory / DATA, whole=whole)
            categories, rows = categories_of(version, directory), 0
            with pq.ParquetFile(directory / DATA, page_checksum_verification=True) as file:
                if file.metadata.num_rows != version.rows:
                    raise ValueError(f"{file.metadata.num_rows} rows instead of {version.rows}")
                for group in range(file.num_row_groups):
                    plain = file.read_row_group(group, columns=_columns_argument(schema, file), use_threads=True)
                    rows += plain.num_rows
                    yield from typed_batches(pa, plain.select(schema.names), schema, categories)
                if not file.num_row_groups:
                    plain = arrow.plain_schema(schema).empty_table()
                    yield from typed_batches(pa, plain, schema, categories)
            if schema.names and rows != version.rows:
                raise ValueError(f"{rows} rows instead of {version.rows}")

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

    def __init__(self, schema: pa.Schema) -> None:
        import pyarrow as pa

        self._positions = {i: field.name for i, field in enumerate(schema) if pa.types.is_dictionary(field.type)}
        self._found: dict[str, Any] = {}

    def note(self, batch: pa.RecordBatch) -> None:
        """Look at the next batch."""
        for position, name in list(self._positions.items()):
            values: Any = cast("Any", batch.column(position)).dictionary
            if name not in self._found and not values.null_count:
                self._found[name] = values
            elif name not in self._found or not self._found[name].equals(values):
                self._found.pop(name, None)
                del self._positions[position]

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
            plain = arrow.plain_array(values, arrow.plain_type(values.type))
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
    path = directory / CATEGORIES
    if file_hash(path) != recorded:
        raise ValueError(f"{CATEGORIES} is not what was written")
    table: Any = pa.ipc.open_file(pa.py_buffer(path.read_bytes())).read_all()
    return {name: table.column(name)[0].values for name in table.column_names}


def typed_batches(pa: Any, plain: Any, schema: Any, categories: Mapping[str, Any]) -> Iterator[Any]:
    """A plain table as batches of the logical schema, by position."""
    pieces = plain.combine_chunks().to_batches() if plain.num_columns else []
    if not pieces:
        pieces = [pa.RecordBatch.from_arrays([pa.array([], field.type) for field in plain.schema], schema=plain.schema)]
    for piece in pieces:
        columns = [
            arrow.typed_array(column, field.type, categories.get(field.name))
            for column, field in zip(piece.columns, schema, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def content_problem(version: Version, stream: arrow.TableStream) -> str | None:
    """How the content of the stream differs from what the version recorded, or None.

    Raises:
        DamagedVersion: the content cannot even be read.
    """
    hasher = TableHasher(stream.schema)
    for batch in stream.batches:
        hasher.update(batch)
    found = hasher.finish()[0]
    return None if found == version.data_hash else f"the content has the hash {found}, not {version.data_hash}"


def check_file(version: Version, path: Path, *, whole: bool) -> None:
    """Raise ValueError when the file is not what was written: its size, and its hash or that of its footer.

    A page's checksum covers its data but not its header, which is why the whole file is hashed when that is cheap.
    """
    size = path.stat().st_size
    if size != version.details["size"]:
        raise ValueError(f"{path.name} has {size} bytes instead of {version.details['size']}")
    if whole and size <= _WHOLE_FILE_LIMIT:
        if file_hash(path) != version.details["file"]:
            raise ValueError(f"{path.name} is not what was written")
    elif _footer_hash(path) != version.details["footer"]:
        raise ValueError(f"the footer of {path.name} is not what was written")


@contextmanager
def damage(version: Version) -> Generator[None]:
    """Map everything that reading a stored version can raise to DamagedVersion."""
    import pyarrow as pa

    try:
        yield
    except AssetflowError:
        raise
    except PermissionError as error:
        raise storage_error("reading", Path(str(error.filename or version.location)), error) from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, pa.ArrowException) as error:
        reason = "a file is missing" if isinstance(error, FileNotFoundError) else str(error).splitlines()[0]
        raise damaged(version, reason) from error


def damaged(version: Version, reason: str) -> DamagedVersion:
    """The error for a version whose bytes are not what was recorded."""
    name = f"{version.asset}@{version.number}" if version.number else version.asset
    return DamagedVersion(
        f"the stored data of `{name}` is damaged",
        facts=(f"found:    {reason}", f"location: {version.location}"),
        fix=f"make it again: assetflow materialize {version.asset} --force",
    )


def _columns_argument(schema: Any, file: Any) -> list[str] | None:
    names = list(schema.names)
    return None if names == file.schema_arrow.names else names


def _footer_hash(path: Path) -> str:
    from assetflow.io.hashing import bytes_hash

    with path.open("rb") as handle:
        handle.seek(-8, 2)
        length = int.from_bytes(handle.read(4), "little")
        handle.seek(-min(length + 8, path.stat().st_size), 2)
        return bytes_hash(handle.read())


def _refuse_unwritable(schema: pa.Schema, key: str) -> None:
    for field in schema:
        if _has_empty_struct(field.type):
            raise CannotStore(
                f"column `{field.name}` of `{key}` holds structs without fields, which Parquet cannot hold",
                fix="give the struct a field, or drop the column before returning the table",
            )
        if "interval" in str(field.type):
            raise CannotStore(
                f"column `{field.name}` of `{key}` has the type {field.type}, which Parquet cannot hold",
                fix="turn it into a duration or a number (in DuckDB: `epoch(...)`) before returning the table",
            )


def _has_empty_struct(kind: Any) -> bool:
    import pyarrow as pa

    inner = [kind.field(position).type for position in range(kind.num_fields)]
    return (pa.types.is_struct(kind) and not inner) or any(_has_empty_struct(one) for one in inner)


@contextmanager
def _parquet_writer(out: Any, schema: pa.Schema, key: str) -> Generator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    text = [field.name for field in schema if _is_text(pa, field.type)]
    encodings = {field.name: found for field in schema if (found := _encoding(pa, field.type)) is not None}
    try:
        with pq.ParquetWriter(
            out, schema, compression="zstd", use_dictionary=cast("Any", text or False), write_page_checksum=True,
            column_encoding=cast("Any", encodings or None), version="2.6",
        ) as writer:  # fmt: skip
            yield writer
    except pa.ArrowException as error:
        raise CannotStore(
            f"`{key}` cannot be stored as Parquet", facts=(f"reason:   {str(error).splitlines()[0]}",),
            fix="cast the column to a plain type before returning the table",
        ) from error  # fmt: skip


def _write_block(writer: Any, batch: Any, plain: Any) -> None:
    import pyarrow as pa

    columns = [arrow.plain_array(column, field.type) for column, field in zip(batch.columns, plain, strict=True)]
    table: Any = pa.Table.from_arrays(columns, schema=plain)
    if batch.num_rows:
        writer.write_table(table, row_group_size=BLOCK_ROWS)


def _is_text(pa: Any, kind: Any) -> bool:
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind)


def _encoding(pa: Any, kind: Any) -> str | None:
    types = pa.types
    if types.is_floating(kind):
        return "BYTE_STREAM_SPLIT"
    return "DELTA_BINARY_PACKED" if types.is_integer(kind) or types.is_temporal(kind) else None
