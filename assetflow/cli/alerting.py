"""`alert`: who is told of what, what is wrong now, and whether the messages arrive."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from contextlib import closing
from typing import TYPE_CHECKING, cast

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.outbox import Outbox
from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, positive
from assetflow.cli.moments import given_now
from assetflow.cli.table import Cell, Column, Table, cell
from assetflow.cli.text import Line, Piece, Span, bad, count, dim, good, head, iso, strong, warn
from assetflow.errors import UsageError
from assetflow.model.alerts import DROPPED, EVENTS, REPLACED, SENT, Alert, Channel, Message, channels_of, quiet_until
from assetflow.model.durations import words

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assetflow.automation.delivery import Delivery, Round
    from assetflow.cli.session import Session

NO_CHANNELS: Line = (
    " no alert channels; declare one in the project file: ", strong('[alerts.team] with url = "env:ALERT_URL"'),
)  # fmt: skip
_STATES = {"on": ("●", "good"), "quiet": ("·", "dim"), "failing": ("✗", "bad"), "off": ("○", "dim")}


def alert(session: Session, options: Namespace) -> Answer:
    """The channels and what is wrong, or one of the other forms."""
    word, *rest = cast("list[str]", options.words) or ["ls"]
    forms: dict[str, Callable[[Session, Namespace], Answer]] = {"ls": _ls, "history": _history, "send": _send}
    if word in forms and not rest:
        return forms[word](session, options)
    if word == "test" and len(rest) <= 1:
        return _test(session, options, rest[0] if rest else None)
    raise UsageError(
        f"`alert {' '.join(options.words)}` is not one of its forms",
        fix=f"assetflow alert {word}" if word in forms else "assetflow alert --help",
    )


# ------------------------------------------------------------------------------------------------------- looking


def _ls(session: Session, options: Namespace) -> Answer:
    settings = session.settings()
    now = given_now(session, options.now, settings.tz)
    channels = channels_of(settings.alerts)
    with closing(Catalog(settings.catalog_path)) as catalog:
        outbox = Outbox(catalog)
        waiting, last, wrong = outbox.waiting(), outbox.last(), outbox.open()
    queues = {channel.name: [one for one in waiting if one.channel == channel.name] for channel in channels}
    states = {channel.name: _state(channel, queues[channel.name], now) for channel in channels}

    def document() -> dict[str, object]:
        found = [
            _channel_document(one, states[one.name], queues[one.name], last.get(one.name), now) for one in channels
        ]
        return {"channels": found, "open": [alert_document(one) for one in wrong]}

    if not channels:
        return Answer(document, [NO_CHANNELS, *_wrong(session, wrong)])
    columns = (
        Column("channel", "CHANNEL"), Column("on", "ON", least=12), Column("assets", "ASSETS", leave=2, least=8),
        Column("to", "TO", least=10), Column("last", "LAST SENT", leave=1),
        Column("waiting", "WAITING", is_right=True), Column("state", "STATE"),
    )  # fmt: skip
    rows = tuple(_row(session, one, states[one.name], queues[one.name], last.get(one.name)) for one in channels)
    below = [(dim(f" {count(len(channels), 'channel')} · {count(len(wrong), 'open alert')}"),)]
    below += [line for one in channels for line in _trouble(session, one, queues[one.name], now)]
    return Answer(document, table=Table(columns, rows), below=[*below, *_wrong(session, wrong)])


def _state(channel: Channel, queue: Sequence[Message], now: float) -> str:
    if not channel.enabled:
        return "off"
    if any(message.error for message in queue):
        return "failing"
    return "on" if quiet_until(channel, now) is None else "quiet"


def _row(
    session: Session, channel: Channel, state: str, queue: Sequence[Message], last: Message | None
) -> tuple[Cell, ...]:
    mark, style = _STATES[state]
    on = "all" if channel.on == EVENTS else ", ".join(channel.on)
    sent = None if last is None else f"{session.clock(last.sent_at)} ({last.kind})"
    return (
        cell(channel.name, strong(channel.name)),
        cell(on),
        cell(channel.assets or None, channel.assets or dim("all")),
        cell(channel.way),
        cell(None if last is None or last.sent_at is None else iso(last.sent_at), sent),
        cell(len(queue), warn(str(len(queue))) if queue else None),
        cell(state, Span(f"{mark} {state}", style)),
    )


def _trouble(session: Session, channel: Channel, queue: Sequence[Message], now: float) -> list[Line]:
    """Why a channel is not told now what it should be."""
    lines: list[Line] = []
    failed = [message for message in queue if message.error]
    if failed:
        newest = max(failed, key=lambda message: message.due_at)
        again = f"tried {count(newest.tries, 'time')}, again {session.clock(newest.due_at)}"
        lines.append((bad(f" {channel.name}"), f"  {newest.error}", dim(f" · {again}")))
    until = quiet_until(channel, now) if channel.enabled else None
    if until is not None:
        lines.append((dim(f" {channel.name}"), f"  is quiet until {session.clock(until)}"))
    return lines


def _wrong(session: Session, alerts: Sequence[Alert]) -> list[Line]:
    lines: list[Line] = []
    for one in alerts:
        since = f"since {session.clock(one.opened_at)}"
        more = f" · seen {one.seen} times" if one.seen > 1 else ""
        lines.append((" ", bad("✗"), " ", strong(one.event), f"  {one.title}", dim(f" · {since}{more}")))
        blocked = cast("list[str]", one.facts.get("blocked", []))
        if blocked:
            lines.append((dim("   blocks "), ", ".join(blocked[:8]), dim(f" and {len(blocked) - 8} more")
                          if len(blocked) > 8 else ""))  # fmt: skip
        if one.facts.get("fix"):
            lines.append((head("   fix  "), str(one.facts["fix"])))
    return lines


def _channel_document(
    channel: Channel, state: str, queue: Sequence[Message], last: Message | None, now: float
) -> dict[str, object]:
    until = quiet_until(channel, now)
    return {
        "channel": channel.name, "on": list(channel.on), "assets": channel.assets, "env": channel.env or None,
        "to": channel.way, "quiet": channel.quiet or None, "tz": channel.tz,
        "quiet_until": None if until is None else iso(until), "repeat_seconds": channel.repeat_s,
        "recovered": channel.recovered, "enabled": channel.enabled, "state": state,
        "waiting": [message_document(one) for one in queue],
        "last_sent_at": None if last is None or last.sent_at is None else iso(last.sent_at),
        "last_error": next((one.error for one in reversed(queue) if one.error), None),
    }  # fmt: skip


def alert_document(one: Alert) -> dict[str, object]:
    """One alert."""
    return {
        "alert": one.alert_id, "event": one.event, "env": one.env, "subject": one.subject, "title": one.title,
        "opened_at": iso(one.opened_at), "seen_at": iso(one.seen_at), "seen": one.seen, "run": one.run_id,
        "assets": list(one.assets), "slots": list(one.slots), "facts": dict(one.facts),
        "closed_at": None if one.closed_at is None else iso(one.closed_at), "how": one.how or None,
    }  # fmt: skip


def message_document(one: Message) -> dict[str, object]:
    """One message and what became of it."""
    return {
        "id": one.message_id, "alert": one.alert_id, "channel": one.channel, "kind": one.kind, "state": one.state,
        "created_at": iso(one.created_at), "due_at": iso(one.due_at), "tries": one.tries, "error": one.error or None,
        "sent_at": None if one.sent_at is None else iso(one.sent_at),
    }  # fmt: skip


def _history(session: Session, options: Namespace) -> Answer:
    settings = session.settings()
    with closing(Catalog(settings.catalog_path)) as catalog:
        outbox = Outbox(catalog)
        found = outbox.alerts(options.limit or 20)
        told = {one.alert_id: outbox.of(one.alert_id) for one in found}

    def document() -> dict[str, object]:
        return {
            "alerts": [
                {**alert_document(one), "messages": [message_document(each) for each in told[one.alert_id]]}
                for one in found
            ]
        }

    if not found:
        return Answer(document, [(" nothing has been wrong yet, as far as there was anybody to tell",)])
    columns = (
        Column("opened_at", "SINCE"), Column("event", "EVENT"), Column("alert", "WHAT", least=20),
        Column("lasted", "LASTED", is_right=True, leave=2), Column("state", "STATE"), Column("told", "TOLD", leave=1),
    )  # fmt: skip
    rows = tuple(_history_row(session, one, told[one.alert_id]) for one in found)
    return Answer(document, table=Table(columns, rows))


def _history_row(session: Session, one: Alert, messages: Sequence[Message]) -> tuple[Cell, ...]:
    lasted = None if one.closed_at is None else one.closed_at - one.opened_at
    shown: Piece = bad("✗ open") if one.is_open else good(f"✓ {one.how}") if one.how == "recovered" else dim(one.how)
    said = [f"{each.channel} {_MARKS[each.state]}" for each in messages if each.state != REPLACED]
    return (
        cell(iso(one.opened_at), session.clock(one.opened_at)),
        cell(one.event),
        cell(one.title),
        cell(lasted, None if lasted is None else words(lasted)),
        cell(one.how or "open", shown),
        cell([each.channel for each in messages if each.state == SENT], ", ".join(dict.fromkeys(said)) or dim("–")),
    )


_MARKS: Mapping[str, str] = {SENT: "✓", "waiting": "…", DROPPED: "✗", REPLACED: ""}


# --------------------------------------------------------------------------------------------------------- sending


def _test(session: Session, options: Namespace, name: str | None) -> Answer:
    from assetflow.automation.delivery import channel_named, send_test

    settings = session.settings()
    channels = (
        [channel_named(settings, name)]
        if name is not None
        else [one for one in channels_of(settings.alerts) if one.enabled]
    )
    if not channels:
        return Answer(lambda: {"tests": []}, [NO_CHANNELS])
    now = given_now(session, options.now, settings.tz)
    results = [(channel, send_test(settings, channel, now)) for channel in channels]
    lines: list[Line] = [
        (" ", bad("✗"), " ", strong(channel.name), f"  {error}")
        if error
        else (" ", good("✓"), " ", strong(channel.name), dim(f"  sent a test to {channel.way}"))
        for channel, error in results
    ]
    failed = [channel.name for channel, error in results if error]
    return Answer(
        lambda: {
            "tests": [
                {"channel": channel.name, "sent": not error, "error": error or None} for channel, error in results
            ]
        },
        lines,
        exit_code=1 if failed else 0,
        ending=_not_sent(failed) if failed else (),
    )


def _not_sent(names: Sequence[str]) -> Line:
    known = ", ".join(f"`{name}`" for name in dict.fromkeys(names))
    return (f"{known} could not be told",)


def _send(session: Session, options: Namespace) -> Answer:
    """One round: what is overdue or over is looked for, and what waits is sent."""
    from assetflow.automation.delivery import ROUND_S, deliver
    from assetflow.cli.telling import look_around

    settings = session.settings()
    if not settings.alerts:
        return Answer(lambda: {"sent": [], "failed": [], "dropped": [], "busy": [], "late": []}, [NO_CHANNELS])
    now = given_now(session, options.now, settings.tz)
    problem = look_around(session, now, everywhere=True)
    found = deliver(settings, now, ROUND_S)
    lines = [*([(warn(f" {problem}"),)] if problem else []), *round_lines(session, found)]
    failed = [one.message.channel for one in found.failed if not one.is_dropped]
    return Answer(
        lambda: round_document(found, problem),
        lines or [(" ", good("●"), " nothing is to be sent")],
        exit_code=1 if failed or problem else 0,
        ending=_not_sent(failed) if failed else ("what is overdue was not looked for",) if problem else (),
    )


def round_document(found: Round, problem: str = "") -> dict[str, object]:
    """What a round did."""

    def each(ones: Sequence[Delivery]) -> list[dict[str, object]]:
        return [
            {"id": one.message.message_id, "channel": one.message.channel, "kind": one.message.kind,
             "title": one.message.document.get("title"), "error": one.error or None} for one in ones
        ]  # fmt: skip

    return {
        "sent": each([one for one in found.deliveries if not one.error]),
        "failed": each([one for one in found.deliveries if one.error and not one.is_dropped]),
        "dropped": each([one for one in found.deliveries if one.is_dropped]),
        "busy": list(found.busy), "late": list(found.late), "quiet": {k: iso(v) for k, v in found.quiet.items()},
        "problems": [*found.problems, *([problem] if problem else [])],
    }  # fmt: skip


def round_lines(session: Session, found: Round) -> list[Line]:
    """What a round did, a line each."""
    lines: list[Line] = []
    for one in found.deliveries:
        mark = dim("○") if one.is_dropped else bad("✗") if one.error else good("✓")
        title = str(one.message.document.get("title"))
        error = bad(f"  {one.error}") if one.error else ""
        lines.append((" ", mark, " ", strong(one.message.channel), f"  {title}", error))
    lines += [(" ", strong(name), dim("  is being told by another process")) for name in found.busy]
    lines += [(" ", strong(name), dim("  has not answered yet")) for name in found.late]
    lines += [(" ", strong(name), dim(f"  is quiet until {session.clock(at)}")) for name, at in found.quiet.items()]
    return [*lines, *((warn(f" {problem}"),) for problem in found.problems)]


def _options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="ls | test [CHANNEL] | history | send",
        help="channels and what is wrong (default), send a test, what was wrong before, send what waits",
    )  # fmt: skip
    parser.add_argument("-n", "--limit", type=positive, metavar="N", help="how many alerts of the history (20)")
    parser.add_argument("--now", metavar="TIME", help="as if it were this time: for tests and trials")


COMMANDS = {
    "alert": Command(
        alert,
        _options,
        (("assetflow alert ls", "the channels, what waits for them, and what is wrong now"),
         ("assetflow alert test team", "send a message marked TEST; exit 1 when it does not arrive"),
         ("assetflow alert history -n 50", "what was wrong, for how long, and who was told"),
         ("assetflow alert send", "look for what is overdue, and send what waits")),
    ),
}  # fmt: skip
