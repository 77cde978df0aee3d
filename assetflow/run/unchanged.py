"""The short way to an answer: what was said of a project holds as long as all that it rested on is as it was.

A plan is a function of the specs, of the catalog, of what sources and declared files and variables are, and of which
stored files are there. When it is empty, all these are written down (`run.noting`): the specs by the name of the load,
the catalog by a token that every transaction changes, the rest one by one. Beside that lie the answers that were given:
as long as nothing differs they are given again, and no spec and no trace has to be read. Nothing is concluded from a
time, but that an answer which depends on the clock ends at the moment that it names.

This module is what such an answer costs, so it imports next to nothing; a file that cannot be read, or is not what it
should be, means that there is no answer here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any, cast

from assetflow.catalog.token import files_around, token_now
from assetflow.fingerprint.hashing import digest
from assetflow.load.caches import read_cache, read_with_texts
from assetflow.load.finding import Found
from assetflow.load.untouched import head_of, own_code, packages_of
from assetflow.run.variables import variable_digest

FORMAT = 3
OFF = "ASSETFLOW_SHORT"
"""The environment variable that, set to 0, has everything looked at anew."""
_ROOMS = ("plan", "catalog", "run", "io", "partitions", "cli", ".")


class Answer:
    """What was said before: `data`, and long parts of it as lines of text."""

    __slots__ = ("data", "texts")

    def __init__(self, data: Mapping[str, Any], texts: Sequence[str]) -> None:
        self.data, self.texts = data, texts


def is_off() -> bool:
    """Whether nothing is to be answered, nor kept, in the short way."""
    return os.environ.get(OFF) == "0"


def answer_of(project: Found, question: str, now: float) -> Answer | None:
    """What was said to a question, if it still holds; None when that cannot be told so."""
    if is_off():
        return None
    folder = cache_folder(project.root)
    found, texts = read_with_texts(answer_path(folder, project.env, question))
    stored = read_cache(ground_path(folder, project.env))
    if not (isinstance(found, dict) and isinstance(stored, dict)):
        return None
    answer, ground = cast("dict[str, Any]", found), cast("dict[str, Any]", stored)
    try:
        if answer["question"] != question or answer["ground"] != ground["name"] or not _is_in_time(answer, now):
            return None
        if not _are_untouched(answer) or not _is_the_same_world(project, ground):
            return None
    except (KeyError, TypeError, ValueError, AttributeError, AssertionError, OSError):
        return None  # the long way says what is wrong
    return Answer(cast("dict[str, Any]", answer["data"]), texts)


def cache_folder(root: str) -> str:
    """Where notes lie."""
    return os.path.join(root, ".assetflow", "cache")  # noqa: PTH118


def ground_path(folder: str, env: str) -> str:
    """The note of what the answers for an environment rest on."""
    return f"{folder}{os.sep}unchanged-{env}.json"


def answers_folder(folder: str, env: str) -> str:
    """The folder of the answers for an environment."""
    return f"{folder}{os.sep}answers-{env}"


def answer_path(folder: str, env: str, question: str) -> str:
    """The file of an answer."""
    return f"{answers_folder(folder, env)}{os.sep}{digest('question', question.encode(errors='surrogatepass'))}.json"


def key_of(settings_key: str, modules: Sequence[str]) -> list[object]:
    """What must be equal before anything is looked at: settings, Python, assetflow, the machine."""
    from assetflow import __version__

    code = own_code(*_ROOMS)
    return [FORMAT, settings_key, [*modules], sys.version, sys.prefix, __version__, code, os.cpu_count()]


def stamp(path: str) -> list[int] | None:
    """A file from outside; None when it is not there."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ino]


def _is_in_time(answer: Mapping[str, Any], now: float) -> bool:
    since, until = answer["since"], answer["until"]
    return (since is None or since <= now) and (until is None or now < until)


def _are_untouched(answer: Mapping[str, Any]) -> bool:
    """What only this answer rests on: some files as they were left, and folders that hold nothing."""
    is_same = all(stamp(path) == then for path, then in answer["stamps"])
    empty = cast("list[str]", answer["empty"])
    return is_same and not any(os.path.isdir(path) and os.listdir(path) for path in empty)  # noqa: PTH112, PTH208


def _is_the_same_world(project: Found, ground: Mapping[str, Any]) -> bool:
    from assetflow import __version__

    root, catalog = project.root, ground["catalog"]
    modules = cast("list[str] | None", project.values.get("modules")) or _usual_modules(root)
    if modules is None or ground["key"] != key_of(project.key, modules):
        return False
    loaded: list[object] = [ground["settings"], sys.version, sys.prefix, __version__, own_code(), packages_of(sys.path)]
    head = head_of(f"{cache_folder(root)}{os.sep}manifest.json", root, loaded)
    if head is None or head["content"] != ground["manifest"]:
        return False
    stat, base = os.stat, f"{ground['storage']}{os.sep}"
    for place in ground["places"]:
        stat(base + place)  # raises when it is not there
    if files_around(catalog["path"]) != catalog["around"]:
        return False
    if token_now(catalog["path"], project.env, catalog["version"]) != catalog["token"]:
        return False
    return (
        all(_is_same_set(pattern, files) for pattern, files in ground["files"])
        and not any(os.path.lexists(path) for path in ground["absent"])
        and all(
            variable_digest(name, os.environ, catalog["path"]) == text for name, text in ground["variables"].items()
        )
    )


def _is_same_set(pattern: str, files: Sequence[Sequence[object]]) -> bool:
    """Whether a path or glob means these files, each as it is known."""
    from assetflow.io.matching import is_as_known, matching

    if not files and not os.path.lexists(pattern):
        return True if not any(mark in pattern for mark in "*?[") else not matching(pattern)
    return sorted(matching(pattern)) == sorted(str(known[0]) for known in files) and all(map(is_as_known, files))


def _usual_modules(root: str) -> list[str] | None:
    """The module of a project that names none, where that takes no reading of files."""
    for folder in (root, f"{root}{os.sep}src"):
        place = f"{folder}{os.sep}assets"
        if os.path.isfile(f"{place}.py") or os.path.isdir(place):  # noqa: PTH112, PTH113
            return ["assets"]
    return None
