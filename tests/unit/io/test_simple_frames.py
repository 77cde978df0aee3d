"""Frames that look like one that was stored before take a short way into Arrow, which must come to the same."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest

from assetflow.errors import NotExact
from assetflow.io.frames import checked_table, pandas_from_table, table_from_pandas
from assetflow.io.simple import look_at
from tests.unit.io.pandas_frames import frame_difference

NUMBERS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64"]
TIMES = [f"{kind}64[{unit}]" for kind in ("datetime", "timedelta") for unit in ("s", "ms", "us", "ns")]


def values_of(dtype: str, random: Random, rows: int) -> Any:
    whole = [random.randrange(0, 100) for _ in range(rows)]
    if dtype == "bool":
        return np.array([one % 2 == 0 for one in whole])
    if dtype == "str":
        return pd.Series([random.choice(["a", "", "ü\u0000", None]) for _ in range(rows)], dtype="str")
    if dtype.startswith("float"):
        odd = [float("nan"), -0.0, float("inf")]
        return np.array([random.choice([*odd, one / 3]) for one in whole], dtype=dtype)
    values = np.array(whole).astype(dtype)
    if dtype in TIMES:
        values[[random.random() < 0.2 for _ in whole]] = np.array("NaT", dtype)
    return values


def frame_of(random: Random) -> pd.DataFrame:
    rows = random.randrange(1, 4)
    dtypes = random.choices([*NUMBERS, *TIMES, "bool", "str"], k=random.randrange(1, 4))
    frame = pd.DataFrame({f"c{place}": values_of(dtype, random, rows) for place, dtype in enumerate(dtypes)})
    return frame if random.random() < 0.5 else frame.iloc[::-1].reset_index(drop=True)


def test_the_short_way_comes_to_the_same_table() -> None:
    random = Random(7)

    for _ in range(500):
        frame = frame_of(random)
        assert look_at(frame) is not None
        found, wanted = table_from_pandas(frame, "a"), checked_table(frame, "a")
        assert found.schema.equals(wanted.schema, check_metadata=True)
        assert found.equals(wanted)
        assert frame_difference(pandas_from_table(found), frame) == ""


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [1]}, index=[5]),
        pd.DataFrame({"a": [1]}, index=pd.RangeIndex(1, 2)),
        pd.DataFrame({"a": [1]}, index=pd.RangeIndex(1, name="row")),
        pd.DataFrame({"a": []}),
        pd.DataFrame({1: [1]}),
        pd.DataFrame([[1, 2]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])),
        pd.DataFrame({"a": [1]}).rename_axis(columns="kinds"),
        pd.DataFrame({"a": [{"x": 1}]}),
        pd.DataFrame({"a": pd.Categorical(["x"])}),
        pd.DataFrame({"a": pd.array([1], dtype="Int64")}),
        pd.DataFrame({"a": pd.date_range("2024-01-01", periods=1, tz="UTC")}),
        pd.DataFrame({"a": [1 + 2j]}),
    ],
    ids=lambda frame: f"{frame.index!r} {frame.columns!r} {list(frame.dtypes)}",
)
def test_frames_whose_values_or_index_matter_take_the_long_way(frame: pd.DataFrame) -> None:
    assert look_at(frame) is None


def test_two_columns_with_one_name_are_refused_every_time() -> None:
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])

    for _ in range(2):
        with pytest.raises(NotExact, match="two columns with the same name"):
            table_from_pandas(frame, "twins")


def test_the_text_dtype_is_part_of_the_look() -> None:
    for dtype in ("str", "string[python]", "string[pyarrow]", pd.StringDtype("python", na_value=np.nan)):
        frame = pd.DataFrame({"a": pd.Series(["x", None], dtype=dtype)})
        for _ in range(2):
            assert frame_difference(pandas_from_table(table_from_pandas(frame, "a")), frame) == ""


def test_text_that_lies_in_several_pieces_takes_the_short_way_too() -> None:
    part = pd.DataFrame({"text": pd.Series(["a", None], dtype="str"), "n": [1, 2]})
    joined = pd.concat([part, part, part], ignore_index=True)

    for frame in (part, joined, joined):
        found, wanted = table_from_pandas(frame, "a"), checked_table(frame, "a")
        assert found.schema.equals(wanted.schema, check_metadata=True)
        assert found.equals(wanted)
