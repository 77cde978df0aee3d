"""The fingerprint of a function: its own syntax tree and everything of the project that it reaches.

The function's names are followed through the live objects, because only they say what a name means. What is followed:
project functions and classes, values, closure cells, defaults, wrapped functions, project modules. What lies outside
the project counts by name alone. What is not understood counts as the text that made it: a fingerprint may change too
often, never too seldom, and it says where it saw more than it needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from textwrap import dedent
from types import FunctionType
from typing import Any, cast

from msgspec import Struct, field
from msgspec.structs import astuple

from assetflow.fingerprint.alone import Alone, alone
from assetflow.fingerprint.duckdb import shares_duckdb
from assetflow.fingerprint.files import ProjectFiles
from assetflow.fingerprint.graph import closure_digests, reachable
from assetflow.fingerprint.hashing import digest
from assetflow.fingerprint.nodes import Node, Origin
from assetflow.fingerprint.objects import ValueDigest
from assetflow.fingerprint.outside import distributions, is_standard
from assetflow.fingerprint.resolve import Resolver
from assetflow.fingerprint.signs import READS_ANNOTATIONS, READS_DOCS, READS_NAMES, READS_TEXT
from assetflow.fingerprint.wrapped import closure_values
from assetflow.model.code import CodeNote, CodeSource

__all__ = ["CodeFingerprint", "Fingerprinter", "closure_values", "code_fingerprint"]


class CodeFingerprint(Struct, frozen=True):
    """What a function means.

    `parts` maps the name of each function, class or value in it to its own digest, the function itself first;
    `sources` holds their texts by these digests; `notes` say where more counts than is used, or less is known;
    `packages` are the installed distributions that are reached, with their versions. `shares_duckdb` says whether the
    connection of DuckDB that a whole process shares is reached.
    """

    digest: str
    parts: Mapping[str, str]
    sources: Mapping[str, CodeSource] = field(default_factory=dict[str, CodeSource])
    notes: tuple[CodeNote, ...] = ()
    packages: Mapping[str, str] = field(default_factory=dict[str, str])
    shares_duckdb: bool = False


class _Variant(Struct):
    """The digests of nodes when docstrings and annotations, whole texts, or the places of definitions count as well."""

    full: bool
    text: bool
    names: bool
    local: list[str] = field(default_factory=list[str])
    sources: list[CodeSource] = field(default_factory=list[CodeSource])
    closures: dict[int, str] = field(default_factory=dict[int, str])
    reached: set[int] = field(default_factory=set[int])


def code_fingerprint(function: Callable[..., object], project_roots: Iterable[str | Path]) -> CodeFingerprint:
    """The fingerprint of one function; for many functions one `Fingerprinter` is quicker."""
    return Fingerprinter(ProjectFiles(project_roots)).of(function)


class Fingerprinter:
    """Fingerprints of the functions of one loaded project, each helper looked at once.

    Args:
        files: the files of the project.
        value_digest: gives plain data for values of numpy, pandas, pyarrow and polars, or None.
        texts: code that was reached before, by local digest; without it what is known of functions is not made use of.
    """

    def __init__(
        self,
        files: ProjectFiles,
        value_digest: ValueDigest | None = None,
        texts: Mapping[str, CodeSource] | None = None,
    ) -> None:
        self._files, self._texts = files, texts or {}
        self._kept: dict[str, CodeSource] = {}
        self._graph = Resolver(files, value_digest)
        self._variants: dict[tuple[bool, bool, bool], _Variant] = {}
        self._edges: list[list[tuple[str, int]]] = []
        self._names: list[tuple[str, str, str]] = []
        self._signed: set[int] = set()
        self._noted: set[int] = set()
        self._sharing: set[int] = set()

    def of(self, function: Callable[..., object]) -> CodeFingerprint:
        """The fingerprint of `function`."""
        if (known := self._known(function)) is not None:
            return known
        module = getattr(function, "__module__", None) or ""
        origin = Origin(getattr(getattr(function, "__code__", None), "co_filename", ""), module, "function")
        reference = self._graph.resolve(function, origin)
        self._graph.fill()
        if isinstance(reference, str):
            found = digest("external", reference.encode())
            return CodeFingerprint(found, {reference: found}, {}, (), distributions([reference]))
        self._note_new()
        members = reachable(reference, self._edges)
        variant = self._variant(members)
        closure_digests(reference, self._edges, variant.local, variant.closures)
        variant.reached.update(members)
        noted = [member for member in members if member in self._noted]
        nodes = self._graph.nodes
        found = CodeFingerprint(
            variant.closures[reference],
            self._parts(members, module, variant.local),
            {variant.local[member]: variant.sources[member] for member in members},
            tuple(dict.fromkeys(note for member in noted for note in nodes[member].notes)),
            distributions(name for member in noted for _, name in nodes[member].outside),
            not self._sharing.isdisjoint(noted),
        )
        if members == [reference] and isinstance(function, FunctionType):
            self._keep(function, nodes[reference], found)
        return found

    def _known(self, function: Callable[..., object]) -> CodeFingerprint | None:
        """What an earlier load found, of a function of which it still holds."""
        if not self._texts or not isinstance(function, FunctionType):
            return None
        code = function.__code__
        rows, key = self._files.alone(code)
        if key not in rows:
            return None
        one = Alone(*cast("list[Any]", rows[key]))
        source, place = self._texts.get(one.local), (self._files.relative(code.co_filename), code.co_firstlineno)
        if source is None or (source.file, source.line) != place or not one.holds(function, self._graph):
            return None
        self._kept[one.local] = source
        sources, packages = {one.local: source}, distributions(one.outside)
        return CodeFingerprint(one.digest, {one.name: one.local}, sources, (), packages, one.shares_duckdb)

    def _keep(self, function: FunctionType, node: Node, found: CodeFingerprint) -> None:
        ((name, local),) = found.parts.items()
        one = alone(function, node, self._graph, (found.digest, local, name, found.shares_duckdb))
        if one is not None:
            rows, key = self._files.alone(function.__code__)
            rows[key] = list(astuple(one))
            self._files.has_more = True

    def sources(self) -> dict[str, CodeSource]:
        """The texts of all that the fingerprints reached so far, by local digest."""
        return self._kept | {
            one.local[member]: one.sources[member] for one in self._variants.values() for member in sorted(one.reached)
        }

    def _note_new(self) -> None:
        """Keep of new nodes what every fingerprint that reaches them asks for."""
        for place, node in enumerate(self._graph.nodes[len(self._edges) :], start=len(self._edges)):
            self._edges.append(node.edges)
            self._names.append((node.module, node.name, f"{node.module.rpartition('.')[2]}.{node.name}"))
            if node.signs:
                self._signed.add(place)
            if node.notes or any(not is_standard(name.partition(" ")[2]) for _, name in node.outside):
                self._noted.add(place)
                if shares_duckdb(node, self._text_of):
                    self._sharing.add(place)

    def _variant(self, members: Iterable[int]) -> _Variant:
        signed = self._signed.intersection(members) if self._signed else ()
        signs = frozenset[str]().union(*(self._graph.nodes[member].signs for member in signed))
        full = READS_DOCS in signs or READS_ANNOTATIONS in signs
        key = (full, READS_TEXT in signs, READS_NAMES in signs)
        variant = self._variants.get(key)
        if variant is None:
            variant = self._variants[key] = _Variant(*key)
        for node in self._graph.nodes[len(variant.local) :]:
            variant.local.append(self._local(node, variant))
            variant.sources.append(self._source(node, variant))
        return variant

    def _parts(self, members: Iterable[int], root_module: str, local: list[str]) -> dict[str, str]:
        """The local digests by readable name; the full module name only where the short one is taken."""
        parts: dict[str, str] = {}
        again: list[int] = []
        for member in members:
            module, name, short = self._names[member]
            shown = name if module == root_module else short
            if shown in parts:
                again.append(member)
            else:
                parts[shown] = local[member]
        for member in again:
            module, name, _ = self._names[member]
            shown, count = f"{module}.{name}", 1
            while shown in parts:
                count += 1
                shown = f"{module}.{name}#{count}"
            parts[shown] = local[member]
        return parts

    def _local(self, node: Node, variant: _Variant) -> str:
        tree = node.full if variant.full and node.full else node.tree
        text = self._text_of(node) if variant.text and not node.text else ""
        place = f"{node.module}.{node.name}" if variant.names and node.kind in ("function", "class") else ""
        return digest(node.kind, tree.encode(), bytes(node.rest), text.encode("utf-8", "replace"), place.encode())

    def _source(self, node: Node, variant: _Variant) -> CodeSource:
        file, line, _ = node.place
        marks = ("(docstrings count)",) if variant.full and not node.text else node.marks
        text = node.text or self._text_of(node)
        relative = self._files.relative(file) if file else ""
        return CodeSource(node.kind, relative, line, text, (*marks, *self._refers(node)))

    def _refers(self, node: Node) -> list[str]:
        targets = [(label, self._graph.nodes[target]) for label, target in node.edges]
        inside = [f"{label} -> {one.module}.{one.name}" for label, one in targets]
        return sorted({*inside, *(f"{label} -> {name}" for label, name in node.outside)})

    def _text_of(self, node: Node) -> str:
        """The text of a piece of code; of a module the whole file."""
        file, line, end = node.place
        if not file or node.kind not in ("function", "class", "module"):
            return node.text
        lines = self._files.lines(file)
        text = "".join(lines[line - 1 : end] if end else lines)
        return (dedent(text) if text[:1].isspace() else text).rstrip()
