"""Looking at where assets stand and how they came there: all of a project, one asset, or one partition."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.errors import UsageError
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey, slot, split_slot
from assetflow.model.records import Attempt, Head, Run, Version
from assetflow.plan.graph import AssetGraph
from assetflow.plan.named import Named, apart, named, one_partition, written
from assetflow.plan.planner import Plan, World
from assetflow.run.arranged import Arranging
from assetflow.run.noting import Before, Clock, Ground, ground_of, is_at_rest, keep_answer
from assetflow.views import (
    AssetStatus,
    AssetView,
    Expression,
    Facts,
    HistoryEntry,
    Status,
    content_states,
    history_entries,
    rolled_up,
    selection_text,
    source_text,
)


class Looking:
    """The verbs of a project that look at what is current, and at what was. They change nothing."""

    settings: Settings
    graph: AssetGraph
    storage: Storage
    keeps_answers: bool = False
    """Whether it is noted what looks rest on, so that answers can be kept."""
    _ground: Callable[[], Ground | None] | None = None
    """What the last look rests on, where answers from it can be kept."""

    # -- what the project provides

    def _catalog(self) -> AbstractContextManager[Catalog]:
        raise NotImplementedError

    def _arranging(self, *, ask: bool) -> Arranging:
        raise NotImplementedError

    def _attempts(self, catalog: Catalog, graph: AssetGraph) -> dict[tuple[AssetKey, str], Attempt]:
        raise NotImplementedError

    def _seen_alive(self, run: Run) -> Run:
        raise NotImplementedError

    def _plan(
        self,
        world: World,
        targets: tuple[AssetKey, ...],
        expression: Expression,
        force: bool,
        with_upstream: bool,
        attempts: Mapping[tuple[AssetKey, str], Attempt],
    ) -> Plan:
        raise NotImplementedError

    def select(self, expression: Expression = None) -> tuple[AssetKey, ...]:
        """The assets and sources that a selection names."""
        raise NotImplementedError

    def _before(self, catalog: Catalog) -> Before | None:
        raise NotImplementedError

    # -- looking

    def keep(self, question: str, data: Mapping[str, object], **parts: Sequence[str]) -> None:
        """Write down what was answered from the last look, if that is so until something changes; see `run.noting`."""
        ground = None if self._ground is None else self._ground()
        if ground is not None:
            keep_answer(ground, question, data, **parts)

    def status(self, expression: Expression = None, *, now: float | None = None) -> Status:
        """Content and freshness of the selected assets. Sources with a version function are not asked.

        An asset with partitions is one row, unless some are named in brackets: `"orders[2026-01-05..2026-01-07]"` has
        a row for each. `now` (UTC seconds; default: the time of the call) is what deadlines and cues with a `ttl` are
        held against.

        Raises:
            UsageError: there are no such partitions, or different ones are named of several assets.
        """
        from assetflow.catalog.keeping import Keeping

        now = time.time() if now is None else now
        expression, partitions = apart(self.graph, expression, None)
        self._ground = None
        with self._catalog() as catalog:
            if partitions is not None:
                rows = self._rows_of_parts(catalog, self.select(expression), partitions, now)
            else:
                rows = self._rows(catalog, now)
            runs = catalog.runs(1, self.settings.env)
            known = () if runs else tuple(Keeping(catalog.database).environments())
        if expression and partitions is None:
            from assetflow.plan.selection import parse_selection

            facts = Facts(self.settings.selections, lambda: rows)
            wanted = set(parse_selection(selection_text(expression)).select(self.graph, facts))
            rows = [row for row in rows if row.spec.key in wanted]
        last = self._seen_alive(runs[0]) if runs else None
        running = last if last is not None and last.state == "running" else None
        env = self.settings.env
        return Status(env, tuple(rows), running, last, () if env in known else known)

    def show(self, key: str, *, now: float | None = None) -> AssetView:
        """All about one asset, or one partition of it: `"orders[2026-01-05]"`; `now` as in `status`.

        Raises:
            NoSuchAsset: there is no such asset.
            NoSuchVersion: several partitions are named, or the asset has none.
        """
        parts = written(key)
        found = self.graph.resolve(parts.asset)
        if parts.partitions:
            name = slot(found, one_partition(self.graph, found, parts.partitions))
            [status] = self.status(name, now=now)
        else:
            name, status = found, self.status(now=now)[found]
        below = self.graph.walk([found], up=False) - {found}
        return AssetView(
            status,
            self.graph.downstream(found),
            len(below),
            status.attempt.checks if status.attempt is not None else (),
            self.history(name),
            source_text(self.settings.root / status.spec.file, status.spec.line),
        )

    def history(self, key: str, limit: int = 20) -> tuple[HistoryEntry, ...]:
        """How the head of an asset moved, newest first.

        Of an asset with partitions these are the heads of all, or of those in brackets: `"orders[2026-01-05]"`.

        Raises:
            NoSuchAsset: there is no such asset.
            UsageError: it has no such partitions, and had none.
        """
        found, heads = self._moves(key, limit + 1)
        with self._catalog() as catalog:
            made = catalog.attempts_of(found.asset, 10 * limit, found.partitions)
            runs = {run.run_id: run for run in catalog.runs_by_id(h.trace.run_id for h in heads if h.trace.run_id)}
        return history_entries(heads, {(one.run_id, one.partition): one for one in made}, runs, limit)

    def rejected(self, key: str) -> tuple[Version, ...]:
        """The versions of an asset that blocking checks refused, newest first: kept to be looked at until gc.

        Raises:
            NoSuchAsset: there is no such asset.
            UsageError: partitions are named that it does not have, and had not.
        """
        found, _ = self._moves(key, 1)
        with self._catalog() as catalog:
            refused = catalog.rejected_versions([found.asset])
        wanted = None if found.partitions is None else set(found.partitions)
        return tuple(one for one in reversed(refused) if wanted is None or one.partition in wanted)

    # -- how

    def _moves(self, key: str, limit: int) -> tuple[Named, list[Head]]:
        """What a name means, and how it moved: also of a partition that is none of the definition of now."""
        try:
            found = named(self.graph, key)
        except UsageError:
            parts = written(key)
            asset = self.graph.resolve(parts.asset)
            if not parts.partitions or parts.version is not None:
                raise
            found = Named(asset, (parts.partitions,))
            with self._catalog() as catalog:
                if heads := catalog.history(self.settings.env, asset, limit, found.partitions):
                    return found, heads
            raise
        with self._catalog() as catalog:
            return found, catalog.history(self.settings.env, found.asset, limit, found.partitions)

    def _rows(self, catalog: Catalog, now: float) -> list[AssetStatus]:
        """One row for each asset of the project."""
        before = self._before(catalog)
        arranging = self._arranging(ask=False)
        arranged = arranging(self.graph, self.graph.order, None, catalog, shows_newest=True, in_crowds=True)
        found = arranging.survey(arranged.slots, catalog)
        world = replace(found.world, at=now)
        attempts = self._attempts(catalog, arranged.slots.graph)
        plan = self._plan(world, arranged.slots.targets, None, False, True, attempts)
        if arranged.settled is not None:
            arranged.settled.remember(plan)
        rows = _statuses(world, plan, attempts, now)
        if arranged.settled is None and is_at_rest(plan) and (clock := _clock(rows, now)) is not None:
            self._ground = lambda: ground_of(self.settings, self.storage, before, found, clock, asks=False)
        return list(rolled_up(rows, self.graph.specs, plan.settled, arranged.totals or {}))

    def _rows_of_parts(
        self, catalog: Catalog, targets: tuple[AssetKey, ...], partitions: str, now: float
    ) -> list[AssetStatus]:
        """One row for each of these partitions, without a deadline: that is of the asset, and old days may be old."""
        arranging = self._arranging(ask=False)
        slots = arranging(self.graph, targets, partitions, catalog, in_bulk=False).slots
        world = replace(arranging.survey(slots, catalog).world, at=now)
        attempts = self._attempts(catalog, slots.graph)
        plan = self._plan(world, slots.targets, None, False, True, attempts)
        wanted = set(slots.targets)
        return [_timeless(row) for row in _statuses(world, plan, attempts, now) if row.spec.key in wanted]


def _clock(rows: Sequence[AssetStatus], now: float) -> Clock | None:
    """How long these rows stay as they are; None when something of them is another thing in every moment."""
    from assetflow.plan.freshness import Timeliness, turns_at

    fresh = [(row.spec.freshness, row.freshness) for row in rows if row.spec.freshness is not None]
    if any(state.timeliness is Timeliness.OVERDUE for _, state in fresh):
        return None
    turns = [turn for policy, state in fresh for turn in turns_at(policy, state) if turn >= now]
    return Clock(now if fresh else None, min(turns, default=None))


def _timeless(row: AssetStatus) -> AssetStatus:
    if not row.step.partition:
        return row
    from assetflow.plan.freshness import FreshnessState, Timeliness

    fresh = FreshnessState(Timeliness.NO_POLICY, row.freshness.as_of)
    return replace(row, spec=replace(row.spec, freshness=None), freshness=fresh, late=None)


def _statuses(
    world: World, plan: Plan, attempts: Mapping[tuple[AssetKey, str], Attempt], now: float
) -> Sequence[AssetStatus]:
    from assetflow.plan.freshness import data_times, freshness_state
    from assetflow.plan.lateness import late_causes

    times, states = data_times(world), content_states(plan, attempts)
    last = {step.asset: attempts.get(split_slot(step.asset)) for step in plan}
    fresh = {step.asset: freshness_state(step.spec.freshness, times.get(step.asset), now) for step in plan}
    tried = {key: attempt for key, attempt in last.items() if attempt is not None}
    late = late_causes(world, plan.steps, states, tried, fresh, now)
    return [
        AssetStatus(step.spec, states[key], step, last[key], fresh[key], late.get(key))
        for key, step in plan.steps.items()
    ]
