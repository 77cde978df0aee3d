"""Keys of dynamic partitions in the catalog: which were added by what name, in which order, and which were removed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import cast

from assetflow.catalog.catalog import Catalog


class DynamicKeys:
    """What is known of the keys by the name of their set. A key that was removed keeps its place, and may come back."""

    def __init__(self, catalog: Catalog) -> None:
        self._database = catalog.database

    def all(self) -> dict[str, tuple[list[str], set[str]]]:
        """By name all keys that were ever added, in that order, and those of them that are removed. One query."""
        found: dict[str, tuple[list[str], set[str]]] = {}
        for name, key, is_removed in cast("list[tuple[str, str, int]]", self._database.rows("dynamic_keys")):
            added, removed = found.setdefault(name, ([], set()))
            added.append(key)
            if is_removed:
                removed.add(key)
        return found

    def add(self, name: str, keys: Iterable[str], at: float) -> list[str]:
        """Add keys, all or none; those that were not there."""
        with self._database.transaction():
            return [key for key in dict.fromkeys(keys) if self._database.change("add_dynamic_key", name, key, at)]

    def remove(self, name: str, keys: Iterable[str], at: float) -> list[str]:
        """Remove keys, all or none; those that were there."""
        with self._database.transaction():
            return [key for key in dict.fromkeys(keys) if self._database.change("remove_dynamic_key", at, name, key)]
