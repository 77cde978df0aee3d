"""Comparing versions of tables: the levels, and an oracle of plain Python over random tables and edits."""

from __future__ import annotations

import datetime as dt
import math
import struct
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from assetflow.errors import ContractBroken, DamagedVersion, NotWritable, QueryError, UsageError
from assetflow.io.diff import Ask, diff_tables
from assetflow.io.diff_results import TableDiff
from assetflow.io.diff_values import diff_values, json_differences
from assetflow.io.storage import Storage
from assetflow.model.keys import AssetKey
from assetflow.model.records import NewVersion, Version


class Versions:
    """Stores values as versions of one asset, and compares them."""

    def __init__(self, root: Path, **options: Any) -> None:
        self.root = root
        self.storage = Storage(root / "store", warehouse=root / "warehouse.duckdb", **options)
        self._number = 0

    def store(self, value: object, io: str = "parquet", storage: Storage | None = None) -> Version:
        storage = storage or self.storage
        staged = storage.write(
            value, key=AssetKey("orders"), partition="", io=io, io_is_explicit=io != "parquet", declared=None, run_id=1
        )
        new: NewVersion = storage.publish(staged)
        self._number += 1
        return Version(
            self._number, AssetKey("orders"), "", self._number, new.data_hash, new.io, new.location, new.rows,
            new.size_bytes, new.schema, new.columns, new.details, 0.0,
        )  # fmt: skip

    def diff(self, old: object, new: object, **asked: Any) -> TableDiff:
        return diff_tables(self.storage, self.store(old), self.store(new), Ask(**asked))

    def data_of(self, version: Version) -> Path:
        return next((self.root / "store" / version.location).glob("*.parquet"))


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path)


def table(**columns: Any) -> pa.Table:
    return pa.table(
        {name: value if isinstance(value, pa.Array) else pa.array(value) for name, value in columns.items()}
    )


IDS = list(range(1, 7))
AMOUNTS = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


# -- the levels


def test_equal_content_is_identical_without_reading_it(versions: Versions) -> None:
    old = versions.store(table(id=IDS))
    new = versions.store(table(id=IDS))
    versions.data_of(old).unlink()

    found = diff_tables(versions.storage, old, new)

    assert (found.level, found.is_different, found.changed) == ("identical", False, 0)


def test_columns_alone_are_compared_without_reading_data(versions: Versions) -> None:
    old = versions.store(table(id=IDS, amt=AMOUNTS, gone=IDS, name=["a"] * 6, n=pa.array(IDS, pa.int32())))
    new = versions.store(table(id=IDS, name=["a"] * 6, amt=AMOUNTS[::-1], come=["x"] * 6, n=pa.array(IDS, pa.int64())))
    for version in (old, new):
        versions.data_of(version).unlink()

    found = diff_tables(versions.storage, old, new, Ask(schema_only=True))

    assert found.level == "schema"
    assert [one.name for one in found.columns] == ["amt", "n"]
    assert (found.schema.added, found.schema.removed) == ((("come", "string"),), (("gone", "int64"),))
    assert [(one.name, one.old, one.new) for one in found.schema.retyped] == [("n", "int32", "int64")]
    assert found.schema.is_reordered
    assert found.changed is None


def test_a_renamed_column_is_known_by_its_content(versions: Versions) -> None:
    found = versions.diff(table(id=IDS, amt=AMOUNTS), table(id=IDS, amount=AMOUNTS))

    assert found.level == "schema"
    assert found.schema.renamed == (("amt", "amount"),)
    assert (found.added, found.removed, found.changed) == (0, 0, 0)


def test_columns_of_equal_content_are_not_taken_for_renamed_when_two_could_be(versions: Versions) -> None:
    found = versions.diff(table(id=IDS, a=AMOUNTS, b=AMOUNTS), table(id=IDS, c=AMOUNTS))

    assert found.schema.renamed == ()
    assert [name for name, _ in found.schema.removed] == ["a", "b"]


