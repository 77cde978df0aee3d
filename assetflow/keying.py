"""The verbs of a project that add and remove keys of dynamic partitions."""

from __future__ import annotations

import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, closing

from assetflow.catalog.catalog import Catalog
from assetflow.errors import UsageError, did_you_mean
from assetflow.load.keyed import dynamic_in, keyed
from assetflow.load.settings import Settings
from assetflow.plan.graph import AssetGraph


class Keying:
    """Keys of partitions that are added while a project is used: `@asset(partitions=Dynamic("customers"))`."""

    settings: Settings
    graph: AssetGraph

    # -- what the project provides

    def _catalog(self) -> AbstractContextManager[Catalog]:
        raise NotImplementedError

    # -- keys

    def partition_keys(self, name: str) -> tuple[str, ...]:
        """The keys of dynamic partitions, in the order in which they were added.

        `name` is that of the definition, or an asset that has such partitions.

        Raises:
            UsageError: there are no dynamic partitions of this name.
        """
        from assetflow.catalog.dynamic import DynamicKeys

        found = self._dynamic(name)
        with self._catalog() as catalog:
            added, removed = DynamicKeys(catalog).all().get(found, ((), set[str]()))
        return tuple(key for key in added if key not in removed)

    def add_partitions(self, name: str, keys: Iterable[str]) -> tuple[str, ...]:
        """Add keys to dynamic partitions; those that were not there. Nothing is made by it.

        Example:
            project.add_partitions("customers", ["acme", "bolt"])

        Raises:
            UsageError: there are no dynamic partitions of this name, or a key cannot be one.
        """
        from assetflow.partitions.named import check_key

        wanted = [keys] if isinstance(keys, str) else list(keys)
        if (problem := next(filter(None, map(check_key, wanted)), None)) is not None:
            raise UsageError(problem, fix="choose another key")
        return self._change(self._dynamic(name), wanted, adds=True)

    def remove_partitions(self, name: str, keys: Iterable[str]) -> tuple[str, ...]:
        """Take keys out of dynamic partitions; those that were there. Their versions stay, and come back with the key.

        Raises:
            UsageError: there are no dynamic partitions of this name, or a key is none of them.
        """
        wanted, known = [keys] if isinstance(keys, str) else list(keys), self.partition_keys(name)
        if (unknown := next((key for key in wanted if key not in known), None)) is not None:
            fix = did_you_mean(unknown, known) or f"assetflow partition ls {name}"
            raise UsageError(f"`{unknown}` is no key of {name}", fix=fix)
        return self._change(self._dynamic(name), wanted, adds=False)

    def _change(self, name: str, keys: list[str], *, adds: bool) -> tuple[str, ...]:
        from assetflow.catalog.dynamic import DynamicKeys

        with closing(Catalog(self.settings.catalog_path, write=True)) as catalog:
            stored = DynamicKeys(catalog)
            found = (stored.add if adds else stored.remove)(name, keys, time.time())
        self.graph = keyed(self.graph, self.settings)
        return tuple(found)

    def _dynamic(self, name: str) -> str:
        """The name of the definition that is meant."""
        by_asset = {
            key: [one.name for one in dynamic_in(spec.partitions)]
            for key, spec in self.graph.specs.items()
            if spec.partitions is not None
        }
        names = {one for found in by_asset.values() for one in found}
        if name in names:
            return name
        found = [one for key in self.graph.named(name) for one in by_asset.get(key, ())]
        if len(set(found)) == 1:
            return found[0]
        fix = did_you_mean(name, names) or (f"there are {', '.join(sorted(names))}" if names else None)
        raise UsageError(
            f"`{name}` names no dynamic partitions", fix=fix or 'declare some: @asset(partitions=Dynamic("customers"))'
        )
