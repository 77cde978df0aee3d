"""DuckDB relations in and out of steps, over the process-wide in-memory database that `duckdb.sql` uses.

DuckDB refuses a second call on a busy connection instead of waiting. So every relation is made on, and read through,
a cursor of its own. Only a user's own `duckdb.sql(...)` runs on the shared connection; `turn()` is the queue for it.

All cursors share the tables and views of the database, so each step has a catalog of its own, attached beside: what it
creates lands there, and shadows nothing of another step. What modules create when they are imported stays visible.
"""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from threading import RLock
from types import TracebackType
from typing import TYPE_CHECKING, Any, cast

from assetflow.errors import CannotStore, NotExact, StorageFailed
from assetflow.files import fresh_name

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_TURN = RLock()
TURN_OF_STARTER = "_assetflow_turn"
"""The attribute of a thread that says whether who started it had the turn; set where threads of steps are watched."""
_HAS_TURN: ContextVar[bool] = ContextVar("has_turn", default=False)
_CATALOG: ContextVar[str] = ContextVar("catalog", default="")  # of the step that runs in this thread


@contextmanager
def turn() -> Generator[None]:
    """Hold this while a function runs that may call `duckdb.sql`: two at once on the shared connection are refused.

    Meanwhile `duckdb.sql` creates and finds tables and views where the `OwnConnection` of this thread does. Threads
    that a function starts in its turn take part in it.
    """
    if not _HAS_TURN.get() and has_turn():
        yield
        return
    with _TURN, _shared_connection_in(_CATALOG.get()):
        outer = _HAS_TURN.set(True)
        try:
            yield
        finally:
            _HAS_TURN.reset(outer)


def has_turn() -> bool:
    """Whether this thread, or who started it, holds the turn: others that need it cannot go on before it does."""
    return _HAS_TURN.get() or getattr(threading.current_thread(), TURN_OF_STARTER, False)


class OwnConnection:
    """Gives a new cursor of the database of `duckdb.sql`, with a catalog of its own for what is created on it.

    It belongs to the thread that enters it, and may be nested. In the end the cursor is closed and the catalog gone,
    unless `keep` was called.

    Raises:
        StorageFailed: the process-wide connection was closed.
    """

    def __init__(self) -> None:
        self._is_kept = False

    def __enter__(self) -> duckdb.DuckDBPyConnection:
        self._connection = new_cursor()
        self._catalog = _attached(self._connection)
        self._outer = _CATALOG.set(self._catalog)
        return self._connection

    def keep(self) -> None:
        """Leave the cursor and its catalog for who has relations on it, as long as the process lives."""
        self._is_kept = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import duckdb

        _CATALOG.reset(self._outer)
        if self._is_kept:
            return
        with suppress(duckdb.Error, StorageFailed):  # nothing but memory is lost, and the step's own error counts
            self._connection.close()
            if self._catalog:
                new_cursor().execute(f"DETACH {self._catalog}")


def new_cursor() -> duckdb.DuckDBPyConnection:
    """A connection of its own to the database of `duckdb.sql`; relations made on it can be named in `duckdb.sql`.

    Raises:
        StorageFailed: the process-wide connection was closed.
    """
    import duckdb

    try:
        return duckdb.default_connection().cursor()
    except duckdb.Error as error:
        raise StorageFailed(
            "the default DuckDB connection of this process is closed",
            fix="do not close `duckdb.default_connection()`; open one of your own with `duckdb.connect()`",
        ) from error


def relation_of(table: pa.Table, connection: object | None) -> duckdb.DuckDBPyRelation:
    """A relation over a table in memory, on `connection` or on a new cursor."""
    owner: Any = new_cursor() if connection is None else connection
    return owner.from_arrow(table)


def relation_stream(relation: Any, key: str) -> pa.RecordBatchReader:
    """The rows of a relation in its order, as a stream that does not occupy the connection it was made on.

    A relation that belongs to another database, or needs what is private to its connection (temporary tables), is read
    on its own connection, all at once so that the connection is free again. That may be the shared one, so in turn.

    The columns have the names that they have in the relation, also where DuckDB would tell them apart by a number.

    Raises:
        NotExact: a column has a type that Arrow does not have.
        CannotStore: the query of the relation fails.
    """
    import duckdb

    try:
        try:
            cursor = new_cursor()
            _search(cursor, _CATALOG.get())
            found = cursor.sql("FROM relation")
            _refuse_inexact(found, key)
            return _named(found.to_arrow_reader(), relation)
        except (duckdb.InvalidInputException, duckdb.CatalogException, duckdb.BinderException):
            with turn():
                _refuse_inexact(relation, key)
                return relation.to_arrow_table().to_reader()
    except duckdb.Error as error:
        raise CannotStore(
            f"the query that `{key}` returned fails",
            facts=(f"DuckDB:   {str(error).splitlines()[0]}",),
            fix="run it inside the function (`relation.to_arrow_table()`), to see where it fails",
        ) from error


