"""Sending what the outbox holds, to all channels at once.

Whoever sends to a channel holds the lock of that channel, so no message is sent by two at the same time. A process that
is killed between sending and recording that leaves the message waiting: it is sent again, with the same id.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from contextlib import closing

from msgspec import Struct, field

from assetflow.automation.locks import acquired
from assetflow.automation.sending import send
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.locks import FileLock
from assetflow.catalog.outbox import Outbox
from assetflow.errors import AssetflowError, UsageError, did_you_mean
from assetflow.load.settings import Settings
from assetflow.model.alerts import DROPPED, SCHEMA, TEST, Channel, Message, channels_of, quiet_until

AFTER_RUN_S = 10.0
"""How long the end of a command waits for channels; what is not sent by then is sent later."""
ROUND_S = 60.0
"""How long a round of its own waits for them."""
FIRST_AGAIN_S, LAST_AGAIN_S = 30.0, 3600.0
"""How long after a failure a message is sent again: twice as long as the time before, but no longer than the last."""
GIVE_UP_S = 3 * 86_400.0
"""A message that could not be sent for so long is dropped."""


class Delivery(Struct, frozen=True):
    """What became of one message; `error` is empty when it was sent. One that is dropped is not tried again."""

    message: Message
    error: str = ""
    is_dropped: bool = False


class Round(Struct, frozen=True):
    """What a round did, and which channels it left alone.

    `busy` are those that another process is sending to, `late` those that had not answered when time was up, `quiet`
    those that do not want to be told before a time. `problems` kept some from being looked at.
    """

    deliveries: tuple[Delivery, ...] = ()
    busy: tuple[str, ...] = ()
    late: tuple[str, ...] = ()
    quiet: Mapping[str, float] = field(default_factory=dict[str, float])
    problems: tuple[str, ...] = ()

    @property
    def failed(self) -> tuple[Delivery, ...]:
        """The messages that could not be sent."""
        return tuple(one for one in self.deliveries if one.error)


def channel_named(settings: Settings, name: str) -> Channel:
    """The channel of this name.

    Raises:
        UsageError: there is none.
    """
    known = {channel.name: channel for channel in channels_of(settings.alerts)}
    if name in known:
        return known[name]
    fix = did_you_mean(name, known) or "assetflow alert ls lists the channels"
    if not known:
        fix = f'declare one in the project file: [alerts.{name}] with url = "env:ALERT_URL"'
    raise UsageError(f"there is no alert channel `{name}`", fix=fix)


def send_test(settings: Settings, channel: Channel, now: float) -> str:
    """Send a message that is marked as a test; why that did not work, or nothing. Nothing is recorded."""
    title = f"{settings.name} [{settings.env}] TEST of the alert channel {channel.name}"
    document: dict[str, object] = {
        "id": f"test-{int(now)}", "channel": channel.name, "schema": SCHEMA, "kind": TEST, "event": TEST,
        "project": settings.name, "env": settings.env, "title": title, "text": "Nothing is wrong.", "at": now,
    }  # fmt: skip
    return send(channel, document, settings.root, os.environ)


def deliver(settings: Settings, now: float, patience_s: float) -> Round:
    """Send what waits and is due, and record what became of it.

    Raises:
        NotWritable: the folder of the project cannot be written.
    """
    channels = {channel.name: channel for channel in channels_of(settings.alerts) if channel.enabled}
    with closing(Catalog(settings.catalog_path)) as catalog:
        waiting = Outbox(catalog).waiting()
    dropped = _drop_lost(settings, [one for one in waiting if one.channel not in channels])
    due = {message.channel for message in waiting if message.due_at <= now and message.channel in channels}
    quiet = {name: until for name in due if (until := quiet_until(channels[name], now)) is not None}
    work = _Work(settings, now, time.monotonic() + patience_s)
    threads = {name: threading.Thread(target=work.guarded, args=(channels[name],), daemon=True)
               for name in sorted(due - quiet.keys())}  # fmt: skip
    for thread in threads.values():
        thread.start()
    for thread in threads.values():
        thread.join(max(0.0, work.deadline - time.monotonic()))
    late = tuple(name for name, thread in threads.items() if thread.is_alive())
    done = sorted(work.deliveries, key=lambda one: one.message.channel)  # of each channel they are in order
    return Round((*dropped, *done), tuple(sorted(work.busy)), late, quiet, tuple(work.problems))


def _drop_lost(settings: Settings, messages: list[Message]) -> list[Delivery]:
    """Drop what is for channels that the project has no more, or not enabled."""
    if messages:
        with closing(Catalog(settings.catalog_path, write=True)) as catalog:
            outbox = Outbox(catalog)
            with outbox.transaction():
                for message in messages:
                    outbox.take_out(message, DROPPED, "the channel is gone, or off")
    return [Delivery(message, "the channel is gone, or off", is_dropped=True) for message in messages]


class _Work:
    """The threads of a round, one for each channel, and what they found."""

    def __init__(self, settings: Settings, now: float, deadline: float) -> None:
        self._settings, self._now, self.deadline = settings, now, deadline
        self.deliveries: list[Delivery] = []  # `append` is safe from several threads
        self.busy: list[str] = []
        self.problems: list[str] = []

    def guarded(self, channel: Channel) -> None:
        """Serve a channel; what keeps that from being done is no reason for the others."""
        try:
            self._serve(channel)
        except AssetflowError as error:
            self.problems.append(f"{channel.name}: {error.what}")

    def _serve(self, channel: Channel) -> None:
        lock = FileLock(self._settings.state_path / "locks" / f"alert-{channel.name}.lock")
        with acquired(lock, "an alert channel", self._now) as is_mine:
            if not is_mine:
                self.busy.append(channel.name)
                return
            with closing(Catalog(self._settings.catalog_path, write=True)) as catalog:
                self._send_waiting(Outbox(catalog), channel)

    def _send_waiting(self, outbox: Outbox, channel: Channel) -> None:
        # Asked for again: another process may have sent some before the lock was free.
        mine = [one for one in outbox.waiting() if one.channel == channel.name and one.due_at <= self._now]
        for message in mine:
            if time.monotonic() >= self.deadline or not self._one(outbox, channel, message):
                return

    def _one(self, outbox: Outbox, channel: Channel, message: Message) -> bool:
        """Send one message; whether the channel can be expected to take the next."""
        if message.tries and self._now - message.created_at > GIVE_UP_S:
            with outbox.transaction():
                outbox.take_out(message, DROPPED, message.error or "it could not be sent for too long")
            self.deliveries.append(Delivery(message, "it could not be sent for too long", is_dropped=True))
            return True
        error = send(channel, message.document, self._settings.root, os.environ)
        with outbox.transaction():
            if error:
                wait_s = min(LAST_AGAIN_S, FIRST_AGAIN_S * 2.0 ** min(message.tries, 16))
                outbox.put_off(message, error, self._now + wait_s)
            else:
                outbox.sent(message, self._now)
        self.deliveries.append(Delivery(message, error))
        return not error
