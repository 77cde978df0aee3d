"""Alerts that no run tells of: what is overdue, which runs and ticks came to nothing, and what is over by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from itertools import takewhile

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.outbox import Outbox
from assetflow.catalog.sensors import Sensors
from assetflow.load.audience import Audience
from assetflow.load.manifest import read_manifest
from assetflow.load.settings import Settings
from assetflow.model.alerts import (
    ASSET_OVERDUE,
    GONE,
    OVER,
    RUN_FAILED,
    SENSOR_FAILED,
    TICK_FAILED,
    TICK_MISSED,
    Alert,
    Trouble,
    channels_of,
)
from assetflow.model.jobs import DONE, FAILED, INTERRUPTED, MISSED, PAUSED, Job, Tick, jobs_of
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.sensors import AUTO, FAILED as LOOK_FAILED
from assetflow.model.spec import AssetSpec
from assetflow.plan.freshness import Timeliness
from assetflow.plan.lateness import LateKind, LateRoot
from assetflow.run.alerting import OF_ASSETS, Desk, died_trouble
from assetflow.run.locks import run_lock
from assetflow.views import Status

KEPT_S = 90 * 86_400.0
"""What is over is forgotten after this time."""

FAILED_LOOKS = 3
"""So many looks of a sensor in a row have to fail before that is an alert: what it needs may be away for a moment."""

_WELL = frozenset(["current", "pinned", "undecided", "source"])
_KNOWN, _LOOKS = 200, 50


def watched(settings: Settings) -> tuple[str, ...]:
    """The environments that somebody wants to be told of: the one of the settings, and those of jobs and channels."""
    channels = [channel for channel in channels_of(settings.alerts) if channel.enabled]
    known = [settings.env, *(job.env for job in jobs_of(settings.jobs) if job.enabled and job.env)]
    known += [channel.env for channel in channels if channel.env]
    return tuple(env for env in dict.fromkeys(known) if any(channel.env in ("", env) for channel in channels))


def is_worth_a_look(settings: Settings, specs: Iterable[AssetSpec]) -> bool:
    """Whether `look` could find anything: something has a deadline, or is known to be wrong, or has not ended."""
    hears = any(one.enabled and one.hears(ASSET_OVERDUE, settings.env) for one in channels_of(settings.alerts))
    if hears and any(spec.freshness is not None for spec in specs):
        return True
    with closing(Catalog(settings.catalog_path)) as catalog:
        return bool(catalog.running()) or bool(Outbox(catalog).open())


def look(settings: Settings, specs: Iterable[AssetSpec], status: Status, now: float) -> None:
    """Take in what the state of the project says: what is overdue, which runs died, and what is over without a run."""
    with closing(Catalog(settings.catalog_path, write=True)) as catalog:
        outbox = Outbox(catalog)
        dead = {run.run_id for run in catalog.running() if run.env == settings.env}
        if dead and run_lock(settings, settings.env).is_held_by_anyone():
            dead.clear()
        with outbox.transaction():
            # Asked for again: a run that ended meanwhile let go of the lock too, but only behind saying so.
            dead &= {run.run_id for run in catalog.running()}
            audience = Audience(specs, settings.selections)
            desk = Desk(outbox, channels_of(settings.alerts), audience, settings.name, now)
            if dead:
                dead -= {alert.run_id or 0 for alert in outbox.alerts(_KNOWN) if alert.event == RUN_FAILED}
            for run_id in sorted(dead):
                desk.see(died_trouble(settings.env, run_id))
            _well_again(desk, status, now)
            _sensors_gone(settings, desk)
            _overdue(desk, status)
            desk.remind()
            outbox.forget(now - KEPT_S)


def _well_again(desk: Desk, status: Status, now: float) -> None:
    """Close what is not wrong any more. What was seen after the state was looked at is not in that state yet."""
    states = {row.spec.key: row.state for row in status}
    for alert in desk.open(*OF_ASSETS, env=status.env):
        state = states.get(AssetKey(alert.subject))
        if alert.seen_at <= now and (state is None or state in _WELL):
            desk.close(alert, GONE if state is None else OVER)
    if all(state in _WELL for state in states.values()):
        for alert in desk.open(RUN_FAILED, env=status.env):
            if alert.seen_at <= now:
                desk.close(alert, OVER)


def _overdue(desk: Desk, status: Status) -> None:
    """Hold what is late against what is known to be late.

    An asset that is late stays in the alert that it is in, whatever makes it late now: that there is newer data, or
    that it is being run, is no news as long as it has not arrived.
    """
    late = {row.spec.key for row in status if row.freshness.timeliness is Timeliness.OVERDUE}
    found: dict[str, str] = {}
    for alert in desk.open(ASSET_OVERDUE, env=status.env):
        still = tuple(key for key in alert.assets if key in late)
        if still:
            found.update(dict.fromkeys(still, alert.key))
        else:
            desk.close(alert, OVER)
    for root in status.late_roots:
        keys = tuple(key for one in root.assets if (key := split_slot(one)[0]) in late)
        if not keys:
            continue
        trouble = _late(status.env, root, keys)
        known = {alert.key: alert for alert in desk.open(ASSET_OVERDUE, env=status.env)}
        joined = next((found[key] for key in keys if key in found), trouble.key)
        if joined in known:
            desk.change(_updated(known[joined], trouble, late))
        elif root.cause.kind is not LateKind.RUNNING:
            desk.see(trouble)


def _late(env: str, root: LateRoot, keys: tuple[AssetKey, ...]) -> Trouble:
    cause = root.cause
    subject = split_slot(cause.asset)[0]
    many = f"{len(keys)} assets are overdue" if len(keys) != 1 else f"{', '.join(keys)} is overdue"
    facts: dict[str, object] = {"late": list(keys), "error": cause.words, "fix": root.fix}
    return Trouble(ASSET_OVERDUE, env, subject, "", f"{many}: {cause.words}", facts, keys, run_id=cause.run)


def _updated(alert: Alert, now: Trouble, late: set[AssetKey]) -> Alert:
    keys = tuple(key for key in dict.fromkeys((*alert.assets, *now.assets)) if key in late)
    facts = {**now.facts, "late": list(keys)}
    return replace(alert, title=now.title, facts=facts, assets=keys, run_id=now.run_id)


# --------------------------------------------------------------------------------------------------------- sensors


def sensor_alerts(settings: Settings, name: str, catalog: Catalog, now: float) -> None:
    """Open the alert of a sensor that fails again and again, or close it when a look has not failed.

    It goes by the looks that are recorded: who dies before this leaves it to the next look.
    """
    looks = Sensors(catalog).looks(name, _LOOKS)
    bad = list(takewhile(lambda one: one.state == LOOK_FAILED, looks))
    times = sum(one.count for one in bad)
    outbox = Outbox(catalog)
    is_known = any(one.event == SENSOR_FAILED and one.subject == name for one in outbox.open())
    if times < FAILED_LOOKS and not (is_known and looks and not bad):
        return
    with outbox.transaction():
        desk = Desk(outbox, channels_of(settings.alerts), Audience([], {}), settings.name, now)
        if bad:
            facts = {"sensor": name, "error": bad[0].note, "fix": f"assetflow sensor history {name}"}
            title = f"{name} failed {times} times in a row: {bad[0].note}"
            desk.see(Trouble(SENSOR_FAILED, settings.env, name, "", title, facts))
            return
        for alert in desk.open(SENSOR_FAILED):
            if alert.subject == name:
                desk.close(alert, OVER)


def _sensors_gone(settings: Settings, desk: Desk) -> None:
    """Close the alerts of sensors that the project does not have any more."""
    alerts = desk.open(SENSOR_FAILED)
    manifest = read_manifest(settings) if alerts else None
    if manifest is None:
        return
    known = {AUTO, *(one.name for one in manifest.automation.sensors)}
    known |= {job.name for job in jobs_of({**settings.jobs, **manifest.automation.jobs}) if job.on_update}
    for alert in alerts:
        if alert.subject not in known:
            desk.close(alert, GONE)


# ----------------------------------------------------------------------------------------------------------- ticks


def tick_alerts(settings: Settings, job: Job, catalog: Catalog, now: float) -> Callable[[Sequence[Tick]], None]:
    """What records the alerts of ticks that are being recorded, within that transaction.

    A tick whose run began is told of by that run.
    """

    def record(ticks: Sequence[Tick]) -> None:
        env = job.env or settings.env
        desk = Desk(Outbox(catalog), channels_of(settings.alerts), Audience([], {}), settings.name, now)
        for tick in ticks:
            if tick.state == DONE:
                for alert in desk.open(TICK_FAILED, TICK_MISSED, env=env):
                    if alert.subject == job.name:
                        desk.close(alert, OVER)
            elif tick.state == MISSED and tick.policy != PAUSED:
                desk.see(_missed(env, tick))
            elif tick.state == FAILED and tick.run_id is None and tick.note != INTERRUPTED:
                desk.see(_failed(env, tick))

    return record


def _missed(env: str, tick: Tick) -> Trouble:
    many = f"{tick.count} ticks" if tick.count > 1 else "a tick"
    facts: dict[str, object] = {"job": tick.job, "error": tick.note or None}
    facts |= {"fix": f"assetflow schedule history {tick.job}"}
    return Trouble(TICK_MISSED, env, tick.job, "", f"{tick.job} missed {many} (catchup: {tick.policy})", facts)


def _failed(env: str, tick: Tick) -> Trouble:
    facts = {"job": tick.job, "error": tick.note, "fix": f"assetflow schedule history {tick.job}"}
    return Trouble(TICK_FAILED, env, tick.job, "", f"{tick.job} could not run: {tick.note}", facts)
