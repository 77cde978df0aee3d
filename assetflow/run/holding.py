"""What is current of partitions, read from the catalog as columns: there may be very many, of which few differ."""

from __future__ import annotations

import json
import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import compress
from typing import cast

from assetflow.catalog.rows import Row
from assetflow.catalog.slots import SlotColumns, SlotRows
from assetflow.io.folders import folder_names
from assetflow.io.storage import Storage
from assetflow.model.keys import AssetKey
from assetflow.model.records import Discovered
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

_Columns = tuple[Sequence[int], Sequence[str], Sequence[str], Sequence[str], Sequence[Content]]
"""Those of `Held`, in any order of the partitions."""


class Holding:
    """One reading of some assets. It costs a few queries for each large asset, and time for each partition."""

    def __init__(
        self, graph: AssetGraph, rows: SlotRows, places: Places, storage: Storage, discovered: Discovered | None
    ) -> None:  # fmt: skip
        """`discovered` has what the files are now that functions were seen to open; without it they do not count."""
        self._graph, self._rows, self._places, self._storage = graph, rows, places, storage
        self._discovered, self._root = discovered, str(storage.root)
        self._listed: dict[AssetKey, frozenset[str]] = {}
        self._definitions: dict[int, tuple[Mapping[str, str], str]] = {}
        self._found: defaultdict[AssetKey, list[_Columns]] = defaultdict(list)
        self._seen: dict[tuple[AssetKey, str], bool] = {}
        self.held: dict[AssetKey, Held] = {}
        self.made: defaultdict[AssetKey, dict[int, Ordinals]] = defaultdict(dict)
        """What is current, by the number of its definition."""
        self.gone: list[tuple[str, str]] = []
        """Those that are current and of which nothing can be seen on the disk."""
        self.seeing: set[AssetKey] = set()
        """Assets of which more was seen than is declared."""

    def read(self, keys: Collection[AssetKey], read: Collection[AssetKey], by_columns: Collection[AssetKey]) -> None:
        """Find out what these assets hold that may be current: hashes of those that are `read`, columns of some."""
        if not keys:
            return
        counts = self._rows.counts(keys)
        self._list(keys if sum(count for count, _ in counts.values()) > MOST_LOOKED_FOR else ())
        large = {
            key: io
            for key, (count, io) in counts.items()
            if count > MOST_IN_ROWS and key in self._listed and key not in by_columns and self._storage.marker(io)
        }
        if small := sorted(counts.keys() - large.keys()):
            self._in_rows(self._rows.heads(small, sorted(by_columns)), by_columns)
        for key, io in sorted(large.items()):
            plain = self._rows.in_columns(key, io, with_hashes=key in read)
            is_read = plain is not None and self._in_columns(key, plain)
            if plain is None or not is_read or len(plain.partitions) < counts[key][0]:
                self._in_rows(self._rows.heads([key], (), io if is_read else ""), ())
        self.held.update((key, _in_order(self._found[key])) for key in keys)

    def _in_columns(self, key: AssetKey, found: SlotColumns) -> bool:
        """Take what is held from columns; False where not all of it lies in the folder of the asset."""
        folder = self._storage.folder(key) + "/"
        if not (found.first.startswith(folder) and found.last.startswith(folder)):
            return False
        ordinals, listed = self._places.ordinals(key, found.partitions), self._listed[key]
        folders = folder_names(found.partitions)
        fits = self._fits(key, found.definitions or [found.definition])
        numbers = found.definitions or [found.definition] * len(ordinals)
        if None not in ordinals and listed.issuperset(folders) and all(fits.values()):
            kept = None  # as most are, most of the time
        else:
            kept = [
                at is not None and name in listed and fits[number]
                for at, name, number in zip(ordinals, folders, numbers, strict=True)
            ]
            known = zip(found.partitions, ordinals, folders, strict=True)
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
        columns = (ordinals, found.partitions, found.input_keys, found.hashes)
        if kept is not None:
            columns = tuple([*compress(column, kept)] for column in columns)
        self._found[key].append(cast("_Columns", (*columns, ())))
        return True

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


def _in_order(parts: Sequence[_Columns]) -> Held:
    """What is held, by ordinal; a column that not all parts have is left out."""
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
