"""The settings of a project: found, merged by precedence, validated, and remembered while nothing changed.

An unchanged project reads one JSON file here; TOML and pydantic are imported (by `schema`) only when something changed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast

from msgspec import Struct, field

from assetflow.errors import DefinitionError, Location, ProjectLoadError, ProjectNotFound
from assetflow.load.caches import make_cache_folder
from assetflow.load.finding import (
    CACHE_FORMAT,
    FILE,
    LOCAL_FILE,
    OPEN_KEYS,
    TABLE,
    read_entries,
    settings_key,
    variables_in,
)
from assetflow.load.locked import key_of_contents, locked, unlocked
from assetflow.load.sealed import sealed
from assetflow.model.declare import package_policies
from assetflow.model.policies import Limits, Retry, limits

_CACHED_ENTRIES = 8  # one for each combination of flags and variables that somebody alternates between


class Defaults(Struct, frozen=True):
    """What the assets of a project or a group take when they do not say it themselves; None says nothing."""

    retry: Retry | None = None
    owners: tuple[str, ...] | None = None
    io: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Limits = field(default_factory=Limits)


RETENTION: Mapping[str, float] = {"keep": 10, "keep_days": 30.0, "grace": 86_400.0}
"""How long versions stay that nothing needs, where a project does not say it; `grace` is in seconds."""


class Settings(Struct, frozen=True):
    """The settings of one project.

    `origins` says where each came from: `assetflow.toml:3`, `$ASSETFLOW_IO`, `--env`; what is default is not in it.
    `stop_grace` is how many seconds a run that was asked to stop may take to end.
    `home_env` is the environment without flags and variables: the project's own, whose names are plain in DuckDB.
    """

    root: Path
    file: Path | None
    name: str
    modules: tuple[str, ...]
    io: str = "parquet"
    storage: str = ".assetflow/data"
    catalog: str = "sqlite:///.assetflow/catalog.db"
    duckdb: str = "views"
    hive: bool = True
    warehouse: str = ".assetflow/warehouse.duckdb"
    executor: str = "threads"
    workers: int = 1
    stop_grace: float = 10.0
    env: str = "dev"
    home_env: str = "dev"
    tz: str = "local"
    allow_pickle: bool = False
    hash: str = "xxh3"
    discover: bool = True
    log_limit: int = 10_000_000
    retention: Mapping[str, float] = field(default_factory=lambda: dict(RETENTION))
    defaults: Defaults = field(default_factory=Defaults)
    groups: Mapping[str, Defaults] = field(default_factory=dict[str, Defaults])
    config: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    resources: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    pools: Mapping[str, int] = field(default_factory=dict[str, int])
    selections: Mapping[str, str] = field(default_factory=dict[str, str])
    jobs: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    alerts: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    origins: Mapping[str, str] = field(default_factory=dict[str, str])
    settings_key: str = ""
    """The digest of the files, flags and variables that these were read from; empty when they were given."""

    @property
    def state_path(self) -> Path:
        """The folder `.assetflow` of the project."""
        return self.root / ".assetflow"

    @property
    def storage_path(self) -> Path:
        """The folder of stored versions, absolute."""
        return self.root / self.storage

    @property
    def catalog_path(self) -> Path:
        """The file of the SQLite catalog, absolute."""
        return self.root / self.catalog.removeprefix("sqlite:///")

    @property
    def warehouse_path(self) -> Path:
        """The DuckDB file that holds tables of `io = "duckdb"`, absolute."""
        return self.root / self.warehouse

    @property
    def views_path(self) -> Path:
        """The folder of what other programs open: files of DuckDB views, and folders of partitions, by environment."""
        return self.state_path / "views"

    def origin(self, *path: str) -> str:
        """Where the setting came from; that of the table around it, else `default`."""
        for end in range(len(path), 0, -1):
            found = self.origins.get(".".join(path[:end]))
            if found is not None:
                return found
        return "default"

    def place(self, *path: str) -> Location | None:
        """The place in a file that the setting came from, or None when it came from elsewhere."""
        file, colon, line = self.origin(*path).rpartition(":")
        return Location(file, int(line)) if colon and line.isdigit() else None


def find_project(start: Path) -> Path:
    """The file that makes `start`, or the nearest folder above it, a project.

    Raises:
        ProjectNotFound: there is no `assetflow.toml` and no `pyproject.toml` with `[tool.assetflow]` up to the root.
        ProjectLoadError: one folder has both.
    """
    try:
        folder = start.absolute()
    except FileNotFoundError as error:
        raise ProjectNotFound("the working directory has been deleted", fix="change to a folder that exists") from error
    for candidate in (folder, *folder.parents):
        own, shared = candidate / FILE, candidate / "pyproject.toml"
        content = _content(shared)
        has_table = content is not None and TABLE.search(content) is not None
        if own.is_file():
            if has_table:
                raise ProjectLoadError([
                    DefinitionError(
                        f"the settings are in two files: `{FILE}` and [tool.assetflow] in `pyproject.toml`",
                        facts=(f"in {candidate}",),
                        fix=f"keep one: move the keys into `{FILE}`, or delete it",
                        where=Location(FILE, 1),
                    )
                ])  # fmt: skip
            return own
        if has_table:
            return shared
    raise ProjectNotFound(
        f"no project in {folder}, nor in a folder above it",
        facts=(f"looked for `{FILE}`, and for [tool.assetflow] in `pyproject.toml`",),
        fix="run it inside a project, name one with `-C DIR`, or make one with `assetflow init DIR`",
    )


def read_settings(
    start: Path, overrides: Mapping[str, str] | None = None, environment: Mapping[str, str] = os.environ
) -> Settings:
    """The settings of the project around `start`.

    A value comes from the first that has it: `overrides` (flags), `ASSETFLOW_*` variables, `assetflow.local.toml`, the
    project file, the default.

    Raises:
        ProjectNotFound: `start` is not inside a project.
        ProjectLoadError: some settings are not what they should be; every problem is in it.
    """
    file = find_project(start)
    root = file.parent
    contents = [(path.name, _content(path)) for path in (file, root / LOCAL_FILE)]
    variables, given = variables_in(environment), overrides or {}
    texts = {name: text for name, text in contents if text is not None}
    key = settings_key(str(root), contents, given, variables)
    cache = root / ".assetflow" / "cache" / "settings.json"
    entries = read_entries(str(cache))
    lock = key_of_contents(contents)
    values = _known(entries.get(key), lock)
    if values is None:
        from assetflow.load.schema import merged_settings

        values = merged_settings(file.name, texts, variables, given)
        with suppress(ValueError, TypeError):  # not JSON-able
            _write_cache(cache, {key: _entry(values, lock), **{k: one for k, one in entries.items() if k != key}})
    return _settings(file, {**values, "settings_key": key})


def settings_to_json(settings: Settings) -> dict[str, object]:
    """The settings as JSON-able values, for another process."""
    found: dict[str, object] = {name: getattr(settings, name) for name in Settings.__struct_fields__}
    found["root"], found["file"] = str(settings.root), str(settings.file or settings.root / FILE)
    found["defaults"] = _defaults_to_json(settings.defaults)
    found["groups"] = {name: _defaults_to_json(one) for name, one in settings.groups.items()}
    return found


def settings_from_json(values: Mapping[str, object]) -> Settings:
    """The settings that `settings_to_json` wrote."""
    found = {name: value for name, value in values.items() if name not in ("root", "file")}
    return _settings(Path(cast("str", values["file"])), found)


def _defaults_to_json(defaults: Defaults) -> dict[str, object]:
    retry = defaults.retry
    return {
        "retry": None if retry is None else retry.to_json(),
        "owners": defaults.owners,
        "io": defaults.io,
        "tags": dict(defaults.tags),
        "packages": dict(defaults.packages),
        "timeout": defaults.limits.timeout_s,
        "memory": defaults.limits.memory_bytes,
        "isolation": defaults.limits.isolation,
        "pool": dict(defaults.limits.pools),
    }


def _settings(file: Path, values: Mapping[str, object]) -> Settings:
    found = dict(values)
    root = file.parent
    modules = cast("list[str]", found.pop("modules", None) or _default_modules(root))
    defaults = _defaults(found.pop("defaults", None))
    groups = {name: _defaults(one) for name, one in cast("dict[str, object]", found.pop("groups", {})).items()}
    name = cast("str", found.pop("name", None) or root.name)
    workers = cast("int", found.pop("workers", None) or min(8, 2 * (os.cpu_count() or 1)))
    retention = {**RETENTION, **cast("Mapping[str, float]", found.pop("retention", None) or {})}
    rest = cast("dict[str, str]", found)  # every other key has the type of its field: the schema said so
    return Settings(
        root=root, file=file, name=name, modules=tuple(modules), workers=workers, retention=retention,
        defaults=defaults, groups=groups,
        **rest,  # pyright: ignore[reportArgumentType]
    )  # fmt: skip


def _defaults(values: object) -> Defaults:
    found = dict(cast("Mapping[str, object]", values or {}))
    retry = cast("tuple[int, float, float, float | None, bool | float] | None", found.get("retry"))
    owners = cast("list[str] | None", found.get("owners"))
    return Defaults(
        retry=None
        if retry is None
        else Retry(retry[0], delay=retry[1], backoff=retry[2], max_delay=retry[3], jitter=retry[4]),
        owners=None if owners is None else tuple(owners),
        io=cast("str | None", found.get("io")),
        tags=cast("dict[str, str]", found.get("tags") or {}),
        packages=package_policies(cast("str | dict[str, str] | None", found.get("packages"))),
        limits=limits(*(cast("Any", found.get(name)) for name in ("timeout", "memory", "isolation", "pool"))),
    )


def _default_modules(root: Path) -> list[str]:
    """`assets` if it is there, else the one top-level module or package that mentions assetflow."""
    folders = [root, root / "src"]
    for folder in folders:
        if (folder / "assets.py").is_file() or (folder / "assets").is_dir():
            return ["assets"]
    candidates = sorted({name for folder in folders if folder.is_dir() for name in _mentioning(folder)})
    packages = [name for name in candidates if any((folder / name).is_dir() for folder in folders)]
    for found in (candidates, packages):  # beside one package, single files are scripts that use it
        if len(found) == 1:
            return found
    some = ", ".join(f"`{name}`" for name in candidates[:6])
    problem = DefinitionError(
        "several modules here could hold the assets" if candidates else "the project has no assets yet",
        facts=[f"found: {some}"] if candidates else [f"in {root} is no `assets.py`, and no module that uses assetflow"],
        fix=f'say which in the project file, such as modules = ["{(packages or candidates)[0]}"]'
        if candidates
        else 'write `assets.py`, or name the module in the project file: modules = ["shop"]',
    )
    raise ProjectLoadError([problem])


_NOT_ASSETS = ("tests", "test", "conftest", "setup", "src", "docs", "noxfile", "tasks")


def _mentioning(folder: Path) -> list[str]:
    """Top-level modules and packages in `folder` whose text has the word assetflow."""
    found: list[str] = []
    for entry in sorted(os.scandir(folder), key=lambda one: one.name):
        name = entry.name.removesuffix(".py")
        if not name.isidentifier() or name in _NOT_ASSETS or name.startswith("test_") or name.endswith("_test"):
            continue
        if entry.is_dir():
            files = [file for file in Path(entry.path).glob("*.py") if file.name != "__main__.py"]
        else:
            files = [Path(entry.path)] if entry.name.endswith(".py") else []
        if any(b"assetflow" in (_content(file) or b"") for file in files):
            found.append(name)
    return found


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return None
    except OSError as error:
        problem = DefinitionError(f"`{path.name}` cannot be read: {error.strerror}", facts=(f"in {path.parent}",))
        raise ProjectLoadError([problem]) from error


# The cache saves time and nothing else. Whatever is wrong with it (unreadable, cut short, on a read-only disk), the
# settings are worked out again from the files, so ignoring it is exact, and failing the command would help nobody.


def _known(entry: Mapping[str, object] | None, lock: bytes) -> dict[str, object] | None:
    """The settings of an entry; None when it is not what was written."""
    if entry is None:
        return None
    try:
        return cast("dict[str, object]", json.loads(unlocked(cast("str", entry["locked"]), lock)))
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _entry(values: Mapping[str, object], lock: bytes) -> dict[str, object]:
    """Settings as the cache has them: what may be secret is for those who have the files."""
    shown = {name: values[name] for name in OPEN_KEYS if name in values}
    return {
        "open": shown,
        "has_alerts": bool(values.get("alerts")),
        "locked": locked(json.dumps(values).encode(), lock),
    }


def _write_cache(path: Path, entries: Mapping[str, dict[str, object]]) -> None:
    newest = dict(list(entries.items())[:_CACHED_ENTRIES])
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        make_cache_folder(path.parent)
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(sealed(json.dumps({"format": CACHE_FORMAT, "entries": newest}).encode()))
        temporary.replace(path)
    except (OSError, ValueError, TypeError):
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
