"""What differs between two values that are not tables: JSON by its paths, files by their bytes.

Pickles are never loaded: reading one runs code, and a comparison must not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from assetflow.io.base import Want
from assetflow.io.diff_results import PathDiff, Side, ValueDiff
from assetflow.io.hashing import algorithm_of, file_hash, json_hash
from assetflow.io.storage import Storage
from assetflow.model.records import Version

_ABSENT = object()
_LONGEST_NAME = 60


def diff_values(storage: Storage, old: Version, new: Version, *, limit: int) -> ValueDiff:
    """How two versions differ that are not both tables.

    Raises:
        DamagedVersion: the stored bytes of one of them are not what was recorded.
    """
    sides = (side_of(old), side_of(new))
    kind = old.io if old.io == new.io else "mixed"
    same = old.data_hash == new.data_hash
    if same:
        return ValueDiff(*sides, kind, is_different=False, count=0)
    if kind == "json":
        found = json_differences(storage.read(old, Want()), storage.read(new, Want()))
    elif kind == "file":
        found = _file_differences(storage, old, new)
    else:
        words = {"pickle": "pickles are not loaded, because reading one runs code", "mixed": "they are of two kinds"}
        note = words.get(kind, "they can only be told apart")
        return ValueDiff(*sides, kind, is_different=True, notes=(note,))
    count, shown = 0, list[PathDiff]()
    for one in found:
        count += 1
        if len(shown) < limit:
            shown.append(one)
    # Equal values whose hashes differ were hashed with two algorithms, or are folders that differ in empty ones.
    is_different = count > 0 or algorithm_of(old.data_hash) == algorithm_of(new.data_hash)
    return ValueDiff(*sides, kind, is_different, count, tuple(shown))


def side_of(version: Version) -> Side:
    """The version as one side of a comparison."""
    return Side(version.slot, version.number, version.io, version.data_hash, version.rows, version.size_bytes)


def json_differences(old: object, new: object) -> Iterator[PathDiff]:
    """Where two JSON values differ, by path, in the order of the old one; `1`, `1.0` and `true` are three values.

    Example:
        >>> [one.path for one in json_differences({"a": [1, 2]}, {"a": [1, 3, 4]})]
        ['$.a[1]', '$.a[2]']
    """
    waiting: list[tuple[str, object, object]] = [("$", old, new)]
    while waiting:
        path, was, now = waiting.pop()
        if isinstance(was, dict) and isinstance(now, dict):
            before, after = cast("dict[str, object]", was), cast("dict[str, object]", now)
            names = [*before, *(name for name in after if name not in before)]
            inner = [(_member(path, name), before.get(name, _ABSENT), after.get(name, _ABSENT)) for name in names]
            waiting.extend(reversed(inner))
        elif isinstance(was, list) and isinstance(now, list):
            items, others = cast("list[object]", was), cast("list[object]", now)
            long = max(len(items), len(others))
            inner = [(f"{path}[{i}]", _item(items, i), _item(others, i)) for i in range(long)]
            waiting.extend(reversed(inner))
        elif was is _ABSENT:
            yield PathDiff(path, "added", None, now)
        elif now is _ABSENT:
            yield PathDiff(path, "removed", was, None)
        elif json_hash(was) != json_hash(now):
            yield PathDiff(path, "changed", was, now)


def _item(items: list[object], index: int) -> object:
    return items[index] if index < len(items) else _ABSENT


def _member(path: str, name: str) -> str:
    import json

    is_plain = name.isidentifier() and name.isascii() and len(name) <= _LONGEST_NAME
    return f"{path}.{name}" if is_plain else f"{path}[{json.dumps(name)}]"


def _file_differences(storage: Storage, old: Version, new: Version) -> Iterator[PathDiff]:
    before, after = _files(storage, old), _files(storage, new)
    names = [*before, *(name for name in after if name not in before)]
    if not _is_folder(old) and not _is_folder(new) and len(before) == len(after) == 1:
        was, now = next(iter(before.values())), next(iter(after.values()))
        names = [next(iter(after))]
        before, after = {names[0]: was}, {names[0]: now}
    for name in sorted(names):
        was, now = before.get(name), after.get(name)
        if was != now:
            change = "added" if was is None else "removed" if now is None else "changed"
            yield PathDiff(name, change, was, now)


def _files(storage: Storage, version: Version) -> Mapping[str, object]:
    """The size and hash of every file of the version, by its path; the bytes are checked before."""
    path = cast("Path", storage.read(version, cast("Any", Want("path"))))
    if not path.is_dir():
        return {path.name: _facts(path)}
    return {one.relative_to(path).as_posix(): _facts(one) for one in sorted(path.rglob("*")) if one.is_file()}


def _is_folder(version: Version) -> bool:
    return version.details.get("kind") == "directory"


def _facts(path: Path) -> Mapping[str, object]:
    return {"bytes": path.stat().st_size, "hash": file_hash(path)}
