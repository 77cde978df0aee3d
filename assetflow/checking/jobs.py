"""Whether the selections of jobs name anything: what a job would otherwise say only when it is due."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence

from assetflow.checking.findings import Finding
from assetflow.errors import AssetflowError, BadConfig, Location, did_you_mean
from assetflow.load.settings import FILE, Settings
from assetflow.model.jobs import Job, jobs_of
from assetflow.model.keys import AssetKey

_OF_STATE = re.compile(r"\b(is|why|last):")
"""Attributes that assets have at some times: a selection by them may well be empty now."""


def job_findings(
    settings: Settings, select: Callable[[str], Sequence[AssetKey]], keys: Collection[AssetKey] = ()
) -> Iterator[Finding]:
    """What is wrong with the selections of the jobs of a project, and with the assets that they wait for."""
    for job in jobs_of(settings.jobs):
        yield from _about_updates(settings, job, keys)
        if not job.select:
            continue
        where = settings.place("jobs", job.name, "select") or Location(FILE, 1)
        try:
            if select(job.select) or _OF_STATE.search(job.select):
                continue
        except AssetflowError as error:
            what, fix = error.what, error.fix or "correct the selection"
        else:
            what, fix = (
                f"`{job.select}` names no asset",
                "correct the selection, or switch the job off",
            )
        yield Finding("error", BadConfig.code, "job", f"the job `{job.name}` can run nothing: {what}", where, (), fix)


def _about_updates(settings: Settings, job: Job, keys: Collection[AssetKey]) -> Iterator[Finding]:
    for asset in (asset for one in job.on_update if not one.project for asset in one.assets if asset not in keys):
        where = settings.place("jobs", job.name, "on_update") or Location(FILE, 1)
        what = f"the job `{job.name}` waits for updates of `{asset}`, and there is no such asset"
        fix = did_you_mean(asset, keys) or "write the whole key of an asset"
        yield Finding("error", BadConfig.code, "job", what, where, (), fix)
