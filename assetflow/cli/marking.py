"""`accept`, `invalidate` and `mark`: what people know and assetflow cannot."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command
from assetflow.cli.pointing import wait_seconds
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import Line, aligned, count, dim, head, shell, strong
from assetflow.errors import UsageError
from assetflow.model.keys import AssetKey, slot, split_slot

if TYPE_CHECKING:
    from assetflow.cli.session import Session
    from assetflow.marking import Marked

_FEW = 6


def accept(session: Session, options: Namespace) -> Answer:
    """Let versions stand for the code and the inputs of now."""
    project = session.project()
    act = project.revoke if options.revoke else project.accept
    found = act(" ".join(options.selection), reason=options.reason, wait_s=wait_seconds(options.wait))
    keys = _names(session, found)
    look = ["assetflow", "plan", *dict.fromkeys(split_slot(key)[0] for key, _ in found.assets)]
    undo = look if options.revoke else ["assetflow", "accept", "--revoke", *keys]
    said = "they are what they were before: " if options.revoke else "to take it back: "
    return _answer(session, found, said, undo)


def invalidate(session: Session, options: Namespace) -> Answer:
    """Let nothing that was computed of assets count any more."""
    project, wait_s = session.project(), wait_seconds(options.wait)
    found = project.invalidate(" ".join(options.selection), reason=options.reason, wait_s=wait_s)
    return _answer(session, found, "to run them again: ", _again(found))


def mark(session: Session, options: Namespace) -> Answer:
    """Overrule what the planner says."""
    if options.current == options.stale:
        raise UsageError("say what to mark it: current or stale", fix="--current or --stale")
    state = "current" if options.current else "stale"
    found = session.project().mark(
        " ".join(options.selection), state, reason=options.reason, wait_s=wait_seconds(options.wait)
    )
    if state == "current":
        return _answer(
            session, found, "to take it back: ", ["assetflow", "accept", "--revoke", *_names(session, found)]
        )
    return _answer(session, found, "to run them again: ", _again(found))


def _names(session: Session, found: Marked) -> list[str]:
    """The assets that were marked, and of each with partitions these in one: `net[2026-01-01..2026-01-31]`."""
    parts: dict[AssetKey, list[str]] = {}
    for key, _ in found.assets:
        asset, partition = split_slot(key)
        parts.setdefault(asset, []).append(partition)
    specs = session.project().graph.specs
    return [
        asset if not own[0] or (definition := specs[asset].partitions) is None
        else slot(asset, definition.text(definition.ordinals(own)))
        for asset, own in parts.items()
    ]  # fmt: skip


def _again(found: Marked) -> list[str]:
    """The command that makes what was marked; a few partitions of one asset are named."""
    slots = [split_slot(key) for key, _ in found.assets]
    assets, parts = list(dict.fromkeys(key for key, _ in slots)), [part for _, part in slots if part]
    named = ["-p", ",".join(parts)] if parts and len(assets) == 1 and len(parts) <= _FEW else []
    return ["assetflow", "materialize", *assets, *named]


def _answer(session: Session, found: Marked, what: str, command: list[str]) -> Answer:
    rows: list[tuple[Line | str, ...]] = [
        ((strong(key),), "–" if number is None else f"v{number}") for key, number in found.assets
    ]
    if len(rows) > _FEW and (folded := _names(session, found)) != [key for key, _ in found.assets]:
        rows = [((strong(name),),) for name in folded]
    amount = count(len(found.assets), "partition" if all("[" in key for key, _ in found.assets) else "asset")
    left: list[tuple[Line | str, ...]] = [((strong(key),), (dim(why),)) for key, why in found.left]
    title = f" {found.did} {amount} · env {found.env}" if rows else f" nothing {found.did}"
    lines: list[Line] = [(title,), *aligned(rows, indent=3), *aligned(left, indent=3)]
    columns = (Column("asset", "ASSET"), Column("version", "VERSION", is_right=True))
    table = Table(columns, tuple((cell(key), cell(number)) for key, number in found.assets))
    hints: tuple[Line, ...] = ((head(" next  "), dim(what), shell(command)),) if rows else ()
    return Answer(found.to_json, lines, table, hints=hints)


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("selection", nargs="+", metavar="SELECTION", help="which assets")
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
         ("assetflow accept 'visits[2026-01-01..2026-01-31]'", "of an asset with partitions, those of January"),
         ("assetflow accept --revoke orders", "take it back")),
    ),
    "invalidate": Command(
        invalidate,
        _options,
        (("assetflow invalidate rates --reason 'the feed was wrong'", "it runs again, and nothing old is linked"),
         ("assetflow invalidate 'orders+'", "orders and all that is made of it")),
    ),
    "mark": Command(
        mark,
        _mark_options,
        (("assetflow mark orders --current --reason 'checked by hand'", "as accept, for the history"),
         ("assetflow mark orders --stale --reason 'the store was edited'", "as invalidate")),
    ),
}  # fmt: skip
