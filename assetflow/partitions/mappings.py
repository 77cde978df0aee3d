"""Which partitions of an upstream a partition reads, and which partitions read a changed one: arithmetic on runs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping as MappingOf, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from math import ceil
from typing import ClassVar, Literal

from msgspec import Struct

from assetflow.errors import BadDeclaration, UsageError
from assetflow.partitions.cron_windows import Cron
from assetflow.partitions.definition import Definition
from assetflow.partitions.hours import Hourly
from assetflow.partitions.named import Dynamic, Static
from assetflow.partitions.ordinals import EMPTY, Ordinals, Span
from assetflow.partitions.windows import TimeDefinition

Needs = Literal["all"] | int | float


class Side(Struct, frozen=True):
    """One end of an edge: its definition, and the partitions that exist now."""

    definition: Definition
    existing: Ordinals


class Mapping(ABC):
    """How the partitions of two definitions belong together. Both directions follow from one definition.

    `downstream` of a set are exactly the partitions whose `upstream` meets it.
    """

    __slots__ = ()
    kind: ClassVar[str]

    @abstractmethod
    def upstream(self, wanted: Ordinals, up: Side, down: Side) -> Ordinals:
        """What the `wanted` partitions of `down` read: partitions that `up` has or will have."""

    @abstractmethod
    def downstream(self, changed: Ordinals, up: Side, down: Side) -> Ordinals:
        """The existing partitions of `down` that read one of the `changed` partitions of `up`."""

    @abstractmethod
    def problem(self, up: Definition, down: Definition) -> str | None:
        """Why the mapping does not fit these definitions, as a sentence without a full stop, or None."""

    @property
    def looks_back(self) -> bool:
        """Whether all that a partition reads comes before its own place, so that no circle can arise."""
        return False

    def to_json(self) -> dict[str, object]:
        """The mapping as JSON-able values, with its `kind`; `forms.mapping_from_json` reads it."""
        return {"kind": self.kind}


@dataclass(frozen=True, slots=True)
class Identity(Mapping):
    """The partition with the same key."""

    kind = "identity"

    def upstream(self, wanted: Ordinals, up: Side, down: Side) -> Ordinals:
        """The same keys."""
        return up.definition.clip(_renumbered(wanted, down.definition, up.definition))

    def downstream(self, changed: Ordinals, up: Side, down: Side) -> Ordinals:
        """The same keys."""
        return _renumbered(up.definition.clip(changed), up.definition, down.definition) & down.existing

    def problem(self, up: Definition, down: Definition) -> str | None:
        """Needs keys of one form."""
        if same_keys(up, down) or (isinstance(up, (Static, Dynamic)) and isinstance(down, (Static, Dynamic))):
            return None
        return f"{up} and {down} do not have the same keys"


@dataclass(frozen=True, slots=True)
class TimeWindow(Mapping):
    """The partitions whose time meets that of the reader, from `start_offset` to `end_offset` partitions away.

    Between definitions of one grain and zone, `TimeWindow(-6, 0)` is the same partition and the six before it. Between
    others, of any grain and in any zone, the offsets are counted from the first and the last partition whose windows
    overlap, in partitions of the upstream. Offsets count excluded partitions too; these are then left out.
    """

    start_offset: int = 0
    end_offset: int = 0
    kind = "time_window"

    def __post_init__(self) -> None:
        if self.start_offset > self.end_offset:
            raise BadDeclaration(
                f"the window from {self.start_offset} to {self.end_offset} ends before it begins",
                fix=f"write TimeWindow({self.end_offset}, {self.start_offset})",
            )

    def upstream(self, wanted: Ordinals, up: Side, down: Side) -> Ordinals:
        """The overlapping ones, and those that the offsets add."""
        spans = wanted.spans if same_windows(up.definition, down.definition) else _overlap(wanted, down, up)
        moved = ((low + self.start_offset, high + self.end_offset) for low, high in spans)
        return up.definition.clip(Ordinals.joined(moved))

    def downstream(self, changed: Ordinals, up: Side, down: Side) -> Ordinals:
        """Those in whose window a changed one lies."""
        changed = up.definition.clip(changed)
        moved = Ordinals.joined((low - self.end_offset, high - self.start_offset) for low, high in changed.spans)
        spans = moved.spans if same_windows(up.definition, down.definition) else _overlap(moved, up, down)
        return Ordinals.joined(spans) & down.existing

    @property
    def looks_back(self) -> bool:
        """Whether the window ends before the own partition; only between equal partitions is that sure."""
        return self.end_offset < 0

    def problem(self, up: Definition, down: Definition) -> str | None:
        """Needs time on both sides."""
        other = next((side for side in (up, down) if not isinstance(side, TimeDefinition)), None)
        return None if other is None else f"{other} are not windows of time"

    def to_json(self) -> dict[str, object]:
        """The mapping as JSON-able values."""
        return {"kind": self.kind, "start_offset": self.start_offset, "end_offset": self.end_offset}


@dataclass(frozen=True, slots=True)
class StaticMap(Mapping):
    """What each partition reads, by key: `StaticMap({"europe": ["de", "fr"], "america": "us"})`.

    The keys are those of the reader. One that is not named reads nothing.
    """

    reads: MappingOf[str, str | Sequence[str]] = field(compare=False, repr=False)
    _pairs: tuple[tuple[str, tuple[str, ...]], ...] = field(init=False, default=())
    kind = "static"

    def __post_init__(self) -> None:
        read = {key: (keys,) if isinstance(keys, str) else tuple(keys) for key, keys in self.reads.items()}
        object.__setattr__(self, "reads", read)
        object.__setattr__(self, "_pairs", tuple(read.items()))

    def upstream(self, wanted: Ordinals, up: Side, down: Side) -> Ordinals:
        """The keys that the map names."""
        found = (keys for key, keys in self._pairs if _ordinal(down.definition, key) in wanted)
        return up.definition.clip(Ordinals.of(*(_ordinal(up.definition, key) for keys in found for key in keys)))

    def downstream(self, changed: Ordinals, up: Side, down: Side) -> Ordinals:
        """The keys whose list has a changed one."""
        changed = up.definition.clip(changed)
        touched = (key for key, keys in self._pairs if any(_ordinal(up.definition, one) in changed for one in keys))
        return Ordinals.of(*(_ordinal(down.definition, key) for key in touched)) & down.existing

    def problem(self, up: Definition, down: Definition) -> str | None:
        """Needs keys that exist; those of a dynamic definition may come later."""
        for definition, keys in (
            (down, [key for key, _ in self._pairs]),
            (up, [key for _, read in self._pairs for key in read]),
        ):
            if isinstance(definition, Dynamic):
                continue
            try:
                for key in keys:
                    definition.ordinal(key)
            except UsageError as error:
                return f"{error.what}: {error.fix}"
        return None

    def to_json(self) -> dict[str, object]:
        """The mapping as JSON-able values."""
        return {"kind": self.kind, "reads": {key: list(keys) for key, keys in self._pairs}}


@dataclass(frozen=True, slots=True)
class All(Mapping):
    """Every partition that exists."""

    kind = "all"

    def upstream(self, wanted: Ordinals, up: Side, down: Side) -> Ordinals:
        """All existing ones."""
        return up.existing if wanted else EMPTY

    def downstream(self, changed: Ordinals, up: Side, down: Side) -> Ordinals:
        """All existing ones."""
        return down.existing if changed & up.existing else EMPTY

    def problem(self, up: Definition, down: Definition) -> str | None:
        """Fits everything."""
        return None


@dataclass(frozen=True, slots=True)
class Latest(Mapping):
    """The newest partition that exists."""

    kind = "latest"

    def upstream(self, wanted: Ordinals, up: Side, down: Side) -> Ordinals:
        """The newest one."""
        return up.existing.newest(1) if wanted else EMPTY

    def downstream(self, changed: Ordinals, up: Side, down: Side) -> Ordinals:
        """All existing ones, when the newest has changed."""
        return down.existing if changed & up.existing.newest(1) else EMPTY

    def problem(self, up: Definition, down: Definition) -> str | None:
        """Fits everything."""
        return None


@dataclass(frozen=True, slots=True)
class Previous(Mapping):
    """The asset's own partition before this one; the first one has none. Excluded partitions are passed over."""

    kind = "previous_self"

    def upstream(self, wanted: Ordinals, up: Side, down: Side) -> Ordinals:
        """The existing ones before them."""
        wanted &= up.existing
        jumps = [(first[1] - 1, then[0]) for first, then in pairwise(up.existing.spans)]
        crossed = Ordinals.of(*(before for before, after in jumps if after in wanted))
        return (Ordinals(tuple((low - 1, high - 1) for low, high in wanted.spans)) & up.existing) | crossed

    def downstream(self, changed: Ordinals, up: Side, down: Side) -> Ordinals:
        """The existing ones after them."""
        changed &= up.existing
        jumps = [(first[1] - 1, then[0]) for first, then in pairwise(up.existing.spans)]
        crossed = Ordinals.of(*(after for before, after in jumps if before in changed))
        return (Ordinals(tuple((low + 1, high + 1) for low, high in changed.spans)) & down.existing) | crossed

    @property
    def looks_back(self) -> bool:
        """It does."""
        return True

    def problem(self, up: Definition, down: Definition) -> str | None:
        """Needs one definition on both sides."""
        return None if up == down else f"{up} and {down} are not the partitions of one asset"


