"""Tables inside one DuckDB file: a physical table per version, and a view with the asset's name over the current one.

DuckDB lets one process write and then shuts out everybody else, so the file is open only for moments: values are staged
as Parquet first, and loaded when the version is published. Rows travel as Arrow, and the recorded Arrow schema restores
what DuckDB's types lose. A table is read back and hashed before it counts as published, and each column that is read is
compared with its digest, because anybody can change a table from a shell.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkstemp
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from assetflow.errors import CannotStore, DamagedVersion
from assetflow.files import Files, storage_error
from assetflow.io import arrow, layout
from assetflow.io.base import Target, Want, Written
from assetflow.io.duckdb_views import Origin, Surface, apply, digest_of, names_of, parquet_origin
from assetflow.io.hashing import TableHasher, algorithm_of
from assetflow.io.parquet import (
    DATA,
    ParquetIO,
    categories_of,
    content_problem,
    damage,
    damaged,
    typed_batches,
)
from assetflow.io.verified import BLOCKS
from assetflow.io.warehouse import OWN_SCHEMA, Warehouse, literal, quoted, refuse_path
from assetflow.model.records import Version

if TYPE_CHECKING:
    import pyarrow as pa

MARKER = "table.txt"
"""Names the table in the version's directory: before it is loaded, so that a crash leaves a trace to sweep."""

_ROW_GROUP = 122_880
"""Rows in a row group of DuckDB: batches of another size are written twice, and the file grows to double (measured)."""

_CHOOSER = "query_table({})"


