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
from pathlib import Path
from typing import TYPE_CHECKING, cast

from msgspec import Struct, field

from assetflow.fingerprint.hashing import digest
from assetflow.load.caches import exact, read_plain, write_cache, write_plain
from assetflow.load.settings import Settings
from assetflow.load.texts import StoredSources, sources_path, write_sources
from assetflow.load.untouched import (
    FORMAT,
    environment,
    hash_of,
    head_of,
    listing,
    module_files,
    own_code,
    packages_of,
    relative,
    stat_and_hash,
    variable,
)
from assetflow.model.code import CodeSource
from assetflow.model.sensors import Automation, automation_from_json
from assetflow.model.spec import AssetSpec, spec_from_json, spec_to_json

if TYPE_CHECKING:
    from assetflow.load.live import Loaded


class Manifest(Struct, frozen=True):
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
        found = cast("dict[str, object]", read_plain(_specs_path(settings)))
        content = cast("str", stored["content"])
        if found["content"] != content:
            return None  # another process is about to write its head
        specs = tuple(spec_from_json(spec) for spec in cast("list[dict[str, object]]", found["specs"]))
        size, digest_of_sources = cast("tuple[int, str]", stored["sources"])
        sources = StoredSources(sources_path(settings), size, digest_of_sources)
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
    return head_of(str(_path(settings)), str(settings.root), _key(settings))


def write_manifest(settings: Settings, loaded: Loaded) -> Manifest:
    """Record what a load found, by atomic replacement. When the folder cannot be written nothing is recorded.

    Only a load without `config_overrides` may be recorded, because its specs hold config values.
    """
    declared = loaded.automation.automation
    manifest = Manifest(loaded.specs, loaded.files, time.time(), loaded.code_sources, os.urandom(16).hex(), declared)
    imported = loaded.imported
    if imported is None:
        return manifest
    root, base = settings.root, str(settings.root)
    stats: dict[str, list[object]] = {
        relative(path, base): [*one.stat, hash_of(one.content)] for path, one in imported.sources.items()
    }
    for path in sorted(imported.reads.files):
        stats.setdefault(relative(path, base), stat_and_hash(path))
    roots = _module_roots(root, imported.sources, imported.files.roots)
    reads = imported.reads
    stored: dict[str, object] = {
        "format": FORMAT,
        "key": _key(settings),
        "written_ns": time.time_ns(),
        "loaded_at": manifest.loaded_at,
        "files": list(loaded.files),
        "stats": stats,
        "roots": roots,
        "modules": module_files(base, roots),
        "reads": {
            "folders": {relative(folder, base): listing(folder) for folder in sorted(reads.folders)},
            "variables": {name: variable(name, reads.environment) for name in sorted(reads.variables)},
            "environment": environment(reads.environment) if reads.whole_environment else "",
        },
        "content": manifest.content,
    }
    stored["sources"] = write_sources(sources_path(settings), loaded.code_sources)
    _write_specs(_specs_path(settings), manifest)
    write_cache(_path(settings), stored)
    return manifest


def _write_specs(path: Path, manifest: Manifest) -> None:
    try:
        specs = [_with_exact_parts(spec_to_json(spec)) for spec in manifest.specs]
        automation = exact(manifest.automation.to_json())
    except (TypeError, ValueError, RecursionError):
        return  # as when the file cannot be written
    write_plain(path, {"content": manifest.content, "specs": specs, "automation": automation})


_PLAIN = frozenset((
    "key", "kind", "node", "inputs", "group", "io", "file", "line", "code", "code_parts", "config", "kinds", "retries",
    "code_notes", "packages", "files", "env_vars", "package_policy",
))  # fmt: skip
"""The parts of a spec in which there are only texts and whole numbers, whatever a user passes."""
_PLAIN_INPUT = 5
"""What is said of an input beyond that is about partitions: how many are needed may be a share."""


def _with_exact_parts(spec: dict[str, object]) -> dict[str, object]:
    for name in () if _PLAIN.issuperset(spec) else spec.keys() - _PLAIN:
        spec[name] = exact(spec[name])
    inputs = cast("list[list[object]]", spec["inputs"])
    if any(len(one) > _PLAIN_INPUT for one in inputs):
        spec["inputs"] = exact(inputs)
    return spec


def settings_digest(settings: Settings) -> str:
    """The digest of the settings that a load depends on; environment, workers and paths are not among them."""
    parts = [
        settings.name, settings.modules, settings.io, settings.allow_pickle, str(settings.root),
        repr(settings.defaults), sorted((name, repr(one)) for name, one in settings.groups.items()),
        settings.config, settings.resources, sorted(settings.pools.items()), sorted(settings.jobs),
    ]  # fmt: skip
    return digest("load", json.dumps(parts, default=str).encode())  # the order within a config value counts


def _path(settings: Settings) -> Path:
    return settings.state_path / "cache" / "manifest.json"


def _specs_path(settings: Settings) -> Path:
    return settings.state_path / "cache" / "manifest-specs.json"


def _key(settings: Settings) -> list[object]:
    """What must be equal before anything is looked at: settings, Python, assetflow, installed packages."""
    from assetflow import __version__

    return [settings_digest(settings), sys.version, sys.prefix, __version__, own_code(), packages_of(sys.path)]


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
