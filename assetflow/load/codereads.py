"""Which names from outside a piece of code reads, with their places, by the scoping rules of Python on its text.

A parameter called `time` hides the module of that name. Names that an import inside a function binds are told with what
they stand for. Where the rules are intricate (class bodies), a name too many is told rather than one too few.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping

Imports = Callable[[ast.Import | ast.ImportFrom], Iterable[tuple[str, str]]]
"""The names that an import binds, each with the full name that it stands for."""

Read = tuple[ast.Name | ast.Attribute, str]
"""A whole chain such as `pd.Timestamp.now`, and the full name of its first part where an import inside binds that."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_Scope = Mapping[str, str]
_LOCAL = ""


def reads(
    node: ast.AST, imports: Imports, dropped: Iterable[ast.AST] = (), around: Iterable[ast.AST] = ()
) -> Iterator[Read]:
    """The chains in `node` that begin outside of it, in the order of the text; what is `dropped` is not looked at.

    `around` are the functions that `node` stands in, the outermost first: their names are local, too.
    """
    scope: dict[str, str] = {}
    for function in around:
        if isinstance(function, _FUNCTIONS):
            scope.update(dict.fromkeys(_parameters(function), _LOCAL))
            scope.update(_bound(function.body, imports))
    return _reads(node, scope, imports, {id(one) for one in dropped})


def chain_of(node: ast.expr) -> tuple[str, ...] | None:
    """`("pd", "Timestamp", "now")` for `pd.Timestamp.now`; None when it does not begin with a name."""
    names: list[str] = []
    while isinstance(node, ast.Attribute):
        names.append(node.attr)
        node = node.value
    return (node.id, *reversed(names)) if isinstance(node, ast.Name) else None


def _reads(node: ast.AST, scope: _Scope, imports: Imports, dropped: set[int]) -> Iterator[Read]:
    if id(node) in dropped:
        return
    if isinstance(node, (ast.Name, ast.Attribute)) and (chain := chain_of(node)) is not None:
        bound = scope.get(chain[0])
        if isinstance(node.ctx, ast.Load) and bound != _LOCAL:
            yield node, bound or ""
        return
    if isinstance(node, (*_FUNCTIONS, ast.Lambda)):
        outside, body = _function_parts(node)
        inside = {**scope, **dict.fromkeys(_parameters(node), _LOCAL), **_bound(body, imports)}
        yield from _all(outside, scope, imports, dropped)
        yield from _all(body, inside, imports, dropped)
    elif isinstance(node, _COMPREHENSIONS):
        first, *others = node.generators
        results = [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]
        targets = [name for one in node.generators for name in _stored(one.target)]
        inside = {**scope, **dict.fromkeys(targets, _LOCAL)}
        yield from _reads(
            first.iter, scope, imports, dropped
        )  # evaluated outside, so `[x for x in x]` reads the outer x
        yield from _all([*results, *first.ifs, *others], inside, imports, dropped)
    else:
        yield from _all(ast.iter_child_nodes(node), scope, imports, dropped)


def _all(nodes: Iterable[ast.AST], scope: _Scope, imports: Imports, dropped: set[int]) -> Iterator[Read]:
    for node in nodes:
        yield from _reads(node, scope, imports, dropped)


def _function_parts(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> tuple[list[ast.AST], list[ast.AST]]:
    """What is evaluated around a function when it is defined, and what when it is called."""
    given = node.args
    outside: list[ast.AST] = [*given.defaults, *(default for default in given.kw_defaults if default is not None)]
    if isinstance(node, ast.Lambda):
        return outside, [node.body]
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    annotations = [one.annotation for one in every if one is not None and one.annotation is not None]
    returns = [] if node.returns is None else [node.returns]
    return [*node.decorator_list, *outside, *annotations, *returns], list(node.body)


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> list[str]:
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return [one.arg for one in every if one is not None]


def _bound(body: Iterable[ast.AST], imports: Imports) -> dict[str, str]:
    """The names that statements bind in their own scope, not those inside of functions and classes."""
    bound: dict[str, str] = {}
    outer: set[str] = set()
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            bound[node.name] = _LOCAL
            continue
        if isinstance(node, (ast.Lambda, *_COMPREHENSIONS)):
            continue
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            outer.update(node.names)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound.update(imports(node))
        elif isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            bound[node.id] = _LOCAL
        elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
            bound[node.name] = _LOCAL
        elif isinstance(node, ast.MatchMapping) and node.rest:
            bound[node.rest] = _LOCAL
        waiting.extend(ast.iter_child_nodes(node))
    return {name: meant for name, meant in bound.items() if name not in outer}


def _stored(target: ast.AST) -> Iterator[str]:
    return (one.id for one in ast.walk(target) if isinstance(one, ast.Name))
