"""What the folder of a partition is called, below that of its asset."""

from __future__ import annotations

import re
from collections.abc import Sequence

_KEPT = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")
_PLAIN = re.compile(r"(?:[A-Za-z0-9-][A-Za-z0-9_.-]{0,119}\n)*")
"""Lines that `folder_name` leaves as they are, though not all that it does."""


def folder_name(partition: str) -> str:
    """A folder name for a partition key: letters, digits, `-`, `_` and `.` stay, other bytes are written as `%41`."""
    if not partition:
        return "_"
    letters = (chr(byte) for byte in partition.encode("utf-8", "surrogatepass"))
    name = "".join(letter if letter in _KEPT else f"%{ord(letter):02X}" for letter in letters)
    if name.strip("._") and len(name) <= 120:
        return name
    from hashlib import blake2b

    # `.`, `..`, `_` and very long keys: `%-` cannot begin the name of any other key.
    return f"%-{blake2b(name.encode(), digest_size=16).hexdigest()}"


def folder_names(partitions: Sequence[str]) -> Sequence[str]:
    """`folder_name` of each of very many partitions: mostly they are the keys themselves."""
    lines = "\n".join((*partitions, ""))
    is_plain = _PLAIN.fullmatch(lines) is not None and lines.count("\n") == len(partitions)
    return partitions if is_plain else [folder_name(one) for one in partitions]
