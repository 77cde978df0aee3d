"""Which files a project is made of, and which of them were saved since one last looked. Imports no user code.

Looked at by `stat` alone: a few hundred files take a few milliseconds, on every file system, with no library and no
limit on how many may be watched.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path

from assetflow.errors import AssetflowError
from assetflow.load.manifest import read_manifest
from assetflow.load.settings import FILE, LOCAL_FILE, Settings, read_settings

Stamp = tuple[int, int, int]
"""Time of change in ns, size and inode of a file."""

_SKIPPED = frozenset(["__pycache__", "node_modules", "site-packages", "venv"])
_DEEPEST = 12


class Saves:
    """The files of the project at `root`: its settings, its modules, and the files of its sources."""

    def __init__(self, root: Path, overrides: Mapping[str, str]) -> None:
        self._root, self._overrides = root, overrides
        self._declared: tuple[str, ...] = ()
        self._seen: dict[str, Stamp] = {}

    def begin(self) -> int:
        """Take the files as they are for known; how many there are. What is saved from now on will be noticed."""
        self._declared = self._declared_files()
        self._seen = self._look()
        return len(self._seen)

    def changed(self) -> list[str]:
        """The files that were saved, made or deleted since this was last asked, relative to the root."""
        now = self._look()
        names = sorted(path for path in self._seen.keys() | now.keys() if self._seen.get(path) != now.get(path))
        self._seen = now
        return [self._relative(path) for path in names]

    def learn(self) -> None:
        """Look up again which sources there are, without missing a save of what was known."""
        self._declared = self._declared_files()
        for path, stamp in self._look().items():
            self._seen.setdefault(path, stamp)

    def _look(self) -> dict[str, Stamp]:
        paths = {*self._settings_files(), *self._modules(), *self._matching()}
        return {path: stamp for path in paths if (stamp := _stamp(path)) is not None}

    def _settings_files(self) -> Iterator[str]:
        return (str(self._root / name) for name in (FILE, LOCAL_FILE, "pyproject.toml"))

    def _modules(self) -> Iterator[str]:
        """Python files beside the project file and in `src`, and in every folder there that has some."""
        for folder in (self._root, self._root / "src"):
            yield from _python_files(str(folder), 0)

    def _matching(self) -> Iterator[str]:
        for pattern in self._declared:
            # Path.glob takes no absolute pattern, and those of sources are.
            yield from glob.glob(pattern, recursive=True) if glob.has_magic(pattern) else [pattern]  # noqa: PTH207

    def _declared_files(self) -> tuple[str, ...]:
        """The paths and globs of sources and `files=`, and what functions were seen to open.

        Those that were known, while the project does not load.
        """
        try:
            settings = read_settings(self._root, self._overrides)
        except AssetflowError:
            return self._declared
        manifest = read_manifest(settings)
        if manifest is None:
            return self._declared
        paths = [spec.source.path for spec in manifest.specs if spec.source is not None and spec.source.path]
        paths += [str(self._root / name) for spec in manifest.specs for name in spec.files]
        paths += [glob.escape(str(self._root / name)) for name in _opened(settings)]
        return tuple(dict.fromkeys([*paths, *(str(self._root / name) for name in manifest.files)]))

    def _relative(self, path: str) -> str:
        base = f"{self._root}{os.sep}"
        return path[len(base) :].replace(os.sep, "/") if path.startswith(base) else path


def _opened(settings: Settings) -> set[str]:
    """The files that the functions of what is current were seen to open, as far as the catalog can be read."""
    from assetflow.catalog.catalog import Catalog

    if not (settings.discover and settings.catalog_path.exists()):
        return set()
    try:
        with closing(Catalog(settings.catalog_path)) as catalog:
            seen = [head.trace.discovered for head in catalog.heads(settings.env).values()]
    except AssetflowError:
        return set()  # whoever plans says what is wrong with it
    return {name for one in seen for name in (*one.files, *one.code)}


def _python_files(folder: str, depth: int) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            found = list(entries)
    except OSError:
        return
    modules = [entry.path for entry in found if entry.name.endswith(".py")]
    yield from modules
    if (depth and not modules) or depth > _DEEPEST:
        return  # a folder of data may be large; packages have at least one module
    for entry in found:
        if entry.name[0] != "." and entry.name not in _SKIPPED and entry.is_dir() and not _is_environment(entry.path):
            yield from _python_files(entry.path, depth + 1)


def _is_environment(folder: str) -> bool:
    return _stamp(f"{folder}{os.sep}pyvenv.cfg") is not None


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - called for every file several times a second
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)


def words(names: Iterable[str], most: int = 3) -> str:
    """`a.py, b.py and 4 more`."""
    every = list(names)
    more = f" and {len(every) - most} more" if len(every) > most else ""
    return ", ".join(every[:most]) + more
