"""The columns of an asset change, or a write fails: old versions stay as they were, and `history` shows what changed.

These are the cases in which tools that rewrite one table in place lose rows, mix columns or stay locked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from assetflow import Project

pytestmark = pytest.mark.end_to_end

KINDS = ["parquet", "duckdb"]
PRELUDE = """
import pandas as pd
import pyarrow as pa
from assetflow import asset

"""


def orders(folder: Any, io: str, body: str, annotation: str = "pd.DataFrame") -> None:
    folder.write("assets.py", f'{PRELUDE}@asset(io="{io}")\ndef orders() -> {annotation}:\n    {body}\n')


def frame(**columns: str) -> str:
    made = ", ".join(f'"{name}": pd.Series({values})' for name, values in columns.items())
    return f"return pd.DataFrame({{{made}}})"


def versions(folder: Any, upto: int) -> list[pa.Table]:
    project = Project.load(folder.path)
    return [project.read("orders", as_=pa.Table, version=number) for number in range(1, upto + 1)]


def files(folder: Any) -> dict[str, str]:
    """The digests of what never changes once it is there: all but what DuckDB keeps in its one file."""
    return {name: digest for name, digest in folder.stored().items() if "warehouse" not in name}


def is_free(folder: Any) -> bool:
    """Whether the DuckDB file can be opened for writing, which a handle that leaked would refuse."""
    with duckdb.connect(str(Project.load(folder.path).settings.warehouse_path)) as connection:
        return connection.execute("SELECT 1").fetchall() == [(1,)]


SERIES: list[tuple[str, str, tuple[str, ...], str]] = [
    # what happens, the function's body, the lines of the schema change, the whole version as people would write it
    ("empty", frame(id="[], dtype='int64'", gross="[], dtype='str'"), (), "{'id': [], 'gross': []}"),
    ("other types", frame(id="[1, 2]", gross="[1, 2]"), ("gross: string → int64",), "{'id': [1, 2], 'gross': [1, 2]}"),
    (
        "added",
        frame(id="[1, 2]", gross="[1, 2]", currency="['EUR', 'GBP']"),
        ("+ currency",),
        "{'id': [1, 2], 'gross': [1, 2], 'currency': ['EUR', 'GBP']}",
    ),
    (
        "renamed",
        frame(id="[1, 2]", net="[1, 2]", currency="['EUR', 'GBP']"),
        ("+ net", "- gross"),
        "{'id': [1, 2], 'net': [1, 2], 'currency': ['EUR', 'GBP']}",
    ),
    (
        "re-ordered",
        frame(net="[1, 2]", id="[1, 2]", currency="['EUR', 'GBP']"),
        ("re-ordered",),
        "{'net': [1, 2], 'id': [1, 2], 'currency': ['EUR', 'GBP']}",
    ),
    (
        "re-typed",
        frame(net="[1.0, 2.0]", id="[1, 2]", currency="['EUR', 'GBP']"),
        ("net: int64 → double",),
        "{'net': [1.0, 2.0], 'id': [1, 2], 'currency': ['EUR', 'GBP']}",
    ),
    (
        "removed",
        frame(id="[1, 2]", net="[1.0, 2.0]"),
        ("- currency", "re-ordered"),
        "{'id': [1, 2], 'net': [1.0, 2.0]}",
    ),
    ("empty again", frame(id="[], dtype='int64'", net="[], dtype='float64'"), (), "{'id': [], 'net': []}"),
]


@pytest.mark.parametrize("io", KINDS)
def test_every_change_of_the_columns_makes_a_whole_version_and_is_shown(folder: Any, io: str) -> None:
    before: dict[str, str] = {}
    for number, (_, body, _, _) in enumerate(SERIES, start=1):
        orders(folder, io, body)
        answer = folder.run("materialize")

        assert answer.code == 0, answer.err
        after = files(folder)
        assert {name: after.get(name) for name in before} == before
        before = after
        found = versions(folder, number)
        assert [table.to_pydict() for table in found] == [eval(one) for *_, one in SERIES[:number]]
        assert [table.column_names for table in found] == [list(eval(one)) for *_, one in SERIES[:number]]

    shown = folder.run("history", "orders", "--json").data["history"]
    assert [tuple(entry["schema_change"]) for entry in reversed(shown)] == [change for _, _, change, _ in SERIES]
    screen = folder.run("history", "orders").out
    for _, _, change, _ in SERIES:
        assert ", ".join(change) in screen
    if io == "duckdb":
        assert is_free(folder)


@pytest.mark.parametrize("io", KINDS)
def test_a_first_frame_without_rows_keeps_its_columns_and_feeds_the_next_asset(folder: Any, io: str) -> None:
    orders(folder, io, frame(id="[], dtype='Int16'", kind="pd.Categorical([], ['a'])"))
    source = (folder.path / "assets.py").read_text()
    folder.write(
        "assets.py",
        source + "\n@asset\ndef types(orders: pd.DataFrame) -> list:\n    return [*map(str, orders.dtypes)]\n",
    )

    assert folder.run("materialize").code == 0

    assert Project.load(folder.path).read("types") == ["Int16", "category"]
    if io == "duckdb":
        assert is_free(folder)


FAILING: dict[str, tuple[str, str, str]] = {
    "a function that raises": ("raise ValueError('no')", "pd.DataFrame", "ValueError: no"),
    "nothing returned": ("return None", "pd.DataFrame", "annotation"),
    "a dtype that is refused": ("return pd.DataFrame({'id': [1j]})", "pd.DataFrame", "`id`"),
    "values of several types": (
        "return pd.DataFrame({'id': pd.Series([1, 'a'], dtype=object)})",
        "pd.DataFrame",
        "`id`",
    ),
    "two columns of one name": ("return pd.DataFrame([[1, 2]], columns=['a', 'a'])", "pd.DataFrame", "`a`"),
    "batches that break off": (
        "schema = pa.schema([('id', pa.int64())])\n"
        "    def rows():\n"
        "        for number in range(40):\n"
        "            yield pa.record_batch({'id': list(range(10_000))}, schema=schema)\n"
        "        raise ValueError('the line broke')\n"
        "    return pa.RecordBatchReader.from_batches(schema, rows())",
        "pa.RecordBatchReader",
        "the line broke",
    ),
    "batches of another schema": (
        "schema = pa.schema([('id', pa.int64())])\n"
        "    rows = [pa.record_batch({'id': [1]}, schema=schema), pa.record_batch({'id': ['a']})]\n"
        "    return pa.RecordBatchReader.from_batches(schema, rows)",
        "pa.RecordBatchReader",
        "orders",
    ),
}


@pytest.mark.parametrize("io", KINDS)
def test_a_write_that_fails_leaves_what_was_there(folder: Any, io: str) -> None:
    orders(folder, io, frame(id="[1, 2]"))
    assert folder.run("materialize").code == 0
    before = files(folder)

    for name, (body, annotation, words) in FAILING.items():
        orders(folder, io, body, annotation)
        failed = folder.run("materialize")

        assert failed.code == 1, name
        assert words in failed.out + failed.err, name
        assert files(folder) == before, name
        assert versions(folder, 1)[0].to_pydict() == {"id": [1, 2]}
        if io == "duckdb":
            assert is_free(folder), name

    orders(folder, io, frame(id="[1, 2]", more="[3, 4]"))
    assert folder.run("materialize").code == 0
    assert [table.to_pydict() for table in versions(folder, 2)] == [{"id": [1, 2]}, {"id": [1, 2], "more": [3, 4]}]
    shown = folder.run("history", "orders", "--json").data["history"]
    assert [entry["schema_change"] for entry in shown] == [["+ more"], []]


@pytest.mark.parametrize("io", KINDS)
def test_readers_in_several_processes_and_a_writer_do_not_meet_a_lock(folder: Any, io: str) -> None:
    orders(folder, io, frame(id="[1, 2]"))
    assert folder.run("materialize").code == 0
    orders(folder, io, frame(id="[1, 2]", more="[3, 4]"))

    running = [folder.start(*words) for words in [("preview", "orders@1")] * 3 + [("materialize",)]]
    ended = [(process.communicate(timeout=60), process.returncode) for process in running]

    assert [code for _, code in ended] == [0, 0, 0, 0], ended
    assert versions(folder, 2)[1].column_names == ["id", "more"]


def test_a_change_between_a_table_and_another_value_is_no_change_of_columns(make_folder: Callable[[], Any]) -> None:
    folder = make_folder()
    folder.write("assets.py", f"{PRELUDE}@asset\ndef orders():\n    return {{'a': 1}}\n")
    assert folder.run("materialize").code == 0
    folder.write("assets.py", f"{PRELUDE}@asset\ndef orders():\n    return pd.DataFrame({{'a': [1]}})\n")
    assert folder.run("materialize").code == 0

    shown = folder.run("history", "orders", "--json").data["history"]

    assert [entry["schema_change"] for entry in shown] == [[], []]
