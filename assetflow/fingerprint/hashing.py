"""The hash of this room: length-prefixed, and separate for each domain. Cheap to import, for the start-up path."""

from __future__ import annotations

from hashlib import blake2b

SCHEME = b"afp1"
"""Part of every digest. Another scheme gives other digests, so it changes only together with a migration."""


def digest(domain: str, *parts: bytes) -> str:
    """The hash of the parts, separate for each domain: 32 hex digits."""
    pieces = [len(SCHEME).to_bytes(8, "big"), SCHEME, len(domain.encode()).to_bytes(8, "big"), domain.encode()]
    for part in parts:
        pieces += (len(part).to_bytes(8, "big"), part)
    return blake2b(b"".join(pieces), digest_size=16).hexdigest()
