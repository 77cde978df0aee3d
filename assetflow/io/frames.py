"""pandas frames to Arrow tables and back, exactly, or not at all.

Arrow and the pandas metadata carry most of a frame. What they lose is written beside them, in the schema's own
`assetflow` metadata: which columns hold Python objects and how they write a missing value, the frequency of the index,
and the kinds of text columns. A frame is converted back on a slice before it is accepted, so a loss is found here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, Any, cast

from assetflow.errors import NotExact
from assetflow.io.layout import logical_type
from assetflow.io.simple import Look, look_at, remember, table_like_before

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

NOTES = b"assetflow"
"""The key of our metadata in an Arrow schema."""


def table_from_pandas(frame: pd.DataFrame, key: str, look: Look | None = None) -> pa.Table:
    """The frame as a table that `pandas_from_table` turns into an equal frame. `frame.attrs` is not kept.

    Raises:
        NotExact: a column or the index would not come back as it is.
    """
    look = look or look_at(frame)
    if look is not None and (like_before := table_like_before(look)) is not None:
        return like_before
    table = checked_table(frame, key)
    if look is not None:
        remember(look, table)
    return table


def checked_table(frame: pd.DataFrame, key: str) -> pa.Table:
    """As `table_from_pandas`, whatever is known of frames that look alike."""
    _check_labels(frame, key)
    table = _convert(frame, key)
    notes: dict[str, Any] = {
        "objects": _object_columns(frame, table, key),
        "arrow": _arrow_columns(frame, table, key),
        "text": _text_columns(frame, table),
        "freq": getattr(frame.index, "freqstr", None),
        "labels": _range_labels(frame),
    }
    notes = {name: value for name, value in notes.items() if value}
    metadata = dict(table.schema.metadata or {})
    if notes:
        metadata[NOTES] = json.dumps(notes, sort_keys=True).encode()
    table = table.replace_schema_metadata(cast("Any", metadata))
    _check_exact(frame, table, key)
    return table


def pandas_from_table(table: pa.Table) -> pd.DataFrame:
    """The table as a frame of its own, which may be written to; the pandas metadata of the schema is honoured."""
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    notes = _notes(table.schema)
    index = {name for name in _pandas_metadata(table.schema).get("index_columns", ()) if isinstance(name, str)}
    special = _positions(table.schema, [*notes.get("objects", {}), *notes.get("arrow", ())], index)
    plain, left_out = table, dict[int, Any]()
    for position in special:
        left_out[position] = table.column(position)
        empty = pa.array(np.zeros(table.num_rows, np.int8))
        plain = plain.set_column(position, table.schema.field(position).name, empty)
    # Never `split_blocks=True`: such frames are read-only views of Arrow memory, and a user's assignment would raise.
    frame: pd.DataFrame = plain.replace_schema_metadata(_without(table.schema, special)).to_pandas()
    # The columns of the frame are those of the table without the index.
    order = {name: place for place, name in enumerate(name for name in table.column_names if name not in index)}
    for position, column in left_out.items():
        name = table.schema.field(position).name
        frame.isetitem(order[name], _special(pd, column, notes.get("objects", {}).get(name), frame.index))
    for name, (storage, with_nan) in notes.get("text", {}).items():
        if name in order:
            dtype: Any = pd.StringDtype(storage, na_value=float("nan") if with_nan else pd.NA)
            frame.isetitem(order[name], frame.iloc[:, order[name]].astype(dtype))
    for place, dtype in enumerate(frame.dtypes):
        if isinstance(dtype, pd.CategoricalDtype):  # its codes are read-only Arrow memory
            frame.isetitem(place, frame.iloc[:, place].copy(deep=True))
    _restore_index(pd, frame, notes)
    return frame


def project_metadata(schema: pa.Schema, columns: Sequence[str]) -> pa.Schema:
    """The schema of some columns: a pandas reader gets them as ordinary columns, with a default index.

    The index is left behind because what a projection depends on is the digests of its columns and the number of rows.
    """
    import pyarrow as pa

    fields = [schema.field(name) for name in columns]
    metadata: dict[bytes, bytes] = dict(schema.metadata or {})
    if b"pandas" in metadata:
        found: dict[str, Any] = json.loads(metadata[b"pandas"])
        kept = [column for column in found["columns"] if str(column["field_name"] or column["name"]) in columns]
        for column in kept:
            column["name"] = column["name"] if column["name"] is not None else column["field_name"]
        if len(found["column_indexes"]) > 1:
            found["column_indexes"] = found["column_indexes"][:1]
        count: dict[str, Any] = {"kind": "range", "name": None, "start": 0, "stop": 0, "step": 1}
        metadata[b"pandas"] = json.dumps({**found, "columns": kept, "index_columns": [count]}).encode()
    if NOTES in metadata:
        notes: dict[str, Any] = json.loads(metadata[NOTES])
        notes.pop("freq", None)
        notes.pop("labels", None)
        metadata[NOTES] = json.dumps(notes).encode()
    return pa.schema(fields, cast("Any", metadata))


def stacked_metadata(schema: pa.Schema, rows: int) -> Any:
    """The metadata for tables of this schema under each other: a default index counts on through all of them."""
    metadata: dict[bytes, bytes] = dict(schema.metadata or {})
    if b"pandas" in metadata:
        found: dict[str, Any] = json.loads(metadata[b"pandas"])
        count: dict[str, Any] = {"kind": "range", "name": None, "start": 0, "stop": rows, "step": 1}
        found["index_columns"] = [name if isinstance(name, str) else count for name in found["index_columns"]]
        metadata[b"pandas"] = json.dumps(found).encode()
    if NOTES in metadata:
        notes: dict[str, Any] = json.loads(metadata[NOTES])
        notes.pop("freq", None)
        metadata[NOTES] = json.dumps(notes).encode()
    return metadata


def register_extensions() -> None:
    """Make Arrow know the types of pandas periods and intervals, which it must before it reads a schema with them."""
    import pandas.core.arrays.arrow.extension_types  # noqa: F401  # pyright: ignore[reportUnusedImport]


def _convert(frame: pd.DataFrame, key: str) -> pa.Table:
    import warnings

    import pyarrow as pa

    try:
        with warnings.catch_warnings():  # mixed column labels warn; `_check_exact` judges them
            warnings.simplefilter("ignore")
            return pa.Table.from_pandas(frame)
    except (pa.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError) as error:
        where, reason = _culprit(frame, error)
        raise NotExact(
            f"`{key}` cannot be stored: {where} does not fit one type",
            facts=(f"reason:   {reason}",),
            fix="give all values of the column one type, for example with `.astype(...)`, or leave the column out",
        ) from error


def _odd_dtypes(frame: pd.DataFrame) -> str:
    """The types that are most often in the way: of columns that are categories, of the index, of the column labels."""
    odd = [f"`{label}` {kind}" for label, kind in frame.dtypes.items() if str(kind) in ("category", "object")]
    return ", ".join([*odd[:5], f"index {frame.index.dtype}", f"column labels {frame.columns.dtype}"])


def _culprit(frame: pd.DataFrame, error: Exception) -> tuple[str, str]:
    import pyarrow as pa

    for position, label in enumerate(frame.columns):
        column: Any = frame.iloc[:, position]
        try:
            pa.Array.from_pandas(column)
        except (pa.ArrowException, TypeError, ValueError, OverflowError, NotImplementedError) as found:
            return f"column `{label}` ({column.dtype})", _first_line(found)
    return "the index", _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def _check_labels(frame: pd.DataFrame, key: str) -> None:
    twice: list[object] = [*frame.columns[frame.columns.duplicated()].unique()]
    if twice:
        raise NotExact(
            f"`{key}` has two columns with the same name: {', '.join(f'`{label}`' for label in twice)}",
            fix="rename or drop one of them before returning the table",
        )
    if not len(frame.columns) and len(frame):
        raise NotExact(
            f"`{key}` has {len(frame)} rows but no columns",
            fix="move the index into a column with `.reset_index()`",
        )


def _check_exact(frame: pd.DataFrame, table: pa.Table, key: str) -> None:
    """Convert a few rows back and compare everything that a reader sees besides the values."""
    import pandas as pd
    import pyarrow as pa

    names = table.column_names
    if len(set(names)) != len(names):
        raise NotExact(
            f"`{key}` has column names that become the same text",
            fix="name the columns with text: `frame.columns = frame.columns.astype(str)`",
        )
    try:
        back = pandas_from_table(table.slice(0, 1))
    except (pa.ArrowException, TypeError, ValueError, KeyError, AttributeError, NotImplementedError) as error:
        where = next((f"column `{name}` of `{key}`" for name in names if not _comes_back(table, name)), None)
        where = where or f"the index of `{key}`, or its column names,"
        raise NotExact(
            f"{where} cannot be stored so that it comes back as it is",
            facts=(f"reason:   {_first_line(error)}", f"dtypes:   {_odd_dtypes(frame)}"),
            fix="give columns and index plain types, for example `frame.columns = frame.columns.astype(str)`, or text "
            "for categories of intervals",
        ) from error
    labels, found = list[object](frame.columns), list[object](back.columns)
    same_labels = labels == found and [*map(type, labels)] == [*map(type, found)]
    if not same_labels or frame.columns.names != back.columns.names or frame.columns.dtype != back.columns.dtype:
        raise NotExact(
            f"the column names of `{key}` would not come back as they are",
            facts=(f"now:      {labels[:5]}", f"then:     {found[:5]}"),
            fix="name the columns with text: `frame.columns = frame.columns.astype(str)`",
        )
    dtypes, again = list[Any](frame.dtypes), list[Any](back.dtypes)
    for label, dtype, found_dtype in zip(labels, dtypes, again, strict=True):
        if not _same_dtype(dtype, found_dtype):
            raise NotExact(
                f"column `{label}` of `{key}` would come back as {found_dtype} instead of {dtype}",
                fix=f"convert it before returning: `frame[{label!r}] = frame[{label!r}].astype({str(found_dtype)!r})`",
            )
    _check_missing(pd, frame, key)
    _check_index(pd, frame, table, key)


def _check_missing(pd: Any, frame: pd.DataFrame, key: str) -> None:
    """Refuse what is no number beside what is missing: pandas reads both as missing."""
    import numpy as np

    for label, column in frame.items():
        if isinstance(column.dtype, (pd.Float32Dtype, pd.Float64Dtype)):
            values: Any = column.to_numpy(dtype="float64", na_value=0.0)
            if np.isnan(values).any():
                raise NotExact(
                    f"column `{label}` of `{key}` has NaN that is not missing, and would come back as missing",
                    fix=f"make it one of both: `frame[{label!r}] = frame[{label!r}].astype('float64')`",
                )


def _comes_back(table: pa.Table, name: str) -> bool:
    """Whether this column alone becomes a frame again."""
    import pyarrow as pa

    alone = table.slice(0, 1).select([name])
    try:
        pandas_from_table(alone.replace_schema_metadata(_only(table.schema, [name])))
    except (pa.ArrowException, TypeError, ValueError, KeyError, AttributeError, NotImplementedError):
        return False
    return True


def _same_dtype(dtype: Any, found: Any) -> bool:
    categories = getattr(dtype, "categories", None)
    if categories is not None and dtype != found:
        return False
    if categories is not None:
        # Equality of categorical dtypes ignores the order of unordered categories; readers see it.
        same: bool = categories.equals(found.categories) and categories.dtype == found.categories.dtype
        return same and _decimals(categories) == _decimals(found.categories)
    return bool(dtype == found and repr(dtype) == repr(found))


def _check_index(pd: Any, frame: pd.DataFrame, table: pa.Table, key: str) -> None:
    index: Any = frame.index
    if isinstance(index, pd.RangeIndex):
        back: Any = _range_of(table)
    else:
        stored = [name for name in _pandas_metadata(table.schema)["index_columns"] if isinstance(name, str)]
        back = pandas_from_table(table.select(stored).replace_schema_metadata(_only(table.schema, stored))).index
    same_levels = index.nlevels == back.nlevels and [_level_dtypes(index)] == [_level_dtypes(back)]
    same = same_levels and [*index.names] == [*back.names] and index.equals(back)
    same = same and all(
        _decimals(index.get_level_values(place)) == _decimals(back.get_level_values(place))
        for place in range(index.nlevels)
    )
    if not same or getattr(index, "freq", None) != getattr(back, "freq", None):
        raise NotExact(
            f"the index of `{key}` would not come back as it is",
            facts=(f"now:      {index!r}".splitlines()[0], f"then:     {back!r}".splitlines()[0]),
            fix="move it into columns with `.reset_index()` before returning the frame",
        )


def _decimals(values: Any) -> list[str]:
    """The decimal numbers among objects as text: 1.0 and 1.00 are equal, and are not the same."""
    from decimal import Decimal

    return [str(one) for one in values if isinstance(one, Decimal)] if values.dtype == object else []


def _range_of(table: pa.Table) -> Any:
    """The index that is pure metadata, found without converting the columns: one of a byte for each row does."""
    import numpy as np
    import pyarrow as pa

    found = _pandas_metadata(table.schema)
    thin: Any = pa.table({"thin": pa.array(np.zeros(table.num_rows, np.int8))})
    about = {
        **cast("Any", table.schema.metadata),
        b"pandas": json.dumps({**found, "columns": [], "column_indexes": []}).encode(),
    }
    about.pop(NOTES, None)
    return thin.replace_schema_metadata(about).to_pandas().index


def _level_dtypes(index: Any) -> list[str]:
    return [repr(index.get_level_values(level).dtype) for level in range(index.nlevels)]


def _object_columns(frame: pd.DataFrame, table: pa.Table, key: str) -> dict[str, str]:
    """How each column of Python objects writes a missing value, by field name; every value is compared."""
    import numpy as np

    found: dict[str, str] = {}
    for position, dtype in enumerate(frame.dtypes):
        if dtype != np.dtype(object):
            continue
        label: object = frame.columns[position]
        values: list[Any] = frame.iloc[:, position].tolist()
        missing = {_missing_kind(value) for value in values} - {""}
        kinds = {type(value) for value in values if not _missing_kind(value)}
        if len(missing) > 1:
            raise _mixed(key, label, "several kinds of missing value", sorted(missing), ".where(column.notna(), None)")
        if len(kinds) > 1:
            names = sorted(kind.__name__ for kind in kinds)
            raise _mixed(key, label, "values of several types", names, ".astype(str)")
        null = next(iter(missing), "None")
        back = _objects(table.column(position), null)
        for row, (now, then) in enumerate(zip(values, back, strict=True)):
            if not same_value(now, then):
                raise NotExact(
                    f"column `{label}` of `{key}` would not come back as it is",
                    facts=(
                        f"row {row}:    {type(now).__name__} {now!r:.60}",
                        f"then:     {type(then).__name__} {then!r:.60}",
                    ),
                    fix=_way_out(label, now),
                )
        found[table.schema.field(position).name] = null
    return found


def _way_out(label: object, value: Any) -> str:
    if hasattr(value, "as_tuple"):
        return f"give all its decimals one scale: `frame[{label!r}].map(lambda d: d.quantize(Decimal('0.01')))`"
    return "turn the values into text, numbers, dates, bytes, lists or dicts before returning the frame"


def _mixed(key: str, label: object, what: str, names: Sequence[str], way: str) -> NotExact:
    return NotExact(
        f"column `{label}` of `{key}` holds {what}: {', '.join(names)}",
        fix=f"make them one kind, for example with `frame[{label!r}]{way}`",
    )


_MISSING = ("None", "nan", "NA", "NaT")


def _missing_kind(value: object) -> str:
    """`None`, `nan`, `NA` or `NaT` for a value that Arrow stores as null, else empty."""
    import pandas as pd

    if value is None:
        return "None"
    if isinstance(value, float):
        return "nan" if isnan(value) else ""
    return "NA" if value is pd.NA else "NaT" if value is pd.NaT else ""


def _objects(column: Any, null: str) -> list[object]:
    import pandas as pd

    missing: object = {"None": None, "nan": float("nan"), "NA": pd.NA, "NaT": pd.NaT}[null]
    values: list[object] = column.to_pylist()
    return values if missing is None else [missing if value is None else value for value in values]


def same_value(one: Any, other: Any) -> bool:
    """Whether two Python values are equal with equal types, at any depth; missing values are equal by their kind."""
    if _missing_kind(one):
        return _missing_kind(one) == _missing_kind(other)
    if type(one) is not type(other):
        return False
    if isinstance(one, list):
        pairs = zip(cast("list[object]", one), other, strict=False)
        return len(cast("list[object]", one)) == len(other) and all(same_value(a, b) for a, b in pairs)
    if isinstance(one, dict):
        mapping = cast("Mapping[object, object]", one)
        return [*mapping] == [*other] and all(same_value(mapping[name], other[name]) for name in mapping)
    if hasattr(one, "utcoffset") and (one.utcoffset(), one.fold) != (other.utcoffset(), other.fold):
        return False
    if hasattr(one, "as_tuple") and one.as_tuple() != other.as_tuple():
        return False  # equal numbers of another scale, which people see: 2 and 2.00
    same: bool = one == other and (not isinstance(one, float) or one.hex() == other.hex())
    return same


def _arrow_columns(frame: pd.DataFrame, table: pa.Table, key: str) -> list[str]:
    """Fields of pandas columns that wrap an Arrow type: they are wrapped again rather than found by name."""
    import pandas as pd

    found: list[str] = []
    for position, dtype in enumerate(frame.dtypes):
        if isinstance(dtype, pd.ArrowDtype):
            kind: Any = dtype.pyarrow_dtype
            then = logical_type(kind, str(frame.columns[position]), key)
            if then != kind:
                raise NotExact(
                    f"column `{frame.columns[position]}` of `{key}` would come back as {then} instead of {kind}",
                    fix=f"convert it before returning, with `.astype(pd.ArrowDtype(...))` of {then}",
                )
            found.append(table.schema.field(position).name)
    return found


def _text_columns(frame: pd.DataFrame, table: pa.Table) -> dict[str, tuple[str, bool]]:
    """Storage and missing value of text columns that are not of the default kind."""
    import pandas as pd

    default: Any = pd.Series(["a"]).dtype
    found: dict[str, tuple[str, bool]] = {}
    for position, dtype in enumerate(frame.dtypes):
        if isinstance(dtype, pd.StringDtype) and repr(dtype) != repr(default):
            found[table.schema.field(position).name] = (str(dtype.storage), dtype.na_value is not pd.NA)
    return found


def _range_labels(frame: pd.DataFrame) -> list[int] | None:
    """Start, stop and step of column labels that are a range, as those of a frame made without labels are."""
    labels: Any = frame.columns
    return [labels.start, labels.stop, labels.step] if hasattr(labels, "step") and labels.name is None else None


def _special(pd: Any, column: Any, null: str | None, index: Any) -> Any:
    if null is None:
        return pd.Series(pd.arrays.ArrowExtensionArray(column), index=index)
    import numpy as np

    values = np.empty(len(column), dtype=object)
    values[:] = _objects(column, null)
    return pd.Series(values, index=index, dtype=object)


def _restore_index(pd: Any, frame: Any, notes: Mapping[str, Any]) -> None:
    labels: list[int] = notes.get("labels", [])
    if labels and list(frame.columns) == list(range(*labels)):
        frame.columns = pd.RangeIndex(*labels)
    freq = notes.get("freq")
    if freq and isinstance(frame.index, pd.DatetimeIndex | pd.TimedeltaIndex):
        try:
            frame.index.freq = freq
        except ValueError:  # a slice of the rows need not have the frequency of the whole
            return


def _notes(schema: pa.Schema) -> dict[str, Any]:
    raw: Any = (schema.metadata or {}).get(NOTES)
    found: dict[str, Any] = json.loads(raw) if raw else {}
    return found


def _pandas_metadata(schema: pa.Schema) -> dict[str, Any]:
    raw: Any = (schema.metadata or {}).get(b"pandas")
    found: dict[str, Any] = json.loads(raw) if raw else {}
    return found


def _only(schema: pa.Schema, names: Sequence[str]) -> Any:
    """The metadata of the schema, which speaks of these columns only."""
    found = _pandas_metadata(schema)
    found["columns"] = [column for column in found["columns"] if str(column["field_name"] or column["name"]) in names]
    found["index_columns"] = [name for name in found["index_columns"] if name in names]
    return {**cast("Any", schema.metadata), b"pandas": json.dumps(found).encode()}


def _positions(schema: pa.Schema, names: Sequence[str], without: Collection[str]) -> list[int]:
    found = (schema.get_field_index(name) for name in names if name not in without)
    return sorted(position for position in found if position >= 0)


def _without(schema: pa.Schema, positions: Sequence[int]) -> Any:
    """The metadata of the schema, in which the columns at `positions` are plain int8."""
    metadata: dict[Any, Any] = dict(schema.metadata or {})
    if not positions or b"pandas" not in metadata:
        return metadata or None
    names = {schema.field(position).name for position in positions}
    found: dict[str, Any] = json.loads(metadata[b"pandas"])
    for column in found["columns"]:
        if str(column["field_name"] or column["name"]) in names:
            column.update(pandas_type="int8", numpy_type="int8", metadata=None)
    return {**metadata, b"pandas": json.dumps(found).encode()}
