"""What the catalog knows of the partitions of assets, as rows and not as records: there may be very many."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from assetflow.catalog.catalog import Slot
from assetflow.catalog.database import Database
from assetflow.catalog.rows import Row
from assetflow.model.keys import AssetKey, slot, split_slot


def with_traces(database: Database, keys: Mapping[AssetKey, str]) -> frozenset[AssetKey]:
    """Those of these assets, or partitions by the names of their slots, that have a trace with this input key."""
    wanted = json.dumps([(*split_slot(name), key) for name, key in keys.items()])
    found = cast("list[Slot]", database.rows("slots_with_key", wanted))
    return frozenset(slot(key, partition) for key, partition in found)


@dataclass(frozen=True, slots=True)
class SlotTotals:
    """The current partitions of an asset: their rows (None: not all are tables), their bytes, and the newest."""

    rows: int | None
    size_bytes: int
    newest: str


class SlotRows:
    """Reads of an environment about partitions. Each is one query, however many assets and partitions there are."""

    def __init__(self, database: Database, env: str) -> None:
        self._database, self._env = database, env

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

    def heads(self, assets: Iterable[AssetKey], in_columns: Iterable[AssetKey]) -> Sequence[Row]:
        """The rows of current partitions that have bytes.

        Asset, partition, input key, definition, what was seen, hash, rows, columns (only of those assets of which
        that is asked), io, location.
        """
        return self._database.rows("slot_heads", self._env, json.dumps([*assets]), json.dumps([*in_columns]))

    def packages(self, definitions: Iterable[int]) -> Mapping[int, Mapping[str, str]]:
        """The packages of these definitions."""
        rows = cast("list[tuple[int, str]]", self._database.rows("packages_of", json.dumps(sorted(definitions))))
        return {number: json.loads(text) for number, text in rows}

    def moved_since(self, seq: int) -> list[Slot]:
        """The partitions whose head moved after a commit."""
        return cast("list[Slot]", self._database.rows("heads_since", self._env, seq))

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

    def totals(self) -> Mapping[AssetKey, SlotTotals]:
        """Sums over the current partitions of each asset."""
        found = cast("list[tuple[str, int | None, int, float, str]]", self._database.rows("slot_totals", self._env))
        return {AssetKey(key): SlotTotals(rows, size, newest) for key, rows, size, _, newest in found}
