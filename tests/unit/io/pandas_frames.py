"""pandas and polars frames of every dtype, with odd indexes and names, and exact comparisons for both."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from math import isnan
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
from hypothesis import strategies as st

from tests.unit.io.arrow_tables import NAMES, PLAIN, TEXTS, UNITS, ZONES, array_of, cells

Maker = Callable[[Random, int], Any]
ODD_FLOATS = [0.0, -0.0, 1.5, float("nan"), float("inf"), -1e300, 5e-324]
NUMPY = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
LABELS: list[Any] = [*NAMES, 0, 1, -5, 1.5, True, None, ("a", 1), pd.Timestamp("2024-01-01"), dt.date(2024, 1, 1), b"x"]


def _integers(dtype: str, random: Random, count: int) -> list[int]:
    info = np.iinfo(dtype.lower())
    return [random.choice([0, 1, int(info.min), int(info.max), random.randint(-9, 9) % 100]) for _ in range(count)]


def _holes(random: Random, values: list[Any], missing: Any = None) -> list[Any]:
    return [missing if random.random() < 0.25 else value for value in values]


def _pick(*values: Any, missing: Any = None) -> Maker:
    """A column of Python objects, each one of these."""

    def make(random: Random, count: int) -> Any:
        found = np.empty(count, dtype=object)
        for row, value in enumerate(_holes(random, [random.choice(values) for _ in range(count)], missing)):
            found[row] = value
        return pd.Series(found, dtype=object)

    return make


def _category(values: list[Any], *, ordered: bool) -> Maker:
    def make(random: Random, count: int) -> Any:
        words = random.sample(values, random.randint(0, len(values)))
        codes = [random.randint(-1, len(words) - 1) for _ in range(count)]
        return pd.Series(pd.Categorical.from_codes(codes, pd.Index(words, tupleize_cols=False), ordered=ordered))

    return make


def _instants(unit: str, zone: str | None) -> Maker:
    def make(random: Random, count: int) -> Any:
        each = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
        top = min((2**63 - 2) // each - 86_400, 10**11)  # the years that a calendar with a time zone has
        odd = [0, -1, top * each, random.randint(0, 2 * 10**9) * each + random.randrange(each)]
        numbers = np.array([random.choice(odd) for _ in range(count)], "i8")
        series = pd.Series(numbers.view(f"M8[{unit}]"))
        series[[random.random() < 0.2 for _ in range(count)]] = pd.NaT
        return series.dt.tz_localize("UTC").dt.tz_convert(zone) if zone else series

    return make


def _spans(unit: str) -> Maker:
    def make(random: Random, count: int) -> Any:
        numbers = [random.choice([0, -1, 2**62, random.randint(-(10**9), 10**9)]) for _ in range(count)]
        series = pd.Series(np.array(numbers, "i8").view(f"m8[{unit}]"))
        series[[random.random() < 0.2 for _ in range(count)]] = pd.NaT
        return series

    return make


def _arrow(kind: Any) -> Maker:
    return lambda random, count: pd.Series(
        pd.arrays.ArrowExtensionArray(pa.chunked_array([array_of(kind, count, random, tame=True)]))
    )


def _sparse(random: Random, count: int) -> Any:
    return pd.Series(pd.arrays.SparseArray(np.array([random.choice([0, 0, 1]) for _ in range(count)], "i8")))


def _numbers(dtype: str) -> Maker:
    return lambda random, count: pd.Series(np.array(_integers(dtype, random, count), dtype))


def _nullable(dtype: str) -> Maker:
    return lambda random, count: pd.Series(pd.array(_holes(random, _integers(dtype, random, count)), dtype=dtype))


def _floats(dtype: str) -> Maker:
    def make(random: Random, count: int) -> Any:
        with np.errstate(over="ignore"):
            return pd.Series(np.array([random.choice(ODD_FLOATS) for _ in range(count)]).astype(dtype))

    return make


def _missing_floats(dtype: str) -> Maker:
    def make(random: Random, count: int) -> Any:
        values = np.array([random.choice([0.0, -0.0, 1.5, float("inf")]) for _ in range(count)]).astype(dtype.lower())
        return pd.Series(pd.arrays.FloatingArray(values, np.array([random.random() < 0.3 for _ in range(count)], bool)))

    return make


def _texts(dtype: Any) -> Maker:
    return lambda random, count: pd.Series(_holes(random, [random.choice(TEXTS) for _ in range(count)]), dtype=dtype)


TEXT_DTYPES: dict[str, Any] = {
    "str": "str", "string python": pd.StringDtype("python"), "string pyarrow": pd.StringDtype("pyarrow"),
    "str python": pd.StringDtype("python", na_value=np.nan),
}  # fmt: skip
DAYS = [dt.date(2024, 2, 29), dt.date(1, 1, 1), dt.date(9999, 12, 31)]
MOMENTS = [dt.datetime(2024, 1, 1, 1, 2, 3, 4, dt.UTC), dt.datetime(1, 1, 2, tzinfo=dt.UTC)]
OBJECTS: dict[str, Maker] = {
    "decimals of one scale": _pick(Decimal("1.50"), Decimal("-2.25")),
    "decimals": _pick(Decimal("1.5"), Decimal("-2.25"), Decimal("1E+3"), Decimal(0)),
    "odd decimals": _pick(Decimal("NaN"), Decimal(1), Decimal("-0.0")),
    "wide decimals": _pick(Decimal(10) ** 60, Decimal("1E-60")),
    "dates": _pick(*DAYS),
    "dates and moments": _pick(DAYS[0], MOMENTS[0]),
    "times": _pick(dt.time(1, 2, 3, 4), dt.time(0)),
    "times with zones": _pick(dt.time(1, 2, tzinfo=dt.UTC), dt.time(3)),
    "moments": _pick(*MOMENTS),
    "naive moments": _pick(dt.datetime(2024, 1, 1, 1, 2, 3, 4), dt.datetime(1, 1, 1)),  # noqa: DTZ001 - naive on purpose
    "moments of zones": _pick(MOMENTS[0], MOMENTS[0].astimezone(dt.timezone(dt.timedelta(hours=5)))),
    "folds": _pick(dt.datetime(2024, 10, 27, 1, 30, fold=1), dt.time(1, 30, fold=1)),  # noqa: DTZ001
    "spans": _pick(dt.timedelta(days=-1, microseconds=7), dt.timedelta(0)),
    "bytes": _pick(b"", b"\0x"),
    "bytes of kinds": _pick(b"a", bytearray(b"a")),
    "texts": _pick(*TEXTS),
    "texts with NaN": _pick(*TEXTS, missing=float("nan")),
    "surrogates": _pick("a", "\ud800"),
    "integers": _pick(0, -1, 2**63 - 1),
    "wide integers": _pick(2**63, 2**64 - 1),
    "very wide integers": _pick(2**70),
    "booleans": _pick(True, False),
    "numbers of kinds": _pick(1, True, 1.0),
    "floats": _pick(*ODD_FLOATS, missing=1.0),
    "numpy numbers": _pick(np.int64(1), np.int64(2)),
    "lists": _pick([1, 2], [], [-0.0] * 0),
    "lists of kinds": _pick([1], [1.5], ["a"]),
    "lists with nothing": _pick([None, 1], [None]),
    "tuples": _pick((1, 2)),
    "arrays": _pick(np.array([1, 2])),
    "sets": _pick({1}),
    "dicts": _pick({"a": 1, "b": "x"}),
    "dicts of kinds": _pick({"a": 1}, {"b": 2}),
    "empty dicts": _pick({}),
    "odd dicts": _pick({1: 2}),
    "deep": _pick([{"a": [dt.date(2024, 1, 1)], "b": None}]),
    "mixed": _pick(1, "a", b"b", 1.5),
    "missing of kinds": _pick(None, float("nan"), pd.NA, pd.NaT),
    "NA": _pick("a", missing=pd.NA),
    "NaT": _pick(dt.date(2024, 1, 1), missing=pd.NaT),
    "timestamps": _pick(pd.Timestamp("2024")),
    "objects": _pick(object()),
    "complex": _pick(1j),
    "only missing": _pick(None),
}  # fmt: skip
SERIES: dict[str, Maker] = {
    **{name: _numbers(name) for name in NUMPY},
    **{name: _nullable(name.replace("i", "I", 1).replace("u", "U", 1)) for name in ()},
    **{name: _nullable(name) for name in ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")},
    **{name: _floats(name) for name in ("float16", "float32", "float64", "complex64", "complex128")},
    **{name: _missing_floats(name) for name in ("Float32", "Float64")},
    "bool": lambda random, count: pd.Series(np.array([random.random() < 0.5 for _ in range(count)], bool)),
    "boolean": lambda random, count: pd.Series(
        _holes(random, [random.random() < 0.5 for _ in range(count)]), dtype="boolean"
    ),
    **{name: _texts(dtype) for name, dtype in TEXT_DTYPES.items()},
    **{f"category {ordered}": _category(["z", "b", "a", "é", ""], ordered=ordered) for ordered in (False, True)},
    "category of integers": _category([3, 1, 2**40], ordered=False),
    "category of floats": _category([0.5, -1.0, 1e300], ordered=True),
    "category of booleans": _category([True, False], ordered=False),
    "category of moments": _category(list(pd.to_datetime(["2020", "2021"])), ordered=False),
    "category of zones": _category(list(pd.to_datetime(["2020", "2021"]).tz_localize("Asia/Kathmandu")), ordered=False),
    "category of spans": _category(list(pd.to_timedelta([1, 2], "s")), ordered=False),
    "category of intervals": _category(list(pd.interval_range(0, 2)), ordered=False),
    "category of periods": _category(list(pd.period_range("2020", periods=2, freq="M")), ordered=False),
    "category of dates": _category(list(DAYS), ordered=False),
    "category of kinds": _category([1, "a"], ordered=False),
    "category of tuples": _category([("a", 1), ("b", 2)], ordered=False),
    **{f"datetime {unit} {zone}": _instants(unit, zone) for unit in UNITS for zone in (None, *ZONES)},
    **{f"timedelta {unit}": _spans(unit) for unit in UNITS},
    **{
        f"period {freq}": lambda random, count, freq=freq: pd.Series(
            pd.PeriodIndex(_holes(random, [*pd.period_range("1999", periods=count, freq=freq)], pd.NaT), freq=freq)
        )
        for freq in ("D", "M", "Q-NOV", "W-SUN", "h", "Y")
    },
    **{
        f"interval {closed}": lambda random, count, closed=closed: pd.Series(
            pd.arrays.IntervalArray.from_breaks(np.arange(count + 1) * random.choice([1, 0.5]), closed=closed)
        )
        for closed in ("left", "right", "both", "neither")
    },
    "interval of moments": lambda random, count: pd.Series(pd.interval_range(pd.Timestamp("2024"), periods=count)),
    "sparse": _sparse,
    **OBJECTS,
}  # fmt: skip
COLUMNS: st.SearchStrategy[Maker] = st.one_of(
    st.sampled_from([*SERIES.values()]),
    st.sampled_from([*SERIES.values()]),
    st.sampled_from([*OBJECTS.values()]),
    PLAIN.filter(lambda kind: "view" not in str(kind)).map(_arrow),
)


def _index(kind: str, count: int, random: Random) -> Any:
    name = random.choice([None, None, "i", "a", 3, ("a", "b"), ""])
    numbers = [random.randint(0, 5) for _ in range(count)]
    match kind:
        case "range":
            start, step = random.choice([(0, 1), (5, 2), (3, -1), (0, 3)])
            return pd.RangeIndex(start, start + step * count, step, name=name)
        case "daily":
            zone, unit = random.choice([None, "Europe/London", "UTC"]), random.choice(UNITS)
            return pd.date_range(
                "2024-03-29",
                periods=count,
                freq=random.choice(["D", "h", "ME", "2D", "W", None]) or "D",
                tz=zone,
                unit=unit,
                name=name,
            )
        case "moments":
            return pd.DatetimeIndex(pd.to_datetime(numbers, unit="D"), name=name)
        case "spans":
            return pd.timedelta_range("1h", periods=count, freq=random.choice(["h", "D", "90min"]), name=name)
        case "texts":
            return pd.Index(
                [random.choice(["a", "b", "é", None]) for _ in numbers],
                dtype=random.choice(["str", object, "string"]),
                name=name,
            )
        case "floats":
            return pd.Index([random.choice([0.5, -0.0, float("nan")]) for _ in numbers], dtype="float64", name=name)
        case "period":
            return pd.period_range("2024", periods=count, freq=random.choice("DMQ"), name=name)
        case "interval":
            return pd.IntervalIndex.from_breaks(range(count + 1), name=name)
        case "category":
            return pd.CategoricalIndex(
                [random.choice("ab") for _ in numbers], categories=list("bza"), ordered=random.random() < 0.5, name=name
            )
        case "dates":
            return pd.Index([dt.date(2024, 1, 1 + number) for number in numbers], dtype=object, name=name)
        case "kinds":
            return pd.Index([random.choice([1, "a"]) for _ in numbers], dtype=object, name=name)
        case "levels":
            names = random.choice([[None, None], ["k", None], ["k", "k"], ["a", "b"]])
            levels = [[random.choice("ab") for _ in numbers], random.choice([numbers, [float(one) for one in numbers]])]
            return pd.MultiIndex.from_arrays(levels, names=names)
        case _:
            return pd.Index(numbers, dtype=random.choice(["int8", "uint64", "int64", "Int64"]), name=name)


KINDS_OF_INDEX = [
    "range", "daily", "moments", "spans", "texts", "floats", "period", "interval", "category",
    "dates", "kinds", "levels",
    "integers",
]  # fmt: skip


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    random, count = Random(draw(st.integers(0, 2**32))), draw(st.sampled_from([0, 1, 2, 5, 9]))
    odd = draw(st.integers(0, 5)) == 0
    names = draw(st.lists(st.sampled_from(LABELS if odd else NAMES), max_size=5, unique=not odd or draw(st.booleans())))
    columns = [draw(COLUMNS)(random, count) for _ in names]
    frame = pd.concat(columns, axis=1) if columns else pd.DataFrame(index=range(count))
    frame.columns = pd.Index(names, dtype=object, tupleize_cols=False) if odd else pd.Index(names, dtype="str")
    frame.index = _index(draw(st.sampled_from(["range", "range", *KINDS_OF_INDEX])), count, random)
    match draw(st.integers(0, 12)):
        case 0:
            frame.columns = pd.MultiIndex.from_tuples(
                [(name, place) for place, name in enumerate(frame.columns)], names=["p", "q"]
            )
        case 1:
            frame.columns = pd.RangeIndex(len(names))
        case 2:
            frame.columns.name = "letters"
        case 3:
            frame.attrs = {"unit": "m"}
        case 4:
            frame = frame.iloc[::2]
        case _:
            pass
    return frame


def _bits(value: object) -> object:
    """A Python value as something that is equal only to the same value of the same type."""
    if isinstance(value, float):
        return (type(value).__name__, "nan" if isnan(value) else value.hex())
    if isinstance(value, Decimal):
        return ("Decimal", value.as_tuple())
    if isinstance(value, dict):
        return ("dict", [(_bits(key), _bits(one)) for key, one in value.items()])
    if isinstance(value, list | tuple):
        return (type(value).__name__, [_bits(one) for one in value])
    if isinstance(value, np.ndarray):
        return ("array", str(value.dtype), [_bits(one) for one in value.tolist()])
    if isinstance(value, dt.datetime | dt.time) and value is not pd.NaT:
        return (type(value).__name__, value.isoformat(), value.utcoffset(), value.fold)
    return (type(value).__name__, repr(value))


def _column_bits(values: Any) -> object:
    dtype = values.dtype
    if isinstance(dtype, np.dtype) and dtype.kind in "fc":
        return [_bits(one) for one in values.astype("float64" if dtype.kind == "f" else dtype).tolist()]
    if isinstance(dtype, pd.ArrowDtype):
        return cells(pa.chunked_array(values.array.__arrow_array__()))
    if isinstance(dtype, pd.CategoricalDtype):
        return [
            [_bits(one) for one in dtype.categories.tolist()],
            repr(dtype.categories.dtype),
            dtype.ordered,
            values.cat.codes.tolist(),
        ]
    return [_bits(one) for one in values.tolist()]


def frame_difference(frame: pd.DataFrame, back: pd.DataFrame) -> str:
    """How the frame that came back differs, or nothing; `attrs` are not kept."""
    try:
        pd.testing.assert_frame_equal(
            back, frame, check_exact=True, check_freq=True, check_column_type=True, check_index_type=True
        )
    except AssertionError as error:
        return " ".join(str(error).split())
    levels = [
        [str(index.get_level_values(level).dtype) for level in range(index.nlevels)]
        for index in (frame.index, back.index)
    ]
    if levels[0] != levels[1]:
        return f"index of {levels[1]} instead of {levels[0]}"
    if [*map(repr, frame.dtypes)] != [*map(repr, back.dtypes)]:
        return f"dtypes {[*map(repr, back.dtypes)]} instead of {[*map(repr, frame.dtypes)]}"
    for one, other in ((frame.columns, back.columns), (frame.index, back.index)):
        if one.dtype != other.dtype or getattr(one, "freq", None) != getattr(other, "freq", None):
            return f"index {other!r} instead of {one!r}"
        same = type(one) is type(other) and [*map(_bits, one)] == [*map(_bits, other)]
        if not same or [*map(_bits, one.names)] != [*map(_bits, other.names)]:
            return f"labels {other!r} instead of {one!r}"
    for place in range(len(frame.columns)):
        now, then = _column_bits(frame.iloc[:, place]), _column_bits(back.iloc[:, place])
        if now != then:
            return f"{frame.dtypes.iloc[place]} {then!r} instead of {now!r}"
    return ""


POLARS: dict[str, Any] = {
    **{str(kind): kind for kind in (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)},
    **{str(kind): kind for kind in (pl.Int128, pl.Float32, pl.Float64, pl.Boolean, pl.String, pl.Binary)},
    **{str(kind): kind for kind in (pl.Date, pl.Time, pl.Null)},
    **{
        f"datetime {unit} {zone}": pl.Datetime(unit, zone)
        for unit in ("ms", "us", "ns")
        for zone in (None, "UTC", "Asia/Kathmandu")
    },
    **{f"duration {unit}": pl.Duration(unit) for unit in ("ms", "us", "ns")},
    "decimal": pl.Decimal(20, 3), "categorical": pl.Categorical(), "enum": pl.Enum(["z", "a", "b", "é"]),
    "empty enum": pl.Enum([]),
    "list": pl.List(pl.Int8), "list of text": pl.List(pl.String), "list of categories": pl.List(pl.Categorical()),
    "array": pl.Array(pl.Int16, 2), "empty array": pl.Array(pl.Int16, 0), "matrix": pl.Array(pl.Int8, (2, 2)),
    "struct": pl.Struct({"x": pl.Int8, "é": pl.List(pl.String)}), "empty struct": pl.Struct([]), "object": pl.Object(),
    "struct of enum": pl.Struct({"e": pl.Enum(["a"])}), "list of dates": pl.List(pl.Date),
    "list of spans": pl.List(pl.Duration("us")),
}  # fmt: skip


def _polars_value(kind: Any, random: Random) -> Any:  # noqa: PLR0912 - a table of cases
    if random.random() < 0.25:
        return None
    if kind.is_integer():
        return random.choice([0, 1, 100, -1 if kind.is_signed_integer() else 2])
    if kind.is_float():
        return random.choice(ODD_FLOATS)
    match kind:
        case pl.Boolean():
            return random.random() < 0.5
        case pl.String() | pl.Categorical():
            return random.choice(TEXTS)
        case pl.Enum():
            return random.choice([*kind.categories, None]) if len(kind.categories) else None
        case pl.Binary():
            return random.randbytes(3)
        case pl.Date():
            return random.choice(DAYS)
        case pl.Time():
            return dt.time(1, 2, 3, 4)
        case pl.Datetime():
            return dt.datetime(2024, 1, 1, 1, 2, 3, 4000, dt.UTC if kind.time_zone else None)
        case pl.Duration():
            return dt.timedelta(days=-1, milliseconds=5)
        case pl.Decimal():
            return random.choice([Decimal("1.5"), Decimal("-0.125")])
        case pl.List():
            return [_polars_value(kind.inner, random) for _ in range(random.randint(0, 3))]
        case pl.Array():
            return [_polars_value(kind.inner, random) for _ in range(kind.size)]
        case pl.Struct():
            return {field.name: _polars_value(field.dtype, random) for field in kind.fields}
        case pl.Object():
            return {1}
        case _:
            return None


@st.composite
def polars_frames(draw: st.DrawFn) -> pl.DataFrame:
    random, count = Random(draw(st.integers(0, 2**32))), draw(st.sampled_from([0, 1, 3, 8]))
    names = draw(st.lists(st.sampled_from(NAMES), max_size=5, unique=True))
    columns = list[Any]()
    for name in names:
        kind = draw(st.sampled_from([*POLARS.values()]))
        kind = kind() if isinstance(kind, type) else kind
        columns.append(pl.Series(name, [_polars_value(kind, random) for _ in range(count)], dtype=kind))
    frame = pl.DataFrame(columns)
    return (
        pl.concat([frame, frame], rechunk=False)
        if draw(st.booleans()) and "object" not in str(frame.dtypes).lower()
        else frame
    )


def polars_difference(frame: pl.DataFrame, back: pl.DataFrame) -> str:
    """How the frame that came back differs, or nothing."""
    if frame.schema != back.schema or frame.columns != back.columns:
        return f"schema {back.schema} instead of {frame.schema}"
    if frame.shape != back.shape:
        return f"shape {back.shape} instead of {frame.shape}"
    for name in frame.columns:
        now, then = ([_bits(one) for one in column.to_list()] for column in (frame[name], back[name]))
        if now != then:
            return f"{frame[name].dtype} {then} instead of {now}"
        kinds: list[Any] = [frame[name].dtype, back[name].dtype]
        if isinstance(kinds[0], pl.Enum) and [*kinds[0].categories] != [*kinds[1].categories]:
            return f"categories of {name!r}"
    return ""
