"""The journal: every change of the catalog as a line of text beside it, so that the catalog can be made again.

It is a logical redo log. A transaction's changes are appended and on the disk before the transaction commits, so what
was committed is in the journal at every moment. A line is a checksum (BLAKE2b, 64 bit) and a JSON object:

    {"n": 17, "schema": 3, "at": 1760000000.0, "changes": [["version", "put", {"version_id": 3, ...}], ...]}

`n` counts journaled transactions. After the commit a mark follows, `{"n": 17, "done": true}`. A line whose transaction
did not commit is cancelled by the next writer, `{"n": 17, "cancelled": true}`, before that removes what the line speaks
of; one with the same number or a smaller one after it cancels it too. A file that begins with
`"part": 0` is a whole catalog: what was before it is obsolete. Bytes (the code of definitions) are in base 64.
Runs and attempts are not in the journal, nor are looks of sensors and alerts: with the catalog lost, the history of
runs is lost, and what was not told yet, but no version.
"""

from __future__ import annotations

import json
import os
import sqlite3
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

from msgspec import Struct, field

from assetflow.errors import AssetflowError
from assetflow.files import Files

SEGMENT_BYTES = 32 << 20
"""A new file is begun when the last one is larger than this."""

_TABLES = {
    "asset": ("asset_id",),
    "part": ("part_id",),
    "env": ("env_id",),
    "fp": ("fp_id",),
    "node": ("digest",),
    "shape": ("shape_id",),
    "version": ("version_id",),
    "trace": ("trace_id",),
    "trace_in": ("trace_id", "parameter", "up_asset_id", "lo"),
    "head": ("env_id", "asset_id", "part_id"),
    "head_log": ("env_id", "asset_id", "part_id", "seq"),
    "pin": ("env_id", "asset_id", "part_id"),
    "invalidation": ("env_id", "asset_id", "part_id"),
    "revoked": ("trace_id",),
    "unsteady": ("asset_id", "part_id", "input_key"),
    "counter": ("name",),
    "schedule": ("job",),
    "tick": ("job", "scheduled"),
    "sensor": ("name",),
    "request": ("request_id",),
    "dynamic_key": ("name", "ord"),
}
"""The tables of the journal in an order in which rows refer only to earlier ones, with their primary keys."""

_ORDER = {table: place for place, table in enumerate(_TABLES)}
_ROW_OF = {
    table: f"SELECT * FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in key)}"  # noqa: S608 - names of our schema
    for table, key in _TABLES.items()
}
_MOST_KEYS = max(len(key) for key in _TABLES.values())
_KEYS = ", ".join(f"key{place}" for place in range(_MOST_KEYS))
"""The columns of a note: the primary key of the row that changed, as it is."""

_MOVES = {"head": " OF trace_id, seq, changed_seq", "sensor": " OF cursor, paused_at, paused_by"}
"""Updates of other columns (when a head was last found current, when a sensor looked) are not worth a line."""

_BINARY = {"node": "source"}
"""Columns whose values are bytes: a line holds them in base 64."""

Change = tuple[str, str, dict[str, Any]]
"""A table, `put` or `del`, and the row (for `del` its primary key)."""


class Record(Struct, frozen=True):
    """One line: the changes of one transaction, or a part of a whole catalog."""

    number: int
    schema: int
    at: float
    changes: Sequence[Change]
    part: int | None = None


class JournalContent(Struct, frozen=True):
    """What the files of a journal hold: the records that count, in order, and what is wrong, as sentences."""

    records: Sequence[Record] = ()
    problems: Sequence[str] = ()
    last_number: int = 0
    """The number of the last whole line, whether or not its transaction committed."""


