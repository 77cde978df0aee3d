"""Nodes for classes: their text, their bases, and what their attributes are now."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType, MethodType
from typing import Any, cast

from assetflow.fingerprint.atoms import Opaque
from assetflow.fingerprint.hashing import digest
from assetflow.fingerprint.index import Piece, literal_digest
from assetflow.fingerprint.names import UNSET, Names, names_of
from assetflow.fingerprint.nodes import Node, Origin
from assetflow.fingerprint.outside import is_standard, name_of, reads_docs
from assetflow.fingerprint.signs import READS_SUBCLASSES
from assetflow.fingerprint.wrapped import attached, closure_values, file_of

_DESCRIPTIONS = frozenset([
    "member_descriptor", "getset_descriptor", "_tuplegetter", "_abc_data", "wrapper_descriptor", "method_descriptor",
    "classmethod_descriptor", "builtin_function_or_method", "_TokenType",
])  # fmt: skip
"""Types of class attributes that Python puts there by itself, and whose meaning the class's text or name gives."""
_GENERATORS = ("dataclasses", "reprlib", "collections", "functools", "enum", "typing")
_FIELD_TABLES = ("__dataclass_fields__", "__pydantic_fields__", "_field_defaults")


class Classes(Names):
    """Makes the nodes of classes. A class counts as a whole, so that `self.x()` may mean any of its methods."""

    def use_text(self, node: Node, piece: Piece, *, is_annotated: bool, reads_docs: bool) -> None:
        """Let a piece of text count: as a rule without docstrings, and annotations only where something reads them."""
        chosen = piece.full if reads_docs else piece.annotated if is_annotated else piece.tree
        node.tree = digest("texts", node.tree.encode(), chosen.encode()) if node.tree else chosen
        node.full = digest("texts", node.full.encode(), piece.full.encode()) if node.full else piece.full
        node.marks += ("(docstrings count)",) if reads_docs else ()

    def decorators(
        self, node: Node, piece: Piece, names: Mapping[str, object], cells: Mapping[str, object], origin: Origin
    ) -> tuple[bool, bool]:
        """Let the decorators of a text count; whether they may read its annotations, and its docstrings.

        Those of assetflow do not count: what they say is compared by itself, so a new description is not new code.
        """
        is_annotated = is_documented = False
        for place, decorator in enumerate(piece.decorators):
            value = self._called(decorator.called, {**names, **cells} if cells else names)
            home = str(getattr(value, "__module__", None) or type(value).__module__) if value is not UNSET else ""
            if home.startswith("assetflow.model."):
                node.marks += (f"(decorator {place} left out)",)
                is_annotated = True
                continue
            node.rest += decorator.tree.encode()
            self.read_names(node, piece, decorator.chains, cells, cast("dict[str, object]", names), origin)
            is_annotated |= not is_standard(home or "?")
            ours = value is UNSET or self.files.is_project(_home_file(value))
            is_documented |= not ours and reads_docs(home)
        return is_annotated, is_documented

    def _called(self, chain: str, names: Mapping[str, object]) -> object:
        first, *rest = chain.split(".")
        builtins = sys.modules["builtins"]
        value = names.get(first, getattr(builtins, first, UNSET)) if first else UNSET
        for name in rest:
            value = getattr(value, name, UNSET)
        return value

    def fill_class(self, node: Node, cls: type, file: str) -> None:
        """Fill the node of a class of the project."""
        node.kind, node.module, node.name = "class", cls.__module__, cls.__qualname__.replace(".<locals>", "")
        origin = Origin(file, node.module, node.name)
        index = self.files.index(file)
        pieces = [] if index is None else index.classes(cls.__qualname__)
        names, cells = names_of(cls.__module__), _cells_of(cls)
        for piece in pieces:
            node.place = (file, piece.line, piece.end)
            is_annotated, reads = self.decorators(node, piece, names, cells, origin)
            is_annotated |= not self._has_plain_bases(cls)
            self.use_text(node, piece, is_annotated=is_annotated, reads_docs=reads)
            chains = piece.chains if not is_annotated else (*piece.chains, *piece.annotation_chains)
            self.read_names(node, piece, chains, cells, names, origin)
            if READS_SUBCLASSES in piece.signs:
                self._read_subclasses(node, cls)
        if not pieces:
            node.text = f"<class {cls.__qualname__}, made when the module was imported>"
            node.rest += cls.__qualname__.encode()
        for place, base in enumerate((*cls.__bases__, type(cls))):
            node.rest += self.refer(node, f"base {place}", self.resolve(base, origin))
        literals = pieces[0].literals if len(pieces) == 1 else {}
        for name, value in _attributes_of(cls, has_text=bool(pieces)):
            self._attribute(node, cls, name, value, literals.get(name), origin)

    def _has_plain_bases(self, cls: type) -> bool:
        """Whether nothing that a class inherits from reads the annotations of its methods."""
        known = ("builtins", "abc", "typing", "enum")
        for base in (*cls.__mro__[1:], type(cls)):
            if not self.files.is_project(file_of(base)) and base.__module__ not in known:
                return False
            if "__init_subclass__" in vars(base) and base.__module__ not in known:
                return False
        return type(cls).__module__ in known

    def _read_subclasses(self, node: Node, cls: type) -> None:
        waiting = [(cls, "subclass")]
        while waiting:
            parent, label = waiting.pop()
            for place, child in enumerate(type.__subclasses__(parent)):
                if self.files.is_project(file_of(child)):
                    name = f"{label} {place}"
                    node.rest += self.refer(
                        node, name, self.resolve(child, Origin(file_of(child), child.__module__, ""))
                    )
                    waiting.append((child, name))

    def _attribute(self, node: Node, cls: type, name: str, value: object, literal: str | None, origin: Origin) -> None:
        """Let an attribute count as it is now, unless the class's text says all of it."""
        place = origin.inside(f".{name}")
        functions = _functions_in(value)
        if functions is not None:
            for label, function in functions:
                self._method(node, cls, f"{name}{label}", function, place)
            return
        if type(value).__name__ in _DESCRIPTIONS or name_of(type(value)).startswith("pydantic."):
            return
        if literal is not None and _is_literal(value, literal):
            return
        node.rest += self.refer(node, f"attribute {name}", self.resolve(value, place))

    def _method(self, node: Node, cls: type, label: str, function: FunctionType, origin: Origin) -> None:
        code = function.__code__
        if not self.files.is_project(code.co_filename):
            if not (label.startswith("__") and _is_generated(function)):
                node.rest += self.refer(node, f"method {label}", self.resolve(function, origin))
            return
        is_own = code.co_qualname == f"{cls.__qualname__}.{code.co_name}" and not hasattr(function, "__wrapped__")
        if not is_own:
            node.rest += self.refer(node, f"method {label}", self.resolve(function, origin))
            return
        for name, value in attached(function):
            place = origin.inside(f".{name}")
            node.rest += self.refer(node, f"method {label} {name}", self.resolve(value, place))


