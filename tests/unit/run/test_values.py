"""Values between assets: how each kind is stored, and in which form it arrives, from each store."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from assetflow.errors import CannotStore, ProjectLoadError

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

LIBRARIES = """
import duckdb
import pandas as pd
import polars as pl
"""

FORMS = {
    "pd.DataFrame": 'type(table) is pd.DataFrame and table["n"].to_list() == [1, 2, 3]',
    "pa.Table": 'type(table) is pa.Table and table["n"].to_pylist() == [1, 2, 3]',
    "pa.RecordBatchReader": 'type(table) is pa.RecordBatchReader and table.read_all()["n"].to_pylist() == [1, 2, 3]',
    "pl.DataFrame": 'type(table) is pl.DataFrame and table["n"].to_list() == [1, 2, 3]',
    "pl.LazyFrame": 'type(table) is pl.LazyFrame and table.collect()["n"].to_list() == [1, 2, 3]',
    "duckdb.DuckDBPyRelation": 'table.columns == ["n", "t"] and [row[0] for row in table.fetchall()] == [1, 2, 3]',
    "list[dict]": 'table == [{"n": 1, "t": "a"}, {"n": 2, "t": "b"}, {"n": 3, "t": None}]',
}
RETURNS = {
    "pd.DataFrame": 'pd.DataFrame({"n": [1, 2, 3], "t": ["a", "b", None]})',
    "pa.Table": 'pa.table({"n": [1, 2, 3], "t": ["a", "b", None]})',
    "pa.RecordBatchReader": 'pa.table({"n": [1, 2, 3], "t": ["a", "b", None]}).to_reader()',
    "pl.DataFrame": 'pl.DataFrame({"n": [1, 2, 3], "t": ["a", "b", None]})',
    "pl.LazyFrame": 'pl.LazyFrame({"n": [1, 2, 3], "t": ["a", "b", None]})',
    "duckdb.DuckDBPyRelation": "duckdb.sql(\"select * from (values (1, 'a'), (2, 'b'), (3, null)) as t(n, t)\")",
}
NATIVE = 'duckdb = "native"\n'
ROWS = [{"n": 1, "t": "a"}, {"n": 2, "t": "b"}, {"n": 3, "t": None}]


@pytest.mark.parametrize("store", ["parquet", "duckdb", "json", "source"])
def test_a_table_arrives_in_every_form_from_every_store(workspace: Workspace, store: str) -> None:
    made = "[{'n': 1, 't': 'a'}, {'n': 2, 't': 'b'}, {'n': 3, 't': None}]"
    value = made if store == "json" else f"pa.Table.from_pylist({made})"
    table = (
        'table = source("table", path="table.csv")'
        if store == "source"
        else f'@asset(io="{store}")\ndef table():\n    return {value}'
    )
    readers = "\n\n".join(
        f"@asset\ndef read_{number}(table: {form}) -> bool:\n    return {test}"
        for number, (form, test) in enumerate(FORMS.items())
    )
    workspace.assets(f"{LIBRARIES}\n{table}\n\n{readers}\n", settings=NATIVE)
    workspace.file("table.csv", "n,t\n1,a\n2,b\n3,\n")

    workspace.materialize().raise_for_status()

    project = workspace.project()
    right = {form: project.read(f"read_{number}") for number, form in enumerate(FORMS)}
    assert right == dict.fromkeys(FORMS, True)


def test_every_kind_of_table_can_be_returned(workspace: Workspace) -> None:
    makers = "\n\n".join(
        f"@asset\ndef make_{number}() -> {form}:\n    return {value}"
        for number, (form, value) in enumerate(RETURNS.items())
    )
    workspace.assets(f"{LIBRARIES}\n\n{makers}\n")

    result = workspace.materialize()

    result.raise_for_status()
    project = workspace.project()
    assert [project.read(f"make_{number}", as_=list[dict]) for number in range(len(RETURNS))] == [ROWS] * len(RETURNS)
    assert {outcome.rows for outcome in result} == {3}


@pytest.mark.parametrize("store", ["parquet", "duckdb"])
def test_columns_load_only_these_in_this_order(workspace: Workspace, store: str) -> None:
    workspace.assets(
        f"""{LIBRARIES}
