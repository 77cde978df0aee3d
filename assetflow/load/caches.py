"""Files in the cache folder: sealed, replaced atomically, and never needed."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from assetflow.load.sealed import sealed, unsealed
from assetflow.load.settings import make_cache_folder


def write_cache(path: Path, stored: object) -> int:
    """Keep a JSON-able value in a cache file, by atomic replacement; its size, or -1 when it cannot be kept."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        content = sealed(json.dumps(stored, separators=(",", ":")).encode())
        make_cache_folder(path.parent)
        # Readable by its owner alone, as config values are in it.
        with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(content)
        temporary.replace(path)
    except (OSError, TypeError, ValueError):
        # Without a cache the next command does the work again, which is slower and just as right.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        return -1
    return len(content)


def read_cache(path: Path) -> object:
    """The value in a cache file; None when there is none, or it is not what was written."""
    try:
        return json.loads(unsealed(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None
