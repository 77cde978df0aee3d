"""The fingerprint of a function: its own syntax tree and everything of the project that it reaches.

The function's names are followed through the live objects, because only they say what a name means. What is followed:
project functions and classes, constants, closure cells, defaults, wrapped functions, project modules. What lies outside
the project counts by name alone. What is not understood counts as the whole module that defines it, and what that
module imports: a fingerprint may change too often, never too seldom.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import cast

from assetflow.fingerprint.encode import Opaque, encode_tree, encode_value
from assetflow.fingerprint.files import FunctionNode, ProjectFiles
from assetflow.fingerprint.graph import closure_digests, reachable
from assetflow.fingerprint.hashing import digest
from assetflow.fingerprint.scopes import Chain, free_chains, imports_in

_SEES_EVERYTHING = frozenset(["globals", "eval", "exec", "vars", "__import__", "import_module", "__builtins__"])
_WRAPPED_FIELDS = ("__wrapped__", "__func__", "func", "fget", "fset", "fdel")
_WRAPPER_HOMES = ("functools", "typing", "types")
_FOLLOWED = (FunctionType, ModuleType, type, MethodType, BuiltinFunctionType)
_PLAIN = frozenset([list, tuple, dict, set, frozenset, str, bytes, int, float])
_UNSET = object()


@dataclass(frozen=True, slots=True)
class CodeFingerprint:
    """What a function means. `parts` maps the name of each function, class or constant in it to its own digest."""

    digest: str
    parts: Mapping[str, str]


@dataclass(slots=True)
class _Node:
    """Something that has its own digest and refers to others by label."""

    module: str
    name: str
    local: str = ""
    edges: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where an object was met: the file whose module stands for it when it is opaque, and its name there."""

    file: str
    module: str
    name: str


def code_fingerprint(function: Callable[..., object], project_roots: Iterable[str | Path]) -> CodeFingerprint:
    """The fingerprint of one function; for many functions one `Fingerprinter` is quicker."""
    return Fingerprinter(ProjectFiles(project_roots)).of(function)


