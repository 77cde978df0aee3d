"""DuckDB relations in and out of steps, over the process-wide in-memory database that `duckdb.sql` uses.

DuckDB refuses a second call on a busy connection instead of waiting. So every relation is made on, and read through,
a cursor of its own. Only a user's own `duckdb.sql(...)` runs on the shared connection; `turn()` is the queue for it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, Any

from assetflow.errors import CannotStore, StorageFailed

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_TURN = RLock()


@contextmanager
def turn() -> Generator[None]:
    """Hold this while a function runs that may call `duckdb.sql`: two at once on the shared connection are refused."""
    with _TURN:
        yield


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
    on its own connection, all at once so that the connection is free again.

    Raises:
        CannotStore: the query of the relation fails.
    """
    import duckdb

    try:
        try:
            return new_cursor().sql("FROM relation").to_arrow_reader()
        except (duckdb.InvalidInputException, duckdb.CatalogException, duckdb.BinderException):
            return relation.to_arrow_table().to_reader()
    except duckdb.Error as error:
        raise CannotStore(
            f"the query that `{key}` returned fails",
            facts=(f"DuckDB:   {str(error).splitlines()[0]}",),
            fix="run it inside the function (`relation.to_arrow_table()`), to see where it fails",
        ) from error
