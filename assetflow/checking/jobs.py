"""Whether the selections of jobs name anything: what a job would otherwise say only when it is due."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import datetime

from assetflow.checking.findings import Finding
from assetflow.errors import AssetflowError, BadConfig, Location, UsageError, did_you_mean
from assetflow.load.settings import FILE, Settings
from assetflow.model.automation import TICK
from assetflow.model.jobs import Job, jobs_of
from assetflow.model.keys import AssetKey
from assetflow.model.spec import AssetSpec
from assetflow.partitions.ordinals import EMPTY
from assetflow.plan.slots import asked_for, names_state

_OF_STATE = re.compile(r"\b(is|why|last):")
"""Attributes that assets have at some times: a selection by them may well be empty now."""


def job_findings(
    settings: Settings, select: Callable[[str], Sequence[AssetKey]], specs: Mapping[AssetKey, AssetSpec], now: datetime
) -> Iterator[Finding]:
    """What is wrong with the selections and partitions of jobs at `now`, and with the assets that they wait for."""
    for job in jobs_of(settings.jobs):
        yield from _about_updates(settings, job, specs.keys())
        if not job.select:
            yield from _about_partitions(settings, job, list(specs.values()), now)
            continue
        where = settings.place("jobs", job.name, "select") or Location(FILE, 1)
        try:
            chosen = select(job.select)
            is_of_now = _OF_STATE.search(job.select) is not None
            if chosen or is_of_now:
                yield from _about_partitions(settings, job, [] if is_of_now else [specs[key] for key in chosen], now)
                continue
        except AssetflowError as error:
            what, fix = error.what, error.fix or "correct the selection"
        else:
            what, fix = (
                f"`{job.select}` names no asset",
                "correct the selection, or switch the job off",
            )
        yield Finding("error", BadConfig.code, "job", f"the job `{job.name}` can run nothing: {what}", where, (), fix)


def _about_partitions(settings: Settings, job: Job, chosen: Sequence[AssetSpec], now: datetime) -> Iterator[Finding]:
    """What is wrong with the partitions of a job, when none of its assets has such."""
    if job.partitions is None or not chosen:
        return
    text, problem = job.partitions, None
    parted = [spec for spec in chosen if spec.partitions is not None]
    if not parted:
        problem = UsageError("none of its assets has partitions", fix="leave `partitions` out")
    elif text != TICK:
        for spec in parted:
            try:
                if names_state(text) or spec.partitions is None or not spec.partitions.keys_until(now):
                    return  # it may well have them later
                asked_for(text, now)(spec.key, spec.partitions, EMPTY)
            except UsageError as error:
                problem = problem or error
            else:
                return
    if problem is not None:
        where = settings.place("jobs", job.name, "partitions") or Location(FILE, 1)
        what = f"the job `{job.name}` can run nothing with `partitions` {text!r}: {problem.what}"
        yield Finding("error", BadConfig.code, "job", what, where, (), problem.fix or "correct it")


def _about_updates(settings: Settings, job: Job, keys: Collection[AssetKey]) -> Iterator[Finding]:
    for asset in (asset for one in job.on_update if not one.project for asset in one.assets if asset not in keys):
        where = settings.place("jobs", job.name, "on_update") or Location(FILE, 1)
        what = f"the job `{job.name}` waits for updates of `{asset}`, and there is no such asset"
        fix = did_you_mean(asset, keys) or "write the whole key of an asset"
        yield Finding("error", BadConfig.code, "job", what, where, (), fix)
