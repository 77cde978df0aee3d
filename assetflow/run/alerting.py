"""What went wrong in runs as alerts: one for each root cause, recorded with the end of the run that it is about."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.outbox import Outbox
from assetflow.load.audience import Audience
from assetflow.model.alerts import (
    ASSET_FAILED,
    ASSET_OVERDUE,
    CHECK_FAILED,
    DROPPED,
    OPENED,
    OTHER_CAUSE,
    OVER,
    RECOVERED,
    REMINDER,
    REPLACED,
    RUN_FAILED,
    SCHEMA,
    SENT,
    WAITING,
    Alert,
    Channel,
    Message,
    Trouble,
    channels_of,
)
from assetflow.model.durations import words
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.secrets import SECRETS
from assetflow.run.outcome import FAILED, MADE, RunResult, StepOutcome

if TYPE_CHECKING:
    from assetflow.load.settings import Settings
    from assetflow.model.spec import AssetSpec

WELL = (*MADE, "cut_off", "skipped")
"""States of outcomes after which an asset that had failed is well again."""

OF_ASSETS = (ASSET_FAILED, CHECK_FAILED)
_NAMED = 20
_PARTITIONS = 100


class Desk:
    """Opens, updates and closes alerts, and writes what has to be told of them. All within one transaction of others.

    `project` is the name that messages have, `now` what they are dated with.
    """

    def __init__(
        self, outbox: Outbox, channels: Sequence[Channel], audience: Audience, project: str, now: float
    ) -> None:
        self.outbox = outbox
        self._channels = [channel for channel in channels if channel.enabled]
        self._audience, self._project, self._now = audience, project, now
        self._open = {alert.key: alert for alert in outbox.open()}

    def open(self, *events: str, env: str | None = None) -> list[Alert]:
        """What is wrong now, of these events and of one environment."""
        return [one for one in self._open.values() if one.event in events and env in (None, one.env)]

    def see(self, trouble: Trouble) -> None:
        """Take in what is wrong: as a new alert that is told, or as one that is known and told no more."""
        known = self._open.get(trouble.key)
        if known is None:
            self._put(alert := _alert(trouble, self._now))
            self._tell(alert, OPENED)
            return
        self._put(
            replace(
                known, title=SECRETS.text(trouble.title), facts=_clean(trouble.facts), seen_at=self._now,
                seen=known.seen + 1, run_id=trouble.run_id, assets=_both(known.assets, trouble.assets),
                slots=_both(known.slots, trouble.slots),
            )
        )  # fmt: skip

    def change(self, alert: Alert) -> None:
        """Record that less, or more, is wrong than was known; nothing is told."""
        if alert != self._open[alert.key]:
            self._put(alert)

    def close(self, alert: Alert, how: str) -> None:
        """End an alert. When it is `recovered`, who was told of it is told that it is over."""
        ended = replace(alert, closed_at=self._now, how=how)
        del self._open[alert.key]
        self.outbox.put(ended)
        told: set[str] = set()
        silent = {channel.name for channel in self._channels if not channel.recovered}
        for message in self.outbox.of(alert.alert_id):
            if message.state in (WAITING, SENT):
                told.add(message.channel)
            if message.state == WAITING and not (how == OVER and message.channel in silent):
                # One message, that it was wrong and is not any more, is in the place of two.
                self.outbox.take_out(message, REPLACED if how == OVER else DROPPED, "it was over before it was sent")
        if how == OVER:
            self._tell(ended, RECOVERED, told)

    def remind(self) -> None:
        """Tell what is still wrong once more, where the channel says after how long."""
        for alert in self._open.values():
            times = {one.channel: one for one in self.outbox.of(alert.alert_id)} if self._has_reminders else {}
            for channel in self._channels:
                last = times.get(channel.name)  # the newest one: they come oldest first
                if channel.repeat_s is None or last is None or last.state == WAITING:
                    continue
                if self._now - last.created_at >= channel.repeat_s:
                    self._tell(alert, REMINDER, {channel.name})

    @property
    def _has_reminders(self) -> bool:
        return any(channel.repeat_s is not None for channel in self._channels)

    def _put(self, alert: Alert) -> None:
        self._open[alert.key] = alert
        self.outbox.put(alert)

    def _tell(self, alert: Alert, kind: str, told: set[str] | None = None) -> None:
        for channel in self._channels:
            if told is not None:
                if channel.name not in told or (kind == RECOVERED and not channel.recovered):
                    continue
            elif not self._is_news(channel, alert):
                continue
            body = document(alert, kind, self._project, self._now)
            message_id = _digest(alert.alert_id, channel.name, kind, self._now)
            body = {"id": message_id, "channel": channel.name, **body}
            self.outbox.post(Message(message_id, alert.alert_id, channel.name, kind, body, self._now, self._now))

    def _is_news(self, channel: Channel, alert: Alert) -> bool:
        if not channel.hears(alert.event, alert.env):
            return False
        failed = self.open(*OF_ASSETS, env=alert.env) if alert.event == ASSET_OVERDUE else []
        if any(one.subject == alert.subject and channel.hears(one.event, one.env) for one in failed):
            return False  # it is late because of a failure, of which it has been told
        return not channel.assets or self._audience.is_for(channel, alert.assets)


def document(alert: Alert, kind: str, project: str, now: float) -> dict[str, object]:
    """What a message says, as programs read it; `title` and `text` are for people."""
    facts = dict(alert.facts)
    return {
        "schema": SCHEMA, "kind": kind, "event": alert.event, "alert": alert.alert_id, "project": project,
        "env": alert.env, "subject": alert.subject, "title": _title(alert, kind, project), "text": text_of(alert, kind),
        "at": now, "since": alert.opened_at, "seen": alert.seen, "run": alert.run_id, "assets": list(alert.assets),
        "partitions": [part for slot in alert.slots[:_PARTITIONS] if (part := split_slot(AssetKey(slot))[1])],
        **{name: facts.get(name) for name in ("error", "where", "why", "blocked", "job", "fix")},
    }  # fmt: skip


def _title(alert: Alert, kind: str, project: str) -> str:
    start = f"{project} [{alert.env}]"
    if kind == RECOVERED:
        return f"{start} recovered: {alert.title}"
    return f"{start} still: {alert.title}" if kind == REMINDER else f"{start} {alert.title}"


def text_of(alert: Alert, kind: str) -> str:
    """The facts of an alert in lines, for people; the title is not among them."""
    facts = alert.facts
    lines: list[str] = []
    if kind == RECOVERED:
        lines.append(f"over after {words(max(0.0, (alert.closed_at or alert.seen_at) - alert.opened_at))}")
    elif kind == REMINDER:
        lines.append(f"seen {alert.seen} times" if alert.seen > 1 else "not seen to be over yet")
    named = (("at", facts.get("where")), ("ran because", facts.get("why")))
    lines += [f"{name}: {value}" for name, value in named if value and kind != RECOVERED]
    for name in ("blocked", "late"):
        found = cast("list[str]", facts.get(name, []))
        if found:
            lines.append(f"{name} ({len(found)}): {_list(found)}")
    if kind != RECOVERED and facts.get("fix"):
        lines.append(f"fix: {facts['fix']}")
    return "\n".join(lines)


def _list(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")


# ------------------------------------------------------------------------------------------------------------ runs


class RunAlerts:
    """Records what a run left wrong, in the transaction that ends the run. `begin` is for the runs that died before."""

    def __init__(self, settings: Settings, specs: Iterable[AssetSpec], catalog: Catalog) -> None:
        self._settings, self._catalog = settings, catalog
        self._channels = channels_of(settings.alerts)
        self._audience = Audience(specs, settings.selections)

    def died(self, runs: Sequence[int], now: float) -> None:
        """Take in the runs that are found to have died."""
        desk = self._desk(now)
        for run_id in runs:
            desk.see(died_trouble(self._settings.env, run_id))

    def ended(self, run_id: int, state: str, result: RunResult | None, error: str, now: float) -> None:
        """Take in how a run ended; `result` is None when it broke off, for the reason that `error` says."""
        desk, env = self._desk(now), self._settings.env
        found = () if result is None else troubles_of(result, self._settings.root)
        if result is not None:
            _settle(desk, env, result, found)
        for trouble in found:
            desk.see(trouble)
        is_alone = not found and (state == "failed" or (result is not None and result.timed_out))
        if is_alone:
            desk.see(_run_trouble(env, run_id, result, error))
        elif state == "ok":
            for alert in desk.open(RUN_FAILED, env=env):
                desk.close(alert, OVER)
        desk.remind()

    def _desk(self, now: float) -> Desk:
        return Desk(Outbox(self._catalog), self._channels, self._audience, self._settings.name, now)


def died_trouble(env: str, run_id: int) -> Trouble:
    """A run whose process is gone."""
    facts = {"fix": f"assetflow retry {run_id}"}
    return Trouble(RUN_FAILED, env, "", "died", f"run #{run_id} died: its process is gone", facts, run_id=run_id)


def troubles_of(result: RunResult, root: Path) -> tuple[Trouble, ...]:
    """The root causes of what a run left wrong: one for each asset and kind of error, with all that it blocks."""
    blocked: dict[AssetKey, dict[AssetKey, None]] = {}
    together: dict[tuple[AssetKey, str, str], list[StepOutcome]] = {}
    for outcome in result:
        asset = split_slot(outcome.asset)[0]
        if outcome.state == "blocked":
            for cause in outcome.blocked_by:
                blocked.setdefault(cause, {})[asset] = None
        elif outcome.state in FAILED:
            together.setdefault((asset, *_cause(outcome)), []).append(outcome)
    found: list[Trouble] = []
    for (asset, event, cause), outcomes in together.items():
        below = tuple(dict.fromkeys(key for one in outcomes for key in blocked.get(one.asset, ())))
        found.append(
            Trouble(
                event, result.env, asset, cause, _words(event, outcomes), _facts(result, outcomes[0], below, root),
                (asset, *below), tuple(one.asset for one in outcomes), result.run_id,
            )
        )  # fmt: skip
    return tuple(found)


def _cause(outcome: StepOutcome) -> tuple[str, str]:
    """The event that a failure is, and what two failures of an asset have in common that are one alert.

    It is the kind of error and the function that raised it, or which checks refused it: not the message, which may say
    something else each time, nor the line, which an edit moves.
    """
    refused = [check.name for check in outcome.checks if check.blocking and not check.passed]
    if outcome.state == "rejected" and refused:
        return CHECK_FAILED, ", ".join(refused)
    error = outcome.error
    return ASSET_FAILED, "" if error is None else f"{error.code} {error.type} {error.function or ''}".rstrip()


def _said(outcome: StepOutcome) -> str:
    error = outcome.error
    if error is None:
        return outcome.message.partition("\n")[0]
    said = f"{error.type}: {error.message}" if error.code == "AF160" else error.message
    return said.partition("\n")[0]


def _words(event: str, outcomes: Sequence[StepOutcome]) -> str:
    more = f" and {len(outcomes) - 1} more" if len(outcomes) > 1 else ""
    said = _said(outcomes[0])
    what = "was refused by a check" if event == CHECK_FAILED else "failed"
    return f"{outcomes[0].asset}{more} {what}{f': {said}' if said else ''}"


def _facts(result: RunResult, outcome: StepOutcome, blocked: Sequence[AssetKey], root: Path) -> dict[str, object]:
    error, where = outcome.error, None
    if error is not None and error.file is not None:
        path = Path(error.file)
        inside = path.relative_to(root).as_posix() if path.is_relative_to(root) else error.file
        where = f"{inside}:{error.line}" if error.line else inside
    return {
        "error": _said(outcome),
        "where": where,
        "why": outcome.reasons[0].text if outcome.reasons else None,
        "blocked": list(blocked),
        "fix": f"assetflow logs {split_slot(outcome.asset)[0]}, then assetflow retry {result.run_id}",
    }


def _settle(desk: Desk, env: str, result: RunResult, troubles: Sequence[Trouble]) -> None:
    """Take what is well again, and what fails for another cause now, out of the alerts that it was in."""
    well = {key for key, outcome in result.outcomes.items() if outcome.state in WELL}
    causes = {slot: trouble.key for trouble in troubles for slot in trouble.slots}
    for alert in desk.open(*OF_ASSETS, env=env):
        left = tuple(
            slot for slot in alert.slots if slot not in well and causes.get(AssetKey(slot), alert.key) == alert.key
        )
        if left or alert.key in causes.values():
            desk.change(replace(alert, slots=left))
        else:
            desk.close(alert, OVER if well.issuperset(alert.slots) else OTHER_CAUSE)


def _run_trouble(env: str, run_id: int, result: RunResult | None, error: str) -> Trouble:
    facts: dict[str, object] = {"fix": f"assetflow runs show {run_id}", "error": error or None}
    if result is not None and result.timed_out:
        return Trouble(RUN_FAILED, env, "", "timed out", f"run #{run_id} ran out of time", facts, run_id=run_id)
    if result is not None:
        blocked = [outcome.asset for outcome in result if outcome.state == "blocked"]
        facts["blocked"] = list(blocked)
        names = tuple(dict.fromkeys(split_slot(key)[0] for key in blocked))
        title = f"run #{run_id} could not run {_list(names)}"
        return Trouble(RUN_FAILED, env, "", "blocked", title, facts, names, run_id=run_id)
    said = error.partition("\n")[0]
    title = f"run #{run_id} broke off{f': {said}' if said else ''}"
    return Trouble(RUN_FAILED, env, "", said.partition(":")[0], title, facts, run_id=run_id)


# --------------------------------------------------------------------------------------------------------- helpers


def _alert(trouble: Trouble, now: float) -> Alert:
    return Alert(
        _digest(trouble.key, now), trouble.key, trouble.event, trouble.env, trouble.subject,
        SECRETS.text(trouble.title), now, now, 1, trouble.run_id, _clean(trouble.facts), trouble.assets, trouble.slots,
    )  # fmt: skip


def _clean(facts: Mapping[str, object]) -> dict[str, object]:
    return {name: SECRETS.value(value) for name, value in facts.items() if value not in (None, [])}


def _both(first: Iterable[str], second: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*first, *second)))


def _digest(*parts: object) -> str:
    """A name that is the same for the same thing, in whatever catalog it is recorded."""
    return hashlib.blake2b(json.dumps(parts).encode(), digest_size=8).hexdigest()
