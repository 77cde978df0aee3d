"""Values in a cache that only those can read who have the files that they were read from.

Passwords and addresses may stand in the files of a project, which are guarded for it. A cache is guarded less (it goes
along when a folder is copied, packed or kept by CI, and outlives the files), so there they are locked with the contents
of these files as the key: to read the cache helps only who could read the files as well. Reading TOML and validating it
again would take the start of each command many times as long.

The key stream is SHAKE256 of key and nonce (FIPS 202; a sponge may be keyed by a prefix), a new nonce each time. What
was changed is not noticed here: the file around it is sealed, and whoever can write into the cache folder can do more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import shake_256

from assetflow.fingerprint.hashing import digest

_NONCE_BYTES = 16


def key_of_contents(contents: Iterable[tuple[str, bytes | None]]) -> bytes:
    """The key that some files by name are, by what is in them."""
    texts = ((name.encode(), text) for name, text in contents if text is not None)
    return digest("lock", *(part for pair in texts for part in pair)).encode()


def locked(data: bytes, key: bytes) -> str:
    """The data as a text that says nothing without the key but how long it is."""
    nonce = os.urandom(_NONCE_BYTES)
    return (nonce + _mixed(data, key, nonce)).hex()


def unlocked(text: str, key: bytes) -> bytes:
    """What was locked with this key; with another one, other bytes.

    Raises:
        ValueError: it is no such text.
    """
    found = bytes.fromhex(text)
    return _mixed(found[_NONCE_BYTES:], key, found[:_NONCE_BYTES])


def _mixed(data: bytes, key: bytes, nonce: bytes) -> bytes:
    stream = shake_256(key + nonce).digest(len(data))
    return (int.from_bytes(data, "big") ^ int.from_bytes(stream, "big")).to_bytes(len(data), "big")
