"""What is current of partitions, read from the catalog as columns: there may be very many, of which few differ."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import compress
from typing import TypeVar, cast

from msgspec import Struct
from msgspec.structs import replace

from assetflow.catalog.rows import Row
from assetflow.catalog.slots import SlotColumns, SlotCount, SlotRows, SlotTotals
from assetflow.io.folders import folder_names
from assetflow.io.storage import Storage
from assetflow.model.keys import AssetKey
from assetflow.model.records import Discovered
from assetflow.partitions.mappings import Side
from assetflow.partitions.ordinals import EMPTY, Ordinals
from assetflow.plan.bulk import Held
from assetflow.plan.graph import AssetGraph
from assetflow.plan.staleness import Content
from assetflow.plan.surroundings import code_now, moved_since
from assetflow.run.places import Places

MOST_LOOKED_FOR = 5000
"""Of more versions than this only the folders of their partitions are looked for, as with a note."""
MOST_IN_ROWS = 500
"""Of an asset with more partitions than this, what is plain is read in columns."""

T = TypeVar("T")
_Columns = tuple[Sequence[int], Sequence[str], Sequence[str], Sequence[str], Sequence[Content]]
"""Those of `Held`, in any order of the partitions."""


class _Named(Struct, frozen=True):
    """Partitions by ordinal, with the names of their folders; as they came if one is of an earlier definition."""

    partitions: Sequence[str]
    ordinals: Sequence[int | None]
    folders: Sequence[str]
    order: Sequence[int] | None
    """Where they stand in the catalog; None where they are in that order."""

    @property
    def is_known(self) -> bool:
        """Whether all are partitions of the asset as it is now."""
        return None not in self.ordinals


_NONE = _Named((), (), (), None)


class Holding:
    """One reading of some assets. It costs a few queries for each large asset, and time for each partition."""

    def __init__(
        self, graph: AssetGraph, rows: SlotRows, places: Places, storage: Storage, discovered: Discovered | None
    ) -> None:  # fmt: skip
        """`discovered` has what the files are now that functions were seen to open; without it they do not count."""
        self._graph, self._rows, self._places, self._storage = graph, rows, places, storage
        self._discovered, self._root = discovered, str(storage.root)
        self._listed: dict[AssetKey, frozenset[str]] = {}
        self._last_named: tuple[Side | None, Sequence[str], _Named] = (None, (), _NONE)
        self._definitions: dict[int, tuple[Mapping[str, str], str]] = {}
        self._found: defaultdict[AssetKey, list[_Columns]] = defaultdict(list)
        self._seen: dict[tuple[AssetKey, str], bool] = {}
        self._held: dict[AssetKey, Held] = {}
        self._large: dict[AssetKey, tuple[SlotCount, bool]] = {}
        self.made: defaultdict[AssetKey, dict[int, Ordinals]] = defaultdict(dict)
        """What is current, by the number of its definition."""
        self.gone: list[tuple[str, str]] = []
        """Those that are current and of which nothing can be seen on the disk."""
        self.totals: dict[AssetKey, SlotTotals] = {}
        """The sums over what is current, of assets of which all is read in columns."""
        self.seeing: set[AssetKey] = set()
        """Assets of which more was seen than is declared."""

    def read(self, keys: Collection[AssetKey], read: Collection[AssetKey], by_columns: Collection[AssetKey]) -> None:
        """Find out what these assets hold that may be current: hashes of those that are `read`, columns of some.

        Those of which there is much are read when they are asked for: one can be forgotten before the next is read.
        """
        if not keys:
            return
        counts = self._rows.counts(keys)
        is_listed = sum(one.count for one in counts.values()) > MOST_LOOKED_FOR
        large = {
            key: one
            for key, one in counts.items()
            if is_listed and one.count > MOST_IN_ROWS and key not in by_columns and self._storage.marker(one.io)
        }
        small = sorted(counts.keys() - large.keys())
        self._list(small if is_listed else ())
        if small:
            self._in_rows(self._rows.heads(small, sorted(by_columns)), by_columns)
        self._held.update((key, _in_order(self._found.pop(key, []))) for key in keys if key not in large)
        self._large.update((key, (one, key in read)) for key, one in large.items())

    def of(self, key: AssetKey) -> Held:
        """What an asset holds that may be current."""
        if key in self._large:
            like, is_read = self._large.pop(key)
            self._list([key])
            self._read_large(key, like, with_hashes=is_read)
            self._listed.pop(key, None)
            self._held[key] = _in_order(self._found.pop(key, []))
        return self._held[key]

    def may_hold(self, key: AssetKey) -> bool:
        """Whether an asset holds anything that may be current, as far as that is known."""
        return key in self._large or bool(self._held[key].ordinals)

    def forget_keys(self, key: AssetKey) -> None:
        """Leave the input keys of an asset, which nobody needs any more."""
        self._held[key] = replace(self._held[key], input_keys=())

    def _read_large(self, key: AssetKey, like: SlotCount, *, with_hashes: bool) -> None:
        if key not in self._listed:  # it has no folder
            self._in_rows(self._rows.heads([key], ()), ())
            return
        plain = self._rows.in_columns(key, self._storage.folder(key), like, with_hashes=with_hashes)
        is_read = plain is not None and self._in_columns(key, plain)
        if plain is None or not is_read or len(plain.partitions) < like.count:
            self._in_rows(self._rows.heads([key], (), like.io if is_read else ""), ())
        if plain is not None and plain.totals is not None:
            self.totals[key] = plain.totals

    def _in_columns(self, key: AssetKey, found: SlotColumns) -> bool:
        """Take what is held from columns; False where not all of it lies in the folder of the asset."""
        if found.outside:
            return False
        named, listed = self._named(key, found.partitions), self._listed[key]
        ordinals, order = named.ordinals, named.order
        fits = self._fits(key, found.definitions or [found.definition])
        numbers = _at(found.definitions, order) or [found.definition] * len(ordinals)
        if named.is_known and listed.issuperset(named.folders) and all(fits.values()):
            kept = None  # as most are, most of the time
        else:
            kept = [
                at is not None and name in listed and fits[number]
                for at, name, number in zip(ordinals, named.folders, numbers, strict=True)
            ]
            known = zip(named.partitions, ordinals, named.folders, strict=True)
            self.gone += [(key, one) for one, at, name in known if at is not None and name not in listed]
        made: defaultdict[int, list[int]] = defaultdict(list)
        if found.definitions or kept is not None:
            for at, number in zip(ordinals, numbers, strict=True):
                if at is not None:  # it is of an earlier definition
                    made[number].append(at)
        else:
            made[found.definition] = cast("list[int]", ordinals)
        for number, own in made.items():
            self._note(key, number, own)
        columns = (ordinals, named.partitions, _at(found.input_keys, order), _at(found.hashes, order))
        if kept is not None:
            columns = tuple([*compress(column, kept)] for column in columns)
        self._found[key].append(cast("_Columns", (*columns, ())))
        return True

    def _named(self, key: AssetKey, partitions: Sequence[str]) -> _Named:
        """The places and folders of partitions. What assets in a row have alike is found once."""
        side, (like, before, named) = self._places.side(key), self._last_named
        if partitions is before and side == like:
            return named
        ordinals, order = self._places.in_order(key, partitions)
        names = _at(partitions, order)
        folders = named.folders if names == named.partitions else folder_names(names)
        found = _Named(names, ordinals, folders, order)
        self._last_named = side, partitions, found
        return found

    def _in_rows(self, rows: Sequence[Row], by_columns: Collection[AssetKey]) -> None:
        made: defaultdict[tuple[AssetKey, int], list[int]] = defaultdict(list)
        kept: defaultdict[AssetKey, list[tuple[int, str, str, str, Content]]] = defaultdict(list)
        markers = {row[8]: self._storage.marker(row[8]) for row in rows}
        made_by: defaultdict[AssetKey, set[int]] = defaultdict(set)
        for row in rows:
            made_by[row[0]].add(row[3])
        fits = {key: self._fits(key, numbers) for key, numbers in made_by.items()}
        tables = {key: self._places.table(key, len(rows)) for key in made_by}
        for key, partition, input_key, definition, discovered, data_hash, count, columns, io, location in rows:
            if discovered != "{}" and not self._is_as_seen(key, discovered):
                continue
            ordinal = tables[key].get(partition)
            if ordinal is None and (ordinal := self._places.ordinal(key, partition)) is None:
                continue  # of an earlier definition
            made[key, definition].append(ordinal)
            if not markers[io] or not self._is_there(key, location, markers[io]):
                self.gone.append((key, partition))
            elif fits[key][definition]:
                content = Content(data_hash, count, _digests(columns) if key in by_columns else {}, None)
                kept[key].append((ordinal, partition, input_key, data_hash, content))
        for (key, number), own in made.items():
            self._note(key, number, own)
        for key, entries in kept.items():
            self._found[key].append(cast("_Columns", tuple(zip(*entries, strict=True))))

    def _note(self, key: AssetKey, number: int, made: Sequence[int]) -> None:
        self.made[key][number] = self.made[key].get(number, EMPTY) | Ordinals.ascending(sorted(made))

    def _fits(self, key: AssetKey, numbers: Iterable[int]) -> Mapping[int, bool]:
        """Whether what these definitions made may be current: with other code, no input key is the one of now."""
        wanted = set(numbers)
        if new := wanted - self._definitions.keys():
            self._definitions.update(self._rows.definitions(new))
        spec = self._graph.specs[key]
        now = spec.packages, code_now(spec)
        return {number: self._definitions[number] == now for number in wanted}

    def _is_as_seen(self, key: AssetKey, text: str) -> bool:
        """Whether all that was seen while a partition was made is as it was then."""
        self.seeing.add(key)
        if (key, text) not in self._seen:
            seen = Discovered.from_json(json.loads(text))
            self._seen[key, text] = not any(moved_since(self._graph.specs[key], seen, self._discovered))
        return self._seen[key, text]

    def _list(self, keys: Iterable[AssetKey]) -> None:
        """Look which partitions of these assets have a folder; of others each file is looked for."""
        for key in keys:
            with suppress(OSError):
                listed = os.listdir(f"{self._root}/{self._storage.folder(key)}")  # noqa: PTH208 - names alone, and many
                self._listed[key] = frozenset(listed)

    def _is_there(self, key: AssetKey, location: str, marker: str) -> bool:
        folder = self._storage.folder(key) + "/"
        if key in self._listed and location.startswith(folder):
            return location[len(folder) :].partition("/")[0] in self._listed[key]
        return os.path.exists(f"{self._root}/{location}/{marker}")  # noqa: PTH110 - a Path costs more than the look


def _at(column: Sequence[T], places: Sequence[int] | None) -> Sequence[T]:
    return column if places is None or not column else [column[place] for place in places]


def _in_order(parts: Sequence[_Columns]) -> Held:
    """What is held, by ordinal; a column that not all parts have is left out."""
    if not parts:
        return Held()
    own, *columns = parts[0] if len(parts) == 1 else [[one for part in parts for one in part[at]] for at in range(5)]
    ordinals = cast("Sequence[int]", own)
    order = sorted(ordinals)
    if order != [*ordinals]:
        places = sorted(range(len(ordinals)), key=ordinals.__getitem__)
        columns = [[one[at] for at in places] if len(one) == len(places) else () for one in columns]
    names, keys, hashes, contents = (one if len(one) == len(order) else () for one in columns)
    texts = cast("tuple[Sequence[str], Sequence[str], Sequence[str]]", (names, keys, hashes))
    return Held(order, *texts, cast("Sequence[Content]", contents))


def _digests(columns: str) -> Mapping[str, str]:
    return {name: digest for name, _, digest in json.loads(columns) if digest}