class DuckDBIO:
    """Stores tables in a DuckDB file that any DuckDB 1.5 or newer can open."""

    name = "duckdb"

    def __init__(
        self, warehouse: Path, files: Files | None = None, *, wait_s: float = 10.0, quarantine: Path | None = None
    ) -> None:
        self._files = files or Files()
        self._parquet = ParquetIO(self._files)
        self._warehouse = Warehouse(warehouse, wait_s, self._files, quarantine)

    @property
    def warehouse(self) -> Path:
        """The DuckDB file."""
        return self._warehouse.path

    def write(self, value: object, target: Target) -> Written:
        """Stage the table as Parquet in the target; `publish` loads it into the DuckDB file.

        Raises:
            CannotStore, NotExact: the value is not a table that DuckDB can hold exactly.
            DiskFull, NotWritable, StorageFailed: the staged file could not be written.
        """
        refuse_path(self._warehouse.path)
        written = self._parquet.write(value, target)
        _physical_schema(arrow.schema_from_text(str(written.details["schema"])), target.key)
        return replace(written, sizes={})  # these files are not what is published

    def publish(self, version: Version, directory: Path, identity: str) -> None:
        """Load the staged table under the name `<key>__<identity>`, prove that it reads back, drop the staged file.

        Raises:
            WarehouseLocked: another program holds the DuckDB file.
            CannotStore: the table does not read back as it was written.
            StorageFailed: DuckDB could not write, or not put a damaged file into the quarantine.
        """
        import duckdb

        table = f"{version.asset}__{identity}"
        self._files.write_bytes(directory / MARKER, table.encode())
        self._files.sync_directory(directory)
        with self._warehouse.open_for_writing(heal=True) as connection:
            try:
                self._load(connection, version, directory, table)
                problem = content_problem(version, self._stream(connection, version, directory, table))
            except DamagedVersion as error:
                problem = error.facts[0]
            except (duckdb.NotSupportedError, duckdb.InvalidInputException, duckdb.ConversionException) as error:
                problem = f"DuckDB:   {str(error).splitlines()[0]}"
            if problem:
                connection.execute(f"DROP TABLE IF EXISTS {_physical(table)}")
                column = self._culprit(version, directory, table)
                where = f"column `{column}` of `{version.asset}`" if column is not None else f"`{version.asset}`"
                raise CannotStore(
                    f"{where} would not come back from DuckDB as it is",
                    facts=(problem,),
                    fix=f'store it as Parquet: @asset(io="parquet") on `{version.asset}`',
                )
        for name in (DATA, BLOCKS):
            self._files.remove_tree(directory / name)

    def read(self, version: Version, directory: Path, want: Want) -> object:
        """The table in the form that is wanted, from the DuckDB file or, before it is published, from the staged file.

        Raises:
            DamagedVersion: the table is missing or is not what was written.
            WarehouseLocked: another program holds the DuckDB file.
        """
        if want.form == "path":
            return self._warehouse.path
        if (directory / DATA).exists():
            return self._parquet.read(version, directory, want)
        with self._table(version, directory) as (connection, table):
            stream = self._stream(connection, version, directory, table, want.columns, verify=True)
            # The file must not stay open while a user's function reads, and no row may arrive before all are verified:
            # a stream goes through a temporary file, and what is wanted as a whole is taken in whole.
            batches = self._spooled(stream) if want.form == "reader" else iter(list(stream.batches))
            held = arrow.TableStream(stream.schema, batches)
        return arrow.forms_of(held, want, version.asset)

    def delete(self, version: Version, directory: Path) -> None:
        """Drop the version's table. Its space in the file is used again by later tables."""
        marker = directory / MARKER
        if marker.exists() and self._warehouse.path.exists():
            self.drop([marker.read_text()])

    def drop(self, tables: Iterable[str]) -> None:
        """Drop physical tables; those that are not there are passed over, as are all of a file that is damaged."""
        known = self._warehouse.tables()
        found = [table for table in tables if known is None or table in known]
        if found:
            with self._warehouse.open_for_writing() as connection:
                for table in found:
                    connection.execute(f"DROP TABLE IF EXISTS {_physical(table)}")

    def verify(self, version: Version, directory: Path, *, deep: bool) -> list[str]:
        """What is wrong with the version's table; `deep` reads and hashes its content."""
        try:
            with self._table(version, directory) as (connection, table):
                found: Any = connection.execute(f"SELECT count(*) FROM {_physical(table)}").fetchall()  # noqa: S608 - quoted
                if found[0][0] != version.rows:
                    return [f"the table has {found[0][0]} rows instead of {version.rows}"]
                with damage(version):
                    categories_of(version, directory)
                if not deep:
                    return []
                problem = content_problem(version, self._stream(connection, version, directory, table))
        except DamagedVersion as error:
            return [error.facts[0].removeprefix("found:").strip()]
        return [problem] if problem else []

    def exists(self, version: Version, directory: Path) -> bool:
        """Whether the DuckDB file has the version's table; while another program holds the file, it is taken to."""
        try:
            table = (directory / MARKER).read_text()
        except (OSError, ValueError):
            return False
        known = self._warehouse.tables()
        return known is None or table in known

    def present(self, surface: Surface, directory: Callable[[Version], Path]) -> None:
        """Make the views and macros of the environment in the DuckDB file, unless it has them already.

        A version is shown when it has a table here, or is a Parquet file of an asset that belongs here. `directory`
        says where the files of a version lie.

        Raises:
            StorageFailed: something else in the file has the name of an asset, or the file is damaged.
            WarehouseLocked: another program holds the file.
        """
        known = self._warehouse.tables()
        names = names_of(surface, lambda version: self._origin(surface, version, directory(version), known), _CHOOSER)
        digest = digest_of(names)
        is_same = self._warehouse.shows(surface.env, digest)
        if is_same or (not names and not self._warehouse.path.exists()):
            return
        with self._warehouse.open_for_writing(views={surface.env: digest}) as connection:
            apply(connection, surface.env, names)

    def compact(self) -> int:
        """Give the space of dropped tables back to the file system, by way of a new file; how many bytes that were.

        Raises:
            WarehouseLocked, StorageFailed, DiskFull, NotWritable: the file stays as it was.
        """
        return self._warehouse.compact()

    def _origin(
        self, surface: Surface, version: Version, directory: Path, known: frozenset[str] | None
    ) -> Origin | None:
        if version.io == "parquet":
            belongs = surface.assets is not None and version.asset in surface.assets
            found = parquet_origin([directory / DATA]) if belongs else None
            return None if found is None else Origin(found.table, "", found.place)
        if version.io != self.name:
            return None
        try:
            table = (directory / MARKER).read_text()
        except (OSError, ValueError):
            return None
        if known is not None and table not in known:
            return None
        return Origin(_physical(table), literal(_physical(table)), table)

    def _spooled(self, stream: arrow.TableStream) -> Iterator[pa.RecordBatch]:
        """The batches again, from a file without a name: it is gone when the reader, or the process, is."""
        import pyarrow as pa

        if os.name == "nt":  # where a file that is open keeps its name
            return iter(list(stream.batches))
        try:
            handle, name = mkstemp(prefix="rows-", dir=self._warehouse.path.parent)
            os.close(handle)
            spool = Path(name)
            try:
                options = pa.ipc.IpcWriteOptions(compression="lz4")
                with pa.OSFile(name, "wb") as out, pa.ipc.new_stream(out, stream.schema, options=options) as writer:
                    for batch in stream.batches:
                        writer.write_batch(batch)
                return _batches_in(pa, pa.OSFile(name, "rb"))
            finally:
                spool.unlink()
        except OSError as error:
            raise storage_error("keeping rows for a reader beside", self._warehouse.path, error) from error

    def _load(
        self, connection: Any, version: Version, directory: Path, table: str, columns: tuple[str, ...] | None = None
    ) -> None:
        import pyarrow as pa

        stream = self._parquet.stream(version, directory, columns)
        whole = arrow.schema_from_text(str(version.details["schema"]))
        places = [whole.get_field_index(name) for name in stream.schema.names]
        fields = _physical_schema(whole, version.asset)
        physical = pa.schema([fields.field(place) for place in places])
        batches = (_to_physical(pa, batch, physical) for batch in stream.batches)
        reader = pa.RecordBatchReader.from_batches(physical, arrow.blocks(batches, physical, _ROW_GROUP))
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(OWN_SCHEMA)}")
        connection.register("staged_rows", reader)
        connection.execute(f"CREATE TABLE {_physical(table)} AS FROM staged_rows")
        connection.unregister("staged_rows")

    def _culprit(self, version: Version, directory: Path, table: str) -> str | None:
        """The first column that DuckDB does not give back even when it is alone."""
        import duckdb

        for name in version.schema:
            try:
                with duckdb.connect() as alone:
                    self._load(alone, version, directory, table, (name,))
                    found = self._stream(alone, version, directory, table, (name,), verify=True)
                    deque(found.batches, maxlen=0)
            except (duckdb.Error, DamagedVersion):
                return name
        return None

    @contextmanager
    def _table(self, version: Version, directory: Path) -> Generator[tuple[Any, str]]:
        """An open connection and the name of the version's table."""
        import duckdb

        with damage(version):
            table = (directory / MARKER).read_text()
            known = self._warehouse.tables()
            if known is not None and table not in known:
                path = self._warehouse.path
                why = "is damaged, or has lost the table" if path.exists() else "is missing"
                raise ValueError(f"{path.name} {why}")
        try:
            with self._warehouse.open_for_reading() as connection:
                yield connection, table
        except duckdb.Error as error:
            raise damaged(version, str(error).splitlines()[0]) from error

    def _stream(
        self,
        connection: Any,
        version: Version,
        directory: Path,
        table: str,
        columns: tuple[str, ...] | None = None,
        *,
        verify: bool = False,
    ) -> arrow.TableStream:
        with damage(version):
            whole = arrow.schema_from_text(str(version.details["schema"]))
        schema = arrow.project(whole, columns, version.asset)
        physical = _physical_schema(whole, version.asset)
        names = [physical.field(whole.get_field_index(name)).name for name in schema.names]
        batches = self._batches(connection, version, directory, table, names, schema)
        if verify:
            batches = _verified(batches, version, schema, whole)
        return arrow.TableStream(schema, batches)

    def _batches(
        self, connection: Any, version: Version, directory: Path, table: str, names: list[str], schema: Any
    ) -> Iterator[pa.RecordBatch]:
        import duckdb
        import pyarrow as pa

        wanted, rows = layout.plain_schema(schema), 0
        with damage(version):
            categories = categories_of(version, directory)
            try:
                query = f"SELECT {', '.join(map(quoted, names))} FROM {_physical(table)}"  # noqa: S608 - quoted
                with connection.cursor() as cursor, cursor.sql(query).to_arrow_reader(_ROW_GROUP) as reader:
                    for batch in reader:
                        rows += batch.num_rows
                        yield from typed_batches(pa, _plain_table(pa, batch, wanted), schema, categories)
            except duckdb.Error as error:
                raise ValueError(str(error).splitlines()[0]) from error
            if not rows:
                yield from typed_batches(pa, wanted.empty_table(), schema, categories)
            if rows != version.rows:
                raise ValueError(f"the table has {rows} rows instead of {version.rows}")


