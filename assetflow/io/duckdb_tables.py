"""Tables inside one DuckDB file: a physical table per version, and a view with the asset's name over the current one.

DuckDB lets one process write and then shuts out everybody else, so the file is open only for moments: values are staged
as Parquet first, and loaded when the version is published. Rows travel as Arrow, and the recorded Arrow schema restores
what DuckDB's types lose. A table is read back and hashed before it counts as published.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assetflow.errors import CannotStore, DamagedVersion, StorageFailed, WarehouseLocked
from assetflow.files import Files, storage_error
from assetflow.io import arrow
from assetflow.io.base import Target, Want, Written
from assetflow.io.parquet import (
    DATA,
    ParquetIO,
    categories_of,
    content_problem,
    damage,
    damaged,
    typed_batches,
)
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

PHYSICAL_SCHEMA = "_assetflow"
MARKER = "table.txt"
"""Names the table in the version's directory: before it is loaded, so that a crash leaves a trace to sweep."""

_FIRST_WAIT_S = 0.02
_ROW_GROUP = 122_880
"""Rows in a row group of DuckDB: batches of another size are written twice, and the file grows to double (measured)."""
_LOCKS: dict[str, threading.RLock] = {}
_LOCKS_GUARD = threading.Lock()


class DuckDBIO:
    """Stores tables in a DuckDB file that any DuckDB 1.5 or newer can open."""

    name = "duckdb"

    def __init__(self, warehouse: Path, files: Files | None = None, *, wait_s: float = 10.0) -> None:
        self._files = files or Files()
        self._parquet = ParquetIO(self._files)
        self._warehouse = Warehouse(warehouse, wait_s)

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
        written = self._parquet.write(value, target)
        _physical_schema(arrow.schema_from_text(str(written.details["schema"])), target.key)
        return written

    def publish(self, version: Version, directory: Path, identity: str) -> None:
        """Load the staged table under the name `<key>__<identity>`, prove that it reads back, drop the staged file.

        Raises:
            WarehouseLocked: another program holds the DuckDB file.
            CannotStore: the table does not read back as it was written.
        """
        table = f"{version.asset}__{identity}"
        self._files.write_bytes(directory / MARKER, table.encode())
        self._files.sync_directory(directory)
        with self._warehouse.open_for_writing() as connection:
            self._load(connection, version, directory, table)
            try:
                problem = content_problem(version, self._stream(connection, version, directory, table))
            except DamagedVersion as error:
                problem = error.facts[0]
            if problem:
                connection.execute(f"DROP TABLE {_physical(table)}")
                raise CannotStore(
                    f"`{version.asset}` does not come back from DuckDB as it was written",
                    facts=(problem,),
                    fix=f'store it as Parquet: @asset(io="parquet") on `{version.asset}`',
                )
        self._files.remove_tree(directory / DATA)

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
            stream = self._stream(connection, version, directory, table, want.columns)
            # The file must not stay open while a user's function reads, so the rows are taken in whole.
            held = arrow.TableStream(stream.schema, iter(list(stream.batches)))
        return arrow.forms_of(held, want, version.asset)

    def delete(self, version: Version, directory: Path) -> None:
        """Drop the version's table. Its space in the file is used again by later tables."""
        marker = directory / MARKER
        if marker.exists() and self._warehouse.path.exists():
            self.drop([marker.read_text()])

    def drop(self, tables: Iterable[str]) -> None:
        """Drop physical tables; those that are not there are passed over."""
        if self._warehouse.path.exists():
            with self._warehouse.open_for_writing() as connection:
                for table in tables:
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
        """Whether the marker and the DuckDB file are there; DuckDB is not asked."""
        return (directory / MARKER).exists() and self._warehouse.path.exists()

    def present(self, versions: Iterable[tuple[Version, Path]]) -> None:
        """Point the view of each asset at its current versions (all partitions of an asset must be given together).

        Raises:
            StorageFailed: something else in the file has the name of the asset.
        """
        tables: dict[AssetKey, list[str]] = {}
        for version, directory in versions:
            with damage(version):
                tables.setdefault(version.asset, []).append((directory / MARKER).read_text())
        if not tables:
            return
        import duckdb

        with self._warehouse.open_for_writing() as connection:
            connection.execute("BEGIN")
            for key, names in tables.items():
                schema, _, _ = key.rpartition(".")
                try:
                    if schema:
                        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
                    union = " UNION ALL ".join(f"FROM {_physical(name)}" for name in names)
                    connection.execute(f"CREATE OR REPLACE VIEW {_view(key)} AS {union}")
                except duckdb.CatalogException as error:
                    raise StorageFailed(
                        f"the view `{key}` cannot be made in {self._warehouse.path.name}",
                        facts=(f"DuckDB:   {str(error).splitlines()[0]}",),
                        fix="rename or drop what has that name in the DuckDB file",
                    ) from error
            connection.execute("COMMIT")

    def _load(self, connection: Any, version: Version, directory: Path, table: str) -> None:
        import duckdb
        import pyarrow as pa

        stream = self._parquet.stream(version, directory)
        physical = _physical_schema(stream.schema, version.asset)
        batches = (_to_physical(pa, batch, physical) for batch in stream.batches)
        reader = pa.RecordBatchReader.from_batches(physical, arrow.blocks(batches, physical, _ROW_GROUP))
        try:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(PHYSICAL_SCHEMA)}")
            connection.register("staged_rows", reader)
            connection.execute(f"CREATE TABLE {_physical(table)} AS FROM staged_rows")
            connection.unregister("staged_rows")
        except (duckdb.NotSupportedError, duckdb.InvalidInputException, duckdb.ConversionException) as error:
            raise CannotStore(
                f"DuckDB cannot hold `{version.asset}`",
                facts=(f"DuckDB:   {str(error).splitlines()[0]}",),
                fix=f'store it as Parquet: @asset(io="parquet") on `{version.asset}`',
            ) from error

    @contextmanager
    def _table(self, version: Version, directory: Path) -> Generator[tuple[Any, str]]:
        """An open connection and the name of the version's table."""
        import duckdb

        with damage(version):
            table = (directory / MARKER).read_text()
            if not self._warehouse.path.exists():
                raise ValueError(f"{self._warehouse.path.name} is missing")
        try:
            with self._warehouse.open_for_reading() as connection:
                yield connection, table
        except duckdb.Error as error:
            raise damaged(version, str(error).splitlines()[0]) from error

    def _stream(
        self, connection: Any, version: Version, directory: Path, table: str, columns: tuple[str, ...] | None = None
    ) -> arrow.TableStream:
        with damage(version):
            whole = arrow.schema_from_text(str(version.details["schema"]))
        schema = arrow.project(whole, columns, version.asset)
        physical = _physical_schema(whole, version.asset)
        names = [physical.field(whole.get_field_index(name)).name for name in schema.names]
        return arrow.TableStream(schema, self._batches(connection, version, directory, table, names, schema))

    def _batches(
        self, connection: Any, version: Version, directory: Path, table: str, names: list[str], schema: Any
    ) -> Iterator[pa.RecordBatch]:
        import duckdb
        import pyarrow as pa

        wanted, rows = arrow.plain_schema(schema), 0
        with damage(version):
            categories = categories_of(version, directory)
            try:
                query = f"SELECT {', '.join(map(quoted, names))} FROM {_physical(table)}"  # noqa: S608 - quoted
                with connection.cursor() as cursor:
                    found: Any = cursor.sql(query).to_arrow_table()
            except duckdb.Error as error:
                raise ValueError(str(error).splitlines()[0]) from error
            for batch in found.to_batches() or [None]:
                if batch is None:
                    yield from typed_batches(pa, wanted.empty_table(), schema, categories)
                    continue
                rows += batch.num_rows
                pairs = zip(batch.columns, wanted, strict=True)
                plain = pa.Table.from_arrays([_from_physical(pa, array, to.type) for array, to in pairs], schema=wanted)
                yield from typed_batches(pa, plain, schema, categories)
            if rows != version.rows:
                raise ValueError(f"the table has {rows} rows instead of {version.rows}")


