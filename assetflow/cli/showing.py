"""`show` and `history`: one asset."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, positive
from assetflow.cli.documents import history_document, time_or_none, view_document
from assetflow.cli.render_show import history_table, show_lines
from assetflow.cli.text import Line, count, dim, state_mark
from assetflow.model.durations import words

if TYPE_CHECKING:
    from assetflow.cli.session import Session


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
    key = project.graph.resolve(options.asset)
    entries, refused = project.history(key, options.limit), project.rejected(key)

    def data() -> object:
        rejected = [
            {"version": one.number, "made_at": time_or_none(one.created_at), "rows": one.rows} for one in refused
        ]
        entered = [history_document(entry) for entry in entries]
        return {"asset": key, "env": project.env, "history": entered, "rejected": rejected}

    below: list[Line] = [
        (" ", state_mark("rejected"), f" v{one.number} was rejected by a check · {session.clock(one.created_at)}"
         f" · look at it: assetflow preview {key}@{one.number}")
        for one in refused[:_REJECTED]
    ]  # fmt: skip
    if not entries:
        none: Line = (f" {key} has no versions yet; make one with  assetflow materialize {key}",)
        return Answer(data, [none, *below])
    counts = f" {count(len(entries), 'entry', 'entries')} · env {project.env} · {words(session.elapsed_s)}"
    return Answer(data, table=history_table(entries, session), below=[*below, (dim(counts),)])


def _show_options(parser: ArgumentParser) -> None:
    parser.add_argument("asset", metavar="ASSET", help="a key, or the last part of one")
    parser.add_argument("--code", action="store_true", help="with the text of the function")
    parser.add_argument("--schema", action="store_true", help="every column")


def _history_options(parser: ArgumentParser) -> None:
    parser.add_argument("asset", metavar="ASSET", help="a key, or the last part of one")
    parser.add_argument("-n", "--limit", type=positive, default=20, metavar="N", help="how many (default 20)")


COMMANDS = {
    "show": Command(show, _show_options, (("assetflow show orders", "state, version, inputs, schema, checks"),)),
    "history": Command(history, _history_options, (("assetflow history orders -n 5", "the last five versions"),)),
}
