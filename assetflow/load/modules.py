"""Importing the user's modules: afresh, from their text, with what they print and read kept in view.

Compiled files (`.pyc`) are not used for the project's own modules: they are matched to the source by second and size,
so an edit within a second could run the old code under the fingerprint of the new. Their compiled code is kept in the
cache folder instead and matched by all of the text that was read (`load/compiled.py`).
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import ModuleType, TracebackType

from msgspec import Struct, field

from assetflow.errors import DefinitionError, ImportFailed, Location, near_names
from assetflow.fingerprint.files import ProjectFiles
from assetflow.load.compiled import CompiledModules
from assetflow.load.reads import Reads, watch_reads

_NOT_IMPORTED = frozenset(["__main__", "conftest", "tests", "test", "setup"])


class ReadSource(Struct, frozen=True):
    """The text of a module as it was executed, and the file's size, change time and inode just before it was read."""

    content: bytes
    stat: tuple[int, int, int]


class Imported(Struct):
    """What importing gave: modules by name, the text of every project file that ran, and what else was read."""

    files: ProjectFiles
    modules: dict[str, ModuleType] = field(default_factory=dict[str, ModuleType])
    sources: dict[str, ReadSource] = field(default_factory=dict[str, ReadSource])
    problems: list[DefinitionError] = field(default_factory=list[DefinitionError])
    reads: Reads = field(default_factory=Reads)


class ProjectPath(str):
    """An entry of `sys.path` that a load put there, so that the next load can take it away."""

    __slots__ = ()


class FreshLoader(SourceFileLoader):
    """Loads a module from its text and keeps the text. A module loaded by it belongs to a loaded project."""

    def __init__(self, fullname: str, path: str, sources: dict[str, ReadSource], compiled: CompiledModules) -> None:
        super().__init__(fullname, path)
        self._sources = sources
        self._compiled = compiled

    def get_code(self, fullname: str) -> object:  # type: ignore[override]
        """The code compiled from the text, now or by an earlier load, never from a `.pyc`."""
        path = self.get_filename(fullname)
        found = Path(path).stat()
        content = self.get_data(path)
        self._sources[path] = ReadSource(content, (found.st_size, found.st_mtime_ns, found.st_ino))
        return self._compiled.code(path, content, lambda: self.source_to_code(content, path))


class _Finder:
    """Finds the project's modules as Python would, and loads them with `FreshLoader`."""

    def __init__(self, imported: Imported, compiled: CompiledModules) -> None:
        self._imported = imported
        self._compiled = compiled
        self._known: dict[str, bool] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module's spec when it is the project's, else None: then Python's own finders are asked.

        In folders that are not the project's nothing is looked for: all modules of other packages come by here.
        """
        ours = [place for place in (sys.path if path is None else path) if self._may_hold_ours(place)]
        if not ours or (path is None and PathFinder.find_spec(fullname, ours) is None):
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or not isinstance(spec.loader, SourceFileLoader) or spec.origin is None:
            return None
        if not self._imported.files.is_project(spec.origin):
            return None
        spec.loader = FreshLoader(fullname, spec.origin, self._imported.sources, self._compiled)
        return spec

    def _may_hold_ours(self, place: object) -> bool:
        """Whether a folder of a search path is in the project, or the project is in it."""
        if not isinstance(place, str):
            return False
        full = place if place in self._known else os.path.abspath(place)  # noqa: PTH100 - "" is the folder of now
        if full not in self._known:
            files, inside = self._imported.files, full.rstrip(os.sep) + os.sep
            is_around = any(one.startswith(inside) for one in files.roots)
            self._known[full] = is_around or files.is_project(f"{inside}__init__.py")
        return self._known[full]


def import_project(root: Path, names: Sequence[str], cache: Path) -> Imported:
    """Import the modules and packages (with all their submodules) of the project at `root`.

    Their compiled code is kept in a folder in `cache`.

    The search path keeps the project's folders first, because asset functions may import when they run. What a module
    prints goes to stderr. A module that fails is a problem in the answer and does not stop the others.
    """
    folders = [str(folder) for folder in (root, root / "src") if folder.is_dir()]
    sys.path[:] = [*map(ProjectPath, folders), *(one for one in sys.path if not isinstance(one, ProjectPath))]
    importlib.invalidate_caches()
    tops = [name.partition(".")[0] for name in names]
    imported = Imported(ProjectFiles([*reversed(folders), *_homes_outside(tops, folders)]))
    _forget(imported.files, tops)
    compiled = CompiledModules(cache / "compiled")
    finder = _Finder(imported, compiled)
    sys.meta_path.insert(0, finder)
    try:
        with redirect_stdout(sys.stderr), watch_reads(root, imported.reads), _loaded_modules_kept(imported):
            for name in names:
                _import_tree(name, imported, root)
    finally:
        sys.meta_path.remove(finder)
    compiled.keep(is_whole=not imported.problems)
    unique = {(str(one.where), one.what): one for one in imported.problems}
    imported.problems[:] = unique.values()
    return imported


@contextmanager
def _loaded_modules_kept(imported: Imported) -> Generator[None]:
    """Put the project modules that got loaded, also as helpers of others, into `imported.modules`."""
    yield
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) in imported.sources:
            imported.modules.setdefault(name, module)


def _homes_outside(tops: Iterable[str], folders: Sequence[str]) -> list[str]:
    """The folders of packages that the settings name but that lie elsewhere, such as an editable install."""
    found: list[str] = []
    for top in dict.fromkeys(tops):
        spec = PathFinder.find_spec(top)
        for place in (spec.submodule_search_locations or ()) if spec is not None else ():
            if not any(place.startswith(folder) for folder in folders):
                found.append(place)
    return found


def _forget(files: ProjectFiles, tops: Iterable[str]) -> None:
    """Drop what earlier loads imported: this project's files, and modules of another project with the same names.

    The script that is running and test modules stay: they are not the project's, and their own objects and the
    start-up of extension modules need them in `sys.modules`.
    """
    ours = {
        name for name, module in list(sys.modules.items())
        if isinstance(getattr(getattr(module, "__spec__", None), "loader", None), FreshLoader)
        or (files.is_project(getattr(module, "__file__", None)) and not _is_running(name))
    }  # fmt: skip
    packages = {name.partition(".")[0] for name in ours} | {top for top in tops if _is_namespace(top)}
    for name in list(sys.modules):
        if name in ours or (name.partition(".")[0] in packages and _is_namespace(name)):
            del sys.modules[name]


def _is_running(name: str) -> bool:
    first = name.partition(".")[0]
    return first in ("__main__", "__mp_main__", "conftest", "tests", "test") or first.startswith("test_")


def _is_namespace(name: str) -> bool:
    """Whether the loaded module is a folder without `__init__.py`, which has no loader of ours to know it by."""
    module = sys.modules.get(name)
    return module is not None and getattr(module, "__file__", None) is None and hasattr(module, "__path__")


def _import_tree(name: str, imported: Imported, root: Path) -> None:
    module = _import_one(name, imported, root)
    waiting = [module] if module is not None else []
    while waiting:
        package = waiting.pop(0)
        for submodule in _submodules(package):
            found = _import_one(submodule, imported, root)
            if found is not None:
                waiting.append(found)


def _submodules(package: ModuleType) -> list[str]:
    """The dotted names of what lies in a package's folders, without tests and scripts."""
    found: set[str] = set()
    for folder in getattr(package, "__path__", ()):
        with os.scandir(folder) as entries:
            for entry in entries:
                name = entry.name.removesuffix(".py")
                if not name.isidentifier() or name in _NOT_IMPORTED or name.startswith(("test_", "__")):
                    continue
                if entry.name.endswith(".py") or (entry.is_dir() and _has_python(entry.path)):
                    found.add(f"{package.__name__}.{name}")
    return sorted(found)


