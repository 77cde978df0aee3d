from __future__ import annotations

import datetime as dt
import threading
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assetflow.errors import DamagedVersion, QueryError
from assetflow.io.sql import QueryResult, TableRef, cell_text, preview_rows, query


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, TableRef]:
    """Assets of all kinds: Parquet files (one with a folder that looks like a partition), and one made when asked."""

    def stored(name: str, *parts: Any) -> TableRef:
        paths: list[Path] = []
        for number, part in enumerate(parts):
            path = tmp_path / name / f"v={number}" / "it's.parquet"
            path.parent.mkdir(parents=True)
            pq.write_table(part, path)
            paths.append(path)
        return TableRef(parquet=tuple(paths))

    orders = pa.table({"id": [1, 2, 3], "currency": ["GBP", "EUR", "GBP"]})
    return {
        "orders": stored("orders", orders),
        "orders@3": stored("orders3", orders.slice(0, 1)),
        "marts.sales": stored("sales", orders.slice(0, 1), orders.slice(1)),
        "marts.sales@2": stored("sales2", orders.slice(0, 2)),
        "raw.events": TableRef(load=lambda: pa.table({"e": [10, 20]})),
        "raw.same": TableRef(load=lambda: pa.table({"x": [1]})),
        "marts.same": TableRef(load=lambda: pa.table({"x": [2]})),
    }


def rows(tables: dict[str, TableRef], text: str, limit: int | None = None) -> list[dict[str, Any]]:
    return query(tables, text, limit=limit).table.to_pylist()


def refused(tables: dict[str, TableRef], text: str, **options: Any) -> QueryError:
    with pytest.raises(QueryError) as caught:
        query(tables, text, **{"limit": 10, **options})
    return caught.value


class TestQuery:
    def test_the_result_says_columns_types_and_what_was_used(self, tables: dict[str, TableRef]) -> None:
        found = query(tables, "select currency, count(*) n from orders group by 1 order by n desc", limit=1000)

        assert isinstance(found, QueryResult)
        assert (found.columns, found.types, found.used) == (("currency", "n"), ("VARCHAR", "BIGINT"), ("orders",))
        assert found.table.to_pylist() == [{"currency": "GBP", "n": 2}, {"currency": "EUR", "n": 1}]
        assert found.truncated is False
        assert found.seconds > 0

    @pytest.mark.parametrize(
        ("text", "used", "count"),
        [
            ("from orders", ("orders",), 3),
            ("FROM Orders", ("orders",), 3),
            ('select * from "orders@3"', ("orders@3",), 1),
            ("from marts.sales", ("marts.sales",), 3),
            ("from sales", ("marts.sales",), 3),
            ('from "marts.sales"', ("marts.sales",), 3),
            ('from marts."sales@2"', ("marts.sales@2",), 2),
            ('from "marts.sales@2"', ("marts.sales@2",), 2),
            ("from memory.marts.sales", ("marts.sales",), 3),
            ("from main.orders", ("orders",), 3),
            ("from raw.events", ("raw.events",), 2),
            ("from raw . events", ("raw.events",), 2),
            ("select * from orders, events", ("orders", "raw.events"), 6),
            ("with orders as (select * from orders where id > 1) from orders", ("orders",), 2),
            ("with events as (select 1) from events", (), 1),
            ("with x as (from orders), y as (from x) from y", ("orders",), 3),
            ("select 1 where exists (from orders where id in (select e from events))", ("orders", "raw.events"), 0),
            ("select id as events from orders -- from raw.events", ("orders",), 3),
            ("select 'from raw.events' from /* raw.events */ orders", ("orders",), 3),
            ("values (1), (2)", (), 2),
            ("describe orders", ("orders",), 2),
            ("show orders", ("orders",), 2),
            ("summarize marts.sales", ("marts.sales",), 2),
            ("explain select * from orders", ("orders",), 1),
            ("table orders;", ("orders",), 3),
            ("(from orders) union all (from sales)", ("orders", "marts.sales"), 6),
            ("unpivot orders on id into name a value b", ("orders",), 3),
        ],
    )
    def test_names_mean_assets(self, tables: dict[str, TableRef], text: str, used: tuple[str, ...], count: int) -> None:
        found = query(tables, text, limit=None)

        assert (found.used, found.table.num_rows) == (used, count)

    def test_pivot_is_reading(self, tables: dict[str, TableRef]) -> None:
        assert rows(tables, "pivot orders on currency using count(*) group by id order by id")[0] == {
            "id": 1, "EUR": 0, "GBP": 1,
        }  # fmt: skip

    def test_only_named_assets_are_loaded(self, tables: dict[str, TableRef]) -> None:
        def fail() -> object:
            raise AssertionError("was loaded")

        tables["raw.events"] = TableRef(load=fail)

        assert len(rows(tables, "select *, 'events' from orders")) == 3
        with pytest.raises(AssertionError, match="was loaded"):
            rows(tables, "from events")

    def test_the_limit_cuts_and_says_so(self, tables: dict[str, TableRef]) -> None:
        two, three = (query(tables, "from orders order by id desc", limit=limit) for limit in (2, 3))

        assert ([row["id"] for row in two.table.to_pylist()], two.truncated) == ([3, 2], True)
        assert (three.table.num_rows, three.truncated) == (3, False)

    def test_folders_that_look_like_partitions_add_no_column(self, tables: dict[str, TableRef]) -> None:
        assert query(tables, "from sales", limit=1).columns == ("id", "currency")

    def test_paths_that_look_like_patterns_are_read_as_they_stand(self, tmp_path: Path) -> None:
        path = tmp_path / "a[1]*.parquet"
        pq.write_table(pa.table({"a": [1]}), path)
        pq.write_table(pa.table({"a": [2]}), tmp_path / "a1.parquet")

        assert rows({"t": TableRef((path,))}, "from t") == [{"a": 1}]

    def test_show_tables_lists_all_assets(self, tables: dict[str, TableRef]) -> None:
        assert [row["name"] for row in rows(tables, "show tables;")] == [
            "marts.sales", "marts.same", "orders", "raw.events", "raw.same",
        ]  # fmt: skip

    def test_equal_column_names_are_told_apart(self, tables: dict[str, TableRef]) -> None:
        found = query(tables, "select 1 as a, 2 as a", limit=5)

        assert found.columns == ("a", "a_1") == tuple(found.table.column_names)

    def test_a_missing_file_is_a_damaged_version(self, tmp_path: Path) -> None:
        with pytest.raises(DamagedVersion, match=r"gone\.parquet is missing"):
            query({"t": TableRef((tmp_path / "gone.parquet",))}, "from t", limit=1)


