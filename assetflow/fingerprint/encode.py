"""One canonical byte form for syntax trees.

The form is our own, because `ast.dump` differs between Python versions. Everything is tagged and length-prefixed, so
that two different things never give the same bytes. What is left out is what cannot change a result: comments,
formatting, places, docstrings, and the annotations that nothing reads.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator
from typing import cast

from assetflow.fingerprint.atoms import atom, sized
from assetflow.fingerprint.trees import changed, children, walk

_SKIPPED = frozenset(["ctx", "kind", "type_comment", "type_ignores"])
_BODIES = frozenset(["body", "orelse", "finalbody"])
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_WITH_BODY = frozenset([*_FUNCTIONS, ast.Lambda])
_PLAIN_DECORATORS = frozenset(["staticmethod", "classmethod", "property"])
_NOTHING: frozenset[int] = frozenset()


def encode_tree(
    node: ast.AST,
    left_out: Collection[int] = _NOTHING,
    *,
    with_docs: bool = False,
    known: dict[int, bytes] | None = None,
) -> bytes:
    """The canonical bytes of a syntax tree, without the nodes whose ids are in `left_out`.

    Fields that are None or empty are left out, so that fields which later Python versions add change nothing until
    they are used. `known` keeps what statements gave that hold no others, for the next call: such calls may differ in
    `left_out` only by decorators and by annotations of parameters, which never stand in these statements.
    """
    out: list[bytes] = []
    waiting: list[object] = [node]
    while waiting:  # not recursive: a sum of a thousand terms is a tree a thousand deep
        item = waiting.pop()
        if isinstance(item, bytes):
            out.append(item)
        elif isinstance(item, ast.Constant):
            out.append(b"C" + atom(item.value))
        elif isinstance(item, ast.Name):
            out.append(_NAME + atom(item.id) + b")")
        elif isinstance(item, ast.AST):
            if known is not None and type(item) in _SINGLE and item is not node:
                if (before := known.get(id(item))) is None:
                    before = known[id(item)] = encode_tree(item, left_out, with_docs=with_docs)
                out.append(before)
                continue
            if isinstance(item, ast.AnnAssign) and item.value is not None and id(item.annotation) in left_out:
                item = ast.Assign(targets=[item.target], value=item.value)
            opening, fields = _shapes[type(item)]
            parts = _parts(item, fields, left_out, with_docs=with_docs)
            parts.append(b")")
            parts.reverse()
            waiting += parts
            out.append(opening)
        else:
            out.append(b"A" + atom(item))
    return b"".join(out)


_NAME = b"(" + sized(b"Name") + sized(b"id") + b"A"

_SINGLE = frozenset([
    ast.Assign, ast.AugAssign, ast.AnnAssign, ast.Return, ast.Expr, ast.Assert, ast.Raise, ast.Delete,
    ast.Import, ast.ImportFrom, ast.Global, ast.Nonlocal, ast.Pass, ast.Break, ast.Continue,
])  # fmt: skip
"""Statements that hold no others."""


_Fields = tuple[tuple[str, bytes, bool], ...]


class _Shapes(dict[type[ast.AST], tuple[bytes, _Fields]]):
    """What the bytes of a kind of node begin with; for each field what announces it, and whether it is a body."""

    def __missing__(self, kind: type[ast.AST]) -> tuple[bytes, _Fields]:
        names = [name for name in sorted(kind._fields) if name not in _SKIPPED]
        fields = tuple((name, sized(name.encode()), name in _BODIES) for name in names)
        found = self[kind] = (b"(" + sized(kind.__name__.encode()), fields)
        return found


_shapes = _Shapes()


def local_annotations(node: ast.AST) -> set[int]:
    """The annotations of variables in functions, by id: Python does not evaluate them."""
    found: set[int] = set()
    waiting: list[tuple[ast.AST, bool]] = [(node, False)]
    while waiting:
        item, in_function = waiting.pop()
        kind = type(item)
        if kind in _WITH_BODY:
            in_function = True
        elif kind is ast.ClassDef:
            in_function = False
        elif in_function and isinstance(item, ast.AnnAssign):
            found.add(id(item.annotation))
        waiting.extend((child, in_function) for child in children(item))
    return found


def leave_out_policies(tree: ast.AST) -> list[ast.AST]:
    """Take `accept=` of `In(...)` out of all signatures: it says what to do when something fails, not what is computed.

    `Annotated[X, In(accept="last_good")]` becomes `X`: who adds that to a parameter changes no result. Returns the
    nodes of the tree after that (`walk`).
    """
    nodes = walk(tree)
    is_changed = False
    for node in nodes:
        if isinstance(node, ast.arg) and isinstance(node.annotation, ast.Subscript):
            annotation, before = node.annotation, walk(node.annotation)
            node.annotation = _without_policy(annotation)
            if node.annotation is not annotation or walk(annotation) != before:
                is_changed = True
                changed(node)
    return walk(tree) if is_changed else nodes


def _without_policy(annotation: ast.Subscript) -> ast.expr:
    inside = annotation.slice
    if not (_is_called(annotation.value, "Annotated") and isinstance(inside, ast.Tuple) and len(inside.elts) == 2):
        return annotation
    given = inside.elts[1]
    if not (isinstance(given, ast.Call) and _is_called(given.func, "In")):
        return annotation
    kept = [one for one in given.keywords if one.arg != "accept"]
    if len(kept) == len(given.keywords):
        return annotation
    given.keywords = kept
    changed(given)
    return annotation if kept or given.args else inside.elts[0]


def _is_called(node: ast.expr, name: str) -> bool:
    return name == (node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else "")


def signature_annotations(node: ast.AST, nodes: Iterable[ast.AST]) -> list[ast.expr]:
    """The annotations in signatures that nothing reads unless it asks for them.

    Those of `node` itself, of its methods when it is a class, and of functions inside that nothing decorates; not those
    in classes inside that inherit or are decorated, because pydantic and dataclasses read what they find there.
    `nodes` are `walk(node)`.
    """
    found: list[ast.expr] = []
    if isinstance(node, _FUNCTIONS):
        found += _signature(node)
    if not any(one is not node and isinstance(one, _FUNCTIONS) for one in nodes):
        return found
    waiting: list[tuple[ast.AST, bool]] = [(child, True) for child in children(node)]
    while waiting:
        item, droppable = waiting.pop()
        if isinstance(item, _FUNCTIONS):
            if droppable and all(_is_plain_decorator(one) for one in item.decorator_list):
                found += _signature(item)
            droppable = True
        elif isinstance(item, ast.ClassDef):
            droppable = not (item.decorator_list or item.bases or item.keywords)
        waiting.extend((child, droppable) for child in children(item))
    return found


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[ast.expr]:
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    found = [one.annotation for one in every if one is not None and one.annotation is not None]
    return found if node.returns is None else [*found, node.returns]


def _is_plain_decorator(decorator: ast.expr) -> bool:
    if isinstance(decorator, ast.Attribute):
        return decorator.attr in ("setter", "getter", "deleter")
    return isinstance(decorator, ast.Name) and decorator.id in _PLAIN_DECORATORS


def _parts(
    node: ast.AST, fields: _Fields, left_out: Collection[int], *, with_docs: bool
) -> list[object]:  # fmt: skip
    """What stands inside a node, in order: bytes, nodes, and values of fields."""
    found: list[object] = []
    for name, announced, is_body in fields:
        value: object = getattr(node, name, None)
        if value is None or (value == [] and not is_body):
            continue
        if isinstance(value, list):
            items = [item for item in cast("list[object]", value) if id(item) not in left_out]
            if is_body:
                items = _statements(node, name, items, with_docs=with_docs)
            elif isinstance(node, ast.JoinedStr):
                items = list(_merged(items))
            if items:
                found.append(announced + b"[%d:" % len(items))
                # None stands in lists: the key of `**rest` in a dict display
                found += [b"0" if item is None else item for item in items]
        elif isinstance(value, str):
            found.append(announced + b"A" + atom(value))
        elif id(value) not in left_out:
            found += (announced, value)
    return found


def _statements(node: ast.AST, name: str, items: list[object], *, with_docs: bool) -> list[object]:
    kept = [item for item in items if not _is_bare_text(item)]
    if with_docs and items and name == "body" and items[0] not in kept:
        first = cast("ast.Expr", items[0])
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef, ast.Module)) and isinstance(first.value, ast.Constant):
            kept.insert(0, items[0])
    return kept or ([ast.Pass()] if name == "body" else [])


def _is_bare_text(statement: object) -> bool:
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, (str, bytes))
    )


def _merged(parts: Iterable[object]) -> Iterator[object]:
    """The parts of an f-string with neighbouring texts joined: Python versions split them differently."""
    text = ""
    for part in _flat(parts):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            text += part.value
            continue
        if text:
            yield ast.Constant(text)
            text = ""
        yield part
    if text:
        yield ast.Constant(text)


def _flat(parts: Iterable[object]) -> Iterator[object]:
    for part in parts:
        if isinstance(part, ast.JoinedStr):
            yield from _flat(part.values)
        else:
            yield part
