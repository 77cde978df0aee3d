from __future__ import annotations

import io
import json
import sys

import pytest

from assetflow.cli.answer import Answer
from assetflow.cli.render import Screen, terminal_size, wants_color
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import ASCII, MARKS, bad, good
from assetflow.errors import UsageError


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def screen(out: io.StringIO | None = None, **options: object) -> tuple[Screen, io.StringIO, io.StringIO]:
    streams = out or io.StringIO(), io.StringIO()
    return Screen(*streams, **options), *streams  # type: ignore[arg-type]


ANSWER = Answer(
    lambda: {"a": 1},
    table=Table((Column("a", "A"),), ((cell(1, bad("✗ one")),),)),
    below=[("1 row",)],
    hints=[("a hint",)],
)


@pytest.mark.parametrize(
    ("environment", "is_terminal", "expected"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"NO_COLOR": "1"}, True, False),
        ({"NO_COLOR": ""}, True, True),
        ({"FORCE_COLOR": "1"}, False, True),
        ({"FORCE_COLOR": "0"}, True, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ({"CLICOLOR": "0"}, True, False),
        ({"CLICOLOR_FORCE": "1"}, False, True),
        ({"TERM": "dumb"}, True, False),
    ],
)
def test_who_decides_about_colours(monkeypatch, environment: dict[str, str], is_terminal: bool, expected: bool) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    assert wants_color("auto", is_terminal=is_terminal) is expected
    assert wants_color("always", is_terminal=is_terminal) is True
    assert wants_color("never", is_terminal=is_terminal) is False


def test_a_pipe_gets_plain_rows_and_the_hint_goes_to_stderr() -> None:
    found, out, err = screen()
    found.show("ls", ANSWER)

    assert (out.getvalue(), err.getvalue()) == ("1\n", "a hint\n")


def test_a_terminal_gets_a_table_with_its_counts(monkeypatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    found, out, _ = screen(Terminal())
    found.show("ls", ANSWER)

    assert "\x1b[31m✗ one" in out.getvalue()
    assert out.getvalue().endswith("1 row\n")


def test_asked_for_a_table_a_pipe_gets_one_without_colours() -> None:
    found, out, _ = screen(form="table")
    found.show("ls", ANSWER)

    assert out.getvalue() == " A\n ✗ one\n1 row\n"


def test_quiet_has_no_hints() -> None:
    found, _, err = screen(is_quiet=True)
    found.show("ls", ANSWER)

    assert err.getvalue() == ""


def test_a_screen_without_a_table_cannot_be_csv() -> None:
    found, _, _ = screen(form="csv")

    with pytest.raises(UsageError, match="`show` has no table to write as csv"):
        found.show("show", Answer(dict, [("text",)]))


def test_a_document_has_the_warnings_and_stderr_has_not() -> None:
    found, out, err = screen(is_json=True)
    found.warning("mind the gap")
    found.show("ls", ANSWER)

    assert json.loads(out.getvalue()) == {
        "schema": "assetflow.ls/1", "ok": True, "data": {"a": 1}, "warnings": ["mind the gap"],
    }  # fmt: skip
    assert err.getvalue() == ""


def test_data_cannot_steer_the_terminal() -> None:
    found, out, _ = screen(form="table")
    found.lines([("\x1b[2Jhello\nthere\u202e",)])
    found.table(Table((Column("a", "A"),), ((cell("\x1b]0;title\x07\n"),),)))

    assert out.getvalue().isascii()
    assert "\x1b" not in out.getvalue()
    assert out.getvalue().count("\n") == 3


def test_ascii_replaces_every_glyph_of_a_state() -> None:
    assert all(mark.translate(ASCII).isascii() for mark in MARKS.values())


def test_states_differ_without_glyphs_and_colours() -> None:
    words = {state: f"{mark.translate(ASCII)} {state}" for state, mark in MARKS.items()}

    assert len(set(words.values())) == len(words)


def test_a_stream_that_cannot_hold_glyphs_gets_ascii() -> None:
    raw = io.BytesIO()
    found = Screen(io.TextIOWrapper(raw, encoding="ascii"), io.StringIO())
    found.lines([("● fine — naïve",)])
    found.close()

    assert raw.getvalue() == b"* fine - na\\xefve\n"


def test_json_on_a_stream_without_unicode_is_still_json() -> None:
    raw = io.BytesIO()
    found = Screen(io.TextIOWrapper(raw, encoding="ascii"), io.StringIO(), is_json=True)
    found.document("ls", data={"name": "café ● \udcff"})
    found.close()

    assert json.loads(raw.getvalue())["data"] == {"name": "café ● \udcff"}


def test_colours_are_only_around_text() -> None:
    found, out, _ = screen(color="always")
    found.lines([(good("yes"), " ", bad(""))])

    assert out.getvalue() == "\x1b[32myes\x1b[0m \n"


def test_width_comes_from_columns_or_is_80(monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "133")
    monkeypatch.setenv("LINES", "50")
    assert terminal_size(io.StringIO()) == (133, 50)
    monkeypatch.setenv("COLUMNS", "many")
    monkeypatch.delenv("LINES")
    assert terminal_size(io.StringIO()) == (80, 24)


def test_live_lines_are_taken_away_and_those_above_stay() -> None:
    err = Terminal()
    found = Screen(io.StringIO(), err, color="never")
    with found.live() as live:
        live.update([("working",)])
        live.above([("done",)])
        live.update([("still working",)])

    assert "done" in err.getvalue()
    assert err.getvalue().rstrip().endswith(("\x1b[2K", "\x1b[1A\x1b[2K"))


def test_rich_is_imported_only_for_tables(built, cli) -> None:
    for name in [name for name in sys.modules if name == "rich" or name.startswith("rich.")]:
        del sys.modules[name]
    cli("ls")
    assert "rich" not in sys.modules
    cli("ls", "--format", "table")
    assert "rich" in sys.modules