class Fingerprinter:
    """Fingerprints of the functions of one loaded project, each helper looked at once."""

    def __init__(self, files: ProjectFiles) -> None:
        self._files = files
        self._nodes: list[_Node] = []
        self._known: dict[object, int] = {}
        self._kept: list[object] = []  # identities are keys, so what they belong to must stay alive
        self._waiting: list[Callable[[], None]] = []
        self._closures: dict[int, str] = {}

    def of(self, function: Callable[..., object]) -> CodeFingerprint:
        """The fingerprint of `function`."""
        module = getattr(function, "__module__", None) or ""
        origin = _Origin(getattr(getattr(function, "__code__", None), "co_filename", ""), module, "function")
        reference = self._resolve(function, origin)
        while self._waiting:
            self._waiting.pop()()
        if isinstance(reference, str):
            found = digest("external", reference.encode())
            return CodeFingerprint(found, {reference: found})
        edges = [node.edges for node in self._nodes]
        closure_digests(reference, edges, [node.local for node in self._nodes], self._closures)
        return CodeFingerprint(self._closures[reference], self._parts(reference, module, reachable(reference, edges)))

    def _parts(self, root: int, root_module: str, members: Iterable[int]) -> dict[str, str]:
        """The local digests by readable name; the full module name only where the short one is taken."""
        by_name: dict[str, list[int]] = {}
        for member in members:
            node = self._nodes[member]
            in_root = node.module == root_module
            short = node.name if in_root else f"{node.module.rpartition('.')[2]}.{node.name}"
            by_name.setdefault(short, []).append(member)
        parts: dict[str, str] = {}
        for short, found in by_name.items():
            for count, member in enumerate(found):
                node = self._nodes[member]
                name = short if len(found) == 1 else f"{node.module}.{node.name}"
                parts[name if name not in parts else f"{name}#{count + 1}"] = node.local
        return parts

    # ------------------------------------------------------------------------------------------ objects

    def _resolve(self, value: object, origin: _Origin) -> int | str:
        """The node of a project object, or the name that stands for something outside the project."""
        if isinstance(value, ModuleType):
            file = getattr(value, "__file__", None)
            return self._module(file) if file and self._files.is_project(file) else f"module {value.__name__}"
        if isinstance(value, FunctionType):
            if self._files.is_project(value.__code__.co_filename):
                return self._once(("function", id(value)), value, lambda node: self._fill_function(node, value))
            return self._wrapper(value, origin)
        if isinstance(value, type):
            file = _file_of(value)
            if self._files.is_project(file):
                return self._once(("class", id(value)), value, lambda node: self._fill_class(node, value, file))
            return f"class {value.__module__}.{value.__qualname__}"
        if isinstance(value, BuiltinFunctionType) and isinstance(value.__self__, (ModuleType, type, type(None))):
            return f"builtin {value.__module__}.{value.__qualname__}"
        home = type(value).__module__
        if isinstance(value, (MethodType, property)) or home in _WRAPPER_HOMES or hasattr(value, "__wrapped__"):
            return self._wrapper(value, origin)
        if home == "logging":
            return f"logger {getattr(value, 'name', '')}"
        return self._once(
            ("value", origin.module, origin.name, id(value)), value, lambda node: self._fill_value(node, value, origin)
        )

    def _once(self, key: object, value: object, fill: Callable[[_Node], None]) -> int:
        """The node with this key; `fill` is put off, so that deep call chains need no deep stack."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = len(self._nodes)
            node = _Node("", "")
            self._nodes.append(node)
            self._kept.append(value)
            self._waiting.append(lambda: fill(node))
        return found

    def _refer(self, node: _Node, label: str, reference: int | str) -> bytes:
        """Note the reference as an edge, or give the bytes that stand for it."""
        if isinstance(reference, int):
            node.edges.append((label, reference))
            return b""
        return f"{label}={reference};".encode()

    def _fill_function(self, node: _Node, function: FunctionType) -> None:
        code = function.__code__
        node.module, node.name = function.__module__ or "", function.__qualname__.replace(".<locals>", "")
        origin = _Origin(code.co_filename, node.module, node.name)
        trees = self._files.function(code.co_filename, code.co_qualname, code.co_firstlineno)
        local = bytearray()
        cells = closure_values(function)
        if not trees:
            node.edges.append(("source", self._module(code.co_filename)))
            local += _bytecode(code)
        for tree in trees:
            dropped = _own_decorators(tree, function.__globals__)
            local += encode_tree(tree, dropped)
            local += self._names(node, free_chains(tree, dropped), cells, function.__globals__, origin)
            local += self._local_imports(node, tree, origin)
        for label, value in _attached(function):
            inner = _Origin(origin.file, origin.module, f"{node.name}.{label}")
            local += self._refer(node, label, self._resolve(value, inner))
        if not trees:
            for name, value in sorted(cells.items()):
                local += self._refer(node, f"cell {name}", self._resolve(value, origin))
        node.local = digest("function", bytes(local))

    def _fill_class(self, node: _Node, cls: type, file: str) -> None:
        node.module, node.name = cls.__module__, cls.__qualname__.replace(".<locals>", "")
        origin = _Origin(file, node.module, node.name)
        found = self._files.parsed(file)
        trees = [] if found is None or "<locals>" in cls.__qualname__ else found.classes.get(cls.__qualname__, [])
        if not trees:
            node.edges.append(("source", self._module(file)))
        names = vars(sys.modules[cls.__module__])
        local = bytearray()
        for tree in trees:
            local += encode_tree(tree) + self._names(node, free_chains(tree), {}, names, origin)
            local += self._local_imports(node, tree, origin)
        for place, base in enumerate((*cls.__bases__, type(cls))):
            local += self._refer(node, f"base {place}", self._resolve(base, origin))
        for name, value in sorted(vars(cls).items()):
            if isinstance(value, FunctionType) and self._is_foreign(value, cls):
                local += self._refer(node, f"method {name}", self._resolve(value, origin))
        node.local = digest("class", bytes(local))

    def _is_foreign(self, method: FunctionType, cls: type) -> bool:
        """Whether a method's meaning is not all in the class's text: it was wrapped, or put there later."""
        code = method.__code__
        own_text = code.co_qualname == f"{cls.__qualname__}.{code.co_name}"
        return (self._files.is_project(code.co_filename) and not own_text) or hasattr(method, "__wrapped__")

    def _fill_value(self, node: _Node, value: object, origin: _Origin) -> None:
        node.module, node.name = origin.module, origin.name

        def found(inner: object, path: str) -> bytes:
            return self._part_of_value(node, inner, path, origin)

        try:
            node.local = digest("value", encode_value(self._portable(value), found))
        except (Opaque, RecursionError):
            node.edges[:] = [("source", self._module(origin.file))] if self._files.is_project(origin.file) else []
            kind = type(value)
            local = self._refer(node, "class", self._resolve(kind, origin))
            node.local = digest("opaque", f"{kind.__module__}.{kind.__qualname__}".encode(), local)

    def _part_of_value(self, node: _Node, value: object, path: str, origin: _Origin) -> bytes:
        """The bytes of what is not plain data inside a value: something to follow, or an object with plain fields."""
        kind = type(value)
        if isinstance(value, _FOLLOWED) or kind.__module__ in _WRAPPER_HOMES:
            place = _Origin(origin.file, origin.module, origin.name + path)
            return self._refer(node, path, self._resolve(value, place))
        transparent = self._files.is_project(_file_of(kind)) or hasattr(kind, "__dataclass_fields__")
        fields = _fields_of(value) if transparent else None
        if fields is None or any(other is value for other in fields.values()):
            raise Opaque(kind.__qualname__)

        def inner(part: object, where: str) -> bytes:
            return self._part_of_value(node, part, f"{path}.{where}", origin)

        head = self._refer(node, f"{path}<class>", self._resolve(kind, origin))
        return kind.__qualname__.encode() + head + encode_value(fields, inner)

    def _portable(self, value: object) -> object:
        """Paths under the project's root without the root, so that two checkouts agree."""
        text = str(value) if isinstance(value, (str, Path)) else ""
        for root in self._files.roots if text else ():
            if text.startswith(root) or text + root[-1] == root:
                return (type(value).__name__, "<project>", Path(text[len(root) :]).as_posix())
        return value

    def _wrapper(self, value: object, origin: _Origin) -> int | str:
        """Something outside the project that may hold project code: a partial, a method, a library's decorator."""
        kind = type(value)
        home = getattr(value, "__module__", "") or kind.__module__
        name = f"{home}.{getattr(value, '__qualname__', kind.__qualname__)}"
        held = _held(value)
        if not held:
            if isinstance(value, FunctionType) or kind.__module__ in _WRAPPER_HOMES:
                return f"function {name}"
            return self._once(("opaque", id(value)), value, lambda node: self._fill_value(node, value, origin))

        def fill(node: _Node) -> None:
            node.module, node.name = origin.module, f"{origin.name} (wrapped)"
            local = bytearray(b"" if any(label == "__wrapped__" for label, _ in held) else name.encode())
            for label, inner in held:
                place = _Origin(origin.file, origin.module, f"{origin.name}.{label}")
                local += self._refer(node, label, self._resolve(inner, place))
            node.local = digest("wrapper", kind.__qualname__.encode(), bytes(local))

        return self._once(("wrapper", id(value)), value, fill)

    # ------------------------------------------------------------------------------------------ names

    def _names(
        self,
        node: _Node,
        chains: Iterable[Chain],
        cells: Mapping[str, object],
        names: Mapping[str, object],
        origin: _Origin,
    ) -> bytes:
        """Follow every chain; the bytes say what lies outside the project."""
        local = bytearray()
        for chain in sorted(chains):
            if chain[0] in _SEES_EVERYTHING or "import_module" in chain or chain[:2] == ("sys", "modules"):
                node.edges.append(("source", self._module(origin.file)))
            value = cells.get(chain[0], names.get(chain[0], getattr(builtins, chain[0], _UNSET)))
            local += self._follow(node, chain, value, self._place_of(chain[0], origin))
        return bytes(local)

    def _follow(self, node: _Node, chain: Chain, value: object, origin: _Origin) -> bytes:
        """Walk a chain through project modules to the object that it means."""
        label = ".".join(chain)
        rest = chain[1:]
        while rest and isinstance(value, ModuleType):
            file = getattr(value, "__file__", None)
            if not file or not self._files.is_project(file):
                return f"{label}=module {value.__name__}.{'.'.join(rest)};".encode()
            inner = vars(value).get(rest[0], _UNSET)
            if inner is _UNSET:
                break  # a module with __getattr__, or a submodule imported later: the whole module stands for it
            origin, value, rest = self._place_of(rest[0], _Origin(file, value.__name__, "")), inner, rest[1:]
        if value is _UNSET:
            return f"{label}=?;".encode()
        local = self._refer(node, label, self._resolve(value, origin))
        if "__doc__" in rest:  # docstrings are left out of trees, so code that reads one names it here
            local += digest("doc", str(getattr(value, "__doc__", "")).encode()).encode()
        return local

    def _place_of(self, name: str, origin: _Origin) -> _Origin:
        """The module that defines `name`, followed through `from module import name`."""
        for _ in range(20):  # a chain of re-exports may be circular
            source = self._files.parsed(origin.file) if self._files.is_project(origin.file) else None
            target = next((one for one in source.imports if one.name == name), None) if source else None
            if target is None:
                break
            files = self._files.imported_files(origin.file, target)
            if not files:
                break
            module = target.module or Path(files[0]).stem
            origin = _Origin(files[0], module, name)
        return _Origin(origin.file, origin.module, name)

    def _local_imports(self, node: _Node, tree: ast.AST, origin: _Origin) -> bytes:
        """Imports inside the function: the imported object where its module is loaded, else that module as a whole."""
        local = bytearray()
        for imported in imports_in(tree):
            files = self._files.imported_files(origin.file, imported)
            label = f"import {'.' * imported.level}{imported.module}.{imported.name}"
            module = _loaded_from(files[0]) if files else None
            value = vars(module).get(imported.name, _UNSET) if module is not None else _UNSET
            if not files:
                local += label.encode() + b";"
            elif value is not _UNSET and imported.name:
                place = self._place_of(imported.name, _Origin(files[0], imported.module, ""))
                local += self._refer(node, label, self._resolve(value, place))
            else:
                node.edges.extend((label, self._module(file)) for file in files)
        return bytes(local)

    def _module(self, file: str) -> int:
        """The node of a whole file and of all project files that it imports."""

        def fill(node: _Node) -> None:
            node.module = self._files.relative(file).removesuffix(".py").replace("/", ".")
            node.name = "(whole module)"
            found = self._files.parsed(file)
            if found is None:
                node.local = digest("unreadable", Path(file).read_bytes() if Path(file).is_file() else b"")
                return
            node.local = digest("module", encode_tree(found.tree))
            for imported in found.imports:
                label = f"import {'.' * imported.level}{imported.module}.{imported.name}"
                node.edges.extend((label, self._module(one)) for one in self._files.imported_files(file, imported))

        return self._once(("module", file), file, fill)