class Warehouse:
    """A DuckDB file that is opened for moments, by one of our processes and threads at a time."""

    def __init__(self, path: Path, wait_s: float = 10.0) -> None:
        self.path, self._wait_s = path, wait_s

    @contextmanager
    def open_for_writing(self) -> Generator[duckdb.DuckDBPyConnection]:
        """A connection that is checkpointed and closed at the end.

        Raises:
            WarehouseLocked: another program holds the file for longer than the wait.
            StorageFailed, DiskFull, NotWritable: DuckDB could not write.
        """
        with self._own_lock():
            if not self.path.exists():
                self._create()
            connection = self._open(read_only=False)
            with _closing(connection), _disk_errors(self.path):
                yield connection
                connection.execute("CHECKPOINT")

    @contextmanager
    def open_for_reading(self) -> Generator[duckdb.DuckDBPyConnection]:
        """A connection that is closed at the end; the file must exist.

        Raises:
            WarehouseLocked: another program holds the file for longer than the wait.
        """
        with self._own_lock(), _closing(self._open(read_only=True)) as connection:
            yield connection

    def _create(self) -> None:
        """Make the file with small blocks (a tiny table takes 16 KB, not 256) and a format that DuckDB 1.5 reads."""
        import duckdb

        with _disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _closing(duckdb.connect()) as connection:
                text = str(self.path).replace("'", "''")
                connection.execute(f"ATTACH '{text}' AS made (BLOCK_SIZE 16384, STORAGE_VERSION 'v1.5.0')")
                connection.execute("DETACH made")

    def _open(self, *, read_only: bool) -> Any:
        import duckdb

        started, wait = time.monotonic(), _FIRST_WAIT_S
        while True:
            try:
                return duckdb.connect(str(self.path), read_only=read_only)
            except duckdb.ConnectionException as error:
                # This process has it open in the other mode; then ours must be the same as that.
                if "different configuration" in str(error) and read_only:
                    read_only = False
                    continue
                held = error
            except duckdb.IOException as error:
                if "lock on file" not in str(error):
                    raise damaged_warehouse(self.path, error) from error
                held = error
            if time.monotonic() - started + wait > self._wait_s:
                raise _locked(self.path, held, self._wait_s) from held
            time.sleep(wait)
            wait = min(wait * 2, 1.0)

    @contextmanager
    def _own_lock(self) -> Generator[None]:
        """Queue our own threads and processes, so that they never meet DuckDB's refusal."""
        name = str(self.path.resolve())
        with _LOCKS_GUARD:
            lock = _LOCKS.setdefault(name, threading.RLock())
        with lock, _file_lock(Path(f"{name}.lock")):
            yield


