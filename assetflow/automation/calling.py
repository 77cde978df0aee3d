"""Calling what users wrote about when things run: functions of `@schedule` and `@sensor`, with their resources."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, cast
from zoneinfo import ZoneInfo

from msgspec.structs import replace

from assetflow.errors import AssetFailed, UsageError
from assetflow.model.automation import TICK, RunRequest
from assetflow.model.jobs import Job, Tick

if TYPE_CHECKING:
    from assetflow.load.live import LiveCall, Loaded
    from assetflow.load.settings import Settings
    from assetflow.model.settings import Resource


def requested(settings: Settings, job: Job, tick: Tick) -> RunRequest | None:
    """What is to be run for a tick of a job; None when its function asks for nothing.

    Raises:
        AssetFailed: the function raised.
        UsageError: it asked for something that is no request.
        ProjectLoadError: the project does not load.
    """
    instant = datetime.fromtimestamp(tick.scheduled, UTC)
    found = RunRequest(job.select, job.partitions, job.config)
    if job.is_function:
        from assetflow.load.definitions import load_project

        loaded = load_project(settings)
        call = loaded.automation.calls[job.name]
        with_time = instant.astimezone(ZoneInfo(job.tz))
        answer = called(call, loaded, with_time, settings)
        if answer is None:
            return None
        if not isinstance(answer, RunRequest):
            raise UsageError(f"`{job.name}` returned {answer!r}", fix="return RunRequest(...), or None for nothing")
        found = answer
    return replace(found, partitions=f"{TICK}:{instant:%Y-%m-%dT%H:%M:%SZ}") if found.partitions == TICK else found


def called(call: LiveCall, loaded: Loaded, given: object, settings: Settings) -> object:
    """What a function of the user returns. A generator is used up here, while its resources are there.

    Raises:
        AssetFailed: it raised; the message has the place, and the facts have the traceback.
    """
    from assetflow.load.live import make_resource
    from assetflow.run.failure import step_error
    from assetflow.run.resources import ResourcePool

    def make(cls: type[Resource]) -> Resource:
        return make_resource(cls, loaded.resources.get(cls, {}))

    pool = ResourcePool(make)
    try:
        arguments = {
            one.parameter: given if one.resource_class is None else pool.get(one.resource_class)
            for one in call.bindings
        }
        answer = call.function(**arguments)
        return list(cast("Iterator[object]", answer)) if isinstance(answer, Iterator) else answer
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # user code may raise anything, SystemExit included
        failure = step_error(error, settings.root)
        file = Path(failure.file) if failure.file else None
        if file is not None and file.is_relative_to(settings.root):
            file = file.relative_to(settings.root)
        place = "" if file is None else f"{file.as_posix()}:{failure.line}: "
        said = failure.message if failure.code != AssetFailed.code else f"{failure.type}: {failure.message}"
        lines = failure.text.rstrip().splitlines()[1:]  # without the headline of a traceback
        raise AssetFailed(place + said.partition("\n")[0], facts=lines) from error
    finally:
        pool.close()
