"""Durations as people write them: `30s`, `10m`, `24h`, `7d`, `1h30m`."""

from __future__ import annotations

import re
from datetime import timedelta

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_PIECE = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)\s*")


def seconds(value: str | float | timedelta) -> float:
    """The duration in seconds; a plain number already is.

    Raises:
        ValueError: the text is not a duration, or it is negative.
    """
    if isinstance(value, timedelta):
        found = value.total_seconds()
    elif isinstance(value, str):
        found, end = 0.0, 0
        text = value.strip().lower()
        for piece in _PIECE.finditer(text):
            if piece.start() != end:
                break
            found += float(piece[1]) * _UNITS[piece[2]]
            end = piece.end()
        if not text or end != len(text):
            raise ValueError(f"`{value}` is not a duration; write 30s, 10m, 24h or 7d")
    else:
        found = float(value)
    if found < 0:
        raise ValueError(f"a duration is not negative: {value}")
    return found


def words(amount_s: float) -> str:
    """A duration for people, in at most two units: `1.8 s`, `4 min 50 s`, `2 h 12 min`, `3 d 4 h`."""
    if amount_s < 0.0995:
        return f"{amount_s * 1000:.0f} ms"
    if amount_s < 9.95:
        return f"{amount_s:.1f} s"
    if amount_s < 59.5:
        return f"{amount_s:.0f} s"
    whole = round(amount_s)
    for big, big_s, small, small_s in (("d", 86400, "h", 3600), ("h", 3600, "min", 60), ("min", 60, "s", 1)):
        if whole >= big_s:
            first, rest = divmod(whole, big_s)
            second = rest // small_s
            return f"{first} {big} {second} {small}" if second and first < 100 else f"{first} {big}"
    return f"{whole} s"