def _has_python(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.name.endswith(".py") or entry.is_dir() for entry in entries)


def _import_one(name: str, imported: Imported, root: Path) -> ModuleType | None:
    try:
        module = importlib.import_module(name)
    except KeyboardInterrupt:
        raise
    except SyntaxError as error:
        imported.problems.append(_syntax_problem(error, imported.files, name))
    except BaseException as error:  # noqa: BLE001 - a user's module runs here: it may raise anything, SystemExit too
        imported.problems.append(_import_problem(error, name, imported, root))
    else:
        imported.modules[name] = module
        return module
    return None


def _syntax_problem(error: SyntaxError, files: ProjectFiles, name: str) -> ImportFailed:
    file = files.relative(error.filename or name)
    width = max(1, (error.end_offset or 0) - (error.offset or 0)) if error.end_lineno == error.lineno else 1
    where = Location(file, error.lineno or 1, error.offset or 1, width)
    return ImportFailed(f"`{file}` is not Python: {error.msg}", where=where)


def _import_problem(error: BaseException, name: str, imported: Imported, root: Path) -> ImportFailed:
    where = _place(error.__traceback__, imported.files)
    missing = error.name if isinstance(error, ModuleNotFoundError) and where is None else None
    if missing is not None and f"{name}.".startswith(f"{missing}."):
        return _not_found(name, root)
    what = f"module `{name}` could not be imported: {type(error).__name__}: {error}".rstrip(": ")
    fix = None
    if isinstance(error, SystemExit):
        what = f"module `{name}` ended the program while it was imported (sys.exit)"
        fix = 'put what should run as a script under `if __name__ == "__main__":`'
    elif isinstance(error, ModuleNotFoundError) and error.name:
        fix = f"install the package that has `{error.name}` into this environment, or correct the import"
    return ImportFailed(what, fix=fix, where=where)


def _not_found(name: str, root: Path) -> ImportFailed:
    folders = [folder for folder in (root, root / "src") if folder.is_dir()]
    here = {path.name.removesuffix(".py") for folder in folders for path in folder.iterdir()}
    near = near_names(name.partition(".")[0], (one for one in here if one.isidentifier()))
    fix = f"did you mean `{near[0]}`?" if near else "correct `modules` in the project file"
    return ImportFailed(f"module `{name}` was not found", facts=(f"looked in {root}",), fix=fix)


def _place(traceback: TracebackType | None, files: ProjectFiles) -> Location | None:
    """The deepest line of the project in a traceback."""
    found: Location | None = None
    while traceback is not None:
        file = traceback.tb_frame.f_code.co_filename
        if files.is_project(file):
            found = Location(files.relative(file), traceback.tb_lineno)
        traceback = traceback.tb_next
    return found
