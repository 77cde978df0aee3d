"""Which partitions that are not current stand alike, so that one step of a plan can speak for all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

from msgspec.structs import replace

from assetflow.catalog.slots import SlotRows
from assetflow.model.keys import AssetKey
from assetflow.partitions.mappings import Side
from assetflow.partitions.ordinals import EMPTY, Ordinals
from assetflow.plan.crowds import Crowd
from assetflow.plan.graph import AssetGraph, is_own_past
from assetflow.plan.slots import mapping_of
from assetflow.plan.surroundings import code_now
from assetflow.run.places import Places

MOST_ALONE = 1000
"""Of an asset with more partitions than this that are not current, those that stand alike have one step together."""


def are_many(unsettled: Mapping[AssetKey, Ordinals]) -> bool:
    """Whether there may be crowds among these partitions."""
    return any(own.count > MOST_ALONE for own in unsettled.values())


class Crowding:
    """One look at the partitions that are not current. It costs a constant number of queries, and a row for each."""

    def __init__(
        self, graph: AssetGraph, sides: Mapping[AssetKey, Side], rows: SlotRows, places: Places,
        settled: Mapping[AssetKey, Ordinals],
    ) -> None:  # fmt: skip
        """`sides` are the assets with partitions, `rows` the environment that is looked at.

        `settled` are the partitions that are current; of assets that are told in bulk, all of them.
        """
        self._graph, self._sides, self._rows, self._places = graph, sides, rows, places
        self._unsettled = {key: side.existing - settled.get(key, EMPTY) for key, side in sides.items()}

    def look(
        self,
        told: Collection[AssetKey],
        made: Mapping[AssetKey, Mapping[int, Ordinals]],
        alone: Callable[[], Iterable[tuple[str, str]]],
    ) -> dict[AssetKey, tuple[Crowd, ...]]:
        """The crowds of each asset, of partitions that are not settled and for which nothing else counts.

        That is not so of those that are `alone` and of those that may be linked to what was made earlier, with all that
        read them; nor of those whose last attempt failed. Partitions are alike when nothing was ever made of any. If
        the asset was `told` in bulk, and so all that it reads, they are also alike when what is current of them was
        `made` by one definition, and all of them read what is not settled, or none does.
        """
        many = [key for key, own in self._unsettled.items() if own.count > MOST_ALONE and self._may_be(key)]
        if not many:
            return {}
        beside = self._beside(many, alone)
        in_bulk = self._in_bulk(told)
        others = self._ordinals(self._rows.current([key for key in many if key not in in_bulk]))
        found: dict[AssetKey, tuple[Crowd, ...]] = {}
        for key in many:
            left, name = self._unsettled[key] - beside.get(key, EMPTY), self._sides[key].definition.key
            by_definition = [own & left for own in made.get(key, {}).values()] if key in in_bulk else []
            held = others.get(key, EMPTY)
            missing = left - Ordinals.joined(span for one in (*by_definition, held) for span in one.spans)
            reading = self._reading(key, self._unsettled) if by_definition else EMPTY
            parts = [part for one in by_definition for part in (one & reading, one - reading)]
            crowds = [Crowd(key, part, name(part.last)) for part in parts if part]
            found[key] = (*([Crowd(key, missing)] if missing else []), *crowds)
        return found

    def _may_be(self, key: AssetKey) -> bool:
        """Whether nothing but its definition and what it reads decides on its partitions, and it is made by itself."""
        spec = self._graph.specs[key]
        siblings = [one for one in self._graph.specs.values() if one.node == spec.node]
        if spec.is_source or spec.cue is not None or len(siblings) > 1:
            return False
        return not any(
            is_own_past(given, spec, self._graph.specs)
            or (given.upstream in self._sides and self._graph.specs[given.upstream].is_source)
            for given in spec.inputs
        )

    def _in_bulk(self, told: Collection[AssetKey]) -> set[AssetKey]:
        """Those of the assets all of whose upstreams with partitions were told in bulk as well."""
        found: set[AssetKey] = set()
        for key in self._graph.order:
            if key in told and all(up in found for up in self._graph.upstream(key) if up in self._sides):
                found.add(key)
        return found

    def _beside(
        self, many: Iterable[AssetKey], alone: Callable[[], Iterable[tuple[str, str]]]
    ) -> dict[AssetKey, Ordinals]:
        """The partitions that are looked at each by itself."""
        codes = {key: code_now(self._graph.specs[key]) for key in many}
        found = self._ordinals((*alone(), *self._rows.made_before(codes)))
        for key in self._graph.order:
            if key in self._sides and (reading := self._reading(key, found)):
                found[key] = found.get(key, EMPTY) | reading
        for key, own in self._ordinals(self._rows.without_success()).items():
            found[key] = found.get(key, EMPTY) | own
        return found

    def _reading(self, key: AssetKey, moved: Mapping[AssetKey, Ordinals]) -> Ordinals:
        """The partitions of an asset that read one of these."""
        down, found = self._sides[key], EMPTY
        for given in self._graph.specs[key].inputs:
            up = self._sides.get(given.upstream)
            read = moved.get(given.upstream, EMPTY)
            if up is None or not read or given.mode == "order":
                continue
            mapping = mapping_of(given, up.definition, down.definition)
            found |= mapping.downstream(read, replace(up, existing=up.existing | read), down)
        return found

    def _ordinals(self, slots: Iterable[tuple[str, str]]) -> dict[AssetKey, Ordinals]:
        found: defaultdict[AssetKey, list[int]] = defaultdict(list)
        for key, partition in slots:
            if (ordinal := self._places.ordinal(AssetKey(key), partition)) is not None:
                found[AssetKey(key)].append(ordinal)
        return {key: Ordinals.of(*own) for key, own in found.items()}
