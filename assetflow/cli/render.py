"""The screen: the only place that writes to stdout and stderr. stdout is the answer, stderr is everything about it."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, TextIO

from assetflow.cli.text import ASCII, NEEDED, Line, Span, flat

if TYPE_CHECKING:
    from rich.live import Live
    from rich.text import Text

    from assetflow.cli.answer import Answer
    from assetflow.cli.table import Table
    from assetflow.errors import AssetflowError

_CODES = {"good": "32", "warn": "33", "bad": "31", "dim": "2", "strong": "1", "head": "36"}
_RICH = {"good": "green", "warn": "yellow", "bad": "red", "dim": "dim", "strong": "bold", "head": "cyan"}
_MACHINE = ("plain", "tsv", "csv", "md", "jsonl")


class Screen:
    """Writes lines, tables, documents and errors to the two streams that it was made with.

    A reader that goes away (`| head`) is not an error: what follows is written to nowhere.
    """

    def __init__(
        self,
        out: TextIO,
        err: TextIO,
        *,
        form: str | None = None,
        is_json: bool = False,
        color: str = "auto",
        is_ascii: bool = False,
        is_quiet: bool = False,
    ) -> None:
        self.out, self.err = out, err
        self.form, self.is_json, self.is_quiet = form, is_json, is_quiet
        self.is_terminal = _is_terminal(out)
        self.is_terminal_err = _is_terminal(err)
        self._color_out = wants_color(color, is_terminal=self.is_terminal)
        self._color_err = wants_color(color, is_terminal=self.is_terminal_err)
        self._ascii_out = is_ascii or not _holds_glyphs(out)
        self._ascii_err = is_ascii or not _holds_glyphs(err)
        self.width, self.height = terminal_size(out, err)
        self.warnings: list[str] = []
        self._is_github = os.environ.get("GITHUB_ACTIONS") == "true"
        for stream in (out, err):
            reconfigure = getattr(stream, "reconfigure", None)
            if reconfigure is not None:
                reconfigure(errors="backslashreplace")

    # -- the answer

    def show(self, verb: str, answer: Answer) -> None:
        """Write what a verb answered, in the form that was asked for.

        Raises:
            UsageError: the form is a table's, and the verb has no table.
        """
        if answer.is_told:
            return
        if self.is_json:
            self.document(verb, data=answer.data(), failure=answer.failure)
            return
        if answer.text is not None:
            self.text(answer.text)
        elif answer.table is not None and (self.form in _MACHINE or (self.form is None and self._wants_plain(answer))):
            from assetflow.cli.table import formatted

            self.text(formatted(answer.table, self.form or "plain"))
        elif self.form in _MACHINE:
            from assetflow.errors import UsageError

            raise UsageError(f"`{verb}` has no table to write as {self.form}", fix="use --json")
        else:
            self.lines(answer.lines)
            if not answer.lines and answer.table is not None:
                if answer.table.rows or not answer.below:
                    self.table(answer.table)
                self.lines(answer.below)
        if not self.is_quiet:
            self.notes(answer.hints)
        if answer.ending:
            self.note(answer.ending)
        elif answer.failure is not None:
            self.note((Span(f"error[{answer.failure.code}]", "bad"), f": {answer.failure.what}"))
            if answer.failure.fix:
                self.note(("  help: ", answer.failure.fix))

    @property
    def wants_values(self) -> bool:
        """Whether a table is written for programs, which read its values and not what people see."""
        return self.form in ("plain", "tsv", "csv", "jsonl") or (self.form is None and not self.is_terminal)

    def _wants_plain(self, answer: Answer) -> bool:
        return not self.is_terminal and not answer.lines

    def document(
        self, verb: str, *, data: object = None, failure: AssetflowError | None = None, root: str | None = None
    ) -> None:
        """Write the one JSON document of a --json call."""
        import json

        from assetflow.cli.answer import JsonText
        from assetflow.cli.table import jsonable

        is_unicode = (getattr(self.out, "encoding", None) or "").lower().replace("-", "") == "utf8"
        if isinstance(data, JsonText):
            if is_unicode and not self.is_terminal and failure is None:
                lead = json.dumps({"schema": f"assetflow.{verb}/1", "ok": True})[:-1]
                warnings = json.dumps({"warnings": self.warnings}, ensure_ascii=False)[1:]
                self.text(f'{lead}, "data": {data}, {warnings}\n')
                return
            data = json.loads(data)
        found: dict[str, object] = {"schema": f"assetflow.{verb}/1", "ok": failure is None}
        if data is not None:
            found["data"] = jsonable(data)
        if failure is not None:
            from assetflow.cli.render_errors import error_json

            found["error"] = error_json(failure, root)
        found["warnings"] = list(self.warnings)
        self.text(json.dumps(found, ensure_ascii=not is_unicode, indent=2 if self.is_terminal else None) + "\n")

    def error(self, verb: str, failure: AssetflowError, root: str | None = None) -> None:
        """Write an error: a document for --json, else a block on stderr with the code frame and the fix."""
        if self.is_json:
            self.document(verb, failure=failure, root=root)
            return
        from assetflow.cli.render_errors import error_lines

        self.notes(error_lines(failure, root))

    def warning(self, text: str) -> None:
        """Write a warning to stderr, and keep it for the JSON document."""
        self.warnings.append(text)
        if not self.is_json:
            self.note((Span("warning", "warn"), f": {text}"))

    # -- the streams

    def lines(self, lines: Sequence[Line]) -> None:
        """Write lines to stdout."""
        self.text("".join([self._drawn(line, self._color_out, self._ascii_out) + "\n" for line in lines]))

    def notes(self, lines: Sequence[Line]) -> None:
        """Write lines to stderr."""
        self._write(self.err, "".join([self._drawn(line, self._color_err, self._ascii_err) + "\n" for line in lines]))

    def note(self, line: Line) -> None:
        """Write one line to stderr at once."""
        self.notes((line,))
        self._flush(self.err)

    def text(self, text: str) -> None:
        """Write text to stdout as it is."""
        self._write(self.out, text)

    def event(self, document: str) -> None:
        """Write one line to stdout at once: an event of --progress=jsonl."""
        self.text(document + "\n")
        self._flush(self.out)

    def command(self, text: str) -> None:
        """Write a line to stderr at once that the runner of a job on GitHub is to carry out."""
        self._write(self.err, _printable(text) + "\n")
        self._flush(self.err)

    def table(self, table: Table) -> None:
        """Draw a table for people on stdout: no lines around cells, cut to the width of the terminal."""
        from rich.console import Console
        from rich.padding import Padding
        from rich.table import Table as RichTable
        from rich.text import Text

        from assetflow.cli.table import fitting

        drawn = RichTable(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        fitted, widths = fitting(self._clean(table), self.width - 1)
        for column, width in zip(fitted.columns, widths, strict=True):
            drawn.add_column(
                Text(self._plain(column.title)),
                justify="right" if column.is_right else "left",
                no_wrap=True,
                overflow="ellipsis",
                width=width,
            )
        if any(column.note for column in fitted.columns):
            drawn.add_row(*(Text(self._plain(column.note), style="dim") for column in fitted.columns))
        for row in fitted.rows:
            drawn.add_row(*(self._rich_text(one.shown) for one in row))
        console = Console(
            file=self.out,
            width=self.width,
            color_system="standard" if self._color_out else None,
            force_terminal=self._color_out,
            legacy_windows=False,
            highlight=False,
        )
        with console.capture() as captured:
            console.print(Padding(drawn, (0, 0, 0, 1)))
        lines = [line.rstrip() for line in captured.get().splitlines()]
        text = "".join([line + "\n" for line in lines])
        self.text(text.replace("…", "~") if self._ascii_out else text)
        gone = [column.title for column in table.columns if column not in fitted.columns]
        if gone and any(column.note for column in table.columns):
            names = ", ".join(gone[:6]) + (", …" if len(gone) > 6 else "")
            self.lines([(Span(f" not shown: {names} (--format csv shows all)", "dim"),)])

    def _clean(self, table: Table) -> Table:
        """The table with cells as they will be drawn, so that their widths can be known."""
        from assetflow.cli.table import Cell, Table as AnyTable

        def cleaned(line: Line) -> Line:
            return tuple(
                Span(self._plain(piece.text), piece.style) if isinstance(piece, Span) else self._plain(piece)
                for piece in line
            )

        rows = tuple(tuple(Cell(cleaned(one.shown), one.value) for one in row) for row in table.rows)
        return AnyTable(table.columns, rows)

    def live(self) -> LiveLines:
        """Lines on stderr that replace each other, for a terminal."""
        return LiveLines(self)

    def close(self) -> None:
        """Flush both streams.

        Raises:
            NotWritable: stdout cannot be written, for another cause than a reader that has gone away.
        """
        for stream in (self.out, self.err):
            self._flush(stream)

    # -- how

    def _drawn(self, line: Line, with_color: bool, is_ascii: bool) -> str:
        parts: list[str] = []
        for piece in line:
            text = _printable(flat(piece))
            if is_ascii:
                text = text.translate(ASCII)
            code = _CODES.get(piece.style) if with_color and isinstance(piece, Span) else None
            parts.append(f"\x1b[{code}m{text}\x1b[0m" if code and text else text)
        return _without_commands("".join(parts)) if self._is_github else "".join(parts)

    def _plain(self, text: str) -> str:
        return _printable(text).translate(ASCII) if self._ascii_out else _printable(text)

    def _rich_text(self, line: Line) -> Text:
        from rich.text import Text

        text = Text()
        for piece in line:
            style = _RICH.get(piece.style, "") if isinstance(piece, Span) else ""
            text.append(flat(piece), style=style)
        return text

    def _write(self, stream: TextIO, text: str) -> None:
        if not text:
            return
        try:
            stream.write(text)
        except OSError as error:
            self._lost(stream, error)

    def _flush(self, stream: TextIO) -> None:
        try:
            stream.flush()
        except OSError as error:
            self._lost(stream, error)

    def _lost(self, stream: TextIO, error: OSError) -> None:
        # What is still in the buffer, and all that follows, goes to nowhere; else Python complains when it exits.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
        # Windows says EINVAL for a pipe whose reader has gone.
        if error.errno not in (errno.EPIPE, errno.EINVAL) and stream is self.out:
            from assetflow.errors import NotWritable

            raise NotWritable(f"standard output cannot be written: {error.strerror}") from error


class LiveLines:
    """A block of lines on stderr that is drawn anew with each `update`; a context manager."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self._live: Live | None = None

    def __enter__(self) -> LiveLines:
        from rich.console import Console
        from rich.live import Live

        color = self.screen._color_err  # pyright: ignore[reportPrivateUsage] - one module
        console = Console(
            file=self.screen.err, width=self.screen.width, color_system="standard" if color else None, highlight=False
        )
        self._live = Live(
            console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def update(self, lines: Sequence[Line]) -> None:
        """Show these lines now."""
        if self._live is not None:
            self._live.update(self._text(lines), refresh=True)

    def above(self, lines: Sequence[Line]) -> None:
        """Write lines above the block; they stay."""
        if self._live is not None:
            for line in lines:
                self._live.console.print(self._text((line,)), soft_wrap=True)

    def _text(self, lines: Sequence[Line]) -> Text:
        from rich.text import Text

        text = Text(no_wrap=True, overflow="ellipsis")
        for index, line in enumerate(lines):
            if index:
                text.append("\n")
            for piece in line:
                words = _printable(flat(piece))
                if self.screen._ascii_err:  # pyright: ignore[reportPrivateUsage] - one module
                    words = words.translate(ASCII)
                text.append(words, style=_RICH.get(piece.style, "") if isinstance(piece, Span) else "")
        return text


def wants_color(choice: str, *, is_terminal: bool) -> bool:
    """Whether a stream gets colours: the option decides, then NO_COLOR, FORCE_COLOR, CLICOLOR and TERM."""
    if choice != "auto":
        return choice == "always"
    get = os.environ.get
    if get("NO_COLOR"):
        return False
    if get("FORCE_COLOR", "0") not in ("", "0") or get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    if get("CLICOLOR") == "0" or get("TERM") == "dumb":
        return False
    return is_terminal


def terminal_size(*streams: TextIO) -> tuple[int, int]:
    """Columns and lines: COLUMNS and LINES, else the terminal's, else 80 and 24."""
    given = [os.environ.get(name, "") for name in ("COLUMNS", "LINES")]
    width, height = (int(text) if text.isdecimal() else 0 for text in given)
    for stream in streams:
        if width and height:
            break
        try:
            found = os.get_terminal_size(stream.fileno())
        except (OSError, ValueError, AttributeError):
            continue
        width, height = width or found.columns, height or found.lines
    return max(width or 80, 20), max(height or 24, 5)


def write_version() -> None:
    """Write the version, on the shortest way that there is."""
    from assetflow import __version__

    sys.stdout.write(f"assetflow {__version__}\n")


def _is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False


def _holds_glyphs(stream: TextIO) -> bool:
    try:
        NEEDED.encode(getattr(stream, "encoding", None) or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _without_commands(line: str) -> str:
    """The line as text: the runner of a job on GitHub carries out what begins with `::`, or contains `##[`."""
    inside = line.lstrip()
    if inside.startswith("::"):
        line = line[: len(line) - len(inside)] + ": :" + inside[2:]
    return line.replace("##[", "# #[")


def _printable(text: str) -> str:
    # Data of users must not move the cursor or change colours of the terminal.
    if text.isprintable():
        return text
    from assetflow.cli.table import one_line

    return one_line(text)
