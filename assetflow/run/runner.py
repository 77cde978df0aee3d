"""The one loop that owns a run: what is settled, starts next and is committed. Only its thread writes the catalog."""

from __future__ import annotations

import heapq
import sys
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog, Committed
from assetflow.load.live import Loaded
from assetflow.model.durations import words
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Attempt, NewTrace
from assetflow.plan.estimate import start_order
from assetflow.plan.planner import Plan, World
from assetflow.plan.staleness import Action, Decision
from assetflow.run.ahead import Ahead, Announced, Started
from assetflow.run.arranging import Judge, Progress, RunSettings, arranged, attempts_of, counted, lost_pins
from assetflow.run.endings import Endings
from assetflow.run.executor import Executor
from assetflow.run.failure import overtaken, step_error
from assetflow.run.interrupt import Interrupts
from assetflow.run.outcome import FAILED, MADE, NextTry, Observer, RunResult, StepOutcome
from assetflow.run.pace import PutOff
from assetflow.run.pinned import Pinned, taken_in_memory
from assetflow.run.pools import SlotQueue
from assetflow.run.recording import (
    Pending,
    Recorder,
    head_after,
    record_sources,
    run_result,
)
from assetflow.run.reports import Progressed
from assetflow.run.retrying import next_try
from assetflow.run.task import NodeResult

if TYPE_CHECKING:
    from assetflow.io.sources import Observation

_TICK_S = 0.1
_CANCEL_S, _GIVE_UP_S = 3.0, 1.0
"""So long before the grace is over child processes are ended, which takes two seconds at most, and threads given up."""


