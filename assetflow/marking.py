"""Saying what assetflow cannot know: that an edit changes no result, or that what there is must not be used."""

from __future__ import annotations

import platform
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.marks import Marks, Said
from assetflow.catalog.pointers import Repoint
from assetflow.errors import Superseded, UsageError
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey, slot, split_slot
from assetflow.model.records import Head, NewTrace
from assetflow.plan.graph import AssetGraph
from assetflow.plan.planner import Plan, World, make_plan
from assetflow.plan.selection import parse_selection
from assetflow.plan.staleness import Action
from assetflow.run.accepting import missing_inputs, standing
from assetflow.run.arranged import Arranging
from assetflow.run.declared import make_salt
from assetflow.run.locks import environment_lock, user_name
from assetflow.run.recording import observed
from assetflow.views import Expression, selection_text

if TYPE_CHECKING:
    from assetflow.load.live import Loaded

_ALL_MOVES = 1_000_000_000
_BETWEEN = re.compile(r"\s+(?![^\[]*\])")
"""Space that is in no brackets."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What `accept`, `invalidate` or `mark` did: the assets with their versions, and those that were left, with why."""

    env: str
    did: str
    assets: tuple[tuple[AssetKey, int | None], ...]
    left: tuple[tuple[AssetKey, str], ...] = ()

    def to_json(self) -> dict[str, object]:
        """What was done as JSON-able values."""
        return {
            "env": self.env,
            "did": self.did,
            "assets": [{"asset": key, "version": number} for key, number in self.assets],
            "left": [{"asset": key, "why": why} for key, why in self.left],
        }


