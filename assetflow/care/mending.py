"""What `doctor --fix` does about what was found. Nothing is deleted that somebody may want: it goes to quarantine."""

from __future__ import annotations

import time
from contextlib import closing
from pathlib import Path

from msgspec import Struct

from assetflow.care.checkup import Checkup, Damage
from assetflow.care.deep import verify_deep
from assetflow.care.removal import alive_runs, all_to_ourselves, find_litter, remove_orphans, remove_rests
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.journal import Journal
from assetflow.catalog.keeping import Keeping
from assetflow.errors import RunConflict
from assetflow.files import Files, names_disk_errors
from assetflow.io.inspect import has_sidecar, problems_of, safe_place
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey
from assetflow.run.folders import mend_partitions, unlike


class Mended(Struct, frozen=True):
    """What was done, as sentences; `to_materialize` are the assets whose current version the next run makes again."""

    done: tuple[str, ...]
    to_materialize: tuple[AssetKey, ...]
    to_unpin: tuple[AssetKey, ...] = ()
    """Assets that are pinned to what was damaged: no run makes them again until they are let go."""


@names_disk_errors
def mend(
    settings: Settings,
    storage: Storage,
    checkup: Checkup,
    *,
    grace_s: float,
    wait_s: float = 0.0,
    files: Files | None = None,
) -> Mended:
    """Put damaged versions aside, end dead runs, remove what they left, and bring the journal into step.

    Raises:
        RunConflict: a run is going on.
        DiskFull, NotWritable, StorageFailed: the disk refused; it can be called again.
    """
    tool = files or Files()
    done: list[str] = []
    with all_to_ourselves(settings, wait_s) as is_alone, closing(_opened(settings, checkup, tool, done)) as catalog:
        if not is_alone:
            raise RunConflict("a run is going on, and what it writes must not be mended", fix="wait for it: --wait 5m")
        keeping = Keeping(catalog.database)
        for one in checkup.damage:
            done.append(_put_aside(settings, keeping, one, tool) if _is_still(settings, one) else _spared(one))
        now = time.time()
        if checkup.back and keeping.mark([one.version_id for one in checkup.back], "lost", "live", now):
            names = ", ".join(one.name for one in checkup.back)
            done.append(f"taken back, because they are whole: {names}")
        alive = alive_runs(settings, catalog)
        for run in catalog.running():
            if run.run_id not in alive and keeping.end_run(run.run_id, now):
                done.append(f"run #{run.run_id} is recorded as died")
        litter = find_litter(settings, catalog, grace_s, now)
        if swept := storage.sweep(alive):
            done.append(f"removed what {swept} dead {'step' if swept == 1 else 'steps'} had begun to write")
        if rests := remove_rests(litter, tool):
            done.append(f"removed {rests} {'file' if rests == 1 else 'files'} that dead programs left")
        # After all else: what is in quarantine now is not current any more.
        if shown := mend_partitions(settings, catalog, unlike(settings, catalog, keeping.environments())):
            done.append(f"{shown} {'file' if shown == 1 else 'files'} in folders of partitions made what is current")
        removed, note = remove_orphans(settings, storage, litter, tool)
        if removed:
            done.append(f"removed {removed} {'folder' if removed == 1 else 'folders'} that no version has")
        if note:
            done.append(note)
    return Mended(tuple(done), checkup.to_materialize, checkup.to_unpin)


def _opened(settings: Settings, checkup: Checkup, files: Files, done: list[str]) -> Catalog:
    """The catalog, with a journal that is in step. A copy of one that was not is kept, and it stays until then."""
    if not checkup.is_journal_behind:
        return Catalog(settings.catalog_path, write=True)
    journal, kept = Journal(settings.catalog_path.with_name("journal"), files), ""
    if not journal.is_empty():
        target = new_place(settings, "journal")
        files.copy_tree(journal.folder, target)
        files.sync_directory(target.parent)
        kept = f"; what it was is in {target.relative_to(settings.root)}"
    catalog = Catalog(settings.catalog_path, write=True)
    try:
        catalog.database.renew_journal()
    except BaseException:
        catalog.close()
        raise
    done.append(f"the journal was written anew{kept or ', from the catalog'}")
    return catalog


def quarantine(settings: Settings) -> Path:
    """The folder of what was damaged."""
    return settings.state_path / "quarantine"


def _is_still(settings: Settings, one: Damage) -> bool:
    """Whether a second look finds damage too: a disk that failed once must not cost a version that is sound."""
    root, version = settings.storage_path, one.version
    if not has_sidecar(root, version.location):
        return True
    return bool(problems_of(root, version, is_whole=True) or verify_deep(settings, [version]))


def _spared(one: Damage) -> str:
    return f"{one.name} is sound at a second look, and stays: {one.problems[0]}"


def _put_aside(settings: Settings, keeping: Keeping, one: Damage, files: Files) -> str:
    # The bytes first: a version whose bytes are gone is made again, whatever the catalog still says of it.
    version = one.version
    place = safe_place(settings.storage_path, version.location)
    is_there = place is not None and place.is_dir()
    if place is not None and is_there:
        target = quarantine(settings) / version.asset / f"{version.number}-{place.name}"
        files.remove_tree(target)
        _move(place, target, files)
    keeping.mark([version.version_id], "live", "damaged" if is_there else "lost", time.time())
    if not is_there:
        return f"{one.name} is recorded as lost"
    return f"{one.name} is in quarantine: {one.problems[0]}"


def _move(source: Path, target: Path, files: Files) -> None:
    """Move a folder; what is on another disk is copied first."""
    files.make_directory(target.parent)
    if source.stat().st_dev == target.parent.stat().st_dev:
        files.rename(source, target)
        files.sync_directory(target.parent)
        files.sync_directory(source.parent)
        return
    files.copy_tree(source, target)
    files.remove_tree(source)


def new_place(settings: Settings, name: str) -> Path:
    """A folder of the quarantine that does not exist yet, with the time in its name."""
    stem = f"{name}-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    place, number = quarantine(settings) / stem, 1
    while place.exists():
        number += 1
        place = quarantine(settings) / f"{stem}-{number}"
    return place
