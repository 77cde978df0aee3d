"""What the content of an asset partition is a function of: one key for all it reads, cheap enough for very many.

The partitions that an input reads count as a set: the sum of a hash of each member, modulo 2^256 (AdHash; Bellare and
Micciancio, "A New Paradigm for Collision-Free Hashing: Incrementality at Reduced Cost", Eurocrypt 1997). Sums of
neighbouring sets differ by few members, so the keys of a hundred thousand windows cost one hash for each partition.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

_BELOW = 2**256 - 1


def member(partition: str, digest: str) -> int:
    """What one partition that is read adds to the sum of its set; `digest` is the part of its content that counts."""
    return int.from_bytes(hashlib.sha256(f"{digest}\0{partition}".encode()).digest(), "big")


def members(partitions: Iterable[str], digests: Iterable[str]) -> list[int]:
    """`member` of each of these partitions: very many come this way, so nothing is called for one that need not be."""
    sha256, number = hashlib.sha256, int.from_bytes
    pairs = zip(partitions, digests, strict=True)
    return [number(sha256(f"{digest}\0{name}".encode()).digest(), "big") for name, digest in pairs]


def set_digest(count: int, total: int) -> str:
    """The digest of a set of so many members, whose `member` numbers add up to `total`."""
    return set_digests([count], [total])[0]


def set_digests(counts: Iterable[int], totals: Iterable[int]) -> list[str]:
    """`set_digest` of each of these sets."""
    return [f"{count}:{total & _BELOW:x}" for count, total in zip(counts, totals, strict=True)]


def digest_of_set(read: Iterable[tuple[str, str]]) -> str:
    """The digest of a set of partitions, each with the digest of its content."""
    numbers = [member(partition, digest) for partition, digest in read]
    return set_digest(len(numbers), sum(numbers))


def slot_key(base: str, sets: Sequence[str], partition: str) -> str:
    """The input key of a partition: of what all have in common, of the sets that are read, and of its own name.

    The sets are in the order in which `base` has their inputs.
    """
    return slot_keys(base, [[one] for one in sets], [partition])[0]


def slot_keys(base: str, sets: Sequence[Sequence[str]], partitions: Sequence[str]) -> list[str]:
    """`slot_key` of each of these partitions; of each set that they read, the digests for all of them."""
    copy = hashlib.sha256(f"{base}\0".encode()).copy
    found: list[str] = []
    add = found.append
    # The name, which may hold anything, comes last.
    for text in map("\0".join, zip(*sets, partitions, strict=True)) if sets else partitions:
        one = copy()
        one.update(text.encode())
        add("afk1:" + one.hexdigest()[:32])
    return found
