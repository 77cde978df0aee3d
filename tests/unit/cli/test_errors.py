from __future__ import annotations

from pathlib import Path

import pytest

from assetflow.cli.render_errors import code_lines, error_json, error_lines, frame_lines
from assetflow.cli.text import flat
from assetflow.errors import (
    InternalError,
    Location,
    NoSuchAsset,
    ProjectLoadError,
    UnknownParameter,
    UsageError,
    error_classes,
)


def text(lines) -> list[str]:
    return [flat(line) for line in lines]


def test_an_error_has_what_where_facts_and_help_in_this_order(tmp_path: Path) -> None:
    (tmp_path / "marts.py").write_text("\n\ndef revenue(order):\n    pass\n")
    error = UnknownParameter(
        "asset `revenue` needs `order`",
        facts=["declared in marts", "did you mean `orders`?"],
        fix="rename it",
        where=Location("marts.py", 3, 13, 5),
    )

    assert text(error_lines(error, str(tmp_path))) == [
        "error[AF101]: asset `revenue` needs `order`",
        "  --> marts.py:3",
        "   3 │ def revenue(order):",
        "     │             ^^^^^",
        "  declared in marts",
        "  did you mean `orders`?",
        "  help: rename it",
    ]


def test_carets_stand_below_columns_behind_tabs(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("\tx = order\n")
    lines = text(frame_lines(Location("a.py", 1, 6, 5), str(tmp_path)))

    assert lines[1].index("order") == lines[2].index("^^^^^")


@pytest.mark.parametrize("place", [Location("gone.py", 3), Location("a.py", 99), Location("a.py", 0)])
def test_a_place_that_cannot_be_read_is_named_all_the_same(tmp_path: Path, place: Location) -> None:
    (tmp_path / "a.py").write_text("one line\n")

    assert len(text(frame_lines(place, str(tmp_path)))) == 1


def test_carets_do_not_go_beyond_the_line(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("abc\n")

    assert text(frame_lines(Location("a.py", 1, 2, 50), str(tmp_path)))[-1].endswith("│  ^^")


def test_absolute_places_in_the_project_are_shown_relative_to_it(tmp_path: Path) -> None:
    place = Location(str(tmp_path / "a.py"), 4)

    assert text(frame_lines(place, str(tmp_path)))[0] == "  --> a.py:4"
    assert error_json(UsageError("x", where=place), str(tmp_path))["where"] == {
        "file": "a.py",
        "line": 4,
        "column": None,
    }


def test_problems_come_one_after_the_other_and_are_counted() -> None:
    lines = text(error_lines(ProjectLoadError([UnknownParameter("first"), UnknownParameter("second")])))

    assert lines == ["error[AF101]: first", "", "error[AF101]: second", "", "error: 2 problems in the project"]
    assert text(error_lines(ProjectLoadError([UnknownParameter("only")]))) == ["error[AF101]: only"]


def test_problems_are_in_the_document() -> None:
    problem = UnknownParameter("first", fix="do it")
    found = error_json(ProjectLoadError([problem]))

    assert found["code"] == "AF100"
    assert found["problems"] == [error_json(problem)]


def test_a_bug_is_called_internal() -> None:
    assert text(error_lines(InternalError("oh", where=Location("x.py", 1)))) == ["internal error[AF900]: oh"]


def test_texts_of_several_lines_stay_below_each_other() -> None:
    assert text(error_lines(NoSuchAsset("one\ntwo", facts=["a\nb"], fix="x\ny"))) == [
        "error[AF021]: one", "  two", "  a", "  b", "  help: x", "        y",
    ]  # fmt: skip


def test_the_failing_line_of_code_has_a_mark() -> None:
    assert text(code_lines([(9, "a"), (10, "b")], 10, "")) == ["   9 │ a", "❱ 10 │ b"]


@pytest.mark.parametrize("code", error_classes())
def test_every_code_has_a_page(cli, code: str) -> None:
    screen = cli("explain", code.lower())

    assert screen.code == 0
    assert screen.out.startswith(f" {code}  ")
    assert len(screen.out.splitlines()) >= 3


def test_a_code_may_be_given_as_a_number(cli) -> None:
    assert cli("explain", "21").out == cli("explain", "AF021").out
