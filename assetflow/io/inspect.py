"""Looking at stored versions without decoding them: what lies in the storage, and whether it is what was written.

Nothing here reads a table, unpickles or imports anything: files are compared with the sizes and hashes that their
sidecar records. What only a decoder can tell is for `Storage.verify`, in a process of its own.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from msgspec import Struct

from assetflow.errors import IllegalName
from assetflow.files import says_nothing_of, storage_error
from assetflow.io.hashing import algorithm_of, file_hash
from assetflow.io.sidecar import SIDECAR, read_sidecar
from assetflow.model.code import note_from_json
from assetflow.model.keys import AssetKey, parse_key, slot, split_slot
from assetflow.model.records import Discovered, NewTrace, NewVersion, TraceInput, Version

_FOLDER = re.compile(r"[0-9a-z]{1,64}-[0-9a-f]{12}\Z")
_LARGEST_SIDECAR = 256 << 20
_TABLE_MARKER = "table.txt"


class Contents(Struct, frozen=True):
    """What lies in a storage folder: places of versions relative to it, symbolic links, and staging folders."""

    folders: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    staging: tuple[Path, ...] = ()


class Told(Struct, frozen=True):
    """What a sidecar says: the version, the trace that gave it, and where it lies."""

    location: str
    version: NewVersion
    trace: NewTrace
    env: str
    run_id: int | None
    written_at: float


def contents(root: Path) -> Contents:
    """What lies in the storage folder; links are named and not followed."""
    folders: list[str] = []
    links: list[str] = []
    waiting = [root] if root.is_dir() else []
    while waiting:
        place = waiting.pop()
        for entry in _entries(place):
            path = Path(entry.path)
            if entry.is_symlink():
                links.append(path.relative_to(root).as_posix())
            elif entry.is_dir(follow_symlinks=False) and path != root / "tmp":
                if _FOLDER.match(entry.name) and len(path.relative_to(root).parts) in (3, 4):
                    folders.append(path.relative_to(root).as_posix())
                waiting.append(path)
    return Contents(tuple(sorted(folders)), tuple(sorted(links)), tuple(_staging(root)))


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    """What is in a folder, by name; nothing when it has just been removed by somebody else."""
    try:
        with os.scandir(folder) as found:
            return sorted(found, key=lambda one: one.name)
    except FileNotFoundError:
        return []


def problems_of(root: Path, version: Version, *, is_whole: bool) -> list[str]:
    """What is wrong with the files of a version, as sentences; `is_whole` also hashes every byte of them.

    A sidecar that is not there is not said: versions of earlier formats have none (`has_sidecar`).
    """
    place = safe_place(root, version.location)
    if place is None:
        return [f"the place `{version.location}` is outside of the storage"]
    if not place.is_dir():
        return [f"the folder {version.location} is missing"]
    if not has_sidecar(root, version.location):
        return []
    try:
        facts = _facts(place)
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        _must_be_about_the_file(error, place)
        return [_words(error)]
    recorded = {
        "asset": version.asset, "partition": version.partition, "io": version.io, "data_hash": version.data_hash,
        "rows": version.rows,
    }  # fmt: skip
    wrong = [f"{SIDECAR} says {name} {facts.get(name)!r}, and the catalog {value!r}"
             for name, value in recorded.items() if facts.get(name) != value]  # fmt: skip
    return wrong or _file_problems(place, facts.get("files"), is_whole=is_whole)


def has_sidecar(root: Path, location: str) -> bool:
    """Whether there is a sidecar in the version's folder."""
    return os.path.lexists(root / location / SIDECAR)


def way_back(root: Path) -> str:
    """What to do when the storage folder is not there: both things that may be meant."""
    here = Path.cwd()
    place = root.relative_to(here) if root.is_relative_to(here) else root
    make = "mkdir" if root.parent.exists() else "mkdir -p"
    return f"mount its disk, or `{make} {shlex.quote(str(place))}` to have everything made again"


def safe_place(root: Path, location: str) -> Path | None:
    """The folder of a version, or None when its place leads out of the storage or through a link."""
    parts = location.split("/")
    if not location or any(part in ("", ".", "..") or "\\" in part or "\0" in part for part in parts):
        return None
    place = root
    for part in parts:
        place = place / part
        if place.is_symlink():
            return None
    return place


def names_its_own_table(root: Path, version: Version) -> bool:
    """Whether a version in the DuckDB file names the table that was made for it, and not that of another version."""
    marker = root / version.location / _TABLE_MARKER
    identity = version.location.rpartition("-")[2]
    try:
        return not marker.is_symlink() and marker.read_text(errors="replace") == f"{version.asset}__{identity}"
    except OSError:
        return False


