"""What a backfill is about as values: the partitions of each asset with their states, cut into runs.

What is current already is in no chunk; and what has become current by the time of its chunk is not made again, as a run
looks for itself. So a backfill needs no list of what is done to go on where it ended.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import chain
from typing import Any, cast

from msgspec import Struct, field

from assetflow.errors import UsageError
from assetflow.model.backfills import NEWEST, Backfill
from assetflow.model.keys import AssetKey, slot, split_slot
from assetflow.model.spec import AssetSpec
from assetflow.partitions.definition import Definition
from assetflow.partitions.ordinals import Ordinals
from assetflow.plan.estimate import Estimate
from assetflow.plan.planner import Plan, Step
from assetflow.plan.slots import asked_for, names_state
from assetflow.plan.staleness import Action
from assetflow.views import content_word

LEAST, MOST, PARTS = 50, 1000, 20
"""A chunk of the automatic size is a twentieth of the whole, within these bounds."""

_STAYS = ("current", "pinned", "undecided")


class Strip(Struct, frozen=True):
    """The partitions of one asset that were asked for, in order, with the state of each.

    states: current, stale, maybe, reusable, missing, failed (when it was last tried), blocked, pinned,
    undecided.
    """

    asset: AssetKey
    definition: Definition
    ordinals: Ordinals
    states: tuple[str, ...]

    @property
    def counts(self) -> Mapping[str, int]:
        """How many partitions are in each state."""
        return Counter(self.states)

    @property
    def pending(self) -> Ordinals:
        """Those that are not current."""
        pairs = zip(self.ordinals, self.states, strict=True)
        return Ordinals.of(*(ordinal for ordinal, state in pairs if state not in _STAYS))


class Chunk(Struct, frozen=True):
    """What one run of a backfill makes: these partitions, as a text, of these assets."""

    assets: tuple[AssetKey, ...]
    partitions: str
    slots: tuple[AssetKey, ...]


class Group(Struct, frozen=True):
    """Assets of which the same partitions were asked for, and which are made together."""

    assets: tuple[AssetKey, ...]
    partitions: str


class BackfillPlan(Struct, frozen=True):
    """What a backfill would do. Nothing has been done yet.

    `partitions` is what was asked for, `groups` what that is; `size` is how many partitions a run makes of each asset.
    `beside` counts partitions of other assets that are made along with them; `last` are assets without partitions that
    are made when all is done. `resumes` is the backfill that this is what is left of.
    """

    env: str
    selection: str
    partitions: str
    order: str
    chunk: int | None
    size: int
    strips: tuple[Strip, ...]
    groups: tuple[Group, ...]
    chunks: tuple[Chunk, ...]
    beside: Mapping[AssetKey, int]
    last: tuple[AssetKey, ...]
    estimate: tuple[Estimate, ...] = ()
    resumes: Backfill | None = None

    @property
    def total(self) -> int:
        """How many partitions were asked for, of all assets together."""
        return sum(strip.ordinals.count for strip in self.strips)

    @property
    def planned(self) -> int:
        """How many of them are not current."""
        return sum(strip.pending.count for strip in self.strips)

    @property
    def work_s(self) -> float:
        """How long they take one after the other, from how long others took; 0 when nothing is known."""
        return sum(one.work_s for one in self.estimate)

    @property
    def wall_s(self) -> float:
        """How long they take on so many workers."""
        return sum(one.wall_s for one in self.estimate)

    def work(self) -> dict[str, object]:
        """What has to be known to go on with it."""
        return {
            "groups": [{"assets": list(one.assets), "partitions": one.partitions} for one in self.groups],
            "last": list(self.last),
            "order": self.order,
            "chunk": self.chunk,
        }

    def to_json(self) -> dict[str, object]:
        """The plan as JSON-able values."""
        return {
            "env": self.env,
            "selection": self.selection,
            "partitions": self.partitions,
            "resumes": None if self.resumes is None else self.resumes.backfill_id,
            "order": self.order,
            "chunk": self.size,
            "total": self.total,
            "planned": self.planned,
            "assets": [
                {
                    "asset": strip.asset,
                    "partitions": strip.definition.text(strip.ordinals),
                    "pending": strip.definition.text(strip.pending),
                    "states": dict(strip.counts),
                }
                for strip in self.strips
            ],
            "chunks": [{"assets": list(one.assets), "partitions": one.partitions} for one in self.chunks],
            "beside": dict(self.beside),
            "last": list(self.last),
            "estimate": {"work_seconds": self.work_s, "wall_seconds": self.wall_s},
        }


class Draft(Struct):
    """Plans of runs put together into the plan of a backfill."""

    specs: Mapping[AssetKey, AssetSpec]
    strips: dict[AssetKey, Strip] = field(default_factory=dict[AssetKey, Strip])
    beside: Counter[AssetKey] = field(default_factory=Counter[AssetKey])
    estimate: list[Estimate] = field(default_factory=list[Estimate])

    def add(self, plan: Plan, assets: Sequence[AssetKey], now: datetime) -> None:
        """Take over what a plan says of the partitions of these assets that it is about.

        Those of which it has no step are current.
        """
        named = asked_for(plan.partitions, now)
        found = {asset: own for asset in assets if (own := self.specs[asset].partitions) is not None}
        states: dict[AssetKey, dict[int, str]] = {}
        for asset, definition in found.items():
            existing = definition.keys_until(now)
            with suppress(UsageError):  # nothing of this asset was named, and something of another one
                states[asset] = dict.fromkeys(named(asset, definition, existing) & existing, "current")
        for name in plan.targets:
            asset, partition = split_slot(name)
            if plan.steps[name].action is Action.CURRENT and names_state(plan.partitions):
                continue  # it was looked at to see that it is not stale
            step = plan.steps[name]
            own = (found[asset].ordinal(partition),) if step.crowd is None else step.crowd.members
            states[asset].update(dict.fromkeys(own, _state(step)))
        for asset, own in states.items():
            if not own and names_state(plan.partitions):
                continue  # it has none that are so
            ordered = tuple(state for _, state in sorted(own.items()))
            self.strips[asset] = Strip(asset, found[asset], Ordinals.of(*own), ordered)
        wanted = frozenset(plan.targets)
        planned = (*plan.run, *plan.maybe, *plan.link)
        for step in planned:
            if step.partition and step.asset not in wanted:
                self.beside[split_slot(step.asset)[0]] += step.count
        if planned:
            self.estimate.append(plan.estimate)

    def groups(self) -> tuple[Group, ...]:
        """The assets by what was asked of them."""
        found: dict[tuple[str, Ordinals], list[Strip]] = {}
        for strip in self.strips.values():
            kind = json.dumps(strip.definition.to_json(), sort_keys=True, default=str)
            found.setdefault((kind, strip.ordinals), []).append(strip)
        return tuple(
            Group(tuple(one.asset for one in strips), strips[0].definition.text(strips[0].ordinals))
            for strips in found.values()
        )

    def chunks(self, groups: Iterable[Group], order: str, size: int) -> Iterator[Chunk]:
        """The runs: groups in the order of the graph, the partitions of each from one end to the other."""
        for group in groups:
            strips = [self.strips[asset] for asset in group.assets if asset in self.strips]
            own = {strip.asset: strip.pending for strip in strips}
            pending = Ordinals.joined(chain.from_iterable(one.spans for one in own.values()))
            ordinals = list(reversed(pending) if order == NEWEST else pending)
            for start in range(0, len(ordinals), size):
                yield _chunk(strips[0].definition, own, Ordinals.of(*ordinals[start : start + size]))


def size_of(chunk: int | None, strips: Iterable[Strip]) -> int:
    """How many partitions a run makes of each asset: what was asked for, or what suits so many."""
    if chunk is not None:
        return chunk
    most = max((strip.pending.count for strip in strips), default=0)
    return min(MOST, max(LEAST, -(-most // PARTS)))


def groups_of(work: Mapping[str, Any]) -> tuple[Group, ...]:
    """The groups that `BackfillPlan.work` wrote down."""
    found = cast("Sequence[Mapping[str, Any]]", work["groups"])
    return tuple(Group(tuple(AssetKey(one) for one in group["assets"]), group["partitions"]) for group in found)


def _chunk(definition: Definition, pending: Mapping[AssetKey, Ordinals], part: Ordinals) -> Chunk:
    mine = {asset: here for asset, own in pending.items() if (here := own & part)}
    slots = (slot(asset, key) for asset, here in mine.items() for key in definition.keys(here))
    return Chunk(tuple(mine), definition.text(part), tuple(slots))


def _state(step: Step) -> str:
    return "failed" if any(reason.code == "failed_last" for reason in step.reasons) else content_word(step)