@asset(io="{store}")
def table() -> pa.Table:
    return pa.table({{"a": [1], "b": [2], "c": [3]}})

@asset
def frame(table: Annotated[pd.DataFrame, In(columns=["c", "a"])]) -> list:
    return list(table.columns)

@asset
def rows(table: Annotated[list[dict], In(columns=["c", "a"])]) -> list:
    return table
""",
        settings=NATIVE,
    )

    workspace.materialize().raise_for_status()

    assert workspace.project().read("frame") == ["c", "a"]
    assert workspace.project().read("rows") == [{"c": 3, "a": 1}]


def test_a_column_that_is_not_there_fails_the_reader_with_the_near_name(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def table() -> pa.Table:
            return pa.table({"amount": [1]})

        @asset
        def reader(table: Annotated[pa.Table, In(columns=["amout"])]) -> int:
            return 1
        """)

    result = workspace.materialize()

    error = result["reader"].error
    assert error is not None
    assert error.code == "AF140"
    assert "amount" in " ".join([error.message, *error.facts, error.fix or ""])
    (log,) = workspace.project().logs(key="reader")
    record, *inputs = log.text.splitlines()
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} ERROR   AF140: .*amount", record)
    assert [line.split()[0] for line in inputs] == ["input"]


@pytest.mark.parametrize(
    ("annotation", "value", "io"),
    [
        ("int", 3, "json"),
        ("float", 2.5, "json"),
        ("str", "text", "json"),
        ("bool", True, "json"),
        ("dict", {"a": [1, None]}, "json"),
        ("list", [1, "two"], "json"),
        ("bytes", b"\x00\xff", "file"),
    ],
)
def test_values_that_are_not_tables_arrive_as_they_were(
    workspace: Workspace, annotation: str, value: object, io: str
) -> None:
    workspace.assets(f"""
@asset
def made() -> {annotation}:
    return {value!r}

@asset
def same(made: {annotation}) -> bool:
    return type(made) is {annotation} and made == {value!r}
""")

    workspace.materialize().raise_for_status()

    project = workspace.project()
    assert project.read("same") is True
    assert project.read("made") == value
    assert project.history("made")[0].head.version.io == io