def _attributes_of(cls: type, *, has_text: bool) -> Iterator[tuple[str, object]]:
    """The attributes that count, in an order that does not depend on how they got there."""
    own = dict(vars(cls))
    members = cast("Mapping[str, Any]", own.get("_member_map_", {}))
    for name in members:
        own.pop(name, None)
    for name, value in sorted(own.items()):
        is_dunder = name.startswith("__") and name.endswith("__")
        if name.startswith("_abc_") or (members and name.startswith("_") and name.endswith("_") and not is_dunder):
            continue
        if is_dunder and _functions_in(value) is None and not (name == "__annotations__" and not has_text):
            continue
        yield name, value
    if members:
        yield "<members>", [(name, member._value_) for name, member in members.items()]
    for table in _FIELD_TABLES:
        for name, field in cast("Mapping[str, Any]", own.get(table, {})).items():
            if table == "_field_defaults":
                yield f"<default {name}>", field
                continue
            for part in ("default", "default_factory"):
                default: object = getattr(field, part, None)
                if default is not None and not any(one in repr(type(default)) for one in ("MISSING", "Undefined")):
                    yield f"<{part} {name}>", default


def _functions_in(value: object) -> list[tuple[str, FunctionType]] | None:
    """The functions of a method, static method or property; None when the attribute is something else."""
    if isinstance(value, FunctionType):
        return [("", value)]
    if isinstance(value, (staticmethod, classmethod)):
        inner: object = cast("Any", value).__func__
        return [("", inner)] if isinstance(inner, FunctionType) else None
    if isinstance(value, property):
        parts = [("", value.fget), (".setter", value.fset), (".deleter", value.fdel)]
        if all(one is None or isinstance(one, FunctionType) for _, one in parts):
            return [(label, one) for label, one in parts if isinstance(one, FunctionType)]
    if type(value).__name__ == "cached_property" and isinstance(getattr(value, "func", None), FunctionType):
        return [("", cast("Any", value).func)]
    return None


def _is_generated(function: FunctionType) -> bool:
    """Whether a method is one that dataclasses and the like write, each version of Python in its own way."""
    return function.__code__.co_filename.startswith("<") or function.__globals__.get("__name__") in _GENERATORS


def _cells_of(cls: type) -> dict[str, object]:
    """What the methods of a class that was made in a function see of that function."""
    if "<locals>" not in cls.__qualname__:
        return {}
    found: dict[str, object] = {}
    for value in vars(cls).values():
        for _, function in _functions_in(value) or ():
            found.update((name, one) for name, one in closure_values(function).items() if name != "__class__")
    return found


def _is_literal(value: object, literal: str) -> bool:
    try:
        return literal_digest(value) == literal
    except (Opaque, RecursionError):
        return False


def _home_file(value: object) -> str:
    if isinstance(value, FunctionType):
        return value.__code__.co_filename
    if isinstance(value, MethodType):
        return _home_file(cast("Callable[..., object]", value.__func__))
    return file_of(value if isinstance(value, type) else type(value))
