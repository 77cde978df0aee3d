"""Reading data: versions, columns, forms, previews and SQL."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from assetflow import Project
from assetflow.errors import (
    AssetflowError,
    ContractBroken,
    DamagedVersion,
    NoSuchAsset,
    NoSuchVersion,
    QueryError,
    SourceMissing,
    UsageError,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.conftest import Workspace

SHOP = """
raw = source("raw", path="raw.csv")
gone = source("gone", path="gone.csv")

@asset(key="marts.orders")
def orders(raw: pa.Table) -> pa.Table:
    return raw

@asset(io="duckdb")
def doubled(orders: pa.Table) -> pa.Table:
    return orders.set_column(1, "net", [[2 * value for value in orders["net"].to_pylist()]])

@asset
def facts(orders: Rows) -> dict:
    return {"rows": len(orders)}

@asset
def listed(orders: Rows) -> Rows:
    return [{"id": row["id"]} for row in orders]

@asset
def letter() -> bytes:
    return b"dear reader"

@asset
def never(gone: pa.Table) -> int:
    return 1
"""


@pytest.fixture(scope="module")
def project(shared_workspace: Workspace) -> Project:
    """Two versions of everything that reads the source."""
    shared_workspace.assets(SHOP)
    shared_workspace.file("raw.csv", "id,net\n1,10\n2,20\n")
    shared_workspace.materialize("not never")
    shared_workspace.file("raw.csv", "id,net\n1,10\n2,20\n3,30\n")
    shared_workspace.materialize("not never")
    return shared_workspace.project()


def test_a_table_arrives_as_a_pandas_frame(project: Project) -> None:
    found = project.read("marts.orders")

    assert isinstance(found, pd.DataFrame)
    assert found.to_dict("list") == {"id": [1, 2, 3], "net": [10, 20, 30]}


def test_the_last_name_is_enough(project: Project) -> None:
    assert project.read("orders", as_=list[dict]) == project.read("marts.orders", as_=list[dict])


@pytest.mark.parametrize("form", [pa.Table, pa.RecordBatchReader, pd.DataFrame, pl.DataFrame, pl.LazyFrame])
@pytest.mark.parametrize("key", ["orders", "doubled", "raw"])
def test_as_gives_the_class_that_is_asked_for(project: Project, key: str, form: type) -> None:
    assert type(project.read(key, as_=form)) is form


def test_as_takes_the_name_of_a_form(project: Project) -> None:
    assert isinstance(project.read("orders", as_="polars"), pl.DataFrame)


@pytest.mark.parametrize("form", ["polars", "polars_lazy", pl.DataFrame])
@pytest.mark.parametrize("key", ["orders", "listed", "raw"])
def test_polars_that_is_not_installed_is_an_error_that_says_what_to_install(
    project: Project, monkeypatch: pytest.MonkeyPatch, form: Any, key: str
) -> None:
    monkeypatch.setitem(sys.modules, "polars", None)
    with pytest.raises(ContractBroken, match="polars is not installed") as error:
        project.read(key, as_=form)
    assert error.value.fix == "pip install 'assetflow[polars]'"


def test_another_class_is_refused(project: Project) -> None:
    with pytest.raises(UsageError, match="cannot read as"):
        project.read("orders", as_=Exception)


def test_another_name_of_a_form_is_refused(project: Project) -> None:
    with pytest.raises(AssetflowError):
        project.read("orders", as_="arow")


@pytest.mark.parametrize("key", ["orders", "doubled", "raw", "listed"])
def test_columns_are_read_in_the_order_that_is_asked_for(project: Project, key: str) -> None:
    columns = ["id"] if key == "listed" else ["net", "id"]
    found: Any = project.read(key, columns=columns, as_=pa.Table)

    assert found.column_names == columns


def test_a_column_that_is_not_there_is_an_error_with_the_near_name(project: Project) -> None:
    with pytest.raises(ContractBroken, match="net"):
        project.read("orders", columns=["nett"])


@pytest.mark.parametrize("key", ["orders", "doubled"])
def test_earlier_versions_are_read_by_number(project: Project, key: str) -> None:
    first: Any = project.read(key, version=1, as_=pa.Table)
    second: Any = project.read(key, version=2, as_=pa.Table)

    assert (first.num_rows, second.num_rows) == (2, 3)


@pytest.mark.parametrize("name", ["orders@1", "orders@v1", "marts.orders@1"])
def test_earlier_versions_are_read_by_name(project: Project, name: str) -> None:
    assert project.read(name, as_=list[dict]) == [{"id": 1, "net": 10}, {"id": 2, "net": 20}]


def test_a_version_that_does_not_exist_is_an_error_that_says_where_to_look(project: Project) -> None:
    with pytest.raises(NoSuchVersion, match=r"marts.orders has no version 7(.|\n)*assetflow history marts.orders"):
        project.read("orders@7")
    with pytest.raises(NoSuchVersion, match="letter has no version 2"):
        project.read("letter", version=2)


def test_an_asset_without_a_version_is_an_error_that_says_what_to_do(project: Project) -> None:
    with pytest.raises(NoSuchVersion, match=r"never has not been materialized(.|\n)*assetflow materialize never"):
        project.read("never")


@pytest.mark.parametrize("name", ["orders@", "orders@1.5", "orders@-1"])
def test_what_is_no_number_is_no_version(project: Project, name: str) -> None:
    with pytest.raises(NoSuchVersion, match="does not name a version"):
        project.read(name)


def test_a_version_given_twice_is_refused(project: Project) -> None:
    with pytest.raises(NoSuchVersion):
        project.read("orders@1", version=2)


def test_a_name_that_is_no_asset_is_an_error_with_the_near_one(project: Project) -> None:
    with pytest.raises(NoSuchAsset, match="orders"):
        project.read("ordrs")


def test_values_that_are_not_tables_arrive_as_they_were_stored(project: Project) -> None:
    assert project.read("facts") == {"rows": 3}
    assert project.read("facts@1") == {"rows": 2}
    assert project.read("letter") == b"dear reader"
    assert project.read("listed") == [{"id": 1}, {"id": 2}, {"id": 3}]


def test_a_value_that_is_no_table_cannot_be_read_as_one(project: Project) -> None:
    with pytest.raises(ContractBroken):
        project.read("letter", as_=pa.Table)


def test_a_source_is_read_as_it_is_now_and_has_no_earlier_versions(project: Project) -> None:
    found: Any = project.read("raw")

    assert found["id"].to_list() == [1, 2, 3]
    with pytest.raises(NoSuchVersion, match="keeps no copies"):
        project.read("raw@1")
    with pytest.raises(SourceMissing, match="gone"):
        project.read("gone")


def test_a_preview_has_the_first_rows_with_types_and_the_total(project: Project) -> None:
    found = project.preview("orders", rows=2)

    assert (found.key, found.version, found.total) == ("marts.orders", 2, 3)
    assert (found.names, found.types) == (("id", "net"), ("int64", "int64"))
    assert found.rows == ((1, 10), (2, 20))
    assert found.table.num_rows == 2


def test_a_preview_of_the_end_of_a_version_and_of_some_columns(project: Project) -> None:
    assert project.preview("orders", rows=2, tail=True).rows == ((2, 20), (3, 30))
    assert project.preview("orders@1", columns=["net"]).rows == ((10,), (20,))
    assert project.preview("orders@1").version == 1
    assert project.preview("orders", rows=0).rows == ()


def test_a_preview_of_a_source_has_no_version(project: Project) -> None:
    found = project.preview("raw", rows=1)

    assert (found.version, found.rows, found.total) == (None, ((1, 10),), 3)


def test_a_preview_of_what_is_no_table_is_an_error(project: Project) -> None:
    with pytest.raises(ContractBroken):
        project.preview("facts")
    with pytest.raises(NoSuchVersion):
        project.preview("never")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("select sum(net)::int as s from marts.orders", 60),
        ("select sum(net)::int as s from orders", 60),
        ("select sum(net)::int as s from doubled", 120),
        ("select sum(net)::int as s from raw", 60),
        ("select count(*) as s from listed", 3),
        ('select sum(net)::int as s from "orders@1"', 30),
        ('select sum(net)::int as s from "marts.orders@v1"', 30),
        ('select sum(net)::int as s from "doubled@1"', 60),
        ('select count(*) as s from orders anti join "orders@1" using (id)', 1),
    ],
)
def test_sql_names_assets_sources_and_versions(project: Project, text: str, answer: int) -> None:
    assert project.sql(text).table.to_pylist() == [{"s": answer}]


def test_sql_says_what_it_read_and_whether_there_was_more(project: Project) -> None:
    found = project.sql("select id, net from orders order by id", limit=2)

    assert (found.columns, found.used, found.truncated) == (("id", "net"), ("marts.orders",), True)
    assert found.table.to_pylist() == [{"id": 1, "net": 10}, {"id": 2, "net": 20}]


def test_sql_that_writes_is_refused(project: Project) -> None:
    with pytest.raises(QueryError):
        project.sql("create table x as select 1")


def test_sql_over_what_has_no_version_says_so(project: Project) -> None:
    with pytest.raises(NoSuchVersion, match="never has not been materialized"):
        project.sql("select * from never")
    with pytest.raises(NoSuchVersion, match="has no version 9"):
        project.sql('select * from "orders@9"')


def test_sql_over_an_unknown_name_has_the_near_one(project: Project) -> None:
    with pytest.raises(QueryError, match="orders"):
        project.sql("select * from ordrs")


def test_errors_speak_of_where_something_was_asked_for(project: Project) -> None:
    look = "a query reads tables only; to look at it: assetflow preview facts"
    asked: list[tuple[Callable[[], object], str]] = [
        (lambda: project.sql("select * from facts"), look),
        (lambda: project.read("facts", as_=pa.Table), "leave out as_: read('facts') gives what is stored"),
        (lambda: project.read("orders", as_=bytes), "leave out as_: read('orders') gives what is stored"),
        (lambda: project.read("letter", as_="arrow"), "leave out as_: read('letter') gives what is stored"),
        (lambda: project.preview("facts", columns=["rows"]), "leave the columns out"),
        (lambda: project.preview("facts"), "read it as it is: read('facts')"),
        (lambda: project.preview("orders", columns=["idd"]), "name columns that `marts.orders` has"),
        (lambda: project.read("raw", columns=["idd"]), "name columns that `raw` has"),
    ]
    for ask, fix in asked:
        with pytest.raises(AssetflowError) as error:
            ask()
        assert error.value.fix == fix


def test_damaged_bytes_are_never_returned(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef letter() -> dict:\n    return {'dear': 'reader'}\n")
    workspace.materialize()
    (file,) = (path for path in workspace.stored() if path.name == "value.json")
    file.write_text(file.read_text().replace("reader", "writer"))

    with pytest.raises(DamagedVersion, match="letter"):
        workspace.project().read("letter")
