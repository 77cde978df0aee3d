"""A table that was made for several partitions in one call, taken apart: each row goes to the one that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from assetflow.errors import AssetflowError, UsageError, WrongReturn
from assetflow.io.arrow import is_instance
from assetflow.io.base import Want
from assetflow.io.storage import Storage
from assetflow.load.live import Batch, LiveNode, LiveOutput
from assetflow.model.declare import Result
from assetflow.model.keys import split_slot
from assetflow.partitions.cells import key_of_cells

_SHOWN = 5


def split_rows(node: LiveNode, batch: Batch, value: object, storage: Storage) -> list[tuple[LiveOutput, object]]:
    """The rows of each partition that a call makes, in their order; of one that no row names, a table without rows.

    Raises:
        WrongReturn: it is no table, lacks a column that names the partition, or has rows of other partitions.
    """
    if isinstance(value, Result):
        parts = split_rows(node, batch, value.value, storage)
        return [(output, replace(value, value=part)) for output, part in parts]
    asset = split_slot(node.outputs[0].key)[0]
    table, take = _opened(value, storage, asset)
    names = [batch.columns.get(axis, axis) for axis in batch.axes]
    rows_of = _rows_by_key(asset, batch, names, _cells(table, names, asset), node.outputs)
    return [(output, take(rows_of[split_slot(output.key)[1]])) for output in node.outputs]


def _opened(value: object, storage: Storage, asset: str) -> tuple[Any, Callable[[Sequence[int]], object]]:
    """What gives columns by name, and what gives some rows in the form in which they came."""
    if is_instance(value, "pandas", "DataFrame"):
        frame: Any = value
        plain = frame.index.nlevels == 1 and frame.index.name is None and type(frame.index).__name__ == "RangeIndex"
        return frame, lambda rows: frame.iloc[rows].reset_index(drop=True) if plain else frame.iloc[rows]
    try:
        table: Any = storage.convert(value, Want("arrow"), key=asset)
    except AssetflowError as error:
        raise WrongReturn(
            f"`{asset}` makes several partitions in one call, and returned what is no table",
            facts=(error.what,), fix="return a table of all of them, or leave out batch=",
        ) from error  # fmt: skip
    if isinstance(value, list):
        records = cast("list[object]", value)
        return table, lambda rows: [records[row] for row in rows]
    return table, lambda rows: table.take(rows) if rows else table.slice(0, 0)


def _cells(table: Any, names: Sequence[str], asset: str) -> list[list[object]]:
    known = [str(name) for name in (table.columns if hasattr(table, "iloc") else table.column_names)]
    found: list[list[object]] = []
    for name in names:
        if name not in known:
            raise WrongReturn(
                f"`{asset}` returned no column `{name}`, which says to which partition a row belongs",
                facts=(f"columns:  {', '.join(known) or 'none'}",),
                fix="return it, or name another one: @asset(partition_column=...)",
            )
        column = table[name]
        if hasattr(table, "iloc"):
            column = column.astype(object).where(column.notna(), None)
            found.append(column.tolist())
        else:
            found.append(column.to_pylist())
        if lacking := sum(one is None for one in found[-1]):
            rows = "1 row" if lacking == 1 else f"{lacking} rows"
            raise WrongReturn(
                f"`{asset}` returned {rows} without a value in `{name}`, which tells partitions apart",
                fix="leave them out, or fill the column",
            )
    return found


def _rows_by_key(
    asset: str, batch: Batch, names: Sequence[str], cells: Sequence[list[object]], outputs: Iterable[LiveOutput]
) -> Mapping[str, list[int]]:
    found: dict[str, list[int]] = {split_slot(output.key)[1]: [] for output in outputs}
    outside: dict[str, int] = {}
    keys: dict[tuple[object, ...], str] = {}
    for row, values in enumerate(zip(*cells, strict=True)):
        key = keys.get(values)
        if key is None:
            try:
                key = key_of_cells(batch.definition, dict(zip(batch.axes, values, strict=True)))
            except UsageError as error:
                said = ", ".join(f"{name}={value}" for name, value in zip(names, values, strict=True))
                raise WrongReturn(
                    f"`{asset}` returned a row of no partition: {said}", facts=(error.what,), fix=error.fix
                ) from error
            keys[values] = key
        if key in found:
            found[key].append(row)
        else:
            outside[key] = outside.get(key, 0) + 1
    if outside:
        wanted = [*found]
        shown = [f"{key} ({count} row{'s' * (count != 1)})" for key, count in [*outside.items()][:_SHOWN]]
        more = f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
        asked = wanted[0] if len(wanted) == 1 else f"{wanted[0]}..{wanted[-1]}"
        raise WrongReturn(
            f"`{asset}` was to make {asked}, and returned rows of {', '.join(shown)}{more}",
            fix="return only rows from `partition.start` to before `partition.end`; nothing was stored",
        )
    return found
