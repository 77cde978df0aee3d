"""The journal: whatever was committed can be made again from it, whatever became of its last line."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from assetflow.catalog import journal
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.database import schema
from assetflow.catalog.journal import read_journal, replay, segments
from assetflow.errors import DamagedCatalog, DiskFull
from assetflow.files import Files
from assetflow.model.code import CodeSource
from tests.unit.catalog.build import CUSTOMERS, ORDERS, commit, new_trace

Opener = Callable[..., Catalog]
TABLES = (
    "asset", "part", "env", "fp", "node", "version", "trace", "trace_in", "head", "head_log", "pin", "invalidation",
    "revoked", "unsteady", "counter", "schedule", "tick", "dynamic_key",
)  # fmt: skip


def rows_of(connection: sqlite3.Connection) -> dict[str, list[tuple[object, ...]]]:
    """All that the journal promises to hold; when a head was last looked at is not part of it."""
    found = {name: connection.execute(f"SELECT * FROM {name}").fetchall() for name in TABLES}
    heads = connection.execute("SELECT env_id, asset_id, part_id, trace_id, seq, changed_seq FROM head").fetchall()
    return {name: sorted(rows, key=repr) for name, rows in (found | {"head": heads}).items()}


def in_catalog(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        return rows_of(connection)


def in_journal(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    content = read_journal(folder / "journal")
    assert not content.problems
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(schema())
        replay(content.records, connection)
        return rows_of(connection)


def some_commits(catalog: Catalog, seed: int, count: int = 30) -> None:
    chosen = random.Random(seed)
    for _ in range(count):
        key, content, env = chosen.choice([ORDERS, CUSTOMERS]), chosen.choice("abcdef"), chosen.choice(["dev", "prod"])
        head = catalog.heads(env).get((key, ""))
        seen = None if head is None else head.trace.trace_id
        parts = {"build": f"digest of {content}"}
        sources = {parts["build"]: CodeSource("function", "a.py", seed, content * 40)}
        trace = new_trace(key, content, seen, code_parts=parts, input_key=chosen.choice("xy"))
        catalog.commit(env, None, [trace], 1700000003.0, sources=sources)


@pytest.mark.parametrize("seed", range(5))
def test_the_catalog_can_be_made_again_from_its_journal(opened: Opener, tmp_path: Path, seed: int) -> None:
    for part in range(3):
        catalog = opened()
        some_commits(catalog, seed * 10 + part)
        catalog.close()

    assert in_journal(tmp_path) == in_catalog(tmp_path)


def test_a_transaction_that_did_not_commit_is_cancelled_by_the_next(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = opened()
    commit(catalog, ORDERS, "a")
    with monkeypatch.context() as patch:
        # After the line is on the disk and before COMMIT: as if the process had been killed there.
        append = journal.Journal.append
        patch.setattr(journal.Journal, "append", lambda self, record: [append(self, record), 1 / 0])
        with pytest.raises(ZeroDivisionError):
            commit(catalog, ORDERS, "never committed")
    assert read_journal(tmp_path / "journal").last_number == 2
    commit(catalog, CUSTOMERS, "b")
    commit(catalog, CUSTOMERS, "c")
    catalog.close()

    assert in_journal(tmp_path) == in_catalog(tmp_path)
    assert "never committed" not in str(in_journal(tmp_path))


def test_the_next_writer_cancels_it_before_it_writes_anything(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = opened()
    commit(catalog, ORDERS, "a")
    with monkeypatch.context() as patch:
        append = journal.Journal.append
        patch.setattr(journal.Journal, "append", lambda self, record: [append(self, record), 1 / 0])
        with pytest.raises(ZeroDivisionError):
            commit(catalog, ORDERS, "never committed")
    catalog.close()
    opened().close()  # whose catalog may be lost now, when what the line speaks of has been removed

    assert in_journal(tmp_path) == in_catalog(tmp_path)
    opened().close()  # and once is enough
    assert read_journal(tmp_path / "journal").last_number == 1
    assert sum(b"cancelled" in line for line in segments(tmp_path / "journal")[-1].read_bytes().splitlines()) == 1
    catalog = opened()
    commit(catalog, ORDERS, "b")
    catalog.close()
    assert in_journal(tmp_path) == in_catalog(tmp_path)


@pytest.mark.parametrize("kept", range(1, 200, 9))
def test_a_line_that_was_torn_is_passed_over(opened: Opener, tmp_path: Path, kept: int) -> None:
    catalog = opened()
    commit(catalog, ORDERS, "a")
    catalog.close()
    [path] = segments(tmp_path / "journal")
    line = path.read_bytes().splitlines()[-1]
    with path.open("ab") as file:
        file.write(line[:kept])

    catalog = opened()
    commit(catalog, ORDERS, "b")
    catalog.close()

    assert in_journal(tmp_path) == in_catalog(tmp_path)


@pytest.mark.parametrize("write", [True, False])
def test_a_catalog_that_lost_its_last_commit_is_refused(opened: Opener, tmp_path: Path, write: bool) -> None:
    catalog = opened()
    commit(catalog, ORDERS, "a")
    catalog.close()
    catalog = opened()
    old = (tmp_path / "catalog.db").read_bytes()
    commit(catalog, ORDERS, "b")
    catalog.close()
    (tmp_path / "catalog.db").write_bytes(old)

    with pytest.raises(DamagedCatalog, match="older than its journal"):
        opened(write=write)


@pytest.mark.parametrize("damage", ["lost", "shorter", "emptied"])
def test_a_journal_that_fell_behind_is_written_anew(opened: Opener, tmp_path: Path, damage: str) -> None:
    catalog = opened()
    some_commits(catalog, 1)
    catalog.close()
    [path] = segments(tmp_path / "journal")
    if damage == "lost":
        path.unlink()
        path.parent.rmdir()
    elif damage == "shorter":
        path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-3]))
    else:
        path.write_bytes(b"")

    opened().close()

    assert in_journal(tmp_path) == in_catalog(tmp_path)


def test_a_journal_is_begun_for_a_catalog_that_had_none(opened: Opener, tmp_path: Path) -> None:
    first = Path(__file__).parent / "catalog_v1.sql"
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as connection:
        connection.executescript(first.read_text() + "PRAGMA user_version = 1;")
        connection.execute("INSERT INTO asset (key, first_seen) VALUES ('orders', 1.0)")
        connection.commit()

    opened().close()

    assert in_journal(tmp_path) == in_catalog(tmp_path)


@pytest.mark.parametrize("write", [True, False])
@pytest.mark.parametrize("how", ["removed", "emptied"])
def test_a_lost_catalog_is_not_taken_for_a_new_one(opened: Opener, tmp_path: Path, write: bool, how: str) -> None:
    catalog = opened()
    commit(catalog, ORDERS, "a")
    catalog.close()
    if how == "removed":
        (tmp_path / "catalog.db").unlink()
    else:
        (tmp_path / "catalog.db").write_bytes(b"")

    with pytest.raises(DamagedCatalog) as caught:
        opened(write=write)

    assert "rebuild-catalog" in str(caught.value.fix)
    assert (how == "removed") == (not (tmp_path / "catalog.db").exists())


def test_a_catalog_older_than_its_journal_is_refused(opened: Opener, tmp_path: Path) -> None:
    catalog = opened()
    commit(catalog, ORDERS, "a")
    catalog.close()
    old = (tmp_path / "catalog.db").read_bytes()
    catalog = opened()
    some_commits(catalog, 3)
    catalog.close()
    (tmp_path / "catalog.db").write_bytes(old)

    with pytest.raises(DamagedCatalog, match="older than its journal"):
        opened()


def test_damage_inside_the_journal_is_noticed(opened: Opener, tmp_path: Path) -> None:
    catalog = opened()
    some_commits(catalog, 4)
    catalog.close()
    [path] = segments(tmp_path / "journal")
    lines = path.read_bytes().splitlines(keepends=True)
    where = next(n for n, line in enumerate(lines) if b'"n":8,"schema"' in line)
    lines[where] = lines[where].replace(b"1", b"2", 1)
    path.write_bytes(b"".join(lines))

    problems = read_journal(tmp_path / "journal").problems

    assert problems == ["transactions 8 to 8 are missing", "1 line is not what was written"]


def test_segments_are_read_as_one(opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 2000)
    catalog = opened()
    some_commits(catalog, 5)
    catalog.close()

    assert len(segments(tmp_path / "journal")) > 3
    assert in_journal(tmp_path) == in_catalog(tmp_path)


def test_lines_go_to_the_newest_file_though_another_process_began_it(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = opened(), opened()
    for round_number in range(3):
        commit(first, ORDERS, f"first {round_number}")
        if round_number == 1:
            second.database.renew_journal()  # the files of before are gone
        else:
            with monkeypatch.context() as patch:
                patch.setattr(journal, "SEGMENT_BYTES", 1)
                commit(second, CUSTOMERS, f"second {round_number}")  # begins a file
        newest = segments(tmp_path / "journal")[-1]
        size = newest.stat().st_size
        commit(first, ORDERS, f"again {round_number}")
        assert newest.stat().st_size > size
        assert segments(tmp_path / "journal")[-1] == newest
        assert in_journal(tmp_path) == in_catalog(tmp_path)


def test_a_journal_that_cannot_be_written_keeps_the_catalog_as_it_is(
    opened: Opener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = opened()
    commit(catalog, ORDERS, "a")

    def full(self: Files, handle: object, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Files, "write", full)
        with pytest.raises(DiskFull):
            commit(catalog, ORDERS, "b")
    assert catalog.version(ORDERS, 2) is None
    assert commit(catalog, ORDERS, "c").number == 2
    catalog.close()

    assert in_journal(tmp_path) == in_catalog(tmp_path)
