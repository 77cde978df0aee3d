"""The project's source files: which they are, what they say, and which file an import means."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import CodeType, ModuleType
from typing import cast

from assetflow.fingerprint.hashing import digest
from assetflow.fingerprint.index import FORMAT, Earlier, FileIndex, Piece, index_of, place_key, tree_digest
from assetflow.fingerprint.scopes import ImportedName

_ASSETFLOW = str(Path(__file__).parents[1]) + os.sep
_NOT_PROJECT = frozenset(["site-packages", "dist-packages", "node_modules", "__pycache__"])


class ProjectFiles:
    """Finds and indexes files under the project's roots.

    `sources` holds the bytes that were executed, for files that were imported: the file on disk may have been saved
    since, and a fingerprint of text that did not run would be a lie. `known` holds indexes that were made earlier, by
    the digest of the file's content; those that were used or made are in `indexes` afterwards, and `has_more` says
    whether something was added to one that was known.
    """

    def __init__(
        self,
        roots: Iterable[str | Path],
        sources: Mapping[str, bytes] | None = None,
        known: Mapping[str, list[object]] | None = None,
    ) -> None:
        self.roots = tuple(_folder(root) for root in roots)
        self.indexes: dict[str, list[object]] = {}
        self.has_more = False
        self._sources = sources or {}
        self._known = known or {}
        self._contents: dict[str, bytes] = {}
        self._lines: dict[str, list[str]] = {}
        self._indexed: dict[str, FileIndex | None] = {}
        self._statements: Earlier | None = None
        self._trees: dict[str, str] = {}
        self._is_project: dict[str, bool] = {}
        self._imported: dict[tuple[str, ImportedName], list[str]] = {}

    def is_project(self, path: str | None) -> bool:
        """Whether the file belongs to the project: under a root, and not in an environment or a hidden folder there."""
        if not path:
            return False
        if path not in self._is_project:
            ours = path.startswith(_ASSETFLOW)  # a project may live in a checkout of assetflow, as its examples do
            self._is_project[path] = not ours and any(_lies_under(path, root) for root in self.roots)
        return self._is_project[path]

    def is_project_module(self, module: ModuleType) -> bool:
        """Whether the module is the project's; a package without `__init__.py` is when its folders are."""
        file: str | None = getattr(module, "__file__", None)
        if file is not None:
            return self.is_project(file)
        folders = list(cast("Iterable[str]", getattr(module, "__path__", ())))
        return bool(folders) and all(self.is_project(f"{folder}{os.sep}__init__.py") for folder in folders)

    def relative(self, path: str) -> str:
        """The path below its root, with slashes; as it is, when it lies under none."""
        for root in self.roots:
            if path.startswith(root):
                return path[len(root) :].replace(os.sep, "/")
        return path

    def index(self, path: str) -> FileIndex | None:
        """What the file says, or None when it cannot be read as Python."""
        if path not in self._indexed:
            self._indexed[path] = self._index(path)
        return self._indexed[path]

    def tree(self, path: str) -> str:
        """The digest of what the whole file says; of a file that cannot be read as Python, of its bytes."""
        if path not in self._trees:
            found = self.index(path)
            content = self.content(path)
            if found is None:
                self._trees[path] = digest("unreadable", content)
            else:
                if not found.row[0]:
                    found.row[0], self.has_more = tree_digest(ast.parse(content, path)), True
                self._trees[path] = str(found.row[0])
        return self._trees[path]

    def read_files(self) -> set[str]:
        """The files that were read and understood so far."""
        return {path for path, found in self._indexed.items() if found is not None}

    def content(self, path: str) -> bytes:
        """The bytes of the file as they ran; empty when it cannot be read."""
        if path not in self._contents:
            content = self._sources.get(path)
            try:
                self._contents[path] = Path(path).read_bytes() if content is None else content
            except OSError:
                self._contents[path] = b""
        return self._contents[path]

    def lines(self, path: str) -> list[str]:
        """The lines of the file's text."""
        if path not in self._lines:
            self._lines[path] = _decoded(self.content(path)).splitlines(keepends=True)
        return self._lines[path]

    def pieces(self, code: CodeType) -> list[Piece]:
        """The texts that the code may be compiled from: one, or all lambdas on its line that cannot be told apart."""
        found = self.index(code.co_filename)
        pieces = [] if found is None else found.functions(code.co_qualname, code.co_firstlineno)
        if len(pieces) < 2:
            return pieces
        return _with_span(pieces, code) or [one for one in pieces if self._may_be(one, code)] or pieces

    def places(self, code: CodeType) -> tuple[str, Mapping[str, tuple[int, int]]] | None:
        """The name of a piece of code and where its parameters stand: `Piece.name` and `Piece.places`."""
        index = self.index(code.co_filename)
        found = [] if index is None else index.places(code.co_qualname, code.co_firstlineno)
        if len(found) < 2:
            return found[0] if found else None
        piece = self.pieces(code)[0]
        return piece.name, piece.places

    def alone(self, code: CodeType) -> tuple[dict[str, object], str]:
        """What is kept of functions of a file that reach nothing of the project, and the key of this one's code."""
        found = self.index(code.co_filename)
        return {} if found is None else found.alone, place_key(code.co_qualname, code.co_firstlineno)

    def _may_be(self, piece: Piece, code: CodeType) -> bool:
        """Whether a lambda compiles to this code: Python 3.12 gives no places for a body of one constant."""
        line, column, end_line, end_column = piece.span
        lines = [text.encode() for text in self.lines(code.co_filename)[line - 1 : end_line]]
        lines[-1] = lines[-1][:end_column]
        lines[0] = lines[0][column:]
        try:
            found = compile(b"lambda: (" + b"".join(lines) + b")", code.co_filename, "eval").co_consts[0]
        except (SyntaxError, ValueError):
            return True
        return not isinstance(found, CodeType) or _same_constants(found, code)

    def module_file(self, name: str) -> str | None:
        """The file of a project module by its dotted name, whether it was imported or not."""
        import sys

        if name in sys.modules and (loaded := _file_of(sys.modules[name])):
            return loaded if self.is_project(loaded) else None
        inside = Path(*name.split("."))
        for root in self.roots:
            for candidate in (Path(root, inside, "__init__.py"), Path(root, inside).with_suffix(".py")):
                if name and candidate.is_file():
                    return str(candidate)
        return None

    def imported_files(self, path: str, imported: ImportedName) -> list[str]:
        """The project files that an import statement in the file `path` names: the module, and a submodule of it."""
        key = (path if imported.level else "", imported)
        if key not in self._imported:
            self._imported[key] = list(self._find_imported(path, imported))
        return self._imported[key]

    def all_files(self) -> list[str]:
        """Every file of the project that was imported or lies where it might be: in those packages, in the roots."""
        loaded = [file for _, file, _ in loaded_modules()]
        found = {file for file in (*loaded, *self._sources) if self.is_project(file)}
        tops: set[str] = set()
        for file in found:
            root = max((one for one in self.roots if file.startswith(one)), key=len)
            package, separator, _ = file[len(root) :].partition(os.sep)
            tops.update([root + package] if separator else [])
        for root in self.roots:
            found.update(file for one in Path(root).glob("*.py") if self.is_project(file := str(one)))
        for top in tops:
            found.update(file for one in Path(top).rglob("*.py") if self.is_project(file := str(one)))
        return sorted(found)

    def _find_imported(self, path: str, imported: ImportedName) -> Iterator[str]:
        if imported.level:
            base = Path(path).parents[imported.level - 1]
            folders = [base.joinpath(*filter(None, imported.module.split(".")))]
            if imported.name:
                folders.append(folders[0] / imported.name)
            choices = [choice for folder in folders for choice in (folder / "__init__.py", folder.with_suffix(".py"))]
            yield from (str(choice) for choice in choices if choice.is_file() and self.is_project(str(choice)))
            return
        inner = f"{imported.module}.{imported.name}"
        names = [imported.module, inner] if imported.name else _with_parents(imported.module)
        yield from (file for name in names if (file := self.module_file(name)) is not None)

    def _index(self, path: str) -> FileIndex | None:
        content = self.content(path)
        key = index_key(content)
        known = self._known.get(key)
        if known is not None:
            self.indexes[key] = known
            return FileIndex(known)
        if not content and not Path(path).is_file():
            return None
        try:
            found = index_of(ast.parse(content, path), content, self._earlier())
        except (SyntaxError, ValueError, RecursionError):
            return None  # the caller then has no tree to be sure of, and says so in the fingerprint
        self.indexes[key] = found.row
        return found

    def _earlier(self) -> Earlier:
        if self._statements is None:
            self._statements = Earlier(self._known.values())
        return self._statements