class Runner:
    """Carries out one plan. Make one for each run."""

    def __init__(
        self, world: World, plan: Plan, loaded: Loaded, catalog: Catalog, executor: Executor,
        observations: Mapping[AssetKey, Observation], settings: RunSettings, interrupts: Interrupts,
    ) -> None:  # fmt: skip
        self._world, self._plan, self._loaded = world, plan, loaded
        self._catalog, self._executor, self._settings = catalog, executor, settings
        self._observations, self._interrupts, self._handover = observations, interrupts, settings.handover
        self._ahead = Ahead({})
        self._pinned = Pinned(world, loaded, observations, settings.forced, settings.log_folder)
        self._heads = self._pinned.heads
        self._outcomes: dict[AssetKey, StepOutcome] = {}
        self._nodes: dict[str, Progress] = {}
        self._dependents: defaultdict[str, list[str]] = defaultdict(list)
        self._ready: list[tuple[int, str]] = []
        self._later: list[tuple[float, str]] = []
        self._slots = SlotQueue(settings.pools, self._tell_waiting)
        self._rank: dict[str, int] = {}
        self._running: set[str] = set()
        self._begun: set[AssetKey] = set()
        self._starting: list[tuple[str, list[Attempt]]] = []
        self._unrecorded: dict[str, list[Attempt]] = {}
        self._settled: list[str] = []
        self._looked_below, self._first_below = 0, sys.maxsize
        self._put_off = PutOff(self._record)
        self._told_to_stop = self._stopping = False
        self._failed = 0
        self._judge = Judge(world, self._pinned, settings.forced, self._outcomes)
        self._endings = Endings(world, plan, self._pinned, settings, interrupts, self._nodes, self._begun)

    def run(self, run_id: int, observer: Observer, began: float) -> RunResult:
        """Carry out the plan. `began` is the monotonic time at which the verb started, for the total."""
        self._run_id = self._endings.run_id = run_id
        self._observer = observer
        self._recorder = Recorder(self._catalog, self._plan.env, run_id, self._loaded.code_sources)
        self._settings.inbox.listen(self._progressed)
        observer.run_started(run_id, self._plan, self._executor.workers)
        self._observe_sources()
        for outcome in lost_pins(self._plan):
            self._settle(outcome)
        self._record()
        self._arrange()
        try:
            with self._put_off:
                self._loop()
        except KeyboardInterrupt:  # the second one: what is being computed is given up
            self._give_up()
            raise
        finally:
            self._ahead.close()
        for node in self._nodes.values():
            self._leave(node, "cancelled", f"not started: {self._interrupts.why}")
        self._record()
        self._recorder.finish()
        return run_result(self._plan, run_id, self._outcomes, time.monotonic() - began, self._interrupts)

    # -- preparing

    def _observe_sources(self) -> None:
        """Record every source of the plan that differs from its head: runs pin what they read."""
        for step in self._plan:
            problem = self._world.sources[step.asset].problem if step.spec.is_source else None
            if problem is not None:
                self._settle(StepOutcome(step.asset, "failed", error=step_error(problem, self._settings.root)))
        self._heads.update(
            record_sources(self._catalog, self._plan, self._run_id, self._world.sources, self._observations)
        )

    def _arrange(self) -> None:
        """Find out what waits for what, in which order it starts, and what can be linked."""
        self._nodes.update(arranged(self._world, self._plan))
        for name, node in self._nodes.items():
            for other in node.above:
                self._dependents[other].append(name)
        self._handover.expect(takers := taken_in_memory(self._loaded, self._nodes, apart=self._settings.is_apart))
        self._ahead = Ahead(takers)
        self._rank = {name: rank for rank, name in enumerate(self._nodes)}
        if self._executor.workers > 1:  # with one the order makes no difference, and stays the same from run to run
            self._rank = start_order([self._plan.work(name, one.keys, one.above) for name, one in self._nodes.items()])
        planned = [key for node in self._nodes.values() for key in node.keys]
        self._judge.traces = self._world.traces(planned)
        checked = [key for key in planned if any(check.blocking for check in self._world.graph.specs[key].checks)]
        self._pinned.reject(self._catalog.rejected_versions({split_slot(key)[0] for key in checked}) if checked else ())
        for name, node in self._nodes.items():
            if not node.waits_for:
                self._make_ready(name, self._rank[name])

    def _make_ready(self, name: str, rank: int) -> None:
        self._nodes[name].ready_at = time.time()
        heapq.heappush(self._ready, (rank, name))

    def _node_of(self, key: AssetKey) -> str:
        return self._world.graph.specs[key].node

    # -- the loop

    def _loop(self) -> None:
        while self._running or ((self._ready or self._later or self._slots.has_waiting) and not self._stopping):
            self._heed_interrupts()
            now = time.monotonic()
            while self._later and self._later[0][0] <= now and not self._stopping:
                self._make_ready(heapq.heappop(self._later)[1], 0)
            self._begin_ready()
            self._begin_ahead()
            if self._running:
                with self._put_off.away(is_long=self._executor.is_here):
                    results = self._executor.wait(min(_TICK_S, self._put_off.left_s))
                self._put_off.note(results)
                self._settings.inbox.deliver()
                for result in results:
                    self._take_in(result)
                self._begin_beside()
                self._go_on()
            elif (self._later or self._slots.has_waiting) and not self._ready and not self._stopping:
                until = self._later[0][0] - time.monotonic() if self._later else _TICK_S
                time.sleep(min(_TICK_S, max(0.0, until)))
            self._observer.tick()

    def _begin_ready(self) -> None:
        """Start what is ready, as far as there is room; what needs no run makes the next ones ready.

        What waits for slots of a pool is tried once each time, in the order of ranks; others overtake it.
        """
        for name in self._slots.next_round():
            heapq.heappush(self._ready, (self._rank[name], name))
        while self._ready and self._has_room() and not self._stopping:
            while self._ready and self._has_room():
                self._begin(heapq.heappop(self._ready)[1])
            self._go_on()

    def _begin_beside(self) -> None:
        """Start what stands before all that waits for what has ended well just now: one transaction records both."""
        is_stopping = self._stopping or self._interrupts.is_stopping
        may_start = not (is_stopping or self._slots.has_waiting or self._recorder.has_failed)
        while may_start and self._ready and self._has_room():
            if self._ready[0][0] > self._lowest_below():
                break
            self._begin(heapq.heappop(self._ready)[1])

    def _lowest_below(self) -> int:
        """The first rank of what waits for anything that is settled and not yet recorded."""
        for name in self._settled[self._looked_below :]:
            self._first_below = min([self._first_below, *(self._rank[other] for other in self._dependents[name])])
        self._looked_below = len(self._settled)
        return self._first_below

    def _has_room(self) -> bool:
        return self._executor.capacity > len(self._starting)

    def _heed_interrupts(self) -> None:
        if not self._interrupts.is_stopping:
            return
        self._stopping = True
        if not self._told_to_stop:
            self._told_to_stop = True
            self._observer.stopping(sum(len(self._nodes[name].keys) for name in self._running))
        if self._interrupts.seconds > self._settings.stop_grace_s - _CANCEL_S:
            self._executor.cancel()
        if self._running and self._interrupts.seconds > self._settings.stop_grace_s - _GIVE_UP_S:
            grace = words(self._settings.stop_grace_s)
            for name in self._running:  # nobody waits for them any more; what they still give is not recorded
                self._leave(self._nodes[name], "cancelled", f"given up: it did not end within {grace}")
            self._running.clear()
            self._record()

    def _progressed(self, progress: Progressed) -> None:
        for key in self._nodes[progress.node].keys if progress.node in self._running else ():
            self._observer.progressed(key, progress)

    def _give_up(self) -> None:
        """Record what was being computed as cancelled: nobody waits for it any more, and it did not fail."""
        self._starting = []
        self._record()  # what waited for that
        given_up = [StepOutcome(key, "cancelled", reasons=node.reasons.get(key, ()), attempts=node.attempt)
                    for name in self._running for node in (self._nodes[name],) for key in node.keys]  # fmt: skip
        self._catalog.save_attempts(self._plan.env, [self._endings.attempt(outcome, None) for outcome in given_up])
        self._outcomes.update({one.asset: one for one in given_up})

    @property
    def counts(self) -> Mapping[str, int]:
        """How many assets ended in each state so far; what has not, is cancelled when nobody goes on."""
        return counted(self._outcomes, self._nodes)

    def _begin(self, name: str) -> None:
        """Decide about a function whose upstreams are settled: cut off, link, block, or start it."""
        node = self._nodes[name]
        apart = self._loaded.nodes[name].batch is not None  # of several partitions, some may have nothing to do
        decisions: dict[AssetKey, Decision] = {}
        for keys in [[key] for key in node.keys] if apart else [node.keys]:
            decisions.update(self._decided(node, keys))
        if not decisions:
            self._settled.append(name)
            return
        node.keys = [*decisions]
        if self._slots.has(name, self._loaded.nodes[name].limits.pools, self._run_id):
            self._start(name, decisions)

    def _decided(self, node: Progress, keys: Sequence[AssetKey]) -> Mapping[AssetKey, Decision]:
        """Why these outputs, which stand together, are to be computed; else they are settled, and it is empty."""
        if blocked_by := self._judge.blockers(keys):
            for key in keys:
                reasons = self._plan.steps[key].reasons
                self._settle(StepOutcome(key, "blocked", blocked_by=blocked_by, reasons=reasons))
            return {}
        decisions = {key: self._judge.decide(key) for key in keys}
        if node.attempt > 1 or any(decision.action is Action.RUN for decision in decisions.values()):
            return decisions
        for key, decision in decisions.items():
            self._recorder.add(self._endings.without_running(key, decision))
        return {}

    def _start(self, name: str, decisions: Mapping[AssetKey, Decision]) -> None:
        node, now = self._nodes[name], time.time()
        self._begun.update(node.keys)
        for key, decision in decisions.items():
            node.reasons[key] = decision.reasons or self._plan.steps[key].reasons
        self._starting.append((name, attempts_of(node, self._run_id, now)))

    def _tell_waiting(self, name: str, reason: str) -> None:
        for key in self._nodes[name].keys:
            self._observer.waiting(key, reason)

    # -- starting ahead

    def _take_in(self, one: NodeResult | Announced) -> None:
        name = one.task.node
        if isinstance(one, Announced):
            self._ahead.versions.update(one.versions)
            self._ahead.candidates.update(dict.fromkeys(self._dependents[name]))
            return
        self._running.discard(name)
        self._unrecorded.pop(name, None)
        self._settings.pools.give_back(name)
        self._handover.take_files(one)
        for key in self._nodes[name].keys:
            self._ahead.versions.pop(key, None)
        if name in self._ahead.denied or one.is_denied:
            self._ahead.denied.discard(name)
            self._ahead.started.pop(name, None)
            if not self._nodes[name].waits_for:
                self._make_ready(name, self._rank[name])
        elif not self._ahead.hold(one):
            self._finish(one)

    def _begin_ahead(self) -> None:
        """Start what needs only values that are announced, where nothing else wants the room."""
        candidates, self._ahead.candidates = self._ahead.candidates, {}
        for name in candidates:
            node = self._nodes[name]
            if self._stopping or not node.waits_for or name in self._running or node.attempt > 1:
                continue
            if self._ready or not self._has_room():
                self._ahead.candidates[name] = None
                continue
            specs = [self._world.graph.specs[key] for key in node.keys]
            live = self._loaded.nodes[name]
            versions = self._ahead.needs(name, live, specs, node.waits_for, self._node_of)
            if versions is None or self._judge.blockers(node.keys, versions) or live.limits.pools or live.batch:
                continue
            decisions = {key: self._judge.decide(key, versions) for key in node.keys}
            if any(decision.action is Action.RUN for decision in decisions.values()):
                self._ahead.started[name] = Started(versions)
                self._start(name, decisions)
        if self._starting:
            self._go_on()

    def _decide_about_started(self, name: str) -> None:
        """Let a function that was started ahead publish what it made, or throw that away: its inputs are settled."""
        node, started = self._nodes[name], self._ahead.started.pop(name)
        is_so = all(
            key in self._heads and self._heads[key].version.data_hash == version.data_hash
            for key, version in started.versions.items()
        )
        if is_so and not self._judge.blockers(node.keys):
            for key in node.keys:
                node.reasons[key] = self._judge.decide(key).reasons or node.reasons[key]
            origins = self._pinned.origins(node.keys)
            started.permit.grant(origins)
            if started.held is not None:
                self._finish(replace(started.held, task=replace(started.held.task, origins=origins)))
            return
        self._ahead.deny(name, started)
        if started.held is not None:
            self._make_ready(name, self._rank[name])

    # -- settling

    def _finish(self, result: NodeResult) -> None:
        """Take a result in: commit it, retry it, or let its dependents know that it failed."""
        node = self._nodes[result.task.node]
        node.result = result
        again = None if self._stopping else next_try(self._loaded, result, self._settings.chance)
        if again is not None:
            self._retry(result, node, again)
            return
        for key in node.keys:
            self._recorder.add(self._endings.of(key, node, result))
        self._settled.append(result.task.node)

    def _retry(self, result: NodeResult, node: Progress, again: NextTry) -> None:
        failed = [replace(self._endings.failed(key, node, result), version=None) for key in node.keys]
        self._catalog.save_attempts(self._plan.env, [self._endings.attempt(outcome, result) for outcome in failed])
        node.attempt, node.result = again.number, None
        self._ahead.deny_below(result.task.node, self._dependents)  # it needs the room
        heapq.heappush(self._later, (time.monotonic() + again.wait_s, result.task.node))
        for outcome in failed:
            self._observer.retrying(outcome.asset, replace(again, failed=outcome))

    def _settle(self, outcome: StepOutcome) -> None:
        """An asset has reached an outcome that commits nothing, and of which nothing was computed."""
        self._recorder.add(self._endings.settled(outcome))

    def _go_on(self) -> None:
        """Start what is to start; record what has come together, unless it may wait and there is no room for more."""
        is_stopping = self._stopping or self._interrupts.is_stopping
        if (
            is_stopping
            or self._has_room()
            or self._recorder.has_failed
            or self._slots.has_waiting
            or self._ahead.started
        ):
            self._record()
        elif self._put_off.may_wait(self._recorder.waiting):
            starting, self._starting = self._starting, []
            self._unrecorded.update(starting)
            self._launch(name for name, _ in starting)
        else:
            self._record()

    def _launch(self, names: Iterable[str]) -> None:
        for name in names:
            node, started = self._nodes[name], self._ahead.started.get(name)
            for key in node.keys:
                self._observer.step_started(key, node.reasons[key])
            task = self._pinned.task(
                name, node.keys, run_id=self._run_id, env=self._plan.env, attempt=node.attempt, started=started,
                is_put_off=self._is_published_here(name),
            )  # fmt: skip
            self._executor.start(self._handover.dressed(task) if self._settings.is_apart else task)
            self._running.add(name)

    def _is_published_here(self, name: str) -> bool:
        """Whether what a function makes is published by this thread, together with what others make."""
        if not self._put_off.is_quick or self._settings.is_apart or self._loaded.nodes[name].limits.needs_process:
            return False
        self._settings.storage.watch_disk()
        return True

    def _publish(self) -> None:
        for one, error in self._recorder.publish(self._settings.storage):
            key = one.outcome.asset
            node = self._nodes[self._node_of(key)]
            assert node.result is not None, "it prepared what was refused"
            failed = replace(self._endings.failed(key, node, node.result), error=step_error(error, self._settings.root))
            self._recorder.add(self._endings.settled(failed, node.result))

    def _record(self) -> None:
        """Record all that has come together since the last time, in one transaction, and only then tell anybody.

        Then start what waited for that, and let the dependents of what is settled go on.
        """
        self._publish()
        starting, settled = self._starting, self._settled
        self._starting, self._settled = [], []
        self._looked_below, self._first_below = 0, sys.maxsize
        self._unrecorded.update(starting)
        begun, self._unrecorded = self._unrecorded, {}
        for one in self._recorder.record(attempt for attempts in begun.values() for attempt in attempts):
            if one.trace is None or one.done is None:
                self._tell(one.outcome)
            else:
                self._take_commit(one, one.trace, one.done)
        self._put_off.recorded()
        self._launch(name for name, _ in starting)
        for name in settled:
            self._failed += sum(self._outcomes[k].state in FAILED for k in self._nodes[name].keys)
            self._stopping |= self._settings.may_fail is not None and self._failed > self._settings.may_fail
            self._release(name)
        if self._recorder.has_more:  # a commit that lost to another run became a failure
            self._record()

    def _take_commit(self, one: Pending, trace: NewTrace, done: Committed) -> None:
        key, outcome = one.outcome.asset, one.outcome
        if not done.moved:
            outcome = replace(outcome, state="failed", error=step_error(overtaken(key), None))
            result = self._nodes[self._node_of(key)].result
            self._recorder.add(Pending(outcome, self._endings.attempt(outcome, result)))
            self._outcomes[key] = outcome  # its dependents must not start meanwhile
            return
        self._heads[key] = head_after(self._plan.env, trace, done, one.kept, self._run_id, one.at)
        self._tell(replace(outcome, version=done.number, seconds={**outcome.seconds, "commit": one.seconds}))

    def _tell(self, outcome: StepOutcome) -> None:
        inputs = self._world.graph.specs[outcome.asset].inputs
        accepted = [one.upstream for one in inputs if self._judge.is_accepted(one)]
        if accepted and outcome.state in (*MADE, "cut_off"):
            names = ", ".join(f"{key}@{self._heads[key].version.number}" for key in accepted)
            outcome = replace(outcome, message=f"on the last good {names}")
        self._outcomes[outcome.asset] = outcome
        self._observer.step_finished(outcome)

    def _leave(self, node: Progress, state: str, message: str) -> None:
        for key in node.keys:
            if key not in self._outcomes:
                # One that waited for its next try has the number of that try: the failed one stays recorded.
                self._settle(StepOutcome(key, state, message=message, attempts=node.attempt))

    def _release(self, name: str) -> None:
        self._handover.leave(name)
        for other in self._dependents[name]:
            node = self._nodes[other]
            node.waits_for.discard(name)
            if node.waits_for:
                continue
            if other in self._ahead.started:
                self._decide_about_started(other)
            elif other not in self._ahead.denied:  # else when what was thrown away has come to its end
                self._make_ready(other, self._rank[other])
