"""The verbs of a project that make many partitions in several runs, one after the other, in this process."""

from __future__ import annotations

import platform
import time
from collections import Counter
from collections.abc import Generator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.locks import FileLock
from assetflow.errors import RunConflict, UsageError
from assetflow.load.settings import Settings
from assetflow.model.backfills import (
    DIED,
    DONE,
    FAILED,
    INTERRUPTED,
    NEWEST,
    OLDEST,
    PAUSED,
    RUNNING,
    STOPPED,
    Backfill,
)
from assetflow.model.keys import AssetKey, split_slot
from assetflow.plan.graph import AssetGraph
from assetflow.plan.planner import Plan
from assetflow.plan.staleness import STAYS
from assetflow.run.locks import user_name
from assetflow.views import Expression, selection_text

if TYPE_CHECKING:  # every command has a project, and few of them a backfill: partitions are a fifth of what is imported
    from assetflow.automation.chunks import BackfillPlan, Chunk
    from assetflow.catalog.backfills import Backfills
    from assetflow.run.outcome import Observer, RunResult

_WAIT_S = 86_400.0
"""A chunk waits so long for another run in its environment: between two chunks others have their turn."""

_GOOD = ("materialized", "unchanged", "linked", "cut_off", "skipped")
_BAD = ("failed", "rejected", "died")


class BackfillListener:
    """Is told how a backfill goes on; this one does nothing with it."""

    def began(self, backfill: Backfill) -> None:
        """It is recorded, and has its number."""

    def chunk_begins(self, chunk: Chunk, number: int, of: int) -> Observer | None:
        """A run begins; who watches it."""

    def chunk_ended(self, chunk: Chunk, result: RunResult, number: int, of: int) -> None:
        """The run of a chunk has ended."""


class BackfillResult(Struct, frozen=True):
    """What became of a backfill in this go: `backfill.state` says how it ended.

    `counts` has a number of partitions for each state of an outcome; `failed` are those that failed. `left_out` says of
    assets without partitions that were to be made at the end why they were not.
    """

    backfill: Backfill
    runs: tuple[int, ...]
    counts: Mapping[str, int]
    failed: tuple[AssetKey, ...]
    left_out: Mapping[AssetKey, str]
    seconds: float
    signal_number: int = 0

    @property
    def ok(self) -> bool:
        """Whether all that was asked for is there."""
        return self.backfill.state == DONE

    def to_json(self) -> dict[str, object]:
        """The result as JSON-able values."""
        return {
            **self.backfill.to_json(),
            "runs": list(self.runs),
            "counts": dict(self.counts),
            "failed_partitions": list(self.failed),
            "left_out": dict(self.left_out),
            "seconds": round(self.seconds, 3),
        }


class _Tally(Struct):
    """What the runs of a backfill have done so far."""

    backfill: Backfill
    began: float
    runs: list[int] = field(default_factory=list[int])
    counts: Counter[str] = field(default_factory=Counter[str])
    failed: dict[AssetKey, None] = field(default_factory=dict[AssetKey, None])
    failures: int = 0
    left_out: dict[AssetKey, str] = field(default_factory=dict[AssetKey, str])
    signal_number: int = 0

    def take(self, slots: Sequence[AssetKey], result: RunResult) -> None:
        """Count what became of these partitions; what the run did not speak of was current when it looked."""
        self.runs += [] if result.run_id is None else [result.run_id]
        self.signal_number = result.signal_number
        states = [outcome.state if (outcome := result.outcomes.get(name)) else "current" for name in slots]
        self.counts.update(states)
        failed = [outcome.asset for outcome in result if outcome.state in _BAD]
        self.failures += len(failed)
        self.failed.update(dict.fromkeys(failed))
        done = sum(state in ("current", *_GOOD) for state in states)
        self.backfill = replace(self.backfill, done=self.backfill.done + done, failed=len(self.failed))

    def result(self) -> BackfillResult:
        """What is said of it in the end."""
        return BackfillResult(
            self.backfill, tuple(self.runs), self.counts, tuple(self.failed), self.left_out,
            time.monotonic() - self.began, self.signal_number,
        )  # fmt: skip


