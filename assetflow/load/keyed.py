"""Specs whose dynamic partitions have the keys that the catalog knows: declarations have their names alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.load.settings import Settings
from assetflow.plan.graph import AssetGraph

if TYPE_CHECKING:  # most projects have no partitions, and load nothing of them
    from assetflow.partitions.definition import Definition
    from assetflow.partitions.named import Dynamic

Keys = Mapping[str, tuple[Sequence[str], set[str]]]


def keyed(graph: AssetGraph, settings: Settings) -> AssetGraph:
    """The graph with the keys of now of all dynamic partitions; itself where there are none."""
    parted = [spec for spec in graph.specs.values() if spec.partitions is not None]
    if not any(spec.partitions is not None and dynamic_in(spec.partitions) for spec in parted):
        return graph
    from assetflow.catalog.dynamic import DynamicKeys

    with closing(Catalog(settings.catalog_path)) as catalog:
        keys = DynamicKeys(catalog).all()
    return graph.having(
        replace(spec, partitions=filled(spec.partitions, keys)) for spec in parted if spec.partitions is not None
    )


def dynamic_in(definition: Definition) -> list[Dynamic]:
    """The dynamic definitions in one: itself, or axes of it."""
    from assetflow.partitions.cells import axes_of
    from assetflow.partitions.named import Dynamic

    return [axis for axis in axes_of(definition).values() if isinstance(axis, Dynamic)]


def filled(definition: Definition, keys: Keys) -> Definition:
    """The definition with the keys of its dynamic partitions."""
    from assetflow.partitions.multi import Multi
    from assetflow.partitions.named import Dynamic

    if isinstance(definition, Dynamic):
        return definition.with_keys(*keys.get(definition.name, ((), ())))
    if isinstance(definition, Multi) and dynamic_in(definition):
        return Multi({name: filled(axis, keys) for name, axis in definition.axes.items()})
    return definition
