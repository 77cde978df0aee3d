"""Which partitions are current, found for all of them at once, or from what was found before and what moved since.

What was found is noted in the cache folder: for each asset the partitions that were current, under a text of all that
this rested on, and the number of the last commit. The next look starts from there. A note that does not fit costs a
look at everything, and nothing else. Nothing is concluded from a time.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from msgspec import Struct, field
from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.pointers import Pointers
from assetflow.catalog.slots import SlotRows, SlotTotals
from assetflow.errors import UsageError
from assetflow.io.folders import folder_names
from assetflow.io.sources import FileState
from assetflow.io.storage import Storage
from assetflow.load.caches import read_cache, write_cache
from assetflow.model.garbage import garbage_kept
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.policies import REBUILD, Cue
from assetflow.model.records import Discovered
from assetflow.model.spec import AssetSpec, InputSpec
from assetflow.partitions.definition import Definition
from assetflow.partitions.mappings import Side
from assetflow.partitions.ordinals import EMPTY, Ordinals
from assetflow.plan.bulk import Edge, Running, numbers_of, settled_partitions, still_settled
from assetflow.plan.crowds import Crowd
from assetflow.plan.graph import AssetGraph, is_own_past
from assetflow.plan.planner import Plan
from assetflow.plan.slots import MISSING, mapping_of
from assetflow.plan.staleness import definition_key
from assetflow.run.crowding import Crowding, are_many
from assetflow.run.holding import Holding
from assetflow.run.places import Places

_FORMAT = 4
FEW_MOVED, _SHARE = 100, 100
"""When more than so many partitions have moved, and more than that share, all are looked at, and not each by itself."""

Contents = Callable[[AssetKey, InputSpec], str | None]
"""The digest of what an asset without partitions holds, as an input depends on it; None while that is not settled."""


class _Note(Struct):
    """What an earlier look found of one asset."""

    rests_on: str
    existing: Ordinals
    settled: Ordinals
    folder_ns: int


class Settled(Struct):
    """The partitions of each asset that are current, and what is needed to note them for the next look."""

    path: Path
    seq: int
    newest: list[object]
    found: dict[AssetKey, Ordinals] = field(default_factory=dict[AssetKey, Ordinals])
    rests_on: dict[AssetKey, str] = field(default_factory=dict[AssetKey, str])
    existing: dict[AssetKey, Ordinals] = field(default_factory=dict[AssetKey, Ordinals])
    folders: dict[AssetKey, int] = field(default_factory=dict[AssetKey, int])
    before: object = None
    rehashed: Mapping[str, FileState] = field(default_factory=dict[str, FileState])
    definitions: dict[AssetKey, Definition] = field(default_factory=dict[AssetKey, Definition])
    marker: Callable[[str], str] = str
    crowds: Mapping[AssetKey, Sequence[Crowd]] = field(default_factory=dict[AssetKey, "Sequence[Crowd]"])
    """Of those that are not settled, the ones that stand alike."""
    totals_now: dict[AssetKey, SlotTotals] = field(default_factory=dict[AssetKey, SlotTotals])
    """Sums over the current partitions of assets, as far as they are known since the last commit."""

    def totals(self, rows: SlotRows) -> Mapping[AssetKey, SlotTotals]:
        """Sums over the current partitions of each asset: those that are known, unless a head has moved since."""
        unknown = self.existing.keys() - self.totals_now.keys()
        if not unknown:
            return self.totals_now
        with rows.one_moment():
            found, seq = rows.totals(sorted(unknown)), rows.seq()
        if seq == self.seq:
            self.totals_now.update(found)
        return {**self.totals_now, **found}

    def in_state(self, text: str, rows: SlotRows) -> dict[AssetKey, Ordinals]:
        """The partitions that have no version (`is:missing`), or one and may not be current (`is:stale`)."""
        made: defaultdict[AssetKey, list[int]] = defaultdict(list)
        for key, partition in rows.current(self.existing):
            with suppress(UsageError):  # of an earlier definition
                made[key].append(self.definitions[key].ordinal(partition))
        held = {key: Ordinals.of(*made.get(key, ())) for key in self.existing}
        if text.strip() == MISSING:
            return {key: existing - held[key] for key, existing in self.existing.items()}
        return {key: (existing & held[key]) - self.found[key] for key, existing in self.existing.items()}

    def remember(self, plan: Plan | None = None) -> object:
        """Note what was found, and which of the rest the planner found current, unless all of that is noted already.

        What the note says is returned.
        """
        more: defaultdict[AssetKey, list[int]] = defaultdict(list)
        for step in () if plan is None else plan.current:
            key, partition = split_slot(step.asset)
            is_plain = step.head is not None and not step.head.trace.discovered and not step.is_lost
            is_plain = is_plain and step.head is not None and self.marker(step.head.version.io) != ""
            if partition and key in self.rests_on and is_plain and step.crowd is None:
                more[key].append(self.definitions[key].ordinal(partition))
        assets: dict[str, object] = {}
        for key, rests_on in self.rests_on.items():
            settled = self.found[key] | Ordinals.of(*more.get(key, ()))
            assets[key] = [rests_on, _pairs(self.existing[key]), _pairs(settled), self.folders[key]]
        sums = [[key, one.rows, one.size_bytes, one.newest] for key, one in sorted(self.totals_now.items())]
        stored = {"format": _FORMAT, "seq": self.seq, "newest": self.newest, "assets": assets, "sums": sums}
        if assets and stored != self.before:
            write_cache(self.path, stored)
        return stored


class _Noted(Struct, frozen=True):
    """What an earlier look found of all assets, after which commit, and which trace was the newest then."""

    seq: int = 0
    newest: Sequence[object] = ()
    assets: Mapping[AssetKey, _Note] = field(default_factory=dict[AssetKey, _Note])
    totals: Mapping[AssetKey, SlotTotals] = field(default_factory=dict[AssetKey, SlotTotals])

    @classmethod
    def of(cls, stored: object, rows: SlotRows) -> _Noted:
        """What the note says; nothing where it is none, or of another catalog."""
        try:
            found = cast("dict[str, Any]", stored)
            if found["format"] != _FORMAT:
                return cls()
            assets = {
                AssetKey(key): _Note(rests_on, _ordinals(existing), _ordinals(settled), folder_ns)
                for key, (rests_on, existing, settled, folder_ns) in found["assets"].items()
            }
            totals = {AssetKey(key): SlotTotals(*of_asset) for key, *of_asset in found["sums"]}
            noted = cls(found["seq"], found["newest"], assets, totals)
        except (TypeError, KeyError, ValueError):
            return cls()
        return noted if noted.seq <= rows.seq() and rows.has(noted.newest) else cls()


def _ordinals(spans: Iterable[Sequence[int]]) -> Ordinals:
    return Ordinals(tuple((low, high) for low, high in spans))


def _pairs(ordinals: Ordinals) -> list[list[int]]:
    return [[low, high] for low, high in ordinals.spans]


def has_much_moved(rows: SlotRows, sides: Mapping[AssetKey, Side]) -> bool:
    """Whether so much has moved since the note in the catalog that the next look should find a newer one."""
    return _are_much(rows.count_since(_Noted.of(rows.note(), rows).seq), sides)


def _are_much(moved: int, sides: Mapping[AssetKey, Side]) -> bool:
    return moved > max(FEW_MOVED, sum(side.existing.count for side in sides.values()) // _SHARE)


class Settling:
    """One look. It costs a constant number of queries, and time for each partition that has to be looked at."""

    def __init__(
        self, graph: AssetGraph, sides: Mapping[AssetKey, Side], catalog: Catalog, storage: Storage, env: str,
        contents: Contents, cache: Path, discovered: Discovered | None,
    ) -> None:  # fmt: skip
        """`sides` are the assets with partitions; `graph` has what their specs declare as it is now.

        `discovered` has what the files are now that functions were seen to open; without it they do not count.
        """
        self._graph, self._sides, self._storage, self._contents = graph, sides, storage, contents
        self._catalog, self._env = catalog, env
        self._rows, self._places = SlotRows(catalog.database, env), Places(sides)
        self._cache, self._discovered = cache, discovered
        self._seeing: set[AssetKey] = set()
        """Assets of which more was seen than is declared: what is found of them holds only until the next look."""
        self._holding = Holding(graph, self._rows, self._places, storage, discovered)
        self._is_whole = False
        self._running: dict[tuple[AssetKey, str, tuple[str, ...]], Running] = {}

    def look(self, *, in_crowds: bool = False) -> Settled:
        """The partitions of each asset that are current, beside those that only the planner can tell.

        `in_crowds`: those that are not are looked at as well.
        """
        with garbage_kept(), self._rows.one_moment():
            found = self._look(is_whole=False, in_crowds=in_crowds)
            unsettled = {key: side.existing - found.found[key] for key, side in self._sides.items()}
            if in_crowds and not self._is_whole and are_many(unsettled):
                found = self._look(is_whole=True)
            if in_crowds and self._is_whole:
                crowding = Crowding(self._graph, self._sides, self._rows, self._places, found.found)
                held = self._holding
                found.crowds = crowding.look(found.rests_on, held.made, lambda: [*self._beside(), *held.gone])
            return found

    def _last_note(self) -> tuple[_Noted, object]:
        """What was noted last of this catalog, and what is stored of it in the cache folder."""
        stored = read_cache(self._cache)
        noted = _Noted.of(stored, self._rows)
        return (noted if noted.assets else _Noted.of(self._rows.note(), self._rows)), stored

    def _look(self, *, is_whole: bool, in_crowds: bool = False) -> Settled:
        note, before = self._last_note()
        result = Settled(
            self._cache, self._rows.seq(), self._rows.newest(), before=before, marker=self._storage.marker
        )  # fmt: skip
        self._running.clear()
        result.definitions = {key: side.definition for key, side in self._sides.items()}
        result.existing = {key: side.existing for key, side in self._sides.items()}
        # Before anything is looked for: what goes away meanwhile makes it another one.
        result.folders = {key: self._folder_ns(key) for key in self._sides}
        noted = note.assets
        inputs = {key: self._inputs(key) for key in self._sides}
        has_moved = note.seq != result.seq and bool(noted or note.totals)
        touched = self._rows.assets_since(note.seq) if has_moved else frozenset[AssetKey]()
        result.totals_now.update((key, one) for key, one in note.totals.items() if key not in touched)
        is_whole |= in_crowds and are_many(self._unnoted(inputs, noted))
        if is_whole or (has_moved and _are_much(self._rows.count_since(note.seq), self._sides)):
            noted = self._complete(noted, inputs, touched)
            self._is_whole, has_moved = True, False
        fitting = {
            key for key, found in inputs.items() if found is not None and self._fits(found, noted, result.folders)
        }
        moved = self._moved_since(note.seq) if fitting and has_moved else {}
        beside = self._ordinals(self._beside())
        self._hold({key for key in self._sides if inputs[key] is not None and key not in fitting}, inputs)
        for key in self._graph.order:
            if key not in self._sides:
                continue
            found = inputs[key]
            if found is None:
                result.found[key] = EMPTY
            elif key in fitting:
                own = moved.get(key, EMPTY) | beside.get(key, EMPTY)
                result.found[key] = self._carried(key, found, noted, result.found, own)
            else:
                result.found[key] = self._told(key, found, result.found) - beside.get(key, EMPTY)
            self._seeing |= self._holding.seeing
            if found is not None and key not in self._seeing:
                result.rests_on[key] = found.rests_on
        result.totals_now.update(self._holding.totals)
        self._together(result)
        return result

    def _unnoted(
        self, inputs: Mapping[AssetKey, _Inputs | None], noted: Mapping[AssetKey, _Note]
    ) -> dict[AssetKey, Ordinals]:
        """The partitions of each asset that were not noted to be current."""
        found: dict[AssetKey, Ordinals] = {}
        for key, side in self._sides.items():
            given, note = inputs[key], noted.get(key)
            is_same = given is not None and note is not None and note.rests_on == given.rests_on
            found[key] = side.existing - note.settled if is_same and note is not None else side.existing
        return found

    def _complete(
        self, noted: Mapping[AssetKey, _Note], inputs: Mapping[AssetKey, _Inputs | None],
        moved: Collection[AssetKey],
    ) -> dict[AssetKey, _Note]:  # fmt: skip
        """The notes of assets that are wholly current: what carries on from others may be less than all that is."""
        kept: dict[AssetKey, _Note] = {}
        for key in self._graph.order:
            note, found = noted.get(key), inputs.get(key)
            if note is None or found is None or key in moved or note.rests_on != found.rests_on:
                continue
            is_whole = self._sides[key].existing <= note.settled
            if is_whole and all(edge.given.upstream in kept for edge in found.edges):
                kept[key] = note
        return kept

    # -- what an asset rests on

    def _inputs(self, key: AssetKey) -> _Inputs | None:
        """The inputs of an asset; None when its partitions cannot be told to be current by their input keys alone."""
        spec, side = self._graph.specs[key], self._sides[key]
        if spec.cue is not None and replace(spec.cue, on_code_change=REBUILD) != Cue():
            return None
        whole: list[tuple[InputSpec, str]] = []
        edges: list[Edge] = []
        for given in spec.inputs:
            up = self._sides.get(given.upstream)
            if up is not None:
                if self._graph.specs[given.upstream].is_source or is_own_past(given, spec, self._graph.specs):
                    return None  # files are to be looked at, and an own earlier partition comes one after the other
                edges.append(Edge(given, mapping_of(given, up.definition, side.definition), up, side))
                continue
            digest = self._contents(given.upstream, given)
            if digest is None:
                return None
            if given.mode != "order":
                whole.append((given, digest))
        edges.sort(key=lambda edge: (edge.given.parameter, edge.given.upstream))
        return _Inputs(key, spec, side, whole, edges)

    def _fits(
        self, found: _Inputs, noted: Mapping[AssetKey, _Note], folders: Mapping[AssetKey, int]
    ) -> bool:  # fmt: skip
        note = noted.get(found.key)
        if note is None or note.rests_on != found.rests_on:
            return False
        return note.folder_ns == folders[found.key] or self._has_folders(found.key, note.settled)

    def _folder_ns(self, key: AssetKey) -> int:
        try:
            return os.stat(self._folder(key)).st_mtime_ns  # noqa: PTH116 - as elsewhere where it is done often
        except OSError:
            return 0

    def _folder(self, key: AssetKey) -> str:
        return f"{self._storage.root}/{self._storage.folder(key)}"

    def _has_folders(self, key: AssetKey, settled: Ordinals) -> bool:
        """Whether each of the partitions still has a folder: one look at the folder of the asset."""
        try:
            there = set(os.listdir(self._folder(key)))  # noqa: PTH208 - names alone, and many
        except OSError:
            return not settled
        return there.issuperset(folder_names([*self._sides[key].definition.keys(settled)]))

    # -- from a note

    def _moved_since(self, seq: int) -> dict[AssetKey, Ordinals]:
        """The partitions whose head moved after a commit."""
        return self._ordinals(self._rows.moved_since(seq))

    def _ordinals(self, slots: Iterable[tuple[str, str]]) -> dict[AssetKey, Ordinals]:
        named: defaultdict[AssetKey, list[int]] = defaultdict(list)
        for key, partition in slots:
            if partition and (ordinal := self._places.ordinal(AssetKey(key), partition)) is not None:
                named[AssetKey(key)].append(ordinal)
        return {key: Ordinals.of(*found) for key, found in named.items()}

    def _beside(self) -> list[tuple[str, str]]:
        """The slots on which something decides beside their input keys."""
        doubted = [*self._catalog.doubts(self._env), *Pointers(self._catalog).pins(self._env)]
        return [*doubted, *self._rows.without_bytes()]

    def _carried(
        self, key: AssetKey, found: _Inputs, noted: Mapping[AssetKey, _Note], now: Mapping[AssetKey, Ordinals],
        moved: Ordinals,
    ) -> Ordinals:  # fmt: skip
        unsure: list[tuple[Edge, Ordinals]] = []
        for edge in found.edges:
            up = edge.given.upstream
            note = noted.get(up)
            if edge.given.mode == "order":
                continue
            if note is None:
                return EMPTY
            existing = self._sides[up].existing
            # What was not noted of an upstream may have changed since, though the reader was found current beside it.
            unsure.append((edge, (existing | note.existing) - (note.settled & now[up] & existing)))
        return still_settled(noted[key].settled & self._sides[key].existing, moved, unsure)

    # -- from the catalog

    def _hold(self, keys: set[AssetKey], inputs: Mapping[AssetKey, _Inputs | None]) -> None:
        """Read what is current of these assets, and of what they read."""
        edges = {key: () if found is None else found.edges for key, found in inputs.items()}
        of_all = [edge.given for own in edges.values() for edge in own]
        read = {given.upstream for given in of_all}
        by_columns = {given.upstream for given in of_all if given.mode == "columns"}
        self._holding = Holding(self._graph, self._rows, self._places, self._storage, self._discovered)
        self._holding.read(keys, read, by_columns)
        # Of what may be current by its own definition, also what it reads is looked at.
        above = {edge.given.upstream for key in keys if self._holding.may_hold(key) for edge in edges[key]}
        self._holding.read(above - keys, read, by_columns)

    def _told(self, key: AssetKey, found: _Inputs, now: Mapping[AssetKey, Ordinals]) -> Ordinals:
        def running(given: InputSpec) -> Running:
            name = (given.upstream, given.mode, given.columns)
            if name not in self._running:
                held, settled = self._holding.of(given.upstream), now[given.upstream]
                self._running[name] = Running(self._sides[given.upstream].existing, *numbers_of(given, held, settled))
            return self._running[name]

        held = self._holding.of(key)
        settled = settled_partitions(key, found.spec, found.whole, found.edges, held, running)
        self._holding.forget_keys(key)
        return settled & self._sides[key].existing

    def _together(self, result: Settled) -> None:
        """Leave outputs of one function to the planner where one of them is not settled."""
        by_node: defaultdict[str, list[AssetKey]] = defaultdict(list)
        for key in self._sides:
            by_node[self._graph.specs[key].node].append(key)
        for keys in by_node.values():
            if len(keys) > 1:
                common = result.found[keys[0]]
                for key in keys[1:]:
                    common &= result.found[key]
                result.found.update(dict.fromkeys(keys, common))


class _Inputs(Struct, frozen=True, dict=True):
    """What an asset with partitions reads: as a whole, and in partitions."""

    key: AssetKey
    spec: AssetSpec
    side: Side
    whole: Sequence[tuple[InputSpec, str]]
    edges: Sequence[Edge]

    @cached_property
    def rests_on(self) -> str:
        """A text of all that decides which partitions are current, beside what they and their upstreams hold."""
        base = definition_key(self.key, self.spec, self.whole, [edge.given for edge in self.edges])
        ways = [
            [edge.given.parameter, edge.given.upstream, edge.mapping.to_json(), edge.up.definition.to_json()]
            for edge in self.edges
        ]
        packages = sorted(self.spec.packages.items())
        edits = [] if self.spec.cue is None else [self.spec.cue.on_code_change]
        text = json.dumps([base, packages, self.side.definition.to_json(), ways, *edits], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()
