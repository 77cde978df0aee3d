"""Assets by their names in a DuckDB file: views over the current versions, and table macros for earlier ones.

The same names are made in the warehouse, over its tables, and in a small file of views alone, over Parquet files. All
of them are derived from the catalog. The file of views is never written in place: a copy is changed and takes its place
in one step, so that a program that has it open neither blocks a run nor is disturbed by one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import replace

from assetflow.errors import AssetflowError, StorageFailed
from assetflow.files import Files, storage_error
from assetflow.io.warehouse import (
    FORMAT,
    OWN_SCHEMA,
    closing,
    disk_errors,
    exclusive,
    identity,
    literal,
    quoted,
    refuse_path,
    write_note,
)
from assetflow.model.keys import UNPARTITIONED, AssetKey
from assetflow.model.records import Version

_TABLES = f"""
CREATE SCHEMA IF NOT EXISTS {OWN_SCHEMA};
CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.shown (
    env VARCHAR, asset VARCHAR, schema_name VARCHAR, view_name VARCHAR, definition VARCHAR);
CREATE TABLE IF NOT EXISTS {OWN_SCHEMA}.versions (
    asset VARCHAR, version INTEGER, is_current BOOLEAN, "rows" BIGINT, path VARCHAR, made_at TIMESTAMP,
    partition VARCHAR, env VARCHAR);
