"""What a selection says, as frozen values, and how it is written.

Nothing here recurses over a selection: parents are handled after their children, from a list.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

ALL = -1
"""As the number of levels of a `Walk`: no limit."""

NULL = "<null>"
"""As the value of an attribute: the asset has none."""


class Name(Struct, frozen=True):
    """Assets by key or last name; `*` stands for any characters and `?` for one."""

    text: str


class Between(Struct, frozen=True):
    """Everything on a way from `start` down to `end`, both included."""

    start: Name
    end: Name


class Tag(Struct, frozen=True):
    """Assets with a tag; a `value` of None takes any value."""

    key: str
    value: str | None


class Attribute(Struct, frozen=True):
    """Assets by group, kind, owner, path, io, is, why or last."""

    name: str
    value: str


class Saved(Struct, frozen=True):
    """The selection that the project file saved under a name."""

    name: str


class Walk(Struct, frozen=True):
    """`operand` with what is `up` levels above and `down` levels below it; `ALL` is no limit."""

    operand: Expression
    up: int
    down: int


class Function(Struct, frozen=True):
    """`roots` or `sinks`: those of the argument that have nothing else of it above (or below) them."""

    name: str
    argument: Expression


class Not(Struct, frozen=True):
    """Every asset that is not in `operand`."""

    operand: Expression


class And(Struct, frozen=True):
    """What is in all of two or more operands."""

    operands: tuple[Expression, ...]


class Or(Struct, frozen=True):
    """What is in any of two or more operands."""

    operands: tuple[Expression, ...]


Expression = Name | Between | Tag | Attribute | Saved | Walk | Function | Not | And | Or

_PLAIN_NAME = re.compile(r"(?:[A-Za-z_*?][A-Za-z0-9_*?\-]*)(?:[./][A-Za-z0-9_*?\-]+)*")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_.@/*?:\-]+")
_WORDS = frozenset(["and", "or", "not"])


def children(node: Expression) -> tuple[Expression, ...]:
    """The expressions that `node` combines."""
    if isinstance(node, And | Or):
        return node.operands
    if isinstance(node, Walk | Not):
        return (node.operand,)
    return (node.argument,) if isinstance(node, Function) else ()


def postorder(root: Expression) -> list[Expression]:
    """Every expression in `root`, from left to right, each after what it combines."""
    found: list[Expression] = []
    waiting = [root]
    while waiting:
        node = waiting.pop()
        found.append(node)
        waiting.extend(children(node))
    found.reverse()
    return found


def source(root: Expression, renamed: Mapping[str, str] | None = None) -> str:
    """Text that parses back to `root`, with some names replaced by others."""
    names = renamed or {}
    done: list[tuple[Expression, str]] = []
    for node in postorder(root):
        count = len(children(node))
        parts = done[len(done) - count :]
        del done[len(done) - count :]
        done.append((node, _written(node, parts, names)))
    return done[0][1]


def quoted(text: str) -> str:
    """The text between double quotes."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _written(node: Expression, parts: list[tuple[Expression, str]], names: Mapping[str, str]) -> str:
    """The text of one expression, given the texts of its parts."""
    if isinstance(node, Name):
        return _name(node, names)
    if isinstance(node, Between):
        return f"{_name(node.start, names)}..{_name(node.end, names)}"
    if isinstance(node, Tag):
        return f"tag:{_value(node.key)}" + ("" if node.value is None else f"={_value(node.value)}")
    if isinstance(node, Attribute):
        return f"{node.name}:{_value(node.value)}"
    if isinstance(node, Saved):
        return f":{_value(node.name)}"
    if isinstance(node, Function):
        return f"{node.name}({parts[0][1]})"
    if isinstance(node, Not):
        return f"not {_inside(parts[0], (And, Or))}"
    if isinstance(node, Walk):
        before = {0: "", ALL: "+"}.get(node.up, f"{node.up}+")
        after = {0: "", ALL: "+"}.get(node.down, f"+{node.down}")
        return before + _inside(parts[0], (Walk, Not, And, Or)) + after
    if isinstance(node, And):
        return " and ".join([_inside(part, (And, Or)) for part in parts])
    return " or ".join([_inside(part, (Or,)) for part in parts])


def _inside(part: tuple[Expression, str], wrapped: tuple[type[Expression], ...]) -> str:
    """The text of a part, in parentheses when it is one of `wrapped`."""
    node, text = part
    return f"({text})" if isinstance(node, wrapped) else text


def _name(node: Name, names: Mapping[str, str]) -> str:
    """The name as one can type it, in quotes only when it needs them."""
    text = names.get(node.text, node.text)
    return text if _PLAIN_NAME.fullmatch(text) and text.lower() not in _WORDS else quoted(text)


def _value(text: str) -> str:
    """The value as one can type it, in quotes only when it needs them."""
    return text if text == NULL or _PLAIN_VALUE.fullmatch(text) else quoted(text)
