"""Read-only SQL over assets: DuckDB in memory, with views of just the assets that a query names.

The connection can reach nothing but the files of those assets. Nothing that is run in it is kept.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from assetflow.errors import DamagedVersion, QueryError, near_names
from assetflow.io.columns import name_list

_TOKEN = re.compile(
    r"""--[^\n]* | /\*.*?\*/ | [eE]'(?:[^'\\]|\\.|'')*' | '(?:[^']|'')*' | \$(?P<tag>\w*)\$.*?\$(?P=tag)\$
    | "(?P<quoted>(?:[^"]|"")*)" | (?P<word>[^\W\d]\w*) | (?P<dot>\s*\.\s*)""",
    re.DOTALL | re.VERBOSE,
)
_EXPLAIN = re.compile(r"(?:\s|--[^\n]*\n|/\*.*?\*/)*explain\b\s*(?P<options>\([^)]*\))?\s*", re.DOTALL | re.IGNORECASE)
_UNKNOWN_TABLE = re.compile(r'Table with name "?([^"\s]+)"? does not exist')
_ERROR_KIND = re.compile(r"\A[A-Z][\w-]*(?: [\w-]+)? Error: ")
_BARE_VERSION = re.compile(r"(?<![\w\"'])([A-Za-z_][\w.]*@\d+)")

_PATTERNS = "*?[" if os.name == "nt" else "*?[\\"
"""What DuckDB takes for more than a letter in the path of a file."""

_HTML_ROWS, _HTML_WIDTH = 50, 100
"""What a notebook shows of a table: this many rows, and of each cell this many characters."""

Parts = tuple[str, ...]
"""A table name as it stands in the SQL text, without quotes: `("marts", "orders")`."""


class TableRef(Struct, frozen=True):
    """Where the rows of a table are: in Parquet files, or in what `load` returns (a `pyarrow.Table`)."""

    parquet: tuple[Path, ...] = ()
    load: Callable[[], object] | None = None


class QueryResult(Struct, frozen=True):
    """The rows of a query. `types` are DuckDB's names; `used` the keys of the tables that were read.

    `table` is a `pyarrow.Table` of at most `limit` rows; `truncated` says that there were more.
    """

    columns: tuple[str, ...]
    types: tuple[str, ...]
    table: Any
    truncated: bool
    used: tuple[str, ...]
    seconds: float

    def __repr__(self) -> str:
        count = self.table.num_rows
        rows = f"{'more than ' if self.truncated else ''}{count} row{'s' * (count != 1)}"
        return f"<QueryResult {rows} of {name_list(self.columns)}>"

    def _repr_html_(self) -> str:
        count = self.table.num_rows
        values = [column.to_pylist() for column in self.table.slice(0, _HTML_ROWS).columns]
        total = f"more than {count:,}" if self.truncated else count
        return rows_html(self.columns, self.types, list(zip(*values, strict=True)), total)


def query(tables: Mapping[str, TableRef], text: str, *, limit: int | None, timeout_s: float = 30.0) -> QueryResult:
    """The result of one reading SQL statement over the tables.

    A table is named by its key (`marts.orders`), by its last name when that is unique (`orders`), and as a version in
    quotes (`"orders@3"`) when `tables` has such a key.

    Raises:
        QueryError: the text is not one reading statement, DuckDB refuses it, or it takes longer than `timeout_s`.
        DamagedVersion: a file of a table that is named is missing.

    Example:
        >>> import pyarrow as pa
        >>> orders = TableRef(load=lambda: pa.table({"id": [1, 2]}))
        >>> query({"marts.orders": orders}, "select sum(id) as total from orders", limit=10).table.to_pydict()
        {'total': [Decimal('3')]}
    """
    from time import perf_counter

    started = perf_counter()
    listed = _listing(tables, text)
    if listed is not None:
        return QueryResult(("name",), ("VARCHAR",), listed, False, (), perf_counter() - started)
    names = _Names(tables)
    with _connection() as connection, _as_query_errors(connection, text, names, timeout_s):
        _require_reading(connection, text)
        found = _named_tables(connection, text, names)
        _make_views(connection, found, tables)
        with _time_limit(connection, timeout_s):
            relation = connection.sql(text)
            cut = relation if limit is None else relation.limit(limit + 1)
            table = cut.to_arrow_table()
        truncated = limit is not None and table.num_rows > limit
        return QueryResult(
            columns=tuple(table.column_names),
            types=tuple(str(kind) for kind in relation.types),
            table=table.slice(0, limit) if truncated else table,
            truncated=truncated,
            used=tuple(dict.fromkeys(found.values())),
            seconds=perf_counter() - started,
        )


