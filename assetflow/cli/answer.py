"""What a verb answers: data for programs and a screen for people. `render` decides which of them is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from assetflow.cli.table import Table
from assetflow.cli.text import Line
from assetflow.errors import AssetflowError


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a verb.

    `data` is called for --json only. `lines` is the screen; without it the `table` is, with `below` under it on a
    terminal. A verb with both shows the lines, and the table for `--format csv` and its like. `text` goes to stdout as
    it is; a verb that `is_told` has written all of its answer while it ran. `hints` go to stderr. `exit_code` other
    than 0 comes with `failure`: its first line is printed last, or instead of it the `ending`, for what is no error.
    """

    data: Callable[[], object]
    lines: Sequence[Line] = ()
    table: Table | None = None
    below: Sequence[Line] = ()
    text: str | None = None
    hints: Sequence[Line] = ()
    exit_code: int = 0
    failure: AssetflowError | None = None
    ending: Line = ()
    is_told: bool = False
