"""Arrow types and arrays as they are stored: without views, encodings and extensions, at any depth; and back again.

Arrow's own casts do part of this and refuse the rest (dictionaries inside lists, runs, views of nested values), each
release another part. Here it is done by structure, so that a type either works wherever it stands or is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from assetflow.errors import CannotStore, NotExact
from assetflow.io.per_schema import per_schema

if TYPE_CHECKING:
    import pyarrow as pa

_MILLISECONDS_OF_A_DAY = 86_400_000
_LAST_DAY = 2**31 - 1
_LAST_SECOND = (2**63 - 1) // 1000


@per_schema
def plain_schema(schema: pa.Schema) -> pa.Schema:
    """The schema as it is stored: no dictionaries and no extension types. The metadata stays for other readers."""
    import pyarrow as pa

    types = [plain_type(field.type) for field in schema]
    nullable = [field.nullable or pa.types.is_null(kind) for field, kind in zip(schema, types, strict=True)]
    fields = [pa.field(field.name, kind, null) for field, kind, null in zip(schema, types, nullable, strict=True)]
    return pa.schema(fields, schema.metadata)


@per_schema
def is_logical(schema: pa.Schema) -> bool:
    """Whether every column has a type that comes back as it is, whatever its values are."""
    from assetflow.io.hashing import type_name

    try:
        for field in schema:
            type_name(field.type, field.name)
            kind = logical_type(field.type, field.name, "")
            if kind != field.type or values_check(kind, field.name, "") is not None:
                return False
    except (CannotStore, NotExact):
        return False  # it is refused where the name of the table is known
    return True


def plain_type(kind: Any) -> Any:
    """The type without views, encodings and extensions, at any depth."""
    import pyarrow as pa

    types: Any = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return plain_type(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return plain_type(kind.storage_type)
    if types.is_string_view(kind):
        return pa.large_string()
    if types.is_binary_view(kind):
        return pa.large_binary()
    if types.is_struct(kind):
        return pa.struct([field.with_type(plain_type(field.type)) for field in kind])
    if types.is_map(kind):
        key, item = (field.with_type(plain_type(field.type)) for field in (kind.key_field, kind.item_field))
        return pa.map_(key, item, keys_sorted=kind.keys_sorted)
    if types.is_fixed_size_list(kind):
        return pa.list_(kind.value_field.with_type(plain_type(kind.value_type)), kind.list_size)
    if types.is_large_list(kind) or types.is_large_list_view(kind):
        return pa.large_list(kind.value_field.with_type(plain_type(kind.value_type)))
    if types.is_list(kind) or types.is_list_view(kind):
        return pa.list_(kind.value_field.with_type(plain_type(kind.value_type)))
    return kind


def logical_type(kind: Any, column: str, key: str) -> Any:
    """The type that readers of a column get: plain, but dictionaries and extension types stay at the top.

    Raises:
        NotExact: an extension type lies inside another type, or a dictionary has values that cannot be looked up.
    """
    import pyarrow as pa

    types: Any = pa.types
    if (inner := _find(kind, lambda one: one is not kind and isinstance(one, pa.BaseExtensionType))) is not None:
        raise NotExact(
            f"column `{column}` of `{key}` has {inner} inside {kind}, and would come back without it",
            fix=f"cast the column so that it holds {plain_type(inner)}, or give those values a column of their own",
        )
    if isinstance(kind, pa.BaseExtensionType):
        return kind
    if not types.is_dictionary(kind):
        return plain_type(kind)
    values = plain_type(kind.value_type)
    if not _can_be_looked_up(values):
        raise NotExact(
            f"column `{column}` of `{key}` has {kind}, a dictionary of values that cannot be looked up",
            fix=f"cast it to {values} before returning the table",
        )
    return pa.dictionary(kind.index_type, values, kind.ordered)


def plain_array(array: Any, kind: Any) -> Any:
    """The array as its plain type `kind`."""
    import numpy as np
    import pyarrow as pa

    types: Any = pa.types
    found = array.type
    if found == kind:
        return array
    if types.is_dictionary(found):
        return plain_array(array.dictionary, kind).take(array.indices)
    if types.is_run_end_encoded(found):
        rows = np.arange(array.offset, array.offset + len(array))
        runs = np.searchsorted(array.run_ends.to_numpy(), rows, side="right")
        return plain_array(array.values, kind).take(pa.array(runs))
    if isinstance(found, pa.BaseExtensionType):
        return plain_array(array.storage, kind)
    if types.is_nested(found):
        return _plain_nested(array, kind)
    return array.cast(kind)


def _plain_nested(array: Any, kind: Any) -> Any:
    """A struct, map or list with its children made plain; what lies under null lists is left out."""
    import numpy as np
    import pyarrow as pa

    types: Any = pa.types
    make, count = pa.Array.from_buffers, len(array)
    valid = None if not array.null_count else array.is_valid().buffers()[1]
    if valid is not None:  # rebuilt, because `array` may begin inside a byte of its bitmap
        valid = pa.array(array.is_valid().to_numpy(zero_copy_only=False)).buffers()[1]
    if types.is_struct(kind):
        fields = [plain_array(array.field(place), kind.field(place).type) for place in range(kind.num_fields)]
        return make(kind, count, [valid], children=fields)
    if types.is_fixed_size_list(kind):
        items = array.values.slice(array.offset * kind.list_size, count * kind.list_size)
        return make(kind, count, [valid], children=[plain_array(items, kind.value_type)])
    if types.is_map(kind):
        offsets: Any = array.offsets.to_numpy()
        start, size = int(offsets[0]), int(offsets[-1] - offsets[0])
        parts = [array.keys.slice(start, size), array.items.slice(start, size)]
        inner = [plain_array(part, to) for part, to in zip(parts, (kind.key_type, kind.item_type), strict=True)]
        pairs = pa.StructArray.from_arrays(inner, fields=[kind.key_field, kind.item_field])
        return make(kind, count, [valid, pa.py_buffer((offsets - start).astype("i4"))], children=[pairs])
    lengths: Any = array.value_lengths().fill_null(0).to_numpy()
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype("i8" if types.is_large_list(kind) else "i4")
    return make(kind, count, [valid, pa.py_buffer(ends)], children=[plain_array(array.flatten(), kind.value_type)])


def typed_array(array: Any, kind: Any, categories: Any) -> Any:
    """The plain array as its logical type again; `categories` are those of a dictionary type, or None."""
    import pyarrow as pa

    if array.type == kind:
        return array
    if isinstance(kind, pa.BaseExtensionType):
        return cast("Any", pa.ExtensionArray).from_storage(kind, array.cast(kind.storage_type))
    if not pa.types.is_dictionary(kind):
        return array.cast(kind)
    if categories is None:
        return array.cast(kind.value_type).dictionary_encode().cast(kind)
    import pyarrow.compute as pc

    found: Any = cast("Any", pc).index_in(array, value_set=plain_array(categories, array.type))
    if found.null_count != array.null_count:
        raise ValueError("a value is not one of the recorded categories")
    return pa.DictionaryArray.from_arrays(found.cast(kind.index_type), categories, ordered=kind.ordered)


def refuse_unwritable(schema: pa.Schema, key: str) -> None:
    """Refuse plain types that Parquet cannot hold, and those that it takes and does not give back.

    Raises:
        CannotStore: a column has such a type, at any depth.
    """
    for field in schema:
        kind = _find(field.type, lambda one: _why_not(one) is not None)
        if kind is not None:
            what, way = cast("tuple[str, str]", _why_not(kind))
            raise CannotStore(
                f"column `{field.name}` of `{key}` has the type {field.type}, and Parquet cannot hold {what}", fix=way
            )


def _why_not(kind: Any) -> tuple[str, str] | None:
    import pyarrow as pa

    types: Any = pa.types
    if types.is_struct(kind) and not kind.num_fields:
        return "structs without fields", "give the struct a field, or drop the column before returning the table"
    if types.is_interval(kind):
        way = "turn it into a duration or a number (in DuckDB: `epoch(...)`) before returning the table"
        return "intervals", way
    if types.is_decimal(kind) and kind.scale < 0:
        return "a negative scale", f"cast it to {_with_scale(kind)} before returning the table"
    if types.is_fixed_size_list(kind) and not kind.list_size:
        return "lists of the fixed size 0", "cast the column to a list of any size, or drop it"
    if types.is_fixed_size_binary(kind) and not types.is_decimal(kind) and not kind.byte_width:
        return "bytes of the fixed size 0", "cast the column to binary, or drop it"
    return None


def _with_scale(kind: Any) -> str:
    digits = kind.precision - kind.scale
    return f"decimal{128 if digits <= 38 else 256}({digits}, 0)" if digits <= 76 else "text"


def values_check(kind: Any, column: str, key: str) -> Callable[[Any], None] | None:
    """What refuses the values of a column that a store would shift without a word; None for almost every type."""
    import pyarrow as pa

    types: Any = pa.types
    has_days = _find(kind, types.is_date64) is not None
    has_seconds = _find(kind, lambda one: types.is_timestamp(one) and one.unit == "s") is not None
    if not has_days and not has_seconds:
        return None

    def check(array: Any) -> None:
        for leaf in _leaves(array):
            if types.is_date64(leaf.type) and not _are_days(leaf):
                raise NotExact(
                    f"column `{column}` of `{key}` has date64 values that are no whole days, or none of a calendar",
                    fix='cast it to `pa.timestamp("ms")` before returning the table',
                )
            if types.is_timestamp(leaf.type) and leaf.type.unit == "s" and not _are_within(leaf, _LAST_SECOND):
                raise NotExact(
                    f"column `{column}` of `{key}` has timestamps that do not fit milliseconds, as Parquet stores them",
                    fix="cast it to int64 before returning the table",
                )

    return check


def _are_days(array: Any) -> bool:
    import pyarrow as pa

    numbers: Any = array.view(pa.int64()).drop_null().to_numpy()
    days, rest = numbers // _MILLISECONDS_OF_A_DAY, numbers % _MILLISECONDS_OF_A_DAY
    return not len(days) or bool(not rest.any() and abs(days).max() <= _LAST_DAY)


def _are_within(array: Any, limit: int) -> bool:
    import pyarrow as pa

    numbers: Any = array.view(pa.int64()).drop_null().to_numpy()
    return not len(numbers) or (int(numbers.max()) <= limit and int(numbers.min()) >= -limit)


def _leaves(array: Any) -> list[Any]:
    """The arrays without children that a plain array is made of."""
    import pyarrow as pa

    types: Any = pa.types
    found, waiting = list[Any](), [array]
    while waiting:
        one = waiting.pop()
        if isinstance(one.type, pa.BaseExtensionType):
            waiting.append(one.storage)
        elif types.is_dictionary(one.type):
            waiting.append(one.dictionary)
        elif types.is_struct(one.type):
            waiting += one.flatten()
        elif types.is_map(one.type):
            waiting += [one.keys, one.items]
        elif types.is_nested(one.type):
            waiting.append(one.flatten())
        else:
            found.append(one)
    return found


def has_wide_decimals(schema: pa.Schema) -> bool:
    """Whether there are decimals of 256 bits in a column, at any depth."""
    import pyarrow as pa

    return any(_find(kind, pa.types.is_decimal256) is not None for kind in cast("list[Any]", schema.types))


def _find(kind: Any, is_wanted: Callable[[Any], bool]) -> Any:
    """The first type that is wanted, of this one and of those inside it at any depth, or None."""
    import pyarrow as pa

    waiting = [kind]
    while waiting:
        one = waiting.pop()
        if is_wanted(one):
            return one
        if isinstance(one, pa.BaseExtensionType):
            waiting.append(one.storage_type)
        elif pa.types.is_dictionary(one) or pa.types.is_run_end_encoded(one):
            waiting.append(one.value_type)
        else:
            waiting += [one.field(place).type for place in range(one.num_fields)]
    return None


def _can_be_looked_up(kind: Any) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        empty: Any = pa.nulls(0, kind)
        cast("Any", pc).index_in(empty, value_set=empty)
        empty.dictionary_encode()
    except pa.ArrowException:
        return False
    return True
