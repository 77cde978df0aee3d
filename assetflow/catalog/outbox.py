"""Alerts and what is to be told of them in the catalog.

What is wrong and the messages about it are written in the transaction of whoever found out, so that neither is there
without the other. They are not in the journal: a catalog that was made from it knows of none.
"""

from __future__ import annotations

import json
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, cast

from assetflow.catalog.catalog import Catalog
from assetflow.model.alerts import SENT, Alert, Message


class Outbox:
    """What is recorded of alerts. Verbs that write are for within a `transaction`, or that of another verb."""

    def __init__(self, catalog: Catalog) -> None:
        self._database = catalog.database

    @contextmanager
    def transaction(self) -> Generator[None]:
        """One write transaction."""
        with self._database.transaction():
            yield

    # -- reading

    def open(self) -> list[Alert]:
        """What is wrong now, oldest first."""
        return self._alerts("open_alerts")

    def alerts(self, limit: int) -> list[Alert]:
        """The newest alerts, newest first."""
        return self._alerts("alerts", limit)

    def of(self, alert_id: str) -> list[Message]:
        """The messages of an alert, oldest first."""
        return self._messages("messages_of", alert_id)

    def waiting(self) -> list[Message]:
        """The messages that are yet to be sent, in the order in which they are due."""
        return self._messages("waiting_messages")

    def last(self) -> dict[str, Message]:
        """The message that was sent last, by channel."""
        return {message.channel: message for message in self._messages("last_messages")}

    # -- writing

    def put(self, alert: Alert) -> None:
        """Record an alert as it is now."""
        self._database.change(
            "put_alert", alert.alert_id, alert.key, alert.event, alert.env, alert.subject, alert.title,
            alert.opened_at, alert.seen_at, alert.seen, alert.run_id, json.dumps(dict(alert.facts)),
            json.dumps(list(alert.assets)), json.dumps(list(alert.slots)), alert.closed_at, alert.how,
        )  # fmt: skip

    def post(self, message: Message) -> None:
        """Record a message that is to be sent; one that is there already stays as it is."""
        self._database.change(
            "put_message", message.message_id, message.alert_id, message.channel, message.kind,
            json.dumps(dict(message.document)), message.created_at, message.due_at, message.state,
        )  # fmt: skip

    def sent(self, message: Message, at: float) -> None:
        """Record that a message has arrived."""
        self._database.change("end_message", SENT, 1, "", at, message.message_id)

    def take_out(self, message: Message, state: str, why: str) -> None:
        """Record that a message is not sent any more."""
        self._database.change("end_message", state, 0, why, None, message.message_id)

    def put_off(self, message: Message, error: str, due_at: float) -> None:
        """Record that a message could not be sent, and when that is tried again."""
        self._database.change("put_off_message", error, due_at, message.message_id)

    def forget(self, before: float) -> None:
        """Remove what was over before a time."""
        self._database.change("forget_messages", before)
        self._database.change("forget_alerts", before)

    def _alerts(self, name: str, *parameters: object) -> list[Alert]:
        found: list[Alert] = []
        for row in cast("list[tuple[Any, ...]]", self._database.rows(name, *parameters)):
            facts, assets, slots = (json.loads(text) for text in row[10:13])
            found.append(Alert(*cast("Any", (*row[:10], facts, tuple(assets), tuple(slots), *row[13:]))))
        return found

    def _messages(self, name: str, *parameters: object) -> list[Message]:
        rows = cast("list[tuple[Any, ...]]", self._database.rows(name, *parameters))
        return [Message(*cast("Any", (*row[:4], json.loads(row[4]), *row[5:]))) for row in rows]