def test_appended_rows_are_found_by_reading_the_new_table_alone(versions: Versions, tmp_path: Path) -> None:
    count = 150_000
    found = versions.diff(
        table(id=range(count), x=[1.5] * count), table(id=range(count + 3), x=[1.5] * count + [7.0, math.nan, None]),
        export=tmp_path / "changes.parquet",
    )  # fmt: skip

    assert (found.level, found.added, found.removed, found.changed) == ("append", 3, 0, 0)
    assert [row.values["id"] for row in found.rows] == [(None, count), (None, count + 1), (None, count + 2)]
    assert pq.read_table(tmp_path / "changes.parquet").column("id").to_pylist() == [count, count + 1, count + 2]


def test_a_change_far_behind_the_first_rows_is_no_append(versions: Versions) -> None:
    count = 10_000
    changed = [1.5] * (count - 1) + [2.5, 7.0]

    found = versions.diff(table(id=range(count), x=[1.5] * count), table(id=range(count + 1), x=changed))

    assert (found.level, found.added, found.changed) == ("keyed", 1, 1)


def test_rows_taken_from_the_end_are_no_changes_of_the_others(versions: Versions) -> None:
    found = versions.diff(table(id=IDS), table(id=IDS[:4]))

    assert (found.level, found.added, found.removed) == ("append", 0, 2)
    assert [row.values["id"] for row in found.rows] == [(5, None), (6, None)]


def test_the_first_rows_are_all_appended(versions: Versions) -> None:
    found = versions.diff(table(id=pa.array([], pa.int64())), table(id=IDS))

    assert (found.level, found.added) == ("append", 6)


def test_changed_rows_are_matched_by_the_given_key(versions: Versions) -> None:
    found = versions.diff(
        table(id=IDS, amt=AMOUNTS, name=list("abcdef")),
        table(id=[6, 2, 3, 4, 5, 7], amt=[6.0, 2.5, 3.0, 4.0, 5.0, 7.0], name=list("fbcdeg")),
        key=("id",),
    )

    assert (found.level, found.key, found.key_from) == ("keyed", ("id",), "given")
    assert (found.changed, found.added, found.removed) == (1, 1, 1)
    assert [(one.name, one.changed) for one in found.columns] == [("amt", 1)]
    assert [(row.change, dict(row.key), dict(row.values)) for row in found.rows] == [
        ("changed", {"id": 2}, {"amt": (2.0, 2.5)}),
        ("added", {"id": 7}, {"amt": (None, 7.0), "name": (None, "g")}),
        ("removed", {"id": 1}, {"amt": (1.0, None), "name": ("a", None)}),
    ]


def test_a_key_is_declared_or_found(versions: Versions) -> None:
    old, new = table(code=IDS, order_id=list("abcdef"), amt=AMOUNTS), table(code=IDS, order_id=list("abcdef"), amt=IDS)
    new = new.set_column(2, "amt", pa.array([1.0, 2.0, 3.0, 4.0, 5.0, 7.0]))

    declared = versions.diff(old, new, declared=(("code", "order_id"),))
    found = versions.diff(old, new)

    assert (declared.key, declared.key_from) == (("code", "order_id"), "declared")
    assert (found.key, found.key_from) == (("order_id",), "found")
    assert declared.changed == found.changed == 1


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        ([1, 2, 3, 4, 5, None], "is null in 1 row of the new version"),
        ([1, 2, 3, 4, 5, 5], "is not unique: 1 value is there more than once in the new version"),
    ],
)
def test_a_key_that_is_none_is_said_and_rows_are_counted(versions: Versions, ids: list[Any], words: str) -> None:
    found = versions.diff(table(id=IDS, amt=AMOUNTS), table(id=pa.array(ids, pa.int64()), amt=AMOUNTS), key=("id",))

    assert found.level == "multiset"
    assert found.notes == (f"the given key `id` {words}: equal rows are counted instead",)
    assert (found.added, found.removed) == (1, 1)


def test_nan_is_no_key(versions: Versions) -> None:
    found = versions.diff(table(x=[1.0, math.nan], y=[1, 1]), table(x=[1.0, math.nan], y=[1, 2]), key=("x",))

    assert found.level == "multiset"


