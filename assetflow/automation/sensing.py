"""Looking: what each sensor is up to, calling it, and recording all that came of it at once.

A look happens in a process of its own, which holds the lock of the sensor meanwhile, so that no two look at once. What
it is told of is read before and written after in one transaction, which counts only when nobody looked in between.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, cast

from msgspec import Struct
from msgspec.structs import replace

from assetflow.automation.declared import Declared
from assetflow.automation.locks import acquired, job_lock, sensor_lock
from assetflow.automation.updates import changed, cursor_after, is_updated
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.sensors import Sensors
from assetflow.errors import AssetFailed, AssetflowError, Superseded, UsageError, did_you_mean
from assetflow.model.automation import TICK, RunRequest, SensorContext
from assetflow.model.durations import words
from assetflow.model.jobs import jobs_of
from assetflow.model.sensors import AUTO, FAILED, QUEUED, SENSOR, UPDATE, Look, Requested, SensorSpec, SensorState

if TYPE_CHECKING:
    from assetflow.load.settings import Settings
    from assetflow.model.jobs import Job

_FRAME = re.compile(r'  File "([^"]+)", line (\d+) in (.+)')

AGAIN_S = 30.0
"""What has no time of its own and failed is looked at again after so long."""

AUTO_ROUND = SensorSpec(AUTO, 30.0, 600.0, description="assets with auto=")
"""The round over assets that are made by themselves, as a sensor."""


class Watched(Struct, frozen=True):
    """Something that is looked at by itself: a sensor, or a job with `on_update`; and what is recorded of it.

    `is_looking` and `is_running`: a process is at it, or at a run that it asked for. `is_due`: it is to be looked at
    now; `has_work`: a run that was asked for can be taken up.
    """

    name: str
    kind: str
    state: SensorState
    last: Look | None
    waiting: tuple[Requested, ...]
    newest: Requested | None
    is_looking: bool
    is_running: bool
    is_due: bool
    spec: SensorSpec | None = None
    job: Job | None = None

    @property
    def has_work(self) -> bool:
        """Whether a run that was asked for can be taken up."""
        return bool(self.waiting) and not self.is_running and not self.state.is_paused

    @property
    def word(self) -> str:
        """paused, running, failing or on."""
        if self.state.is_paused:
            return "paused"
        if self.is_running:
            return "running"
        return "failing" if self.last is not None and self.last.state == FAILED else "on"

    def next_at(self, now: float) -> float | None:
        """When it is looked at next, as far as a clock says that."""
        if self.spec is None or self.state.is_paused:
            return None
        return now if self.is_due else (self.state.looked_at or now) + self.spec.every_s


class Looked(Struct, frozen=True):
    """What came of a look: the row, where the sensor is now, and what it asks for."""

    look: Look
    cursor: str | None
    requests: tuple[Requested, ...]


def watch(known: Declared, now: float) -> tuple[Watched, ...]:
    """What every sensor, every job with `on_update`, and the round over assets is up to. Changes nothing."""
    settings = known.settings
    sensors = () if known.manifest is None else known.manifest.automation.sensors
    jobs = [job for job in jobs_of(settings.jobs) if job.on_update and job.enabled]
    if not (sensors or jobs or known.has_auto):
        return ()
    with closing(Catalog(settings.catalog_path)) as catalog:
        record = Sensors(catalog)
        states, looks, waiting, newest = (
            record.states(), record.last_looks(), record.open_requests(), record.last_requests(),
        )  # fmt: skip
        updated = {job.name for job in jobs if is_updated(settings, job, states.get(job.name), catalog)}

    def seen(name: str, kind: str, spec: SensorSpec | None, job: Job | None) -> Watched:
        state, queue = states.get(name, SensorState(name)), tuple(waiting.get(name, ()))
        is_looking = sensor_lock(settings, name).is_held_by_anyone()
        if spec is not None:
            is_due = state.looked_at is None or not state.looked_at <= now < state.looked_at + spec.every_s
        else:
            is_due = name in updated and not any(one.state == QUEUED for one in queue)
            is_due = is_due and not _has_just_failed(state, looks.get(name), now)
        return Watched(
            name, kind, state, looks.get(name), queue, newest.get(name), is_looking,
            job_lock(settings, name).is_held_by_anyone(), is_due and not (is_looking or state.is_paused), spec, job,
        )  # fmt: skip

    found = [seen(one.name, SENSOR, one, None) for one in sensors]
    found += [seen(AUTO, AUTO, AUTO_ROUND, None)] if known.has_auto else []
    found += [seen(job.name, UPDATE, None, job) for job in jobs]
    return tuple(sorted(found, key=lambda one: one.name))


def _has_just_failed(state: SensorState, last: Look | None, now: float) -> bool:
    """Whether a look failed a moment ago: what it needs will hardly be there yet."""
    at = state.looked_at
    return last is not None and last.state == FAILED and at is not None and at <= now < at + AGAIN_S


def watched_named(watched: Sequence[Watched], known: Declared, name: str) -> Watched:
    """The one of this name.

    Raises:
        UsageError: there is none.
        ProjectLoadError: there is none, and the modules do not load.
    """
    found = next((one for one in watched if one.name == name), None)
    if found is not None:
        return found
    if known.problem is not None:
        raise known.problem
    fix = did_you_mean(name, [one.name for one in watched]) or "assetflow sensor ls lists them"
    raise UsageError(f"there is no sensor `{name}`", fix=fix)


def state_of(settings: Settings, name: str) -> SensorState:
    """What is recorded of a sensor now."""
    with closing(Catalog(settings.catalog_path)) as catalog:
        return Sensors(catalog).state(name)


def notice(settings: Settings, job: Job, seen: SensorState, now: float) -> Looked:
    """What a job with `on_update` asks for, because of what its assets are now. Records nothing.

    Raises:
        ProjectNotFound, ProjectLoadError: another project that it looks at is not there.
    """
    from datetime import UTC, datetime

    with closing(Catalog(settings.catalog_path)) as catalog:
        cursor = cursor_after(settings, job, seen, catalog)
        new = changed(settings, job, seen, catalog)
    instant = datetime.fromtimestamp(now, UTC)
    partitions = f"{TICK}:{instant:%Y-%m-%dT%H:%M:%SZ}" if job.partitions == TICK else job.partitions
    asked = Requested(
        0, job.name, UPDATE, None, job.env or settings.env, job.select, partitions, job.config, now
    )  # fmt: skip
    look = Look(job.name, seen.looks + 1, "", now, now, note=", ".join(one.rpartition("@")[0] for one in new))
    return Looked(look, cursor, (asked,) if new else ())


def sense(settings: Settings, spec: SensorSpec, seen: SensorState, now: float) -> Looked:
    """Call a sensor of the project, imported afresh. Records nothing.

    Raises:
        AssetFailed: the sensor raised.
        UsageError: what it gave is not what sensors give.
        ProjectLoadError: the project does not load.
    """
    from assetflow.automation.calling import called
    from assetflow.load.definitions import load_project

    loaded = load_project(settings)
    call = loaded.automation.calls.get(spec.name)
    if call is None:
        raise UsageError(f"there is no sensor `{spec.name}` any more", fix="assetflow sensor ls")
    context = SensorContext(seen.cursor, now, settings.root)
    answer = called(call, loaded, context, settings)
    cursor = cast("object", context.cursor)
    if cursor is not None and not isinstance(cursor, str):
        raise UsageError(
            f"sensor `{spec.name}` set its cursor to {cursor!r}", fix="a cursor is a text: json.dumps(...)"
        )
    env = spec.env or settings.env
    requests = tuple(_requested(spec.name, one, env, now) for one in _listed(spec.name, answer))
    return Looked(Look(spec.name, seen.looks + 1, "", now, now), cursor, requests)


def record(settings: Settings, seen: SensorState, found: Looked, now: float) -> Looked | None:
    """Record a look with all that came of it; None when another process looked meanwhile, or somebody paused it."""
    with closing(Catalog(settings.catalog_path, write=True)) as catalog:
        try:
            look = Sensors(catalog).looked(seen, found.cursor, found.requests, now, found.look.note)
        except Superseded:
            return None
        _alert(settings, seen.name, catalog, now)
    return replace(found, look=look)


def _alert(settings: Settings, name: str, catalog: Catalog, now: float) -> None:
    """Tell those who want to know that a sensor fails again and again, or does so no more."""
    if settings.alerts:
        from assetflow.automation.alerts import sensor_alerts

        sensor_alerts(settings, name, catalog, now)


def record_failure(settings: Settings, seen: SensorState, error: AssetflowError, now: float) -> Look | None:
    """Record that a look failed; see `record`."""
    from assetflow.model.secrets import SECRETS

    traceback = "\n".join(error.facts) if isinstance(error, AssetFailed) else ""
    with closing(Catalog(settings.catalog_path, write=True)) as catalog:
        found = Sensors(catalog).failed(seen, SECRETS.text(_why(error)), SECRETS.text(traceback), now)
        _alert(settings, seen.name, catalog, now)
        return found


def record_death(settings: Settings, spec: SensorSpec, how: str, now: float) -> Look | None:
    """Record that the process of a look is gone without an answer, with the place where it hung, if it did."""
    stack = stack_path(settings, spec.name)
    text = stack.read_text(encoding="utf-8", errors="replace") if stack.is_file() else ""
    with acquired(sensor_lock(settings, spec.name), "a sensor", now) as is_mine:
        if not is_mine:  # somebody else looks already
            return None
        stack.unlink(missing_ok=True)
        frames = _frames(text, str(settings.root))
        place = f" ({frames[0]})" if frames else ""
        what = f"it did not end within {words(spec.timeout_s)}{place}" if text else how
        return record_failure(settings, state_of(settings, spec.name), AssetFailed(what, facts=frames), now)


def stack_path(settings: Settings, name: str) -> Path:
    """The file that a look which takes too long leaves its stack in."""
    return settings.state_path / "cache" / f"look-{name}.txt"


def _frames(stack: str, root: str) -> list[str]:
    """The lines of the project in a stack, innermost first: `shop.py:24 in hangs`."""
    found = [(path, line, name) for path, line, name in _FRAME.findall(stack) if path.startswith(f"{root}/")]
    return [f"{path.removeprefix(f'{root}/')}:{line} in {name}" for path, line, name in found]


def _why(error: AssetflowError) -> str:
    from assetflow.errors import ProjectLoadError

    first = error.problems[0] if isinstance(error, ProjectLoadError) and error.problems else error
    return first.what if first.where is None else f"{first.where}: {first.what}"


def _listed(name: str, answer: object) -> Sequence[object]:
    if answer is None:
        return ()
    if isinstance(answer, (list, tuple)):
        return cast("Sequence[object]", answer)
    if isinstance(answer, RunRequest):
        return (answer,)
    raise UsageError(f"sensor `{name}` returned {answer!r}", fix="return or yield RunRequest(...), or nothing")


def _requested(name: str, one: object, env: str, now: float) -> Requested:
    if not isinstance(one, RunRequest):
        raise UsageError(f"sensor `{name}` gave {one!r}", fix="return or yield RunRequest(...), or nothing")
    from assetflow.plan.selection import parse_selection

    if one.select:
        parse_selection(one.select)
    return Requested(0, name, SENSOR, one.key, env, one.select, one.partitions, one.config, now)