def index_key(content: bytes) -> str:
    """What the index of a file with this content is kept under."""
    return digest(FORMAT, content)


def loaded_modules() -> Iterator[tuple[str, str, ModuleType]]:
    """The names, files and objects of what is imported. Anything may lie in `sys.modules`, and answer any attribute."""
    import sys

    for name, module in sorted(sys.modules.items()):
        file = _file_of(module)
        if file:
            yield name, file, module


def _file_of(module: object) -> str:
    names = cast("Mapping[str, object]", getattr(module, "__dict__", {}))
    file = names.get("__file__") if isinstance(names, dict) else None
    return file if isinstance(file, str) else ""


def _with_span(pieces: list[Piece], code: CodeType) -> list[Piece]:
    """Those lambdas of a line in whose body all instructions of the code stand; none when that is not known."""
    places = [
        (line, column, end_line, end_column)
        for line, end_line, column, end_column in code.co_positions()
        if line and end_line and column is not None and end_column and (line, column) != (end_line, end_column)
    ]
    if not places:
        return []
    start = min((line, column) for line, column, _, _ in places)
    end = max((line, column) for _, _, line, column in places)
    exact = [one for one in pieces if one.span and (one.span[:2], one.span[2:]) == (start, end)]
    inside = [one for one in pieces if one.span and one.span[:2] <= start and end <= one.span[2:]]
    return exact or inside


def _same_constants(one: CodeType, other: CodeType) -> bool:
    return [(type(value), value) for value in one.co_consts] == [(type(value), value) for value in other.co_consts]


def _decoded(content: bytes) -> str:
    """The text of a Python file, by the encoding that it declares."""
    from io import BytesIO
    from tokenize import detect_encoding

    try:
        encoding = detect_encoding(BytesIO(content).readline)[0]
        return content.decode(encoding, "replace").replace("\r\n", "\n")
    except (SyntaxError, LookupError):
        return content.decode("utf-8", "replace")


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
