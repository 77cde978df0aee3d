"""Values that are not tables: JSON, files, pickles, values in memory, and nothing at all."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from assetflow.errors import AssetflowError, CannotStore, ContractBroken, DamagedVersion, NotExact
from assetflow.files import Files, size_of
from assetflow.io import arrow
from assetflow.io.base import SMALL_BYTES, Target, Want, Written
from assetflow.io.forms import form_words
from assetflow.io.hashing import algorithm_of, bytes_hash, file_hash, json_hash, tree_hash
from assetflow.io.parquet import Categories, damage
from assetflow.io.sidecar import SIDECAR
from assetflow.model.records import Version

_JSON, _PICKLE, _BYTES = "value.json", "value.pickle", "value.bin"


class JsonIO:
    """Stores JSON values: None, bool, int, float, str, lists of them and dicts with text keys."""

    name = "json"

    def __init__(self, files: Files | None = None) -> None:
        self._files = files or Files()

    def write(self, value: object, target: Target) -> Written:
        """Write the value as `value.json`.

        Raises:
            CannotStore, NotExact: it is not a JSON value, or would not come back as it is.
        """
        plain = json_value(value, target.key)
        data = json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        is_durable = not target.is_synced_later or len(data) > SMALL_BYTES
        found = self._files.write_bytes(target.directory / _JSON, data, is_durable=is_durable)
        return Written(json_hash(plain, self._files.hash), None, files={_JSON: found}, sizes={_JSON: len(data)})

    def read(self, version: Version, directory: Path, want: Want) -> object:
        """The value; a list of dicts also arrives as any kind of table."""
        with damage(version):
            value: object = json.loads((directory / _JSON).read_bytes().decode("utf-8", "surrogatepass"))
            if json_hash(value, algorithm_of(version.data_hash)) != version.data_hash:
                raise ValueError(f"{_JSON} is not what was written")
        return arrow.value_as(value, want, version.asset)

    def delete(self, version: Version, directory: Path) -> None:
        """Nothing: all that is stored lies inside the directory."""

    def verify(self, version: Version, directory: Path, *, deep: bool) -> list[str]:
        """Whether the file is there and holds what was written."""
        return _problems(self, version, directory)


class FileIO:
    """Stores bytes, or a copy of a file or a directory."""

    name = "file"

    def __init__(self, files: Files | None = None) -> None:
        self._files = files or Files()

    def write(self, value: object, target: Target) -> Written:
        """Write bytes as `value.bin`, or copy the file or directory that a Path names, under its own name.

        Raises:
            CannotStore: the value is neither, or nothing is there.
        """
        if isinstance(value, bytes | bytearray | memoryview):
            data = bytes(cast("Any", value))
            found = self._files.write_bytes(target.directory / _BYTES, data)
            return Written(found, None, details={"kind": "bytes", "name": _BYTES}, files={_BYTES: found})
        if not isinstance(value, Path):
            raise CannotStore(
                f'`{target.key}` returned {type(value).__name__}, and io="file" stores bytes or a Path',
                fix="return bytes or a Path, or leave out io=",
            )
        if not value.exists():
            raise CannotStore(
                f"`{target.key}` returned a Path to nothing", facts=(f"path:     {value}",),
                fix="write the file before returning its Path",
            )  # fmt: skip
        kind, name = "directory" if value.is_dir() else "file", value.resolve().name or "data"
        name = "data" if name == SIDECAR else name
        _check_payload(value, target)
        copy = target.directory / name
        # Hashed were the bytes of the copy: what is recorded is what is stored, even if somebody writes to the source.
        known = self._files.copy_tree(value, copy)
        found = tree_hash(copy, self._files.hash, known) if kind == "directory" else known[copy]
        hashes = {path.relative_to(target.directory).as_posix(): one for path, one in known.items()}
        # Whoever reads it sees the name too, so it is a part of what the value is.
        named = bytes_hash(json.dumps([kind, name, found]).encode(), self._files.hash).replace("bytes", "named", 1)
        return Written(named, None, details={"kind": kind, "name": name, "content": found}, files=hashes)

    def read(self, version: Version, directory: Path, want: Want) -> object:
        """Bytes or a Path into the store (not to be written to), as it was returned or as `want` says."""
        kind, path = version.details.get("kind"), directory / str(version.details.get("name"))
        with damage(version):
            recorded = str(version.details.get("content", version.data_hash))
            algorithm = algorithm_of(recorded)
            found = tree_hash(path, algorithm) if kind == "directory" else file_hash(path, algorithm)
            if found != recorded:
                raise ValueError(f"{path.name} is not what was written")
            form = want.form if want.form != "python" else "bytes" if kind == "bytes" else "path"
            if form == "bytes" and kind != "directory":
                return path.read_bytes()
        if form == "path":
            return path
        raise ContractBroken(
            f"`{version.asset}` is stored as a {kind} and cannot arrive as {form_words(form)}",
            fix="annotate the parameter as Path, and read it in the function",
        )

    def delete(self, version: Version, directory: Path) -> None:
        """Nothing: all that is stored lies inside the directory."""

    def verify(self, version: Version, directory: Path, *, deep: bool) -> list[str]:
        """Whether everything is there and holds what was written."""
        return _problems(self, version, directory)


def _check_payload(path: Path, target: Target) -> None:
    """Refuse what cannot be copied, before anything is: pipes, links to nothing, folders that contain themselves.

    Raises:
        CannotStore: an entry of the file or directory is in the way.
    """
    waiting = [(path, frozenset([os.path.realpath(path)]))]
    if target.directory.resolve().is_relative_to(path.resolve()):
        raise CannotStore(f"`{target.key}` returned a folder that contains the store", fix="return a folder of its own")
    while waiting:
        place, above = waiting.pop()
        if place.is_dir():
            for entry in place.iterdir():
                real = os.path.realpath(entry)
                if entry.is_dir() and real in above:
                    raise _odd_entry(target.key, entry, "a link to a folder above it")
                waiting.append((entry, above | {real} if entry.is_dir() else above))
        elif not place.exists():
            raise _odd_entry(target.key, place, "a link to nothing")
        elif not place.is_file():
            raise _odd_entry(target.key, place, "neither a file nor a folder")


def _odd_entry(key: str, entry: Path, what: str) -> CannotStore:
    return CannotStore(
        f"`{key}` returned what cannot be copied: `{entry.name}` is {what}", facts=(f"path:     {entry}",),
        fix="leave it out of what the function returns",
    )  # fmt: skip


class PickleIO:
    """Stores any value that pickle takes. Reading runs code, so a project must allow it."""

    name = "pickle"

    def __init__(self, files: Files | None = None, *, allowed: bool = False) -> None:
        self._files, self._allowed = files or Files(), allowed

    def write(self, value: object, target: Target) -> Written:
        """Write the value as `value.pickle`. Its hash is that of the bytes, so equal values may differ in hash.

        Raises:
            CannotStore: pickle is not allowed here, or does not take the value.
        """
        import pickle

        self._check_allowed(target.key)
        try:
            data = pickle.dumps(value, protocol=5)
        except Exception as error:
            raise CannotStore(
                f"`{target.key}` returned {type(value).__name__}, which cannot be pickled",
                facts=(f"reason:   {error}",),
                fix="return a table, a JSON value, bytes or a Path",
            ) from error
        found = self._files.write_bytes(target.directory / _PICKLE, data)
        return Written(found, None, files={_PICKLE: found})

    def read(self, version: Version, directory: Path, want: Want) -> object:
        """The value. The bytes are checked before they are unpickled."""
        import pickle

        self._check_allowed(version.asset)
        with damage(version):
            data = (directory / _PICKLE).read_bytes()
            if bytes_hash(data, algorithm_of(version.data_hash)) != version.data_hash:
                raise ValueError(f"{_PICKLE} is not what was written")
        return pickle.loads(data)  # noqa: S301 - the project allowed it, and the bytes are those that were written

    def delete(self, version: Version, directory: Path) -> None:
        """Nothing: all that is stored lies inside the directory."""

    def verify(self, version: Version, directory: Path, *, deep: bool) -> list[str]:
        """Whether the file is there and holds what was written; nothing is unpickled."""
        try:
            with damage(version):
                algorithm = algorithm_of(version.data_hash)
                same = file_hash(directory / _PICKLE, algorithm) == version.data_hash
        except AssetflowError as error:
            return [_reason(error)]
        return [] if same else [f"{_PICKLE} is not what was written"]

    def _check_allowed(self, key: str) -> None:
        if not self._allowed:
            raise CannotStore(
                f"`{key}` uses pickle, which is off in this project",
                facts=("reading a pickle runs whatever code it contains",),
                fix="write `allow_pickle = true` in the project file, or return a table, JSON, bytes or a Path",
            )


class MemoryIO:
    """Keeps values in this process: tables as Arrow, so that every reader gets its own, other objects as they are."""

    name = "memory"
    in_process = True

    def __init__(self, hash: str = "xxh3") -> None:
        self._hash = hash
        self._held: dict[str, object] = {}

    def write(self, value: object, target: Target) -> Written:
        """Hold the value; tables pass the same checks as on disk."""
        from uuid import uuid4

        token = uuid4().hex
        if arrow.is_table(value):
            return self._hold_table(token, value, target)
        try:
            value = json_value(value, target.key)
            found = json_hash(value, self._hash)
        except (CannotStore, NotExact):
            found = bytes_hash(value, self._hash) if isinstance(value, bytes) else f"object:{token}"
        self._held[token] = value
        return Written(found, None, details={"token": token})

    def read(self, version: Version, directory: Path, want: Want) -> object:
        """The value, a copy where that is possible: two readers never share what they can change."""
        from copy import deepcopy

        with damage(version):
            held = self._held[str(version.details["token"])]
        if isinstance(held, _HeldTable):
            return held.read(want, version.asset)
        try:
            return arrow.value_as(deepcopy(held), want, version.asset)
        except (TypeError, ValueError, RecursionError):  # objects such as locks and connections cannot be copied
            return held

    def delete(self, version: Version, directory: Path) -> None:
        """Forget the value."""
        self._held.pop(str(version.details.get("token")), None)

    def verify(self, version: Version, directory: Path, *, deep: bool) -> list[str]:
        """Whether the value is still held."""
        return [] if version.details.get("token") in self._held else ["it is no longer in memory"]

    def _hold_table(self, token: str, value: object, target: Target) -> Written:
        from assetflow.io.hashing import table_hash

        stream = arrow.open_table(value, target.key)
        categories, batches = Categories(stream.schema, target.key), list[Any]()
        for batch in stream.batches:
            categories.note(batch)
            batches.append(batch)
        table = arrow.TableStream(stream.schema, iter(batches)).read_all()
        data_hash, columns = table_hash(table, self._hash)
        self._held[token] = _HeldTable(table)
        return Written(data_hash, table.num_rows, arrow.type_names(table.schema), columns, {"token": token})


class NothingIO:
    """Records that a function ran and stored its result itself: the value None."""

    name = "none"
    in_process = True

    def write(self, value: object, target: Target) -> Written:
        """Record None.

        Raises:
            CannotStore: the value is not None.
        """
        if value is not None:
            raise CannotStore(
                f'`{target.key}` returned {type(value).__name__}, and io="none" stores nothing',
                fix="return None, or leave out io=",
            )
        from uuid import uuid4

        # Each run counts as a change: what the function did elsewhere cannot be compared.
        return Written(f"none:{uuid4().hex}", None)

    def read(self, version: Version, directory: Path, want: Want) -> object:
        """None; no table can be made of it."""
        return arrow.value_as(None, want, version.asset)

    def delete(self, version: Version, directory: Path) -> None:
        """Nothing is stored."""

    def verify(self, version: Version, directory: Path, *, deep: bool) -> list[str]:
        """Nothing can be wrong."""
        return []


class _HeldTable:
    """A table in memory; Arrow data never changes, so it can be handed out many times."""

    def __init__(self, table: Any) -> None:
        self._table = table

    def read(self, want: Want, key: str) -> object:
        """The table in the form that is wanted."""
        from assetflow.io.hashing import batches_of

        stream = arrow.TableStream(self._table.schema, batches_of(self._table))
        return arrow.forms_of(arrow.select(stream, want.columns, key), want, key)


def json_value(value: object, key: str) -> object:
    """The value made of plain JSON types; numpy numbers become Python numbers.

    Raises:
        CannotStore: a part of it is not a JSON value.
        NotExact: a part of it is a tuple or has keys that are not text, which JSON would change.
    """
    try:
        return _json_value(value, key, "")
    except RecursionError as error:
        raise CannotStore(f"`{key}` returned a value that contains itself, or is nested too deeply") from error


def _json_value(value: object, key: str, path: str) -> object:
    if value is None or type(value) in (bool, int, float, str):
        return value
    if type(value) is list:
        items = cast("list[object]", value)
        return [_json_value(item, key, f"{path}[{position}]") for position, item in enumerate(items)]
    if type(value) is dict:
        pairs = cast("Mapping[object, object]", value)
        for name in pairs:
            if type(name) is not str:
                raise NotExact(
                    f"`{key}` returned a dict{_at(path)} with the key {name!r}, and JSON keys are text",
                    fix="use text as keys, or return a list of pairs",
                )
        return {str(name): _json_value(item, key, f"{path}[{name!r}]") for name, item in pairs.items()}
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        number: object = cast("Any", value).item()
        if type(number) in (bool, int, float, str):
            return number
    if isinstance(value, tuple):
        raise NotExact(f"`{key}` returned a tuple{_at(path)}, which would come back as a list", fix="return a list")
    raise CannotStore(
        f"`{key}` returned {type(value).__name__}{_at(path)}, which cannot be stored",
        fix='return a table, JSON (dates as text: `.isoformat()`), bytes or a Path; anything else with io="pickle"',
    )


def _at(path: str) -> str:
    return f" at {path}" if path else ""


def _problems(manager: JsonIO | FileIO, version: Version, directory: Path) -> list[str]:
    try:
        manager.read(version, directory, Want("python"))
        size_of(directory)
    except DamagedVersion as error:
        return [_reason(error)]
    return []


def _reason(error: Exception) -> str:
    facts: tuple[str, ...] = getattr(error, "facts", ())
    return facts[0].removeprefix("found:").strip() if facts else str(error)
