"""`sensor`: what is looked at by itself, what came of it, and the runs that were asked for."""

from __future__ import annotations

import time
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any, cast

from assetflow.automation.locks import daemon_lock, holder
from assetflow.automation.rounds import look
from assetflow.automation.sensing import Watched, record_death, watch, watched_named
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.sensors import Sensors
from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, positive
from assetflow.cli.looks import look_document, request_document
from assetflow.cli.moments import given_now
from assetflow.cli.scheduling import (
    NO_JOBS,
    ask_child,
    daemon_words,
    holder_document,
    take_ticks,
    tick_line,
    unknown_lines,
)
from assetflow.cli.table import Cell, Column, Table, cell
from assetflow.cli.text import Line, Piece, Span, bad, count, dim, good, head, iso, strong, warn
from assetflow.errors import AssetFailed, UsageError
from assetflow.model.durations import words

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from assetflow.automation.declared import Declared
    from assetflow.cli.session import Session
    from assetflow.model.sensors import Look

_STATES = {"on": ("●", "good"), "running": ("▶", "head"), "paused": ("·", "warn"), "failing": ("✗", "bad")}
_ENDS = {
    "done": ("✓", "good"), "failed": ("✗", "bad"), "claimed": ("▶", "head"), "queued": ("·", "dim"),
    "requested": ("▶", "head"), "quiet": ("·", "dim"), "": ("·", "dim"),
}  # fmt: skip
_NONE: Line = (" no sensors; declare one with ", strong("@sensor"), ", or a job with ", strong("on_update"))
_ROUNDS = 20
"""One call looks at most so often: what a run changes may have a job look again, and so on."""

Document = Mapping[str, Any]


def sensor(session: Session, options: Namespace) -> Answer:
    """The list of sensors, or one of the other forms."""
    word, *rest = cast("list[str]", options.words) or ["ls"]
    if options.dry_run and word != "tick":
        raise UsageError("--dry-run is for `assetflow sensor tick`")
    if word == "ls" and not rest:
        return _ls(session, options)
    forms: dict[str, Callable[[Session, Namespace, str], Answer]] = {
        "pause": _pause, "resume": _resume, "history": _history,
    }  # fmt: skip
    if word in forms and len(rest) == 1:
        return forms[word](session, options, rest[0])
    if word == "tick" and options.dry_run and len(rest) == 1:
        return _dry(session, options, rest[0])
    if word == "tick" and len(rest) <= 1 and not options.dry_run:
        return _tick(session, options, rest[0] if rest else None)
    fix = f"assetflow sensor {word} SENSOR" if word in forms or options.dry_run else "assetflow sensor --help"
    raise UsageError(f"`sensor {' '.join(options.words)}` is not one of its forms", fix=fix)


# ------------------------------------------------------------------------------------------------------- looking


def _ls(session: Session, options: Namespace) -> Answer:
    known = session.declared()
    now = given_now(session, options.now, known.settings.tz)
    watched = watch(known, now)
    runner = holder(daemon_lock(known.settings))
    if not watched:
        return Answer(
            lambda: {"daemon": holder_document(runner), "sensors": []}, unknown_lines(known) or [_NONE]
        )  # fmt: skip
    columns = (
        Column("sensor", "SENSOR"), Column("when", "WHEN", least=10), Column("looked_at", "LOOKED"),
        Column("found", "FOUND", leave=1), Column("run", "LAST RUN"), Column("waiting", "WAITING", is_right=True),
        Column("state", "STATE"),
    )  # fmt: skip
    below: list[Line] = [(dim(f" {count(len(watched), 'sensor')} · {daemon_words(session, runner)}"),)]
    below += [
        (bad(f" {one.name}"), f" {one.last.note}") for one in watched if one.word == "failing" and one.last is not None
    ]
    return Answer(
        lambda: {
            "daemon": holder_document(runner),
            "sensors": [watched_document(one, now) for one in watched],
        },
        table=Table(columns, tuple(_row(session, one) for one in watched)),
        below=[*below, *unknown_lines(known)],
    )


