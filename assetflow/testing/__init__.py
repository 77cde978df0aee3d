"""The kit for testing what extends assetflow: conformance suites that our own implementations run as well."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast
from uuid import uuid4

from assetflow.errors import AssetflowError, DamagedVersion
from assetflow.io.base import IOManager, Target, Want, Written
from assetflow.model.keys import AssetKey
from assetflow.model.records import Version
from assetflow.testing.executors import Site, check_executor

__all__ = ["Site", "check_executor", "check_io_manager", "stored_version"]

_KEY = AssetKey("conformance")


def check_io_manager(
    factory: Callable[[], IOManager],
    *,
    values: Sequence[object] | None = None,
    same: Callable[[object, object], bool] | None = None,
) -> None:
    """Run an IO manager through what assetflow relies on; return when all holds.

    `values` are values that the manager must hold, at least two, all different; by default small pandas frames, one of
    them empty. `same` says whether a value came back as it was; by default `==`, and for frames exact equality.
    Each rule runs with a new manager from `factory`.

    Example:
        >>> from assetflow.io.managers import JsonIO
        >>> check_io_manager(JsonIO, values=[{"a": 1}, [], "text"])

    Raises:
        AssertionError: the manager breaks a rule; the message is the rule.
    """
    chosen = list(_frames() if values is None else values)
    _require(len(chosen) >= 2, "give at least two values")
    equal = same or _equal
    for value in chosen:
        _check_round_trip(factory(), value, equal)
    _check_hashes(factory(), chosen)
    _check_immutable(factory(), chosen[0], chosen[1], equal)
    _check_refusal(factory())
    for value in chosen:
        _check_damage(factory, value)
    _check_delete(factory(), chosen[0])


def stored_version(written: Written, manager: IOManager, directory: Path, *, key: AssetKey = _KEY) -> Version:
    """The version that a catalog would hold for what a manager wrote into `directory`."""
    return Version(
        version_id=1, asset=key, partition="", number=1, data_hash=written.data_hash, io=manager.name,
        location=directory.name, rows=written.rows, size_bytes=None, schema=written.schema, columns=written.columns,
        details=_through_json(written.details), created_at=0.0,
    )  # fmt: skip


def _write(manager: IOManager, value: object, directory: Path) -> Version:
    directory.mkdir()
    version = stored_version(manager.write(value, Target(_KEY, "", directory)), manager, directory)
    publish = getattr(manager, "publish", None)
    if publish is not None:
        publish(version, directory, uuid4().hex)
    return version


def _check_round_trip(manager: IOManager, value: object, equal: Callable[[object, object], bool]) -> None:
    with TemporaryDirectory() as folder:
        directory = Path(folder) / "one"
        version = _write(manager, value, directory)
        for _ in range(2):
            _require(equal(value, manager.read(version, directory, Want())), f"reads back what was written: {value!r}")
        for deep in (False, True):
            problems = manager.verify(version, directory, deep=deep)
            _require(problems == [], f"verify(deep={deep}) finds nothing wrong with what was just written: {problems}")


def _check_hashes(manager: IOManager, values: Sequence[object]) -> None:
    with TemporaryDirectory() as folder:
        hashes = [_write(manager, value, Path(folder) / f"v{n}").data_hash for n, value in enumerate(values)]
        _require(len(set(hashes)) == len(values), f"different values have different data hashes: {hashes}")


def _check_immutable(
    manager: IOManager, first: object, second: object, equal: Callable[[object, object], bool]
) -> None:
    with TemporaryDirectory() as folder:
        one, two = Path(folder) / "one", Path(folder) / "two"
        old = _write(manager, first, one)
        new = _write(manager, second, two)
        _require(equal(first, manager.read(old, one, Want())), "an old version is untouched by a new one")
        manager.delete(new, two)
        _require(equal(first, manager.read(old, one, Want())), "an old version is untouched when a new one is deleted")


def _check_refusal(manager: IOManager) -> None:
    """What cannot be stored is refused with one of our errors; a manager that takes anything passes."""
    with TemporaryDirectory() as folder:
        try:
            manager.write(_Unstorable(), Target(_KEY, "", Path(folder)))
        except AssetflowError:
            return
        except Exception as error:
            raise AssertionError(f"a value that cannot be stored raises an AssetflowError, not {error!r}") from error


def _check_damage(factory: Callable[[], IOManager], value: object) -> None:
    """Flip a byte in each file, and take each file away: a read must say so, and `verify(deep=True)` must find it."""
    with TemporaryDirectory() as folder:
        manager, directory = factory(), Path(folder) / "one"
        version = _write(manager, value, directory)
        for file in sorted(entry for entry in directory.rglob("*") if entry.is_file()):
            original = file.read_bytes()
            for position in sorted({0, len(original) // 2, len(original) - 1} if original else ()):
                file.chmod(0o600)  # stored files are read-only
                file.write_bytes(original[:position] + bytes([original[position] ^ 1]) + original[position + 1 :])
                _require_damage(manager, version, directory, f"byte {position} of {file.name} is flipped")
            file.unlink()
            _require_damage(manager, version, directory, f"{file.name} is missing")
            file.write_bytes(original)


def _require_damage(manager: IOManager, version: Version, directory: Path, what: str) -> None:
    _require(bool(manager.verify(version, directory, deep=True)), f"verify(deep=True) finds that {what}")
    try:
        manager.read(version, directory, Want())
    except DamagedVersion:
        return
    except Exception as error:
        raise AssertionError(f"reading raises DamagedVersion when {what}, not {error!r}") from error
    raise AssertionError(f"reading raises DamagedVersion when {what}")


def _check_delete(manager: IOManager, value: object) -> None:
    with TemporaryDirectory() as folder:
        directory = Path(folder) / "one"
        version = _write(manager, value, directory)
        manager.delete(version, directory)
        manager.delete(version, directory)  # a crash between deleting and recording it makes us ask again


class _Unstorable:
    def __reduce__(self) -> tuple[object, ...]:
        raise TypeError("this object cannot be stored")


def _frames() -> list[object]:
    import pandas as pd

    whens = pd.Series(["2024-01-01", None, "2025-06-01"], dtype="datetime64[us]")
    frame = pd.DataFrame({"id": [1, 2, 3], "name": ["a", None, "é"], "when": whens})
    other = pd.DataFrame({"id": [1, 2, 3], "name": ["a", None, "e"], "when": whens})
    return [frame, other, frame.iloc[:0]]


def _equal(one: object, other: object) -> bool:
    if hasattr(one, "equals") and hasattr(one, "dtypes"):
        left, right = cast("Any", one), cast("Any", other)
        same_columns = [*left.columns] == [*right.columns] and list(left.dtypes) == list(right.dtypes)
        return bool(same_columns and left.equals(right))
    return type(one) is type(other) and one == other


def _through_json(details: object) -> dict[str, object]:
    """The details as the catalog gives them back, so that what JSON would lose is lost here too."""
    import json

    found: dict[str, object] = json.loads(json.dumps(details))
    return found


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(f"rule broken: {rule}")
