"""The screen of `diff`: what differs, from the whole to the rows, and at the end why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from assetflow.cli.table import Cell, Column, Table, cell
from assetflow.cli.text import (
    Line,
    Piece,
    Span,
    aligned,
    bad,
    cells,
    clip_line,
    count,
    dim,
    good,
    head,
    number,
    shell,
    size,
    strong,
    warn,
    wrapped,
)
from assetflow.model.durations import words
from assetflow.model.keys import AssetKey, split_slot

if TYPE_CHECKING:
    from assetflow.cli.session import Session
    from assetflow.io.diff_results import (
        Cause,
        ColumnDiff,
        PathDiff,
        Profile,
        RowDiff,
        SchemaDiff,
        Side,
        TableDiff,
        ValueDiff,
    )

_WIDEST = 28
"""How many columns of the screen one value of a row may take."""

_LABEL = 10
_BARS = "▁▂▃▄▅▆▇█"
_ARROW = " → "


def table_lines(
    found: TableDiff, session: Session, *, only_rows: bool = False, export: str | None = None
) -> list[Line]:
    """The screen of two tables."""
    lines = [_title(found.old, found.new, _counts(found), (_key(found), words(session.elapsed_s)))]
    if found.level != "identical" and not only_rows:
        lines += _labelled("schema", _schema_words(found.schema), session.width)
        lines += _labelled("columns", _column_words(found), session.width)
        lines += _profile_lines(found.columns, session.width)
    if found.rows:
        lines += _row_lines(found, session.width)
    if export is not None:
        lines += _labelled("written", [f"{export} · {count(found.exported or 0, 'row')}"], session.width)
    lines += _note_lines(found.notes, session.width)
    return lines if only_rows else lines + _cause_lines(found, session)


def value_lines(found: ValueDiff, session: Session) -> list[Line]:
    """The screen of two values that are not both tables."""
    if not found.is_different:
        outcome = good("identical")
    else:
        outcome = warn("different" if found.count is None else count(found.count, "difference"))
    lines = [_title(found.old, found.new, (outcome,), (words(session.elapsed_s),))]
    if found.is_different:
        lines += _labelled("hash", [f"{_short(found.old)}{_ARROW}{_short(found.new)}"], session.width)
    for index, one in enumerate(found.paths):
        lines.append(clip_line((head(_label("paths" if not index else "")), *_path_words(one)), session.width))
    hidden = (found.count or 0) - len(found.paths)
    if hidden > 0 and found.paths:
        lines.append((" " * _LABEL, dim(f"… {hidden:,} more   (--limit)")))
    lines += _note_lines(found.notes, session.width)
    return lines + _cause_lines(found, session)


def rows_table(found: TableDiff) -> Table:
    """The sample for programs: one line for each value that differs; `row` counts the rows of the sample."""
    keys = [Column(name, name) for name in found.key]
    first = [Column("row", "ROW"), Column("change", "CHANGE"), Column("count", "COUNT")]
    columns = [*first, *keys, Column("column", "COLUMN"), Column("old", "OLD"), Column("new", "NEW")]
    rows: list[tuple[Cell, ...]] = []
    for place, row in enumerate(found.rows, 1):
        start = [cell(place), cell(row.change), cell(row.count), *(cell(row.key.get(name)) for name in found.key)]
        values = [(name, *pair) for name, pair in row.values.items()] or [(None, None, None)]
        rows += [(*start, cell(name), cell(old), cell(new)) for name, old, new in values]
    return Table(tuple(columns), tuple(rows))


def paths_table(found: ValueDiff) -> Table:
    """The sample for programs: one line for each place that differs."""
    columns = (Column("change", "CHANGE"), Column("path", "PATH"), Column("old", "OLD"), Column("new", "NEW"))
    return Table(columns, tuple((cell(p.change), cell(p.path), cell(p.old), cell(p.new)) for p in found.paths))


def _label(word: str) -> str:
    return f" {word}".ljust(_LABEL)


def _labelled(label: str, pieces: Sequence[Piece], width: int) -> list[Line]:
    """Words behind a label; nothing where there are none."""
    return wrapped((head(_label(label)),), pieces, width=width) if pieces else []


def _note_lines(notes: Sequence[str], width: int) -> list[Line]:
    """Sentences, each behind a label, broken between words."""
    return [
        line for note in notes for line in wrapped((head(_label("note")),), note.split(" "), width=width, separator=" ")
    ]


def _title(old: Side, new: Side, outcome: Sequence[Piece], rest: Sequence[str]) -> Line:
    same = old.asset == new.asset
    name = f"{old.asset} v{old.version} → v{new.version}" if same else f"{old.name} → {new.name}"
    if old.rows is not None and new.rows is not None:
        amounts = f"rows {number(old.rows)}" + ("" if old.rows == new.rows else f" → {number(new.rows)}")
    else:
        amounts = size(old.size_bytes) + ("" if old.size_bytes == new.size_bytes else f" → {size(new.size_bytes)}")
    pieces: list[Piece] = [" ", strong(name), "   ", amounts]
    for index, word in enumerate(outcome):
        pieces += ["   " if not index else " · ", word]
    return (*pieces, dim("   " + " · ".join(word for word in rest if word)))


def _counts(found: TableDiff) -> list[Piece]:
    if found.level == "identical":
        return [good("identical")]
    if not found.is_different:
        return [good("no difference")]
    if found.added is None or found.removed is None:
        return [dim("rows not compared")]
    if found.level == "append" and found.added:
        return [good(f"append of {count(found.added, 'row')}")]
    if found.level == "append":
        return [bad(f"{count(found.removed, 'row')} removed at the end")]
    if not (found.added or found.removed or found.changed):
        schema = found.schema
        is_part = schema.added or schema.removed or schema.renamed
        return [good(f"no row differs in the {count(found.common, 'common column')}" if is_part else "no row differs")]
    added, removed = good(f"+{found.added:,}"), bad(f"−{found.removed:,}")
    return [added, removed] if found.level == "multiset" else [added, warn(f"~{found.changed:,}"), removed]


def _key(found: TableDiff) -> str:
    if not found.key:
        return "no key" if found.level == "multiset" else ""
    return f"key {', '.join(found.key)}" + ("" if found.key_from == "given" else f" ({found.key_from})")


def _schema_words(schema: SchemaDiff) -> list[Piece]:
    if schema.is_empty:
        return [dim("unchanged")]
    pieces: list[Piece] = [good(f"+ {name} {kind}") for name, kind in schema.added]
    pieces += [bad(f"− {name} {kind}") for name, kind in schema.removed]
    pieces += [warn(f"{old} is now {new}") for old, new in schema.renamed]
    pieces += [
        warn(f"{one.name} {one.old} → {one.new}" + ("" if one.is_compared else " (values not compared)"))
        for one in schema.retyped
    ]
    return [*pieces, warn("columns in another order")] if schema.is_reordered else pieces


def _column_words(found: TableDiff) -> list[Piece]:
    if found.level == "append" or any(one.old is not None for one in found.columns):
        return []
    if not found.columns:
        return [dim("no content differs")] if found.level == "schema" else []
    pieces: list[Piece] = [
        f"{one.name} ({number(one.changed)})" if one.changed is not None else one.name for one in found.columns
    ]
    is_alone = found.level == "schema" and len(pieces) == 1 and found.schema.is_empty
    return [f"only {found.columns[0].name} differs"] if is_alone else pieces


def _profile_lines(columns: Iterable[ColumnDiff], width: int) -> list[Line]:
    found = [(one, one.old, one.new) for one in columns if one.old is not None and one.new is not None]
    wide = max((cells(one.name) for one, _, _ in found), default=0)
    lines: list[Line] = []
    for one, old, new in found:
        changed = [] if one.changed is None else [f"{number(one.changed)} changed"]
        label = (head(_label("columns" if not lines else "")), one.name + " " * (wide - cells(one.name) + 2))
        lines += wrapped(label, [*changed, *_profile_words(old, new)], width=width)
    return lines


def _profile_words(old: Profile, new: Profile) -> list[str]:
    pieces = [f"nulls {_moved(number(old.nulls), number(new.nulls))}"]
    if old.nans or new.nans:
        pieces.append(f"NaN {_moved(number(old.nans), number(new.nans))}")
    if old.mean is not None and new.mean is not None:
        change = f" ({(new.mean - old.mean) / abs(old.mean):+.1%})" if old.mean and old.mean != new.mean else ""
        pieces.append(f"mean {_moved(f'{old.mean:.4g}', f'{new.mean:.4g}')}{change.replace('-', '−')}")
    for label, was, now in (("min", old.low, new.low), ("max", old.high, new.high)):
        if was is not None or now is not None:
            pieces.append(f"{label} {_moved(*_texts(was, now))}")
    if old.distinct is not None and new.distinct is not None:
        pieces.append(f"distinct ≈{_moved(number(old.distinct), number(new.distinct))}")
    if old.histogram and new.histogram:
        pieces.append(f"{_bars(old.histogram)}{_ARROW}{_bars(new.histogram)}")
    return pieces


def _moved(old: str, new: str) -> str:
    return old if old == new else f"{old}{_ARROW}{new}"


def _bars(histogram: Sequence[int]) -> str:
    most = max(histogram) or 1
    return "".join([_BARS[-(-amount * (len(_BARS) - 1) // most)] for amount in histogram])


def _row_lines(found: TableDiff, width: int) -> list[Line]:
    """The sample as a table; changed cells show both values, and columns that no row changes stay away."""
    keys = list(found.key)
    changed = [row for row in found.rows if row.change == "changed"]
    names = list(dict.fromkeys(name for row in (changed or found.rows) for name in row.values))
    grid: list[list[Line | Piece]] = [["", *(dim(name) for name in (*keys, *names))]]
    for row in found.rows:
        mark = {"changed": warn("~"), "added": good("+"), "removed": bad("−")}[row.change]
        shown: list[Line | Piece] = [mark, *(_text(row.key[name]) for name in keys)]
        shown += [_cell(row, name) for name in names]
        if row.count > 1:
            shown.append(dim(f"× {row.count:,}"))
        grid.append(shown)
    lines = aligned(grid, indent=0, limit=2 * _WIDEST + len(_ARROW))
    found_lines = [
        clip_line((head(_label("rows" if not index else "")), *line), width) for index, line in enumerate(lines)
    ]
    counted = (found.added or 0) + (found.removed or 0) + (found.changed or 0)
    hidden = counted - sum(row.count for row in found.rows)
    if hidden > 0:
        found_lines.append((" " * _LABEL, dim(f"… {hidden:,} more   (--limit, or --export changes.parquet)")))
    return found_lines


def _cell(row: RowDiff, name: str) -> Line | Piece:
    if name not in row.values:
        return dim("·")
    old, new = row.values[name]
    if row.change == "changed":
        was, now = _texts(old, new)
        return (was, dim(_ARROW), now)
    return _text(new if row.change == "added" else old)


def _text(value: object) -> str:
    from assetflow.io.sql import cell_text

    return cell_text(value, _WIDEST)


def _texts(old: object, new: object) -> tuple[str, str]:
    """Both values as texts that differ where the values do: digits and letters that tell them apart are not cut off."""
    was, now = _text(old), _text(new)
    if was != now or old is new:
        return was, now
    if isinstance(old, float) and isinstance(new, float):
        return repr(old), repr(new)
    texts = (str(old), str(new))
    same = next((i for i, (one, other) in enumerate(zip(*texts, strict=False)) if one != other), min(map(len, texts)))
    start = max(0, same - _WIDEST // 2)
    if not start:
        return was, now
    return f"…{_text(texts[0][start:])}", f"…{_text(texts[1][start:])}"


def _path_words(one: PathDiff) -> list[Piece]:
    if isinstance(one.old, Mapping) or isinstance(one.new, Mapping):
        return [f"{one.path}  ", *_file_words(one)]
    if one.change == "changed":
        was, now = _texts(one.old, one.new)
        return [f"{one.path}  ", was, dim(_ARROW), now]
    return [f"{one.path}  ", _sign(one), " ", _text(one.new if one.change == "added" else one.old)]


def _file_words(one: PathDiff) -> list[Piece]:
    from typing import cast

    sides = [cast("Mapping[str, object]", side) for side in (one.old, one.new) if isinstance(side, Mapping)]
    if not all("bytes" in side for side in sides):
        return [_sign(one), " ", _text(one.new if one.change == "added" else one.old)]
    sizes = [size(cast("int", side["bytes"])) for side in sides]
    hashes = [str(side["hash"]).rpartition(":")[2][:8] for side in sides]
    return [_sign(one), " ", _ARROW.join(sizes), dim(f"   {_ARROW.join(hashes)}")]


def _sign(one: PathDiff) -> Span:
    return {"added": good("+"), "removed": bad("−")}.get(one.change, warn("~"))


def _short(side: Side) -> str:
    return side.data_hash.rpartition(":")[2][:8]


def _cause_lines(found: TableDiff | ValueDiff, session: Session) -> list[Line]:
    """What made the difference."""
    if not found.is_different or found.old.asset != found.new.asset:
        return []
    if found.cause is None:
        return _labelled("cause", [dim("not recorded")], session.width)
    if found.cause.is_same:
        return _labelled("cause", [warn("same inputs, same code: the function is not deterministic")], session.width)
    lines = _code_lines(found.cause, session)
    stored = {key for key, spec in session.project().graph.specs.items() if not spec.is_source}
    if found.cause.config:
        pieces = [f"{one.field}: {one.old or 'unset'}{_ARROW}{one.new or 'unset'}" for one in found.cause.config]
        lines += _labelled("config", pieces, session.width)
    if found.cause.inputs:
        inputs: list[Piece] = []
        for one in found.cause.inputs:
            if one.change != "changed":
                inputs.append(f"{one.upstream} {one.change}")
            elif one.old is None or one.new is None:
                inputs.append(f"{one.upstream} changed")
            else:
                same = one.old == one.new
                inputs.append(
                    f"{one.upstream} v{one.old}" + (" read in another way" if same else f"{_ARROW}v{one.new}")
                )
        lines += _labelled("inputs", inputs, session.width)
        commands = [
            shell(["assetflow", "diff", f"{one.upstream}@{one.old}", f"{one.upstream}@{one.new}"])
            for one in found.cause.inputs
            if split_slot(AssetKey(one.upstream))[0] in stored and None not in (one.old, one.new) and one.old != one.new
        ]
        lines += _labelled("next", commands, session.width)
    return lines


def _code_lines(cause: Cause, session: Session) -> list[Line]:
    pieces: list[Piece] = []
    for one in cause.code:
        place = f" {session.place(one.file, one.line)}" if one.file is not None else ""
        pieces.append(f"{one.name} {one.change}{place}")
    if cause.is_definition_changed:
        pieces.append("its definition changed")
    return _labelled("code", pieces, session.width)
