"""The rows of a table by what some of its columns mean: told once for each value, and taken out in the form they had.

A function that makes several partitions in one call returns the rows of all. Here they are coded column by column, so
that what a value means is asked as often as there are values, and not as often as there are rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from assetflow.io.arrow import convert, is_instance
from assetflow.io.base import Want

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

Meaning = Callable[[object, int], int]
"""What a value means, as a number; also gets the number of a row that has it."""

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_MANY = 1 << 20
_ALIKE = frozenset(["string", "date", "integer", "boolean", "decimal", "floating"])
"""Kinds of Python objects in a column of pandas that Arrow takes as they are."""


class Coding(Struct, frozen=True):
    """A column, and what its values mean.

    Times may be asked for together: within `step_s` seconds, from a multiple of it on, that begin and end with the same
    meaning, there is no other. Where it is None, each time is asked for by itself.
    """

    column: str
    meaning: Meaning
    step_s: int | None = None


class Rows:
    """A table that is taken apart. Frames of pandas, and lists of dicts, are what their parts are; else it is Arrow."""

    def __init__(self, value: object, key: str) -> None:
        """Open the value.

        Raises:
            ContractBroken, NotExact, CannotStore: it is no table, or cannot be stored as one.
        """
        self._value: Any = value
        self._is_frame = is_instance(value, "pandas", "DataFrame")
        self._table: Any = None if self._is_frame else convert(value, Want("arrow"), key)
        names = self._value.columns if self._is_frame else self._table.column_names
        self._labels = {str(name): name for name in names}
        self._columns: dict[str, pa.ChunkedArray | list[object]] = {}

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self._labels)

    def missing(self, column: str) -> int:
        """How many rows have no value in a column."""
        found = self._column(column)
        return sum(one is None for one in found) if isinstance(found, list) else found.null_count

    def cell(self, column: str, row: int) -> object:
        """One value."""
        found = self._column(column)
        return found[row] if isinstance(found, list) else cast("Any", found)[row].as_py()

    def groups(self, codings: Sequence[Coding]) -> list[tuple[tuple[int, ...], Any]]:
        """The rows that mean the same in all of these columns: what they mean, and their numbers in order, for `take`.

        The columns have a value in every row. Whatever a meaning raises is passed on.
        """
        import numpy as np

        codes = [self._codes(one) for one in codings]
        if not len(codes[0]):
            return []
        whole, width = np.zeros(len(codes[0]), dtype=np.int64), 1
        for one in codes:
            low, high = int(one.min()), int(one.max())
            whole, width = whole * (high - low + 1) + (one - low), width * (high - low + 1)
            if width > _MANY:
                values, whole = np.unique(whole, return_inverse=True)
                width = len(values)
        if width <= 1 << 16:
            whole = whole.astype(np.uint16)  # numpy sorts these by counting
        order = np.argsort(whole, kind="stable")
        parts = np.split(order, np.flatnonzero(np.diff(whole[order])) + 1)
        return [(tuple(int(one[rows[0]]) for one in codes), rows) for rows in parts]

    def take(self, rows: Any) -> object:
        """These rows, in the form of the whole; none for None."""
        if self._is_frame:
            frame = self._value
            index = frame.index
            is_plain = index.nlevels == 1 and index.name is None and type(index).__name__ == "RangeIndex"
            found = frame.iloc[:0] if rows is None else frame.iloc[rows]
            return found.reset_index(drop=True) if is_plain else found
        if isinstance(self._value, list):
            records = cast("list[object]", self._value)
            return [] if rows is None else [records[row] for row in rows.tolist()]
        return self._table.slice(0, 0) if rows is None else self._table.take(rows)

    def _codes(self, coding: Coding) -> np.ndarray:
        import numpy as np
        import pyarrow as pa

        found = self._column(coding.column)
        if isinstance(found, list):
            known: dict[object, int] = {}
            for row, value in enumerate(found):
                if value not in known:
                    known[value] = coding.meaning(value, row)
            return np.array([known[value] for value in found], dtype=np.int64)
        if coding.step_s is not None and pa.types.is_timestamp(found.type):
            return _times(found, coding.meaning, coding.step_s)
        encoded: Any = found.dictionary_encode().unify_dictionaries()
        if not len(encoded):
            return np.zeros(0, dtype=np.int64)
        places = np.concatenate([chunk.indices.to_numpy(zero_copy_only=False) for chunk in encoded.chunks])
        used, first = np.unique(places, return_index=True)
        values = encoded.chunk(0).dictionary
        meant = np.zeros(len(values), dtype=np.int64)
        for place, row in sorted(zip(used.tolist(), first.tolist(), strict=True), key=lambda pair: pair[1]):
            meant[place] = coding.meaning(values[place].as_py(), row)
        return meant[places]

    def _column(self, name: str) -> pa.ChunkedArray | list[object]:
        if name not in self._columns:
            self._columns[name] = self._read(name)
        return self._columns[name]

    def _read(self, name: str) -> pa.ChunkedArray | list[object]:
        import pyarrow as pa

        if not self._is_frame:
            found: Any = self._table[name]
        else:
            column = self._value[self._labels[name]]
            if column.dtype == object and not _are_alike(column):
                return column.where(column.notna(), None).tolist()
            found = pa.array(column, from_pandas=True)
            found = found if isinstance(found, pa.ChunkedArray) else pa.chunked_array([found])
        return found.cast(found.type.value_type) if pa.types.is_dictionary(found.type) else found


def _are_alike(column: Any) -> bool:
    import pandas as pd

    return pd.api.types.infer_dtype(column, skipna=True) in _ALIKE


def _times(column: Any, meaning: Meaning, step_s: int) -> np.ndarray:
    """What the times of a column mean, with two questions for each step that has some of them."""
    import numpy as np
    import pyarrow as pa

    units = np.concatenate([chunk.view(pa.int64()).to_numpy() for chunk in column.chunks] or [np.zeros(0, "i8")])
    seconds = units // _PER_SECOND[column.type.unit]  # no window begins between two seconds
    steps, first, places = np.unique(seconds // step_s, return_index=True, return_inverse=True)
    zone = None if column.type.tz is None else UTC
    meant, apart = np.zeros(len(steps), dtype=np.int64), np.zeros(len(steps), dtype=bool)
    for place, (step, row) in enumerate(zip(steps.tolist(), first.tolist(), strict=True)):
        begin, end = _asked(meaning, [step * step_s, (step + 1) * step_s - 1], row, zone)
        if begin is None or begin != end:
            apart[place] = True
        else:
            meant[place] = begin
    found = meant[places]
    rows = np.flatnonzero(apart[places])
    if len(rows):
        values, first, places = np.unique(seconds[rows], return_index=True, return_inverse=True)
        pairs = zip(values.tolist(), rows[first].tolist(), strict=True)
        found[rows] = np.array([meaning(_moment(value, zone), row) for value, row in pairs], dtype=np.int64)[places]
    return found


def _asked(meaning: Meaning, seconds: Sequence[int], row: int, zone: Any) -> list[int | None]:
    """What these moments mean; None where that is an error, which may be one of a moment that no row has."""
    from assetflow.errors import AssetflowError

    found: list[int | None] = []
    for one in seconds:
        try:
            found.append(meaning(_moment(one, zone), row))
        except (AssetflowError, OverflowError):
            found.append(None)
    return found


def _moment(seconds: int, zone: Any) -> datetime:
    return datetime(1970, 1, 1, tzinfo=zone) + timedelta(seconds=seconds)
