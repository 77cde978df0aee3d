"""Making a lost or damaged catalog again, from what the project has: the journal, the backups, the versions."""

from __future__ import annotations

import time
from contextlib import closing, suppress
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from assetflow.care.mending import new_place
from assetflow.care.removal import all_to_ourselves
from assetflow.catalog.backfills import Backfills
from assetflow.catalog.backups import newest_good
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.journal import Journal
from assetflow.catalog.locks import FileLock
from assetflow.catalog.rebuild import Found, Rebuilt, rebuild
from assetflow.errors import CatalogBusy, RunConflict, UsageError
from assetflow.files import Files, names_disk_errors
from assetflow.io.inspect import contents, told
from assetflow.load.settings import Settings


class Restored(Struct, frozen=True):
    """What the new catalog has, and the folders whose versions could not be taken in, each with the reason."""

    rebuilt: Rebuilt
    refused: tuple[tuple[str, str], ...]


@names_disk_errors
def restore(
    settings: Settings, *, from_backup: bool = False, wait_s: float = 0.0, files: Files | None = None
) -> Restored:
    """Make the catalog again: the journal says what was committed, and versions that it lost say it themselves.

    With `from_backup` the newest whole backup comes first, which also has the history of runs, and the journal on top.

    Raises:
        RunConflict, CatalogBusy: somebody is working with the catalog.
        UsageError: there is no whole backup.
        DamagedCatalog: there is nothing to make it from.
    """
    backup = newest_good(settings.catalog_path) if from_backup else None
    if from_backup and backup is None:
        raise UsageError(
            f"there is no whole backup in {settings.catalog_path.parent / 'backups'}", fix="leave out --from-backup"
        )
    with all_to_ourselves(settings, wait_s) as is_alone:
        if not is_alone:
            raise RunConflict("a run is going on", fix="wait for it: --wait 5m")
        with FileLock(settings.catalog_path.with_name("catalog.lock")) as writing:
            if not writing.acquire(wait_s=max(wait_s, 5.0)):
                raise CatalogBusy(
                    f"another process is writing the catalog {settings.catalog_path}", fix="run the command again"
                )
            found, refused = _found(settings.storage_path)
            keep_in = new_place(settings, "catalog")
            made = rebuild(
                settings.catalog_path,
                found,
                backup=None if backup is None else backup.path,
                last_run=_last_run(settings, found),
                keep_in=keep_in,
                files=files,
            )
    if forgotten := _backfills_forgotten(settings):
        made = replace(made, lost=(*made.lost, forgotten))
    return Restored(made, refused)


def _backfills_forgotten(settings: Settings) -> str:
    """That backfills are not in the catalog any more: of each that was carried out there is the file of its lock."""
    names = (path.stem.removeprefix("backfill-") for path in (settings.state_path / "locks").glob("backfill-*.lock"))
    begun = {int(name) for name in names if name.isdecimal()}
    with closing(Catalog(settings.catalog_path)) as catalog:
        table = Backfills(catalog)
        missing = sorted(number for number in begun if table.get(number) is None)
    if not missing:
        return ""
    which = ", ".join(f"#{number}" for number in missing[:8]) + (", …" if len(missing) > 8 else "")
    return f"backfills {which}: what they have made is there; ask for the same again, and only the rest is made"


def kept_by_backup(settings: Settings) -> str:
    """What the newest whole backup would keep that the rest does not say, as a sentence; nothing without one."""
    backup = newest_good(settings.catalog_path)
    if backup is None:
        return ""
    kept = "the history of runs up to then"
    if Journal(settings.catalog_path.with_name("journal")).is_empty():
        kept = f"the numbers of versions, what is current, and {kept}"
    day = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(backup.made_at))
    return f"there is a backup of the catalog from {day}; --from-backup keeps {kept}"


def _found(root: Path) -> tuple[list[Found], tuple[tuple[str, str], ...]]:
    good: list[Found] = []
    refused: list[tuple[str, str]] = []
    for location in contents(root).folders:
        try:
            one = told(root, location)
        except ValueError as error:
            refused.append((location, str(error)))
        else:
            good.append(Found(one.version, one.trace, one.written_at, one.run_id))
    return good, tuple(refused)


def _last_run(settings: Settings, found: list[Found]) -> int:
    """The highest number of a run that anything speaks of, so that no other run gets it: its logs are under it."""
    numbers = [one.run_id for one in found if one.run_id is not None]
    with suppress(OSError):
        numbers += [int(path.name) for path in (settings.state_path / "runs").iterdir() if path.name.isdigit()]
    return max(numbers, default=0)