def test_rows_without_a_key_are_counted(versions: Versions) -> None:
    found = versions.diff(table(kind=list("aab"), x=[1.0, 1.0, 2.0]), table(kind=list("abb"), x=[1.0, 2.0, 2.0]))

    assert (found.level, found.added, found.removed, found.changed) == ("multiset", 1, 1, 0)
    assert [(row.change, dict(row.values), row.count) for row in found.rows] == [
        ("added", {"kind": (None, "b"), "x": (None, 2.0)}, 1),
        ("removed", {"kind": ("a", None), "x": (1.0, None)}, 1),
    ]


def test_rows_in_another_order_are_different_but_none_changed(versions: Versions) -> None:
    keyed = versions.diff(table(id=IDS), table(id=IDS[::-1]))
    counted = versions.diff(table(kind=list("aab")), table(kind=list("aba")))

    for found in (keyed, counted):
        assert (found.is_different, found.changed, found.added, found.removed) == (True, 0, 0, 0)
        assert "the same rows in another order" in found.notes


def test_categories_alone_are_a_difference_beside_the_values(versions: Versions) -> None:
    found = versions.diff(
        pd.DataFrame({"id": [1, 2], "kind": pd.Categorical(["a", "b"])}),
        pd.DataFrame({"id": [1, 2], "kind": pd.Categorical(["a", "b"], ["a", "b", "c"])}),
    )

    assert (found.is_different, found.changed) == (True, 0)
    assert "the values are equal" in found.notes[0]


# -- exactness

WIDE = pa.decimal256(70, 3)
PAIR = pa.struct([("a", pa.int64()), ("A", pa.int64())])
EXACT: list[tuple[str, pa.Array, pa.Array]] = [
    ("sign of zero", pa.array([0.0]), pa.array([-0.0])),
    ("nan and null", pa.array([math.nan]), pa.array([None], pa.float64())),
    ("nanoseconds with a zone", pa.array([1], pa.timestamp("ns", "UTC")), pa.array([2], pa.timestamp("ns", "UTC"))),
    ("wide decimals", pa.array([Decimal(10) ** 60], WIDE), pa.array([Decimal(1)], WIDE)),
    ("large integers", pa.array([2**63], pa.uint64()), pa.array([2**63 + 1], pa.uint64())),
    ("lists with nulls", pa.array([[1.0, None]]), pa.array([[1.0]])),
    ("empty and null lists", pa.array([[]], pa.list_(pa.int64())), pa.array([None], pa.list_(pa.int64()))),
    ("zero in a list", pa.array([[0.0]]), pa.array([[-0.0]])),
    ("structs", pa.array([{"a": 1, "A": None}], PAIR), pa.array([{"a": None, "A": 1}], PAIR)),
    ("maps", pa.array([[("k", 1.0)]], pa.map_(pa.string(), pa.float64())),
     pa.array([[("k", None)]], pa.map_(pa.string(), pa.float64()))),
    ("bytes", pa.array([b"\xff"]), pa.array([b"\xfe"])),
    ("an empty text and null", pa.array([""]), pa.array([None], pa.string())),
    ("texts with trailing blanks", pa.array(["a"]), pa.array(["a "])),
]  # fmt: skip


@pytest.mark.parametrize(("old", "new"), [pair[1:] for pair in EXACT], ids=[pair[0] for pair in EXACT])
def test_values_that_differ_are_told_apart(versions: Versions, old: pa.Array, new: pa.Array) -> None:
    same = pa.concat_arrays([old, old])
    keyed = versions.diff(table(id=[1, 2], v=same), table(id=[1, 2], v=pa.concat_arrays([old, new])))
    counted = versions.diff(table(v=same), table(v=pa.concat_arrays([old, new])), key=("v",), columns=("v",))

    assert (keyed.level, keyed.changed, keyed.rows[0].key) == ("keyed", 1, {"id": 2})
    assert repr(keyed.rows[0].values["v"]) == repr((old[0].as_py(), new[0].as_py()))
    assert (counted.level, counted.added, counted.removed) == ("multiset", 1, 1)


@pytest.mark.parametrize("array", [one for pair in EXACT for one in pair[1:]], ids=range(2 * len(EXACT)))
def test_values_that_are_equal_are_not_told_apart(versions: Versions, array: pa.Array) -> None:
    both = pa.concat_arrays([array, array])

    found = versions.diff(table(id=[1, 2], v=both), table(id=[2, 1], v=both), key=("id",))

    assert (found.level, found.changed) == ("keyed", 0)


