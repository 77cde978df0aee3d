"""What people write about an input: `In(...)` in the annotation of a parameter."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assetflow.partitions.mappings import Mapping as PartitionMapping, Needs

LAST_GOOD = "last_good"


@dataclass(frozen=True, slots=True)
class In:
    """Says more about an input: `orders: Annotated[pd.DataFrame, In("marts.orders", columns=["id", "net"])]`.

    With `columns`, only these columns are loaded, in this order, and a change elsewhere in the upstream table does
    not make the asset stale.

    `accept="last_good"` lets the asset run on the last good version of its upstream when that cannot be built in a run:
    it failed, a check rejected it, or something above it failed. Without it, the asset would not run either.

    `window=-6` takes, of an upstream with the same partitions, the same one and the six before it, as one table in
    their order; `window=(-1, -1)` the one before. Partitions that there are not are left out.

    `partitions=` says otherwise which partitions of an upstream are taken: `Latest()`, `All()`, `StaticMap({...})`,
    `Axis("day")`, `Axes({...})`, or `Previous()` of the asset itself. `need="all"` makes a partition wait until all
    that it takes exist; `need=20` that many of them, `need=0.9` such a share. Without it, it takes those that exist.

    Raises:
        ValueError: there is no such `accept` or `need`, a window ends before it begins or comes with `partitions`.
        TypeError: `partitions` is not such a value.
    """

    key: str | None = None
    columns: tuple[str, ...] | None = None
    accept: str | None = None
    window: tuple[int, int] = (0, 0)
    partitions: PartitionMapping | None = None
    need: Needs | None = None

    def __init__(
        self,
        key: str | None = None,
        *,
        columns: Iterable[str] | None = None,
        accept: str | None = None,
        window: int | tuple[int, int] = 0,
        partitions: PartitionMapping | None = None,
        need: Needs | None = None,
    ) -> None:
        if accept not in (None, LAST_GOOD):
            raise ValueError(f'In(accept="{accept}") is not known; "{LAST_GOOD}" is')
        object.__setattr__(self, "key", key)
        object.__setattr__(self, "columns", None if columns is None else tuple(columns))
        object.__setattr__(self, "accept", accept)
        first, last = (min(window, 0), max(window, 0)) if isinstance(window, int) else window
        if first > last:
            raise ValueError(f"In(window=({first}, {last})) ends before it begins")
        object.__setattr__(self, "window", (first, last))
        if partitions is not None or need is not None:
            _check_partitions(partitions, need, (first, last))
        object.__setattr__(self, "partitions", partitions)
        object.__setattr__(self, "need", need)


def _check_partitions(partitions: object, need: object, window: tuple[int, int]) -> None:
    from assetflow.partitions.mappings import Mapping as PartitionMapping, check_needs

    if need is not None and (problem := check_needs(need)) is not None:
        raise ValueError(f"In: {problem}")
    if partitions is None:
        return
    if not isinstance(partitions, PartitionMapping):
        text = "such as Latest(), All() or StaticMap({...})"
        raise TypeError(f"In(partitions=) says which partitions are taken, {text}, not {partitions!r}")
    if window != (0, 0):
        raise ValueError("In takes either window= or partitions=; TimeWindow(-6, 0) is a window for one axis")
