"""One canonical byte form for syntax trees and plain values.

The form is our own, because `ast.dump`, `repr` and `pickle` differ between Python versions or leave parts out (the
`repr` of a long pattern or array does). Everything is tagged and length-prefixed, so that two different things never
give the same bytes.
"""

from __future__ import annotations

import ast
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast

from assetflow.fingerprint.hashing import digest

_SKIPPED = frozenset(["ctx", "kind", "type_comment", "type_ignores"])
_BODIES = frozenset(["body", "orelse", "finalbody"])
_DEEPEST = 60

Found = Callable[[object, str], bytes]
"""Encodes what is not plain data, given the path to it inside the value; raises `Opaque` when it cannot."""


class Opaque(Exception):
    """The value has no canonical form."""


def encode_tree(node: ast.AST, dropped: Iterable[ast.AST] = ()) -> bytes:
    """The canonical bytes of a syntax tree, without the nodes in `dropped`.

    Comments, formatting, line numbers and docstrings leave no trace. Fields that are None or empty are left out, so
    that fields which later Python versions add change nothing until they are used.
    """
    leave_out = {id(one) for one in dropped}
    out = bytearray()
    waiting: list[object] = [node]
    while waiting:  # not recursive: a sum of a thousand terms is a tree a thousand deep
        item = waiting.pop()
        if isinstance(item, bytes):
            out += item
        elif isinstance(item, ast.Constant):
            out += b"C" + _atom(item.value)
        elif isinstance(item, ast.AST):
            waiting.append(b")")
            waiting.extend(reversed(list(_fields(item, leave_out))))
            out += b"(" + _sized(type(item).__name__.encode())
        else:
            out += b"A" + _atom(item)
    return bytes(out)


def encode_value(value: object, found: Found) -> bytes:
    """The canonical bytes of plain data; `found` is asked about everything else.

    Raises:
        Opaque: some part of the value has no canonical form.
    """
    return _value(value, found, "", 0)


def _fields(node: ast.AST, leave_out: set[int]) -> Iterator[object]:
    for name in sorted(set(node._fields) - _SKIPPED):
        value: object = getattr(node, name, None)
        if isinstance(value, list):
            items = [item for item in cast("list[object]", value) if id(item) not in leave_out]
            if name in _BODIES:
                items = [item for item in items if not _is_bare_text(item)] or ([ast.Pass()] if name == "body" else [])
            elif isinstance(node, ast.JoinedStr):
                items = list(_merged(items))
            if items:
                yield _sized(name.encode()) + b"[" + str(len(items)).encode() + b":"
                for item in items:
                    yield b"0" if item is None else item  # None stands in lists: the key of `**rest` in a dict display
        elif value is not None:
            yield _sized(name.encode())
            yield value


def _is_bare_text(statement: object) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, (str, bytes))
    )


def _merged(parts: Iterable[object]) -> Iterator[object]:
    """The parts of an f-string with neighbouring texts joined: Python versions split them differently."""
    text = ""
    for part in parts:
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            text += part.value
            continue
        if text:
            yield ast.Constant(text)
            text = ""
        yield part
    if text:
        yield ast.Constant(text)


def _sized(payload: bytes) -> bytes:
    return str(len(payload)).encode() + b":" + payload


def _tagged(tag: bytes, payload: bytes) -> bytes:
    return tag + _sized(payload)


def _text(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _atom(value: object) -> bytes:
    kind = type(value)
    if value is None or value is Ellipsis or kind is bool:
        return _tagged(b"k", str(value).encode())
    if kind is int:
        return _tagged(b"i", hex(cast("int", value)).encode())  # decimal text is limited to 4,300 digits
    if kind is float:
        return _tagged(b"f", struct.pack(">d", value))
    if kind is complex:
        number = cast("complex", value)
        return _tagged(b"c", struct.pack(">dd", number.real, number.imag))
    if kind is str:
        return _tagged(b"s", _text(cast("str", value)))
    if kind in (bytes, bytearray):
        return _tagged(b"b", bytes(cast("bytes", value)))
    return _library_atom(value, kind)


def _library_atom(value: object, kind: type) -> bytes:
    """Atoms of the standard library, by name: comparing types would import their modules."""
    name = f"{kind.__module__}.{kind.__qualname__}"
    if name in ("datetime.date", "datetime.datetime", "datetime.time"):
        zone = str(getattr(value, "tzinfo", None) or "")
        return _tagged(b"d", _text(f"{name}|{value}|{zone}"))  # their str() is the ISO form, exact to the microsecond
    if name in ("decimal.Decimal", "uuid.UUID", "zoneinfo.ZoneInfo", "datetime.timezone", "fractions.Fraction"):
        return _tagged(b"l", _text(f"{name}|{value}"))
    if name == "datetime.timedelta":
        parts = [getattr(value, part) for part in ("days", "seconds", "microseconds")]
        return _tagged(b"l", name.encode()) + b"".join(_atom(part) for part in parts)
    if kind.__module__ in ("pathlib", "pathlib._local") and hasattr(value, "as_posix"):
        return _tagged(b"p", _text(str(value)))
    if name == "re.Pattern":
        pattern: object = getattr(value, "pattern", "")
        return b"r" + _atom(pattern) + _atom(getattr(value, "flags", 0))
    if name in ("builtins.range", "builtins.slice"):
        parts = [getattr(value, part) for part in ("start", "stop", "step")]
        return _tagged(b"g", name.encode()) + b"".join(_atom(part) for part in parts)
    raise Opaque(name)


def _value(value: object, found: Found, path: str, depth: int) -> bytes:
    if depth > _DEEPEST:
        raise Opaque("too deep, or it contains itself")
    kind = type(value)
    if kind in (tuple, list):
        items = cast("list[object]", value)
        parts = [_value(item, found, f"{path}[{place}]", depth + 1) for place, item in enumerate(items)]
        return _tagged(b"t" if kind is tuple else b"L", b"".join(_sized(part) for part in parts))
    if kind in (set, frozenset):
        # Every element gets the same path: an order of elements does not exist, so it must not be seen.
        elements = sorted(_value(item, found, path + "{}", depth + 1) for item in cast("set[object]", value))
        return _tagged(b"S", b"".join(_sized(part) for part in elements))
    if kind is dict or kind.__name__ == "mappingproxy":
        return _mapping(cast("Mapping[object, object]", value), found, path, depth)
    try:
        return _atom(value)
    except Opaque:
        return _tagged(b"o", found(value, path))


def _mapping(mapping: Mapping[object, object], found: Found, path: str, depth: int) -> bytes:
    pairs: list[bytes] = []
    for key, item in mapping.items():
        name = _value(key, found, path + "<key>", depth + 1)
        pairs.append(_sized(name) + _sized(_value(item, found, f"{path}[{digest('key', name)}]", depth + 1)))
    if any(callable(item) for item in mapping.values()):
        pairs.sort()  # a registry fills in the order of imports, which says nothing about what it means
    return _tagged(b"M", b"".join(pairs))
