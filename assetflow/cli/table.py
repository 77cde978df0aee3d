"""Tables as values: each cell has what people see and what programs read; and the formats for programs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import cast

from assetflow.cli.text import Line, Piece, Span, cells, flat


class Column:
    """One column. On a narrow terminal those with the highest `leave` go first; 0 stays and is cut instead.

    `note` stands below the title for people, such as the type of the values. `least` is a width to which the column
    may be cut before others leave.
    """

    __slots__ = ("is_right", "least", "leave", "name", "note", "title")

    def __init__(
        self, name: str, title: str, is_right: bool = False, leave: int = 0, note: str = "", least: int = 0
    ) -> None:
        self.name, self.title, self.is_right, self.leave = name, title, is_right, leave
        self.note, self.least = note, least


class Cell:
    """What people see, and the value for programs."""

    __slots__ = ("shown", "value")

    def __init__(self, shown: Line, value: object) -> None:
        self.shown, self.value = shown, value


class Table:
    """Columns and rows of the same length."""

    __slots__ = ("columns", "rows")

    def __init__(self, columns: tuple[Column, ...], rows: tuple[tuple[Cell, ...], ...]) -> None:
        self.columns, self.rows = columns, rows


def cell(value: object, shown: Line | Piece | None = None) -> Cell:
    """A cell; without `shown` people see the value itself, and a dash for nothing."""
    if shown is None:
        shown = Span("–", "dim") if value is None else plain_text(value)
    return Cell(shown if isinstance(shown, tuple) else (shown,), value)


def fitting(table: Table, width: int, gap: int = 2) -> tuple[Table, list[int]]:
    """The table as it fits into `width`, and the width of each of its columns.

    First those columns leave that may; then the widest of the others are cut.
    """
    sizes = [
        max([cells(column.title), cells(column.note), *(cells(flat(row[index].shown)) for row in table.rows)])
        for index, column in enumerate(table.columns)
    ]
    # A column with a `least` gives way, down to that width, before another one has to leave.
    needed = [min(size, column.least or size) for size, column in zip(sizes, table.columns, strict=True)]
    kept = list(range(len(table.columns)))
    while sum(needed[index] + gap for index in kept) - gap > width:
        leaving = max(kept, key=lambda index: (table.columns[index].leave, index))
        if table.columns[leaving].leave == 0:
            break
        kept.remove(leaving)
    fitted = Table(
        tuple(table.columns[index] for index in kept), tuple(tuple(row[index] for index in kept) for row in table.rows)
    )
    return fitted, _cut([sizes[index] for index in kept], width - gap * (len(kept) - 1))


def _cut(sizes: list[int], room: int) -> list[int]:
    """The sizes, the widest of them made smaller until their sum is at most `room`; none smaller than four."""
    found = list(sizes)
    while sum(found) > room:
        widest = max(range(len(found)), key=found.__getitem__)
        if found[widest] <= 4:
            break
        others = [size for size in found if size < found[widest]]
        found[widest] = max(4, max(others, default=4), found[widest] - (sum(found) - room))
        if found[widest] == max(others, default=0):
            found[widest] -= 1
    return found


def plain_text(value: object) -> str:
    """A value for programs as text: empty for None, `true`/`false`, ISO times, digits without separators."""
    if value is None:
        return ""
    if value.__class__ is str or value.__class__ is int:  # nearly all of them, and there may be very many
        return str(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, bytes):
        return value.hex()
    isoformat = getattr(value, "isoformat", None)
    return str(isoformat()) if isoformat is not None else str(value)


def one_line(text: str) -> str:
    r"""The text with tabs, line ends and other control characters written as escapes such as `\n`."""
    if text.isprintable():
        return text
    return "".join(
        [sign if sign.isprintable() else sign.encode("unicode_escape", "surrogatepass").decode() for sign in text]
    )


def formatted(table: Table, form: str) -> str:
    """The table as text in plain (tab-separated, no header), tsv, csv, md or jsonl."""
    if form == "csv":
        return _csv(table)
    if form == "md":
        return _markdown(table)
    if form == "jsonl":
        return _jsonl(table)
    rows = [["" if one.value is None else one_line(plain_text(one.value)) for one in row] for row in table.rows]
    if form == "tsv":
        rows.insert(0, [column.name for column in table.columns])
    return "".join(["\t".join(row) + "\n" for row in rows])


def jsonable(value: object) -> object:
    """The value as JSON can hold it: times as ISO text, numbers that JSON lacks as null, anything else as text."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): jsonable(one) for key, one in cast("Mapping[object, object]", value).items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [jsonable(one) for one in cast("Iterable[object]", value)]
    return plain_text(value)


def _csv(table: Table) -> str:
    rows = [[column.name for column in table.columns], *([plain_text(one.value) for one in row] for row in table.rows)]
    return "".join([_csv_row(row) + "\n" for row in rows])


def _csv_row(texts: Sequence[str]) -> str:
    # Not the csv module: it leaves a bare carriage return unquoted when lines end with a line feed.
    if len(texts) == 1 and not texts[0]:
        return '""'  # an empty line would not be a row
    return ",".join(
        ['"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\r\n') else text for text in texts]
    )


def _markdown(table: Table) -> str:
    lines = [_markdown_row([column.title for column in table.columns])]
    lines.append(_markdown_row(["---:" if column.is_right else "---" for column in table.columns]))
    lines += [_markdown_row([flat(one.shown) for one in row]) for row in table.rows]
    return "".join([line + "\n" for line in lines])


def _markdown_row(texts: Sequence[str]) -> str:
    return "| " + " | ".join([one_line(text).replace("|", "\\|") for text in texts]) + " |"


def _jsonl(table: Table) -> str:
    import json

    names = [column.name for column in table.columns]
    rows: Iterable[dict[str, object]] = (
        dict(zip(names, (jsonable(one.value) for one in row), strict=True)) for row in table.rows
    )
    return "".join([json.dumps(row) + "\n" for row in rows])
