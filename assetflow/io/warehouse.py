"""The DuckDB file that holds tables: open for moments, known to be sound, and put aside when it is not.

DuckDB lets one process write and then shuts out everybody else, so our own processes and threads queue on a lock file.
A note beside the file says how we left it. What nobody has touched since is opened at once; anything else is first
opened by a process of its own, because DuckDB may end the process that opens a damaged file.
"""

from __future__ import annotations

import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field

from assetflow.errors import AssetflowError, StorageFailed, WarehouseLocked
from assetflow.files import Files, storage_error

if TYPE_CHECKING:
    import duckdb

OWN_SCHEMA = "_assetflow"
FORMAT = "BLOCK_SIZE 16384, STORAGE_VERSION 'v1.5.0'"
"""Small blocks (a tiny table takes 16 KB, not 256), and a format that DuckDB 1.5 reads."""

_FIRST_WAIT_S, _LONGEST_WAIT_S = 0.01, 0.1  # short: a program that looks for moments again and again leaves short gaps
_LOCKS: dict[str, threading.RLock] = {}
_LOCKS_GUARD = threading.Lock()
_TABLES = f"SELECT table_name FROM duckdb_tables() WHERE schema_name = '{OWN_SCHEMA}'"  # noqa: S608 - a constant
_PROBE = f"""
import json, sys
import duckdb
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    rows = connection.execute({_TABLES!r}).fetchall()
    size = "SELECT block_size * total_blocks FROM pragma_database_size()"
    least = connection.execute(size).fetchall()[0][0]
print(json.dumps([[row[0] for row in rows], least]))
"""  # noqa: S608 - the code of a process, of constants
_BROKEN = re.compile("corrupt|not a valid duckdb|enough bytes|replaying wal|deserializ|INTERNAL Error", re.IGNORECASE)


class State(Struct, frozen=True):
    """How we left the file: what it looked like, its tables, and a digest of the views of each environment."""

    identity: list[int]
    tables: frozenset[str] = frozenset()
    views: Mapping[str, str] = field(default_factory=dict[str, str])


class _Probe(Struct, frozen=True):
    """What a process of its own found: tables, or a `problem`; neither when another program holds the file."""

    tables: frozenset[str] | None = None
    problem: str = ""
    is_broken: bool = False