class Journal(Struct):
    """The journal of one catalog. The caller holds the writers' lock while it appends."""

    folder: Path
    files: Files = field(default_factory=Files)
    _is_known: bool = False
    _last: tuple[str, str] | None = None
    _written: Path | None = None
    """The file of the line that was added last: its mark goes there too, as the lock is held from one to the other."""

    def is_empty(self) -> bool:
        """Whether nothing was ever written."""
        return not segments(self.folder)

    def last_numbers(self) -> tuple[int, int]:
        """The number of the last whole line, and of the last transaction that is known to have committed.

        Both are 0 when nothing was ever written. Reads the end of the last file. A transaction of which only the line
        is there was killed, or failed, before its commit, or between that and its mark: then the catalog knows.
        """
        for path in reversed(segments(self.folder)):
            if not os.access(path, os.R_OK):
                continue
            for line in _lines_backwards(path):
                if (number := _marked(line)) is not None:
                    return number, number
                if (number := _cancelled(line)) is not None:
                    return number - 1, number - 1
                if (found := _parsed(line)) is not None:
                    return found.number, found.number - 1
        return 0, 0

    def mark_done(self, number: int) -> None:
        """Note that the last line's transaction has committed, so that a catalog without it is known to have lost it.

        Nobody waits for the disk: with the power, line and commit stay and only the mark may go.
        """
        with suppress(OSError, AssetflowError):
            mark = _sealed({"n": number, "done": True})
            self.files.append_line(self._written or segments(self.folder)[-1], mark, is_durable=False)

    def cancel(self, number: int) -> None:
        """Note that the last line's transaction did not commit: with the catalog lost, nobody could tell any more.

        Raises:
            DiskFull, NotWritable, StorageFailed: the disk refused; it can be called again.
        """
        self.files.append_line(segments(self.folder)[-1], _sealed({"n": number, "cancelled": True}))

    def append(self, record: Record) -> None:
        """Add a line; it is on the disk when the call returns.

        Raises:
            DiskFull, NotWritable, StorageFailed: the disk refused. What was written of the line is passed over.
        """
        path, is_new = self._last_segment(), False
        if path is None or path.stat().st_size >= SEGMENT_BYTES:
            self.files.make_directory(self.folder)
            if path is None:
                self.files.sync_directory(self.folder.parent)
            path, is_new = self._after(path), True
        self.files.append_line(path, _line(record))
        self._written = path
        if is_new or not self._is_known:
            # Who was killed before syncing the folder left a file whose name may not be on the disk.
            self.files.sync_directory(self.folder)
            self._is_known = True

    def _last_segment(self) -> Path | None:
        """The newest file. What was it stays it for as long as it is there, and none with the next number is."""
        if self._last is None or not os.path.exists(self._last[0]) or os.path.exists(self._last[1]):  # noqa: PTH110 - often
            found = segments(self.folder)
            self._last = (str(found[-1]), str(self._after(found[-1]))) if found else None
        return None if self._last is None else Path(self._last[0])

    def _after(self, path: Path | None) -> Path:
        return self.folder / f"{(0 if path is None else int(path.stem)) + 1:06d}.jsonl"

    def replace(self, records: Iterable[Record]) -> None:
        """Put a whole catalog, given as parts, in the place of all that was; earlier files go when it is on the disk.

        Raises:
            DiskFull, NotWritable, StorageFailed: the disk refused; the journal is as it was.
        """
        self.files.make_directory(self.folder)
        self.files.sync_directory(self.folder.parent)
        found = segments(self.folder)
        target = self._after(found[-1] if found else None)
        aside = target.with_suffix(".new")
        self.files.remove_tree(aside)
        with self.files.writing(aside) as out:
            for record in records:
                out.write(_line(record) + b"\n")
        aside.chmod(0o644)  # made as what never changes, but lines will be appended
        self.files.rename(aside, target)
        self._written = target
        self.files.sync_directory(self.folder)
        for path in found:
            self.files.remove_tree(path)


def segments(folder: Path) -> list[Path]:
    """The files of a journal, oldest first."""
    try:
        return sorted(path for path in folder.iterdir() if path.suffix == ".jsonl" and path.stem.isdigit())
    except (FileNotFoundError, NotADirectoryError, PermissionError):  # who may not read it goes by the catalog alone
        return []


