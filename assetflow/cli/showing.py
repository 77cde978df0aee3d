"""`show` and `history`: one asset."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, positive
from assetflow.cli.documents import history_document, time_or_none, view_document
from assetflow.cli.render_show import history_table, show_lines
from assetflow.cli.text import Line, count, dim, head, shell, state_mark
from assetflow.errors import UsageError
from assetflow.model.durations import words
from assetflow.model.keys import AssetKey, arguments_of, slot
from assetflow.plan.named import written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetflow.cli.session import Session
    from assetflow.model.records import Version
    from assetflow.project import Project
    from assetflow.views import HistoryEntry


_REJECTED = 3
"""So many rejected versions are shown below a history."""


def show(session: Session, options: Namespace) -> Answer:
    """Everything about one asset."""
    view = session.project().show(options.asset, now=session.now)
    lines = show_lines(view, session, with_code=options.code, with_schema=options.schema or options.verbose)

    def data() -> object:
        document = view_document(view)
        return {**document, "code": view.source_text} if options.code else document

    return Answer(data, lines)


def history(session: Session, options: Namespace) -> Answer:
    """How an asset came to be what it is, newest first."""
    project = session.project()
    key = _named(project, options.asset)
    entries, refused = project.history(key, options.limit), project.rejected(key)

    def data() -> object:
        rejected = [
            {
                "version": one.number,
                "partition": one.partition or None,
                "made_at": time_or_none(one.created_at),
                "rows": one.rows,
            }
            for one in refused
        ]
        entered = [history_document(entry) for entry in entries]
        return {"asset": key, "env": project.env, "history": entered, "rejected": rejected}

    below: list[Line] = [
        (" ", state_mark("rejected"), f" v{one.number}{_of(one)} was rejected by a check · "
         f"{session.clock(one.created_at)} · look at it: {shell(['assetflow', 'preview', one.name])}")
        for one in refused[:_REJECTED]
    ]  # fmt: skip
    if not entries:
        make = shell(["assetflow", "materialize", *arguments_of(key)])
        none: Line = (f" {key} has no versions yet; make one with  {make}",)
        return Answer(data, [none, *below])
    counts = f" {count(len(entries), 'entry', 'entries')} · env {project.env} · {words(session.elapsed_s)}"
    hints = _comparison(entries) if "[" in key else ()
    return Answer(data, table=history_table(entries, session), below=[*below, (dim(counts),)], hints=hints)


def _named(project: Project, text: str) -> AssetKey:
    """The asset with its full key, and the brackets as they were written."""
    parts = written(text)
    if parts.version is not None:
        raise UsageError(f"`{text}` has a version, and its history has all of them", fix=f"write {parts.name}")
    return slot(project.graph.resolve(parts.asset), parts.partitions)


def _of(version: Version) -> str:
    return f" of {version.slot}" if version.partition else ""


def _comparison(entries: Sequence[HistoryEntry]) -> tuple[Line, ...]:
    """How to compare the newest version of a partition with the one before it."""
    for entry in entries:
        new = entry.head.version
        old = next((one.head.version for one in entries if one.head.version.slot == new.slot
                    and one.head.version.number != new.number), None)  # fmt: skip
        if entry.is_current and old is not None:
            return ((head(" next  "), shell(["assetflow", "diff", old.name, new.name])),)
    return ()


_ASSET = "a key, or the last part of one; orders[2026-01-05] is one partition of it"


def _show_options(parser: ArgumentParser) -> None:
    parser.add_argument("asset", metavar="ASSET", help=_ASSET)
    parser.add_argument("--code", action="store_true", help="with the text of the function")
    parser.add_argument("--schema", action="store_true", help="every column")


def _history_options(parser: ArgumentParser) -> None:
    parser.add_argument("asset", metavar="ASSET", help=_ASSET + ", or several: orders[2026-01]")
    parser.add_argument("-n", "--limit", type=positive, default=20, metavar="N", help="how many (default 20)")


COMMANDS = {
    "show": Command(
        show,
        _show_options,
        (("assetflow show orders", "state, version, inputs, schema, checks"),
         ("assetflow show 'orders[2026-01-05]'", "one partition of it")),
    ),
    "history": Command(
        history,
        _history_options,
        (("assetflow history orders -n 5", "the last five versions"),
         ("assetflow history 'orders[2026-01-05]'", "those of one partition")),
    ),
}  # fmt: skip
