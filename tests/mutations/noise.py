"""Edits that mean nothing, for any file: comments, blank lines, formatting, and things that nobody uses."""

from __future__ import annotations

import ast
import random
from collections.abc import Callable

Change = Callable[[random.Random, str], str | None]


def comments(rng: random.Random, text: str) -> str | None:
    """Comments and blank lines between statements of the module."""
    lines = text.split("\n")
    starts = [node.lineno - 1 for node in ast.parse(text).body if not _decorated(node)]
    for place in sorted(rng.sample(starts, min(2, len(starts))), reverse=True):
        lines[place:place] = ["", f"# note {rng.randrange(100)}", ""]
    return "\n".join(lines)


def formatting(rng: random.Random, text: str) -> str | None:
    """Everything as another formatter would have it: quotes, brackets, line breaks, no comments."""
    if "getsource" in text:
        return None
    return ast.unparse(ast.parse(text)) + "\n"


def line_ends(rng: random.Random, text: str) -> str | None:
    """The line ends of another system."""
    return None if "getsource" in text else text.replace("\n", "\r\n")


def unused(rng: random.Random, text: str) -> str | None:
    """A function and a constant that nobody uses; not where code sees its whole module."""
    if any(word in text for word in ("globals()", "exec(")) or "VALUE" in text:
        return None
    return f"{text}\n\nEXTRA_{rng.randrange(1000)} = 1\ndef extra_{rng.randrange(1000)}(): return 1\n"


def docstrings(rng: random.Random, text: str) -> str | None:
    """A docstring for every function that has none, where nothing reads docstrings."""
    if any(word in text for word in ("__doc__", "getdoc", "getsource", "json_schema")):
        return None
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and ast.get_docstring(node) is None:
            node.body.insert(0, ast.Expr(ast.Constant(f"Does it, {rng.randrange(100)}.")))
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def hints(rng: random.Random, text: str) -> str | None:
    """Annotations for the parameters of helpers that nothing decorates."""
    if any(word in text for word in ("get_type_hints", "__annotations__", "getsource", "singledispatch")):
        return None
    tree = ast.parse(text)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and not node.decorator_list:
            for one in node.args.args:
                one.annotation = one.annotation or ast.Name("object")
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n"


def _decorated(node: ast.stmt) -> bool:
    return bool(getattr(node, "decorator_list", []))


NOISE: dict[str, Change] = {
    "comments": comments, "formatting": formatting, "line_ends": line_ends, "unused": unused,
    "docstrings": docstrings, "annotations": hints,
}  # fmt: skip
