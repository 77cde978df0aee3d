"""Which code uses the connection of DuckDB that a whole process shares, as `duckdb.sql` does.

It is busy while one thread uses it, and a call from another thread is an error. In doubt the answer is yes: then steps
only wait for each other.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator

from assetflow.fingerprint.nodes import Node

_APART = frozenset([
    "connect", "set_default_connection", "tokenize", "version", "apilevel", "paramstyle", "threadsafety",
    "typing", "sqltypes", "functional", "func", "value", "experimental", "query_graph", "bytes_io_wrapper", "fn",
    "col", "lit", "star", "case", "when", "coalesce", "count_all", "rank", "dense_rank", "row_number", "ntile", "lag",
    "lead", "first_value", "last_value", "sql_expr", "build_info",
])  # fmt: skip
"""What the module has that needs no connection, besides its classes: expressions, modules, `connect`."""

_CONNECTION = ("class", "class _duckdb.DuckDBPyConnection")  # an object of that class, which a module keeps


def shares_duckdb(node: Node, text_of: Callable[[Node], str]) -> bool:
    """Whether a piece of code names a function of the module `duckdb` that has no connection of its own.

    A connection that a module keeps counts as well, for it has the same trouble.
    """
    for label, reference in node.outside:
        kind, _, name = reference.partition(" ")
        top, _, rest = name.partition(".")
        if (label, reference) == _CONNECTION:
            return True
        if top not in ("duckdb", "_duckdb") or kind == "class":
            continue
        if rest == "":
            if any(map(_is_shared, _uses(text_of(node)))):
                return True
        elif _is_shared(rest.partition(".")[0] if kind == "module" else rest.rpartition(".")[2]):
            return True
    return False


def _is_shared(name: str) -> bool:
    name = name.removeprefix("module_")  # as some are called inside of the package
    return name not in _APART and not name[0].isupper() and not name.startswith("__") and not name.endswith("_type")


def _uses(text: str) -> Iterator[str]:
    """What a text takes of the module, which it imports itself or hands around; `*` for what cannot be told."""
    try:
        tree = ast.parse(text)
    except SyntaxError:
        yield "*"
        return
    names = {
        one.asname or one.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for one in node.names
        if one.name == "duckdb"
    }
    taken = {id(node.value): node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found = [taken.get(id(node), "*") for node in ast.walk(tree) if isinstance(node, ast.Name) and node.id in names]
    yield from found or ["*"]
