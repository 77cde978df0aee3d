"""Arrow tables of every type, with the values that break things, and a comparison that owes nothing to our hashing."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

UNITS = ("s", "ms", "us", "ns")
ZONES = ("UTC", "Europe/London", "+05:30", "-11:59", "Asia/Kathmandu", "Etc/GMT+12", "America/Argentina/Ushuaia")
TEXTS = ["", "a", "é", "日本", "👩‍👩‍👧", "\0", "a\0b", "null", "NaN", " x ", "\r\n", "שלום", "x" * 300]
NAMES = [
    "a", "A", "Ä", "ä", "", " ", "a b", "a.b", "a/b", "\\", '"', "'", "`", "q\"uo'te", ";--", "select", "index",
    "level_0",
    "__index_level_0__", "None", "0", "1.5", "日本", "👩‍👩‍👧", "שלום", "\u202ea", "a\0b", "a\nb", "x" * 1000, "a_1",
    "column", "list",
]  # fmt: skip
INTEGERS = [pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()]
FLOATS = [pa.float16(), pa.float32(), pa.float64()]
TIMES = [pa.date32(), pa.date64(), *map(pa.time32, UNITS[:2]), *map(pa.time64, UNITS[2:]), *map(pa.duration, UNITS)]
TEXT_TYPES = [pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary(), pa.binary_view()]
OTHERS = [pa.bool_(), pa.null(), pa.binary(0), pa.binary(3), pa.binary(16), pa.month_day_nano_interval()]
EXTENSIONS = [
    pa.uuid(), pa.json_(pa.string()), pa.json_(pa.large_string()), pa.json_(pa.string_view()), pa.bool8(),
    pa.opaque(pa.int32(), "kind", "vendor"), pa.fixed_shape_tensor(pa.int16(), [2, 2]),
]  # fmt: skip
WIDEST = {pa.decimal32: 9, pa.decimal64: 18, pa.decimal128: 38, pa.decimal256: 76}


@st.composite
def decimals(draw: st.DrawFn) -> Any:
    make = draw(st.sampled_from([pa.decimal32, pa.decimal64, pa.decimal128, pa.decimal256]))
    precision = draw(st.integers(1, WIDEST[make]))
    return make(precision, draw(st.integers(-4, precision)))


PLAIN: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from([*INTEGERS, *FLOATS, *TIMES, *TEXT_TYPES, *OTHERS]),
    st.sampled_from(TEXT_TYPES),
    decimals(),
    st.builds(pa.timestamp, st.sampled_from(UNITS), st.none() | st.sampled_from(ZONES)),
)


def _wider(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    field = st.builds(pa.field, st.sampled_from(NAMES), inner, nullable=st.booleans())
    fields = st.lists(st.tuples(st.sampled_from(NAMES), inner), max_size=3, unique_by=lambda pair: pair[0])
    return st.one_of(
        st.builds(lambda make, kind: make(kind), st.sampled_from([pa.list_, pa.large_list]), inner),
        st.builds(lambda make, kind: make(kind), st.sampled_from([pa.list_view, pa.large_list_view]), inner),
        st.builds(pa.list_, inner, st.integers(0, 3)),
        st.builds(pa.list_, field.map(lambda one: one.with_nullable(True))),
        fields.map(pa.struct),
        st.builds(pa.map_, st.sampled_from([pa.string(), pa.int32(), pa.date32(), pa.large_binary()]), inner),
    )


NESTED = st.recursive(st.one_of(PLAIN, st.sampled_from(EXTENSIONS)), _wider, max_leaves=4)
DICTIONARIES = st.builds(
    pa.dictionary,
    st.sampled_from(INTEGERS),
    PLAIN.filter(lambda kind: not pa.types.is_null(kind) and not pa.types.is_interval(kind))
    | st.just(pa.list_(pa.int8())),
    st.booleans(),
)
RUNS = st.builds(pa.run_end_encoded, st.sampled_from([pa.int16(), pa.int32(), pa.int64()]), PLAIN)
UNIONS = st.sampled_from([pa.dense_union, pa.sparse_union]).map(lambda make: make([pa.field("x", pa.int8())]))
INSIDE = st.one_of(DICTIONARIES, RUNS, UNIONS).flatmap(lambda kind: _wider(st.just(kind)))
TYPES: st.SearchStrategy[Any] = st.one_of(
    PLAIN, PLAIN, NESTED, NESTED, st.sampled_from(EXTENSIONS), DICTIONARIES, RUNS, UNIONS, INSIDE
)


def array_of(kind: Any, count: int, random: Random, *, nulls: bool = True, tame: bool = False) -> Any:
    """An array of this type: extremes, NaNs with payloads, zeros with a sign, and rubbish under the nulls."""
    types: Any = pa.types
    mask = np.array([nulls and random.random() < 0.3 for _ in range(count)], bool)
    if isinstance(kind, pa.BaseExtensionType):
        return pa.ExtensionArray.from_storage(kind, _storage(kind, count, random, nulls))
    if types.is_null(kind):
        return pa.nulls(count)
    if types.is_dictionary(kind):
        words = array_of(kind.value_type, random.randint(1, 6), random, nulls=False)  # maybe one of them twice
        places = np.array([random.randrange(len(words)) for _ in range(count)], kind.index_type.to_pandas_dtype())
        return pa.DictionaryArray.from_arrays(pa.array(places, kind.index_type, mask=mask), words, ordered=kind.ordered)
    if types.is_run_end_encoded(kind):
        ends = sorted({*random.sample(range(1, count + 1), random.randint(1, count)), count}) if count else []
        values = array_of(kind.value_type, len(ends), random, nulls=nulls)
        return pa.RunEndEncodedArray.from_arrays(pa.array(ends, kind.run_end_type), values, kind)
    if types.is_nested(kind):
        return _nested(kind, count, random, mask)
    if types.is_decimal(kind):
        top = 10**kind.precision - 1
        return _decimals(
            [random.choice([0, 1, -1, top, -top, random.randint(-top, top)]) for _ in range(count)], kind, mask
        )
    if types.is_interval(kind):
        rows = [(random.randint(-9, 9), random.randint(-9, 9), random.randint(-(10**12), 10**12)) for _ in range(count)]
        return pa.array([None if null else row for row, null in zip(rows, mask, strict=True)], kind)
    if types.is_boolean(kind):
        return pa.array(np.array([random.random() < 0.5 for _ in range(count)], bool), mask=mask)
    if types.is_fixed_size_binary(kind):
        return pa.array([None if null else random.randbytes(kind.byte_width) for null in mask], kind)
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return pa.array([None if null else random.randbytes(random.randint(0, 20)) for null in mask], kind)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return pa.array([None if null else random.choice(TEXTS) for null in mask], kind)
    return _numbers(kind, count, random, mask, tame=tame)


def _storage(kind: Any, count: int, random: Random, nulls: bool) -> Any:
    if kind.extension_name == "arrow.json":
        texts = [
            None if nulls and random.random() < 0.3 else random.choice(['{"a": 1}', "[]", "1.50", '"é"'])
            for _ in range(count)
        ]
        return pa.array(texts, kind.storage_type)
    if kind.extension_name == "arrow.fixed_shape_tensor":
        flat = array_of(pa.int16(), count * kind.storage_type.list_size, random, nulls=False)
        return pa.FixedSizeListArray.from_arrays(flat, type=kind.storage_type)
    return array_of(kind.storage_type, count, random, nulls=nulls)


def _decimals(values: Sequence[int], kind: Any, mask: Any) -> Any:
    size = kind.bit_width // 8
    data = b"".join(value.to_bytes(size, "little", signed=True) for value in values)
    valid = pa.array(~mask).buffers()[1]
    return pa.Array.from_buffers(kind, len(values), [valid, pa.py_buffer(data)])


def _numbers(kind: Any, count: int, random: Random, mask: Any, *, tame: bool) -> Any:
    types: Any = pa.types
    width = kind.bit_width // 8
    if types.is_floating(kind):
        odd = [0.0, -0.0, 1.5, -1e300, 5e-324, float("inf"), float("-inf"), float("nan"), 1 / 3]
        with np.errstate(over="ignore"):
            values: Any = np.array([random.choice(odd) for _ in range(count)]).astype(f"f{width}")
        return pa.array(values, kind, mask=mask, from_pandas=False)
    bits = 8 * width
    signed = not types.is_unsigned_integer(kind)
    low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    if types.is_time(kind):
        low, high = 0, {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit] * 86_400 - 1
    numbers = [random.choice([0, 1, low, high, random.randint(low, high), random.randint(0, 99)]) for _ in range(count)]
    if tame and types.is_date(kind):
        numbers = [random.randint(-700_000, 2_900_000) * (86_400_000 if width == 8 else 1) for _ in range(count)]
    elif types.is_date64(kind):
        numbers = [number // 86_400_000 * 86_400_000 if number > low + 86_400_000 else 0 for number in numbers]
    if types.is_timestamp(kind) and (tame or random.random() < 0.7):
        each = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[kind.unit]
        numbers = [random.randint(-(10**9), 4 * 10**9) * each + random.randrange(each) for _ in range(count)]
    plain = pa.array(np.array(numbers, f"{'i' if signed else 'u'}{width}"), mask=mask)
    return pa.Array.from_buffers(kind, count, plain.buffers(), offset=plain.offset)


def _nested(kind: Any, count: int, random: Random, mask: Any) -> Any:
    types: Any = pa.types
    valid = pa.array(~mask).buffers()[1] if count else None
    if types.is_union(kind):
        places = pa.array([0] * count, pa.int8())
        children = [array_of(pa.int8(), count, random)]
        if kind.mode == "sparse":
            return pa.UnionArray.from_sparse(places, children, ["x"])
        return pa.UnionArray.from_dense(places, pa.array(range(count), pa.int32()), children, ["x"])
    if types.is_struct(kind):
        children = [array_of(field.type, count, random, nulls=field.nullable) for field in kind]
        return pa.Array.from_buffers(kind, count, [valid], children=children)
    if types.is_fixed_size_list(kind):
        child = array_of(kind.value_type, count * kind.list_size, random, nulls=kind.value_field.nullable)
        return pa.Array.from_buffers(kind, count, [valid], children=[child])
    sizes = np.array([random.choice([0, 0, 1, 2, 5]) for _ in range(count)], "i8")
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    total = int(offsets[-1])
    wide = "i8" if types.is_large_list(kind) or types.is_large_list_view(kind) else "i4"
    if types.is_map(kind):
        pairs = pa.struct([pa.field("key", kind.key_type, nullable=False), kind.item_field])
        child = pa.StructArray.from_arrays(
            [array_of(kind.key_type, total, random, nulls=False), array_of(kind.item_type, total, random)],
            fields=list(pairs),
        )
        return pa.Array.from_buffers(kind, count, [valid, pa.py_buffer(offsets.astype(wide))], children=[child])
    child = array_of(kind.value_type, total, random, nulls=kind.value_field.nullable)
    if types.is_list_view(kind) or types.is_large_list_view(kind):
        buffers = [valid, pa.py_buffer(offsets[:-1].astype(wide)), pa.py_buffer(sizes.astype(wide))]
    else:
        buffers = [valid, pa.py_buffer(offsets.astype(wide))]
    return pa.Array.from_buffers(kind, count, buffers, children=[child])


@dataclass(frozen=True)
class Drawn:
    """A table, and the same rows cut into chunks at other places."""

    table: pa.Table
    again: pa.Table


@st.composite
def tables(draw: st.DrawFn, kinds: st.SearchStrategy[Any] = TYPES) -> Drawn:
    names = draw(st.lists(st.sampled_from(NAMES), max_size=5, unique=True))
    count, random = draw(st.sampled_from([0, 1, 2, 7, 20])), Random(draw(st.integers(0, 2**32)))
    fields, columns = list[Any](), list[Any]()
    for name in names:
        kind, nulls = draw(kinds), draw(st.booleans())
        before = draw(st.sampled_from([0, 0, 3]))
        columns.append(array_of(kind, count + before, random, nulls=nulls).slice(before, count))
        fields.append(
            pa.field(
                name,
                kind,
                nullable=nulls or columns[-1].null_count > 0 or pa.types.is_null(kind) or draw(st.booleans()),
            )
        )
        columns[-1].validate(full=True)
    metadata = draw(st.sampled_from([None, None, {b"k": b"v"}]))
    whole: Any = pa.Table.from_arrays(columns, schema=pa.schema(fields, metadata))
    cut = draw(st.integers(0, count))
    parts = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    return Drawn(whole, parts) if draw(st.booleans()) else Drawn(parts, whole)


def logical(kind: Any, *, top: bool = True) -> Any:
    """The type that a reader gets: views are large, runs are spread out, and below the top there are only values."""
    types: Any = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return kind if top else logical(kind.storage_type, top=False)
    if types.is_dictionary(kind):
        values = logical(kind.value_type, top=False)
        return pa.dictionary(kind.index_type, values, kind.ordered) if top else values
    if types.is_run_end_encoded(kind):
        return logical(kind.value_type, top=False)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        return pa.large_string() if types.is_string_view(kind) else pa.large_binary()
    if types.is_struct(kind):
        return pa.struct([field.with_type(logical(field.type, top=False)) for field in kind])
    if types.is_map(kind):
        return pa.map_(kind.key_type, kind.item_field.with_type(logical(kind.item_type, top=False)))
    if types.is_nested(kind) and not types.is_union(kind):
        inner = kind.value_field.with_type(logical(kind.value_type, top=False))
        if types.is_fixed_size_list(kind):
            return pa.list_(inner, kind.list_size)
        return pa.large_list(inner) if types.is_large_list(kind) or types.is_large_list_view(kind) else pa.list_(inner)
    return kind


def cells(column: Any) -> list[object]:
    """Every value as something that is equal only to the same value: floats by their bits, instants by their number."""
    array: Any = column
    if isinstance(array, pa.ChunkedArray):
        return [cell for chunk in array.chunks for cell in cells(chunk)]
    types: Any = pa.types
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return cells(array.storage)
    if types.is_dictionary(kind):
        words = cells(array.dictionary)
        return [None if place is None else words[place] for place in array.indices.to_pylist()]
    if types.is_run_end_encoded(kind):
        values, ends = cells(array.values), array.run_ends.to_pylist()
        return [values[bisect_right(ends, row)] for row in range(array.offset, array.offset + len(array))]
    found: list[object]
    if types.is_struct(kind):
        children = [cells(array.field(place)) for place in range(kind.num_fields)]
        found = [tuple(child[row] for child in children) for row in range(len(array))]
    elif types.is_map(kind):
        keys, items, ends = cells(array.keys), cells(array.items), array.offsets.to_pylist()
        found = [tuple(zip(keys[a:b], items[a:b], strict=True)) for a, b in pairwise(ends)]
    elif types.is_nested(kind):
        found = [None if one is None else tuple(cells(one)) for one in (scalar.values for scalar in array)]
    elif types.is_floating(kind):
        found = [None if one is None else float(one).hex() for one in (scalar.as_py() for scalar in array)]
    elif types.is_temporal(kind) and not types.is_interval(kind):
        found = [scalar.value for scalar in array]
    elif types.is_decimal(kind):
        found = [None if one is None else str(Decimal(one)) for one in array.to_pylist()]
    else:
        found = array.to_pylist()
    return [cell if valid else None for cell, valid in zip(found, array.is_valid().to_pylist(), strict=True)]


def difference(table: pa.Table, back: pa.Table) -> str:
    """How what came back differs from the table, or nothing."""
    if back.column_names != table.column_names:
        return f"names {back.column_names} instead of {table.column_names}"
    if back.num_rows != table.num_rows:
        return f"{back.num_rows} rows instead of {table.num_rows}"
    for field, found, column, again in zip(table.schema, back.schema, table.columns, back.columns, strict=True):
        wanted = field.with_type(logical(field.type))
        if not found.equals(wanted, check_metadata=True):
            return f"field {found}, {found.metadata} instead of {wanted}, {wanted.metadata}"
        again.validate(full=True)
        now, then = cells(column), cells(again)
        if now != then:
            row = next(row for row, (one, other) in enumerate(zip(now, then, strict=True)) if one != other)
            return f"{field.type} row {row}: {then[row]!r} instead of {now[row]!r}"
    if (back.schema.metadata or {}) != (table.schema.metadata or {}):
        return f"metadata {back.schema.metadata} instead of {table.schema.metadata}"
    return ""
