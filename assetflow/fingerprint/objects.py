"""Values that code reads: what they hold, in canonical bytes and in a form for people."""

from __future__ import annotations

import struct
import warnings
from collections.abc import Callable, Mapping
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, cast

from assetflow.fingerprint.atoms import Opaque
from assetflow.fingerprint.files import ProjectFiles
from assetflow.fingerprint.hashing import digest
from assetflow.fingerprint.nodes import Graph, Node, Origin
from assetflow.fingerprint.outside import WITHOUT_MEANING, name_of
from assetflow.fingerprint.wrapped import file_of, is_wrapper
from assetflow.model.code import CodeNote

if TYPE_CHECKING:
    from assetflow.fingerprint.values import ValueEncoder

ValueDigest = Callable[[object], object]
"""Plain data that stands for a value of numpy, pandas, pyarrow or polars; None when it does not know the value."""

DATA_MODULES = ("numpy", "pandas", "pyarrow", "polars")
_FOLLOWED = (FunctionType, ModuleType, type, MethodType, BuiltinFunctionType)
_PLAIN = (dict, list, tuple, set, frozenset, str, bytes, int, float)
_POINTER = struct.calcsize("P")


class Values(Graph):
    """Nodes for values. What a value holds of functions and classes becomes an edge."""

    def __init__(self, files: ProjectFiles, value_digest: ValueDigest | None = None) -> None:
        super().__init__(files)
        self._value_digest = value_digest

    def value(self, value: object, origin: Origin) -> int:
        """The node of a value that is no function, class or module."""
        key = ("value", origin.module, origin.name, id(value))
        return self.once(key, value, lambda node: self._fill_value(node, value, origin))

    def wraps(self, value: object) -> bool:
        """Whether an object stands for other code and has no meaning of its own; objects of project classes do."""
        return is_wrapper(value) and not self.files.is_project(file_of(type(value)))

    def encoded(self, node: Node, value: object, origin: Origin) -> bytes:
        """The bytes of a value, with edges from `node` to the code in it.

        Raises:
            Opaque: it cannot be looked into.
        """
        from assetflow.fingerprint.values import ValueEncoder

        def part(inner: object, path: str) -> bytes:
            return self._part(node, inner, origin.inside(path), encoder, path)

        encoder = ValueEncoder(part, self.files.roots, keeps_order=not origin.direct)
        return encoder.encode(value, "")

    def widen(self, node: Node, origin: Origin, why: str, kind: str = "opaque") -> None:
        """Let the text around the object count instead of the object: the module, or all when it is not known which."""
        if origin.direct and self.files.is_project(origin.file):
            node.edges.append(("source", self.module(origin.file)))
            instead = f"all of {self.files.relative(origin.file)} and what it imports"
        else:
            node.edges.append(("source", self.project()))
            instead = "the whole project"
        node.notes.append(CodeNote(kind, origin.name, f"{why}: {instead} counts"))

    def _fill_value(self, node: Node, value: object, origin: Origin) -> None:
        from assetflow.fingerprint.readable import is_secret, readable

        node.module, node.name = origin.module, origin.name
        signs = self._place_value(node, origin)
        try:
            node.rest += self.encoded(node, value, origin)
            is_hidden = "environment" in signs or is_secret(origin.name)
            node.text = "(hidden)" if is_hidden and not callable(value) else readable(value, self.files.roots)
        except (Opaque, RecursionError):
            node.kind, kind = "opaque", type(value)
            node.edges.clear()
            node.outside.clear()
            node.rest[:] = self.refer(node, "class", self.resolve(kind, origin))
            self.widen(node, origin, f"nothing can look into a {name_of(kind)}")
            node.rest += name_of(kind).encode()
            node.text = f"<{name_of(kind)}>"

    def _place_value(self, node: Node, origin: Origin) -> str:
        """Note where a module gives the name its value, and whether it is another one each time."""
        found = self.files.index(origin.file) if origin.direct and self.files.is_project(origin.file) else None
        if found is None:
            return ""
        line, signs = found.line_of(origin.name), found.signs_of(origin.name)
        node.place = (origin.file, line, line)
        if signs == "volatile":
            node.notes.append(CodeNote("volatile", origin.name, "it is made anew whenever the project is loaded"))
        return signs

    def _part(self, node: Node, value: object, origin: Origin, encoder: ValueEncoder, path: str) -> bytes:
        """The bytes of what is not plain data inside a value: something to follow, or an object with its state."""
        kind = type(value)
        if isinstance(value, _FOLLOWED) or self.wraps(value):
            return self.refer(node, path, self.resolve(value, origin))
        own: object = getattr(kind, "__fingerprint__", None)
        if callable(own):
            return b"own" + encoder.encode(_own_fingerprint(value), path + ".__fingerprint__()")
        if kind.__module__.partition(".")[0] in DATA_MODULES and self._value_digest is not None:
            found = self._value_digest(value)
            if found is not None:
                return name_of(kind).encode() + encoder.encode(found, path)
        if name_of(kind) in WITHOUT_MEANING:
            return name_of(kind).encode()
        head = self.refer(node, f"{path}<class>", self.resolve(kind, origin))
        name = f"{kind.__qualname__}".encode() + head
        if kind.__module__ == "logging" and hasattr(value, "name"):
            return name + str(cast("Any", value).name).encode()
        state = _state(value, in_project=self.files.is_project(file_of(kind)))
        return name + encoder.encode(state, path + ".")