def _file_of(cls: type) -> str:
    return getattr(sys.modules.get(cls.__module__), "__file__", None) or ""


def _loaded_from(file: str) -> ModuleType | None:
    return next((one for one in list(sys.modules.values()) if getattr(one, "__file__", None) == file), None)


def closure_values(function: FunctionType) -> dict[str, object]:
    """What a function sees of the functions around it, by name; without names that were never given a value."""
    found: dict[str, object] = {}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            found[name] = cell.cell_contents
        except ValueError:
            continue
    return found


def _attached(function: FunctionType) -> list[tuple[str, object]]:
    """What hangs on a function besides its text: the values of its defaults and what it wraps."""
    given = function.__defaults__ or ()
    positional = function.__code__.co_varnames[: function.__code__.co_argcount]
    defaults = dict(zip(positional[len(positional) - len(given) :], given, strict=True))
    defaults.update(function.__kwdefaults__ or {})
    found: list[tuple[str, object]] = [(f"{name} (default)", value) for name, value in sorted(defaults.items())]
    wrapped: object = getattr(function, "__wrapped__", None)
    return found if wrapped is None else [*found, ("__wrapped__", wrapped)]


def _held(value: object) -> list[tuple[str, object]]:
    """The objects that a wrapper holds, by a stable label."""
    held: list[tuple[str, object]] = []
    for name in _WRAPPED_FIELDS:
        wrapped: object = getattr(value, name, None)
        if callable(wrapped):
            held.append((name, wrapped))
    kind = type(value)
    if isinstance(value, FunctionType):
        cells = sorted(closure_values(value).items())
        held += [(f"cell {name}", inner) for name, inner in cells if _may_hold_code(inner)]
    elif isinstance(value, MethodType):
        held.append(("self", value.__self__))
    elif kind.__name__ == "partial":
        held += [("arguments", getattr(value, "args", ())), ("keywords", getattr(value, "keywords", {}))]
    elif kind.__module__ in ("typing", "types"):
        for name in ("__origin__", "__args__", "__metadata__", "__supertype__"):
            inner: object = getattr(value, name, None)
            if inner is not None and inner is not value:
                held.append((name, inner))
    return held