def _refuse_inexact(relation: Any, key: str) -> None:
    """Refuse columns that reach Arrow without the zone of their times, or as the bytes in which DuckDB keeps bits."""
    for name, kind in zip(relation.columns, relation.types, strict=True):
        found = next((one for one in _kinds(kind) if one.id in _INEXACT), None)
        if found is not None:
            column = '"{}"'.format(name.replace('"', '""'))
            raise NotExact(
                f"column `{name}` of `{key}` is {kind}, and {found} cannot be stored: {_INEXACT[found.id]}",
                fix=f"cast it in the query, such as {column}::{str(kind).replace(str(found), 'VARCHAR')}",
            )


_INEXACT = {
    "time with time zone": "it would come back as a time without its zone",
    "bit": "it would come back as bytes",
}


def _kinds(kind: Any) -> Iterator[Any]:
    """A type of DuckDB, and all that are in it."""
    yield kind
    if kind.id in ("list", "array", "struct", "map", "union"):
        children = kind.children[:1] if kind.id == "array" else kind.children  # then comes its length
        for _, one in children:
            yield from _kinds(one)


def _named(reader: pa.RecordBatchReader, relation: Any) -> pa.RecordBatchReader:
    """The reader with the names that the columns have in the relation: of two that are alike it numbers the second."""
    import pyarrow as pa

    known = {name.casefold() for name in reader.schema.names}
    if not any(name.casefold().rpartition("_")[0] in known for name in reader.schema.names):
        return reader
    with turn():  # it may ask the shared connection
        names: list[str] = relation.columns
    fields = [field.with_name(name) for field, name in zip(reader.schema, names, strict=True)]
    schema = pa.schema(fields, reader.schema.metadata)
    batches = (pa.RecordBatch.from_arrays(batch.columns, schema=schema) for batch in reader)
    return pa.RecordBatchReader.from_batches(schema, batches)


def _attached(connection: duckdb.DuckDBPyConnection) -> str:
    """The name of a new catalog in which `connection` creates what it creates; empty where there can be none."""
    import duckdb

    name = f"step_{fresh_name()[:16]}"
    try:
        connection.execute(f"ATTACH ':memory:' AS {name}")
    except duckdb.Error:  # the user's default database is read-only, so no step can create anything that others see
        return ""
    _search(connection, name)
    return name


def _search(connection: duckdb.DuckDBPyConnection, catalog: str) -> None:
    """Let `connection` create in `catalog`, and look there before it looks where it did so far."""
    if catalog:
        _set_search_path(connection, f"{catalog}.main,{_search_path(connection) or _current_schema(connection)}")


@contextmanager
def _shared_connection_in(catalog: str) -> Generator[None]:
    """Let `duckdb.sql` create in `catalog` for a while; without one, leave it as it is."""
    import duckdb

    try:
        if not catalog:
            before = None
        else:
            shared = duckdb.default_connection()
            before = _search_path(shared)
            _search(shared, catalog)
    except duckdb.Error:  # closed, or busy with a result that is read elsewhere: the step will see for itself
        before = None
    try:
        yield
    finally:
        if before is not None:
            _restore(before)


def _restore(path: str) -> None:
    """Let `duckdb.sql` look for names in `path` again, whatever the step did to the connection."""
    import duckdb

    with suppress(duckdb.Error):  # it is closed, which the next step will be told
        shared = duckdb.default_connection()
        with suppress(duckdb.Error):  # what the step left open would take in what the next one does
            shared.rollback()
        try:
            _set_search_path(shared, path)
        except duckdb.Error:  # it has a result that nobody reads to its end
            duckdb.set_default_connection(shared.cursor())


def _search_path(connection: duckdb.DuckDBPyConnection) -> str:
    """Where names are looked for, so that it can be set again; empty for the default."""
    path = _one(connection, "SELECT current_setting('search_path')")
    return path if "," in path or not path else _current_schema(connection)  # `USE name` is relative to what it was


def _current_schema(connection: duckdb.DuckDBPyConnection) -> str:
    quoted = "'\"' || replace({}(), '\"', '\"\"') || '\"'".format
    return _one(connection, f"SELECT {quoted('current_database')} || '.' || {quoted('current_schema')}")


def _set_search_path(connection: duckdb.DuckDBPyConnection, path: str) -> None:
    connection.execute("SET search_path = '{}'".format(path.replace("'", "''")))


def _one(connection: duckdb.DuckDBPyConnection, query: str) -> str:
    return str(cast("tuple[object]", connection.execute(query).fetchone())[0])