def _row(session: Session, one: Watched) -> tuple[Cell, ...]:
    mark, style = _STATES[one.word]
    last, newest = one.last, one.newest
    found = None if last is None else count(last.requests, "request") if last.state == "requested" else last.state
    run: Line | None = None
    if newest is not None:
        run = (_mark(newest.state), f" {newest.state if newest.run_id is None else f'#{newest.run_id}'}")
    looked = one.state.looked_at
    return (
        cell(one.name, strong(one.name)),
        cell(when_words(one)),
        cell(None if looked is None else iso(looked), None if looked is None else session.clock(looked)),
        cell(found),
        cell(None if newest is None else newest.run_id, run),
        cell(len(one.waiting), warn(str(len(one.waiting))) if one.waiting else None),
        cell(one.word, Span(f"{mark} {one.word}", style)),
    )


def when_words(one: Watched) -> str:
    """`every 30 s`, or what a job waits for."""
    if one.spec is not None:
        return f"every {words(one.spec.every_s)}"
    if one.job is None:
        return ""
    return "on " + ", ".join(
        f"{update.project}:{asset}" if update.project else asset
        for update in one.job.on_update
        for asset in update.assets
    )


def watched_document(one: Watched, now: float) -> Document:
    """One sensor with what is recorded of it."""
    spec, state, upcoming = one.spec, one.state, one.next_at(now)
    return {
        "sensor": one.name, "kind": one.kind, "when": when_words(one),
        "every_s": None if spec is None else spec.every_s, "timeout_s": None if spec is None else spec.timeout_s,
        "description": None if spec is None else spec.description or None, "state": one.word, "is_due": one.is_due,
        "cursor": state.cursor, "looks": state.looks,
        "looked_at": None if state.looked_at is None else iso(state.looked_at),
        "next_at": None if upcoming is None else iso(upcoming),
        "last_look": None if one.last is None else look_document(one.last),
        "last_request": None if one.newest is None else request_document(one.newest),
        "waiting": len(one.waiting),
        "paused_at": None if state.paused_at is None else iso(state.paused_at),
        "paused_by": state.paused_by or None,
    }  # fmt: skip


def _mark(state: str) -> Piece:
    mark, style = _ENDS[state]
    return Span(mark, style)


def _history(session: Session, options: Namespace, name: str) -> Answer:
    known = session.declared()
    limit = options.limit or 20
    with closing(Catalog(known.settings.catalog_path)) as catalog:
        record = Sensors(catalog)
        looks, requests = record.looks(name, limit), record.requests(name, limit)
    if not looks and not requests:  # one that is gone may have a history, one that never was has none
        now = given_now(session, options.now, known.settings.tz)
        watched_named(watch(known, now), known, name)
        return Answer(
            lambda: {"sensor": name, "looks": [], "requests": []}, [(f" `{name}` has not been looked at yet",)]
        )
    lines: list[Line] = [_look_row(session, one) for one in looks]
    failed = looks[0].traceback.splitlines() if looks and looks[0].state == "failed" else []
    lines += [(dim(f"   {line}"),) for line in failed]
    if requests:
        lines += [("",), (head(" requests"),), *(request_line(request_document(one)) for one in requests)]
    return Answer(
        lambda: {
            "sensor": name,
            "looks": [look_document(one) for one in looks],
            "requests": [request_document(one) for one in requests],
        },
        lines,
    )


def _look_row(session: Session, one: Look) -> Line:
    times = session.clock(one.at) + (f" – {session.clock(one.last_at)}" if one.count > 1 else "")
    return (" ", _mark(one.state), f" {times}", dim(f"  {_look_facts(look_document(one))}"))


def _look_facts(one: Document) -> str:
    facts: list[str] = []
    if one["state"] == "failed":
        facts.append("failed")
    elif one["state"] == "quiet":
        facts.append(f"{count(one['count'], 'look')}, nothing new" if one["count"] > 1 else "nothing new")
    else:
        facts.append(count(one["requests"], "request"))
    facts += [f"{one['repeated']} left out: asked for before"] if one["repeated"] else []
    facts += [one["note"]] if one["note"] else []
    return " · ".join(facts)


def look_line(one: Document) -> Line:
    """` ▶ new_files  2 requests`."""
    facts = _look_facts(one)
    return (
        " ",
        _mark(one["state"]),
        " ",
        strong(one["sensor"]),
        "  ",
        bad(facts) if one["state"] == "failed" else facts,
    )


