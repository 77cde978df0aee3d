"""The selection language: which assets a text such as `+orders and tag:gold` means.

    orders  marts.orders  stg_*  key:orders   by key, last name or glob
    +a  a+  2+a  a+1  2+a+1                   with what is above or below, all of it or so many levels
    a..b                                      everything on a way from a to b
    and or not ( )    & | !                   a space between two selections means `or`
    roots(x)  sinks(x)                        those of x with nothing of x above (or below) them, near or far
    tag:k  tag:k=v                            assets with the tag, whatever its value, or with that value
    group: kind: owner: path: io: (store:)    by what was declared; globs work; `<null>` is for those with none
    is:stale  (status:stale)                  by state, also is:source (external) and is:asset (materializable)
    why:code_changed                          by the reason for which the asset would run
    changed:code  code_changed:yes            assets whose own code or helpers changed, as why:code_changed or
                                              why:helper_changed; `code_changed:` alone says the same, and
                                              `code_changed:no` the opposite; also changed:config, changed:input
    last:failed                               by how the last attempt ended
    :nightly                                  a selection that the project file saved

`and`, `or` and `not` may be written in any letter case. A name without a dot stands for the asset with exactly that
key, and when there is none, for all assets with that last name. A name that fits nothing is an error; a glob or an
attribute that fits nothing selects nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from fnmatch import translate
from typing import Protocol

from msgspec import Struct

from assetflow.errors import SelectionSyntaxError, VersionInSelection, did_you_mean, near_names
from assetflow.model.keys import AssetKey, last_name
from assetflow.model.spec import AssetSpec
from assetflow.plan.graph import AssetGraph, find_cycle, no_such_asset
from assetflow.plan.selection_ast import (
    ALL,
    NULL,
    And,
    Attribute,
    Between,
    Expression,
    Function,
    Name,
    Not,
    Or,
    Saved,
    Tag,
    Walk,
    children,
    postorder,
    source,
)  # fmt: skip
from assetflow.plan.selection_parse import parse_expression
from assetflow.plan.selection_words import KINDS, STATES


class SelectionFacts(Protocol):
    """What a selection asks besides the declarations. Each method is called only when needed, and once."""

    def state(self) -> Mapping[AssetKey, frozenset[str]]:
        """The words of `is:` that fit each asset."""
        ...

    def reasons(self) -> Mapping[AssetKey, frozenset[str]]:
        """The codes of the reasons for which each asset would run."""
        ...

    def saved(self) -> Mapping[str, str]:
        """The saved selections by name, without the colon."""
        ...

    def last(self) -> Mapping[AssetKey, str]:
        """The state of the last attempt at each asset that had one."""
        ...


class NoFacts:
    """Facts about a project in which nothing has happened."""

    def state(self) -> Mapping[AssetKey, frozenset[str]]:
        """No states."""
        return {}

    def reasons(self) -> Mapping[AssetKey, frozenset[str]]:
        """No reasons."""
        return {}

    def saved(self) -> Mapping[str, str]:
        """No saved selections."""
        return {}

    def last(self) -> Mapping[AssetKey, str]:
        """No attempts."""
        return {}


class Selection(Struct, frozen=True):
    """A selection that was read; `str(selection)` is text that reads back to an equal one."""

    expression: Expression

    def __str__(self) -> str:
        return source(self.expression)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that are asked for outright: no patterns, and nothing that a walk or a `not` is taken from."""
        found: list[str] = []
        waiting = [self.expression]
        while waiting:
            node = waiting.pop()
            if isinstance(node, And | Or):
                waiting.extend(node.operands)
            elif isinstance(node, Name) and not _is_glob(node.text):
                found.append(node.text)
        return tuple(found)

    def select(self, graph: AssetGraph, facts: SelectionFacts) -> tuple[AssetKey, ...]:
        """The selected assets in topological order; maybe none.

        Raises:
            NoSuchAsset: a name fits no asset.
            SelectionSyntaxError: a saved selection is unknown, cannot be read, or needs itself.
            VersionInSelection: a saved selection contains `@`.
        """
        evaluation = _Evaluation(graph, facts)
        for name, expression in _saved_expressions(self.expression, facts):
            evaluation.saved[name] = evaluation.run(expression, f"in the saved selection `:{name}`")
        found = evaluation.run(self.expression)
        return tuple([key for key in graph.order if key in found])


def parse_selection(text: str) -> Selection:
    """The selection that `text` says.

    Example:
        >>> str(parse_selection("+orders & !tag:gold"))
        '+orders and not tag:gold'

    Raises:
        SelectionSyntaxError: it could not be read; the facts show where and what could stand there.
        VersionInSelection: it contains `@`.
    """
    return Selection(parse_expression(text))


