"""Runs one scenario of the workload in a forked child, with a fault, a sabotage, or neither.

The parent has everything imported and the project loaded, so a point costs what the work itself costs. Other harnesses
start the same scenarios in processes of their own:

    python -m tests.faults.driver FOLDER SCENARIO [--ack FILE] [--sabotage NAME] [--prepare]
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from assetflow import Project, whole_disk
from assetflow.errors import AssetflowError
from assetflow.testing.failpoints import Failpoints, kill
from tests.faults import checker, project as workload
from tests.faults.scenarios import SCENARIOS, Acks, Scenario, materialize

FORK_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended: `signal` when it was killed, else `code`; `facts` is what it told (empty when killed)."""

    code: int
    signal: int
    facts: dict[str, Any]

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended it, as a failpoint does."""
        return self.signal == signal.SIGKILL


class Child:
    """Work going on in a forked child."""

    def __init__(self, work: Callable[[], dict[str, Any]]) -> None:
        self._reader, writer = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            _in_child(work, self._reader, writer)
        os.close(writer)

    def wait(self, timeout_s: float = FORK_TIMEOUT_S) -> Ended:
        """How it ended. A child that takes too long is killed and reported as code 124."""
        told = _read_all(self._reader, self.pid, timeout_s)
        _, status = os.waitpid(self.pid, 0)
        if told is None:
            return Ended(124, 0, {"error": f"no end after {timeout_s:.0f} s", "is_ours": False})
        facts = json.loads(told) if told else {}
        by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
        return Ended(os.waitstatus_to_exitcode(status), by, facts)


def forked(work: Callable[[], dict[str, Any]], timeout_s: float = FORK_TIMEOUT_S) -> Ended:
    """Do the work in a child and wait for it."""
    return Child(work).wait(timeout_s)


def _in_child(work: Callable[[], dict[str, Any]], reader: int, writer: int) -> None:
    code = 0
    write = os.write
    try:
        os.close(reader)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 1)
        os.dup2(null, 2)
        write(writer, json.dumps(work()).encode())
    except BaseException:  # noqa: BLE001 - a child must not return into the parent's loop
        code = 3
        write(writer, json.dumps({"error": traceback.format_exc(), "is_ours": False}).encode())
    finally:
        os._exit(code)


def _read_all(reader: int, child: int, timeout_s: float) -> bytes | None:
    import select

    found, deadline = b"", time.monotonic() + timeout_s
    try:
        while True:
            ready, _, _ = select.select([reader], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                os.kill(child, signal.SIGKILL)
                return None
            chunk = os.read(reader, 65536)
            if not chunk:
                return found
            found += chunk
    finally:
        os.close(reader)


# --------------------------------------------------------------------------------------------------- the work bench


class Bench:
    """A folder with the project, the stores that scenarios begin with, and the project loaded once."""

    def __init__(self, folder: Path, *, native: bool = False) -> None:
        self.folder, self.native = folder, native
        self.root = folder / "work"
        self.store = self.root / ".assetflow"
        self._templates = folder / "templates"
        workload.make(self.root, native=native)
        warm_up()
        self.project = Project.load(self.root)
        self.project._load()
        shutil.copytree(self.store, folder / "empty")
        self._rehearse()
        self._snapshots: dict[str, checker.Snapshot] = {}
        self.operations: dict[tuple[str, bool], list[str]] = {}

    def _rehearse(self) -> None:
        """Do the work once in this process: what is done for the first time is slow, in a forked child each time."""
        with suppress(AssetflowError):  # the children will say it
            self.project.materialize(executor="inline")
        shutil.rmtree(self.store, ignore_errors=True)
        gc.collect()
        gc.freeze()  # a collection in a child would copy all that it shares with this process

    def begin(self, scenario: Scenario) -> tuple[checker.Snapshot, list[dict[str, Any]]]:
        """Put the store in the state in which the scenario begins; what is committed there, and was acknowledged."""
        template = self._templates / scenario.name
        if not template.exists():
            self._prepare(scenario, template)
        shutil.rmtree(self.store, ignore_errors=True)
        shutil.copytree(template / "store", self.store, symlinks=True)
        workload.set_generation(self.root, int((template / "generation").read_text()))
        return self._snapshots[scenario.name], read_acks(template / "acks")

    def _prepare(self, scenario: Scenario, template: Path) -> None:
        template.mkdir(parents=True)
        shutil.rmtree(self.store, ignore_errors=True)
        shutil.copytree(self.folder / "empty", self.store)
        workload.set_generation(self.root, 1)
        for step in (scenario.prepare, scenario.harm):
            ended = forked(lambda step=step: _prepared(step, self.project, template / "acks"))
            if ended.code or "error" in ended.facts:
                raise RuntimeError(f"scenario {scenario.name} cannot be prepared:\n{ended.facts.get('error')}")
            self._snapshots.setdefault(scenario.name, checker.snapshot(self.store))
        shutil.copytree(self.store, template / "store", symlinks=True)
        (template / "generation").write_text(str(workload.generation_of(self.root)))

    def act(
        self,
        scenario: Scenario,
        ack: Path,
        points: Failpoints | None = None,
        sabotage: str | None = None,
        setup: Callable[[Project], None] | None = None,
    ) -> Ended:
        """The scenario's command in a child; facts: `passed`, `fired`, and `error`, `is_ours` when it failed."""
        return self.start(scenario, ack, points, sabotage, setup).wait()

    def start(
        self,
        scenario: Scenario,
        ack: Path,
        points: Failpoints | None = None,
        sabotage: str | None = None,
        setup: Callable[[Project], None] | None = None,
    ) -> Child:
        """The same, going on."""
        return Child(lambda: run_here(scenario.act, self.project, Acks(ack), points, sabotage, setup))

    def recover(
        self, scenario: Scenario, ack: Path, points: Failpoints | None = None, sabotage: str | None = None
    ) -> Ended:
        """What a user would do next: materialize, nothing else (or what the scenario's message says)."""

        def work() -> dict[str, Any]:
            return run_here(scenario.recover, self.project, Acks(ack), points, sabotage, None)

        return forked(work)


