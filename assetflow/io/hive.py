"""Partitions where other programs look for them: a folder for each asset, with the values of partitions in its paths.

`.assetflow/views/dev/orders/day=2026-01-05/data.parquet` is what is current of that day. pandas, Arrow, DuckDB, Polars
and Spark read such a folder as one table, and only the files that a filter needs. The files are second names of those
of the versions, or copies where the file system has none; a partition changes in one step. All of it is derived from
the catalog. This file knows names and files; which versions are current is the caller's to say.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast
from uuid import uuid4

from assetflow.errors import AssetflowError
from assetflow.files import Files
from assetflow.io.warehouse import exclusive, write_note

if TYPE_CHECKING:  # every run asks whether there are folders, and most projects have none
    from assetflow.partitions.definition import Definition

NOTE = "_folders.json"
_DATA = "data.parquet"
_NAMES = {"hourly": "hour", "daily": "day", "weekly": "week", "monthly": "month"}
_OTHER = "partition"
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-.~+@")
_LONGEST = 255  # bytes in the name of a folder
_ONE_BY_ONE = 200  # folders that are synced by themselves; of more, everything is

Place = tuple[str, str]
"""The folder of a partition below that of its asset, and the file of its version."""


def names_for(definition: Definition, columns: Iterable[str]) -> list[str]:
    """What the folders are called for each axis: its name, or what a partition is.

    Readers add these as columns. A table that has such a column itself keeps it: then the folders get another name,
    because not every reader takes two columns of one name, and case counts for some of them only.

    Example:
        >>> from assetflow.partitions.windows import Daily
        >>> names_for(Daily("2026-01-01"), ["amount"]), names_for(Daily("2026-01-01"), ["Day"])
        (['day'], ['day_key'])
    """
    from assetflow.partitions.cells import axes_of

    taken = {column.lower() for column in columns}
    found: list[str] = []
    for axis, one in axes_of(definition).items():
        name = axis or _NAMES.get(one.kind, _OTHER)
        while name.lower() in taken:
            name += "_key"
        taken.add(name.lower())
        found.append(name)
    return found


def folder_of(names: Iterable[str], key: str) -> str | None:
    """The folder of a partition, such as `airport=JFK/day=2026-01-05`; None when a name is too long for a folder.

    Source: Hive's rule, which all its readers know: what may not stand in a path is written as `%2F`.

    Example:
        >>> folder_of(["region"], "a/b 100%")
        'region=a%2Fb%20100%25'
    """
    from assetflow.partitions.named import BETWEEN

    parts = [f"{name}={_escaped(value)}" for name, value in zip(names, key.split(BETWEEN), strict=True)]
    return "/".join(parts) if all(len(part.encode()) <= _LONGEST for part in parts) else None


def _escaped(value: str) -> str:
    plain = "".join(one if one in _PLAIN or ord(one) > 127 else f"%{ord(one):02X}" for one in value)
    return f"{plain[:-1]}%2E" if plain.endswith(".") else plain  # Windows drops a dot at the end


class PartitionFolders:
    """The folders of an environment below `folder`, over the Parquet versions below `root`."""

    def __init__(self, folder: Path, root: Path, env: str, files: Files | None = None) -> None:
        self._folder, self._root, self._env = folder, root, env
        self._files = files or Files()
        self._changed: set[Path] = set()

    @property
    def path(self) -> Path:
        """The folder with those of all assets."""
        return self._folder / self._env

    def asset_path(self, asset: str) -> Path:
        """The folder of an asset."""
        return self.path / asset

    @contextmanager
    def exclusive(self) -> Generator[None]:
        """Queue our own threads and processes at the folders: hold this from reading the catalog to `write_note`."""
        self._files.make_directory(self.path)
        with exclusive(self._folder / f"{self._env}.folders"):
            yield

    def note(self) -> Mapping[str, object]:
        """What was noted when the folders were last brought up to date; empty when nothing says so."""
        try:
            found = json.loads((self.path / NOTE).read_bytes())
        except (OSError, ValueError):
            return {}
        note = cast("dict[str, object]", found) if isinstance(found, dict) else {}
        return note if note.get("storage") == str(self._root) else {}

    def write_note(self, note: Mapping[str, object]) -> None:
        """See that what was changed is on the disk, and note what the folders now show."""
        folders, self._changed = self._changed, set()
        if len(folders) > _ONE_BY_ONE:
            self._files.sync_all()
        else:
            for one in folders:
                if one.is_dir():
                    self._files.sync_directory(one)
        write_note(self._files, self.path / NOTE, {"storage": str(self._root), **note})

    def state(self, asset: str) -> list[int]:
        """What the folder of an asset looks like from outside: it changes when something in it comes or goes."""
        try:
            found = self.asset_path(asset).stat()
        except OSError:
            return []
        return [found.st_mtime_ns, found.st_ino]

    def named(self, names: Iterable[str], keys: Iterable[str]) -> list[str]:
        """The folders of these partitions, as far as they have names."""
        return [folder for key in keys if (folder := folder_of(names, key)) is not None]

    def place(self, names: Iterable[str], key: str, location: str) -> Place | None:
        """Where a version of a partition is to be shown; None when that has no name."""
        folder = folder_of(names, key)
        return None if folder is None else (folder, f"{self._root}/{location}/{_DATA}")

    def differing(self, asset: str, places: Iterable[Place]) -> tuple[list[Place], list[str]]:
        """The places whose file is not that of their version, and what is in the folder that is none of them."""
        base, others = self.asset_path(asset), _files_below(str(self.asset_path(asset)))
        here = base.stat().st_dev if others else 0
        wrong: list[Place] = []
        for folder, file in places:
            name = f"{folder}/{_DATA}"
            inode = others.get(name)
            try:
                wanted = os.stat(file)  # noqa: PTH116 - a hundred thousand times
            except OSError:
                continue  # what is shown there is among the others
            others.pop(name, None)
            is_same = (wanted.st_ino, wanted.st_dev) == (inode, here)
            if not is_same and not _is_shown(Path(file), base / name):
                wrong.append((folder, file))
        return wrong, [*others]

    def show(self, asset: str, places: Iterable[Place]) -> int:
        """Make the files of these places those of their versions; how many changed. No other place is touched.

        Raises:
            DiskFull, NotWritable, StorageFailed: the disk refused; what was shown before stays.
        """
        base = self.asset_path(asset)
        return sum(self._show(base / folder, Path(file)) for folder, file in places)

    def hide(self, asset: str, folders: Iterable[str]) -> int:
        """Remove the files of these partitions, and the folders that are then empty; how many there were."""
        base = self.asset_path(asset)
        return sum(self._remove(base / folder / _DATA) for folder in folders)

    def remove(self, asset: str, files: Iterable[str]) -> int:
        """Remove these files, and the folders that are then empty; how many there were."""
        base = self.asset_path(asset)
        return sum(self._remove(base / file) for file in files)

    def keep_only(self, assets: Collection[str]) -> None:
        """Remove the folders of all other assets."""
        if not self.path.is_dir():
            return
        for entry in list(self.path.iterdir()):
            if entry.name not in assets and entry.is_dir():
                self._files.remove_tree(entry)

    def drop(self) -> None:
        """Remove everything, when nothing is to be shown."""
        with suppress(AssetflowError):  # what cannot be removed is looked at again the next time
            self._files.remove_tree(self.path)

    def _show(self, folder: Path, file: Path) -> bool:
        target = folder / _DATA
        if _is_shown(file, target):
            return False
        if not file.exists():
            return self._remove(target)
        is_new = not os.path.lexists(target)
        if is_new:
            self._make(folder)
        self._changed.add(folder)
        if is_new and self._files.link(file, target):
            return True
        aside = self._folder / f"{uuid4().hex}.aside"
        try:
            if not self._files.link(file, aside):
                self._files.copy_tree(file, aside)
            self._files.replace(aside, target)
        finally:
            self._files.remove_tree(aside)
        return True

    def _make(self, folder: Path) -> None:
        """Make a folder, and have the names of all that were made on the way synced."""
        self._files.make_directory(folder)
        while folder != self.path and (folder := folder.parent) not in self._changed:
            self._changed.add(folder)

    def _remove(self, target: Path) -> bool:
        if not os.path.lexists(target):
            return False
        self._files.remove_tree(target)
        folder = target.parent
        while folder != self.path and folder.is_relative_to(self.path):
            self._changed.add(folder.parent)
            if next(folder.iterdir(), None) is not None:
                break
            self._files.remove_tree(folder)
            folder = folder.parent
        return True


def _is_shown(file: Path, target: Path) -> bool:
    """Whether the target is the file by another name, or a copy of it; also when neither is there."""
    try:
        wanted = file.stat()
    except OSError:
        return not os.path.lexists(target)
    try:
        found = target.lstat()
    except OSError:
        return False
    if (wanted.st_ino, wanted.st_dev) == (found.st_ino, found.st_dev):
        return True
    if wanted.st_size != found.st_size:
        return False
    from filecmp import cmp

    return cmp(file, target, shallow=False)


def _files_below(base: str, above: str = "") -> dict[str, int]:
    """The inodes of all files in a folder and those below it, by their paths from there."""
    found: dict[str, int] = {}
    try:
        with os.scandir(base) as entries:
            inside = [(entry.name, entry.inode(), entry.is_dir(follow_symlinks=False)) for entry in entries]
    except FileNotFoundError:
        return found
    for name, inode, is_folder in inside:
        if is_folder:
            found |= _files_below(f"{base}/{name}", f"{above}{name}/")
        else:
            found[f"{above}{name}"] = inode
    return found
