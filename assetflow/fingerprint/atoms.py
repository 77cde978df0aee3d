"""Bytes for values that have no parts: numbers, texts, dates, patterns, paths.

`repr` and `pickle` differ between Python versions or leave parts out (the `repr` of a long pattern does), so the form
is our own: a tag, a length, the content.
"""

from __future__ import annotations

import struct
from typing import cast


class Opaque(Exception):
    """The value has no canonical form."""


def sized(payload: bytes) -> bytes:
    """The payload behind its length."""
    return b"%d:%b" % (len(payload), payload)


def tagged(tag: bytes, payload: bytes) -> bytes:
    """The payload behind a tag and its length."""
    return b"%b%d:%b" % (tag, len(payload), payload)


def atom(value: object) -> bytes:
    """The bytes of a value without parts.

    Raises:
        Opaque: it is not one.
    """
    if type(value) is str:
        text = _text(value)
        return b"s%d:%b" % (len(text), text)
    kind = type(value)
    if value is None or value is Ellipsis or kind is bool:
        return tagged(b"k", str(value).encode())
    if kind is int:
        return tagged(b"i", hex(cast("int", value)).encode())  # decimal text is limited to 4,300 digits
    if kind is float:
        return tagged(b"f", struct.pack(">d", value))
    if kind is complex:
        number = cast("complex", value)
        return tagged(b"c", struct.pack(">dd", number.real, number.imag))
    if kind is bytes:
        return tagged(b"b", bytes(cast("bytes", value)))
    if kind is bytearray:
        return tagged(b"B", bytes(cast("bytearray", value)))
    return _library_atom(value, kind)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _library_atom(value: object, kind: type) -> bytes:
    """Atoms of the standard library, by name: comparing types would import their modules."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name in ("datetime.date", "datetime.datetime", "datetime.time"):
        zone: object = getattr(value, "tzinfo", None)
        fold = getattr(value, "fold", 0)
        text = f"{name}|{value}|{'' if zone is None else type(zone).__qualname__}|{zone or ''}|{fold}"
        return tagged(b"d", _text(text))  # their str() is the ISO form, exact to the microsecond
    if name in ("decimal.Decimal", "uuid.UUID", "zoneinfo.ZoneInfo", "fractions.Fraction"):
        return tagged(b"l", _text(f"{name}|{value}"))
    if name == "datetime.timedelta":
        parts = [getattr(value, part) for part in ("days", "seconds", "microseconds")]
        return tagged(b"l", name.encode()) + b"".join(atom(part) for part in parts)
    if name == "datetime.timezone":
        return tagged(b"l", _text(f"{name}|{value!r}"))  # with the offset and the name that was given to it
    if kind.__module__ in ("pathlib", "pathlib._local") and hasattr(kind, "as_posix"):
        return tagged(b"p", _text(f"{kind.__name__.removeprefix('Posix').removeprefix('Windows')}|{value}"))
    if name == "re.Pattern":
        pattern: object = getattr(value, "pattern", "")
        return b"r" + atom(pattern) + atom(getattr(value, "flags", 0))
    if kind.__module__ in ("struct", "_struct") and kind.__name__ == "Struct":
        return tagged(b"u", str(getattr(value, "format", "")).encode())
    if name == "builtins.range":
        parts = [getattr(value, part) for part in ("start", "stop", "step")]
        return tagged(b"g", name.encode()) + b"".join(atom(part) for part in parts)
    raise Opaque(name)
