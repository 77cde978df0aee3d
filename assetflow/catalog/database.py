"""One SQLite connection: how the catalog file is opened, locked, migrated and kept from ever saying "locked".

Readers open the file read-only and never wait. Writers hold `catalog.lock` (a kernel lock) for the length of a
transaction, also for checkpoints: SQLite before 3.51.3 can lose a commit when a checkpoint and a writer of another
connection meet in WAL mode, and with one writer at a time they cannot meet. It also makes writers take turns.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Generator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import cast

from assetflow.catalog.journal import Journal, Record, capture, captured, whole_catalog
from assetflow.catalog.locks import FileLock
from assetflow.catalog.rows import queries
from assetflow.errors import (
    AssetflowError,
    CatalogBusy,
    DamagedCatalog,
    DiskFull,
    NewerCatalog,
    NotWritable,
    StorageFailed,
    Superseded,
    UsageError,
)

SCHEMA_VERSION = 12
BUSY_S = 30.0
_CACHE_KIB = 32_000
"""Of pages in memory while a catalog is written, if it has so many. With 2,000, which is usual, each commit reads the
pages of its indexes anew from about 100,000 versions on."""


class Database:
    """The catalog's connection; `statements` counts what was executed, for tests that hold us to a budget."""

    def __init__(self, path: Path, *, write: bool) -> None:
        self.path = path
        self.is_writer = write
        self.statements = 0
        self._is_durable = True
        self._lock = FileLock(path.with_name("catalog.lock"))
        self._queries = queries()
        self.journal = Journal(path.with_name("journal"))
        with mapped(path):
            self._connection = self._open_writer() if write else self._open_reader()
            found = path.stat() if write else None
            self._identity = None if found is None else (found.st_dev, found.st_ino)

    def rows(self, name: str, *parameters: object) -> list[tuple[object, ...]]:
        """The rows of a named query."""
        self.statements += 1
        with mapped(self.path):
            return self._connection.execute(self._queries[name], parameters).fetchall()

    def row(self, name: str, *parameters: object) -> tuple[object, ...] | None:
        """The first row of a named query, or None."""
        found = self.rows(name, *parameters)
        return found[0] if found else None

    def journaled(self) -> int:
        """How many transactions the journal has been told of. One query."""
        return cast("int", (self.row("journal_number") or (0,))[0])

    def change(self, name: str, *parameters: object) -> int:
        """Run a named query that changes rows; how many it changed."""
        self.statements += 1
        with mapped(self.path):
            return self._connection.execute(self._queries[name], parameters).rowcount

    def change_many(self, name: str, rows: Sequence[Sequence[object]]) -> None:
        """Run a named query that changes rows once for each of these sets of parameters."""
        self.statements += 1
        with mapped(self.path):
            self._connection.executemany(self._queries[name], rows)

    @contextmanager
    def transaction(self, *, is_durable: bool = True) -> Generator[None]:
        """One write transaction under the writers' lock; an exception undoes all of it.

        Its changes are in the journal before they are in the catalog. When it is not `is_durable`, a power loss may
        take it away again (and all that follows it, but nothing before it); it must change nothing that the journal
        holds.

        Raises:
            CatalogBusy: another process did not finish its transaction within 30 seconds.
        """
        if not self._acquire():
            raise _busy(self.path)
        try:
            with mapped(self.path):
                self._must_be_in_place()
                if is_durable != self._is_durable:
                    self._connection.execute(f"PRAGMA synchronous = {'FULL' if is_durable else 'NORMAL'}")
                    self._is_durable = is_durable
                self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                with mapped(self.path):
                    number = self._note_changes()
                    self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
            if number is not None:
                self.journal.mark_done(number)
        finally:
            self._lock.release()

    @contextmanager
    def one_moment(self) -> Generator[None]:
        """Have several reads see one state, whatever is committed between them. Nothing waits for that."""
        if self._connection.in_transaction:
            yield
            return
        with mapped(self.path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")  # nothing was changed

    def _must_be_in_place(self) -> None:
        """Refuse to write to a file that a rebuild has moved away meanwhile."""
        try:
            now = None if self._identity is None else os.stat(self.path)  # noqa: PTH116 - for each transaction
        except FileNotFoundError:
            now = None
        if now is not None and (now.st_dev, now.st_ino) != self._identity:
            raise Superseded(
                f"the catalog {self.path} was replaced while this command had it open; nothing was recorded",
                fix="run the command again",
            )

    def _note_changes(self) -> int | None:
        """Put what the transaction changed into the journal; the number of the line, if there is one."""
        changes = captured(self._connection)
        if not changes:
            return None
        number = self._next_journal_number()
        self.journal.append(Record(number, SCHEMA_VERSION, time.time(), changes))
        return number

    def _next_journal_number(self) -> int:
        return self._connection.execute(self._queries["next_journal_number"]).fetchone()[0]

    def _check_against(self, connection: sqlite3.Connection, committed: int) -> int:
        """The number of the catalog's last journaled transaction, which is at least what the journal has as committed.

        Raises:
            DamagedCatalog: the catalog does not hold all that was committed.
        """
        known: int = connection.execute(self._queries["journal_number"]).fetchone()[0]
        if committed > known:
            raise DamagedCatalog(
                f"the catalog {self.path} is older than its journal: {committed - known} changes are missing",
                fix="assetflow doctor --rebuild-catalog makes the catalog from the journal",
            )
        return known

    def _catch_up(self, connection: sqlite3.Connection) -> None:
        """Write the journal anew when it does not hold all that the catalog does: it was lost, or is younger.

        A line whose transaction did not commit, because its writer was killed there, is cancelled.

        Raises:
            DamagedCatalog: it is the catalog that does not hold all that the journal does.
        """
        written, committed = self.journal.last_numbers()
        known = self._check_against(connection, committed)
        has_content = connection.execute("SELECT 1 FROM asset LIMIT 1").fetchone() is not None
        if known == 0:
            # Nothing was promised yet: now the names of the files get onto the disk, before anything is.
            for folder in (self.path.parent, self.path.parent.parent):
                self.journal.files.sync_directory(folder)
        if written < known or (known == 0 and has_content):
            self._write_journal(connection)
        elif written > known:
            self.journal.cancel(known + 1)

    def renew_journal(self) -> None:
        """Write the journal anew from the catalog, whatever it holds; until the new one is on the disk, the old stays.

        Raises:
            CatalogBusy: another process did not finish its transaction within 30 seconds.
            DiskFull, NotWritable, StorageFailed: the disk refused; the journal is as it was.
        """
        if not self._acquire():
            raise _busy(self.path)
        try:
            with mapped(self.path):
                self._must_be_in_place()
                self._write_journal(self._connection)
        finally:
            self._lock.release()

    def _write_journal(self, connection: sqlite3.Connection) -> None:
        connection.execute("BEGIN IMMEDIATE")
        try:
            number = connection.execute(self._queries["next_journal_number"]).fetchone()[0]
            self.journal.replace(whole_catalog(connection, number, SCHEMA_VERSION, time.time()))
            connection.execute("COMMIT")
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        self.journal.mark_done(number)

    def close(self) -> None:
        """Close the connection. The last writer to close folds the write-ahead log into the file."""
        if not self.is_writer:
            self._connection.close()
            return
        with self._lock, closing(self._connection):
            self._acquire()

    def _acquire(self) -> bool:
        with mapped(self.path):
            return self._lock.acquire(wait_s=BUSY_S)

    def _open_writer(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        if not self._lock.acquire(wait_s=BUSY_S):
            raise _busy(self.path)
        try:
            if not self.path.exists():  # connecting would make it
                self._must_be_new()
            connection = sqlite3.connect(self.path, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
            with _closed_on_error(connection):
                is_empty = self._is_empty(connection)  # first of all: what is not ours stays as it is
                if is_empty:
                    self._must_be_new()
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
                if is_empty:
                    connection.executescript(f"BEGIN IMMEDIATE;{_new_catalog()}COMMIT;")
                elif (found := _version_of(connection)) < SCHEMA_VERSION:
                    backup(connection, self.path, f"format-{found}")
                    connection.executescript(f"BEGIN IMMEDIATE;{_migrations(found)}COMMIT;")
                self._catch_up(connection)
                capture(connection)
            return connection
        finally:
            self._lock.release()

    def _open_reader(self) -> sqlite3.Connection:
        if self.path.exists() and self.path.stat().st_size > 0:
            committed = self.journal.last_numbers()[1]  # before the catalog is read: it may only be ahead
            connection = self._open_file()
            with _closed_on_error(connection):
                if not self._is_empty(connection):
                    if _version_of(connection) == SCHEMA_VERSION:
                        self._check_against(connection, committed)
                    return connection if _version_of(connection) == SCHEMA_VERSION else _migrated_copy(connection)
            connection.close()
        # No catalog yet, or its first writer has just begun (or was killed there): as good as an empty one.
        self._must_be_new()
        connection = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        connection.executescript(_new_catalog())
        return connection

    def _open_file(self) -> sqlite3.Connection:
        uri = self.path.resolve().as_uri() + "?mode=ro"
        connection = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        with _closed_on_error(connection):
            try:
                connection.execute("SELECT 1 FROM sqlite_master").fetchone()
            except sqlite3.OperationalError:
                # A folder that cannot be written holds no -shm file to share; nobody writes there, so the file is
                # constant, unless there are commits in a log beside it, which cannot be read without -shm.
                log = self.path.with_name(self.path.name + "-wal")
                if log.exists() and log.stat().st_size > 0:
                    raise
            else:
                return connection
        connection.close()
        return sqlite3.connect(uri + "&immutable=1", uri=True, isolation_level=None, check_same_thread=False)

    def _must_be_new(self) -> None:
        """Refuse to take a catalog that was lost for one that has yet to begin."""
        import glob

        if self.journal.last_numbers()[0] > 0:
            raise DamagedCatalog(
                f"the catalog {self.path} is gone or empty, but its journal is there",
                facts=(f"journal:  {self.journal.folder}", "the stored versions are untouched"),
                fix="assetflow doctor --rebuild-catalog makes the catalog from the journal",
            )
        folder = self.path.parent / "backups"
        if any(folder.glob(f"{glob.escape(self.path.stem)}-*{glob.escape(self.path.suffix)}")):
            raise DamagedCatalog(
                f"the catalog {self.path} and its journal are gone or empty, but backups of it are there",
                facts=(f"backups:  {folder}", "the stored versions are untouched"),
                fix="assetflow doctor --rebuild-catalog --from-backup makes the catalog from the newest one",
            )

    def _is_empty(self, connection: sqlite3.Connection) -> bool:
        found = _version_of(connection)
        if found > SCHEMA_VERSION:
            raise NewerCatalog(
                f"the catalog {self.path} was written by a newer assetflow",
                facts=(f"its format is {found}; this assetflow reads {SCHEMA_VERSION}",),
                fix="upgrade assetflow: pip install -U assetflow",
            )
        if found == 0 and connection.execute("SELECT 1 FROM sqlite_master").fetchone() is not None:
            raise DamagedCatalog(
                f"{self.path} is a database, but not a catalog",
                fix="set `catalog` in the project file to a file of its own; this one has not been touched",
            )
        return found == 0


def schema() -> str:
    """The statements that make an empty catalog."""
    return (Path(__file__).parent / "schema.sql").read_text()


def backup(connection: sqlite3.Connection, path: Path, name: str) -> Path:
    """A copy of the catalog in `backups/`, whole and on the disk when the call returns. An earlier one is replaced.

    The caller holds the writers' lock, so what lies there unfinished is of somebody who died.
    """
    target = path.parent / "backups" / f"{path.stem}-{name}{path.suffix}"
    target.parent.mkdir(parents=True, exist_ok=True)
    for left in target.parent.glob("*.new"):
        left.unlink(missing_ok=True)
    aside = target.with_name(target.name + ".new")
    with closing(sqlite3.connect(aside)) as copy:
        connection.backup(copy)
        copy.execute("PRAGMA journal_mode = DELETE")
    with aside.open("rb") as handle:
        os.fsync(handle.fileno())
    aside.replace(target)
    return target


def migrations_after(version: int) -> list[tuple[int, str]]:
    """The number and the statements of every migration that a catalog of this version still needs, in order."""
    files = sorted((Path(__file__).parent / "migrations").glob("[0-9]*.sql"))
    numbered = [(int(file.name[:4]), file) for file in files]
    return [(number, file.read_text()) for number, file in numbered if number > version]


def _new_catalog() -> str:
    return schema() + f"PRAGMA user_version = {SCHEMA_VERSION};"


def _migrations(found: int) -> str:
    return "".join(f"{text}\nPRAGMA user_version = {number};" for number, text in migrations_after(found))


def _version_of(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]


def _migrated_copy(connection: sqlite3.Connection) -> sqlite3.Connection:
    """An older catalog as this version reads it, in memory: who only looks changes nothing on the disk."""
    copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.backup(copy)
    copy.executescript(f"BEGIN;{_migrations(_version_of(connection))}COMMIT;")
    connection.close()
    return copy


@contextmanager
def _closed_on_error(connection: sqlite3.Connection) -> Generator[None]:
    try:
        yield
    except BaseException:
        connection.close()
        raise


class mapped:  # noqa: N801 - is called as a function would be, around every statement: a generator costs thrice that
    """Turn errors of SQLite and of the file system into errors that people can act on."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        found = None if error is None else _mapped(error, self._path)
        if found is not None:
            raise found from error


def _mapped(error: BaseException, path: Path) -> AssetflowError | None:
    if isinstance(error, sqlite3.Error):
        return _map(error, path)
    if isinstance(error, UnicodeDecodeError):  # SQLite names what it cannot read, in bytes that are no text any more
        return DamagedCatalog(
            f"the catalog {path} is damaged: it holds text that is none",
            fix="assetflow doctor --rebuild-catalog makes the catalog from its journal; stored versions are untouched",
        )
    if isinstance(error, OverflowError):
        return UsageError("that number is larger than any that the catalog holds", fix="give a smaller one")
    if isinstance(error, OSError):
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return _disk_full(path) if is_full else _not_writable(path, error.strerror or str(error))
    return None


def _map(error: sqlite3.Error, path: Path) -> AssetflowError:
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if isinstance(code, int) else None
    if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return _busy(path)
    if primary == sqlite3.SQLITE_FULL or code == sqlite3.SQLITE_IOERR_SHMSIZE:
        return _disk_full(path)
    if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return _not_writable(path, str(error))
    if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DamagedCatalog(
            f"the catalog {path} is damaged: {error}",
            fix="assetflow doctor --rebuild-catalog makes the catalog from its journal; stored versions are untouched",
        )
    fix = "look at the disk: its health, quotas and limits on file sizes" if primary == sqlite3.SQLITE_IOERR else None
    return StorageFailed(f"the catalog {path} could not be used: {error}", fix=fix)


def _disk_full(path: Path) -> DiskFull:
    return DiskFull(
        f"the disk is full: the catalog {path} could not grow",
        fix="make room and run the command again; every version that was committed is still there",
    )


def _not_writable(path: Path, reason: str) -> NotWritable:
    return NotWritable(
        f"the catalog {path} cannot be opened: {reason}",
        fix=f"make {path.parent} writable, or set `catalog` in the project file to a place that is",
    )


def _busy(path: Path) -> CatalogBusy:
    return CatalogBusy(
        f"another process has been writing the catalog {path} for more than {BUSY_S:.0f} s",
        fix="run the command again when it has finished",
    )
