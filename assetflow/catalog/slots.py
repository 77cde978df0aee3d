"""What the catalog knows of the partitions of assets, as rows and not as records: there may be very many."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import cast

from msgspec import Struct

from assetflow.catalog.catalog import Slot
from assetflow.catalog.database import Database
from assetflow.catalog.rows import Row
from assetflow.model.keys import AssetKey, slot, split_slot


def with_traces(database: Database, keys: Mapping[AssetKey, str]) -> frozenset[AssetKey]:
    """Those of these assets, or partitions by the names of their slots, that have a trace with this input key."""
    wanted = json.dumps([(*split_slot(name), key) for name, key in keys.items()])
    found = cast("list[Slot]", database.rows("slots_with_key", wanted))
    return frozenset(slot(key, partition) for key, partition in found)


class SlotTotals(Struct, frozen=True):
    """The current partitions of an asset: their rows (None: not all are tables), their bytes, and the newest."""

    rows: int | None
    size_bytes: int
    newest: str


class SlotColumns(Struct, frozen=True):
    """What is current of an asset, an entry of each column for each partition, in one order.

    There are `hashes` only when they are asked for. All are of one `definition` and there are `totals`, which are those
    of the asset, or the `definitions` of each. `outside` counts those that do not lie in the folder of the asset.
    """

    partitions: list[str]
    input_keys: list[str]
    hashes: list[str]
    definitions: list[int]
    definition: int
    outside: int
    totals: SlotTotals | None


class SlotCount(Struct, frozen=True):
    """How many partitions of an asset are current, and of one of them its IO manager, or "" if it saw files."""

    count: int
    io: str
    definition: int


_Sums = tuple[int | None, int]


def _entries(text: str | None) -> list[str]:
    return [] if text is None else text.split("\n")


class SlotRows:
    """Reads of an environment about partitions. Each is one query, however many assets and partitions there are."""

    def __init__(self, database: Database, env: str) -> None:
        self._database, self._env = database, env
        self._names = "", list[str]()

    def note(self) -> object:
        """What was noted of the partitions of this environment, a JSON-able value; None if nothing was."""
        row = self._database.row("note", self._note_name)
        return None if row is None else json.loads(cast("str", row[0]))

    def put_note(self, noted: object) -> None:
        """Note something of the partitions of this environment."""
        with self._database.transaction(is_durable=False):
            self._database.change("put_note", self._note_name, json.dumps(noted, separators=(",", ":")))

    @property
    def _note_name(self) -> str:
        return f"partitions-{self._env}"

    def one_moment(self) -> AbstractContextManager[None]:
        """Within it, all reads are of one state of the catalog."""
        return self._database.one_moment()

    def seq(self) -> int:
        """How many commits moved a head."""
        row = self._database.row("seq")
        return 0 if row is None else cast("int", row[0])

    def newest(self) -> list[object]:
        """The trace that was recorded last: its number, key and end; empty when there is none."""
        return [*(self._database.row("newest_trace") or ())]

    def has(self, trace: Sequence[object]) -> bool:
        """Whether a trace that was the newest is what it was; if not, the catalog is another one, or an older one."""
        return not trace or [*(self._database.row("trace_facts", trace[0]) or ())] == [*trace]

    def counts(self, assets: Iterable[AssetKey]) -> Mapping[AssetKey, SlotCount]:
        """How many partitions of these assets are current, of those that have any."""
        found = self._database.rows("slot_counts", self._env, json.dumps([*assets]))
        rows = cast("list[tuple[AssetKey, int, str, int]]", found)
        return {key: SlotCount(count, io, definition) for key, count, io, definition in rows}

    def heads(self, assets: Iterable[AssetKey], in_columns: Iterable[AssetKey], but: str = "") -> Sequence[Row]:
        """The rows of current partitions that have bytes; without those that `in_columns` has of the IO manager `but`.

        Asset, partition, input key, definition, what was seen, hash, rows, columns (only of those assets of which
        that is asked), io, location.
        """
        return self._database.rows("slot_heads", self._env, json.dumps([*assets]), json.dumps([*in_columns]), but)

    def in_columns(self, asset: AssetKey, folder: str, like: SlotCount, *, with_hashes: bool) -> SlotColumns | None:
        """What is current of an asset, has bytes, is stored as the one of `like`, and was not seen to open files.

        Where all are in the folder and of one definition, one query tells it, else a second one. Assets in a row that
        have the same partitions have one list of them. None where there is nothing, or the keys of partitions have what
        separates the entries.
        """
        # All locations in the folder lie between these: "0" is what comes after "/".
        named = (self._env, asset, like.io, with_hashes, f"{folder}/", f"{folder}0")
        row = self._database.rows("slot_texts_alike", *named, like.definition)[0]
        count, *texts = cast("tuple[int, str, str, str | None]", row[:4])
        totals, outside, numbers = SlotTotals(*cast("_Sums", row[4:6]), cast("str", row[7])), 0.0, None
        if count < like.count:
            row = self._database.rows("slot_texts", *named)[0]
            count, outside, *texts, numbers = cast("tuple[int, float, str, str, str | None, str]", row)
            totals = None
        if not count:
            return None
        if texts[0] != self._names[0]:
            self._names = texts[0], _entries(texts[0])
        keys, hashes, definitions = (_entries(text) for text in (texts[1], texts[2], numbers))
        if {len(self._names[1]), len(keys), len(hashes) or count, len(definitions) or count} != {count}:
            return None
        found = [int(one) for one in definitions]
        return SlotColumns(self._names[1], keys, hashes, found, like.definition, int(outside), totals)

    def definitions(self, numbers: Iterable[int]) -> Mapping[int, tuple[Mapping[str, str], str]]:
        """The packages of these definitions, and what stood for their code."""
        rows = cast("list[tuple[int, str, str]]", self._database.rows("definitions", json.dumps(sorted(numbers))))
        return {number: (json.loads(packages), code) for number, packages, code in rows}

    def moved_since(self, seq: int) -> list[Slot]:
        """The partitions whose head moved after a commit."""
        return cast("list[Slot]", self._database.rows("heads_since", self._env, seq))

    def count_since(self, seq: int) -> int:
        """How many partitions these are."""
        return cast("int", self._database.rows("count_since", self._env, seq)[0][0])

    def assets_since(self, seq: int) -> frozenset[AssetKey]:
        """The assets of these partitions."""
        return frozenset(AssetKey(cast("str", row[0])) for row in self._database.rows("assets_since", self._env, seq))

    def without_bytes(self) -> list[Slot]:
        """The partitions that are current with a version whose bytes are gone, as far as that was noticed."""
        return cast("list[Slot]", self._database.rows("slots_without_bytes", self._env))

    def without_success(self) -> list[Slot]:
        """The partitions whose last attempt neither made nor kept a version."""
        return cast("list[Slot]", self._database.rows("slots_without_success", self._env))

    def made_before(self, codes: Mapping[AssetKey, str]) -> list[Slot]:
        """The partitions of these assets of which this code made a version that is there and not current."""
        found = self._database.rows("definitions_of", json.dumps([*codes]))
        same = [number for key, number, code in found if codes[AssetKey(cast("str", key))] == code]
        if not same:
            return []
        return cast(
            "list[Slot]", self._database.rows("slots_made_before", self._env, json.dumps([*codes]), json.dumps(same))
        )

    def current(self, assets: Iterable[AssetKey]) -> list[Slot]:
        """The partitions of these assets that have a current version."""
        return cast("list[Slot]", self._database.rows("slots_with_head", self._env, json.dumps([*assets])))

    def places(self, asset: AssetKey, parts: Iterable[str] | None = None) -> list[tuple[str, str, str]]:
        """Partition, io and location of what is current of an asset and has bytes; with `parts`, of these only."""
        if parts is None:
            return cast("list[tuple[str, str, str]]", self._database.rows("slot_places", self._env, asset))
        rows = self._database.rows("slot_places_in", self._env, asset, json.dumps([*parts]))
        return [cast("tuple[str, str, str]", row[:3]) for row in rows]

    def columns(self, asset: AssetKey, parts: Iterable[str] | None = None) -> frozenset[str]:
        """The names of all columns that what is current of an asset has; with `parts`, that these have."""
        if parts is None:
            texts = [row[0] for row in self._database.rows("slot_columns", self._env, asset)]
        else:
            texts = [row[3] for row in self._database.rows("slot_places_in", self._env, asset, json.dumps([*parts]))]
        return frozenset(name for text in texts for name, *_ in json.loads(cast("str", text)))

    def totals(self, assets: Iterable[AssetKey]) -> Mapping[AssetKey, SlotTotals]:
        """Sums over the current partitions of each of these assets; those of nothing where there are none."""
        found = {key: SlotTotals(0, 0, "") for key in assets}
        rows = self._database.rows("slot_totals", self._env, json.dumps([*found]))
        for key, count, size, _, newest in cast("list[tuple[AssetKey, int | None, int, float, str]]", rows):
            found[key] = SlotTotals(count, size, newest)
        return found
