"""Ready-made checks, evaluated on Arrow tables: what failed, in how many rows, and which.

NaN counts as null everywhere. Rows are counted from 1. A check that cannot be applied (a column that is not there,
types that cannot be compared) fails with a message; it does not raise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, cast

from assetflow.errors import BadDeclaration, ContractBroken, Location, near_names
from assetflow.io.columns import name_list
from assetflow.model.checks import ReadyCheck
from assetflow.model.records import CheckOutcome

Read = Callable[[tuple[str, ...] | None], Any]
"""Gives the `pyarrow.Table` under test, cut to the columns; None asks for all."""

Other = Callable[[str, str], Any]
"""Gives a `pyarrow.Table` with one column of another asset: key, column."""

_SHOWN = 3
_ROWS_AT_ONCE = 5_000


class _NotApplicable(Exception):
    """The check cannot be applied; the text is the message of the outcome."""


def evaluate(ready: ReadyCheck, read: Read, other: Other) -> CheckOutcome:
    """The outcome of a check on the table that `read` gives; the message of a failed one says what and where.

    Example:
        >>> import pyarrow as pa
        >>> from assetflow.model.checks import not_null
        >>> table = pa.table({"id": [1, None, None]})
        >>> evaluate(not_null("id"), lambda columns: table, lambda key, column: table).message
        '2 of 3 rows: id is null (rows 2, 3)'
    """
    try:
        message = _KINDS[ready.kind](cast("dict[str, Any]", ready.arguments), read, other)
    except _NotApplicable as problem:
        message = str(problem)
    return CheckOutcome(ready.name, not message, ready.blocking, message)


def check_arguments(ready: ReadyCheck, where: Location | None = None) -> None:
    """Nothing, when the check can be evaluated on some table.

    Raises:
        BadDeclaration: the kind is not known, or an argument makes no sense.
    """
    given = cast("dict[str, Any]", ready.arguments)
    problem: tuple[str, str] | None = None
    if ready.kind not in _KINDS:
        problem = (f"there is no ready-made check `{ready.kind}`", f"one of: {', '.join(_KINDS)}")
    elif ready.kind in ("not_null", "unique"):
        problem = _wrong_columns(ready.kind, given["columns"])
    elif ready.kind in ("accepted_values", "in_range", "foreign_key") and not _is_name(given["column"]):
        problem = (f"{ready.kind}() takes a column name first, not {given['column']!r}", 'give its name: "amount"')
    elif ready.kind == "accepted_values" and not given["values"]:
        problem = ("accepted_values() has no values, so every row would fail", 'give them: ["paid", "open"]')
    elif ready.kind == "in_range":
        problem = _wrong_range(given["low"], given["high"])
    elif ready.kind == "row_count":
        problem = _wrong_count(given["low"], given["high"])
    elif ready.kind == "schema" and _schema_kind(given["expected"]) is None:
        problem = (
            f"schema() takes a pydantic model class or a pyarrow.Schema, not {given['expected']!r}",
            'for example: schema(pa.schema([("id", pa.int64())]))',
        )
    if problem is not None:
        raise BadDeclaration(problem[0], fix=problem[1], where=where)


def _not_null(given: dict[str, Any], read: Read, other: Other) -> str:
    del other
    import pyarrow.compute as pc

    compute: Any = pc
    table = _columns(read, given["columns"])
    found: list[str] = []
    for name in given["columns"]:
        rows = _row_numbers(compute.is_null(_plain(table, name)))
        if rows:
            found.append(f"{_share(len(rows), table.num_rows)}: {name} is null {_rows_text(rows)}")
    return "; ".join(found)


def _unique(given: dict[str, Any], read: Read, other: Other) -> str:
    del other
    import pyarrow as pa
    import pyarrow.compute as pc

    arrow: Any = pa
    compute: Any = pc
    names: tuple[str, ...] = given["columns"]
    table = _columns(read, names)
    keys = [f"key{index}" for index in range(len(names))]
    columns = dict(zip(keys, (_plain(table, name) for name in names), strict=True))
    numbered = arrow.table({**columns, "row": arrow.array(range(1, table.num_rows + 1), arrow.int64())})
    try:
        groups = numbered.group_by(keys).aggregate([("row", "count"), ("row", "min"), ("row", "max")])
    except arrow.ArrowNotImplementedError as error:
        raise _NotApplicable(f"{_joined(names)}: values of this type cannot be compared ({error})") from error
    twice = groups.filter(compute.greater(groups.column("row_count"), 1)).sort_by("row_min")
    if not twice.num_rows:
        return ""
    extra = compute.sum(twice.column("row_count")).as_py() - twice.num_rows
    shown: list[str] = []
    for one in twice.slice(0, _SHOWN).to_pylist():
        value = ", ".join(_value_text(one[key]) for key in keys)
        count, low, high = one["row_count"], one["row_min"], one["row_max"]
        place = f"rows {low}, {high}" if count == 2 else f"{count:,} times, rows {low} to {high}"
        shown.append(f"{value if len(names) == 1 else f'({value})'} ({place})")
    more = f" and {twice.num_rows - _SHOWN:,} more" if twice.num_rows > _SHOWN else ""
    return f"{_share(extra, table.num_rows)}: {_joined(names)} repeats an earlier row: {', '.join(shown)}{more}"


def _accepted_values(given: dict[str, Any], read: Read, other: Other) -> str:
    del other
    import pyarrow as pa
    import pyarrow.compute as pc

    arrow: Any = pa
    compute: Any = pc
    name = given["column"]
    table = _columns(read, (name,))
    column = _plain(table, name)
    # A value that the column's type cannot hold can equal none of its values.
    scalars = [scalar for value in given["values"] if (scalar := _as_type(value, column.type)) is not None]
    accepted = arrow.array([scalar.as_py() for scalar in scalars], column.type)
    try:
        wrong = compute.and_(compute.is_valid(column), compute.invert(compute.is_in(column, value_set=accepted)))
    except arrow.ArrowNotImplementedError as error:
        raise _NotApplicable(f"{name}: values of type {column.type} cannot be compared") from error
    listed = ", ".join(_value_text(value) for value in given["values"][:6])
    more = ", …" if len(given["values"]) > 6 else ""
    return _offending(table, name, column, wrong, f"is not one of {listed}{more}")


def _in_range(given: dict[str, Any], read: Read, other: Other) -> str:
    del other
    import pyarrow as pa
    import pyarrow.compute as pc

    arrow: Any = pa
    compute: Any = pc
    name, low, high = given["column"], given["low"], given["high"]
    table = _columns(read, (name,))
    column = _plain(table, name)
    found: list[str] = []
    for limit, outside, words in ((low, compute.less, "is below"), (high, compute.greater, "is above")):
        if limit is None:
            continue
        try:
            wrong = _compared(outside, column, limit)
        except arrow.ArrowException as error:
            raise _NotApplicable(f"{name} is {column.type}, which cannot be compared with {limit!r}") from error
        found.append(_offending(table, name, column, wrong, f"{words} {_value_text(limit)}"))
    return "; ".join(filter(None, found))


def _row_count(given: dict[str, Any], read: Read, other: Other) -> str:
    del other
    rows, low, high = read(None).num_rows, given["low"], given["high"]
    if rows < low:
        return f"{rows:,} rows, at least {low:,} expected"
    return f"{rows:,} rows, at most {high:,} expected" if high is not None and rows > high else ""


def _foreign_key(given: dict[str, Any], read: Read, other: Other) -> str:
    import pyarrow as pa
    import pyarrow.compute as pc

    arrow: Any = pa
    compute: Any = pc
    name, key, to_column = given["column"], given["to"], given["to_column"]
    table = _columns(read, (name,))
    column = _plain(table, name)
    try:
        referenced = _plain(other(key, to_column), to_column)
    except (ContractBroken, KeyError) as error:
        raise _NotApplicable(f"{key} has no column {to_column}") from error
    common = _common(column.type, referenced.type)
    try:
        if common is None:
            raise arrow.ArrowInvalid("no common type")
        values = compute.drop_null(compute.unique(referenced.cast(common)))
        known = compute.is_in(column.cast(common), value_set=values)
    except arrow.ArrowException as error:
        what = f"{name} is {column.type} and {key}.{to_column} is {referenced.type}"
        raise _NotApplicable(f"{what}: they cannot be compared") from error
    wrong = compute.and_(compute.is_valid(column), compute.invert(known))
    return _offending(table, name, column, wrong, f"is not in {key}.{to_column}")


def _schema(given: dict[str, Any], read: Read, other: Other) -> str:
    del other
    expected = given["expected"]
    return _against_model(expected, read) if _schema_kind(expected) == "model" else _against_arrow(expected, read(None))


_KINDS: dict[str, Callable[[dict[str, Any], Read, Other], str]] = {
    "not_null": _not_null,
    "unique": _unique,
    "accepted_values": _accepted_values,
    "in_range": _in_range,
    "row_count": _row_count,
    "schema": _schema,
    "foreign_key": _foreign_key,
}


def _against_arrow(expected: Any, table: Any) -> str:
    """How the columns differ from a `pyarrow.Schema`, whatever their order and whatever the width of text offsets."""
    found = table.schema
    missing = [name for name in expected.names if name not in found.names]
    extra = [name for name in found.names if name not in expected.names]
    both = [name for name in expected.names if name in found.names]
    differing = [
        f"{name} is {found.field(name).type}, expected {expected.field(name).type}"
        for name in both
        if _plain_type(found.field(name).type) != _plain_type(expected.field(name).type)
    ]
    parts = [
        *([f"missing: {_joined(missing)}"] if missing else []),
        *([f"not expected: {_joined(extra)}"] if extra else []),
        *differing,
    ]
    return "; ".join(parts)


def _against_model(model: Any, read: Read) -> str:
    """The first rows that a pydantic model refuses, and how many there are."""
    import pydantic

    wanted = _model_columns(model)
    table: Any = read(None) if wanted is None else _columns(read, wanted[0], optional=wanted[1])
    names = list(table.column_names)
    adapter: Any = pydantic.TypeAdapter(cast("Any", list)[model])
    total, shown = 0, list[str]()
    for start in range(0, table.num_rows, _ROWS_AT_ONCE):
        batch = table.slice(start, _ROWS_AT_ONCE)
        columns = [_plain(batch, name).to_pylist() for name in names]
        rows = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        try:
            adapter.validate_python(rows)
        except pydantic.ValidationError as error:
            problems = error.errors(include_url=False, include_context=False)
            total += len({problem["loc"][0] for problem in problems})
            for problem in problems[: _SHOWN - len(shown)]:
                place = ".".join(str(part) for part in problem["loc"][1:])
                row, what = start + cast("int", problem["loc"][0]) + 1, problem["msg"].lower()
                value = problem["input"]
                got = "" if isinstance(value, dict) else f", found {_value_text(value)}"
                shown.append(f"row {row}: {f'{place}: ' if place else ''}{what}{got}")
    return f"{_share(total, table.num_rows)} do not fit {model.__name__}: {'; '.join(shown)}" if total else ""


def _model_columns(model: Any) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The columns that a model needs, and those it also reads; None when only the model itself knows."""
    if model.model_config.get("extra") in ("forbid", "allow"):
        return None
    needed, others = list[str](), list[str]()
    for name, field in model.model_fields.items():
        alias = field.validation_alias
        if alias is not None and (not isinstance(alias, str) or model.model_config.get("populate_by_name")):
            return None
        (needed if field.is_required() else others).append(alias or name)
    return tuple(needed), tuple(others)


