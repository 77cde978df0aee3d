"""The manifest: what the last load found, and whether anything that it depended on has changed since.

Reading it imports no user code. It is keyed by everything that the load looked at: the text of the project's modules
and which modules there are, other files, folders and environment variables that were read while importing, the
settings, Python, assetflow, and the installed packages.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, cast

from assetflow.fingerprint.hashing import digest
from assetflow.load.caches import read_cache, write_cache
from assetflow.load.sealed import unsealed
from assetflow.load.settings import Settings
from assetflow.load.texts import StoredSources, write_sources
from assetflow.model.code import CodeSource
from assetflow.model.sensors import Automation, automation_from_json
from assetflow.model.spec import AssetSpec, spec_from_json, spec_to_json

if TYPE_CHECKING:
    from assetflow.load.live import Loaded

_FORMAT = 6
_RACY_NS = (
    2_000_000_000  # a file saved this shortly before it was recorded may be saved again within one tick of its clock
)
_VOLATILE = (
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
    "COLUMNS",
    "LINES",
    "TERM",
    "WINDOWID",
    "SSH_",
    "XDG_SESSION",
    "PYTEST_CURRENT",
)
"""Variables that differ between two terminals; a module that goes through the whole environment does not mean these."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a load found. `files` are the project's files, relative to its root; `loaded_at` is in UTC seconds.

    `code_sources` holds the texts of all code behind the assets by their digests, which `AssetSpec.code_parts` names;
    they are read when they are asked for. `content` names this load: no other one has it. `automation` are the jobs and
    sensors of modules.
    """

    specs: tuple[AssetSpec, ...]
    files: tuple[str, ...]
    loaded_at: float
    code_sources: Mapping[str, CodeSource] = field(default_factory=dict[str, CodeSource])
    content: str = ""
    automation: Automation = field(default_factory=Automation)


def read_manifest(settings: Settings) -> Manifest | None:
    """What the last load found, or None when anything that it depended on has changed, or there was none.

    Costs a `stat` for each module and file. A file whose `stat` alone changed (a fresh checkout, a touch) is compared
    by content, and its new `stat` is kept.
    """
    stored = _valid_head(settings)
    if stored is None:
        return None
    try:
        found = cast("dict[str, object]", read_cache(_specs_path(settings)))
        content = cast("str", stored["content"])
        if found["content"] != content:
            return None  # another process is about to write its head
        specs = tuple(spec_from_json(spec) for spec in cast("list[dict[str, object]]", found["specs"]))
        size, digest_of_sources = cast("tuple[int, str]", stored["sources"])
        sources = StoredSources(_sources_path(settings), size, digest_of_sources)
        if not sources.is_there():
            return None
        files = tuple(cast("list[str]", stored["files"]))
        automation = automation_from_json(cast("dict[str, object]", found["automation"]))
        return Manifest(specs, files, cast("float", stored["loaded_at"]), sources, content, automation)
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # A manifest that is missing, cut short or from another time is not an error: the project is loaded instead.
        return None


def manifest_content(settings: Settings) -> str | None:
    """The name of the load whose specs are those of the project as it is; None when it must be loaded again."""
    stored = _valid_head(settings)
    found = None if stored is None else stored.get("content")
    return found if isinstance(found, str) else None


def _valid_head(settings: Settings) -> dict[str, object] | None:
    """What the manifest says beside the specs, when nothing that the load depended on has changed."""
    path = _path(settings)
    try:
        stored = cast("dict[str, object]", json.loads(unsealed(path.read_bytes())))
        if stored["format"] != _FORMAT or stored["key"] != _key(settings):
            return None
        changed = _changed_stats(settings.root, stored)
        if changed is None or stored["modules"] != _module_files(settings.root, cast("list[str]", stored["roots"])):
            return None
        if not _same_surroundings(settings.root, cast("dict[str, object]", stored["reads"])):
            return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # A manifest that is missing, cut short or from another time is not an error: the project is loaded instead.
        return None
    if changed:
        cast("dict[str, object]", stored["stats"]).update(changed)
        stored["written_ns"] = time.time_ns()
        write_cache(path, stored)
    return stored


def write_manifest(settings: Settings, loaded: Loaded) -> Manifest:
    """Record what a load found, by atomic replacement. When the folder cannot be written nothing is recorded.

    Only a load without `config_overrides` may be recorded, because its specs hold config values.
    """
    declared = loaded.automation.automation
    manifest = Manifest(loaded.specs, loaded.files, time.time(), loaded.code_sources, os.urandom(16).hex(), declared)
    imported = loaded.imported
    if imported is None:
        return manifest
    root = settings.root
    stats: dict[str, list[object]] = {
        _relative(path, root): [*one.stat, _hash(one.content)] for path, one in imported.sources.items()
    }
    for path in sorted(imported.reads.files):
        stats.setdefault(_relative(path, root), _stat_and_hash(path))
    roots = _module_roots(root, imported.sources, imported.files.roots)
    reads = imported.reads
    stored: dict[str, object] = {
        "format": _FORMAT,
        "key": _key(settings),
        "written_ns": time.time_ns(),
        "loaded_at": manifest.loaded_at,
        "files": list(loaded.files),
        "stats": stats,
        "roots": roots,
        "modules": _module_files(root, roots),
        "reads": {
            "folders": {_relative(folder, root): _listing(folder) for folder in sorted(reads.folders)},
            "variables": {name: _variable(name, reads.environment) for name in sorted(reads.variables)},
            "environment": _environment(reads.environment) if reads.whole_environment else "",
        },
        "content": manifest.content,
    }
    stored["sources"] = write_sources(_sources_path(settings), loaded.code_sources)
    specs = [spec_to_json(spec) for spec in loaded.specs]
    found = {"content": manifest.content, "specs": specs, "automation": declared.to_json()}
    write_cache(_specs_path(settings), found)
    write_cache(_path(settings), stored)
    return manifest


def settings_digest(settings: Settings) -> str:
    """The digest of the settings that a load depends on; environment, workers and paths are not among them."""
    parts = [
        settings.name, settings.modules, settings.io, settings.allow_pickle, str(settings.root),
        repr(settings.defaults), sorted((name, repr(one)) for name, one in settings.groups.items()),
        settings.config, settings.resources, sorted(settings.pools.items()), sorted(settings.jobs),
    ]  # fmt: skip
    return digest("load", json.dumps(parts, sort_keys=True, default=str).encode())


def _path(settings: Settings) -> Path:
    return settings.state_path / "cache" / "manifest.json"


def _specs_path(settings: Settings) -> Path:
    return settings.state_path / "cache" / "manifest-specs.json"


def _sources_path(settings: Settings) -> Path:
    return settings.state_path / "cache" / "code-sources.json"


def _key(settings: Settings) -> list[object]:
    """What must be equal before anything is looked at: settings, Python, assetflow, installed packages."""
    from assetflow import __version__

    folders = sorted({folder for folder in sys.path if folder.endswith("-packages")})
    places = [[folder, _mtime(folder)] for folder in folders]
    return [settings_digest(settings), sys.version, sys.prefix, __version__, own_code(), places]


def own_code(*rooms: str) -> int:
    """When assetflow itself was changed, for those who work on it: it may find other specs and fingerprints."""
    package = Path(__file__).parents[1]
    newest = 0
    for room in ("load", "fingerprint", "model", *rooms):
        with os.scandir(package / room) as entries:
            newest = max(newest, *(entry.stat().st_mtime_ns for entry in entries if entry.name.endswith(".py")))
    return newest


def _mtime(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - on the fast path, where a Path costs more than the call
    except OSError:
        return 0


def _changed_stats(root: Path, stored: Mapping[str, object]) -> dict[str, list[object]] | None:
    """The new stats of files whose content is the same; None when a content differs or a file is gone."""
    written_ns = cast("int", stored["written_ns"])
    changed: dict[str, list[object]] = {}
    base = str(root)
    for name, (size, mtime_ns, inode, content) in cast("dict[str, list[object]]", stored["stats"]).items():
        path = f"{base}{os.sep}{name}"
        try:
            found = os.stat(path)  # noqa: PTH116 - on the fast path, where a Path costs more than the call
        except OSError:
            if content != _UNREADABLE[-1]:
                return None
            continue
        same = [size, mtime_ns, inode] == [found.st_size, found.st_mtime_ns, found.st_ino]
        if same and cast("int", mtime_ns) < written_ns - _RACY_NS:
            continue
        fresh = _stat_and_hash(path)
        if fresh[-1] != content:
            return None
        changed[name] = fresh
    return changed


def _same_surroundings(root: Path, reads: Mapping[str, object]) -> bool:
    """Whether folders that were listed and variables that were looked up are what they were."""
    folders = cast("dict[str, str]", reads["folders"])
    variables = cast("dict[str, str]", reads["variables"])
    environment = reads["environment"]
    return (
        all(_listing(str(root / folder)) == content for folder, content in folders.items())
        and all(_variable(name, os.environ) == content for name, content in variables.items())
        and (not environment or environment == _environment(os.environ))
    )


def _stat_and_hash(path: str) -> list[object]:
    """Size, time, inode and content of a file; of one that could not be read, that it could not."""
    try:
        found = os.stat(path)  # noqa: PTH116 - before reading, so that a later save shows as a difference
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError:  # a module may try whether a file is there; whether it is there is then what matters
        return list(_UNREADABLE)
    return [found.st_size, found.st_mtime_ns, found.st_ino, _hash(content)]


_UNREADABLE = (-1, 0, 0, "")


def _hash(content: bytes) -> str:
    return digest("file", content)


def _listing(folder: str) -> str:
    """The names in a folder, as one digest; empty when it is gone."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name not in (".assetflow", "__pycache__"))
    except OSError:
        return ""
    return digest("folder", *(os.fsencode(name) for name in names))


