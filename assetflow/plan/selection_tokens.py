"""Cuts the text of a selection into tokens, and draws the caret under the place of an error."""

from __future__ import annotations

import re

from msgspec import Struct

from assetflow.errors import AssetflowError, SelectionSyntaxError, VersionInSelection, near_names
from assetflow.plan.selection_words import ATTRIBUTES

_NAME = re.compile(r"[\w*?][\w*?\-]*(?:[./][\w*?\-]+)*")
_NUMBER = re.compile(r"[0-9]+")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|\'((?:[^\'\\]|\\.)*)\'', re.DOTALL)
_VALUE = re.compile(r"[^\s()\"'|&!+,]+")
_TAG_KEY = re.compile(r"[^\s()\"'|&!+,=]+")
_SPACE = re.compile(r"\s*")
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_SIGNS = {"(": "(", ")": ")", "+": "+", "&": "and", "|": "or", "!": "not"}
_WORDS = ("and", "or", "not")


class Token(Struct, frozen=True):
    """A piece of the text. `spaced` tells whether whitespace stands before it; `text` is without quotes.

    kinds: name, string, number, attribute, value, `=`, saved, and, or, not, `(`, `)`, `+`, `..`, end.
    """

    kind: str
    text: str
    start: int
    end: int
    spaced: bool


def tokenize(text: str) -> list[Token]:
    """The tokens of a selection, the last of kind `end`.

    Raises:
        SelectionSyntaxError: a character cannot stand where it is, a quote is not closed, an attribute is unknown.
        VersionInSelection: there is an `@` outside a value.
    """
    return _Tokenizer(text).run()