def _columns(read: Read, names: Sequence[str], *, optional: Sequence[str] = ()) -> Any:
    """The table cut to the columns, and to those of `optional` that exist.

    Raises:
        _NotApplicable: a column is not there.
    """
    try:
        table: Any = read((*names, *optional))
        have = table.column_names
    except (ContractBroken, KeyError):
        table = read(None)
        have = table.column_names
    missing = [name for name in names if name not in have]
    if missing:
        near = near_names(missing[0], have, 1)
        hint = f", did you mean {near[0]}?" if near else ""
        raise _NotApplicable(f"there is no column {_joined(missing)}{hint} (columns: {name_list(have)})")
    return table.select([name for name in (*names, *optional) if name in have])


def _plain(table: Any, name: str) -> Any:
    """A column without dictionary and extension types, with null in place of NaN."""
    import pyarrow as pa
    import pyarrow.compute as pc

    arrow: Any = pa
    compute: Any = pc
    column = table.column(name)
    if isinstance(column.type, arrow.BaseExtensionType):
        column = arrow.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
    if arrow.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if column.type in (arrow.string_view(), arrow.binary_view()):
        column = column.cast(arrow.large_string() if column.type == arrow.string_view() else arrow.large_binary())
    if arrow.types.is_floating(column.type):
        column = compute.if_else(compute.is_nan(column), arrow.scalar(None, column.type), column)
    return column


