from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import count
from zoneinfo import ZoneInfo

import pytest

from assetflow.errors import SourceMissing
from assetflow.model.keys import AssetKey
from assetflow.model.policies import Freshness
from assetflow.model.records import Head, Trace, TraceInput, Version
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.plan.freshness import FreshnessState, Timeliness, data_times, freshness_state, worst
from assetflow.plan.graph import AssetGraph
from assetflow.plan.planner import SourceNow, World

HOUR, DAY = 3600.0, 86400.0
SOURCE = AssetKey("raw")


def utc(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def local(text: str, zone: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


# ------------------------------------------------------------------------------------------------------------- within


@pytest.mark.parametrize(
    ("age_h", "state", "late_h"),
    [
        (0.0, Timeliness.ON_TIME, 0.0),
        (21.6, Timeliness.ON_TIME, 0.0),
        (21.7, Timeliness.DUE, 0.0),
        (24.0, Timeliness.DUE, 0.0),
        (24.5, Timeliness.OVERDUE, 0.5),
        (100.0, Timeliness.OVERDUE, 76.0),
        (-5.0, Timeliness.ON_TIME, 0.0),
    ],
)
def test_within_counts_from_the_data_and_warns_a_tenth_before(age_h: float, state: Timeliness, late_h: float) -> None:
    time = utc("2026-05-01 08:00")
    found = freshness_state(Freshness(within="24h"), (time, SOURCE), time + age_h * HOUR)

    assert found == FreshnessState(state, time, time + 24 * HOUR, late_h * HOUR, SOURCE)


@pytest.mark.parametrize(
    ("age_h", "state"), [(17.9, Timeliness.ON_TIME), (18.1, Timeliness.DUE), (24.1, Timeliness.OVERDUE)]
)
def test_warn_says_how_long_before_the_deadline_an_asset_is_due(age_h: float, state: Timeliness) -> None:
    found = freshness_state(Freshness(within="1d", warn="6h"), (0.0, SOURCE), age_h * HOUR)

    assert found.timeliness is state


def test_warn_of_nothing_goes_from_on_time_to_overdue() -> None:
    policy = Freshness(within="1h", warn=0)

    assert freshness_state(policy, (0.0, SOURCE), HOUR).timeliness is Timeliness.ON_TIME
    assert freshness_state(policy, (0.0, SOURCE), HOUR + 1).timeliness is Timeliness.OVERDUE


def test_without_a_policy_the_time_of_the_data_is_all_there_is_to_say() -> None:
    assert freshness_state(None, (7.0, SOURCE), 1e9) == FreshnessState(Timeliness.NO_POLICY, 7.0)
    assert freshness_state(None, None, 1e9) == FreshnessState(Timeliness.NO_POLICY)


def test_a_policy_for_data_that_is_not_there_is_unknown() -> None:
    assert freshness_state(Freshness(within="1h"), None, 1e9) == FreshnessState(Timeliness.UNKNOWN)
    assert freshness_state(Freshness(by="0 8 * * *"), None, 1e9) == FreshnessState(Timeliness.UNKNOWN)


# ----------------------------------------------------------------------------------------------------------------- by

# At each tick the data has to reach past the tick before, so data is good until the second tick after it.
LONDON, NEW_YORK = "Europe/London", "America/New_York"
DEADLINES = [
    # data of                   zone      by             good until (local)
    ("2026-05-01 07:59", "UTC", "0 8 * * *", "2026-05-02 08:00"),
    ("2026-05-01 08:00", "UTC", "0 8 * * *", "2026-05-03 08:00"),
    ("2026-05-01 08:01", "UTC", "0 8 * * *", "2026-05-03 08:00"),
    ("2026-12-31 23:00", "UTC", "0 8 * * *", "2027-01-02 08:00"),
    # clocks go forward: Sunday, 29 March in London, 8 March in New York
    ("2026-03-27 12:00", LONDON, "0 8 * * *", "2026-03-29 08:00"),
    ("2026-03-28 12:00", LONDON, "0 8 * * *", "2026-03-30 08:00"),
    ("2026-03-29 00:30", LONDON, "0 8 * * *", "2026-03-30 08:00"),
    ("2026-03-29 12:00", LONDON, "0 8 * * *", "2026-03-31 08:00"),
    ("2026-03-06 12:00", NEW_YORK, "0 8 * * *", "2026-03-08 08:00"),
    ("2026-03-07 12:00", NEW_YORK, "0 8 * * *", "2026-03-09 08:00"),
    ("2026-03-08 12:00", NEW_YORK, "0 8 * * *", "2026-03-10 08:00"),
    # clocks go back: Sunday, 25 October in London, 1 November in New York
    ("2026-10-23 12:00", LONDON, "0 8 * * *", "2026-10-25 08:00"),
    ("2026-10-24 12:00", LONDON, "0 8 * * *", "2026-10-26 08:00"),
    ("2026-10-25 12:00", LONDON, "0 8 * * *", "2026-10-27 08:00"),
    ("2026-10-30 12:00", NEW_YORK, "0 8 * * *", "2026-11-01 08:00"),
    ("2026-10-31 12:00", NEW_YORK, "0 8 * * *", "2026-11-02 08:00"),
    ("2026-11-01 12:00", NEW_YORK, "0 8 * * *", "2026-11-03 08:00"),
    # a time that does not exist that day counts from the first one that does
    ("2026-03-27 12:00", LONDON, "30 1 * * *", "2026-03-29 02:00"),
    ("2026-03-06 12:00", NEW_YORK, "30 2 * * *", "2026-03-08 03:00"),
    # a time that comes twice that day counts once
    ("2026-10-23 12:00", LONDON, "30 1 * * *", "2026-10-25 01:30"),
    ("2026-10-24 12:00", LONDON, "30 1 * * *", "2026-10-26 01:30"),
    ("2026-10-31 12:00", NEW_YORK, "30 1 * * *", "2026-11-02 01:30"),
    # weeks: Mondays at 9
    ("2026-05-01 12:00", LONDON, "0 9 * * 1", "2026-05-11 09:00"),
    ("2026-05-04 08:59", LONDON, "0 9 * * 1", "2026-05-11 09:00"),
    ("2026-05-04 09:00", LONDON, "0 9 * * 1", "2026-05-18 09:00"),
    ("2026-03-24 12:00", LONDON, "0 9 * * 1", "2026-04-06 09:00"),
    ("2026-10-20 12:00", LONDON, "0 9 * * 1", "2026-11-02 09:00"),
    # months, and every hour
    ("2026-01-15 12:00", NEW_YORK, "0 0 1 * *", "2026-03-01 00:00"),
    ("2026-05-01 12:10", NEW_YORK, "0 * * * *", "2026-05-01 14:00"),
]


@pytest.mark.parametrize(("as_of", "zone", "by", "until"), DEADLINES)
def test_data_is_good_until_the_second_tick_after_it(as_of: str, zone: str, by: str, until: str) -> None:
    time, deadline = local(as_of, zone), local(until, zone)
    policy = Freshness(by=by, tz=zone, warn=0)

    assert freshness_state(policy, (time, SOURCE), deadline) == FreshnessState(
        Timeliness.ON_TIME, time, deadline, 0.0, SOURCE
    )
    assert freshness_state(policy, (time, SOURCE), deadline + 60) == FreshnessState(
        Timeliness.OVERDUE, time, deadline, 60.0, SOURCE
    )


def first_minute(day: date, hour: int, minute: int, zone: ZoneInfo) -> float:
    """The first instant of a local day at which clocks show this time or a later one."""
    start = datetime(day.year, day.month, day.day, tzinfo=zone).timestamp()
    for past in count(0, 60):
        shown = datetime.fromtimestamp(start + past, zone)
        if (shown.hour, shown.minute) >= (hour, minute):
            return start + past
    raise AssertionError


@pytest.mark.parametrize("zone", [LONDON, NEW_YORK])
@pytest.mark.parametrize("changes", ["2026-03-08", "2026-03-29", "2026-10-25", "2026-11-01"])
@pytest.mark.parametrize(("hour", "minute"), [(8, 0), (1, 30), (2, 30), (0, 0)])
@pytest.mark.parametrize("is_weekly", [False, True], ids=["daily", "weekly"])
def test_deadlines_around_a_change_of_clocks_agree_with_looking_at_the_clock_every_minute(
    zone: str, changes: str, hour: int, minute: int, is_weekly: bool
) -> None:
    here, centre = ZoneInfo(zone), date.fromisoformat(changes)
    days = [centre + timedelta(days=n) for n in range(-10, 19)]
    ticks = [first_minute(day, hour, minute, here) for day in days if not is_weekly or day.weekday() == 6]
    policy = Freshness(by=f"{minute} {hour} * * {0 if is_weekly else '*'}", tz=zone)
    start = datetime(centre.year, centre.month, centre.day, tzinfo=UTC).timestamp() - 2 * DAY

    for step in range(40):
        time = start + step * 149 * 60
        later = [tick for tick in ticks if tick > time]
        state = freshness_state(policy, (time, SOURCE), time)

        assert state.deadline == later[1]


def test_every_hour_is_every_hour_also_when_clocks_go_back() -> None:
    # 1:00 is shown twice in London on 25 October 2026: at 0:00 and at 1:00 UTC.
    policy = Freshness(by="0 * * * *", tz=LONDON)
    deadlines = [freshness_state(policy, (utc(f"2026-10-24 {hour}:30"), SOURCE), 0.0).deadline for hour in (22, 23)]

    assert deadlines == [utc("2026-10-25 00:00"), utc("2026-10-25 01:00")]


def test_the_warning_before_a_tick_is_a_tenth_of_the_period_that_ends_there() -> None:
    time = local("2026-03-28 12:00", LONDON)  # the period from the 29th, 8:00 to the 30th, 8:00 has 24 hours
    policy = Freshness(by="0 8 * * *", tz=LONDON)
    deadline = local("2026-03-30 08:00", LONDON)

    assert freshness_state(policy, (time, SOURCE), deadline - 2.5 * HOUR).timeliness is Timeliness.ON_TIME
    assert freshness_state(policy, (time, SOURCE), deadline - 2.3 * HOUR).timeliness is Timeliness.DUE


def test_a_tick_that_was_missed_stays_the_deadline() -> None:
    policy, time = Freshness(by="0 8 * * *"), utc("2026-05-01 12:00")
    missed = utc("2026-05-03 08:00")
    state = freshness_state(policy, (time, SOURCE), utc("2026-05-20 08:00"))

    assert (state.timeliness, state.deadline, state.late_s) == (Timeliness.OVERDUE, missed, 17 * DAY)


def test_the_worst_are_the_overdue_the_latest_first() -> None:
    late = {"b": 5.0, "a": 5.0, "c": 9.0}
    states = {AssetKey(key): FreshnessState(Timeliness.OVERDUE, 0.0, 1.0, by) for key, by in late.items()}
    states[AssetKey("fine")] = FreshnessState(Timeliness.DUE)

    assert worst(states) == ["c", "a", "b"]


# ------------------------------------------------------------------------------------------------------ data times


def asset(key: str, *inputs: str | InputSpec, kind: str = "asset") -> AssetSpec:
    specs = tuple(InputSpec(one, AssetKey(one)) if isinstance(one, str) else one for one in inputs)
    return AssetSpec(
        key=AssetKey(key), kind=kind, node=key, inputs=specs, group="", owners=(), tags={}, description="",
        io="parquet", file="a.py", line=1,
    )  # fmt: skip


def head(key: str, content: str, as_of: float | None, *read: tuple[str, str], **metadata: object) -> Head:
    """The head of an asset that was computed at 5000 from these contents of its inputs."""
    inputs = tuple(TraceInput(upstream, AssetKey(upstream), "value", digest, 1) for upstream, digest in read)
    name = AssetKey(key)
    version = Version(1, name, "", 1, content, "parquet", "", 1, 1, {}, {}, {}, 0.0)
    trace = Trace(1, name, "", "k", "", {}, {}, inputs, 1, 1, content, 1, "run", 5000.0, 5001.0, as_of, metadata)
    return Head("dev", trace, version, 1, 1, 5001.0)


def world(specs: list[AssetSpec], heads: list[Head], **sources: SourceNow) -> World:
    found = {(one.trace.asset, ""): one for one in heads}
    return World(AssetGraph(specs), "dev", found, {AssetKey(k): now for k, now in sources.items()}, lambda keys: {})


def source(key: str) -> AssetSpec:
    return asset(key, kind="source")


def test_an_asset_is_as_old_as_its_oldest_source_through_every_hop() -> None:
    specs = [
        source("old"),
        source("new"),
        asset("stage", "old"),
        asset("rates", "new"),
        asset("report", "stage", "rates"),
    ]
    heads = [
        head("stage", "s1", 100.0, ("old", "o1")),
        head("rates", "r1", 900.0, ("new", "n1")),
        head("report", "x1", 100.0, ("stage", "s1"), ("rates", "r1")),
    ]
    times = data_times(world(specs, heads, old=SourceNow("o1", 100.0), new=SourceNow("n1", 900.0)))

    assert times == {
        "old": (100.0, "old"),
        "new": (900.0, "new"),
        "stage": (100.0, "old"),
        "rates": (900.0, "new"),
        "report": (100.0, "old"),
    }
    assert freshness_state(Freshness(within=60), times[AssetKey("report")], 200.0).because == "old"


def test_a_source_seen_again_unchanged_makes_everything_behind_it_younger() -> None:
    # The data was checked at 900 and is still what was read: nothing needs to run for the report to be in time again.
    specs = [source("raw"), asset("stage", "raw"), asset("report", "stage")]
    heads = [head("stage", "s1", 100.0, ("raw", "t1")), head("report", "r1", 100.0, ("stage", "s1"))]

    assert data_times(world(specs, heads, raw=SourceNow("t1", 900.0)))[AssetKey("report")] == (900.0, "raw")


def test_a_source_that_changed_leaves_the_asset_as_old_as_what_it_read() -> None:
    specs = [source("raw"), asset("stage", "raw"), asset("report", "stage")]
    heads = [head("stage", "s1", 100.0, ("raw", "t1")), head("report", "r1", 100.0, ("stage", "s1"))]
    times = data_times(world(specs, heads, raw=SourceNow("t2", 900.0)))

    assert times == {"raw": (900.0, "raw"), "stage": (100.0, "raw"), "report": (100.0, "raw")}


def test_an_upstream_that_was_computed_anew_leaves_the_asset_as_old_as_what_it_read() -> None:
    specs = [source("raw"), asset("stage", "raw"), asset("report", "stage")]
    heads = [head("stage", "s2", 900.0, ("raw", "t2")), head("report", "r1", 100.0, ("stage", "s1"))]
    times = data_times(world(specs, heads, raw=SourceNow("t2", 900.0)))

    assert times[AssetKey("stage")] == (900.0, "raw")
    assert times[AssetKey("report")] == (100.0, "stage")


def test_the_input_that_is_known_to_be_the_oldest_is_named() -> None:
    # When `b_new` changed, the time of what was read of it is not known any more, but `z_old` is as old as the asset.
    specs = [source("z_old"), source("b_new"), asset("report", "b_new", "z_old")]
    heads = [head("report", "r1", 100.0, ("b_new", "n1"), ("z_old", "o1"))]
    times = data_times(world(specs, heads, z_old=SourceNow("o1", 100.0), b_new=SourceNow("n2", 900.0)))

    assert times[AssetKey("report")] == (100.0, "z_old")


def test_an_asset_without_inputs_is_as_old_as_its_computation() -> None:
    specs = [asset("seed"), asset("after", InputSpec("", AssetKey("seed"), "order"))]
    times = data_times(world(specs, [head("seed", "c", None), head("after", "d", 70.0)]))

    assert times == {"seed": (5000.0, "seed"), "after": (70.0, "after")}


def test_a_time_that_the_function_gave_counts_more_than_its_inputs() -> None:
    specs = [source("raw"), asset("stage", "raw"), asset("report", "stage")]
    heads = [
        head("stage", "s1", 42.0, ("raw", "t1"), **{"assetflow/as_of": "given"}),
        head("report", "r1", 42.0, ("stage", "s1")),
    ]
    times = data_times(world(specs, heads, raw=SourceNow("t1", 900.0)))

    assert times[AssetKey("stage")] == (42.0, "stage")
    assert times[AssetKey("report")] == (42.0, "stage"), "and what reads it is as old as that"


def test_what_is_not_there_has_no_time() -> None:
    specs = [source("gone"), source("timeless"), asset("missing"), asset("report", "gone", "timeless")]
    gone = SourceNow("", problem=SourceMissing("gone"))
    times = data_times(
        world(
            specs,
            [head("report", "r1", 100.0, ("gone", "g1"), ("timeless", "t1"))],
            gone=gone,
            timeless=SourceNow("t1"),
        )
    )

    assert times == {"report": (100.0, "gone")}, "the report is as old as when it was made"
