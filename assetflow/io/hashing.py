"""Data hashes: what makes two stored values the same value.

Algorithm ADH-1 hashes the logical content of an Arrow table. It ignores how the table happens to be laid out (chunks,
slices, dictionary encoding, 32 or 64 bit offsets, what lies under nulls, NaN payloads) and keeps everything a reader
can see (row order, column order, names, types, nulls, the sign of zero).

A hash is written as `<what>-<algorithm>:<hex>`, such as `adh1-xxh3:...` or `bytes-sha256:...`: what was recorded is
checked with the algorithm that it names, whatever the project uses now.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from assetflow.errors import CannotStore
from assetflow.files import HASHES, new_hash
from assetflow.io.per_schema import per_schema

if TYPE_CHECKING:
    import pyarrow as pa

BLOCK_ROWS = 131_072
"""Rows that are hashed together, which is also the row group of our Parquet files."""

PANDAS_EXTENSIONS = ("pandas.period", "pandas.interval")
_READ_BYTES = 128 << 10  # stays in the cache of the processor between reading and hashing
_KNOWN_EXTENSIONS = (*PANDAS_EXTENSIONS, "arrow.uuid", "arrow.json", "arrow.bool8")
_Feed = Callable[[Any], None]


class TableHasher:
    """Hashes a table batch by batch; the sizes of the batches make no difference.

    Example:
        >>> import pyarrow as pa
        >>> table = pa.table({"id": [1, 2]})
        >>> hasher = TableHasher(table.schema)
        >>> for batch in table.to_batches():
        ...     hasher.update(batch)
        >>> hasher.finish()[0].startswith("adh1-xxh3:")
        True

    Raises:
        CannotStore: a column has a type whose content cannot be hashed.
    """

    def __init__(self, schema: pa.Schema, algorithm: str = "xxh3") -> None:
        self._schema, self._algorithm = schema, algorithm
        self._types = column_types(schema)
        self._extras, _ = pandas_facts(schema)
        self._columns = [new_hash(algorithm, b"adh1-column\0") for _ in schema]
        self._categories: dict[str, bytes] = {}
        self._rows = 0
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_rows = 0

    def update(self, batch: pa.RecordBatch) -> None:
        """Take the next rows in."""
        while self._waiting_rows + batch.num_rows >= BLOCK_ROWS:
            room = BLOCK_ROWS - self._waiting_rows
            self._waiting.append(batch.slice(0, room))
            self._hash_waiting()
            batch = batch.slice(room)
        if batch.num_rows or not self._rows:
            self._note_categories(batch)
        if batch.num_rows:
            self._waiting.append(batch)
            self._waiting_rows += batch.num_rows

    def finish(self, kept: Collection[str] | None = None) -> tuple[str, dict[str, str]]:
        """The hash of the table, and the digest of each column by its name.

        `kept` are the columns whose categories a reader will find as they are (None: of all): batches may disagree
        about them, and then only the values count.
        """
        if self._waiting_rows:
            self._hash_waiting()
        digests: dict[str, str] = {}
        for field, kind, column in zip(self._schema, self._types, self._columns, strict=True):
            whole = new_hash(self._algorithm, b"adh1-whole\0")
            _feed_text(whole.update, kind, self._extras.get(field.name, ""), column.hexdigest())
            if kept is None or field.name in kept:
                whole.update(self._categories.get(field.name, b""))
            digests[field.name] = whole.hexdigest()
        return hash_of_columns(self._schema, self._rows, digests, self._algorithm), digests

    def _hash_waiting(self) -> None:
        import pyarrow as pa

        self._note_categories(self._waiting[0])
        for position, column in enumerate(self._columns):
            block = new_hash(self._algorithm)
            parts = [batch.column(position) for batch in self._waiting]
            _encode(_joined(pa, [_plain(pa, part) for part in parts]), _length_prefixed(block.update))
            column.update(block.digest())
        self._rows += sum(batch.num_rows for batch in self._waiting)
        self._waiting, self._waiting_rows = [], 0

    def _note_categories(self, batch: pa.RecordBatch) -> None:
        """Keep the categories of pandas categoricals: a reader sees them, used or not, and their order."""
        import pyarrow as pa

        for position, field in enumerate(self._schema):
            kind: Any = field.type
            if field.name in self._categories or not pa.types.is_dictionary(kind):
                continue
            if self._extras.get(field.name, "").startswith("category"):
                digest = new_hash(self._algorithm, b"ordered" if kind.ordered else b"unordered")
                _encode(cast("Any", batch.column(position)).dictionary, _length_prefixed(digest.update))
                self._categories[field.name] = digest.digest()


def algorithm_of(recorded: object) -> str:
    """The algorithm that a recorded hash names.

    Raises:
        ValueError: it names none that is known here.
    """
    found = str(recorded).partition(":")[0].rpartition("-")[2]
    if found not in HASHES:
        raise ValueError(f"the hash `{recorded}` is of a kind that is not known")
    return found


def table_hash(table: pa.Table, algorithm: str = "xxh3") -> tuple[str, dict[str, str]]:
    """The hash of a whole table, and the digest of each column by its name."""
    hasher = TableHasher(table.schema, algorithm)
    for batch in batches_of(table):
        hasher.update(batch)
    return hasher.finish()


def hash_of_columns(schema: pa.Schema, rows: int, digests: Mapping[str, str], algorithm: str) -> str:
    """The hash of the table that has columns with these digests, by their names."""
    table = new_hash(algorithm, b"adh1-table\0")
    _feed_text(table.update, str(rows), str(len(schema)))
    for field in schema:
        _feed_text(table.update, field.name, digests[field.name])
    _feed_text(table.update, pandas_facts(schema)[1])
    return f"adh1-{algorithm}:{table.hexdigest()}"


def batches_of(table: pa.Table) -> Iterator[pa.RecordBatch]:
    """The batches of a table, at least one, so that the categories of an empty table are seen too."""
    import pyarrow as pa

    found: list[pa.RecordBatch] = table.to_batches()
    if found:
        yield from found
    else:
        columns: list[Any] = [
            column.chunk(0) if column.num_chunks else pa.array([], column.type) for column in table.itercolumns()
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=table.schema)


def type_name(kind: Any, column: str = "") -> str:
    """The name of an Arrow type without what does not change values: offset width, views, dictionary encoding.

    Raises:
        CannotStore: the type has no content hash (unions, extension types that are not known here).
    """
    import pyarrow as pa

    types: Any = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return type_name(kind.value_type, column)
    if isinstance(kind, pa.BaseExtensionType):
        return _extension_name(kind, column)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return "string"
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind):
        return "binary"
    if types.is_fixed_size_list(kind):
        return f"list[{kind.list_size}]<{type_name(kind.value_type, column)}>"
    if types.is_list(kind) or types.is_large_list(kind) or types.is_list_view(kind) or types.is_large_list_view(kind):
        return f"list<{type_name(kind.value_type, column)}>"
    if types.is_map(kind):
        return f"map<{type_name(kind.key_type, column)},{type_name(kind.item_type, column)}>"
    if types.is_struct(kind):
        return f"struct<{','.join(f'{field.name!r}:{type_name(field.type, column)}' for field in kind)}>"
    if types.is_union(kind):
        raise _cannot_hash(column, kind)
    return str(kind)


def json_hash(value: object, algorithm: str = "xxh3") -> str:
    """The hash of a JSON value; the order of keys in objects makes no difference, `1`, `1.0` and `True` do."""
    found = new_hash(algorithm, b"json\0")
    _feed_json(value, _length_prefixed(found.update))
    return f"json-{algorithm}:{found.hexdigest()}"


def bytes_hash(data: bytes | memoryview, algorithm: str = "xxh3") -> str:
    """The hash of bytes."""
    return f"bytes-{algorithm}:{new_hash(algorithm, data).hexdigest()}"


def file_hash(path: Path, algorithm: str = "xxh3") -> str:
    """The hash of a file's bytes: equal to `bytes_hash` of its content.

    Raises:
        OSError: the file cannot be read.
    """
    found = new_hash(algorithm)
    part = memoryview(bytearray(_READ_BYTES))
    with path.open("rb", buffering=0) as handle:
        while count := handle.readinto(part):
            found.update(part[:count])
    return f"bytes-{algorithm}:{found.hexdigest()}"


def tree_hash(path: Path, algorithm: str = "xxh3", known: Mapping[Path, str] | None = None) -> str:
    """The hash of a directory: the relative path and content of every file and the names of empty directories.

    `known` has hashes of files that need not be read again.
    """
    found = new_hash(algorithm, b"tree\0")
    _feed_tree(path, lambda file: (known or {}).get(file) or file_hash(file, algorithm), found.update)
    return f"tree-{algorithm}:{found.hexdigest()}"


@per_schema
def column_types(schema: pa.Schema) -> tuple[str, ...]:
    """The names of the types of the columns, as they are hashed.

    Raises:
        CannotStore: a column has a type whose content cannot be hashed.
    """
    return tuple([type_name(field.type, field.name) for field in schema])


@per_schema
def pandas_facts(schema: pa.Schema) -> tuple[dict[str, str], str]:
    """What the pandas metadata of a schema adds to the Arrow types: a text per field, and one for the index.

    Both are empty where a pandas reader would get the same without the metadata, so that a table hashes alike whether
    it came from pandas (with a default index) or from elsewhere. Versions of libraries are left out.
    """
    import json

    raw: Any = (schema.metadata or {}).get(b"pandas")
    if raw is None:
        return {}, ""
    found: dict[str, Any] = json.loads(raw)
    extras: dict[str, str] = {}
    for column in found.get("columns", ()):
        name = column["field_name"] or column["name"]
        position = schema.get_field_index(str(name))
        if position >= 0:
            if column["pandas_type"] == "categorical":
                extras[str(name)] = "category"
            elif column["numpy_type"] != _usual_dtype(schema.field(position).type):
                extras[str(name)] = str(column["numpy_type"])
    index = [entry for entry in found.get("index_columns", ()) if not _is_default_range(entry)]
    labels = [
        [entry["name"], entry["numpy_type"]]
        for entry in found.get("column_indexes", ())
        if entry["name"] is not None or entry["numpy_type"] not in ("str", "object")
    ]
    ours = (schema.metadata or {}).get(b"assetflow", b"").decode()
    for name, null in (json.loads(ours).get("objects", {}) if ours else {}).items():
        extras[name] = f"{extras.get(name, '')} {null}"
    return extras, json.dumps([index, labels, ours], sort_keys=True) if index or labels or ours else ""


def _is_default_range(entry: object) -> bool:
    if not isinstance(entry, dict):
        return False
    found = cast("dict[str, object]", entry)
    return (found.get("kind"), found.get("name"), found.get("start"), found.get("step")) == ("range", None, 0, 1)


def _usual_dtype(kind: Any) -> str:
    """The dtype that a pandas reader gets for an Arrow type when no metadata says otherwise."""
    import pyarrow as pa

    types: Any = pa.types
    if types.is_boolean(kind) or types.is_integer(kind):
        return str(kind)
    if types.is_floating(kind):
        return {16: "float16", 32: "float32", 64: "float64"}[kind.bit_width]
    if types.is_string(kind) or types.is_large_string(kind):
        return "str"
    if types.is_timestamp(kind):
        return f"datetime64[{kind.unit}]"
    if types.is_duration(kind):
        return f"timedelta64[{kind.unit}]"
    return "object"


def _extension_name(kind: Any, column: str) -> str:
    if kind.extension_name not in _KNOWN_EXTENSIONS:
        raise _cannot_hash(column, kind)
    parameters: bytes = kind.__arrow_ext_serialize__() if kind.extension_name in PANDAS_EXTENSIONS else b""
    return f"{kind.extension_name}({parameters.decode()})<{type_name(kind.storage_type, column)}>"


def _cannot_hash(column: str, kind: object) -> CannotStore:
    return CannotStore(
        f"column `{column}` has the type {kind}, which cannot be stored",
        fix="cast the column to a plain type (numbers, text, bytes, dates, lists, structs) before returning the table",
    )


def _plain(pa: Any, array: Any) -> Any:
    """The array without dictionary and run-end encoding at its top."""
    if pa.types.is_dictionary(array.type):
        return array.dictionary_decode()
    if pa.types.is_run_end_encoded(array.type):
        import pyarrow.compute as pc

        return cast("Any", pc).run_end_decode(array)
    return array


def _joined(pa: Any, arrays: Sequence[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else pa.concat_arrays(arrays)


def _encode(array: Any, feed: _Feed) -> None:
    """Feed the logical content of one array: length, validity, then values with nothing of what lies under nulls."""
    import numpy as np
    import pyarrow as pa

    types: Any = pa.types
    kind: Any = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _encode(array.storage, feed)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return _encode(_plain(pa, array), feed)
    feed(len(array).to_bytes(8, "little"))
    has_nulls = array.null_count > 0
    valid: Any = array.is_valid().to_numpy(zero_copy_only=False) if has_nulls else None
    feed(np.packbits(valid, bitorder="little") if has_nulls else b"-")
    if types.is_null(kind) or (len(array) == 0 and not types.is_nested(kind)):
        return None
    if types.is_boolean(kind):
        filled = array.fill_null(False) if has_nulls else array
        feed(np.packbits(filled.to_numpy(zero_copy_only=False), bitorder="little"))
    elif types.is_nested(kind):
        _encode_nested(array, valid, feed)
    elif _is_variable(types, kind):
        _encode_variable(array, has_nulls, feed)
    else:
        feed(_fixed_values(array, valid, is_float=types.is_floating(kind)))
    return None


def _is_variable(types: Any, kind: Any) -> bool:
    text = types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)
    return text or types.is_binary(kind) or types.is_large_binary(kind) or types.is_binary_view(kind)


def _fixed_values(array: Any, valid: Any, *, is_float: bool) -> Any:
    import numpy as np

    width: int = array.type.bit_width // 8
    number = {1: "u1", 2: "u2", 4: "u4", 8: "u8"}.get(width)
    start, count = array.offset * width, len(array)
    buffer = array.buffers()[1]
    if number is None:
        values: Any = np.frombuffer(buffer, "u1", count * width, start).reshape(count, width)
    else:
        values = np.frombuffer(buffer, f"f{width}" if is_float else number, count, start)
    if valid is not None:
        values = values.copy()
        values[~valid] = 0
    if is_float:
        missing = np.isnan(values)
        if missing.any():
            values = values.copy()
            values[missing] = np.nan
    return values.reshape(-1).view("u1")


def _encode_variable(array: Any, has_nulls: bool, feed: _Feed) -> None:
    import numpy as np
    import pyarrow as pa

    wide = pa.large_binary()
    array = array.cast(wide) if array.type != wide else array
    if has_nulls:
        array = array.fill_null(b"")  # rebuilt, because a null may lie over bytes
    buffers = array.buffers()
    offsets: Any = np.frombuffer(buffers[1], "<i8", len(array) + 1, array.offset * 8)
    feed(np.diff(offsets).view("u1"))
    low, high = int(offsets[0]), int(offsets[-1])
    feed(memoryview(buffers[2])[low:high] if high > low else b"")


def _encode_nested(array: Any, valid: Any, feed: _Feed) -> None:
    import numpy as np
    import pyarrow as pa

    types: Any = pa.types
    kind: Any = array.type
    if types.is_struct(kind):
        for child in array.flatten():
            _encode(child, feed)
    elif types.is_fixed_size_list(kind):
        _encode(array.flatten(), feed)
    elif types.is_map(kind):
        offsets: Any = array.offsets.to_numpy(zero_copy_only=False).astype("i8")
        lengths: Any = np.diff(offsets)
        if valid is not None:
            lengths[~valid] = 0
        feed(lengths.view("u1"))
        shifts: Any = np.repeat(offsets[:-1] - (np.cumsum(lengths) - lengths), lengths)
        rows: Any = pa.array(np.arange(int(lengths.sum()), dtype="i8") + shifts)
        _encode(array.keys.take(rows), feed)
        _encode(array.items.take(rows), feed)
    else:
        lengths = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype("i8")
        feed(lengths.view("u1"))
        _encode(array.flatten(), feed)


def _length_prefixed(update: _Feed) -> _Feed:
    def feed(part: Any) -> None:
        size = part.nbytes if hasattr(part, "nbytes") else len(part)
        update(size.to_bytes(8, "little"))
        update(part)

    return feed


def _feed_text(update: _Feed, *parts: str) -> None:
    feed = _length_prefixed(update)
    for part in parts:
        feed(part.encode("utf-8", "surrogatepass"))


def _feed_json(value: object, feed: _Feed) -> None:
    """Feed a JSON value in a form that tells types apart; floats by their exact bits."""
    match value:
        case None | bool():
            feed(repr(value).encode())
        case int():
            feed(b"i%d" % value)
        case float():
            feed(b"f" + value.hex().encode())
        case str():
            feed(b"s" + value.encode("utf-8", "surrogatepass"))
        case list():
            items = cast("list[object]", value)
            feed(b"[%d" % len(items))
            for item in items:
                _feed_json(item, feed)
        case dict():
            pairs = cast("Mapping[str, object]", value)
            feed(b"{%d" % len(pairs))
            for name in sorted(pairs):
                _feed_json(name, feed)
                _feed_json(pairs[name], feed)
        case _:
            raise TypeError(f"{type(value).__name__} is not a JSON type")


def _feed_tree(directory: Path, hash_of: Callable[[Path], str], update: _Feed) -> None:
    """Feed all entries, a directory before what it contains, each folder in the order of its names."""
    waiting = _entries(directory)
    while waiting:
        entry = waiting.pop()
        name = entry.relative_to(directory).as_posix()
        if entry.is_dir():
            _feed_text(update, "directory", name)
            waiting.extend(_entries(entry))
        else:
            _feed_text(update, "file", name, hash_of(entry))


def _entries(directory: Path) -> list[Path]:
    return sorted(directory.iterdir(), key=lambda entry: entry.name, reverse=True)
