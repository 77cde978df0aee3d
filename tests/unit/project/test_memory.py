"""Assets in memory, as unit tests and notebooks run them: no project, no files."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Annotated, cast

import duckdb
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from assetflow import (
    CheckResult,
    Config,
    Context,
    In,
    Out,
    Resource,
    Result,
    Retry,
    Secret,
    Skip,
    asset,
    assets,
    check,
    foreign_key,
    materialize,
    not_null,
    row_count,
    source,
)
from assetflow.errors import CheckFailed, ContractBroken, ProjectLoadError, UnknownParameter, UsageError, WrongReturn

Rows = list[dict[str, object]]
RAW = pd.DataFrame({"id": [1, 2, 3], "net": [10, 20, 30]})


@asset
def clean(raw: pd.DataFrame) -> pd.DataFrame:
    return raw.loc[raw["net"] > 10]


@asset
def total(clean: pa.Table) -> int:
    return sum(clean["net"].to_pylist())


def test_assets_run_in_the_order_of_their_lineage_and_their_values_are_at_hand() -> None:
    result = materialize([total, clean], inputs={"raw": RAW})

    assert result["total"].value == 50
    assert isinstance(result["clean"].value, pd.DataFrame)
    assert list(result.assets) == ["clean", "total"]
    assert result.ok


def test_nothing_is_written_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    materialize([clean, total], inputs={"raw": RAW})

    assert list(tmp_path.iterdir()) == []


def test_a_function_stays_the_plain_function_that_it_is() -> None:
    assert total(pa.table({"net": [1, 2]})) == 3


def test_inputs_are_given_by_key_or_last_name() -> None:
    @asset(key="marts.orders")
    def orders() -> int:
        return 1

    @asset
    def report(orders: int) -> int:
        return orders + 1

    assert materialize([report], inputs={"orders": 5})["report"].value == 6
    assert materialize([report], inputs={"marts.orders": 5})["report"].value == 6
    assert materialize([orders, report])["report"].value == 2


def test_an_input_that_is_not_given_is_an_error_that_says_how() -> None:
    feed = source("feed", path="feed.csv")

    @asset
    def reads(feed: Rows) -> int:
        return len(feed)

    with pytest.raises(ProjectLoadError, match="raw"):
        materialize([clean])
    with pytest.raises(UsageError, match=r"`feed` is needed(.|\n)*inputs=\{\"feed\": value\}"):
        materialize([feed, reads])
    assert materialize([feed, reads], inputs={"feed": [{"n": 1}]})["reads"].value == 1


def test_a_source_with_a_load_function_is_loaded() -> None:
    feed = source("feed", version=lambda: 1, load=lambda: [{"n": 1}, {"n": 2}])

    @asset
    def reads(feed: pa.Table) -> int:
        return feed.num_rows

    assert materialize([feed, reads])["reads"].value == 2
    assert materialize([feed, reads], inputs={"feed": pa.table({"n": [1]})})["reads"].value == 1


@pytest.mark.parametrize(
    "value",
    [
        RAW,
        pa.Table.from_pandas(RAW),
        pl.DataFrame({"id": [1, 2, 3], "net": [10, 20, 30]}),
        [{"id": 1, "net": 10}, {"id": 2, "net": 20}, {"id": 3, "net": 30}],
    ],
    ids=lambda value: type(value).__module__ + "." + type(value).__name__,
)
def test_every_kind_of_input_arrives_in_every_form(value: object) -> None:
    seen: dict[str, object] = {}

    @asset
    def as_pandas(raw: pd.DataFrame) -> None:
        seen["pandas"] = raw["net"].to_list()

    @asset
    def as_arrow(raw: pa.Table) -> None:
        seen["arrow"] = raw["net"].to_pylist()

    @asset
    def as_reader(raw: pa.RecordBatchReader) -> None:
        seen["reader"] = raw.read_all()["net"].to_pylist()

    @asset
    def as_polars(raw: pl.DataFrame) -> None:
        seen["polars"] = raw["net"].to_list()

    @asset
    def as_lazy(raw: pl.LazyFrame) -> None:
        seen["lazy"] = raw.collect()["net"].to_list()

    @asset
    def as_relation(raw: duckdb.DuckDBPyRelation) -> None:
        seen["relation"] = [row[1] for row in raw.fetchall()]

    @asset
    def as_rows(raw: list[dict]) -> None:
        seen["rows"] = [row["net"] for row in raw]

    materialize([as_pandas, as_arrow, as_reader, as_polars, as_lazy, as_relation, as_rows], inputs={"raw": value})

    assert list(seen.values()) == [[10, 20, 30]] * 7


def test_columns_are_projected() -> None:
    @asset
    def some(raw: Annotated[pd.DataFrame, In(columns=["net"])]) -> list[str]:
        return list(raw.columns)

    assert materialize([some], inputs={"raw": RAW})["some"].value == ["net"]
    with pytest.raises(ContractBroken, match="net"):
        materialize([some], inputs={"raw": RAW.drop(columns="net")})


@pytest.mark.parametrize(
    ("form", "made_of"), [(pd.DataFrame, "frame"), (list[dict], "rows"), (None, "frame"), (None, "rows")]
)
def test_what_one_asset_does_to_its_input_neither_another_nor_the_caller_sees(form: object, made_of: str) -> None:
    def spoil(table: object) -> None:
        if isinstance(table, pd.DataFrame):
            table.loc[:, "net"] = 0
        elif isinstance(table, list):
            table[0]["net"] = 0
            table.append({})

    def spoils(given: object, made: object) -> int:
        spoil(given)
        spoil(made)
        return 1

    spoils.__annotations__ = {"given": form, "made": form} if form else {}

    def made() -> object:
        return RAW.to_dict("records") if made_of == "rows" else RAW.copy()

    def after(given: list[dict], made: list[dict]) -> list:
        return [row["net"] for row in [*given, *made]]

    given = made()
    result = materialize([asset(spoils), asset(made), asset(deps=["spoils"])(after)], inputs={"given": given})

    assert result["after"].value == [10, 20, 30, 10, 20, 30]
    for value in (given, result["made"].value):
        rows = value.to_dict("records") if isinstance(value, pd.DataFrame) else value
        assert rows == RAW.to_dict("records")


def test_an_exception_arrives_as_it_is() -> None:
    class Odd(Exception):
        pass

    @asset
    def bad() -> int:
        raise Odd("no luck")

    with pytest.raises(Odd, match="no luck"):
        materialize([bad])


def test_a_function_is_tried_again_at_once_and_the_last_exception_arrives() -> None:
    @asset(retry=Retry(2, delay="1h", on=(ConnectionError,)))
    def flaky(context: Context) -> int:
        if context.attempt < 3:
            raise ConnectionError(f"call {context.attempt}")
        return context.attempt

    @asset(retry=Retry(1, delay="1h"))
    def hopeless(context: Context) -> int:
        raise ValueError(f"call {context.attempt}")

    assert materialize([flaky])["flaky"].value == 3
    with pytest.raises(ValueError, match="call 2"):
        materialize([hopeless])


def test_a_wrong_return_is_an_error_as_in_a_project() -> None:
    @asset
    def bad() -> pa.Table:
        return cast("pa.Table", "text")

    with pytest.raises(WrongReturn, match="returned a str"):
        materialize([bad])


def test_a_blocking_check_that_fails_raises() -> None:
    @asset(checks=[not_null("id"), row_count(5)])
    def few() -> pa.Table:
        return pa.table({"id": [1, 2]})

    with pytest.raises(CheckFailed, match="check `row_count` of few failed: "):
        materialize([few])


def test_a_warning_check_that_fails_is_in_the_result() -> None:
    @asset(checks=[row_count(5, blocking=False)])
    def few() -> pa.Table:
        return pa.table({"id": [1, 2]})

    @check(few, blocking=False)
    def odd(few: pa.Table) -> bool:
        raise KeyError("gone")

    result = materialize([few, odd])

    assert not result.ok
    assert [(one.name, one.passed) for one in result["few"].checks] == [("row_count", False), ("odd", False)]
    assert result["few"].checks[1].message == "KeyError: 'gone'"


def test_a_check_takes_other_assets_and_the_context() -> None:
    @asset
    def orders() -> pa.Table:
        return pa.table({"customer": [1, 2]})

    @asset
    def customers() -> pa.Table:
        return pa.table({"customer": [1, 2, 3]})

    @check(orders)
    def known(orders: Rows, customers: Rows, context: Context) -> CheckResult:
        return CheckResult(len(orders) <= len(customers), f"{context.asset_key} {context.run_id}")

    result = materialize([orders, customers, known])

    assert [(one.passed, one.message) for one in result["orders"].checks] == [(True, "orders None")]


def test_a_foreign_key_reads_an_asset_or_an_input() -> None:
    @asset(checks=[foreign_key("id", "raw")])
    def orders(raw: pa.Table) -> pa.Table:
        return pa.table({"id": [1, 7]})

    with pytest.raises(CheckFailed, match=r"is not in raw\.id"):
        materialize([orders], inputs={"raw": RAW})


def test_several_outputs_are_told_apart_and_their_checks_see_each_other() -> None:
    @assets(Out("lines", checks=(foreign_key("id", "heads"),)), "heads")
    def both() -> dict[str, pa.Table]:
        return {"lines": pa.table({"id": [1, 1]}), "heads": pa.table({"id": [1]})}

    @asset
    def count(lines: pa.Table, heads: pa.Table) -> list[int]:
        return [lines.num_rows, heads.num_rows]

    assert materialize([both, count])["count"].value == [2, 1]


def test_another_shape_of_several_outputs_is_an_error() -> None:
    @assets("one", "two")
    def both() -> tuple[int, ...]:
        return (1, 2, 3)

    with pytest.raises(WrongReturn, match="it makes 2 assets"):
        materialize([both])


class Rates(Config):
    base: str = "GBP"
    days: int = 7


@asset
def rates(config: Rates) -> list[object]:
    return [config.base, config.days]


def test_a_config_has_its_defaults_and_what_is_given() -> None:
    assert materialize([rates])["rates"].value == ["GBP", 7]
    assert materialize([rates], config={"rates": {"days": 9}})["rates"].value == ["GBP", 9]
    with pytest.raises(ProjectLoadError, match="did you mean `days`"):
        materialize([rates], config={"rates": {"day": 9}})


class Client(Resource):
    url: str = "https://default.example"
    token: Secret = Secret("none")

    def set_up(self) -> None:
        CALLS.append("set up")

    def tear_down(self) -> None:
        CALLS.append("tear down")


class FakeClient(Client):
    pass


CALLS: list[str] = []


@asset
def fetched(client: Client) -> str:
    CALLS.append("fetched")
    return client.url


def test_a_resource_is_made_from_the_environment_set_up_and_torn_down(monkeypatch: pytest.MonkeyPatch) -> None:
    CALLS.clear()
    monkeypatch.setenv("CLIENT_URL", "https://environment.example")

    result = materialize([fetched])

    assert result["fetched"].value == "https://environment.example"
    assert CALLS == ["set up", "fetched", "tear down"]


def test_a_resource_is_torn_down_after_an_exception() -> None:
    CALLS.clear()

    @asset
    def bad(client: Client) -> int:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        materialize([bad])
    assert CALLS == ["set up", "tear down"]


@pytest.mark.parametrize("kind", [Client, FakeClient])
def test_a_stand_in_is_taken_as_it_is(kind: type[Client]) -> None:
    CALLS.clear()

    result = materialize([fetched], resources=[kind(url="https://fake.example")])

    assert result["fetched"].value == "https://fake.example"
    assert CALLS == ["fetched"]


def test_metadata_is_in_the_result() -> None:
    @asset
    def orders(context: Context) -> Result:
        context.add_metadata(pages=1, calls=7)
        return Result([1], metadata={"pages": 3})

    made = materialize([orders])["orders"]

    assert (made.value, made.metadata) == ([1], {"pages": 3, "calls": 7})


def test_a_skipped_asset_has_no_value_and_what_needs_it_says_so() -> None:
    @asset
    def orders() -> Rows:
        raise Skip("no new data")

    @asset
    def below(orders: Rows) -> int:
        return len(orders)

    result = materialize([orders])
    assert (result["orders"].skipped, result["orders"].value) == (True, None)
    with pytest.raises(UsageError, match="`orders` is needed, but was skipped and has no value"):
        materialize([orders, below])
    assert materialize([orders, below], inputs={"orders": [{"n": 1}]})["below"].value == 1


def test_any_object_may_be_passed_on_in_memory() -> None:
    class Model:
        weight = 3

    @asset
    def model() -> Model:
        return Model()

    @asset
    def weight(model: Model) -> int:
        return model.weight

    assert materialize([model, weight])["weight"].value == 3


def test_a_relation_and_its_connection_are_given() -> None:
    @asset
    def joined(raw: duckdb.DuckDBPyRelation, con: duckdb.DuckDBPyConnection) -> int:
        return con.sql("select sum(net)::int from raw").fetchall()[0][0]

    assert materialize([joined], inputs={"raw": RAW})["joined"].value == 60


def test_assets_of_a_module_may_be_given_in_lists() -> None:
    assert materialize([[clean, total]], inputs={"raw": RAW})["total"].value == 50  # type: ignore[list-item]


def test_what_is_no_asset_is_refused() -> None:
    with pytest.raises(UsageError, match="is not an asset"):
        materialize([len])


def test_an_asset_that_was_not_made_is_named_with_the_near_one() -> None:
    with pytest.raises(KeyError, match="did you mean `total`"):
        materialize([clean, total], inputs={"raw": RAW})["totl"]


def test_a_parameter_that_is_nothing_is_an_error_with_the_near_name() -> None:
    @asset
    def report(totl: int) -> int:
        return totl

    with pytest.raises(ProjectLoadError) as raised:
        materialize([clean, total, report], inputs={"raw": RAW})

    (problem,) = raised.value.problems
    assert isinstance(problem, UnknownParameter)
    assert "did you mean `total`?" in problem.facts


def problem_of(*values: object, inputs: dict[str, object] | None = None) -> str:
    """The text of the one problem for which these do not fit together."""
    with pytest.raises(ProjectLoadError) as raised:
        materialize(values, inputs=inputs)  # type: ignore[arg-type]
    (problem,) = raised.value.problems
    return str(problem)


@asset
def daily(hourly: Rows) -> int:
    return len(hourly)


def test_a_missing_input_is_to_be_given_in_inputs() -> None:
    text = problem_of(daily)

    assert 'give it in inputs={"hourly": value}, or add the asset or source that makes it to the list' in text
    assert "declare" not in text
    assert materialize([daily], inputs={"hourly": []})["daily"].value == 0


def test_a_slip_in_inputs_is_said_to_be_there_and_not_in_the_parameter() -> None:
    text = problem_of(daily, inputs={"hourli": []})

    assert "inputs has `hourli`, which nothing takes; did you mean `hourly`?" in text
    assert 'help: write inputs={"hourly": ...}' in text
    assert "rename" not in text


def test_an_input_that_something_takes_is_not_called_a_slip() -> None:
    @asset
    def other(hourli: Rows) -> int:
        return 1

    text = problem_of(daily, other, inputs={"hourli": []})

    assert "nothing takes" not in text
    assert "rename the parameter to `hourli`" in text
    assert 'or give it in inputs={"hourly": value}' in text


def test_the_slip_in_a_parameter_is_still_told_as_one() -> None:
    @asset
    def sums(claen: Rows) -> int:
        return 1

    text = problem_of(clean, sums, inputs={"raw": RAW})

    assert "did you mean `clean`?" in text
    assert 'rename the parameter to `clean`, or map it: @asset(inputs={"claen": "clean"}); or give it in inputs' in text


def test_a_foreign_key_to_what_is_not_there_is_to_be_given_in_inputs() -> None:
    @asset(checks=[foreign_key("id", "staging.customers")])
    def orders() -> pa.Table:
        return pa.table({"id": [1]})

    assert 'give it in inputs={"staging.customers": value}' in problem_of(orders)
    assert "import the module" not in problem_of(orders)
    assert materialize([orders], inputs={"staging.customers": pa.table({"id": [1]})}).ok


def test_a_check_of_what_is_not_there_wants_it_in_the_list() -> None:
    @check("orders")
    def some(orders: Rows) -> bool:
        return True

    assert "add what it checks to the list: materialize([orders, ...])" in problem_of(some)


def test_retries_are_made_at_once_and_the_context_counts_them() -> None:
    seen: list[int] = []

    @asset(retry=Retry(2, delay="1h"))
    def flaky(context: Context) -> int:
        seen.append(context.attempt)
        context.add_metadata(attempt=context.attempt)
        if context.attempt < 3:
            raise OSError("not yet")
        return context.attempt

    result = materialize([flaky])

    assert (seen, result["flaky"].value, result["flaky"].metadata) == ([1, 2, 3], 3, {"attempt": 3})


@pytest.mark.parametrize(("on", "calls"), [((), 3), (OSError, 3), (ValueError, 1)])
def test_the_exception_of_the_last_attempt_reaches_the_caller(on: tuple[type[Exception], ...], calls: int) -> None:
    seen: list[int] = []

    @asset(retry=Retry(2, on=on))
    def broken() -> int:
        seen.append(1)
        raise OSError(f"attempt {len(seen)}")

    with pytest.raises(OSError, match=f"attempt {calls}") as raised:
        materialize([broken])

    assert (len(seen), raised.value.__context__) == (calls, None)


def hidden(error: BaseException) -> list[bool]:
    """Whether pytest hides each frame between the first, which is the test's, and the last."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return [bool(frame.f_locals.get("__tracebackhide__")) for frame in frames[1:-1]]


