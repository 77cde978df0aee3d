"""What a run is given, what of it waits for what, and what is decided about it on the way."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path
from random import random

from msgspec import Struct, field

from assetflow.errors import DamagedVersion
from assetflow.io.storage import Storage
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Attempt, Head, Version
from assetflow.model.spec import InputSpec
from assetflow.plan.planner import Plan, World, accepts_last_good
from assetflow.plan.staleness import STAYS, Decision, Reason, decide
from assetflow.plan.together import siblings
from assetflow.run.failure import step_error
from assetflow.run.handover import Handover
from assetflow.run.outcome import FAILED, StepOutcome
from assetflow.run.pinned import NOTHING, Pinned
from assetflow.run.pools import Pools
from assetflow.run.reports import Inbox
from assetflow.run.task import NodeResult


class RunSettings(Struct, frozen=True):
    """What one run is given besides the plan. `log_folder` gets a file for each attempt, `inbox` what steps tell.

    `chance` gives numbers from 0 up to 1 for the jitter of retries. When more than `may_fail` assets have failed,
    nothing more is started; None: go on whatever fails.
    """

    root: Path
    log_folder: Path
    storage: Storage
    forced: frozenset[AssetKey] = frozenset()
    may_fail: int | None = None
    handover: Handover = field(default_factory=Handover)
    chance: Callable[[], float] = random
    pools: Pools = field(default_factory=lambda: Pools(Path(), {}))
    inbox: Inbox = field(default_factory=Inbox)
    stop_grace_s: float = 10.0
    is_apart: bool = False


class Progress(Struct):
    """The state of one node (one function) within the run."""

    keys: list[AssetKey]
    waits_for: set[str] = field(default_factory=set[str])
    above: frozenset[str] = frozenset()
    reasons: dict[AssetKey, tuple[Reason, ...]] = field(default_factory=dict[AssetKey, tuple[Reason, ...]])
    attempt: int = 1
    ready_at: float = 0.0
    result: NodeResult | None = None


def attempts_of(node: Progress, run_id: int, now: float) -> list[Attempt]:
    """The records of the attempts that a function begins now, one for each of its outputs."""
    return [
        Attempt(run_id, *split_slot(key), node.attempt, "running", now, None,
                reasons=tuple(reason.to_json() for reason in node.reasons[key]))
        for key in node.keys
    ]  # fmt: skip


def arranged(world: World, plan: Plan) -> dict[str, Progress]:
    """The functions of a plan that are to be settled, by node, and what each of them waits for."""
    specs, by_node = world.graph.specs, siblings(world.graph)
    left_alone = {s.asset for s in plan if s.spec.is_source or s.pin or s.action in STAYS}
    to_settle = plan.steps.keys() - left_alone
    nodes: dict[str, Progress] = {}
    for step in plan:
        if step.asset in to_settle and step.spec.node not in nodes:
            nodes[step.spec.node] = Progress([key for key in by_node[step.spec.node] if key in to_settle])
    for name, node in nodes.items():
        upstream = {specs[up].node for key in node.keys for up in world.graph.upstream(key)} - {name}
        node.above = frozenset(upstream & nodes.keys())
        node.waits_for = set(node.above)
    return nodes


def lost_pins(plan: Plan) -> Iterator[StepOutcome]:
    """What is pinned is never run; when its bytes are gone, it has failed, and whatever reads it is blocked."""
    for step in plan.blocked:
        if step.pin is not None:
            fix = f"assetflow unpin {shlex.quote(step.asset)}"
            error = DamagedVersion(f"{step.asset}: {step.reasons[0].text}", fix=fix)
            yield StepOutcome(step.asset, "failed", error=step_error(error, None))


def counted(outcomes: Mapping[AssetKey, StepOutcome], nodes: Mapping[str, Progress]) -> dict[str, int]:
    """How many assets are in each state; what has none yet counts as cancelled."""
    found = Counter(outcome.state for outcome in outcomes.values())
    found["cancelled"] += sum(key not in outcomes for node in nodes.values() for key in node.keys)
    return {state: number for state, number in found.items() if number}


class Judge:
    """Decides about one asset at a time with what the run knows by then, by the rules of the planner.

    `traces` are the earlier results that may be linked.
    """

    def __init__(
        self,
        world: World,
        pinned: Pinned,
        forced: frozenset[AssetKey],
        outcomes: Mapping[AssetKey, StepOutcome],
    ) -> None:
        self._world, self._pinned, self._forced, self._outcomes = world, pinned, forced, outcomes
        self.traces: Mapping[tuple[AssetKey, str], Mapping[str, Head]] = {}

    def blockers(self, keys: Iterable[AssetKey], ahead: Collection[AssetKey] = ()) -> tuple[AssetKey, ...]:
        """What keeps these assets of one function from being built; `ahead` are inputs that are yet to be stored."""
        found = {self._world.unmet[key].upstream: None for key in keys if key in self._world.unmet}
        for given in (one for key in keys for one in self._world.graph.specs[key].inputs):
            outcome = self._outcomes.get(given.upstream)
            if self.is_accepted(given):
                continue
            if outcome is not None and outcome.state == "blocked":
                found.update(dict.fromkeys(outcome.blocked_by))
            elif outcome is not None and outcome.state in FAILED:
                found[given.upstream] = None
            elif given.mode != "order" and given.upstream not in self._pinned.heads and given.upstream not in ahead:
                found[given.upstream] = None  # it was skipped before it ever had a version, or is not part of the plan
        return tuple(found)

    def is_accepted(self, given: InputSpec) -> bool:
        """Whether the last good version of an upstream stands for what could not be built of it in this run."""
        outcome = self._outcomes.get(given.upstream)
        could_not = outcome is not None and outcome.state in (*FAILED, "blocked")
        return could_not and accepts_last_good(self._world, given)

    def decide(self, key: AssetKey, ahead: Mapping[AssetKey, Version] = NOTHING) -> Decision:
        """Whether the asset has to run, on what is current, and on what is `ahead` of it."""
        spec = self._world.graph.specs[key]
        traces, contents = self.traces.get(split_slot(key), {}), self._pinned.contents(spec, ahead)
        is_forced, is_lost = key in self._forced, key in self._world.lost
        return decide(
            spec, self._pinned.heads.get(key), contents, traces, is_forced=is_forced, is_lost=is_lost,
            doubt=self._world.doubts.get(key), now=self._world.discovered, at=self._world.at,
        )  # fmt: skip
