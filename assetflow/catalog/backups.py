"""Rolling copies of the catalog in `backups/`: one for each hour in which something was written.

The journal already holds what the catalog does; a backup also has the history of runs, and is a second place.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from msgspec import Struct

from assetflow.catalog.database import SCHEMA_VERSION, backup, mapped
from assetflow.catalog.locks import FileLock
from assetflow.files import Files

HOURLY, DAILY = 24, 14
"""The newest backups that stay: so many of different hours, and so many of different days."""

LARGEST_BYTES = 2 << 30
"""Catalogs larger than this are not copied: that would take longer than a run should wait for it."""

_SHAPE = "%Y%m%dT%H"


class Backup(Struct, frozen=True):
    """One backup and when it was made, in UTC seconds."""

    path: Path
    made_at: float


def back_up(catalog: Path, at: float, files: Files | None = None) -> Path | None:
    """The backup of this hour, made now; None when there is one already, or nothing to back up.

    Raises:
        DiskFull, NotWritable, StorageFailed, DamagedCatalog: it could not be made. The others are untouched.
    """
    hour = datetime.fromtimestamp(at, UTC).strftime(_SHAPE)
    with mapped(catalog):
        if backup_path(catalog, hour).exists():
            _remove_unfinished(catalog)
            return None
        if not 0 < _size(catalog) <= LARGEST_BYTES:
            return None
        with FileLock(catalog.with_name("catalog.lock")) as lock:
            if not lock.acquire():  # somebody writes; who comes next makes it
                return None
            uri = catalog.resolve().as_uri() + "?mode=ro"
            with closing(sqlite3.connect(uri, uri=True, timeout=10.0)) as connection:
                made = backup(connection, catalog, hour)
        made.chmod(0o600)
    syncing = files or Files()
    syncing.sync_directory(made.parent)
    prune(catalog, syncing)
    return made


def unfinished(catalog: Path) -> list[Path]:
    """What a process left that died while it made a backup."""
    try:
        return list(backup_path(catalog, "").parent.glob("*.new"))
    except OSError:  # who cannot look has nothing to tidy up
        return []


def _remove_unfinished(catalog: Path) -> None:
    left = unfinished(catalog)
    if left:
        with FileLock(catalog.with_name("catalog.lock")) as lock:
            if lock.acquire():
                for path in left:
                    path.unlink(missing_ok=True)


def backups(catalog: Path) -> list[Backup]:
    """The hourly backups of a catalog, newest first."""
    found: list[Backup] = []
    for path in backup_path(catalog, "").parent.glob(f"{catalog.stem}-*{catalog.suffix}"):
        try:
            made = datetime.strptime(path.stem.removeprefix(f"{catalog.stem}-"), _SHAPE).replace(tzinfo=UTC)
        except ValueError:  # one that a migration made, which stays for ever
            continue
        found.append(Backup(path, _minute(path, made.timestamp())))
    return sorted(found, key=lambda one: -one.made_at)


def _minute(path: Path, hour: float) -> float:
    """When it was made: the name says the hour, and the file the moment, unless something touched it since."""
    try:
        written = path.stat().st_mtime
    except OSError:  # pruned by another process in this moment
        return hour
    return written if hour <= written < hour + 3600 else hour


def newest_good(catalog: Path) -> Backup | None:
    """The newest backup that is whole and that this version can read."""
    return next((one for one in backups(catalog) if _is_good(one.path)), None)


def prune(catalog: Path, files: Files) -> int:
    """Remove the backups that neither the hourly nor the daily rule keeps; how many they were."""
    found = backups(catalog)
    kept = {one.path for one in found[:HOURLY]}
    days: dict[str, Path] = {}
    for one in found:
        days.setdefault(datetime.fromtimestamp(one.made_at, UTC).strftime("%Y%m%d"), one.path)
    kept.update(list(days.values())[:DAILY])
    going = [one.path for one in found if one.path not in kept]
    for path in going:
        files.remove_tree(path)
    return len(going)


def backup_path(catalog: Path, name: str) -> Path:
    """Where the backup of this name lies."""
    return catalog.parent / "backups" / f"{catalog.stem}-{name}{catalog.suffix}"


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _is_good(path: Path) -> bool:
    try:
        with closing(sqlite3.connect(path.resolve().as_uri() + "?mode=ro&immutable=1", uri=True)) as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            return 0 < version <= SCHEMA_VERSION and connection.execute("PRAGMA quick_check").fetchone() == ("ok",)
    except sqlite3.Error:
        return False
