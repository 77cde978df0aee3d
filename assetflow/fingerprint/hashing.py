"""The hash of this room: length-prefixed, and separate for each domain. Cheap to import, for the start-up path."""

from __future__ import annotations

from hashlib import blake2b

SCHEME = b"afp1"
"""Part of every digest. Another scheme gives other digests, so it changes only together with a migration."""


def digest(domain: str, *parts: bytes) -> str:
    """The hash of the parts, separate for each domain: 32 hex digits."""
    state = blake2b(digest_size=16)
    for part in (SCHEME, domain.encode(), *parts):
        state.update(len(part).to_bytes(8, "big"))
        state.update(part)
    return state.hexdigest()
