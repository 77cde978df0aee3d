"""Looking at runs, those that are going on too: how two of them differ. Nothing here takes a lock or writes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from assetflow.catalog.catalog import Catalog
from assetflow.model.keys import UNPARTITIONED
from assetflow.model.records import Attempt, Run

if TYPE_CHECKING:
    from assetflow.observing.runs import RunComparison


class Observing:
    """The verbs of a project that look at its runs."""

    # -- what the project provides

    def _catalog(self) -> AbstractContextManager[Catalog]:
        raise NotImplementedError

    def run_details(self, run_id: int) -> tuple[Run, tuple[Attempt, ...]]:
        """One run and its attempts."""
        raise NotImplementedError

    # -- observing

    def compare_runs(self, old: int, new: int) -> RunComparison:
        """How two runs differ: which assets they had, how these ended, their rows, and how long they took.

        Raises:
            UsageError: there is no such run.
        """
        from assetflow.observing.runs import compared

        runs = [self.run_details(run_id) for run_id in (old, new)]
        with self._catalog() as catalog:

            def rows(attempt: Attempt) -> int | None:
                if attempt.version_number is None:
                    return None
                version = catalog.version(attempt.asset, attempt.version_number, UNPARTITIONED)
                return None if version is None else version.rows

            return compared(runs[0][0], runs[1][0], _last(runs[0][1]), _last(runs[1][1]), rows)


def _last(attempts: Sequence[Attempt]) -> dict[str, Attempt]:
    """The last attempt at each asset, in the order in which the run had them."""
    found: dict[str, Attempt] = {}
    for attempt in attempts:
        if attempt.asset not in found or attempt.number >= found[attempt.asset].number:
            found[attempt.asset] = attempt
    return found
