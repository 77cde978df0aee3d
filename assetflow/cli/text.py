"""Lines of styled text, and the words that screens share: numbers, sizes, times, states.

Everything here is pure and imports next to nothing, so that it can be used on the fastest path.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence


class Span:
    """A piece of text with the name of a style: good, warn, bad, dim, strong or head."""

    __slots__ = ("style", "text")

    def __init__(self, text: str, style: str = "") -> None:
        self.text, self.style = text, style

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Span) and (self.text, self.style) == (other.text, other.style)

    def __hash__(self) -> int:
        return hash((self.text, self.style))

    def __repr__(self) -> str:
        return f"Span({self.text!r}, {self.style!r})"


Piece = str | Span
Line = tuple[Piece, ...]

BLANK: Line = ()

MARKS = {
    "current": "●", "reusable": "≡", "stale": "◐", "maybe": "◔", "missing": "○", "failed": "✗", "rejected": "✗",
    "blocked": "⊘", "running": "▶", "source": "◇", "materialized": "✓", "unchanged": "≡", "linked": "≡",
    "cut_off": "≡", "skipped": "·", "cancelled": "·", "died": "✗", "ok": "✓", "overdue": "⏱", "due": "⏱",
    "pinned": "◆", "undecided": "?",
}  # fmt: skip
"""The glyph of each state; a word always stands beside it."""

STYLES = {
    "current": "good", "reusable": "good", "materialized": "good", "ok": "good", "unchanged": "good", "linked": "good",
    "cut_off": "good", "stale": "warn", "maybe": "warn", "overdue": "bad", "due": "warn", "failed": "bad",
    "rejected": "bad", "died": "bad", "blocked": "bad", "running": "head", "source": "dim", "missing": "",
    "skipped": "dim", "cancelled": "dim", "pinned": "head", "undecided": "warn",
}  # fmt: skip

ASCII = str.maketrans({
    "●": "*", "◐": "~", "◔": "?", "○": "o", "✗": "x", "⊘": "/", "◇": "#", "≡": "=", "▶": ">", "⏱": "!", "✓": "+",
    "❱": ">", "·": "-", "–": "-", "—": "-", "−": "-", "≈": "~", "…": "...", "→": "->", "←": "<-", "↑": "^", "│": "|",
    "├": "|", "└": "`", "─": "-", "━": "=", "╸": "-", "▲": "!", "×": "x", "≥": ">=", "≤": "<=",
    "◆": "^",
})  # fmt: skip
"""What `--ascii`, and a stream that cannot hold the glyphs, show instead of them."""

# Glyphs that the screens cannot do without: a stream that cannot encode these gets ASCII.
NEEDED = "●◐◔○✗⊘◇≡▶✓→│└─…"


def good(text: str) -> Span:
    """Text about something that is well."""
    return Span(text, "good")


def warn(text: str) -> Span:
    """Text about something to look at."""
    return Span(text, "warn")


def bad(text: str) -> Span:
    """Text about something that failed."""
    return Span(text, "bad")


def dim(text: str) -> Span:
    """Text that stands back."""
    return Span(text, "dim")


def strong(text: str) -> Span:
    """Text that stands out."""
    return Span(text, "strong")


def head(text: str) -> Span:
    """A heading or a label."""
    return Span(text, "head")


def state_words(state: str, note: str = "") -> Span:
    """`● current`: the glyph and the word of a state, and a note behind it."""
    word = state.replace("_", " ")
    text = f"{MARKS.get(state, '·')} {word}"
    return Span(f"{text} {note}" if note else text, STYLES.get(state, ""))


def state_mark(state: str) -> Span:
    """The glyph of a state; the caller puts the word next to it."""
    return Span(MARKS.get(state, "·"), STYLES.get(state, ""))


def flat(line: Line | Piece) -> str:
    """The text of a line without its styles."""
    pieces = line if isinstance(line, tuple) else (line,)
    return "".join([piece if isinstance(piece, str) else piece.text for piece in pieces])


def cells(text: str) -> int:
    """How many columns of a terminal the text takes."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(sign) else 2 if east_asian_width(sign) in "WF" else 1 for sign in text)


def clip(text: str, width: int) -> str:
    """The text, cut with an ellipsis so that it takes at most `width` columns."""
    if cells(text) <= width:
        return text
    kept: list[str] = []
    used = 0
    for sign in text:
        used += cells(sign)
        if used > width - 1:
            break
        kept.append(sign)
    return "".join(kept) + "…" if width > 0 else ""


