"""Sensors and requests for runs as values: what is looked at, where each look got to, and what became of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

QUEUED = "queued"
"""The state of a request that nobody has taken up yet; the others are those of ticks."""

REQUESTED, QUIET, FAILED = "requested", "quiet", "failed"
"""How a look of a sensor ended: with requests, without, or not at all."""


@dataclass(frozen=True, slots=True)
class SensorSpec:
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


@dataclass(frozen=True, slots=True)
class Automation:
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
