# ruff: noqa: S608 - columns are numbered: no name and no value of a user is part of SQL
"""Columns at a glance, old beside new: nulls, range, mean, distinct values, and a small histogram."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, cast

from msgspec import Struct
from msgspec.structs import replace

from assetflow.io.diff_forms import exact_type, from_exact, is_float, is_soft, to_exact
from assetflow.io.diff_results import Profile
from assetflow.io.diff_rows import guarded

BINS = 8


class _Column(Struct, frozen=True):
    """One column under the number it has in SQL. `has_range`: numbers and times; the others are counted only."""

    number: int
    kind: Any
    is_float: bool
    has_range: bool
    is_text: bool

    @property
    def values(self) -> str:
        """A condition: the value is there and is a number."""
        name = f"c{self.number}"
        return f"{name} IS NOT NULL AND NOT isnan({name})" if self.is_float else f"{name} IS NOT NULL"


def profiles(
    connection: Any, old: Iterable[Any], new: Iterable[Any], kinds: Sequence[tuple[Any, Any]]
) -> list[tuple[Profile, Profile]]:
    """The profiles of every column, given as batches with columns in the order of `kinds`, their plain types.

    `connection` is a DuckDB whose tables `profiled_old` and `profiled_new` may be made and dropped.
    """
    found: list[list[tuple[Profile, tuple[float, float] | None]]] = []
    columns: list[list[_Column]] = []
    for side, batches in (("old", old), ("new", new)):
        described = [_column(i, pair[side == "new"]) for i, pair in enumerate(kinds)]
        _load(connection, f"profiled_{side}", batches, described)
        columns.append(described)
        found.append([_profile(connection, f"profiled_{side}", one) for one in described])
    pairs: list[tuple[Profile, Profile]] = []
    for position, ((was, low_high), (now, other)) in enumerate(zip(*found, strict=True)):
        ranges = [one for one in (low_high, other) if one is not None]
        comparable = columns[0][position].kind == columns[1][position].kind or is_soft(columns[0][position].kind)
        if not ranges or not comparable:
            pairs.append((was, now))
            continue
        low, high = min(one[0] for one in ranges), max(one[1] for one in ranges)
        drawn = [
            replace(profile, histogram=_histogram(connection, f"profiled_{side}", one[position], low, high))
            for side, profile, one in (("old", was, columns[0]), ("new", now, columns[1]))
        ]
        pairs.append((drawn[0], drawn[1]))
    for side in ("old", "new"):
        with guarded():
            connection.execute(f"DROP TABLE profiled_{side}")
    return pairs


def _column(number: int, kind: Any) -> _Column:
    import pyarrow as pa

    types: Any = pa.types
    in_time = types.is_temporal(kind) or types.is_duration(kind)
    has_range = (is_soft(kind) and not (types.is_decimal(kind) and kind.bit_width == 256)) or in_time
    return _Column(number, kind, is_float(kind), has_range, types.is_string(kind) or types.is_large_string(kind))


def _load(connection: Any, table: str, batches: Iterable[Any], columns: Sequence[_Column]) -> None:
    import pyarrow as pa

    make: Any = pa.RecordBatch
    names = [f"c{one.number}" for one in columns]
    fields = [(name, pa.float64() if one.is_float else exact_type(one.kind)) for name, one in
              zip(names, columns, strict=True)]  # fmt: skip
    empty: Any = pa.schema(fields).empty_table()
    with guarded():
        connection.register("arriving", empty)
        connection.execute(f"CREATE OR REPLACE TABLE {table} AS SELECT * FROM arriving")
        connection.unregister("arriving")
    for batch in batches:
        arrays = [
            column.cast(pa.float64()) if one.is_float else to_exact(column)
            for column, one in zip(batch.columns, columns, strict=True)
        ]
        with guarded():
            connection.register("arriving", cast("Any", pa).Table.from_batches([make.from_arrays(arrays, names=names)]))
            connection.execute(f"INSERT INTO {table} SELECT * FROM arriving")
            connection.unregister("arriving")


def _profile(connection: Any, table: str, column: _Column) -> tuple[Profile, tuple[float, float] | None]:
    """The profile without its histogram, and the range of the values as numbers."""
    name = f"c{column.number}"
    is_number = column.has_range and is_soft(column.kind)
    bounds = f"min({name}) FILTER (WHERE {column.values}), max({name}) FILTER (WHERE {column.values})"
    parts = [
        f"count(*) FILTER (WHERE {name} IS NULL)",
        f"count(*) FILTER (WHERE isnan({name}))" if column.is_float else "0",
        bounds if column.has_range or column.is_text else "NULL, NULL",
        f"avg({name}::DOUBLE) FILTER (WHERE {column.values})" if is_number else "NULL",
        f"approx_count_distinct({name})",
    ]
    with guarded():
        row: Any = connection.execute(f"SELECT {', '.join(parts)} FROM {table}").fetchall()[0]
    nulls, nans, low, high, mean, distinct = row
    numbers = None
    if column.has_range and low is not None:
        numbers = (float(low), float(high))
        low, high = (_shown(value, column) for value in (low, high))
    return Profile(nulls, nans, low, high, mean, distinct), numbers


def _shown(value: Any, column: _Column) -> object:
    """A bound as the value that it is in the column: a time, not a number of microseconds."""
    import pyarrow as pa

    if is_soft(column.kind):
        return value
    found: Any = from_exact(pa.array([value], exact_type(column.kind)), column.kind)
    return found[0].as_py()


def _histogram(connection: Any, table: str, column: _Column, low: float, high: float) -> tuple[int, ...]:
    """How many values lie in each bin of the range; empty when it has no width or no end."""
    width = (high - low) / BINS
    if not column.has_range or not math.isfinite(width) or width <= 0:
        return ()
    place = f"least(floor((c{column.number}::DOUBLE - {low!r}::DOUBLE) / {width!r}::DOUBLE), {BINS - 1})::INTEGER"
    with guarded():
        rows: Any = connection.execute(
            f"SELECT {place} AS bin, count(*) FROM {table} WHERE {column.values} GROUP BY bin"
        ).fetchall()
    counts = dict(rows)
    return tuple(int(counts.get(number, 0)) for number in range(BINS))
