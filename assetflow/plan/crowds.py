"""Partitions of an asset that are not current and stand alike: one step of a plan speaks for all of them.

A step costs a few kilobytes, and a hundred thousand partitions would be as many steps that say the same. What one of
them says is found as for any other; a crowd is what it stands for.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.spec import AssetSpec
from assetflow.partitions.ordinals import Ordinals
from assetflow.plan.staleness import Action, Decision, Reason, upstream_runs

FEW = 100
"""So many are no crowd: each has a step of its own."""


class Crowd(Struct, frozen=True):
    """Partitions of an asset, by their places, that stand as `like` does, another one of it by its key.

    Without `like` nothing was ever made of any of them.
    """

    asset: AssetKey
    members: Ordinals
    like: str | None = None


def decided_together(names: Iterable[AssetKey], like: Decision | None) -> Decision:
    """What is to be done with a crowd whose example needs `like`; None: nothing was ever made of it.

    `names` are what the crowd waits for. Only what all of them have in common is told: not which inputs changed where
    the definition did, and of single partitions that are read only the asset.
    """
    if like is None:
        return Decision(Action.RUN, (Reason("never_materialized", "never materialized"),))
    waiting = list(names)
    reasons: dict[tuple[str, str], Reason] = {}
    of_all = [one for one in like.reasons if one.code not in _OF_INPUTS]
    for one in of_all or like.reasons:
        upstream, partition = split_slot(AssetKey(str(one.data.get("input") or "")))
        if one.code == "upstream_runs" and waiting:
            reasons[one.code, ""] = upstream_runs(waiting)
        elif partition and one.code in _OF_INPUTS:
            text = _OF_INPUTS[one.code].format(upstream)
            reasons.setdefault((one.code, upstream), Reason(one.code, text, {"input": upstream}, one.is_root))
        else:
            reasons[one.code, one.text] = one
    return Decision(like.action, tuple(reasons.values()))


_OF_INPUTS = {
    "input_changed": "other content of {}",
    "input_added": "reads other partitions of {}",
    "input_removed": "reads other partitions of {}",
}


def without_names(decision: Decision, spec: AssetSpec, crowded: Iterable[AssetKey]) -> Decision:
    """The decision for one that reads crowds, without what comes of the names of crowds not being those of members."""
    assets = {split_slot(name)[0] for name in crowded}
    left = [
        one
        for one in decision.reasons
        if not (one.code in _NAMED and split_slot(AssetKey(str(one.data.get("input"))))[0] in assets)
    ]
    if left or not decision.reasons:
        return Decision(decision.action, tuple(left), decision.key, decision.link)
    waiting = [given.upstream for given in spec.inputs if split_slot(given.upstream)[0] in assets]
    return Decision(Action.MAYBE, (upstream_runs(waiting),))


_NAMED = ("input_added", "input_removed")
