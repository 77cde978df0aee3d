"""Files of every format as Arrow tables; several files of a format as one table, in the order given."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from assetflow.errors import Location, SourceUnreadable
from assetflow.io.columns import arrow_type, require_columns
from assetflow.io.delimited import NULLS, Dialect, check_same_names, open_bytes, read_delimited

_LARGEST_BLOCK = 2**31 - 1


def read_table(
    format: str,
    paths: Sequence[Path],
    options: Mapping[str, object],
    columns: tuple[str, ...] | None,
) -> Any:
    """The files as one `pyarrow.Table`; with `columns`, only those, in that order, and little else is read.

    `format` is csv, tsv, parquet, arrow, json or jsonl; `options` have passed `sources.check_options`.

    Raises:
        SourceUnreadable: a file is not what the format says, or the files of a glob do not fit together.
        ContractBroken: a wanted column is not there.
    """
    if format in ("csv", "tsv"):
        return read_delimited(paths, _dialect(format, options), columns)
    tables = [_read_one(format, path, options, columns) for path in paths]
    first = tables[0]
    if columns is not None:
        first = first.select(list(columns))
    if len(tables) == 1:
        return first
    return _concatenate(paths, [first, *tables[1:]])


def read_documents(format: str, paths: Sequence[Path]) -> object:
    """What json and jsonl files say, as Python values: the document of one json file, else one list of all items.

    Raises:
        SourceUnreadable: a file is not JSON, or one of several json files is not an array.
    """
    if format == "json" and len(paths) == 1:
        return _load_json(paths[0])
    found: list[object] = []
    for path in paths:
        items = _load_json(path) if format == "json" else _load_lines(path)
        if not isinstance(items, list):
            raise SourceUnreadable(
                f"`{path.name}` is not a JSON array, so it cannot be joined with the other files of the glob",
                fix="declare a source for each file",
                where=Location(str(path), 1),
            )
        found += cast("list[object]", items)
    return found


def _dialect(format: str, options: Mapping[str, object]) -> Dialect:
    given = cast("dict[str, Any]", options).get
    columns = given("columns")
    return Dialect(
        delimiter=given("delimiter", "\t" if format == "tsv" else ","),
        nulls=tuple(given("nulls", NULLS)),
        types=given("types", {}),
        encoding=given("encoding", "utf-8"),
        header=given("header", True),
        columns=None if columns is None else tuple(columns),
    )


def _read_one(format: str, path: Path, options: Mapping[str, object], columns: tuple[str, ...] | None) -> Any:
    """One file as a table with at least the wanted columns."""
    import pyarrow as pa

    arrow: Any = pa
    try:
        if format == "parquet":
            return _read_parquet(path, columns)
        if format == "arrow":
            return _read_ipc(path, columns)
        table = _read_json(format, path, cast("dict[str, Any]", options).get("types", {}))
    except (arrow.ArrowException, OSError) as error:
        text = str(error).partition("\n")[0]
        raise SourceUnreadable(
            f"`{path.name}` cannot be read as {format}: {text}",
            fix="write the file again, or name its format: source(..., format=...)",
            where=Location(str(path), 1),
        ) from error
    require_columns(columns or (), table.column_names, f"`{path.name}`")
    return table if columns is None else table.select(list(columns))


def _read_parquet(path: Path, columns: tuple[str, ...] | None) -> Any:
    from pyarrow import parquet as pq

    parquet: Any = pq
    with parquet.ParquetFile(path) as file:
        require_columns(columns or (), file.schema_arrow.names, f"`{path.name}`")
        table = file.read(columns=None if columns is None else list(columns))
    return table if columns is None else table.select(list(columns))


def _read_ipc(path: Path, columns: tuple[str, ...] | None) -> Any:
    """An Arrow IPC file (Feather) or stream, read into memory: a mapped file could change under the user."""
    import pyarrow as pa

    ipc: Any = cast("Any", pa).ipc
    with path.open("rb") as file:
        is_file = file.read(6) == b"ARROW1"
    if not is_file:
        with path.open("rb") as file, ipc.open_stream(file) as stream:
            return _selected(stream.read_all(), columns, path)
    with path.open("rb") as file, ipc.open_file(file) as reader:
        schema = reader.schema
        require_columns(columns or (), schema.names, f"`{path.name}`")
    options = ipc.IpcReadOptions(
        included_fields=None if columns is None else sorted(schema.get_field_index(name) for name in columns)
    )
    with path.open("rb") as file, ipc.open_file(file, options=options) as reader:
        return _selected(reader.read_all(), columns, path)


def _selected(table: Any, columns: tuple[str, ...] | None, path: Path) -> Any:
    require_columns(columns or (), table.column_names, f"`{path.name}`")
    return table if columns is None else table.select(list(columns))


def _read_json(format: str, path: Path, types: Mapping[str, str]) -> Any:
    """A json array of objects, or json lines, as a table; texts stay texts, also those that look like times."""
    if format == "json":
        import json

        value = _load_json(path)
        words = _json_words(value)
        rows = cast("list[object]", value) if isinstance(value, list) else None
        if rows is None or not all(isinstance(row, dict) for row in rows):
            raise SourceUnreadable(
                f"`{path.name}` is not an array of objects, so it is not a table",
                facts=[f"it is {words}"],
                fix="take it without an annotation to get the parsed value, or as `Path`",
                where=Location(str(path), 1),
            )
        data = "\n".join(json.dumps(row) for row in rows).encode()
    else:
        with open_bytes(path) as file:
            data = file.read()
        _check_utf8(path, data)
    return _parse_lines(path, data, types, format)


def _parse_lines(path: Path, data: bytes, types: Mapping[str, str], format: str) -> Any:
    import pyarrow as pa
    from pyarrow import json as pyarrow_json

    arrow: Any = pa
    json_: Any = pyarrow_json
    if not data.strip(b"\xef\xbb\xbf \r\n"):
        return arrow.table({name: arrow.array([], arrow_type(kind)) for name, kind in types.items()})

    def parse(schema: Any) -> Any:
        # One block: a column whose type changes between blocks would be judged by where the blocks happen to end.
        return json_.read_json(
            arrow.BufferReader(data),
            read_options=json_.ReadOptions(block_size=min(max(len(data) + 1, 1 << 20), _LARGEST_BLOCK)),
            parse_options=json_.ParseOptions(explicit_schema=schema),
        )

    given = arrow.schema([(name, arrow_type(kind)) for name, kind in types.items()])
    try:
        table = parse(given)
        plain = [_without_times(one) if one.name not in types else one for one in table.schema]
        if plain != list(table.schema):
            table = parse(arrow.schema(plain))
    except arrow.ArrowInvalid as error:
        raise _lines_error(path, str(error), format) from error
    return table


def _without_times(one: Any) -> Any:
    """The field with text in place of every timestamp that the reader thinks it saw, at any depth."""
    import pyarrow as pa

    arrow: Any = pa
    kind = one.type
    if arrow.types.is_timestamp(kind):
        return one.with_type(arrow.string())
    if arrow.types.is_struct(kind):
        return one.with_type(arrow.struct([_without_times(child) for child in kind]))
    if arrow.types.is_list(kind):
        return one.with_type(arrow.list_(_without_times(kind.value_field)))
    return one


def _lines_error(path: Path, message: str, format: str) -> SourceUnreadable:
    """What is wrong with JSON that pyarrow refused: the line of broken JSON, or the column with values of two kinds."""
    rows = _load_json(path) if format == "json" else _load_lines(path)
    kinds: dict[str, tuple[str, int]] = {}
    for number, row in enumerate(cast("list[object]", rows), start=1):
        if not isinstance(row, dict):
            return SourceUnreadable(
                f"`{path.name}`: item {number} is {_json_words(row)}, not an object", where=Location(str(path), 1)
            )
        for name, value in cast("dict[str, object]", row).items():
            kind = _json_words(value)
            before, line = kinds.setdefault(name, (kind, number)) if value is not None else (kind, number)
            if before != kind:
                return SourceUnreadable(
                    f"`{path.name}`: `{name}` is {before} in row {line} and {kind} in row {number}",
                    fix=f"write one kind of value into `{name}`, or take the source as `list[dict]`",
                    where=Location(str(path), number if format == "jsonl" else 1),
                )
    return SourceUnreadable(
        f"`{path.name}` cannot be read: {message.partition(chr(10))[0]}", where=Location(str(path), 1)
    )


def _json_words(value: object) -> str:
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, (int, float)):
        return "a number"
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "an object"
    return "null" if value is None else "an array"


def _load_json(path: Path) -> object:
    import json

    with open_bytes(path) as file:
        data: bytes = file.read()
    _check_utf8(path, data)
    if not data.strip():
        raise SourceUnreadable(f"`{path.name}` is empty, which is not JSON", where=Location(str(path), 1))
    try:
        return json.loads(data.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        fix = (
            'several objects in a file, one per line: source(..., format="jsonl")'
            if "Extra data" in error.msg
            else None
        )
        raise _json_error(path, error.lineno, error.colno, error.msg, data.decode("utf-8-sig"), fix) from error


def _load_lines(path: Path) -> list[object]:
    import json

    with open_bytes(path) as file:
        data: bytes = file.read()
    _check_utf8(path, data)
    found: list[object] = []
    for number, line in enumerate(data.decode("utf-8-sig").split("\n"), start=1):
        if line.strip():
            try:
                found.append(json.loads(line))
            except json.JSONDecodeError as error:
                fix = 'each line must hold one whole JSON value; for one array: source(..., format="json")'
                raise _json_error(path, number, error.colno, error.msg, line, fix) from error
    return found


def _json_error(path: Path, line: int, column: int, message: str, text: str, fix: str | None) -> SourceUnreadable:
    lines = text.split("\n")
    shown = (lines[line - 1] if len(lines) >= line else lines[0]).rstrip("\r")
    start = max(0, column - 60)
    return SourceUnreadable(
        f"`{path.name}` line {line}, column {column}: {message[:1].lower()}{message[1:]}",
        facts=[f"line {line}: {'…' if start else ''}{shown[start : start + 100]}"],
        fix=fix or "correct the line",
        where=Location(str(path), line, column),
    )


def _check_utf8(path: Path, data: bytes) -> None:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise SourceUnreadable(
            f"`{path.name}` line {line} is not UTF-8, which JSON must be: byte 0x{data[error.start]:02x}",
            fix="write the file as UTF-8",
            where=Location(str(path), line),
        ) from error


def _concatenate(paths: Sequence[Path], tables: Sequence[Any]) -> Any:
    """The tables one after another, columns by name; numbers widen, anything else that differs is an error."""
    import pyarrow as pa

    arrow: Any = pa
    first = tables[0]
    whole = first
    for path, table in zip(paths[1:], tables[1:], strict=True):
        check_same_names(paths[0], first.column_names, path, table.column_names)
        try:
            ordered = table.select(first.column_names).replace_schema_metadata(None)
            whole = arrow.concat_tables([whole, ordered], promote_options="permissive")
        except (arrow.ArrowInvalid, arrow.ArrowTypeError) as error:
            differing = [
                f"`{one.name}`: {table.schema.field(one.name).type} in {path.name}, {one.type} in {paths[0].name}"
                for one in first.schema
                if table.schema.field(one.name).type != one.type
            ]
            raise SourceUnreadable(
                f"`{path.name}` does not fit below `{paths[0].name}`: column types differ",
                facts=differing,
                fix="write the files with equal types, or declare a source for each kind of file",
                where=Location(str(path), 1),
            ) from error
    return whole
