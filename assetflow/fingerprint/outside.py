"""What lies outside the project: which package a name belongs to, and what of it needs no closer look."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from itertools import takewhile
from types import ModuleType

WITHOUT_MEANING = frozenset(["_thread.lock", "_thread.RLock", "builtins.object", "threading.Condition", "os._Environ"])
"""Types whose objects carry nothing that a result could depend on.

The environment has another content in each process, so it counts by the names that `env=` declares."""

_HEAP_TYPE = 1 << 9  # set for all classes but those that are compiled into Python or a library
_READS_NO_DOCS = frozenset([
    "numba", "tenacity", "backoff", "cachetools", "joblib", "pandas", "numpy", "wrapt", "decorator", "attr", "attrs",
    "pytest", "toolz", "retry", "deprecated", "typing_extensions", "diskcache", "line_profiler", "memory_profiler",
])  # fmt: skip
"""Packages whose decorators do not make anything of docstrings."""


def is_standard(name: str) -> bool:
    """Whether a dotted name belongs to Python itself."""
    return name.partition(".")[0] in sys.stdlib_module_names


def reads_docs(module: str) -> bool:
    """Whether decorators of this module may make something of docstrings."""
    return not is_standard(module) and module.partition(".")[0] not in _READS_NO_DOCS


def name_of(kind: type) -> str:
    """The full name of a class."""
    return f"{kind.__module__}.{kind.__qualname__}"


def is_made_on_the_spot(cls: type) -> bool:
    """Whether a class was made by a call such as `make_dataclass`, so that the module it names does not have it."""
    if not cls.__flags__ & _HEAP_TYPE or "<locals>" in cls.__qualname__:
        return False
    found: object = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = getattr(found, name, None)
    return found is None


def distributions(references: Iterable[str]) -> dict[str, str]:
    """The installed distributions, with their versions, that names such as `function numpy.where` come from."""
    found: dict[str, str] = {}
    for top in sorted({reference.partition(" ")[2].partition(".")[0] for reference in references}):
        found.update(_distributions_of(top))
    return found


@cache
def _distributions_of(top: str) -> tuple[tuple[str, str], ...]:
    if not top or top in sys.stdlib_module_names or top not in sys.modules or not _is_installed(sys.modules[top]):
        return ()
    if (found := _stated_version(top)) is not None:  # most packages are called like their module
        return ((top, found),)
    from importlib.metadata import PackageNotFoundError, version

    try:
        return ((top, version(top)),)
    except PackageNotFoundError:
        return tuple((name, version(name)) for name in sorted(set(_by_package().get(top, ()))))


def _stated_version(name: str) -> str | None:
    """The version that an installed distribution states, or None where `importlib.metadata` has to look for it.

    That would import the packages for e-mail, and parse all of a description for one line of its head.
    """
    folders = _metadata_folders().get(_normalized(name), [])
    if len(folders) != 1:
        return None
    try:
        with open(f"{folders[0]}{os.sep}METADATA", encoding="utf-8") as lines:
            head = takewhile(str.strip, lines)
            return next((line[8:].strip() for line in head if line.startswith("Version:")), None)
    except (OSError, ValueError):
        return None


@cache
def _metadata_folders() -> Mapping[str, list[str]]:
    """The folders with the metadata of distributions, by normalized name, of the first place that has the name."""
    found: dict[str, list[str]] = {}
    for place in dict.fromkeys(sys.path):
        here: dict[str, list[str]] = {}
        try:
            entries = os.listdir(place or ".")  # noqa: PTH208 - a Path for each entry costs more than the listing
        except OSError:
            continue  # no folder, or one that cannot be read
        for entry in entries:
            if entry.endswith((".dist-info", ".egg-info")):
                name = _normalized(entry.rpartition(".")[0].partition("-")[0])
                here.setdefault(name, []).append(f"{place}{os.sep}{entry}")
        found = {**here, **found}
    return found


def _normalized(name: str) -> str:
    """A name of a distribution as all of its spellings share it (the packaging guide's name normalization)."""
    return re.sub(r"[-_.]+", "_", name).lower()


def _is_installed(module: object) -> bool:
    if not isinstance(module, ModuleType):
        return False
    places = [getattr(module, "__file__", None) or "", *(str(one) for one in getattr(module, "__path__", ()))]
    return any("-packages" in place for place in places)


@cache
def _by_package() -> Mapping[str, list[str]]:
    from importlib.metadata import packages_distributions

    return packages_distributions()
