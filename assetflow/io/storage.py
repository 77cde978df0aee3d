"""The store: values are staged in private, published in one step, and read back checked.

A version goes through write, maybe `read_staged` (checks), then publish or discard. What is published is durable before
`publish` returns and never changes; naming it in the catalog is the caller's next step.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from assetflow.errors import AssetflowError, BadConfig, DamagedVersion, WarehouseLocked, WrongReturn, did_you_mean
from assetflow.files import Files, fresh_name, size_of
from assetflow.io.base import IOManager, Target, Want, Written
from assetflow.io.folders import folder_name
from assetflow.io.handover import LARGEST_BYTES, Handed
from assetflow.io.mapped import note_stored
from assetflow.io.publishing import Prepared, Publisher, Staged
from assetflow.model.keys import AssetKey
from assetflow.model.records import NewVersion, Version

if TYPE_CHECKING:
    from assetflow.io.connection import OwnConnection
    from assetflow.io.duckdb_tables import DuckDBIO
    from assetflow.io.duckdb_views import Surface

_STAGING = re.compile(r"(\d+)-([0-9a-f]{32})\Z")
_MARKERS = {"parquet": "data.parquet", "duckdb": "table.txt", "json": "value.json", "pickle": "value.pickle"}
"""The file that a built-in manager leaves in the folder of every version."""


class Storage:
    """All values of a project: a folder of immutable versions, and a DuckDB file for those who want tables in one.

    `managers` adds to the built-in IO managers or replaces them by name. `hash` names the algorithm for what is written
    (`files` brings its own); what is there is checked with the one that it was written with. Nothing is opened or made
    until it is needed. `owner`, some hexadecimal digits, marks what is staged, so that `sweep` finds it again.

    Example:
        >>> storage = Storage(Path("store"), warehouse=Path("warehouse.duckdb"))
        >>> staged = storage.write(
        ...     {"a": 1}, key="facts", partition="", io="parquet", io_is_explicit=False, declared=None, run_id=1
        ... )  # doctest: +SKIP
    """

    def __init__(  # noqa: PLR0913 - what a project says about its storage, by keyword
        self,
        root: Path,
        *,
        warehouse: Path,
        allow_pickle: bool = False,
        managers: Mapping[str, IOManager] | None = None,
        files: Files | None = None,
        hash: str = "xxh3",
        duckdb: str = "native",
        views: Path | None = None,
        owner: str = "",
    ) -> None:
        self._root, self._warehouse, self._allow_pickle = root, warehouse, allow_pickle
        self._given = dict(managers or {})
        self._made: Mapping[str, IOManager] | None = None
        self._files = files or Files(hash)
        self._publisher = Publisher(root, self._files)
        self._views = views if duckdb == "views" and views is not None else None
        self._owner = owner

    @property
    def root(self) -> Path:
        """The folder of the versions."""
        return self._root

    def write(  # noqa: PLR0913 - what an asset says and what a run does, by keyword
        self,
        value: object,
        *,
        key: AssetKey,
        partition: str,
        io: str,
        io_is_explicit: bool,
        declared: str | None,
        run_id: int,
        is_synced_later: bool = False,
        inputs: Iterable[Version] = (),
    ) -> Staged:
        """Write the value into a private staging directory, durably when the call returns; an error leaves nothing.

        What is small need not be durable before it is published when it `is_synced_later`. `inputs` are versions that
        it was made of: what is stored of them need not be encoded again.

        Raises:
            WrongReturn: a table was declared and something else returned.
            CannotStore, NotExact: the value cannot be stored, or not so that it comes back exactly.
            DiskFull, NotWritable, StorageFailed: the disk refused.
        """
        name = "parquet" if isinstance(value, Handed) else self._name_of(value, io, io_is_explicit, declared, key)
        manager = self._manager(name)
        if getattr(manager, "in_process", False):
            written = manager.write(value, Target(key, partition, self._root))
            return _staged(key, partition, name, None, written, None)
        directory = self.scratch(run_id)
        is_synced_later = is_synced_later and os.name != "nt"  # there a file that is read-only cannot be synced
        try:
            known = tuple((one, self._root / one.location) for one in inputs if one.io == name)
            if isinstance(value, Handed) and value.sealed is not None:
                known += tuple(value.sealed.stored())
            written = manager.write(value, Target(key, partition, directory, is_synced_later, known))
            size_bytes = sum(written.sizes.values()) if written.sizes else size_of(directory)
        except BaseException:
            self._remove_quietly(directory)
            raise
        return _staged(key, partition, name, directory, written, size_bytes, is_synced_later=is_synced_later)

    def scratch(self, run_id: int) -> Path:
        """A new folder of this run for what is not to be published; whoever asked for it removes it.

        Raises:
            DiskFull, NotWritable, StorageFailed: the disk refused.
        """
        directory = self._root / "tmp" / f"{run_id}-{self._owner}{fresh_name()[len(self._owner) :]}"
        self._files.make_directory(directory)
        return directory

    def hand_on(
        self, value: object, *, key: AssetKey, io: str, io_is_explicit: bool, declared: str | None,
        most_bytes: int = LARGEST_BYTES,
    ) -> Handed | None:  # fmt: skip
        """The value hashed, so that others can have it from memory before `write` is given it; None when they cannot.

        With more than `most_bytes` they cannot.

        Raises:
            WrongReturn: a table was declared and something else returned.
            CannotStore, NotExact: the value cannot be stored, or not so that it comes back exactly.
        """
        name = self._name_of(value, io, io_is_explicit, declared, key)
        if name != "parquet" or name in self._given:
            return None
        from assetflow.io.handover import handed

        return handed(value, key, self._files.hash, most_bytes)

    def read_staged(self, staged: Staged, want: Want) -> object:
        """The staged value as readers will get it after it is published."""
        directory = staged.directory or self._root
        return self._manager(staged.io).read(_as_version(staged, str(directory)), directory, want)

    def publish(self, staged: Staged, made: Mapping[str, object] | None = None) -> NewVersion:
        """Move the staged value to its place for ever; it is durable when the call returns.

        `made` says by whom and of what, JSON-able: it goes into the sidecar beside the bytes.

        Raises:
            WarehouseLocked: another program holds the DuckDB file; the value stays staged.
            DiskFull, NotWritable, StorageFailed: the disk refused; the value stays staged.
        """
        prepared = self.prepare(staged, made)
        if isinstance(prepared, Prepared):
            self.publish_all([prepared])
            return prepared.version
        return prepared

    def prepare(self, staged: Staged, made: Mapping[str, object] | None = None) -> Prepared | NewVersion:
        """All of `publish` but the sync and the move, which `publish_all` does; the version where there is no move.

        Raises:
            WarehouseLocked, DiskFull, NotWritable, StorageFailed: as `publish`.
        """
        if staged.directory is None:
            return _new_version(staged, "", staged.size_bytes)
        identity = fresh_name()[:12]
        digest = staged.data_hash.rpartition(":")[2][:16]
        location = f"{'/'.join(staged.key.split('.'))}/{folder_name(staged.partition)}/{digest}-{identity}"
        manager = self._manager(staged.io)
        if hasattr(manager, "publish"):
            cast("DuckDBIO", manager).publish(_as_version(staged, location), staged.directory, identity)
        return self._publisher.prepare(staged, _new_version(staged, location, staged.size_bytes), made or {})

    def publish_all(self, prepared: Sequence[Prepared]) -> None:
        """Publish what is prepared, all of it or nothing; it is durable when the call returns.

        Raises:
            DiskFull, NotWritable, StorageFailed: the disk refused; all of it stays staged.
        """
        self._publisher.publish(prepared)
        for one in prepared:
            note_stored(_as_version(one.staged, one.version.location), self._root / one.version.location)

    def watch_disk(self) -> None:
        """Be ready to publish many small versions together: what is written from now on can be synced as one."""
        self._publisher.watch()

    def discard(self, staged: Staged) -> None:
        """Remove what was staged."""
        manager, version = self._manager(staged.io), _as_version(staged, "")
        if staged.directory is None:
            manager.delete(version, self._root)
            return
        if hasattr(manager, "publish"):
            try:
                manager.delete(version, staged.directory)  # what a publish that failed late has loaded
            except WarehouseLocked:
                return  # `sweep` finds it after the run
        self._files.remove_tree(staged.directory)

    def read(self, version: Version, want: Want) -> object:
        """The value of a published version in the form that is wanted.

        Raises:
            DamagedVersion: it is missing or is not what was written.
            ContractBroken: a wanted column is not there, or the value cannot take the form.
        """
        return self._manager(version.io).read(version, self._root / version.location, want)

    def convert(self, value: object, want: Want, *, key: str) -> object:
        """A value that was never stored, such as what a source's function loaded, in the form that is wanted.

        Raises:
            ContractBroken: a wanted column is not there, or the value cannot take the form.
            NotExact, CannotStore: something of a table would be lost on the way.
        """
        from assetflow.io.arrow import convert

        return convert(value, want, key)

    def parquet_files(self, version: Version) -> tuple[Path, ...]:
        """The Parquet files of a version that SQL can read directly; none when it is stored in another way.

        Every byte of them was just read and checked, because DuckDB ignores the checksums of pages.

        Raises:
            DamagedVersion: the files are missing or are not what was written.
        """
        if version.io != "parquet" or version.io in self._given:
            return ()
        directory = self._root / version.location
        from assetflow.io.parquet import check_file, damage

        data = directory / _MARKERS["parquet"]
        with damage(version):
            check_file(version, data)
        return (data,)

    def exists(self, version: Version) -> bool:
        """Whether the version's files are there, by one look at the folder; `verify` looks at the content."""
        if not version.location:
            return version.io != "memory" or not self._manager("memory").verify(version, self._root, deep=False)
        if version.io == "duckdb" and version.io not in self._given:
            return cast("DuckDBIO", self._manager("duckdb")).exists(version, self._root / version.location)
        marker = "" if version.io in self._given else _MARKERS.get(version.io, "")
        return os.path.exists(f"{self._root}/{version.location}/{marker}")  # noqa: PTH110 - a Path costs more than the look

    def marker(self, io: str) -> str:
        """The file that each version has in its folder; empty where it takes more to tell whether it exists."""
        return "" if io in self._given or io == "duckdb" else _MARKERS.get(io, "")

    def folder(self, key: str) -> str:
        """The folder below the storage folder that has the partitions of an asset, as text with slashes."""
        return "/".join(key.split("."))

    def place(self, version: Version) -> str | None:
        """The file below the storage folder that is there as long as `exists` is true; empty where there is none.

        None when it takes more than that to tell.
        """
        if version.io in self._given or version.io in ("duckdb", "memory"):
            return None
        return f"{version.location}/{_MARKERS.get(version.io, '')}" if version.location else ""

    def verify(self, version: Version, *, deep: bool = False) -> list[str]:
        """What is wrong with the version, as sentences; empty when all is well. `deep` reads and hashes the content."""
        directory = self._root / version.location
        if version.location and not directory.exists():
            return [f"the folder {version.location} is missing"]
        return self._manager(version.io).verify(version, directory, deep=deep)

    def delete(self, version: Version) -> None:
        """Remove the bytes of a version that nothing refers to any more."""
        directory = self._root / version.location
        with suppress(DamagedVersion):  # what is damaged can still be removed
            self._manager(version.io).delete(version, directory)
        if version.location:
            self._files.remove_tree(directory)

    def present(self, surface: Surface) -> None:
        """Show the versions by name to programs that open DuckDB files; nothing happens when they are shown already.

        All partitions of an asset must be given together. What is shown is derived: if this fails, call it again.

        Raises:
            WarehouseLocked: another program holds the DuckDB file.
            StorageFailed, DiskFull, NotWritable: the views could not be made; those that were there stay.
        """
        if self._views is None:
            if "duckdb" not in self._given:
                duckdb = cast("DuckDBIO", self._manager("duckdb"))
                duckdb.present(surface, lambda version: self._root / version.location)
            return
        from assetflow.io.duckdb_views import ViewFiles, parquet_names

        files = ViewFiles(self._views, self._root, self._files)
        files.present(surface.env, parquet_names(surface, self._root))

    def shows(self, env: str) -> bool:
        """Whether what `present` made is as it was left, by one look from outside."""
        if self._views is None:
            return True  # a run that changes nothing leaves the views in the warehouse to the next one
        from assetflow.io.duckdb_views import ViewFiles

        return ViewFiles(self._views, self._root, self._files).is_there(env)

    def compact(self) -> int:
        """Give space that the DuckDB file does not need back to the file system; how many bytes that were.

        Raises:
            WarehouseLocked, StorageFailed, DiskFull, NotWritable: the file stays as it was.
        """
        return 0 if "duckdb" in self._given else cast("DuckDBIO", self._manager("duckdb")).compact()

    def has_begun(self) -> bool:
        """Whether somebody, alive or dead, has begun to write something."""
        staging = self._root / "tmp"
        try:
            return staging.is_dir() and any(staging.iterdir())
        except OSError:  # it cannot be looked at just now: whoever then sweeps it says so
            return True

    def sweep(self, alive_runs: Collection[int], dead_owner: str | None = None, spared: Collection[str] = ()) -> int:
        """Remove the staging directories of runs that are not alive; how many were removed.

        With `dead_owner` only those of this owner, whatever has become of its run, but not those with `spared` names.

        What was being loaded into the DuckDB file stays for the next time while another program holds that file.
        """
        staging = self._root / "tmp"
        if not staging.is_dir():
            return 0
        dead = [
            entry
            for entry in staging.iterdir()
            if (match := _STAGING.match(entry.name))
            and (int(match[1]) not in alive_runs if dead_owner is None else match[2].startswith(dead_owner))
            and entry.name not in spared
        ]
        loading = {entry: table for entry in dead if (table := _text_of(entry / _MARKERS["duckdb"])) is not None}
        if loading and hasattr(self._manager("duckdb"), "drop"):
            try:
                cast("DuckDBIO", self._manager("duckdb")).drop(loading.values())
            except WarehouseLocked:
                dead = [entry for entry in dead if entry not in loading]
        for entry in dead:
            self._files.remove_tree(entry)
        return len(dead)

    def connection(self) -> OwnConnection:
        """A DuckDB connection for one step, to be entered: a cursor of the in-memory database that `duckdb.sql` uses.

        Relations made on it can be named in a user's `duckdb.sql(...)`. Several steps may hold one each at a time; what
        one creates is not seen by others, and gone when it is left.
        """
        from assetflow.io.connection import OwnConnection

        return OwnConnection()

    def turn(self) -> AbstractContextManager[None]:
        """Hold this while a function runs that may call `duckdb.sql`: DuckDB refuses two at once on that connection."""
        from assetflow.io.connection import turn

        return turn()

    def _name_of(self, value: object, io: str, is_explicit: bool, declared: str | None, key: AssetKey) -> str:
        """The name of the manager that stores the value."""
        _check_declared(value, declared, key)
        name = io if is_explicit else _manager_for(value, io)
        if name == "duckdb" and self._views is not None and name not in self._given:
            return "parquet"  # in the mode of views DuckDB reads Parquet files
        return name

    def _manager(self, name: str) -> IOManager:
        if name in self._given:
            return self._given[name]
        if self._made is None:
            from assetflow.io.managers import built_in_managers

            self._made = built_in_managers(self._files, warehouse=self._warehouse, allow_pickle=self._allow_pickle)
        if name in self._made:
            return self._made[name]
        known = [*self._given, *self._made]
        raise BadConfig(
            f"there is no IO manager `{name}`",
            facts=(f"known:    {', '.join(sorted(set(known)))}",),
            fix=did_you_mean(name, known),
        )

    def _remove_quietly(self, directory: Path) -> None:
        """Remove what a failed write left; a second failure must not hide the first, and `sweep` comes again."""
        with suppress(AssetflowError):
            self._files.remove_tree(directory)


