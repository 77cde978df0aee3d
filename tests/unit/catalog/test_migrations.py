"""Stores that an earlier assetflow wrote: read as they are, migrated by the first writer, backed up before that."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.database import SCHEMA_VERSION, migrations_after, schema

FIRST = (Path(__file__).parent / "catalog_v1.sql").read_text()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """A catalog of the first format with one run in it."""
    path = tmp_path / "state" / "catalog.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(FIRST + "PRAGMA user_version = 1; PRAGMA journal_mode = WAL;")
        connection.execute("INSERT INTO env (name) VALUES ('dev')")
        connection.execute(
            "INSERT INTO run (env_id, state, selection, started_at, user, host, pid)"
            " VALUES (1, 'ok', '', 1, 'a', 'b', 2)"
        )
        connection.commit()
    return path


def shape(connection: sqlite3.Connection) -> dict[str, object]:
    """Tables with their columns, indexes with theirs, and the rows that a new catalog has."""
    names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")]
    tables = {
        name: (
            sorted(row[1:] for row in connection.execute(f"PRAGMA table_info({name})")),
            sorted(row[2:] for row in connection.execute(f"PRAGMA foreign_key_list({name})")),
        )
        for name in names
        if not name.startswith("sqlite_")
    }
    indexes = connection.execute(
        "SELECT tbl_name, sql FROM sqlite_master WHERE type = 'index' ORDER BY 1, 2"
    ).fetchall()
    return {"tables": tables, "indexes": indexes, "counters": connection.execute("SELECT * FROM counter").fetchall()}


def test_a_migrated_catalog_has_the_shape_of_a_new_one() -> None:
    with closing(sqlite3.connect(":memory:")) as migrated, closing(sqlite3.connect(":memory:")) as new:
        migrated.executescript(FIRST + "".join(text for _, text in migrations_after(1)))
        new.executescript(schema())
        assert shape(migrated) == shape(new)


def test_the_migrations_lead_to_the_version_that_is_written() -> None:
    assert [number for number, _ in migrations_after(1)] == list(range(2, SCHEMA_VERSION + 1))


def test_a_reader_sees_an_old_catalog_and_leaves_it_as_it_is(old: Path) -> None:
    before = old.read_bytes()
    catalog = Catalog(old)
    assert [run.run_id for run in catalog.runs()] == [1]
    catalog.close()
    assert old.read_bytes() == before


def test_the_first_writer_migrates_and_keeps_a_backup(old: Path) -> None:
    Catalog(old, write=True).close()
    with closing(sqlite3.connect(old)) as connection, closing(sqlite3.connect(":memory:")) as new:
        new.executescript(schema())
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert shape(connection)["tables"] == shape(new)["tables"]
        assert connection.execute("SELECT state FROM run").fetchall() == [("ok",)]
    with closing(sqlite3.connect(old.parent / "backups" / "catalog-format-1.db")) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM run").fetchone() == (1,)
