"""Sensors and requests for runs as values: what is looked at, where each look got to, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct, field

QUEUED = "queued"
"""The state of a request that nobody has taken up yet; the others are those of ticks."""

REQUESTED, QUIET, FAILED = "requested", "quiet", "failed"
"""How a look of a sensor ended: with requests, without, or not at all."""


SENSOR, UPDATE, AUTO = "sensor", "update", "auto"
"""Who asks for a run: a sensor, a job with `on_update`, or the round over assets with `auto=`."""


class SensorState(Struct, frozen=True):
    """What is recorded of a sensor: where it got to, how often it looked, and when the last time. UTC seconds."""

    name: str
    cursor: str | None = None
    looks: int = 0
    looked_at: float | None = None
    paused_at: float | None = None
    paused_by: str = ""

    @property
    def is_paused(self) -> bool:
        """Whether somebody paused it."""
        return self.paused_at is not None


class Look(Struct, frozen=True):
    """What came of a look of a sensor. Looks in a row that found nothing, or failed in one way, are one.

    `requests` is how many it recorded, `repeated` how many it left out because their keys were used before.
    """

    sensor: str
    number: int
    state: str
    at: float
    last_at: float
    count: int = 1
    requests: int = 0
    repeated: int = 0
    note: str = ""
    traceback: str = ""


class Requested(Struct, frozen=True):
    """A run that was asked for, and what became of that: queued, claimed, done or failed.

    `tries` counts how often a process took it up; `run_id` is the run that it became, or None when there was nothing to
    do, or it never began.
    """

    request_id: int
    sensor: str
    kind: str
    key: str | None
    env: str
    select: str
    partitions: str | None
    config: Mapping[str, Mapping[str, object]]
    asked_at: float
    state: str = QUEUED
    note: str = ""
    run_id: int | None = None
    tries: int = 0
    claimed_at: float | None = None
    ended_at: float | None = None

    @property
    def cause(self) -> str:
        """What a run says that it is of: `sensor new_files`, `update mart`, `auto`."""
        return self.kind if self.kind == AUTO else f"{self.kind} {self.sensor}"

    @property
    def with_upstream(self) -> bool:
        """Whether what is above the selection is made too: not for assets whose upstreams have to be current."""
        return self.kind != AUTO


class SensorSpec(Struct, frozen=True):
    """A sensor as the manifest and screens know it."""

    name: str
    every_s: float
    timeout_s: float
    env: str | None = None
    description: str = ""
    file: str = ""
    line: int = 0

    def to_json(self) -> list[object]:
        """The sensor as JSON-able values."""
        return [self.name, self.every_s, self.timeout_s, self.env, self.description, self.file, self.line]


class Automation(Struct, frozen=True):
    """What the modules of a project declare beside assets: jobs in the way of `[jobs]`, and sensors.

    `places` says where each job stands, as `file:line`.
    """

    jobs: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    places: Mapping[str, str] = field(default_factory=dict[str, str])
    sensors: tuple[SensorSpec, ...] = ()

    def to_json(self) -> dict[str, object]:
        """All of it as JSON-able values."""
        return {
            "jobs": dict(self.jobs),
            "places": dict(self.places),
            "sensors": [one.to_json() for one in self.sensors],
        }


def automation_from_json(values: Mapping[str, object]) -> Automation:
    """What `Automation.to_json` wrote."""
    found = cast("dict[str, Any]", values)
    return Automation(found["jobs"], found["places"], tuple(SensorSpec(*one) for one in found["sensors"]))
