"""What a file says, in a form that can be kept: its functions and classes, what they read, what it imports.

Making it takes parsing, which is most of the cost of fingerprints; so it is kept by the content of the file.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Sequence, Set
from operator import itemgetter
from typing import cast

from msgspec import Struct

from assetflow.fingerprint.atoms import Opaque
from assetflow.fingerprint.encode import encode_tree, leave_out_policies, local_annotations, signature_annotations
from assetflow.fingerprint.hashing import digest
from assetflow.fingerprint.scopes import ImportedName, free_chains, imports_in, names_read
from assetflow.fingerprint.signs import constant_imports, signs_of, statement_signs
from assetflow.fingerprint.spoken import spoken_in
from assetflow.fingerprint.trees import children, walk

FORMAT = "index-4"
"""Part of the key under which indexes are kept; another form of them needs another."""

FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
_PIECES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_IMPORTS = (ast.Import, ast.ImportFrom)


class Decorator(Struct, frozen=True):
    """One decorator: the chain that it calls (empty when it is more than a name), its digest, and what it reads."""

    called: str
    tree: str
    chains: tuple[str, ...]
    argument: str  # its first argument, when that is a text


class Piece(Struct, frozen=True):
    """A function, lambda or class as its text says it.

    `tree` is the digest without docstrings and annotations that nothing reads, `annotated` with the latter, `full` with
    both. `span` is where the body of a lambda stands. `signs` name what the text does that needs care (`signs.py`).
    `literals` are the digests of a class's constants. `places` are the line and column of each parameter,
    and under the empty name those of the function's own name. `words` of its texts may be names (`spoken.py`), unless
    they are `bound` in it; both are only known where the text calls something that looks names up.
    """

    name: str
    line: int
    end: int
    span: tuple[int, ...]
    tree: str
    annotated: str
    full: str
    decorators: tuple[Decorator, ...]
    chains: tuple[str, ...]
    annotation_chains: tuple[str, ...]
    ordered: frozenset[str]
    attributes: frozenset[str]
    imports: tuple[ImportedName, ...]
    signs: frozenset[str]
    literals: dict[str, str]
    places: dict[str, tuple[int, int]]
    words: tuple[str, ...]
    bound: frozenset[str]
    is_class: bool


Row = list[object]
_PLACES = 15  # in a row
_RowParts = tuple[
    str, int, int, list[int], str, str, str, list[tuple[str, str, str, str]], str, str, str, str,
    list[tuple[int, str, str, str]], str, dict[str, str], dict[str, tuple[int, int]], str, str, bool,
]  # fmt: skip


class FileIndex:
    """The index of one file. `row` is its JSON form; pieces are read out of it when they are asked for.

    First in it is the digest of the whole file, once somebody has asked `ProjectFiles.tree` for it. `alone` is what is
    kept of functions that reach nothing of the project (`alone.py`), by name and line.
    """

    def __init__(self, row: list[object]) -> None:
        _, imports, names, patches, accessors, pieces, _, alone = row
        self.row = row
        self.imports = tuple(ImportedName(*one) for one in cast("list[tuple[int, str, str, str]]", imports))
        self.names = cast("dict[str, list[object]]", names)
        self.patches = tuple(cast("list[str]", patches))
        self.accessors = cast("list[list[str]]", accessors)
        self._rows = cast("list[Row]", pieces)
        self.alone = cast("dict[str, object]", alone)
        self._functions: dict[tuple[str, int], list[int]] = {}
        self._classes: dict[str, list[int]] = {}
        for place, found in enumerate(self._rows):
            name, line = cast("str", found[0]), cast("int", found[1])
            if found[-1]:
                self._classes.setdefault(name, []).append(place)
            else:
                self._functions.setdefault((name, line), []).append(place)
        self._read: dict[int, Piece] = {}

    def functions(self, name: str, line: int) -> list[Piece]:
        """The functions with this qualified name that start on this line: several only for lambdas."""
        return [self._piece(place) for place in self._functions.get((name, line), ())]

    def places(self, name: str, line: int) -> list[tuple[str, dict[str, tuple[int, int]]]]:
        """The names and the `places` of the functions that `functions` gives, without reading out the rest of them."""
        rows = (self._rows[place] for place in self._functions.get((name, line), ()))
        return [(cast("str", row[0]), cast("dict[str, tuple[int, int]]", row[_PLACES])) for row in rows]

    def classes(self, name: str) -> list[Piece]:
        """The classes with this qualified name."""
        return [self._piece(place) for place in self._classes.get(name, ())]

    def line_of(self, name: str) -> int:
        """The line of the statement that gives a name of the module its value, or 0."""
        found = self.names.get(name)
        return 0 if found is None else cast("int", found[0])

    def signs_of(self, name: str) -> str:
        """What the statement that gives a name its value does: `volatile`, `environment`, or nothing."""
        found = self.names.get(name)
        return "" if found is None else cast("str", found[1])

    def _piece(self, place: int) -> Piece:
        found = self._read.get(place)
        if found is None:
            found = self._read[place] = _piece_of(self._rows[place])
        return found


class Earlier:
    """The rows of functions and classes in indexes that were made before, by the digest of their text."""

    def __init__(self, rows: Iterable[Sequence[object]]) -> None:
        self._known: dict[str, tuple[int, list[Row], dict[str, object]]] = {}
        for row in rows:
            pieces, alone = cast("list[Row]", row[5]), cast("dict[str, object]", row[7])
            for text, line, start, end in cast("list[tuple[str, int, int, int]]", row[6]):
                self._known[text] = line, pieces[start:end], alone

    def rows(self, text: str, line: int, alone: dict[str, object]) -> list[Row] | None:
        """The rows of what is in a statement with this text that starts on `line`; None when there was none such.

        What is known of functions alone goes along where the line is the same, into `alone`.
        """
        found = self._known.get(text)
        if found is None:
            return None
        before, rows, known = found
        if before != line:
            return [_moved(row, line - before) for row in rows]
        names = (place_key(cast("str", row[0]), cast("int", row[1])) for row in rows)
        alone.update((name, known[name]) for name in names if name in known)
        return rows


def place_key(name: str, line: int) -> str:
    """What a function with this qualified name that starts on this line is kept under."""
    return f"{name}:{line}"


def index_of(tree: ast.Module, content: bytes, earlier: Earlier | None = None) -> FileIndex:
    """The index of a file with this content, parsed.

    Functions and classes of the module whose text was in an index before are taken from there (`earlier`). The digest
    of the whole tree is left empty: it takes as long as a good part of the rest, and hardly ever anybody asks for it.
    """
    lines, marks = _lines(content)
    imports: list[tuple[int, int, ast.stmt]] = []
    patches: set[str] = set()
    pieces: list[Row] = []
    texts: list[list[object]] = []
    known: dict[int, bytes] = {}
    alone: dict[str, object] = {}
    for place, statement in reversed(list(enumerate(tree.body))):
        line, text = _text_of(statement, lines, marks)
        rows = earlier.rows(text, line, alone) if earlier is not None and text else None
        if rows is None:
            nodes = leave_out_policies(statement)
            kinds = set(map(type, nodes))
            inside = local_annotations(statement) if ast.AnnAssign in kinds else set[int]()
            rows = [_row(node, name, inside, known) for node, name in _pieces(statement, nodes)]
            own = _set_chains(statement, inside, nodes) | set(_set_by_name(nodes))
            patches |= own
            depths = () if kinds.isdisjoint(_IMPORTS) else _imports_by_depth(statement)
            found = [(depth, place, one) for depth, one in depths]
            imports += found
            if own or found:
                text = ""  # what such a statement says is not all in its rows
        if text:
            texts.append([text, line, len(pieces), len(pieces) + len(rows)])
        pieces += rows
    accessors = [
        [called, argument, str(row[0])]
        for row in pieces
        for called, _, _, argument in cast("list[tuple[str, str, str, str]]", row[7])
        if argument.isidentifier() and "." not in str(row[0])
    ]
    imports.sort(key=itemgetter(0, 1))  # those further out first, as the last one of a name is taken
    named = [[one.level, one.module, one.name, one.bound] for one in imports_in(one for _, _, one in imports)]
    names = {name: [line, signs] for name, line, signs in _names(tree)}
    return FileIndex(["", named, names, sorted(patches), accessors, pieces, texts, alone])


def tree_digest(tree: ast.Module) -> str:
    """The digest of a whole file."""
    leave_out_policies(tree)
    return digest("tree", encode_tree(tree, local_annotations(tree)))


def _lines(content: bytes) -> tuple[list[bytes], bytes]:
    """The lines as Python counts them, and those that say how the bytes are meant, if any do."""
    lines = content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    first = b"\n".join(lines[:2])
    return lines, first if b"coding" in first else b""


def _text_of(statement: ast.stmt, lines: list[bytes], marks: bytes) -> tuple[int, str]:
    """The first line of a function or class of the module, and the digest of its text; empty for other statements."""
    if not isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        return statement.lineno, ""
    line = min([statement.lineno, *(one.lineno for one in statement.decorator_list)])
    return line, digest("text", marks, b"\n".join(lines[line - 1 : statement.end_lineno]))


def _moved(row: Row, by: int) -> Row:
    """The row of a piece that now stands so many lines further down."""
    moved = list(row)
    moved[1], moved[2] = cast("int", row[1]) + by, cast("int", row[2]) + by
    if span := cast("list[int]", row[3]):
        moved[3] = [span[0] + by, span[1], span[2] + by, span[3]]
    places = cast("dict[str, tuple[int, int]]", row[_PLACES])
    moved[_PLACES] = {name: [line + by, column] for name, (line, column) in places.items()}
    return moved


def _imports_by_depth(statement: ast.stmt) -> Iterator[tuple[int, ast.stmt]]:
    """The imports in a statement, each with how far inside it stands; those further out come first."""
    level: list[ast.AST] = [statement]
    depth = 0
    while level:
        yield from ((depth, one) for one in level if isinstance(one, (ast.Import, ast.ImportFrom)))
        level = [child for one in level for child in children(one)]
        depth += 1


def _digests(
    node: ast.AST, nodes: Iterable[ast.AST], left_out: Set[int], annotations: Set[int], known: dict[int, bytes]
) -> tuple[str, str, str]:
    annotated = digest("tree", encode_tree(node, left_out, known=known))
    plain = digest("tree", encode_tree(node, left_out | annotations, known=known)) if annotations else annotated
    full = digest("tree", encode_tree(node, left_out, with_docs=True)) if _has_docs(nodes) else annotated
    return plain, annotated, full


def _row(node: FunctionNode | ast.ClassDef, name: str, local: Set[int], known: dict[int, bytes]) -> Row:
    nodes = walk(node)
    decorators: list[ast.expr] = list(getattr(node, "decorator_list", ()))
    left_out = local | {id(one) for one in decorators}
    annotations = signature_annotations(node, nodes)
    dropped = {id(one) for one in annotations}
    chains = free_chains(node, left_out | dropped, nodes)
    of_annotations = set[str]().union(*map(names_read, annotations)) - chains.every
    attributes = {one.attr for one in nodes if isinstance(one, ast.Attribute)}
    words, bound = spoken_in(nodes, attributes | chains.every)
    imports = [*imports_in(nodes), *(ImportedName(0, name, "", "?") for name in constant_imports(nodes))]
    span = _place(node.body) if isinstance(node, ast.Lambda) else []
    return [
        name, decorators[0].lineno if decorators else node.lineno, node.end_lineno or node.lineno, span,
        *_digests(node, nodes, left_out, dropped, known),
        [_decorator(one) for one in decorators],
        " ".join(sorted(chains.every)), " ".join(sorted(of_annotations)), " ".join(sorted(chains.ordered)),
        " ".join(sorted(attributes)),
        [[one.level, one.module, one.name, one.bound] for one in imports],
        " ".join(sorted(signs_of(nodes, chains.every))),
        _literals(node) if isinstance(node, ast.ClassDef) else {},
        {} if isinstance(node, ast.ClassDef) else _places(node),
        " ".join(sorted(words)), " ".join(sorted(bound)),
        isinstance(node, ast.ClassDef),
    ]  # fmt: skip


def _piece_of(row: Row) -> Piece:
    (
        name, line, end, span, tree, annotated, full, decorators, chains, of_annotations, ordered, attributes, imports,
        signs, literals, places, words, bound, is_class,
    ) = cast("_RowParts", tuple(row))  # fmt: skip
    return Piece(
        name, line, end, tuple(span), tree, annotated, full,
        tuple(Decorator(called, text, tuple(read.split()), given) for called, text, read, given in decorators),
        tuple(chains.split()), tuple(of_annotations.split()), frozenset(ordered.split()), frozenset(attributes.split()),
        tuple(ImportedName(*one) for one in imports), frozenset(signs.split()), literals,
        places, tuple(words.split()), frozenset(bound.split()), is_class,
    )  # fmt: skip


def _pieces(tree: ast.AST, nodes: Sequence[ast.AST]) -> Iterator[tuple[FunctionNode | ast.ClassDef, str]]:
    """The functions and classes at any depth, with their qualified names. `nodes` are those of the tree."""
    found = [one for one in nodes if isinstance(one, _PIECES)]
    if found == [tree] and isinstance(tree, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield tree, tree.name
    waiting: list[tuple[ast.AST, str]] = [(tree, "")] if found not in ([], [tree]) else []
    while waiting:
        node, inside = waiting.pop()
        if isinstance(node, _PIECES):
            name = inside + ("<lambda>" if isinstance(node, ast.Lambda) else node.name)
            yield node, name
            inside = name + ("." if isinstance(node, ast.ClassDef) else ".<locals>.")
        waiting.extend((child, inside) for child in children(node))


def _decorator(node: ast.expr) -> list[str]:
    called: ast.AST = node.func if isinstance(node, ast.Call) else node
    names: list[str] = []
    while isinstance(called, ast.Attribute):
        names.append(called.attr)
        called = called.value
    chain = ".".join([called.id, *reversed(names)]) if isinstance(called, ast.Name) else ""
    given = node.args[0] if isinstance(node, ast.Call) and node.args else None
    argument = given.value if isinstance(given, ast.Constant) and isinstance(given.value, str) else ""
    return [chain, digest("tree", encode_tree(node)), " ".join(sorted(free_chains(node).every)), argument]


def _place(node: ast.expr) -> list[int]:
    return [node.lineno, node.col_offset, node.end_lineno or 0, node.end_col_offset or 0]


def _places(node: FunctionNode) -> dict[str, list[int]]:
    before = 4 if isinstance(node, ast.FunctionDef) else 10 if isinstance(node, ast.AsyncFunctionDef) else 0
    found = {"": [node.lineno, node.col_offset + before + 1]}
    given = node.args
    for one in (*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg):
        if one is not None:
            found[one.arg] = [one.lineno, one.col_offset + 1]
    return found


def _has_docs(nodes: Iterable[ast.AST]) -> bool:
    return any(
        isinstance(one, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and ast.get_docstring(one) is not None
        for one in nodes
    )


def _names(tree: ast.Module) -> Iterator[tuple[str, int, str]]:
    """The names that statements of the module give a value, with the statement's line and signs; the last counts."""
    waiting: list[ast.stmt] = list(reversed(tree.body))
    while waiting:
        node = waiting.pop()
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            continue
        waiting.extend(one for one in children(node) if isinstance(one, ast.stmt))
        signs = ""
        for target in walk(node) if isinstance(node, (ast.Assign, ast.AnnAssign, ast.AugAssign, ast.With)) else ():
            if isinstance(target, ast.Name) and isinstance(target.ctx, ast.Store):
                signs = signs or statement_signs(node) or " "
                yield target.id, node.lineno, signs.strip()


