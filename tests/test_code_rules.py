"""Rules of the code that no linter has: sizes, boolean parameters, and what rooms take from the top package."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "assetflow"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if "templates" not in path.parts)
LINES_OF_A_FILE = 500
LINES_OF_A_FUNCTION = 60

type_of_function = (ast.FunctionDef, ast.AsyncFunctionDef)


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree_of(path)) if isinstance(node, type_of_function))


def place(path: Path, line: int, name: str) -> str:
    return f"{path.relative_to(PACKAGE.parent)}:{line} {name}"


def lines_of_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """From `def` to the last line, without the docstring, which is welcome to be long."""
    first = function.body[0]
    told = (first.end_lineno or 0) - first.lineno + 1 if ast.get_docstring(function) is not None else 0
    return (function.end_lineno or 0) - function.lineno + 1 - told


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_file_has_at_most_500_lines(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_OF_A_FILE


def test_no_function_has_more_than_60_lines() -> None:
    long = [
        place(path, function.lineno, function.name)
        for path in MODULES
        for function in functions(path)
        if lines_of_code(function) > LINES_OF_A_FUNCTION
    ]

    assert long == []


def test_public_functions_take_booleans_by_keyword_only() -> None:
    positional = [
        place(path, function.lineno, f"{function.name}({argument.arg})")
        for path in MODULES
        for function in functions(path)
        if not function.name.startswith("_")
        for argument in [*function.args.posonlyargs, *function.args.args]
        if isinstance(argument.annotation, ast.Name) and argument.annotation.id == "bool"
    ]

    assert positional == []


def test_rooms_take_only_the_version_from_the_top_package() -> None:
    # The top package reaches every room on first use, so import-linter is told not to look at its imports; a room that
    # took `from assetflow import Project` would go around the layers.
    taken = [
        place(path, node.lineno, alias.name)
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.ImportFrom) and node.module == "assetflow"
        for alias in node.names
        if alias.name != "__version__" and not (PACKAGE / alias.name).is_dir()
    ]

    assert taken == []


def test_rooms_do_not_import_the_top_package_whole() -> None:
    whole = [
        place(path, node.lineno, alias.name)
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Import)
        for alias in node.names
        if alias.name == "assetflow"
    ]

    assert whole == []
