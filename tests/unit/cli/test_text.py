from __future__ import annotations

import shlex

import pytest
from hypothesis import given, strategies as st

from assetflow.cli.text import (
    ago,
    aligned,
    bad,
    cells,
    clip,
    clip_line,
    count,
    dim,
    flat,
    iso,
    number,
    shell,
    size,
    stripped,
    wrapped,
)

WORDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30)


@pytest.mark.parametrize(
    ("passed", "text"),
    [
        (0, "just now"), (4.9, "just now"), (5, "5 s ago"), (59.9, "59 s ago"), (60, "1 min ago"),
        (7199, "1 h ago"), (7200, "2 h ago"), (86_399, "23 h ago"), (86_400, "1 d ago"), (40 * 86_400, "40 d ago"),
        (-3, "just now"), (-90, "in 1 min"),
    ],
)  # fmt: skip
def test_ago_is_in_one_unit_and_rounded_down(passed: float, text: str) -> None:
    assert ago(1_000_000.0, 1_000_000.0 + passed) == text


def test_ago_of_nothing_is_a_dash() -> None:
    assert ago(None, 1.0) == "–"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_949, "9.9 kB"), (9_950, "10 kB"),
        (412_000, "412 kB"), (999_499, "999 kB"), (999_500, "1.0 MB"), (1_500_000_000, "1.5 GB"), (10**18, "1000 PB"),
    ],
)  # fmt: skip
def test_sizes_have_decimal_units(value: int | None, text: str) -> None:
    assert size(value) == text


def test_numbers_have_separators() -> None:
    assert (number(9214), number(None), number(0)) == ("9,214", "–", "0")


def test_counts_agree_with_their_noun() -> None:
    assert (count(1, "asset"), count(2, "asset"), count(0, "entry", "entries")) == ("1 asset", "2 assets", "0 entries")


def test_times_for_programs_are_utc() -> None:
    assert (iso(0), iso(None)) == ("1970-01-01T00:00:00Z", "")


@given(WORDS, st.integers(1, 40))
def test_clipped_text_fits_and_begins_like_the_text(text: str, width: int) -> None:
    found = clip(text, width)

    assert cells(found) <= width
    assert text.startswith(found.removesuffix("…")) or found == text


@given(st.lists(WORDS, max_size=5), st.integers(1, 60))
def test_a_clipped_line_fits(words: list[str], width: int) -> None:
    line = tuple(dim(word) if index % 2 else word for index, word in enumerate(words))

    assert cells(flat(clip_line(line, width))) <= width


@given(st.lists(st.lists(WORDS, min_size=3, max_size=3), max_size=5))
def test_columns_begin_below_each_other(rows: list[list[str]]) -> None:
    lines = [flat(line) for line in aligned(rows, indent=1, gap=2)]
    wide = max((cells(row[0]) for row in rows), default=0)
    for row, line in zip(rows, lines, strict=True):
        rest = f"{row[0]}{' ' * (wide - cells(row[0]))}  {row[1]}"

        assert line.startswith((" " + rest).rstrip())


def test_a_cell_beyond_the_limit_pushes_only_its_own_row() -> None:
    lines = [flat(line) for line in aligned([("a", "b"), ("a" * 50, "b")], limit=10)]

    assert lines == [" a  b", " " + "a" * 50 + "  b"]


def test_columns_can_stand_to_the_right() -> None:
    assert [flat(line) for line in aligned([("a", "1"), ("b", "100")], right=(1,))] == [" a    1", " b  100"]


def test_words_are_wrapped_behind_their_label() -> None:
    lines = wrapped(("label  ",), ["aaaa", "bbbb", "cccc"], width=16, separator=" ")

    assert [flat(line) for line in lines] == ["label  aaaa bbbb", "       cccc"]


def test_wide_letters_count_twice() -> None:
    assert (cells("注文"), cells("e\u0301"), clip("注文表", 5)) == (4, 1, "注文…")


def test_spaces_at_the_end_are_taken_off_whatever_their_style() -> None:
    assert stripped(("a ", dim("b  "), bad("  "), " ")) == ("a ", dim("b"))


@given(st.lists(WORDS, max_size=4))
def test_shell_words_come_back(words: list[str]) -> None:
    assert shlex.split(shell(words)) == words
