"""Stores that an earlier assetflow wrote: read as they are, migrated by the first writer, backed up before that."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import pytest

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.database import SCHEMA_VERSION, migrations_after, schema
from assetflow.catalog.journal import read_journal, replay
from assetflow.model.keys import AssetKey
from tests.unit.catalog.build import commit

FIRST = (Path(__file__).parent / "catalog_v1.sql").read_text()
SECOND = (Path(__file__).parent / "catalog_v2.sql").read_text()


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
    numbers = [number for number, _ in migrations_after(1)]
    assert numbers == sorted(set(numbers))
    assert (numbers[0], numbers[-1]) == (2, SCHEMA_VERSION)


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


def test_a_catalog_of_the_second_format_keeps_what_it_has_and_its_journal(tmp_path: Path) -> None:
    """Lines that were written before the migration are read by what came after it."""
    state = tmp_path / "state"
    state.mkdir()
    changes: list[tuple[str, str, dict[str, object]]] = [
        ("asset", "put", {"asset_id": 1, "key": "orders", "first_seen": 1.0}),
        ("env", "put", {"env_id": 1, "name": "dev", "base_env": None, "base_seq": None, "protected": 0}),
        ("fp", "put", {"fp_id": 1, "digest": "d", "code": "c", "parts": '{"build": "b"}', "config": "{}"}),
        ("version", "put", {"version_id": 1, "asset_id": 1, "part_id": 0, "number": 1, "data_hash": "h",
                            "io": "parquet", "location": "x", "row_count": 1, "size_bytes": 1, "columns": "[]",
                            "details": "{}", "created_at": 1.0, "state": "live", "state_at": None}),
        ("trace", "put", {"trace_id": 1, "asset_id": 1, "part_id": 0, "input_key": "k", "fp_id": 1, "version_id": 1,
                          "run_id": None, "kind": "run", "started_at": 1.0, "finished_at": 2.0, "as_of": None,
                          "metadata": "{}"}),
        ("head", "put", {"env_id": 1, "asset_id": 1, "part_id": 0, "trace_id": 1, "seq": 1, "changed_seq": 1,
                         "verified_at": 0.0}),
        ("counter", "put", {"name": "seq", "value": 1}),
    ]  # fmt: skip
    with closing(sqlite3.connect(state / "catalog.db")) as connection:
        connection.executescript(SECOND + "PRAGMA user_version = 2; PRAGMA journal_mode = WAL;")
        for table, _, row in changes:
            names, marks = ", ".join(row), ", ".join("?" * len(row))
            connection.execute(f"INSERT OR REPLACE INTO {table} ({names}) VALUES ({marks})", tuple(row.values()))
        connection.execute("UPDATE counter SET value = 1 WHERE name = 'journal'")
        connection.commit()
    data = json.dumps({"n": 1, "schema": 2, "at": 1.0, "changes": changes}).encode()
    (state / "journal").mkdir()
    line = blake2b(data, digest_size=8).hexdigest().encode() + b" " + data + b"\n"
    (state / "journal" / "000001.jsonl").write_bytes(line)

    catalog = Catalog(state / "catalog.db", write=True)
    head = catalog.heads("dev")[AssetKey("orders"), ""]
    assert (head.trace.code_parts, head.trace.packages, head.trace.scheme) == ({"build": "b"}, {}, "")
    commit(catalog, AssetKey("orders"), "next", packages={"pandas": "3"})
    catalog.close()

    with closing(sqlite3.connect(state / "catalog.db")) as now, closing(sqlite3.connect(":memory:")) as again:
        again.executescript(schema())
        replay(read_journal(state / "journal").records, again)
        query = "SELECT fp_id, packages, files, env, notes, scheme, declared FROM fp ORDER BY fp_id"
        assert again.execute(query).fetchall() == now.execute(query).fetchall()