def _set_chains(statement: ast.stmt, left_out: Set[int], nodes: Sequence[ast.AST]) -> set[str]:
    """`pandas.DataFrame.total = f` as a chain."""
    if all(isinstance(one.ctx, ast.Load) for one in nodes if isinstance(one, ast.Attribute)):
        return set()
    return {chain for chain in free_chains(statement, left_out, nodes).stored if "." in chain}


def _set_by_name(nodes: Iterable[ast.AST]) -> Iterator[str]:
    """`setattr(pandas.DataFrame, "total", f)` as the chain `pandas.DataFrame.total`."""
    for node in nodes:
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "setattr":
            target = free_chains(node.args[0]).every if node.args else frozenset[str]()
            name = node.args[1] if len(node.args) > 1 else None
            if len(target) == 1 and isinstance(name, ast.Constant) and isinstance(name.value, str):
                yield f"{next(iter(target))}.{name.value}"


def _literals(node: ast.ClassDef) -> dict[str, str]:
    """The digests of constants that a class body spells out; a name that is given two values is left out."""
    found: dict[str, list[ast.expr | None]] = {}
    for statement in node.body:
        targets = statement.targets if isinstance(statement, ast.Assign) else []
        if isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        for target in targets:
            if isinstance(target, ast.Name) and isinstance(statement, (ast.Assign, ast.AnnAssign)):
                found.setdefault(target.id, []).append(statement.value)
    literals: dict[str, str] = {}
    for name, values in found.items():
        if len(values) != 1 or values[0] is None:
            continue
        try:
            literals[name] = literal_digest(ast.literal_eval(values[0]))
        except (ValueError, TypeError, Opaque, RecursionError, MemoryError):
            continue
    return literals


def literal_digest(value: object) -> str:
    """The digest of a literal value.

    Raises:
        Opaque: it is more than plain data.
    """
    from assetflow.fingerprint.values import encode_value

    def found(inner: object, path: str) -> bytes:
        raise Opaque(f"{type(inner).__qualname__} at {path}")

    return digest("literal", encode_value(value, found))
