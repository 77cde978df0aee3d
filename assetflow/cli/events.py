"""The events of a run, as `runs show RUN --events` shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, cast

from assetflow.cli.answer import Answer
from assetflow.cli.documents import run_document
from assetflow.cli.table import Column, Table, cell, jsonable
from assetflow.cli.text import BLANK, Line, dim, strong
from assetflow.model.durations import words

if TYPE_CHECKING:
    from assetflow.project import Project

Facts = Mapping[str, object]


def events_answer(project: Project, run_id: int, title: Line) -> Answer:
    """All recorded events of a run, below the title of the run."""
    run, _ = project.run_details(run_id)
    found = project.events(run_id)
    lines = [_line(event) for event in found] or [(dim("   no events were recorded"),)]
    return Answer(
        lambda: {**run_document(run), "events": [jsonable(event) for event in found]},
        [title, *lines] if found else [title, BLANK, *lines],
        events_table(found),
    )


def events_table(found: Sequence[Facts]) -> Table:
    """One row for each event."""
    columns = (
        Column("seq", "SEQ", is_right=True), Column("ts", "TIME"), Column("type", "EVENT"), Column("asset", "ASSET"),
        Column("text", "WHAT"),
    )  # fmt: skip
    rows = [
        (*(cell(event.get(name)) for name in ("seq", "ts", "type", "asset")), cell(_words(event))) for event in found
    ]
    return Table(columns, tuple(rows))


def _line(event: Facts) -> Line:
    clock = str(event.get("ts", "")).partition("T")[2].rstrip("Z")
    asset = event.get("asset")
    name = (strong(str(asset)), "  ") if asset is not None else ("",)
    return (dim(f" {event.get('seq', ''):>3}  {clock}  "), f"{event.get('type', '')!s:<18}  ", *name, _words(event))


def _words(event: Facts) -> str:
    """What happened, in one line: the error, the reasons, or the facts of the run."""
    error = event.get("error")
    if isinstance(error, Mapping):
        facts = cast("Facts", error)
        return f"{facts.get('type')}: {facts.get('message')}".partition("\n")[0]
    if isinstance(event.get("blocked_by"), list) and event["blocked_by"]:
        return f"waited for {', '.join(cast('list[str]', event['blocked_by']))}"
    if event.get("version") is not None and event.get("type") != "asset_started":
        return f"v{event['version']}"
    reasons = event.get("reasons")
    if isinstance(reasons, list) and reasons:
        return str(cast("list[Facts]", reasons)[0].get("code", ""))
    if event.get("message"):
        return str(event["message"])
    facts = {name: event[name] for name in ("env", "ok", "running") if name in event}
    for name in ("planned", "counts"):
        facts |= cast("Facts", event.get(name) or {})
    facts |= {name: event[name] for name in ("current", "workers") if name in event}
    said = [f"{name}={str(value).lower() if isinstance(value, bool) else value}" for name, value in facts.items()]
    took = event.get("seconds")
    return " ".join([*said, *([words(took)] if isinstance(took, float) else [])])