def _may_hold_code(value: object) -> bool:
    if isinstance(value, dict):
        return any(isinstance(inner, (FunctionType, type)) for inner in cast("dict[object, object]", value).values())
    return isinstance(value, (FunctionType, MethodType, type)) or hasattr(value, "__wrapped__")


def _fields_of(value: object) -> dict[str, object] | None:
    """The state of an object: its attributes and slots. None when it keeps state where we cannot see it."""
    fields: dict[str, object] = dict(getattr(value, "__dict__", {}))
    plain = next((one for one in type(value).__mro__ if one in _PLAIN), None)
    if plain is not None:
        fields["<content>"] = cast("Callable[[object], object]", plain)(value)
    for cls in type(value).__mro__:
        slots = cast("object", vars(cls).get("__slots__", ()))
        for name in (slots,) if isinstance(slots, str) else cast("tuple[str, ...]", slots):
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                fields[name] = getattr(value, name)
    enum_only = ("_sort_order_", "__objclass__")  # the place in the enum and the enum itself, both in the class's text
    return {name: inner for name, inner in fields.items() if name not in enum_only}


def _own_decorators(tree: FunctionNode, names: Mapping[str, object]) -> list[ast.AST]:
    """The decorators of assetflow: what they say is compared by itself, so a new description is not new code."""
    found: list[ast.AST] = []
    for decorator in getattr(tree, "decorator_list", []):
        called: ast.AST = decorator.func if isinstance(decorator, ast.Call) else decorator
        chain: list[str] = []
        while isinstance(called, ast.Attribute):
            chain.insert(0, called.attr)
            called = called.value
        value: object = names.get(called.id) if isinstance(called, ast.Name) else None
        for name in chain:
            value = getattr(value, name, None) if isinstance(value, ModuleType) else None
        if (getattr(value, "__module__", None) or "").startswith("assetflow.model."):
            found.append(decorator)
    return found


def _bytecode(code: CodeType) -> bytes:
    """What identifies code whose text is not at hand; it holds for one Python version only."""
    inner = b"".join(_bytecode(one) for one in code.co_consts if isinstance(one, CodeType))
    constants = repr([one for one in code.co_consts if isinstance(one, (int, float, str, bytes, type(None)))])
    texts = (sys.version, constants, repr(code.co_names))
    return digest("code", code.co_code, inner, *(text.encode() for text in texts)).encode()
