"""Arrow columns in a form that SQL compares exactly, and back.

DuckDB takes 0.0 and -0.0 for equal, cuts nanoseconds off zoned timestamps, and has no wide decimals. So floats and
times are compared by their bits (every NaN by the same ones), and the rest without encodings and extensions.
"""

from __future__ import annotations

from typing import Any

from assetflow.io.layout import plain_array, plain_type

_UNITS = ("s", "ms", "us", "ns")


class NotComparable(Exception):
    """A value has no place in the type that was to hold the values of both columns."""


def exact_type(kind: Any) -> Any:
    """The type in which values of the plain type `kind` are compared."""
    import pyarrow as pa

    types: Any = pa.types
    if types.is_float16(kind):
        return pa.int32()
    if _by_bits(kind):
        return {32: pa.int32(), 64: pa.int64(), 256: pa.binary()}[kind.bit_width]
    if types.is_null(kind):
        return pa.int32()
    if types.is_struct(kind):
        # Numbered, because DuckDB takes the names `a` and `A` for the same.
        return pa.struct([pa.field(f"s{i}", exact_type(kind.field(i).type)) for i in range(kind.num_fields)])
    if types.is_map(kind):
        pair = pa.struct([pa.field("s0", exact_type(kind.key_type)), pa.field("s1", exact_type(kind.item_type))])
        return pa.large_list(pair)
    if _is_list(kind):
        return pa.large_list(exact_type(kind.value_type))
    return kind


def to_exact(array: Any, target: Any = None) -> Any:
    """The array as it is compared; with `target`, as values of that type first.

    Raises:
        NotComparable: a value does not fit into the target without loss.
    """
    import pyarrow as pa

    array = plain_array(array, plain_type(array.type))
    if target is not None and array.type != target:
        try:
            array = array.cast(target, safe=True)
        except pa.ArrowException as error:
            raise NotComparable(str(error)) from error
    return _to_exact(array)


def from_exact(array: Any, kind: Any) -> Any:
    """The array as it was, as the plain type `kind`, from the form in which it was compared."""
    import pyarrow as pa

    types: Any = pa.types
    want = exact_type(kind)
    if types.is_null(kind):
        return pa.nulls(len(array))
    if types.is_float16(kind):
        return array.cast(pa.int32()).view(pa.float32()).cast(kind)
    if _by_bits(kind):
        if kind.bit_width == 256:
            fixed = array.cast(pa.binary(32))
            return pa.Array.from_buffers(kind, len(fixed), fixed.buffers(), offset=fixed.offset)
        return array.cast(want).view(kind)
    if types.is_struct(kind):
        made: Any = pa.StructArray
        children = [from_exact(child, kind.field(i).type) for i, child in enumerate(array.flatten())]
        return made.from_arrays(children, fields=list(kind), mask=array.is_null())
    if types.is_map(kind) or _is_list(kind):
        return _list_from_exact(array, kind)
    return array if array.type == kind else array.cast(kind)


def common_type(old: Any, new: Any) -> Any:
    """A type that may hold the values of both plain types exactly, or None when there is none."""
    import pyarrow as pa

    types: Any = pa.types
    if old == new:
        return old
    if types.is_null(old) or types.is_null(new):
        return new if types.is_null(old) else old
    for is_kind, wide in ((_is_text, pa.large_string()), (_is_bytes, pa.large_binary())):
        if is_kind(old) and is_kind(new):
            return wide
    if types.is_integer(old) and types.is_integer(new):
        mixed = types.is_uint64(old) != types.is_uint64(new)
        return pa.decimal128(20, 0) if mixed else pa.uint64() if types.is_uint64(old) else pa.int64()
    if _is_number(old) and _is_number(new) and not (types.is_decimal(old) or types.is_decimal(new)):
        return pa.float64()
    if types.is_date(old) and types.is_date(new):
        return pa.date64()
    if types.is_decimal(old) or types.is_decimal(new):
        return _common_decimal(old, new)
    return _common_time(old, new)


def is_float(kind: Any) -> bool:
    """Whether values may be NaN."""
    import pyarrow as pa

    return pa.types.is_floating(kind)


def is_soft(kind: Any) -> bool:
    """Whether a tolerance makes sense: integers, floats and decimals."""
    return _is_number(kind)


def is_key_like(kind: Any) -> bool:
    """Whether a column of this plain type may be what tells rows apart, if nobody says so."""
    import pyarrow as pa

    types: Any = pa.types
    whole = types.is_integer(kind) or (types.is_decimal(kind) and kind.scale == 0)
    return whole or _is_text(kind) or _is_bytes(kind) or types.is_date(kind) or types.is_timestamp(kind)


def nan_bits(kind: Any) -> int:
    """The number that stands for NaN among the exact values of a float type."""
    return 0x7FF8000000000000 if kind.bit_width == 64 else 0x7FC00000


def _is_number(kind: Any) -> bool:
    import pyarrow as pa

    types: Any = pa.types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)


def _is_text(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_bytes(kind: Any) -> bool:
    import pyarrow as pa

    types: Any = pa.types
    return types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind)


