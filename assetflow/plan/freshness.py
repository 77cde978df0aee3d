"""Freshness: whether the data behind an asset is as new as its policy asks. Time is an argument, never read here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from zoneinfo import ZoneInfo

from msgspec import Struct

from assetflow.model.keys import AssetKey
from assetflow.model.policies import Freshness
from assetflow.model.records import Trace
from assetflow.plan.planner import World
from assetflow.plan.staleness import Content, digest_of


class Timeliness(StrEnum):
    """The time axis of an asset's state."""

    ON_TIME = "on_time"
    DUE = "due"
    OVERDUE = "overdue"
    UNKNOWN = "unknown"
    NO_POLICY = "no_policy"


class FreshnessState(Struct, frozen=True):
    """Where an asset stands. Times are UTC seconds.

    `as_of` is the data's own time, `deadline` when the state turns (or turned) overdue, `late_s` by how much it is,
    `because` the source (or asset without inputs) whose data is the oldest behind it.
    """

    timeliness: Timeliness
    as_of: float | None = None
    deadline: float | None = None
    late_s: float = 0.0
    because: AssetKey | None = None


def data_times(world: World) -> dict[AssetKey, tuple[float, AssetKey]]:
    """The data's own time of every asset that has a version, and the asset or source that it comes from.

    A source has the time it was observed with. An asset that said its own time (`Result(as_of=...)`) has that. Any
    other asset is as old as its oldest input: as that input is now if the asset has read just that, else as it was
    when read. An asset without inputs is as old as its last computation.
    """
    found: dict[AssetKey, tuple[float, AssetKey]] = {}
    for key, spec in world.graph.specs.items():
        head = world.head(key)
        if spec.is_source:
            now = world.sources.get(key)
            if now is not None and now.problem is None and now.as_of is not None:
                found[key] = (now.as_of, key)
            continue
        if head is None:
            continue
        trace = head.trace
        inputs = [one for one in spec.inputs if one.mode != "order"]
        if not inputs or given_time(trace):
            found[key] = (trace.started_at if trace.as_of is None else trace.as_of, key)
            continue
        recorded = {(one.parameter, one.upstream): one.digest for one in trace.inputs}
        # Of inputs that are as old as each other, one whose time is known for certain is named.
        times: list[tuple[float, bool, AssetKey]] = []
        for one in inputs:
            content = _content_now(world, one.upstream)
            was_read = content is not None and recorded.get((one.parameter, one.upstream)) == digest_of(one, content)
            if was_read and one.upstream in found:
                time, because = found[one.upstream]
                times.append((time, False, because))
            else:
                times.append((trace.started_at if trace.as_of is None else trace.as_of, True, one.upstream))
        time, _, because = min(times)
        found[key] = (time, because)
    return found


def given_time(trace: Trace) -> bool:
    """Whether the asset said the time of its data itself."""
    return trace.metadata.get("assetflow/as_of") == "given"


def freshness_state(policy: Freshness | None, as_of: tuple[float, AssetKey] | None, now: float) -> FreshnessState:
    """The time axis of one asset at `now` (UTC seconds).

    `within`: the deadline is the data's time plus the limit. `by`: at a tick the data must reach past the tick before,
    so after a tick that was met the next deadline is the next tick; a tick that was not met stays the deadline.
    """
    if policy is None:
        return FreshnessState(Timeliness.NO_POLICY, None if as_of is None else as_of[0])
    if as_of is None:
        return FreshnessState(Timeliness.UNKNOWN)
    time, because = as_of
    deadline, warn = _deadline(policy, time)
    if now > deadline:
        return FreshnessState(Timeliness.OVERDUE, time, deadline, now - deadline, because)
    state = Timeliness.DUE if now > deadline - warn else Timeliness.ON_TIME
    return FreshnessState(state, time, deadline, 0.0, because)


def turns_at(policy: Freshness | None, state: FreshnessState) -> tuple[float, ...]:
    """When the timeliness of an asset is another one, as long as its data is what it is."""
    if policy is None or state.as_of is None:
        return ()
    deadline, warn = _deadline(policy, state.as_of)
    return deadline - warn, deadline


def _deadline(policy: Freshness, as_of: float) -> tuple[float, float]:
    """The deadline of data of this time, and how long before it the state changes to due."""
    if policy.within_s is not None:
        deadline, period = as_of + policy.within_s, policy.within_s
    else:
        deadline, period = _cron_deadline(policy, as_of)
    return deadline, policy.warn_s if policy.warn_s is not None else period / 10


def _cron_deadline(policy: Freshness, as_of: float) -> tuple[float, float]:
    from croniter import croniter

    # Data of time t contains the period before the last tick at or before t; it satisfies the tick after that one, and
    # the deadline is the one after: the first tick whose preceding tick lies after t.
    zone = ZoneInfo(policy.tz)
    start = datetime.fromtimestamp(as_of, UTC).astimezone(zone)
    ticks = croniter(policy.by or "", start)
    # On the night when clocks go back, a fixed hour comes twice; the second time is not another period.
    hours = (policy.by or "").split()[1:2]
    is_fixed = bool(hours) and "*" not in hours[0]

    def next_tick() -> float:
        tick: datetime = ticks.get_next(datetime)
        while is_fixed and tick.fold:
            tick = ticks.get_next(datetime)
        return tick.timestamp()

    first, second = next_tick(), next_tick()
    return second, second - first


def _content_now(world: World, key: AssetKey) -> Content | None:
    head = world.head(key)
    if world.graph.specs[key].is_source:
        now = world.sources.get(key)
        return None if now is None or now.problem is not None else Content(now.token, None, {}, None)
    return None if head is None else Content.of(head.version)


def worst(states: Mapping[AssetKey, FreshnessState]) -> list[AssetKey]:
    """The overdue assets, the latest first."""
    overdue = [key for key, state in states.items() if state.timeliness is Timeliness.OVERDUE]
    return sorted(overdue, key=lambda key: (-states[key].late_s, key))
