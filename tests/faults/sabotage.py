"""Sabotage builds: assetflow with one of its precautions taken out. Each must be caught, or a harness is blind.

python -m tests.faults.profile sabotage [NAME...]
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assetflow.catalog import database, journal, rows
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.locks import FileLock
from assetflow.errors import AssetflowError
from assetflow.files import Files
from assetflow.io import storage
from assetflow.run import locks, session


@dataclass(frozen=True, slots=True)
class Sabotage:
    """What is taken out, and the harnesses of which at least one must see it."""

    apply: Callable[[], None]
    caught_by: tuple[str, ...]
    scenario: str = "changed"
    """The scenario in which kills and errors show it."""


def apply(name: str) -> None:
    """Take it out of this process, for ever: only for a child."""
    SABOTAGES[name].apply()


# The patches replace methods with functions of any signature, which is what Any is for.


def _no_fsync_file() -> None:
    def sync_file(self: Files, handle: Any, *_: Any, **__: Any) -> None:
        handle.flush()

    _replace(Files, "sync_file", sync_file)


def _no_fsync_dir() -> None:
    _replace(Files, "sync_directory", lambda *_, **__: None)


def _no_sync_of_all() -> None:
    _replace(Files, "sync_disk", lambda *_: True)


def _sync_off() -> None:
    connect = sqlite3.connect

    def careless(*arguments: Any, **options: Any) -> sqlite3.Connection:
        base: Any = options.pop("factory", sqlite3.Connection)

        class Connection(base):
            def execute(self, sql: str, *rest: Any) -> Any:
                if sql.startswith("PRAGMA synchronous"):
                    sql = "PRAGMA synchronous = OFF"
                return super().execute(sql, *rest)

        return connect(*arguments, factory=Connection, **options)

    sqlite3.connect = careless


def _pointer_first() -> None:
    waiting: list[Callable[[], None]] = []
    rename = Files.rename

    def later(self: Files, source: Path, target: Path, *rest: Any) -> None:
        if source.parent.name == "tmp":
            waiting.append(lambda: rename(self, source, target, *rest))
        else:
            rename(self, source, target, *rest)

    _replace(Files, "rename", later)
    _after_each_transaction(waiting)


def _commit_before_journal() -> None:
    waiting: list[Callable[[], None]] = []
    append = journal.Journal.append

    def later(self: journal.Journal, record: journal.Record) -> None:
        waiting.append(lambda: append(self, record))

    _replace(journal.Journal, "append", later)
    _after_each_transaction(waiting)


def _after_each_transaction(waiting: list[Callable[[], None]]) -> None:
    transaction = database.Database.transaction

    @contextmanager
    def sabotaged(self: database.Database, **options: Any) -> Generator[None]:
        with transaction(self, **options):
            yield
        while waiting:
            waiting.pop(0)()

    _replace(database.Database, "transaction", sabotaged)


def _no_journal() -> None:
    _replace(journal.Journal, "append", lambda *_: None)


def _glued_lines() -> None:
    def append_line(self: Files, path: Path, line: bytes, *_: Any) -> None:
        with path.open("ab") as handle:
            self.write(handle, line + b"\n")
            self.sync_file(handle)

    _replace(Files, "append_line", append_line)


def _no_sidecar() -> None:
    _replace(storage.Storage, "_write_sidecar", lambda *_, **__: None)


def _no_cas() -> None:
    found = rows.queries()
    found["move_head"] = found["move_head"].replace("AND trace_id = ?", "AND (trace_id = ? OR 1)")


def _no_fencing() -> None:
    _replace(Catalog, "_must_be_running", lambda *_: None)


def _no_run_lock() -> None:
    import os

    def own_lock(settings: Any, env: str) -> FileLock:
        return FileLock(settings.state_path / "locks" / f"run-{env}-{os.getpid()}.lock")

    _replace(locks, "run_lock", own_lock)
    _replace(session, "run_lock", own_lock)


def _only_newest() -> None:
    rename = Files.rename

    def replacing(self: Files, source: Path, target: Path, *rest: Any) -> None:
        if source.parent.name == "tmp":
            for older in target.parent.iterdir():
                shutil.rmtree(older)
        rename(self, source, target, *rest)

    _replace(Files, "rename", replacing)


def _piecemeal_publish() -> None:
    rename = Files.rename

    def copying(self: Files, source: Path, target: Path, *rest: Any) -> None:
        if source.parent.name != "tmp":
            rename(self, source, target, *rest)
            return
        self.make_directory(target)
        for file in sorted(source.iterdir()):
            (target / file.name).write_bytes(file.read_bytes())
        self.remove_tree(source)

    _replace(Files, "rename", copying)


def _shared_staging() -> None:
    from types import SimpleNamespace

    _replace(storage, "uuid4", lambda: SimpleNamespace(hex="0" * 32))


def _sweep_live() -> None:
    _replace(session, "_alive", lambda *_: [])


def _no_sweep() -> None:
    _replace(storage.Storage, "sweep", lambda *_: 0)


def _fsync_errors_ignored() -> None:
    sync_file = Files.sync_file

    def careless(self: Files, *arguments: Any, **options: Any) -> None:
        with suppress(OSError, AssetflowError):
            sync_file(self, *arguments, **options)

    _replace(Files, "sync_file", careless)


def _errors_unmapped() -> None:
    @contextmanager
    def unmapped(*_: object) -> Generator[None]:
        yield

    _replace(database, "mapped", unmapped)


def _gc_ignores_references() -> None:
    from msgspec.structs import replace

    from assetflow.care import removal

    found = removal.judge

    def judge(uses: Any, *rest: Any) -> Any:
        return found([replace(use, is_current=False, made_from=()) for use in uses], *rest)

    _replace(removal, "judge", judge)
    _replace(removal, "needed", lambda *_: frozenset[int]())


def _no_store_lock() -> None:
    _replace(session, "store_lock", lambda settings: FileLock(settings.state_path / "locks" / "another.lock"))


def _replace(owner: Any, name: str, value: Any) -> None:
    assert hasattr(owner, name), f"{owner} has no {name} to sabotage any more"
    setattr(owner, name, value)


SABOTAGES = {
    "no_fsync_file": Sabotage(_no_fsync_file, ("power",)),
    "no_fsync_dir": Sabotage(_no_fsync_dir, ("power",)),
    "no_sync_of_all": Sabotage(_no_sync_of_all, ("power",), "together"),
    "sync_off": Sabotage(_sync_off, ("power",)),
    "pointer_first": Sabotage(_pointer_first, ("kills",)),
    "commit_before_journal": Sabotage(_commit_before_journal, ("kills",)),
    "no_journal": Sabotage(_no_journal, ("kills",)),
    "glued_lines": Sabotage(_glued_lines, ("kills",)),
    "no_sidecar": Sabotage(_no_sidecar, ("kills",)),
    "only_newest": Sabotage(_only_newest, ("kills",)),
    "piecemeal_publish": Sabotage(_piecemeal_publish, ("kills",)),
    "shared_staging": Sabotage(_shared_staging, ("kills",)),
    "no_sweep": Sabotage(_no_sweep, ("kills",)),
    "fsync_errors_ignored": Sabotage(_fsync_errors_ignored, ("errors",)),
    "errors_unmapped": Sabotage(_errors_unmapped, ("errors",)),
    "no_cas": Sabotage(_no_cas, ("races",)),
    "no_fencing": Sabotage(_no_fencing, ("races",)),
    "no_run_lock": Sabotage(_no_run_lock, ("races",)),
    "gc_ignores_references": Sabotage(_gc_ignores_references, ("kills",), "gc-rolled-back"),
    "no_store_lock": Sabotage(_no_store_lock, ("races",)),
    "unchecked_reads": Sabotage(lambda: None, ("rot",)),  # rot.py takes the checks out of readers itself
    "sweep_live": Sabotage(_sweep_live, ("races",)),
}
"""By name. `power` and `rot` need their harnesses; see profile.py for how each is called."""
