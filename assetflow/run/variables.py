"""What environment variables are that assets declare: digests under a key that lies beside the catalog. Light."""

from __future__ import annotations

import os
from collections.abc import Mapping
from hashlib import blake2b


def variable_digest(name: str, environment: Mapping[str, str], catalog: str) -> str:
    """The digest of a variable's value under the key of the store; `unset` when it has none."""
    value = environment.get(name)
    if value is None:
        return "unset"
    data = os.fsencode(f"{name}\0{value}")
    return f"env:{blake2b(data, key=_salt(salt_path(catalog)), digest_size=16).hexdigest()}"


def salt_path(catalog: str) -> str:
    """The file of the key."""
    return f"{os.path.dirname(catalog)}{os.sep}salt"  # noqa: PTH120


def _salt(path: str) -> bytes:
    # Before the first run there is none, and nothing that a digest could be compared with.
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""
