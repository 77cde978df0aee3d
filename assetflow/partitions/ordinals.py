"""Sets of partitions as sorted runs of integers, so that a hundred thousand days cost as much as one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, pairwise

from msgspec import Struct

Span = tuple[int, int]


class Ordinals(Struct, frozen=True):
    """A set of integers: half-open runs `(low, high)`, in order, none empty, none touching the next.

    Equal sets have equal runs, so they compare and hash as sets do. Make one with `Ordinals.of`, `Ordinals.run` or
    `Ordinals.joined`; the constructor trusts its argument. Every operation costs the number of runs, not of members.
    """

    spans: tuple[Span, ...] = ()

    @classmethod
    def of(cls, *members: int) -> Ordinals:
        """The set of these integers, in any order."""
        return cls.ascending(sorted(set(members)))

    @classmethod
    def ascending(cls, members: Sequence[int]) -> Ordinals:
        """The set of these integers, each of which is more than the one before it. One run costs nothing."""
        if not members:
            return cls()
        if members[-1] - members[0] == len(members) - 1:
            return cls(((members[0], members[-1] + 1),))
        ends = [place for place, (one, then) in enumerate(pairwise(members), 1) if then != one + 1]
        return cls(tuple((members[low], members[high - 1] + 1) for low, high in pairwise((0, *ends, len(members)))))

    @classmethod
    def run(cls, low: int, high: int) -> Ordinals:
        """The integers from `low` to before `high`; the empty set when there are none."""
        return cls(((low, high),)) if low < high else cls()

    @classmethod
    def joined(cls, spans: Iterable[Span]) -> Ordinals:
        """The union of half-open runs in any order; they may overlap and may be empty."""
        merged: list[Span] = []
        for low, high in sorted(spans):
            if low >= high:
                continue
            if merged and low <= merged[-1][1]:
                if high > merged[-1][1]:
                    merged[-1] = (merged[-1][0], high)
            else:
                merged.append((low, high))
        return cls(tuple(merged))

    @property
    def count(self) -> int:
        """How many members there are. It is no `len`, which refuses numbers beyond the machine's."""
        return sum(high - low for low, high in self.spans)

    @property
    def first(self) -> int:
        """The lowest member. The set must not be empty."""
        return self.spans[0][0]

    @property
    def last(self) -> int:
        """The highest member. The set must not be empty."""
        return self.spans[-1][1] - 1

    def __bool__(self) -> bool:
        return bool(self.spans)

    def __contains__(self, member: int) -> bool:
        place = self._place(member)
        return place >= 0 and member < self.spans[place][1]

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(range(low, high) for low, high in self.spans)

    def __reversed__(self) -> Iterator[int]:
        for low, high in reversed(self.spans):
            yield from range(high - 1, low - 1, -1)

    def __or__(self, other: Ordinals) -> Ordinals:
        if not self.spans or not other.spans:
            return self if self.spans else other
        return Ordinals.joined((*self.spans, *other.spans))

    def __and__(self, other: Ordinals) -> Ordinals:
        few, many = (self, other) if len(self.spans) <= len(other.spans) else (other, self)
        found: list[Span] = []
        for low, high in few.spans:
            place = max(many._place(low), 0)
            while place < len(many.spans) and many.spans[place][0] < high:
                start, end = max(low, many.spans[place][0]), min(high, many.spans[place][1])
                if start < end:
                    found.append((start, end))
                place += 1
        return Ordinals(tuple(found))

    def __sub__(self, other: Ordinals) -> Ordinals:
        found: list[Span] = []
        for low, high in self.spans:
            place, start = max(other._place(low), 0), low
            while place < len(other.spans) and other.spans[place][0] < high:
                hole_low, hole_high = other.spans[place]
                if start < hole_low:
                    found.append((start, hole_low))
                start = max(start, hole_high)
                place += 1
            if start < high:
                found.append((start, high))
        return Ordinals(tuple(found))

    def __le__(self, other: Ordinals) -> bool:
        """Whether every member is in `other`."""
        return not self - other

    def newest(self, count: int) -> Ordinals:
        """The `count` highest members, or all of them where there are fewer."""
        found: list[Span] = []
        for low, high in reversed(self.spans):
            if count <= 0:
                break
            found.append((max(low, high - count), high))
            count -= high - low
        return Ordinals(tuple(reversed(found)))

    def to_json(self) -> list[list[int]]:
        """The runs as lists of two integers."""
        return [list(span) for span in self.spans]

    @classmethod
    def from_json(cls, spans: Sequence[Sequence[int]]) -> Ordinals:
        """The set that `to_json` wrote."""
        return cls.joined((low, high) for low, high in spans)

    def _place(self, member: int) -> int:
        """The run that begins at or before `member`, or -1."""
        return bisect_right(self.spans, member, key=_low) - 1


def _low(span: Span) -> int:
    return span[0]


EMPTY = Ordinals()
