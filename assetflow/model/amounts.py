"""Amounts of memory as people write them: `500MB`, `2GB`, `1.5GiB`."""

from __future__ import annotations

import re

_UNITS = {"b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
          "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}  # fmt: skip
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?i?b)")


def memory_bytes(value: str | int) -> int:
    """The amount in bytes; a plain number already is.

    Example:
        >>> memory_bytes("2GB"), memory_bytes("1.5 GiB")
        (2000000000, 1610612736)

    Raises:
        ValueError: the text is not an amount of memory, or it is not more than nothing.
    """
    if isinstance(value, str):
        found = _AMOUNT.fullmatch(value.strip().lower())
        if found is None:
            raise ValueError(f"`{value}` is not an amount of memory; write 500MB, 2GB or 1.5GiB")
        amount = int(float(found[1]) * _UNITS[found[2]])
    else:
        amount = int(value)
    if amount <= 0:
        raise ValueError(f"an amount of memory is more than nothing: {value}")
    return amount
