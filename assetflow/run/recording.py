"""What a run found out on its way into the catalog: outcomes are recorded together, then told."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog, Committed
from assetflow.catalog.commit_times import CommitTime, note_commit_times
from assetflow.errors import AssetflowError, Superseded
from assetflow.io.publishing import Prepared
from assetflow.io.storage import Storage
from assetflow.model.code import CodeSource
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Attempt, Head, NewTrace, NewVersion, SpanTime, Trace, TraceInput, Version
from assetflow.model.spec import AssetSpec
from assetflow.plan.planner import Plan, SourceNow, Step
from assetflow.plan.tried import FAILED, tried
from assetflow.run.interrupt import Interrupts
from assetflow.run.outcome import RunResult, StepOutcome
from assetflow.run.survey import file_row
from assetflow.run.task import Made, NodeResult, Origin

if TYPE_CHECKING:
    from assetflow.io.sources import FileState, Observation

_TIMES_AT_ONCE = 500
"""How long commits took is recorded after so many, and at the end."""


class Pending(Struct, frozen=True):
    """An outcome on its way. With a `trace`, it is true when that is committed: then `done` says how.

    `kept` is the version of the head when no new one is stored; `lost` are versions whose bytes are gone,
    `files` states of files that were read on the way. `refused` is of a version that a check rejected. What is
    `prepared` has to be published before the outcome is recorded.
    """

    outcome: StepOutcome
    attempt: Attempt | None
    trace: NewTrace | None = None
    kept: Version | None = None
    lost: tuple[int, ...] = ()
    files: tuple[FileState, ...] = ()
    done: Committed | None = None
    at: float = 0.0
    seconds: float = 0.0
    refused: NewTrace | None = None
    prepared: Prepared | None = None


class Recorder:
    """Collects outcomes, and records all that came together in one transaction: many small assets share its cost."""

    def __init__(self, catalog: Catalog, env: str, run_id: int, sources: Mapping[str, CodeSource]) -> None:
        self._catalog, self._env, self._run_id, self._sources = catalog, env, run_id, sources
        self._waiting: list[Pending] = []
        self._times: list[CommitTime] = []
        self._published_s = 0.0

    @property
    def has_more(self) -> bool:
        """Whether something waits to be recorded."""
        return bool(self._waiting)

    @property
    def waiting(self) -> int:
        """How many outcomes wait to be recorded."""
        return len(self._waiting)

    @property
    def has_failed(self) -> bool:
        """Whether something that waits to be recorded failed."""
        return any(one.outcome.state in FAILED for one in self._waiting)

    def add(self, outcome: Pending) -> None:
        """Take an outcome in."""
        self._waiting.append(outcome)

    def publish(self, storage: Storage) -> list[tuple[Pending, AssetflowError]]:
        """Publish all that is prepared together; the outcomes of which the disk refused that wait no more."""
        waiting = [(one, one.prepared) for one in self._waiting if one.prepared is not None]
        if not waiting:
            return []
        began = time.perf_counter()
        refused = dict[int, tuple[Pending, AssetflowError]]()
        try:
            storage.publish_all([prepared for _, prepared in waiting])
        except AssetflowError:
            for one, prepared in waiting:
                try:
                    storage.publish_all([prepared])
                except AssetflowError as error:
                    refused[id(one)] = one, error
                    with suppress(AssetflowError):  # the next run sweeps
                        storage.discard(prepared.staged)
        self._waiting = [one for one in self._waiting if id(one) not in refused]
        self._published_s += time.perf_counter() - began
        return list(refused.values())

    def record(self, begun: Iterable[Attempt]) -> list[Pending]:
        """Record what waits, and the attempts that begin; the outcomes in the order in which they came.

        Raises:
            Superseded: the run has been ended by another process; nothing was recorded.
        """
        waiting, self._waiting = self._waiting, []
        began, now = time.perf_counter(), time.time()
        waiting = self._keep_refused(waiting, now)
        attempts = [*(one.attempt for one in waiting if one.attempt is not None), *begun]
        commits = [one for one in waiting if one.trace is not None]
        if not commits:
            if attempts:
                self._catalog.save_attempts(self._env, attempts)
            return waiting
        traces = [one.trace for one in commits if one.trace is not None]
        lost = [version_id for one in commits for version_id in one.lost]
        files = {state.path: file_row(state) for one in commits for state in one.files}.values()
        done = iter(
            self._catalog.commit(self._env, self._run_id, traces, now, attempts, files, lost, self._sources)
        )  # fmt: skip
        seconds = (time.perf_counter() - began + self._published_s) / len(commits)
        self._published_s = 0.0
        told = [one if one.trace is None else replace(one, done=next(done), at=now, seconds=seconds) for one in waiting]
        for one in told:
            if one.attempt is not None and one.done is not None and one.done.moved:
                attempt = one.attempt
                time_of = CommitTime(self._run_id, attempt.asset, attempt.partition, attempt.number, seconds)
                self._times.append(time_of)
        if len(self._times) >= _TIMES_AT_ONCE:
            self._note_times()
        return told

    def finish(self) -> None:
        """Record how long the last commits took."""
        if self._times:
            self._note_times()

    def _note_times(self) -> None:
        times, self._times = self._times, []
        with suppress(Superseded):  # what they committed is recorded; their times are worth no error
            note_commit_times(self._catalog, times)

    def _keep_refused(self, waiting: list[Pending], now: float) -> list[Pending]:
        """Keep what checks rejected; the outcomes with the numbers that it got."""
        traces = [one.refused for one in waiting if one.refused is not None]
        if not traces:
            return waiting
        numbers = iter(self._catalog.reject(self._run_id, traces, now, self._sources))
        return [one if one.refused is None else _numbered(one, next(numbers)) for one in waiting]


def attempt_of(
    run_id: int,
    outcome: StepOutcome,
    result: NodeResult | None,
    ready_at: float,
    spans: tuple[SpanTime, ...],
    spec: AssetSpec | None,
) -> Attempt:
    """The record of an outcome as of now; `result` is what was computed, if anything was.

    Of what failed, it has the definition that was tried.
    """
    now = time.time()
    return Attempt(
        run_id, *split_slot(outcome.asset), outcome.attempts, outcome.state,
        now if result is None else result.started_at, now, outcome.version,
        tuple(reason.to_json() for reason in outcome.reasons),
        None if outcome.error is None else outcome.error.to_json(), outcome.checks, outcome.seconds,
        outcome.blocked_by,
        wait_s=None if result is None or not ready_at else max(0.0, result.started_at - ready_at),
        peak_memory_bytes=None if result is None else result.peak_memory_bytes,
        spans=spans,
        definition=tried(spec) if outcome.state in FAILED else "",
    )  # fmt: skip


def _numbered(one: Pending, number: int) -> Pending:
    attempt = None if one.attempt is None else replace(one.attempt, version_number=number)
    return replace(one, outcome=replace(one.outcome, rejected=number), attempt=attempt)


def versions_gone(trace: NewTrace, before: Head | None, *, is_lost: bool) -> tuple[int, ...]:
    """The version of the head before a commit, if its bytes are gone or damaged: only then is equal content stored."""
    if before is None:
        return ()
    is_same = trace.version is not None and trace.version.data_hash == before.version.data_hash
    return (before.version.version_id,) if is_lost or (is_same and not trace.is_anew) else ()


def observed(step: Step, source: SourceNow, now: float) -> NewTrace:
    """The trace that says: this source looked like this."""
    version = NewVersion(source.token, "source", "", None, source.size_bytes, {}, {}, {})
    seen = None if step.head is None else step.head.trace.trace_id
    asset, partition = split_slot(step.asset)
    return NewTrace(
        asset, source.token, "", {}, {}, (), "observe", now, now, source.as_of, {}, version, None, seen, partition
    )


def record_sources(
    catalog: Catalog,
    plan: Plan,
    run_id: int,
    sources: Mapping[AssetKey, SourceNow],
    observations: Mapping[AssetKey, Observation],
) -> dict[AssetKey, Head]:
    """Record every source of a plan that can be read and differs from its head; the new heads."""
    now = time.time()
    differ = [
        (step, source)
        for step in plan
        if step.spec.is_source and (source := sources[step.asset]).problem is None
        if step.head is None or step.head.version.data_hash != source.token
    ]
    if not differ:
        return {}
    traces = [observed(step, source, now) for step, source in differ]
    files = [file_row(state) for step, _ in differ for state in observations[step.asset].files]
    done = catalog.commit(plan.env, run_id, traces, now, files=files)
    return {
        step.asset: head_after(plan.env, trace, committed, None, run_id, now)
        for (step, _), trace, committed in zip(differ, traces, done, strict=True)
    }


def run_result(
    plan: Plan, run_id: int, outcomes: Mapping[AssetKey, StepOutcome], seconds: float, interrupts: Interrupts
) -> RunResult:
    """What a run that is over did."""
    current = [step for step in plan.current if step.asset not in outcomes]
    reused = (plan.steps[one.asset] for one in outcomes.values() if one.state in ("cut_off", "linked"))
    return RunResult(
        run_id,
        plan.env,
        {step.asset: outcomes[step.asset] for step in plan if step.asset in outcomes},
        len(current) + sum(plan.settled.values()),
        seconds,
        sum(step.estimate_s or 0.0 for step in (*current, *reused)) + plan.settled_s,
        interrupts.is_stopping,
        interrupts.signal_number,
        timed_out=interrupts.is_expired,
    )


def linked(key: AssetKey, found: Trace, inputs: tuple[TraceInput, ...], seen: int | None) -> NewTrace:
    """The trace that says: this earlier result is what the definition of now and these inputs give."""
    asset, partition = split_slot(key)
    return NewTrace(
        asset, found.input_key, found.code, found.code_parts, found.config, inputs, "link", found.started_at,
        found.finished_at, found.as_of, found.metadata, None, found.version_id, seen, partition, found.packages,
        files=found.files, env_vars=found.env_vars, notes=found.notes, scheme=found.scheme,
        code_version=found.code_version, discovered=found.discovered,
    )  # fmt: skip


def computed(
    key: AssetKey, origin: Origin, made: Made, result: NodeResult, reuse: int | None, seen: int | None
) -> NewTrace:  # fmt: skip
    """The trace of a computation. `reuse` is the version that has the same content, when no new one is stored."""
    asset, partition = split_slot(key)
    return NewTrace(
        asset, origin.input_key, origin.code, origin.code_parts, origin.config, origin.inputs, "run",
        result.started_at, result.finished_at, made.as_of, made.metadata, made.version, reuse, seen,
        partition, origin.packages, files=origin.files, env_vars=origin.env_vars, notes=origin.notes,
        scheme=origin.scheme, code_version=origin.code_version, is_anew=made.is_unread,
        discovered=result.discovered,
    )  # fmt: skip


def head_after(
    env: str, trace: NewTrace, done: Committed, kept: Version | None, run_id: int, now: float
) -> Head:  # fmt: skip
    """The head that a commit made, without asking the catalog again."""
    version = kept
    new = trace.version
    if new is not None and (done.is_new or kept is None):
        version = Version(
            done.version_id, trace.asset, trace.partition, done.number, new.data_hash, new.io, new.location, new.rows,
            new.size_bytes, new.schema, new.columns, new.details, now,
        )  # fmt: skip
    assert version is not None, "a commit either stores a version or keeps one"
    made = Trace(
        done.trace_id, trace.asset, trace.partition, trace.input_key, trace.code, trace.code_parts, trace.config,
        trace.inputs, done.version_id, done.number, version.data_hash, run_id, trace.kind, trace.started_at,
        trace.finished_at, trace.as_of, trace.metadata, trace.packages, trace.files, trace.env_vars, trace.notes,
        trace.scheme, trace.code_version, trace.discovered,
    )  # fmt: skip
    return Head(env, made, version, 0, 0, now)
