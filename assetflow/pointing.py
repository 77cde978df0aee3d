"""Moving what is current without computing: rollback, pin and unpin. Only pointers change, never data."""

from __future__ import annotations

import platform
import shlex
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from datetime import date, datetime
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.pointers import Cut, Pointers, Repoint, by_name, history_of
from assetflow.errors import DamagedVersion, NoSuchVersion, Superseded, UsageError, VersionInSelection
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey, arguments_of, slot, split_slot
from assetflow.model.records import Head, Pin
from assetflow.plan.graph import AssetGraph
from assetflow.plan.named import (
    bracketed,
    has_partitions,
    named,
    named_partitions,
    slots_named,
    with_partitions,
    words_of,
    written,
)
from assetflow.run.locks import environment_lock, user_name
from assetflow.views import Expression, selection_text

if TYPE_CHECKING:
    from assetflow.model.versions import VersionName
    from assetflow.moves import Aim, Chosen, Confirm, PointerMoves


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

        Of an asset with partitions it is done to those in brackets, as `-p` takes them; to a run or a time, also to all
        of them without.

        Example:
            project.rollback("orders", to=3, downstream=True, reason="wrong prices")
            project.rollback("orders[2026-01-05..2026-01-07]", reason="the feed was wrong that week")
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

        def aim(catalog: Catalog) -> tuple[list[Aim], list[tuple[AssetKey, str]]]:
            return self._rollback_aims(catalog, chosen, name, downstream=downstream)

        def cause(one: Aim) -> str:
            return f"rollback to v{one.target.version.number}"

        options = ["--to", str(to)] if to != "HEAD~1" else []
        options += ["--downstream"] if downstream else []
        command = self._command("rollback", selection, options, reason)
        return self._carry_out(command, aim, cause, reason, wait_s=wait_s, dry_run=dry_run, confirm=confirm)

    def pin(self, selection: Expression, *, reason: str = "", wait_s: float = 0.0) -> PointerMoves:
        """Keep assets at their versions: no run moves a pinned asset, and what is made of it uses the pinned version.

        `"fx_rates@3"` makes version 3 current and pins it; any other selection pins assets where they are. Of an asset
        with partitions those in brackets are pinned.

        Example:
            project.pin("fx_rates@3", reason="rates of the contract")
            project.pin("orders[2026-01-05]@2", reason="as it was reported")

        Raises:
            NoSuchVersion: a selected asset has no version, or not that one.
            DamagedVersion: the bytes of a named version are gone, or are not what was written.
            UsageError: the selection names a source, or an asset twice.
            RunConflict: a run is going on in this environment, for longer than `wait_s`.
        """
        wanted, sources = self._pinned_names(selection)

        def aim(catalog: Catalog) -> tuple[list[Aim], list[tuple[AssetKey, str]]]:
            aims, left = self._pin_aims(catalog, wanted)
            return aims, [*left, *_left_sources(sources)]

        command = self._command("pin", selection, [], reason)
        return self._carry_out(command, aim, lambda _: "pin", reason, wait_s=wait_s, pins_all=True)

    def unpin(self, selection: Expression) -> tuple[AssetKey, ...]:
        """Let runs have pinned assets again; the assets of the selection that were pinned. Nothing moves by this.

        Of an asset with partitions all that are pinned are meant, or those in brackets.
        """
        keys = self._chosen(selection)
        with self._catalog() as catalog:
            pinned = [slot(*names) for names in Pointers(catalog).pins(self.settings.env)]
        parts: dict[AssetKey, list[AssetKey]] = {}
        for name in sorted(pinned):
            parts.setdefault(split_slot(name)[0], []).append(name)
        found = tuple(
            name for key in keys for name in parts.get(split_slot(key)[0], ()) if key in (name, split_slot(name)[0])
        )
        if found:
            catalog = Catalog(self.settings.catalog_path, write=True)
            try:
                Pointers(catalog).unpin(self.settings.env, found)
            finally:
                catalog.close()
        return found

    # -- where heads are to go

    def _rollback_aims(
        self, catalog: Catalog, chosen: Chosen, name: VersionName, *, downstream: bool
    ) -> tuple[list[Aim], list[tuple[AssetKey, str]]]:
        from assetflow.moves import Aim

        env, pointers, keys = self.settings.env, Pointers(catalog), chosen.keys
        cut = pointers.cut(env, name) if name.kind in ("time", "run") else None
        if cut is not None and cut.env != env:
            raise UsageError(f"run #{name.number} was in env {cut.env}, and this is env {env}", fix=f"add -e {cut.env}")
        heads = by_name(catalog.heads(env))
        keys = self._one_by_one(keys, heads, pointers, cut)
        targets = by_name(pointers.named(env, keys, name))
        left = _left_sources(chosen.sources)
        for key in keys:
            if key not in targets:
                if key in chosen.named or not targets or (cut is None and not split_slot(key)[1]):
                    raise pointers.no_version(env, key, name)
                left.append((key, "had no version then" if cut is not None else "has no such version"))
        aims = [Aim(key, heads.get(key), targets[key]) for key in keys if key in targets]
        if downstream:
            moment = cut or self._moment(pointers, targets)
            below = self._below(keys)
            then = by_name(pointers.at(moment, below))
            for key in below:
                head = heads.get(key)
                if key in then:
                    aims.append(Aim(key, head, then[key], is_selected=False))
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
        then = by_name(pointers.at(moment, list(targets)))
        if any(key not in then or then[key].version != head.version for key, head in targets.items()):
            raise UsageError(
                "these versions were not current at the same time, so what is made of them has no common state",
                fix="give a time or a run instead: --to run:41",
            )
        return moment

    def _one_by_one(
        self, keys: Sequence[AssetKey], heads: Iterable[AssetKey], pointers: Pointers, cut: Cut | None
    ) -> list[AssetKey]:
        """The keys, with the partitions of now and of then in the place of an asset that has some.

        Raises:
            UsageError: there is no moment, so each partition would go to a version of its own.
        """
        parted = next((key for key in keys if has_partitions(self.graph, key)), None)
        if parted is None:
            return list(keys)
        if cut is None:
            raise _has_parts(parted)
        return with_partitions(self.graph, keys, {*heads, *by_name(pointers.at(cut))})

    def _pin_aims(
        self, catalog: Catalog, wanted: dict[AssetKey, VersionName | None]
    ) -> tuple[list[Aim], list[tuple[AssetKey, str]]]:
        from assetflow.moves import Aim

        env, pointers = self.settings.env, Pointers(catalog)
        heads = by_name(catalog.heads(env))
        aims: list[Aim] = []
        left: list[tuple[AssetKey, str]] = []
        for key, name in wanted.items():
            head = heads.get(key)
            if name is None and head is None and split_slot(key)[1] and any(one in heads for one in wanted):
                left.append((key, "has no version yet"))
                continue
            if name is None and head is None:
                fix = f"assetflow materialize {shlex.join(arguments_of(key))}"
                raise NoSuchVersion(f"{key} has no version to pin yet", fix=fix)
            target = head if name is None else pointers.find(env, key, name)
            assert target is not None, "looked at above"
            aim = Aim(key, head, target, is_read=name is not None)
            # The head itself rather than another trace of the same version: pinning is no reason to move it.
            aims.append(aim if aim.changes or head is None else replace(aim, target=head))
        return aims, left

    def _check_bytes(self, pointers: Pointers, aims: Iterable[Aim], *, reads: bool) -> None:
        """Refuse to point at what is not there or, when it `reads`, is not what was written."""
        for aim in aims:
            version = aim.target.version
            name, history = f"{version.slot} v{version.number}", history_of(version.slot)
            if version.state == "evicted":
                raise pointers.evicted(aim.target)
            if version.state == "condemned":
                raise NoSuchVersion(f"gc is about to remove {name}", fix=history)
            if version.state == "rejected":
                raise NoSuchVersion(f"a check rejected {name}, so it cannot become current", fix=history)
            if version.state != "live" or not self.storage.exists(version):
                where = "damaged, and in quarantine" if version.state == "damaged" else "gone"
                facts = pointers.readable(version.slot, self.storage.exists)
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
        aim: Callable[[Catalog], tuple[list[Aim], list[tuple[AssetKey, str]]]],
        cause: Callable[[Aim], str],
        reason: str,
        *,
        wait_s: float,
        dry_run: bool = False,
        confirm: Confirm | None = None,
        pins_all: bool = False,
    ) -> PointerMoves:
        from assetflow.moves import PointerMoves

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
                from assetflow.run.presenting import present

                problem = present(self.settings, self.graph.specs, catalog, self.storage)
            finally:
                catalog.close()
        return replace(shown, done=True, warnings=(problem,) if problem else ())

    def _repoint(
        self, catalog: Catalog, aims: Sequence[Aim], cause: Callable[[Aim], str], reason: str, *, pins_all: bool
    ) -> None:
        now, user = time.time(), f"{user_name()}@{platform.node()}"
        tail = f": {' '.join(reason.split())}" if reason.strip() else ""
        moves: list[Repoint] = []
        for one in aims:
            why = cause(one)
            what = f"{why} to v{one.target.version.number}" if pins_all else why
            pin = Pin(*split_slot(one.asset), why + tail, user, now)
            seen = None if one.head is None else one.head.trace.trace_id
            moves.append(Repoint(one.asset, one.target.trace.trace_id, seen, f"{what} by {user}{tail}", pin))
        Pointers(catalog).repoint(self.settings.env, moves, now)

    # -- what was asked for

    def _target(self, to: int | str | datetime | date) -> VersionName:
        from assetflow.model.versions import VersionName, parse_version, time_name, zone_named

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
        """What to pin, and the sources that stay.

        `orders@3` names a version, `orders[2026-01-05]` a partition; all other words are one selection.
        """
        texts = _texts(selection)
        names: dict[AssetKey, VersionName | None] = {}
        rest: list[str] = []
        for text in texts:
            plain: list[str] = []
            for word in words_of(text):
                if not word.partition("@")[0] or not ("@" in word or bracketed(word)):
                    plain.append(word)
                    continue
                found, name = self._pinned(word)
                if twice := next((one for one in found if one in names), None):
                    raise UsageError(f"`{' '.join(texts)}` names {twice} twice", fix="name each asset once")
                names.update(dict.fromkeys(found, name))
            rest += [" ".join(plain)] if plain else []
        self._refuse_sources((split_slot(key)[0] for key in names), "pinned")
        if not rest and names:
            return names, ()
        chosen = self._own(rest, "pinned")
        if twice := [key for key in chosen.keys if key in chosen.named and key in names]:
            raise UsageError(f"`{' '.join(texts)}` names {twice[0]} twice", fix="name each asset once")
        if (parted := next((key for key in chosen.keys if has_partitions(self.graph, key)), None)) is not None:
            raise _has_parts(parted)
        return dict.fromkeys(chosen.keys) | names, chosen.sources

    def _pinned(self, word: str) -> tuple[tuple[AssetKey, ...], VersionName | None]:
        """What `orders@3` or `orders[2026-01-05]@2` means: assets or partitions, and their version if it is named."""
        from assetflow.model.versions import parse_version, zone_named

        parts = written(word)
        found = named(self.graph, parts.name)
        if found.partitions is None and has_partitions(self.graph, found.asset):
            raise _has_parts(found.asset)
        if parts.version is None:
            return found.slots, None
        name = parse_version(parts.version, zone_named(self.settings.tz), of=parts.name)
        if name.kind == "env":
            raise UsageError(f"`{word}` is of another environment", fix="pin a version: orders@3")
        return found.slots, name

    def _own(self, selection: Expression, what: str) -> Chosen:
        """The assets of a selection, without the sources that a pattern or a walk brings along.

        Raises:
            UsageError: a source is named, or there is nothing else.
        """
        from assetflow.moves import Chosen

        every = self._chosen(selection)
        if bracketed(selection):
            self._refuse_sources((split_slot(key)[0] for key in every), what)
            return Chosen(every, (), frozenset(every if len(every) == 1 else ()))
        from assetflow.plan.selection import parse_selection

        names = parse_selection(selection_text(selection)).names
        named = frozenset(key for name in names for key in self.graph.named(name))
        sources = tuple(key for key in every if self.graph.specs[key].is_source)
        keys = tuple(key for key in every if not self.graph.specs[key].is_source)
        self._refuse_sources(sources if not keys else named.intersection(sources), what)
        return Chosen(keys, sources, named)

    def _command(self, verb: str, selection: Expression, options: Sequence[str], reason: str) -> str:
        """What was asked for, as it is written after `assetflow`."""
        words = ["-e", self.settings.env] if self.settings.env != self.settings.home_env else []
        plain = isinstance(selection, str) and not any(mark in selection for mark in "'\"")
        words += [verb, *(words_of(selection) if isinstance(selection, str) and plain else _texts(selection)), *options]
        return shlex.join([*words, *(["--reason", reason] if reason.strip() else [])])

    def _chosen(self, selection: Expression) -> tuple[AssetKey, ...]:
        if not selection_text(selection).strip():
            raise UsageError("say which assets", fix="name one, or write a selection such as tag:gold")
        if with_version := next((word for word in bracketed(selection) if written(word).version is not None), None):
            fix = f"leave the version out: {written(with_version).name}"
            raise VersionInSelection(f"`{with_version}` names a version, and partitions are meant here", fix=fix)
        names = named_partitions(self.graph, selection)
        return tuple(dict.fromkeys(key for one in names for key in one.slots)) or self.select(selection)

    def _refuse_sources(self, keys: Iterable[AssetKey], what: str) -> None:
        source = next((key for key in keys if self.graph.specs[key].is_source), None)
        if source is not None:
            verb = "pin" if what == "pinned" else "rollback"
            raise UsageError(
                f"{source} is a source and cannot be {what}: assetflow keeps no copies of its data",
                fix=f'for what is made of it: assetflow {verb} "{source}+"' if self._below([source]) else None,
            )

    def _below(self, keys: Iterable[AssetKey]) -> list[AssetKey]:
        """What is made of these assets or partitions: of assets with partitions the partitions that exist."""
        graph, inside = self.graph, set(keys)
        assets = graph.walk({split_slot(key)[0] for key in inside}, up=False)
        if any(has_partitions(self.graph, key) for key in assets):
            graph = slots_named(graph, [key for key in graph.order if key in assets]).graph
            inside = {key for key in inside if key in graph}
        found = graph.walk(inside, up=False) - inside
        return [key for key in graph.order if key in found]


