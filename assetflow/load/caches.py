"""Files in the cache folder: sealed, replaced atomically, and never needed."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from assetflow.load.sealed import sealed, unsealed

if TYPE_CHECKING:
    from pathlib import Path  # what reads a cache is on the shortest ways, and a Path costs more than all of it


def write_cache(path: Path | str, stored: object, texts: Sequence[str] = ()) -> int:
    """Keep a JSON-able value in a cache file, by atomic replacement; its size, or -1 when it cannot be kept.

    `texts` are lines that follow as they are, for who will want them so.
    """
    try:
        lines = [json.dumps(stored, separators=(",", ":")), *texts]
        data = "\n".join(lines).encode()
    except (TypeError, ValueError):
        return -1
    return write_sealed(path, data)


def write_plain(path: Path | str, stored: object) -> int:
    """Keep texts, whole numbers, truths, lists and dicts of texts in a cache file, as `write_cache` does and faster.

    What may hold any other value goes through `exact` first.
    """
    from msgspec.json import encode

    try:
        data = encode(stored)
    except (TypeError, ValueError, OverflowError, RecursionError):
        # Half of a surrogate pair, or a text of a class of its own: the standard library writes both.
        try:
            data = json.dumps(stored, separators=(",", ":"), default=_inexact).encode()
        except (TypeError, ValueError, RecursionError):
            return -1
    return write_sealed(path, data)


def exact(value: object) -> object:
    """Any JSON-able value as a part of what `write_plain` keeps, which by itself makes null of a float like NaN.

    Raises:
        TypeError, ValueError: it is not JSON-able.
    """
    from msgspec import Raw

    return Raw(json.dumps(value, separators=(",", ":")).encode())


def _inexact(value: object) -> object:
    from msgspec import Raw

    if not isinstance(value, Raw):
        raise TypeError(type(value).__name__)
    return json.loads(bytes(value))


def write_sealed(path: Path | str, data: bytes) -> int:
    """Keep bytes in a cache file, by atomic replacement; its size, or -1 when they cannot be kept."""
    target = str(path)
    temporary = f"{target}.{os.getpid()}"
    try:
        content = sealed(data)
        make_cache_folder(os.path.dirname(target))  # noqa: PTH120
        # Readable by its owner alone, as config values and what stands in modules are in it.
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(content)
        os.replace(temporary, target)  # noqa: PTH105
    except (OSError, ValueError):
        # Without a cache the next command does the work again, which is slower and just as right.
        with suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        return -1
    return len(content)


def read_cache(path: Path | str) -> object:
    """The value in a cache file; None when there is none, or it is not what was written."""
    return read_with_texts(path)[0]


def read_with_texts(path: Path | str) -> tuple[object, list[str]]:
    """The value in a cache file, and the lines that follow it; None when there is none, or it was damaged."""
    try:
        with open(path, "rb") as stream:
            first, *texts = unsealed(stream.read()).decode().split("\n")
        return json.loads(first), texts
    except (OSError, ValueError, RecursionError):
        return None, []


def read_plain(path: Path | str) -> object:
    """What `write_plain` or `write_cache` kept in a file; None when there is none, or it is not what was written."""
    from msgspec.json import decode

    try:
        with open(path, "rb") as stream:
            content = unsealed(stream.read())
        try:
            return decode(content)
        except (ValueError, RecursionError):
            return json.loads(content)  # NaN, or half of a surrogate pair
    except (OSError, ValueError, RecursionError):
        return None


def make_cache_folder(folder: Path | str) -> None:
    """Make the cache folder, and keep the folder `.assetflow` around it out of git.

    Raises:
        OSError: it cannot be made.
    """
    os.makedirs(folder, exist_ok=True)  # noqa: PTH103
    above = os.path.dirname(folder)  # noqa: PTH120
    ignore = f"{above}{os.sep}.gitignore"
    if os.path.basename(above) != "cache" and not os.path.exists(ignore):  # noqa: PTH110, PTH119
        with open(ignore, "w", encoding="utf-8") as stream:
            stream.write("*\n")
