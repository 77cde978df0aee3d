"""Whatever goes into a store comes back exactly, or is refused with its column and the way out; nothing in between.

`HYPOTHESIS_PROFILE=nightly` looks for new examples, thousands of each kind; here they are the same every time.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from assetflow.errors import CannotStore, ContractBroken, NotExact
from assetflow.io.arrow import open_table
from assetflow.io.base import Want
from assetflow.io.storage import Storage
from assetflow.model.keys import AssetKey
from assetflow.model.records import NewVersion, Version
from tests.unit.io.arrow_tables import Drawn, array_of, difference, tables
from tests.unit.io.pandas_frames import frame_difference, frames, polars_difference, polars_frames

ORDERS = AssetKey("orders")
FORMS = ("arrow", "reader", "pandas", "polars", "polars_lazy", "duckdb", "records")
PARQUET = settings(max_examples=settings().max_examples)
DUCKDB = settings(max_examples=max(12, settings().max_examples // 12))  # each opens and closes a file several times


class Store:
    """Writes, publishes and reads through the whole storage, and throws away what was written."""

    def __init__(self, root: Path) -> None:
        self.storage = Storage(root / "store", warehouse=root / "warehouse.duckdb")

    def put(self, value: object, io: str) -> Version:
        staged = self.storage.write(
            value, key=ORDERS, partition="", io=io, io_is_explicit=True, declared=None, run_id=1
        )  # fmt: skip
        try:
            return _version(self.storage.publish(staged))
        except (CannotStore, NotExact):
            self.storage.discard(staged)
            raise

    def kept(self, value: Any, io: str, without: Callable[[Any, str], Any]) -> tuple[Any, Version] | None:
        """The value less the columns that are refused one after the other, and its version; None if nothing is left."""
        while True:
            try:
                return value, self.put(value, io)
            except (CannotStore, NotExact) as error:
                assert error.fix  # noqa: PT017 - either outcome is right
                names = [name for name in map(str, _names(value)) if f"`{name}`" in error.what]
                if not names:
                    assert _is_about_the_whole(error.what), error.facts  # noqa: PT017
                    return None
                value = without(value, max(names, key=len))
                if not len(_names(value)):
                    return None

    def read(self, version: Version, form: str) -> Any:
        return self.storage.read(version, Want(form))

    def check(self, version: Version, back: object, again: object) -> None:
        """The store finds nothing wrong; what came back, and the same rows cut otherwise, have the recorded hash."""
        assert self.storage.verify(version, deep=True) == []
        for value in (back, again):
            other = self.put(value, version.io)
            assert other.data_hash == version.data_hash
            assert dict(other.columns) == dict(version.columns)
            self.storage.delete(other)
        self.storage.delete(version)


def _version(new: NewVersion) -> Version:
    return Version(
        1, ORDERS, "", 1, new.data_hash, new.io, new.location, new.rows, new.size_bytes, new.schema, new.columns,
        new.details, 0.0,
    )  # fmt: skip


def _names(value: Any) -> list[Any]:
    return list(value.column_names if isinstance(value, pa.Table) else value.columns)


def _is_about_the_whole(what: str) -> bool:
    """Whether a refusal is about something that is no column, and says so; labels of levels are such."""
    return any(words in what for words in ("the index", "column names", "no columns", "same name", "column `("))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield Store(tmp_path_factory.mktemp("store"))
        return
    with TemporaryDirectory(prefix="assetflow-test-", dir=memory) as folder:
        yield Store(Path(folder))


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Without the warnings of pandas about what the frames of these tests are made of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _arrow_example(store: Store, drawn: Drawn, io: str) -> None:
    found = store.kept(drawn.table, io, lambda table, name: table.drop_columns([name]))
    if found is None:
        return
    table, version = found

    back = store.read(version, "arrow")

    assert difference(table, back) == ""
    assert difference(table, store.read(version, "reader").read_all()) == ""
    assert version.rows == table.num_rows
    store.check(version, back, drawn.again.select(table.column_names))


@given(drawn=tables())
@PARQUET
def test_any_arrow_table_comes_back_from_parquet_or_is_refused(store: Store, drawn: Drawn) -> None:
    _arrow_example(store, drawn, "parquet")


@given(drawn=tables())
@DUCKDB
def test_any_arrow_table_comes_back_from_duckdb_or_is_refused(store: Store, drawn: Drawn) -> None:
    _arrow_example(store, drawn, "duckdb")


def _pandas_example(store: Store, frame: pd.DataFrame, io: str) -> None:
    def without(frame: pd.DataFrame, name: str) -> pd.DataFrame:
        return frame.iloc[:, [place for place, label in enumerate(frame.columns) if str(label) != name]]

    found = store.kept(frame, io, without)
    if found is None:
        return
    frame, version = found

    back = store.read(version, "pandas")

    assert frame_difference(frame, back) == ""
    store.check(version, back, frame.copy())


@given(frame=frames())
@PARQUET
def test_any_pandas_frame_comes_back_from_parquet_or_is_refused(store: Store, frame: pd.DataFrame) -> None:
    _pandas_example(store, frame, "parquet")


@given(frame=frames())
@DUCKDB
def test_any_pandas_frame_comes_back_from_duckdb_or_is_refused(store: Store, frame: pd.DataFrame) -> None:
    _pandas_example(store, frame, "duckdb")


def _polars_example(store: Store, frame: pl.DataFrame, io: str) -> None:
    found = store.kept(frame, io, lambda frame, name: frame.drop(name))
    if found is None:
        return
    frame, version = found

    back = store.read(version, "polars")

    assert polars_difference(frame, back) == ""
    store.check(version, back, frame.rechunk())


@given(frame=polars_frames())
@PARQUET
def test_any_polars_frame_comes_back_from_parquet_or_is_refused(store: Store, frame: pl.DataFrame) -> None:
    _polars_example(store, frame, "parquet")


@given(frame=polars_frames())
@DUCKDB
def test_any_polars_frame_comes_back_from_duckdb_or_is_refused(store: Store, frame: pl.DataFrame) -> None:
    _polars_example(store, frame, "duckdb")


@given(value=st.one_of(tables().map(lambda drawn: drawn.table), frames(), polars_frames()))
@PARQUET
def test_a_table_of_any_kind_arrives_in_every_form_or_the_form_is_refused(store: Store, value: Any) -> None:
    try:
        version = store.put(value, "parquet")
    except (CannotStore, NotExact):
        return

    for form in FORMS:
        try:
            found = store.read(version, form)
        except ContractBroken as error:
            assert error.fix  # noqa: PT017 - either outcome is right
            continue
        if form not in ("duckdb", "reader", "polars_lazy"):
            assert len(found) == version.rows
    store.storage.delete(version)


# Types whose values all libraries have: those of a pandas column that says nothing more than its Arrow type does.
COMMON = [
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "str",
    "us",
    "ns",
]


@given(data=st.data())
@DUCKDB
def test_the_same_content_has_the_same_hash_wherever_it_comes_from(store: Store, data: st.DataObject) -> None:
    import duckdb

    columns: dict[str, Any] = {}
    count = data.draw(st.integers(0, 5))
    for place, kind in enumerate(data.draw(st.lists(st.sampled_from(COMMON), min_size=1, max_size=4))):
        if kind == "str":
            values = pd.Series(
                data.draw(st.lists(st.text("aé日", max_size=3) | st.none(), min_size=count, max_size=count)),
                dtype="str",
            )
        elif kind in ("us", "ns"):
            days = data.draw(st.lists(st.integers(0, 20_000), min_size=count, max_size=count))
            values = pd.Series(pd.to_datetime(days, unit="D")).astype(f"datetime64[{kind}]")
        else:
            values = pd.Series(data.draw(st.lists(st.integers(0, 100), min_size=count, max_size=count)), dtype=kind)
        columns[f"c{place}"] = values
    frame = pd.DataFrame(columns)
    table = pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
    polars = pl.from_arrow(table)

    values = [
        frame,
        table,
        polars,
        duckdb.default_connection().cursor().from_arrow(table),
        table.to_reader(max_chunksize=2),
    ]
    versions = [
        store.put(value, io)
        for value in values
        for io in ("parquet", "duckdb")
        if not hasattr(value, "read_all") or io == "parquet"
    ]

    assert len({version.data_hash for version in versions}) == 1
    assert len({tuple(version.columns.items()) for version in versions}) == 1


@pytest.mark.parametrize("io", ["parquet", "duckdb"])
def test_a_thousand_columns_come_back(store: Store, io: str) -> None:
    from random import Random

    kinds = [pa.int64(), pa.string(), pa.timestamp("us", "UTC"), pa.decimal128(9, 2), pa.bool_(), pa.float32()]
    columns = [array_of(kinds[place % len(kinds)], 3, Random(place)) for place in range(1000)]
    table = pa.table(columns, names=[f"column {place} é" for place in range(1000)])

    assert difference(table, store.read(store.put(table, io), "arrow")) == ""
    if io == "parquet":
        frame = pd.DataFrame({f"c{place}": pd.Series(["x", None], dtype="str") for place in range(1000)})
        assert frame_difference(frame, store.read(store.put(frame, io), "pandas")) == ""


@pytest.mark.parametrize("io", ["parquet", "duckdb"])
def test_long_texts_and_many_blocks_come_back(store: Store, io: str) -> None:
    texts = ["", "x" * 3_000_000, None, "日本" * 700_000]
    big = pa.table({"t": pa.array(texts, pa.large_string()), "b": pa.array([b"\0" * 2_000_000, None, b"", b"1"])})
    rows = 131_072 * 2 + 5
    many = pa.table(
        {"n": pa.array(range(rows)), "s": pa.array([str(row % 97) for row in range(rows)]).dictionary_encode()}
    )

    assert difference(big, store.read(store.put(big, io), "arrow")) == ""
    back = store.read(store.put(many, io), "arrow")
    assert back.equals(many)


LOST: dict[str, tuple[Any, str]] = {
    "date64 that is no day": (pa.table({"c": pa.array([1], pa.int64()).view(pa.date64())}), "pa.timestamp"),
    "date64 beyond the calendar": (
        pa.table({"c": pa.array([86_400_000 * 2**32]).view(pa.date64())}), "pa.timestamp",
    ),
    "date64 in a list": (
        pa.table({"c": pa.ListArray.from_arrays([0, 1], pa.array([1]).view(pa.date64()))}), "pa.timestamp",
    ),
    "seconds beyond milliseconds": (pa.table({"c": pa.array([2**62]).view(pa.timestamp("s"))}), "int64"),
    "negative scale": (pa.table({"c": pa.array([Decimal("1E+3")], pa.decimal128(3, -2))}), "decimal128(5, 0)"),
    "fixed lists of nothing": (pa.table({"c": pa.array([[]], pa.list_(pa.int8(), 0))}), "any size"),
    "uuid in a list": (
        pa.table({"c": pa.ListArray.from_arrays([0, 1], pa.array([b"x" * 16], pa.uuid()))}), "fixed_size_binary[16]",
    ),
    "dictionary of half floats": (
        pa.table({"c": pa.DictionaryArray.from_arrays(pa.array([0]), pa.array([1.5], pa.float16()))}), "halffloat",
    ),
    "decimals of several scales": (pd.DataFrame({"c": [Decimal(2), Decimal("2.50")]}, dtype=object), "quantize"),
    "the second 01:30 of a night": (
        pd.DataFrame({"c": [pd.Timestamp("2024-10-27 01:30").to_pydatetime().replace(fold=1)]}, dtype=object), "text",
    ),
    "NaN beside missing numbers": (
        pd.DataFrame({"c": pd.arrays.FloatingArray(np.array([np.nan, 1.0]), np.array([False, True]))}), "float64",
    ),
    "a view in pandas": (pd.DataFrame({"c": pd.Series(["x"], dtype=pd.ArrowDtype(pa.string_view()))}), "large_string"),
    "Int128": (pl.DataFrame({"c": pl.Series([1], dtype=pl.Int128)}), "inside the function"),
}  # fmt: skip


@pytest.mark.parametrize("io", ["parquet", "duckdb"])
@pytest.mark.parametrize(("value", "way"), LOST.values(), ids=LOST.keys())
def test_what_a_store_would_change_is_refused_with_the_column_and_the_way_out(
    store: Store, value: Any, way: str, io: str
) -> None:
    with pytest.raises((CannotStore, NotExact), match="`c`") as caught:
        store.put(value, io)

    assert way in (caught.value.fix or "")


def test_what_only_duckdb_changes_is_refused_with_the_column_and_parquet_takes_it(store: Store) -> None:
    twice = pa.array([[("k", 1), ("k", 2)]], pa.map_(pa.string(), pa.int8()))
    endless = pa.array([2**62]).view(pa.timestamp("ms", "UTC"))
    for array in (twice, endless):
        table = pa.table({"fine": [1], "c": array})

        assert difference(table, store.read(store.put(table, "parquet"), "arrow")) == ""
        with pytest.raises(CannotStore, match="column `c`") as caught:
            store.put(table, "duckdb")
        assert 'io="parquet"' in (caught.value.fix or "")


@pytest.mark.parametrize("value", [pa.table({"a": [1, 2]}).select([]), pl.DataFrame(height=3)], ids=["arrow", "polars"])
def test_rows_without_columns_are_refused(store: Store, value: Any) -> None:
    if not len(value):
        pytest.skip("this release keeps no rows without columns")
    with pytest.raises(NotExact, match="no columns"):
        store.put(value, "parquet")


def test_a_form_that_cannot_hold_a_column_is_refused_with_the_column(store: Store) -> None:
    table = pa.table({"fine": [1], "c": pa.array([0], pa.timestamp("us", "+05:30"))})
    version = store.put(table, "parquet")

    with pytest.raises(ContractBroken, match="column `c`") as caught:
        store.read(version, "polars")

    assert "pa.Table" in (caught.value.fix or "")


@pytest.mark.parametrize("index", [
    pd.date_range("2024", periods=0, freq="h", tz="Europe/London"),
    pd.timedelta_range("1h", periods=0, freq="D"),
    pd.RangeIndex(4, 4, 2),
    pd.MultiIndex.from_arrays([pd.Index([], dtype="int8"), pd.Index([], dtype="str")], names=["a", None]),
], ids=["hours", "days", "range", "levels"])  # fmt: skip
def test_the_index_of_an_empty_frame_comes_back(store: Store, index: Any) -> None:
    frame = pd.DataFrame({"a": pd.Series([], dtype="float32")}).set_axis(index)

    assert frame_difference(frame, store.read(store.put(frame, "parquet"), "pandas")) == ""


def test_an_empty_index_that_would_lose_its_dtype_is_refused(store: Store) -> None:
    with pytest.raises(NotExact, match="the index"):
        store.put(pd.DataFrame({"a": [1]}, index=pd.Index([1], dtype="Int64")).iloc[:0], "parquet")


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"x": [1, 2]}, index=pd.Index([Decimal("1.0"), Decimal("2.00")], dtype=object)),
        pd.DataFrame({"x": pd.Categorical([Decimal("1.0"), Decimal("2.00")])}),
        pd.DataFrame({"x": [1, 2]}, index=pd.MultiIndex.from_arrays([[Decimal("1.0"), Decimal("2.00")], [1, 2]])),
    ],
    ids=["index", "categories", "level"],
)
def test_decimals_that_would_come_back_with_another_scale_are_refused_wherever_they_are(frame: pd.DataFrame) -> None:
    with pytest.raises(NotExact):
        open_table(frame, "it")
