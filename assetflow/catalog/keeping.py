"""The catalog's verbs for looking after what is stored: which versions are needed, and in which state each is."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import cast

from assetflow.catalog.database import Database
from assetflow.catalog.rows import version_from_row
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version, VersionUse

Choice = Callable[[Sequence[VersionUse]], Collection[int]]
"""Picks versions by what needs them."""


class Keeping:
    """What `gc` and `doctor` read and change. Every change is one transaction, and in the journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def uses(self) -> list[VersionUse]:
        """What needs each stored version. Two queries."""
        made_from: defaultdict[int, list[int]] = defaultdict(list)
        for version_id, upstream in cast("list[tuple[int, int]]", self._database.rows("versions_read")):
            made_from[version_id].append(upstream)
        return [
            VersionUse(
                version_id, AssetKey(asset), partition, number, size, state, needed_at, bool(is_current),
                tuple(made_from.get(version_id, ())),
            )
            for version_id, asset, partition, number, size, state, needed_at, is_current in cast(
                "list[tuple[int, str, str, int, int, str, float, int]]", self._database.rows("version_uses")
            )
        ]  # fmt: skip

    def versions(self, *states: str) -> list[Version]:
        """The versions that have a place in the storage and are in one of these states, oldest first."""
        return [version_from_row(row) for row in self._database.rows("versions_in", json.dumps(states))]

    def locations(self) -> Mapping[str, str]:
        """The place of every version that was ever stored, with its state."""
        return dict(cast("list[tuple[str, str]]", self._database.rows("known_locations")))

    def current_in(self, version_ids: Iterable[int]) -> Mapping[int, tuple[tuple[str, AssetKey], ...]]:
        """The environments in which each of these versions is current, with the asset."""
        found: defaultdict[int, list[tuple[str, AssetKey]]] = defaultdict(list)
        rows = self._database.rows("heads_of_versions", json.dumps(sorted(version_ids)))
        for version_id, env, key in cast("list[tuple[int, str, str]]", rows):
            found[version_id].append((env, AssetKey(key)))
        return {version_id: tuple(heads) for version_id, heads in found.items()}

    def pinned(self) -> frozenset[tuple[str, AssetKey]]:
        """What runs leave alone: environments with assets."""
        envs = [cast("str", row[0]) for row in self._database.rows("env_names")]
        pins = [(env, cast("str", row[0])) for env in envs for row in self._database.rows("pins", env)]
        return frozenset((env, AssetKey(key)) for env, key in pins)

    def move(self, choose: Choice, before: str, after: str, at: float) -> int:
        """Put the versions that `choose` picks from one state into another; how many there were.

        What it chooses by cannot change before the transaction ends: a head that moves does so before or after it.
        """
        with self._database.transaction():
            chosen = json.dumps(sorted(choose(self.uses())))
            return self._database.change("set_version_state", chosen, before, after, at)

    def mark(self, version_ids: Collection[int], before: str, after: str, at: float) -> int:
        """Put these versions from one state into another; how many there were."""
        return self.move(lambda _: version_ids, before, after, at)

    def end_run(self, run_id: int, at: float) -> bool:
        """Record that a run died; False when it had ended before."""
        with self._database.transaction():
            if not self._database.change("end_dead_run", at, run_id):
                return False
            self._database.change("end_dead_attempts", at, run_id)
        return True

    def newest_record(self) -> float:
        """The latest time that a version or a run has."""
        row = self._database.row("newest_record")
        return 0.0 if row is None else cast("float", row[0])

    def counts(self) -> tuple[int, int, int]:
        """How many stored versions, heads and environments there are."""
        return cast("tuple[int, int, int]", self._database.row("counted"))

    def environments(self) -> list[str]:
        """The names of all environments that anything was ever recorded of."""
        return [name for (name,) in cast("list[tuple[str]]", self._database.rows("environments"))]

    def contradictions(self) -> list[str]:
        """What in the catalog does not fit together, as sentences."""
        found = [
            f"{key} in env {env} is at version {number}, which is {state}"
            for env, key, number, state in self._database.rows("heads_without_bytes")
        ]
        found += [
            f"{key} in env {env} is not where its history ends"
            for env, key in self._database.rows("heads_off_their_log")
        ]
        found += [
            f"trace {trace} of {key} has a version of another asset"
            for key, trace in self._database.rows("traces_of_another")
        ]
        found += [
            f"moves are counted to {counted}, and one has the number {highest}"
            for highest, counted in self._database.rows("seq_behind")
        ]
        return found