class _Evaluation:
    """Evaluates expressions over one graph; facts are asked for at most once."""

    def __init__(self, graph: AssetGraph, facts: SelectionFacts) -> None:
        self.graph = graph
        self.facts = facts
        self.saved: dict[str, set[AssetKey]] = {}
        self._words: dict[str, Mapping[AssetKey, Iterable[str]]] = {}

    def run(self, root: Expression, context: str = "") -> set[AssetKey]:
        """The assets that `root` means. `context` says in errors where it was written."""
        self._check_names(root, context)
        done: list[set[AssetKey]] = []
        for node in postorder(root):
            count = len(children(node))
            operands = done[len(done) - count :]
            del done[len(done) - count :]
            done.append(self._combined(node, operands) if operands else self._leaf(node))
        return done[0]

    def _combined(self, node: Expression, operands: list[set[AssetKey]]) -> set[AssetKey]:
        """The assets of an expression, given those of its parts."""
        first = operands[0]
        if isinstance(node, Or):
            return set[AssetKey]().union(*operands)
        if isinstance(node, And):
            return first.intersection(*operands[1:])
        if isinstance(node, Not):
            return set(self.graph.order) - first
        if isinstance(node, Function):
            return self._ends(first, up=node.name == "roots")
        if isinstance(node, Walk):
            above, below = [None if levels == ALL else levels for levels in (node.up, node.down)]
            return self.graph.walk(first, up=True, depth=above) | self.graph.walk(first, up=False, depth=below)
        raise AssertionError(node)

    def _leaf(self, node: Expression) -> set[AssetKey]:
        """The assets of an expression that has no parts."""
        if isinstance(node, Name):
            return self._named(node.text)
        if isinstance(node, Between):
            start, end = self._named(node.start.text), self._named(node.end.text)
            return self.graph.walk(start, up=False) & self.graph.walk(end, up=True)
        if isinstance(node, Saved):
            return self.saved[node.name]
        if isinstance(node, Tag):
            return self._tagged(node)
        if isinstance(node, Attribute):
            return self._with_attribute(node)
        raise AssertionError(node)

    def _ends(self, within: set[AssetKey], *, up: bool) -> set[AssetKey]:
        """Those of `within` that have no other of it above them (or below, with `up=False`), however far away."""
        near = self.graph.upstream if up else self.graph.downstream
        reaches: set[AssetKey] = set()
        for key in self.graph.order if up else reversed(self.graph.order):
            if any(other in within or other in reaches for other in near(key)):
                reaches.add(key)
        return within - reaches

    def _named(self, text: str) -> set[AssetKey]:
        """The assets with a key or last name, or those that a glob fits."""
        if not _is_glob(text):
            return set(self.graph.named(text))
        fits = _pattern(text)
        if "." in text:
            return {key for key in self.graph.order if fits(key)}
        return {key for key in self.graph.order if fits(key) or fits(last_name(key))}

    def _tagged(self, node: Tag) -> set[AssetKey]:
        """The assets that have the tag."""
        specs = self.graph.specs
        if node.key == NULL:
            return {key for key, spec in specs.items() if not spec.tags} if node.value is None else set()
        fits = _pattern(node.key)
        value_fits = _anything if node.value is None else _pattern("" if node.value == NULL else node.value)
        return {
            key
            for key, spec in specs.items()
            if any(fits(name) and value_fits(value) for name, value in spec.tags.items())
        }

    def _with_attribute(self, node: Attribute) -> set[AssetKey]:
        """The assets whose attribute has the value."""
        values = self._values(node)
        if node.value == NULL:
            return {key for key in self.graph.order if not any(values(key))}
        if node.name == "path":
            # A value may be the whole path, its end, a folder in it, or a folder at its start.
            value = node.value.replace("\\", "/").strip("/")
            tests = [_pattern(form) for form in (value, f"*/{value}", f"{value}/*", f"*/{value}/*")]
        else:
            tests = [_pattern(node.value)]
        return {key for key in self.graph.order if any(fits(value) for value in values(key) for fits in tests)}

    def _values(self, node: Attribute) -> Callable[[AssetKey], Iterable[str]]:
        """A function that gives the values of the attribute for a key."""
        read = _DECLARED.get(node.name)
        if read is not None:
            specs = self.graph.specs
            return lambda key: read(specs[key])
        if node.name == "is" and node.value not in STATES:
            specs = self.graph.specs
            return lambda key: KINDS[:2] if specs[key].is_source else KINDS[2:]
        words = self._facts_of(node.name)
        return lambda key: words.get(key, ())

    def _facts_of(self, name: str) -> Mapping[AssetKey, Iterable[str]]:
        """The words of `is:`, `why:` or `last:` by key."""
        if name not in self._words:
            if name == "is":
                self._words[name] = self.facts.state()
            elif name == "why":
                self._words[name] = self.facts.reasons()
            else:
                self._words[name] = {key: (state,) for key, state in self.facts.last().items()}
        return self._words[name]

    def _check_names(self, root: Expression, context: str) -> None:
        """Raise for a name that fits no asset, with the whole selection as it was probably meant."""
        names: list[str] = []
        for node in postorder(root):
            names += [node.text] if isinstance(node, Name) else []
            names += [node.start.text, node.end.text] if isinstance(node, Between) else []
        unknown = [name for name in dict.fromkeys(names) if not _is_glob(name) and not self.graph.named(name)]
        if not unknown:
            return
        # Looking for near names takes long in a big project, so only the first few are looked up.
        nearest = {name: near[0] for name in unknown[:5] if (near := near_names(name, self.graph.order, 1))}
        fix = f"did you mean `{source(root, nearest)}`?" if nearest else self._meant(unknown[0])
        error = no_such_asset(self.graph, unknown[0], fix)
        error.facts += (context,) if context else ()
        raise error

    def _meant(self, name: str) -> str | None:
        """How to write what a name would mean as a state, a group, a tag or a file, if it is one."""
        specs = self.graph.specs.values()
        if name in STATES:
            return f"write `is:{name}`"
        if any(spec.group == name for spec in specs):
            return f"write `group:{name}`"
        if any(name in spec.tags for spec in specs):
            return f"write `tag:{name}`"
        return f"write `path:{name}`" if "/" in name or name.endswith(".py") else None