def preview_rows(table: Any, n: int, *, tail: bool = False, sample: int | None = None, seed: int = 0) -> Any:
    """The first `n` rows of a `pyarrow.Table`, or the last; with `sample`, that many rows by chance, in their order."""
    if sample is not None:
        import random

        if sample >= table.num_rows:
            return table
        return table.take(sorted(random.Random(seed).sample(range(table.num_rows), sample)))  # noqa: S311 - a preview
    return table.slice(max(0, table.num_rows - n)) if tail else table.slice(0, n)


def rows_html(
    names: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[object]], total: int | str | None
) -> str:
    """Rows as an HTML table for notebooks, every text escaped; below it, how many there are of how many.

    Args:
        names: of the columns.
        types: of the columns, as words.
        rows: plain Python values; of many rows, only the first are shown.
        total: the number of rows behind these, or words for it; None when it is not known.

    Example:
        >>> rows_html(["a"], ["int64"], [(1,)], 7)[-30:]
        '</table><p>1 of 7 rows</p>'
    """
    from html import escape

    def row(tag: str, cells: Iterable[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in cells) + "</tr>"

    shown = rows[:_HTML_ROWS]
    body = "".join(row("td", (cell_text(value, _HTML_WIDTH) for value in one)) for one in shown)
    known = len(rows) if total is None else total
    number = f"{known:,}" if isinstance(known, int) else known
    count = number if known == len(shown) else f"{len(shown)} of {number}"
    head = row("th", names) + row("th", types)
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table><p>{escape(count)} row{'s' * (known != 1)}</p>"


def cell_text(value: object, width: int) -> str:
    r"""A value on one line of at most `width` characters: `null`, `2024-01-01 10:00:00Z`, `{a: 1}`, `two\nlines`.

    Whatever could move the cursor of a terminal is escaped.

    Example:
        >>> [cell_text(value, 10) for value in (None, 1.0, "a longer text", [1, "x"], b"\x00\xff")]
        ['null', '1.0', 'a longer …', '[1, "x"]', '0x00ff']
    """
    text = _text(value, width)
    return text if len(text) <= width else f"{text[: max(0, width - 1)]}…"


class _Names:
    """Finds the key that a name in SQL means; letter case does not matter, as in SQL."""

    def __init__(self, tables: Iterable[str]) -> None:
        self.keys = {key.lower(): key for key in tables}
        self.by_last: dict[str, list[str]] = {}
        for lower, key in self.keys.items():
            self.by_last.setdefault(lower.rpartition(".")[2], []).append(key)

    def find(self, parts: Parts) -> str | None:
        lower = [part.lower() for part in parts]
        found = self.keys.get(".".join(lower))
        while found is None and len(lower) > 1 and lower[0] in ("memory", "main"):
            del lower[0]
            found = self.keys.get(".".join(lower))
        same = self.by_last.get(lower[0], []) if len(lower) == 1 else []
        return found or (same[0] if len(same) == 1 else None)


@contextmanager
def _connection() -> Generator[Any]:
    """An empty DuckDB in memory that fetches no extension and sees no Python variable."""
    import duckdb

    config: dict[str, Any] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "python_enable_replacements": "false",
    }
    connection = duckdb.connect(":memory:", config=config)
    try:
        yield connection
    finally:
        connection.close()


def _listing(tables: Iterable[str], text: str) -> Any:
    """The names of all assets for `SHOW TABLES`, else None: the connection has views of the used ones only."""
    words = re.sub(r"[;\s]+", " ", text).strip().lower()
    if words not in ("show tables", "show all tables"):
        return None
    import pyarrow as pa

    return cast("Any", pa).table({"name": cast("Any", pa).array(sorted(k for k in tables if "@" not in k), "string")})


def _require_reading(connection: Any, text: str) -> None:
    """Raise QueryError unless the text is exactly one statement, and that one only reads."""
    statements = connection.extract_statements(text)
    if not statements:
        raise QueryError("there is no SQL to run", fix="for example: select * from orders limit 10")
    if len(statements) > 1:
        raise QueryError(f"`sql` takes one statement, not {len(statements)}", fix="run them one after another")
    kind = statements[0].type.name
    explain = _EXPLAIN.match(text) if kind == "EXPLAIN" else None
    if explain:
        rest = text[explain.end() :]
        if re.match(r"analyze\b", rest, re.IGNORECASE) or "analyze" in (explain["options"] or "").lower():
            raise QueryError(
                "EXPLAIN ANALYZE runs the statement; `sql` explains without running", fix="leave out ANALYZE"
            )
        inner = connection.extract_statements(rest)
        kind = inner[0].type.name if len(inner) == 1 else kind
    pivot = kind == "MULTI" and any("pivot" in map(str.lower, parts) for parts in _dotted(text))
    if kind != "SELECT" and not pivot:
        raise QueryError(
            f"`sql` only reads, and this is a {kind.replace('_', ' ')} statement",
            fix="begin with SELECT, WITH, FROM, VALUES, DESCRIBE, SUMMARIZE, SHOW or EXPLAIN; an asset keeps rows",
        )