def test_a_file_is_copied_into_the_store_and_arrives_as_a_path_or_bytes(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def letter() -> Path:
            path = Path(__file__).parent / "letter.txt"
            path.write_text("dear reader")
            return path

        @asset
        def words(letter: Path) -> list:
            return [letter.name, letter.read_text()]

        @asset
        def size(letter: bytes) -> int:
            return len(letter)
        """)
    workspace.materialize("letter").raise_for_status()
    (workspace.root / "letter.txt").write_text("overwritten")

    workspace.materialize("words or size", with_upstream=False).raise_for_status()

    project = workspace.project()
    assert (project.read("words"), project.read("size")) == (["letter.txt", "dear reader"], 11)
    stored = project.read("letter")
    assert isinstance(stored, Path)
    assert project.settings.storage_path in stored.parents


def test_io_of_the_project_the_group_and_the_asset_the_nearest_one_counts(workspace: Workspace) -> None:
    workspace.assets(
        """
        @asset
        def by_project() -> pa.Table:
            return pa.table({"n": [1]})

        @asset(group="marts")
        def by_group() -> pa.Table:
            return pa.table({"n": [1]})

        @asset(group="marts", io="json")
        def by_itself() -> list:
            return [1]
        """,
        'io = "duckdb"\nduckdb = "native"\n[groups.marts]\nio = "parquet"\n',
    )

    workspace.materialize().raise_for_status()

    project = workspace.project()
    assert [project.history(key)[0].head.version.io for key in ("by_project", "by_group", "by_itself")] == [
        "duckdb", "parquet", "json",
    ]  # fmt: skip


@pytest.mark.parametrize("io", ["parquet", "duckdb", "file"])
def test_an_explicit_io_refuses_what_it_cannot_hold(workspace: Workspace, io: str) -> None:
    workspace.assets(f'@asset(io="{io}")\ndef made():\n    return {{"a": 1}}\n')

    result = workspace.materialize()

    assert result["made"].error is not None
    assert result["made"].error.code == CannotStore.code
    assert workspace.stored() == set()


def test_an_object_that_nothing_holds_names_the_way_out(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef made():\n    return object()\n")

    with pytest.raises(CannotStore, match="pickle"):
        workspace.materialize().raise_for_status()


def test_pickle_is_off_until_the_project_allows_it(workspace: Workspace) -> None:
    text = (
        '@asset(io="pickle")\ndef made():\n    return {1, 2}\n\n@asset\ndef size(made) -> int:\n    return len(made)\n'
    )
    workspace.assets(text)
    with pytest.raises(ProjectLoadError, match="allow_pickle"):
        workspace.project()

    workspace.assets(text, settings="allow_pickle = true\n")
    workspace.materialize().raise_for_status()

    assert workspace.project().read("made") == {1, 2}
    assert workspace.project().read("size") == 2


def test_relations_are_queried_in_the_function_that_takes_them(workspace: Workspace) -> None:
    workspace.assets(
        f"""{LIBRARIES}
@asset
def orders() -> pa.Table:
    return pa.table({{"id": [1, 2], "a": [10, 20]}})

@asset(io="duckdb")
def payments() -> pa.Table:
    return pa.table({{"id": [2, 3], "b": [200, 300]}})

@asset
def joined(orders: duckdb.DuckDBPyRelation, payments: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    return duckdb.sql("select * from orders join payments using (id)")

@asset
def counted(orders: duckdb.DuckDBPyRelation, con: duckdb.DuckDBPyConnection) -> int:
    return con.sql("select count(*) from orders").fetchall()[0][0]
""",
        settings=NATIVE,
    )

    workspace.materialize().raise_for_status()

    assert workspace.project().read("joined", as_=list[dict]) == [{"id": 2, "a": 20, "b": 200}]
    assert workspace.project().read("counted") == 2


@pytest.mark.parametrize("executor", ["inline", "threads"])
@pytest.mark.parametrize(
    ("annotation", "change"),
    [
        ("pd.DataFrame", 'table["n"] = 0'),
        ("list[dict]", 'table[0]["n"] = 0; table.append({})'),
        ("pl.DataFrame", "table = table.with_columns(n=0)"),
    ],
)
def test_what_one_reader_does_to_its_input_no_other_reader_sees(
    workspace: Workspace, annotation: str, change: str, executor: str
) -> None:
    workspace.assets(f"""{LIBRARIES}
@asset
def table() -> pd.DataFrame:
    return pd.DataFrame({{"n": [1, 2]}})

@asset
def first(table: {annotation}) -> int:
    {change}
    return 1

@asset(deps=[first])
def second(table: {annotation}) -> pa.Table:
    return pa.Table.from_pylist(table) if isinstance(table, list) else table
""")

    workspace.materialize(executor=executor).raise_for_status()

    assert workspace.project().read("second", as_=list[dict]) == [{"n": 1}, {"n": 2}]


def test_what_one_reader_does_to_a_loaded_source_no_other_reader_sees(workspace: Workspace) -> None:
    workspace.assets(f"""{LIBRARIES}
FRAME, ROWS = pd.DataFrame({{"n": [1]}}), [{{"n": 1}}]

frame = source("frame", version=lambda: 1, load=lambda: FRAME)
rows = source("rows", version=lambda: 1, load=lambda: ROWS)

@asset
def first(frame: pd.DataFrame, rows: Rows) -> int:
    frame["n"] = 0
    rows[0]["n"] = 0
    return 1

@asset(deps=[first])
def second(frame: pd.DataFrame, rows: Rows) -> list:
    return [*frame["n"], *[row["n"] for row in rows]]
""")

    workspace.materialize().raise_for_status()

    assert workspace.project().read("second") == [1, 1]


def test_a_default_stands_in_for_a_parameter_that_is_no_asset(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef made(factor: int = 3) -> int:\n    return factor\n")

    workspace.materialize().raise_for_status()

    assert workspace.project().read("made") == 3


def test_a_value_that_cannot_take_the_wanted_form_fails_the_reader_and_not_the_maker(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def number() -> int:
            return 1

        @asset
        def reader(number: pa.Table) -> int:
            return 2
        """)

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {"number": "materialized", "reader": "failed"}
    error: Any = result["reader"].error
    assert error.code == "AF140"