def enough(needs: Needs, wanted: Ordinals, present: Ordinals) -> bool:
    """Whether what is there suffices: all that is wanted, so many of it, or such a share of it.

    A number larger than what is wanted asks for all of it. A share is rounded up: 0.9 of 7 is all 7. Nothing wanted is
    always enough.

    Example:
        >>> enough(0.9, Ordinals.run(0, 10), Ordinals.run(1, 99))
        True
    """
    total = wanted.count
    there = (wanted & present).count
    if needs == "all":
        return there == total
    least = ceil(Fraction(str(needs)) * total) if isinstance(needs, float) else min(needs, total)
    return there >= least


def check_needs(needs: object) -> str | None:
    """What is wrong with `needs`, as a sentence without a full stop, or None."""
    if needs == "all":
        return None
    if isinstance(needs, bool) or not isinstance(needs, (int, float)):
        return f"need={needs!r} is neither 'all', a number of partitions nor a share such as 0.9"
    if isinstance(needs, int):
        return None if needs >= 0 else f"need={needs} is less than none"
    return None if 0 < needs <= 1 else f"need={needs} is not a share between 0 and 1; write {needs:.0f} for a number"


def same_windows(up: Definition, down: Definition) -> bool:
    """Whether equal ordinals mean equal windows of time."""
    return (
        same_keys(up, down) and isinstance(up, TimeDefinition) and isinstance(down, TimeDefinition) and up.tz == down.tz
    )


