"""Jobs and their ticks as values: what is to be run when, and what became of each time that it was due."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from msgspec import Struct, field

from assetflow.model.automation import OnUpdate
from assetflow.model.sensors import Requested

LATEST, ALL, NONE = "latest", "all", "none"
PAUSED = "paused"
"""What is recorded in the place of a policy when ticks pass while somebody has the schedule paused."""

CLAIMED, DONE, FAILED, MISSED = "claimed", "done", "failed", "missed"
"""The states of a tick. One that is claimed is waiting or running; the others are final."""

MOST_RUNS = 16
"""So many ticks of a job may be taken up at once: each is a process."""

INTERRUPTED = "it was interrupted"
"""The note of a tick that somebody stopped."""


class Job(Struct, frozen=True):
    """A selection with a schedule, as the project file or a module has it. `catchup` is latest, all or none.

    So many of its ticks as `max_active_runs` are taken up at once; their runs take turns.
    `cron` is empty for a job that only `on_update` makes due. `is_function`: a function says what is run at a tick.
    """

    name: str
    cron: str = ""
    tz: str = "UTC"
    select: str = ""
    catchup: str = LATEST
    config: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    env: str | None = None
    enabled: bool = True
    partitions: str | None = None
    on_update: tuple[OnUpdate, ...] = ()
    is_function: bool = False
    max_active_runs: int = 1


class Schedule(Struct, frozen=True):
    """What is recorded of the schedule of a job. Instants are whole UTC seconds.

    `since` is when it was first seen with this expression; ticks up to `mark` are accounted for, and none before it is
    ever due again. `is_off` says that the project had no such job, or not enabled, when that was last looked at.
    """

    job: str
    cron: str
    tz: str
    since: float
    mark: int
    is_off: bool = False
    paused_at: float | None = None
    paused_by: str = ""

    @property
    def is_paused(self) -> bool:
        """Whether somebody paused it."""
        return self.paused_at is not None


class Tick(Struct, frozen=True):
    """One instant at which a job was due, and what became of it.

    Ticks in a row that were missed for one reason are one: `last` is the last of them, `count` how many they are.
    `policy` is the one that was applied. `tries` counts how often a process took it up; `run_id` is the run that it
    became, or None when there was nothing to do, or it never began.
    """

    job: str
    scheduled: int
    state: str
    policy: str
    last: int
    count: int = 1
    note: str = ""
    run_id: int | None = None
    tries: int = 0
    claimed_at: float | None = None
    ended_at: float | None = None

    @property
    def cause(self) -> str:
        """What a run says that it is of: `schedule nightly`."""
        return f"schedule {self.job}"


Occasion = Tick | Requested
"""What a run is of, when nobody called for it: a tick of a job, or what a sensor asked for."""


def jobs_of(settings: Mapping[str, Mapping[str, object]]) -> tuple[Job, ...]:
    """The jobs of the table `[jobs]` of the settings, by name."""
    found: list[Job] = []
    for name, values in sorted(settings.items()):
        known = dict(cast("Mapping[str, Any]", values))  # the schema has checked what they are
        updates = cast("list[dict[str, Any]]", known.pop("on_update", ()))
        known["on_update"] = tuple(
            OnUpdate(tuple(one["assets"]), one.get("project") or "", one.get("env")) for one in updates
        )
        found.append(Job(name, **known))
    return tuple(found)
