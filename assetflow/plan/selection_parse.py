"""Reads the text of a selection.

    or       := and { ("or" | "|" | whitespace) and }
    and      := operand { ("and" | "&") operand }
    operand  := { "not" | "!" } [[NUMBER] "+"] atom ["+" [NUMBER]]
    atom     := "(" or ")" | ("roots" | "sinks") "(" or ")" | ATTRIBUTE ":" VALUE | ":" NAME | name [".." name]
    name     := ["key:"] (NAME | QUOTED)

Whitespace decides what a `+` between two selections belongs to: `a+ b` is `a+` or `b`, `a +b` is `a` or `+b`, and
`a+b` is an error, because people mean both by it.
"""

from __future__ import annotations

from assetflow.errors import SelectionSyntaxError, VersionInSelection, near_names
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
)  # fmt: skip
from assetflow.plan.selection_tokens import Token, clipped, syntax_facts, tokenize
from assetflow.plan.selection_words import ALIASES, CHANGES, CLOSED, FUNCTIONS, HABITS, NULLABLE

MAX_DEPTH = 100
"""How deep parentheses and `not`s may nest. The parser needs four stack frames for a level, out of Python's 1,000."""

EXPECTED = "expected a name, an attribute such as tag:gold, a number, `+`, `not` or `(`"
_ATOMS = frozenset(["name", "string", "attribute", "saved", "("])
_STARTS = _ATOMS | {"number", "+", "not"}


def parse_expression(text: str) -> Expression:
    """The expression that `text` says.

    Raises:
        SelectionSyntaxError: it could not be read; the facts show where and what could stand there.
        VersionInSelection: it contains `@`.
    """
    parser = _Parser(text)
    found = parser.union()
    parser.finish()
    return found


