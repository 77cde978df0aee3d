from __future__ import annotations

from textwrap import dedent

import pytest

from assetflow import Project
from assetflow.checking.findings import Finding, StaticReport

# What is found by reading the code of a project: the place, the asset, and the way to it.

PRELUDE = """
import datetime
import os
import random
import time
from datetime import datetime as dt
from pathlib import Path
from typing import Annotated, Optional

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from assetflow import *

Rows = list[dict[str, object]]
"""


def found(workspace, text: str, expression: str | None = None, **files: str) -> list[Finding]:
    return [one for one in report(workspace, text, expression, **files) if one.severity != "note"]


def report(workspace, text: str, expression: str | None = None, **files: str) -> StaticReport:
    for name, content in files.items():
        workspace.file(f"{name}.py", dedent(content))
    workspace.assets(text, prelude=PRELUDE)
    return workspace.project().check(expression)


IMPURE = [
    ("clock", "datetime.datetime.now()"),
    ("clock", "dt.utcnow()"),
    ("clock", "datetime.date.today()"),
    ("clock", "time.time()"),
    ("clock", "time.strftime('%Y', time.localtime())"),
    ("clock", "pd.Timestamp.now('UTC')"),
    ("clock", "pd.Timestamp('now')"),
    ("random", "random.random()"),
    ("random", "np.random.rand(3)"),
    ("random", "np.random.default_rng()"),
    ("random", "pd.DataFrame({'a': [1]}).sample(n=1)"),
    ("random", "__import__('uuid') and os.urandom(4)"),
    ("environment", "os.environ['REGION']"),
    ("environment", "os.environ.get('REGION')"),
    ("environment", "os.getenv('REGION')"),
    ("environment", "Path.cwd()"),
    ("network", "pd.read_csv('https://rates.example/today.csv')"),
    ("file", "open('rates.csv').read()"),
    ("file", "Path('rates.csv').read_text()"),
    ("file", "pd.read_csv('rates.csv')"),
    ("file", "pd.read_parquet(Path('rates.parquet'))"),
]


@pytest.mark.parametrize(("kind", "expression"), IMPURE, ids=[one for _, one in IMPURE])
def test_read_of_the_world_outside_is_found(workspace, kind: str, expression: str) -> None:
    [finding] = found(
        workspace,
        f"""
        @asset
        def rates() -> Rows:
            return [{{"value": {expression}}}]
        """,
    )

    assert (finding.severity, finding.kind, finding.assets) == ("warning", kind, ("rates",))
    assert (
        workspace.root.joinpath("assets.py").read_text().splitlines()[finding.where.line - 1].startswith("    return")
    )


PURE = [
    "datetime.datetime(2026, 1, 1)",
    "time.perf_counter()",
    "time.localtime(3)",
    "pd.Timestamp('2026-01-01')",
    "random.Random(7).random()",
    "np.random.default_rng(7).random()",
    "pd.DataFrame({'a': [1]}).sample(n=1, random_state=7)",
    "os.path.join('a', 'b')",
    "open('out.txt', 'w').write('x')",
    "pd.read_csv",
    "Path(str(1)).name",
]


@pytest.mark.parametrize("expression", PURE)
def test_what_always_gives_the_same_is_not_found(workspace, expression: str) -> None:
    assert (
        found(
            workspace,
            f"""
            @asset
            def rates() -> Rows:
                return [{{"value": str({expression})}}]
            """,
        )
        == []
    )


def test_local_name_hides_the_module(workspace) -> None:
    text = """
    @asset
    def raw() -> Rows:
        return []

    @asset
    def rates(raw: Rows) -> Rows:
        time, random = raw, raw
        return [{"value": time.time(), "chance": random.random()}]
    """

    assert found(workspace, text) == []


def test_seed_in_the_function_makes_chance_certain(workspace) -> None:
    text = """
    @asset
    def rates() -> Rows:
        random.seed(7)
        return [{"value": random.random()}]
    """

    assert found(workspace, text) == []


def test_helper_in_another_module_is_reached_and_the_way_is_said(workspace) -> None:
    [finding] = found(
        workspace,
        """
        from steps import age

        @asset
        def people() -> Rows:
            return [{"age": age(1980)}]

        @asset
        def old(people: Rows) -> Rows:
            return people
        """,
        steps="""
        import clock

        def age(year):
            return clock.today().year - year
        """,
        clock="""
        from datetime import date

        def today():
            return date.today()
        """,
    )

    assert (finding.kind, finding.assets) == ("clock", ("people",))
    assert str(finding.where) == "clock.py:5"
    assert finding.via == {"people": ("people", "steps.age", "clock.today")}


