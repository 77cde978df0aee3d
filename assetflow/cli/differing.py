"""`diff`: how two versions differ."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, natural
from assetflow.cli.render_diff import paths_table, rows_table, table_lines, value_lines
from assetflow.errors import UsageError
from assetflow.io.diff_results import TableDiff

if TYPE_CHECKING:
    from assetflow.cli.session import Session

DIFFERENT = 4
"""The exit code with `--exit-code` when there is a difference."""


def diff(session: Session, options: Namespace) -> Answer:
    """How two versions differ, and why."""
    if options.schema and (options.stats or options.rows or options.export or options.where):
        raise UsageError("`--schema` reads no data, so it goes with no other part", fix="leave out --schema")
    found = session.project().diff(
        options.old,
        options.new,
        key=_names(options.key) or (),
        columns=_names(options.columns),
        where=options.where,
        tolerance=options.tolerance,
        limit=options.limit,
        schema_only=options.schema,
        stats=options.stats,
        export=options.export,
    )
    code = DIFFERENT if options.exit_code and found.is_different else 0
    ending = (f"{found.old.name} and {found.new.name} differ (exit {DIFFERENT})",) if code else ()
    if isinstance(found, TableDiff):
        lines = table_lines(found, session, only_rows=options.rows, export=options.export)
        table = rows_table(found)
    else:
        lines, table = value_lines(found, session), paths_table(found)
    return Answer(found.to_json, lines, table, exit_code=code, ending=ending)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _amount(text: str) -> float:
    from argparse import ArgumentTypeError

    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 <= found < float("inf"):
        raise ArgumentTypeError(f"`{text}` is not a number of 0 or more")
    return found


def _options(parser: ArgumentParser) -> None:
    parser.add_argument("old", metavar="OLD", help="an asset, maybe with a version: orders@3, orders@HEAD~1")
    parser.add_argument("new", nargs="?", metavar="NEW", help="another one (default: the current version of OLD)")
    parser.add_argument("--key", metavar="NAMES", help="columns that tell rows apart: id,day (default: found)")
    parser.add_argument("-c", "--columns", metavar="NAMES", help="compare only these columns")
    parser.add_argument("--where", metavar="SQL", help='compare only rows for which this is true: "amount > 10"')
    parser.add_argument("--tolerance", type=_amount, metavar="X", help="numbers that are this close count as equal")
    parser.add_argument("--limit", type=natural, default=20, metavar="N", help="how many rows to show (default 20)")
    parser.add_argument("--schema", action="store_true", help="columns alone, without reading data")
    parser.add_argument("--stats", action="store_true", help="nulls, range, mean and histogram of what differs")
    parser.add_argument("--rows", action="store_true", help="the rows alone")
    parser.add_argument("--export", metavar="FILE", help="write all rows that differ to a .parquet or .csv file")
    parser.add_argument("--exit-code", action="store_true", help="exit 4 when there is a difference")


COMMANDS = {
    "diff": Command(
        diff,
        _options,
        (("assetflow diff orders", "the current version and the one before"),
         ("assetflow diff orders@3 orders@5", "two versions"),
         ("assetflow diff orders@3 --stats", "an older version and the current one, with profiles"),
         ("assetflow diff orders --export changes.parquet", "every row that differs")),
    ),
}  # fmt: skip