def _is_list(kind: Any) -> bool:
    import pyarrow as pa

    types: Any = pa.types
    return types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)


def _by_bits(kind: Any) -> bool:
    """Whether values are compared by their bits: floats, and what is a number of days or of parts of a second."""
    import pyarrow as pa

    types: Any = pa.types
    wide = types.is_decimal(kind) and kind.bit_width == 256
    return types.is_floating(kind) or types.is_temporal(kind) or types.is_duration(kind) or wide


def _common_decimal(old: Any, new: Any) -> Any:
    import pyarrow as pa

    types: Any = pa.types
    if not all(types.is_decimal(kind) or types.is_integer(kind) for kind in (old, new)):
        return None
    shapes = [(kind.precision, kind.scale) if types.is_decimal(kind) else (20, 0) for kind in (old, new)]
    scale = max(shape[1] for shape in shapes)
    digits = max(shape[0] - shape[1] for shape in shapes) + scale
    return pa.decimal128(digits, scale) if digits <= 38 else pa.decimal256(digits, scale) if digits <= 76 else None


def _common_time(old: Any, new: Any) -> Any:
    """The finer of two units; instants and times without a zone have nothing in common."""
    import pyarrow as pa

    types: Any = pa.types
    for is_kind in (types.is_timestamp, types.is_duration, types.is_time):
        if is_kind(old) and is_kind(new):
            unit: Any = max(old.unit, new.unit, key=_UNITS.index)
            if types.is_duration(old):
                return pa.duration(unit)
            if types.is_time(old):
                return pa.time32(unit) if unit in ("s", "ms") else pa.time64(unit)
            if (old.tz is None) == (new.tz is None):
                return pa.timestamp(unit, None if old.tz is None else new.tz)
    return None


def _to_exact(array: Any) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    compute: Any = pc
    types: Any = pa.types
    kind = array.type
    if types.is_null(kind):
        return pa.nulls(len(array), pa.int32())
    if types.is_floating(kind):
        wide = array.cast(pa.float32()) if types.is_float16(kind) else array
        missing = compute.is_nan(wide)
        if compute.any(missing).as_py():
            wide = compute.if_else(missing, pa.scalar(float("nan"), wide.type), wide)
        return wide.view(pa.int32() if wide.type.bit_width == 32 else pa.int64())
    if _by_bits(kind):
        if kind.bit_width == 256:
            fixed: Any = pa.Array.from_buffers(pa.binary(32), len(array), array.buffers(), offset=array.offset)
            return fixed.cast(pa.binary())
        return array.view(exact_type(kind))
    if types.is_struct(kind):
        made: Any = pa.StructArray
        children = [_to_exact(child) for child in array.flatten()]
        return made.from_arrays(children, fields=list(exact_type(kind)), mask=array.is_null())
    if types.is_map(kind) or _is_list(kind):
        offsets, values = _items(array)
        return _make_list(pa.LargeListArray, offsets, _to_exact(values), array)
    return array


def _items(array: Any) -> tuple[Any, Any]:
    """The offsets, from 0 and without gaps, of the items of lists or maps, and the items; those of a map as structs."""
    import numpy as np
    import pyarrow as pa

    kind: Any = array.type
    valid: Any = array.is_valid().to_numpy(zero_copy_only=False)
    if pa.types.is_map(kind):
        starts: Any = array.offsets.to_numpy(zero_copy_only=False).astype("i8")
        lengths: Any = np.where(valid, np.diff(starts), 0)
        shifts: Any = np.repeat(starts[:-1] - (np.cumsum(lengths) - lengths), lengths)
        rows: Any = pa.array(np.arange(int(lengths.sum()), dtype="i8") + shifts)
        made: Any = pa.StructArray
        values = made.from_arrays([array.keys.take(rows), array.items.take(rows)], names=["key", "value"])
    elif pa.types.is_fixed_size_list(kind):
        lengths, values = np.where(valid, kind.list_size, 0), array.flatten()
    else:
        lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype("i8")
        values = array.flatten()
    return np.concatenate([[0], np.cumsum(lengths)]).astype("i8"), values


def _list_from_exact(array: Any, kind: Any) -> Any:
    import pyarrow as pa

    offsets, values = _items(array)
    if pa.types.is_map(kind):
        pairs = [from_exact(child, inner) for child, inner in zip(values.flatten(), (kind.key_type, kind.item_type),
                                                                 strict=True)]  # fmt: skip
        starts: Any = pa.array(offsets.astype("i4"), mask=_closing(array))
        found: Any = pa.MapArray.from_arrays(starts, *pairs)
        return found if found.type == kind else found.cast(kind)
    inner = from_exact(values, kind.value_type)
    return _make_list(pa.LargeListArray, offsets, inner, array).cast(kind)


def _closing(array: Any) -> Any:
    """Which offsets are null: those of null rows; the last one never."""
    import numpy as np

    nulls: Any = array.is_null().to_numpy(zero_copy_only=False)
    return np.concatenate([nulls, [False]])


def _make_list(made: Any, offsets: Any, values: Any, like: Any) -> Any:
    import pyarrow as pa

    return made.from_arrays(pa.array(offsets, pa.int64()), values, mask=like.is_null())
