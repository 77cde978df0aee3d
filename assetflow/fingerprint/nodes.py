"""The graph of what a function reaches: nodes with a digest of their own, and labelled references between them."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct, field

from assetflow.fingerprint.files import ProjectFiles
from assetflow.fingerprint.hashing import digest
from assetflow.fingerprint.signs import RUNS_TEXT, SEES_MODULE, SEES_PROJECT, hidden_sign
from assetflow.model.code import CodeNote

Reference = int | str
"""A node, or what stands for something outside the project: `function numpy.where`."""


class Origin(Struct, frozen=True):
    """Where an object was met: a file, its module, and the object's name there.

    `direct`: it is the value of that name in the module, so the module's text says how it is made.
    """

    file: str
    module: str
    name: str
    direct: bool = False

    def inside(self, part: str) -> Origin:
        """Where a part of the object is."""
        return Origin(self.file, self.module, self.name + part, self.direct)


class Node(Struct):
    """Something that has its own digest and refers to others by label.

    `tree` digests its text as it counts mostly, `full` with docstrings and annotations, `rest` holds what else counts.
    `place` is the file and the first and last line of its text; values have `text` instead.
    """

    kind: str = "value"
    module: str = ""
    name: str = ""
    tree: str = ""
    full: str = ""
    rest: bytearray = field(default_factory=bytearray)
    edges: list[tuple[str, int]] = field(default_factory=list[tuple[str, int]])
    outside: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    notes: list[CodeNote] = field(default_factory=list[CodeNote])
    signs: frozenset[str] = frozenset()
    marks: tuple[str, ...] = ()
    place: tuple[str, int, int] = ("", 0, 0)
    text: str = ""


class Graph:
    """Nodes, each made once for the object that it stands for."""

    def __init__(self, files: ProjectFiles) -> None:
        self.files = files
        self.nodes: list[Node] = []
        self._known: dict[object, int] = {}
        self._kept: list[object] = []  # identities are keys, so what they belong to must stay alive
        self._waiting: list[tuple[Callable[[Node], None], Node]] = []

    def once(self, key: object, value: object, fill: Callable[[Node], None]) -> int:
        """The node with this key; `fill` is put off, so that deep call chains need no deep stack."""
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = len(self.nodes)
            node = Node()
            self.nodes.append(node)
            self._kept.append(value)
            self._waiting.append((fill, node))
        return found

    def fill(self) -> None:
        """Fill the nodes that wait for it."""
        while self._waiting:
            fill, node = self._waiting.pop()
            fill(node)
            if len(node.edges) > 1:
                node.edges = sorted(set(node.edges))

    def refer(self, node: Node, label: str, reference: Reference) -> bytes:
        """Note the reference as an edge, or give the bytes that stand for it."""
        if isinstance(reference, int):
            node.edges.append((label, reference))
            return b""
        node.outside.append((label, reference))
        sign = hidden_sign(label, reference)
        if sign:
            node.signs |= {sign}
            if sign in (SEES_PROJECT, SEES_MODULE, RUNS_TEXT):
                node.edges.append(("sees project", self.project()))
                why = f"it may call {reference.partition(' ')[2]} with anything: the whole project counts"
                node.notes.append(CodeNote("dynamic", node.name, why))
        return f"{label}={reference};".encode("utf-8", "surrogatepass")

    def resolve(self, value: object, origin: Origin) -> Reference:
        """The node of a project object, or the name that stands for something outside the project."""
        raise NotImplementedError

    def module(self, file: str) -> int:
        """The node of a whole file and of all project files that it imports."""

        def fill(node: Node) -> None:
            node.kind, node.name = "module", "(whole module)"
            node.module = self.files.relative(file).removesuffix(".py").replace("/", ".")
            node.place = (file, 1, 0)
            node.tree = self.files.tree(file)
            found = self.files.index(file)
            for imported in () if found is None else found.imports:
                label = f"import {'.' * imported.level}{imported.module}.{imported.name}"
                node.edges.extend((label, self.module(one)) for one in self.files.imported_files(file, imported))

        return self.once(("module", file), file, fill)

    def project(self) -> int:
        """The node of all files of the project, for code of which only a run can say what it reaches."""

        def fill(node: Node) -> None:
            node.kind, node.name = "module", "(whole project)"
            lines = [f"{self.files.relative(file)} {self.files.tree(file)}" for file in self.files.all_files()]
            node.text = "\n".join(lines)
            node.tree = digest("project", node.text.encode())

        return self.once("project", None, fill)
