"""What names mean: chains of names followed through the live modules to the objects behind them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from types import FunctionType, ModuleType
from typing import cast

from assetflow.fingerprint.files import ProjectFiles, loaded_modules
from assetflow.fingerprint.hashing import digest
from assetflow.fingerprint.index import Piece
from assetflow.fingerprint.nodes import Node, Origin, Reference
from assetflow.fingerprint.objects import ValueDigest, Values, order_digest
from assetflow.fingerprint.outside import is_standard
from assetflow.fingerprint.scopes import ImportedName
from assetflow.fingerprint.signs import READS_SUBCLASSES, RUNS_TEXT, SEES_MODULE, SEES_PROJECT
from assetflow.fingerprint.spoken import LOOK_UP, may_be_meant, words_of
from assetflow.fingerprint.wrapped import file_of
from assetflow.model.code import CodeNote

UNSET = object()
Met = tuple[str, Reference, str | None]
"""What a chain leads to: a label, the reference, and a digest of its order where code can see one."""
_CODE = (FunctionType, type, ModuleType)


class Names(Values):
    """Follows the names that a piece of code reads."""

    def __init__(self, files: ProjectFiles, value_digest: ValueDigest | None = None) -> None:
        super().__init__(files, value_digest)
        self._met: dict[tuple[int, str], Met | None] = {}
        self._places: dict[tuple[str, str], Origin | None] = {}
        self._by_file: dict[str, ModuleType] | None = None
        self._patched: dict[str, list[tuple[str, object, Origin]]] | None = None

    def read_names(
        self, node: Node, piece: Piece, chains: Iterable[str], cells: Mapping[str, object],
        names: dict[str, object], origin: Origin,
    ) -> None:  # fmt: skip
        """Follow every chain of a piece of code."""
        bound = _bound_by_imports(piece.imports) if piece.imports else {}
        for chain in chains:
            first = chain.partition(".")[0]
            if first in cells:
                self._note(
                    node, self._follow(chain, cells[first], Origin(origin.file, origin.module, first)), chain, piece
                )
                continue
            if first in bound:
                self._follow_import(node, chain, bound[first], piece, origin)
            met = self._meet(chain, names, origin)
            if met is not None:
                self._note(node, met, chain, piece)
        for imported in piece.imports:
            self._read_import(node, imported, piece, origin)
        if not (LOOK_UP.isdisjoint(piece.attributes) and LOOK_UP.isdisjoint(chains)):
            self._read_words(node, piece, chains, cells, names, origin)
        if piece.signs:
            self._heed(node, piece, names, origin)
        self._read_patched(node, piece)

    def leads_to(self, chain: str, names: dict[str, object], origin: Origin) -> Reference | None:
        """What a chain of globals means; None for a name that is built in, or that nothing has."""
        met = self._meet(chain, names, origin)
        return None if met is None else met[1]

    def _meet(self, chain: str, names: dict[str, object], origin: Origin) -> Met | None:
        key = (id(names), chain)
        if key not in self._met:
            first = chain.partition(".")[0]
            value = names.get(first, UNSET)  # what is no global is built in, or fails: its name says it all
            self._met[key] = None if value is UNSET else self._follow(chain, value, self.place_of(first, origin))
        return self._met[key]

    def _read_words(
        self, node: Node, piece: Piece, chains: Iterable[str], cells: Mapping[str, object],
        names: dict[str, object], origin: Origin,
    ) -> None:  # fmt: skip
        """Follow what texts name: those in the piece, and those that names of the module or of a closure mean."""
        texts = [value for chain in chains if isinstance(value := cells.get(chain, names.get(chain)), str)]
        words = {word for text in texts for word in words_of(text)}.union(piece.words)
        for word in sorted(words):
            chain = word.lstrip("@")
            first = chain.partition(".")[0]
            value = cells.get(first, names.get(first, UNSET))
            if value is UNSET or first in piece.bound or not may_be_meant(word, value):
                continue
            place = Origin(origin.file, origin.module, first) if first in cells else self.place_of(first, origin)
            self._note(node, self._follow(chain, value, place), chain, piece)

    def _note(self, node: Node, met: Met, chain: str, piece: Piece) -> None:
        label, reference, order = met
        node.rest += self.refer(node, label, reference)
        if order is not None and chain in piece.ordered:
            node.rest += f"{label} in order {order};".encode()

    def _follow(self, chain: str, value: object, origin: Origin) -> Met:
        """Walk a chain through project modules to the object that it means."""
        rest = chain.split(".")[1:]
        while rest and isinstance(value, ModuleType):
            if not self.files.is_project_module(value):
                return chain, f"module {value.__name__}.{'.'.join(rest)}", None
            inner = vars(value).get(rest[0], UNSET)
            if inner is UNSET:
                break  # a module with __getattr__, or a submodule imported later: the whole module stands for it
            file = getattr(value, "__file__", None) or ""
            origin, value = self.place_of(rest[0], Origin(file, value.__name__, "")), inner
            rest = rest[1:]
        return chain, self.resolve(value, origin), order_digest(value)

    def place_of(self, name: str, origin: Origin) -> Origin:
        """The module that defines `name`, followed through `from module import name`."""
        for _ in range(20):  # a chain of re-exports may be circular
            key = (origin.file, name)
            if key not in self._places:
                self._places[key] = self._imported_from(name, origin)
            found = self._places[key]
            if found is None:
                break
            origin, name = found, found.name
        return Origin(origin.file, origin.module, name, direct=True)

    def _imported_from(self, name: str, origin: Origin) -> Origin | None:
        """Where the module of `origin` imports the name from, when that is the project."""
        source = self.files.index(origin.file) if self.files.is_project(origin.file) else None
        for one in reversed(source.imports) if source else ():
            if one.name and name == (one.bound or one.name):
                files = self.files.imported_files(origin.file, one)
                return Origin(files[0], one.module or origin.module, one.name) if files else None
            if one.name == "*":
                files = self.files.imported_files(origin.file, one)
                module = self.loaded_from(files[0]) if files else None
                if module is not None and name in vars(module) and name not in (source.names if source else ()):
                    return Origin(files[0], module.__name__, name)
        return None

    def loaded_from(self, file: str) -> ModuleType | None:
        """The module that was imported from a file of the project."""
        if self._by_file is None:
            self._by_file = {file: one for _, file, one in loaded_modules() if self.files.is_project(file)}
        return self._by_file.get(file)

    # ---------------------------------------------------------------------------------- imports in functions

    def _read_import(self, node: Node, imported: ImportedName, piece: Piece, origin: Origin) -> None:
        """An import inside a function: its chains are followed elsewhere; what is not loaded counts as a whole."""
        files = self.files.imported_files(origin.file, imported)
        label = f"import {'.' * imported.level}{imported.module}.{imported.name}"
        if not files:
            node.rest += self.refer(node, label, f"module {imported.module}.{imported.name}")
            return
        first = _binds(imported)
        is_followed = imported.bound != "?" and any(one.partition(".")[0] == first for one in piece.chains)
        if is_followed and all(self.loaded_from(file) is not None for file in files):
            return
        for file in files:
            module = self.loaded_from(file)
            value = UNSET if module is None else vars(module).get(imported.name, UNSET)
            if value is not UNSET and imported.name:
                place = self.place_of(imported.name, Origin(file, imported.module, ""))
                node.rest += self.refer(node, label, self.resolve(value, place))
                return
            node.edges.append((label, self.module(file)))
            why = (
                f"{piece.name} imports it when it runs, and nothing does before: all of it counts"
                if module is None
                else f"it is imported by {piece.name}, which does not say what it takes of it"
            )
            node.notes.append(CodeNote("widened", self.files.relative(file), why))

    def _follow_import(self, node: Node, chain: str, imported: ImportedName, piece: Piece, origin: Origin) -> None:
        """A chain whose first name an import inside the function binds."""
        files = self.files.imported_files(origin.file, imported)
        if not files or any(self.loaded_from(file) is None for file in files):
            return  # counted as a whole, or by name
        module = self.loaded_from(files[-1])
        if imported.name:
            module = self.loaded_from(files[0])
            value = UNSET if module is None else vars(module).get(imported.name, UNSET)
            if value is UNSET:
                node.edges.extend((f"import {chain}", self.module(file)) for file in files)
                return
            place = self.place_of(imported.name, Origin(files[0], imported.module, ""))
            self._note(node, self._follow(chain, value, place), chain, piece)
            return
        top = module if imported.bound else sys.modules.get(imported.module.partition(".")[0])
        if top is not None:
            self._note(node, self._follow(chain, top, Origin("", "", "")), chain, piece)

    # ---------------------------------------------------------------------------------- what needs care

    def _heed(self, node: Node, piece: Piece, names: dict[str, object], origin: Origin) -> None:
        """Let more count where the text says that it may reach more."""
        node.signs |= piece.signs
        seen = {SEES_MODULE: "widened", RUNS_TEXT: "dynamic"}
        for sign, kind in seen.items():
            if sign in piece.signs and self.files.is_project(origin.file):
                module = self.loaded_from(origin.file)
                node.edges.append(("sees", self.module(origin.file) if module is None else self.whole(module)))
                why = (
                    "it may read any name of its module"
                    if kind == "widened"
                    else "it runs code that is made when it runs"
                )
                node.notes.append(CodeNote(kind, piece.name, f"{why}: all of the module and what it imports counts"))
        if SEES_PROJECT in piece.signs or (READS_SUBCLASSES in piece.signs and not piece.is_class):
            node.edges.append(("sees project", self.project()))
            dynamic = SEES_PROJECT in piece.signs
            why = "which module it imports is only known when it runs" if dynamic else "it asks for all subclasses"
            kind = "dynamic" if dynamic else "widened"
            node.notes.append(CodeNote(kind, piece.name, f"{why}: the whole project counts"))

    def whole(self, module: ModuleType) -> int:
        """The node of a module that is used as a value: its text, what it imports, and the values that it holds now."""

        def fill(node: Node) -> None:
            file: str | None = getattr(module, "__file__", None)
            node.kind, node.module, node.name = "module", module.__name__, "(module with its values)"
            if file is None:  # a package without `__init__.py`: what lies in it may be imported at any time
                node.edges.append(("folder", self.project()))
            else:
                node.place = (file, 1, 0)
                node.tree = digest("module", b"")
                node.edges.append(("text", self.module(file)))
            node.notes.append(
                CodeNote("widened", module.__name__, "the module is used as a value, so all of it counts")
            )
            for name, value in sorted(vars(module).items()):
                if name.startswith("__") or isinstance(value, _CODE) or callable(value):
                    continue
                origin = self.place_of(name, Origin(file or "", module.__name__, ""))
                node.rest += self.refer(node, f"value {name}", self.resolve(value, origin))
                node.rest += (order_digest(value) or "").encode()

        return self.once(("whole", id(module)), module, fill)

    # ---------------------------------------------------------------------------------- attributes of others

    def _read_patched(self, node: Node, piece: Piece) -> None:
        """What the project put on objects of others by one of these names: `frame.total` may be ours."""
        if not (patched := self._all_patched()):
            return
        alone = (chain for chain in piece.chains if "." not in chain)  # such a name may be put on `builtins`
        read = piece.attributes.union(alone)
        for name in sorted(read & patched.keys()):
            for label, value, origin in patched[name]:
                node.rest += self.refer(node, label, self.resolve(value, origin))

    @property
    def has_patches(self) -> bool:
        """Whether the project put anything on objects of others."""
        return bool(self._all_patched())

    def _all_patched(self) -> dict[str, list[tuple[str, object, Origin]]]:
        if self._patched is None:
            self._patched = self._find_patched()
        return self._patched

    def _find_patched(self) -> dict[str, list[tuple[str, object, Origin]]]:
        found: dict[str, list[tuple[str, object, Origin]]] = {}
        for name, file, module in loaded_modules():
            index = self.files.index(file) if self.files.is_project(file) else None
            for chain in index.patches if index else ():
                *path, last = chain.split(".")
                owner = _walk(vars(module), path)
                value = UNSET if owner is UNSET else getattr(owner, last, UNSET)
                if value is not UNSET and self._is_foreign(owner):
                    found.setdefault(last, []).append(
                        (f"put on {'.'.join(path)}.{last}", value, Origin(file, name, chain))
                    )
            for called, attribute, cls in index.accessors if index else ():
                decorator, value = _walk(vars(module), called.split(".")), vars(module).get(cls, UNSET)
                if value is not UNSET and decorator is not UNSET and self._registers(decorator):
                    found.setdefault(attribute, []).append(
                        (f"registered as {attribute}", value, Origin(file, name, cls))
                    )
        return found

    def _registers(self, decorator: object) -> bool:
        """Whether a decorator with a name for its argument may put an attribute of that name on something."""
        home = str(getattr(decorator, "__module__", None) or type(decorator).__module__)
        return not home.startswith("assetflow.") and not is_standard(home) and self._is_foreign(decorator)

    def _is_foreign(self, owner: object) -> bool:
        """Whether an object is not the project's, so that what was put on it is not seen with it."""
        if isinstance(owner, ModuleType):
            return not self.files.is_project_module(owner)
        if isinstance(owner, FunctionType):
            return not self.files.is_project(owner.__code__.co_filename)
        return not self.files.is_project(file_of(owner if isinstance(owner, type) else type(owner)))


def _walk(names: Mapping[str, object], path: Iterable[str]) -> object:
    first, *rest = path
    value = names.get(first, UNSET)
    for name in rest:
        value = getattr(value, name, UNSET)
    return value


def _binds(imported: ImportedName) -> str:
    return imported.bound or imported.name or imported.module.partition(".")[0]


def _bound_by_imports(imports: Iterable[ImportedName]) -> dict[str, ImportedName]:
    return {_binds(one): one for one in imports if one.bound != "?" and (one.name or one.module)}


def names_of(module: str) -> dict[str, object]:
    """The names of a loaded module."""
    return cast("dict[str, object]", vars(sys.modules[module])) if module in sys.modules else {}
