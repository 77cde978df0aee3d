"""Whether all that a load looked at is as it was: module files, folders, variables. Imports next to nothing.

It is the first thing that every command does, and in the short way nearly all that it does.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Mapping
from typing import cast

from assetflow.fingerprint.hashing import digest
from assetflow.load.sealed import unsealed

FORMAT = 6
RACY_NS = (
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


def head_of(path: str, root: str, key: list[object]) -> dict[str, object] | None:
    """What the manifest at `path` says beside the specs, when nothing that the load depended on has changed.

    `key` is what must be equal before anything is looked at.
    """
    try:
        with open(path, "rb") as stream:
            stored = cast("dict[str, object]", json.loads(unsealed(stream.read())))
        if stored["format"] != FORMAT or stored["key"] != key:
            return None
        changed = _changed_stats(root, stored)
        if changed is None or stored["modules"] != module_files(root, cast("list[str]", stored["roots"])):
            return None
        if not _same_surroundings(root, cast("dict[str, object]", stored["reads"])):
            return None
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        # A manifest that is missing, cut short or from another time is not an error: the project is loaded instead.
        return None
    if changed:
        from assetflow.load.caches import write_cache

        cast("dict[str, object]", stored["stats"]).update(changed)
        stored["written_ns"] = time.time_ns()
        write_cache(path, stored)
    return stored


def own_code(*rooms: str) -> int:
    """When assetflow itself was changed, for those who work on it: it may find other specs and fingerprints.

    Besides the rooms that say what a load finds, those that are named are looked at; `.` is what lies beside the rooms.
    """
    package = os.path.dirname(os.path.dirname(__file__))  # noqa: PTH120 - as everywhere here, a Path costs more
    newest = 0
    for room in ("load", "fingerprint", "model", *rooms):
        with os.scandir(f"{package}{os.sep}{room}") as entries:
            newest = max(newest, *(entry.stat().st_mtime_ns for entry in entries if entry.name.endswith(".py")))
    return newest


def packages_of(search_path: Iterable[str]) -> list[list[object]]:
    """The folders of installed packages, with when something was installed into each of them."""
    folders = sorted({folder for folder in search_path if folder.endswith("-packages")})
    return [[folder, _mtime(folder)] for folder in folders]


def _mtime(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns  # noqa: PTH116 - on the fast path, where a Path costs more than the call
    except OSError:
        return 0


def _changed_stats(root: str, stored: Mapping[str, object]) -> dict[str, list[object]] | None:
    """The new stats of files whose content is the same; None when a content differs or a file is gone."""
    written_ns = cast("int", stored["written_ns"])
    changed: dict[str, list[object]] = {}
    for name, (size, mtime_ns, inode, content) in cast("dict[str, list[object]]", stored["stats"]).items():
        path = f"{root}{os.sep}{name}"
        try:
            found = os.stat(path)  # noqa: PTH116 - on the fast path, where a Path costs more than the call
        except OSError:
            if content != _UNREADABLE[-1]:
                return None
            continue
        same = [size, mtime_ns, inode] == [found.st_size, found.st_mtime_ns, found.st_ino]
        if same and cast("int", mtime_ns) < written_ns - RACY_NS:
            continue
        fresh = stat_and_hash(path)
        if fresh[-1] != content:
            return None
        changed[name] = fresh
    return changed


def _same_surroundings(root: str, reads: Mapping[str, object]) -> bool:
    """Whether folders that were listed and variables that were looked up are what they were."""
    folders = cast("dict[str, str]", reads["folders"])
    variables = cast("dict[str, str]", reads["variables"])
    whole = reads["environment"]
    return (
        all(listing(f"{root}{os.sep}{folder}") == content for folder, content in folders.items())
        and all(variable(name, os.environ) == content for name, content in variables.items())
        and (not whole or whole == environment(os.environ))
    )


def stat_and_hash(path: str) -> list[object]:
    """Size, time, inode and content of a file; of one that could not be read, that it could not."""
    try:
        found = os.stat(path)  # noqa: PTH116 - before reading, so that a later save shows as a difference
        with open(path, "rb") as stream:
            content = stream.read()
    except OSError:  # a module may try whether a file is there; whether it is there is then what matters
        return list(_UNREADABLE)
    return [found.st_size, found.st_mtime_ns, found.st_ino, hash_of(content)]


_UNREADABLE = (-1, 0, 0, "")


def hash_of(content: bytes) -> str:
    """The digest of a file's content."""
    return digest("file", content)


def listing(folder: str) -> str:
    """The names in a folder, as one digest; empty when it is gone."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder) if entry.name not in (".assetflow", "__pycache__"))
    except OSError:
        return ""
    return digest("folder", *(os.fsencode(name) for name in names))


def variable(name: str, environment: Mapping[str, str]) -> str:
    """The digest of a variable: never the value, which may be a secret; empty when it is not set."""
    value = environment.get(name)
    return "" if value is None else digest("variable", os.fsencode(value))


def environment(variables: Mapping[str, str]) -> str:
    """The digest of all variables but those that differ between two terminals."""
    kept = sorted((name, value) for name, value in variables.items() if not name.startswith(_VOLATILE))
    return digest("environment", *(os.fsencode(f"{name}={value}") for name, value in kept))


def module_files(root: str, roots: Iterable[str]) -> list[str]:
    """The Python files in the given folders: all below a package, but only the first level of a search path's root."""
    found: list[str] = []
    for top in roots:
        waiting = [top.rstrip(os.sep)]
        deep = not top.endswith(os.sep)
        while waiting:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name.endswith(".py"):
                        found.append(relative(entry.path, root))
                    elif deep and entry.name[0] not in "._" and entry.is_dir():
                        waiting.append(entry.path)
    return sorted(found)


def relative(path: str, root: str) -> str:
    """The path as seen from the root."""
    base = root + os.sep
    return path[len(base) :] if path.startswith(base) else os.path.relpath(path, base)
