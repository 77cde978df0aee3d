"""Data hashes: what must not change them, and what must."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from pathlib import Path
from typing import Any, cast

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st

from assetflow.errors import CannotStore
from assetflow.io.frames import table_from_pandas
from assetflow.io.hashing import (
    BLOCK_ROWS,
    TableHasher,
    algorithm_of,
    bytes_hash,
    file_hash,
    json_hash,
    table_hash,
    tree_hash,
)

ARRAYS: dict[str, pa.Array] = {
    "int8": pa.array([1, None, -3, 4], pa.int8()),
    "uint64": pa.array([1, None, 2**64 - 1, 4], pa.uint64()),
    "float16": pa.array(np.array([1, 2, np.nan, 4], "f2")),
    "float": pa.array([1.5, None, 2.5, -0.0]),
    "bool": pa.array([True, None, False, True]),
    "string": pa.array(["a", None, "", "ünï"]),
    "binary": pa.array([b"a", None, b"", b"\0"]),
    "fixed binary": pa.array([b"ab", None, b"cd", b"\0\0"], pa.binary(2)),
    "null": pa.nulls(4),
    "date32": pa.array([1, None, 2, 3], pa.date32()),
    "date64": pa.array([86_400_000, None, 0, 86_400_000], pa.date64()),
    "time32": pa.array([1, None, 2, 3], pa.time32("s")),
    "time64": pa.array([1, None, 2, 3], pa.time64("ns")),
    "timestamp": pa.array([1, None, 2, 3], pa.timestamp("us")),
    "timestamp tz": pa.array([1, None, 2, 3], pa.timestamp("ns", "Europe/London")),
    "duration": pa.array([1, None, 2, 3], pa.duration("ms")),
    "interval": pa.array([(1, 2, 3), None, (0, 0, 1), (4, 5, 6)], pa.month_day_nano_interval()),
    "decimal32": pa.array([Decimal("1.5"), None, Decimal("2.5"), Decimal("-3.5")], pa.decimal32(5, 1)),
    "decimal128": pa.array([Decimal("1.5"), None, Decimal("2.5"), Decimal("-3.5")], pa.decimal128(30, 1)),
    "decimal256": pa.array([Decimal("1.5"), None, Decimal("2.5"), Decimal("-3.5")], pa.decimal256(60, 1)),
    "list": pa.array([[1, 2], None, [], [3, None]]),
    "large list": pa.array([["a"], None, [], ["b", None]], pa.large_list(pa.string())),
    "fixed list": pa.array([[1, 2], None, [3, 4], [5, None]], pa.list_(pa.int32(), 2)),
    "struct": pa.array([{"x": 1, "y": "a"}, None, {"x": None, "y": ""}, {"x": 3, "y": "c"}]),
    "map": pa.array([[("a", 1)], None, [], [("b", 2), ("c", None)]], pa.map_(pa.string(), pa.int64())),
    "list of struct": pa.array([[{"x": 1}], None, [], [{"x": 2}, None]]),
    "struct of list": pa.array([{"x": [1]}, None, {"x": []}, {"x": [2, 3]}]),
}


GOLDEN = [
    (
        "bytes-xxh3:0a1c6d4cf41eb499911faba7321fe1a0",
        "json-xxh3:e9b1fca61362578750f2d83911aae4be",
        "tree-xxh3:8ad3f926969d8848d0dd879632714ecb",
    ),
    (
        "bytes-sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
        "json-sha256:767d22fc866b16557f9a06ab583978692027f7d98cb87f3982bc5fb2d9ea72f1",
        "tree-sha256:48a248c05c27e72d0ac009dc6b78cd95d37aa5c637c1f38582edb23fa228d41a",
    ),
]


def of(array: Any, name: str = "c") -> str:
    return table_hash(pa.table({name: array}))[0]


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
def test_chunks_and_slices_make_no_difference(array: pa.Array) -> None:
    chunked = pa.chunked_array([array.slice(0, 1), array.slice(1, 0), array.slice(1)])
    inside = pa.concat_arrays([array.slice(2), array, array.slice(0, 3)]).slice(2, 4)

    assert of(array) == of(chunked) == of(inside)


@pytest.mark.parametrize("array", ARRAYS.values(), ids=ARRAYS.keys())
def test_rebuilding_a_column_makes_no_difference(array: pa.Array) -> None:
    assert of(array) == of(array.take(pa.array([0, 1, 2, 3])))


@pytest.mark.parametrize(("name", "array"), [(n, a) for n, a in ARRAYS.items() if n != "null"])
def test_order_cells_and_nulls_make_a_difference(name: str, array: pa.Array) -> None:
    rows = [[0, 1, 2, 3], [1, 0, 2, 3], [0, 1, 2, 2], [0, 0, 2, 3], [0, 1, 2], [0, 1, 2, 3, 1]]
    hashes = [of(array.take(pa.array(indices))) for indices in rows]

    assert len(set(hashes)) == len(rows), name


def test_every_type_has_its_own_hash() -> None:
    hashes = {name: of(array.slice(1, 1)) for name, array in ARRAYS.items()}

    assert len(set(hashes.values())) == len(ARRAYS)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (pa.string(), pa.large_string()),
        (pa.string(), pa.string_view()),
        (pa.binary(), pa.large_binary()),
        (pa.binary(), pa.binary_view()),
        (pa.list_(pa.string()), pa.large_list(pa.large_string())),
    ],
    ids=str,
)
def test_the_width_of_offsets_makes_no_difference(one: Any, other: Any) -> None:
    values: list[Any] = [["a", None], None, ["b"]] if pa.types.is_list(one) else ["a", None, "bb"]

    assert of(pa.array(values, one)) == of(pa.array(values, one).cast(other))


def test_dictionary_and_run_end_encoding_make_no_difference() -> None:
    pc: Any = pytest.importorskip("pyarrow.compute")
    plain = pa.array(["b", None, "a", "b"])
    other_order = pa.DictionaryArray.from_arrays(pa.array([1, None, 0, 1], pa.int8()), pa.array(["a", "b", "unused"]))

    assert of(plain) == of(plain.dictionary_encode()) == of(other_order) == of(pc.run_end_encode(plain))


def test_what_lies_under_nulls_makes_no_difference() -> None:
    bitmap = pa.py_buffer(bytes([0b101]))
    numbers = [pa.Array.from_buffers(pa.int32(), 3, [bitmap, pa.py_buffer(np.array([1, x, 3], "i4"))]) for x in (0, 9)]
    offsets = pa.py_buffer(np.array([0, 1, 2, 3], "i4"))
    texts = [pa.Array.from_buffers(pa.string(), 3, [bitmap, offsets, pa.py_buffer(t)]) for t in (b"abc", b"axc")]
    lists = [pa.Array.from_buffers(pa.list_(pa.int32()), 3, [bitmap, offsets], children=[n]) for n in
             (pa.array([1, 2, 3], pa.int32()), pa.array([1, 7, 3], pa.int32()))]  # fmt: skip
    kind: Any = pa.map_(pa.string(), pa.int64())
    maps: list[Any] = []
    for key in "bx":
        entries = pa.StructArray.from_arrays(
            [pa.array(["a", key, "c"]), pa.array([1, 2, 3])], fields=list(kind.field(0).type)
        )
        maps.append(pa.Array.from_buffers(kind, 3, [bitmap, offsets], children=[entries]))

    for pair in (numbers, texts, lists, maps):
        assert of(pair[0]) == of(pair[1])


def test_nan_payloads_are_one_nan_but_zeros_have_signs() -> None:
    odd = np.array([0x7FF8000000000123], "u8").view("f8")

    assert of(pa.array(np.array([np.nan]))) == of(pa.array(odd))
    assert of(pa.array([0.0])) != of(pa.array([-0.0]))
    assert of(pa.array([np.nan])) != of(pa.array([None], pa.float64()))


def test_an_all_valid_bitmap_makes_no_difference() -> None:
    buffers = [pa.py_buffer(b"\xff"), pa.py_buffer(np.array([1, 2], "i8"))]

    assert of(pa.Array.from_buffers(pa.int64(), 2, buffers)) == of(pa.array([1, 2]))


def test_renamed_retyped_and_reordered_columns_make_a_difference() -> None:
    tables = [
        pa.table({"a": [1, 2], "b": [3, 4]}),
        pa.table({"b": [1, 2], "a": [3, 4]}),
        pa.table({"b": [3, 4], "a": [1, 2]}),
        pa.table({"a": [1, 2], "c": [3, 4]}),
        pa.table({"a": pa.array([1, 2], pa.int32()), "b": [3, 4]}),
        pa.table({"a": pa.array([1, 2], pa.uint64()), "b": [3, 4]}),
        pa.table({"a": [1, 2]}),
    ]

    assert len({table_hash(table)[0] for table in tables}) == len(tables)


def test_a_column_digest_follows_the_content_and_not_the_name_or_its_neighbours() -> None:
    one = table_hash(pa.table({"a": [1, 2], "b": [3, 4]}))[1]
    other = table_hash(pa.table({"z": ["x", "y"], "b": [3, 4], "c": [1, 2]}))[1]

    assert one["b"] == other["b"]
    assert one["a"] == other["c"] != one["b"]


@pytest.mark.parametrize("sizes", [[1], [BLOCK_ROWS], [BLOCK_ROWS + 1], [7, BLOCK_ROWS - 7, 3], [50_000]], ids=str)
def test_batch_sizes_make_no_difference_across_blocks(sizes: list[int]) -> None:
    rows = BLOCK_ROWS + 10 if sizes == [1] else 2 * BLOCK_ROWS + 5
    table = pa.table({"n": pa.array(np.arange(rows)), "t": pa.array(np.arange(rows) % 7).cast(pa.string())})
    hasher, start, turn = TableHasher(table.schema), 0, 0
    while start < rows:
        size = sizes[turn % len(sizes)] if turn or sizes != [1] else rows - 3
        batch = table.slice(start, size).combine_chunks().to_batches()[0]
        hasher.update(batch)
        start, turn = start + size, turn + 1

    assert hasher.finish() == table_hash(table)


def test_every_row_at_the_edge_of_a_block_counts() -> None:
    numbers = np.arange(2 * BLOCK_ROWS + 3)
    hashes = {of(pa.array(numbers))}
    for row in (0, BLOCK_ROWS - 1, BLOCK_ROWS, 2 * BLOCK_ROWS - 1, 2 * BLOCK_ROWS, 2 * BLOCK_ROWS + 2):
        changed = numbers.copy()
        changed[row] = -1
        hashes.add(of(pa.array(changed)))

    assert len(hashes) == 7


@given(st.lists(st.tuples(st.none() | st.text(max_size=3), st.none() | st.floats()), max_size=12), st.data())
@settings(derandomize=True, max_examples=60, deadline=None)
def test_equal_tables_have_equal_hashes_however_they_are_cut(rows: list[tuple[Any, Any]], data: st.DataObject) -> None:
    texts, floats = pa.array([row[0] for row in rows], pa.string()), pa.array([row[1] for row in rows], pa.float64())
    table = pa.table({"t": texts, "f": floats})
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    parts = [table.slice(a, b - a) for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]

    assert table_hash(pa.concat_tables(parts)) == table_hash(table)


@given(st.lists(st.integers(-5, 5) | st.none(), min_size=1, max_size=10), st.data())
@settings(derandomize=True, max_examples=60, deadline=None)
def test_one_changed_cell_makes_a_difference(values: list[int | None], data: st.DataObject) -> None:
    position = data.draw(st.integers(0, len(values) - 1))
    changed = [*values]
    changed[position] = 99

    assert of(pa.array(values, pa.int64())) != of(pa.array(changed, pa.int64()))


def test_a_default_pandas_index_makes_no_difference_but_any_other_does() -> None:
    def hashed(frame: pd.DataFrame) -> str:
        return table_hash(table_from_pandas(frame, "x"))[0]

    frame = pd.DataFrame({"a": [1, 2]})
    others = [
        frame.set_axis(pd.RangeIndex(1, 3)),
        frame.set_axis(pd.RangeIndex(0, 4, 2)),
        frame.rename_axis("i"),
        frame.set_axis(pd.Index([0, 1])),
        frame.astype("Int64"),
        frame.astype("int64[pyarrow]"),
        frame.rename_axis(columns="c"),
    ]

    assert hashed(frame) == of(pa.array([1, 2]), "a")
    assert len({hashed(frame), *map(hashed, others)}) == 8


def test_categories_that_a_reader_sees_make_a_difference() -> None:
    def hashed(*categories: str, ordered: bool = False, values: str = "ab") -> str:
        column = pd.Categorical(list(values), categories=list(categories), ordered=ordered)
        return table_hash(table_from_pandas(pd.DataFrame({"c": column}), "x"))[0]

    hashes = [hashed("a", "b"), hashed("b", "a"), hashed("a", "b", "c"), hashed("a", "b", ordered=True)]
    empty = [hashed("a", values=""), hashed("b", values="")]

    assert len({*hashes, *empty}) == 6


def test_the_kind_of_missing_value_in_a_column_of_objects_makes_a_difference() -> None:
    def digest(missing: object) -> str:
        frame = pd.DataFrame({"o": pd.Series(["x", missing], dtype=object)})
        return table_hash(table_from_pandas(frame, "x"))[1]["o"]

    assert len({digest(None), digest(float("nan")), digest(pd.NA)}) == 3


def test_unions_and_unknown_extension_types_are_refused_with_the_column() -> None:
    union = pa.UnionArray.from_dense(pa.array([0], pa.int8()), pa.array([0], pa.int32()), [pa.array([1])])

    class Custom(pa.ExtensionType):
        def __init__(self) -> None:
            super().__init__(pa.int64(), "tests.custom")

        def __arrow_ext_serialize__(self) -> bytes:
            return b""

    for array in (union, pa.ExtensionArray.from_storage(Custom(), pa.array([1]))):
        with pytest.raises(CannotStore, match="`odd`"):
            of(array, "odd")


def test_the_hash_is_stable_across_releases() -> None:
    table = pa.table({"id": [1, None], "t": ["a", "é"], "d": [dt.date(2024, 1, 1), None], "l": [[1.5], []]})

    assert table_hash(table)[0] == "adh1-xxh3:73069b05e5494a6aaeccebefeee1355b"
    assert (
        table_hash(table, "sha256")[0] == "adh1-sha256:a5c2c2711b482f68f1e836598949a33fb83080d96112f75de62ea202c3126290"
    )


def test_the_hashes_of_files_and_values_are_stable_across_releases(tmp_path: Path) -> None:
    (tmp_path / "b" / "inner").mkdir(parents=True)
    for name in ("b/x", "b/inner/y", "b.z"):
        (tmp_path / name).write_bytes(name.encode())
    found = [
        (bytes_hash(b"one", algorithm), json_hash({"a": [1, None, 0.5]}, algorithm), tree_hash(tmp_path, algorithm))
        for algorithm in ("xxh3", "sha256")
    ]

    assert found == GOLDEN


@pytest.mark.parametrize("algorithm", ["xxh3", "sha256"])
def test_every_way_through_a_library_or_a_file_keeps_the_hash(tmp_path: Path, algorithm: str) -> None:
    rows = 1000
    table = pa.table(
        {
            "id": pa.array([None, *range(1, rows)]),
            "price": pa.array([0.5 * row for row in range(rows)]),
            "name": pa.array([f"é{row % 7}" if row % 3 else None for row in range(rows)]),
            "at": pa.array(range(rows), pa.timestamp("us")),
            "day": pa.array(range(rows), pa.date32()),
            "is_paid": pa.array([row % 2 == 0 for row in range(rows)]),
            "tags": pa.array([["a"] * (row % 3) for row in range(rows)]),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=77)
    frame = table.to_pandas(types_mapper=pd.ArrowDtype)
    ways: dict[str, pa.Table] = {
        "parquet": pq.read_table(tmp_path / "t.parquet"),
        "polars": cast("Any", pl.from_arrow(table)).to_arrow(),
        "duckdb": duckdb.connect().read_parquet(str(tmp_path / "t.parquet")).to_arrow_table(),
        "pandas": pa.Table.from_pandas(frame, schema=table.schema, preserve_index=False).replace_schema_metadata(None),
        "dictionaries": table.set_column(2, "name", table.column("name").dictionary_encode()),
        "large": table.set_column(2, "name", table.column("name").cast(pa.large_string())),
        "view": table.set_column(2, "name", table.column("name").cast(pa.string_view())),
        "slices": pa.concat_tables([table.slice(0, 13), table.slice(13, 0), table.slice(13)]),
    }

    assert {name: table_hash(way, algorithm) for name, way in ways.items()} == dict.fromkeys(
        ways, table_hash(table, algorithm)
    )


COLUMNS = st.lists(st.integers(-3, 3) | st.none(), min_size=3, max_size=6)


@given(COLUMNS, st.data(), st.sampled_from(["xxh3", "sha256"]))
@settings(derandomize=True, max_examples=60, deadline=None)
def test_a_cell_a_name_a_type_and_the_order_each_make_a_difference(
    values: list[int | None], data: st.DataObject, algorithm: str
) -> None:
    others = data.draw(st.lists(st.text(max_size=2), min_size=len(values), max_size=len(values)))
    position = data.draw(st.integers(0, len(values) - 1))
    table = pa.table({"n": pa.array(values, pa.int64()), "t": pa.array(others, pa.string())})
    cell: list[int | None] = [99 if row == position else value for row, value in enumerate(values)]
    changed = [
        table.set_column(0, "n", pa.array(cell, pa.int64())),
        table.set_column(
            1, "t", pa.array([f"{text}!" if row == position else text for row, text in enumerate(others)])
        ),
        table.rename_columns(["m", "t"]),
        table.select(["t", "n"]),
        table.select(["n"]),
        table.set_column(0, "n", table.column("n").cast(pa.int32())),
        table.set_column(1, "t", table.column("t").cast(pa.binary())),
        table.slice(1),
        pa.concat_tables([table, table.slice(0, 1)]),
    ]
    backwards = table.take(pa.array(range(len(values))[::-1]))
    if not backwards.equals(table):
        changed.append(backwards)

    hashes = [table_hash(one, algorithm)[0] for one in (table, *changed)]
    assert len(set(hashes)) == len(hashes)


def test_a_recorded_hash_says_its_algorithm() -> None:
    found = [algorithm_of(one) for one in (json_hash(1), bytes_hash(b"", "sha256"), of(pa.array([1])))]

    assert found == ["xxh3", "sha256", "xxh3"]
    with pytest.raises(ValueError, match="blake3"):
        algorithm_of("adh1-blake3:00")


def test_json_values_hash_by_type_and_content_but_not_by_key_order() -> None:
    assert json_hash({"a": 1, "b": [1.5]}) == json_hash({"b": [1.5], "a": 1})
    distinct: list[object] = [1, 1.0, True, "1", None, [1], [[1]], {"1": 1}, [1, 1], 0.0, -0.0, [], {}, ""]
    distinct += [["a", "b"], ["ab"]]
    assert len({json_hash(value) for value in distinct}) == len(distinct)


def test_a_file_hashes_like_its_bytes_and_a_directory_by_names_and_contents(tmp_path: Any) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"one")
    before = tree_hash(tmp_path)

    assert file_hash(tmp_path / "a" / "x") == bytes_hash(b"one")

    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    renamed = tree_hash(tmp_path)
    (tmp_path / "a" / "y").write_bytes(b"two")
    (tmp_path / "b").mkdir()

    assert len({before, renamed, tree_hash(tmp_path)}) == 3
