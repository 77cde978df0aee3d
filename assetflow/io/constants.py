"""Values of dataframe libraries that code keeps as constants, as plain data that says all they hold.

Fingerprints ask for this: they must not know these libraries themselves.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast


def constant_content(value: object) -> object:
    """Plain data that stands for a value of numpy, pandas, pyarrow or polars; None when nothing here knows the value.

    Example:
        >>> import numpy
        >>> constant_content(numpy.float64(0.5))
        ('scalar', '<f8', 0.5)
    """
    top = type(value).__module__.partition(".")[0]
    known = {"numpy": _of_numpy, "pandas": _of_pandas, "pyarrow": _of_arrow, "polars": _of_polars}.get(top)
    if known is None or top not in sys.modules:
        return None
    try:
        return known(value)
    except Exception:  # noqa: BLE001 - a library may refuse any odd value; then it counts as one that cannot be seen
        return None


def _of_numpy(value: Any) -> object:
    np = sys.modules["numpy"]
    if isinstance(value, np.generic):
        return ("scalar", value.dtype.str, value.item() if value.dtype.kind in "biufcSU" else value.tobytes())
    if isinstance(value, np.dtype):
        return ("dtype", value.str, repr(value.descr) if value.names else "")
    if not isinstance(value, np.ndarray):
        return None
    if value.dtype.hasobject:
        return ("objects", value.shape, value.ravel().tolist())
    # The bytes in the order of rows, whatever the order in memory; the type with its byte order and its fields.
    return ("array", type(value).__name__, repr(value.dtype.descr), value.shape, value.tobytes())


def _of_pandas(value: Any) -> object:
    pd = sys.modules["pandas"]
    if value is pd.NaT or value is pd.NA:
        return ("missing", str(value))
    if isinstance(value, pd.Timestamp):
        return ("timestamp", value.isoformat(), value.unit, str(value.tz))
    if isinstance(value, pd.Timedelta):
        return ("timedelta", value.isoformat(), value.unit)
    if isinstance(value, pd.Period):
        return ("period", str(value), value.freqstr)
    if isinstance(value, pd.Interval):
        return ("interval", value.left, value.right, value.closed)
    if isinstance(value, pd.DataFrame):
        columns = [_column(value.iloc[:, place]) for place in range(value.shape[1])]
        return ("frame", _column(value.columns), _column(value.index), columns, dict(value.attrs))
    if isinstance(value, pd.Series):
        return ("series", value.name, _column(value), _column(value.index), dict(value.attrs))
    if isinstance(value, (pd.Index, pd.api.extensions.ExtensionArray)):
        return ("index", _column(value))
    if isinstance(value, pd.api.extensions.ExtensionDtype):
        return ("dtype", str(value), _column(value.categories) if isinstance(value, pd.CategoricalDtype) else None)
    return None


def _column(values: Any) -> object:
    """A column or an index by its type, its names, and its items; those of plain numbers as bytes."""
    pd = sys.modules["pandas"]
    dtype = values.dtype
    told = (type(values).__name__, str(dtype), [str(type(one).__name__) for one in getattr(values, "names", [])])
    if getattr(dtype, "kind", "O") in "mM" and getattr(values, "freqstr", None) is not None:
        told = (*told, values.freqstr)  # what `shift` goes by
    names = list(getattr(values, "names", None) or [getattr(values, "name", None)])
    if isinstance(dtype, pd.CategoricalDtype):
        codes = values.codes if hasattr(values, "codes") else values.cat.codes.to_numpy()
        return (*told, names, bool(dtype.ordered), _column(dtype.categories), list(map(int, codes)))
    if getattr(dtype, "kind", "O") in "biufcmM" and hasattr(dtype, "str"):
        return (*told, names, values.to_numpy().tobytes())
    return (*told, names, [_item(one) for one in values])


def _item(value: Any) -> object:
    missing = sys.modules["pandas"].isna(value) if not isinstance(value, (Sequence, Mapping)) else False
    return ("missing", type(value).__name__) if missing is True else value


def _of_arrow(value: Any) -> object:
    import pyarrow as pa

    from assetflow.io.hashing import table_hash

    if isinstance(value, pa.RecordBatch):
        value = pa.Table.from_batches([value])
    if isinstance(value, pa.Table):
        metadata = cast("Mapping[bytes, bytes]", value.schema.metadata or {})
        return ("table", str(value.schema), sorted(metadata.items()), table_hash(value)[0])
    if isinstance(value, (pa.Array, pa.ChunkedArray)):
        return ("array", str(value.type), table_hash(pa.table({"values": value}))[0])
    if isinstance(value, pa.Scalar):
        return ("scalar", str(value.type), value.as_py())
    if isinstance(value, pa.Schema):
        fields = [(one.name, str(one.type), one.nullable, sorted((one.metadata or {}).items())) for one in value]
        return ("schema", fields, sorted((value.metadata or {}).items()))
    if isinstance(value, pa.Field):
        return ("field", value.name, str(value.type), value.nullable, sorted((value.metadata or {}).items()))
    return ("type", str(value)) if isinstance(value, pa.DataType) else None


def _of_polars(value: Any) -> object:
    pl = sys.modules["polars"]
    if isinstance(value, pl.DataFrame):
        return ("frame", [(name, str(kind)) for name, kind in value.schema.items()], _of_arrow(value.to_arrow()))
    if isinstance(value, pl.Series):
        return ("series", value.name, str(value.dtype), _of_arrow(value.to_arrow()))
    if isinstance(value, (pl.Expr, pl.LazyFrame)):
        serialize = value.meta.serialize if isinstance(value, pl.Expr) else value.serialize
        return ("plan", serialize(format="json"))
    if isinstance(value, pl.DataType):
        return ("type", str(value))
    return None