def read_journal(folder: Path) -> JournalContent:
    """All that the journal holds.

    Raises:
        OSError: a file cannot be read.
    """
    kept: list[Record] = []
    problems: list[str] = []
    last, bad = 0, 0
    for path in segments(folder):
        for line in path.read_bytes().split(b"\n"):
            if not line or _marked(line) is not None:
                continue
            if (cancelled := _cancelled(line)) is not None:
                _take_back(kept, cancelled)
                last = cancelled - 1
                continue
            found = _parsed(line)
            if found is None:
                bad += 1
                continue
            last = found.number
            if found.part == 0:
                kept.clear()
            elif found.part is None:
                _take_back(kept, found.number)
            kept.append(found)
    problems += _gaps(kept)
    if bad and problems:
        problems.append(f"{bad} {'line is' if bad == 1 else 'lines are'} not what was written")
    return JournalContent(kept, problems, last)


def replay(records: Iterable[Record], connection: sqlite3.Connection) -> None:
    """Carry the records out on an empty catalog. The caller owns the transaction; foreign keys must be off."""
    for record in records:
        for table, action, row in record.changes:
            if table not in _TABLES:
                raise ValueError(f"the journal speaks of a table {table!r}")
            names = [name for name in row if name.isidentifier()]
            packed = _BINARY.get(table) if action == "put" else None
            values = [b64decode(row[name], validate=True) if name == packed else row[name] for name in names]
            if action == "put":
                columns, marks = ", ".join(names), ", ".join("?" * len(names))
                connection.execute(f"INSERT OR REPLACE INTO {table} ({columns}) VALUES ({marks})", values)  # noqa: S608 - as below
            else:
                where = " AND ".join(f"{name} IS ?" for name in names)
                connection.execute(f"DELETE FROM {table} WHERE {where}", values)  # noqa: S608 - names are identifiers
        connection.execute("UPDATE counter SET value = ? WHERE name = 'journal'", (record.number,))


def capture(connection: sqlite3.Connection) -> None:
    """Have the connection note every change of the journal's tables, by triggers that only it has."""
    connection.execute("PRAGMA temp_store = MEMORY")
    statements = [f"CREATE TEMP TABLE noted (note_id INTEGER PRIMARY KEY, tab TEXT, action TEXT, {_KEYS})"]
    for table, key in _TABLES.items():
        only = " WHEN NEW.name <> 'journal'" if table == "counter" else ""
        put = f"INSERT INTO noted (tab, action, {_KEYS}) VALUES ('{table}', 'put', {_values('NEW', key)});"  # noqa: S608 - our names
        gone = f"INSERT INTO noted (tab, action, {_KEYS}) VALUES ('{table}', 'del', {_values('OLD', key)});"  # noqa: S608 - our names
        on = f"ON main.{table}"
        statements += [
            f"CREATE TEMP TRIGGER noted_{table}_insert AFTER INSERT {on}{only} BEGIN {put} END",
            f"CREATE TEMP TRIGGER noted_{table}_update AFTER UPDATE{_MOVES.get(table, '')} {on}{only} BEGIN {put} END",
            f"CREATE TEMP TRIGGER noted_{table}_delete AFTER DELETE {on} BEGIN {gone} END",
        ]
    for statement in statements:
        connection.execute(statement)


def captured(connection: sqlite3.Connection) -> list[Change]:
    """What was noted in this transaction, each row once as it is now, with nothing left noted."""
    noted = connection.execute(f"SELECT tab, {_KEYS}, action FROM noted ORDER BY note_id").fetchall()  # noqa: S608 - ours
    latest: dict[tuple[Any, ...], str] = {tuple(row): action for *row, action in noted}
    connection.execute("DELETE FROM noted")
    changes: list[Change] = []
    for (table, *key), action in latest.items():
        row = dict(zip(_TABLES[table], key, strict=False))  # a shorter key leaves the last columns empty
        if action == "put":
            cursor = connection.execute(_ROW_OF[table], tuple(row.values()))
            names = [column[0] for column in cursor.description]
            row = _as_text(table, dict(zip(names, cursor.fetchone(), strict=True)))
        changes.append((table, action, row))
    return sorted(changes, key=lambda change: _ORDER[change[0]])