def _variable(name: str, environment: Mapping[str, str]) -> str:
    value = environment.get(name)
    return "" if value is None else digest("variable", os.fsencode(value))  # never the value: it may be a secret


def _environment(environment: Mapping[str, str]) -> str:
    kept = sorted((name, value) for name, value in environment.items() if not name.startswith(_VOLATILE))
    return digest("environment", *(os.fsencode(f"{name}={value}") for name, value in kept))


def _module_roots(root: Path, sources: Iterable[str], bases: Iterable[str]) -> list[str]:
    """The folders whose Python files are the project: every package that was imported, and the search path's roots.

    Those of the search path end with a separator: only their first level counts.
    """
    tops = [f"{folder}{os.sep}" for folder in (root, root / "src") if folder.is_dir()]
    found = {*tops, *(base.rstrip(os.sep) for base in bases if base not in tops)}
    for path in sources:
        top = max((one for one in tops if path.startswith(one)), key=len, default=None)
        if top is not None:
            package, separator, _ = path[len(top) :].partition(os.sep)
            found.update([top + package] if separator else [])
    return sorted(found)


def _module_files(root: Path, roots: Iterable[str]) -> list[str]:
    """The Python files in the given folders: all below a package, but only the first level of a search path's root."""
    found: list[str] = []
    for top in roots:
        waiting = [top.rstrip(os.sep)]
        deep = not top.endswith(os.sep)
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name.endswith(".py"):
                        found.append(_relative(entry.path, root))
                    elif deep and entry.name[0] not in "._" and entry.is_dir():
                        waiting.append(entry.path)
    return sorted(found)


def _relative(path: str, root: Path) -> str:
    base = str(root) + os.sep
    return path[len(base) :] if path.startswith(base) else os.path.relpath(path, base)
