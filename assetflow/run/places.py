"""The places of partitions by their keys, for the very many that a catalog names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

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

    def table(self, key: AssetKey, many: int) -> Mapping[str, int]:
        """The ordinals of the partitions of an asset that exist, if so many are worth it; else nothing."""
        side = self._sides.get(key)
        if side is None or many < _MANY or many * 4 < side.existing.count:
            return {}
        name = (side.definition, side.existing)
        if name not in self._tables:
            self._tables[name] = dict(zip(side.definition.keys(side.existing), side.existing, strict=True))
        return self._tables[name]

    def ordinals(self, key: AssetKey, partitions: Sequence[str]) -> list[int | None]:
        """The places of very many partitions of an asset, as `ordinal` has them."""
        found = list(map(self.table(key, len(partitions)).get, partitions))
        if None not in found:
            return found
        return [self.ordinal(key, name) if at is None else at for name, at in zip(partitions, found, strict=True)]

    def ordinal(self, key: AssetKey, partition: str) -> int | None:
        """The place of one partition; None for one of an earlier definition, and for an asset without partitions."""
        side = self._sides.get(key)
        if side is None or not partition:
            return None
        try:
            return side.definition.ordinal(partition)
        except UsageError:
            return None