def test_columns_may_have_any_name(versions: Versions) -> None:
    names = ['a"b', "a'; drop table old; --", "A", "a", "", "c0", "r", "change", "日本"]
    old = pa.table([pa.array([1, 2, 3])] + [pa.array([1.0, 2.0, 3.0])] * 9, names=["select", *names])
    new = pa.table([pa.array([1, 3, 2])] + [pa.array([9.0, 3.0, 2.0])] * 9, names=["select", *names])
    path = versions.root / "changes.parquet"

    found = versions.diff(old, new, key=("select",), export=path)

    assert [one.name for one in found.columns] == names
    assert pq.read_schema(path).names == ["_change", "select", *names]


def test_a_retyped_column_is_compared_by_value_where_that_is_exact(versions: Versions) -> None:
    found = versions.diff(
        table(id=IDS, n=IDS, t=pa.array(IDS, pa.timestamp("s")), s=IDS),
        table(
            id=IDS,
            n=[1.0, 2.0, 3.5, 4.0, 5.0, 6.0],
            t=pa.array(range(1000, 7000, 1000), pa.timestamp("ms")),
            s=["1"] * 6,
        ),
    )

    assert [(one.name, one.changed) for one in found.columns] == [("n", 1)]
    assert {one.name: one.is_compared for one in found.schema.retyped} == {"n": True, "t": True, "s": False}


@pytest.mark.parametrize("rows", [0, 1])
@pytest.mark.parametrize(
    "column",
    [pa.array(["a", "b"]), pa.array([1, 2]), pa.array([1.5, 2.0]), pa.array([dt.date(2026, 1, 1), dt.date(2026, 1, 2)]),
     pa.array([[1], []]), pa.array([{"x": 1}, {"x": 2}]), pa.array(["a", "b"]).dictionary_encode()],
    ids=lambda column: str(column.type),
)  # fmt: skip
def test_a_column_of_nothing_but_nulls_is_compared_with_any_other(
    versions: Versions, column: pa.Array, rows: int
) -> None:
    nothing, filled = table(name=pa.nulls(rows), other=pa.nulls(rows)), table(name=column, other=pa.nulls(2))
    for old, new in ((nothing, filled), (filled, nothing)):
        found = versions.diff(old, new, stats=True)
        assert (found.added, found.removed) == ((2, rows) if new is filled else (rows, 2))
        assert [one.name for one in found.schema.retyped if not one.is_compared] == []
        assert sum(row.change == "added" for row in found.rows) == found.added
        restricted = versions.diff(old, new, where="name IS NOT NULL", columns=("name",))
        assert (restricted.added or 0) + (restricted.removed or 0) == 2


def test_a_column_of_nothing_but_nulls_is_no_key(versions: Versions) -> None:
    found = versions.diff(table(id=pa.nulls(2), n=[1, 2]), table(id=["a", "b"], n=[1, 2]))
    assert (found.key, found.changed, found.changed and found.columns[0].name) == (("n",), 2, "id")


def test_a_value_too_large_for_the_common_type_leaves_its_column_out(versions: Versions) -> None:
    found = versions.diff(table(id=[1, 2], n=[2**53 + 1, 1]), table(id=[1, 2], n=[float(2**53), 1.0]))

    assert [(one.name, one.is_compared) for one in found.schema.retyped] == [("n", False)]
    assert found.is_different


# -- what is asked for


def test_a_tolerance_forgives_small_differences_of_numbers(versions: Versions) -> None:
    old, new = table(id=IDS, amt=AMOUNTS), table(id=IDS, amt=[1.0 + 1e-9, 2.5, math.nan, 4.0, math.inf, 6.0])

    found = versions.diff(old, new, tolerance=0.01)
    none = versions.diff(old, table(id=IDS, amt=[one + 1e-9 for one in AMOUNTS]), tolerance=0.01)

    assert [row.key["id"] for row in found.rows] == [2, 3, 5]
    assert (none.is_different, none.changed) == (False, 0)


