"""Checks: functions that judge an asset's data, and the ready-made ones, as values that `io` evaluates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeVar, cast

from msgspec import Struct, field
from msgspec.structs import force_setattr

if TYPE_CHECKING:
    from assetflow.model.declare import AssetLike

F = TypeVar("F", bound=Callable[..., object])


class CheckResult(Struct, frozen=True):
    """What a check found. A check function may return this or a plain `bool`."""

    passed: bool
    message: str = ""
    metadata: Mapping[str, object] = field(default_factory=dict[str, object])


class ReadyCheck(Struct, frozen=True):
    """A ready-made check: `kind` names what is evaluated, `arguments` with what.

    kinds: not_null(columns), unique(columns), accepted_values(column, values), in_range(column, low, high),
    row_count(low, high), schema(expected), foreign_key(column, to, to_column).
    """

    kind: str
    arguments: Mapping[str, object]
    blocking: bool = True

    def __post_init__(self) -> None:
        force_setattr(self, "blocking", bool(self.blocking))  # a bool of numpy could not be recorded

    @property
    def name(self) -> str:
        """The name in screens and records: `unique(order_id)`."""
        given = self.arguments
        if self.kind in ("not_null", "unique"):
            inside = ", ".join(cast("tuple[str, ...]", given["columns"]))
        elif self.kind == "foreign_key":
            inside = f"{given['column']} -> {given['to']}.{given['to_column']}"
        elif self.kind in ("row_count", "schema"):
            inside = ""
        else:
            inside = str(given["column"])
        return f"{self.kind}({inside})" if inside else self.kind


class CheckDefinition(Struct, frozen=True):
    """What `@check` attached to a function."""

    function: Callable[..., object]
    target: AssetLike
    name: str
    blocking: bool
    description: str
    file: str
    line: int


def check(asset: AssetLike, /, *, blocking: bool = True, name: str | None = None) -> Callable[[F], F]:
    """Declare a function as a check of `asset` (a decorated function or a key).

    The function takes the asset by its name, and may take other assets and a `Context`. It returns a `bool` or a
    `CheckResult`. A blocking check that fails, or raises, keeps the new version from being published.

    Example:
        >>> @check("orders")
        ... def has_rows(orders: list[dict[str, object]]) -> bool:
        ...     return bool(orders)
        >>> has_rows([])
        False
    """

    def attach(function: F) -> F:
        from assetflow.model.declare import attach_definition, first_line, place_of

        file, line = place_of(function)
        definition = CheckDefinition(
            function, asset, name or function.__name__, bool(blocking), first_line(function.__doc__), file, line
        )
        attach_definition(function, definition)
        return function

    return attach


def not_null(*columns: str, blocking: bool = True) -> ReadyCheck:
    """No null (and no NaN) in any of the columns."""
    return ReadyCheck("not_null", {"columns": _some(columns, "not_null")}, blocking)


def unique(*columns: str, blocking: bool = True) -> ReadyCheck:
    """No two rows with the same values in the columns, taken together. Nulls count as equal."""
    return ReadyCheck("unique", {"columns": _some(columns, "unique")}, blocking)


def accepted_values(column: str, values: Iterable[object], *, blocking: bool = True) -> ReadyCheck:
    """Every value of the column that is not null is one of `values`."""
    return ReadyCheck("accepted_values", {"column": column, "values": tuple(values)}, blocking)


def in_range(column: str, low: object = None, high: object = None, *, blocking: bool = True) -> ReadyCheck:
    """Every value of the column that is not null lies between `low` and `high`, both included; None is no limit."""
    return ReadyCheck("in_range", {"column": column, "low": low, "high": high}, blocking)


def row_count(low: int = 1, high: int | None = None, *, blocking: bool = True) -> ReadyCheck:
    """The table has at least `low` and at most `high` rows."""
    return ReadyCheck("row_count", {"low": low, "high": high}, blocking)


def schema(expected: object, *, blocking: bool = True) -> ReadyCheck:
    """The table fits a pydantic model (every row is validated) or a `pyarrow.Schema` (column names and types)."""
    return ReadyCheck("schema", {"expected": expected}, blocking)


def foreign_key(column: str, to: AssetLike, to_column: str | None = None, *, blocking: bool = True) -> ReadyCheck:
    """Every value of the column that is not null occurs in `to_column` (default: the same name) of the asset `to`."""
    from assetflow.model.declare import key_text

    return ReadyCheck("foreign_key", {"column": column, "to": key_text(to), "to_column": to_column or column}, blocking)


def _some(columns: tuple[str, ...], name: str) -> tuple[str, ...]:
    if not columns:
        raise ValueError(f"{name}() takes at least one column name")
    return columns