def _verified(
    batches: Iterator[pa.RecordBatch], version: Version, schema: pa.Schema, whole: pa.Schema
) -> Iterator[pa.RecordBatch]:
    """The batches; an error at the end when the content of a column is not what was recorded."""
    import pyarrow as pa

    # The metadata of the whole schema, because that of a projection says less about the columns than was hashed.
    with damage(version):
        algorithm = algorithm_of(version.data_hash)
    hasher = TableHasher(pa.schema(list(schema), whole.metadata), algorithm)
    for batch in batches:
        hasher.update(batch)
        yield batch
    digests = hasher.finish()[1]
    changed = [name for name, digest in digests.items() if version.columns.get(name) != digest]
    if changed:
        raise damaged(version, f"the content of column `{changed[0]}` is not what was written")


def _batches_in(pa: Any, spool: Any) -> Iterator[Any]:
    with spool, pa.ipc.open_stream(spool) as reader:
        yield from reader


def _plain_table(pa: Any, batch: Any, wanted: Any) -> Any:
    pairs = zip(batch.columns, wanted, strict=True)
    return pa.Table.from_arrays([_from_physical(pa, array, to.type) for array, to in pairs], schema=wanted)


def _physical(table: str) -> str:
    return f"{quoted(OWN_SCHEMA)}.{quoted(table)}"


