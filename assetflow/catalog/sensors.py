"""Sensors and the runs that they ask for in the catalog: each verb is one transaction, or one query.

A look is recorded with everything that came of it: the cursor, the requests and the look itself. It counts only when
no other process has looked in between: whatever dies, and whoever looks twice, a request is there once or not at all.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, cast

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.errors import Superseded
from assetflow.model.sensors import FAILED, QUIET, REQUESTED, Look, Requested, SensorState

LOOKS_KEPT = 1000
"""So many looks of a sensor are kept. What they asked for is kept for good: its keys are not to be asked for again."""


class Sensors:
    """What is recorded of sensors. Who takes up requests of one holds its lock."""

    def __init__(self, catalog: Catalog) -> None:
        self._database = catalog.database

    # -- reading

    def states(self) -> dict[str, SensorState]:
        """The sensors that ever looked or were paused, by name."""
        return {cast("str", row[0]): SensorState(*cast("Any", row)) for row in self._database.rows("sensors")}

    def state(self, name: str) -> SensorState:
        """One of them; as it begins, when nothing is recorded."""
        return self.states().get(name, SensorState(name))

    def last_looks(self) -> dict[str, Look]:
        """The newest look of each."""
        return {one.sensor: one for one in self._looks("last_looks")}

    def looks(self, name: str, limit: int = 1000) -> list[Look]:
        """The looks of one, newest first."""
        return self._looks("looks_of", name, limit)

    def open_requests(self) -> dict[str, list[Requested]]:
        """The requests of each that wait or run, or whose process is gone, in order."""
        found: dict[str, list[Requested]] = {}
        for one in self._requests("open_requests"):
            found.setdefault(one.sensor, []).append(one)
        return found

    def last_requests(self) -> dict[str, Requested]:
        """The newest request of each that was taken up."""
        return {one.sensor: one for one in self._requests("last_requests")}

    def requests(self, name: str, limit: int = 1000) -> list[Requested]:
        """The requests of one, newest first."""
        return self._requests("requests_of", name, limit)

    def contents(self, env: str, assets: Sequence[str]) -> dict[str, list[tuple[str, str]]]:
        """What is current of these assets in an environment: the content of each partition."""
        found: dict[str, list[tuple[str, str]]] = {}
        rows = cast("list[tuple[str, str, str]]", self._database.rows("contents", env, json.dumps(list(assets))))
        for asset, partition, content in rows:
            found.setdefault(asset, []).append((partition, content))
        return found

    # -- writing

    def looked(
        self, seen: SensorState, cursor: str | None, requests: Sequence[Requested], at: float, note: str = ""
    ) -> Look:
        """Record a look with all that came of it, all or nothing: the requests, and where the sensor is now.

        Raises:
            Superseded: the sensor is not as it was `seen` any more: another process has looked, or it was paused.
        """
        known = seen.looks > 0 or seen.looked_at is not None
        is_same = known and not requests and cursor == seen.cursor
        with self._database.transaction(is_durable=not is_same):
            if not known:
                self._know(seen)
            if is_same:
                moved = self._database.change("note_look", at, seen.name, seen.looks)
            else:
                moved = self._database.change("move_cursor", at, cursor, seen.name, seen.looks)
            if not moved:
                raise Superseded(f"`{seen.name}` has been looked at by another process meanwhile, or was paused")
            added = sum(self._add(one, at) for one in requests)
            state = REQUESTED if requests else QUIET
            found = Look(seen.name, seen.looks + 1, state, at, at, 1, added, len(requests) - added, note)
            return self._note(found)

    def failed(self, seen: SensorState, note: str, traceback: str, at: float) -> Look | None:
        """Record that a look came to nothing: the cursor stays. None when another process has looked meanwhile."""
        known = seen.looks > 0 or seen.looked_at is not None
        with self._database.transaction(is_durable=not known):
            if not known:
                self._know(seen)
            if not self._database.change("note_look", at, seen.name, seen.looks):
                return None
            return self._note(Look(seen.name, seen.looks + 1, FAILED, at, at, note=note, traceback=traceback))

    def pause(self, name: str, by: str | None, at: float) -> bool:
        """Pause a sensor, or let it go on (`by` is None); whether it was not so before."""
        with self._database.transaction():
            seen = self.state(name)
            if seen.is_paused == (by is not None):
                return False
            self._put(replace(seen, paused_at=None if by is None else at, paused_by=by or ""))
            return True

    def take(self, request: Requested | None, ended: Requested | None, at: float) -> Requested | None:
        """Take up a request; the caller holds the lock. `ended` is one whose process died, as it ends.

        Raises:
            Superseded: it has ended, or a run of it began: nothing is recorded.
        """
        with self._database.transaction():
            if ended is not None:
                self._end(ended, at)
            if request is None:
                return None
            row = self._database.row("claim_request", at, request.request_id)
            if row is None:
                raise Superseded(f"the request {request.request_id} of `{request.sensor}` has been taken up already")
            return replace(request, state="claimed", tries=cast("tuple[int]", row)[0], claimed_at=at)

    def end(self, request: Requested, at: float) -> None:
        """Record what became of a request that was taken up; it stays as it is when it has ended before."""
        with self._database.transaction():
            self._end(request, at)

    def _end(self, one: Requested, at: float) -> None:
        self._database.change("end_request", one.state, one.note, at, one.request_id, one.tries)

    def _add(self, one: Requested, at: float) -> int:
        asked = {"select": one.select, "partitions": one.partitions, "config": one.config}
        return self._database.change(
            "add_request", one.sensor, one.kind, one.key, one.env, json.dumps(asked, sort_keys=True), at
        )

    def _know(self, seen: SensorState) -> None:
        if not any(row[0] == seen.name for row in self._database.rows("sensors")):
            self._put(seen)

    def _put(self, one: SensorState) -> None:
        self._database.change(
            "put_sensor", one.name, one.cursor, one.looks, one.looked_at, one.paused_at, one.paused_by
        )

    def _note(self, look: Look) -> Look:
        """Record a look: as one more of the last row, when that says the same."""
        before = next(iter(self._looks("last_look", look.sensor)), None)
        is_same = (
            before is not None and look.state != REQUESTED and (before.state, before.note) == (look.state, look.note)
        )
        if before is not None and is_same:
            self._database.change("look_again", look.at, before.sensor, before.number)
        else:
            self._database.change(
                "add_look", look.sensor, look.number, look.state, look.at, look.last_at, look.count, look.requests,
                look.repeated, look.note, look.traceback,
            )  # fmt: skip
            self._database.change("forget_looks", look.sensor, LOOKS_KEPT - 1)
        return look

    def _looks(self, query: str, *parameters: object) -> list[Look]:
        return [Look(*cast("Any", row)) for row in self._database.rows(query, *parameters)]

    def _requests(self, query: str, *parameters: object) -> list[Requested]:
        return [_request(row) for row in cast("list[tuple[Any, ...]]", self._database.rows(query, *parameters))]


def _request(row: tuple[Any, ...]) -> Requested:
    number, sensor, kind, key, env, asked, *rest = row
    found = json.loads(asked)
    return Requested(
        number, sensor, kind, key, env, found["select"], found["partitions"], found["config"], *rest
    )  # fmt: skip
