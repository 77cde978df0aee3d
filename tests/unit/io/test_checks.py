from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pydantic
import pytest
from pyarrow import csv

from assetflow.errors import BadDeclaration, ContractBroken
from assetflow.io.checks import check_arguments, evaluate
from assetflow.model.checks import (
    ReadyCheck,
    accepted_values,
    foreign_key,
    in_range,
    not_null,
    row_count,
    schema,
    unique,
)
from assetflow.model.records import CheckOutcome

SHARED = (Path(__file__).parents[3] / "../shared/data").resolve()


def run(ready: ReadyCheck, table: Any, others: Mapping[str, Any] | None = None) -> CheckOutcome:
    """The outcome, with readers that refuse unknown columns in the way that storage does."""

    def cut(whole: Any, columns: tuple[str, ...]) -> Any:
        for name in columns:
            if name not in whole.column_names:
                raise ContractBroken(f"no column {name}")
        return whole.select(list(columns))

    return evaluate(
        ready,
        lambda columns: table if columns is None else cut(table, columns),
        lambda key, column: cut((others or {})[key], (column,)),
    )


def message(ready: ReadyCheck, table: Any, others: Mapping[str, Any] | None = None) -> str:
    found = run(ready, table, others)
    assert found.passed == (found.message == "")
    return found.message


class TestNotNull:
    def test_rows_are_counted_and_named(self) -> None:
        values = [None if row in (112, 4031, 8870) else row for row in range(1, 9215)]

        found = run(not_null("amount"), pa.table({"amount": values}))

        assert found == CheckOutcome(
            "not_null(amount)", False, True, "3 of 9,214 rows: amount is null (rows 112, 4031, 8870)"
        )

    def test_more_than_three_rows_are_cut(self) -> None:
        assert message(not_null("a"), pa.table({"a": [None] * 5})).endswith("(rows 1, 2, 3, …)")

    def test_nan_is_null(self) -> None:
        table = pa.table({"a": pa.array([1.0, float("nan")]), "b": ["x", "y"]})

        assert message(not_null("b", "a"), table) == "1 of 2 rows: a is null (row 2)"

    def test_each_column_is_named(self) -> None:
        table = pa.table({"a": [None, 1], "b": ["x", None]})

        assert message(not_null("a", "b"), table) == ("1 of 2 rows: a is null (row 1); 1 of 2 rows: b is null (row 2)")

    def test_no_nulls_pass_in_tables_of_any_shape(self) -> None:
        chunked = pa.chunked_array([[1], [], [2, 3]])

        assert message(not_null("a"), pa.table({"a": chunked})) == ""
        assert message(not_null("a"), pa.table({"a": pa.array([], pa.int64())})) == ""
        assert message(not_null("a"), pa.table({"a": pa.array([[1], None])})) == "1 of 2 rows: a is null (row 2)"

    def test_a_missing_column_names_those_there_are(self) -> None:
        assert message(not_null("amuont"), pa.table({"amount": [1], "id": [2]})) == (
            "there is no column amuont, did you mean amount? (columns: `amount`, `id`)"
        )

    def test_blocking_is_handed_on(self) -> None:
        assert run(not_null("a", blocking=False), pa.table({"a": [None]})).blocking is False


