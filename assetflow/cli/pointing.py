"""`rollback`, `pin` and `unpin`: moving what is current without computing anything."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.asking import confirmed
from assetflow.cli.command import Command
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import Line, aligned, count, dim, head, shell, strong
from assetflow.errors import UsageError
from assetflow.model.durations import seconds
from assetflow.model.keys import AssetKey, split_slot
from assetflow.plan.named import bracketed

_MOST_NAMED, _MOST_ROWS = 6, 200

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetflow.cli.session import Session
    from assetflow.pointing import PointerMoves


def rollback(session: Session, options: Namespace) -> Answer:
    """Make earlier versions current again."""

    def agree(moves: PointerMoves) -> bool:
        if not options.yes:
            session.screen.notes(moves_lines(moves, " would roll back"))
        return confirmed(session, options, "roll back?")

    found = session.project().rollback(
        " ".join(options.selection),
        to=options.to,
        downstream=options.downstream,
        reason=options.reason,
        dry_run=options.dry_run,
        wait_s=wait_seconds(options.wait),
        confirm=agree,
    )
    for text in found.warnings:
        session.screen.warning(text)
    if not found.moves:
        return Answer(found.to_json, [(" nothing to roll back",), *_left(found)], moves_table(found))
    title = " rolled back" if found.done else " would roll back"
    lines = moves_lines(found, title)
    if not found.done:
        lines.append((dim(" nothing was changed"),))
        return Answer(found.to_json, lines, moves_table(found))
    return Answer(found.to_json, lines, moves_table(found), hints=(_until(found),))


def pin(session: Session, options: Namespace) -> Answer:
    """Keep assets at their versions."""
    found = session.project().pin(options.selection, reason=options.reason, wait_s=wait_seconds(options.wait))
    for text in found.warnings:
        session.screen.warning(text)
    if not found.moves:
        return Answer(found.to_json, [(" nothing selected, nothing pinned",)], moves_table(found))
    return Answer(found.to_json, moves_lines(found, " pinned"), moves_table(found), hints=(_until(found),))


def unpin(session: Session, options: Namespace) -> Answer:
    """Let runs have pinned assets again."""
    project = session.project()
    keys = project.unpin(" ".join(options.selection))
    plan = shell(["assetflow", "plan", *meant(keys, options.selection)])
    names = ", ".join(keys) if len(keys) <= _MOST_ROWS else things(keys)
    return Answer(
        lambda: {"env": project.env, "unpinned": list(keys)},
        [(f" unpinned {names} · env {project.env}",)] if keys else [(" nothing of this is pinned",)],
        hints=((head(" next  "), plan),) if keys else (),
    )


def moves_lines(found: PointerMoves, title: str) -> list[Line]:
    """The moves, one on a line, and what stays."""
    rows: list[tuple[Line | str, ...]] = []
    for one in found.moves:
        before = "–" if one.before is None else f"v{one.before}"
        change = f"v{one.after}" if one.before == one.after else f"{before} → v{one.after}"
        rows.append(((strong(one.asset),), change, (dim("" if one.is_selected else "made of what is selected"),)))
    lines: list[Line] = [(f"{title} {things([one.asset for one in found.moves])} · env {found.env}",)]
    return [*lines, *few(rows), *_left(found)]


def _left(found: PointerMoves) -> list[Line]:
    return few([((strong(key),), (dim(f"stays: {why}"),)) for key, why in found.left])


def things(keys: Sequence[AssetKey]) -> str:
    """`3 assets`, `2 partitions`, or both."""
    parts = sum(bool(split_slot(key)[1]) for key in keys)
    words = [count(len(keys) - parts, "asset")] if len(keys) > parts or not parts else []
    return " and ".join([*words, *([count(parts, "partition")] if parts else [])])


def few(rows: Sequence[tuple[Line | str, ...]]) -> list[Line]:
    """The rows below a title; of many partitions the first."""
    shown = rows if len(rows) <= _MOST_ROWS else rows[: _MOST_ROWS - 1]
    more = len(rows) - len(shown)
    return [*aligned(shown, indent=3), *([(dim(f"   … and {more:,} more (--json has all)"),)] if more else [])]


def meant(keys: Sequence[AssetKey], selection: Sequence[str]) -> Sequence[str]:
    """How to name again what was done: each, or of many partitions the words with brackets, or else their assets."""
    if len(keys) <= _MOST_NAMED or not any(split_slot(key)[1] for key in keys):
        return keys
    return selection if bracketed(selection) else list(dict.fromkeys(split_slot(key)[0] for key in keys))


def _until(found: PointerMoves) -> Line:
    keys = [one.asset for one in found.moves]
    words = keys if len(keys) <= _MOST_NAMED else ["is:pinned"]
    return (dim(" no run moves this until  "), shell(["assetflow", "unpin", *words]))


def moves_table(found: PointerMoves) -> Table:
    """One row for each asset."""
    columns = (Column("asset", "ASSET"), Column("from", "FROM", is_right=True), Column("to", "TO", is_right=True))
    return Table(columns, tuple((cell(one.asset), cell(one.before), cell(one.after)) for one in found.moves))


def wait_seconds(text: str | None) -> float:
    """The value of `--wait` in seconds.

    Raises:
        UsageError: it is not a duration.
    """
    if text is None:
        return 0.0
    try:
        return seconds(text)
    except ValueError as error:
        raise UsageError(str(error), fix="--wait 5m") from error


def _selection(parser: ArgumentParser, summary: str) -> None:
    parser.add_argument("selection", nargs="+", metavar="SELECTION", help=summary)


def _why_and_wait(parser: ArgumentParser) -> None:
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the history and for who sees the pin")
    parser.add_argument("--wait", metavar="TIME", help="wait this long for a run that is going on, such as 5m")


def _rollback_options(parser: ArgumentParser) -> None:
    _selection(parser, "which assets, or partitions: orders[2026-01-05]")
    parser.add_argument(
        "--to",
        default="HEAD~1",
        metavar="VERSION",
        help="3, HEAD~1 (the default: the version before), run:41 or a time",
    )
    parser.add_argument(
        "--downstream", action="store_true", help="with all that is made of them, as it was at that moment"
    )
    parser.add_argument("--dry-run", action="store_true", help="show what would move and change nothing")
    _why_and_wait(parser)


def _pin_options(parser: ArgumentParser) -> None:
    _selection(parser, "which assets, or partitions; orders@3 makes version 3 current first")
    _why_and_wait(parser)


def _unpin_options(parser: ArgumentParser) -> None:
    _selection(parser, "which assets; is:pinned for all that are pinned")


COMMANDS = {
    "rollback": Command(
        rollback,
        _rollback_options,
        (("assetflow rollback orders", "the version before this one"),
         ("assetflow rollback orders --to 3 --downstream", "and all that is made of it, as it was then"),
         ("assetflow rollback 'orders[2026-01-05]'", "one of its partitions"),
         ("assetflow rollback '*' --to run:41 --dry-run", "what the project was after run 41")),
    ),
    "pin": Command(
        pin,
        _pin_options,
        (("assetflow pin fx_rates", "keep it at the version that is current"),
         ("assetflow pin fx_rates@3 --reason 'as in the contract'", "make version 3 current and keep it")),
    ),
    "unpin": Command(
        unpin,
        _unpin_options,
        (("assetflow unpin fx_rates", "let runs have it again"), ("assetflow unpin is:pinned", "all of them")),
    ),
}  # fmt: skip
