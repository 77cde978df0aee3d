"""The project's source files, each parsed once: its functions, classes and imports by place and name."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from assetflow.fingerprint.scopes import ImportedName, imports_in

Place = tuple[str, int]
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda

_ASSETFLOW = str(Path(__file__).parents[1]) + os.sep
_NOT_PROJECT = frozenset(["site-packages", "dist-packages", "node_modules", "__pycache__"])


@dataclass(slots=True)
class SourceFile:
    """One parsed file. `functions` is keyed by qualified name and first line (that of the first decorator)."""

    path: str
    tree: ast.Module
    functions: dict[Place, list[FunctionNode]] = field(default_factory=dict[Place, list[FunctionNode]])
    classes: dict[str, list[ast.ClassDef]] = field(default_factory=dict[str, list[ast.ClassDef]])
    imports: tuple[ImportedName, ...] = ()


class ProjectFiles:
    """Finds and parses files under the project's roots.

    `sources` holds the bytes that were executed, for files that were imported: the file on disk may have been saved
    since, and a fingerprint of text that did not run would be a lie.
    """

    def __init__(self, roots: Iterable[str | Path], sources: Mapping[str, bytes] | None = None) -> None:
        self.roots = tuple(_folder(root) for root in roots)
        self._sources = sources or {}
        self._parsed: dict[str, SourceFile | None] = {}
        self._is_project: dict[str, bool] = {}

    def is_project(self, path: str | None) -> bool:
        """Whether the file belongs to the project: under a root, and not in an environment or a hidden folder there."""
        if not path:
            return False
        if path not in self._is_project:
            ours = path.startswith(_ASSETFLOW)  # a project may live in a checkout of assetflow, as its examples do
            self._is_project[path] = not ours and any(_lies_under(path, root) for root in self.roots)
        return self._is_project[path]

    def relative(self, path: str) -> str:
        """The path below its root, with slashes; as it is, when it lies under none."""
        for root in self.roots:
            if path.startswith(root):
                return Path(path[len(root) :]).as_posix()
        return path

    def parsed(self, path: str) -> SourceFile | None:
        """The parsed file, or None when it cannot be read as Python."""
        if path not in self._parsed:
            self._parsed[path] = self._parse(path)
        return self._parsed[path]

    def read_files(self) -> set[str]:
        """The files that were read and understood so far."""
        return {path for path, found in self._parsed.items() if found is not None}

    def function(self, path: str, qualified_name: str, first_line: int) -> list[FunctionNode]:
        """The functions with this name that start on this line: several only for lambdas on one line."""
        found = self.parsed(path)
        return [] if found is None else found.functions.get((qualified_name, first_line), [])

    def module_file(self, name: str) -> str | None:
        """The file of a project module by its dotted name, whether it was imported or not."""
        import sys

        loaded: str | None = getattr(sys.modules.get(name), "__file__", None)
        if loaded is not None:
            return loaded if self.is_project(loaded) else None
        inside = Path(*name.split("."))
        for root in self.roots:
            for candidate in (Path(root, inside, "__init__.py"), Path(root, inside).with_suffix(".py")):
                if name and candidate.is_file():
                    return str(candidate)
        return None

    def imported_files(self, path: str, imported: ImportedName) -> list[str]:
        """The project files that an import statement in the file `path` names: the module, and a submodule of it."""
        if imported.level:
            base = Path(path).parents[imported.level - 1]
            folders = [base.joinpath(*filter(None, imported.module.split(".")))]
            if imported.name:
                folders.append(folders[0] / imported.name)
            choices = [choice for folder in folders for choice in (folder / "__init__.py", folder.with_suffix(".py"))]
            return [str(choice) for choice in choices if choice.is_file() and self.is_project(str(choice))]
        inner = f"{imported.module}.{imported.name}"
        names = [imported.module, inner] if imported.name else _with_parents(imported.module)
        return [file for name in names if (file := self.module_file(name)) is not None]

    def _parse(self, path: str) -> SourceFile | None:
        content = self._sources.get(path)
        try:
            tree = ast.parse(Path(path).read_bytes() if content is None else content, path)
        except (OSError, SyntaxError, ValueError):
            return None  # the caller then has no tree to be sure of, and says so in the fingerprint
        found = SourceFile(path, tree, imports=imports_in(tree))
        _index(tree, "", found)
        return found


def first_line(node: FunctionNode) -> int:
    """The line that `co_firstlineno` of the compiled function has: the first decorator's, if there is one."""
    decorators = getattr(node, "decorator_list", [])
    return decorators[0].lineno if decorators else node.lineno


def _index(tree: ast.Module, prefix: str, found: SourceFile) -> None:
    waiting: list[tuple[ast.AST, str]] = [(tree, prefix)]
    while waiting:
        node, inside = waiting.pop()
        name: str | None = None
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            name = inside + ("<lambda>" if isinstance(node, ast.Lambda) else node.name)
            found.functions.setdefault((name, first_line(node)), []).append(node)
            inner = name + ".<locals>."
        elif isinstance(node, ast.ClassDef):
            name = inside + node.name
            found.classes.setdefault(name, []).append(node)
            inner = name + "."
        else:
            inner = inside
        waiting.extend((child, inner) for child in ast.iter_child_nodes(node))


def _folder(root: str | Path) -> str:
    text = str(root)
    return text if text.endswith(("/", "\\")) else text + os.sep


def _lies_under(path: str, root: str) -> bool:
    if not path.startswith(root) or not path.endswith(".py"):
        return False
    parts = Path(path[len(root) :]).parts
    return not any(part in _NOT_PROJECT or part.startswith(".") for part in parts) and not _in_environment(path, root)


def _in_environment(path: str, root: str) -> bool:
    """Whether the file lies in the virtual environment, when that is a folder of the project such as `env/`."""
    import sys

    prefix = _folder(sys.prefix)
    return prefix.startswith(root) and path.startswith(prefix)


def _with_parents(module: str) -> list[str]:
    parts = module.split(".")
    return [".".join(parts[: count + 1]) for count in range(len(parts))]
