"""Saying what assetflow cannot know: that an edit changes no result, or that what there is must not be used."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from msgspec import Struct

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.pointers import Repoint, by_name
from assetflow.errors import Superseded, UsageError
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Head
from assetflow.plan.graph import AssetGraph, Slots
from assetflow.plan.named import has_partitions, named_partitions, slots_named, with_partitions
from assetflow.plan.planner import Plan, World, make_plan
from assetflow.plan.staleness import Action
from assetflow.run.declared import make_salt
from assetflow.run.locks import environment_lock, user_name
from assetflow.run.survey import survey
from assetflow.views import Expression, selection_text

if TYPE_CHECKING:
    from assetflow.catalog.marks import Said
    from assetflow.load.live import Loaded


class Marked(Struct, frozen=True):
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
        ever. Of an asset with partitions all are meant, or those in brackets, as `-p` takes them.

        Example:
            project.accept("marts.orders", reason="only renamed a helper")
            project.accept("orders[2026-01-05]", reason="the corrected file has the same orders")

        Raises:
            UsageError: the selection names a source, or nothing.
            RunConflict: a run is going on in this environment, for longer than `wait_s`.
        """
        return self._accept(selection, "accepted", reason, wait_s)

    def revoke(self, selection: Expression, *, reason: str = "", wait_s: float = 0.0) -> Marked:
        """Take back what was accepted: those assets are what they were before, and nothing is linked because of it.

        Partitions are named as in `accept`.

        Raises:
            UsageError: the selection names a source, or nothing.
            RunConflict: a run is going on in this environment, for longer than `wait_s`.
        """
        from assetflow.catalog.marks import Marks

        meant = self._partitions(selection) or self._own_assets(selection)
        said = self._said("accept revoked", reason)
        moves: list[Repoint] = []
        claims: list[int] = []
        done: list[tuple[AssetKey, int | None]] = []
        left: list[tuple[AssetKey, str]] = []
        with environment_lock(self.settings, wait_s, verb="accept"), self._writer() as catalog:
            heads, doubts = by_name(catalog.heads(self.settings.env)), catalog.doubts(self.settings.env)
            for key in with_partitions(self.graph, meant, heads):
                asset, partition = split_slot(key)
                revoked = doubts[asset, partition].revoked if (asset, partition) in doubts else frozenset[int]()
                found = _accepted(catalog.history(self.settings.env, asset, parts=(partition,)), revoked)
                head = heads.get(key)
                if found is None or head is None:
                    left.append((key, "nothing of it was accepted"))
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
        from assetflow.run.accepting import standing

        meant = self._partitions(selection) or self._own_assets(selection)
        loaded = self._load()  # the code of now is recorded with what is said of it
        env, said = self.settings.env, self._said(did, reason)
        with environment_lock(self.settings, wait_s, verb="accept"), self._writer() as catalog:
            if any(spec.env_vars for spec in self.graph.specs.values()):
                make_salt(self.settings.catalog_path)
            slots = slots_named(self.graph, meant)
            keys, world = slots.targets, self._world(catalog, loaded, slots)
            plan = make_plan(world, keys)
            self._record_sources(catalog, world, plan, keys)
            world = self._world(catalog, loaded, slots)
            standing_for, left = _to_accept(world, plan, keys)
            runs = catalog.runs(1)
            notes: dict[str, object] = {"assetflow/by": said.user, "assetflow/reason": " ".join(reason.split())}
            notes["assetflow/after_run"] = runs[0].run_id if runs else 0
            traces = [
                standing(world, world.graph.specs[key], head, kind="accept", cause=said.line, notes=notes)
                for key, head in standing_for
            ]
            done = catalog.commit(env, None, traces, said.at, sources=loaded.code_sources) if traces else []
            if not all(one.moved for one in done):
                raise Superseded("another process moved an asset in this moment", fix="look, and do it again")
        return Marked(env, did, tuple((key, head.version.number) for key, head in standing_for), tuple(left))

    def _record_sources(self, catalog: Catalog, world: World, plan: Plan, keys: Sequence[AssetKey]) -> None:
        """Record what the sources look like that the accepted assets read: a trace names versions of what it read."""
        from assetflow.run.recording import observed

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
        from assetflow.catalog.marks import Marks

        keys = self._partitions(selection) or self._own_assets(selection)
        if (parted := next((key for key in keys if has_partitions(self.graph, key)), None)) is not None:
            raise UsageError(f"{parted} has partitions", fix=f'name those that are meant: "{parted}[*]"')
        env, said = self.settings.env, self._said(did, reason)
        with environment_lock(self.settings, wait_s, verb="invalidate"), self._writer() as catalog:
            Marks(catalog).invalidate(env, keys, said)
            heads = catalog.heads(env)
        found = {key: heads.get(split_slot(key)) for key in keys}
        numbers = {key: None if head is None else head.version.number for key, head in found.items()}
        return Marked(env, did, tuple(numbers.items()))

    def _world(self, catalog: Catalog, loaded: Loaded, slots: Slots) -> World:
        return survey(
            slots, self.settings.env, catalog, self.storage, lambda: loaded, root=self.settings.root,
            code=loaded.code_sources, discover=self.settings.discover,
        ).world  # fmt: skip

    def _writer(self) -> AbstractContextManager[Catalog]:
        from contextlib import closing

        return closing(Catalog(self.settings.catalog_path, write=True))

    def _said(self, did: str, reason: str) -> Said:
        from assetflow.catalog.marks import Said

        tail = f": {' '.join(reason.split())}" if reason.strip() else ""
        return Said(f"{did}{tail}", f"{user_name()}@{platform.node()}", time.time())

    def _partitions(self, selection: Expression) -> tuple[AssetKey, ...]:
        """The partitions that are named, such as `orders[2026-01-05]`, `orders[latest:7]`; none where assets are.

        Raises:
            UsageError: partitions and assets are named together, an asset has no partitions, or none of these.
        """
        names = named_partitions(self.graph, selection)
        for one in names:
            self._refuse_source(one.asset)
        return tuple(dict.fromkeys(key for one in names for key in one.slots))

    def _refuse_source(self, key: AssetKey) -> None:
        if self.graph.specs[key].is_source:
            raise UsageError(
                f"{key} is a source, and is what it is", fix="name the assets that are made of it: not is:source"
            )

    def _own_assets(self, selection: Expression) -> tuple[AssetKey, ...]:
        """The assets of a selection without the sources that it brings along.

        Raises:
            UsageError: a source is named, or there is nothing else.
        """
        from assetflow.plan.selection import parse_selection

        text = selection_text(selection)
        if not text.strip():
            raise UsageError("say which assets", fix="name one, or write a selection such as tag:gold")
        every = self.select(selection)
        own = tuple(key for key in every if not self.graph.specs[key].is_source)
        named = {key for name in parse_selection(text).names for key in self.graph.named(name)}
        sources = [key for key in every if key not in own and (key in named or not own)]
        if sources:
            self._refuse_source(sources[0])
        return own


def _to_accept(
    world: World, plan: Plan, keys: Iterable[AssetKey]
) -> tuple[list[tuple[AssetKey, Head]], list[tuple[AssetKey, str]]]:
    """The heads that are to stand for the code and the inputs of now, and what is left alone, with why."""
    from assetflow.run.accepting import missing_inputs

    found: list[tuple[AssetKey, Head]] = []
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
            left.append((key, "is current"))
        elif missing := missing_inputs(world, step.spec):
            left.append((key, f"reads {missing[0]}, which is not there"))
        else:
            found.append((key, head))
    return found, left


def _accepted(history: Sequence[Head], revoked: frozenset[int]) -> tuple[Head, Head | None] | None:
    """The newest acceptance in a history that still stands, and where the head was before."""
    for place, head in enumerate(history):
        if head.trace.kind == "accept" and head.trace.trace_id not in revoked:
            before = next((one for one in history[place + 1 :] if one.trace.trace_id != head.trace.trace_id), None)
            return head, before
    return None