class Backfilling:
    """The verbs of a project about backfills."""

    settings: Settings
    graph: AssetGraph

    # -- what the project provides

    def _catalog(self) -> AbstractContextManager[Catalog]:
        raise NotImplementedError

    def select(self, expression: Expression = None) -> tuple[AssetKey, ...]:
        """The assets and sources that a selection names."""
        raise NotImplementedError

    def plan(self, expression: Expression = None, *, partitions: str | None = None) -> Plan:
        """What `materialize` would do."""
        raise NotImplementedError

    def materialize(
        self, expression: Expression = None, *, partitions: str | None = None, workers: int | None = None,
        max_failures: int | None = None, cause: str = "cli", wait_s: float = 0.0, observer: Observer | None = None,
    ) -> RunResult:  # fmt: skip
        """Build what is stale."""
        raise NotImplementedError

    # -- looking

    def plan_backfill(
        self, expression: Expression = None, *, partitions: str, order: str = OLDEST, chunk: int | None = None
    ) -> BackfillPlan:
        """What a backfill of these partitions would do; changes nothing. `backfill` does it.

        `order` is `oldest` or `newest`: which partitions come first. `chunk` is how many partitions of each asset one
        run makes (default: a twentieth of all, but at least 50).

        Raises:
            UsageError: no asset of the selection has partitions, or one has none of those that are named.
        """
        if order not in (OLDEST, NEWEST):
            raise UsageError(f"there is no order `{order}`", fix=f"{OLDEST} or {NEWEST}")
        selected = [key for key in self.select(expression) if not self.graph.specs[key].is_source]
        chosen = [key for key in selected if self.graph.specs[key].partitions is not None]
        if not chosen:
            raise UsageError("no asset of the selection has partitions", fix="assetflow materialize runs them")
        from assetflow.automation.chunks import BackfillPlan, Draft, size_of

        draft = Draft(self.graph.specs)
        draft.add(self.plan(chosen, partitions=partitions), chosen, datetime.now(UTC))
        groups, size = draft.groups(), size_of(chunk, draft.strips.values())
        last = tuple(key for key in selected if key not in chosen)
        if last and not any(strip.pending for strip in draft.strips.values()):
            last = self._ready(last)[0]
        return BackfillPlan(
            self.settings.env, selection_text(expression) or "", partitions, order, chunk, size,
            tuple(draft.strips.values()), groups, tuple(draft.chunks(groups, order, size)), draft.beside,
            last, tuple(draft.estimate),
        )  # fmt: skip

    def backfill_left(self, number: int) -> BackfillPlan:
        """What a backfill that ended early has yet to do, by what is current now; `backfill` goes on with it.

        Raises:
            UsageError: there is no such backfill in this environment, or an asset of it is gone.
        """
        found = self._backfill(number)
        if found.env != self.settings.env:
            raise UsageError(f"backfill #{number} is of env {found.env}", fix=f"add -e {found.env}")
        from assetflow.automation.chunks import BackfillPlan, Draft, groups_of, size_of

        draft, work = Draft(self.graph.specs), found.work
        groups = groups_of(work)
        for group in groups:
            draft.add(self.plan(group.assets, partitions=group.partitions), group.assets, datetime.now(UTC))
        order, chunk = str(work["order"]), work["chunk"]
        size = size_of(chunk, draft.strips.values())
        return BackfillPlan(
            found.env, found.selection, found.partitions, order, chunk, size, tuple(draft.strips.values()), groups,
            tuple(draft.chunks(groups, order, size)), draft.beside, tuple(AssetKey(key) for key in work["last"]),
            tuple(draft.estimate), found,
        )  # fmt: skip

    def backfills(self, limit: int = 20) -> tuple[Backfill, ...]:
        """The newest backfills of all environments, newest first. One whose process is gone is shown as died."""
        from assetflow.catalog.backfills import Backfills

        with self._catalog() as catalog:
            return tuple(self._seen_living(one) for one in Backfills(catalog).newest(limit))

    # -- doing

    def backfill(
        self,
        plan: BackfillPlan,
        *,
        workers: int | None = None,
        max_failures: int | None = None,
        listener: BackfillListener | None = None,
    ) -> BackfillResult:
        """Make what is not current of the partitions of a plan, a run for each chunk, and then what has no partitions.

        What has become current meanwhile is not made again. When more than `max_failures` have failed, nothing more is
        started; a partition that a later chunk needs as well is tried, and may fail, again. However it ends,
        `backfill_left` says what is left of it.

        Example:
            project.backfill(project.plan_backfill("orders+", partitions="2026-01-01..2026-03-31"))

        Raises:
            RunConflict: another process is at this backfill.
        """
        listener, began = listener or BackfillListener(), time.monotonic()
        found = plan.resumes or self._begin(plan)
        with self._held(found):
            if plan.resumes is not None:
                done = max(0, found.planned - plan.planned)
                found = replace(found, state=RUNNING, planned=done + plan.planned, done=done, failed=0)
                with self._backfills() as table:
                    table.count(table.resume(found))
            listener.began(found)
            tally, state = _Tally(found, began), INTERRUPTED
            try:
                state = self._make(plan, tally, workers, max_failures, listener)
            except KeyboardInterrupt:
                if self._backfill(found.backfill_id).state != PAUSED:
                    raise
                state = PAUSED  # who paused it meant to stop a run that was over by then, and not yet counted
                left = self.backfill_left(found.backfill_id).planned
                tally.backfill = replace(tally.backfill, done=max(tally.backfill.done, tally.backfill.planned - left))
                with self._backfills() as table:
                    table.count(tally.backfill)
            finally:
                with self._backfills() as table:
                    tally.backfill = table.end(tally.backfill, state, time.time())
        return tally.result()

    def pause_backfill(self, number: int) -> Backfill:
        """End a backfill that another process is at: what is being computed may finish, and is kept.

        Raises:
            UsageError: there is no such backfill, or nobody is at it.
        """
        found = self._seen_living(self._backfill(number))
        if found.state == RUNNING:
            with self._backfills() as table:
                was_running = table.pause(found, time.time())
            if was_running:
                with self._catalog() as catalog:
                    runs = [run for run in catalog.running() if run.trigger == found.cause]
                from assetflow.run.cancelling import cancel

                for run in runs:
                    cancel(self.settings, run.run_id)
                return self._backfill(number)
            found = self._backfill(number)
        fix = "" if found.state == DONE else f"assetflow backfill --resume {number} goes on with it"
        raise UsageError(f"backfill #{number} is not running: it is {found.state}", fix=fix or None)

    # -- helpers

    def _make(
        self, plan: BackfillPlan, tally: _Tally, workers: int | None, max_failures: int | None,
        listener: BackfillListener,
    ) -> str:  # fmt: skip
        """Run the chunks; the state in which that ends."""
        cause = tally.backfill.cause
        for number, chunk in enumerate(plan.chunks, 1):
            if self._backfill(tally.backfill.backfill_id).state == PAUSED:
                return PAUSED
            left = None if max_failures is None else max_failures - tally.failures
            result = self.materialize(
                " or ".join(chunk.assets), partitions=chunk.partitions, workers=workers, max_failures=left, cause=cause,
                wait_s=_WAIT_S, observer=listener.chunk_begins(chunk, number, len(plan.chunks)),
            )  # fmt: skip
            tally.take(chunk.slots, result)
            with self._backfills() as table:
                table.count(tally.backfill)
            listener.chunk_ended(chunk, result, number, len(plan.chunks))
            if result.interrupted:
                return INTERRUPTED
            if max_failures is not None and tally.failures > max_failures:
                return STOPPED
        if tally.backfill.left:
            tally.left_out.update(dict.fromkeys(plan.last, f"not all partitions are made: {tally.backfill.left} left"))
            return FAILED
        return self._make_last(plan, tally, workers, listener)

    def _make_last(
        self, plan: BackfillPlan, tally: _Tally, workers: int | None, listener: BackfillListener
    ) -> str:  # fmt: skip
        """Run what has no partitions, as far as nothing beyond the partitions of the backfill is needed for it."""
        ready, left_out = self._ready(plan.last)
        tally.left_out.update(left_out)
        if not ready:
            return DONE
        from assetflow.automation.chunks import Chunk

        chunk, number = Chunk(ready, "", ready), len(plan.chunks) + 1
        result = self.materialize(
            ready, workers=workers, cause=tally.backfill.cause, wait_s=_WAIT_S,
            observer=listener.chunk_begins(chunk, number, number),
        )  # fmt: skip
        tally.take((), result)
        listener.chunk_ended(chunk, result, number, number)
        return DONE if result.ok else INTERRUPTED if result.interrupted else FAILED

    def _ready(self, keys: Sequence[AssetKey]) -> tuple[tuple[AssetKey, ...], Mapping[AssetKey, str]]:
        """Those of these assets without partitions that are not current, and of which all that they need is.

        And why not, of those that need more.
        """
        if not keys:
            return (), {}
        found = self.plan(keys)
        pending = [step for step in found if step.action not in STAYS]
        others = Counter(split_slot(step.asset)[0] for step in pending if step.partition)
        mine = {step.asset for step in pending if not step.partition}
        ready: list[AssetKey] = []
        left_out: dict[AssetKey, str] = {}
        for key in keys:
            above = self.graph.walk([key], up=True)
            needs = {one: others[one] for one in self.graph.order if one in above and others[one]}
            if needs:
                words = ", ".join(f"{count:,} of {one}" for one, count in needs.items())
                left_out[key] = f"made of all partitions, of which some are not current: {words}"
            elif key in mine:
                ready.append(key)
        return tuple(ready), left_out

    def _begin(self, plan: BackfillPlan) -> Backfill:
        with self._backfills() as table:
            return table.begin(
                plan.env, selection=plan.selection, partitions=plan.partitions, work=plan.work(),
                planned=plan.planned, user=user_name(), host=platform.node(), at=time.time(),
            )  # fmt: skip

    def _backfill(self, number: int) -> Backfill:
        from assetflow.catalog.backfills import Backfills

        with self._catalog() as catalog:
            found = Backfills(catalog).get(number)
        if found is None:
            raise UsageError(f"there is no backfill #{number}", fix="assetflow backfill ls lists them")
        return found

    @contextmanager
    def _backfills(self) -> Generator[Backfills]:
        from assetflow.catalog.backfills import Backfills

        with closing(Catalog(self.settings.catalog_path, write=True)) as catalog:
            yield Backfills(catalog)

    @contextmanager
    def _held(self, backfill: Backfill) -> Generator[None]:
        """Hold a backfill: that is how others know that somebody is at it."""
        from assetflow.automation.locks import acquired

        with acquired(self._lock(backfill), "a backfill", time.time()) as is_mine:
            if not is_mine:
                number = backfill.backfill_id
                fix = f"assetflow backfill --pause {number} ends it there"
                raise RunConflict(f"another process is at backfill #{number}", fix=fix)
            yield

    def _lock(self, backfill: Backfill) -> FileLock:
        return FileLock(self.settings.state_path / "locks" / f"backfill-{backfill.backfill_id}.lock")

    def _seen_living(self, backfill: Backfill) -> Backfill:
        is_dead = backfill.state == RUNNING and not self._lock(backfill).is_held_by_anyone()
        return replace(backfill, state=DIED) if is_dead else backfill
