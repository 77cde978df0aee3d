"""`preview` and `sql`: the data itself."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assetflow.cli.answer import Answer
from assetflow.cli.command import Command, natural
from assetflow.cli.table import Cell, Column, Table, formatted
from assetflow.cli.text import Line, Span, count, dim, number, size
from assetflow.errors import ContractBroken, NoSuchVersion, QueryError, UsageError
from assetflow.model.durations import words
from assetflow.model.versions import parse_version
from assetflow.plan.named import has_partitions, written

if TYPE_CHECKING:
    from assetflow.cli.session import Session

WIDEST = 60
"""How many columns of the screen one value may take."""


def preview(session: Session, options: Namespace) -> Answer:
    """The first rows of an asset."""
    columns = None if options.columns is None else [name.strip() for name in options.columns.split(",") if name.strip()]
    try:
        found = session.project().preview(options.asset, rows=options.rows, columns=columns, tail=options.tail)
    except ContractBroken:
        if columns is not None or _is_of_several(session, options.asset):
            raise
        return _preview_of_value(session, options)
    name = found.key if found.version is None else f"{found.key}@{found.version}"
    total = f"{number(len(found.rows))} of {number(found.total)} rows"
    below: Line = (dim(f" {name} · {total} · {count(len(found.names), 'column')} · {words(session.elapsed_s)}"),)
    return Answer(
        lambda: {
            "asset": found.key,
            "version": found.version,
            "columns": [{"name": n, "type": kind} for n, kind in zip(found.names, found.types, strict=True)],
            "rows": found.rows,
            "total": found.total,
        },
        table=data_table(found.names, found.types, found.rows),
        below=(below,),
    )


def _is_of_several(session: Session, name: str) -> bool:
    """Whether a name means all partitions of an asset: only tables are shown as one."""
    graph, parts = session.project().graph, written(name)
    return not parts.partitions and has_partitions(graph, graph.resolve(parts.asset))


def _preview_of_value(session: Session, options: Namespace) -> Answer:
    """What can be shown of an asset that is no table: a JSON value, where a file lies, or that there is nothing."""
    project = session.project()
    parts, version = written(options.asset), project.version_number(options.asset)
    key = project.graph.resolve(parts.asset)
    name = f"{key}[{parts.partitions}]" if parts.partitions else str(key)
    title = name if version is None else f"{name}@{version}"
    value = project.read(options.asset)
    facts: dict[str, object] = {"asset": key, "version": version}
    if value is None:
        return Answer(lambda: facts | {"value": None}, [(f" {title} is None: there is nothing to show",)])
    if isinstance(value, Path | bytes):
        place = project.read(options.asset, as_="path")
        what = "a folder" if place.is_dir() else f"a file of {size(place.stat().st_size)}"
        return Answer(lambda: facts | {"path": str(place)}, [(f" {title} is {what}: ", session.place(str(place)))])
    try:
        lines = json.dumps(value, ensure_ascii=False, indent=2).splitlines()
    except (TypeError, ValueError, RecursionError):
        read = f'Project.load().read("{options.asset}")'
        return Answer(
            lambda: facts | {"type": type(value).__name__},
            [(f" {title} is a Python object of type {type(value).__name__}; look at it in Python:  {read}",)],
        )
    shown = lines[max(0, len(lines) - options.rows) :] if options.tail else lines[: options.rows]
    part = f"{number(len(shown))} of {count(len(lines), 'line')}" if len(shown) < len(lines) else ""
    hint: Line = (dim(" " + " · ".join([one for one in (title, "JSON", part, words(session.elapsed_s)) if one])),)
    return Answer(lambda: facts | {"value": value}, [(line,) for line in shown], hints=(hint,))


def sql(session: Session, options: Namespace) -> Answer:
    """The answer of a query."""
    text = _query_text(session, options)
    as_of, run = _moment(options.at)
    output = None if options.output is None else Path(options.output)
    if output is not None and output.suffix.lower() not in (".csv", ".parquet"):
        raise UsageError(f"`{output}` is neither .csv nor .parquet", fix="-o result.parquet")
    limit = options.limit if options.limit is not None else None if output is not None else 1000
    found = session.project().sql(text, limit=limit or None, as_of=as_of, run=run)
    rows: Sequence[tuple[object, ...]] = tuple(zip(*(one.to_pylist() for one in found.table.columns), strict=True))
    used = f" · {', '.join(found.used)}" if found.used else ""
    summary = f" {count(len(rows), 'row')} · {words(found.seconds)}{used}"
    if found.truncated:
        session.screen.warning(f"only the first {number(len(rows))} rows are shown; --limit 0 shows all")
    table = data_table(found.columns, found.types, rows)

    def data() -> object:
        columns = [{"name": n, "type": kind} for n, kind in zip(found.columns, found.types, strict=True)]
        facts = {"columns": columns, "truncated": found.truncated, "used": found.used, "seconds": found.seconds}
        return facts | ({"rows": rows} if output is None else {"output": str(output), "count": len(rows)})

    if output is None:
        return Answer(data, table=table, below=((dim(summary),),))
    if output.suffix.lower() == ".csv":
        from assetflow.cli.drawing import write_file

        write_file(output, formatted(table, "csv"))
    else:
        from assetflow.io.export import write_parquet

        write_parquet(found.table, output)
    return Answer(data, [(f" written {output}", dim(f" ·{summary}"))])


def _moment(text: str | None) -> tuple[str | None, int | None]:
    """The time or the run of `--at`."""
    number = (text or "").removeprefix("run:")
    if text is None or (number.isascii() and number.isdecimal()):
        return None, None if text is None else int(number)
    try:
        is_time = parse_version(text).kind == "time"
    except NoSuchVersion:
        is_time = False
    if not is_time:
        raise UsageError(
            f"`--at` takes a time or a run, not `{text}`",
            facts=('one table alone as it was: select * from "orders@HEAD~1"',),
            fix="--at 2026-11-20, --at 2026-11-20T10:00 or --at run:41",
        )
    return text, None


def _query_text(session: Session, options: Namespace) -> str:
    given = [options.text is not None, options.file is not None]
    if all(given):
        raise UsageError("`sql` takes a query or a file, not both", fix="leave one out")
    if not any(given):
        raise UsageError("`sql` needs a query", fix="assetflow sql 'select count(*) from orders'")
    if options.file is not None:
        try:
            text = Path(options.file).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"{options.file} cannot be read: {error}") from error
    else:
        text = sys.stdin.read() if options.text == "-" else options.text
    if not text.strip():
        raise QueryError("the query is empty")
    return text


def data_table(names: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    """Values as a table: types under the names, numbers to the right; the last columns leave first."""
    from assetflow.io.sql import cell_text

    # Numbers stand to the right where every value is one: the type names of DuckDB and of Arrow need not be known.
    right = [
        any(row[index] is not None for row in rows)
        and all(_is_number(row[index]) or row[index] is None for row in rows)
        for index in range(len(names))
    ]
    columns = tuple(
        Column(name, name, is_right=is_right, leave=index, note=kind)
        for index, (name, kind, is_right) in enumerate(zip(names, types, right, strict=True))
    )
    return Table(
        columns,
        tuple(
            tuple(Cell((Span("null", "dim") if value is None else cell_text(value, WIDEST),), value) for value in row)
            for row in rows
        ),
    )


def _is_number(value: object) -> bool:
    from decimal import Decimal

    return isinstance(value, (int, float, Decimal)) and not isinstance(value, bool)


def _preview_options(parser: ArgumentParser) -> None:
    parser.add_argument(
        "asset",
        metavar="ASSET[@VERSION]",
        help="a key, maybe with a version: orders@3, orders@HEAD~1, orders@2026-11-20, orders@run:41, orders@prod",
    )
    parser.add_argument(
        "-n", "--rows", type=natural, default=10, metavar="N", help="how many rows or lines (default 10)"
    )
    parser.add_argument("-c", "--columns", metavar="NAMES", help="only these columns: id,net")
    parser.add_argument("--tail", action="store_true", help="the last rows")


def _sql_options(parser: ArgumentParser) -> None:
    parser.add_argument("text", nargs="?", metavar="SQL", help="the query; - reads it from stdin")
    parser.add_argument("-f", "--file", metavar="FILE", help="a file with the query")
    parser.add_argument("--at", metavar="TIME|RUN", help="every asset as it was then: 2026-11-20, or run:41")
    parser.add_argument("--limit", type=natural, metavar="N", help="at most N rows (default 1000; 0: all)")
    parser.add_argument("-o", "--output", metavar="FILE", help="write all rows to a .parquet or .csv file")


COMMANDS = {
    "preview": Command(
        preview,
        _preview_options,
        (("assetflow preview orders", "the first ten rows"), ("assetflow preview orders@3 -n 50", "an older version"),
         ("assetflow preview orders --format csv", "as CSV")),
    ),
    "sql": Command(
        sql,
        _sql_options,
        (("assetflow sql 'select count(*) from orders'", "assets are tables"),
         ("assetflow sql 'select * from \"orders@3\"'", "so are their versions"),
         ("assetflow sql --at 2026-11-20 'select * from orders'", "as it was at the end of that day"),
         ("assetflow sql -f top.sql -o top.parquet", "from a file, into a file")),
    ),
}  # fmt: skip
