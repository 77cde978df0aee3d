"""Whether the file of the catalog is whole, and whether its journal says the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from assetflow.catalog.database import SCHEMA_VERSION, mapped, schema
from assetflow.catalog.journal import read_journal, replay, whole_catalog
from assetflow.catalog.rows import queries

SQLITE = sqlite3.sqlite_version

_NOT_JOURNALED = ("verified_at",)
_MOST = 5
"""So many problems of one kind are named; with thousands, the first ones say what is wrong."""


def file_problems(catalog: Path) -> list[str]:
    """What SQLite finds wrong in the file, as sentences.

    Raises:
        DamagedCatalog: it is no database at all.
        NotWritable, StorageFailed: it cannot be read.
    """
    with mapped(catalog), closing(_opened(catalog)) as connection:
        found = [str(row[0]) for row in connection.execute(f"PRAGMA integrity_check({_MOST})")]
        problems = [] if found == ["ok"] else found
        for table, _, parent, _ in connection.execute("PRAGMA foreign_key_check").fetchmany(_MOST):
            problems.append(f"a row of `{table}` speaks of a row of `{parent}` that is not there")
    return problems


def journal_problems(catalog: Path, *, is_deep: bool) -> list[str]:
    """What the journal has lost or says otherwise; `is_deep` carries it out and compares the result row by row.

    Raises:
        DamagedCatalog, NotWritable, StorageFailed: the catalog or the journal cannot be read.
    """
    with mapped(catalog), closing(_opened(catalog)) as connection:
        connection.execute("BEGIN")
        known: int = connection.execute(queries()["journal_number"]).fetchone()[0]
        ours = _content(connection) if is_deep else {}
        content = read_journal(catalog.with_name("journal"))  # after the catalog, so that it can only be ahead
    problems = list(content.problems)
    if content.last_number < known:
        problems.append(f"the last {known - content.last_number} transactions are not in it")
    records = [record for record in content.records if record.number <= known]
    if is_deep and not problems and known and content.last_number >= known:
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as made:
            made.executescript(schema())
            replay(records, made)
            theirs = _content(made)
        for table, rows in ours.items():
            other = theirs.get(table, frozenset())
            if rows != other:
                problems.append(f"{len(rows ^ other)} rows of `{table}` are different in it")
    return problems


def _content(connection: sqlite3.Connection) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for record in whole_catalog(connection, 0, SCHEMA_VERSION, 0.0):
        for table, _, row in record.changes:
            if table != "counter":
                found.setdefault(table, set()).add(_comparable(row))
    return {table: frozenset(rows) for table, rows in found.items()}


def _comparable(row: dict[str, Any]) -> str:
    return repr(sorted((name, value) for name, value in row.items() if name not in _NOT_JOURNALED))


def _opened(catalog: Path) -> sqlite3.Connection:
    uri = catalog.resolve().as_uri() + "?mode=ro"
    return sqlite3.connect(uri, uri=True, timeout=30.0, isolation_level=None)