def run_here(
    act: Callable[[Project, Acks], None],
    project: Project,
    acks: Acks,
    points: Failpoints | None,
    sabotage: str | None,
    setup: Callable[[Project], None] | None,
) -> dict[str, Any]:
    """Do it in this process, which is a child; errors of ours are told as facts, others as tracebacks."""
    if sabotage:
        from tests.faults.sabotage import apply

        apply(sabotage)
    if points is not None:
        points.install()
        install_statements(points)
    facts: dict[str, Any] = {}
    try:
        if setup is not None:
            setup(project)
        act(project, acks)
    except AssetflowError as error:
        facts = {"error": str(error), "is_ours": True, "class": type(error).__name__}
    except BaseException:  # noqa: BLE001 - anything else is what we look for
        facts = {"error": traceback.format_exc(), "is_ours": False}
    if points is not None:
        facts.update(passed=points.passed, fired=points.fired, log=points.log if not points.at else [])
    return facts


def _prepared(step: Callable[[Project, Acks], None], project: Project, ack: Path) -> dict[str, Any]:
    step(project, Acks(ack))
    return {}


def install_statements(points: Failpoints) -> None:
    """Make every statement of SQLite and DuckDB a point; an error there is one of SQLite's own."""
    database_connect = sqlite3.connect

    def failure() -> BaseException:
        wanted = points.error("statement") if points.error else None
        full = isinstance(wanted, OSError) and wanted.errno in (28, 122)
        error = sqlite3.OperationalError("database or disk is full" if full else "disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR
        return error

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *rest: Any) -> Any:
            if _reads_only(sql):
                return super().execute(sql, *rest)
            return points.around(f"sql {_name(sql)}", lambda: sqlite3.Connection.execute(self, sql, *rest), failure)

        def executescript(self, sql: str) -> Any:
            return points.around("sql script", lambda: sqlite3.Connection.executescript(self, sql), failure)

        def backup(self, target: sqlite3.Connection, **options: Any) -> None:
            points.around("sql backup", lambda: sqlite3.Connection.backup(self, target, **options), failure)

        def close(self) -> None:
            if points.point("sql close") in (
                "kill",
                "kill after",
                "torn",
            ):  # it cannot fail, but a process can die there
                kill()
            super().close()

    def connect(*arguments: Any, **options: Any) -> sqlite3.Connection:
        if arguments and arguments[0] in (":memory:", ""):  # no disk has part in that
            return database_connect(*arguments, **options)
        return database_connect(*arguments, **{"factory": Connection, **options})

    sqlite3.connect = connect
    sync = whole_disk.sync_all_of
    whole_disk.sync_all_of = lambda *of: points.around("syncfs", lambda: sync(*of))
    import duckdb

    kind: Any = duckdb.DuckDBPyConnection
    execute = kind.execute

    def duckdb_execute(self: Any, query: Any, *rest: Any, **options: Any) -> Any:
        if _reads_only(str(query)):
            return execute(self, query, *rest, **options)

        def refusal() -> BaseException:
            return duckdb.IOException("Could not write file: No space left on device")

        return points.around(f"duckdb {_name(str(query))}", lambda: execute(self, query, *rest, **options), refusal)

    kind.execute = duckdb_execute