class TestUnique:
    def test_values_and_rows_are_named(self) -> None:
        table = pa.table({"id": [7, 8, 7, 9, 8, 8]})

        assert message(unique("id"), table) == (
            "3 of 6 rows: id repeats an earlier row: 7 (rows 1, 3), 8 (3 times, rows 2 to 6)"
        )

    def test_columns_are_taken_together(self) -> None:
        table = pa.table({"a": [1, 1, 1], "b": ["x", "y", "x"]})

        assert message(unique("a", "b"), table) == "1 of 3 rows: a, b repeats an earlier row: (1, 'x') (rows 1, 3)"
        assert message(unique("a", "b"), table.slice(0, 2)) == ""

    def test_nulls_and_nan_are_equal(self) -> None:
        table = pa.table({"a": pa.array([None, float("nan"), 1.0])})

        assert message(unique("a"), table) == "1 of 3 rows: a repeats an earlier row: null (rows 1, 2)"

    def test_many_groups_are_cut(self) -> None:
        assert message(unique("a"), pa.table({"a": [1, 1, 2, 2, 3, 3, 4, 4, 5, 5]})).endswith(
            "3 (rows 5, 6) and 2 more"
        )

    def test_types_that_cannot_be_compared_fail_with_words(self) -> None:
        assert "cannot be compared" in message(unique("a"), pa.table({"a": [[1], [1]]}))

    def test_categories_are_compared_by_value(self) -> None:
        table = pa.Table.from_pandas(pd.DataFrame({"a": pd.Categorical(["x", "y", "x"])}))

        assert "'x' (rows 1, 3)" in message(unique("a"), table)


class TestAcceptedValues:
    def test_values_and_rows_are_named(self) -> None:
        table = pa.table({"s": ["paid", "opne", None, "lost", "paid"]})

        assert message(accepted_values("s", ["paid", "open"]), table) == (
            "2 of 5 rows: s is not one of 'paid', 'open': 'opne' (row 2), 'lost' (row 4)"
        )

    def test_values_that_the_column_cannot_hold_match_nothing(self) -> None:
        table = pa.table({"n": [1, 2]})

        assert message(accepted_values("n", [1, 1.5, "2", True]), table).startswith("1 of 2 rows: n")
        assert message(accepted_values("n", [1, 2.0]), table) == ""

    @pytest.mark.parametrize(
        ("column", "values"),
        [
            (pa.array(["a"], pa.large_string()), ["a"]),
            (pa.array(["a"], pa.string_view()), ["a"]),
            (pa.array(["a"]).dictionary_encode(), ["a"]),
            (pa.array([Decimal("5.00")]), [5]),
            (pa.array([1.0]), [1]),
            (pa.array([dt.date(2024, 1, 1)]), [dt.date(2024, 1, 1)]),
            (pa.array([dt.date(2024, 1, 1)]), ["2024-01-01"]),
            (
                pa.array([dt.datetime.fromisoformat("2024-01-01")], pa.timestamp("s")),
                [dt.datetime.fromisoformat("2024-01-01")],
            ),
            (pa.array([True, None]), [True]),
            (pa.array([None], pa.null()), ["a"]),
        ],
    )
    def test_columns_of_every_type(self, column: Any, values: list[object]) -> None:
        assert message(accepted_values("a", values), pa.table({"a": column})) == ""

    def test_nested_columns_fail_with_words(self) -> None:
        assert "cannot be compared" in message(accepted_values("a", [1]), pa.table({"a": [{"x": 1}]}))


class TestInRange:
    def test_both_limits_are_included(self) -> None:
        table = pa.table({"a": [0, 5, 10, None]})

        assert message(in_range("a", 0, 10), table) == ""
        assert message(in_range("a", 1, 9), table) == (
            "1 of 4 rows: a is below 1: 0 (row 1); 1 of 4 rows: a is above 9: 10 (row 3)"
        )

    def test_one_limit_is_enough(self) -> None:
        table = pa.table({"a": [-1.5, float("nan"), float("inf")]})

        assert message(in_range("a", low=0), table) == "1 of 3 rows: a is below 0: -1.5 (row 1)"
        assert message(in_range("a", high=0), table) == "1 of 3 rows: a is above 0: inf (row 3)"

    def test_dates_and_decimals_compare(self) -> None:
        table = pa.table({"d": [dt.date(2024, 1, 1)], "m": [Decimal("1.50")], "i": [3]})

        assert message(in_range("d", dt.date(2024, 1, 1), "2024-01-01"), table) == ""
        assert "is above '2023-12-31': 2024-01-01" in message(in_range("d", high="2023-12-31"), table)
        assert message(in_range("m", 1.5, Decimal("1.50")), table) == ""
        assert message(in_range("i", 0.5, 3.5), table) == ""

    def test_limits_of_another_kind_fail_with_words(self) -> None:
        assert message(in_range("a", 0), pa.table({"a": ["x"]})) == "a is string, which cannot be compared with 0"


