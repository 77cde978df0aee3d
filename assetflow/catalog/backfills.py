"""Backfills in the catalog: each verb is one transaction, or one query.

What is made is recorded by the runs. A backfill has only what is needed to go on: its work, and how far it was.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, cast

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.model.backfills import PAUSED, Backfill


class Backfills:
    """What is recorded of backfills. Who writes holds the lock of the backfill, but to pause."""

    def __init__(self, catalog: Catalog) -> None:
        self._database = catalog.database

    def newest(self, limit: int) -> list[Backfill]:
        """The newest ones, newest first."""
        return [_from_row(row) for row in self._database.rows("backfills", limit)]

    def get(self, backfill_id: int) -> Backfill | None:
        """One of them."""
        row = self._database.row("backfill", backfill_id)
        return None if row is None else _from_row(row)

    def runs(self, backfill: Backfill) -> list[int]:
        """The numbers of its runs, oldest first."""
        return [cast("int", row[0]) for row in self._database.rows("runs_of", backfill.cause)]

    def begin(
        self, env: str, *, selection: str, partitions: str, work: Mapping[str, object], planned: int, user: str,
        host: str, at: float,
    ) -> Backfill:  # fmt: skip
        """A new one, which is running."""
        with self._database.transaction():
            row = self._database.row(
                "add_backfill", env, selection, partitions, json.dumps(work), planned, at, user, host
            )
        found = self.get(cast("tuple[int]", row)[0])
        assert found is not None, "it was added just now"
        return found

    def resume(self, backfill: Backfill) -> Backfill:
        """It runs again."""
        with self._database.transaction():
            self._database.change("resume_backfill", backfill.backfill_id)
        return replace(backfill, state="running", ended_at=None)

    def count(self, backfill: Backfill) -> None:
        """Record how far it is."""
        with self._database.transaction():
            self._database.change(
                "backfill_counts", backfill.planned, backfill.done, backfill.failed, backfill.backfill_id
            )

    def end(self, backfill: Backfill, state: str, at: float) -> Backfill:
        """Record how it ended, unless somebody paused it meanwhile; as it is then."""
        with self._database.transaction():
            self._database.change("end_backfill", state, at, backfill.backfill_id)
        return self.get(backfill.backfill_id) or backfill

    def pause(self, backfill: Backfill, at: float) -> bool:
        """Have a running one end after what it is at; whether it was running."""
        with self._database.transaction():
            return bool(self._database.change("end_backfill", PAUSED, at, backfill.backfill_id))


def _from_row(row: tuple[object, ...]) -> Backfill:
    found = Backfill(*cast("Any", row))
    return replace(found, work=json.loads(cast("str", found.work)))