def _named_tables(connection: Any, text: str, names: _Names) -> dict[Parts, str]:
    """The keys of the assets that the text names as tables, by the name as written."""
    explain = _EXPLAIN.match(text)
    inner = text[explain.end() :] if explain else text
    written = _tables_of_tree(connection, inner)
    if written is None:
        written = _tables_of_tokens(inner)
    return {parts: key for parts in dict.fromkeys(written) if (key := names.find(parts)) is not None}


def _tables_of_tree(connection: Any, text: str) -> list[Parts] | None:
    """The table names in DuckDB's own syntax tree, without common table expressions; None when it gives no tree."""
    import json

    import duckdb

    try:
        tree = json.loads(connection.execute("select json_serialize_sql(?::varchar)", [text]).fetchall()[0][0])
    except duckdb.Error:
        return None  # a build without the json extension
    if tree.get("error"):
        return None
    found: list[Parts] = []
    _collect_tables(tree, frozenset(), found)
    return found


def _collect_tables(node: Any, hidden: frozenset[str], found: list[Parts]) -> None:
    """Add the tables below a node; `hidden` are the names that a WITH around it has taken."""
    if isinstance(node, list):
        for item in cast("list[Any]", node):
            _collect_tables(item, hidden, found)
        return
    if not isinstance(node, dict):
        return
    fields = cast("dict[str, Any]", node)
    for entry in (fields.get("cte_map") or {}).get("map", ()):
        # In its own query the name still means the table: WITH orders AS (SELECT * FROM orders WHERE ...).
        _collect_tables(entry["value"], hidden, found)
        hidden = hidden | {entry["key"].lower()}
    name = fields.get("table_name")
    if fields.get("type") in ("BASE_TABLE", "SHOW_REF") and name:
        parts = tuple(part for part in (fields.get("catalog_name"), fields.get("schema_name"), name) if part)
        if len(parts) > 1 or name.lower() not in hidden:
            found.append(parts)
    for key, value in fields.items():
        if key != "cte_map":
            _collect_tables(value, hidden, found)


def _tables_of_tokens(text: str) -> list[Parts]:
    """Every name in the text, alone and with the one before its dot: more than the tables, never less."""
    found: list[Parts] = []
    for parts in _dotted(text):
        found += [(part,) for part in parts]
        found += list(pairwise(parts))
    return found


def _dotted(text: str) -> Iterator[Parts]:
    """The names in the text, outside of strings and comments, with those that dots join taken together."""
    parts: list[str] = []
    after_dot, end = False, 0
    for token in _TOKEN.finditer(text):
        joined = after_dot and token.start() == end
        if token["dot"] is not None:
            after_dot, end = bool(parts) and token.start() == end, token.end()
            continue
        name = token["word"] if token["word"] is not None else token["quoted"]
        if parts and not (joined and name is not None):
            yield tuple(parts)
            parts = []
        if name is not None:
            parts.append(name.replace('""', '"'))
        after_dot, end = False, token.end()
    if parts:
        yield tuple(parts)


def _make_views(connection: Any, found: Mapping[Parts, str], tables: Mapping[str, TableRef]) -> None:
    """Make a view for each name, and shut the connection off from everything else."""
    paths: list[str] = []
    for number, (parts, key) in enumerate(found.items()):
        ref = tables[key]
        names = [part for part in parts if part.lower() != "memory"]
        if len(names) > 1:
            connection.execute(f"create schema if not exists {_identifier(names[-2])}")
        missing = next((path for path in ref.parquet if not path.is_file()), None)
        if missing is not None:
            raise DamagedVersion(f"`{key}`: the stored file {missing} is missing", fix=f"materialize `{key}` again")
        origin = f"_rows_{number}"
        if ref.load is not None:
            connection.register(origin, ref.load())
        elif any(mark in str(path) for path in ref.parquet for mark in _PATTERNS):
            connection.register(origin, _read_parquet(ref.parquet))  # DuckDB would take the path for a pattern
        else:
            files = ", ".join(_literal(str(path)) for path in ref.parquet)
            paths += [_literal(str(path)) for path in ref.parquet]
            origin = f"read_parquet([{files}], hive_partitioning = false)"
        name = ".".join(_identifier(part) for part in names[-2:])
        connection.execute(f"create or replace view {name} as select * from {origin}")  # noqa: S608 - quoted above
    connection.execute("set temp_directory = ''")
    connection.execute(f"set allowed_paths = [{', '.join(paths)}]")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def _read_parquet(paths: Iterable[Path]) -> Any:
    import pyarrow as pa
    from pyarrow import parquet

    reader = cast("Any", parquet).ParquetFile
    return cast("Any", pa).concat_tables([reader(path, page_checksum_verification=True).read() for path in paths])


