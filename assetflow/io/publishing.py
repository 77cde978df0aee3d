"""From what is staged to a version in the store: its sidecar, the sync, the move. Durable before it is named anywhere.

Many small versions can be published together: they share the waits for the disk, which is most of what they cost.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from assetflow.errors import AssetflowError
from assetflow.files import Files, storage_error, tree_files
from assetflow.io.hashing import file_hash
from assetflow.io.sidecar import SIDECAR, sidecar_bytes
from assetflow.model.keys import AssetKey
from assetflow.model.records import NewVersion

if TYPE_CHECKING:
    from assetflow.whole_disk import WholeDisk

_TOGETHER = 3
"""So many versions are worth a sync of all that was written."""


class Staged(Struct, frozen=True):
    """A value that is written but not published; `directory` is None for what lives in the process.

    It is durable, unless it `is_synced_later`: then that is done when it is published.
    """

    key: AssetKey
    partition: str
    io: str
    directory: Path | None
    data_hash: str
    rows: int | None
    size_bytes: int | None
    schema: Mapping[str, str]
    columns: Mapping[str, str]
    details: Mapping[str, object]
    files: Mapping[str, str]
    sizes: Mapping[str, int]
    is_synced_later: bool = False


class Prepared(Struct, frozen=True):
    """A staged value with its sidecar, and the version that it becomes when it is published."""

    staged: Staged
    version: NewVersion

    @property
    def directory(self) -> Path:
        """Where it lies until it is published."""
        assert self.staged.directory is not None, "what lives in the process is not prepared"
        return self.staged.directory


class Publisher:
    """Moves what is staged below `root` to its place."""

    def __init__(self, root: Path, files: Files) -> None:
        self._root, self._files = root, files
        self._durable: set[Path] = set()
        self._disk: WholeDisk | None = None

    def prepare(self, staged: Staged, version: NewVersion, made: Mapping[str, object]) -> Prepared:
        """Write the sidecar of a staged value.

        Raises:
            DiskFull, NotWritable, StorageFailed: the disk refused; the value stays staged.
        """
        directory = staged.directory
        assert directory is not None, "what lives in the process has no sidecar"
        if os.path.lexists(directory / SIDECAR):
            self._files.remove_tree(directory / SIDECAR)  # of a publish that failed half-way
        try:
            sizes = staged.sizes or {
                path.relative_to(directory).as_posix(): path.stat().st_size for path in tree_files(directory)
            }
            files = {name: (size, self._hash_of(staged, directory, name)) for name, size in sizes.items()}
        except OSError as error:
            raise storage_error("reading", Path(str(error.filename or directory)), error) from error
        data = sidecar_bytes(version, asset=staged.key, partition=staged.partition, files=files, made=made)
        self._files.write_bytes(directory / SIDECAR, data, is_durable=not staged.is_synced_later)
        return Prepared(staged, version)

    def publish(self, prepared: Sequence[Prepared]) -> None:
        """Move all to their places for ever; they are durable when the call returns. All or none are published.

        Raises:
            DiskFull, NotWritable, StorageFailed: the disk refused; all stay staged.
        """
        parents = list(dict.fromkeys((self._root / one.version.location).parent for one in prepared))
        for parent in parents:
            self._files.make_directory(parent)
        is_many = len(prepared) >= _TOGETHER
        if not (is_many and self._sync_disk()):
            for one in prepared:
                self._sync(one)
            self._sync_above(parents)
        moved: list[Prepared] = []
        try:
            for one in prepared:
                self._files.rename(one.directory, self._root / one.version.location)
                moved.append(one)
            if not (is_many and self._sync_disk()):
                self._sync_above(parents)
                for parent in parents:
                    self._files.sync_directory(parent)
        except AssetflowError:
            # Not known to be durable, so not published: back to where discarding and sweeping find it.
            for one in moved:
                with suppress(AssetflowError):
                    self._files.rename(self._root / one.version.location, one.directory)
            raise

    def watch(self) -> None:
        """From now on many versions can be synced together: what is written after this is covered."""
        if self._disk is None:
            from assetflow.whole_disk import WholeDisk

            self._files.make_directory(self._root)
            self._disk = WholeDisk(self._root)

    def _sync_disk(self) -> bool:
        return self._disk is not None and self._files.sync_disk(self._disk)

    def _sync(self, one: Prepared) -> None:
        """Get the files of a folder and their names onto the disk."""
        if one.staged.is_synced_later:
            for path in _files_in(one.directory):
                self._files.sync_path(path)
        self._files.sync_directory(one.directory)

    def _sync_above(self, directories: Iterable[Path]) -> None:
        """Sync every name on the way to the directories once in the life of this object.

        That a folder is there says nothing: who made it may have been killed before it synced the one above.
        """
        for directory in directories:
            place = directory
            while place not in self._durable and place != self._root.parent:
                self._files.sync_directory(place.parent)
                self._durable.add(place)
                place = place.parent

    def _hash_of(self, staged: Staged, directory: Path, name: str) -> str:
        return staged.files.get(name) or file_hash(directory / name, self._files.hash)


def _files_in(directory: Path) -> Iterable[Path]:
    try:
        return list(tree_files(directory))
    except OSError as error:
        raise storage_error("reading", directory, error) from error
