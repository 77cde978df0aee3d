"""Data from elsewhere: how often it is asked, what a change of it reaches, and how old it says it is."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from assetflow.errors import SourceMissing

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

FEED = """
HERE = Path(__file__).parent

def token():
    ran("version")
    return (HERE / "token.txt").read_text()

def fetch():
    ran("load")
    return [{"n": 1}, {"n": 2}]

feed = source("feed", version=token, load=fetch, OPTIONS)

@asset
def rows(feed: Rows) -> Rows:
    ran("rows")
    return feed

@asset
def count(feed: pa.Table) -> int:
    ran("count")
    return feed.num_rows
"""


@pytest.fixture
def feed(workspace: Workspace) -> Workspace:
    workspace.assets(FEED.replace("OPTIONS", ""))
    workspace.file("token.txt", "1")
    return workspace


def test_a_new_token_is_a_new_version_and_runs_what_reads_the_source(feed: Workspace) -> None:
    feed.materialize()
    feed.ran()
    feed.file("token.txt", "2")

    result = feed.materialize(executor="inline")

    assert sorted(call for call in feed.ran() if call != "version") == ["count", "load", "load", "rows"]
    assert {one.asset: one.state for one in result} == {"rows": "unchanged", "count": "unchanged"}
    assert [(entry.head.version.number, entry.reason) for entry in feed.project().history("feed")] == [
        (2, "observed"), (1, "observed"),
    ]  # fmt: skip
    assert result["rows"].inputs[0].version_number == 2


def test_the_same_token_runs_nothing_and_loads_nothing(feed: Workspace) -> None:
    feed.materialize()
    feed.ran()

    assert feed.materialize().run_id is None
    assert feed.ran() == ["version"]


def test_a_run_asks_for_the_token_once(feed: Workspace) -> None:
    feed.materialize()

    assert feed.ran().count("version") == 1


def test_a_run_asks_for_the_time_once(workspace: Workspace) -> None:
    workspace.assets(AGED.replace("KIND", KINDS["token"] + "\nother = source('other', path='other.csv', as_of=when)"))
    workspace.file("other.csv", "n\n1\n")

    workspace.materialize().raise_for_status()

    assert sorted(workspace.ran()) == ["as_of", "as_of", "version"]


def test_a_plan_asks_for_the_token_and_status_does_not(feed: Workspace) -> None:
    feed.materialize()
    feed.ran()
    project = feed.project()

    project.status()
    assert feed.ran() == []
    project.plan()
    assert feed.ran() == ["version"]


def test_within_its_ttl_a_source_is_not_asked_again(workspace: Workspace) -> None:
    workspace.assets(FEED.replace("OPTIONS", 'ttl="1h"'))
    workspace.file("token.txt", "1")
    workspace.materialize()
    workspace.ran()
    workspace.file("token.txt", "2")

    assert workspace.materialize().run_id is None
    assert workspace.ran() == []


def test_after_its_ttl_a_source_is_asked_and_an_equal_token_holds_again(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.assets(FEED.replace("OPTIONS", 'ttl="1h"'))
    workspace.file("token.txt", "1")
    workspace.materialize()
    workspace.ran()
    later = time.time() + 3601
    monkeypatch.setattr(time, "time", lambda: later)

    assert workspace.materialize().run_id is None
    assert workspace.ran() == ["version"]
    assert workspace.materialize().run_id is None
    assert workspace.ran() == []


def test_another_ttl_makes_nothing_stale(workspace: Workspace) -> None:
    workspace.assets(FEED.replace("OPTIONS", 'ttl="1h"'))
    workspace.file("token.txt", "1")
    workspace.materialize()
    workspace.edit('ttl="1h"', 'ttl="2h"')

    assert workspace.materialize().run_id is None


def test_another_load_function_makes_the_readers_stale(feed: Workspace) -> None:
    feed.materialize()
    feed.ran()
    feed.edit('[{"n": 1}, {"n": 2}]', '[{"n": 1}, {"n": 3}]')

    result = feed.materialize()

    assert result.counts == {"materialized": 1, "unchanged": 1}
    assert feed.project().read("rows") == [{"n": 1}, {"n": 3}]


def test_a_version_function_that_raises_blocks_what_reads_the_source_and_nothing_else(feed: Workspace) -> None:
    feed.edit("@asset\ndef rows", "@asset\ndef apart() -> int:\n    return 1\n\n\n@asset\ndef rows")
    (feed.root / "token.txt").unlink()

    result = feed.materialize()

    assert {one.asset: one.state for one in result} == {
        "feed": "failed", "rows": "blocked", "count": "blocked", "apart": "materialized",
    }  # fmt: skip
    assert result["rows"].blocked_by == ("feed",)
    assert result["feed"].error is not None
    assert result["feed"].error.code == SourceMissing.code
    assert "the version function of source feed raised FileNotFoundError" in result["feed"].error.message
    assert feed.states() | {"feed": "?"} == {"feed": "?", "apart": "current", "rows": "blocked", "count": "blocked"}


def test_a_load_function_that_raises_fails_the_asset_that_reads(feed: Workspace) -> None:
    feed.edit('    return [{"n": 1}, {"n": 2}]', '    raise ConnectionError("refused")')

    result = feed.materialize("rows")

    assert result["rows"].error is not None
    assert (result["rows"].error.type, result["rows"].error.function) == ("ConnectionError", "fetch")


def test_a_project_reads_a_loaded_source(feed: Workspace) -> None:
    project = feed.project()

    assert project.read("feed", as_=list[dict]) == [{"n": 1}, {"n": 2}]
    assert project.read("feed", as_="records", columns=["n"]) == [{"n": 1}, {"n": 2}]
    assert project.sql("select sum(n) as s from feed").table.to_pylist() == [{"s": 3}]


AGED = """
def when():
    ran("as_of")
    return datetime(2024, 5, 1, tzinfo=UTC)

