"""The catalog's verbs: each is one transaction or a fixed number of queries, however many assets there are."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

from msgspec import Struct
from msgspec.structs import replace

from assetflow.catalog.database import Database
from assetflow.catalog.inputs import add_inputs
from assetflow.catalog.rows import (
    Row,
    attempt_facts,
    attempt_from_row,
    columns_json,
    definition_of,
    definition_texts,
    details_and_shape,
    discovered_json,
    heads_from_rows,
    inputs_by_trace,
    median,
    node_row,
    run_from_row,
    source_from_row,
    version_from_row,
)
from assetflow.catalog.token import token_of
from assetflow.errors import Superseded
from assetflow.model.code import CodeSource
from assetflow.model.keys import UNPARTITIONED, AssetKey, split_slot
from assetflow.model.records import Attempt, Doubt, Head, NewTrace, NewVersion, Run, Version

if TYPE_CHECKING:
    from assetflow.model.jobs import Occasion

Slot = tuple[AssetKey, str]
"""An asset partition: key and partition key."""

FileRow = tuple[str, int, int, int, int, str, int]
"""path, size, mtime_ns, inode, ctime_ns, digest, recorded_ns."""

OnDead = Callable[[list[int], float], None]
"""Is given the numbers of runs that had died, and the time."""


class Committed(Struct, frozen=True):
    """What a commit did: `is_new` tells a new version from content that was there; `moved` whether the head follows."""

    trace_id: int
    version_id: int
    number: int
    is_new: bool
    is_changed: bool
    moved: bool


class Catalog:
    """The memory of a project. Readers see one consistent state per call; writers take turns."""

    def __init__(self, path: Path, *, write: bool = False) -> None:
        self.database = Database(path, write=write)
        self._assets: dict[str, int] = {}
        self._parts: dict[tuple[int, str], int] = {}
        self._envs: dict[str, int] = {}
        self._nodes: set[str] = set()
        self._shapes: set[str] = set()
        self._definitions: dict[AssetKey, tuple[tuple[object, ...], int]] = {}

    def close(self) -> None:
        """Close the file."""
        self.database.close()

    # -- reading

    def heads(self, env: str, parts: Iterable[Slot] | None = None) -> dict[Slot, Head]:
        """What is current in an environment; with `parts`, of these and all assets without partitions. Two queries."""
        rows = self.database.rows("heads", env) if parts is None else self.database.rows("heads_in", env, _json(parts))
        heads = self._heads(rows, env)
        return {(head.trace.asset, head.trace.partition): head for head in heads}

    def traces(self, slots: Iterable[Slot], env: str, limit: int = 100_000) -> dict[Slot, dict[str, list[Head]]]:
        """The traces of these partitions by input key, newest first, as heads that could be linked. Two queries."""
        rows = self.database.rows("traces_in", _json(slots), limit)
        found: dict[Slot, dict[str, list[Head]]] = {}
        for head in self._heads(rows, env):
            slot = found.setdefault((head.trace.asset, head.trace.partition), {})
            slot.setdefault(head.trace.input_key, []).append(head)
        return found

    def doubts(self, env: str) -> dict[Slot, Doubt]:
        """What was said of traces of asset partitions in an environment. Two queries."""
        rows = cast("list[tuple[AssetKey, str, int, str, str, float]]", self.database.rows("invalidations", env))
        found = {(key, partition): Doubt(since, cause, user, at) for key, partition, since, cause, user, at in rows}
        revoked: dict[Slot, set[int]] = {}
        for key, partition, trace_id in cast("list[tuple[AssetKey, str, int]]", self.database.rows("revoked_traces")):
            revoked.setdefault((key, partition), set()).add(trace_id)
        for slot, traces in revoked.items():
            found[slot] = replace(found.get(slot, Doubt()), revoked=frozenset(traces))
        return found

    def history(self, env: str, asset: AssetKey, limit: int = 1000, parts: Sequence[str] | None = None) -> list[Head]:
        """Every move of an asset's head (or of `parts`), newest first; `verified_at` is when it moved. Two queries."""
        return self._heads(self.database.rows("history", env, asset, limit, _json(parts)), env)

    def version(self, asset: AssetKey, number: int, partition: str = UNPARTITIONED) -> Version | None:
        """One version by its number."""
        row = self.database.row("version", asset, partition, number)
        return None if row is None else version_from_row(row)

    def live_versions(self, assets: Iterable[AssetKey]) -> list[Version]:
        """Every version of these assets whose bytes are there, oldest first. One query."""
        return [version_from_row(row) for row in self.database.rows("live_versions", json.dumps(list(assets)))]

    def rejected_versions(self, assets: Iterable[AssetKey]) -> list[Version]:
        """Every version of these assets that a blocking check refused and whose bytes are there, oldest first."""
        return [version_from_row(row) for row in self.database.rows("rejected_versions", json.dumps(list(assets)))]

    def runs(self, limit: int = 20, env: str | None = None) -> list[Run]:
        """The newest runs, newest first: of one environment, or of all."""
        return [run_from_row(row) for row in self.database.rows("runs", env, limit)]

    def run(self, run_id: int) -> Run | None:
        """One run."""
        row = self.database.row("run", run_id)
        return None if row is None else run_from_row(row)

    def running(self) -> list[Run]:
        """The runs that have not ended, or whose process died before it could say so."""
        return [run_from_row(row) for row in self.database.rows("running")]

    def runs_by_id(self, run_ids: Iterable[int]) -> list[Run]:
        """These runs, newest first."""
        return [run_from_row(row) for row in self.database.rows("runs_by_id", json.dumps(sorted(set(run_ids))))]

    def attempts(self, run_id: int) -> list[Attempt]:
        """The attempts of a run in the order they began."""
        return [attempt_from_row(row) for row in self.database.rows("attempts", run_id)]

    def last_attempts(
        self, env: str, parts: Iterable[Slot] | None = None, states: Collection[str] = ()
    ) -> dict[Slot, Attempt]:
        """The newest attempt of every asset partition; with `parts`, of these and of all assets without partitions.

        With `states`, only those that ended so are read.
        """
        named = ("last_attempts", env) if parts is None else ("last_attempts_in", env, _json(parts))
        rows = [row for row in self.database.rows(*named) if not states or row[4] in states]
        return {(attempt.asset, attempt.partition): attempt for attempt in map(attempt_from_row, rows)}

    def attempts_of(self, asset: AssetKey, limit: int = 20, parts: Sequence[str] | None = None) -> list[Attempt]:
        """The newest attempts of one asset, or of these partitions of it, newest first."""
        return [attempt_from_row(row) for row in self.database.rows("attempts_of", asset, limit, _json(parts))]

    def sources(self, digests: Iterable[str]) -> dict[str, CodeSource]:
        """The code that was recorded under these digests (see `Trace.code_parts`), by digest. One query."""
        rows = self.database.rows("nodes", json.dumps(sorted(set(digests))))
        return {cast("str", row[0]): source_from_row(row[1:]) for row in rows}

    def token(self, env: str) -> list[object]:
        """What is different after every transaction that counts for what is said of an environment. One query."""
        return token_of(self.database.row("token", env))

    def durations(self, assets: Iterable[AssetKey], last: int = 5) -> dict[AssetKey, float]:
        """How long these assets took, in seconds: the median of their last computations. One query."""
        rows = self.database.rows("durations", json.dumps(list(assets)), last)
        found: dict[AssetKey, list[float]] = {}
        for key, seconds in cast("list[tuple[AssetKey, float]]", rows):
            found.setdefault(key, []).append(max(0.0, seconds))
        return {key: median(seconds) for key, seconds in found.items()}

    def unsteady(self) -> frozenset[tuple[AssetKey, str, str]]:
        """The assets, with partition and input key, of which one definition gave different contents. One query."""
        return frozenset(cast("list[tuple[AssetKey, str, str]]", self.database.rows("unsteady")))

    def file_states(self) -> dict[str, FileRow]:
        """What every source file looked like when it was hashed, by path."""
        return {cast("str", row[0]): cast("FileRow", row) for row in self.database.rows("file_states")}

    def _heads(self, rows: Sequence[Row], env: str) -> list[Head]:
        # The rows are one consistent state, because one query gave them. What their traces read may be asked for
        # afterwards: a trace never changes, whatever is committed in between.
        inputs = inputs_by_trace(self.database.rows("inputs_of", json.dumps([row[2] for row in rows])))
        return heads_from_rows(rows, env, inputs)

    # -- writing

    def begin_run(  # noqa: PLR0913 - the columns of a run, all by keyword
        self,
        env: str,
        *,
        selection: str,
        cause: str,
        user: str,
        host: str,
        pid: int,
        at: float,
        assets: Iterable[AssetKey] = (),
        tick: Occasion | None = None,
        on_dead: OnDead | None = None,
    ) -> tuple[int, list[int]]:
        """A new run, and the runs of this environment that had died. The caller holds the run lock of `env`.

        `assets` are those that the run may speak of: their numbers are given out at once. `tick` is the tick of a job
        that becomes this run, or the request for it. `on_dead` is called with the runs that had died, if any had, in
        the transaction.

        Raises:
            Superseded: the tick has been taken up by another process: there is no new run.
        """
        with self._writing():
            env_id = self._env(env)
            for key in assets:
                self._asset(key, at)
            dead = self._end_dead_runs(env_id, at, on_dead)
            row = self.database.row("add_run", env_id, selection, at, user, host, pid, cause)
            run_id = cast("tuple[int]", row)[0]
            if tick is not None:
                from assetflow.catalog.occasions import begin_occasion

                begin_occasion(self.database, tick, run_id)
        return run_id, dead

    def end_dead_runs(self, env: str, at: float, on_dead: OnDead | None = None) -> list[int]:
        """End the runs of this environment that had died; which they were. The caller holds the run lock of `env`."""
        with self._writing():
            return self._end_dead_runs(self._env(env), at, on_dead)

    def _end_dead_runs(self, env_id: int, at: float, on_dead: OnDead | None) -> list[int]:
        dead = [cast("int", row[0]) for row in self.database.rows("end_dead_runs", at, env_id)]
        for run_id in dead:
            self.database.change("end_dead_attempts", at, run_id)
        if dead and on_dead is not None:
            on_dead(dead, at)
        return dead

    def finish_run(
        self, run_id: int, state: str, counts: Mapping[str, int], at: float, also: Callable[[float], None] | None = None
    ) -> None:
        """End a run, and with it what it left as running; a run that has ended stays as it is.

        `also` is called with the time within the transaction, if it is this call that ends the run.
        """
        with self._writing():
            if self.database.change("finish_run", state, at, json.dumps(dict(counts)), run_id):
                self.database.change("end_dead_attempts", at, run_id)
                if also is not None:
                    also(at)

    def commit(
        self,
        env: str,
        run_id: int | None,
        traces: Sequence[NewTrace],
        at: float,
        attempts: Sequence[Attempt] = (),
        files: Iterable[FileRow] = (),
        lost: Iterable[int] = (),
        sources: Mapping[str, CodeSource] = MappingProxyType({}),
    ) -> list[Committed]:
        """Record traces with their versions and move the heads, all or nothing: the only commit point.

        A version is new only when its content differs from the head's. A head moves by compare-and-swap from the trace
        that the planner saw; if another run moved it, the trace is kept and `moved` is False. `lost` are versions whose
        bytes are gone: they are marked so, and equal content is stored again as a new version. `sources` has the code
        of the traces' parts by digest: what is not recorded of it yet is.

        Raises:
            Superseded: the run is no longer running (it was declared dead or cancelled): nothing is recorded.
        """
        with self._writing():
            if run_id is not None:
                self._must_be_running(run_id)
            env_id = self._env(env)
            for version_id in lost:
                self.database.change("mark_lost", version_id)
            self._add_sources(traces, sources)
            done = [self._commit_one(env_id, run_id, trace, at) for trace in traces]
            made = {(t.asset, t.partition): c for t, c in zip(traces, done, strict=True)}
            for attempt in attempts:
                committed = made.get((attempt.asset, attempt.partition))
                is_late = committed is not None and not committed.moved
                number = None if committed is None or is_late else committed.number
                self._save_attempt(env_id, replace(attempt, state="superseded") if is_late else attempt, number)
            for row in files:
                self.database.change("save_file_state", *row)
        return done

    def reject(
        self, run_id: int, traces: Sequence[NewTrace], at: float, sources: Mapping[str, CodeSource]
    ) -> list[int]:
        """Keep versions that a blocking check refused, to be looked at; their numbers. No head moves, and none can.

        Raises:
            Superseded: the run is no longer running: nothing is recorded.
        """
        numbers: list[int] = []
        with self._writing():
            self._must_be_running(run_id)
            self._add_sources(traces, sources)
            for trace in traces:
                asset_id = self._asset(trace.asset, at)
                part_id = self._part(asset_id, trace.partition)
                version_id, number, _, _ = self._version(asset_id, part_id, trace, None, at)
                self.database.change("reject_version", at, version_id)
                self._add_trace(asset_id, part_id, version_id, run_id, trace, at)
                numbers.append(number)
        return numbers

    def save_attempts(self, env: str, attempts: Iterable[Attempt]) -> None:
        """Write or rewrite attempts of runs that have not ended.

        Raises:
            Superseded: the run of one of them is no longer running: nothing is recorded.
        """
        found = list(attempts)
        # Not worth a wait for the disk, unless it names an asset for the first time, which the journal holds.
        is_durable = any(self._known_asset(attempt.asset) is None for attempt in found)
        with self._writing(is_durable=is_durable):
            for run_id in {attempt.run_id for attempt in found}:
                self._must_be_running(run_id)
            env_id = self._env(env)
            for attempt in found:
                self._save_attempt(env_id, attempt, None)

    def verified(self, env: str, assets: Sequence[AssetKey], at: float) -> None:
        """Note that these heads were found current."""
        with self._writing():
            self.database.change("verify_heads", at, self._env(env), json.dumps(list(assets)))

    def save_file_states(self, files: Iterable[FileRow]) -> None:
        """Remember what source files look like."""
        with self._writing():
            for row in files:
                self.database.change("save_file_state", *row)

    def _must_be_running(self, run_id: int) -> None:
        if self.database.row("run_state", run_id) != ("running",):
            raise Superseded(f"run #{run_id} has been ended by another process; nothing more of it is recorded")

    def _commit_one(self, env_id: int, run_id: int | None, trace: NewTrace, at: float) -> Committed:
        asset_id = self._asset(trace.asset, at)
        part_id = self._part(asset_id, trace.partition)
        now = cast("tuple[int, str, int] | None", self.database.row("head_now", env_id, asset_id, part_id))
        version_id, number, data_hash, is_new = self._version(asset_id, part_id, trace, now, at)
        trace_id = self._add_trace(asset_id, part_id, version_id, run_id, trace, at)
        is_changed = now is None or now[1] != data_hash
        if trace.kind == "run" and is_changed:
            self.database.change("note_unsteady", trace_id, at)
        moved = self._move(env_id, asset_id, part_id, trace_id, trace, is_changed, run_id, at)
        return Committed(trace_id, version_id, number, is_new, is_changed, moved)

    def _add_trace(
        self, asset_id: int, part_id: int, version_id: int, run_id: int | None, trace: NewTrace, at: float
    ) -> int:  # fmt: skip
        row = self.database.row(
            "add_trace", asset_id, part_id, trace.input_key, self._fp(trace), version_id, run_id, trace.kind,
            trace.started_at, trace.finished_at, trace.as_of, json.dumps(dict(trace.metadata)),
            discovered_json(trace),
        )  # fmt: skip
        trace_id = cast("tuple[int]", row)[0]
        add_inputs(self.database, trace_id, trace.inputs, lambda name: self._numbers(name, at))
        return trace_id

    def _numbers(self, name: AssetKey, at: float) -> tuple[int, int]:
        """The numbers of an asset and of its partition."""
        key, partition = split_slot(name)
        upstream = self._asset(key, at)
        return upstream, self._part(upstream, partition)

    def _version(
        self, asset_id: int, part_id: int, trace: NewTrace, now: tuple[int, str, int] | None, at: float
    ) -> tuple[int, int, str, bool]:
        if trace.reuse_version_id is not None:
            number, data_hash = cast("tuple[int, str]", self.database.row("version_number", trace.reuse_version_id))
            return trace.reuse_version_id, number, data_hash, False
        new = cast("NewVersion", trace.version)
        if now is not None and now[1] == new.data_hash and not trace.is_anew:
            same = self.database.row("same_content", asset_id, part_id, new.data_hash, new.io, now[2])
            if same is not None:
                version_id, number = cast("tuple[int, int]", same)
                return version_id, number, new.data_hash, False
        details, shape = details_and_shape(new.details)
        if shape and shape not in self._shapes:
            self.database.change("add_shape", shape)
            self._shapes.add(shape)
        row = self.database.row(
            "add_version", asset_id, part_id, new.data_hash, new.io, new.location, new.rows, new.size_bytes,
            columns_json(new.schema, new.columns), details, at, shape,
        )  # fmt: skip
        version_id, number = cast("tuple[int, int]", row)
        return version_id, number, new.data_hash, True

    def _move(
        self, env_id: int, asset_id: int, part_id: int, trace_id: int, trace: NewTrace, is_changed: bool,
        run_id: int | None, at: float,
    ) -> bool:  # fmt: skip
        seq = cast("tuple[int]", self.database.row("next_seq"))[0]
        seen = trace.seen_trace_id
        if seen is None:
            count = self.database.change("add_head", env_id, asset_id, part_id, trace_id, seq, seq, at)
        else:
            changed_seq = seq if is_changed else None
            count = self.database.change("move_head", trace_id, seq, changed_seq, at, env_id, asset_id, part_id, seen)
        if count == 1:
            self.database.change("log_head", env_id, asset_id, part_id, seq, trace_id, run_id, at, trace.cause)
        return count == 1

    def _save_attempt(self, env_id: int, attempt: Attempt, number: int | None) -> None:
        asset_id = self._asset(attempt.asset, attempt.started_at or 0.0)
        part_id = self._part(asset_id, attempt.partition)
        version = attempt.version_number if number is None else number
        self.database.change(
            "save_attempt", attempt.run_id, asset_id, part_id, attempt.number, attempt.state, attempt.started_at,
            attempt.finished_at, version, attempt_facts(attempt),
        )  # fmt: skip
        self.database.change("save_last_attempt", env_id, asset_id, part_id, attempt.run_id, attempt.number)

    def _fp(self, trace: NewTrace) -> int:
        """The number of a definition. That of the last trace of an asset is known: partitions mostly share it."""
        definition, (known, number) = definition_of(trace), self._definitions.get(trace.asset, ((), 0))
        if known != definition:
            texts = definition_texts(definition)
            self.database.change("add_fp", *texts)
            number = cast("tuple[int]", self.database.row("fp_id", texts[0]))[0]
            self._definitions[trace.asset] = definition, number
        return number

    def _add_sources(self, traces: Sequence[NewTrace], sources: Mapping[str, CodeSource]) -> None:
        """Record the code of these traces that is not recorded yet, however many they are with two statements."""
        wanted = {digest for trace in traces for digest in trace.code_parts.values() if digest in sources}
        if new := wanted - self._nodes:
            known = {cast("str", row[0]) for row in self.database.rows("known_nodes", json.dumps(sorted(new)))}
            rows = [node_row(digest, sources[digest]) for digest in sorted(new - known)]
            if rows:
                self.database.change_many("add_node", rows)
            self._nodes |= new

    def _known_asset(self, key: AssetKey) -> int | None:
        if key not in self._assets and (row := self.database.row("asset_id", key)) is not None:
            self._assets[key] = cast("tuple[int]", row)[0]
        return self._assets.get(key)

    def asset_number(self, key: AssetKey, at: float) -> int:
        """The number of an asset, given out now if it has none. The caller owns the transaction."""
        return self._asset(key, at)

    def part_number(self, asset_id: int, key: str) -> int:
        """The number of a partition of an asset, given out now if it has none. The caller owns the transaction."""
        return self._part(asset_id, key)

    def env_number(self, name: str) -> int:
        """The number of an environment, given out now if it has none. The caller owns the transaction."""
        return self._env(name)

    def _asset(self, key: AssetKey, at: float) -> int:
        return self._number(self._assets, key, "asset_id", "add_asset", (key, at))

    def _part(self, asset_id: int, key: str) -> int:
        """The number of a partition of an asset, given out now if it has none; 0 for an asset without partitions."""
        if not key:
            return 0
        if (asset_id, key) not in self._parts:
            found = self.database.row("part_id", asset_id, key) or self.database.row("add_part", asset_id, key)
            self._parts[asset_id, key] = cast("tuple[int]", found)[0]
        return self._parts[asset_id, key]

    def _env(self, name: str) -> int:
        return self._number(self._envs, name, "env_id", "add_env", (name,))

    def _number(self, known: dict[str, int], name: str, read: str, add: str, row: tuple[object, ...]) -> int:
        if name not in known:
            found = self.database.row(read, name) or self.database.row(add, *row)
            known[name] = cast("tuple[int]", found)[0]
        return known[name]

    @contextmanager
    def _writing(self, *, is_durable: bool = True) -> Generator[None]:
        try:
            with self.database.transaction(is_durable=is_durable):
                yield
        except BaseException:
            # Numbers given out in a transaction that was undone are not theirs any more.
            self._assets.clear()
            self._parts.clear()
            self._envs.clear()
            self._nodes.clear()
            self._shapes.clear()
            self._definitions.clear()
            raise


def _json(slots: Iterable[Slot | str] | None) -> str:
    return json.dumps(None if slots is None else [*slots])
