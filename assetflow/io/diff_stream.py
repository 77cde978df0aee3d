"""Small steps of a comparison over streams of batches, and what names and samples of it look like."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from msgspec.structs import replace

from assetflow.io import arrow, layout
from assetflow.io.base import Want
from assetflow.io.diff_results import RowDiff
from assetflow.io.diff_rows import Pair, export_names
from assetflow.io.hashing import TableHasher, algorithm_of
from assetflow.io.storage import Storage
from assetflow.model.records import Version


def name_of(version: Version) -> str:
    """`orders@3`."""
    return version.name


def types_of(storage: Storage, version: Version) -> dict[str, Any]:
    """The plain Arrow type of every column; reads no rows."""
    recorded = version.details.get("schema")
    if isinstance(recorded, str):
        schema: Any = arrow.schema_from_text(recorded)
    else:
        reader: Any = storage.read(version, Want("reader"))
        schema = reader.schema
        reader.close()
    return {one.name: layout.plain_type(one.type) for one in schema}


def rehashed(storage: Storage, old: Version, new: Version) -> Version:
    """The old version with hashes that can be compared with those of the new one.

    They are what they were, unless the project has been given another hash algorithm in between: then it is read.
    """
    algorithm = algorithm_of(new.data_hash)
    if algorithm_of(old.data_hash) == algorithm:
        return old
    reader: Any = storage.read(old, Want("reader"))
    hasher = TableHasher(reader.schema, algorithm)
    for batch in reader:
        hasher.update(batch)
    data_hash, columns = hasher.finish()
    return replace(old, data_hash=data_hash, columns=columns)


def tail_after(batches: Iterator[Any], short: Version, names: Sequence[tuple[str, str]]) -> Iterator[Any] | None:
    """What follows in the batches after all rows of `short`; None when they do not begin with these rows.

    The rows of `short` are not read: the digests of its columns say what they are. `names` are those of `short` and of
    the batches.
    """
    left = short.rows or 0
    hasher: TableHasher | None = None
    for batch in batches:
        hasher = hasher or TableHasher(batch.schema, algorithm_of(short.data_hash))
        taken = min(left, batch.num_rows)
        hasher.update(batch.slice(0, taken))
        left -= taken
        if left == 0:
            digests = hasher.finish()[1]
            if short.rows and any(short.columns.get(was) != digests[now] for was, now in names):
                return None
            return chain([batch.slice(taken)], batches)
    return None


def first_rows(batches: Iterable[Any], count: int) -> list[Any]:
    """The first batches: as many as it takes to have so many rows, at least one."""
    found: list[Any] = []
    for batch in batches:
        found.append(batch)
        count -= batch.num_rows
        if count <= 0:
            break
    return found


def cut(batches: Iterable[Any], count: int) -> Iterator[Any]:
    """The batches, only the first `count` rows of them."""
    for batch in batches:
        yield batch.slice(0, count)
        count -= min(count, batch.num_rows)


def selected(batches: Iterable[Any], names: Sequence[str]) -> Iterator[Any]:
    """The batches with these columns."""
    import pyarrow as pa

    for batch in batches:
        yield pa.RecordBatch.from_arrays([batch.column(name) for name in names], names=list(names))


def exported(pairs: Sequence[Pair], change: str, batches: Iterable[Any]) -> Iterator[Any]:
    """Rows of one side as batches of an export, after an empty one."""
    import pyarrow as pa

    make: Any = pa.RecordBatch
    names = export_names([pair.new for pair in pairs])
    yield make.from_arrays([pa.array([], pa.string()), *(pa.array([], pair.kind) for pair in pairs)], names=names)
    for batch in batches:
        columns = [
            _plain(batch.column(pair.new if pair.new in batch.schema.names else pair.old), pair.kind) for pair in pairs
        ]
        yield make.from_arrays([pa.array([change] * batch.num_rows, pa.string()), *columns], names=names)


def one_sided(batches: Iterable[Any], change: str, pairs: Sequence[Pair], limit: int) -> tuple[RowDiff, ...]:
    """The first rows of batches as rows that were added or removed."""
    found: list[RowDiff] = []
    for batch in cut(batches, limit):
        lists = [
            _plain(batch.column(pair.new if pair.new in batch.schema.names else pair.old), pair.kind).to_pylist()
            for pair in pairs
        ]
        for row in zip(*lists, strict=True):
            values = {pair.new: sided(change, value) for pair, value in zip(pairs, row, strict=True)}
            found.append(RowDiff(change, {}, values))
    return tuple(found)


def sided(change: str, value: object) -> tuple[object, object]:
    """The value as old or as new one, whichever the change means."""
    return (None, value) if change == "added" else (value, None)


def shares(limit: int, amounts: Sequence[int]) -> list[int]:
    """How many of each kind a sample of `limit` holds: the same of all, as far as there are so many.

    Example:
        >>> shares(20, [100, 3, 0])
        [17, 3, 0]
    """
    found = [0] * len(amounts)
    left = min(limit, sum(amounts))
    while left:
        open_ones = [place for place, amount in enumerate(amounts) if found[place] < amount]
        each = max(1, left // len(open_ones))
        for place in open_ones:
            more = min(each, amounts[place] - found[place], left)
            found[place] += more
            left -= more
    return found


def is_unique(array: Any) -> bool:
    """Whether no value is there twice, and none is null."""
    import pyarrow.compute as pc

    plain = layout.plain_array(array, layout.plain_type(array.type))
    compute: Any = pc
    if plain.null_count or not len(plain):  # a column of the type null can be asked for nothing more
        return plain.null_count == 0
    return compute.count_distinct(plain).as_py() == len(plain)


def unlikeliness(name: str, asset: str) -> int:
    """How little the name of a column sounds like a key, for sorting; both in small letters."""
    if name in ("id", f"{asset}_id", f"{asset.removesuffix('s')}_id"):
        return 0
    return 1 if name.endswith(("id", "key", "uuid", "code")) else 2


def _plain(array: Any, kind: Any) -> Any:
    found = layout.plain_array(array, layout.plain_type(array.type))
    return found if found.type == kind else found.cast(kind)
