"""What heads were and are: looking up versions by any of their names, and moving heads without a run."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from msgspec import Struct

from assetflow.catalog.catalog import Catalog, Slot
from assetflow.catalog.rows import Row, heads_from_rows, inputs_by_trace, run_from_row, version_from_row
from assetflow.errors import DamagedVersion, NoSuchVersion, Superseded, did_you_mean
from assetflow.model.keys import UNPARTITIONED, AssetKey, arguments_of, slot, split_slot
from assetflow.model.records import Head, Pin, TraceInput, Version

if TYPE_CHECKING:
    from assetflow.model.versions import VersionName


class Cut(Struct, frozen=True):
    """The state of an environment after a commit. All of it existed at one moment."""

    env: str
    seq: int


class Repoint(Struct, frozen=True):
    """A head to be moved to another trace, if it is still on the one that was seen; the same one: only pinned."""

    asset: AssetKey
    trace_id: int
    seen_trace_id: int | None
    cause: str
    pin: Pin | None


@contextmanager
def advising(
    open_catalog: Callable[[], AbstractContextManager[Catalog]], env: str, *versions: Version
) -> Generator[None]:
    """While the bytes of these versions are read: what is damaged is reported with what really helps."""
    try:
        yield
    except DamagedVersion as error:
        named = [one for one in versions if f"`{one.name}`" in error.what]
        with open_catalog() as catalog:
            error.fix = Pointers(catalog).way_out(env, (named or versions)[0])
        raise


class Pointers:
    """The pointers of a catalog. Reading is a fixed number of queries; moving is one transaction."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog, self._database = catalog, catalog.database

    # -- reading

    def shown(self, env: str, assets: Iterable[AssetKey], *, with_tables: bool) -> list[Version]:
        """What is current of these assets, and, `with_tables`, all that is stored as tables in DuckDB. One query."""
        named = json.dumps(sorted(assets))
        if named == "[]" and not with_tables:
            return []
        return [version_from_row(row) for row in self._database.rows("shown_versions", env, named, with_tables)]

    def pins(self, env: str) -> dict[Slot, Pin]:
        """The heads of an environment that runs leave alone. One query."""
        rows = cast("list[tuple[AssetKey, str, str, str, float]]", self._database.rows("pins", env))
        found = [Pin(*row) for row in rows]
        return {(pin.asset, pin.partition): pin for pin in found}

    def find(self, env: str, asset: AssetKey, name: VersionName) -> Head:
        """The version of an asset, or of a slot, that a name means, with the trace that led to it.

        Raises:
            NoSuchVersion: there is none; the message says what there is.
        """
        found = self.named(env, [asset], name).get(split_slot(asset))
        if found is None:
            raise self.no_version(env, asset, name)
        return found

    def named(self, env: str, assets: Sequence[AssetKey], name: VersionName) -> dict[Slot, Head]:
        """The versions of these assets, or slots, that a name means; those that have none are not there.

        Raises:
            NoSuchVersion: the name speaks of an environment or a run that does not exist.
        """
        wanted = _pairs(assets)
        if name.kind == "number":
            found = self._heads(self._database.rows("traces_to", wanted, name.number), env)
            return found | self._heads(self._database.rows("moves_to", env, wanted, name.number), env)
        if name.kind == "rejected":
            refused = self._catalog.rejected_versions({split_slot(one)[0] for one in assets})
            newest = {one.slot: one.number for one in refused if one.slot in assets}
            rows = [
                row for key, number in newest.items() for row in self._database.rows("traces_to", _pairs([key]), number)
            ]
            return self._heads(rows, env)
        if name.kind == "back":
            return self._heads(self._database.rows("moves_back", env, wanted, name.number), env)
        return self.at(self.cut(env, name), assets)

    def at(self, cut: Cut, assets: Sequence[AssetKey] | None = None) -> dict[Slot, Head]:
        """What was current after a commit: of these assets or slots, or of all. Two queries."""
        wanted = None if assets is None else _pairs(assets)
        return self._heads(self._database.rows("moves_at", cut.env, cut.seq, wanted), cut.env)

    def cut(self, env: str, name: VersionName) -> Cut:
        """The state that a time, a run or another environment means.

        The order of commits decides, not their clocks: a time means the last commit that was made at it or before,
        with all that had been committed by then.

        Raises:
            NoSuchVersion: there is no such run or environment.
        """
        from assetflow.model.versions import FORMS

        if name.kind == "time":
            return Cut(env, self._number("seq_at", env, name.moment))
        if name.kind == "run":
            return self._after_run(name.number)
        names = [cast("str", row[0]) for row in self._database.rows("env_names")]
        if name.text not in names:
            raise NoSuchVersion(
                f"there is no environment `{name.text}`",
                facts=(f"environments: {', '.join(names)}",) if names else (),
                fix=did_you_mean(name.text, names) or f"write {FORMS}",
            )
        return Cut(name.text, _LAST)

    def left_at(self, head: Head) -> int:
        """The last commit at which a move was still the last one of its asset; the end of time while it is."""
        after = self._number("next_move", head.env, head.trace.asset, head.trace.partition, head.seq)
        return after - 1 if after else _LAST

    def no_version(self, env: str, asset: AssetKey, name: VersionName) -> NoSuchVersion:
        """Why an asset, or a slot, has no version of this name."""
        fix = history_of(asset)
        if name.kind == "number":
            first, last, count = cast("tuple[int, int, int]", self._database.row("version_numbers", *split_slot(asset)))
            there = f"its versions are {first} to {last}" if count > 1 else f"its only version is {first}"
            return NoSuchVersion(f"{asset} has no version {name.number}", facts=(there,) if count else (), fix=fix)
        if name.kind == "rejected":
            return NoSuchVersion(f"no check has rejected a version of {asset}, or gc has removed it", fix=fix)
        where = name.text if name.kind == "env" else env
        first_move = cast("tuple[int, float] | None", self._database.row("first_move", where, *split_slot(asset)))
        if first_move is None:
            what = f"{asset} has not been materialized"
            return NoSuchVersion(
                what + (f" in env {where}" if name.kind == "env" else ""),
                fix=f"assetflow materialize {shlex.join(arguments_of(asset))}",
            )
        if name.kind == "back":
            return NoSuchVersion(f"{asset} has not had {name.number + 1} versions in env {env}", fix=fix)
        when = f"{datetime.fromtimestamp(first_move[1], UTC):%Y-%m-%d %H:%M:%S} UTC"
        what = f"after run #{name.number}" if name.kind == "run" else f"at {name.text}"
        fact = f"its first version here, v{first_move[0]}, was made {when}"
        return NoSuchVersion(f"{asset} had no version in env {where} {what}", facts=(fact,), fix=fix)

    def evicted(self, head: Head) -> NoSuchVersion:
        """What to say of a version whose bytes were removed on purpose."""
        version, trace = head.version, head.trace
        row = self._database.row("evicted_at", version.version_id)
        at = cast("float | None", row[0]) if row is not None else None
        when = "" if at is None else f" on {datetime.fromtimestamp(at, UTC):%Y-%m-%d at %H:%M} UTC"
        run_id, inputs = self._made_by(version) or (trace.run_id, trace.inputs)
        made = "" if run_id is None else f" in run #{run_id}"
        read = ", ".join(f"{one.upstream} v{one.version_number}" for one in inputs if one.version_number)
        facts = [f"it was made{made}" + (f" from {read}" if read else "")]
        return NoSuchVersion(
            f"gc removed the bytes of {version.slot} v{version.number}{when}",
            facts=facts,
            fix="put its code and its inputs back as they were and run "
            f"`assetflow materialize {shlex.join(arguments_of(version.slot))}`: equal content comes out again",
        )

    def readable(self, asset: AssetKey, exists: Callable[[Version], bool]) -> tuple[str, ...]:
        """The newest versions that can be read, as a fact of an error; `exists` looks for the bytes of one."""
        names: list[str] = []
        for version in sorted(self._catalog.live_versions([split_slot(asset)[0]]), key=lambda one: -one.number):
            if version.slot == asset and len(names) < _MOST_NAMED and exists(version):
                names.append(version.name)
        return (f"the newest that can be read: {', '.join(names)}",) if names else ()

    def way_out(self, env: str, version: Version) -> str:
        """What helps when the bytes of a version are damaged: only what is current is made again by a run."""
        key = version.slot
        heads = cast("list[tuple[int, str, str]]", self._database.rows("heads_of_versions", f"[{version.version_id}]"))
        envs = [name for _, name, _ in heads]
        if not envs:
            return f"no run makes version {version.number} again; for other versions see `{history_of(key)}`"
        where = env if env in envs else envs[0]
        start = "assetflow" if where == env else f"assetflow -e {where}"
        again = f"{start} materialize {shlex.join(arguments_of(key))} --force"
        if split_slot(key) in self.pins(where):
            return f"it is pinned: {start} unpin {shlex.quote(key)}, and then {again}"
        return f"make it again: {again}"

    def _made_by(self, version: Version) -> tuple[int | None, Sequence[TraceInput]] | None:
        """The run that computed a version, not one that found it again, and what it read."""
        row = cast("tuple[int, int | None] | None", self._database.row("made_by", version.version_id))
        if row is None:
            return None
        inputs = inputs_by_trace(self._database.rows("inputs_of", json.dumps([row[0]])))
        return row[1], inputs.get(row[0], ())

    def _after_run(self, run_id: int) -> Cut:
        row = self._database.row("run", run_id)
        if row is None:
            raise NoSuchVersion(f"there is no run #{run_id}", fix="`assetflow runs` lists the runs")
        run = run_from_row(row)
        seq = self._number("seq_of_run", run.env, run_id)
        if not seq:  # it moved nothing, so it left what was there when it ended
            ended = run.started_at if run.finished_at is None else run.finished_at
            seq = self._number("seq_at", run.env, ended)
        return Cut(run.env, seq)

    def _number(self, query: str, *parameters: object) -> int:
        row = self._database.row(query, *parameters)
        return cast("int | None", row[0]) or 0 if row is not None else 0

    def _heads(self, rows: Sequence[Row], env: str) -> dict[Slot, Head]:
        inputs = inputs_by_trace(self._database.rows("inputs_of", json.dumps([row[2] for row in rows])))
        heads = heads_from_rows(rows, env, inputs)
        return {(head.trace.asset, head.trace.partition): head for head in heads}

    # -- writing

    def repoint(self, env: str, moves: Sequence[Repoint], at: float) -> None:
        """Move these heads by compare-and-swap and pin them, all or nothing.

        Raises:
            Superseded: a head is not where it was seen any more, or the bytes of a target have gone meanwhile.
        """
        with self._database.transaction():
            self.repoint_within(env, moves, at)

    def repoint_within(self, env: str, moves: Sequence[Repoint], at: float) -> None:
        """`repoint` as a part of a transaction that the caller owns."""
        env_id = self._env(env)
        for move in moves:
            self._repoint_one(env_id, move, at)

    def unpin(self, env: str, assets: Iterable[AssetKey]) -> None:
        """Let runs have the heads of these assets, or slots, again."""
        with self._database.transaction():
            self._database.rows("drop_pins", env, _pairs(assets))

    def _repoint_one(self, env_id: int, move: Repoint, at: float) -> None:
        row = cast("tuple[int, int, str, str] | None", self._database.row("trace_now", move.trace_id))
        if row is None or row[3] != "live":
            raise Superseded(
                f"the version that {move.asset} was to have is being removed; nothing was moved",
                fix=history_of(move.asset),
            )
        asset_id, part_id, data_hash, _ = row
        now = cast("tuple[int, str, int] | None", self._database.row("head_now", env_id, asset_id, part_id))
        if (None if now is None else now[0]) != move.seen_trace_id:
            raise Superseded(
                f"another process moved {move.asset} in this moment; nothing was moved",
                fix="look at `assetflow history` and do it again",
            )
        if now is None or now[0] != move.trace_id:
            self._move(env_id, asset_id, part_id, move, is_changed=now is None or now[1] != data_hash, at=at)
        if move.pin is not None:
            pin = move.pin
            self._database.change("put_pin", env_id, asset_id, part_id, pin.cause, pin.user, pin.pinned_at)

    def _move(self, env_id: int, asset_id: int, part_id: int, move: Repoint, *, is_changed: bool, at: float) -> None:
        seq = cast("tuple[int]", self._database.row("next_seq"))[0]
        if move.seen_trace_id is None:
            self._database.change("add_head", env_id, asset_id, part_id, move.trace_id, seq, seq, at)
        else:
            changed_seq = seq if is_changed else None
            slot = (env_id, asset_id, part_id)
            self._database.change("move_head", move.trace_id, seq, changed_seq, at, *slot, move.seen_trace_id)
        self._database.change("log_pointer", env_id, asset_id, part_id, seq, move.trace_id, at, move.cause)

    def _env(self, name: str) -> int:
        found = self._database.row("env_id", name) or self._database.row("add_env", name)
        return cast("tuple[int]", found)[0]


def history_of(asset: AssetKey) -> str:
    """The command that shows the versions of an asset, or of a slot."""
    return f"assetflow history {shlex.quote(asset)}"


def by_name(heads: Mapping[Slot, Head]) -> dict[AssetKey, Head]:
    """Heads by the names of their slots: `orders`, `orders[2026-01-05]`."""
    return {slot(*names): head for names, head in heads.items()}


def _pairs(assets: Iterable[AssetKey]) -> str:
    return json.dumps([split_slot(one) for one in assets])


def by_key(heads: Mapping[Slot, Head]) -> dict[AssetKey, Head]:
    """Heads of unpartitioned assets by key."""
    return {key: head for (key, partition), head in heads.items() if partition == UNPARTITIONED}


_LAST = 2**62

_MOST_NAMED = 3
"""So many versions are named that can be read when the one that was asked for cannot."""
