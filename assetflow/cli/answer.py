"""What a verb answers: data for programs and a screen for people. `render` decides which of them is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assetflow.cli.table import Table
    from assetflow.cli.text import Line
    from assetflow.errors import AssetflowError


class JsonText(str):
    """Data that is JSON already, on one line and in Unicode."""

    __slots__ = ()


class Answer:
    """The result of a verb.

    `data` is called for --json only. `lines` is the screen; without it the `table` is, with `below` under it on a
    terminal. A verb with both shows the lines, and the table for `--format csv` and its like. `text` goes to stdout as
    it is; a verb that `is_told` has written all of its answer while it ran. `hints` go to stderr. `exit_code` other
    than 0 comes with `failure`: its first line is printed last, or instead of it the `ending`, for what is no error.
    """

    __slots__ = ("below", "data", "ending", "exit_code", "failure", "hints", "is_told", "lines", "table", "text")

    def __init__(  # noqa: PLR0913 - all that an answer may have, by keyword
        self,
        data: Callable[[], object],
        lines: Sequence[Line] = (),
        table: Table | None = None,
        below: Sequence[Line] = (),
        text: str | None = None,
        hints: Sequence[Line] = (),
        exit_code: int = 0,
        failure: AssetflowError | None = None,
        ending: Line = (),
        is_told: bool = False,
    ) -> None:
        self.data, self.lines, self.table, self.below, self.text = data, lines, table, below, text
        self.hints, self.exit_code, self.failure, self.ending, self.is_told = hints, exit_code, failure, ending, is_told