def _compared(compare: Any, column: Any, limit: object) -> Any:
    """Which values lie beyond the limit; text is read as the column's type, so that dates can be given as text."""
    import pyarrow as pa

    arrow: Any = pa
    try:
        return compare(column, arrow.scalar(limit))
    except arrow.ArrowException:
        if not (isinstance(limit, str) and arrow.types.is_temporal(column.type)):
            raise
        return compare(column, arrow.scalar(limit).cast(column.type))


def _as_type(value: object, kind: Any) -> Any:
    """The value as a scalar of the type, or None when the type cannot hold it exactly."""
    from decimal import Decimal

    import pyarrow as pa

    arrow: Any = pa
    if isinstance(value, bool) != arrow.types.is_boolean(kind):
        return None
    try:
        if arrow.types.is_decimal(kind) and isinstance(value, int):
            return arrow.scalar(Decimal(value), kind)
        scalar = arrow.scalar(value)
        if isinstance(value, str) and not _is_text(kind) and not arrow.types.is_temporal(kind):
            return None
        if _is_text(kind) and not isinstance(value, str):
            return None
        return scalar if scalar.type == kind else scalar.cast(kind)
    except arrow.ArrowException:
        return None


def _offending(table: Any, name: str, column: Any, wrong: Any, words: str) -> str:
    """The message for rows where the mask is true, or nothing when there are none."""
    rows = _row_numbers(wrong)
    if not rows:
        return ""
    values = column.take([row - 1 for row in rows[:_SHOWN]]).to_pylist()
    shown = ", ".join(f"{_value_text(value)} (row {row})" for value, row in zip(values, rows, strict=False))
    more = ", …" if len(rows) > _SHOWN else ""
    return f"{_share(len(rows), table.num_rows)}: {name} {words}: {shown}{more}"


