"""Bytes for values that have parts: lists, dicts, sets, and whatever the caller can take apart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from assetflow.fingerprint.atoms import Opaque, atom, sized, tagged
from assetflow.fingerprint.hashing import digest

_DEEPEST = 150
_ATOMS = frozenset([str, int, float, bool, bytes, type(None), complex])
_SEQUENCES = {list: b"L", tuple: b"t"}
_SETS = (set, frozenset)

Found = Callable[[object, str], bytes]
"""Encodes what is not plain data, given the path to it inside the value; raises `Opaque` when it cannot."""


def encode_value(value: object, found: Found) -> bytes:
    """The canonical bytes of plain data; `found` is asked about everything else.

    Raises:
        Opaque: some part of the value has no canonical form.
    """
    return ValueEncoder(found).encode(value, "")


class ValueEncoder:
    """Encodes one value. A part that contains itself is written as how many steps up it stands."""

    def __init__(self, found: Found, roots: tuple[str, ...] = (), *, keeps_order: bool = True) -> None:
        self._found, self._roots, self._keeps_order = found, roots, keeps_order
        self._above: dict[int, int] = {}

    def encode(self, value: object, path: str) -> bytes:
        """The bytes of the value, which stands at `path` in the whole."""
        kind = type(value)
        if kind is str and self._roots:
            return atom(self._portable(value))
        if kind in _ATOMS:
            return atom(value)
        depth = len(self._above)
        standing = self._above.get(id(value))
        if standing is not None:
            return tagged(b"^", str(depth - standing).encode())
        if depth > _DEEPEST:
            raise Opaque("too deep")
        self._above[id(value)] = depth
        try:
            return self._parts(value, kind, path)
        finally:
            del self._above[id(value)]

    def _parts(self, value: object, kind: type, path: str) -> bytes:
        if kind in _SEQUENCES:
            items = cast("list[object]", value)
            parts = [sized(self.encode(item, f"{path}[{place}]")) for place, item in enumerate(items)]
            return tagged(_SEQUENCES[kind], b"".join(parts))
        if kind in _SETS:
            # Every element gets the same path: an order of elements does not exist, so it must not be seen.
            elements = sorted(self.encode(item, path + "{}") for item in cast("set[object]", value))
            return tagged(b"S" if kind is set else b"z", b"".join(sized(part) for part in elements))
        if kind is dict or kind.__name__ == "mappingproxy":
            return self._mapping(cast("Mapping[object, object]", value), path)
        try:
            return atom(self._portable(value) if self._roots else value)
        except Opaque:
            return tagged(b"o", self._found(value, path))

    def _mapping(self, mapping: Mapping[object, object], path: str) -> bytes:
        pairs: list[bytes] = []
        for key, item in mapping.items():
            if key == "__builtins__":
                continue  # `exec` puts it into the dict that it is given
            name = self.encode(key, path + "<key>")
            pairs.append(sized(name) + sized(self.encode(item, f"{path}[{_label(key, name)}]")))
        if not path and not self._keeps_order and any(callable(item) for item in mapping.values()):
            pairs.sort()  # a registry fills in the order of imports, which says nothing when it is read by key
        return tagged(b"M", b"".join(pairs))

    def _portable(self, value: object) -> object:
        """Paths under the project's root without the root, so that two checkouts agree."""
        text = str(value) if isinstance(value, str) or hasattr(type(value), "as_posix") else ""
        for root in self._roots if text else ():
            if text.startswith(root) or text + root[-1] == root:
                return f"<project {type(value).__name__}>/{text[len(root) :].replace(root[-1], '/')}"
        return value


def _label(key: object, encoded: bytes) -> str:
    return repr(key) if type(key) in (str, int) else digest("key", encoded)
