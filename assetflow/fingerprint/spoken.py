"""Names that code says in texts: `frame.query("a < @LIMIT")`, `duckdb.sql("from RATES")`.

pandas and DuckDB (and others who do as they do) look such names up where the call stands: among its local names, then
those of the module. So where a function calls one of these methods, names in its texts count as read by it.
See the pages "query" of pandas and "replacement scans" of DuckDB.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Set
from types import ModuleType

LOOK_UP = frozenset(["query", "query_df", "sql", "execute", "executemany", "from_query", "eval"])
"""Methods and functions that look up names of a text."""

_LIBRARIES = frozenset(["pandas", "polars", "pyarrow", "numpy", "duckdb", "_duckdb"])
_AT = re.compile(r"@\s*([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
_WORD = re.compile(r"(?<![\w@.])[A-Za-z_]\w*")


def words_of(text: str) -> set[str]:
    """The chains that pandas would take for names (with `@` in front), and single words that may mean a table."""
    return {f"@{chain}" for chain in _AT.findall(text)} | set(_WORD.findall(text))


def spoken_in(nodes: Iterable[ast.AST], called: Set[str]) -> tuple[set[str], set[str]]:
    """The words in the texts of a function that calls `called`, and the names that it binds itself.

    Nothing unless one of `LOOK_UP` is among what it calls.
    """
    if LOOK_UP.isdisjoint(called):
        return set(), set()
    words: set[str] = set()
    bound: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            words |= words_of(node.value)
        elif isinstance(node, ast.arg):
            bound.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
    return {word for word in words if word.lstrip("@").partition(".")[0] not in bound}, bound


def may_be_meant(word: str, value: object) -> bool:
    """Whether a word can mean this value of the module: after `@` any, alone only what DuckDB takes for a table."""
    if word.startswith("@"):
        return not isinstance(value, ModuleType) or "." in word
    return isinstance(value, (dict, list)) or type(value).__module__.partition(".")[0] in _LIBRARIES