def test_value_at_the_top_of_a_module_is_looked_at(workspace) -> None:
    every = found(
        workspace,
        """
        TODAY = datetime.date.today()

        @asset
        def rates() -> Rows:
            return [{"day": TODAY}]
        """,
    )

    finding = next(one for one in every if one.kind == "clock")
    assert finding.via == {"rates": ("rates", "assets.TODAY")}


def test_place_that_two_assets_reach_is_told_once(workspace) -> None:
    [finding] = found(
        workspace,
        """
        def now():
            return time.time()

        @asset
        def one() -> Rows:
            return [{"at": now()}]

        @asset
        def two() -> Rows:
            return [{"at": now()}]
        """,
    )

    assert set(finding.assets) == {"one", "two"}


def test_what_no_asset_reaches_is_not_looked_at(workspace) -> None:
    text = """
    def unused():
        return time.time()

    @asset
    def one() -> Rows:
        return []
    """

    assert found(workspace, text) == []


def test_selection_limits_what_is_looked_at(workspace) -> None:
    text = """
    @asset
    def one() -> Rows:
        return [{"at": time.time()}]

    @asset
    def two() -> Rows:
        return []
    """

    assert found(workspace, text, "two") == []
    assert len(found(workspace, text, "one")) == 1


def test_resources_and_sources_may_talk_to_the_world(workspace) -> None:
    text = """
    class Api(Resource):
        url: str = "https://rates.example"

        def get(self):
            return os.environ["TOKEN"], time.time()

    def newest():
        return time.time()

    feed = source("feed", version=newest)

    @asset(deps=[feed])
    def rates(api: Api) -> Rows:
        return [{"value": api.get()}]
    """

    assert found(workspace, text) == []


def test_file_that_is_a_source_is_said_to_be_one(workspace) -> None:
    workspace.file("data/rates.csv", "a\n1\n")
    [finding] = found(
        workspace,
        """
        rates = source("raw.rates", path="data/rates.csv")

        @asset
        def converted() -> pd.DataFrame:
            return pd.read_csv("data/rates.csv")
        """,
    )

    assert finding.help == "it is the source `raw.rates`: take `rates` as a parameter"


@pytest.mark.parametrize(
    "comment", ["# assetflow: ignore[clock]", "# assetflow: ignore[file, clock]", "# assetflow: ignore"]
)
def test_comment_on_the_line_silences(workspace, comment: str) -> None:
    text = f"""
    @asset
    def rates() -> Rows:
        print(time.time())  {comment}
        return []
    """

    assert found(workspace, text) == []


def test_comment_for_another_kind_does_not_silence(workspace) -> None:
    text = """
    @asset
    def rates() -> Rows:
        print(time.time())  # assetflow: ignore[random]
        return []
    """

    assert [one.kind for one in found(workspace, text)] == ["clock"]


def test_comment_that_ignores_nothing_is_a_warning_of_its_own(workspace) -> None:
    text = """
    @asset
    def rates() -> Rows:
        print(time.time())  # assetflow: ignore[clok]
        return []
    """

    assert sorted((one.kind, one.help) for one in found(workspace, text) if one.kind == "ignore") == [
        ("ignore", "did you mean `clock`?")
    ]


UNFIT = [
    ("dict[str, int]", "pd.DataFrame"),
    ("bytes", "pd.DataFrame"),
    ("pd.DataFrame", "bytes"),
    ("pa.Table", "int"),
    ("Rows", "dict[str, object]"),
    ("int", "Annotated[pa.Table, In(columns=['a'])]"),
    ("'pd.DataFrame'", "Optional[bytes]"),
]


@pytest.mark.parametrize(("gives", "takes"), UNFIT)
def test_types_that_cannot_fit_are_an_error(workspace, gives: str, takes: str) -> None:
    [finding] = found(
        workspace,
        f"""
        @asset
        def orders() -> {gives}:
            ...

        @asset
        def report(orders: {takes}) -> Rows:
            return []
        """,
    )

    assert (finding.severity, finding.kind, finding.assets) == ("error", "types", ("report",))


@pytest.mark.parametrize(
    ("gives", "takes"),
    [
        ("pd.DataFrame", "pa.Table"), ("Rows", "pd.DataFrame"), ("bytes", "Path"), ("int", "float"), ("list", "Rows"),
        ("pd.DataFrame | None", "pd.DataFrame"), ("dict[str, int]", "dict"), ("object", "bytes"),
    ],
)  # fmt: skip
def test_types_that_fit_or_are_not_known_are_none(workspace, gives: str, takes: str) -> None:
    text = f"""
    @asset
    def orders() -> {gives}:
        ...

    @asset
    def report(orders: {takes}) -> Rows:
        return []
    """

    assert found(workspace, text) == []


