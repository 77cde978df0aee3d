"""What the folder of a partition is called, below that of its asset."""

from __future__ import annotations

import re
from collections.abc import Sequence

_KEPT = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
_ODD = re.compile(r"[^A-Za-z0-9_.\n-]")
_PLAIN = re.compile(r"[A-Za-z0-9_.-]+")
_LONGEST = 120


def folder_name(partition: str) -> str:
    """A folder name for a partition key: letters, digits, `-`, `_` and `.` stay, other bytes are written as `%41`."""
    if not partition:
        return "_"
    if partition[0] not in "_." and len(partition) <= _LONGEST and _PLAIN.fullmatch(partition):
        return partition  # as most are: each step asks for the name of its log, and of its files
    letters = (chr(byte) for byte in partition.encode("utf-8", "surrogatepass"))
    name = "".join(letter if letter in _KEPT else f"%{ord(letter):02X}" for letter in letters)
    if name.strip("._") and len(name) <= _LONGEST:
        return name
    from hashlib import blake2b

    # `.`, `..`, `_` and very long keys: `%-` cannot begin the name of any other key.
    return f"%-{blake2b(name.encode(), digest_size=16).hexdigest()}"


def folder_names(partitions: Sequence[str]) -> Sequence[str]:
    """`folder_name` of each of very many partitions: mostly they are the keys themselves."""
    lines = "\n" + "\n".join(partitions) + "\n"
    is_plain = _ODD.search(lines) is None and lines.count("\n") == len(partitions) + 1
    is_plain = is_plain and not any(f"\n{begin}" in lines for begin in ("_", ".", "\n"))
    return (
        partitions if is_plain and max(map(len, partitions), default=0) <= _LONGEST else [*map(folder_name, partitions)]
    )