class Marking:
    """The verbs of a project that record what people say. No data changes by any of them."""

    settings: Settings
    graph: AssetGraph
    storage: Storage

    # -- what the project provides

    def _catalog(self) -> AbstractContextManager[Catalog]:
        raise NotImplementedError

    def _load(self) -> Loaded:
        raise NotImplementedError

    def select(self, expression: Expression = None) -> tuple[AssetKey, ...]:
        """The assets and sources that a selection names."""
        raise NotImplementedError

    # -- the verbs

    def accept(self, selection: Expression, *, reason: str = "", wait_s: float = 0.0) -> Marked:
        """Let the versions that assets have stand for what their code and inputs of now would give.

        For edits that cannot change a result: a rename, a refactoring. What is made of the assets stays current too.
        It is recorded with the user and the reason; `revoke` takes it back, and a later edit makes an asset stale as
        ever. Of an asset with partitions it is done to those that are named in brackets, as `-p` takes them, and that
        are not current.

        Example:
            project.accept("marts.orders", reason="only renamed a helper")
            project.accept("net[2026-01-01..2026-01-31]", reason="the edit is for what comes")

        Raises:
            UsageError: the selection names a source, or nothing.
            RunConflict: a run is going on in this environment, for longer than `wait_s`.
        """
        return self._accept(selection, "accepted", reason, wait_s)

    def revoke(self, selection: Expression, *, reason: str = "", wait_s: float = 0.0) -> Marked:
        """Take back what was accepted: those assets are what they were before, and nothing is linked because of it.

        Raises:
            UsageError: the selection names a source, or nothing.
            RunConflict: a run is going on in this environment, for longer than `wait_s`.
        """
        parts = self._bracketed(selection)
        keys = self._slots(parts) if parts else self._own_assets(selection)
        said = self._said("accept revoked", reason)
        moves: list[Repoint] = []
        claims: list[int] = []
        done: list[tuple[AssetKey, int | None]] = []
        left: list[tuple[AssetKey, str]] = []
        with environment_lock(self.settings, wait_s, verb="accept"), self._writer() as catalog:
            heads, doubts = catalog.heads(self.settings.env), catalog.doubts(self.settings.env)
            histories = _histories(catalog, self.settings.env, keys)
            for key in keys:
                names = split_slot(key)
                revoked = doubts[names].revoked if names in doubts else frozenset[int]()
                found = _accepted(histories.get(key, ()), revoked)
                head = heads.get(names)
                if found is None or head is None:
                    left += [] if names[1] else [(key, "nothing of it was accepted")]
                    continue
                accepted, before = found
                claims.append(accepted.trace.trace_id)
                # Where it would go back to something that is gone it stays, and the next run makes it again.
                can_go_back = before is not None and before.version.state == "live"
                if before is not None and can_go_back and head.trace.trace_id == accepted.trace.trace_id:
                    moves.append(Repoint(key, before.trace.trace_id, head.trace.trace_id, said.line, None))
                done.append((key, head.version.number))
            if claims:
                Marks(catalog).revoke(self.settings.env, claims, moves, said)
        if not done:
            left += [(slot(key, text), "nothing of it was accepted") for key, text in parts.items()]
        return Marked(self.settings.env, "revoked", tuple(done), tuple(left))

    def invalidate(self, selection: Expression, *, reason: str = "", wait_s: float = 0.0) -> Marked:
        """Let nothing that was computed of these assets count any more: they run again, whatever they depend on.

        The versions stay, and stay current until then; what is made of the assets runs only if their content changes.
        Of an asset with partitions it is done to those that are named in brackets, as `-p` takes them.

        Example:
            project.invalidate("raw_rates+", reason="the feed was wrong on Monday")
            project.invalidate("orders[2026-01-05..2026-01-09]", reason="the feed was wrong that week")

        Raises:
            UsageError: the selection names a source, or nothing.
            RunConflict: a run is going on in this environment, for longer than `wait_s`.
        """
        return self._invalidate(selection, "invalidated", reason, wait_s)

    def mark(self, selection: Expression, state: str, *, reason: str, wait_s: float = 0.0) -> Marked:
        """Overrule what the planner says, for a reason that is recorded: `current` accepts, `stale` invalidates.

        Raises:
            UsageError: the state is neither, there is no reason, or the selection names a source or nothing.
            RunConflict: a run is going on in this environment, for longer than `wait_s`.
        """
        if state not in ("current", "stale"):
            raise UsageError(f"assets are marked current or stale, not `{state}`", fix="--current or --stale")
        if not reason.strip():
            raise UsageError("a mark needs a reason", fix='--reason "why"')
        act = self._accept if state == "current" else self._invalidate
        return act(selection, f"marked {state}", reason, wait_s)

    # -- how

    def _accept(self, selection: Expression, did: str, reason: str, wait_s: float) -> Marked:
        parts = self._bracketed(selection)
        keys = () if parts else self._own_assets(selection)
        loaded = self._load()  # the code of now is recorded with what is said of it
        env, said = self.settings.env, self._said(did, reason)
        standing_for: list[Head] = []
        left: list[tuple[AssetKey, str]] = []
        traces: list[NewTrace] = []
        with environment_lock(self.settings, wait_s, verb="accept"), self._writer() as catalog:
            if any(spec.env_vars for spec in self.graph.specs.values()):
                make_salt(self.settings.catalog_path)
            runs = catalog.runs(1)
            notes: dict[str, object] = {"assetflow/by": said.user, "assetflow/reason": " ".join(reason.split())}
            notes["assetflow/after_run"] = runs[0].run_id if runs else 0
            for world, targets in self._worlds(catalog, loaded, keys, parts):
                self._record_sources(catalog, world, make_plan(world, targets), targets)
            for world, targets in self._worlds(catalog, loaded, keys, parts):
                found, others = _to_accept(world, make_plan(world, targets), targets)
                standing_for += found
                left += others
                traces += [
                    standing(world, world.graph.specs[_name(head)], head, kind="accept", cause=said.line, notes=notes)
                    for head in found
                ]
            done = catalog.commit(env, None, traces, said.at, sources=loaded.code_sources) if traces else []
            if not all(one.moved for one in done):
                raise Superseded("another process moved an asset in this moment", fix="look, and do it again")
        return Marked(env, did, tuple((_name(head), head.version.number) for head in standing_for), tuple(left))

    def _record_sources(self, catalog: Catalog, world: World, plan: Plan, keys: Sequence[AssetKey]) -> None:
        """Record what the sources look like that the accepted assets read: a trace names versions of what it read."""
        read = {one.upstream for key in keys for one in world.graph.specs[key].inputs}
        now = time.time()
        new = [
            observed(step, world.sources[step.asset], now)
            for step in plan
            if step.asset in read and step.spec.is_source and step.action is not Action.BLOCKED
            and (step.head is None or step.head.version.data_hash != world.sources[step.asset].token)
        ]  # fmt: skip
        if new:
            catalog.commit(self.settings.env, None, new, now)

    def _invalidate(self, selection: Expression, did: str, reason: str, wait_s: float) -> Marked:
        keys = self._slots(self._bracketed(selection)) or self._own_assets(selection)
        env, said = self.settings.env, self._said(did, reason)
        with environment_lock(self.settings, wait_s, verb="invalidate"), self._writer() as catalog:
            Marks(catalog).invalidate(env, keys, said)
            heads = catalog.heads(env)
        found = {key: heads.get(split_slot(key)) for key in keys}
        numbers = {key: None if head is None else head.version.number for key, head in found.items()}
        return Marked(env, did, tuple(numbers.items()))

    def _worlds(
        self, catalog: Catalog, loaded: Loaded, keys: tuple[AssetKey, ...], parts: Mapping[AssetKey, str]
    ) -> Iterator[tuple[World, tuple[AssetKey, ...]]]:
        """The world of these assets, or that of the named partitions of each of them, and what is looked at in it."""
        for targets, text in [((key,), text) for key, text in parts.items()] or [(keys, None)]:
            arranging = Arranging(self.settings, self.storage, loaded.code_sources, lambda: loaded)
            slots = arranging(self.graph, targets, text, catalog).slots
            yield arranging.survey(slots, catalog).world, slots.targets

    def _writer(self) -> AbstractContextManager[Catalog]:
        from contextlib import closing

        return closing(Catalog(self.settings.catalog_path, write=True))

    def _said(self, did: str, reason: str) -> Said:
        tail = f": {' '.join(reason.split())}" if reason.strip() else ""
        return Said(f"{did}{tail}", f"{user_name()}@{platform.node()}", time.time())

    def _bracketed(self, selection: Expression) -> dict[AssetKey, str]:
        """What is named of partitions, such as `orders[2026-01-05]`, `orders[latest:7]`; nothing where assets are.

        Raises:
            UsageError: partitions and assets are named together, an asset has no partitions, or none of these.
        """
        words = [selection] if isinstance(selection, str) else list(selection or ())
        words = [word for text in words for word in (_BETWEEN.split(text.strip()) if "[" in text else [text])]
        named = [word for word in words if word.endswith("]")]
        if not named:
            return {}
        if other := next((word for word in words if word not in named), None):
            fix = f"do it one after the other: first {named[0]}"
            raise UsageError(f"`{other}` names assets, and {named[0]} partitions", fix=fix)
        found: dict[AssetKey, str] = {}
        for word in named:
            asset, text = split_slot(AssetKey(word))
            key = self.graph.resolve(asset)
            if self.graph.specs[key].partitions is None or self.graph.specs[key].is_source:
                raise UsageError(f"{key} has no partitions of its own", fix=f"leave `[{text}]` out")
            found[key] = f"{found[key]},{text}" if key in found else text
        return found

    def _slots(self, parts: Mapping[AssetKey, str]) -> tuple[AssetKey, ...]:
        """The partitions that are meant, by name."""
        found: dict[AssetKey, None] = {}
        for key, text in parts.items():
            definition = self.graph.specs[key].partitions
            assert definition is not None, "only partitions are named so"
            ordinals = definition.parse(text, datetime.now(UTC))
            found.update(dict.fromkeys(slot(key, partition) for partition in definition.keys(ordinals)))
        return tuple(found)

    def _own_assets(self, selection: Expression) -> tuple[AssetKey, ...]:
        """The assets of a selection without the sources that it brings along.

        Raises:
            UsageError: a source is named, or there is nothing else.
        """
        text = selection_text(selection)
        if not text.strip():
            raise UsageError("say which assets", fix="name one, or write a selection such as tag:gold")
        every = self.select(selection)
        own = tuple(key for key in every if not self.graph.specs[key].is_source)
        named = {key for name in parse_selection(text).names for key in self.graph.named(name)}
        sources = [key for key in every if key not in own and (key in named or not own)]
        if sources:
            raise UsageError(
                f"{sources[0]} is a source, and is what it is", fix="name the assets that are made of it: not is:source"
            )
        parted = next((key for key in own if self.graph.specs[key].partitions is not None), None)
        if parted is not None:
            raise UsageError(f"{parted} has partitions", fix=f'name those that are meant: "{parted}[*]"')
        return own