def test_sql_that_cannot_be_read_is_an_error(workspace) -> None:
    [finding] = found(
        workspace,
        """
        @asset
        def orders() -> pa.Table:
            return duckdb.sql("selec 1").arrow()

        @asset
        def rates(connection: duckdb.DuckDBPyConnection) -> pa.Table:
            return connection.sql("select 1 as a").arrow()
        """,
    )

    assert (finding.severity, finding.kind, finding.assets) == ("error", "sql", ("orders",))
    assert "selec" in finding.what


def test_report_counts_what_it_looked_at(workspace) -> None:
    found_ = report(
        workspace,
        """
        raw = source("raw", path="raw.csv")

        @asset(checks=[not_null("a")], freshness=Freshness(by="0 8 * * *"))
        def orders(raw: Rows) -> Rows:
            return raw
        """,
    )

    assert (found_.assets, found_.sources, found_.checks, found_.schedules, found_.ok) == (1, 1, 1, 1, True)


def test_user_code_is_not_imported_when_nothing_changed(workspace) -> None:
    report(
        workspace,
        """
        @asset
        def orders() -> Rows:
            return []
        """,
    )
    import sys

    sys.modules.pop("assets", None)

    Project.load(workspace.root).check()

    assert "assets" not in sys.modules


def test_declared_variable_and_file_are_no_finding_of_the_asset_that_declares_them(workspace) -> None:
    workspace.file("rates.json", "{}")
    text = """
    def region():
        return os.environ["REGION"], os.getenv("REGION"), Path("rates.json").read_text()

    @asset(env=["REGION"], files=["rates.json"])
    def one() -> Rows:
        return [{"at": region()}]

    @asset
    def two() -> Rows:
        return [{"at": region()}]
    """

    assert {(one.kind, one.assets, one.detail) for one in found(workspace, text)} == {
        ("environment", ("two",), "REGION"),
        ("file", ("two",), "rates.json"),
    }


def test_asset_made_by_a_function_knows_the_names_of_that_function(workspace) -> None:
    [finding] = found(
        workspace,
        """
        def made(key, time):
            from datetime import datetime as moment

            @asset(key=key)
            def inner() -> Rows:
                return [{"n": time.time(), "at": moment.now()}]

            return inner

        class Fixed:
            def time(self):
                return 1

        one = made("one", Fixed())
        """,
    )

    assert (finding.kind, finding.assets, finding.what) == (
        "clock", ("one",), "`made.inner` reads the clock: moment.now()",
    )  # fmt: skip


def test_sql_on_a_connection_that_cannot_be_read_is_found_and_ignored_by_a_comment(workspace) -> None:
    text = """
    @asset
    def rates(connection: duckdb.DuckDBPyConnection) -> pa.Table:
        return connection.sql("select from from").arrow()  {comment}
    """

    assert [one.kind for one in found(workspace, text.format(comment=""))] == ["sql"]
    assert found(workspace, text.format(comment="# assetflow: ignore[sql]")) == []


EVENTS = """
raw = source("raw.events", path="events.csv")

@asset(partitions=Daily("2026-11-20", end="2026-11-21"))
def events({parameter}) -> Rows:
    return []
"""


def test_a_parameter_that_is_the_partition_before_though_a_source_has_its_name_is_asked_about(workspace) -> None:
    [finding] = found(workspace, EVENTS.format(parameter="events: Rows"))

    assert (finding.severity, finding.code, finding.kind, finding.assets) == (
        "warning", "AF141", "types", ("events",),
    )  # fmt: skip
    assert finding.what == "`events` of `events` is its own previous partition, and not `raw.events`"
    assert 'write `events: Annotated[Rows, In("raw.events")]`, or `Rows | None`' in finding.help
    line = (workspace.root / "assets.py").read_text().splitlines()[finding.where.line - 1]
    assert line[finding.where.column - 1 :].startswith("events: Rows)")


@pytest.mark.parametrize(
    "parameter",
    [
        "events: Rows | None", "events: Optional[Rows]", "events: Rows = []",
        'events: Annotated[Rows, In("raw.events")]', "events: Annotated[Rows, In(partitions=Previous())]",
        "events: Rows  # assetflow: ignore[types]\n",
    ],
)  # fmt: skip
def test_a_partition_before_that_is_meant_is_not_asked_about(workspace, parameter: str) -> None:
    assert found(workspace, EVENTS.format(parameter=parameter)) == []


def test_the_partition_before_is_not_asked_about_where_nothing_else_has_its_name(workspace) -> None:
    text = EVENTS.replace("raw.events", "raw.clicks")
    assert found(workspace, text.format(parameter="events: Rows")) == []
