"""Whether what a parameter says it takes can be what its upstream says it returns, judged by the annotations' text."""

from __future__ import annotations

import ast

from msgspec import Struct

from assetflow.io.forms import TABLE_FORMS, form_of
from assetflow.load.codemap import CodeMap, Unit

_SCALARS = frozenset(["int", "float", "str", "bool", "complex", "dict", "Dict", "Mapping"])
_MOST_HOPS = 8  # from one alias to the next

WORDS = {"table": "a table", "file": "a file", "value": "a Python value"}


class Said(Struct, frozen=True):
    """What an annotation says: its text, and `table`, `file` (bytes or a Path), or `value` (a number, text or dict)."""

    text: str
    shape: str
    node: ast.expr


def returned(unit: Unit, code: CodeMap) -> Said | None:
    """What a function says it returns; None when it does not say, or not clearly."""
    node = unit.node
    return _said(node.returns, unit, code) if isinstance(node, ast.FunctionDef) else None


def taken(unit: Unit, parameter: str, code: CodeMap) -> Said | None:
    """What a parameter of a function says it takes; None when it does not say, or not clearly."""
    found = parameter_of(unit.node, parameter) if isinstance(unit.node, ast.FunctionDef) else None
    return None if found is None else _said(found.annotation, unit, code)


def parameter_of(function: ast.FunctionDef, name: str) -> ast.arg | None:
    """The parameter of a function with this name."""
    given = function.args
    return next((one for one in (*given.posonlyargs, *given.args, *given.kwonlyargs) if one.arg == name), None)


def _said(annotation: ast.expr | None, unit: Unit, code: CodeMap) -> Said | None:
    shape = None if annotation is None else _shape(annotation, unit, code, _MOST_HOPS)
    return None if annotation is None or shape is None else Said(ast.unparse(annotation), shape, annotation)


def _shape(node: ast.expr, unit: Unit, code: CodeMap, hops: int) -> str | None:
    """The shape that an annotation surely means, through aliases, `Annotated` and subclasses of the project."""
    if not hops:
        return None
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        try:
            return _shape(ast.parse(node.value, mode="eval").body, unit, code, hops - 1)
        except SyntaxError:
            return None
    if isinstance(node, ast.BinOp):
        sides = [_shape(side, unit, code, hops - 1) for side in (node.left, node.right) if not _is_none(side)]
        return sides[0] if sides and all(side == sides[0] for side in sides) else None
    if isinstance(node, ast.Subscript):
        name = ast.unparse(node.value).rpartition(".")[2]
        inside = node.slice.elts[0] if isinstance(node.slice, ast.Tuple) and node.slice.elts else node.slice
        if name in ("Annotated", "Optional"):
            return _shape(inside, unit, code, hops - 1)
        if name in ("dict", "Dict", "Mapping"):
            return "value"
        return "table" if form_of(ast.unparse(node)) == "records" else None
    meant = code.resolve(unit, node)
    if meant is None:
        return None
    if meant.unit is not None:
        return _of_unit(meant.unit, code, hops - 1)
    if meant.dotted in _SCALARS:
        return "value"
    form = form_of(meant.dotted)
    return "table" if form in TABLE_FORMS else "file" if form in ("bytes", "path") else None


def _of_unit(unit: Unit, code: CodeMap, hops: int) -> str | None:
    """The shape of an alias, or of a class by what it inherits from."""
    node = unit.node
    if isinstance(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        return _shape(node.value, unit, code, hops)
    if isinstance(node, ast.ClassDef):
        found = [_shape(base, unit, code, hops) for base in node.bases]
        return next((one for one in found if one == "table"), None)
    return None


def _is_none(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is None
