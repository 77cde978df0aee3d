"""Why an asset is late: what above it has no newer data, or holds back the data that there is.

Lateness is of the time axis and its cause mostly of the content axis; here the two meet, and stay two.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from enum import StrEnum

from msgspec import Struct

from assetflow.model.keys import AssetKey, arguments_of, split_slot
from assetflow.model.records import Attempt, Head
from assetflow.model.spec import AssetSpec
from assetflow.plan.freshness import FreshnessState, Timeliness, freshness_state, given_time
from assetflow.plan.planner import Step, World

_LAST_GOOD_STATES = frozenset(["current", "pinned", "undecided", "source"])


class LateKind(StrEnum):
    """What can make an asset late, in the order in which it is looked for."""

    UNAVAILABLE = "unavailable"
    FAILED = "failed"
    BLOCKED = "blocked"
    RUNNING = "running"
    STALE = "stale"
    MISSING = "missing"
    SOURCE = "source"
    UNASKED = "unasked"
    PINNED = "pinned"
    MADE = "made"


_RANKS = {kind: place for place, kind in enumerate(LateKind)}
_RANKS[LateKind.MISSING] = _RANKS[LateKind.STALE]


class LateCause(Struct, frozen=True):
    """What makes an asset late: the first thing above it (or itself) without which it would be on time.

    kind: `source` has no newer data; `unasked` had none when a run asked it last; `unavailable` is a source that is not
    there; `failed`, `blocked`, `running`, `stale` and `missing` hold back newer data that there is; `pinned` stays at
    old data; `made` is an asset that makes its data itself, and nothing makes it run. `run` is the run that failed or
    goes on; `note` is what more is known.
    """

    kind: LateKind
    asset: AssetKey
    run: int | None = None
    note: str = ""

    @property
    def words(self) -> str:
        """`orders failed (run #41)`, `raw_orders has no newer data`."""
        run = "" if self.run is None else f" (run #{self.run})"
        note = f" ({self.note})" if self.note else ""
        match self.kind:
            case LateKind.SOURCE:
                return f"{self.asset} has no newer data"
            case LateKind.UNASKED:
                return f"{self.asset} {self.note or 'had no newer data when it was last asked'}"
            case LateKind.UNAVAILABLE:
                return f"{self.asset} is not there{note}"
            case LateKind.FAILED:
                return f"{self.asset} {self.note or 'failed'}{run}"
            case LateKind.RUNNING:
                return f"{self.asset} is running{run}"
            case LateKind.PINNED:
                return f"{self.asset} is pinned at older data"
            case LateKind.MADE:
                return f"{self.asset} was not made since, and nothing makes it run"
            case LateKind.MISSING:
                return f"{self.asset} was never made"
            case LateKind.BLOCKED | LateKind.STALE:
                return f"{self.asset} is {self.kind}{note}"

    def to_json(self) -> dict[str, object]:
        """The cause as JSON-able values."""
        return {"kind": str(self.kind), "asset": self.asset, "run": self.run, "text": self.words}


class LateRoot(Struct, frozen=True):
    """One cause with all the late assets that it explains."""

    cause: LateCause
    assets: tuple[AssetKey, ...]

    @property
    def fix(self) -> str:
        """What to do about it; a command, where one does it."""
        key, run = split_slot(self.cause.asset)[0], self.cause.run
        name, words = shlex.quote(self.cause.asset), shlex.join(arguments_of(self.cause.asset))
        is_alone = self.assets == (key,) and self.cause.kind not in (LateKind.SOURCE, LateKind.UNASKED)
        below = f"assetflow materialize {key}" + ("" if is_alone else "+")
        match self.cause.kind:
            case LateKind.SOURCE:
                return f"put newer data there, then {below}"
            case LateKind.UNAVAILABLE | LateKind.BLOCKED:
                return f"assetflow show {name}"
            case LateKind.FAILED:
                return f"assetflow logs {name}, then {below}"
            case LateKind.RUNNING:
                return f"assetflow logs {name if run is None else run} -f"
            case LateKind.PINNED:
                return f"assetflow unpin {name}, then {below}"
            case LateKind.MADE:
                return f"assetflow materialize {words} --force"
            case LateKind.UNASKED | LateKind.STALE | LateKind.MISSING:
                return below

    def to_json(self) -> dict[str, object]:
        """The root as JSON-able values."""
        return {**self.cause.to_json(), "assets": list(self.assets), "explains": len(self.assets), "fix": self.fix}


def late_causes(
    world: World,
    steps: Mapping[AssetKey, Step],
    states: Mapping[AssetKey, str],
    attempts: Mapping[AssetKey, Attempt],
    fresh: Mapping[AssetKey, FreshnessState],
    now: float,
) -> dict[AssetKey, LateCause]:
    """The cause of each asset that is overdue, or that has a deadline and no data. Linear in the edges.

    An asset that would be late still if all that can be built were built now has the cause at the end of its oldest
    data. Any other has it where newer data is held back: what cannot be built first, then what runs, then what has not
    been run.
    """
    late = [key for key, state in fresh.items() if state.timeliness in (Timeliness.OVERDUE, Timeliness.UNKNOWN)]
    if not late:
        return {}
    could, oldest = _at_best(world, states, fresh, now)
    held = _held_back(world, steps, states, attempts)
    found: dict[AssetKey, LateCause] = {}
    for key in late:
        spec, hold = world.graph.specs[key], held.get(key)
        # The oldest data is the cause where building does not help, and where nothing waits to be built.
        best = freshness_state(spec.freshness, (could[key], key), now).timeliness
        is_helped = hold is not None and best is not Timeliness.OVERDUE
        found[key] = hold if hold is not None and is_helped else oldest[key]
    return found


def late_roots(causes: Mapping[AssetKey, LateCause]) -> tuple[LateRoot, ...]:
    """The causes with what each explains, those that explain most first."""
    found: dict[LateCause, list[AssetKey]] = {}
    for key, cause in causes.items():
        found.setdefault(cause, []).append(key)
    roots = [LateRoot(cause, tuple(keys)) for cause, keys in found.items()]
    return tuple(sorted(roots, key=lambda root: (-len(root.assets), _RANKS[root.cause.kind], root.cause.asset)))


def _at_best(
    world: World, states: Mapping[AssetKey, str], fresh: Mapping[AssetKey, FreshnessState], now: float
) -> tuple[dict[AssetKey, float], dict[AssetKey, LateCause]]:
    """The data's time of each asset if all that can be built were built now, and where the oldest of it ends."""
    could: dict[AssetKey, float] = {}
    oldest: dict[AssetKey, LateCause] = {}
    for key, spec in world.graph.specs.items():
        as_of = fresh[key].as_of if key in fresh else None
        is_settled = states.get(key) in _LAST_GOOD_STATES
        inputs = [one.upstream for one in spec.inputs if one.mode != "order"]
        head = world.head(key)
        ends = not inputs or (head is not None and given_time(head.trace)) or states.get(key) == "pinned"
        deciding = None if ends else min(inputs, key=lambda one: (could[one], one))
        if is_settled and as_of is not None:
            could[key] = as_of
        else:
            could[key] = now if deciding is None else could[deciding]
        oldest[key] = _end(spec, states, head) if deciding is None else oldest[deciding]
    return could, oldest