def _own_fingerprint(value: Any) -> object:
    try:
        return value.__fingerprint__()
    except Exception as error:  # a user's method may raise anything; then nothing is known of the value
        raise Opaque(f"__fingerprint__ of {type(value).__qualname__} failed") from error


def _state(value: object, *, in_project: bool) -> object:
    """Plain data that holds everything an object is: its fields, or what copying it would take.

    Raises:
        Opaque: it keeps state where nothing can see it.
    """
    kind = type(value)
    if _is_enum(kind):
        return (getattr(value, "_name_", None), getattr(value, "_value_", None))
    if _keeps_all_in_view(kind) and (in_project or hasattr(kind, "__dataclass_fields__") or _is_plain_object(kind)):
        return _fields_of(value)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # some of the standard library's objects are to lose this ability
            copied: object = value.__reduce_ex__(4)
    except Exception as error:  # a library's method may raise anything; then nothing is known of the value
        raise Opaque(name_of(kind)) from error
    if isinstance(copied, str):
        return ("named", copied)
    function, arguments, *more = cast("tuple[object, ...]", copied)
    state = more[0] if more else None
    items = list(cast("Any", more[1])) if len(more) > 1 and more[1] is not None else []
    pairs = list(cast("Any", more[2])) if len(more) > 2 and more[2] is not None else []
    if function is not kind and getattr(function, "__module__", None) in ("copyreg", "_codecs"):
        function = getattr(function, "__name__", "")  # copyreg.__newobj__, and the like
    found = (function, arguments, state, items, pairs)
    attributes = getattr(value, "__dict__", {}) if any(name_of(one) == "numpy.ndarray" for one in kind.__mro__) else {}
    return (*found, attributes) if attributes else found  # copies of an array leave attributes of its class behind


def _is_enum(kind: type) -> bool:
    return hasattr(kind, "_member_map_") and hasattr(kind, "__members__")


def _is_plain_object(kind: type) -> bool:
    """Whether a class leaves it to Python how its objects are copied, so that their fields are all there is."""
    return kind.__reduce_ex__ is object.__reduce_ex__ and kind.__reduce__ is object.__reduce__


def _keeps_all_in_view(kind: type) -> bool:
    """Whether objects of this class have no room for state besides attributes, slots and items of a list or dict."""
    base = next((one for one in kind.__mro__ if one in _PLAIN), object)
    slots = sum(len(_slots_of(cls)) for cls in kind.__mro__)
    room = base.__basicsize__ + _POINTER * (slots + (kind.__dictoffset__ > 0) + (kind.__weakrefoffset__ > 0))
    return kind.__basicsize__ <= room and kind.__itemsize__ == base.__itemsize__


def _slots_of(cls: type) -> list[str]:
    """The attributes that a class keeps in slots, under the names that they really have."""
    slots = cast("object", vars(cls).get("__slots__", ()))
    names = (slots,) if isinstance(slots, str) else tuple(cast("tuple[str, ...]", slots))
    return [
        f"_{cls.__name__.lstrip('_')}{name}" if name.startswith("__") and not name.endswith("__") else name
        for name in names
        if name not in ("__dict__", "__weakref__")
    ]


def _fields_of(value: object) -> dict[str, object]:
    """The state of an object: its attributes, its slots, and its items when it is a list, dict or the like."""
    fields: dict[str, object] = dict(cast("Mapping[str, object]", getattr(value, "__dict__", {})))
    plain = next((one for one in type(value).__mro__ if one in _PLAIN), None)
    if plain is not None:
        fields["<content>"] = cast("Callable[[object], object]", plain)(value)
    for cls in type(value).__mro__:
        fields.update((name, getattr(value, name)) for name in _slots_of(cls) if hasattr(value, name))
    return fields


def order_digest(value: object) -> str | None:
    """A digest of the order of a dict whose items are code, which its own node leaves out; None for anything else."""
    if type(value) is not dict:
        return None
    mapping = cast("dict[object, object]", value)
    if not any(callable(item) for item in mapping.values()):
        return None
    return digest("order", *(_key_text(key).encode("utf-8", "surrogatepass") for key in mapping))


def _key_text(key: object) -> str:
    if isinstance(key, type):
        return f"class {name_of(key)}"
    if callable(key):
        return f"function {getattr(key, '__module__', '')}.{getattr(key, '__qualname__', '')}"
    if isinstance(key, PurePath):
        return key.name
    from assetflow.fingerprint.readable import readable

    return readable(key, ())
