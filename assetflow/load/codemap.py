"""Which functions, classes and constants of the project a function reaches, and on which way, read from the text alone.

Fingerprints follow live objects, because only those say what a name is. This follows imports as they are written: it
needs no user code, knows every place, and may miss what is only known when the code runs. So it explains and warns;
nothing is decided by it.
"""

from __future__ import annotations

import ast
import builtins
import os
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct, field

from assetflow.fingerprint.files import ProjectFiles
from assetflow.load.codereads import chain_of, reads

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_MOST_HOPS = 20  # from one re-export to the next


class Unit(Struct, frozen=True, eq=False):
    """A function, class or assignment. `file` is absolute, `name` is qualified; `around` are the functions it is in."""

    file: str
    module: str
    name: str
    node: ast.stmt
    around: tuple[ast.stmt, ...] = ()

    @property
    def line(self) -> int:
        """The line of its `def`, `class` or name."""
        return self.node.lineno

    @property
    def last_line(self) -> int:
        """The last line of its text."""
        return self.node.end_lineno or self.node.lineno

    @property
    def short(self) -> str:
        """`tax.net_of_vat`: the name with the last part of its module."""
        return f"{self.module.rpartition('.')[2]}.{self.name}" if self.module else self.name


class Reference(Struct, frozen=True):
    """A name or a chain of attributes in the text of a unit: what of the project it means, or what else, by full name.

    `dotted` is `datetime.datetime.now` for `dt.now` after `from datetime import datetime as dt`.
    """

    node: ast.Name | ast.Attribute
    unit: Unit | None
    dotted: str


class _Names(Struct):
    """What the names at the top of a module mean."""

    units: dict[str, Unit] = field(default_factory=dict[str, Unit])
    imports: dict[str, str] = field(default_factory=dict[str, str])
    stars: list[str] = field(default_factory=list[str])


