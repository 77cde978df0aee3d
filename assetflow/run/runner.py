"""The one loop that owns a run: what is settled, starts next and is committed. Only its thread writes the catalog."""

from __future__ import annotations

import heapq
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from assetflow.catalog.catalog import Catalog, Committed
from assetflow.errors import DamagedVersion, Superseded
from assetflow.io.sources import Observation
from assetflow.load.live import Loaded
from assetflow.model.keys import UNPARTITIONED, AssetKey
from assetflow.model.records import Attempt, Head, NewTrace, Version
from assetflow.model.spec import AssetSpec
from assetflow.plan.planner import Plan, World, siblings
from assetflow.plan.staleness import Action, Decision, Reason, decide
from assetflow.run.executor import Executor
from assetflow.run.failure import step_error, unpinned_first
from assetflow.run.interrupt import Interrupts
from assetflow.run.outcome import FAILED, Observer, RunResult, StepOutcome
from assetflow.run.pinned import Pinned
from assetflow.run.recording import Pending, Recorder, attempt_of, computed, head_after, linked, observed
from assetflow.run.reports import Inbox, Progressed
from assetflow.run.survey import file_row
from assetflow.run.task import Made, NodeResult

_TICK_S = 0.1


@dataclass(frozen=True, slots=True)
class RunSettings:
    """What one run is given besides the plan. `log_folder` gets a file for each attempt, `inbox` what steps tell."""

    root: Path
    log_folder: Path
    forced: frozenset[AssetKey] = frozenset()
    fail_fast: bool = False
    inbox: Inbox = field(default_factory=Inbox)


@dataclass(slots=True)
class _Progress:
    """The state of one node (one function) within the run."""

    keys: list[AssetKey]
    waits_for: int = 0
    reasons: dict[AssetKey, tuple[Reason, ...]] = field(default_factory=dict[AssetKey, tuple[Reason, ...]])
    attempt: int = 1
    ready_at: float = 0.0
    result: NodeResult | None = None