def _manager_for(value: object, io: str) -> str:
    """The manager for a value whose asset does not say: tables go to `io`, the rest by kind."""
    from assetflow.io.arrow import is_table

    if io not in ("parquet", "duckdb") or is_table(value):
        return io
    if value is None:
        return "none"
    return "file" if isinstance(value, bytes | bytearray | memoryview | Path) else "json"


def _check_declared(value: object, declared: str | None, key: str) -> None:
    """Refuse a value that is not of the kind that the annotation of the function says."""
    from assetflow.io.arrow import is_table
    from assetflow.io.forms import TABLE_FORMS, form_words, value_words

    if declared in TABLE_FORMS:
        fits = is_table(value) or (declared == "records" and isinstance(value, list))
    elif declared in ("path", "bytes"):
        fits = isinstance(value, Path if declared == "path" else bytes)
    else:
        return
    if not fits:
        raise WrongReturn(
            f"`{key}` returned {value_words(value)}; its annotation says {form_words(declared)}",
            fix="add the missing `return`" if value is None else "return what the annotation says, or change it",
        )


def _staged(
    key: AssetKey, partition: str, io: str, directory: Path | None, written: Written, size_bytes: int | None,
    *, is_synced_later: bool = False,
) -> Staged:  # fmt: skip
    return Staged(
        key, partition, io, directory, written.data_hash, written.rows, size_bytes,
        written.schema, written.columns, written.details, written.files, written.sizes, is_synced_later,
    )  # fmt: skip


def _new_version(staged: Staged, location: str, size_bytes: int | None) -> NewVersion:
    return NewVersion(
        staged.data_hash, staged.io, location, staged.rows, size_bytes, staged.schema, staged.columns, staged.details
    )


def _as_version(staged: Staged, location: str) -> Version:
    """The staged value as a version without a number, which is what managers read."""
    return Version(
        version_id=0, asset=staged.key, partition=staged.partition, number=0, data_hash=staged.data_hash, io=staged.io,
        location=location, rows=staged.rows, size_bytes=staged.size_bytes, schema=staged.schema,
        columns=staged.columns, details=staged.details, created_at=0.0,
    )  # fmt: skip


def _text_of(path: Path) -> str | None:
    """What a file says; None when it is not there, or has just been removed by another process."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return None
