from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, strategies as st

from assetflow.cli.table import Column, Table, cell, fitting, formatted, jsonable, one_line
from assetflow.cli.text import cells

TEXTS = st.text(max_size=12)


def table(*rows: tuple[object, ...], columns: tuple[Column, ...] | None = None) -> Table:
    given = columns or tuple(Column(f"c{n}", f"C{n}") for n in range(len(rows[0])))
    return Table(given, tuple(tuple(cell(value) for value in row) for row in rows))


def test_plain_has_no_header_and_tsv_has_one() -> None:
    assert formatted(table((1, None), ("x", True)), "plain") == "1\t\nx\ttrue\n"
    assert formatted(table((1, None)), "tsv") == "c0\tc1\n1\t\n"


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_plain_has_one_line_for_each_row_whatever_is_in_it(rows: list[tuple[str, str]]) -> None:
    lines = formatted(table(*rows), "plain").split("\n")

    assert len(lines) == len(rows) + 1
    assert all(line.count("\t") == 1 for line in lines[:-1])


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=5))
def test_csv_reads_back(rows: list[tuple[str, str]]) -> None:
    found = list(csv.reader(io.StringIO(formatted(table(*rows), "csv"), newline="")))

    assert found == [["c0", "c1"], *map(list, rows)]


@given(st.lists(st.tuples(st.none() | TEXTS | st.integers() | st.booleans(), TEXTS), min_size=1, max_size=5))
def test_jsonl_reads_back(rows: list[tuple[object, str]]) -> None:
    found = [json.loads(line) for line in formatted(table(*rows), "jsonl").splitlines()]

    assert found == [{"c0": first, "c1": second} for first, second in rows]


def test_markdown_escapes_what_would_end_a_cell() -> None:
    assert formatted(table(("a|b\nc",)), "md").splitlines()[-1] == "| a\\|b\\nc |"


def test_columns_leave_in_their_order_and_the_rest_is_cut() -> None:
    columns = (Column("a", "A"), Column("b", "B", leave=1), Column("c", "C", leave=2))
    wide = table(("x" * 20, "y" * 20, "z" * 20), columns=columns)

    assert [column.name for column in fitting(wide, 64)[0].columns] == ["a", "b", "c"]
    assert [column.name for column in fitting(wide, 63)[0].columns] == ["a", "b"]
    assert [column.name for column in fitting(wide, 30)[0].columns] == ["a"]
    assert fitting(wide, 10)[1] == [10]


def test_a_column_with_a_least_width_gives_way_first() -> None:
    columns = (Column("a", "A"), Column("b", "B", leave=1), Column("c", "C", least=5))
    fitted, widths = fitting(table(("x" * 10, "y" * 10, "z" * 50), columns=columns), 40)

    assert widths == [10, 10, 16]
    assert len(fitted.columns) == 3


@given(st.lists(st.integers(1, 60), min_size=1, max_size=6), st.integers(40, 120))
def test_what_is_left_fits(sizes: list[int], width: int) -> None:
    columns = tuple(Column(f"{n}", "T", leave=n % 3) for n in range(len(sizes)))
    fitted, widths = fitting(table(tuple("x" * size for size in sizes), columns=columns), width)

    assert sum(widths) + 2 * (len(widths) - 1) <= width
    assert len(widths) == len(fitted.columns)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (float("nan"), None), (float("inf"), None), (1.5, 1.5),
        (datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00+00:00"),
        (Decimal("1.10"), "1.10"), (b"\x00\xff", "00ff"), ((1, {"a": {2}}), [1, {"a": [2]}]), (True, True),
    ],
)  # fmt: skip
def test_values_as_json_can_hold_them(value: object, expected: object) -> None:
    assert jsonable(value) == expected
    json.dumps(jsonable(value), allow_nan=False)


@given(TEXTS)
def test_one_line_is_printable(text: str) -> None:
    assert one_line(text).isprintable()
    assert "\n" not in one_line(text)
    assert cells(one_line(text)) >= 0
