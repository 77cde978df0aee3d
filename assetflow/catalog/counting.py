"""The catalog's verbs that only count: what there was of each kind, in one statement each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from msgspec import Struct

from assetflow.catalog.database import Database

BOUNDS = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0)
"""The bounds of `count_attempts`, in seconds."""


class Times(Struct, frozen=True):
    """How long attempts took: how many kept to each bound and to no smaller one, beside those beyond the last one.

    `timed` counts those of which both ends are known, and `sum_us` is the sum of their times in microseconds.
    """

    within: Mapping[float, int]
    timed: int
    sum_us: int


class Totals(Struct, frozen=True):
    """What an environment has seen, by state: runs that ended, attempts that ended and their times.

    `versions` and `version_bytes` are of the whole store, whichever environment made them.
    """

    runs: Mapping[str, int]
    attempts: Mapping[str, int]
    times: Mapping[str, Times]
    versions: Mapping[str, int]
    version_bytes: Mapping[str, int]


class Counting:
    """What `metrics` reads of the past."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def totals(self, env: str) -> Totals:
        """All that is counted. Three queries; that of attempts reads every one of them."""
        runs = cast("list[tuple[str, int]]", self._database.rows("count_runs", env))
        rows = cast("list[tuple[str, float | None, int, int, int]]", self._database.rows("count_attempts", env))
        versions = cast("list[tuple[str, int, int]]", self._database.rows("count_versions"))
        states = sorted({row[0] for row in rows})
        return Totals(
            dict(runs),
            {state: sum(row[2] for row in rows if row[0] == state) for state in states},
            {state: _times([row for row in rows if row[0] == state]) for state in states},
            {state: count for state, count, _ in versions},
            {state: size for state, _, size in versions},
        )


def _times(rows: list[tuple[str, float | None, int, int, int]]) -> Times:
    within = {bound: timed for _, bound, _, timed, _ in rows if bound is not None}
    return Times(within, sum(row[3] for row in rows), sum(row[4] for row in rows))