def quoted(name: str) -> str:
    """The name as an SQL identifier; every identifier that reaches DuckDB from here goes through this."""
    return '"' + name.replace('"', '""') + '"'


def damaged_warehouse(path: Path, error: Exception) -> StorageFailed:
    """The error for a file that DuckDB does not open."""
    return StorageFailed(
        f"{path.name} cannot be opened",
        facts=(f"path:     {path}", f"DuckDB:   {str(error).splitlines()[0]}"),
        fix="move the file away and materialize its assets again; it holds nothing but what assetflow stored",
    )


def _locked(path: Path, error: Exception, waited_s: float) -> WarehouseLocked:
    holder = re.search(r"held in (.+?) \(PID (\d+)\)", str(error))
    says = str(error).splitlines()[0]
    who = f"held by:  process {holder[2]} ({Path(holder[1]).name})" if holder else f"DuckDB:   {says}"
    return WarehouseLocked(
        f"{path.name} is open in another program",
        facts=(f"path:     {path}", who, f"waited:   {waited_s:g} s"),
        fix="close that program, or let it open the file with `read_only` only while nothing is materialized",
    )


@contextmanager
def _closing(connection: Any) -> Generator[Any]:
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def _disk_errors(path: Path) -> Generator[None]:
    """Map what DuckDB raises when the disk refuses; its messages carry the text of the system's error."""
    import duckdb

    try:
        yield
    except OSError as error:
        raise storage_error("writing", path, error) from error
    except duckdb.IOException as error:
        import errno

        if "lock on file" in str(error):
            raise _locked(path, error, 0) from error
        for number in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EPERM):
            if os.strerror(number) in str(error):
                raise storage_error("writing", path, OSError(number, os.strerror(number))) from error
        raise StorageFailed(
            f"DuckDB could not write {path.name}", facts=(f"DuckDB:   {str(error).splitlines()[0]}",)
        ) from error


@contextmanager
def _file_lock(path: Path) -> Generator[None]:
    try:
        import fcntl
    except ImportError:  # Windows: DuckDB's own lock and our waiting have to do
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("ab")
    except OSError as error:
        raise storage_error("locking", path, error) from error
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # released by close, and by the kernel when the process dies
        yield


def _physical(table: str) -> str:
    return f"{quoted(PHYSICAL_SCHEMA)}.{quoted(table)}"


def _view(key: AssetKey) -> str:
    schema, _, name = key.rpartition(".")
    return f"{quoted(schema or 'main')}.{quoted(name)}"


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
    for field in arrow.plain_schema(schema):
        name = stem = field.name or "column"
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
        plain = arrow.plain_array(array, arrow.plain_type(array.type))
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
