"""Removing what nothing needs: old versions, folders that were never committed, what dead runs left.

In two phases, so that being killed anywhere is harmless. First one transaction of the catalog condemns versions:
nothing new refers to them from then on. Then, while no run goes on, their bytes are removed and they are marked as
evicted. What is left over the next call finishes.
"""

from __future__ import annotations

import glob
import re
import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from msgspec import Struct, field

from assetflow.catalog.backups import back_up, backups, prune
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.keeping import Keeping
from assetflow.errors import AssetflowError, DiskFull, WarehouseLocked
from assetflow.files import Files, names_disk_errors, size_of, storage_error
from assetflow.io.inspect import Contents, contents, has_sidecar, names_its_own_table, problems_of, safe_place
from assetflow.io.sidecar import read_sidecar
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version, VersionUse
from assetflow.plan.retention import Retention, judge, needed
from assetflow.run.locks import run_lock, store_lock
from assetflow.run.storing import storage_of

_MANY_ORPHANS = 20
_REBUILD = "they are left alone: assetflow doctor --rebuild-catalog takes them in"
_TAKE_BACK = "assetflow doctor --fix takes them back"
_CLOCK_S = 60.0
"""A clock may have been set back by so much between the begin of a run and what it wrote."""
_SPOOL = re.compile(r"rows-[a-z0-9_]{8}\Z")
_IN_USE_S = 3600.0
"""What is being written is younger than this, whatever the grace: no lock is held by who reads."""
_TOGETHER = 50
"""Versions that are marked as evicted in one transaction."""


class Going(Struct, frozen=True):
    """The versions of one asset that go, and how much room they take."""

    asset: AssetKey
    numbers: tuple[int, ...]
    size_bytes: int