class CodeMap:
    """The project's files by what is defined in them. Each is read and parsed at most once, when it is needed."""

    def __init__(self, root: Path) -> None:
        self._root = root
        folders = [folder for folder in (root / "src", root) if folder.is_dir()]
        self._files = ProjectFiles(folders)
        self._trees: dict[str, ast.Module | None] = {}
        self._functions: dict[str, dict[int, Unit]] = {}
        self._names: dict[str, _Names] = {}
        self._modules: dict[str, str | None] = {}
        self._references: dict[Unit, tuple[Reference, ...]] = {}
        self._lines: dict[str, list[str]] = {}

    def function(self, file: str, line: int) -> Unit | None:
        """The function whose `def` stands on this line of a file; None when the text does not say it."""
        path = self._absolute(file)
        if path not in self._functions:
            tree = self._tree(path)
            found = () if tree is None else _functions(tree.body, "", ())
            module = self._module_name(path)
            self._functions[path] = {
                node.lineno: Unit(path, module, name, node, around) for name, node, around in found
            }
        unit = self._functions[path].get(line)
        return None if unit is None else self._top(path).units.get(unit.name) or unit

    def reached(self, start: Unit) -> dict[Unit, tuple[Unit, ...]]:
        """Every unit that is reached from `start`, itself included, with the shortest way to it."""
        ways: dict[Unit, tuple[Unit, ...]] = {start: (start,)}
        waiting = [start]
        for unit in waiting:  # grows while it is walked: breadth first
            for reference in self.references(unit):
                other = reference.unit
                if other is not None and other not in ways:
                    ways[other] = (*ways[unit], other)
                    waiting.append(other)
        return ways

    def references(self, unit: Unit) -> tuple[Reference, ...]:
        """What the text of a unit names, in the order of the text, without its own local variables."""
        if unit not in self._references:
            self._references[unit] = tuple(self._references_in(unit))
        return self._references[unit]

    def resolve(self, unit: Unit, node: ast.expr) -> Reference | None:
        """What an expression such as `pd.DataFrame` means where the unit stands; None for anything but names."""
        chain = chain_of(node)
        return None if chain is None else self._meaning(unit.file, chain, node)

    def line(self, file: str, number: int) -> str:
        """One line of a file."""
        if file not in self._lines:
            try:
                text = Path(file).read_text(encoding="utf-8", errors="replace")
            except OSError:  # it was there a moment ago; what is said about it needs no text
                text = ""
            self._lines[file] = text.splitlines()
        lines = self._lines[file]
        return lines[number - 1] if 0 < number <= len(lines) else ""

    def relative(self, file: str) -> str:
        """The file relative to the project's folder, with slashes."""
        base = f"{self._root}{os.sep}"
        return Path(file[len(base) :]).as_posix() if file.startswith(base) else file

    @property
    def files(self) -> int:
        """How many files were looked at."""
        return sum(tree is not None for tree in self._trees.values())

    def _tree(self, file: str) -> ast.Module | None:
        if file not in self._trees:
            try:
                self._trees[file] = ast.parse(Path(file).read_bytes(), file)
            except (OSError, SyntaxError, ValueError):  # the load says what is wrong with it
                self._trees[file] = None
        return self._trees[file]

    # -- what names mean

    def _references_in(self, unit: Unit) -> Iterator[Reference]:
        def imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
            return self._bindings(node, unit.file)

        for node, base in reads(unit.node, imports, self._decorators(unit), unit.around):
            chain = chain_of(node)
            assert chain is not None, "only chains are read"
            found = self._meaning(unit.file, chain, node, base)
            if found.unit is not unit:
                yield found

    def _decorators(self, unit: Unit) -> list[ast.AST]:
        """The decorators that are ours: what they name is lineage, not code that runs."""
        found: list[ast.AST] = []
        for one in getattr(unit.node, "decorator_list", ()):
            meant = self.resolve(unit, one.func if isinstance(one, ast.Call) else one)
            if meant is not None and meant.dotted.startswith("assetflow."):
                found.append(one)
        return found

    def _meaning(self, file: str, chain: tuple[str, ...], node: ast.expr, base: str = "") -> Reference:
        """What a chain means in a file; `base` is the full name of its first part, where an import inside binds it."""
        assert isinstance(node, (ast.Name, ast.Attribute)), "a chain is spelled by one of these"
        first, *rest = chain
        if base:
            unit, dotted = self._global((*base.split("."), *rest), _MOST_HOPS)
        else:
            unit, dotted = self._in_file(file, first, tuple(rest), _MOST_HOPS)
        return Reference(node, unit, dotted)

    def _in_file(self, file: str, first: str, rest: tuple[str, ...], hops: int) -> tuple[Unit | None, str]:
        names = self._top(file)
        if first in names.units:
            return names.units[first], ".".join((first, *rest))
        if first in names.imports:
            return self._global((*names.imports[first].split("."), *rest), hops)
        for module in names.stars:
            other = self._module_file(module)
            if other is not None and hops and (found := self._in_file(other, first, rest, hops - 1))[0] is not None:
                return found
        outside = [module for module in names.stars if self._module_file(module) is None]
        if outside and not hasattr(builtins, first):
            return None, ".".join((outside[0], first, *rest))
        return None, ".".join((first, *rest))

    def _global(self, parts: tuple[str, ...], hops: int) -> tuple[Unit | None, str]:
        """What a full name means: the longest part of it that is a module of the project, and a name in there."""
        for count in range(len(parts), 0, -1):
            file = self._module_file(".".join(parts[:count]))
            if file is None:
                continue
            if count == len(parts) or not hops:
                break
            return self._in_file(file, parts[count], parts[count + 1 :], hops - 1)
        return None, ".".join(parts)

    def _top(self, file: str) -> _Names:
        if file not in self._names:
            found = self._names[file] = _Names()
            tree = self._tree(file)
            module = self._module_name(file)
            for node in () if tree is None else _top_statements(tree.body):
                for name in _defined(node):
                    found.units.setdefault(name, Unit(file, module, name, node))
                if isinstance(node, ast.ImportFrom) and node.names[0].name == "*":
                    found.stars.append(self._base(node, file))
                elif isinstance(node, (ast.Import, ast.ImportFrom)):
                    found.imports.update(self._bindings(node, file))
        return self._names[file]

    def _bindings(self, node: ast.Import | ast.ImportFrom, file: str) -> Iterator[tuple[str, str]]:
        for alias in node.names:
            if isinstance(node, ast.ImportFrom):
                base = self._base(node, file)
                yield alias.asname or alias.name, f"{base}.{alias.name}" if base else alias.name
            elif alias.asname:
                yield alias.asname, alias.name
            else:
                top = alias.name.partition(".")[0]
                yield top, top

    def _base(self, node: ast.ImportFrom, file: str) -> str:
        """The full name of the module that `from ... import` takes from."""
        if not node.level:
            return node.module or ""
        parts = self._module_name(file).split(".")
        is_package = file.endswith("__init__.py")
        kept = parts[: len(parts) - node.level + is_package]
        return ".".join([*kept, *([node.module] if node.module else [])])

    def _module_file(self, name: str) -> str | None:
        if name not in self._modules:
            self._modules[name] = self._files.module_file(name)
        return self._modules[name]

    def _module_name(self, file: str) -> str:
        path = self._files.relative(file).removesuffix(".py").removesuffix("/__init__")
        return path.replace("/", ".")

    def _absolute(self, file: str) -> str:
        return file if os.path.isabs(file) else str(self._root / file)  # noqa: PTH117 - called for every asset


def _functions(
    body: list[ast.stmt], inside: str, around: tuple[ast.stmt, ...]
) -> Iterator[tuple[str, ast.stmt, tuple[ast.stmt, ...]]]:
    """Every function that statements define, by qualified name, in classes and functions too, with those around it."""
    for node in body:
        if isinstance(node, _FUNCTIONS):
            yield inside + node.name, node, around
            yield from _functions(node.body, f"{inside}{node.name}.<locals>.", (*around, node))
        elif isinstance(node, ast.ClassDef):
            yield from _functions(node.body, f"{inside}{node.name}.", around)
        else:
            for part in ("body", "orelse", "finalbody"):
                yield from _functions(getattr(node, part, []), inside, around)
            for handler in getattr(node, "handlers", ()):
                yield from _functions(handler.body, inside, around)


def _top_statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, those in `if`, `try` and `with` too."""
    for node in body:
        yield node
        if isinstance(node, (ast.If, ast.Try, ast.With)):
            for part in ("body", "orelse", "finalbody"):
                yield from _top_statements(getattr(node, part, []))
            for handler in getattr(node, "handlers", ()):
                yield from _top_statements(handler.body)


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
        return [node.name]
    if isinstance(node, ast.Assign):
        targets: list[ast.expr] = node.targets
    elif isinstance(node, (ast.AnnAssign, ast.AugAssign)):
        targets = [node.target]
    else:
        return []
    return [one.id for target in targets for one in ast.walk(target) if isinstance(one, ast.Name)]