class Warehouse:
    """A DuckDB file that is opened for moments, by one of our processes and threads at a time."""

    def __init__(
        self, path: Path, wait_s: float = 10.0, files: Files | None = None, quarantine: Path | None = None
    ) -> None:
        self.path, self._wait_s = path, wait_s
        self._files = files or Files()
        self._quarantine = quarantine or path.parent / "quarantine"

    @contextmanager
    def open_for_writing(
        self, *, heal: bool = False, views: Mapping[str, str] | None = None
    ) -> Generator[duckdb.DuckDBPyConnection]:
        """A connection that is checkpointed and closed at the end; `views` is noted when all went well.

        With `heal`, a file that is damaged goes to the quarantine and a new one takes its place.

        Raises:
            WarehouseLocked: another program holds the file for longer than the wait.
            StorageFailed, DiskFull, NotWritable: the file is damaged, or DuckDB could not write.
        """
        refuse_path(self.path)
        with exclusive(self.path):
            problem = self._problem() if self.path.exists() else ""
            if problem and not heal:
                raise damaged_warehouse(self.path, problem)
            if problem:
                self._put_aside(self.path, _wal(self.path))
            if not self.path.exists():
                self._create()
            with closing(self._open(read_only=False)) as connection, disk_errors(self.path):
                yield connection
                connection.execute("CHECKPOINT")
                tables = frozenset(row[0] for row in connection.execute(_TABLES).fetchall())
            self._save(tables, {**self._state().views, **(views or {})})

    @contextmanager
    def open_for_reading(self) -> Generator[duckdb.DuckDBPyConnection]:
        """A connection that is closed at the end; the file must exist.

        Raises:
            WarehouseLocked: another program holds the file for longer than the wait.
            StorageFailed: the file is damaged.
        """
        refuse_path(self.path)
        with exclusive(self.path):
            problem = self._problem()
            if problem:
                raise damaged_warehouse(self.path, problem)
            with closing(self._open(read_only=True)) as connection:
                yield connection

    def tables(self) -> frozenset[str] | None:
        """The tables in our schema, without opening what nobody touched; none when the file is missing or damaged.

        None means that it cannot be told now, because a program holds the file.
        """
        if not self.path.exists():
            return frozenset()
        state = self._state()
        if state.identity == identity(self.path):
            return state.tables
        with _trying(self.path) as is_ours:
            if not is_ours:
                return None
            if self._problem():
                return frozenset()
            state = self._state()
            return state.tables if state.identity == identity(self.path) else None

    def shows(self, env: str, digest: str) -> bool:
        """Whether the file has these views of the environment, as far as a look from outside tells."""
        state = self._state()
        return state.views.get(env) == digest and state.identity == identity(self.path)

    def compact(self) -> int:
        """Copy everything into a new file that takes the place of this one; how many bytes that freed.

        Raises:
            WarehouseLocked, StorageFailed, DiskFull, NotWritable: as with writing; the file stays as it was.
        """
        if not self.path.exists():
            return 0
        with self.open_for_writing():
            pass  # what a program left beside the file is now in it
        with exclusive(self.path):
            before, state = self.path.stat().st_size, self._state()
            aside = self.path.with_name(f"{self.path.name}.compact")
            self._files.remove_tree(aside)
            import duckdb

            with closing(duckdb.connect()) as connection, disk_errors(self.path):
                try:
                    # Reading keeps other programs from writing, until the new file is in its place.
                    attach = f"ATTACH {literal(str(self.path))} AS origin (READ_ONLY)"
                    self._patiently(lambda: connection.execute(attach))
                    connection.execute(f"ATTACH {literal(str(aside))} AS compacted ({FORMAT})")
                    connection.execute("COPY FROM DATABASE origin TO compacted")
                    connection.execute("DETACH compacted")
                    self._files.sync_path(aside)
                    self._files.replace(aside, self.path)
                except BaseException:
                    self._files.remove_tree(aside)
                    raise
            self._files.remove_tree(_wal(self.path))  # of the old file, and the copy has what it said
            self._files.sync_directory(self.path.parent)
            self._save(state.tables, state.views)
            return max(0, before - self.path.stat().st_size)

    # -- under our lock

    def _problem(self) -> str:
        """What is wrong with the file, or nothing. A log beside it that cannot be read goes to the quarantine."""
        if self._state().identity == identity(self.path):
            return ""
        found = _probe(self.path)
        if found.is_broken and _wal(self.path).exists():
            self._put_aside(_wal(self.path))
            found = _probe(self.path)
        if found.is_broken:
            return found.problem
        if found.tables is not None:
            self._save(found.tables, {})
        return ""  # what else may be is for opening to find out

    def _create(self) -> None:
        import duckdb

        with disk_errors(self.path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(duckdb.connect()) as connection:
                connection.execute(f"ATTACH {literal(str(self.path))} AS made ({FORMAT})")
                connection.execute("DETACH made")
        self._files.sync_directory(self.path.parent)
        self._save(frozenset(), {})

    def _open(self, *, read_only: bool) -> Any:
        import duckdb

        def connect() -> Any:
            try:
                return duckdb.connect(str(self.path), read_only=read_only)
            except duckdb.ConnectionException as error:
                if "different configuration" in str(error) and read_only:
                    # This process has it open in the other mode; then ours must be the same as that.
                    return duckdb.connect(str(self.path))
                raise

        return self._patiently(connect)

    def _patiently(self, action: Callable[[], Any]) -> Any:
        """The answer of an action that opens the file, tried again while another program holds it."""
        import duckdb

        started, wait = time.monotonic(), _FIRST_WAIT_S
        while True:
            try:
                return action()
            except duckdb.Error as error:
                is_busy = isinstance(error, (duckdb.ConnectionException, duckdb.BinderException))
                if not is_busy and "lock on file" not in str(error):
                    raise damaged_warehouse(self.path, str(error)) from error
                held = error
            if time.monotonic() - started + wait > self._wait_s:
                raise _locked(self.path, held, self._wait_s) from held
            time.sleep(wait)
            wait = min(wait * 2, _LONGEST_WAIT_S)

    def _put_aside(self, *paths: Path) -> None:
        self._files.make_directory(self._quarantine)
        for path in paths:
            if path.exists():
                self._files.rename(path, self._quarantine / f"{path.name}-{time.time_ns()}")
        self._files.sync_directory(self._quarantine)
        self._files.sync_directory(self.path.parent)

    def _state(self) -> State:
        """The note beside the file; one that is missing or cannot be read says nothing, and the file is looked at."""
        try:
            found = json.loads(_note(self.path).read_bytes())
            return State(found["identity"], frozenset(found["tables"]), found["views"])
        except (OSError, ValueError, TypeError, KeyError):
            return State([])

    def _save(self, tables: Iterable[str], views: Mapping[str, str]) -> None:
        note = {"identity": identity(self.path), "tables": sorted(tables), "views": dict(views)}
        write_note(self._files, _note(self.path), note)


def identity(path: Path) -> list[int]:
    """What the file and its log look like from outside: changed by whoever writes to them."""
    found: list[int] = []
    for place in (path, _wal(path)):
        with suppress(OSError):
            state = place.stat()
            found += [state.st_size, state.st_mtime_ns, state.st_ino]
    return found


def write_note(files: Files, path: Path, note: Mapping[str, object]) -> None:
    """Replace a note. It saves a look at the file it is about, so not being able to write it is no failure."""
    aside = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
    with suppress(AssetflowError):
        files.remove_tree(aside)
        files.write_bytes(aside, json.dumps(note).encode())
        files.replace(aside, path)


@contextmanager
def exclusive(path: Path) -> Generator[None]:
    """Queue our own threads and processes at the file, so that they never meet DuckDB's refusal."""
    name = str(path.resolve())
    with _thread_lock(name), _file_lock(Path(f"{name}.lock"), wait=True):
        yield


@contextmanager
def _trying(path: Path) -> Generator[bool]:
    """The same without waiting; whether it is ours."""
    name = str(path.resolve())
    lock = _thread_lock(name)
    if not lock.acquire(blocking=False):
        yield False
        return
    try:
        with _file_lock(Path(f"{name}.lock"), wait=False) as is_ours:
            yield is_ours
    finally:
        lock.release()


def quoted(name: str) -> str:
    """The name as an SQL identifier; every identifier that reaches DuckDB from here goes through this."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """The text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


def refuse_path(path: Path) -> None:
    """Raise StorageFailed for a path at which DuckDB opens another file than is meant, or none."""
    odd = [mark for mark in ("?", "\\") if mark in str(path) and (mark, os.name) != ("\\", "nt")]
    if odd:
        raise StorageFailed(
            f"DuckDB cannot open files in a folder with `{odd[0]}` in its path",
            facts=(f"path:     {path}",),
            fix='move the project, or name another place in the project file: `warehouse`, or io = "parquet"',
        )


def damaged_warehouse(path: Path, says: str) -> StorageFailed:
    """The error for a file that DuckDB does not open."""
    return StorageFailed(
        f"{path.name} cannot be opened",
        facts=(f"path:     {path}", f"DuckDB:   {(says.splitlines() or [''])[0]}"),
        fix="run `assetflow materialize`: a damaged file goes to the quarantine, and what was in it is made again",
    )


@contextmanager
def closing(connection: Any) -> Generator[Any]:
    """The connection, closed at the end."""
    try:
        yield connection
    finally:
        connection.close()


@contextmanager
def disk_errors(path: Path) -> Generator[None]:
    """Map what DuckDB raises when the disk refuses; its messages carry the text of the system's error."""
    import duckdb

    try:
        yield
    except OSError as error:
        raise storage_error("writing", path, error) from error
    except (duckdb.IOException, duckdb.FatalException) as error:
        import errno

        if "lock on file" in str(error):
            raise _locked(path, error, 0) from error
        for number in (errno.ENOSPC, errno.EACCES, errno.EROFS, errno.EPERM):
            if os.strerror(number) in str(error):
                raise storage_error("writing", path, OSError(number, os.strerror(number))) from error
        raise StorageFailed(
            f"DuckDB could not write {path.name}", facts=(f"DuckDB:   {str(error).splitlines()[0]}",)
        ) from error


def file_problem(path: Path) -> tuple[str, bool]:
    """What is wrong with the file as a process of its own finds it, and whether it is damaged. Changes nothing.

    Nothing is wrong with a file that another program holds.
    """
    found = _probe(path)
    return found.problem, found.is_broken


def _probe(path: Path) -> _Probe:
    """Open the file in a process of its own, and list its tables."""
    import subprocess

    done = subprocess.run(
        [sys.executable, "-P", "-c", _PROBE, str(path)],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode == 0:
        tables, least = json.loads(done.stdout)
        if (size := path.stat().st_size) < least:  # it opens without a look at all that it says it has
            return _Probe(problem=f"the file has {size:,} bytes instead of at least {least:,}", is_broken=True)
        return _Probe(frozenset(tables))
    says = next((line for line in reversed(done.stderr.splitlines()) if "Error" in line or "xception" in line), "")
    says = says.partition(": ")[2] or says or f"DuckDB ended the process that opened the file ({done.returncode})"
    if "lock on file" in done.stderr:
        return _Probe()
    return _Probe(problem=says, is_broken=done.returncode < 0 or _BROKEN.search(done.stderr) is not None)


def _locked(path: Path, error: Exception, waited_s: float) -> WarehouseLocked:
    holder = re.search(r"held in (.+?) \(PID (\d+)\)", str(error))
    says = str(error).splitlines()[0]
    who = f"held by:  process {holder[2]} ({Path(holder[1]).name})" if holder else f"DuckDB:   {says}"
    return WarehouseLocked(
        f"{path.name} is open in another program",
        facts=(f"path:     {path}", who, f"waited:   {waited_s:g} s"),
        fix="close that program, or let it open the file with `read_only` only while nothing is materialized",
    )


def _thread_lock(name: str) -> threading.RLock:
    with _LOCKS_GUARD:
        return _LOCKS.setdefault(name, threading.RLock())


@contextmanager
def _file_lock(path: Path, *, wait: bool) -> Generator[bool]:
    try:
        import fcntl
    except ImportError:  # Windows: DuckDB's own lock and our waiting have to do
        yield True
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("ab")
    except OSError as error:
        raise storage_error("locking", path, error) from error
    with handle:
        try:
            # Released by close, and by the kernel when the process dies.
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)  # a process that was forked meanwhile would keep it


def _wal(path: Path) -> Path:
    return path.with_name(f"{path.name}.wal")


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