def request_line(one: Document) -> Line:
    """` ✓ new_files  orders -p 2026-01-05  run #12`."""
    asked = _asked_for(one["select"] or "all", one["partitions"])
    facts = [f"run #{one['run']}"] if one["run"] is not None else []
    facts += [one["note"]] if one["note"] else []
    facts += ["waits"] if one["state"] == "queued" else []
    line: Line = (" ", _mark(one["state"]), " ", strong(one["sensor"]), f"  {asked}")
    note = "  " + " · ".join(facts)
    return (*line, bad(note) if one["state"] == "failed" else dim(note)) if facts else line


def _asked_for(select: str, partitions: str | None) -> str:
    """`orders -p 2026-01-05`; where each asset has partitions of its own, `orders[2026-01-05] week[2026-01-07]`."""
    from assetflow.plan.slots import of_each

    each = of_each(partitions)
    if each is None:
        return f"{select} -p {partitions}" if partitions else select
    own = {str(key): f"{key}[{parts}]" for key, parts in each.items()}
    return " ".join(own.get(name, name) for name in select.split())


# --------------------------------------------------------------------------------------------- pausing and going on


def _pause(session: Session, options: Namespace, name: str) -> Answer:
    from assetflow.run.locks import user_name

    return _switch(session, options, name, user_name())


def _resume(session: Session, options: Namespace, name: str) -> Answer:
    return _switch(session, options, name, None)


def _switch(session: Session, options: Namespace, name: str, by: str | None) -> Answer:
    known = session.declared()
    now = given_now(session, options.now, known.settings.tz)
    watched_named(watch(known, now), known, name)
    with closing(Catalog(known.settings.catalog_path, write=True)) as catalog:
        is_new = Sensors(catalog).pause(name, by, now)
    if by is not None:
        said = (" is paused" if is_new else " was paused already", dim(" · it goes on where it is now"))
    else:
        said = (" goes on where it was" if is_new else " was not paused",)
    return Answer(lambda: {"sensor": name, "paused": by is not None, "changed": is_new}, [(" ", strong(name), *said)])


# --------------------------------------------------------------------------------------------------------- running


def _dry(session: Session, options: Namespace, name: str) -> Answer:
    """What a sensor would ask for; nothing is recorded."""
    known = session.declared()
    now = given_now(session, options.now, known.settings.tz)
    one = watched_named(watch(known, now), known, name)
    document, code = ask_child(session, options, "__look", name, "--dry-run", timeout_s=_patience(one))
    if document is None:
        raise AssetFailed(f"the sensor `{name}` gave no answer (exit code {code})", fix="see what it wrote above")
    if "problem" in document:
        raise AssetFailed(document["problem"], facts=document["facts"], fix="correct the sensor; its cursor stays")
    asked = [{**request, "state": ""} for request in document["requests"]]
    lines: list[Line] = [request_line(request) for request in asked] or [(" ", good("●"), f" {name} asks for nothing")]
    lines += [(dim(f" cursor: {_short(one.state.cursor)} → {_short(document['cursor'])}; nothing is recorded"),)]
    return Answer(
        lambda: {"sensor": name, "requests": asked, "cursor": document["cursor"], "cursor_now": one.state.cursor}, lines
    )


def _short(text: str | None) -> str:
    return "none" if text is None else text if len(text) <= 60 else f"{text[:59]}…"


def _tick(session: Session, options: Namespace, name: str | None) -> Answer:
    """Look at what is due, or at one whether or not it is, and run what is asked for."""
    known = session.declared()
    if name is not None:
        now = given_now(session, options.now, known.settings.tz)
        watched_named(watch(known, now), known, name)
    looks, requests = _turn(session, options, known, name)
    return _answer(known, (), (), looks, requests)


def run_once(session: Session, options: Namespace) -> Answer:
    """Everything that is due now: ticks of jobs, looks of sensors, and the runs that they ask for."""
    known = session.declared()
    ticks, busy = take_ticks(session, options, known, None)
    looks, requests = _turn(session, options, known, None)
    upcoming = [one.next for one in look(known.settings, given_now(session, options.now, known.settings.tz))]
    coming = min((at for at in upcoming if at is not None), default=None)
    return _answer(known, ticks, busy, looks, requests, "" if coming is None else f" · next {session.clock(coming)}")


