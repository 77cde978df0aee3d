"""Values as people read them, the same on every machine: no addresses, no order of sets, no absolute paths."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from hashlib import blake2b
from types import FunctionType, ModuleType
from typing import cast

from assetflow.fingerprint.outside import WITHOUT_MEANING, name_of

LONGEST = 2000
_SECRET = re.compile(r"secret|token|passw|pwd|credential|api_?key|private_?key|dsn", re.IGNORECASE)
_DEEPEST = 40
_ATOMS = (str, bytes, bool, int, float, complex, type(None))


def readable(value: object, roots: Iterable[str]) -> str:
    """The text of a value. One that is longer than 2,000 characters is cut, and ends with a digest of all of it."""
    text = "".join(_pieces(value, tuple(roots), (), 0))
    if len(text) <= LONGEST:
        return text
    found = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
    return f"{text[: LONGEST - 80]}… ({len(text):,} characters, {found})"


def is_secret(name: object) -> bool:
    """Whether a name says that its value is nobody's business."""
    return isinstance(name, str) and _SECRET.search(name) is not None


def _pieces(value: object, roots: tuple[str, ...], above: tuple[int, ...], depth: int) -> Iterator[str]:
    kind = type(value)
    if isinstance(value, _ATOMS) and kind in _ATOMS:
        yield _without_roots(repr(value), roots) if kind is str else _number(value)
        return
    if id(value) in above or depth > _DEEPEST:
        yield "..."
        return
    above = (*above, id(value))
    if kind in (list, tuple):
        items = cast("list[object]", value)
        yield "[" if kind is list else "("
        for place, item in enumerate(items):
            yield ", " if place else ""
            yield from _pieces(item, roots, above, depth + 1)
        yield "]" if kind is list else ",)" if len(items) == 1 else ")"
    elif kind in (set, frozenset):
        items = sorted("".join(_pieces(item, roots, above, depth + 1)) for item in cast("set[object]", value))
        yield "{" + ", ".join(items) + "}" if items else "set()"
    elif kind is dict or kind.__name__ == "mappingproxy":
        yield "{"
        for place, (key, item) in enumerate(cast("Mapping[object, object]", value).items()):
            yield ", " if place else ""
            yield from _pieces(key, roots, above, depth + 1)
            yield ": "
            yield from ["(hidden)"] if is_secret(key) else _pieces(item, roots, above, depth + 1)
        yield "}"
    else:
        yield from _object(value, roots, above, depth)


def _object(value: object, roots: tuple[str, ...], above: tuple[int, ...], depth: int) -> Iterator[str]:
    kind = type(value)
    if isinstance(value, (FunctionType, type, ModuleType)):
        what = "class" if isinstance(value, type) else "module" if isinstance(value, ModuleType) else "function"
        yield f"<{what} {getattr(value, '__qualname__', value.__name__)}>"
    elif name_of(kind) in WITHOUT_MEANING:
        yield f"{kind.__qualname__}()"
    elif kind.__name__.startswith("Secret"):
        yield f"{kind.__qualname__}(hidden)"
    elif hasattr(kind, "__members__") and hasattr(value, "_value_"):
        yield f"{kind.__qualname__}.{getattr(value, '_name_', '')}"
    elif kind.__module__ in ("datetime", "decimal", "uuid", "fractions", "re", "zoneinfo") or hasattr(kind, "as_posix"):
        told = f"re.compile({getattr(value, 'pattern', '')!r}, {getattr(value, 'flags', 0)})"
        yield told if kind.__name__ == "Pattern" else f"{kind.__qualname__}({_without_roots(repr(str(value)), roots)})"
    else:
        fields = cast("Mapping[str, object]", getattr(value, "__dict__", None) or {})
        yield f"{kind.__qualname__}("
        for place, (name, item) in enumerate(fields.items()):
            yield f"{', ' if place else ''}{name}="
            yield from ["(hidden)"] if is_secret(name) else _pieces(item, roots, above, depth + 1)
        plain = next((one for one in kind.__mro__ if one in (dict, list, tuple, set, frozenset, str, int, float)), None)
        if plain is not None:
            yield from _pieces(plain(value), roots, above, depth + 1)  # type: ignore[call-arg]
        yield ")"


def _number(value: object) -> str:
    try:
        return repr(value)
    except ValueError:  # an integer of more than 4,300 digits
        return hex(cast("int", value))


def _without_roots(text: str, roots: tuple[str, ...]) -> str:
    for root in roots:
        text = text.replace(root, "<project>/")
    return text
