"""Rows that fulfil a condition: one SQL expression over the columns of a row, which can reach nothing else."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from assetflow.errors import QueryError
from assetflow.io.layout import plain_array, plain_type

_NOT_OF_A_ROW = {"WINDOW": "looks at other rows (OVER)", "SUBQUERY": "holds a query"}


class RowFilter:
    """Keeps the rows for which the condition is true.

    Raises:
        QueryError: the text is not one expression over the columns of a row.
    """

    def __init__(self, condition: str) -> None:
        self._condition = condition
        # The line end keeps a comment at the end of the condition from hiding the closing bracket.
        self._text = f"SELECT ((\n{condition}\n)::BOOLEAN) IS TRUE AS kept FROM rows"  # noqa: S608 - checked below
        _require_one_expression(self._text, condition)

    def kept(self, batches: Iterable[Any], name: str) -> Iterator[Any]:
        """The batches with the rows for which the condition is true; `name` is for messages, such as `orders@3`.

        Raises:
            QueryError: DuckDB refuses the condition on these columns.
        """
        with _sandbox() as connection:
            for batch in batches:
                yield batch.filter(self._mask(connection, batch, name))

    def _mask(self, connection: Any, batch: Any, name: str) -> Any:
        import duckdb
        import pyarrow as pa

        fields = [(i, one, plain_type(one.type)) for i, one in enumerate(batch.schema) if _is_known(one.type)]
        columns = [plain_array(batch.column(i), kind) for i, _, kind in fields]
        rows: Any = pa.Table.from_arrays(columns, names=[one.name for _, one, _ in fields])
        try:
            connection.register("rows", rows)
            found = connection.sql(self._text).to_arrow_table().column("kept")
            connection.unregister("rows")
        except duckdb.Error as error:
            reason = str(error).splitlines()[0].partition(": ")[2] or str(error)
            raise QueryError(
                f"the condition cannot be asked of {name}: {reason}",
                facts=(f"condition: {self._condition}",),
                fix="write an expression over columns that both versions have, such as: amount > 10",
            ) from error
        if len(found) != batch.num_rows:
            raise _no_expression(self._condition, "it does not give one answer for each row")
        return cast("Any", pa).concat_arrays(found.chunks) if found.num_chunks else pa.array([], pa.bool_())


@contextmanager
def _sandbox() -> Generator[Any]:
    """An empty DuckDB that reads no file, fetches nothing, and lets nothing of that be changed."""
    import duckdb

    config: dict[str, Any] = {
        "autoinstall_known_extensions": "false", "autoload_known_extensions": "false",
        "python_enable_replacements": "false", "enable_external_access": "false",
    }  # fmt: skip
    connection: Any = duckdb.connect(":memory:", config=config)
    try:
        connection.execute("SET lock_configuration = true")
        yield connection
    finally:
        connection.close()


def _require_one_expression(text: str, condition: str) -> None:
    """Raise QueryError unless the query is exactly the one around a condition, which looks at nothing but one row."""
    import duckdb

    with _sandbox() as connection:
        try:
            found: Any = connection.execute("SELECT json_serialize_sql(?::VARCHAR)", [text]).fetchall()[0][0]
        except duckdb.Error as error:
            raise _no_expression(condition, str(error).splitlines()[0]) from error
    tree: dict[str, Any] = json.loads(found)
    if tree.get("error"):
        raise _no_expression(condition, str(tree.get("error_message", "it cannot be read")).splitlines()[0])
    nodes = [statement["node"] for statement in tree["statements"]]
    if len(nodes) != 1 or nodes[0]["type"] != "SELECT_NODE" or len(nodes[0]["select_list"]) != 1:
        raise _no_expression(condition, "it is more than an expression")
    node = nodes[0]
    is_bare = not any(
        node.get(part) for part in ("where_clause", "group_expressions", "having", "qualify", "modifiers")
    )
    if not is_bare or node["from_table"].get("table_name") != "rows":
        raise _no_expression(condition, "it is more than an expression")
    waiting: list[Any] = [node["select_list"]]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            fields = cast("dict[str, Any]", one)
            if fields.get("class") in _NOT_OF_A_ROW:
                raise _no_expression(condition, f"it {_NOT_OF_A_ROW[fields['class']]}")
            waiting += fields.values()
        elif isinstance(one, list):
            waiting += cast("list[Any]", one)


def _no_expression(condition: str, reason: str) -> QueryError:
    return QueryError(
        f"the condition is not an expression over the columns of a row: {reason}",
        facts=(f"condition: {condition}",),
        fix="write one as after WHERE, such as: amount > 10 and country = 'GB'",
    )


def _is_known(kind: Any) -> bool:
    """Whether DuckDB has the type; wide decimals are out of its reach, so conditions cannot use them."""
    import pyarrow as pa

    plain = plain_type(kind)
    return not (pa.types.is_decimal(plain) and plain.bit_width == 256)
