"""Looking at runs, those that are going on too: what they say, and how two differ. Nothing here writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from assetflow.catalog.catalog import Catalog
from assetflow.errors import UsageError
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey, slot
from assetflow.model.records import Attempt, Run
from assetflow.plan.graph import AssetGraph
from assetflow.plan.named import Named, named
from assetflow.run.steplog import log_path, partitions_in, range_log
from assetflow.views import LogFile

if TYPE_CHECKING:
    from assetflow.observing.follow import LogLines
    from assetflow.observing.metrics import Metrics
    from assetflow.observing.runs import RunComparison
    from assetflow.views import Status


class Observing:
    """The verbs of a project that look at its runs."""

    graph: AssetGraph
    settings: Settings

    # -- what the project provides

    def _catalog(self) -> AbstractContextManager[Catalog]:
        raise NotImplementedError

    def status(self, *, now: float | None = None) -> Status:
        """Content and freshness of all assets."""
        raise NotImplementedError

    def run_details(self, run_id: int) -> tuple[Run, tuple[Attempt, ...]]:
        """One run and its attempts."""
        raise NotImplementedError

    # -- observing

    def metrics(self, *, now: float | None = None) -> Metrics:
        """The project as it is at `now` (UTC seconds; default: the time of the call): `metrics().text` is OpenMetrics.

        States are those of `status`; counts come from the catalog, with as many statements for a thousand assets as for
        ten. Sources with a version function are not asked.
        """
        from assetflow.catalog.counting import Counting
        from assetflow.observing.metrics import metrics

        now = time.time() if now is None else now
        status = self.status(now=now)
        with self._catalog() as catalog:
            totals = Counting(catalog.database).totals(self.settings.env)
        return metrics(self.settings.name, status, totals, now)

    def logs(self, run_id: int | None = None, key: str | None = None) -> tuple[LogFile, ...]:
        """What the steps of a run printed and logged, in the order they began: of the last run, or of one run.

        With `key` alone it is the last run of this environment that called its function, whatever reused the result
        since; of another environment (`LogFile.env`) if it was called nowhere else. `"orders[2026-01-05]"` are those of
        one partition, or of several, in the last run that called for one of them.

        Raises:
            UsageError: there is no such run, or none yet; or no such partition.
        """
        from assetflow.catalog.calls import attempts_in

        with self._catalog() as catalog:
            if run_id is not None and catalog.run(run_id) is None:
                raise UsageError(f"there is no run #{run_id}", fix="`assetflow runs` lists the runs")
            if key is not None:
                found = named(self.graph, key)
                run_id = self._last_call(catalog, found) if run_id is None else run_id
                attempts = [] if run_id is None else attempts_in(catalog, run_id, found.asset, found.partitions)
            elif run_id is not None:
                attempts = catalog.attempts(run_id)
            elif latest := catalog.runs(1):
                attempts = catalog.attempts(latest[0].run_id)
            else:
                raise UsageError("there has been no run yet", fix="`assetflow materialize` starts one")
            run = catalog.run(attempts[0].run_id) if attempts else None
        env = "" if run is None else run.env
        logs = {log.path: log for attempt in attempts if (log := self._log(attempt, env)) is not None}
        return tuple(logs.values())

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
                version = catalog.version(attempt.asset, attempt.version_number, attempt.partition)
                return None if version is None else version.rows

            return compared(runs[0][0], runs[1][0], _last(runs[0][1]), _last(runs[1][1]), rows)

    def follow_logs(
        self, run_id: int | None = None, key: str | None = None, *, wait: Callable[[float], None] = time.sleep
    ) -> Iterator[LogLines]:
        """What steps print and log, as it comes: of the last run, of one run, or of one asset, until that has ended.

        Of an asset, or of partitions of it (`"orders[2026-01-05]"`), that is the run that goes on in this environment,
        or else the last one that called its function. `wait` is called between looks.

        Raises:
            UsageError: there is no such run or none yet.
            NoSuchAsset: there is no such asset.
        """
        from assetflow.observing.follow import Moment, followed

        asset = None if key is None else named(self.graph, key)
        wanted = None if asset is None or asset.partitions is None else frozenset(asset.partitions)
        found = self._followed_run(run_id, asset)

        def look() -> Moment:
            run, attempts = self.run_details(found)
            if asset is not None:
                attempts = tuple(
                    one for one in attempts
                    if one.asset == asset.asset and (wanted is None or one.partition in wanted)
                )  # fmt: skip
            return Moment(attempts, run.state != "running" or (asset is not None and self._has_ended(attempts)))

        return followed(found, look, self._log_path, wait)

    def _log_path(self, attempt: Attempt) -> Path:
        # The outputs of one function share its log.
        spec = self.graph.specs.get(attempt.asset)
        name = attempt.asset if spec is None or spec.is_source else AssetKey(spec.node)
        node = slot(name, attempt.partition)
        path = log_path(self.settings.state_path / "runs", attempt.run_id, node, attempt.number)
        if attempt.partition and spec is not None and spec.partitions is not None and not path.exists():
            return range_log(path, spec.partitions, attempt.partition) or path
        return path

    def _log(self, attempt: Attempt, env: str) -> LogFile | None:
        from assetflow.run.steplog import log_text

        path = self._log_path(attempt)
        try:
            text = log_text(path)
        except (FileNotFoundError, NotADirectoryError):
            if not self._has_run(attempt) or not path.parent.is_dir():
                return None
            text = ""  # it said nothing, so nothing was written
        except OSError as error:
            raise UsageError(f"the log {path} cannot be read: {error.strerror}") from error
        made = partitions_in(path, attempt.partition)
        return LogFile(attempt.run_id, attempt.asset, attempt.number, path, text, made, env)

    def _has_run(self, attempt: Attempt) -> bool:
        """Whether a function was called, so that there may have been output."""
        from assetflow.catalog.calls import UNCALLED

        spec = self.graph.specs.get(attempt.asset)
        return attempt.state not in UNCALLED and (spec is None or not spec.is_source)

    def _followed_run(self, run_id: int | None, asset: Named | None) -> int:
        with self._catalog() as catalog:
            if run_id is not None:
                if catalog.run(run_id) is None:
                    raise UsageError(f"there is no run #{run_id}", fix="`assetflow runs` lists the runs")
                return run_id
            # Of an asset, a run that goes on elsewhere is none to wait for.
            latest = (catalog.runs(1, self.settings.env) if asset is not None else []) or catalog.runs(1)
            if not latest:
                raise UsageError("there has been no run yet", fix="`assetflow materialize` starts one")
            called = None if asset is None else self._last_call(catalog, asset)
        is_going_on = self.run_details(latest[0].run_id)[0].state == "running"
        return latest[0].run_id if called is None or is_going_on else called

    def _last_call(self, catalog: Catalog, asset: Named) -> int | None:
        """The last run of this environment that called its function, or if there is none, of any."""
        from assetflow.catalog.calls import last_call

        here = last_call(catalog, self.settings.env, asset.asset, asset.partitions)
        return last_call(catalog, None, asset.asset, asset.partitions) if here is None else here

    def _has_ended(self, attempts: Sequence[Attempt]) -> bool:
        """Whether no more attempts at an asset come: one that failed is tried again as often as its asset says."""
        if not attempts:
            return False
        last = max(attempts, key=lambda attempt: attempt.number)
        spec = self.graph.specs.get(last.asset)
        may_retry = last.state == "failed" and spec is not None and last.number <= spec.retries
        return last.state != "running" and not may_retry


def _last(attempts: Sequence[Attempt]) -> dict[str, Attempt]:
    """The last attempt at each asset, in the order in which the run had them."""
    found: dict[str, Attempt] = {}
    for attempt in attempts:
        name = slot(attempt.asset, attempt.partition)
        if name not in found or attempt.number >= found[name].number:
            found[name] = attempt
    return found
