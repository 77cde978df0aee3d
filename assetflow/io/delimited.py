"""Text tables: csv and tsv files as Arrow tables, and where exactly such a file is broken.

pyarrow reads; when it refuses, the file is read again with the standard library to find the line. Types are inferred
over all files of a glob, so they depend on neither the form nor how the rows are cut into files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from msgspec import Struct, field

from assetflow.errors import Location, SourceUnreadable, did_you_mean
from assetflow.io.columns import arrow_type, name_list, require_columns

NULLS = (
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip
"""What pandas reads as missing."""

_CONVERSION = re.compile(r"column #(\d+):.*?conversion error to (.+?): (.*)", re.DOTALL)
_SHOWN_WIDTH = 100


class Dialect(Struct, frozen=True):
    """How a text table is written. `nulls` replaces the texts that mean missing; `columns` replaces the header line."""

    delimiter: str = ","
    nulls: tuple[str, ...] = NULLS
    types: Mapping[str, str] = field(default_factory=dict[str, str])
    encoding: str = "utf-8"
    header: bool = True
    columns: tuple[str, ...] | None = None


class _Header(Struct, frozen=True):
    """The column names of one file, how many rows come before its data, and whether the names replace its own."""

    names: tuple[str, ...]
    skip: int
    replaced: bool


def read_delimited(paths: Sequence[Path], dialect: Dialect, columns: tuple[str, ...] | None) -> Any:
    """The files as one `pyarrow.Table`, rows in the order of `paths`; with `columns`, only those, in that order.

    Inferred timestamps have microseconds (nanoseconds only where something would be lost). A column that is a number
    in one file and text in another is text in all, as in one long file.

    Raises:
        SourceUnreadable: a file is empty, broken, in another encoding, or has other columns than the first.
        ContractBroken: a wanted column is not there.
    """
    import pyarrow as pa

    arrow: Any = pa
    headers = [_header(path, dialect) for path in paths]
    first = headers[0]
    _check_names(paths, headers, dialect)
    if columns is not None:
        require_columns(columns, first.names, f"`{paths[0].name}`", fix=_delimiter_hint(first.names))
    chosen = first.names if columns is None else columns
    tables = [_read(path, header, dialect, chosen, {}) for path, header in zip(paths, headers, strict=True)]
    if len(tables) == 1:
        return tables[0]
    types = {name: _common_type([table.schema.field(name).type for table in tables]) for name in chosen}
    for index, table in enumerate(tables):
        # Read again instead of cast: the text `007` of a column that is text elsewhere must not become `7`.
        other = {n: t for n, t in types.items() if table.schema.field(n).type not in (t, arrow.null())}
        if other:
            tables[index] = _read(paths[index], headers[index], dialect, chosen, other)
    return arrow.concat_tables(tables, promote_options="permissive")


def open_bytes(path: Path) -> Any:
    """A buffered binary file, uncompressed when the name ends in .gz, .bz2 or .zst.

    Raises:
        SourceUnreadable: the file cannot be opened.
    """
    import io

    import pyarrow as pa

    arrow: Any = pa
    try:
        if path.suffix in (".gz", ".bz2", ".zst"):
            return io.BufferedReader(arrow.input_stream(str(path), compression="detect"))
        return path.open("rb")
    except OSError as error:
        raise SourceUnreadable(
            f"`{path}` cannot be opened: {error.strerror or error}", where=Location(str(path), 1)
        ) from error


def check_same_names(first: Path, names: Sequence[str], path: Path, found: Sequence[str]) -> None:
    """Raise SourceUnreadable when two files of a glob do not have the same columns (their order may differ)."""
    missing = [name for name in names if name not in found]
    extra = [name for name in found if name not in names]
    if missing or extra:
        raise SourceUnreadable(
            f"`{path.name}` has other columns than `{first.name}`, so they are not one table",
            facts=[
                *([f"missing in {path.name}: {name_list(missing)}"] if missing else []),
                *([f"only in {path.name}: {name_list(extra)}"] if extra else []),
            ],
            fix="make the columns equal, or declare a source for each kind of file",
            where=Location(str(path), 1),
        )


def _read(path: Path, header: _Header, dialect: Dialect, chosen: tuple[str, ...], types: Mapping[str, Any]) -> Any:
    """One file as a table of the chosen columns; `types` come before what is inferred and what the dialect says."""
    import pyarrow as pa
    from pyarrow import csv

    arrow: Any = pa
    csv_: Any = csv
    given = {name: arrow_type(kind) for name, kind in dialect.types.items()} | dict(types)
    if not header.names or (dialect.columns is not None and path.stat().st_size == 0):
        return arrow.table({name: arrow.array([], given.get(name, arrow.null())) for name in chosen})
    try:
        table = csv_.read_csv(
            str(path),
            read_options=csv_.ReadOptions(
                encoding=_plain_encoding(dialect.encoding),
                column_names=list(header.names) if header.replaced else None,
                skip_rows_after_names=header.skip if header.replaced else 0,
            ),
            parse_options=csv_.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True),
            convert_options=csv_.ConvertOptions(
                column_types=given,
                null_values=list(dialect.nulls),
                strings_can_be_null=True,
                include_columns=list(chosen),
            ),
        )
    except UnicodeError as error:
        raise _encoding_error(path, dialect) from error
    except arrow.ArrowInvalid as error:
        raise _parse_error(path, header, dialect, str(error)) from error
    except OSError as error:
        raise SourceUnreadable(f"`{path.name}` cannot be read: {error}", where=Location(str(path), 1)) from error
    inferred = [f.name for f in table.schema if f.name not in given]
    if any(arrow.types.is_binary(table.schema.field(name).type) for name in inferred):
        raise _encoding_error(path, dialect)  # pyarrow hands over text that is not UTF-8 as bytes without a word
    _check_quotes(path, dialect)
    return _microseconds(table, inferred)


def _microseconds(table: Any, names: Sequence[str]) -> Any:
    """The table with inferred timestamps in microseconds, so that the unit does not depend on the rows."""
    import pyarrow as pa

    arrow: Any = pa
    for name in names:
        found = table.schema.field(name).type
        if arrow.types.is_timestamp(found) and found.unit != "us":
            position = table.schema.get_field_index(name)
            try:
                table = table.set_column(position, name, table.column(position).cast(arrow.timestamp("us", found.tz)))
            except arrow.ArrowInvalid:
                continue  # the file has nanoseconds; they are kept
    return table


def _common_type(types: Sequence[Any]) -> Any:
    """The type that one long file with all rows would have."""
    import pyarrow as pa

    arrow: Any = pa
    found = {kind for kind in types if kind != arrow.null()}
    if len(found) <= 1:
        return found.pop() if found else arrow.null()
    if found == {arrow.int64(), arrow.float64()}:
        return arrow.float64()
    if all(arrow.types.is_timestamp(kind) or kind == arrow.date32() for kind in found):
        stamps = {kind for kind in found if kind != arrow.date32()}
        if len(stamps) == 1 and next(iter(stamps)).tz is None:
            return stamps.pop()
    return arrow.string()


def _header(path: Path, dialect: Dialect) -> _Header:
    """The column names of a file.

    Raises:
        SourceUnreadable: the file has no header line, or a header that is not in the encoding or names a column twice.
    """
    import csv

    if dialect.columns is not None and not dialect.header:
        return _Header(dialect.columns, 0, replaced=True)
    skip = 0
    with _open_text(path, dialect, "surrogateescape") as text:
        for row in csv.reader(text, delimiter=dialect.delimiter):
            skip += 1
            if row:
                break
        else:
            raise SourceUnreadable(
                f"`{path.name}` is empty; a table starts with a line of column names",
                fix='write the file again, or say `header=False, columns=["id", "name"]` when it has no header line',
                where=Location(str(path), 1),
            )
    if any("\udc80" <= letter <= "\udcff" for name in row for letter in name):
        raise _encoding_error(path, dialect)
    if dialect.columns is not None:
        return _Header(dialect.columns, skip, replaced=True)
    # Each library invents another name for a column without one (an index that pandas wrote), so it gets one here.
    names = [name or f"column_{position}" for position, name in enumerate(row, start=1)]
    twice = [name for index, name in enumerate(names) if name in names[:index]]
    if twice:
        raise SourceUnreadable(
            f"`{path.name}` has two columns called `{twice[0]}`",
            fix='name the columns yourself: source(..., columns=["id", ...])',
            where=Location(str(path), skip),
        )
    return _Header(tuple(names), skip, replaced=names != row)


def _check_names(paths: Sequence[Path], headers: Sequence[_Header], dialect: Dialect) -> None:
    """Raise SourceUnreadable when files differ in columns, or `types` names a column that is not there."""
    first = headers[0].names
    for path, header in zip(paths, headers, strict=True):
        check_same_names(paths[0], first, path, header.names)
    unknown = [name for name in dialect.types if name not in first]
    if unknown:
        raise SourceUnreadable(
            f"types= names the column `{unknown[0]}`, which `{paths[0].name}` does not have",
            facts=[f"columns: {name_list(first)}"],
            fix=did_you_mean(unknown[0], first) or _delimiter_hint(first) or "take it out of types=",
            where=Location(str(paths[0]), 1),
        )


def _delimiter_hint(names: Sequence[str]) -> str | None:
    """A fix when the header looks as if another character separated the columns."""
    if len(names) != 1:
        return None
    found = next((mark for mark in (";", "\t", "|", ",") if mark in names[0]), None)
    return None if found is None else f"the header looks separated by {found!r}: source(..., delimiter={found!r})"


def _parse_error(path: Path, header: _Header, dialect: Dialect, message: str) -> SourceUnreadable:
    """Why pyarrow refused the file, with the line as an editor counts it."""
    if "invalid UTF8" in message:
        return _encoding_error(path, dialect)
    conversion = _CONVERSION.search(message)
    try:
        if conversion:
            return _conversion_error(path, header, dialect, conversion)
        opened = _unclosed_quote(path, dialect)
        if opened is not None:
            return opened
        for line, row in _rows(path, dialect):
            if row and len(row) != len(header.names):
                return _count_error(path, header, dialect, line, len(row))
    except ValueError:
        pass  # the standard library gave up on the file as well: pyarrow's own words have to do
    return SourceUnreadable(
        f"`{path.name}` cannot be read: {message.partition(chr(10))[0]}", where=Location(str(path), 1)
    )


def _count_error(path: Path, header: _Header, dialect: Dialect, line: int, found: int) -> SourceUnreadable:
    expected = len(header.names)
    return SourceUnreadable(
        f"`{path.name}` line {line}: expected {expected} value{'s' if expected != 1 else ''}, found {found}",
        facts=[f"columns: {name_list(header.names)}", f"line {line}: {_line_text(path, dialect, line)}"],
        fix=_delimiter_hint(header.names)
        or f"correct line {line}; a value that contains {dialect.delimiter!r} must stand in double quotes",
        where=Location(str(path), line),
    )


def _conversion_error(path: Path, header: _Header, dialect: Dialect, found: re.Match[str]) -> SourceUnreadable:
    index, kind, reason = int(found[1]), found[2], found[3]
    name = header.names[index]
    line = next(
        (line for line, row in _rows(path, dialect, header.skip) if len(row) > index and f"'{row[index]}'" in reason), 1
    )
    cut = reason.partition(". ")[0]
    return SourceUnreadable(
        f"`{path.name}` line {line}: column `{name}` cannot be read as {kind}: {cut}",
        facts=[f"line {line}: {_line_text(path, dialect, line)}"],
        fix=f'correct the value, or read the column as text: types={{"{name}": "string"}}',
        where=Location(str(path), line),
    )


def _check_quotes(path: Path, dialect: Dialect) -> None:
    """Raise SourceUnreadable for a quote that is never closed: pyarrow takes the rest of the file as one value."""
    with open_bytes(path) as data:
        count = sum(block.count(b'"') for block in iter(lambda: data.read(1 << 20), b""))
    opened = _unclosed_quote(path, dialect) if count % 2 else None
    if opened is not None:
        raise opened


def _unclosed_quote(path: Path, dialect: Dialect) -> SourceUnreadable | None:
    """The error for a quote that is never closed, or None when the quotes are in order."""
    import csv

    line = 0
    with _open_text(path, dialect) as text:
        reader = csv.reader(text, delimiter=dialect.delimiter, strict=True)
        try:
            for _ in reader:
                line = reader.line_num
        except csv.Error as error:
            if "unexpected end of data" not in str(error) and "field larger" not in str(error):
                return None  # a stray quote within a quoted value, which pyarrow reads as it stands
            return SourceUnreadable(
                f"`{path.name}` line {line + 1}: a quote is opened and never closed",
                facts=[f"line {line + 1}: {_line_text(path, dialect, line + 1)}"],
                fix='close the quote; a quote within a quoted value is written twice: ""',
                where=Location(str(path), line + 1),
            )
    return None


def _encoding_error(path: Path, dialect: Dialect) -> SourceUnreadable:
    """The first line that is not in the encoding, and the encoding that it probably is in."""
    with open_bytes(path) as data:
        start = data.read(2)
    encoding = dialect.encoding
    if start in (b"\xff\xfe", b"\xfe\xff") and not encoding.lower().startswith("utf-16"):
        fix = 'the file starts like UTF-16: source(..., encoding="utf-16")'
        return SourceUnreadable(f"`{path.name}` is not {encoding}", fix=fix, where=Location(str(path), 1))
    with open_bytes(path) as data:
        for number, line in enumerate(data, start=1):
            try:
                line.decode(_plain_encoding(encoding))
            except UnicodeDecodeError as error:
                # 0x80 to 0x9f are control characters in latin-1, but quotes and the euro sign in Windows' code page.
                probable = "cp1252" if any(0x80 <= byte <= 0x9F for byte in line) else "latin-1"
                return SourceUnreadable(
                    f"`{path.name}` line {number} is not {encoding}: byte 0x{line[error.start]:02x}",
                    facts=[f"line {number}, read as {probable}: {_cut(line.decode(probable, 'replace'))}"],
                    fix=f'source(..., encoding="{probable}")',
                    where=Location(str(path), number),
                )
    return SourceUnreadable(
        f"`{path.name}` is not {encoding}", fix='source(..., encoding="latin-1")', where=Location(str(path), 1)
    )


def _rows(path: Path, dialect: Dialect, skip: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Each row with the line that it starts on.

    Raises:
        ValueError: the standard library cannot read the file either.
    """
    import csv

    line = 0
    with _open_text(path, dialect) as text:
        reader = csv.reader(text, delimiter=dialect.delimiter)
        try:
            for index, row in enumerate(reader):
                if index >= skip:
                    yield line + 1, row
                line = reader.line_num
        except csv.Error as error:
            raise ValueError(str(error)) from error


def _line_text(path: Path, dialect: Dialect, line: int) -> str:
    from itertools import islice

    with _open_text(path, dialect) as text:
        return _cut(next(islice(text, line - 1, line), ""))


def _cut(text: str) -> str:
    text = text.rstrip("\r\n").replace("\t", "\\t")
    return text if len(text) <= _SHOWN_WIDTH else f"{text[: _SHOWN_WIDTH - 1]}…"


def _plain_encoding(encoding: str) -> str:
    return "utf-8" if encoding.lower().replace("_", "-") in ("utf-8-sig", "utf8") else encoding


def _open_text(path: Path, dialect: Dialect, errors: str = "replace") -> IO[str]:
    """The text of a file without a byte order mark, with its line ends as they are."""
    import io

    encoding = _plain_encoding(dialect.encoding)
    encoding = "utf-8-sig" if encoding.lower() == "utf-8" else encoding
    return io.TextIOWrapper(open_bytes(path), encoding=encoding, errors=errors, newline="")
