"""`accept`, `invalidate` and `mark`: what people know and assetflow cannot."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command
from assetflow.cli.pointing import few, meant, things, wait_seconds
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import Line, dim, head, shell, strong
from assetflow.errors import UsageError
from assetflow.model.keys import split_slot

if TYPE_CHECKING:
    from assetflow.cli.session import Session
    from assetflow.marking import Marked

_FEW = 6


def accept(session: Session, options: Namespace) -> Answer:
    """Let versions stand for the code and the inputs of now."""
    project = session.project()
    act = project.revoke if options.revoke else project.accept
    found = act(" ".join(options.selection), reason=options.reason, wait_s=wait_seconds(options.wait))
    keys = meant([key for key, _ in found.assets], options.selection)
    undo = ["assetflow", "plan", *keys] if options.revoke else ["assetflow", "accept", "--revoke", *keys]
    return _answer(found, "they are what they were before: " if options.revoke else "to take it back: ", undo)


def invalidate(session: Session, options: Namespace) -> Answer:
    """Let nothing that was computed of assets count any more."""
    project, wait_s = session.project(), wait_seconds(options.wait)
    found = project.invalidate(" ".join(options.selection), reason=options.reason, wait_s=wait_s)
    return _answer(found, "to run them again: ", _again(found))


def mark(session: Session, options: Namespace) -> Answer:
    """Overrule what the planner says."""
    if options.current == options.stale:
        raise UsageError("say what to mark it: current or stale", fix="--current or --stale")
    state = "current" if options.current else "stale"
    found = session.project().mark(
        " ".join(options.selection), state, reason=options.reason, wait_s=wait_seconds(options.wait)
    )
    if state == "current":
        keys = meant([key for key, _ in found.assets], options.selection)
        return _answer(found, "to take it back: ", ["assetflow", "accept", "--revoke", *keys])
    return _answer(found, "to run them again: ", _again(found))


def _again(found: Marked) -> list[str]:
    """The command that makes what was marked; a few partitions of one asset are named."""
    slots = [split_slot(key) for key, _ in found.assets]
    assets, parts = list(dict.fromkeys(key for key, _ in slots)), [part for _, part in slots if part]
    named = ["-p", ",".join(parts)] if parts and len(assets) == 1 and len(parts) <= _FEW else []
    return ["assetflow", "materialize", *assets, *named]


def _answer(found: Marked, what: str, command: list[str]) -> Answer:
    rows: list[tuple[Line | str, ...]] = [
        ((strong(key),), "–" if number is None else f"v{number}") for key, number in found.assets
    ]
    left: list[tuple[Line | str, ...]] = [((strong(key),), (dim(why),)) for key, why in found.left]
    did = things([key for key, _ in found.assets])
    title = f" {found.did} {did} · env {found.env}" if rows else f" nothing {found.did}"
    lines: list[Line] = [(title,), *few(rows), *few(left)]
    columns = (Column("asset", "ASSET"), Column("version", "VERSION", is_right=True))
    table = Table(columns, tuple((cell(key), cell(number)) for key, number in found.assets))
    hints: tuple[Line, ...] = ((head(" next  "), dim(what), shell(command)),) if rows else ()
    return Answer(found.to_json, lines, table, hints=hints)


def _options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "selection", nargs="+", metavar="SELECTION", help="which assets, or partitions: orders[2026-01-05]"
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the history")
    parser.add_argument("--wait", metavar="TIME", help="wait this long for a run that is going on, such as 5m")


def _accept_options(parser: ArgumentParser) -> None:
    _options(parser)
    parser.add_argument("--revoke", action="store_true", help="take back what was accepted")


def _mark_options(parser: ArgumentParser) -> None:
    _options(parser)
    parser.add_argument("--current", action="store_true", help="what there is stands for the code and inputs of now")
    parser.add_argument("--stale", action="store_true", help="what there is must be computed again")


COMMANDS = {
    "accept": Command(
        accept,
        _accept_options,
        (("assetflow accept orders --reason 'only renamed a helper'", "the edit cannot change the result"),
         ("assetflow accept 'orders[2026-01-05]'", "one of its partitions"),
         ("assetflow accept --revoke orders", "take it back")),
    ),
    "invalidate": Command(
        invalidate,
        _options,
        (("assetflow invalidate rates --reason 'the feed was wrong'", "it runs again, and nothing old is linked"),
         ("assetflow invalidate 'orders+'", "orders and all that is made of it"),
         ("assetflow invalidate 'orders[2026-01-05..2026-01-07]'", "some of its partitions")),
    ),
    "mark": Command(
        mark,
        _mark_options,
        (("assetflow mark orders --current --reason 'checked by hand'", "as accept, for the history"),
         ("assetflow mark orders --stale --reason 'the store was edited'", "as invalidate")),
    ),
}  # fmt: skip