def test_a_condition_restricts_the_rows(versions: Versions) -> None:
    old, new = table(id=IDS, amt=AMOUNTS), table(id=IDS, amt=[1.5, 2.0, 3.0, 4.0, 5.0, 6.5])

    found = versions.diff(old, new, where="id > 3 -- only the later ones")
    none = versions.diff(old, new, where="id between 2 and 5")

    assert [row.key["id"] for row in found.rows] == [6]
    assert not none.is_different


@pytest.mark.parametrize(
    "text",
    [
        "1) , (2", "1) AS x FROM rows; DROP TABLE rows --", "id IN (SELECT 1)", "row_number() OVER () = 1",
        "sum(id) > 1",
        "id >", "", "true) AS a FROM read_csv('/etc/passwd') --", "(SELECT count(*) FROM read_text('/etc/passwd')) > 0",
        "nothing_like_this = 1", "getenv('HOME') = 'x'",
    ],
)  # fmt: skip
def test_a_condition_is_an_expression_over_one_row_and_reaches_nothing_else(versions: Versions, text: str) -> None:
    with pytest.raises(QueryError):
        versions.diff(table(id=IDS, amt=AMOUNTS), table(id=IDS[::-1], amt=AMOUNTS), where=text)


def test_only_some_columns_can_be_compared(versions: Versions) -> None:
    old = table(id=IDS, amt=AMOUNTS, name=list("abcdef"))
    new = table(id=IDS, amt=[9.0, *AMOUNTS[1:]], name=list("abcdeF"))

    found = versions.diff(old, new, columns=("name",))
    same = versions.diff(old, new.set_column(1, "amt", pa.array(AMOUNTS)), columns=("amt",))

    assert [(row.key, row.values) for row in found.rows] == [({"id": 6}, {"name": ("f", "F")})]
    assert (same.level, same.is_different) == ("schema", False)


def test_columns_and_keys_that_are_not_there_are_errors(versions: Versions) -> None:
    with pytest.raises(ContractBroken, match="has no column `amnt`"):
        versions.diff(table(id=IDS, amt=AMOUNTS), table(id=IDS[::-1], amt=AMOUNTS), columns=("amnt",))
    with pytest.raises(UsageError, match="the key `idd` is not a column of both versions"):
        versions.diff(table(id=IDS), table(id=IDS[::-1]), key=("idd",))


def test_the_sample_is_limited_and_the_counts_are_not(versions: Versions) -> None:
    found = versions.diff(table(id=range(100), x=[0] * 100), table(id=range(50, 150), x=[1] * 100), limit=9)

    assert (found.changed, found.added, found.removed) == (50, 50, 50)
    assert Counter(row.change for row in found.rows) == {"changed": 3, "added": 3, "removed": 3}


def test_the_profile_of_columns_that_differ(versions: Versions) -> None:
    day = dt.date(2026, 1, 1)
    found = versions.diff(
        table(id=IDS, amt=AMOUNTS, day=[day] * 6),
        table(id=IDS, amt=[1.0, 2.0, None, math.nan, 5.0, 16.0], day=[*[day] * 5, dt.date(2026, 2, 1)]),
        stats=True,
    )
    amount, date = found.columns
    assert amount.old is not None
    assert amount.new is not None
    assert date.new is not None

    assert (amount.old.nulls, amount.old.low, amount.old.high, amount.old.mean) == (0, 1.0, 6.0, 3.5)
    assert (amount.new.nulls, amount.new.nans, amount.new.low, amount.new.high, amount.new.mean) == (
        1,
        1,
        1.0,
        16.0,
        6.0,
    )
    assert (sum(amount.old.histogram), sum(amount.new.histogram)) == (6, 4)
    assert (date.new.low, date.new.high) == (day, dt.date(2026, 2, 1))


def test_an_export_as_csv_has_words_for_every_value(versions: Versions) -> None:
    path = versions.root / "changes.csv"
    versions.diff(
        table(id=[1, 2], b=[b"\x01", b""], v=[[1, 2], None], t=pa.array([0, 1], pa.timestamp("us", "UTC"))),
        table(id=[1, 2], b=[b"\x02", b""], v=[[1, 2], None], t=pa.array([0, 1], pa.timestamp("us", "UTC"))),
        export=path,
    )

    assert path.read_text().splitlines() == [
        '"change","id","b","v","t"',
        '"before",1,"01","[1, 2]","1970-01-01T00:00:00+00:00"',
        '"after",1,"02","[1, 2]","1970-01-01T00:00:00+00:00"',
    ]