def test_pytest_shows_the_callers_line_and_the_function_and_nothing_between() -> None:
    @asset(retry=Retry(1))
    def broken() -> int:
        raise OSError("no")

    @asset
    def fine() -> int:
        return 1

    @check(fine)
    def judge(fine: int) -> bool:
        raise OSError("no")

    for values in ([broken], [fine, judge]):
        with pytest.raises(OSError, match="no") as raised:
            materialize(values)
        assert all(hidden(raised.value))
        assert len(hidden(raised.value)) >= 2
    with pytest.raises(ProjectLoadError) as refused:
        materialize([daily])
    assert all(hidden(refused.value))


def test_a_result_says_in_one_line_what_it_holds() -> None:
    @asset
    def skipped() -> int:
        raise Skip("no")

    @asset(checks=[row_count(5, blocking=False)])
    def few() -> Rows:
        return [{"secret": "value"}]

    result = materialize([clean, total, skipped, few], inputs={"raw": RAW})

    assert repr(result) == (
        "<MemoryResult clean: DataFrame of 2; total: int; skipped: skipped; few: list of 1, failed row_count>"
    )
    assert repr(result["clean"]) == "<MemoryAsset clean: DataFrame of 2>"


def test_a_result_of_many_assets_names_some() -> None:
    def made(name: str) -> object:
        @asset(key=name)
        def one() -> None:
            return None

        return one

    assert repr(materialize([made(f"a{n}") for n in range(10)])).endswith("a7: nothing; 2 more>")  # type: ignore[arg-type]
