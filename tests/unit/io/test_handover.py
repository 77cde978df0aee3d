"""What is handed on in memory is what the store gives, and nobody changes what the others see."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings

from assetflow.errors import CannotStore, ContractBroken, NotExact
from assetflow.io.base import Want
from assetflow.io.handover import FORMS, Handed, handed
from assetflow.io.storage import Storage
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version
from tests.unit.io.arrow_tables import difference, tables
from tests.unit.io.pandas_frames import frame_difference, frames

pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")  # people still use it

ORDERS = AssetKey("orders")


def stored(root: Path, value: object) -> tuple[Storage, Version, Handed | None]:
    storage = Storage(root / "store", warehouse=root / "warehouse.duckdb")
    handed = storage.hand_on(value, key=ORDERS, io="parquet", io_is_explicit=True, declared=None)
    staged = storage.write(
        value if handed is None else handed,
        key=ORDERS, partition="", io="parquet", io_is_explicit=True, declared=None, run_id=1,
    )  # fmt: skip
    if handed is not None:  # what is known before it is written is what is known after
        plain = storage.write(
            value, key=ORDERS, partition="", io="parquet", io_is_explicit=True, declared=None, run_id=1
        )
        assert (staged.data_hash, staged.columns) == (plain.data_hash, plain.columns)
        assert (handed.data_hash, handed.columns, handed.rows) == (plain.data_hash, plain.columns, plain.rows)
    new = storage.publish(staged)
    version = Version(
        1, ORDERS, "", 1, new.data_hash, new.io, new.location, new.rows, new.size_bytes, new.schema, new.columns,
        new.details, 0.0,
    )  # fmt: skip
    return storage, version, handed


def answer(read: Callable[[Want], object], want: Want) -> Any:
    try:
        return read(want)
    except ContractBroken as error:
        return error.what


def must_be_same(kept: Any, read: Any) -> None:
    assert type(kept) is type(read)
    if isinstance(read, pd.DataFrame):
        assert frame_difference(kept, read) == ""
        assert kept.attrs == read.attrs
    elif isinstance(read, pl.DataFrame):
        assert kept.schema == read.schema
        assert difference(kept.to_arrow(), read.to_arrow()) == ""
    elif isinstance(read, pa.Table):
        assert kept.schema.equals(read.schema, check_metadata=True)
        assert difference(kept, read) == ""
    else:
        assert repr(kept) == repr(read)


def compare(value: object) -> bool:
    """Whether the value is handed on at all."""
    with TemporaryDirectory() as folder:
        try:
            storage, version, handed = stored(Path(folder), value)
        except (CannotStore, NotExact):
            return False
        if handed is None:
            return False
        some = tuple(list(version.schema)[::-2])
        for form in FORMS:
            for columns in (None, *([some] if some else [])):
                want = Want(form, columns)
                must_be_same(answer(handed.read, want), answer(lambda w: storage.read(version, w), want))
    return True


@settings(max_examples=settings().max_examples)
@given(drawn=tables())
def test_arrow_tables(drawn: Any) -> None:
    compare(getattr(drawn, "table", drawn))


@settings(max_examples=settings().max_examples)
@given(frame=frames())
def test_pandas_frames(frame: Any) -> None:
    compare(getattr(frame, "frame", frame))


PLAIN = {
    "n": np.arange(5),
    "x": np.array([0.0, -0.0, np.nan, np.inf, 1.5]),
    "small": np.arange(5, dtype="uint8"),
    "yes": np.array([True, False, True, True, False]),
    "day": pd.date_range("2024-01-01", periods=5),
    "there": pd.date_range("2024-01-01", periods=5, tz="Europe/London"),
    "took": pd.to_timedelta(np.arange(5), unit="s"),
    "name": ["a", None, "b", "", "ü"],
}


@pytest.mark.parametrize(
    "index", [None, pd.RangeIndex(5, name="row"), pd.RangeIndex(10, 0, -2), pd.Index(list("abcde"))], ids=repr
)
def test_plain_frames_are_handed_on(index: Any) -> None:
    assert compare(pd.DataFrame(PLAIN, index=index))


@pytest.mark.parametrize("make", [
    lambda values: pd.DataFrame({"x": values}, index=pd.Index(np.arange(1000) * 2, name="id"), copy=False),
    lambda values: pd.DataFrame({"x": values}, copy=False),
    lambda values: pa.table({"x": pa.array(values)}),
    lambda values: pl.from_numpy(values.reshape(-1, 1), schema=["x"]),
], ids=["index", "plain", "arrow", "polars"])  # fmt: skip
def test_memory_that_the_producer_still_writes_to_is_not_shared(tmp_path: Path, make: Callable[[Any], Any]) -> None:
    values = np.arange(1000.0)
    storage = Storage(tmp_path / "store", warehouse=tmp_path / "warehouse.duckdb")
    handed = storage.hand_on(make(values), key=ORDERS, io="parquet", io_is_explicit=True, declared=None)
    assert handed is not None

    values[:] = 0  # before it is written

    staged = storage.write(handed, key=ORDERS, partition="", io="parquet", io_is_explicit=True, declared=None, run_id=1)
    read: Any = storage.read_staged(staged, Want("arrow"))
    kept: Any = handed.read(Want("arrow"))
    assert sum(read.column("x").to_pylist()) == sum(kept.column("x").to_pylist()) == sum(range(1000))


def test_what_the_caller_hung_on_the_frame_is_handed_on_as_the_store_gives_it(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [1]})
    frame.attrs["note"] = "mine"

    storage, version, handed = stored(tmp_path, frame)

    assert handed is not None
    got, read = handed.read(Want("pandas")), storage.read(version, Want("pandas"))
    assert isinstance(got, pd.DataFrame)
    assert isinstance(read, pd.DataFrame)
    assert got.attrs == read.attrs


def _sort(frame: Any) -> None:
    frame.sort_values("x", ascending=False, inplace=True, ignore_index=True)


def _rename(frame: Any) -> None:
    frame.columns = [f"{name}_" for name in frame.columns]
    frame.index.name = "row"


def _fill(frame: Any) -> None:
    frame["x"] = frame["x"].fillna(7.0)
    frame.fillna({"name": "?"}, inplace=True)


def _set(frame: Any) -> None:
    frame.loc[0, "n"] = 99
    frame.iloc[1, 1] = 99.0
    frame.at[2, "name"] = "changed"
    frame.iat[3, 0] = -1


def _through_a_column(frame: Any) -> None:
    column = frame["n"]
    column.iloc[0] = 42
    column += 1


def _through_numpy(frame: Any) -> None:
    for name in ("n", "x"):
        for values in (frame[name].to_numpy(), frame[name].values, np.asarray(frame[name])):
            try:
                values[0] = 13
            except ValueError:  # copy-on-write gives views that are read-only
                continue


def _arithmetic(frame: Any) -> None:
    frame[["n", "x"]] *= 2
    frame.insert(0, "first", 1)
    del frame["name"]
    frame.drop(index=0, inplace=True)
    frame["x"] = frame["x"].mask(frame["n"] > 4)


def _behind_the_frame(frame: Any) -> None:
    frame["day"].array[0] = pd.Timestamp("1999-01-01")
    values = frame["x"].to_numpy()
    values.flags.writeable = True
    values[:] = 0


CHANGES = [_behind_the_frame, _sort, _rename, _fill, _set, _through_a_column, _through_numpy, _arithmetic]


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_a_consumer_changes_only_its_own_frame(tmp_path: Path, change: Callable[[Any], None]) -> None:
    frame = pd.DataFrame(PLAIN)
    before = frame.copy(deep=True)
    storage, version, handed = stored(tmp_path, frame)
    assert handed is not None

    change(handed.read(Want("pandas")))

    read = storage.read(version, Want("pandas"))
    must_be_same(handed.read(Want("pandas")), read)
    must_be_same(handed.read(Want("arrow")), storage.read(version, Want("arrow")))
    assert frame_difference(frame, before) == ""


def _name_the_labels(frame: Any) -> None:
    frame.columns.name = "labels"


def _write_into_the_labels(frame: Any) -> None:
    for values in (frame.columns.values, frame.columns.array, frame.columns.to_numpy(), np.asarray(frame.columns)):
        if isinstance(values, np.ndarray):
            values.flags.writeable = True
        with suppress(ValueError):  # read-only, whatever one does
            values[0] = "changed"


@pytest.mark.parametrize("change", [_rename, _name_the_labels, _write_into_the_labels], ids=lambda one: one.__name__)
def test_labels_are_one_object_for_frames_that_look_alike_and_changed_for_nobody_else(
    change: Callable[[Any], None],
) -> None:
    def made(first: int) -> Handed:
        table = handed(pd.DataFrame({"n": [first, 2], "x": [0.5, 1.5]}), "asset", "xxh3")
        assert table is not None
        return table

    one, other = made(1), made(2)
    # What finds a column is made once, unless one could write into the labels, as in pandas 3.0.
    assert (one.frames[0].columns is other.frames[0].columns) is not pd.__version__.startswith("3.0")

    change(one.read(Want("pandas")))

    for table in (one, other, made(3)):
        found: Any = table.read(Want("pandas"))
        assert (list(found.columns), found.columns.name, list(found["n"])[1]) == (["n", "x"], None, 2)


def test_the_producer_that_goes_on_changing_its_frame_reaches_no_consumer(tmp_path: Path) -> None:
    frame = pd.DataFrame(PLAIN)
    storage, version, handed = stored(tmp_path, frame)
    assert handed is not None

    for change in (_fill, _set, _through_a_column, _sort, _rename):
        if change is not _rename:
            change(frame)

    must_be_same(handed.read(Want("pandas")), storage.read(version, Want("pandas")))


def test_consumers_in_many_threads_change_only_their_own_frames(tmp_path: Path) -> None:
    storage, version, handed = stored(tmp_path, pd.DataFrame(PLAIN))
    assert handed is not None
    failures: list[BaseException] = []

    def consume() -> None:
        try:
            for _ in range(30):
                for change in CHANGES:
                    change(handed.read(Want("pandas")))
        except BaseException as error:  # noqa: BLE001 - shown below
            failures.append(error)

    threads = [threading.Thread(target=consume) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    must_be_same(handed.read(Want("pandas")), storage.read(version, Want("pandas")))


@pytest.mark.parametrize("kind", ["reader", "records", "bytes", "json"])
def test_only_tables_in_memory_are_handed_on(tmp_path: Path, kind: str) -> None:
    values: dict[str, object] = {
        "reader": pa.table({"n": [1]}).to_reader(), "records": [{"n": 1}], "bytes": b"bytes", "json": {"n": 1},
    }  # fmt: skip
    storage = Storage(tmp_path / "store", warehouse=tmp_path / "warehouse.duckdb")

    found = storage.hand_on(values[kind], key=ORDERS, io="parquet", io_is_explicit=False, declared=None)

    assert found is None