def same_keys(up: Definition, down: Definition) -> bool:
    """Whether equal ordinals mean equal keys, now and later."""
    if isinstance(up, TimeDefinition) and isinstance(down, TimeDefinition):
        if isinstance(up, Cron) and isinstance(down, Cron):
            return (up.expression, up.tz) == (down.expression, down.tz)
        return up.kind == down.kind and (not isinstance(up, Hourly) or up.tz == down.tz)
    return up == down


def _renumbered(ordinals: Ordinals, source: Definition, target: Definition) -> Ordinals:
    if same_keys(source, target):
        return ordinals
    return Ordinals.of(*(_ordinal(target, key) for key in source.keys(source.clip(ordinals))))


def _ordinal(definition: Definition, key: str) -> int:
    """The ordinal of a key; -1, which is no place of a list, where there is none."""
    try:
        return definition.ordinal(key)
    except UsageError:
        return -1


def _overlap(ordinals: Ordinals, source: Side, target: Side) -> list[Span]:
    """For each run the run of partitions of the other definition that share time with it.

    A run that is only a date which the zone left out has no time: it lies within the partition that goes on over it.
    """
    assert isinstance(source.definition, TimeDefinition)
    assert isinstance(target.definition, TimeDefinition)
    found: list[Span] = []
    for low, high in ordinals.spans:
        start, end = source.definition.start_of(low), source.definition.start_of(high)
        first = target.definition.ordinal_at(start)
        if start < end:
            found.append((first, target.definition.ordinal_at(end - 1) + 1))
        elif target.definition.start_of(first) < start:
            found.append((first, first + 1))
    return found