def test_an_export_that_cannot_be_written_is_an_error_and_leaves_nothing(versions: Versions) -> None:
    with pytest.raises(NotWritable):
        versions.diff(table(id=IDS), table(id=IDS[::-1]), export=versions.root / "no" / "folder.parquet")


def test_damaged_bytes_are_an_error_and_never_a_difference(versions: Versions) -> None:
    old, new = versions.store(table(id=IDS, amt=AMOUNTS)), versions.store(table(id=IDS, amt=AMOUNTS[::-1]))
    path = versions.data_of(new)
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(data)

    with pytest.raises(DamagedVersion):
        diff_tables(versions.storage, old, new)


@pytest.mark.parametrize("io", ["parquet", "duckdb", "memory"])
def test_every_kind_of_storage_of_tables_is_compared(versions: Versions, io: str) -> None:
    old = versions.store(table(id=IDS, amt=AMOUNTS), io)
    new = versions.store(table(id=IDS, amt=[1.5, *AMOUNTS[1:]]), io)

    found = diff_tables(versions.storage, old, new)

    assert (found.level, found.changed) == ("keyed", 1)


def test_versions_that_were_hashed_with_two_algorithms_are_compared_by_content(tmp_path: Path) -> None:
    versions = Versions(tmp_path)
    other = Storage(tmp_path / "store", warehouse=tmp_path / "warehouse.duckdb", hash="sha256")
    old, same = versions.store(table(id=IDS)), versions.store(table(id=IDS), storage=other)
    more = versions.store(table(id=[*IDS, 7]), storage=other)

    assert not diff_tables(versions.storage, old, same).is_different
    assert (diff_tables(versions.storage, old, more).level) == "append"


# -- an oracle: what is exported, applied to the old table, gives the new one

FLOATS = st.sampled_from([None, math.nan, 0.0, -0.0, 1.0, 2.5, math.inf])
CELLS = st.tuples(
    FLOATS, st.sampled_from([None, "", "a", "A", "日"]), st.sampled_from([None, [], [None], [0.0], [-0.0]])
)
SCHEMA = pa.schema([("x", pa.float64()), ("s", pa.string()), ("l", pa.list_(pa.float64()))])
SLOW = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


def bits(value: Any) -> Any:
    """A value that is equal to another one exactly when both are the same: floats by their bits."""
    if isinstance(value, float):
        return "nan" if math.isnan(value) else struct.pack("d", value)
    return tuple(map(bits, value)) if isinstance(value, (list, tuple)) else value


def counted(rows: list[tuple[Any, ...]]) -> Counter[Any]:
    return Counter(bits(row) for row in rows)


def rows_of(found: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(column.to_pylist() for column in found.columns), strict=True))


def applied(old: list[tuple[Any, ...]], changes: pa.Table) -> Counter[Any]:
    left = counted(old)
    for change, *row in rows_of(changes):
        left[bits(row)] += 1 if change in ("after", "added") else -1
        assert left[bits(row)] >= 0
    return +left


def columnar(rows: list[tuple[Any, ...]], schema: pa.Schema) -> pa.Table:
    columns = [list(column) for column in zip(*rows, strict=True)] or [[] for _ in schema]
    return pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