class TestRowCount:
    def test_too_few_and_too_many(self) -> None:
        table = pa.table({"a": range(1500)})

        assert message(row_count(), pa.table({"a": []})) == "0 rows, at least 1 expected"
        assert message(row_count(0, 1000), table) == "1,500 rows, at most 1,000 expected"
        assert message(row_count(1500, 1500), table) == ""


class Payment(pydantic.BaseModel):
    id: int
    amount: float = pydantic.Field(ge=0)
    note: str | None = None


class TestSchema:
    def test_a_model_names_rows_and_fields(self) -> None:
        table = pa.table({"id": [1, 2, None], "amount": [1.0, -2.0, 3.0], "other": [1, 2, 3]})

        assert message(schema(Payment), table) == (
            "2 of 3 rows do not fit Payment: row 2: amount: input should be greater than or equal to 0, found -2.0; "
            "row 3: id: input should be a valid integer, found null"
        )

    def test_rows_are_counted_over_batches(self) -> None:
        table = pa.table({"id": range(12_000), "amount": [1.0] * 11_999 + [-1.0]})

        assert message(schema(Payment), table).startswith("1 of 12,000 rows do not fit Payment: row 12000: amount")

    def test_a_model_that_fits_passes_without_its_optional_columns(self) -> None:
        assert message(schema(Payment), pa.table({"id": [1], "amount": [0.0]})) == ""

    def test_nan_is_null_for_a_model(self) -> None:
        table = pa.table({"id": [1], "amount": pa.array([float("nan")])})

        assert "found null" in message(schema(Payment), table)

    def test_a_needed_column_that_is_missing_is_said_once(self) -> None:
        assert message(schema(Payment), pa.table({"id": [1, 2]})) == "there is no column amount (columns: `id`)"

    def test_a_strict_model_sees_other_columns(self) -> None:
        class Strict(pydantic.BaseModel, extra="forbid"):
            id: int

        assert "extra inputs are not permitted" in message(schema(Strict), pa.table({"id": [1], "b": [2]}))

    def test_a_model_with_aliases_reads_the_aliased_columns(self) -> None:
        class Aliased(pydantic.BaseModel):
            number: int = pydantic.Field(alias="No")

        assert message(schema(Aliased), pa.table({"No": [1], "b": [2]})) == ""

    def test_an_arrow_schema_names_what_differs(self) -> None:
        expected = pa.schema([("id", pa.int64()), ("at", pa.timestamp("us", "UTC")), ("gone", pa.string())])
        table = pa.table({"id": ["1"], "at": pa.array([0], pa.timestamp("us")), "new": [1]})

        assert message(schema(expected), table) == (
            "missing: gone; not expected: new; id is string, expected int64; "
            "at is timestamp[us], expected timestamp[us, tz=UTC]"
        )

    def test_order_and_text_width_do_not_matter(self) -> None:
        expected = pa.schema([("id", pa.int64()), ("s", pa.string()), ("l", pa.list_(pa.string()))])
        table = pa.table(
            {
                "s": pa.array(["x"], pa.large_string()),
                "id": [1],
                "l": pa.array([["x"]], pa.large_list(pa.large_string())),
            }
        )

        assert message(schema(expected), table) == ""


