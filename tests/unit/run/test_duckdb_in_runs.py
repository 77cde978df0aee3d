"""Functions that use DuckDB inside of runs: what they create is their own, and they do not meet on one connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import duckdb
import pytest

from assetflow import asset, check, materialize
from assetflow.fingerprint.code import code_fingerprint

if TYPE_CHECKING:
    import pandas as pd

    from tests.unit.conftest import Workspace

ORDERS = """
import duckdb
import pandas as pd

@asset
def orders() -> pd.DataFrame:
    return pd.DataFrame({"id": [1, 2, 3], "paid": [True, True, False]})
"""


def catalogs() -> set[str]:
    """The names of the databases that are attached in this process."""
    return {name for (name,) in duckdb.default_connection().cursor().sql("SHOW DATABASES").fetchall()}


def search_path() -> object:
    """Where `duckdb.sql` looks for names."""
    return duckdb.execute("select current_setting('search_path')").fetchall()


@pytest.mark.parametrize("executor", ["inline", "threads", "processes"])
def test_what_one_asset_creates_shadows_nothing_of_another(workspace: Workspace, executor: str) -> None:
    workspace.assets(
        ORDERS
        + """
@asset
def a_paid(orders: pd.DataFrame, con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    con.execute("create or replace view orders as select 1 as id, true as paid")
    return con.sql("select id from orders").df()

@asset
def b_view(orders: duckdb.DuckDBPyRelation) -> pd.DataFrame:
    orders.filter("paid").create_view("orders_paid")
    duckdb.sql("create view orders as select 1 as id from orders_paid")
    return duckdb.sql("select * from orders_paid").df()

@asset(deps=["a_paid", "b_view"])
def count(orders: pd.DataFrame, con: duckdb.DuckDBPyConnection) -> Rows:
    return con.sql("select count(*) as n from orders").to_arrow_table().to_pylist()

@asset(deps=["a_paid", "b_view"])
def count_lazily(orders: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
    return duckdb.sql("select count(*) as n from orders")

@asset(deps=["a_paid", "b_view"])
def names(con: duckdb.DuckDBPyConnection) -> Rows:
    return con.sql("select view_name from duckdb_views() where not internal").to_arrow_table().to_pylist()
"""
    )
    before = catalogs()

    workspace.materialize(executor=executor).raise_for_status()

    found = workspace.project()
    assert [found.read(key, as_="records") for key in ("count", "count_lazily", "names")] == [[{"n": 3}]] * 2 + [[]]
    assert catalogs() == before


@pytest.mark.parametrize("create", ["create table", "create temp table", "create view"])
def test_assets_create_tables_of_the_same_name_and_return_them(workspace: Workspace, create: str) -> None:
    assets = "".join(
        f"""
@asset
def made_{number}(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    con.sql("{create} t as select {number} as n from range(3000)")
    return con.table("t")
"""
        for number in range(6)
    )
    workspace.assets(ORDERS + assets)

    workspace.materialize(executor="threads").raise_for_status()

    found = [workspace.project().read(f"made_{number}", as_="records") for number in range(6)]
    assert found == [[{"n": number}] * 3000 for number in range(6)]


def test_what_a_module_creates_stays_visible_and_is_not_changed(workspace: Workspace) -> None:
    workspace.assets(
        ORDERS
        + """
duckdb.sql("create or replace table rates_of_the_module as select 2 as rate")

@asset
def other(con: duckdb.DuckDBPyConnection) -> int:
    con.execute("create table rates_of_the_module as select 7 as rate")
    return con.sql("select rate from rates_of_the_module").fetchall()[0][0]

@asset(deps=[other])
def doubled(orders: duckdb.DuckDBPyRelation, con: duckdb.DuckDBPyConnection) -> Rows:
    one = duckdb.sql("select rate from rates_of_the_module").fetchall()
    two = con.sql("select rate from rates_of_the_module").fetchall()
    return [{"found": [rate for (rate,) in one + two]}]
"""
    )

    workspace.materialize(executor="inline").raise_for_status()

    assert workspace.project().read("doubled") == [{"found": [2, 2]}]
    assert workspace.project().read("other") == 7
    duckdb.sql("drop table rates_of_the_module")


def test_checks_see_nothing_of_what_the_function_created(workspace: Workspace) -> None:
    workspace.assets(
        ORDERS
        + """
@asset
def paid(orders: pd.DataFrame, con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
    con.execute("create view paid as select 1 as id where false")
    return con.sql("from orders where paid").df()

@check(paid)
def some(paid: pd.DataFrame, con: duckdb.DuckDBPyConnection) -> bool:
    con.execute("create table t as from paid")
    return con.sql("select count(*) from t").fetchall() == [(2,)]

@check(paid)
def shared(paid: pd.DataFrame) -> bool:
    duckdb.sql("create table t as from paid")
    return duckdb.sql("select count(*) from t").fetchall() == [(2,)]
"""
    )
    before = catalogs()

    result = workspace.materialize()

    assert [(one.name, one.passed, one.message) for one in result["paid"].checks] == [
        ("some", True, ""),
        ("shared", True, ""),
    ]
    assert catalogs() == before


@pytest.mark.parametrize("left", ["begin; create table u as select 1", "begin; select error('no')", "use memory.main"])
def test_a_failure_leaves_the_shared_connection_as_it_was(workspace: Workspace, left: str) -> None:
    workspace.assets(
        ORDERS
        + f"""
@asset
def broken() -> int:
    duckdb.execute("create schema mine; use mine; create table t as select 1")
    duckdb.execute({left!r})
    raise ValueError("mine")
"""
    )
    before, path = catalogs(), search_path()

    result = workspace.materialize("broken")

    error = result["broken"].error
    assert error is not None
    assert error.message in ("mine", "Invalid Input Error: no")
    assert catalogs() == before
    assert search_path() == path
    with pytest.raises(duckdb.TransactionException, match="no transaction"):
        duckdb.rollback()


def test_functions_on_the_shared_connection_do_not_meet_in_threads(workspace: Workspace) -> None:
    assets = "".join(
        f"""
@asset
def eager_{number}() -> pd.DataFrame:
    return duckdb.sql("select {number} as a, range from range(100000)").df()

@asset
def lazy_{number}() -> duckdb.DuckDBPyRelation:
    return sql("select {number} as a, range from range(100000)")

@asset
def read_{number}() -> pa.RecordBatchReader:
    import duckdb as quack
    return quack.sql("select {number} as a, range from range(100000)").to_arrow_reader(1000)

@asset
def table_{number}() -> duckdb.DuckDBPyRelation:
    helper("create table t as select {number} as a, range from range(100000)")
    return duckdb.table("t")

def load_{number}():
    return duckdb.sql("select {number} as a, range from range(100000)").df()

given_{number} = source("given_{number}", version=lambda: "1", load=load_{number})

@asset
def taken_{number}(given_{number}: pd.DataFrame) -> int:
    return len(given_{number})

@check(eager_{number})
def whole_{number}(eager_{number}: pd.DataFrame) -> bool:
    return duckdb.sql("select count(*) from eager_{number}").fetchall() == [(100000,)]
"""
        for number in range(4)
    )
    workspace.assets(ORDERS + "from duckdb import sql\n\ndef helper(text): duckdb.execute(text)\n" + assets)

    result = workspace.materialize(executor="threads", workers=8)

    assert {one.asset: one.error.message if one.error else one.state for one in result} == {
        one.asset: "materialized" for one in result
    }
    assert len([one for one in result if one.state == "materialized"]) == 21


def test_a_busy_connection_is_told_with_the_way_out(workspace: Workspace) -> None:
    workspace.assets(
        ORDERS
        + """
@asset
def busy() -> int:
    reader = duckdb.sql("select * from range(1000000)").to_arrow_reader(10)
    return duckdb.sql("select 1").fetchall()[0][0] + len(reader.schema)
"""
    )

    error = workspace.materialize("busy")["busy"].error

    assert error is not None
    assert "parameter `con: duckdb.DuckDBPyConnection`, or `duckdb.connect()`" in str(error.to_exception())
    assert duckdb.execute("select 1").fetchall() == [(1,)], "others go on"


def test_a_run_inside_of_an_asset_that_has_its_turn_goes_on(workspace: Workspace) -> None:
    workspace.assets(
        ORDERS
        + """
@asset
def inner() -> pd.DataFrame:
    return duckdb.sql("select 1 as a").df()

@asset
def outer() -> int:
    duckdb.sql("create table t as select 1 as a")
    result = Project.load(Path(__file__).parent, env="other").materialize("inner")
    return duckdb.sql("from t").fetchall()[0][0] + result["inner"].rows
"""
    )

    workspace.materialize("outer", executor="threads").raise_for_status()

    assert workspace.project().read("outer") == 2


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_a_run_that_a_thread_of_such_an_asset_starts_goes_on(workspace: Workspace, executor: str) -> None:
    workspace.assets(
        ORDERS
        + f"""
from concurrent.futures import ThreadPoolExecutor

@asset
def inner() -> pd.DataFrame:
    return duckdb.sql("select 1 as a").df()

@asset
def outer(con: duckdb.DuckDBPyConnection) -> int:
    def run():
        return Project.load(Path(__file__).parent, env="other").materialize("inner", executor={executor!r})

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(run).result()["inner"].rows
"""
    )

    workspace.materialize("outer", executor="threads").raise_for_status()

    assert workspace.project().read("outer") == 1


def test_hooks_on_the_shared_connection_do_not_meet_assets(workspace: Workspace) -> None:
    assets = "".join(
        f"""
@asset
def made_{number}() -> pd.DataFrame:
    return duckdb.sql("select sum(range) as a, {number} as n from range(300000)").df()
"""
        for number in range(8)
    )
    workspace.assets(
        ORDERS
        + assets
        + """
from assetflow import Event, on

@on("asset.materialized")
def count(event: Event) -> None:
    duckdb.sql("select sum(range) from range(300000)").fetchall()
    with open(Path(__file__).with_name("told.txt"), "a") as told:
        told.write(event.asset + "\\n")
"""
    )

    workspace.materialize(executor="threads", workers=4).raise_for_status()

    assert len((workspace.root / "told.txt").read_text().splitlines()) == 9


def by_module() -> object:
    return duckdb.sql("select 1")


def by_name() -> object:
    import duckdb as quack

    return quack.read_csv("x.csv")


def by_hand() -> object:
    import duckdb as quack

    return by_module if quack is None else getattr(quack, "sq" + "l")


def by_helper() -> object:
    return by_module()


def connected() -> object:
    with duckdb.connect() as connection:
        return connection.sql("select 1").fetchall()


def connected_inside() -> object:
    import duckdb as quack

    with quack.connect("x.duckdb") as connection:
        return connection.sql("select 1").fetchall()


def given(con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
    assert isinstance(con, duckdb.DuckDBPyConnection)
    return con.sql("select 1").filter(duckdb.ColumnExpression("a"))


@pytest.mark.parametrize(
    ("function", "shares"),
    [
        (by_module, True), (by_name, True), (by_hand, True), (by_helper, True),
        (connected, False), (connected_inside, False), (given, False),
    ],
)  # fmt: skip
def test_code_that_uses_the_shared_connection_is_known(function: Callable[..., object], shares: bool) -> None:
    assert code_fingerprint(function, [__file__.rpartition("/")[0]]).shares_duckdb is shares


def test_assets_in_memory_have_catalogs_of_their_own() -> None:
    import pandas as pd

    @asset
    def orders() -> pd.DataFrame:
        return pd.DataFrame({"id": [1, 2, 3]})

    @asset
    def a_one(orders: pd.DataFrame, con: duckdb.DuckDBPyConnection) -> pd.DataFrame:
        con.execute("create view orders as select 1 as id")
        return con.sql("from orders").df()

    @asset
    def b_kept(orders: pd.DataFrame, con: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        con.execute("create table t as from orders")
        return con.table("t")

    @asset
    def c_count(b_kept: duckdb.DuckDBPyRelation, con: duckdb.DuckDBPyConnection) -> int:
        con.execute("create table t as from b_kept")
        return con.sql("select count(*) from t").fetchall()[0][0]

    @check(c_count)
    def right(c_count: int, con: duckdb.DuckDBPyConnection) -> bool:
        con.execute("create table t as select 1")
        return c_count == 3

    before = catalogs()

    result = materialize([orders, a_one, b_kept, c_count, right])

    assert result["c_count"].value == 3
    assert result.ok
    assert result["b_kept"].value.order("id").fetchall() == [(1,), (2,), (3,)]  # type: ignore[attr-defined]
    assert len(catalogs() - before) == 1, "only what the caller can still read is left"