def clip_line(line: Line, width: int) -> Line:
    """The line, cut with an ellipsis so that it takes at most `width` columns."""
    if cells(flat(line)) <= width:
        return line
    found: list[Piece] = []
    room = width
    for piece in line:
        text = flat(piece)
        if cells(text) >= room:
            cut = clip(text + " ", room)
            found.append(cut if isinstance(piece, str) else Span(cut, piece.style))
            break
        found.append(piece)
        room -= cells(text)
    return tuple(found)


def aligned(
    rows: Iterable[Sequence[Line | Piece]], *, indent: int = 1, gap: int = 2, right: Sequence[int] = (), limit: int = 44
) -> list[Line]:
    """Rows as lines with their columns below each other; the last column is not padded.

    Columns in `right` are set to the right. A cell wider than `limit` pushes only its own row.
    """
    grid = [[cell if isinstance(cell, tuple) else (cell,) for cell in row] for row in rows]
    count = max((len(row) for row in grid), default=0)
    widths = [0] * count
    for row in grid:
        for index, cell in enumerate(row):
            size = cells(flat(cell))
            if size <= limit:
                widths[index] = max(widths[index], size)
    lines: list[Line] = []
    for row in grid:
        pieces: list[Piece] = [" " * indent]
        for index, cell in enumerate(row):
            space = " " * max(0, widths[index] - cells(flat(cell)))
            if index in right:
                pieces.append(space)
            pieces.extend(cell)
            if index < len(row) - 1:
                pieces.append(" " * gap if index in right else space + " " * gap)
        lines.append(stripped(tuple(pieces)))
    return lines


def stripped(line: Line) -> Line:
    """The line without white space at its end."""
    found = list(line)
    while found:
        last = found.pop()
        text = flat(last).rstrip()
        if text:
            found.append(text if isinstance(last, str) else Span(text, last.style))
            break
    return tuple(found)


def wrapped(label: Line, words: Sequence[Piece], *, width: int, separator: str = "   ") -> list[Line]:
    """Words behind a label, broken between words so that lines stay within `width`; continued under the first word."""
    start = cells(flat(label))
    lines: list[list[Piece]] = [list(label)]
    used = start
    for index, word in enumerate(words):
        size = cells(flat(word))
        if index and used + len(separator) + size > width:
            lines.append([" " * start])
            used = start
        elif index:
            lines[-1].append(separator)
            used += len(separator)
        lines[-1].append(word)
        used += size
    return [tuple(line) for line in lines]


def number(value: int | None) -> str:
    """`9,214`; a dash for nothing."""
    return "–" if value is None else f"{value:,}"


def size(value: int | None) -> str:
    """`412 kB`: at most four digits and a decimal unit; a dash for nothing."""
    if value is None:
        return "–"
    if value < 1000:
        return f"{value} B"
    amount = float(value)
    for unit in ("kB", "MB", "GB", "TB", "PB"):
        amount /= 1000
        if amount < 999.5 or unit == "PB":
            return f"{amount:.1f} {unit}" if amount < 9.95 else f"{amount:.0f} {unit}"
    raise AssertionError(value)


def count(amount: int, singular: str, plural: str = "") -> str:
    """`1 asset`, `2 assets`."""
    return f"{amount:,} {singular if amount == 1 else plural or singular + 's'}"


def ago(then: float | None, now: float) -> str:
    """`2 h ago`, in one unit, rounded down; `in 5 min` for a time to come; a dash for nothing."""
    if then is None:
        return "–"
    passed = now - then
    if passed < 0:
        return f"in {_one_unit(-passed)}" if passed < -5 else "just now"
    return "just now" if passed < 5 else f"{_one_unit(passed)} ago"


def _one_unit(amount_s: float) -> str:
    for unit, unit_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if amount_s >= unit_s:
            return f"{int(amount_s // unit_s)} {unit}"
    return f"{int(amount_s)} s"


def iso(moment: float | None) -> str:
    """`2026-11-22T13:40:01Z`; empty for nothing."""
    if moment is None:
        return ""
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(moment, UTC).isoformat()[:19]}Z"  # five times as fast as strftime


def shell(words: Iterable[str]) -> str:
    """A command that can be pasted into a shell."""
    return " ".join([_quoted(word) for word in words])


def _quoted(word: str) -> str:
    safe = word and all(sign.isalnum() or sign in "@%+=:,./-_" for sign in word) and word.isascii()
    return word if safe else "'" + word.replace("'", "'\"'\"'") + "'"