def told(root: Path, location: str) -> Told:
    """What the sidecar of a version says, proven against the files beside it.

    Raises:
        ValueError: it is missing, damaged, speaks of another place, or the files are not those that it speaks of.
    """
    place = safe_place(root, location)
    if place is None or not place.is_dir():
        raise ValueError("it is not a folder of the storage")
    try:
        facts = _facts(place)
        key = parse_key(facts["asset"])
        if not location.startswith(key.replace(".", "/") + "/"):
            raise ValueError(f"its sidecar is that of {key}")
        wrong = _file_problems(place, facts["files"], is_whole=True)
        if wrong:
            raise ValueError(wrong[0])
        return _told(location, key, facts)
    except (OSError, KeyError, TypeError, AttributeError, IllegalName, RecursionError) as error:
        _must_be_about_the_file(error, place)
        raise ValueError(_words(error)) from error


def _facts(place: Path) -> dict[str, Any]:
    sidecar = place / SIDECAR
    if sidecar.is_symlink() or sidecar.stat().st_size > _LARGEST_SIDECAR:
        raise ValueError(f"{SIDECAR} is not a file of ours")
    return read_sidecar(place)


def _told(location: str, key: AssetKey, facts: dict[str, Any]) -> Told:
    trace = cast("dict[str, Any]", facts["trace"])
    columns = cast("list[tuple[str, str, str]]", facts["columns"])
    version = NewVersion(
        str(facts["data_hash"]), str(facts["io"]), location, facts["rows"], facts["size_bytes"],
        {name: kind for name, kind, _ in columns}, {name: digest for name, _, digest in columns if digest},
        dict(facts["details"]),
    )  # fmt: skip
    inputs = tuple(
        TraceInput(one["parameter"], _upstream(one["upstream"]), one["mode"], one["digest"], one["number"])
        for one in trace["inputs"]
    )
    made = NewTrace(
        key, str(trace["input_key"]), str(trace["code"]), dict(trace["code_parts"]), dict(trace["config"]), inputs,
        str(trace["kind"]), float(trace["started_at"]), float(trace["finished_at"]), trace["as_of"],
        dict(trace["metadata"]), version, None, None, str(facts["partition"]),
        dict(trace.get("packages", {})), dict(trace.get("files", {})), dict(trace.get("env_vars", {})),
        tuple(note_from_json(note) for note in trace.get("notes", ())), str(trace.get("scheme", "")),
        trace.get("code_version"), discovered=Discovered.from_json(trace.get("discovered", {})),
    )  # fmt: skip
    return Told(location, version, made, str(facts["env"]), facts["run"], float(facts["written_at"]))


def _file_problems(place: Path, recorded: object, *, is_whole: bool) -> list[str]:
    if not isinstance(recorded, Mapping):
        return [f"{SIDECAR} does not say which files there are"]
    wanted = cast("Mapping[str, Mapping[str, Any]]", recorded)
    problems: list[str] = []
    there = {path.relative_to(place).as_posix(): path for path in _files(place)}
    problems += [f"{name} is missing" for name in wanted if name not in there]
    problems += [f"{name} does not belong there" for name in there if name not in wanted and name != SIDECAR]
    for name, facts in wanted.items():
        path = there.get(name)
        if path is None:
            continue
        if path.is_symlink():
            problems.append(f"{name} is a link")
        elif (found := path.stat().st_size) != facts.get("size"):
            problems.append(f"{name} has {found:,} bytes instead of {facts.get('size'):,}")
        elif is_whole and (problem := _hash_problem(path, name, str(facts.get("hash")))):
            problems.append(problem)
    return problems


def _hash_problem(path: Path, name: str, recorded: str) -> str:
    try:
        same = file_hash(path, algorithm_of(recorded)) == recorded
        return "" if same else f"the bytes of {name} are not what was written"
    except ValueError as error:
        return str(error)
    except OSError as error:
        _must_be_about_the_file(error, path)
        return f"{name} cannot be read: {error.strerror}"


def _must_be_about_the_file(error: Exception, path: Path) -> None:
    """Raise what is no damage: a process without file descriptors or rights must not call a sound version damaged."""
    if isinstance(error, OSError) and says_nothing_of(error):
        raise storage_error("reading", path, error) from error


def _files(place: Path) -> Iterator[Path]:
    waiting = [place]
    while waiting:
        for entry in _entries(waiting.pop()):
            if entry.is_dir(follow_symlinks=False):
                waiting.append(Path(entry.path))
            else:
                yield Path(entry.path)


def _staging(root: Path) -> Iterator[Path]:
    folder = root / "tmp"
    if folder.is_dir() and not folder.is_symlink():
        yield from sorted(folder.iterdir())


def _words(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return f"{SIDECAR} is missing"
    if isinstance(error, OSError):
        return f"{SIDECAR} cannot be read: {error.strerror}"
    if isinstance(error, KeyError):
        return f"{SIDECAR} does not say `{error.args[0]}`"
    return str(error) or f"{SIDECAR} cannot be read"


def _upstream(text: str) -> AssetKey:
    """The name of an asset, or of an asset partition."""
    key, partition = split_slot(AssetKey(text))
    return slot(parse_key(key), partition)
