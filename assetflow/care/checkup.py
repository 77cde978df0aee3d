"""What `doctor` looks at, and what it finds. Changes nothing, decodes nothing in this process, and trusts nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from contextlib import closing

from msgspec import Struct, field

from assetflow.care.deep import verify_deep
from assetflow.care.machine import NETWORK, file_system, unwritable
from assetflow.care.removal import Litter, alive_runs, find_litter, is_whole
from assetflow.catalog.backups import backups, newest_good
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.health import SQLITE, file_problems, journal_problems
from assetflow.catalog.journal import Journal
from assetflow.catalog.keeping import Keeping
from assetflow.errors import AssetflowError, NewerCatalog
from assetflow.files import free_bytes, names_disk_errors
from assetflow.io.inspect import contents, has_sidecar, problems_of, way_back
from assetflow.io.warehouse import file_problem
from assetflow.load.settings import Settings
from assetflow.model.keys import AssetKey
from assetflow.model.records import Run, Version
from assetflow.plan.retention import DAY_S
from assetflow.run.folders import folders_of, unlike

LITTLE_ROOM = 500_000_000
_OLD_BACKUP_S = 2 * DAY_S
_CLOCK_S = 60.0
REBUILD = "assetflow doctor --rebuild-catalog"

Progress = Callable[[int, int], None]
"""Told how many versions are done, of how many."""


class Finding(Struct, frozen=True):
    """One thing that was looked at. level: ok, warn (nothing is lost yet), or bad (damage)."""

    level: str
    topic: str
    text: str
    fix: str = ""


class Damage(Struct, frozen=True):
    """A version that is not what was written, why, and in which environments it is current."""

    version: Version
    problems: tuple[str, ...]
    current_in: tuple[str, ...] = ()
    pinned_in: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """`orders@3`."""
        return self.version.name


class Checkup(Struct, frozen=True):
    """All that a doctor found. `checked` counts versions, of `checked_bytes`; `is_deep` says that each was read."""

    findings: tuple[Finding, ...]
    damage: tuple[Damage, ...] = ()
    litter: Litter = field(default_factory=Litter)
    dead_runs: tuple[Run, ...] = ()
    checked: int = 0
    checked_bytes: int = 0
    is_deep: bool = False
    needs_rebuild: bool = False
    """Whether the catalog itself is lost or damaged."""
    back: tuple[Version, ...] = ()
    """Versions that are recorded as lost, and are there."""

    @property
    def is_healthy(self) -> bool:
        """Whether nothing is damaged."""
        return not (self.damage or any(one.level == "bad" for one in self.findings))

    @property
    def to_materialize(self) -> tuple[AssetKey, ...]:
        """The assets whose current version is damaged: the next run makes them again, unless they are pinned."""
        return tuple(sorted({one.version.asset for one in self.damage if set(one.current_in) - set(one.pinned_in)}))

    @property
    def to_unpin(self) -> tuple[AssetKey, ...]:
        """The assets that are pinned to a damaged version: no run makes them again until they are let go."""
        return tuple(sorted({one.version.asset for one in self.damage if one.pinned_in}))

    @property
    def can_be_fixed(self) -> bool:
        """Whether `--fix` would do something."""
        litter = self.litter.orphans and not self.litter.is_suspicious
        rests = self.litter.staging or self.litter.rests
        is_behind = self.is_journal_behind or any(one.topic == "folders" and one.fix for one in self.findings)
        return bool(self.damage or self.back or litter or rests or self.dead_runs or is_behind)

    @property
    def is_journal_behind(self) -> bool:
        """Whether the journal does not hold all that the catalog does."""
        return any(one.topic == "journal" and one.level == "bad" for one in self.findings)

    @property
    def rebuild_command(self) -> str:
        """What makes a lost or damaged catalog again, from what is left of it."""
        return next((one.fix for one in self.findings if one.fix.startswith(REBUILD)), REBUILD)


@names_disk_errors
def examine(
    settings: Settings,
    *,
    is_deep: bool = False,
    workers: int = 1,
    grace_s: float = DAY_S,
    on_progress: Progress | None = None,
) -> Checkup:
    """Look at everything that the project has stored, as far as it can be looked at."""
    now = time.time()
    findings = _ground(settings)
    try:
        problems = _catalog_problems(settings)
        if problems:
            findings += [Finding("bad", "catalog", one, rebuild_command(settings)) for one in problems]
            return _without_catalog(settings, findings)
        with closing(Catalog(settings.catalog_path)) as catalog:
            return _with_catalog(settings, catalog, findings, is_deep, workers, grace_s, now, on_progress)
    except NewerCatalog as error:
        return Checkup((*findings, Finding("bad", "catalog", error.what, error.fix or "")))
    except AssetflowError as error:
        findings.append(Finding("bad", "catalog", error.what, rebuild_command(settings)))
        return _without_catalog(settings, findings)


def rebuild_command(settings: Settings) -> str:
    """What makes the catalog again: with its journal gone, the newest backup knows most."""
    try:
        is_alone = Journal(settings.catalog_path.with_name("journal")).is_empty()
        return f"{REBUILD} --from-backup" if is_alone and newest_good(settings.catalog_path) else REBUILD
    except (OSError, ValueError, AssetflowError):  # what is there cannot be read; rebuilding says so
        return REBUILD


def unknown_versions(settings: Settings, catalog: Catalog) -> int:
    """How many versions lie there while the catalog has never seen a version or a run: it is not the first one."""
    if catalog.runs(1) or Keeping(catalog.database).locations():
        return 0
    return len(contents(settings.storage_path).folders)


def versions_without_catalog(settings: Settings) -> int:
    """The same for who has no open catalog."""
    with closing(Catalog(settings.catalog_path)) as catalog:
        return unknown_versions(settings, catalog)


def _ground(settings: Settings) -> list[Finding]:
    """The machine under the store."""
    found = [Finding("ok", "sqlite", f"sqlite {SQLITE}")]
    kind = file_system(settings.state_path)
    if kind in NETWORK:
        text = f"{settings.state_path} is on a network file system ({kind}): its locks and syncs cannot be relied on"
        fix = "keep the catalog and the storage on a disk of this machine"
        found.append(Finding("warn", "file system", text, fix))
    else:
        found.append(Finding("ok", "file system", f"local file system {kind}" if kind else "file system"))
    free = free_bytes(settings.storage_path)
    if free is not None:
        level = "warn" if free < LITTLE_ROOM else "ok"
        found.append(Finding(level, "room", f"{_gigabytes(free)} free", "assetflow gc" if level == "warn" else ""))
    closed = unwritable(settings.state_path, settings.catalog_path, settings.storage_path, settings.warehouse_path)
    fix = "give this user the right to write there"
    found += [Finding("warn", "rights", f"{path} cannot be written by this user", fix) for path in closed]
    return found


def _catalog_problems(settings: Settings) -> list[str]:
    catalog = settings.catalog_path
    if not catalog.exists():
        Catalog(catalog).close()  # says when there was one
        return []
    return file_problems(catalog)


def _without_catalog(settings: Settings, findings: list[Finding]) -> Checkup:
    """What can be said of the versions when nothing says which there should be."""
    found = contents(settings.storage_path)
    findings += _links(found.links)
    text = f"{len(found.folders)} versions lie in the storage, untouched"
    findings.append(Finding("ok", "versions", text))
    findings += _backups(settings, None)
    return Checkup(tuple(findings), needs_rebuild=True)


def _with_catalog(
    settings: Settings,
    catalog: Catalog,
    findings: list[Finding],
    is_deep: bool,
    workers: int,
    grace_s: float,
    now: float,
    on_progress: Progress | None,
) -> Checkup:
    keeping = Keeping(catalog.database)
    if unknown := unknown_versions(settings, catalog):
        lie = "1 version lies" if unknown == 1 else f"{unknown} versions lie"
        text = f"{lie} in {settings.storage_path.name}/ that the catalog does not know"
        return Checkup((*findings, Finding("bad", "catalog", text, rebuild_command(settings))), needs_rebuild=True)
    findings.append(_clock(keeping.newest_record(), now))
    contradictions = keeping.contradictions()
    findings += [Finding("bad", "catalog", one, REBUILD) for one in contradictions]
    versions = keeping.versions("live")
    unsure: dict[int, str] = {}
    away = not settings.storage_path.exists() and bool(versions)
    if away:  # nothing is known of the versions: it would be wrong to record them as lost
        text = f"the storage folder {settings.storage_path} is not there; is its disk mounted?"
        findings.append(Finding("bad", "storage", text, way_back(settings.storage_path)))
    damage = [] if away else _damaged(settings, keeping, versions, is_deep, workers, on_progress, unsure)
    back = _back(settings, keeping, workers)
    findings += [
        Finding("warn", "versions", f"{one.name} could not be checked: {unsure[one.version_id]}")
        for one in versions
        if one.version_id in unsure
    ]
    _, heads, envs = keeping.counts()
    if not contradictions:
        where = "1 environment" if envs == 1 else f"{envs} environments"
        text = f"catalog is whole · {len(versions)} versions · {heads} current in {where}"
        findings.append(Finding("ok", "catalog", text))
    findings += _journal(settings, is_deep=is_deep)
    findings += _backups(settings, keeping.newest_record())
    findings += _links(contents(settings.storage_path).links)
    findings += _earlier(keeping, back)
    litter = find_litter(settings, catalog, grace_s, now)
    if litter.strangers:
        findings.append(Finding("warn", "versions", litter.notes[0]))
    alive = alive_runs(settings, catalog)
    dead = tuple(run for run in catalog.running() if run.run_id not in alive)
    findings += _folders(settings, catalog, keeping, {run.env for run in catalog.running() if run.run_id in alive})
    size_bytes = sum(version.size_bytes or 0 for version in versions)
    return Checkup(tuple(findings), tuple(damage), litter, dead, len(versions), size_bytes, is_deep, back=back)


def _damaged(
    settings: Settings,
    keeping: Keeping,
    versions: Sequence[Version],
    is_deep: bool,
    workers: int,
    on_progress: Progress | None,
    unsure: dict[int, str],
) -> list[Damage]:
    root = settings.storage_path
    problems: dict[int, list[str]] = {}
    since = min((one.created_at for one in versions if has_sidecar(root, one.location)), default=None)
    for version in versions:
        try:
            found = problems_of(root, version, is_whole=False)
        except AssetflowError as error:
            unsure[version.version_id] = error.what
            continue
        is_bare = not found and not has_sidecar(root, version.location)
        if is_bare and since is not None and version.created_at >= since:
            found = ["_version.json is missing"]
        if found:
            problems[version.version_id] = found
    if is_deep:
        good = [version for version in versions if version.version_id not in {**problems, **unsure}]
        problems |= verify_deep(settings, good, workers=workers, on_progress=on_progress, unsure=unsure)
    _look_into_warehouse(settings, [one for one in versions if one.io == "duckdb"], problems, unsure)
    # What was removed since the versions were listed is no damage: gc may go on meanwhile.
    still = {version.version_id for version in keeping.versions("live")} if problems else set[int]()
    problems = {version_id: found for version_id, found in problems.items() if version_id in still}
    current, pinned = keeping.current_in(problems), keeping.pinned()
    return [
        Damage(
            version,
            tuple(problems[version.version_id]),
            tuple(env for env, _ in current.get(version.version_id, ())),
            tuple(env for env, key in current.get(version.version_id, ()) if (env, key) in pinned),
        )
        for version in versions
        if version.version_id in problems
    ]


def _look_into_warehouse(
    settings: Settings, versions: Sequence[Version], problems: dict[int, list[str]], unsure: dict[int, str]
) -> None:
    """Open the file that has all these tables, in a process that may die of it."""
    path = settings.warehouse_path
    if not versions:
        return
    text, is_broken = file_problem(path) if path.exists() else ("it is missing", True)
    if not text:
        return
    for version in versions:
        if not is_broken:
            unsure.setdefault(version.version_id, f"{path.name}: {text}")
        elif text == "it is missing":
            problems.setdefault(version.version_id, []).append(f"{path.name} is missing")
        else:
            problems.setdefault(version.version_id, []).append(f"{path.name} cannot be opened: {text}")


def _back(settings: Settings, keeping: Keeping, workers: int) -> tuple[Version, ...]:
    """Versions that were taken for lost and are whole: their disk was away, or somebody brought them back."""
    there = [one for one in keeping.versions("lost") if is_whole(settings, one)]
    unsure: dict[int, str] = {}
    problems = verify_deep(settings, there, workers=workers, unsure=unsure)
    return tuple(one for one in there if one.version_id not in {**problems, **unsure})


def _earlier(keeping: Keeping, back: Sequence[Version]) -> list[Finding]:
    found: list[Finding] = []
    if back:
        text = f"{_some([one.name for one in back])}: taken for lost, and whole"
        found.append(Finding("warn", "versions", text, "assetflow doctor --fix takes them back"))
    known = {one.version_id for one in back}
    lost = [one for one in keeping.versions("lost", "damaged") if one.version_id not in known]
    gone = keeping.current_in(one.version_id for one in lost)
    pinned, places = keeping.pinned(), {head for heads in gone.values() for head in heads}
    if held := sorted({key for _, key in places & pinned}):
        text = f"{_some(held)}: the current version is lost, and pinned, so no run makes it again"
        found.append(Finding("warn", "versions", text, f"assetflow unpin {' '.join(held)}"))
    if keys := sorted({key for _, key in places - pinned}):
        text = f"{_some(keys)}: the current version is lost, and will be made again"
        found.append(Finding("warn", "versions", text, f"assetflow materialize {' '.join(keys)}"))
    if condemned := len(keeping.versions("condemned")):
        found.append(Finding("warn", "versions", f"{condemned} versions wait to be removed", "assetflow gc"))
    return found


def _journal(settings: Settings, *, is_deep: bool) -> list[Finding]:
    if not settings.catalog_path.exists():
        return []
    try:
        problems = journal_problems(settings.catalog_path, is_deep=is_deep)
    except (OSError, ValueError, AssetflowError) as error:
        problems = [str(error).partition("\n")[0]]
    if not problems:
        return [Finding("ok", "journal", "journal is in step")]
    fix = "assetflow doctor --fix writes it anew from the catalog"
    return [Finding("bad", "journal", f"journal: {one}", fix) for one in problems]


def _backups(settings: Settings, newest_record: float | None) -> list[Finding]:
    found = backups(settings.catalog_path)
    if not found:
        return []
    if newest_record is not None and newest_record - found[0].made_at > _OLD_BACKUP_S:
        text = f"the newest backup of the catalog is from {_day(found[0].made_at)}, long before the last change"
        return [Finding("warn", "backups", text, "see that .assetflow/backups can be written")]
    return [Finding("ok", "backups", f"newest backup from {_day(found[0].made_at)}")]


def _folders(settings: Settings, catalog: Catalog, keeping: Keeping, busy: Collection[str]) -> list[Finding]:
    """The folders of partitions; not where a run goes on, which brings them up to date at its end."""
    environments = [env for env in keeping.environments() if env not in busy]
    if not any(folders_of(settings, env).note() for env in environments):
        return []
    found = unlike(settings, catalog, environments)
    if not found:
        return [Finding("ok", "folders", "folders of partitions show what is current")]
    fix = "assetflow doctor --fix makes them what is current"
    shown = _some([f"{one.asset} ({one.files} {'file' if one.files == 1 else 'files'})" for one in found])
    return [Finding("warn", "folders", f"folders of partitions do not show what is current: {shown}", fix)]


def _links(links: Sequence[str]) -> list[Finding]:
    fix = "remove the link; what was stored there is made again by the next run"
    return [Finding("bad", "links", f"{one} is a symbolic link, which assetflow never makes", fix) for one in links]


def _clock(newest: float, now: float) -> Finding:
    if newest - now > _CLOCK_S:
        text = f"the clock is behind: the catalog has a record of {_day(newest)}"
        return Finding("warn", "clock", text, "set the clock of this machine")
    return Finding("ok", "clock", "clock ok")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _day(moment: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(moment))


def _gigabytes(amount: int) -> str:
    return f"{amount / 1e9:.1f} GB"