class _Tokenizer:
    """Goes over the text once. What may stand in a word depends on whether it is a name or a value."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.spaced = False
        self.tokens: list[Token] = []

    def run(self) -> list[Token]:
        """All tokens."""
        while True:
            before = self.at
            self.skip_space()
            self.spaced = self.at > before
            if self.at == len(self.text):
                self.add("end", "", self.at)
                return self.tokens
            self.one(self.text[self.at])

    def one(self, sign: str) -> None:
        """Read the token that begins here."""
        if sign in _SIGNS:
            self.add(_SIGNS[sign], sign, self.at + 1)
        elif sign in "\"'":
            self.quoted("string")
        elif self.text.startswith("..", self.at):
            self.add("..", "..", self.at + 2)
        elif sign == ":":
            self.add("saved", ":", self.at + 1)
            if not self.value(_VALUE):
                raise self.error("`:` stands without a name", "expected the name of a saved selection")
        elif (match := _NAME.match(self.text, self.at)) is not None:
            self.word(match)
        else:
            raise self.not_a_token(sign)

    def word(self, match: re.Match[str]) -> None:
        """Read a name, a number, an operator that is a word, or an attribute with its value."""
        word, end = match.group(), match.end()
        if self.text.startswith(":", end):
            self.attribute(word, end)
        elif word.lower() in _WORDS:
            self.add(word.lower(), word, end)
        else:
            self.add("number" if _NUMBER.fullmatch(word) else "name", word, end)

    def attribute(self, word: str, end: int) -> None:
        """Read `word:` and the value after it."""
        if word not in ATTRIBUTES:
            near = near_names(word.lower(), ATTRIBUTES, 1)
            rewritten = f"{self.text[: self.at]}{near[0]}{self.text[end:]}" if near else None
            fix = f"did you mean `{clipped(rewritten, 200)}`?" if rewritten else None
            raise self.error(f"`{clipped(word)}:` is not an attribute", f"expected one of {', '.join(ATTRIBUTES)}", fix)
        self.add("attribute", word, end + 1)
        if word == "code_changed" and not _VALUE.match(self.text, self.at):
            return  # `code_changed:` alone means yes, so it does not look for a value behind a space
        if word == "tag":
            if self.value(_TAG_KEY) and self.text.startswith("=", _space_end(self.text, self.at)):
                self.skip_space()
                self.add("=", "=", self.at + 1)
                self.value(_VALUE)
        elif word != "key":
            self.value(_VALUE)

    def value(self, plain: re.Pattern[str]) -> bool:
        """Read a value, in quotes or plain, and say whether there was one."""
        before = self.at
        self.skip_space()
        if self.text.startswith(('"', "'"), self.at):
            self.quoted("value")
            return True
        match = plain.match(self.text, self.at)
        if match is None:
            self.at = before
            return False
        self.add("value", match.group(), match.end())
        return True

    def quoted(self, kind: str) -> None:
        """Read a text in quotes; a backslash before a character stands for the character."""
        match = _QUOTED.match(self.text, self.at)
        if match is None:
            raise self.error("a quote is not closed", "the quote that has no second one")
        inside = match.group(1) if match.group(1) is not None else match.group(2)
        self.add(kind, _ESCAPED.sub(r"\1", inside), match.end())

    def add(self, kind: str, text: str, end: int) -> None:
        """Note a token that ends at `end` and go on from there."""
        self.tokens.append(Token(kind, text, self.at, end, self.spaced))
        self.at, self.spaced = end, False

    def skip_space(self) -> None:
        """Go on to the next character that is not whitespace."""
        self.at = _space_end(self.text, self.at)

    def not_a_token(self, sign: str) -> AssetflowError:
        """The error for a character that begins nothing, with what people mean by it."""
        if sign == "@":
            return self.version()
        if sign == ",":
            return self.comma()
        shown = clipped(sign)
        if sign == "-":
            return self.error("`-` cannot begin a name", "expected a name", "to leave assets out, write `and not name`")
        if sign == "[":
            fix = "leave the brackets out; verbs that make or move versions take names such as orders[2026-01-05]"
            return self.error("a selection names assets, not partitions", "expected `and`, `or`, `+` or the end", fix)
        return self.error(f"`{shown}` means nothing in a selection", "quote a name or a value that contains it")

    def version(self) -> VersionInSelection:
        """The error for `@`: a version after a name, or the operator of another tool before one."""
        behind = self.tokens[-1] if self.tokens else None
        if behind is not None and behind.end == self.at and behind.kind in ("name", "string"):
            facts = syntax_facts(self.text, self.at, "versions such as `orders@3` go with verbs that read data")
            what = "a selection names assets, not versions"
            return VersionInSelection(what, facts=facts, fix=f"leave the version out: `{clipped(behind.text)}`")
        match = _NAME.match(self.text, self.at + 1)
        end = match.end() if match else self.at + 1
        name = match.group() if match else "name"
        rewritten = f"{self.text[: self.at]}+({name}+){self.text[end:]}"
        return VersionInSelection(
            f"`@` means a version, so `@{clipped(name)}` is not a selection",
            facts=syntax_facts(self.text, self.at, f"expected +({clipped(name)}+)"),
            fix=f"for an asset, what is below it, and all that those need, write `{clipped(rewritten, 200)}`",
        )

    def comma(self) -> SelectionSyntaxError:
        """The error for `,`, which means `or` to some people and `and` to others."""
        left = self.text[: self.at].rstrip() or "a"
        right = self.text[self.at + 1 :].strip() or "b"
        both = [clipped(f"{left} {word} {right}", 100) for word in ("or", "and")]
        fix = f"write `{both[0]}` for what is in either, `{both[1]}` for what is in both"
        return self.error("a comma does not say whether `or` or `and` is meant", "expected `or` or `and`", fix)

    def error(self, what: str, hint: str, fix: str | None = None) -> SelectionSyntaxError:
        """An error with a caret under the place."""
        return SelectionSyntaxError(what, facts=syntax_facts(self.text, self.at, hint), fix=fix)


def syntax_facts(text: str, at: int, hint: str, width: int = 76) -> tuple[str, str]:
    """The text in one line and, below it, a caret under the character `at`; only the neighbourhood of a long text."""
    line = "".join([sign if sign.isprintable() else " " for sign in text])
    start = 0 if len(line) <= width else max(0, min(at - width // 2, len(line) - width))
    shown = line[start : start + width]
    if start:
        shown = "…" + shown[1:]
    if start + width < len(line):
        shown = shown[:-1] + "…"
    # The renderer indents facts by two; one more sets the text off from the headline.
    return f" {shown}", f" {' ' * (at - start)}^ {hint}".rstrip()


def clipped(text: str, limit: int = 60) -> str:
    """The text in one printable line, its end left out when it is long."""
    line = "".join([sign if sign.isprintable() else " " for sign in text[: limit + 1]])
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def _space_end(text: str, at: int) -> int:
    """Where the whitespace that begins at `at` ends."""
    match = _SPACE.match(text, at)
    return match.end() if match else at