def _turn(
    session: Session, options: Namespace, known: Declared, name: str | None
) -> tuple[list[Document], list[Document]]:
    """Look and run until nothing is left to do; what came of looks, and of requests."""
    looks: list[Document] = []
    requests: list[Document] = []
    seen: set[str] = set()
    for _ in range(_ROUNDS):
        now = time.time() if options.now is None else given_now(session, options.now, known.settings.tz)
        chosen = [one for one in watch(known, now) if name in (None, one.name)]
        due = [one for one in chosen if one.is_due or (one.name == name and not (seen or one.state.is_paused))]
        due = [one for one in due if one.spec is None or one.name not in seen]  # what has its times is looked at once
        for one in due:
            seen.add(one.name)
            looks += _look(session, options, known, one, now)
        busy = [one for one in watch(known, now) if name in (None, one.name) and one.has_work]
        for one in busy:
            requests += _requests(session, options, one.name)
        if not due and not busy:
            break
    return looks, requests


def _look(session: Session, options: Namespace, known: Declared, one: Watched, now: float) -> list[Document]:
    document, code = ask_child(session, options, "__look", one.name, timeout_s=_patience(one))
    if document is not None:
        return [] if document["look"] is None else [document["look"]]
    from assetflow.automation.daemon import death_words

    failed = None if one.spec is None else record_death(known.settings, one.spec, death_words(code), now)
    return [] if failed is None else [look_document(failed)]


def _patience(one: Watched) -> float | None:
    return None if one.spec is None else one.spec.timeout_s + 15.0


def _requests(session: Session, options: Namespace, name: str) -> list[Document]:
    done: list[Document] = []
    is_more = True
    while is_more:
        document, _ = ask_child(session, options, "__request", name)
        if document is None:  # its process died: what it was at is taken up by the next call
            break
        done += document["requests"]
        is_more = document["more"]
    return done


def _answer(
    known: Declared,
    ticks: Sequence[Document],
    busy: Sequence[str],
    looks: Sequence[Document],
    requests: Sequence[Document],
    upcoming: str = "",
) -> Answer:
    told = [one for one in looks if one["state"] != "quiet"]
    lines: list[Line] = [tick_line(one) for one in ticks]
    lines += [(" ", strong(name), dim("  is being run by another process")) for name in busy]
    lines += [look_line(one) for one in told] + [request_line(one) for one in requests]
    if not lines:
        nothing = f" nothing new in {count(len(looks), 'look')}{upcoming}" if looks else f" nothing is due{upcoming}"
        lines = [(" ", good("●"), nothing)] if known.has_any else [NO_JOBS]
    failed = [one.get("job") or one["sensor"] for one in (*ticks, *looks, *requests) if one["state"] == "failed"]
    names = ", ".join(f"`{name}`" for name in dict.fromkeys(failed))
    is_of_job = any(one["state"] == "failed" for one in ticks)  # then the first one is
    fix = f"assetflow {'schedule' if is_of_job else 'sensor'} history {failed[0]}" if failed else None
    return Answer(
        lambda: {"ticks": list(ticks), "busy": list(busy), "looks": list(looks), "requests": list(requests)},
        lines,
        exit_code=1 if failed else 0,
        failure=AssetFailed(f"{names} failed", fix=fix) if failed else None,
    )


def _options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "words", nargs="*", metavar="ls | tick [SENSOR] | pause SENSOR | resume SENSOR | history SENSOR",
        help="the list (default), look now and run what is asked for, hold it and go on, what came of its looks",
    )  # fmt: skip
    parser.add_argument("-n", "--limit", type=positive, metavar="N", help="how many (history: 20)")
    parser.add_argument("--dry-run", action="store_true", help="with tick: what it would ask for; nothing is recorded")
    parser.add_argument("--now", metavar="TIME", help="as if it were this time: for tests and trials")


COMMANDS = {
    "sensor": Command(
        sensor,
        _options,
        (("assetflow sensor ls", "the sensors, and what they found last"),
         ("assetflow sensor tick new_files --dry-run", "what it would ask for; its cursor stays"),
         ("assetflow sensor tick", "look at those that are due, and run what they ask for"),
         ("assetflow sensor pause new_files", "until sensor resume new_files"),
         ("assetflow sensor history new_files", "its looks and requests, and why it failed")),
    ),
}  # fmt: skip
