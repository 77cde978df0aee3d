"""The places of partitions by their keys, for the very many that a catalog names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from operator import lt
from typing import cast

from assetflow.errors import UsageError
from assetflow.model.keys import AssetKey
from assetflow.partitions.definition import Definition
from assetflow.partitions.mappings import Side
from assetflow.partitions.ordinals import Ordinals

_MANY = 1000


class Places:
    """Ordinals by key. Where very many are asked for, the keys of all that exist are written down first, once."""

    def __init__(self, sides: Mapping[AssetKey, Side]) -> None:
        self._sides = sides
        self._tables: dict[tuple[Definition, Ordinals], Mapping[str, int]] = {}
        self._keys: dict[tuple[Definition, Ordinals], Sequence[str]] = {}

    def side(self, key: AssetKey) -> Side | None:
        """What an asset has for partitions; None of one without."""
        return self._sides.get(key)

    def table(self, key: AssetKey, many: int) -> Mapping[str, int]:
        """The ordinals of the partitions of an asset that exist, if so many are worth it; else nothing."""
        side = self._sides.get(key)
        if side is None or many < _MANY or many * 4 < side.existing.count:
            return {}
        name = (side.definition, side.existing)
        if name not in self._tables:
            self._tables[name] = dict(zip(side.definition.keys(side.existing), side.existing, strict=True))
        return self._tables[name]

    def in_order(self, key: AssetKey, partitions: Sequence[str]) -> tuple[Sequence[int | None], Sequence[int] | None]:
        """The ordinals of very many partitions of an asset, and where each of them stands among `partitions`.

        They ascend, and the second is None where they stand in that order, or cannot: `ordinal` is None for one.
        """
        order = None
        if not all(map(lt, partitions, islice(partitions, 1, None))):
            order = sorted(range(len(partitions)), key=partitions.__getitem__)
        names = partitions if order is None else [partitions[place] for place in order]
        if (found := self._run(key, names)) is not None:
            return found, order
        table = self.table(key, len(partitions))
        ordinals = [self.ordinal(key, name) if (at := table.get(name)) is None else at for name in partitions]
        if None in ordinals:
            return ordinals, None
        known = cast("list[int]", ordinals)
        return sorted(known), sorted(range(len(known)), key=known.__getitem__)

    def _run(self, key: AssetKey, names: Sequence[str]) -> Sequence[int] | None:
        """The ordinals of partitions that are all there are from the first to the last one; None if they are not."""
        side = self._sides[key]
        first, last = self.ordinal(key, names[0]), self.ordinal(key, names[-1])
        if first is None or last is None or last - first >= 2 * len(names):
            return None
        own = side.existing & Ordinals.run(first, last + 1)
        if own.count != len(names):
            return None
        name = (side.definition, own)
        if name not in self._keys:
            self._keys = {name: [*side.definition.keys(own)]}
        return [*own] if self._keys[name] == names else None

    def ordinal(self, key: AssetKey, partition: str) -> int | None:
        """The place of one partition; None for one of an earlier definition, and for an asset without partitions."""
        side = self._sides.get(key)
        if side is None or not partition:
            return None
        try:
            return side.definition.ordinal(partition)
        except UsageError:
            return None
