"""The truth table of an asset: what has to hold for it to be run by itself, whether it does, and what that rests on."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from assetflow.automation.autoround import auto_verdicts
from assetflow.automation.declared import with_manifest
from assetflow.automation.eager import Condition
from assetflow.automation.locks import daemon_lock, holder
from assetflow.automation.rounds import JobState, look
from assetflow.load.manifest import read_manifest
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey, slot
from assetflow.model.spec import AssetSpec
from assetflow.plan.graph import AssetGraph
from assetflow.plan.planner import Plan


def truth_table(
    settings: Settings,
    spec: AssetSpec,
    graph: AssetGraph,
    plan: Callable[[], Plan],
    select: Callable[[str], tuple[AssetKey, ...]],
    now: float,
    partition: str = "",
) -> tuple[Condition, ...]:
    """Everything that could run an asset, or a partition of it, without being called: its policy, and its jobs."""
    found: list[Condition] = []
    if spec.auto is None:
        found.append(Condition("policy", False, "no auto= is declared"))
    else:
        key = slot(spec.key, partition) if partition else spec.key
        verdict = auto_verdicts(settings, plan(), graph, now).get(key)
        if verdict is not None:
            found += verdict.conditions
        elif partition:  # it has no step, or one that does nothing
            found.append(Condition("policy", True, f"auto is {spec.auto}"))
            found.append(Condition("stale", False, "code, config and inputs are those of its version"))
    states = look(with_manifest(settings, read_manifest(settings)).settings, now)
    for state in states:
        if not state.job.select or spec.key in graph.walk(list(select(state.job.select)), up=True):
            found.append(Condition(f"job {state.job.name} due", state.is_due, _of_job(state)))
    if len(found) == 1 and spec.auto is None:
        return (Condition("policy", False, "no auto= is declared, and no job selects it"),)
    runner = holder(daemon_lock(settings))
    words = "nobody looks: assetflow daemon run" if runner is None else f"pid {runner.pid}"
    return (*found, Condition("daemon running", runner is not None, words))


def _of_job(state: JobState) -> str:
    if state.schedule is not None and state.schedule.is_paused:
        return f"paused by {state.schedule.paused_by}: assetflow schedule resume {state.job.name}"
    if not state.job.enabled:
        return "not enabled"
    if state.next is None:
        updates = [asset for one in state.job.on_update for asset in one.assets]
        return f"waits for an update of {', '.join(updates)}"
    busy = "is running; " if state.is_busy else ""
    return f"{busy}next {datetime.fromtimestamp(state.next, UTC):%Y-%m-%dT%H:%MZ}"