def _row_numbers(mask: Any) -> list[int]:
    """The rows, counted from 1, where the mask is true."""
    import numpy as np

    values: Any = mask.fill_null(False).combine_chunks()
    return [int(row) + 1 for row in np.flatnonzero(values.to_numpy(zero_copy_only=False))]


def _share(part: int, whole: int) -> str:
    return f"{part:,} of {whole:,} row{'s' if whole != 1 else ''}"


def _rows_text(rows: Sequence[int]) -> str:
    listed = ", ".join(str(row) for row in rows[:_SHOWN])
    return f"(row{'s' if len(rows) > 1 else ''} {listed}{', …' if len(rows) > _SHOWN else ''})"


def _value_text(value: object) -> str:
    text = "null" if value is None else repr(value) if isinstance(value, (str, bytes)) else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


def _joined(names: Iterable[str]) -> str:
    return ", ".join(names)


def _plain_type(kind: Any) -> str:
    """A type's name without what storage does not keep: offset widths, views, dictionaries, names of list items."""
    import pyarrow as pa

    types: Any = cast("Any", pa).types
    if types.is_dictionary(kind):
        return _plain_type(kind.value_type)
    if _is_text(kind):
        return "string"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return "binary"
    if types.is_list(kind) or types.is_large_list(kind):
        return f"list<{_plain_type(kind.value_type)}>"
    if types.is_struct(kind):
        return f"struct<{', '.join(f'{child.name}: {_plain_type(child.type)}' for child in kind)}>"
    return str(kind)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    types: Any = cast("Any", pa).types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _common(one: Any, other: Any) -> Any:
    """A type in which values of both types can be compared, or None."""
    import pyarrow as pa

    arrow: Any = pa
    types = arrow.types
    if types.is_null(one) or types.is_null(other):
        return other if types.is_null(one) else one
    kinds = (one, other)
    if not all(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) for kind in kinds):
        return one if _plain_type(one) == _plain_type(other) else None
    if any(map(types.is_floating, kinds)):
        return arrow.float64()
    if all(map(types.is_integer, kinds)):
        return one if one == other else arrow.int64()
    return arrow.decimal128(38, max(kind.scale for kind in kinds if types.is_decimal(kind)))


def _schema_kind(expected: object) -> str | None:
    """`model` for a pydantic model class, `arrow` for a `pyarrow.Schema`, else None. Imports nothing."""
    if isinstance(expected, type):
        bases = {(base.__module__.partition(".")[0], base.__name__) for base in expected.__mro__}
        return "model" if ("pydantic", "BaseModel") in bases else None
    cls = type(expected)
    return "arrow" if cls.__module__.startswith("pyarrow") and cls.__name__ == "Schema" else None


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != ""


def _wrong_columns(kind: str, names: tuple[object, ...]) -> tuple[str, str] | None:
    wrong = [name for name in names if not _is_name(name)]
    if wrong:
        return f"{kind}() takes column names, not {wrong[0]!r}", f'give each on its own: {kind}("id", "day")'
    twice = [name for index, name in enumerate(names) if name in names[:index]]
    return (f"{kind}() has the column `{twice[0]}` twice", "take one out") if twice else None


def _wrong_range(low: Any, high: Any) -> tuple[str, str] | None:
    if low is None and high is None:
        return "in_range() has no limit, so no row could fail", "give `low`, `high` or both"
    if low is None or high is None:
        return None
    try:
        empty = bool(low > high)
    except TypeError:
        return f"in_range() cannot compare {low!r} with {high!r}", "give limits of one type"
    return (f"in_range() from {low!r} to {high!r} holds no value", "the lower limit comes first") if empty else None


def _wrong_count(low: Any, high: Any) -> tuple[str, str] | None:
    if not all(isinstance(limit, int) and not isinstance(limit, bool) for limit in (low, 0 if high is None else high)):
        return "row_count() takes whole numbers", "row_count(1) for at least one row"
    if low < 0 or (high is not None and high < low):
        return f"row_count({low}, {high}) fits no table", "the lower limit comes first"
    return None
