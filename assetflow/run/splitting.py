"""A table that was made for several partitions in one call, taken apart: each row goes to the one that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from assetflow.errors import AssetflowError, UsageError, WrongReturn
from assetflow.io.rows import Coding, Rows
from assetflow.load.live import Batch, LiveNode, LiveOutput
from assetflow.model.declare import Result
from assetflow.model.keys import split_slot
from assetflow.partitions.cells import axes_of, key_of_ordinals, ordinal_of_cell, step_of

_SHOWN = 5


def split_rows(node: LiveNode, batch: Batch, value: object) -> list[tuple[LiveOutput, object]]:
    """The rows of each partition that a call makes, in their order; of one that no row names, a table without rows.

    Raises:
        WrongReturn: it is no table, lacks a column that names the partition, or has rows of other partitions.
    """
    if isinstance(value, Result):
        parts = split_rows(node, batch, value.value)
        return [(output, replace(value, value=part)) for output, part in parts]
    asset = split_slot(node.outputs[0].key)[0]
    rows = _opened(value, asset)
    names = {axis: batch.columns.get(axis, axis) for axis in batch.axes}
    for name in names.values():
        _must_be_full(rows, name, asset)
    codings = [_coding(rows, batch, names, axis, asset) for axis in names]
    found = {key_of_ordinals(batch.definition, meant): numbers for meant, numbers in rows.groups(codings)}
    wanted = [split_slot(output.key)[1] for output in node.outputs]
    _refuse_others(found, wanted, asset)
    return [(output, rows.take(found.get(key))) for output, key in zip(node.outputs, wanted, strict=True)]


def _opened(value: object, asset: str) -> Rows:
    try:
        return Rows(value, asset)
    except AssetflowError as error:
        raise WrongReturn(
            f"`{asset}` makes several partitions in one call, and returned what is no table",
            facts=(error.what,), fix="return a table of all of them, or leave out batch=",
        ) from error  # fmt: skip


def _must_be_full(rows: Rows, name: str, asset: str) -> None:
    if name not in rows.columns:
        raise WrongReturn(
            f"`{asset}` returned no column `{name}`, which says to which partition a row belongs",
            facts=(f"columns:  {', '.join(rows.columns) or 'none'}",),
            fix="return it, or name another one: @asset(partition_column=...)",
        )
    if lacking := rows.missing(name):
        raise WrongReturn(
            f"`{asset}` returned {'1 row' if lacking == 1 else f'{lacking} rows'} without a value in `{name}`, "
            "which tells partitions apart",
            fix="leave them out, or fill the column",
        )


def _coding(rows: Rows, batch: Batch, names: Mapping[str, str], axis: str, asset: str) -> Coding:
    """What the values of the column of an axis mean: the ordinal on it."""
    definition = axes_of(batch.definition)[axis]

    def meaning(value: object, row: int) -> int:
        try:
            return ordinal_of_cell(definition, value)
        except UsageError as error:
            cells = {name: value if name == names[axis] else rows.cell(name, row) for name in names.values()}
            said = ", ".join(f"{name}={cell}" for name, cell in cells.items())
            raise WrongReturn(
                f"`{asset}` returned a row of no partition: {said}", facts=(error.what,), fix=error.fix
            ) from error

    return Coding(names[axis], meaning, step_of(definition))


def _refuse_others(found: Mapping[str, Any], wanted: Sequence[str], asset: str) -> None:
    """Refuse rows of partitions that were not asked for."""
    first = {key: rows[0] for key, rows in found.items() if key not in set(wanted)}
    if not first:
        return
    outside = sorted(first, key=lambda key: first[key])
    shown = [f"{key} ({len(found[key])} row{'s' * (len(found[key]) != 1)})" for key in outside[:_SHOWN]]
    more = f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
    asked = wanted[0] if len(wanted) == 1 else f"{wanted[0]}..{wanted[-1]}"
    raise WrongReturn(
        f"`{asset}` was to make {asked}, and returned rows of {', '.join(shown)}{more}",
        fix="return only rows from `partition.start` to before `partition.end`; nothing was stored",
    )