def _texts(selection: Expression) -> list[str]:
    return [selection] if isinstance(selection, str) else list(selection or ())


def _with_to(selection: Expression) -> str | None:
    """What was meant by a selection with versions in it, as a command: the version goes to `--to`.

    Without it the rest would roll back to the version before, which is another one. None when it cannot be told.
    """
    words = words_of(selection)
    parts = [word.rstrip(")").partition("@") for word in words]
    versions = {version for _, at, version in parts if at}
    if any(at and not (key and version) for key, at, version in parts) or not versions:
        return None
    if len(versions) > 1:
        key, version = next((key, version) for key, at, version in parts if at)
        return f"roll each back by itself: assetflow rollback {shlex.join([key.lstrip('(')])} --to {version}"
    version = versions.pop()
    return f"assetflow rollback {shlex.join([word.replace(f'@{version}', '') for word in words])} --to {version}"


def _has_parts(key: AssetKey) -> UsageError:
    return UsageError(
        f"{key} has partitions, and each has versions of its own", fix=f'name those that are meant: "{key}[*]"'
    )


def _left_sources(sources: Iterable[AssetKey]) -> list[tuple[AssetKey, str]]:
    return [(key, "is a source, and assetflow keeps no copies of its data") for key in sources]


def _is_elsewhere(aim: Aim) -> bool:
    """Whether the result is where assetflow cannot bring it back."""
    return aim.target.version.io == "none"