def _end(spec: AssetSpec, states: Mapping[AssetKey, str], head: Head | None) -> LateCause:
    if spec.is_source and spec.source is not None and spec.source.has_token:
        return LateCause(LateKind.UNASKED, spec.key, None, "was never asked" if head is None else "")
    if spec.is_source:
        return LateCause(LateKind.SOURCE, spec.key)
    return LateCause(LateKind.PINNED if states.get(spec.key) == "pinned" else LateKind.MADE, spec.key)


def _held_back(
    world: World, steps: Mapping[AssetKey, Step], states: Mapping[AssetKey, str], attempts: Mapping[AssetKey, Attempt]
) -> dict[AssetKey, LateCause]:
    """What each asset that is not current waits for, itself included: the first that has to be seen to."""
    found: dict[AssetKey, LateCause] = {}
    for key, spec in world.graph.specs.items():
        if states.get(key) in _LAST_GOOD_STATES:
            continue
        above = [
            found[one.upstream]
            for one in spec.inputs
            if one.upstream in found and (one.mode != "order" or _RANKS[found[one.upstream].kind] < 3)
        ]
        own = _own(key, states.get(key, ""), steps.get(key), attempts.get(key))
        # `min` keeps the first of equals: what is above comes before what waits for it.
        found[key] = min([*above, *own], key=lambda one: _RANKS[one.kind], default=LateCause(LateKind.STALE, key))
    return found


def _own(key: AssetKey, state: str, step: Step | None, attempt: Attempt | None) -> Iterable[LateCause]:
    """What an asset has against itself, whatever is above it."""
    run = None if attempt is None else attempt.run_id
    reasons = [] if step is None else [reason for reason in step.reasons if reason.code != "failed_last"]
    why = reasons[0].text if reasons else ""
    match state:
        case "failed":
            words = {"rejected": "was rejected by a check", "died": "died"}
            yield LateCause(LateKind.FAILED, key, run, words.get("" if attempt is None else attempt.state, ""))
        case "running":
            yield LateCause(LateKind.RUNNING, key, run)
        case "blocked" if step is not None and step.spec.is_source:
            yield LateCause(LateKind.UNAVAILABLE, key)
        case "blocked" if any(reason.is_root for reason in reasons) and step is not None and step.pin is not None:
            yield LateCause(LateKind.BLOCKED, key, None, why)
        case "stale":
            yield LateCause(LateKind.STALE, key, None, why)
        case "reusable":
            yield LateCause(LateKind.STALE, key, None, "an earlier result fits again")
        case "missing":
            yield LateCause(LateKind.MISSING, key)
        case _:
            return
