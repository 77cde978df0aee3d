"""Simple frames, of which is known that they come back: numbers, truth values, times and text under a default index.

What is stored of such a frame besides its values (schema, metadata, what is noted in it) depends on its labels, types
and number of rows alone. It is found once, by the long way of `frames`, and used for all frames that look alike.
"""

from __future__ import annotations

import json
from collections.abc import Hashable
from functools import cache
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

_MOST_LOOKS = 10_000
_KINDS = frozenset("biufmM")
"""Kinds of numpy types whose values make no difference to how they are stored."""


class Look(Struct, frozen=True):
    """A simple frame: what decides how it is stored, its columns in order, and whether all of them are NumPy arrays."""

    key: Hashable
    rows: int
    columns: tuple[Any, ...]
    is_numpy: bool


class _Known:
    """What frames that look alike are stored with: a schema for a number of rows, from which those for others come."""

    def __init__(self, rows: int, schema: pa.Schema, pandas: dict[str, Any]) -> None:
        self._pandas = pandas
        self._latest = (rows, schema)

    def for_rows(self, rows: int) -> pa.Schema:
        """The schema of a frame with this many rows. May be called from any thread."""
        before, schema = self._latest
        if before == rows:
            return schema
        pandas = {**self._pandas, "index_columns": [{**self._pandas["index_columns"][0], "stop": rows}]}
        schema = schema.with_metadata({**cast("Any", schema.metadata), b"pandas": json.dumps(pandas).encode()})
        self._latest = (rows, schema)
        return schema


_known: dict[Hashable, _Known] = {}
_labels_of: dict[Hashable, pd.Index] = {}


def look_at(frame: pd.DataFrame) -> Look | None:
    """What decides how a frame is stored, or None when its values may decide too."""
    import numpy as np
    import pandas as pd

    if not _is_usual(frame):
        return None
    pairs: list[tuple[object, Any]] = list(frame.items())  # asking for the labels alone would take as long again
    names, columns = [name for name, _ in pairs], tuple(series for _, series in pairs)
    dtypes: list[Any] = [series.dtype for series in columns]
    are_numpy = [isinstance(dtype, np.dtype) for dtype in dtypes]
    if not all(type(name) is str for name in names) or not all(
        dtype.kind in _KINDS if is_numpy else type(dtype) is pd.StringDtype
        for dtype, is_numpy in zip(dtypes, are_numpy, strict=True)
    ):
        return None
    return Look((frame.columns.dtype, *names, *dtypes), len(frame), columns, all(are_numpy))


def batch_like_before(look: Look) -> tuple[pa.Schema, pa.RecordBatch] | None:
    """What `table_like_before` gives, as a single batch; None also where text lies in several pieces."""
    import pyarrow as pa

    table = _columns_like_before(look)
    if table is None or any(isinstance(column, pa.ChunkedArray) for column in table[1]):
        return None
    schema, columns = table
    return schema, pa.RecordBatch.from_arrays(columns, schema=schema)


def table_like_before(look: Look) -> pa.Table | None:
    """The table that `frames.table_from_pandas` makes of the frame, if one that looks alike was made before.

    The schema is one object for all that look alike and have as many rows.
    """
    import pyarrow as pa

    found = _columns_like_before(look)
    return None if found is None else pa.Table.from_arrays(found[1], schema=found[0])


def _columns_like_before(look: Look) -> tuple[pa.Schema, list[Any]] | None:
    import pyarrow as pa

    known = _known.get(look.key)
    if known is None:
        return None
    schema, columns = known.for_rows(look.rows), list[Any]()
    for series, field in zip(look.columns, schema, strict=True):
        column: Any = pa.array(series.to_numpy() if series.dtype.kind in _KINDS else series.array, from_pandas=True)
        if column.type != field.type:
            return None
        columns.append(column)
    return schema, columns


def remember(look: Look, table: pa.Table) -> None:
    """Keep how a frame is stored; the table is one that was checked to come back."""
    raw: Any = (table.schema.metadata or {}).get(b"pandas")
    if raw is None or len(_known) >= _MOST_LOOKS:
        return
    pandas: dict[str, Any] = json.loads(raw)
    if json.dumps(pandas).encode() == raw and len(pandas["index_columns"]) == 1:
        _known[look.key] = _Known(look.rows, table.schema, pandas)


def private_copy(frame: pd.DataFrame) -> tuple[pd.DataFrame, Look] | None:
    """The frame in memory that nobody else has, or None where its arrays cannot be told to be copied."""
    import pandas as pd

    if not _is_usual(frame):
        return None
    copy = pd.DataFrame(frame, copy=True)  # unlike `copy()`, this leaves attributes and flags behind, as storing does
    look = look_at(copy)
    if look is None or not look.is_numpy:
        return None
    if _labels_are_safe():
        copy.columns = _labels(copy, look)
    return copy, look


def _labels(frame: pd.DataFrame, look: Look) -> pd.Index:
    """The labels of the frame, the same object for all that look alike.

    What pandas needs to find a column by its name is then made once, and not for every copy that somebody takes one
    from. It is made here, as pandas does not say that two threads may make it at a time.
    """
    found = _labels_of.get(look.key)
    if found is None:
        found = frame.columns
        found.get_loc(found[0])
        if len(_labels_of) < _MOST_LOOKS:
            _labels_of[look.key] = found
    return found


@cache
def _labels_are_safe() -> bool:
    """Whether nobody can write into the labels of a frame by way of their array, as in pandas 3.0, nor of objects."""
    import pandas as pd

    values: Any = pd.DataFrame({"a": []}).columns.values
    try:
        values[0] = "b"
    except ValueError:
        return isinstance(values, pd.api.extensions.ExtensionArray)
    return False


def _is_usual(frame: pd.DataFrame) -> bool:
    """Whether the frame is one of pandas itself, with rows, under a default index and with one level of labels."""
    import pandas as pd

    index: Any = frame.index
    labels: Any = frame.columns
    if type(frame) is not pd.DataFrame or type(index) is not pd.RangeIndex or type(labels) is not pd.Index:
        return False
    is_default = index.name is None and index.start == 0 and index.step == 1
    return is_default and labels.name is None and len(index) > 0 and len(labels) > 0