class TestOnlyReading:
    @pytest.mark.parametrize(
        "text",
        [
            "create table x as select 1",
            "create view x as from orders",
            "insert into orders values (1)",
            "with a as (select 1) insert into orders select * from a",
            "update orders set id = 1",
            "delete from orders",
            "drop table orders",
            "alter table orders rename to x",
            "copy orders to 'x.csv'",
            "export database 'x'",
            "attach 'x.duckdb'",
            "detach memory",
            "set threads = 1",
            "reset threads",
            "use memory",
            "pragma version",
            "call pragma_version()",
            "install httpfs",
            "load json",
            "begin",
            "checkpoint",
            "vacuum",
            "prepare q as select 1",
            "explain copy orders to 'x.csv'",
            "explain create table x(i int)",
        ],
    )
    def test_anything_else_is_refused(self, tables: dict[str, TableRef], text: str) -> None:
        error = refused(tables, text)

        assert error.what.startswith("`sql` only reads")
        assert "SELECT" in (error.fix or "")

    @pytest.mark.parametrize("text", ["explain analyze from orders", "EXPLAIN (ANALYZE, FORMAT json) from orders"])
    def test_explain_does_not_run(self, tables: dict[str, TableRef], text: str) -> None:
        assert "without running" in refused(tables, text).what

    def test_one_statement_at_a_time(self, tables: dict[str, TableRef]) -> None:
        assert refused(tables, "select 1; select 2").what == "`sql` takes one statement, not 2"
        assert refused(tables, "  -- nothing\n").what == "there is no SQL to run"

    @pytest.mark.parametrize(
        "text",
        [
            "from read_csv('{path}')",
            "from read_text('{path}')",
            "from '{path}'",
            "from glob('{folder}/*')",
            "from read_parquet('{path}')",
            "from orders, read_text('{path}')",
        ],
    )
    def test_other_files_cannot_be_reached(self, tables: dict[str, TableRef], tmp_path: Path, text: str) -> None:
        path = tmp_path / "secret.csv"
        path.write_text("a\n1\n")

        refused(tables, text.format(path=path, folder=tmp_path))

    def test_python_variables_cannot_be_reached(self, tables: dict[str, TableRef]) -> None:
        secret = pa.table({"a": [1]})

        assert refused(tables, "from secret").what == "there is no asset `secret`"
        assert secret.num_rows == 1

    def test_nothing_is_left_in_the_working_folder(
        self, tables: dict[str, TableRef], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "work"
        folder.mkdir()
        monkeypatch.chdir(folder)

        rows(tables, "from orders order by id")

        assert list(folder.iterdir()) == []


class TestErrors:
    def test_an_unknown_asset_has_a_suggestion_and_a_caret(self, tables: dict[str, TableRef]) -> None:
        error = refused(tables, "select *\nfrom ordrs")

        assert error.what == "there is no asset `ordrs`"
        assert error.facts == ("from ordrs", "     ^^^^^")
        assert error.fix == "did you mean `orders`?"

    def test_an_unknown_schema_or_version_is_an_unknown_asset(self, tables: dict[str, TableRef]) -> None:
        assert refused(tables, "from mart.sales").fix == "did you mean `marts.sales`?"
        assert refused(tables, 'from "orders@9"').fix == "did you mean `orders@3`?"
        assert "assets: `marts.sales`" in refused(tables, "from zzz").facts[-1]

    def test_a_last_name_of_two_assets_is_not_guessed(self, tables: dict[str, TableRef]) -> None:
        error = refused(tables, "from same")

        assert error.what == "`same` could be `raw.same`, `marts.same`"
        assert error.fix == "write the whole name: raw.same"

    def test_an_unknown_column_points_at_it_and_names_others(self, tables: dict[str, TableRef]) -> None:
        error = refused(tables, "select id,\n  curency from orders")

        assert error.what == 'Referenced column "curency" not found in FROM clause!'
        assert error.facts == ('Candidate bindings: "currency"', "  curency from orders", "  ^^^^^^^")

    def test_a_syntax_error_points_at_it(self, tables: dict[str, TableRef]) -> None:
        error = refused(tables, "selec 1")

        assert error.what == 'syntax error at or near "selec"'
        assert error.facts == ("selec 1", "^^^^^")

    def test_an_error_while_running_points_at_it(self, tables: dict[str, TableRef]) -> None:
        error = refused(tables, "select id +\n currency::int from orders")

        assert error.what.startswith("Could not convert string 'GBP' to INT32")
        assert error.facts[0] == " currency::int from orders"
        assert "^" in error.facts[1]

    def test_a_version_without_quotes_gets_them_as_the_fix(self, tables: dict[str, TableRef]) -> None:
        assert refused(tables, "select * from orders@3").fix == 'put the version in quotes: "orders@3"'

    def test_a_long_query_is_stopped(self, tables: dict[str, TableRef]) -> None:
        error = refused(tables, "select count(*) from range(10000000000) a, range(1000) b", timeout_s=0.2)

        assert error.what == "the query took longer than 0.2 s and was stopped"

    def test_no_timer_is_left_behind(self, tables: dict[str, TableRef]) -> None:
        before = threading.active_count()

        rows(tables, "from orders")

        assert not [
            thread
            for thread in threading.enumerate()
            if isinstance(thread, threading.Timer) and not thread.finished.is_set()
        ]
        assert threading.active_count() <= before + 1


class TestScreens:
    def test_preview_takes_rows_from_either_end_or_by_chance(self) -> None:
        table = pa.table({"a": range(100)})

        def shown(found: Any) -> list[int]:
            return found.column("a").to_pylist()

        assert shown(preview_rows(table, 3)) == [0, 1, 2]
        assert shown(preview_rows(table, 3, tail=True)) == [97, 98, 99]
        assert shown(preview_rows(table, 300, tail=True)) == list(range(100))
        some = shown(preview_rows(table, 3, sample=5))
        assert len(some) == 5
        assert some == sorted(some) == shown(preview_rows(table, 3, sample=5))
        assert shown(preview_rows(table, 3, sample=500)) == list(range(100))

    @pytest.mark.parametrize(
        ("value", "text"),
        [
            (None, "null"),
            (True, "true"),
            (3, "3"),
            (1.0, "1.0"),
            (0.1 + 0.2, "0.3"),
            (1e300, "1e+300"),
            (float("nan"), "nan"),
            (Decimal("1.50"), "1.50"),
            (dt.date(2024, 1, 2), "2024-01-02"),
            (dt.datetime.fromisoformat("2024-01-02T03:04:05"), "2024-01-02 03:04:05"),
            (dt.datetime(2024, 1, 2, tzinfo=dt.UTC), "2024-01-02 00:00:00Z"),
            ("two\nlines\t\x1b[31m", "two\\nlines\\t\\x1b[31m"),
            ("grüße", "grüße"),
            (b"\x00\xff", "0x00ff"),
            ([1, None, "a"], '[1, null, "a"]'),
            ({"a": 1, "b": {"c": "d"}}, '{a: 1, b: {c: "d"}}'),
            ([], "[]"),
        ],
    )
    def test_values_are_readable_on_one_line(self, value: object, text: str) -> None:
        assert cell_text(value, 40) == text

    @pytest.mark.parametrize(
        "value", ["x" * 100, [1] * 100, {str(n): n for n in range(100)}, b"\x01" * 100, "\n" * 100]
    )
    @pytest.mark.parametrize("width", [1, 5, 20])
    def test_long_values_are_cut_to_the_width(self, value: object, width: int) -> None:
        text = cell_text(value, width)

        assert len(text) == width
        assert text.endswith("…")

    def test_a_text_that_just_fits_is_whole(self) -> None:
        assert cell_text("12345", 5) == "12345"