def _identifier(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'


def _literal(text: str) -> str:
    escaped = text.replace("'", "''")
    return f"'{escaped}'"


@contextmanager
def _time_limit(connection: Any, timeout_s: float) -> Generator[None]:
    """Interrupt what runs in the connection when the time is over."""
    from threading import Timer

    import duckdb

    def stop() -> None:
        with suppress(duckdb.Error):  # the query may end, and the connection close, just now
            connection.interrupt()

    timer = Timer(timeout_s, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _as_query_errors(connection: Any, text: str, names: _Names, timeout_s: float) -> Generator[None]:
    """Turn DuckDB's errors into QueryError."""
    import duckdb

    try:
        yield
    except duckdb.InterruptException as error:
        raise QueryError(
            f"the query took longer than {timeout_s:g} s and was stopped",
            fix="read less, or make an asset of it, which may take its time",
        ) from error
    except duckdb.Error as error:
        raise _query_error(_with_place(connection, text, error), text, names) from error


def _with_place(connection: Any, text: str, error: Exception) -> str:
    """The message with the line and caret, which DuckDB leaves out when a query becomes a relation first."""
    import duckdb

    if "\nLINE " in str(error) or not isinstance(error, (duckdb.BinderException, duckdb.CatalogException)):
        return str(error)
    try:
        connection.execute(f"explain\n{text}").fetchall()
    except duckdb.Error as again:
        if str(again).partition("\n")[0] == str(error).partition("\n")[0]:
            return str(again)
    return str(error)


def _query_error(message: str, text: str, names: _Names) -> QueryError:
    """The error with DuckDB's first line, where it points, and what to do about an asset that is not there."""
    lines = message.split("\n")
    place = next((index for index, line in enumerate(lines) if line.startswith("LINE ")), len(lines))
    facts = [line.strip() for line in lines[1:place] if line.startswith("Candidate bindings")]
    if place < len(lines):
        label = lines[place].index(": ") + 2
        facts += [line[label:].rstrip() for line in lines[place : place + 2] if line[label:].strip()]
    unknown = _UNKNOWN_TABLE.search(lines[0])
    if unknown is not None:
        return _unknown_table(unknown[1], facts, names)
    version = _BARE_VERSION.search(text) if lines[0].startswith("Parser Error") else None
    fix = f'put the version in quotes: "{version[1]}"' if version else None
    return QueryError(_ERROR_KIND.sub("", lines[0]), facts=facts, fix=fix)


def _unknown_table(name: str, facts: list[str], names: _Names) -> QueryError:
    same = names.by_last.get(name.lower(), [])
    if len(same) > 1:
        return QueryError(f"`{name}` could be {name_list(same)}", facts=facts, fix=f"write the whole name: {same[0]}")
    keys = [key for key in names.keys.values() if "@" not in key]
    asset, at, version = name.partition("@")
    near = near_names(asset, keys, 1)
    meant = f"{near[0]}{at}{version}" if near else ""
    if near and near[0] == asset:  # the asset is there, and this version of it is not
        meant = next((key for key in names.keys.values() if key.startswith(f"{asset}@")), asset)
    fix = f"did you mean `{meant}`?" if near else None
    return QueryError(
        f"there is no asset `{name}`", facts=facts if fix else [*facts, f"assets: {name_list(sorted(keys))}"], fix=fix
    )


def _text(value: object, width: int, *, nested: bool = False) -> str:
    """The text of a value; `nested` puts texts in quotes. Not much more than `width` characters are made."""
    import datetime as dt

    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        shown = "".join(map(_escaped, value[: width + 1]))
        return f'"{shown}"' if nested else shown
    if isinstance(value, float):
        digits = f"{value:.10g}"
        return digits if any(mark in digits for mark in ".en") else f"{digits}.0"
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ").replace("+00:00", "Z")
    if isinstance(value, (dt.date, dt.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"0x{bytes(value[: width + 1]).hex()}"
    if isinstance(value, Mapping):
        pairs = list(cast("Mapping[object, object]", value).items())[: width + 1]
        return "{" + ", ".join(f"{_text(key, width)}: {_text(item, width, nested=True)}" for key, item in pairs) + "}"
    if isinstance(value, (list, tuple)):
        items = cast("list[object]", value)[: width + 1]
        return "[" + ", ".join(_text(item, width, nested=True) for item in items) + "]"
    return "".join(map(_escaped, str(value)))


def _escaped(letter: str) -> str:
    return letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii")