def token():
    ran("version")
    return "1"

KIND

@asset(freshness=Freshness(within="24h"))
def rows(feed: Rows) -> Rows:
    return feed
"""
KINDS = {
    "token": 'feed = source("feed", version=token, load=lambda: [{"n": 1}], as_of=when)',
    "file": 'feed = source("feed", path="feed.csv", as_of=when)',
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_that_says_its_time_makes_what_reads_it_overdue_because_of_it(workspace: Workspace, kind: str) -> None:
    workspace.assets(AGED.replace("KIND", KINDS[kind]))
    workspace.file("feed.csv", "n\n1\n")

    workspace.materialize().raise_for_status()

    status = workspace.project().status()
    freshness = status["rows"].freshness
    assert (str(freshness.timeliness), freshness.because) == ("overdue", "feed")
    assert freshness.as_of == datetime(2024, 5, 1, tzinfo=UTC).timestamp()
    assert status.overdue == ("rows",)
    assert status["rows"].state == "current"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("raise ValueError('no clock')", "the as_of function of source feed raised ValueError: no clock"),
        ("return 'yesterday'", "the as_of function of source feed returned a str, not an aware datetime"),
        ("return datetime(2024, 5, 1)", "the as_of function of source feed returned a datetime without a time zone"),
    ],
)
def test_a_broken_time_function_blocks_what_reads_the_source(
    workspace: Workspace, kind: str, body: str, text: str
) -> None:
    workspace.assets(AGED.replace("KIND", KINDS[kind]))
    workspace.edit("return datetime(2024, 5, 1, tzinfo=UTC)", body)
    workspace.file("feed.csv", "n\n1\n")

    assert workspace.project().plan()["rows"].reasons[0].text == text
    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {"feed": "failed", "rows": "blocked"}


def test_without_a_function_a_file_is_as_old_as_its_last_change(workspace: Workspace) -> None:
    workspace.assets(
        'feed = source("feed", path="feed.csv")\n\n@asset\ndef rows(feed: Rows) -> Rows:\n    return feed\n'
    )
    path = workspace.file("feed.csv", "n\n1\n")
    os.utime(path, (1_600_000_000, 1_600_000_000))

    workspace.materialize()

    assert workspace.project().status()["rows"].freshness.as_of == 1_600_000_000


def test_a_glob_is_one_table_and_a_new_file_a_new_version(workspace: Workspace) -> None:
    workspace.assets("""
        orders = source("orders", path="data/orders-*.csv")

        @asset
        def total(orders: pa.Table) -> int:
            ran("total")
            return sum(orders["n"].to_pylist())
        """)
    workspace.file("data/orders-1.csv", "n\n1\n")
    workspace.file("data/orders-2.csv", "n\n2\n")
    workspace.materialize()
    assert workspace.project().read("total") == 3

    workspace.file("data/orders-3.csv", "n\n3\n")
    workspace.materialize()
    assert workspace.project().read("total") == 6

    (workspace.root / "data" / "orders-1.csv").unlink()
    workspace.materialize()
    assert workspace.project().read("total") == 5
    assert workspace.ran() == ["total"] * 3


def test_a_glob_that_matches_nothing_blocks_what_reads_it(workspace: Workspace) -> None:
    workspace.assets("""
        orders = source("orders", path="data/orders-*.csv")

        @asset
        def total(orders: pa.Table) -> int:
            return 1
        """)

    result = workspace.materialize()

    assert {one.asset: one.state for one in result} == {"orders": "failed", "total": "blocked"}
    assert not result.ok
    with pytest.raises(SourceMissing, match="no file matches"):
        result.raise_for_status()


def test_other_options_make_the_readers_stale(workspace: Workspace) -> None:
    workspace.assets("""
        orders = source("orders", path="orders.csv")

        @asset
        def rows(orders: Rows) -> Rows:
            ran("rows")
            return orders
        """)
    workspace.file("orders.csv", "n;m\n1;2\n")
    workspace.materialize()
    workspace.edit('path="orders.csv"', 'path="orders.csv", delimiter=";"')

    plan = workspace.project().plan()

    assert [reason.code for reason in plan["rows"].reasons] == ["input_changed"]
    workspace.materialize()
    assert workspace.project().read("rows") == [{"n": 1, "m": 2}]
    assert workspace.ran() == ["rows", "rows"]


def test_a_file_that_changes_while_the_run_reads_it_is_not_recorded(workspace: Workspace) -> None:
    workspace.assets("""
        orders = source("orders", path="orders.csv")

        @asset
        def first() -> int:
            (Path(__file__).parent / "orders.csv").write_text("n\\n9\\n")
            return 1

        @asset(deps=[first])
        def rows(orders: Rows) -> Rows:
            ran("rows")
            return orders
        """)
    workspace.file("orders.csv", "n\n1\n")

    result = workspace.materialize()

    assert result["rows"].error is not None
    assert (result["rows"].error.code, workspace.ran()) == ("AF203", [])
    assert workspace.materialize().ok
    assert workspace.project().read("rows") == [{"n": 9}]


def test_a_missing_file_names_the_near_one(workspace: Workspace) -> None:
    workspace.assets(
        'orders = source("orders", path="data/orders.csv")\n\n@asset\ndef rows(orders: Rows) -> Rows: ...\n'
    )
    workspace.file("data/order.csv", "n\n1\n")

    error = workspace.materialize()["orders"].error

    assert error is not None
    assert "order.csv" in (error.fix or "")


def test_a_source_alone_can_be_observed(workspace: Workspace) -> None:
    workspace.assets('orders = source("orders", path="orders.csv")\n\n@asset\ndef rows(orders: Rows) -> Rows: ...\n')
    workspace.file("orders.csv", "n\n1\n")

    result = workspace.materialize("orders")

    assert (result.ok, result.counts) == (True, {})
    assert [entry.head.version.number for entry in workspace.project().history("orders")] == [1]
    assert workspace.materialize("orders").run_id is None


def test_file_sources_take_a_path_or_bytes(workspace: Workspace) -> None:
    workspace.assets("""
        model = source("model", path="model.bin")

        @asset
        def size(model: bytes) -> int:
            return len(model)

        @asset
        def name(model: Path) -> str:
            return model.name
        """)
    workspace.file("model.bin", "12345")

    workspace.materialize().raise_for_status()

    project = workspace.project()
    assert (project.read("size"), project.read("name")) == (5, "model.bin")
    assert project.read("model") == Path(workspace.root / "model.bin")