class Runner:
    """Carries out one plan. Make one for each run."""

    def __init__(
        self,
        world: World,
        plan: Plan,
        loaded: Loaded,
        catalog: Catalog,
        executor: Executor,
        observations: Mapping[AssetKey, Observation],
        settings: RunSettings,
        interrupts: Interrupts,
    ) -> None:
        self._world, self._plan, self._loaded = world, plan, loaded
        self._catalog, self._executor, self._settings = catalog, executor, settings
        self._observations, self._interrupts = observations, interrupts
        self._pinned = Pinned(world, loaded, observations, settings.forced, settings.log_folder)
        self._heads = self._pinned.heads
        self._outcomes: dict[AssetKey, StepOutcome] = {}
        self._nodes: dict[str, _Progress] = {}
        self._dependents: defaultdict[str, list[str]] = defaultdict(list)
        self._ready: list[tuple[int, str]] = []
        self._later: list[tuple[float, str]] = []
        self._rank: dict[str, int] = {}
        self._running: set[str] = set()
        self._starting: list[tuple[str, list[Attempt]]] = []
        self._settled: list[str] = []
        self._told_to_stop = False
        self._stopping = False
        self._traces: Mapping[tuple[AssetKey, str], Mapping[str, Head]] = {}

    def run(self, run_id: int, observer: Observer, began: float) -> RunResult:
        """Carry out the plan. `began` is the monotonic time at which the verb started, for the total."""
        self._run_id, self._observer = run_id, observer
        self._recorder = Recorder(self._catalog, self._plan.env, run_id, self._loaded.code_sources)
        self._settings.inbox.listen(self._progressed)
        observer.run_started(run_id, self._plan, self._executor.workers)
        self._observe_sources()
        self._settle_lost_pins()
        self._record()
        self._arrange()
        try:
            self._loop()
        except KeyboardInterrupt:  # the second one: what is being computed is given up
            self._give_up()
            raise
        interrupted = self._interrupts.is_stopping
        for node in self._nodes.values():
            self._leave(node, "cancelled", "not started: the run was " + ("interrupted" if interrupted else "stopped"))
        self._record()
        self._recorder.finish()
        current = [step for step in self._plan.current if step.asset not in self._outcomes]
        reused = (self._plan.steps[o.asset] for o in self._outcomes.values() if o.state in ("cut_off", "linked"))
        return RunResult(
            run_id,
            self._plan.env,
            {step.asset: self._outcomes[step.asset] for step in self._plan if step.asset in self._outcomes},
            len(current),
            time.monotonic() - began,
            sum(step.estimate_s or 0.0 for step in (*current, *reused)),
            interrupted,
            self._interrupts.signal_number,
        )

    # -- preparing

    def _observe_sources(self) -> None:
        """Record every source of the plan that differs from its head: runs pin what they read."""
        now = time.time()
        traces: list[NewTrace] = []
        for step in self._plan:
            if not step.spec.is_source:
                continue
            source = self._world.sources[step.asset]
            if source.problem is not None:
                self._settle(StepOutcome(step.asset, "failed", error=step_error(source.problem, self._settings.root)))
            elif step.head is None or step.head.version.data_hash != source.token:
                traces.append(observed(step, source, now))
        if not traces:
            return
        files = [file_row(state) for trace in traces for state in self._observations[trace.asset].files]
        done = self._catalog.commit(self._plan.env, self._run_id, traces, now, files=files)
        for trace, committed in zip(traces, done, strict=True):
            self._heads[trace.asset] = head_after(self._plan.env, trace, committed, None, self._run_id, now)

    def _settle_lost_pins(self) -> None:
        """What is pinned is never run; when its bytes are gone, whatever reads it is blocked."""
        for step in self._plan.blocked:
            if step.pin is not None:
                error = DamagedVersion(f"{step.asset}: {step.reasons[0].text}", fix=f"assetflow unpin {step.asset}")
                self._settle(StepOutcome(step.asset, "failed", error=step_error(error, None)))

    def _arrange(self) -> None:
        """Group the planned assets by function and count what each function waits for."""
        by_node = siblings(self._world.graph)
        left_alone = {s.asset for s in self._plan if s.spec.is_source or s.pin or s.action is Action.CURRENT}
        to_settle = self._plan.steps.keys() - left_alone
        for rank, step in enumerate(self._plan):
            if step.asset in to_settle and step.spec.node not in self._nodes:
                keys = [key for key in by_node[step.spec.node] if key in to_settle]
                self._nodes[step.spec.node] = _Progress(keys)
                self._rank[step.spec.node] = rank
        for name, node in self._nodes.items():
            upstream = {self._node_of(up) for key in node.keys for up in self._world.graph.upstream(key)} - {name}
            for other in upstream & self._nodes.keys():
                self._dependents[other].append(name)
                node.waits_for += 1
        self._traces = self._world.traces([key for node in self._nodes.values() for key in node.keys])
        for name, node in self._nodes.items():
            if node.waits_for == 0:
                self._make_ready(name, self._rank[name])

    def _make_ready(self, name: str, rank: int) -> None:
        self._nodes[name].ready_at = time.time()
        heapq.heappush(self._ready, (rank, name))

    def _node_of(self, key: AssetKey) -> str:
        return self._world.graph.specs[key].node

    # -- the loop

    def _loop(self) -> None:
        while self._running or ((self._ready or self._later) and not self._stopping):
            self._heed_interrupts()
            now = time.monotonic()
            while self._later and self._later[0][0] <= now and not self._stopping:
                self._make_ready(heapq.heappop(self._later)[1], 0)
            self._begin_ready()
            if self._running:
                results = self._executor.wait(_TICK_S)
                self._settings.inbox.deliver()
                for result in results:
                    self._running.discard(result.task.node)
                    self._finish(result)
                self._record()
            elif self._later and not self._ready and not self._stopping:
                time.sleep(min(_TICK_S, max(0.0, self._later[0][0] - time.monotonic())))
            self._observer.tick()

    def _begin_ready(self) -> None:
        """Start what is ready, as far as there is room; what needs no run makes the next ones ready."""
        while self._ready and self._has_room() and not self._stopping:
            while self._ready and self._has_room():
                self._begin(heapq.heappop(self._ready)[1])
            self._record()

    def _has_room(self) -> bool:
        return self._executor.capacity > len(self._starting)

    def _heed_interrupts(self) -> None:
        if not self._interrupts.is_stopping:
            return
        self._stopping = True
        if not self._told_to_stop:
            self._told_to_stop = True
            self._observer.stopping(sum(len(self._nodes[name].keys) for name in self._running))

    def _progressed(self, progress: Progressed) -> None:
        for key in self._nodes[progress.node].keys if progress.node in self._running else ():
            self._observer.progressed(key, progress)

    def _give_up(self) -> None:
        """Record what was being computed as cancelled: nobody waits for it any more, and it did not fail."""
        given_up = [StepOutcome(key, "cancelled", reasons=node.reasons.get(key, ()), attempts=node.attempt)
                    for name in self._running for node in (self._nodes[name],) for key in node.keys]  # fmt: skip
        self._catalog.save_attempts(self._plan.env, [self._attempt(outcome, None) for outcome in given_up])

    def _begin(self, name: str) -> None:
        """Decide about a function whose upstreams are settled: cut off, link, block, or start it."""
        node = self._nodes[name]
        blocked_by = self._blockers(node)
        if blocked_by:
            for key in node.keys:
                reasons = self._plan.steps[key].reasons
                self._settle(StepOutcome(key, "blocked", blocked_by=blocked_by, reasons=reasons))
            self._settled.append(name)
            return
        decisions = {key: self._decide(key) for key in node.keys}
        if node.attempt == 1 and not any(decision.action is Action.RUN for decision in decisions.values()):
            for key, decision in decisions.items():
                self._settle_without_running(key, decision)
            self._settled.append(name)
            return
        for key, decision in decisions.items():
            node.reasons[key] = decision.reasons or self._plan.steps[key].reasons
            self._observer.step_started(key, node.reasons[key])
        now = time.time()
        started = [
            Attempt(self._run_id, key, UNPARTITIONED, node.attempt, "running", now, None,
                    reasons=tuple(reason.to_json() for reason in node.reasons[key]))
            for key in node.keys
        ]  # fmt: skip
        self._starting.append((name, started))

    def _blockers(self, node: _Progress) -> tuple[AssetKey, ...]:
        found: dict[AssetKey, None] = {}
        for given in (one for key in node.keys for one in self._world.graph.specs[key].inputs):
            outcome = self._outcomes.get(given.upstream)
            if outcome is not None and outcome.state == "blocked":
                found.update(dict.fromkeys(outcome.blocked_by))
            elif outcome is not None and outcome.state in FAILED:
                found[given.upstream] = None
            elif given.mode != "order" and given.upstream not in self._heads:
                found[given.upstream] = None  # it was skipped before it ever had a version, or is not part of the plan
        return tuple(found)

    def _decide(self, key: AssetKey) -> Decision:
        spec = self._world.graph.specs[key]
        traces = self._traces.get((key, UNPARTITIONED), {})
        is_forced, is_lost = key in self._settings.forced, key in self._world.lost
        return decide(
            spec, self._heads.get(key), self._pinned.contents(spec), traces, is_forced=is_forced, is_lost=is_lost,
            doubt=self._world.doubts.get(key),
        )  # fmt: skip

    # -- settling

    def _settle_without_running(self, key: AssetKey, decision: Decision) -> None:
        spec = self._world.graph.specs[key]
        if decision.action is Action.LINK and decision.link is not None:
            found = decision.link.version
            outcome = StepOutcome(
                key, "linked", found.number, found.rows, found.size_bytes, reasons=decision.reasons,
                inputs=self._pinned.read(spec),
            )  # fmt: skip
            trace = linked(key, decision.link.trace, self._pinned.read(spec), self._pinned.seen(key))
            self._commit(key, trace, found, outcome)
            return
        version = self._heads[key].version
        self._settle(StepOutcome(key, "cut_off", version.number, version.rows, version.size_bytes))

    def _finish(self, result: NodeResult) -> None:
        """Take a result in: commit it, retry it, or let its dependents know that it failed."""
        node = self._nodes[result.task.node]
        node.result = result
        spec_retries = self._world.graph.specs[node.keys[0]].retries
        if result.error is not None and result.is_retryable and node.attempt <= spec_retries and not self._stopping:
            self._retry(result, node)
            return
        for key in node.keys:
            self._finish_output(key, node, result)
        self._settled.append(result.task.node)

    def _retry(self, result: NodeResult, node: _Progress) -> None:
        retry = self._loaded.nodes[result.task.node].retry
        wait_s = retry.wait_s(node.attempt) if retry is not None else 0.0
        failed = [StepOutcome(key, "failed", seconds=result.seconds, reasons=node.reasons[key], error=result.error,
                              attempts=node.attempt) for key in node.keys]  # fmt: skip
        self._catalog.save_attempts(self._plan.env, [self._attempt(outcome, result) for outcome in failed])
        node.attempt += 1
        node.result = None
        heapq.heappush(self._later, (time.monotonic() + wait_s, result.task.node))

    def _finish_output(self, key: AssetKey, node: _Progress, result: NodeResult) -> None:
        spec, head = self._world.graph.specs[key], self._heads.get(key)
        base = StepOutcome(
            key, "failed", None if head is None else head.version.number, seconds=result.seconds,
            reasons=node.reasons.get(key, ()), attempts=node.attempt, inputs=self._pinned.read(spec),
            error=unpinned_first(result.error, self._plan.pinned),
        )  # fmt: skip
        if result.error is not None:
            is_stopped = result.error.type == "KeyboardInterrupt" and self._interrupts.is_stopping
            if is_stopped:
                message = "stopped: the run was interrupted"
                self._settle(replace(base, state="cancelled", error=None, message=message), result)
            else:
                self._settle(base, result)
        elif result.skipped is not None:
            self._settle(replace(base, state="skipped", message=result.skipped), result)
        else:
            made = result.outputs[key]
            base = replace(base, rows=made.rows, size_bytes=made.size_bytes, checks=made.checks, error=made.error)
            if made.error is not None:
                self._settle(replace(base, state="rejected"), result)
            else:
                state = "unchanged" if made.version is None else "materialized"
                kept = None if head is None else head.version
                self._commit(key, self._new_trace(spec, made, result), kept, replace(base, state=state), result)

    def _new_trace(self, spec: AssetSpec, made: Made, result: NodeResult) -> NewTrace:
        head, origin = self._heads.get(spec.key), result.task.origins[spec.key]
        reuse = head.version.version_id if made.version is None and head is not None else None
        return computed(spec.key, origin, made, result, reuse, self._pinned.seen(spec.key))

    def _commit(
        self,
        key: AssetKey,
        trace: NewTrace,
        kept: Version | None,
        outcome: StepOutcome,
        result: NodeResult | None = None,
    ) -> None:
        """An outcome that a commit makes true. `kept` is the version of the head when no new one is stored."""
        before = self._heads.get(key)
        lost: tuple[int, ...] = ()
        if before is not None:
            # Equal content is stored anew only when the bytes that were there are gone or damaged.
            is_same = trace.version is not None and trace.version.data_hash == before.version.data_hash
            is_replaced = is_same and not trace.is_anew
            lost = (before.version.version_id,) if is_replaced or key in self._world.lost else ()
        attempt = self._attempt(outcome, result)
        self._recorder.add(Pending(outcome, attempt, trace, kept, lost))

    def _settle(self, outcome: StepOutcome, result: NodeResult | None = None) -> None:
        """An asset has reached an outcome that commits nothing."""
        attempt = None if outcome.state == "cut_off" else self._attempt(outcome, result)
        self._recorder.add(Pending(outcome, attempt))

    def _record(self) -> None:
        """Record all that has come together since the last time, in one transaction, and only then tell anybody.

        Then start what waited for that, and let the dependents of what is settled go on.
        """
        starting, settled = self._starting, self._settled
        self._starting, self._settled = [], []
        for one in self._recorder.record(attempt for _, begun in starting for attempt in begun):
            if one.trace is None or one.done is None:
                self._tell(one.outcome)
            else:
                self._take_commit(one, one.trace, one.done)
        for name, _ in starting:
            node = self._nodes[name]
            task = self._pinned.task(
                name, node.keys, run_id=self._run_id, env=self._plan.env, attempt=node.attempt
            )  # fmt: skip
            self._executor.start(task)
            self._running.add(name)
        for name in settled:
            if self._settings.fail_fast and any(self._outcomes[k].state in FAILED for k in self._nodes[name].keys):
                self._stopping = True
            self._release(name)
        if self._recorder.has_more:  # a commit that lost to another run became a failure
            self._record()

    def _take_commit(self, one: Pending, trace: NewTrace, done: Committed) -> None:
        key, outcome = trace.asset, one.outcome
        if not done.moved:
            error = Superseded(
                f"another run moved {key} while this one computed it; its version stays current",
                fix="run `assetflow plan` to see what is left to do",
            )
            outcome = replace(outcome, state="failed", error=step_error(error, None))
            result = self._nodes[self._node_of(key)].result
            self._recorder.add(Pending(outcome, self._attempt(outcome, result)))
            self._outcomes[key] = outcome  # its dependents must not start meanwhile
            return
        self._heads[key] = head_after(self._plan.env, trace, done, one.kept, self._run_id, one.at)
        self._tell(replace(outcome, version=done.number, seconds={**outcome.seconds, "commit": one.seconds}))

    def _tell(self, outcome: StepOutcome) -> None:
        self._outcomes[outcome.asset] = outcome
        self._observer.step_finished(outcome)

    def _attempt(self, outcome: StepOutcome, result: NodeResult | None) -> Attempt:
        name = self._node_of(outcome.asset)
        ready_at = self._nodes[name].ready_at if name in self._nodes else 0.0
        spans = self._settings.inbox.spans(name, outcome.attempts)
        return attempt_of(self._run_id, outcome, result, ready_at, spans)

    def _leave(self, node: _Progress, state: str, message: str) -> None:
        for key in node.keys:
            if key not in self._outcomes:
                # One that waited for its next try has the number of that try: the failed one stays recorded.
                self._settle(StepOutcome(key, state, message=message, attempts=node.attempt))

    def _release(self, name: str) -> None:
        for other in self._dependents[name]:
            node = self._nodes[other]
            node.waits_for -= 1
            if node.waits_for == 0:
                self._make_ready(other, self._rank[other])
