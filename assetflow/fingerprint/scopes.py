"""Which outside names a piece of code reads, found by the scoping rules of Python on its syntax tree.

A parameter called `orders` hides the asset function `orders` of the same module, so names have to be told apart by
scope, not by spelling. Where the rules are intricate (class bodies), a name too many is reported rather than too few.
"""

from __future__ import annotations

import ast
from collections.abc import Collection, Iterable, Iterator, Sequence

from msgspec import Struct

from assetflow.fingerprint.trees import children, walk

Chain = str
"""`tax.rates.get`: a name and the attributes read from it."""

_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
_NAMED = frozenset([ast.Attribute, ast.Name])
_SCOPES = frozenset([*_FUNCTIONS, ast.Lambda, *_COMPREHENSIONS])
_LOOKED_UP = frozenset([ast.Subscript, ast.Compare, ast.Attribute])
_BINDING = frozenset([
    *_SCOPES, ast.ClassDef, ast.Global, ast.Nonlocal, ast.Name, ast.ExceptHandler, ast.MatchAs, ast.MatchStar,
    ast.MatchMapping,
])  # fmt: skip
"""Kinds of nodes that somebody looks at closer: telling most nodes apart by their kind alone is much faster."""


class ImportedName(Struct, frozen=True):
    """`from module import name as bound` (name is empty for `import module`), `level` dots before the module."""

    level: int
    module: str
    name: str
    bound: str = ""


class Chains(Struct, frozen=True):
    """The chains that a piece of code reads from outside.

    `every` is all of them, `ordered` those that are used otherwise than by key (`REGISTRY[name]`, `name in REGISTRY`),
    so that an order may be seen, and `stored` those that are assigned to.
    """

    every: frozenset[Chain]
    ordered: frozenset[Chain]
    stored: frozenset[Chain]


def free_chains(
    node: ast.AST, left_out: Collection[int] = frozenset(), nodes: Sequence[ast.AST] | None = None
) -> Chains:
    """The chains in `node` whose first name is not bound inside it; nodes whose ids are in `left_out` do not count.

    What an import inside `node` binds counts as free, because it means something outside. `nodes` are `walk(node)`.
    """
    found = _free([node], left_out)
    by_key = _read_by_key(walk(node) if nodes is None else nodes)
    return Chains(
        frozenset(chain for chain, _, _ in found),
        frozenset(chain for chain, place, _ in found if place not in by_key),
        frozenset(chain for chain, _, stored in found if stored),
    )


def names_read(node: ast.AST) -> set[Chain]:
    """The chains in `node` whose first name is not bound inside it."""
    return {chain for chain, _, _ in _free([node], ())}


def _read_by_key(nodes: Iterable[ast.AST]) -> set[int]:
    """The ids of the expressions that are only looked up in."""
    found: set[int] = set()
    for item in nodes:
        if type(item) not in _LOOKED_UP:
            continue
        if isinstance(item, ast.Subscript) and isinstance(item.ctx, ast.Load):
            found.add(id(item.value))
        elif isinstance(item, ast.Compare):
            ways = zip(item.ops, item.comparators, strict=True)
            found.update(id(one) for way, one in ways if isinstance(way, (ast.In, ast.NotIn)))
        elif isinstance(item, ast.Attribute) and item.attr == "get":
            found.add(id(item))
    return found


def imports_in(nodes: Iterable[ast.AST]) -> tuple[ImportedName, ...]:
    """All imports among the nodes."""
    found: list[ImportedName] = []
    for item in nodes:
        if isinstance(item, ast.Import):
            found.extend(ImportedName(0, alias.name, "", alias.asname or "") for alias in item.names)
        elif isinstance(item, ast.ImportFrom):
            found.extend(
                ImportedName(item.level, item.module or "", alias.name, alias.asname or "") for alias in item.names
            )
    return tuple(dict.fromkeys(found))