class _Parser:
    """Walks over the tokens once, from left to right, looking one token ahead (two after a `+`)."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = tokenize(text)
        self.index = 0
        self.depth = 0

    def peek(self) -> Token:
        """The next token."""
        return self.tokens[self.index]

    def take(self) -> Token:
        """The next token, which is then behind us."""
        token = self.tokens[self.index]
        self.index += 1
        return token

    def union(self) -> Expression:
        """Selections with `or`, `|` or only whitespace between them."""
        operands = [self.intersection()]
        while True:
            token = self.peek()
            if token.kind == "or":
                self.take()
            elif not (token.kind in _STARTS and self.stands_apart()):
                break
            operands.append(self.intersection())
        return operands[0] if len(operands) == 1 else Or(tuple(operands))

    def intersection(self) -> Expression:
        """Selections with `and` or `&` between them."""
        operands = [self.operand()]
        while self.peek().kind == "and":
            self.take()
            operands.append(self.operand())
        return operands[0] if len(operands) == 1 else And(tuple(operands))

    def operand(self) -> Expression:
        """An atom with the `not`s and the `+`s around it."""
        negations = 0
        while self.peek().kind == "not":
            negations += 1
            self.deeper(self.take())
        up = self.levels_above()
        found = self.atom()
        down = self.levels_below()
        if up or down:
            found = Walk(found, up, down)
        for _ in range(negations):
            found = Not(found)
        self.depth -= negations
        return found

    def levels_above(self) -> int:
        """What stands before an atom: nothing, `+` or `2+`."""
        if self.peek().kind == "number":
            number = self.take()
            if self.peek().kind != "+":
                fix = f"write `{number.text}+name` for {number.text} levels above, or quote a name that is a number"
                what = f"`{number.text}` is a number of levels without a `+`"
                raise self.error(self.peek().start, what, "expected `+`", fix)
            self.take()
            return _level(number)
        if self.peek().kind == "+":
            self.take()
            return ALL
        return 0

    def levels_below(self) -> int:
        """What stands after an atom: nothing, `+` or `+1`."""
        plus = self.peek()
        if plus.kind != "+":
            return 0
        following = self.tokens[self.index + 1]
        if plus.spaced and not following.spaced and following.kind in _ATOMS:
            return 0  # `a +b`: the plus belongs to what follows
        self.take()
        if following.kind == "number":
            after = self.tokens[self.index + 1]
            if following.spaced and after.kind == "+":
                return ALL  # `a+ 2+b`: the number belongs to what follows
            self.take()
            return _level(following)
        if following.kind in _ATOMS and following.spaced == plus.spaced:
            hint = "a `+` belongs to the name that it touches"
            fix = "write `a+ or b` for what is below a, `a or +b` for what is above b, `a..b` for what is between"
            raise self.error(plus.start, f"`{clipped(self.text)}` has a `+` between two selections", hint, fix)
        return ALL

    def atom(self) -> Expression:
        """The smallest selection, or one in parentheses."""
        token = self.peek()
        if token.kind == "(":
            return self.in_parentheses()
        if token.kind == "saved":
            self.take()
            return Saved(self.take().text)
        if token.kind == "attribute" and token.text != "key":
            return self.attribute()
        if token.kind == "name" and self.tokens[self.index + 1].kind == "(":
            if token.text in FUNCTIONS:
                self.take()
                return Function(token.text, self.in_parentheses())
            if not self.tokens[self.index + 1].spaced:
                hint = f"the functions are {' and '.join(f'`{name}`' for name in FUNCTIONS)}"
                raise self.error(token.start, f"`{clipped(token.text)}(` is not a function", hint)
        start = self.name()
        if self.peek().kind != "..":
            return start
        self.take()
        return Between(start, self.name())

    def in_parentheses(self) -> Expression:
        """The selection between the parenthesis that is next and the one that closes it."""
        self.deeper(self.take())
        found = self.union()
        if self.peek().kind != ")":
            raise self.unexpected("`)`", "expected `)`, `and`, `or` or `+`")
        self.take()
        self.depth -= 1
        return found

    def name(self) -> Name:
        """A name, plain, in quotes or after `key:`."""
        if self.peek().kind == "attribute" and self.peek().text == "key":
            self.take()
            if self.peek().kind not in ("name", "string"):
                raise self.unexpected("a name", "expected a name such as orders or stg_*")
        if self.peek().kind not in ("name", "string"):
            raise self.unexpected("a selection", EXPECTED)
        if not self.peek().text:
            raise self.error(self.peek().start, "an empty name selects nothing", EXPECTED)
        return Name(self.take().text)

    def attribute(self) -> Expression:
        """`name:value`, with second names replaced by the first ones."""
        word = self.take()
        if word.text == "code_changed":
            return self.code_changed(word)
        if self.peek().kind != "value":
            raise self.unexpected("a value", f"expected a value for `{word.text}:`")
        value = self.take()
        if word.text == "tag":
            if self.peek().kind != "=":
                return Tag(value.text, None)
            self.take()
            if self.peek().kind != "value":
                raise self.unexpected("a value", f"expected a value of the tag, or `tag:{value.text}` for any")
            return Tag(value.text, self.take().text)
        name = ALIASES.get(word.text, word.text)
        self.check_value(name, word, value)
        return _changed(value.text) if name == "changed" else Attribute(name, value.text)

    def code_changed(self, word: Token) -> Expression:
        """`code_changed:`, `code_changed:yes` and `code_changed:no` in terms of `why:`."""
        value = self.take() if self.peek().kind == "value" else None
        answer = "yes" if value is None else value.text.lower()
        if answer in ("yes", "true"):
            return _changed("code")
        if answer in ("no", "false"):
            return Not(_changed("code"))
        at = word.start if value is None else value.start
        raise self.error(at, f"`{clipped(answer)}` is not a value of `code_changed:`", "expected yes or no")

    def check_value(self, name: str, word: Token, value: Token) -> None:
        """Raise for a value that is not in the closed list of its attribute."""
        allowed = CLOSED.get(name)
        if allowed is None or value.text in allowed or (value.text == NULL and name in NULLABLE):
            return
        habit = HABITS.get(value.text.lower())
        near = [habit] if name == "is" and habit else near_names(value.text.lower(), allowed, 1)
        rewritten = f"{self.text[: value.start]}{near[0]}{self.text[value.end :]}" if near else None
        raise self.error(
            value.start,
            f"`{clipped(value.text)}` is not a value of `{word.text}:`",
            f"expected one of {', '.join(allowed)}",
            None if rewritten is None else f"did you mean `{clipped(rewritten, 200)}`?",
        )

    def stands_apart(self) -> bool:
        """Whether whitespace or a parenthesis separates the next token from the one before it."""
        return self.peek().spaced or self.peek().kind == "(" or self.tokens[self.index - 1].kind == ")"

    def deeper(self, token: Token) -> None:
        """Note one more level, and raise when there are too many."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self.error(token.start, f"the selection nests more than {MAX_DEPTH} levels deep", "simplify here")

    def finish(self) -> None:
        """Raise unless everything was read."""
        if self.peek().kind != "end":
            what = f"`{clipped(self.text)}` has something after its end"
            raise self.error(self.peek().start, what, "expected `and`, `or`, a space before a name, or the end")

    def unexpected(self, wanted: str, expected: str) -> SelectionSyntaxError:
        """The error for a token that stands where `wanted` was."""
        token = self.peek()
        if token.kind == "end":
            if not self.text.strip():
                return self.error(0, "the selection is empty", expected, "write `*` for all assets")
            return self.error(token.start, f"`{clipped(self.text)}` ends where {wanted} was expected", expected)
        found = clipped(self.text[token.start : token.end])
        return self.error(token.start, f"`{found}` stands where {wanted} was expected", expected)

    def error(self, at: int, what: str, hint: str = "", fix: str | None = None) -> SelectionSyntaxError:
        """An error with a caret under the place."""
        return SelectionSyntaxError(what, facts=syntax_facts(self.text, at, hint), fix=fix)


def _changed(word: str) -> Expression:
    """Assets that would run because their code, configuration or input changed."""
    reasons = [Attribute("why", reason) for reason in CHANGES[word]]
    return reasons[0] if len(reasons) == 1 else Or(tuple(reasons))


def _level(number: Token) -> int:
    """The number; beyond nine digits it is more than any graph is deep, and counts as a billion."""
    digits = number.text.lstrip("0")
    return int(digits or "0") if len(digits) < 10 else 10**9


__all__ = ["MAX_DEPTH", "SelectionSyntaxError", "VersionInSelection", "parse_expression"]