class Litter(Struct, frozen=True):
    """What belongs to nothing: folders never committed, staging of runs that died, and files left over."""

    orphans: tuple[str, ...] = ()
    orphan_bytes: int = 0
    staging: tuple[Path, ...] = ()
    staging_bytes: int = 0
    rests: tuple[Path, ...] = ()
    """Files that programs left beside the DuckDB file or the views when they died."""
    rest_bytes: int = 0
    is_suspicious: bool = False
    """Far more folders than the catalog knows: the catalog is not that of these folders, so they are left alone."""
    strangers: tuple[str, ...] = ()
    """Whole versions of runs that the catalog does not know: it is not theirs, so they are left alone."""
    back: tuple[str, ...] = ()
    """Whole versions that are recorded as lost: `doctor --fix` takes them back."""

    @property
    def size_bytes(self) -> int:
        """How much room it takes."""
        return self.orphan_bytes + self.staging_bytes + self.rest_bytes

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said about what is left alone."""
        found: list[str] = []
        if self.strangers:
            found.append(f"{_folders(self.strangers)} of runs that the catalog does not know; {_REBUILD}")
        if self.back:
            found.append(f"{_folders(self.back)} recorded as lost, and whole; left alone: {_TAKE_BACK}")
        return tuple(found)


class Collected(Struct, frozen=True):
    """What `gc` did, or with `is_dry` would do.

    `going` are the versions by asset; `left` counts those whose bytes are still there (`why_left` says why), which the
    next call removes.
    """

    is_dry: bool
    going: tuple[Going, ...]
    kept: int
    litter: Litter
    left: int = 0
    why_left: str = ""
    notes: tuple[str, ...] = ()
    freed_bytes: int = 0

    @property
    def versions(self) -> int:
        """How many versions go."""
        return sum(len(one.numbers) for one in self.going)

    @property
    def size_bytes(self) -> int:
        """How much room they and the litter take."""
        return sum(one.size_bytes for one in self.going) + self.litter.size_bytes

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.going or self.litter.orphans or self.litter.staging or self.litter.rests)


class _Done(Struct):
    removed: list[int] = field(default_factory=list[int])
    left: int = 0
    why_left: str = ""
    notes: list[str] = field(default_factory=list[str])


@names_disk_errors
def foresee(settings: Settings, policy: Retention, now: float) -> Collected:
    """What `collect` would remove. Changes nothing."""
    with closing(Catalog(settings.catalog_path)) as catalog:
        keeping = Keeping(catalog.database)
        uses = keeping.uses()
        verdict = judge(uses, policy, now)
        litter = find_litter(settings, catalog, policy.grace_s, now)
    still = needed(uses)
    waiting = [use for use in uses if use.state == "condemned" and use.version_id not in still]
    going = _by_asset([*verdict.going, *waiting])
    kept = len(uses) - sum(len(one.numbers) for one in going)
    return Collected(True, going, kept, litter, notes=litter.notes)


@names_disk_errors
def collect(
    settings: Settings,
    storage: Storage,
    policy: Retention,
    *,
    wait_s: float = 0.0,
    files: Files | None = None,
    on_wait: Callable[[], None] | None = None,
) -> Collected:
    """Remove what the policy lets go, waiting at most `wait_s` for runs to end; without that, bytes stay for next time.

    Where the disk is full it first removes what can go without writing a line: staging, and all backups but one.

    Raises:
        DiskFull, NotWritable, StorageFailed: the disk refused. Nothing that is needed is touched.
        DamagedCatalog: the catalog does not say what is needed.
    """
    tool = files or Files()
    try:
        return _collect(settings, storage, policy, wait_s, tool, on_wait)
    except DiskFull:
        if not _make_room(settings, storage, tool):
            raise
        return _collect(settings, storage, policy, wait_s, tool, on_wait)


def find_litter(settings: Settings, catalog: Catalog, grace_s: float, now: float) -> Litter:
    """What lies in the storage, is older than `grace_s`, and belongs to nothing."""
    root = settings.storage_path
    found = contents(root)
    keeping = Keeping(catalog.database)
    locations = keeping.locations()
    given_up = {one.location: one for one in _given_up(keeping) if one.location in set(found.folders)}
    unused = {*_unknown(found, locations), *given_up}
    old = [one for one in sorted(unused) if _is_old(root / one, grace_s, now)]
    back = tuple(one for one in old if one in given_up and is_whole(settings, given_up[one]))
    strangers = tuple(one for one in old if one not in locations and _is_of_another(root / one, catalog))
    orphans = tuple(one for one in old if one not in {*back, *strangers})
    staging = _dead_staging(settings, catalog, found)
    rests = tuple(path for path in _rests(settings) if _is_old(path, max(grace_s, _IN_USE_S), now))
    known = sum(state == "live" for state in locations.values())
    return Litter(
        orphans,
        sum(_size(root / one) for one in orphans),
        staging,
        sum(_size(one) for one in staging),
        rests,
        sum(_size(one) for one in rests),
        len(orphans) > max(_MANY_ORPHANS, known),
        strangers,
        back,
    )


def is_whole(settings: Settings, version: Version) -> bool:
    """Whether the folder of a version has a sidecar, and each byte that it speaks of; for a table, also that."""
    root = settings.storage_path
    try:
        if not has_sidecar(root, version.location) or problems_of(root, version, is_whole=True):
            return False
        return version.io != "duckdb" or storage_of(settings).exists(version)
    except AssetflowError:  # it cannot be read now, so nobody knows that it is not
        return True


def _is_of_another(place: Path, catalog: Catalog) -> bool:
    """Whether the version in this folder was committed, for all we know, to a catalog other than this one.

    The number of a run alone does not tell: a catalog that began anew counts its runs from 1 again.
    """
    try:
        facts = read_sidecar(place)
        run_id, env, written_at = facts.get("run"), facts.get("env"), float(facts.get("written_at") or 0)
    except (OSError, ValueError, TypeError):
        return False
    run = catalog.run(run_id) if isinstance(run_id, int) else None
    if run is None or run.env != env:
        return True
    return run.state != "lost" and written_at < run.started_at - _CLOCK_S


def alive_runs(settings: Settings, catalog: Catalog) -> frozenset[int]:
    """The runs that some process is working on."""
    return frozenset(run.run_id for run in catalog.running() if run_lock(settings, run.env).is_held_by_anyone())


@contextmanager
def all_to_ourselves(
    settings: Settings, wait_s: float, on_wait: Callable[[], None] | None = None, *, is_shared: bool = False
) -> Generator[bool]:
    """Keep runs away for a while; False when one is still going on after the wait.

    With `is_shared` runs may go on, and only who wants to be alone is kept away.
    """
    lock = store_lock(settings)
    try:
        is_ours = lock.acquire(wait_s=wait_s, on_wait=on_wait, is_shared=is_shared)
    except OSError as error:
        raise storage_error("locking the storage with", lock.path, error) from error
    try:
        yield is_ours
    finally:
        lock.release()


def _collect(
    settings: Settings,
    storage: Storage,
    policy: Retention,
    wait_s: float,
    files: Files,
    on_wait: Callable[[], None] | None,
) -> Collected:
    now = time.time()
    # The catalog is opened under the lock each time: who makes it again puts another file in its place meanwhile.
    with all_to_ourselves(settings, wait_s, on_wait, is_shared=True) as is_possible:
        if is_possible:
            _condemn(settings, policy, now, files)
    with all_to_ourselves(settings, wait_s if is_possible else 0.0, on_wait) as is_alone:
        if not is_alone:
            return _put_off(settings)
        with closing(Catalog(settings.catalog_path, write=True)) as catalog:
            return _remove(settings, storage, policy, catalog, now, files)


def _condemn(settings: Settings, policy: Retention, now: float, files: Files) -> None:
    """Condemn what the policy lets go. Runs may go on."""
    with closing(Catalog(settings.catalog_path, write=True)) as catalog:
        with suppress(AssetflowError):  # it is a second line of defence, and gc may be what makes room for it
            back_up(settings.catalog_path, now, files)
        for state in ("live", "rejected"):
            Keeping(catalog.database).move(lambda uses: _ids(judge(uses, policy, now).going), state, "condemned", now)


def _put_off(settings: Settings) -> Collected:
    """What is left to the next call, because somebody else is at work."""
    with closing(Catalog(settings.catalog_path)) as catalog:
        uses = Keeping(catalog.database).uses()
    condemned = [use for use in uses if use.state == "condemned"]
    kept, why = len(uses) - len(condemned), "a run is going on"
    return Collected(False, _by_asset(condemned), kept, Litter(), len(condemned), why)


def _remove(
    settings: Settings, storage: Storage, policy: Retention, catalog: Catalog, now: float, files: Files
) -> Collected:
    """Remove what was condemned and what belongs to nothing. Nobody else is at work."""
    keeping = Keeping(catalog.database)
    # A run that began before may have gone back to one of them.
    keeping.move(needed, "condemned", "live", now)
    litter = find_litter(settings, catalog, policy.grace_s, now)
    uses = keeping.uses()
    going = [use for use in uses if use.state == "condemned"]
    done = _Done()
    _remove_versions(settings, storage, keeping, files, done)
    storage.sweep(alive_runs(settings, catalog))
    remove_rests(litter, files)
    _, note = remove_orphans(settings, storage, litter, files)
    done.notes += [*([note] if note else []), *litter.notes]
    prune(settings.catalog_path, files)
    freed = sum(use.size_bytes for use in going if use.version_id in set(done.removed))
    if not litter.is_suspicious:
        freed += litter.orphan_bytes
    return Collected(
        False, _by_asset(going), len(uses) - len(going), litter, done.left, done.why_left, tuple(done.notes),
        freed + litter.staging_bytes + litter.rest_bytes,
    )  # fmt: skip


def _remove_versions(settings: Settings, storage: Storage, keeping: Keeping, files: Files, done: _Done) -> None:
    in_use = {version.location for version in keeping.versions("live", "lost", "damaged", "rejected")}
    batch: list[int] = []
    try:
        for version in keeping.versions("condemned"):
            try:
                if version.location not in in_use:
                    remove_version(settings.storage_path, storage, version, files)
            except WarehouseLocked as error:
                done.left, done.why_left = done.left + 1, error.what
                continue
            batch.append(version.version_id)
            if len(batch) == _TOGETHER:
                _evicted(keeping, batch, done)
    finally:
        if batch:
            _evicted(keeping, batch, done)


def _evicted(keeping: Keeping, batch: list[int], done: _Done) -> None:
    keeping.mark(batch, "condemned", "evicted", time.time())
    done.removed += batch
    batch.clear()


def remove_version(root: Path, storage: Storage, version: Version, files: Files) -> None:
    """Remove the bytes of a version: its folder, and what its IO manager keeps elsewhere.

    A folder whose marker names the table of another version loses only itself.
    """
    place = safe_place(root, version.location)
    if place is None:
        return
    if version.io == "duckdb" and not names_its_own_table(root, version):
        files.remove_tree(place)
        return
    storage.delete(version)


def remove_orphans(settings: Settings, storage: Storage, litter: Litter, files: Files) -> tuple[int, str]:
    """Remove folders that no version has; how many, and what is to be said about those that stay."""
    if litter.is_suspicious:
        return 0, f"{len(litter.orphans)} folders hold versions that the catalog does not know; {_REBUILD}"
    for done, location in enumerate(litter.orphans):
        try:
            remove_version(settings.storage_path, storage, _orphan(settings.storage_path, location), files)
        except WarehouseLocked as error:
            return done, error.what
    return len(litter.orphans), ""


def remove_rests(litter: Litter, files: Files) -> int:
    """Remove what dead programs left beside the DuckDB file and the views; how many files."""
    for path in litter.rests:
        files.remove_tree(path)
    return len(litter.rests)


def _rests(settings: Settings) -> Iterator[Path]:
    """Files beside the DuckDB file and the views with names that only something unfinished has.

    Not beside a DuckDB file that lies elsewhere: that folder is the user's.
    """
    warehouse = settings.warehouse_path
    if warehouse.parent == settings.state_path:
        yield from (path for path in warehouse.parent.glob("rows-*") if _SPOOL.match(path.name) and path.is_file())
        yield from warehouse.parent.glob(f"{glob.escape(warehouse.name)}.compact*")
    yield from settings.views_path.glob("*.aside*")


def _orphan(root: Path, location: str) -> Version:
    """A version that stands for a folder which no version has, as far as removing it needs."""
    io = "duckdb" if (root / location / "table.txt").exists() else "file"
    key = AssetKey(".".join(location.split("/")[:-2]))
    return Version(0, key, "", 0, "", io, location, None, None, {}, {}, {}, 0.0)


def _make_room(settings: Settings, storage: Storage, files: Files) -> bool:
    """Remove what needs no line in the catalog; whether there was anything."""
    with all_to_ourselves(settings, 0.0) as is_alone:
        swept = storage.sweep(()) if is_alone else 0
    spare = backups(settings.catalog_path)[1:]
    for one in spare:
        files.remove_tree(one.path)
    return bool(swept or spare)


def _unknown(found: Contents, locations: Mapping[str, str]) -> Iterable[str]:
    return (one for one in found.folders if locations.get(one, "evicted") == "evicted")


def _given_up(keeping: Keeping) -> list[Version]:
    """The versions that were found damaged, were made again elsewhere, and are current nowhere."""
    lost = keeping.versions("lost")
    current = keeping.current_in(version.version_id for version in lost)
    return [version for version in lost if version.version_id not in current]


def _folders(locations: Sequence[str]) -> str:
    return f"{len(locations)} {'version' if len(locations) == 1 else 'versions'}"


def _dead_staging(settings: Settings, catalog: Catalog, found: Contents) -> tuple[Path, ...]:
    alive = alive_runs(settings, catalog)
    return tuple(
        path for path in found.staging
        if (number := path.name.partition("-")[0]).isdigit() and int(number) not in alive
    )  # fmt: skip


def _is_old(path: Path, grace_s: float, now: float) -> bool:
    try:
        return now - path.stat().st_mtime >= grace_s
    except OSError:  # it has just gone
        return False


def _size(path: Path) -> int:
    return size_of(path) if path.exists() and not path.is_symlink() else 0


def _ids(uses: Iterable[VersionUse]) -> frozenset[int]:
    return frozenset(use.version_id for use in uses)


def _by_asset(uses: Iterable[VersionUse]) -> tuple[Going, ...]:
    assets: defaultdict[AssetKey, list[VersionUse]] = defaultdict(list)
    for use in uses:
        assets[use.asset].append(use)
    return tuple(
        Going(key, tuple(sorted(use.number for use in found)), sum(use.size_bytes for use in found))
        for key, found in sorted(assets.items())
    )
