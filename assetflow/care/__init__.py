"""Looking after what is stored: removing what nothing needs, finding damage, mending it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from assetflow.errors import UsageError
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings

if TYPE_CHECKING:
    from assetflow.care.checkup import Checkup, Progress
    from assetflow.care.mending import Mended
    from assetflow.care.removal import Collected
    from assetflow.plan.graph import AssetGraph
    from assetflow.plan.retention import Retention


class Care:
    """The verbs of a project that look after its store. They need neither its code nor, to find damage, its catalog."""

    settings: Settings
    graph: AssetGraph
    storage: Storage

    def gc(
        self,
        *,
        keep: int | None = None,
        keep_days: float | None = None,
        grace_s: float | None = None,
        wait_s: float = 0.0,
        dry_run: bool = False,
    ) -> Collected:
        """Remove the versions that nothing needs, and what dead runs left; with `dry_run` only say which.

        What stays: whatever is current in an environment or pinned, what that was made from, the newest `keep` versions
        of each asset, and all that was made or current in the last `keep_days` days. What is not said is as the project
        file says under `[retention]`. Bytes are removed while no run goes on; `wait_s` waits for one.

        Raises:
            DiskFull, NotWritable, StorageFailed: the disk refused. Nothing that is needed is touched.
            DamagedCatalog: the catalog cannot say what is needed.
        """
        import time

        from msgspec.structs import replace

        from assetflow.care.removal import collect, foresee

        policy = retention(self.settings, keep=keep, keep_days=keep_days, grace_s=grace_s)
        if dry_run:
            return foresee(self.settings, policy, time.time())
        done = collect(self.settings, self.storage, policy, wait_s=wait_s)
        problem = show_what_is_left(self.settings, self.graph, self.storage)
        return replace(done, notes=(*done.notes, problem)) if problem else done

    def doctor(
        self, *, deep: bool = False, workers: int = 1, grace_s: float | None = None, on_progress: Progress | None = None
    ) -> Checkup:
        """What is wrong with the store; `deep` reads and hashes everything, in `workers` processes. Changes nothing."""
        from assetflow.care.checkup import examine

        given = retention(self.settings, grace_s=grace_s)
        return examine(self.settings, is_deep=deep, workers=workers, grace_s=given.grace_s, on_progress=on_progress)

    def mend(self, checkup: Checkup, *, grace_s: float | None = None, wait_s: float = 0.0) -> Mended:
        """Put what a checkup found damaged into quarantine, end dead runs, and remove what they left.

        Raises:
            RunConflict: a run is going on.
        """
        from assetflow.care.mending import mend

        given = retention(self.settings, grace_s=grace_s)
        return mend(self.settings, self.storage, checkup, grace_s=given.grace_s, wait_s=wait_s)


def retention(
    settings: Settings, *, keep: int | None = None, keep_days: float | None = None, grace_s: float | None = None
) -> Retention:
    """What the project file says about how long versions stay, and what a call says otherwise."""
    from assetflow.plan.retention import Retention

    _must_be_number("keep", keep, 1)
    _must_be_number("keep_days", keep_days, 0)
    _must_be_number("grace_s", grace_s, 0)
    return Retention(
        int(settings.retention["keep"]) if keep is None else keep,
        settings.retention["keep_days"] if keep_days is None else keep_days,
        settings.retention["grace"] if grace_s is None else grace_s,
    )


def _must_be_number(name: str, given: float | None, least: int) -> None:
    """Refuse what would make a policy that lets everything go."""
    if given is not None and not (math.isfinite(given) and given >= least):
        raise UsageError(f"{name}={given} is not a number of at least {least}", fix=f"{name}={least}, or leave it out")


def show_what_is_left(settings: Settings, graph: AssetGraph, storage: Storage) -> str:
    """Make the views in DuckDB files name no version that was removed; why that failed, or nothing."""
    from contextlib import closing

    from assetflow.catalog.catalog import Catalog
    from assetflow.run.presenting import present_everywhere

    with closing(Catalog(settings.catalog_path)) as catalog:
        return present_everywhere(settings, graph.specs, catalog, storage)
