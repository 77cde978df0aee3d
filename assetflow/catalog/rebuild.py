"""A lost catalog made again: from the journal, maybe on top of a backup, and from what versions themselves say.

The journal gives back what was committed: versions, traces, and which of them is current where. A version that only its
sidecar knows of is recorded under a new number; nothing is made current by guessing. The new catalog is built aside and
put in its place in one step; the old file is kept.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from assetflow.catalog.database import SCHEMA_VERSION, mapped, migrations_after, schema
from assetflow.catalog.journal import Journal, JournalContent, Record, read_journal, replay, segments, whole_catalog
from assetflow.catalog.rows import (
    columns_json,
    definition_of,
    definition_texts,
    details_and_shape,
    discovered_json,
    queries,
)
from assetflow.errors import DamagedCatalog, NewerCatalog
from assetflow.files import Files
from assetflow.model.keys import AssetKey, slot, split_slot
from assetflow.model.records import NewTrace, NewVersion, TraceInput

_LOOSE = (
    "drop_loose_parts", "drop_loose_versions", "drop_loose_traces", "drop_loose_inputs", "drop_loose_moves",
    "drop_loose_heads", "drop_loose_pins", "drop_loose_runs", "drop_loose_attempts", "drop_loose_invalidations",
    "drop_loose_revocations", "drop_loose_keys", "forget_lost_runs",
)  # fmt: skip
"""What cannot stay when something that it speaks of is lost; each after what it depends on."""


_WHOLE = (
    "unsteady", "revoked", "invalidation", "pin", "head", "head_log", "trace_in", "trace", "version", "shape", "node",
    "fp", "env", "asset", "counter", "tick", "schedule", "request", "sensor", "dynamic_key",
)  # fmt: skip
"""What a journal that begins with a whole catalog has all of; each before what it refers to."""


class Found(Struct, frozen=True):
    """A version that was found in the storage: what it is, the trace that gave it, and when it was written."""

    version: NewVersion
    trace: NewTrace
    written_at: float
    run_id: int | None


class Rebuilt(Struct, frozen=True):
    """What a rebuilt catalog has, and from where; `lost` says what could not be restored, as sentences."""

    versions: int
    heads: int
    runs: int
    transactions: int
    adopted: tuple[str, ...]
    backup: Path | None
    kept_in: Path | None
    lost: tuple[str, ...]


def rebuild(
    catalog: Path,
    found: Sequence[Found],
    *,
    backup: Path | None,
    last_run: int,
    keep_in: Path,
    files: Files | None = None,
) -> Rebuilt:
    """Make the catalog again and put it in its place; what was there goes to the folder `keep_in`.

    `found` are the versions whose sidecars are good, `last_run` the highest number that a run is known to have had. The
    caller keeps everybody else away. If it is interrupted, it can be called again.

    Raises:
        DamagedCatalog: there is nothing to make it from.
        NewerCatalog: the journal was written by a newer assetflow.
        DiskFull, NotWritable, StorageFailed: the disk refused; what was there is still there, or in `keep_in`.
    """
    tool = files or Files()
    with mapped(catalog):
        content = read_journal(catalog.with_name("journal"))
    if not (content.records or found or backup):
        raise DamagedCatalog(
            f"there is nothing to make the catalog {catalog} from",
            facts=("no journal, no backup, and no version with a sidecar",),
            fix="move the file and its backups away to begin anew",
        )
    aside = catalog.parent / "rebuild" / catalog.name
    tool.remove_tree(aside.parent)
    tool.make_directory(aside.parent)
    with mapped(catalog), closing(sqlite3.connect(aside, isolation_level=None)) as connection:
        draft = _Draft(connection, backup)
        draft.replay(content)
        draft.tidy(last_run)
        adopted = draft.adopt(found)
        number = draft.finish(content.last_number)
        versions, heads, runs = draft.counts()
        kept_in = _put_in_place(catalog, connection, number, keep_in, tool)
    return Rebuilt(versions, heads, runs, draft.transactions, adopted, backup, kept_in, tuple(draft.lost))


def _put_in_place(catalog: Path, made: sqlite3.Connection, number: int, keep_in: Path, files: Files) -> Path | None:
    """At every moment either the old file is there, or the journal that says that one is missing."""
    folder = catalog.with_name("journal")
    aside = catalog.parent / "rebuild" / catalog.name
    old = [path for path in (catalog, _beside(catalog, "-wal"), _beside(catalog, "-shm")) if path.exists()]
    if old or segments(folder):
        files.make_directory(keep_in)
    if segments(folder):
        files.copy_tree(folder, keep_in / "journal")
    records = whole_catalog(made, number, SCHEMA_VERSION, time.time())
    Journal(folder, files).replace(records)
    made.close()
    for path in old:
        files.rename(path, keep_in / path.name)
    with aside.open("rb+") as handle:
        files.sync_file(cast("Any", handle))
    files.rename(aside, catalog)
    files.sync_directory(catalog.parent)
    files.remove_tree(aside.parent)
    return keep_in if keep_in.exists() else None


class _Draft:
    """The new catalog while it is made."""

    def __init__(self, connection: sqlite3.Connection, backup: Path | None) -> None:
        self._connection, self._queries = connection, queries()
        self.lost: list[str] = []
        self.transactions = 0
        self._has_backup = backup is not None
        if backup is None:
            connection.executescript(f"BEGIN;{schema()}PRAGMA user_version = {SCHEMA_VERSION};COMMIT;")
        else:
            with closing(sqlite3.connect(backup.resolve().as_uri() + "?mode=ro&immutable=1", uri=True)) as source:
                source.backup(connection)
            connection.execute("PRAGMA journal_mode = DELETE")
            for version, text in migrations_after(connection.execute("PRAGMA user_version").fetchone()[0]):
                connection.executescript(f"BEGIN;{text}\nPRAGMA user_version = {version};COMMIT;")
        connection.execute("PRAGMA foreign_keys = OFF")
        connection.execute("BEGIN")

    def replay(self, content: JournalContent) -> None:
        """Carry out the journal: what the backup does not have, or all of it where it holds a whole catalog."""
        if any(record.schema > SCHEMA_VERSION for record in content.records):
            raise NewerCatalog(
                "the journal was written by a newer assetflow", fix="upgrade assetflow: pip install -U assetflow"
            )
        known = self._one("journal_number")
        records = [record for record in content.records if record.number > known]
        if self._has_backup and records and records[0].part == 0:
            for table in _WHOLE:
                self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - our tables: the journal has all of it
            self._connection.execute("DELETE FROM part WHERE part_id <> 0")
        replay(records, self._connection)
        self.transactions = len({record.number for record in records})
        self.lost += content.problems if not self._has_backup else _missing(records, known)

    def tidy(self, last_run: int) -> None:
        """Let go of what speaks of something lost, and give runs that are only spoken of a line."""
        before = self._count("head")
        for run_id, env_id, began, ended in self._all("missing_runs"):
            env = env_id if env_id is not None else self._one("env_id_of_any")
            if env is not None:
                self._connection.execute(self._queries["add_lost_run"], (run_id, env, began, ended))
        for name in _LOOSE:
            self._connection.execute(self._queries[name])
        if gone := before - self._count("head"):
            self.lost.append(f"{gone} of {before} assets are not current any more: what they were at is not known")
        self._connection.execute(self._queries["count_to_the_last_move"])
        highest = max(last_run, self._one("last_run_number") or 0)
        self._connection.execute(self._queries["forget_run_number"])
        self._connection.execute(self._queries["set_run_number"], (highest,))

    def adopt(self, found: Iterable[Found]) -> tuple[str, ...]:
        """Record the versions that nothing speaks of but their sidecars; each as `orders@7`."""
        known = {row[0] for row in self._all("known_locations")}
        adopted: list[str] = []
        for one in sorted(found, key=lambda one: (one.written_at, one.version.location)):
            if one.version.location not in known:
                adopted.append(f"{slot(one.trace.asset, one.trace.partition)}@{self._adopt(one)}")
        return tuple(adopted)

    def finish(self, last_number: int) -> int:
        """Commit; the number of the transaction that the journal is to begin with."""
        number = max(last_number, self._one("journal_number")) + 1
        self._connection.execute(self._queries["set_journal_number"], (number,))
        self._connection.execute("COMMIT")
        wrong = self._connection.execute("PRAGMA foreign_key_check").fetchall()
        whole = self._connection.execute("PRAGMA integrity_check").fetchone()
        if wrong or whole != ("ok",):
            raise DamagedCatalog(f"the catalog that was made does not fit together: {(wrong or [whole])[0]}")
        return number

    def counts(self) -> tuple[int, int, int]:
        """How many stored versions, heads and runs there are."""
        return self._all("counted")[0][0], self._count("head"), self._count("run")

    def _adopt(self, one: Found) -> int:
        trace, version, at = one.trace, one.version, one.written_at
        asset_id = self._asset(trace.asset, at)
        part_id = self._part(asset_id, trace.partition)
        inputs = [
            (given.parameter, *self._numbers(given.upstream, at), given.mode, given.digest, self._number_of(given))
            for given in trace.inputs
        ]
        details, shape = details_and_shape(version.details)
        if shape:
            self._connection.execute(self._queries["add_shape"], (shape,))
        made = self._all(
            "add_version", asset_id, part_id, version.data_hash, version.io, version.location, version.rows,
            version.size_bytes, columns_json(version.schema, version.columns), details, at, shape,
        )  # fmt: skip
        version_id, number = made[0]
        if trace.kind == "reject":
            self._connection.execute(self._queries["reject_version"], (at, version_id))
        run_id = one.run_id if one.run_id is not None and self._all("run_state", one.run_id) else None
        added = self._all(
            "add_trace", asset_id, part_id, trace.input_key, self._fp(trace), version_id, run_id, trace.kind,
            trace.started_at, trace.finished_at, trace.as_of, json.dumps(dict(trace.metadata)),
            discovered_json(trace),
        )  # fmt: skip
        for values in inputs:
            self._connection.execute(self._queries["add_trace_input"], (added[0][0], *values))
        return number

    def _numbers(self, name: AssetKey, at: float) -> tuple[int, int]:
        """The numbers of an asset and of its partition."""
        key, partition = split_slot(name)
        asset_id = self._asset(key, at)
        return asset_id, self._part(asset_id, partition)

    def _number_of(self, given: TraceInput) -> int | None:
        """The number that the version has now which was read, if that can be told: numbers may be others than then."""
        wanted = (*split_slot(given.upstream), given.digest)
        found = self._all("number_of_content", *wanted) if given.mode == "value" else []
        return found[0][0] if found else None

    def _fp(self, trace: NewTrace) -> int:
        texts = definition_texts(definition_of(trace))
        self._connection.execute(self._queries["add_fp"], texts)
        return self._all("fp_id", texts[0])[0][0]

    def _asset(self, key: str, at: float) -> int:
        return (self._all("asset_id", key) or self._all("add_asset", key, at))[0][0]

    def _part(self, asset_id: int, key: str) -> int:
        return (self._all("part_id", asset_id, key) or self._all("add_part", asset_id, key))[0][0] if key else 0

    def _all(self, name: str, *parameters: object) -> list[tuple[Any, ...]]:
        return self._connection.execute(self._queries[name], parameters).fetchall()

    def _one(self, name: str) -> Any:
        found = self._all(name)
        return found[0][0] if found else None

    def _count(self, table: str) -> int:
        return self._connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]  # noqa: S608 - our tables


def _missing(records: Sequence[Record], known: int) -> list[str]:
    """The gaps between a backup and the records that were carried out on it."""
    found: list[str] = []
    before = known
    for record in records:
        if record.part is None and record.number > before + 1:
            found.append(f"transactions {before + 1} to {record.number - 1} are missing")
        before = record.number
    return found


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
