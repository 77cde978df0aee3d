"""What people write about when things run: `job`, `@schedule`, `on_update`, `@sensor`, and what these hand over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

from msgspec import Struct, field

from assetflow.model.declare import AssetLike, caller_place, key_text, place_of
from assetflow.model.durations import seconds

if TYPE_CHECKING:
    from os import PathLike

F = TypeVar("F", bound=Callable[..., object])

ATTRIBUTE = "__assetflow_automation__"
"""The attribute of a function that holds what `@schedule` and `@sensor` say about it."""

TICK = "tick"
"""`partitions="tick"`: of each asset the partition that was the newest one at the instant of the tick."""

Config = Mapping[str, Mapping[str, object]]


class RunRequest(Struct, frozen=True):
    """What a sensor, or a `@schedule` function, wants to be run: a selection, maybe only some partitions of it.

    `partitions` is as after `-p`: `"2026-01-05"`, `"2026-01-01..2026-01-31"`, `"latest"`. `config` is as in `[config]`.
    Of a sensor, a `key` says which request this is: one with a key that the sensor has used before is left out.
    """

    select: str = ""
    partitions: str | None = None
    config: Config = field(default_factory=dict[str, Mapping[str, object]])
    key: str | None = None


class SensorContext(Struct):
    """What a sensor gets: the `cursor` that it left the last time, to be set to where it is now.

    What it is set to is recorded together with the requests, all or nothing; when the sensor raises, it stays where it
    was. It is None before the first time. `now` is the time of this look in UTC seconds, `root` the folder of the
    project.
    """

    cursor: str | None = None
    now: float = 0.0
    root: Path = field(default_factory=Path)


class OnUpdate(Struct, frozen=True):
    """When assets were updated; see `on_update`. `project` is a folder, empty for the own project."""

    assets: tuple[str, ...]
    project: str = ""
    env: str | None = None


class JobDefinition(Struct, frozen=True):
    """What `job` gives, and what `@schedule` hangs on a function. `values` are as in `[jobs.NAME]`, where given."""

    name: str
    values: Mapping[str, object]
    file: str
    line: int
    function: Callable[..., object] | None = None

    def __repr__(self) -> str:
        return f"job({self.name!r})"


class SensorDefinition(Struct, frozen=True):
    """What `@sensor` hangs on a function, and a ready-made one, which is called what the module calls it."""

    name: str
    function: Callable[..., object]
    every_s: float
    timeout_s: float
    env: str | None
    description: str
    file: str
    line: int

    def __repr__(self) -> str:
        return f"sensor({self.name!r})"


def job(  # noqa: PLR0913 - what can be said about it, all by keyword
    name: str,
    select: AssetLike | None = None,
    *,
    cron: str | None = None,
    tz: str | None = None,
    catchup: str | None = None,
    partitions: str | None = None,
    on: OnUpdate | Iterable[OnUpdate] = (),
    max_active_runs: int | None = None,
    config: Config | None = None,
    env: str | None = None,
    enabled: bool | None = None,
) -> JobDefinition:
    """Declare a job: a selection (default: everything) that is run when it is due. The same as `[jobs.NAME]`.

    It is due at the times of `cron` in the zone `tz`, and whenever an asset of `on` was updated; see `on_update`.
    `catchup` says what becomes of ticks that nobody took up: `latest`, `all` or `none`. `partitions` is as after `-p`,
    or `"tick"`: of each asset the newest partition that there was at the tick, so that a daily job at 06:00 makes
    yesterday. So many of its ticks as `max_active_runs` (default: 1) are taken up at once, while their runs take turns.
    Give it a name in a module of the project: `nightly = job("nightly", ...)`.

    Example:
        >>> job("nightly", "+total", cron="0 6 * * *", tz="Europe/London")
        job('nightly')
    """
    values: dict[str, object] = {
        "select": None if select is None else select if isinstance(select, str) else key_text(select),
        "cron": cron, "tz": tz, "catchup": catchup, "partitions": partitions, "env": env, "enabled": enabled,
        "max_active_runs": max_active_runs,
        "config": None if config is None else {key: dict(fields) for key, fields in config.items()},
    }  # fmt: skip
    triggers = (on,) if isinstance(on, OnUpdate) else tuple(on)
    if triggers:
        values["on_update"] = [{"assets": list(one.assets), "project": one.project, "env": one.env} for one in triggers]
    return JobDefinition(name, _given(values), *caller_place())


def schedule(
    cron: str,
    *,
    tz: str | None = None,
    catchup: str | None = None,
    max_active_runs: int | None = None,
    env: str | None = None,
    enabled: bool | None = None,
) -> Callable[[F], F]:
    """Declare a function as a job: at each tick it is given the instant, and says what is to be run then.

    The instant is a `datetime` in the zone `tz`. The function returns a `RunRequest`, or None for nothing. It is called
    in the process of the tick; what it raises is how the tick has failed. The job has the name of the function.

    Example:
        >>> @schedule("0 6 * * *", tz="Europe/London")
        ... def mornings(at):
        ...     return RunRequest("+total") if at.weekday() < 5 else None
    """

    def attach(function: F) -> F:
        values: dict[str, object] = {
            "cron": cron, "tz": tz, "catchup": catchup, "max_active_runs": max_active_runs, "env": env,
            "enabled": enabled,
        }  # fmt: skip
        name = getattr(function, "__name__", "schedule")
        setattr(function, ATTRIBUTE, JobDefinition(name, _given(values), *place_of(function), function))
        return function

    return attach


def on_update(*assets: AssetLike, project: str | PathLike[str] | None = None, env: str | None = None) -> OnUpdate:
    """When one of these assets has other data than when the job was last started because of it: `job(..., on=...)`.

    What is compared is the content of versions, never a time: neither a restart nor a clock that is set makes a job
    run, or keeps it from running. Several updates since are one run. With `project`, the assets are those of another
    project in that folder, whose catalog is only read; `env` is the environment that is looked at (default: that in
    which the job runs, and of another project the one that its settings name).

    Raises:
        TypeError: no asset is named.
    """
    if not assets:
        raise TypeError('on_update() takes the names of assets: on_update("orders")')
    return OnUpdate(tuple(key_text(one) for one in assets), "" if project is None else str(project), env)


def sensor(
    *,
    every: str | float | timedelta = "30s",
    timeout: str | float | timedelta = "1m",
    name: str | None = None,
    env: str | None = None,
) -> Callable[[F], F]:
    """Declare a function that looks at something outside, and says what is to be run.

    The daemon calls it `every` so often, each time in a fresh process. It takes a `SensorContext` (and resources, as
    assets do), and returns or yields `RunRequest`s. Where it got to, it writes to `context.cursor`, a text. The cursor
    and the requests are recorded in one transaction: none is lost and none made twice, whatever dies. A sensor that
    raises, or takes longer than `timeout`, is recorded as failed, and its cursor stays where it was.

    Example:
        >>> @sensor(every="5m")
        ... def new_orders(context):
        ...     context.cursor = "17"
        ...     yield RunRequest("orders+", key="17")
    """

    def attach(function: F) -> F:
        lines = (function.__doc__ or "").strip().splitlines()
        about = lines[0].strip() if lines else ""
        found = SensorDefinition(
            name or getattr(function, "__name__", "sensor"), function, seconds(every), seconds(timeout), env, about,
            *place_of(function),
        )  # fmt: skip
        setattr(function, ATTRIBUTE, found)
        return function

    return attach


def automation_of(value: object) -> JobDefinition | SensorDefinition | None:
    """What was declared with `value`, or hung on it. Never raises, whatever `value` is."""
    if isinstance(value, (JobDefinition, SensorDefinition)):
        return value
    attributes = getattr(value, "__dict__", None)
    found = cast("dict[str, object]", attributes).get(ATTRIBUTE) if isinstance(attributes, dict) else None
    return found if isinstance(found, (JobDefinition, SensorDefinition)) else None


def _given(values: Mapping[str, object]) -> dict[str, object]:
    return {key: value for key, value in values.items() if value is not None}
