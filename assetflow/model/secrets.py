"""Texts that must not be written down: secrets that are known, and what looks like one.

`SECRETS` is the process's list. A `Secret` adds itself; a run adds what the configs and resources of its assets hold.
All that leaves a step (what it prints, logs, raises and records) goes through it.
"""

from __future__ import annotations

import json
import re
import threading
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import cast
from urllib.parse import quote, quote_plus

STARS = "***"
LEAST = 6
"""Shorter values are not looked for: they would be found in half of all words."""

_DEPTH = 8
_BEGIN, _END = r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----", r"-----END [A-Z0-9 ]*PRIVATE KEY-----"
_NAME = (
    r"pass(?:word|wd|phrase)|pwd|secret|(?:api|access|secret|private|account)[_-]?key|"
    r"(?:auth|access|refresh|bearer|session|security|api)[_-]?token"
)
_IS = r"""["']?\s*[:=]\s*["']?"""
_TYPES = r"(?!(?:str|bytes|int|Any|None|object|Secret|SecretStr|Optional)\b)"
_VALUE = r"""("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|["']?[^\s,;&"'`)\]}]+)"""

_PATTERNS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("private key-----",), rf"{_BEGIN}(?:(?:[\w+/=\s:,.\\]|-(?!----))*{_END}|[\w+/=\s\\]*)", STARS),
    (("akia", "asia", "abia", "acca"), r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}\b", STARS),
    (("eyj",), r"(?<![\w-])eyJ[\w-]{8,}\.[\w-]{4,}\.[\w-]*", STARS),
    (("://",), r"(\b[A-Za-z][A-Za-z0-9+.-]{0,30}://)[^\s/?#\"'<>]+@", rf"\1{STARS}@"),
    (("authorization",), rf"(?i)(\bauthorization{_IS}(?:\w+\s+)?)[^\s\"',]+", rf"\1{STARS}"),
    (
        ("pass", "pwd", "secret", "key", "token"),
        rf"(?i)((?:\b|_)(?:{_NAME})[\"']?\]?(?:\s*=\s*|\s*:\s*{_TYPES})){_VALUE}",
        rf"\1{STARS}",
    ),
)  # fmt: skip
"""Words without which a pattern cannot fit (in lower case), the pattern, and what stands in its place.

`re` keeps them when one is first needed, which in most runs none is: compiling them takes milliseconds."""


class Redactor:
    """Puts stars in the place of secrets. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: set[str] = set()
        self._forms: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self._is_stale = False
        self.longest = 0

    def add(self, value: str | bytes) -> None:
        """Look for this value from now on, as it is and as it stands in URLs, base 64, JSON and Python text."""
        text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
        if text in self._known or len(text) < LEAST:
            return
        with self._lock:
            self._known.add(text)
            self._forms.update(_forms(text))
            self.longest = max(map(len, self._forms))
            self._is_stale = True

    def add_from(self, settings: object, depth: int = _DEPTH) -> None:
        """Look for every secret of a config or resource, however deep it lies in fields, lists and mappings."""
        reveal = cast("Callable[[], str | bytes] | None", getattr(settings, "get_secret_value", None))
        if reveal is not None:
            self.add(reveal())
        elif depth and isinstance(settings, Mapping):
            for one in cast("Mapping[object, object]", settings).values():
                self.add_from(one, depth - 1)
        elif depth and isinstance(settings, (list, tuple, set, frozenset)):
            for one in cast("Iterable[object]", settings):
                self.add_from(one, depth - 1)
        elif depth and hasattr(type(settings), "model_fields"):
            for one in vars(settings).values():
                self.add_from(one, depth - 1)

    def text(self, text: str) -> str:
        """The text with stars for what must not be seen; without such it is the same object."""
        if self._is_stale:
            self._compile()
        if self._pattern is not None:
            text = self._pattern.sub(STARS, text)
        lower = text.lower()
        for words, pattern, stars in _PATTERNS:
            for word in words:
                if word in lower:
                    text = re.sub(pattern, stars, text)
                    break
        return text

    def value(self, value: object) -> object:
        """A JSON-able value with all of its texts redacted."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, Mapping):
            found = cast("Mapping[object, object]", value)
            return {self.value(key): self.value(one) for key, one in found.items()}
        if isinstance(value, (list, tuple)):
            return [self.value(one) for one in cast("Iterable[object]", value)]
        return value

    def cut(self, text: str, at: int) -> int:
        """The place at or before `at` where a text may be cut without cutting a secret in two."""
        if self._is_stale:
            self._compile()
        known = () if self._pattern is None else (self._pattern,)
        for pattern in (*known, *(pattern for _, pattern, _ in _PATTERNS)):
            for match in re.finditer(pattern, text):
                if match.start() < at < match.end():
                    at = match.start()
        return at

    def _compile(self) -> None:
        with self._lock:
            ordered = sorted(self._forms, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(_either_case, ordered)))
            self._is_stale = False


def is_open_key(text: str) -> bool:
    """Whether a private key begins in the text and does not end there."""
    if "PRIVATE KEY-----" not in text:
        return False
    begins = [match.end() for match in re.finditer(_BEGIN, text)]
    return bool(begins) and re.search(_END, text[begins[-1] :]) is None


def after_key(text: str) -> str | None:
    """What follows the end of a private key in the text; None when it does not end there."""
    match = re.search(_END, text) if "PRIVATE KEY-----" in text else None
    return None if match is None else text[match.end() :]


def _forms(text: str) -> Iterator[str]:
    lines = [line.strip() for line in text.splitlines()] if "\n" in text or "\r" in text else []
    for one in (text, *(line for line in lines if len(line) >= LEAST)):
        raw = one.encode("utf-8", "backslashreplace")
        yield one
        yield json.dumps(one)[1:-1]
        yield json.dumps(one, ensure_ascii=False)[1:-1]
        yield repr(one)[1:-1]
        yield repr(raw)[2:-1]
        for escaped in (quote(one, safe="", errors="replace"), quote_plus(one, errors="replace")):
            yield escaped
            yield escaped.replace("%2F", "/")
        yield from _in_base64(raw)


def _either_case(form: str) -> str:
    """An expression for the form, in which `%2f` is as good as `%2F`."""
    return re.sub(
        "%([0-9A-Fa-f]{2})",
        lambda found: "%" + "".join([f"[{one.lower()}{one.upper()}]" if one.isalpha() else one for one in found[1]]),
        re.escape(form),
    )


def _in_base64(raw: bytes) -> Iterator[str]:
    """How the bytes look in base 64, by themselves and within a longer text such as `user:password`."""
    for altchars in (b"+/", b"-_"):
        whole_text = b64encode(raw, altchars).decode()
        yield whole_text
        yield whole_text.rstrip("=")
    for before in range(3):
        # Characters at both ends hold bits of neighbours; those in between are the value's alone.
        first = -(-before * 8 // 6)
        whole = (before + len(raw)) * 8 // 6
        for altchars in (b"+/", b"-_"):
            inner = b64encode(b"\0" * before + raw, altchars).decode()[first:whole]
            if len(inner) >= LEAST:
                yield inner


SECRETS = Redactor()
"""What this process knows of secrets."""