def _free(nodes: Iterable[ast.AST], left_out: Collection[int]) -> set[tuple[Chain, int, bool]]:
    """Chains free in these nodes, which all lie in one scope, with the ids of their nodes and whether they are set.

    Names bound in that scope itself are not removed.
    """
    found: set[tuple[Chain, int, bool]] = set()
    waiting = list(nodes)
    while waiting:
        node = waiting.pop()
        if id(node) in left_out:
            continue
        kind = type(node)
        if kind not in _NAMED and kind not in _SCOPES:
            waiting += children(node)
        elif isinstance(node, (ast.Attribute, ast.Name)):
            chain, base = _chain(node)
            if chain:
                found.add((chain, id(node), not isinstance(node.ctx, ast.Load)))
            else:
                waiting.append(base)
        elif isinstance(node, (*_FUNCTIONS, ast.Lambda)):
            outside, inside = _function_parts(node)
            waiting.extend(outside)
            bound = _parameters(node) | _bound(inside)
            found |= {one for one in _free(inside, left_out) if _first(one[0]) not in bound}
        elif isinstance(node, _COMPREHENSIONS):
            first, *others = node.generators
            waiting.append(first.iter)  # evaluated outside, so `[x for x in x]` reads the outer x
            inside = [*_results(node), first.target, *first.ifs, *others]
            bound = set(_stored([generator.target for generator in node.generators]))
            found |= {one for one in _free(inside, left_out) if _first(one[0]) not in bound}
    return found


def _first(chain: Chain) -> str:
    return chain.partition(".")[0]


def _chain(node: ast.Attribute | ast.Name) -> tuple[Chain, ast.expr]:
    """The chain that a node spells, or an empty one and the expression that its attributes are read from."""
    names: list[str] = []
    base: ast.expr = node
    while isinstance(base, ast.Attribute):
        names.append(base.attr)
        base = base.value
    return (".".join((base.id, *reversed(names))), base) if isinstance(base, ast.Name) else ("", base)


def _results(node: ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp) -> list[ast.expr]:
    return [node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]


def _function_parts(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> tuple[list[ast.AST], list[ast.AST]]:
    """What is evaluated around a function when it is defined, and what when it is called."""
    given = node.args
    outside: list[ast.AST] = [*given.defaults, *(default for default in given.kw_defaults if default is not None)]
    if isinstance(node, ast.Lambda):
        return outside, [node.body]
    outside += node.decorator_list
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    outside += [one.annotation for one in every if one is not None and one.annotation is not None]
    if node.returns is not None:
        outside.append(node.returns)
    outside += getattr(node, "type_params", [])
    return outside, list(node.body)


def _parameters(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) -> set[str]:
    given = node.args
    every = [*given.posonlyargs, *given.args, *given.kwonlyargs, given.vararg, given.kwarg]
    return {one.arg for one in every if one is not None}


def _bound(body: Iterable[ast.AST]) -> set[str]:
    """The names that statements bind in their own scope: not those of functions and classes inside, nor imports."""
    bound: set[str] = set()
    outer: set[str] = set()
    waiting = list(body)
    while waiting:
        node = waiting.pop()
        if type(node) not in _BINDING:
            waiting += children(node)
            continue
        if isinstance(node, (*_FUNCTIONS, ast.ClassDef)):
            bound.add(node.name)
            continue
        if isinstance(node, ast.Lambda):
            continue
        if isinstance(node, _COMPREHENSIONS):
            # Only `:=` reaches out of a comprehension.
            bound.update(inner.target.id for inner in walk(node) if isinstance(inner, ast.NamedExpr))
            continue
        if isinstance(node, (ast.Global, ast.Nonlocal)):
            outer.update(node.names)
        bound.update(_names_of(node))
        waiting.extend(children(node))
    return bound - outer


def _names_of(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
        yield node.id
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)):
        if node.name:
            yield node.name
    elif isinstance(node, ast.MatchMapping) and node.rest:
        yield node.rest


def _stored(targets: Iterable[ast.AST]) -> Iterator[str]:
    for target in targets:
        for node in walk(target):
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                yield node.id
