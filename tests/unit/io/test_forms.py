from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ForwardRef, Optional, TypedDict

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from assetflow.io.forms import TABLE_FORMS, form_of, form_words, kind_badge, value_words
from assetflow.model.inputs import In


class Row(TypedDict):
    id: int


class TypedFrame(pd.DataFrame):
    pass


class Unknown:
    pass


@pytest.mark.parametrize(
    ("annotation", "form"),
    [
        (pd.DataFrame, "pandas"),
        (TypedFrame, "pandas"),
        (pa.Table, "arrow"),
        (pa.RecordBatchReader, "reader"),
        (pl.DataFrame, "polars"),
        (pl.LazyFrame, "polars_lazy"),
        (list[dict], "records"),
        (list[dict[str, Any]], "records"),
        (Sequence[Mapping[str, int]], "records"),
        (Iterator[dict[str, int]], "records"),
        (list[Row], "records"),
        (list[int], "python"),
        (list, "python"),
        (dict[str, int], "python"),
        (int, "python"),
        (Path, "path"),
        (bytes, "bytes"),
        (Annotated[pd.DataFrame, In("marts.orders")], "pandas"),
        (pl.DataFrame | None, "polars"),
        (None | pa.Table, "arrow"),
        (Optional[pd.DataFrame], "pandas"),  # noqa: UP045 - users write it
        (Annotated[list[dict[str, int]] | None, "note"], "records"),
        (ForwardRef("pd.DataFrame"), "pandas"),
        (None, None),
        (type(None), None),
        (Any, None),
        (object, None),
        (pd.Series, None),
        (Unknown, None),
        (3, None),
    ],
)
def test_annotation_asks_for_a_form(annotation: object, form: str | None) -> None:
    assert form_of(annotation) == form


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("pd.DataFrame", "pandas"),
        ("pandas.DataFrame", "pandas"),
        ("DataFrame", "pandas"),
        ("pl.DataFrame", "polars"),
        ("polars.LazyFrame | None", "polars_lazy"),
        ("pa.Table", "arrow"),
        ("duckdb.DuckDBPyRelation", "duckdb"),
        ("duckdb.DuckDBPyConnection", "connection"),
        ("Annotated[pd.DataFrame, In('a', columns=['x'])]", "pandas"),
        ("t.Optional[pl.DataFrame]", "polars"),
        ("list[dict[str, Any]]", "records"),
        ("list[int]", "python"),
        ("Path", "path"),
        ("bytes", "bytes"),
        ("geo.GeoDataFrame", None),
        ("", None),
        ("not an annotation", None),
        ("((", None),
    ],
)
def test_text_that_cannot_be_resolved_is_judged_by_its_words(text: str, form: str | None) -> None:
    assert form_of(text) == form


def test_words_and_badges_exist_for_every_form() -> None:
    assert form_words("pandas") == "a pandas DataFrame"
    assert form_words(None) == "a Python value"
    assert {kind_badge(form) for form in TABLE_FORMS} == {"pandas", "arrow", "polars", "duckdb", "python"}
    assert kind_badge("path") == "file"
    assert kind_badge(None) is None


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "None"),
        ("text", "a str"),
        (3, "an int"),
        ([], "an empty list"),
        (["a"], "a list of str"),
        ({}, "a dict"),
        (pd.Series([1]), "a pandas Series"),
        (pd.DataFrame(), "a pandas DataFrame"),
        (pa.table({}), "a pyarrow Table"),
        (pl.LazyFrame(), "a polars LazyFrame"),
        (Path("x"), "a Path"),
        (pd.DataFrame, "the class DataFrame itself"),
        (len, "the function len itself"),
    ],
)
def test_words_say_what_was_returned(value: object, words: str) -> None:
    assert value_words(value) == words


def test_duckdb_classes_and_values() -> None:
    assert form_of(duckdb.DuckDBPyRelation) == "duckdb"
    assert form_of(duckdb.DuckDBPyConnection) == "connection"
    with duckdb.connect() as connection:
        assert value_words(connection) == "a DuckDB connection"


def test_reading_annotations_imports_no_dataframe_library() -> None:
    code = (
        "import sys; from assetflow.io.forms import form_of; form_of('pd.DataFrame'); form_of(list[dict]);"
        "print(sorted({'pandas', 'pyarrow', 'polars', 'duckdb', 'numpy', 'inspect'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]

    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)

    assert found.stdout.strip() == "[]"
