"""Nodes for functions and for what wraps them."""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any, cast

from assetflow.fingerprint.atoms import Opaque
from assetflow.fingerprint.classes import Classes
from assetflow.fingerprint.hashing import digest
from assetflow.fingerprint.nodes import Node, Origin, Reference
from assetflow.fingerprint.outside import is_made_on_the_spot, name_of
from assetflow.fingerprint.wrapped import attached, closure_values, file_of, held, is_bound_builtin
from assetflow.model.code import CodeNote

_QUIET_HOMES = ("functools", "contextlib", "typing", "types", "builtins")
"""Where wrappers come from that make nothing of docstrings and annotations."""
OF_ASSETS = "__assetflow__"  # on functions whose annotations choose in what form they get their inputs


class Resolver(Classes):
    """Finds the node of any object."""

    def resolve(self, value: object, origin: Origin) -> Reference:
        """The node of a project object, or the name that stands for something outside the project."""
        if isinstance(value, FunctionType):
            if self.files.is_project(value.__code__.co_filename):
                return self.once(("function", id(value)), value, lambda node: self._fill_function(node, value))
            if self._is_made_from_text(value):
                return self.once(("function", id(value)), value, lambda node: self._fill_bytecode(node, value, origin))
            return self._wrapper(value, origin)
        if isinstance(value, ModuleType):
            return self.whole(value) if self.files.is_project_module(value) else f"module {value.__name__}"
        if isinstance(value, type):
            file = file_of(value)
            if self.files.is_project(file):
                return self.once(("class", id(value)), value, lambda node: self.fill_class(node, value, file))
            if is_made_on_the_spot(value):
                return self.once(("class", id(value)), value, lambda node: self.fill_class(node, value, origin.file))
            return f"class {name_of(value)}"
        if isinstance(value, BuiltinFunctionType) and not is_bound_builtin(value):
            return f"builtin {value.__module__}.{value.__qualname__}"
        if isinstance(value, (MethodType, BuiltinFunctionType)) or self.wraps(value):
            return self._wrapper(value, origin)
        return self.value(value, origin)

    def _is_made_from_text(self, function: FunctionType) -> bool:
        """Whether a function of the project was made by `exec`, so that there is no file with its text."""
        home: object = function.__globals__.get("__file__")
        if not function.__code__.co_filename.startswith("<"):
            return False
        return (isinstance(home, str) and self.files.is_project(home)) or "__file__" not in function.__globals__

    def _fill_function(self, node: Node, function: FunctionType) -> None:
        code = function.__code__
        node.kind, node.module = "function", function.__module__ or ""
        node.name = function.__qualname__.replace(".<locals>", "")
        pieces = self.files.pieces(code)
        origin = Origin(code.co_filename, node.module, node.name)
        cells = closure_values(function) if function.__closure__ else {}
        if not pieces:
            node.edges.append(("source", self.module(code.co_filename)))
            self._read_bytecode(node, function, origin)
        names = function.__globals__
        for piece in pieces:
            node.place = (code.co_filename, piece.line, piece.end)
            is_annotated, reads_docs = self.decorators(node, piece, names, cells, origin)
            is_annotated |= OF_ASSETS in function.__dict__
            self.use_text(node, piece, is_annotated=is_annotated, reads_docs=reads_docs)
            self.read_names(node, piece, piece.chains, cells, names, origin)
            if piece.annotation_chains and is_annotated:
                self.read_names(node, piece, piece.annotation_chains, cells, names, origin)
        for label, value in attached(function):
            node.rest += self.refer(
                node, label, self.resolve(value, Origin(origin.file, origin.module, f"{node.name}.{label}"))
            )
        wrapped: object = getattr(function, "__wrapped__", None)
        if wrapped is not None:
            node.rest += self.refer(
                node, "__wrapped__", self.resolve(wrapped, Origin(origin.file, origin.module, node.name))
            )

    def _fill_bytecode(self, node: Node, function: FunctionType, origin: Origin) -> None:
        """A function without text: its instructions and what they name. That holds for one version of Python only."""
        node.kind, node.module, node.name = "opaque", origin.module, origin.name
        node.text = f"<{function.__qualname__}, made from text when the module was imported>"
        self._read_bytecode(node, function, origin)
        for label, value in attached(function):
            node.rest += self.refer(node, label, self.resolve(value, origin.inside(f".{label}")))

    def _read_bytecode(self, node: Node, function: FunctionType, origin: Origin) -> None:
        node.notes.append(CodeNote("bytecode", node.name, "its text is not at hand, so its instructions count"))
        node.rest += _bytecode(function.__code__)
        for name, value in sorted(closure_values(function).items()):
            node.rest += self.refer(node, f"cell {name}", self.resolve(value, origin.inside(f".{name}")))
        inner = Origin(str(function.__globals__.get("__file__", "")), node.module, "")
        for name in sorted(_names_in(function.__code__)):
            if name in function.__globals__:
                value: object = function.__globals__[name]
                node.rest += self.refer(node, f"name {name}", self.resolve(value, self.place_of(name, inner)))

    def _wrapper(self, value: object, origin: Origin) -> Reference:
        """Something outside the project that may hold project code: a partial, a method, a library's decorator."""
        kind = type(value)
        home = value.__globals__.get("__name__", "") if isinstance(value, FunctionType) else kind.__module__
        name = f"{home}.{value.__code__.co_qualname if isinstance(value, FunctionType) else kind.__qualname__}"
        found = held(value)
        if not found and isinstance(value, FunctionType):
            return f"function {name}"

        def fill(node: Node) -> None:
            node.kind, node.module, node.name = "wrapper", origin.module, f"{origin.name} (wrapped)"
            node.text = f"<{name} with {', '.join(label for label, _ in found) or 'nothing'}>"
            node.rest += name.encode()
            for label, inner in found:
                place = Origin(origin.file, origin.module, f"{origin.name}.{label}")
                node.rest += self.refer(node, label, self.resolve(inner, place))
                if str(home).partition(".")[0] not in _QUIET_HOMES and isinstance(inner, FunctionType):
                    node.rest += self._full_text(inner)
            if not found:
                self.widen(node, origin, f"nothing can look into a {name_of(kind)}")
            elif not isinstance(value, (FunctionType, MethodType)) and kind.__module__ not in _QUIET_HOMES:
                self._wrapper_state(node, value, origin)

        return self.once(("wrapper", id(value)), value, fill)

    def _full_text(self, function: FunctionType) -> bytes:
        """Docstrings and annotations of a function that a library was given: it may make something of them."""
        if not self.files.is_project(function.__code__.co_filename):
            return b""
        return "".join(piece.full for piece in self.files.pieces(function.__code__)).encode()

    def _wrapper_state(self, node: Node, value: Any, origin: Origin) -> None:
        """What a library's wrapper was told, which the text of what it wraps says only when it is a decorator there."""
        wrapped: object = getattr(value, "__wrapped__", None) or getattr(value, "func", None)
        code = wrapped.__code__ if isinstance(wrapped, FunctionType) else None
        if code is not None and any(piece.decorators for piece in self.files.pieces(code)):
            return
        state = {name: one for name, one in getattr(value, "__dict__", {}).items() if one is not wrapped}
        try:
            node.rest += self.encoded(node, state, Origin(origin.file, origin.module, origin.name + ".", origin.direct))
        except (Opaque, RecursionError):
            self.widen(node, origin, f"nothing can look into a {name_of(value.__class__)}")


def _names_in(code: CodeType) -> set[str]:
    inner = (one for one in code.co_consts if isinstance(one, CodeType))
    return set(code.co_names).union(*(_names_in(one) for one in inner))


def _bytecode(code: CodeType) -> bytes:
    """What identifies code whose text is not at hand; it holds for one Python version only."""
    inner = b"".join(_bytecode(one) for one in code.co_consts if isinstance(one, CodeType))
    constants = [_constant(one) for one in code.co_consts if not isinstance(one, CodeType)]
    texts = (f"{sys.version_info[:2]}", repr(constants), repr(code.co_names), repr(code.co_varnames))
    return digest("code", code.co_code, inner, *(text.encode("utf-8", "surrogatepass") for text in texts)).encode()


def _constant(value: object) -> str:
    if isinstance(value, frozenset):
        return f"frozenset{sorted(repr(one) for one in cast('frozenset[object]', value))}"
    return repr(value)
