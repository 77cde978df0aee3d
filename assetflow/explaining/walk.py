"""From an asset to the root causes of what a plan does with it. The plan has decided; here it is only read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from msgspec import Struct

from assetflow.model.keys import AssetKey
from assetflow.plan.planner import Plan, Step
from assetflow.plan.staleness import STAYS, Action, Reason

_MOVING = (Action.RUN, Action.MAYBE, Action.LINK, Action.BLOCKED)


class Found(Struct, frozen=True):
    """A root reason, and the shortest way from the asset that has it to the one that was asked about."""

    step: Step
    reason: Reason
    path: tuple[AssetKey, ...]


def roots(plan: Plan, target: AssetKey) -> list[Found]:
    """The root reasons behind a step of a plan: its own first, then those of what stands above it, nearest first."""
    found: list[Found] = []
    paths: dict[AssetKey, tuple[AssetKey, ...]] = {target: (target,)}
    waiting = [target]
    for key in waiting:  # grows while it is walked: breadth first
        step = plan.steps[key]
        found += [Found(step, reason, paths[key]) for reason in step.reasons if reason.is_root]
        for above in _above(plan, step):
            if above not in paths:
                paths[above] = (above, *paths[key])
                waiting.append(above)
    return found


def _above(plan: Plan, step: Step) -> Iterator[AssetKey]:
    """What the action of a step may follow from: upstreams that move themselves, and what is made together with it."""
    if step.action not in _MOVING:
        return
    for given in step.spec.inputs:
        above = plan.steps.get(given.upstream)
        # Order alone never makes anything run; of a source that only changed, its takers have the reason.
        moves = above is not None and above.action in _MOVING and not above.spec.is_source
        if moves and (given.mode != "order" or step.action is Action.BLOCKED):
            yield given.upstream
    for reason in step.reasons:
        partner = reason.data.get("with")
        if reason.code == "made_together" and isinstance(partner, str) and AssetKey(partner) in plan.steps:
            yield AssetKey(partner)


def deciders(plan: Plan, step: Step) -> tuple[AssetKey, ...]:
    """The upstreams whose new content decides whether a step runs at all; none when it runs in any case."""
    if step.action is not Action.MAYBE:
        return ()
    names: dict[AssetKey, None] = {}
    for given in step.spec.inputs:
        above = plan.steps.get(given.upstream)
        if above is not None and above.action in _MOVING and given.mode != "order":
            names[given.upstream] = None
    return tuple(names)


def steady(plan: Plan, step: Step) -> list[str]:
    """The upstreams that did not change, as phrases."""
    changed = {str(reason.data.get("input", "")) for reason in step.reasons}
    found: list[str] = []
    for key in dict.fromkeys(given.upstream for given in step.spec.inputs if given.mode != "order"):
        above: Step | None = plan.steps.get(key)
        if above is not None and above.action in STAYS and key not in changed:
            found.append(f"{key} ({'unchanged' if above.spec.is_source else str(above.action)})")
    return found


def merged(found: list[Found], keys: Mapping[int, object]) -> list[tuple[Found, list[AssetKey]]]:
    """The reasons that speak of different things, each with the other assets that have it. `keys` tell what of."""
    first: dict[object, tuple[Found, list[AssetKey]]] = {}
    for place, one in enumerate(found):
        known = first.setdefault(keys[place], (one, []))
        if known[0] is not one and one.step.asset not in (known[0].step.asset, *known[1]):
            known[1].append(one.step.asset)
    return list(first.values())
