"""Whether assets have other data than when a job was last started because of that: contents are compared, no times."""

from __future__ import annotations

import json
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.sensors import Sensors
from assetflow.errors import AssetflowError, ProjectNotFound
from assetflow.fingerprint.hashing import digest

if TYPE_CHECKING:
    from assetflow.load.settings import Settings
    from assetflow.model.automation import OnUpdate
    from assetflow.model.jobs import Job
    from assetflow.model.sensors import SensorState

Seen = dict[str, str]
"""What was seen of each asset: a digest of its content, empty where there is none."""


def is_updated(settings: Settings, job: Job, state: SensorState | None, catalog: Catalog) -> bool:
    """Whether a job is to be started because of what its assets are now, or has yet to be told what they are."""
    try:
        return _env_of(settings, job) not in _by_env(state) or bool(changed(settings, job, state, catalog))
    except AssetflowError:  # the other project is not there: a look says so
        return True


def changed(settings: Settings, job: Job, state: SensorState | None, catalog: Catalog) -> tuple[str, ...]:
    """The assets with other content than the job has seen; none when it sees them for the first time."""
    before = _by_env(state).get(_env_of(settings, job))
    if before is None:
        return ()
    now = contents(settings, job, catalog)
    return tuple(name for name, content in now.items() if content and content != before.get(name))


def contents(settings: Settings, job: Job, catalog: Catalog) -> Seen:
    """What the assets of a job's `on_update` are now.

    Raises:
        ProjectNotFound, ProjectLoadError: another project that is named is not there, or its settings are wrong.
    """
    found: Seen = {}
    for one in job.on_update:
        if one.project:
            found.update(_elsewhere(settings, one))
        else:
            found.update(_digests("", one.assets, one.env or _env_of(settings, job), catalog))
    return found


def cursor_after(settings: Settings, job: Job, state: SensorState | None, catalog: Catalog) -> str:
    """The cursor that says what the assets are now."""
    return json.dumps({**_by_env(state), _env_of(settings, job): contents(settings, job, catalog)}, sort_keys=True)


def _elsewhere(settings: Settings, one: OnUpdate) -> Seen:
    from assetflow.load.settings import find_project, read_settings

    folder = (settings.root / one.project).resolve()
    if not folder.is_dir() or find_project(folder).parent != folder:
        raise ProjectNotFound(f"there is no project in {one.project}", fix="correct `project` of the job's on_update")
    other = read_settings(folder)
    with closing(Catalog(other.catalog_path)) as catalog:
        return _digests(f"{one.project}:", one.assets, one.env or other.env, catalog)


def _digests(lead: str, assets: tuple[str, ...], env: str, catalog: Catalog) -> Seen:
    known = Sensors(catalog).contents(env, assets)
    return {f"{lead}{asset}@{env}": _digest(known.get(asset, [])) for asset in assets}


def _digest(parts: list[tuple[str, str]]) -> str:
    return digest("contents", *(text.encode() for part in parts for text in part)) if parts else ""


def _env_of(settings: Settings, job: Job) -> str:
    return job.env or settings.env


def _by_env(state: SensorState | None) -> dict[str, Seen]:
    if state is None or state.cursor is None:
        return {}
    return cast("dict[str, Any]", json.loads(state.cursor))