_DECLARED: Mapping[str, Callable[[AssetSpec], Iterable[str]]] = {
    "group": lambda spec: (spec.group,),
    "kind": lambda spec: (spec.kind, *spec.kinds),
    "owner": lambda spec: spec.owners,
    "io": lambda spec: (spec.io,),
    "path": lambda spec: (spec.file.replace("\\", "/"),),
}


def _saved_expressions(root: Expression, facts: SelectionFacts) -> list[tuple[str, Expression]]:
    """The saved selections that `root` needs, each after those that it needs itself."""
    waiting = _saved_names(root)
    if not waiting:
        return []
    texts = facts.saved()
    found: dict[str, Expression] = {}
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name not in texts:
            near = did_you_mean(name, texts)
            known = ", ".join(f":{known}" for known in texts) or "none"
            raise SelectionSyntaxError(
                f"no saved selection is called `:{name}`",
                facts=(f"saved selections: {known}",),
                fix=near.replace("`", "`:", 1) if near else "save it in the project file, in the table `selections`",
            )
        try:
            found[name] = parse_expression(texts[name])
        except (SelectionSyntaxError, VersionInSelection) as error:
            error.facts += (f"in the saved selection `:{name}`",)
            raise
        waiting.extend(_saved_names(found[name]))
    return [(name, found[name]) for name in _in_order({name: _saved_names(found[name]) for name in found})]


def _in_order(needs: Mapping[str, list[str]]) -> list[str]:
    """The names, each after those that it needs.

    Raises:
        SelectionSyntaxError: they need each other in a circle.
    """
    circle = find_cycle(needs)
    if circle is not None:
        chain = " → ".join([f":{name}" for name in circle])
        raise SelectionSyntaxError(
            f"saved selections name each other in a circle: {chain}",
            fix=f"write out what is meant in `:{circle[0]}`",
        )
    order: dict[str, None] = {}
    for start in needs:
        waiting = [start]
        while waiting:
            missing = [name for name in needs[waiting[-1]] if name not in order]
            if missing:
                waiting.extend(missing)
            else:
                order[waiting.pop()] = None
    return list(order)


def _saved_names(root: Expression) -> list[str]:
    """The saved selections that an expression names, each once."""
    return list(dict.fromkeys([node.name for node in postorder(root) if isinstance(node, Saved)]))


def _is_glob(text: str) -> bool:
    """Whether the text stands for all names that it fits."""
    return "*" in text or "?" in text


def _pattern(text: str) -> Callable[[str], bool]:
    """A test for texts that equal `text`, or that it fits when it is a glob. Letter case counts."""
    if not _is_glob(text):
        return text.__eq__
    # Only `*` and `?` have a meaning here, and `translate` gives `[` one. Its patterns match in linear time.
    match = re.compile(translate(text.replace("[", "[[]"))).match
    return lambda value: match(value) is not None


def _anything(_: str) -> bool:
    """True."""
    return True
