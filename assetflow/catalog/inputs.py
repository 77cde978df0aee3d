"""What traces read, as rows: a row for each thing, and one for many partitions of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import cast

from assetflow.catalog.database import Database
from assetflow.model.keys import AssetKey
from assetflow.model.records import TraceInput

_Read = tuple[int, str, int | None]
"""The number of a partition, the digest of what was read of it, and the number of its version."""


def add_inputs(
    database: Database, trace_id: int, inputs: Sequence[TraceInput], numbers: Callable[[AssetKey], tuple[int, int]]
) -> None:
    """Record what a trace read. `numbers` gives those of an asset and of a partition by the name of a slot.

    Partitions that were first recorded one after the other are one row where each was read in the same version number
    and as a whole: all that was said of them can be read from that row and from the versions.
    """
    grouped: dict[tuple[str, int, str], list[_Read]] = {}
    for one in inputs:
        upstream, part = numbers(one.upstream)
        grouped.setdefault((one.parameter, upstream, one.mode), []).append((part, one.digest, one.version_number))
    for (parameter, upstream, mode), read in grouped.items():
        for run in _runs(read, mode):
            if len(run) > 1 and _is_range(database, upstream, run):
                low, high, number = run[0][0], run[-1][0], run[0][2]
                database.change("add_trace_range", trace_id, parameter, upstream, low, high, len(run), mode, number)
                continue
            for part, digest, number in run:
                database.change("add_trace_input", trace_id, parameter, upstream, part, mode, digest, number)


def _runs(read: Sequence[_Read], mode: str) -> Iterator[list[_Read]]:
    """Those that may be one row together: read in the same version number."""
    if mode != "value" or len(read) == 1:
        yield from ([one] for one in read)
        return
    for number, run in groupby(sorted(read), key=lambda one: one[2]):
        found = list(run)
        yield from [found] if number is not None else ([one] for one in found)


def _is_range(database: Database, upstream: int, run: Sequence[_Read]) -> bool:
    """Whether these are all partitions of the asset in their range, each read as its version is."""
    there = cast("list[tuple[int, str]]", database.rows("range_of", upstream, run[0][0], run[-1][0], run[0][2]))
    return there == [(part, digest) for part, digest, _ in run]
