"""Amounts of bytes as people write them: `500kB`, `10MB`, `1.5 GB`."""

from __future__ import annotations

import re

_UNITS = {"": 1, "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "kib": 2**10, "mib": 2**20, "gib": 2**30}
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]*)\Z")


def bytes_of(value: object) -> object:
    """A text such as `10MB` in bytes; anything but a text as it is.

    Raises:
        ValueError: the text is not an amount of bytes.
    """
    if not isinstance(value, str):
        return value
    found = _SIZE.match(value.strip().lower())
    if found is None or found[2] not in _UNITS:
        raise ValueError(f"`{value}` is not an amount of bytes; write 500kB, 10MB or 1GB")
    return round(float(found[1]) * _UNITS[found[2]])
