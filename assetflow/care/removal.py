"""Removing what nothing needs: old versions, folders that were never committed, what dead runs left.

In two phases, so that being killed anywhere is harmless. First one transaction of the catalog condemns versions:
nothing new refers to them from then on. Then, while no run goes on, their bytes are removed and they are marked as
evicted. What is left over the next call finishes.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from assetflow.catalog.backups import back_up, backups, prune
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.keeping import Keeping
from assetflow.errors import AssetflowError, DiskFull, WarehouseLocked
from assetflow.files import Files, size_of, storage_error
from assetflow.io.inspect import Contents, contents, names_its_own_table, safe_place
from assetflow.io.storage import Storage
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version, VersionUse
from assetflow.plan.retention import Retention, judge, needed
from assetflow.run.locks import run_lock, store_lock

_MANY_ORPHANS = 20
_TOGETHER = 50
"""Versions that are marked as evicted in one transaction."""


@dataclass(frozen=True, slots=True)
class Going:
    """The versions of one asset that go, and how much room they take."""

    asset: AssetKey
    numbers: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Litter:
    """What lies in the storage and belongs to nothing: folders never committed, and staging of runs that died."""

    orphans: tuple[str, ...] = ()
    orphan_bytes: int = 0
    staging: tuple[Path, ...] = ()
    staging_bytes: int = 0
    is_suspicious: bool = False
    """Far more folders than the catalog knows: the catalog is not that of these folders, so they are left alone."""


@dataclass(frozen=True, slots=True)
class Collected:
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
        return sum(one.size_bytes for one in self.going) + self.litter.orphan_bytes + self.litter.staging_bytes

    @property
    def is_nothing(self) -> bool:
        """Whether there is nothing to remove."""
        return not (self.going or self.litter.orphans or self.litter.staging)


@dataclass(slots=True)
class _Done:
    removed: list[int] = field(default_factory=list[int])
    left: int = 0
    why_left: str = ""
    notes: list[str] = field(default_factory=list[str])


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
    return Collected(True, going, len(uses) - sum(len(one.numbers) for one in going), litter)


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
    unused = {*_unknown(found, locations), *(set(found.folders) & _given_up(keeping))}
    orphans = tuple(one for one in sorted(unused) if _is_old(root / one, grace_s, now))
    staging = _dead_staging(settings, catalog, found)
    known = sum(state == "live" for state in locations.values())
    return Litter(
        orphans,
        sum(_size(root / one) for one in orphans),
        staging,
        sum(_size(one) for one in staging),
        len(orphans) > max(_MANY_ORPHANS, known),
    )


def alive_runs(settings: Settings, catalog: Catalog) -> frozenset[int]:
    """The runs that some process is working on."""
    return frozenset(run.run_id for run in catalog.running() if run_lock(settings, run.env).is_held_by_anyone())


@contextmanager
def all_to_ourselves(settings: Settings, wait_s: float, on_wait: Callable[[], None] | None = None) -> Generator[bool]:
    """Keep runs away for a while; False when one is still going on after the wait."""
    lock = store_lock(settings)
    try:
        is_ours = lock.acquire(wait_s=wait_s, on_wait=on_wait)
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
    with closing(Catalog(settings.catalog_path, write=True)) as catalog:
        keeping = Keeping(catalog.database)
        with suppress(AssetflowError):  # it is a second line of defence, and gc may be what makes room for it
            back_up(settings.catalog_path, now, files)
        keeping.move(lambda uses: _ids(judge(uses, policy, now).going), "live", "condemned", now)
        with all_to_ourselves(settings, wait_s, on_wait) as is_alone:
            if not is_alone:
                condemned = [use for use in keeping.uses() if use.state == "condemned"]
                kept = len(keeping.uses()) - len(condemned)
                why = "a run is going on"
                return Collected(False, _by_asset(condemned), kept, Litter(), len(condemned), why)
            # A run that began before may have gone back to one of them.
            keeping.move(needed, "condemned", "live", now)
            litter = find_litter(settings, catalog, policy.grace_s, now)
            uses = keeping.uses()
            going = [use for use in uses if use.state == "condemned"]
            done = _Done()
            _remove_versions(settings, storage, keeping, files, done)
            storage.sweep(alive_runs(settings, catalog))
            _, note = remove_orphans(settings, storage, litter, files)
            done.notes += [note] if note else []
            prune(settings.catalog_path, files)
    freed = sum(use.size_bytes for use in going if use.version_id in set(done.removed))
    if not litter.is_suspicious:
        freed += litter.orphan_bytes
    return Collected(
        False, _by_asset(going), len(uses) - len(going), litter, done.left, done.why_left, tuple(done.notes),
        freed + litter.staging_bytes,
    )  # fmt: skip


def _remove_versions(settings: Settings, storage: Storage, keeping: Keeping, files: Files, done: _Done) -> None:
    in_use = {version.location for version in keeping.versions("live", "lost", "damaged")}
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
        return 0, (
            f"{len(litter.orphans)} folders hold versions that the catalog does not know; they are left alone: "
            "assetflow doctor --rebuild-catalog takes them in"
        )
    for done, location in enumerate(litter.orphans):
        try:
            remove_version(settings.storage_path, storage, _orphan(settings.storage_path, location), files)
        except WarehouseLocked as error:
            return done, error.what
    return len(litter.orphans), ""


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


def _given_up(keeping: Keeping) -> set[str]:
    """Where versions lie that were found damaged, were made again elsewhere, and are current nowhere."""
    lost = keeping.versions("lost")
    current = keeping.current_in(version.version_id for version in lost)
    return {version.location for version in lost if version.version_id not in current}


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
