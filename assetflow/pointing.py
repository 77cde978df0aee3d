"""Moving what is current without computing: rollback, pin and unpin. Only pointers change, never data."""

from __future__ import annotations

import platform
import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from datetime import date, datetime

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.pointers import Cut, Pointers, Repoint, by_key
from assetflow.errors import DamagedVersion, NoSuchVersion, Superseded, UsageError, VersionInSelection
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey
from assetflow.model.records import Head, Pin
from assetflow.model.versions import VersionName, parse_version, time_name, zone_named
from assetflow.plan.graph import AssetGraph
from assetflow.plan.selection import parse_selection
from assetflow.run.locks import environment_lock, user_name
from assetflow.run.presenting import present
from assetflow.views import Expression, selection_text


@dataclass(frozen=True, slots=True)
class PointerMove:
    """One asset whose head goes `before` -> `after` (version numbers); equal when it only gets pinned.

    `is_selected` is False for those that a rollback takes along because they are made of a selected one.
    """

    asset: AssetKey
    before: int | None
    after: int
    is_selected: bool = True


@dataclass(frozen=True, slots=True)
class PointerMoves:
    """What `rollback` or `pin` did, or would do when it is not `done`.

    `left` are assets that stay as they are, each with the reason.
    """

    env: str
    moves: tuple[PointerMove, ...]
    left: tuple[tuple[AssetKey, str], ...]
    done: bool
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The moves as JSON-able values."""
        return {
            "env": self.env,
            "done": self.done,
            "moves": [
                {"asset": one.asset, "from": one.before, "to": one.after, "selected": one.is_selected}
                for one in self.moves
            ],
            "left": [{"asset": key, "why": why} for key, why in self.left],
        }


Confirm = Callable[[PointerMoves], bool]
"""Asked before anything changes; False leaves all as it is."""


@dataclass(frozen=True, slots=True)
class _Aim:
    """An asset and where its head is to go."""

    asset: AssetKey
    head: Head | None
    target: Head
    is_selected: bool = True
    is_read: bool = True
    """Whether the bytes of the target are read and checked before anything moves; else they are only looked at."""

    @property
    def moves(self) -> bool:
        """Whether the head goes to another trace: equal content that was made of something else is not the same."""
        return self.head is None or self.head.trace.trace_id != self.target.trace.trace_id

    @property
    def changes(self) -> bool:
        """Whether the head goes to other content."""
        return self.head is None or self.head.version.version_id != self.target.version.version_id

    @property
    def shown(self) -> PointerMove:
        before = None if self.head is None else self.head.version.number
        return PointerMove(self.asset, before, self.target.version.number, self.is_selected)


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What a selection means: assets, sources that are left alone, and which of all these are named outright."""

    keys: tuple[AssetKey, ...]
    sources: tuple[AssetKey, ...]
    named: frozenset[AssetKey]