class TestForeignKey:
    def test_values_without_a_match_are_named(self) -> None:
        orders, customers = pa.table({"customer": [1, 9, None, 8]}), pa.table({"id": [1, 2]})

        assert message(foreign_key("customer", "customers", "id"), orders, {"customers": customers}) == (
            "2 of 4 rows: customer is not in customers.id: 9 (row 2), 8 (row 4)"
        )

    def test_numbers_compare_across_widths(self) -> None:
        ready = foreign_key("id", "other")
        big = pa.table({"id": pa.array([1, 2**40], pa.int64())})

        for kind in (pa.int32(), pa.float64(), pa.uint8(), pa.decimal128(10, 2)):
            small = pa.table({"id": pa.array([1], pa.int64()).cast(pa.decimal128(21, 2)).cast(kind)})
            assert message(ready, small, {"other": big}) == ""
            assert message(ready, big, {"other": small}).startswith("1 of 2 rows: id is not in other.id: 1099511627776")

    def test_texts_compare_across_encodings(self) -> None:
        one, other = (
            pa.table({"k": pa.array(["a"]).dictionary_encode()}),
            pa.table({"k": pa.array(["a"], pa.large_string())}),
        )

        assert message(foreign_key("k", "other"), one, {"other": other}) == ""

    def test_text_and_number_do_not_compare(self) -> None:
        one, other = pa.table({"k": ["1"]}), pa.table({"k": [1]})

        assert message(foreign_key("k", "other"), one, {"other": other}) == (
            "k is string and other.k is int64: they cannot be compared"
        )

    def test_empty_columns(self) -> None:
        one, none = pa.table({"k": [1]}), pa.table({"k": pa.array([None], pa.null())})

        assert message(foreign_key("k", "other"), none, {"other": one}) == ""
        assert message(foreign_key("k", "other"), one, {"other": none}) == "1 of 1 row: k is not in other.k: 1 (row 1)"

    def test_a_missing_column_on_the_other_side(self) -> None:
        assert message(foreign_key("k", "other", "id"), pa.table({"k": [1]}), {"other": pa.table({"x": [1]})}) == (
            "other has no column id"
        )


class TestArguments:
    @pytest.mark.parametrize(
        ("ready", "words"),
        [
            (ReadyCheck("nonnull", {"columns": ("a",)}), "no ready-made check"),
            (not_null(["a", "b"]), "takes column names"),  # type: ignore[arg-type] - the mistake that is looked for
            (unique("a", "a"), "twice"),
            (accepted_values("a", []), "no values"),
            (accepted_values(3, ["x"]), "takes a column name first"),  # type: ignore[arg-type]
            (in_range("a"), "no limit"),
            (in_range("a", 5, 1), "holds no value"),
            (in_range("a", 5, "z"), "cannot compare"),
            (row_count(-1), "fits no table"),
            (row_count(5, 1), "fits no table"),
            (row_count(1.5), "whole numbers"),  # type: ignore[arg-type]
            (schema({"a": "int"}), "pydantic model class"),
            (schema(Payment(id=1, amount=1)), "pydantic model class"),
            (schema(int), "pydantic model class"),
        ],
    )
    def test_nonsense_is_found_at_load(self, ready: ReadyCheck, words: str) -> None:
        with pytest.raises(BadDeclaration, match=words):
            check_arguments(ready)

    @pytest.mark.parametrize(
        "ready",
        [
            not_null("a"),
            unique("a", "b"),
            accepted_values("a", [1]),
            in_range("a", 0),
            in_range("a", high=dt.date.max),
            row_count(),
            row_count(0, 0),
            schema(Payment),
            schema(pa.schema([])),
            foreign_key("a", "b"),
        ],
    )
    def test_sense_passes(self, ready: ReadyCheck) -> None:
        check_arguments(ready)


@pytest.mark.skipif(not SHARED.is_dir(), reason="the real data sets are not beside the repository")
def test_the_real_shop_holds_its_rules() -> None:
    folder = SHARED / "jaffle_shop"
    orders, customers = (csv.read_csv(folder / f"raw_{name}.csv") for name in ("orders", "customers"))

    assert message(unique("id"), orders) == ""
    assert message(foreign_key("user_id", "customers", "id"), orders, {"customers": customers}) == ""
    assert message(accepted_values("status", ["completed"]), orders).startswith("32 of 99 rows: status is not one of")
