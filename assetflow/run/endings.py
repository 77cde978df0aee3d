"""What becomes of an asset in a run: its outcome, and what of it is to be recorded."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from msgspec.structs import replace

from assetflow.model.keys import AssetKey
from assetflow.model.records import Attempt, NewTrace, Version
from assetflow.model.spec import AssetSpec
from assetflow.plan.planner import Plan, World
from assetflow.plan.staleness import Action, Decision
from assetflow.run.arranging import Progress, RunSettings
from assetflow.run.failure import unpinned_first
from assetflow.run.interrupt import Interrupts
from assetflow.run.outcome import StepOutcome
from assetflow.run.pinned import Pinned
from assetflow.run.recording import Pending, attempt_of, computed, linked, versions_gone
from assetflow.run.task import Made, NodeResult


class Endings:
    """Makes of results what is recorded of them. `nodes` and `begun` are those of the runner, as they are then."""

    run_id = 0

    def __init__(
        self, world: World, plan: Plan, pinned: Pinned, settings: RunSettings, interrupts: Interrupts,
        nodes: Mapping[str, Progress], begun: Collection[AssetKey],
    ) -> None:  # fmt: skip
        self._world, self._plan, self._pinned, self._settings = world, plan, pinned, settings
        self._interrupts, self._nodes, self._begun = interrupts, nodes, begun

    def of(self, key: AssetKey, node: Progress, result: NodeResult) -> Pending:
        """What became of an output of a function that has run."""
        spec, head, base = self._world.graph.specs[key], self._pinned.heads.get(key), self.failed(key, node, result)
        if result.error is not None:
            if result.error.type == "KeyboardInterrupt" and self._interrupts.is_stopping:
                message = f"stopped: {self._interrupts.why}"
                return self.settled(replace(base, state="cancelled", error=None, message=message), result)
            return self.settled(base, result)
        if result.skipped is not None:
            return self.settled(replace(base, state="skipped", message=result.skipped), result)
        made = result.outputs[key]
        state = "rejected" if made.error is not None else "unchanged" if made.version is None else "materialized"
        outcome = replace(
            base, state=state, rows=made.rows, size_bytes=made.size_bytes, checks=made.checks, error=made.error,
            rejected=made.rejected,
        )  # fmt: skip
        if made.error is None:
            kept = None if head is None else head.version
            return self._committed(key, self._new_trace(spec, made, result), kept, outcome, result)
        refused = None if made.version is None else replace(self._new_trace(spec, made, result), kind="reject")
        return replace(self.settled(outcome, result), refused=refused, prepared=made.prepared)

    def failed(self, key: AssetKey, node: Progress, result: NodeResult) -> StepOutcome:
        """What the outcome of an attempt begins as: failed, on the inputs that it had."""
        head = self._pinned.heads.get(key)
        return StepOutcome(
            key, "failed", None if head is None else head.version.number, seconds=result.seconds,
            reasons=node.reasons.get(key, ()), attempts=node.attempt, input_rows=result.task.input_rows,
            inputs=self._pinned.read(self._world.graph.specs[key]),
            error=unpinned_first(result.error, self._plan.pinned),
        )  # fmt: skip

    def without_running(self, key: AssetKey, decision: Decision) -> Pending:
        """What becomes of an asset that need not run: it is linked to an earlier result, or stays as it is."""
        spec = self._world.graph.specs[key]
        if decision.action is Action.LINK and decision.link is not None:
            found = decision.link.version
            outcome = StepOutcome(
                key, "linked", found.number, found.rows, found.size_bytes, reasons=decision.reasons,
                inputs=self._pinned.read(spec),
            )  # fmt: skip
            trace = linked(key, decision.link.trace, self._pinned.read(spec), self._pinned.seen(key))
            return self._committed(key, trace, found, outcome)
        version = self._pinned.heads[key].version
        return self.settled(StepOutcome(key, "cut_off", version.number, version.rows, version.size_bytes))

    def settled(self, outcome: StepOutcome, result: NodeResult | None = None) -> Pending:
        """An outcome that commits nothing."""
        never_began = outcome.state == "cut_off" and outcome.asset not in self._begun
        return Pending(outcome, None if never_began else self.attempt(outcome, result))

    def attempt(self, outcome: StepOutcome, result: NodeResult | None) -> Attempt:
        """The record of an outcome as of now; `result` is what was computed, if anything was."""
        spec = self._world.graph.specs[outcome.asset]
        name = spec.node
        ready_at = self._nodes[name].ready_at if name in self._nodes else 0.0
        spans = self._settings.inbox.spans(name, outcome.attempts)
        return attempt_of(self.run_id, outcome, result, ready_at, spans, spec)

    def _new_trace(self, spec: AssetSpec, made: Made, result: NodeResult) -> NewTrace:
        head, origin = self._pinned.heads.get(spec.key), result.task.origins[spec.key]
        reuse = head.version.version_id if made.version is None and head is not None else None
        return computed(spec.key, origin, made, result, reuse, self._pinned.seen(spec.key))

    def _committed(
        self, key: AssetKey, trace: NewTrace, kept: Version | None, outcome: StepOutcome,
        result: NodeResult | None = None,
    ) -> Pending:  # fmt: skip
        """An outcome that a commit makes true. `kept` is the version of the head when no new one is stored."""
        lost = versions_gone(trace, self._pinned.heads.get(key), is_lost=key in self._world.lost)
        files, prepared = ((), None) if result is None else (result.files, result.outputs[key].prepared)
        return Pending(outcome, self.attempt(outcome, result), trace, kept, lost, files, prepared=prepared)