def whole_catalog(connection: sqlite3.Connection, number: int, schema: int, at: float) -> Iterator[Record]:
    """The content of a catalog as records, a thousand rows in each."""
    part = 0
    for table in _TABLES:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
        cursor = connection.execute(f"SELECT {', '.join(columns)} FROM {table}")  # noqa: S608 - names of our schema
        while rows := cursor.fetchmany(1000):
            changes = [(table, "put", _as_text(table, dict(zip(columns, row, strict=True)))) for row in rows]
            yield Record(number, schema, at, changes, part)
            part += 1


def _as_text(table: str, row: dict[str, Any]) -> dict[str, Any]:
    packed = _BINARY.get(table)
    return row if packed is None else {**row, packed: b64encode(row[packed]).decode()}


def _values(row: str, columns: Sequence[str]) -> str:
    return ", ".join([*(f"{row}.{name}" for name in columns), *["NULL"] * (_MOST_KEYS - len(columns))])


def _line(record: Record) -> bytes:
    facts: dict[str, object] = {"n": record.number, "schema": record.schema, "at": record.at}
    if record.part is not None:
        facts["part"] = record.part
    facts["changes"] = record.changes
    return _sealed(facts)


def _sealed(facts: Mapping[str, object]) -> bytes:
    data = json.dumps(facts, separators=(",", ":")).encode()
    return _checksum(data) + b" " + data


def _unsealed(line: bytes) -> dict[str, Any] | None:
    checksum, _, data = line.partition(b" ")
    return json.loads(data) if _checksum(data) == checksum else None


def _checksum(data: bytes) -> bytes:
    """64 bits of BLAKE2b: every verb reads the last line, and this needs no library to be loaded."""
    return blake2b(data, digest_size=8).hexdigest().encode()


def _marked(line: bytes) -> int | None:
    """The number that a mark is about; None for every other line."""
    facts = _unsealed(line) if line.endswith(b'"done":true}') else None
    return None if facts is None or "changes" in facts else facts["n"]


def _cancelled(line: bytes) -> int | None:
    """The number of the transaction that a line cancels; None for every other line."""
    facts = _unsealed(line) if line.endswith(b'"cancelled":true}') else None
    return None if facts is None or "changes" in facts else facts["n"]


def _take_back(kept: list[Record], number: int) -> None:
    while kept and kept[-1].number >= number and kept[-1].part is None:
        kept.pop()


def _parsed(line: bytes) -> Record | None:
    facts = _unsealed(line)
    if facts is None or "changes" not in facts:
        return None
    changes = [(str(table), str(action), dict(row)) for table, action, row in facts["changes"]]
    return Record(facts["n"], facts["schema"], facts["at"], changes, facts.get("part"))


def _gaps(records: Sequence[Record]) -> list[str]:
    problems: list[str] = []
    before: Record | None = None
    for record in records:
        expected = 0 if before is None else before.number
        follows = record.number == expected + 1 if record.part is None else True
        if record.part is not None and record.part != (0 if before is None else (before.part or 0) + 1):
            problems.append(f"a part of the catalog as it was at transaction {record.number} is missing")
        elif not follows:
            problems.append(f"transactions {expected + 1} to {record.number - 1} are missing")
        before = record
    return problems


def _lines_backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file, last first, reading no more of it than is asked for."""
    with path.open("rb") as handle:
        position, rest = handle.seek(0, 2), b""
        while position > 0:
            step = min(position, 1 << 16)
            position -= step
            handle.seek(position)
            head, *tail = (handle.read(step) + rest).split(b"\n")
            yield from (line for line in reversed(tail) if line)
            rest = head
        if rest:
            yield rest
