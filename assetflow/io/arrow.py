"""Values to Arrow and Arrow to the forms that functions ask for: the bridge between user values and stored bytes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from msgspec import Struct

from assetflow.errors import AssetflowError, CannotStore, ContractBroken, NotExact, WrongReturn
from assetflow.io.base import Want
from assetflow.io.forms import TABLE_FORMS, form_of, form_words, value_words
from assetflow.io.hashing import BLOCK_ROWS, PANDAS_EXTENSIONS, batches_of, column_types, type_name
from assetflow.io.layout import has_wide_decimals, is_logical, logical_type, plain_array, values_check
from assetflow.io.per_schema import per_schema

if TYPE_CHECKING:
    import pyarrow as pa

_LARGE_BYTES = 16 << 20  # of a table whose memory is given back to the system rather than kept for the next one


class TableStream(Struct, frozen=True):
    """A table on its way to storage: its logical schema, and batches that can be taken once.

    The logical schema is what readers get back. It has no views and no run-end encoding, dictionaries only at the top.
    """

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]

    def read_all(self) -> pa.Table:
        """The whole table in memory."""
        import pyarrow as pa

        return pa.Table.from_batches(list(self.batches), self.schema)


def is_table(value: object) -> bool:
    """Whether the value is a table: it offers an Arrow stream, and it is not a single column. Imports nothing."""
    if _is_column(value):
        return False
    return hasattr(value, "__arrow_c_stream__") or is_instance(value, "polars", "LazyFrame") or _is_relation(value)


def open_table(value: object, key: str) -> TableStream:
    """The table as a stream, checked so that it comes back exactly.

    Raises:
        NotExact: something of it would be lost; the message names the column.
        CannotStore: a column has a type that cannot be stored, or the value is not a table.
    """
    if _is_column(value):
        raise WrongReturn(
            f"`{key}` returned a single column ({type(value).__name__})", fix="return a table: `.to_frame()`"
        )
    if is_instance(value, "pandas", "DataFrame"):
        from assetflow.io.frames import table_from_pandas

        return from_table(table_from_pandas(cast("Any", value), key), key)
    if is_instance(value, "polars", "DataFrame") or is_instance(value, "polars", "LazyFrame"):
        return _from_polars(value, key)
    if _is_relation(value):
        return _from_relation(value, key)
    if isinstance(value, list):
        return _from_records(cast("list[object]", value), key)
    return _from_stream(value, key)


def forms_of(stream: TableStream, want: Want, key: str) -> object:
    """The stream in the form that is wanted; `want.columns` has been applied before.

    Raises:
        ContractBroken: a table cannot take this form.
    """
    form = want.form
    if form == "reader":
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(stream.schema, stream.batches)
    table = stream.read_all()
    try:
        found = _as_form(table, want, key)
    except _foreign_errors() as error:
        where = next(
            (f"column `{one}` of `{key}`" for one in table.column_names if _fails(table, one, want)), f"`{key}`"
        )
        raise ContractBroken(
            f"{where} cannot arrive as {form_words(form)}",
            facts=(f"reason:   {_first_line(error)}",),
            fix="annotate the parameter as `pa.Table`, or cast the column where it is made",
        ) from error
    is_large = table.nbytes > _LARGE_BYTES
    del table
    if is_large:
        import pyarrow as pa

        pa.default_memory_pool().release_unused()
    return found


def _as_form(table: pa.Table, want: Want, key: str) -> object:
    form = want.form
    if form in ("pandas", "python"):
        from assetflow.io.frames import pandas_from_table

        return pandas_from_table(table)
    if form == "arrow":
        return table
    if form in ("polars", "polars_lazy"):
        if has_wide_decimals(table.schema):  # polars panics about them, or takes them and panics later
            raise ValueError("polars has no decimals of 256 bits")
        frame = _polars(key, form).from_arrow(table)
        return frame.lazy() if form == "polars_lazy" else frame
    if form == "duckdb":
        from assetflow.io.connection import relation_of

        return relation_of(table, want.connection)
    if form == "records":
        return table.to_pylist()
    raise ContractBroken(
        f"`{key}` is a table and cannot arrive as {form_words(form)}",
        fix="annotate the parameter as a table, such as `pd.DataFrame`",
    )


def _polars(key: str, form: str) -> Any:
    """The module polars, which is an extra: what is stored needs it nowhere.

    Raises:
        ContractBroken: it is not installed.
    """
    try:
        import polars as pl
    except ModuleNotFoundError as error:
        raise ContractBroken(
            f"`{key}` cannot arrive as {form_words(form)}: polars is not installed",
            fix="pip install 'assetflow[polars]'",
        ) from error
    return pl


def _fails(table: pa.Table, column: str, want: Want) -> bool:
    """Whether this column alone cannot take the form either."""
    try:
        _as_form(table.select([column]).replace_schema_metadata(None), want, column)
    except _foreign_errors():
        return True
    return False


def _foreign_errors() -> tuple[type[BaseException], ...]:
    """What Arrow and the dataframe libraries in use raise about a table; a panic of polars is no `Exception`."""
    import pyarrow as pa

    found: list[type[BaseException]] = [
        pa.ArrowException,
        TypeError,
        ValueError,
        OverflowError,
        AttributeError,
        KeyError,
        NotImplementedError,
    ]
    if (polars := sys.modules.get("polars.exceptions")) is not None:
        found += [polars.PolarsError, polars.PanicException]
    if (duckdb := sys.modules.get("duckdb")) is not None:
        found.append(duckdb.Error)
    return tuple(found)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def convert(value: object, want: Want, key: str) -> object:
    """A value that was never stored, such as what a source's function loaded, in the form that is wanted.

    What already has the form is passed on as it is; a pandas frame as a shallow copy and lists and dicts as copies, so
    that writing to them does not reach the next reader.

    Raises:
        ContractBroken: a wanted column is not there, or the value cannot take the form.
        NotExact, CannotStore: something of a table would be lost on the way.
    """
    if not is_table(value):
        return value_as(_copied(value), want, key)
    if want.columns is None and want.form in ("python", form_of(type(value))):
        return cast("Any", value).copy(deep=False) if is_instance(value, "pandas", "DataFrame") else value
    return forms_of(select(open_table(value, key), want.columns, key), want, key)


def _copied(value: object) -> object:
    from copy import deepcopy

    try:
        return deepcopy(value) if isinstance(value, (list, dict, set)) else value
    except (TypeError, ValueError, RecursionError):  # something inside cannot be copied, such as a lock
        return cast("object", value)


def value_as(value: object, want: Want, key: str) -> object:
    """A value that is no table in the form that is wanted: as it is, or a list of dicts as a table.

    Raises:
        ContractBroken: it cannot take this form.
    """
    form = want.form
    is_list = isinstance(value, list) and all(isinstance(row, dict) for row in cast("list[object]", value))
    if form == "python" or (form == "records" and is_list and want.columns is None):
        return value
    if form in TABLE_FORMS and is_list:
        stream = from_table(records_table(cast("list[dict[str, object]]", value), key), key)
        return forms_of(select(stream, want.columns, key), want, key)
    if (form == "bytes" and isinstance(value, bytes)) or (form == "path" and isinstance(value, Path)):
        return value
    raise ContractBroken(
        f"`{key}` holds {value_words(value)} and cannot arrive as {form_words(form)}",
        fix=f"take away the annotation of the parameter, or return a table from `{key}`",
    )


def select(stream: TableStream, columns: Sequence[str] | None, key: str) -> TableStream:
    """The stream with only these columns, in this order."""
    if columns is None:
        return stream
    import pyarrow as pa

    schema = project(stream.schema, columns, key)
    places = [stream.schema.get_field_index(name) for name in columns]
    make: Any = pa.RecordBatch
    return TableStream(schema, (make.from_arrays([b.column(i) for i in places], schema=schema) for b in stream.batches))


def project(schema: pa.Schema, columns: Sequence[str] | None, key: str) -> pa.Schema:
    """The schema of the wanted columns in the wanted order.

    Raises:
        ContractBroken: a column is not there.
    """
    if columns is None:
        return schema
    from assetflow.io.columns import require_columns
    from assetflow.io.frames import project_metadata

    require_columns(columns, schema.names, f"`{key}`")
    return project_metadata(schema, columns)


@per_schema
def schema_to_text(schema: pa.Schema) -> str:
    """The schema with its metadata as text, for the catalog."""
    from base64 import b64encode

    return b64encode(memoryview(schema.serialize())).decode("ascii")


def schema_from_text(text: str) -> pa.Schema:
    """The schema that `schema_to_text` wrote."""
    from base64 import b64decode

    import pyarrow as pa

    raw = b64decode(text)
    if any(name.encode() in raw for name in PANDAS_EXTENSIONS):
        from assetflow.io.frames import register_extensions

        register_extensions()
    return pa.ipc.read_schema(pa.py_buffer(raw))


@per_schema
def type_names(schema: pa.Schema) -> Mapping[str, str]:
    """Column names in order with the names of their types, as people read them."""
    return dict(zip(schema.names, column_types(schema), strict=True))


def blocks(batches: Iterable[pa.RecordBatch], schema: pa.Schema, rows: int = BLOCK_ROWS) -> Iterator[pa.RecordBatch]:
    """The same rows in batches of `rows` (the last one may be shorter); at least one batch, maybe empty."""
    import pyarrow as pa

    waiting: list[pa.RecordBatch] = []
    count, made = 0, False
    for batch in batches:
        rest = batch
        while count + rest.num_rows >= rows:
            waiting.append(rest.slice(0, rows - count))
            yield _one(pa, waiting, schema)
            rest = rest.slice(rows - count)
            waiting, count, made = [], 0, True
        if rest.num_rows or not waiting:
            waiting.append(rest)
            count += rest.num_rows
    if count or not made:
        yield _one(pa, waiting, schema)


def _one(pa: Any, batches: list[Any], schema: Any) -> Any:
    filled = [batch for batch in batches if batch.num_rows] or batches[:1]
    if len(filled) == 1:
        return filled[0]
    if not filled:
        return next(batches_of(schema.empty_table()))
    return pa.concat_batches(filled)


def from_table(table: pa.Table, key: str) -> TableStream:
    """A table of Arrow as a stream in its logical schema; raises as `open_table`."""
    import pyarrow as pa

    _refuse_twins(table.schema.names, key)
    for place, field in enumerate(table.schema):
        column: Any = table.column(place)
        if pa.types.is_dictionary(field.type) and column.num_chunks > 1:
            logical_type(field.type, field.name, key)  # refuses what cannot be unified
            with _conversion(key, field.name):
                table = table.set_column(place, field, column.unify_dictionaries())
    return _logical(table.schema, batches_of(table), key)


def _refuse_twins(names: Sequence[str], key: str) -> None:
    if len(set(names)) < len(names):
        twice = sorted({name for name in names if names.count(name) > 1})
        raise NotExact(
            f"`{key}` has two columns with the same name: {', '.join(f'`{name}`' for name in twice)}",
            fix="rename or drop one of them before returning the table",
        )


def _logical(schema: pa.Schema, batches: Iterable[pa.RecordBatch], key: str) -> TableStream:
    """The stream with types that can come back. Keeps dictionaries and extension types at the top only."""
    import pyarrow as pa

    _refuse_twins(schema.names, key)
    if not len(schema):
        return TableStream(schema, _without_rows(batches, key))
    if is_logical(schema):
        return TableStream(schema, iter(batches))
    for field in schema:
        type_name(field.type, field.name)  # refuses what has no content hash
    logical = pa.schema(
        [field.with_type(logical_type(field.type, field.name, key)) for field in schema], schema.metadata
    )
    checks = [values_check(field.type, field.name, key) for field in logical]
    return TableStream(logical, (_to_logical(pa, batch, logical, checks, key) for batch in batches))


def _without_rows(batches: Iterable[pa.RecordBatch], key: str) -> Iterator[pa.RecordBatch]:
    """The batches of a table without columns, which must have no rows: nothing would hold their number."""
    for batch in batches:
        if batch.num_rows:
            raise NotExact(
                f"`{key}` has {batch.num_rows} rows but no columns", fix="keep a column, or return a table without rows"
            )
        yield batch


def _to_logical(pa: Any, batch: Any, schema: Any, checks: Sequence[Callable[[Any], None] | None], key: str) -> Any:
    columns: list[Any] = []
    for array, field, check in zip(batch.columns, schema, checks, strict=True):
        with _conversion(key, field.name):
            columns.append(_logical_array(pa, array, field.type))
        if check is not None:
            check(columns[-1])
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _logical_array(pa: Any, array: Any, kind: Any) -> Any:
    if array.type == kind:
        return array
    if pa.types.is_dictionary(kind):
        values = plain_array(array.dictionary, kind.value_type)
        return pa.DictionaryArray.from_arrays(array.indices, values, ordered=kind.ordered)
    return plain_array(array, kind)


def _from_polars(value: Any, key: str) -> TableStream:
    import polars as pl

    frame: Any = value.collect() if hasattr(value, "collect") else value
    try:
        table: pa.Table = frame.to_arrow()
    except _foreign_errors():
        for name in frame.columns:
            with _conversion(key, name):
                frame.select(name).to_arrow()
        raise
    stream = from_table(table, key)
    back = cast("Any", pl.from_arrow(stream.schema.empty_table()))
    for name, dtype in frame.schema.items():
        if back.schema[name] != dtype:
            raise NotExact(
                f"column `{name}` of `{key}` would come back as {back.schema[name]} instead of {dtype}",
                fix=f"cast it before returning: `frame.with_columns(pl.col({name!r}).cast(...))`",
            )
    return stream


def _from_relation(value: object, key: str) -> TableStream:
    from assetflow.io.connection import relation_stream

    reader = relation_stream(value, key)
    return _logical(reader.schema, _guarded(reader, key), key)


def records_table(rows: list[dict[str, object]], key: str) -> pa.Table:
    """A list of dicts as a table; a key that a dict does not have is null in its row.

    Raises:
        CannotStore: the values of a key have no common type.
    """
    import pyarrow as pa

    names = list(dict.fromkeys(name for row in rows for name in row))
    with _conversion(key):
        columns: list[Any] = [pa.array([row.get(name) for row in rows]) for name in names]
        return pa.Table.from_arrays(columns, names=names)


def _from_records(value: list[object], key: str) -> TableStream:
    from assetflow.io.frames import same_value

    if not all(isinstance(row, dict) for row in value):
        raise CannotStore(
            f"`{key}` returned a list that is not a list of dicts", fix="return a list of dicts or a table"
        )
    table = records_table(cast("list[dict[str, object]]", value), key)
    if not same_value(value, table.to_pylist()):
        raise NotExact(
            f"the records of `{key}` do not all have the same keys and types",
            fix="give every dict the same keys, and every key values of one type; or leave out io=, to store JSON",
        )
    return from_table(table, key)


def _from_stream(value: Any, key: str) -> TableStream:
    import pyarrow as pa

    with _conversion(key):
        if isinstance(value, pa.Table):
            return from_table(value, key)
        if isinstance(value, pa.RecordBatch):
            return _logical(value.schema, [value], key)
        reader: Any = value if isinstance(value, pa.RecordBatchReader) else pa.RecordBatchReader.from_stream(value)
        return _logical(reader.schema, _guarded(reader, key), key)


def _guarded(reader: Any, key: str) -> Iterator[pa.RecordBatch]:
    """The batches of a reader; what fails in it is a failure of the value, not of the storage."""
    with _conversion(key), reader:
        kinds = [(field.name, field.type) for field in reader.schema]
        for batch in reader:  # which nobody has held against the schema yet
            found = [(field.name, field.type) for field in batch.schema]
            if found != kinds:
                raise CannotStore(
                    f"`{key}` returned a reader with a batch whose columns are not those of its schema",
                    facts=(f"schema:   {_columns_text(kinds)}", f"batch:    {_columns_text(found)}"),
                    fix="give every batch the columns of the schema, in its order and with its types",
                )
            yield batch


def _columns_text(kinds: list[tuple[str, Any]]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in kinds)


@contextmanager
def _conversion(key: str, column: str | None = None) -> Generator[None]:
    """Map what Arrow or a foreign library raises while it hands over a table, or one column of it."""
    try:
        yield
    except AssetflowError:
        raise
    except (*_foreign_errors(), OSError) as error:
        reason = _first_line(error)
        what = f"`{key}` returned a table that" if column is None else f"column `{column}` of `{key}`"
        raise CannotStore(
            f"{what} could not be read",
            facts=(f"reason:   {reason}",),
            fix="read the table inside the function, to see where it fails",
        ) from error


def is_instance(value: object, module: str, name: str) -> bool:
    """Whether `value` is an instance of a library's class; a library that is not loaded has no instances."""
    cls = getattr(sys.modules.get(module), name, None)
    return cls is not None and isinstance(value, cls)


def _is_relation(value: object) -> bool:
    return is_instance(value, "duckdb", "DuckDBPyRelation")


def _is_column(value: object) -> bool:
    pandas, polars = is_instance(value, "pandas", "Series"), is_instance(value, "polars", "Series")
    return pandas or polars or is_instance(value, "pyarrow", "ChunkedArray")