class Pointing:
    """The verbs of a project that move pointers."""

    settings: Settings
    graph: AssetGraph
    storage: Storage

    # -- what the project provides

    def _catalog(self) -> AbstractContextManager[Catalog]:
        raise NotImplementedError

    def select(self, expression: Expression = None) -> tuple[AssetKey, ...]:
        """The assets and sources that a selection names."""
        raise NotImplementedError

    # -- moving pointers

    def rollback(
        self,
        selection: Expression,
        *,
        to: int | str | datetime | date = "HEAD~1",
        downstream: bool = False,
        reason: str = "",
        dry_run: bool = False,
        wait_s: float = 0.0,
        confirm: Confirm | None = None,
    ) -> PointerMoves:
        """Make earlier versions current again: pointers move, in one transaction, and no byte is written or removed.

        `to` is a version number, `"HEAD~1"` (the version before; the default), `"run:41"` or a time. `downstream` takes
        everything that is made of the selected assets back to what it was at that moment, and pins all of it. What was
        moved is pinned too, so that the next `materialize` does not undo it; `unpin` ends that. Sources stay: assetflow
        keeps no copies of their data. Every target is read and checked, then `confirm` is asked, then all moves.

        Example:
            project.rollback("orders", to=3, downstream=True, reason="wrong prices")
            project.unpin("orders+")

        Raises:
            NoSuchVersion: a selected asset has no such version, or gc removed its bytes.
            DamagedVersion: the bytes of a target are gone, or are not what was written.
            UsageError: the selection names a source, whose data assetflow does not keep.
            RunConflict: a run is going on in this environment, for longer than `wait_s`.
        """
        try:
            chosen = self._own(selection, "rolled back")
        except VersionInSelection as error:
            error.fix = _with_to(selection) or error.fix
            raise
        name = self._target(to)

        def aim(catalog: Catalog) -> tuple[list[_Aim], list[tuple[AssetKey, str]]]:
            return self._rollback_aims(catalog, chosen, name, downstream=downstream)

        def cause(one: _Aim) -> str:
            return f"rollback to v{one.target.version.number}"

        options = ["--to", str(to)] if to != "HEAD~1" else []
        options += ["--downstream"] if downstream else []
        command = self._command("rollback", selection, options, reason)
        return self._carry_out(command, aim, cause, reason, wait_s=wait_s, dry_run=dry_run, confirm=confirm)

    def pin(self, selection: Expression, *, reason: str = "", wait_s: float = 0.0) -> PointerMoves:
        """Keep assets at their versions: no run moves a pinned asset, and what is made of it uses the pinned version.

        `"fx_rates@3"` makes version 3 current and pins it; any other selection pins assets where they are.

        Example:
            project.pin("fx_rates@3", reason="rates of the contract")

        Raises:
            NoSuchVersion: a selected asset has no version, or not that one.
            DamagedVersion: the bytes of a named version are gone, or are not what was written.
            UsageError: the selection names a source, or an asset twice.
            RunConflict: a run is going on in this environment, for longer than `wait_s`.
        """
        wanted, sources = self._pinned_names(selection)

        def aim(catalog: Catalog) -> tuple[list[_Aim], list[tuple[AssetKey, str]]]:
            return self._pin_aims(catalog, wanted), _left_sources(sources)

        command = self._command("pin", selection, [], reason)
        return self._carry_out(command, aim, lambda _: "pin", reason, wait_s=wait_s, pins_all=True)

    def unpin(self, selection: Expression) -> tuple[AssetKey, ...]:
        """Let runs have pinned assets again; the assets of the selection that were pinned. Nothing moves by this."""
        keys = self._chosen(selection)
        with self._catalog() as catalog:
            pinned = {key for key, _ in Pointers(catalog).pins(self.settings.env)}
        found = tuple(key for key in keys if key in pinned)
        if found:
            catalog = Catalog(self.settings.catalog_path, write=True)
            try:
                Pointers(catalog).unpin(self.settings.env, found)
            finally:
                catalog.close()
        return found

    # -- where heads are to go

    def _rollback_aims(
        self, catalog: Catalog, chosen: _Chosen, name: VersionName, *, downstream: bool
    ) -> tuple[list[_Aim], list[tuple[AssetKey, str]]]:
        env, pointers, keys = self.settings.env, Pointers(catalog), chosen.keys
        cut = pointers.cut(env, name) if name.kind in ("time", "run") else None
        if cut is not None and cut.env != env:
            raise UsageError(f"run #{name.number} was in env {cut.env}, and this is env {env}", fix=f"add -e {cut.env}")
        heads = by_key(catalog.heads(env))
        targets = by_key(pointers.named(env, keys, name))
        left = _left_sources(chosen.sources)
        for key in keys:
            if key not in targets:
                if cut is None or key in chosen.named or not targets:
                    raise pointers.no_version(env, key, name)
                left.append((key, "had no version then"))
        aims = [_Aim(key, heads.get(key), targets[key]) for key in keys if key in targets]
        if downstream:
            moment = cut or self._moment(pointers, targets)
            below = self._below(keys)
            then = by_key(pointers.at(moment, below))
            for key in below:
                head = heads.get(key)
                if key in then:
                    aims.append(_Aim(key, head, then[key], is_selected=False))
                elif head is not None:
                    left.append((key, "had no version then"))
        left += [(one.asset, "stores its result itself") for one in aims if one.changes and _is_elsewhere(one)]
        aims = [one for one in aims if not (one.changes and _is_elsewhere(one))]
        if downstream and any(one.moves for one in aims):
            return aims, left  # also what stays: a run with newer code would move it on
        left += [
            (one.asset, f"is at v{one.target.version.number} already")
            for one in aims
            if one.is_selected and not one.moves
        ]
        return [one for one in aims if one.moves], left

    def _moment(self, pointers: Pointers, targets: dict[AssetKey, Head]) -> Cut:
        """The one moment at which all targets were current: just before the first of them was replaced."""
        env = self.settings.env
        never = [key for key, head in targets.items() if not head.seq]
        if never:
            raise UsageError(
                f"{never[0]}@{targets[never[0]].version.number} was never current in env {env}, so there is no moment "
                "to take the assets below it back to",
                fix="leave out --downstream, or give a time or a run",
            )
        moment = Cut(env, min((pointers.left_at(head) for head in targets.values()), default=0))
        then = by_key(pointers.at(moment, list(targets)))
        if any(key not in then or then[key].version != head.version for key, head in targets.items()):
            raise UsageError(
                "these versions were not current at the same time, so what is made of them has no common state",
                fix="give a time or a run instead: --to run:41",
            )
        return moment

    def _pin_aims(self, catalog: Catalog, wanted: dict[AssetKey, VersionName | None]) -> list[_Aim]:
        env, pointers = self.settings.env, Pointers(catalog)
        heads = by_key(catalog.heads(env))
        aims: list[_Aim] = []
        for key, name in wanted.items():
            head = heads.get(key)
            if name is None and head is None:
                raise NoSuchVersion(f"{key} has no version to pin yet", fix=f"assetflow materialize {key}")
            target = head if name is None else pointers.find(env, key, name)
            assert target is not None, "looked at above"
            aim = _Aim(key, head, target, is_read=name is not None)
            # The head itself rather than another trace of the same version: pinning is no reason to move it.
            aims.append(aim if aim.changes or head is None else replace(aim, target=head))
        return aims

    def _check_bytes(self, pointers: Pointers, aims: Iterable[_Aim], *, reads: bool) -> None:
        """Refuse to point at what is not there or, when it `reads`, is not what was written."""
        for aim in aims:
            version = aim.target.version
            name = f"{version.asset} v{version.number}"
            if version.state == "evicted":
                raise pointers.evicted(aim.target)
            if version.state == "condemned":
                raise NoSuchVersion(f"gc is about to remove {name}", fix=f"assetflow history {version.asset}")
            history = f"assetflow history {version.asset}"
            if version.state == "rejected":
                raise NoSuchVersion(f"a check rejected {name}, so it cannot become current", fix=history)
            if version.state != "live" or not self.storage.exists(version):
                where = "damaged, and in quarantine" if version.state == "damaged" else "gone"
                facts = pointers.readable(version.asset, self.storage.exists)
                what = f"the bytes of {name} are {where}, so it cannot become current"
                raise DamagedVersion(what, facts=facts, fix=history)
            if reads and aim.is_read and (problems := self.storage.verify(version, deep=True)):
                facts = (f"found:    {'; '.join(problems)}", f"location: {version.location}")
                fix = f"`assetflow doctor --deep --fix` puts it aside; for another version see `{history}`"
                raise DamagedVersion(f"{name} is damaged, so it cannot become current", facts=facts, fix=fix)

    # -- doing it

    def _carry_out(
        self,
        command: str,
        aim: Callable[[Catalog], tuple[list[_Aim], list[tuple[AssetKey, str]]]],
        cause: Callable[[_Aim], str],
        reason: str,
        *,
        wait_s: float,
        dry_run: bool = False,
        confirm: Confirm | None = None,
        pins_all: bool = False,
    ) -> PointerMoves:
        with self._catalog() as catalog:
            aims, left = aim(catalog)
            self._check_bytes(Pointers(catalog), aims, reads=True)
        shown = PointerMoves(self.settings.env, tuple(one.shown for one in aims), tuple(left), done=False)
        if dry_run or not aims or (confirm is not None and not confirm(shown)):
            return replace(shown, done=not dry_run and not aims)
        with environment_lock(self.settings, wait_s, verb=command):
            catalog = Catalog(self.settings.catalog_path, write=True)
            try:
                again, _ = aim(catalog)
                if [(one.shown, one.target.trace.trace_id) for one in again] != [
                    (one.shown, one.target.trace.trace_id) for one in aims
                ]:
                    raise Superseded("assets moved in the meantime; nothing was changed", fix="look, and do it again")
                self._check_bytes(Pointers(catalog), again, reads=False)
                self._repoint(catalog, again, cause, reason, pins_all=pins_all)
                problem = present(self.settings, self.graph.specs, catalog, self.storage)
            finally:
                catalog.close()
        return replace(shown, done=True, warnings=(problem,) if problem else ())

    def _repoint(
        self, catalog: Catalog, aims: Sequence[_Aim], cause: Callable[[_Aim], str], reason: str, *, pins_all: bool
    ) -> None:
        now, user = time.time(), f"{user_name()}@{platform.node()}"
        tail = f": {' '.join(reason.split())}" if reason.strip() else ""
        moves: list[Repoint] = []
        for one in aims:
            why = cause(one)
            what = f"{why} to v{one.target.version.number}" if pins_all else why
            pin = Pin(one.asset, "", why + tail, user, now)
            seen = None if one.head is None else one.head.trace.trace_id
            moves.append(Repoint(one.asset, one.target.trace.trace_id, seen, f"{what} by {user}{tail}", pin))
        Pointers(catalog).repoint(self.settings.env, moves, now)

    # -- what was asked for

    def _target(self, to: int | str | datetime | date) -> VersionName:
        if isinstance(to, int):
            return VersionName("number", str(to), to)
        name = (
            parse_version(to, zone_named(self.settings.tz))
            if isinstance(to, str)
            else time_name(to, zone_named(self.settings.tz))
        )
        if name.kind == "env":
            raise UsageError(
                f"`{to}` is not a version, a run or a time to roll back to", fix="--to 3, --to HEAD~1 or --to run:41"
            )
        return name

    def _pinned_names(self, selection: Expression) -> tuple[dict[AssetKey, VersionName | None], tuple[AssetKey, ...]]:
        """What to pin, and the sources that stay: `orders@3` names a version, all other words are one selection."""
        texts = _texts(selection)
        names: dict[AssetKey, VersionName | None] = {}
        rest: list[str] = []
        for text in texts:
            plain: list[str] = []
            for word in text.split():
                key, at, version = word.partition("@")
                if not (key and at):
                    plain.append(word)
                    continue
                found, name = self.graph.resolve(key), parse_version(version, zone_named(self.settings.tz), of=key)
                if found in names:
                    raise UsageError(f"`{' '.join(texts)}` names {found} twice", fix="name each asset once")
                names[found] = name
                if name.kind == "env":
                    raise UsageError(f"`{word}` is of another environment", fix="pin a version: orders@3")
            rest += [" ".join(plain)] if plain else []
        self._refuse_sources(names, "pinned")
        if not rest and names:
            return names, ()
        chosen = self._own(rest, "pinned")
        if twice := [key for key in chosen.keys if key in chosen.named and key in names]:
            raise UsageError(f"`{' '.join(texts)}` names {twice[0]} twice", fix="name each asset once")
        return dict.fromkeys(chosen.keys) | names, chosen.sources

    def _own(self, selection: Expression, what: str) -> _Chosen:
        """The assets of a selection, without the sources that a pattern or a walk brings along.

        Raises:
            UsageError: a source is named, or there is nothing else.
        """
        every = self._chosen(selection)
        names = parse_selection(selection_text(selection)).names
        named = frozenset(key for name in names for key in self.graph.named(name))
        sources = tuple(key for key in every if self.graph.specs[key].is_source)
        keys = tuple(key for key in every if not self.graph.specs[key].is_source)
        self._refuse_sources(sources if not keys else named.intersection(sources), what)
        return _Chosen(keys, sources, named)

    def _command(self, verb: str, selection: Expression, options: Sequence[str], reason: str) -> str:
        """What was asked for, as it is written after `assetflow`."""
        words = ["-e", self.settings.env] if self.settings.env != self.settings.home_env else []
        plain = isinstance(selection, str) and not any(mark in selection for mark in "'\"")
        words += [verb, *(selection.split() if isinstance(selection, str) and plain else _texts(selection)), *options]
        return shlex.join([*words, *(["--reason", reason] if reason.strip() else [])])

    def _chosen(self, selection: Expression) -> tuple[AssetKey, ...]:
        if not selection_text(selection).strip():
            raise UsageError("say which assets", fix="name one, or write a selection such as tag:gold")
        found = self.select(selection)
        self.graph.refuse_partitions((key for key in found if self.graph.specs[key].partitions), "pin and rollback")
        return found

    def _refuse_sources(self, keys: Iterable[AssetKey], what: str) -> None:
        source = next((key for key in keys if self.graph.specs[key].is_source), None)
        if source is not None:
            verb = "pin" if what == "pinned" else "rollback"
            raise UsageError(
                f"{source} is a source and cannot be {what}: assetflow keeps no copies of its data",
                fix=f'for what is made of it: assetflow {verb} "{source}+"' if self._below([source]) else None,
            )

    def _below(self, keys: Iterable[AssetKey]) -> list[AssetKey]:
        found = self.graph.walk(keys, up=False) - set(keys)
        return [key for key in self.graph.order if key in found]


def _texts(selection: Expression) -> list[str]:
    return [selection] if isinstance(selection, str) else list(selection or ())


def _with_to(selection: Expression) -> str | None:
    """What was meant by a selection with versions in it, as a command: the version goes to `--to`.

    Without it the rest would roll back to the version before, which is another one. None when it cannot be told.
    """
    words = " ".join(_texts(selection)).split()
    parts = [word.rstrip(")").partition("@") for word in words]
    versions = {version for _, at, version in parts if at}
    if any(at and not (key and version) for key, at, version in parts) or not versions:
        return None
    if len(versions) > 1:
        key, version = next((key, version) for key, at, version in parts if at)
        return f"roll each back by itself: assetflow rollback {shlex.join([key.lstrip('(')])} --to {version}"
    version = versions.pop()
    return f"assetflow rollback {shlex.join([word.replace(f'@{version}', '') for word in words])} --to {version}"


def _left_sources(sources: Iterable[AssetKey]) -> list[tuple[AssetKey, str]]:
    return [(key, "is a source, and assetflow keeps no copies of its data") for key in sources]


def _is_elsewhere(aim: _Aim) -> bool:
    """Whether the result is where assetflow cannot bring it back."""
    return aim.target.version.io == "none"
