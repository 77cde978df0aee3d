"""Which versions go: the policy of `gc`, as a function of facts.

A version stays when anything says so: it is current somewhere, something that stays was made from it, it is among the
newest of its asset, or it was made or was current not long ago. Only what nothing speaks for is let go.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from assetflow.model.records import VersionUse

DAY_S = 86_400.0


class Retention(Struct, frozen=True):
    """How long versions stay that are not needed: the newest `keep` of an asset partition, and `keep_days` at least.

    Nothing goes that was made, or was current, less than `grace_s` ago: somebody may still be reading it.
    """

    keep: int = 10
    keep_days: float = 30.0
    grace_s: float = DAY_S


class Verdict(Struct, frozen=True):
    """Which versions go, oldest first, and why each other one stays: current, input, newest or young."""

    going: tuple[VersionUse, ...]
    kept: Mapping[int, str]


def judge(uses: Sequence[VersionUse], policy: Retention, now: float) -> Verdict:
    """The verdict on versions of one catalog, all of them: one that is left out can keep nothing alive.

    What a version was made from stays as long as it, over any number of steps. That is what its current trace, or
    else its newest one, says: a version that many inputs gave does not hold all of these for ever.
    """
    kept: dict[int, str] = {use.version_id: "current" for use in uses if use.is_current}
    young_s = max(policy.grace_s, policy.keep_days * DAY_S)
    for versions in _by_slot(uses).values():
        for place, use in enumerate(versions):
            if place < policy.keep:
                kept.setdefault(use.version_id, "newest")
            elif now - use.needed_at < young_s:
                kept.setdefault(use.version_id, "young")
    for use in uses:
        if use.state == "rejected" and now - use.needed_at < young_s:
            kept[use.version_id] = "young"
    _keep_inputs(uses, kept)
    going = [use for use in uses if use.version_id not in kept and use.state in ("live", "rejected")]
    return Verdict(tuple(sorted(going, key=lambda use: use.version_id)), kept)


def needed(uses: Sequence[VersionUse]) -> frozenset[int]:
    """The versions that are current somewhere, and all that these were made from."""
    kept = {use.version_id: "current" for use in uses if use.is_current}
    _keep_inputs(uses, kept)
    return frozenset(kept)


def _by_slot(uses: Iterable[VersionUse]) -> Mapping[tuple[str, str], list[VersionUse]]:
    """The versions of each asset partition, newest first."""
    slots: defaultdict[tuple[str, str], list[VersionUse]] = defaultdict(list)
    for use in sorted(uses, key=lambda use: -use.number):
        if use.state == "live":
            slots[use.asset, use.partition].append(use)
    return slots


def _keep_inputs(uses: Sequence[VersionUse], kept: dict[int, str]) -> None:
    read = {use.version_id: use.made_from for use in uses}
    waiting = list(kept)
    while waiting:
        for upstream in read.get(waiting.pop(), ()):
            if upstream in read and upstream not in kept:
                kept[upstream] = "input"
                waiting.append(upstream)
