"""Looking for what is wrong before it costs anything: the code of assets, and what it gives when it runs again."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog
from assetflow.errors import UsageError
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey
from assetflow.plan.graph import AssetGraph, Slots
from assetflow.plan.named import named_partitions, slots_named

if TYPE_CHECKING:
    from assetflow.checking.findings import StaticReport
    from assetflow.checking.verifying import Verification, Verified
    from assetflow.load.live import Loaded
    from assetflow.run.survey import Survey


class Checking:
    """The verbs of a project that look for trouble. They change nothing."""

    settings: Settings
    graph: AssetGraph
    storage: Storage

    # -- what the project provides

    def select(self, expression: str | Iterable[str] | None = None) -> tuple[AssetKey, ...]:
        """The assets that a selection names."""
        raise NotImplementedError

    def _catalog(self) -> AbstractContextManager[Catalog]:
        raise NotImplementedError

    def _survey(self, catalog: Catalog, *, ask: bool, graph: Slots | None = None) -> Survey:
        raise NotImplementedError

    def _load(self) -> Loaded:
        raise NotImplementedError

    # -- looking

    def check(self, expression: str | Iterable[str] | None = None) -> StaticReport:
        """What the code of the selected assets, and of the helpers that they reach, says against them.

        Types that cannot fit, SQL that cannot be read, and reads of the clock, of chance, of the environment, of the
        network and of files, each with its place. Without a selection also the jobs that can run nothing, and the alert
        channels that cannot be told. No data is read; user code is imported only when it changed.

        Raises:
            ProjectLoadError: the project does not load; everything that is wrong is in `problems`.
        """
        from datetime import UTC, datetime

        from assetflow.automation.declared import with_manifest
        from assetflow.checking.jobs import job_findings
        from assetflow.checking.static import look
        from assetflow.load.manifest import read_manifest

        found = look(self.settings.root, self.graph, self.select(expression))
        if expression is not None:
            return found
        settings = with_manifest(self.settings, read_manifest(self.settings)).settings
        jobs = tuple(job_findings(settings, self.select, self.graph.specs, datetime.now(UTC)))
        found = replace(found, findings=(*jobs, *found), schedules=found.schedules + len(settings.jobs))
        if self.settings.alerts:
            from assetflow.checking.alerts import alert_findings
            from assetflow.checking.findings import in_order

            found = replace(found, findings=in_order([*alert_findings(self.settings, self.graph), *found]))
        return found

    def verify(
        self,
        expression: str | Iterable[str] | None = None,
        *,
        sample: int | None = None,
        seed: int | None = None,
        on_result: Callable[[Verified], None] | None = None,
    ) -> Verification:
        """Run assets again on exactly the versions that their current ones read, and compare what comes out.

        What is made goes to a folder that is removed at the end: nothing in the store changes, and no check is made.
        The functions are really called, so what they do besides returning a value is done again; an asset that returns
        None, and so stores its result itself, is not run. Of an asset with partitions those that have a version are
        run, each by itself, or those in brackets: `"orders[2026-01-05..2026-01-07]"`.

        Args:
            expression: which assets or partitions; all without it.
            sample: run at most so many of them, drawn by chance.
            seed: draws the same ones as the call that had this `Verification.seed`.
            on_result: called with each result as soon as it is there.

        Raises:
            UsageError: the sample is less than 1, or partitions are named that are not there.
        """
        from assetflow.checking.verifying import Verification, Verifier, draw, to_verify, versions_read

        if sample is not None and sample < 1:
            raise UsageError(f"a sample of {sample} assets is none", fix="give a number from 1, or leave it out")
        loaded = self._load()
        names = named_partitions(self.graph, expression)
        named = tuple(dict.fromkeys(key for one in names for key in one.slots))
        selected = () if named else self.select(expression)
        with self._catalog() as catalog:
            keys = to_verify(self.graph, named or selected, catalog, self.settings.env)
            chosen, used = draw(keys, sample, seed)
            slots = slots_named(self.graph, chosen)
            found = self._survey(catalog, ask=True, graph=slots)
            known = versions_read(catalog, self.settings.env, slots.targets)
        verifier = Verifier(self.settings, slots.graph, loaded, self.storage, found, known)
        items: list[Verified] = []
        for one in verifier.verify(slots.targets):
            items.append(one)
            if on_result is not None:
                on_result(one)
        return Verification(tuple(items), len(keys) - len(chosen), used)
