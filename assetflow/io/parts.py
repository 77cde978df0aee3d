"""Several versions read as one table: the partitions of an asset under each other, in the order in which they come."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from msgspec.structs import replace

from assetflow.errors import ContractBroken
from assetflow.io.arrow import TableStream, forms_of, is_instance
from assetflow.io.base import Want

if TYPE_CHECKING:
    import pyarrow as pa

    from assetflow.io.storage import Storage
    from assetflow.model.records import Version


PARTITION_COLUMN = "_partition"
"""Where SQL finds the key of the partition that a row is in."""

_UNNAMED = re.compile(r"__index_level_\d+__")
"""What pandas calls a column for labels of rows that have no name."""


def read_parts(storage: Storage, versions: Sequence[Version], want: Want, *, keyed: bool = False) -> object:
    """The rows of these versions of one asset as one table, in the form that is wanted.

    With `keyed`, the last column is the key of the partition of each row, unless there is a column of that name.

    The columns are in the order of the first version. A column may have types that one of them holds without loss,
    such as integers where another partition has a missing value and so floats. pandas gets a default index where one of
    the partitions has one and those of the others have no name, else their labels one after the other.

    Raises:
        ContractBroken: one of them is no table, or the columns or their types do not go together.
        DamagedVersion: the bytes of one are not what was written.
    """
    import pyarrow as pa

    key, tables = versions[0].asset, list[pa.Table]()
    for version in versions:
        found = storage.read(version, replace(want, form="arrow"))
        if not is_instance(found, "pyarrow", "Table"):
            raise ContractBroken(
                f"`{key}[{version.partition}]` is no table, so several partitions cannot be read as one",
                fix=f"return a table from `{key}`, or take one partition of it",
            )
        table = cast("pa.Table", found)
        if keyed and PARTITION_COLUMN not in table.column_names:
            table = table.append_column(PARTITION_COLUMN, pa.repeat(version.partition, table.num_rows))
        tables.append(table)
    whole = _under_each_other(tables, versions)
    return forms_of(TableStream(whole.schema, iter(whole.to_batches())), want, key)


def _under_each_other(tables: Sequence[pa.Table], versions: Sequence[Version]) -> pa.Table:
    import pyarrow as pa

    from assetflow.io.frames import stacked_metadata

    if len({frozenset(table.column_names) for table in tables}) > 1:
        tables = [_without_unnamed_index(table) for table in tables]
    names, key = tables[0].column_names, versions[0].asset
    for table, version in zip(tables, versions, strict=True):
        if set(table.column_names) != set(names):
            odd = sorted(set(table.column_names) ^ set(names))
            raise ContractBroken(
                f"`{key}[{versions[0].partition}]` and `{key}[{version.partition}]` have other columns",
                facts=(f"not in both: {', '.join(odd)}",),
                fix=f"materialize both with the code of now: assetflow materialize {key} --force",
            )
    try:
        whole: Any = pa.concat_tables([table.select(names) for table in tables], promote_options="permissive")
    except pa.ArrowException as error:
        raise ContractBroken(
            f"the partitions of `{key}` have types that do not go together",
            facts=(f"reason:   {str(error).splitlines()[0]}",),
            fix=f"cast the column where `{key}` is made, so that it has one type in every partition",
        ) from error
    return whole.replace_schema_metadata(stacked_metadata(tables[0].schema, whole.num_rows))


def _without_unnamed_index(table: pa.Table) -> pa.Table:
    """The table with a default index, if its own has no name.

    The rows that a filter leaves keep their places as labels; but where those are evenly spaced, pandas gives them the
    default kind of index: what is left of partitions of one asset may be of both kinds.
    """
    about = table.schema.pandas_metadata or {}
    labels: list[object] = about.get("index_columns", [])
    if not labels or not all(isinstance(name, str) and _UNNAMED.fullmatch(name) for name in labels):
        return table
    counted = {"kind": "range", "name": None, "start": 0, "stop": table.num_rows, "step": 1}
    columns = [column for column in about["columns"] if column["field_name"] not in labels]
    pandas = json.dumps({**about, "columns": columns, "index_columns": [counted]}).encode()
    metadata = {**cast("Any", table.schema.metadata), b"pandas": pandas}
    return table.drop_columns([*map(str, labels)]).replace_schema_metadata(metadata)
