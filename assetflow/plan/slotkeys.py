"""What the content of an asset partition is a function of: one key for all it reads, cheap enough for very many.

The partitions that an input reads count as a set: the sum of a hash of each member, modulo 2^256 (AdHash; Bellare and
Micciancio, "A New Paradigm for Collision-Free Hashing: Incrementality at Reduced Cost", Eurocrypt 1997). Sums of
neighbouring sets differ by few members, so the keys of a hundred thousand windows cost one hash for each partition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

_MODULUS = 2**256


def member(partition: str, digest: str) -> int:
    """What one partition that is read adds to the sum of its set; `digest` is the part of its content that counts."""
    return int.from_bytes(hashlib.sha256(f"{digest}\0{partition}".encode()).digest(), "big")


def set_digest(count: int, total: int) -> str:
    """The digest of a set of so many members, whose `member` numbers add up to `total`."""
    return f"{count}:{total % _MODULUS:x}"


def digest_of_set(members: Iterable[tuple[str, str]]) -> str:
    """The digest of a set of partitions, each with the digest of its content."""
    numbers = [member(partition, digest) for partition, digest in members]
    return set_digest(len(numbers), sum(numbers))


def slot_key(base: str, sets: Sequence[str], partition: str) -> str:
    """The input key of a partition: of what all have in common, of the sets that are read, and of its own name.

    The sets are in the order in which `base` has their inputs.
    """
    text = "\0".join((base, *sets, partition))  # the name, which may hold anything, comes last
    return f"afk1:{hashlib.sha256(text.encode()).hexdigest()[:32]}"