def _reads_only(sql: str) -> bool:
    """Whether a statement leaves the disk alone; temporary tables are in memory."""
    return sql.lstrip().upper().startswith(_HARMLESS)


_HARMLESS = ("SELECT", "EXPLAIN", "DESCRIBE", "PRAGMA", "CREATE TEMP", "DELETE FROM NOTED", "SAVEPOINT", "RELEASE")


def _name(sql: str) -> str:
    return " ".join(sql.split()[:3])


@cache
def warm_up() -> None:
    """Import what a run imports, once, and start no thread: children are forked from here."""
    for name in _HEAVY:
        import_module(name)


_HEAVY = (
    "duckdb", "pandas", "pyarrow.csv", "pyarrow.parquet", "xxhash", "assetflow.io.checks",
    "assetflow.io.duckdb_tables", "assetflow.io.managers", "assetflow.run.session",
)  # fmt: skip


def read_acks(path: Path) -> list[dict[str, Any]]:
    """What drivers were told was done; a last line that was cut by a death was not told."""
    if not path.exists():
        return []
    lines = path.read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines]


@contextmanager
def bench(*, native: bool = False) -> Generator[Bench]:
    """A bench in memory where the system has that: the harnesses that drop un-synced writes look at the disk."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="assetflow-faults-", dir=place) as folder:
        yield Bench(Path(folder), native=native)


def copy_of_beginning(scenario: str, folder: Path) -> None:
    """Copy the store that a scenario begins with, and what was acknowledged about it, into a folder."""
    with bench() as place:
        place.begin(SCENARIOS[scenario])
        shutil.copytree(place.folder / "templates" / scenario, folder, symlinks=True, dirs_exist_ok=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one scenario in this very process, for harnesses that look at its system calls."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.driver")
    parser.add_argument("folder", type=Path)
    parser.add_argument("scenario", choices=[*SCENARIOS, "recover"])
    parser.add_argument("--ack", type=Path)
    parser.add_argument("--sabotage")
    parser.add_argument("--native", action="store_true")
    parser.add_argument("--prepare", action="store_true", help="make the project and the store it begins with, and end")
    given = parser.parse_args(arguments)
    acks = Acks(given.ack or given.folder / "acks")
    if given.prepare:
        workload.make(given.folder, native=given.native)
    project = Project.load(given.folder)
    if given.prepare:
        SCENARIOS[given.scenario].prepare(project, acks)
        SCENARIOS[given.scenario].harm(project, acks)
        return 0
    act = materialize if given.scenario == "recover" else SCENARIOS[given.scenario].act
    facts = run_here(act, project, acks, None, given.sabotage, None)
    if "error" in facts:
        sys.stderr.write(f"{facts['error']}\n")
        return 1 if facts["is_ours"] else 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