@SLOW
@given(data=st.data())
def test_keyed_differences_turn_the_old_table_into_the_new_one(versions: Versions, data: st.DataObject) -> None:
    keys = st.integers(0, 12)
    old = data.draw(st.dictionaries(keys, CELLS, max_size=12))
    kept = {key: cells for key, cells in old.items() if data.draw(st.booleans())}
    new = kept | data.draw(st.dictionaries(keys, CELLS, max_size=6))
    order = data.draw(st.permutations(list(new)))
    schema = pa.schema([("id", pa.int64()), *SCHEMA])
    before, after = [(k, *v) for k, v in old.items()], [(k, *new[k]) for k in order]
    path = versions.root / "changes.parquet"

    found = versions.diff(columnar(before, schema), columnar(after, schema), key=("id",), export=path)

    assert applied(before, pq.read_table(path)) == counted(after)
    assert found.is_different == ([bits(row) for row in before] != [bits(row) for row in after])
    if found.level == "keyed":
        both = old.keys() & new.keys()
        assert found.changed == sum(bits(old[key]) != bits(new[key]) for key in both)
        for place, name in enumerate(SCHEMA.names):
            count = sum(bits(old[key][place]) != bits(new[key][place]) for key in both)
            assert {one.name: one.changed for one in found.columns}.get(name, 0) == count
    assert (found.added or 0) - (found.removed or 0) == len(new) - len(old)
    assert found.exported == pq.read_metadata(path).num_rows


@SLOW
@given(data=st.data())
def test_counted_differences_turn_the_old_table_into_the_new_one(versions: Versions, data: st.DataObject) -> None:
    old = data.draw(st.lists(CELLS, max_size=10))
    new = [row for row in old if data.draw(st.booleans())] + data.draw(st.lists(CELLS, max_size=6))
    new += [row for row in new if data.draw(st.booleans())]  # duplicates
    new = data.draw(st.permutations(new))
    path = versions.root / "changes.parquet"

    found = versions.diff(columnar(old, SCHEMA), columnar(new, SCHEMA), key=("l",), export=path)

    before, after = counted(old), counted(new)
    assert applied(old, pq.read_table(path)) == after
    if found.level == "multiset":
        assert found.added == (after - before).total()
        assert found.removed == (before - after).total()
        assert sum(row.count for row in found.rows) == (found.added or 0) + (found.removed or 0)


# -- values that are not tables


def test_json_differs_by_path(versions: Versions) -> None:
    old = versions.store({"a": [1, 2, {"b c": None}], "t": 1, "gone": 0})
    new = versions.store({"a": [1, 3, {"b c": False}, 4], "t": True, "x": {}})

    found = diff_values(versions.storage, old, new, limit=10)

    assert [(one.path, one.change, one.old, one.new) for one in found.paths] == [
        ("$.a[1]", "changed", 2, 3),
        ('$.a[2]["b c"]', "changed", None, False),
        ("$.a[3]", "added", None, 4),
        ("$.t", "changed", 1, True),
        ("$.gone", "removed", 0, None),
        ("$.x", "added", None, {}),
    ]


def test_deep_json_needs_no_deep_stack() -> None:
    old: object = 1
    new: object = 2
    for _ in range(5_000):
        old, new = [old], [new]

    assert len(list(json_differences(old, new))) == 1


def test_files_differ_by_size_and_hash_and_folders_by_file(versions: Versions, tmp_path: Path) -> None:
    for name, texts in (("one", {"a.txt": "1", "b.txt": "2"}), ("two", {"a.txt": "1", "b.txt": "22", "c.txt": ""})):
        (tmp_path / name).mkdir()
        for file, text in texts.items():
            (tmp_path / name / file).write_text(text)

    found = diff_values(versions.storage, versions.store(tmp_path / "one"), versions.store(tmp_path / "two"), limit=9)
    single = diff_values(versions.storage, versions.store(b"1"), versions.store(b"22"), limit=9)

    assert [(one.path, one.change) for one in found.paths] == [("b.txt", "changed"), ("c.txt", "added")]
    assert [(one.old["bytes"], one.new["bytes"]) for one in single.paths if isinstance(one.old, dict)] == [(1, 2)]  # type: ignore[index]


class Explosive:
    """Leaves a mark when a pickle of it is loaded."""

    def __init__(self, mark: str, number: int) -> None:
        self.mark, self.number = mark, number

    def __reduce__(self) -> Any:
        return (Path.touch, (Path(self.mark), 0o666 + self.number))


def test_pickles_are_never_loaded(tmp_path: Path) -> None:
    versions = Versions(tmp_path, allow_pickle=True)
    mark = tmp_path / "mark"
    old, new = (versions.store(Explosive(str(mark), number), "pickle") for number in (0, 1))

    found = diff_values(versions.storage, old, new, limit=9)

    assert (found.kind, found.is_different) == ("pickle", True)
    assert not mark.exists()
