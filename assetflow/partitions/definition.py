"""What every partition definition can do: name its partitions, count them, and read what a user writes about them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import ClassVar

from assetflow.errors import UsageError
from assetflow.partitions.ordinals import EMPTY, Ordinals, Span

TO = ".."
EVERY = "*"
LATEST = "latest"


class Definition(ABC):
    """Which partitions an asset has: each is an integer, its ordinal, and a text, its key.

    Ordinals are in order and without holes, so ranges, windows and roll-ups are arithmetic. They say nothing across
    definitions of different kinds; keys are what is stored and shown.
    """

    __slots__ = ()
    kind: ClassVar[str]

    @abstractmethod
    def key(self, ordinal: int) -> str:
        """The key of a partition."""

    @abstractmethod
    def ordinal(self, key: str) -> int:
        """The partition that has this key, whether or not it exists now.

        Raises:
            UsageError: none has; with the nearest key.
        """

    @abstractmethod
    def keys_until(self, now: datetime) -> Ordinals:
        """The partitions that exist at an instant. The clock is never read."""

    @abstractmethod
    def clip(self, ordinals: Ordinals) -> Ordinals:
        """Those of the ordinals that are or will be partitions: not before the start, after the end or excluded."""

    @abstractmethod
    def to_json(self) -> dict[str, object]:
        """The definition as JSON-able values, with its `kind`; `forms.definition_from_json` reads it."""

    @abstractmethod
    def named(self, text: str) -> Span:
        """The run of ordinals that a text without commas and `..` names: a key, or a longer time such as a month.

        Raises:
            UsageError: it names nothing.
        """

    def meaning(self) -> str:
        """What the keys mean beside their text: with another meaning, a key is another partition."""
        return self.kind

    def keys(self, ordinals: Ordinals) -> Iterator[str]:
        """The keys of a set, in order."""
        return (self.key(ordinal) for ordinal in ordinals)

    def ordinals(self, keys: Iterable[str]) -> Ordinals:
        """The set that has these keys, in any order."""
        return Ordinals.of(*(self.ordinal(key) for key in keys))

    def text(self, ordinals: Ordinals) -> str:
        """A set as text: `2026-01-01..2026-01-31, 2026-02-03`; `parse` reads it. Empty for the empty set."""
        return ", ".join(self.run_text(low, high) for low, high in ordinals.spans)

    def run_text(self, low: int, high: int) -> str:
        """One run as text: its key, or its first and last keys with `..` between them."""
        return self.key(low) if high - low == 1 else f"{self.key(low)}{TO}{self.key(high - 1)}"

    def parse(self, text: str, now: datetime) -> Ordinals:
        """The partitions existing at `now` that a user's text names.

        A text is a list with commas. Each item is a key, a longer time (`2026-01`), a range with both ends included
        (`2026-01-01..2026-03-31`), one with an open end (`2026-01-01..`), `latest`, `latest:7`, or `*` for all.
        Ranges are cut to what exists.

        Raises:
            UsageError: an item names no partition, or none that exists; the message says what would.
        """
        existing = self.keys_until(now)
        items = [item.strip() for item in text.split(",")]
        if not any(items):
            raise UsageError("no partition is named", fix=self.example(existing))
        found = EMPTY
        for item in items:
            if item:
                found |= self.parse_item(item, existing)
        return found

    def parse_item(self, item: str, existing: Ordinals) -> Ordinals:
        """What one item of a list names, of the partitions that exist."""
        if item == EVERY:
            return existing
        if item.partition(":")[0] == LATEST:
            return existing.newest(_count_of(item))
        span = self._range(item, existing) if TO in item else self.named(item)
        found = Ordinals.run(*span) & existing
        if not found:
            raise UsageError(
                f"no partition of `{item}` exists", facts=self._facts(span, existing), fix=self.example(existing)
            )
        return found

    def example(self, existing: Ordinals) -> str:
        """A sentence with keys that exist, for the fix of a message."""
        if not existing:
            return "add a partition first: there is none yet"
        first, last = self.key(existing.first), self.key(existing.last)
        if first == last:
            return f"write the only key: `{first}`"
        return f"write keys between `{first}` and `{last}`, such as `{first}{TO}{last}` or `latest:7`"

    def _range(self, item: str, existing: Ordinals) -> Span:
        first, _, last = (part.strip() for part in item.partition(TO))
        low = self.named(first)[0] if first else None
        high = self.named(last)[1] if last else None
        if low is not None and high is not None and low >= high:
            raise UsageError(f"`{item}` ends before it begins", fix=f"did you mean `{last}{TO}{first}`?")
        ends = (existing.first, existing.last + 1) if existing else (0, 0)
        return (ends[0] if low is None else low, ends[1] if high is None else high)

    def _facts(self, span: Span, existing: Ordinals) -> list[str]:
        if not existing:
            return []
        if span[0] >= span[1]:
            return []
        if span[1] <= existing.first:
            return [f"the first partition is {self.key(existing.first)}"]
        if span[0] > existing.last:
            future = bool(self.clip(Ordinals.run(*span)))
            why = "the newest so far is" if future else "the last partition is"
            return [f"{why} {self.key(existing.last)}"]
        return ["it is excluded by the definition"]


def _count_of(item: str) -> int:
    _, colon, number = item.partition(":")
    if not colon:
        return 1
    if not number.isascii() or not number.isdigit() or int(number) < 1:
        raise UsageError(f"`{item}` does not say how many", fix="write a number from 1 on, such as `latest:7`")
    return int(number)
