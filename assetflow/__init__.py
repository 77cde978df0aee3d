"""assetflow: functions that produce tables, whose parameter names are the lineage.

Public names are resolved on first use (PEP 562), so that `import assetflow` stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assetflow.automation.arriving import files_arrived as files_arrived
    from assetflow.errors import AssetflowError as AssetflowError
    from assetflow.memory import materialize as materialize
    from assetflow.model.auto import cron as cron
    from assetflow.model.automation import (
        RunRequest as RunRequest,
        SensorContext as SensorContext,
        job as job,
        on_update as on_update,
        schedule as schedule,
        sensor as sensor,
    )
    from assetflow.model.checks import (
        CheckResult as CheckResult,
        accepted_values as accepted_values,
        check as check,
        foreign_key as foreign_key,
        in_range as in_range,
        not_null as not_null,
        row_count as row_count,
        schema as schema,
        unique as unique,
    )
    from assetflow.model.context import Context as Context, Partition as Partition
    from assetflow.model.declare import (
        Out as Out,
        Result as Result,
        Skip as Skip,
        asset as asset,
        assets as assets,
        source as source,
    )
    from assetflow.model.hooks import Event as Event, on as on
    from assetflow.model.inputs import In as In
    from assetflow.model.policies import Cue as Cue, Freshness as Freshness, Retry as Retry
    from assetflow.model.settings import Config as Config, Resource as Resource, Secret as Secret
    from assetflow.partitions.axes import Axes as Axes, Axis as Axis
    from assetflow.partitions.cron_windows import Cron as Cron
    from assetflow.partitions.hours import Hourly as Hourly
    from assetflow.partitions.mappings import (
        All as All,
        Latest as Latest,
        Previous as Previous,
        StaticMap as StaticMap,
        TimeWindow as TimeWindow,
    )
    from assetflow.partitions.multi import Multi as Multi
    from assetflow.partitions.named import Dynamic as Dynamic, Static as Static
    from assetflow.partitions.windows import Daily as Daily, Monthly as Monthly, Weekly as Weekly
    from assetflow.project import Project as Project

__version__ = "0.1.0"

_HOMES = {
    "All": "assetflow.partitions.mappings",
    "AssetflowError": "assetflow.errors",
    "Axes": "assetflow.partitions.axes",
    "Axis": "assetflow.partitions.axes",
    "CheckResult": "assetflow.model.checks",
    "Config": "assetflow.model.settings",
    "Context": "assetflow.model.context",
    "Cron": "assetflow.partitions.cron_windows",
    "Cue": "assetflow.model.policies",
    "Daily": "assetflow.partitions.windows",
    "Dynamic": "assetflow.partitions.named",
    "Event": "assetflow.model.hooks",
    "Freshness": "assetflow.model.policies",
    "Hourly": "assetflow.partitions.hours",
    "In": "assetflow.model.inputs",
    "Latest": "assetflow.partitions.mappings",
    "Monthly": "assetflow.partitions.windows",
    "Multi": "assetflow.partitions.multi",
    "Out": "assetflow.model.declare",
    "Partition": "assetflow.model.context",
    "Previous": "assetflow.partitions.mappings",
    "Project": "assetflow.project",
    "Resource": "assetflow.model.settings",
    "Result": "assetflow.model.declare",
    "Retry": "assetflow.model.policies",
    "RunRequest": "assetflow.model.automation",
    "Secret": "assetflow.model.settings",
    "SensorContext": "assetflow.model.automation",
    "Skip": "assetflow.model.declare",
    "Static": "assetflow.partitions.named",
    "StaticMap": "assetflow.partitions.mappings",
    "TimeWindow": "assetflow.partitions.mappings",
    "Weekly": "assetflow.partitions.windows",
    "accepted_values": "assetflow.model.checks",
    "asset": "assetflow.model.declare",
    "assets": "assetflow.model.declare",
    "check": "assetflow.model.checks",
    "cron": "assetflow.model.auto",
    "files_arrived": "assetflow.automation.arriving",
    "foreign_key": "assetflow.model.checks",
    "in_range": "assetflow.model.checks",
    "job": "assetflow.model.automation",
    "materialize": "assetflow.memory",
    "not_null": "assetflow.model.checks",
    "on": "assetflow.model.hooks",
    "on_update": "assetflow.model.automation",
    "row_count": "assetflow.model.checks",
    "schedule": "assetflow.model.automation",
    "schema": "assetflow.model.checks",
    "sensor": "assetflow.model.automation",
    "source": "assetflow.model.declare",
    "unique": "assetflow.model.checks",
}

__all__ = [*_HOMES, "__version__"]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'assetflow' has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