def _to_accept(world: World, plan: Plan, keys: Iterable[AssetKey]) -> tuple[list[Head], list[tuple[AssetKey, str]]]:
    """The heads that are to stand for the code and the inputs of now, and what is left alone, with why."""
    found: list[Head] = []
    left: list[tuple[AssetKey, str]] = []
    for key in keys:
        head, step = world.head(key), plan[key]
        if head is None:
            left.append((key, "has no version that could stand for anything"))
        elif step.pin is not None:
            left.append((key, step.pin.words))
        elif key in world.lost:
            left.append((key, f"the bytes of v{head.version.number} are gone"))
        elif step.action is Action.CURRENT:
            left += [] if step.partition else [(key, "is current")]
        elif missing := missing_inputs(world, step.spec):
            left.append((key, f"reads {missing[0]}, which is not there"))
        else:
            found.append(head)
    return found, left


def _name(head: Head) -> AssetKey:
    return slot(head.trace.asset, head.trace.partition)


def _histories(catalog: Catalog, env: str, keys: Iterable[AssetKey]) -> dict[AssetKey, list[Head]]:
    """How the heads of these assets or partitions moved, newest first."""
    wanted = frozenset(keys)
    found: dict[AssetKey, list[Head]] = {}
    for asset in dict.fromkeys(split_slot(key)[0] for key in wanted):
        for head in catalog.history(env, asset, _ALL_MOVES):
            if (name := _name(head)) in wanted:
                found.setdefault(name, []).append(head)
    return found


def _accepted(history: Sequence[Head], revoked: frozenset[int]) -> tuple[Head, Head | None] | None:
    """The newest acceptance in a history that still stands, and where the head was before."""
    for place, head in enumerate(history):
        if head.trace.kind == "accept" and head.trace.trace_id not in revoked:
            before = next((one for one in history[place + 1 :] if one.trace.trace_id != head.trace.trace_id), None)
            return head, before
    return None
