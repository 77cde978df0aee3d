"""Values to Arrow and back: exactly, or refused with the column and the way out."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any, cast

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings, strategies as st

from assetflow.errors import AssetflowError, CannotStore, ContractBroken, NotExact, WrongReturn
from assetflow.io import arrow
from assetflow.io.base import Want
from assetflow.io.frames import pandas_from_table, table_from_pandas

UTC = dt.UTC
PANDAS: dict[str, Any] = {
    "int8": pd.Series([1, 2, -3], dtype="int8"),
    "uint64": pd.Series([1, 2, 2**64 - 1], dtype="uint64"),
    "float32": pd.Series([1.5, np.nan, -0.0], dtype="float32"),
    "float16": pd.Series([1.5, np.nan, -0.0], dtype="float16"),
    "bool": pd.Series([True, False, True]),
    "str": pd.Series(["a", None, "é"]),
    "string": pd.Series(["a", None, "é"], dtype="string"),
    "string python": pd.Series(["a", None, "é"], dtype=pd.StringDtype("python")),
    "str python": pd.Series(["a", None, "é"], dtype=pd.StringDtype("python", na_value=np.nan)),
    "Int64": pd.Series([1, None, 3], dtype="Int64"),
    "UInt8": pd.Series([1, None, 3], dtype="UInt8"),
    "Float64": pd.Series([1.5, None, 3], dtype="Float64"),
    "boolean": pd.Series([True, None, False], dtype="boolean"),
    "datetime s": pd.Series(["2020-01-01", None, "2021-01-01"], dtype="datetime64[s]"),
    "datetime ms": pd.Series(["2020-01-01", None, "2021-01-01"], dtype="datetime64[ms]"),
    "datetime us": pd.Series(["2020-01-01", None, "2021-01-01"], dtype="datetime64[us]"),
    "datetime ns": pd.Series(["2020-01-01", None, "2021-01-01"], dtype="datetime64[ns]"),
    "datetime s tz": pd.Series(["2020-07-01", None, "2021-01-01"], dtype="datetime64[s, Europe/London]"),
    "datetime ns tz": pd.Series(["2020-07-01", None, "2021-01-01"], dtype="datetime64[ns, UTC]"),
    "datetime fixed tz": pd.Series(pd.to_datetime(["2020-07-01", None, "2021-01-01"]).tz_localize("+05:30")),
    "timedelta s": pd.Series([1, 2, None], dtype="timedelta64[s]"),
    "timedelta ns": pd.Series([1, 2, None], dtype="timedelta64[ns]"),
    "category": pd.Series(pd.Categorical(["b", None, "a"], categories=["z", "b", "a"])),
    "ordered category": pd.Series(pd.Categorical(["b", None, "a"], categories=["z", "b", "a"], ordered=True)),
    "int category": pd.Series(pd.Categorical([2, 1, 2], categories=[3, 2, 1])),
    "date category": pd.Series(pd.Categorical(pd.to_datetime(["2020", "2021", "2020"]))),
    "period": pd.Series(pd.period_range("2020", periods=3, freq="M")),
    "interval": pd.Series(pd.interval_range(0, 3, closed="left")),
    "bytes": pd.Series([b"a", None, b"\0"], dtype=object),
    "decimal": pd.Series([Decimal("1.50"), None, Decimal("-2.00")], dtype=object),
    "date": pd.Series([dt.date(2020, 1, 1), None, dt.date(1, 1, 1)], dtype=object),
    "time": pd.Series([dt.time(1, 2), None, dt.time(3, 4, 5, 6)], dtype=object),
    "datetime objects": pd.Series([dt.datetime(2020, 1, 1, tzinfo=UTC), None], dtype=object),
    "timedelta objects": pd.Series([dt.timedelta(1), None], dtype=object),
    "text objects": pd.Series(["a", np.nan, "b"], dtype=object),
    "int objects": pd.Series([1, None, 2], dtype=object),
    "bool objects": pd.Series([True, None, False], dtype=object),
    "float objects": pd.Series([1.5, pd.NA], dtype=object),
    "only missing": pd.Series([None, None], dtype=object),
    "lists": pd.Series([[1, 2], None, []], dtype=object),
    "dicts": pd.Series([{"a": 1, "b": "x"}, None], dtype=object),
    "arrow int": pd.Series([1, None], dtype="int64[pyarrow]"),
    "arrow list": pd.Series([[1], None], dtype=pd.ArrowDtype(pa.list_(pa.int64()))),
    "arrow decimal": pd.Series([Decimal("1.5"), None], dtype=pd.ArrowDtype(pa.decimal128(5, 2))),
    "arrow timestamp": pd.Series([1, None], dtype=pd.ArrowDtype(pa.timestamp("s", "UTC"))),
}  # fmt: skip
OBJECTS = pd.Series([b"x"], dtype=object)
COLUMN = {"v": [1, 2, 3]}
INDEXES: dict[str, pd.DataFrame] = {
    "default": pd.DataFrame(COLUMN),
    "range": pd.DataFrame(COLUMN, index=pd.RangeIndex(5, 11, 2, name="r")),
    "down": pd.DataFrame(COLUMN, index=pd.RangeIndex(3, 0, -1)),
    "text": pd.DataFrame(COLUMN, index=pd.Index(["a", "b", "a"], name="key")),
    "named like a column": pd.DataFrame(COLUMN, index=pd.Index([1, 2, 3], name="w")),
    "multi": pd.DataFrame(COLUMN, index=pd.MultiIndex.from_tuples([("a", 1), ("a", 2), ("b", 1)], names=["k", None])),
    "daily": pd.DataFrame(COLUMN, index=pd.date_range("2024-03-30", periods=3, freq="D", tz="Europe/London")),
    "months": pd.DataFrame(COLUMN, index=pd.date_range("2024", periods=3, freq="ME", unit="s", name="m")),
    "hours": pd.DataFrame(COLUMN, index=pd.timedelta_range("0h", periods=3, freq="h")),
    "irregular": pd.DataFrame(COLUMN, index=pd.to_datetime(["2024-01-01", "2024-01-05", "2024-01-06"])),
    "period": pd.DataFrame(COLUMN, index=pd.period_range("2024", periods=3, freq="Q")),
    "category": pd.DataFrame(COLUMN, index=pd.CategoricalIndex(["a", "b", "a"], categories=["b", "a", "z"])),
    "dates": pd.DataFrame(COLUMN, index=pd.Index([dt.date(2024, 1, n) for n in (1, 2, 3)])),
    "int labels": pd.DataFrame({1: [1], 0: [2]}),
    "date labels": pd.DataFrame([[1, 2]], columns=pd.to_datetime(["2024", "2025"])),
    "two label levels": pd.DataFrame([[1]], columns=pd.MultiIndex.from_product([["a"], ["x"]], names=["p", "q"])),
    "named labels": pd.DataFrame([[1, 2]], columns=pd.Index(["a", "b"], name="letters")),
    "odd labels": pd.DataFrame({"a.b": [1], "": [2], "A": [3], "a": [4], 'q"uo\'te': [5], "π": [6]}),
    "no rows": pd.DataFrame({"a": pd.Series([], dtype="Int8"), "b": pd.Categorical([], ["x"]), "o": OBJECTS.iloc[:0]}),
    "no rows, text index": pd.DataFrame({"a": [1]}, index=["x"]).iloc[:0],
    "nothing": pd.DataFrame(),
}  # fmt: skip


def through(value: object, form: str = "pandas") -> Any:
    return arrow.forms_of(arrow.open_table(value, "orders"), Want(form), "orders")


def assert_same_frame(frame: pd.DataFrame, back: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(back, frame, check_freq=True, check_column_type=True)
    assert list(map(repr, back.dtypes)) == list(map(repr, frame.dtypes))
    for position, dtype in enumerate(frame.dtypes):
        if dtype.kind == "O" and dtype.name == "object":
            pairs = zip(frame.iloc[:, position], back.iloc[:, position], strict=True)
            assert all(type(one) is type(other) for one, other in pairs)
        if isinstance(dtype, pd.CategoricalDtype):
            assert list(dtype.categories) == list(back.iloc[:, position].cat.categories)


@pytest.mark.parametrize("series", PANDAS.values(), ids=PANDAS.keys())
def test_a_pandas_column_comes_back_exactly(series: Any) -> None:
    frame = pd.DataFrame({"n": range(len(series)), "c": series})

    assert_same_frame(frame, through(frame))
    assert_same_frame(frame.iloc[:0], through(frame.iloc[:0]))


@pytest.mark.parametrize("frame", INDEXES.values(), ids=INDEXES.keys())
def test_a_pandas_index_and_the_labels_come_back_exactly(frame: pd.DataFrame) -> None:
    assert_same_frame(frame, through(frame))


REFUSED: dict[str, tuple[Any, str]] = {
    "complex": (pd.DataFrame({"c": [1j]}), "`c`"),
    "mixed": (pd.DataFrame({"c": pd.Series([1, "a"], dtype=object)}), "`c`"),
    "int and float": (pd.DataFrame({"c": pd.Series([1, 1.5], dtype=object)}), "`c`"),
    "two kinds of missing": (pd.DataFrame({"c": pd.Series(["a", None, np.nan], dtype=object)}), "`c`"),
    "sets": (pd.DataFrame({"c": pd.Series([{1}], dtype=object)}), "`c`"),
    "arrays": (pd.DataFrame({"c": pd.Series([np.array([1])], dtype=object)}), "`c`"),
    "timestamps in objects": (pd.DataFrame({"c": pd.Series([pd.Timestamp("2024")], dtype=object)}), "`c`"),
    "mixed lists": (pd.DataFrame({"c": pd.Series([[1, 2.5]], dtype=object)}), "`c`"),
    "dicts with other keys": (pd.DataFrame({"c": pd.Series([{"a": 1}, {"b": 2}], dtype=object)}), "`c`"),
    "sparse": (pd.DataFrame({"c": pd.arrays.SparseArray([0, 0, 1])}), "`c`"),
    "twice": (pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]), "`a`"),
    "mixed labels": (pd.DataFrame({1: [1], "a": [2]}), "column names"),
    "rows without columns": (pd.DataFrame(index=range(3)), "no columns"),
    "mixed index": (pd.DataFrame({"a": [1, 2]}, index=pd.Index([1, "a"], dtype=object)), "index"),
    "polars objects": (pl.DataFrame({"c": pl.Series([object()], dtype=pl.Object)}), "."),
    "arrow twice": (pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), "`a`"),
}


@pytest.mark.parametrize(("value", "words"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_come_back_exactly_is_refused_with_a_way_out(value: Any, words: str) -> None:
    with pytest.raises((NotExact, CannotStore), match=words) as caught:
        through(value)

    assert caught.value.fix


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 5))
    texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
    makers: list[st.SearchStrategy[Any]] = [
        st.lists(st.integers(-(2**63), 2**63 - 1), min_size=rows, max_size=rows).map(lambda v: pd.array(v, "int64")),
        st.lists(st.floats(), min_size=rows, max_size=rows).map(lambda v: pd.array(v, "float64")),
        st.lists(st.none() | texts, min_size=rows, max_size=rows).map(lambda v: pd.array(v, "str")),
        st.lists(st.none() | st.booleans(), min_size=rows, max_size=rows).map(lambda v: pd.array(v, "boolean")),
        st.lists(st.none() | texts, min_size=rows, max_size=rows).map(lambda v: pd.Series(v, dtype=object).array),
        st.lists(st.sampled_from("abc"), min_size=rows, max_size=rows).map(lambda v: pd.Categorical(v, list("cab"))),
        st.lists(
            st.none() | st.datetimes(dt.datetime(1700, 1, 1)),  # noqa: DTZ001 - naive on purpose
            min_size=rows,
            max_size=rows,
        ).map(lambda v: pd.array(v, "datetime64[us]")),
    ]
    names = draw(st.lists(texts, unique=True, min_size=1, max_size=4))
    frame = pd.DataFrame({name: draw(draw(st.sampled_from(makers))) for name in names})
    return frame.set_axis(pd.Index(range(10, 10 + rows), name=draw(st.none() | st.just("i")))) if rows else frame


@given(frames())
@settings(derandomize=True, max_examples=80, deadline=None)
def test_any_frame_comes_back_exactly_or_is_refused(frame: pd.DataFrame) -> None:
    try:
        table = table_from_pandas(frame, "orders")
    except NotExact:
        return

    assert_same_frame(frame, pandas_from_table(table))


@pytest.mark.parametrize("series", PANDAS.values(), ids=PANDAS.keys())
def test_a_frame_that_arrives_can_be_written_to_and_shares_nothing(series: Any) -> None:
    table = table_from_pandas(pd.DataFrame({"c": series}), "orders")
    frame = pandas_from_table(table)

    frame.iloc[0, 0] = frame.iloc[1, 0]

    assert_same_frame(pd.DataFrame({"c": series}), pandas_from_table(table))


def test_a_table_arrives_in_every_form() -> None:
    table = pa.table({"id": [1, 2], "t": ["a", None]})

    assert through(table, "arrow").to_pylist() == table.to_pylist()
    assert through(table, "reader").read_all().to_pylist() == table.to_pylist()
    assert through(table, "records") == [{"id": 1, "t": "a"}, {"id": 2, "t": None}]
    assert through(table, "polars").to_dicts() == table.to_pylist()
    assert through(table, "polars_lazy").collect().to_dicts() == table.to_pylist()
    assert through(table, "duckdb").fetchall() == [(1, "a"), (2, None)]
    assert list(through(table, "python").columns) == ["id", "t"]
    with pytest.raises(ContractBroken, match="cannot arrive as"):
        through(table, "bytes")


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize("kind", [pa.decimal256(60, 2), pa.list_(pa.decimal256(60, 2))], ids=str)
def test_decimals_that_polars_does_not_have_are_refused_with_or_without_rows(kind: pa.DataType, rows: int) -> None:
    table = pa.table({"id": pa.array([1] * rows, "int64"), "wide": pa.nulls(rows, kind)})

    for form in ("polars", "polars_lazy"):
        with pytest.raises(ContractBroken, match="column `wide` of `orders` cannot arrive as"):
            through(table, form)


POLARS = {
    "plain": pl.DataFrame({"a": [1, None], "t": ["x", "é"], "f": [1.5, float("nan")]}),
    "dates": pl.DataFrame({"d": [dt.date(2024, 1, 1)], "z": [dt.datetime(2024, 1, 1, tzinfo=UTC)]}),
    "times": pl.DataFrame({"t": [dt.time(1, 2)], "u": [dt.timedelta(1)]}),
    "category": pl.DataFrame({"c": pl.Series(["a", "b", None], dtype=pl.Categorical)}),
    "enum": pl.DataFrame({"c": pl.Series(["a", "b", None], dtype=pl.Enum(["z", "b", "a"]))}),
    "nested": pl.DataFrame({"l": [[1], [], None], "s": [{"x": 1}, {"x": None}, None]}),
    "decimal": pl.DataFrame({"d": pl.Series([Decimal("1.50"), None], dtype=pl.Decimal(10, 2))}),
    "null": pl.DataFrame({"n": [None, None]}),
    "empty": pl.DataFrame(schema={"a": pl.Int8, "c": pl.Categorical}),
}  # fmt: skip


@pytest.mark.parametrize("frame", POLARS.values(), ids=POLARS.keys())
def test_a_polars_frame_comes_back_exactly(frame: pl.DataFrame) -> None:
    for value in (frame, frame.lazy()):
        back = through(value, "polars")

        assert back.schema == frame.schema
        assert back.equals(frame)


def test_everything_that_offers_an_arrow_stream_is_a_table() -> None:
    table = pa.table({"a": pa.array(["x", "y"]).dictionary_encode(), "v": pa.array(["x", None], pa.string_view())})

    class Foreign:
        def __arrow_c_stream__(self, requested_schema: object = None) -> object:
            return table.__arrow_c_stream__(requested_schema)

    values = [table, table.to_batches()[0], table.to_reader(), Foreign()]
    assert all(arrow.is_table(value) for value in values)
    for value in values:
        assert through(value, "records") == [{"a": "x", "v": "x"}, {"a": "y", "v": None}]


def test_a_duckdb_relation_is_read_while_its_connection_is_in_use() -> None:
    def step(orders: Any) -> Any:
        return duckdb.sql("SELECT a + 1 AS b FROM orders ORDER BY b")

    relation = step(duckdb.default_connection().cursor().from_arrow(pa.table({"a": [1, 2]})))
    unread = duckdb.default_connection().sql("SELECT 1").to_arrow_reader()

    assert through(relation, "records") == [{"b": 2}, {"b": 3}]
    unread.close()


def test_a_relation_of_another_database_is_read_on_its_own_connection() -> None:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t AS SELECT 7 AS a")

        assert through(connection.sql("FROM t"), "records") == [{"a": 7}]
        assert connection.execute("SELECT 1").fetchall() == [(1,)]


def test_a_relation_whose_query_fails_is_refused_with_what_duckdb_says() -> None:
    with pytest.raises(CannotStore) as caught:
        through(duckdb.default_connection().cursor().sql("SELECT error('boom') AS a FROM range(3)"))

    assert "boom" in str(caught.value)


@pytest.mark.parametrize(
    ("value", "told", "fix"),
    [
        ("'10:00:00+02'::timetz", "is TIME WITH TIME ZONE, and .* without its zone", '"h"::VARCHAR'),
        ("'101'::bit", "is BIT, and BIT cannot be stored: it would come back as bytes", '"h"::VARCHAR'),
        ("{'a': ['101'::bit]}", r"is STRUCT\(a BIT\[\]\), and BIT", '"h"::STRUCT(a VARCHAR[])'),
        ("['101'::bit]::bit[1]", r"is BIT\[1\], and BIT", '"h"::VARCHAR[1]'),
        ("map {'a': '10:00:00+02'::timetz}", "is MAP.*, and TIME WITH TIME ZONE", '"h"::MAP(VARCHAR, VARCHAR)'),
    ],
)
@pytest.mark.parametrize("shared", [True, False])
def test_a_relation_with_a_type_that_arrow_does_not_have_is_refused(
    value: str, told: str, fix: str, shared: bool
) -> None:
    with duckdb.default_connection().cursor() if shared else duckdb.connect() as connection:
        with pytest.raises(NotExact, match=f"column `h` of `orders` {told}") as caught:
            through(connection.sql(f"SELECT 1 AS a, {value} AS h"))
        through(connection.sql(f"SELECT {value} AS h").project(fix))

    assert caught.value.fix == f"cast it in the query, such as {fix}"


def test_columns_of_a_relation_keep_their_names_or_are_refused() -> None:
    shared = duckdb.default_connection().cursor()

    with pytest.raises(NotExact, match="two columns with the same name: `a`"):
        through(shared.sql("SELECT 1 AS a, 2 AS a"))
    with pytest.raises(NotExact, match="two columns with the same name: `a`"):
        through(shared.sql("FROM (SELECT 1 AS a) x JOIN (SELECT 2 AS a) y ON true"))

    assert through(shared.sql("SELECT 1 AS a, 2 AS A"), "records") == [{"a": 1, "A": 2}]


def test_a_reader_that_fails_halfway_is_refused() -> None:
    schema = pa.schema([("a", pa.int64())])

    def batches() -> Any:
        yield pa.record_batch({"a": [1]}, schema=schema)
        raise ValueError("the line broke")

    with pytest.raises(AssetflowError, match="`orders`"):
        through(pa.RecordBatchReader.from_batches(schema, batches()))


COLUMNS = {"pandas": pd.Series([1]), "polars": pl.Series([1]), "pyarrow": pa.chunked_array([[1]])}


@pytest.mark.parametrize("column", COLUMNS.values(), ids=COLUMNS.keys())
def test_a_single_column_is_not_a_table(column: object) -> None:
    assert not arrow.is_table(column)
    with pytest.raises(WrongReturn, match="single column"):
        arrow.open_table(column, "orders")


def test_a_value_that_was_never_stored_is_converted_only_where_it_must_be() -> None:
    odd = pd.DataFrame({"c": pd.Series([1, "a"], dtype=object), "n": [1, 2]})

    same = cast("pd.DataFrame", arrow.convert(odd, Want("pandas"), "source"))
    same.loc[0, "n"] = 9
    assert odd["n"].tolist() == [1, 2]
    assert arrow.convert([{"a": 1}], Want("python"), "source") == [{"a": 1}]
    assert cast("pa.Table", arrow.convert([{"a": 1}, {"b": 2}], Want("arrow"), "source")).to_pylist() == [
        {"a": 1, "b": None},
        {"a": None, "b": 2},
    ]
    assert arrow.convert(pl.DataFrame({"a": [1], "b": [2]}), Want("records", ("b",)), "source") == [{"b": 2}]
    with pytest.raises(ContractBroken, match="an int"):
        arrow.convert(3, Want("pandas"), "source")


def test_a_schema_survives_as_text() -> None:
    frame = pd.DataFrame({"p": pd.period_range("2024", periods=1, freq="M"), "t": pd.Series(["a"])}, index=["x"])
    schema = table_from_pandas(frame, "orders").schema

    assert arrow.schema_from_text(arrow.schema_to_text(schema)).equals(schema, check_metadata=True)


def test_a_projection_takes_columns_in_the_wanted_order_and_a_default_index() -> None:
    table = table_from_pandas(pd.DataFrame({"a": [1], "b": pd.Categorical(["x"]), "c": [2.5]}, index=["i"]), "orders")
    schema = arrow.project(table.schema, ["c", "b"], "orders")
    frame = pandas_from_table(table.select(["c", "b"]).replace_schema_metadata(schema.metadata))

    assert_same_frame(pd.DataFrame({"c": [2.5], "b": pd.Categorical(["x"])}), frame)


def test_a_missing_column_is_named_with_its_likeness() -> None:
    with pytest.raises(ContractBroken, match="`amout`") as caught:
        arrow.project(pa.schema([("amount", pa.int64())]), ["amout"], "orders")

    assert "amount" in str(caught.value)


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"x": pd.cut([1, 5, 9], 3)}),
        pd.DataFrame({"a": [1], "b": [2]}).set_axis(pd.CategoricalIndex(["a", "b"]), axis=1),
    ],
    ids=["categories of intervals", "categorical column labels"],
)
def test_what_arrow_cannot_turn_back_is_refused_with_a_way_out(frame: pd.DataFrame) -> None:
    with pytest.raises(NotExact, match="comes back as it is") as caught:
        arrow.open_table(frame, "odd")

    assert "astype(str)" in (caught.value.fix or "")