"""
_ALIAS = "_assetflow_views"
_DATA = "data.parquet"
_FILE = "_assetflow_file"


class Surface(Struct, frozen=True):
    """What a DuckDB file is to show of an environment.

    `assets` are those that are declared with io="duckdb"; None takes every version as one of such an asset. `earlier`
    are the versions besides the `current` ones. Names are plain in the environment `home`, the project's own.
    """

    current: tuple[Version, ...]
    earlier: tuple[Version, ...] = ()
    env: str = ""
    home: str = ""
    assets: Collection[AssetKey] | None = None


class Origin(Struct, frozen=True):
    """Where the rows of a version are: SQL that stands after FROM, the same for a macro, and how to call the place."""

    table: str
    chosen: str
    place: str


class Name(Struct, frozen=True):
    """One asset in a DuckDB file: what its view, its macro and its lines in the list of versions say."""

    asset: AssetKey
    schema: str
    view: str
    query: str
    comment: str
    macro: str | None
    rows: tuple[tuple[object, ...], ...]

    @property
    def definition(self) -> str:
        """A digest of all that is made of it."""
        return blake2b(repr(self).encode(), digest_size=16).hexdigest()


def parquet_origin(files: Sequence[Path]) -> Origin:
    """The origin of rows in Parquet files, whose paths DuckDB must not take for patterns."""
    paths = ", ".join(literal(exact_path(file)) for file in files)
    return Origin(f"read_parquet([{paths}], hive_partitioning = false)", f"[{paths}]", str(files[0]))


def exact_path(path: Path) -> str:
    """The path as a pattern that only it fits: DuckDB reads `*`, `?` and `[` as more than letters."""
    text = str(path)
    for mark in ("[", "*", "?"):  # `[` first, because the others bring brackets of their own
        text = text.replace(mark, f"[{mark}]")
    return text


def names_of(surface: Surface, origin: Callable[[Version], Origin | None], chooser: str) -> list[Name]:
    """The names to show. `origin` says where a version's rows are, None for what cannot be shown.

    `chooser` is the table function that takes the `chosen` of an origin, with `{}` for it.

    Raises:
        StorageFailed: two assets have names that differ in nothing but the case of letters.
    """
    current: dict[AssetKey, list[tuple[Version, Origin]]] = {}
    for version in surface.current:
        if (found := origin(version)) is not None:
            current.setdefault(version.asset, []).append((version, found))
    every = {key: {(one.partition, one.number): (one, found) for one, found in pairs} for key, pairs in current.items()}
    for version in surface.earlier:
        known = every.get(version.asset)
        if known is not None and (found := origin(version)) is not None:
            known.setdefault((version.partition, version.number), (version, found))
    names = [_name(surface, key, pairs, list(every[key].values()), chooser) for key, pairs in sorted(current.items())]
    taken: dict[tuple[str, str], AssetKey] = {}
    for one in names:
        other = taken.setdefault((one.schema.lower(), one.view.lower()), one.asset)
        if other != one.asset:
            raise StorageFailed(
                f"`{other}` and `{one.asset}` have the same name in DuckDB, where the case of letters does not count",
                fix="rename one of them",
            )
    return names


def parquet_names(surface: Surface, root: Path) -> list[Name]:
    """The names of the assets of the surface that lie in Parquet files below `root`."""

    def origin(version: Version) -> Origin | None:
        belongs = surface.assets is None or version.asset in surface.assets
        file = root / version.location / _DATA
        return parquet_origin([file]) if belongs and version.io == "parquet" and file.exists() else None

    # Every environment has a file of its own, so the names in it are plain.
    return names_of(replace(surface, home=surface.env), origin, "read_parquet({}, hive_partitioning = false)")


def digest_of(names: Iterable[Name]) -> str:
    """A digest of all that is made of the names."""
    return blake2b(repr([one.definition for one in names]).encode(), digest_size=16).hexdigest()


def apply(connection: Any, env: str, names: Sequence[Name]) -> None:
    """Make the names in the database of the connection, and drop those of the environment that are not wanted any more.

    Raises:
        StorageFailed: something else has the name of an asset.
    """
    catalog = quoted(connection.execute("SELECT current_database()").fetchall()[0][0])
    connection.execute("BEGIN")
    connection.execute(_TABLES)
    rows = connection.execute(
        f"SELECT asset, schema_name, view_name, definition FROM {OWN_SCHEMA}.shown WHERE env = ?",  # noqa: S608
        [env],
    ).fetchall()
    before = {tuple(row[:3]): row[3] for row in rows}
    wanted = {(one.asset, one.schema, one.view): one for one in names}
    for asset, schema, view in before.keys() - wanted.keys():
        _drop(connection, catalog, schema, view)
        _forget(connection, env, asset)
    for place, one in wanted.items():
        if before.get(place) != one.definition:
            _make(connection, catalog, one)
            _forget(connection, env, one.asset)
            connection.execute(
                f"INSERT INTO {OWN_SCHEMA}.shown VALUES (?, ?, ?, ?, ?)",  # noqa: S608 - a constant
                [env, *place, one.definition],
            )
            connection.executemany(
                f"INSERT INTO {OWN_SCHEMA}.versions VALUES (?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608 - a constant
                [[one.asset, *row, env] for row in one.rows],
            )
    connection.execute("COMMIT")


class ViewFiles:
    """The files of views alone, one for each environment, over the Parquet versions below `root`."""

    def __init__(self, folder: Path, root: Path, files: Files | None = None) -> None:
        self._folder = folder
        self._root = str(root)
        self._files = files or Files()

    def path(self, env: str) -> Path:
        """The file of an environment."""
        return self._folder / f"{env or 'views'}.duckdb"

    def files(self, env: str) -> tuple[Path, ...]:
        """What `is_there` looks at: the answer is the same as long as these are as they are."""
        path = self.path(env)
        return (path, path.with_name(f"{path.name}.wal"), self._note_path(env))

    def is_there(self, env: str) -> bool:
        """Whether the file is as we left it, by a look from outside; also when there was nothing to show.

        Views name files by their whole paths: those of a project that was moved are not there any more.
        """
        note = self._note(env)
        return self._is_ours(env, note) if note else not self.path(env).exists()

    def present(self, env: str, names: Sequence[Name]) -> None:
        """Publish the file with these names, unless it has them already.

        Raises:
            StorageFailed, DiskFull, NotWritable: it could not be written; the one that is there stays.
        """
        path, digest = self.path(env), digest_of(names)
        if self._is_same(env, digest) or (not names and not path.exists()):
            return
        refuse_path(path)
        self._files.make_directory(self._folder)
        with exclusive(path):
            if self._is_same(env, digest):
                return
            for rest in self._folder.glob(f"{env or 'views'}.*.aside*"):
                self._files.remove_tree(rest)
            aside = self._folder / f"{env or 'views'}.{uuid4().hex}.aside"
            try:
                self._copy(env, aside)
                self._change(aside, env, names)
                self._files.sync_path(aside)
                content = _hash(aside)
                # What a program wrote into the old file may be in a log, which does not fit the new one.
                self._files.remove_tree(path.with_name(f"{path.name}.wal"))
                self._files.replace(aside, path)
            except BaseException as error:
                with suppress(AssetflowError):
                    self._files.remove_tree(aside)
                if isinstance(error, OSError):
                    raise storage_error("writing", path, error) from error
                raise
            self._files.sync_directory(self._folder)
            note = {"identity": identity(path), "views": digest, "content": content, "storage": self._root}
            write_note(self._files, self._note_path(env), note)

    def _copy(self, env: str, aside: Path) -> None:
        """Begin with what is there, if that is what we wrote; else with nothing. It is derived."""
        note = self._note(env)
        if note and self.path(env).exists():
            self._files.copy_tree(self.path(env), aside)
            if _hash(aside) == note.get("content"):
                aside.chmod(0o644)
            else:
                self._files.remove_tree(aside)

    def _change(self, aside: Path, env: str, names: Sequence[Name]) -> None:
        import duckdb

        with disk_errors(aside), closing(duckdb.connect()) as connection:
            made = "" if aside.exists() else f" ({FORMAT})"
            connection.execute(f"ATTACH {literal(str(aside))} AS {_ALIAS}{made}")
            connection.execute(f"USE {_ALIAS}")
            apply(connection, env, names)
            connection.execute(f"CHECKPOINT {_ALIAS}")
            connection.execute("USE memory")
            connection.execute(f"DETACH {_ALIAS}")

    def _is_same(self, env: str, digest: str) -> bool:
        note = self._note(env)
        return note.get("views") == digest and self._is_ours(env, note)

    def _is_ours(self, env: str, note: Mapping[str, object]) -> bool:
        return note.get("identity") == identity(self.path(env)) and note.get("storage") == self._root

    def _note_path(self, env: str) -> Path:
        return self.path(env).with_suffix(".json")

    def _note(self, env: str) -> Mapping[str, object]:
        try:
            found = json.loads(self._note_path(env).read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _hash(path: Path) -> str:
    from assetflow.io.hashing import file_hash

    return file_hash(path)


def _name(
    surface: Surface,
    key: AssetKey,
    current: Sequence[tuple[Version, Origin]],
    every: Sequence[tuple[Version, Origin]],
    chooser: str,
) -> Name:
    schema, _, view = key.rpartition(".")
    schema = schema or "main"
    if surface.env != surface.home:
        schema = f"{surface.env}__{schema}"
    shown = {version.location for version, _ in current}
    rows = tuple(
        (
            version.number, version.location in shown, version.rows, found.place,
            datetime.fromtimestamp(version.created_at, UTC).replace(tzinfo=None), version.partition,
        )
        for version, found in sorted(every, key=lambda pair: (pair[0].partition, pair[0].number))
    )  # fmt: skip
    is_whole = all(version.partition == UNPARTITIONED for version, _ in every)
    query = f"FROM {current[0][1].table}" if is_whole else _partitioned(current)
    macro = _macro(key, every, chooser) if is_whole else None
    return Name(key, schema, view, query, _comment(key, [version for version, _ in current]), macro, rows)


def _partitioned(current: Sequence[tuple[Version, Origin]]) -> str:
    """The rows of all partitions by their Parquet files, with the key of each, unless they have such a column."""
    from assetflow.io.parts import PARTITION_COLUMN

    files = ", ".join(found.chosen.removeprefix("[").removesuffix("]") for _, found in current)
    read = f"read_parquet([{files}], union_by_name = true, hive_partitioning = false"
    if any(PARTITION_COLUMN in version.schema for version, _ in current):
        return f"FROM {read})"
    places = ", ".join(literal(found.place) for _, found in current)
    keys = ", ".join(literal(version.partition) for version, _ in current)
    which = f"SELECT unnest([{places}]) AS {_FILE}, unnest([{keys}]) AS {PARTITION_COLUMN}"
    named = f"{read}, filename = '{_FILE}')"
    return f"SELECT * EXCLUDE ({_FILE}) FROM {named} JOIN ({which}) USING ({_FILE})"  # noqa: S608 - literals are quoted


def _comment(key: AssetKey, versions: Sequence[Version]) -> str:
    first = versions[0]
    what = f"{key}@{first.number}" if len(versions) == 1 else f"{key}, {len(versions)} partitions"
    rows = sum(version.rows or 0 for version in versions)
    made = datetime.fromtimestamp(max(version.created_at for version in versions), UTC)
    content = first.data_hash.rpartition(":")[2][:12]
    return f"{what} {content} {rows:,} row{'s' * (rows != 1)}, made {made:%Y-%m-%d %H:%M:%S}Z"


def _macro(key: AssetKey, every: Sequence[tuple[Version, Origin]], chooser: str) -> str | None:
    entries = {version.number: found.chosen for version, found in every if found.chosen}
    if not entries:
        return None
    pairs = ", ".join(f"{number}: {chosen}" for number, chosen in sorted(entries.items()))
    missing = f"error({literal(f'{key} has no version ')} || version)"
    return f"FROM {chooser.format(f'coalesce(MAP {{{pairs}}}[version], {missing})')}"


def _make(connection: Any, catalog: str, one: Name) -> None:
    import duckdb

    place = f"{catalog}.{quoted(one.schema)}.{quoted(one.view)}"
    at = f"{catalog}.{quoted(one.schema)}.{quoted(f'{one.view}_at')}"
    try:
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {catalog}.{quoted(one.schema)}")
        connection.execute(f"CREATE OR REPLACE VIEW {place} AS {one.query}")
        connection.execute(f"COMMENT ON VIEW {place} IS {literal(one.comment)}")
        connection.execute(f"DROP MACRO TABLE IF EXISTS {at}")
        if one.macro is not None:
            connection.execute(f"CREATE MACRO {at}(version) AS TABLE {one.macro}")
    except duckdb.CatalogException as error:
        raise StorageFailed(
            f"the view `{one.asset}` cannot be made in the DuckDB file",
            facts=(f"DuckDB:   {str(error).splitlines()[0]}",),
            fix="rename or drop what has that name in the DuckDB file",
        ) from error
    except duckdb.Error as error:
        raise StorageFailed(
            f"the view `{one.asset}` cannot be made in the DuckDB file",
            facts=(f"DuckDB:   {str(error).splitlines()[0]}",),
            fix=f"make the asset again: assetflow materialize {one.asset} --force",
        ) from error


def _drop(connection: Any, catalog: str, schema: str, view: str) -> None:
    place = f"{catalog}.{quoted(schema)}"
    ours = connection.execute(
        "SELECT 1 FROM duckdb_views() WHERE database_name = current_database() AND schema_name = ? AND view_name = ?",
        [schema, view],
    ).fetchall()
    if ours:  # a table of that name is somebody else's
        connection.execute(f"DROP VIEW {place}.{quoted(view)}")
    connection.execute(f"DROP MACRO TABLE IF EXISTS {place}.{quoted(f'{view}_at')}")


def _forget(connection: Any, env: str, asset: str) -> None:
    for table in ("shown", "versions"):
        connection.execute(f"DELETE FROM {OWN_SCHEMA}.{table} WHERE env = ? AND asset = ?", [env, asset])  # noqa: S608