def _physical_schema(schema: Any, key: str) -> Any:
    """The schema of the DuckDB table: types it holds exactly, names that differ in more than case.

    Raises:
        CannotStore: a column has a type that DuckDB cannot hold.
    """
    import pyarrow as pa

    if not len(schema):
        raise CannotStore(f"`{key}` has no columns, and DuckDB has no such tables", fix='store it with io="parquet"')
    used: set[str] = set()
    fields: list[Any] = []
    for field in layout.plain_schema(schema):
        name = stem = field.name.replace("\0", "_") or "column"  # DuckDB ends a name there
        number = 1
        while name.lower() in used:
            name, number = f"{stem}_{number}", number + 1
        used.add(name.lower())
        fields.append(pa.field(name, _physical_type(pa, field.type, field.name, key)))
    return pa.schema(fields)


def _physical_type(pa: Any, kind: Any, column: str, key: str) -> Any:
    types = pa.types
    if types.is_duration(kind) or (types.is_timestamp(kind) and kind.tz and kind.unit == "ns"):
        return pa.int64() if types.is_duration(kind) else pa.timestamp("ns")
    if types.is_null(kind):
        return pa.int32()
    if types.is_float16(kind):
        return pa.float32()
    if types.is_date64(kind) or (types.is_fixed_size_binary(kind) and not types.is_decimal(kind)):
        return pa.timestamp("ms") if types.is_date64(kind) else pa.binary()
    if types.is_decimal(kind):
        if kind.scale < 0 or kind.precision > 38:
            _refuse(kind, column, key)
        return pa.decimal128(kind.precision, kind.scale)
    if types.is_nested(kind):
        for inner in [kind.field(position).type for position in range(kind.num_fields)]:
            if _physical_type(pa, inner, column, key) != inner:
                _refuse(kind, column, key)
        if types.is_struct(kind) and not kind.num_fields:
            _refuse(kind, column, key)
    return kind


def _refuse(kind: object, column: str, key: str) -> Any:
    raise CannotStore(
        f"column `{column}` of `{key}` has the type {kind}, which DuckDB cannot hold exactly",
        fix=f'store it as Parquet: @asset(io="parquet") on `{key}`, or cast the column',
    )


def _to_physical(pa: Any, batch: Any, physical: Any) -> Any:
    columns: list[Any] = []
    for array, field in zip(batch.columns, physical, strict=True):
        plain = layout.plain_array(array, layout.plain_type(array.type))
        columns.append(plain if plain.type == field.type else _cast(pa, plain, field.type))
    return pa.RecordBatch.from_arrays(columns, schema=physical)


def _from_physical(pa: Any, array: Any, kind: Any) -> Any:
    if array.type == kind:
        return array
    if pa.types.is_null(kind):
        return pa.nulls(len(array))
    return _cast(pa, array, kind)


def _cast(pa: Any, array: Any, kind: Any) -> Any:
    """Cast, by way of the bits for ns timestamps: casting a time zone away must not shift the instant."""
    if pa.types.is_timestamp(kind) and pa.types.is_timestamp(array.type) and kind.unit == array.type.unit:
        return array.cast(pa.int64()).cast(kind)
    return array.cast(kind)
