"""Products of partition definitions, such as days times airports, counted row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import product
from types import MappingProxyType

from msgspec import Struct

from assetflow.errors import BadDeclaration, UsageError, did_you_mean
from assetflow.partitions.definition import EVERY, LATEST, TO, Definition
from assetflow.partitions.named import BETWEEN, Dynamic, Static
from assetflow.partitions.ordinals import Ordinals, Span
from assetflow.partitions.windows import TimeDefinition, Window

_NAMED = "="
_WIDE = 1 << 40  # more windows than any axis of time has; ordinals are Python integers, so they have room


class _Axis(Struct, frozen=True):
    """One axis in the order of counting: its ordinals go from `origin` to before `origin + width`."""

    name: str
    definition: Definition
    origin: int
    width: int


@dataclass(frozen=True, slots=True)
class Multi(Definition):
    """Every combination of the partitions of its axes: `2026-01-01|JFK`, in the order in which the axes are written.

    Ordinals are row-major: all combinations of the first axis's partition stand together. What grows counts first:
    axes of time, then dynamic ones, then static ones. So a range of days with all airports is one run, and one airport
    over a range of days is one run for each day. Like those of lists, these ordinals move when a list is edited.

    Example:
        >>> flights = Multi({"airport": Static(["JFK", "LAX"]), "day": Static(["mon", "tue"])})
        >>> [*flights.keys(flights.keys_until(datetime.max))]
        ['JFK|mon', 'JFK|tue', 'LAX|mon', 'LAX|tue']
    """

    kind = "multi"

    axes: Mapping[str, Definition] = field(compare=False, repr=False)
    _pairs: tuple[tuple[str, Definition], ...] = field(init=False, default=())
    _order: tuple[_Axis, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self) -> None:
        pairs = tuple(self.axes.items())
        if len(pairs) < 2:
            raise BadDeclaration("Multi needs two axes or more", fix="use the definition of the only axis by itself")
        for name, definition in pairs:
            if not name.isidentifier():
                raise BadDeclaration(f"`{name}` cannot name an axis", fix="use letters, digits and `_`")
            if isinstance(definition, Multi) or _rank(definition) is None:
                raise BadDeclaration(
                    f"the axis `{name}` has {definition}", fix="use windows of time, Static or Dynamic as axes"
                )
        ordered = sorted(pairs, key=lambda pair: _rank(pair[1]) or 0)
        object.__setattr__(self, "axes", MappingProxyType(dict(pairs)))
        object.__setattr__(self, "_pairs", pairs)
        object.__setattr__(self, "_order", tuple(_axis(*pair) for pair in ordered))

    @property
    def time_axis(self) -> str | None:
        """The name of the only axis of time, or None when there is none or more than one."""
        names = [name for name, definition in self._pairs if isinstance(definition, TimeDefinition)]
        return names[0] if len(names) == 1 else None

    def coordinates(self, ordinal: int) -> dict[str, int]:
        """The ordinal on each axis."""
        found: dict[str, int] = {}
        for axis in reversed(self._order[1:]):
            ordinal, place = divmod(ordinal, axis.width)
            found[axis.name] = place + axis.origin
        found[self._order[0].name] = ordinal
        return {name: found[name] for name, _ in self._pairs}

    def at(self, coordinates: Mapping[str, int]) -> int:
        """The ordinal of a combination."""
        ordinal = coordinates[self._order[0].name]
        for axis in self._order[1:]:
            ordinal = ordinal * axis.width + coordinates[axis.name] - axis.origin
        return ordinal

    def of(self, sets: Mapping[str, Ordinals]) -> Ordinals:
        """Every combination of a set on each axis. One run where all axes after the first are full."""
        spans: list[Span] = [(0, 1)]
        width = 1
        for place, axis in reversed([*enumerate(self._order)]):
            origin = axis.origin if place else 0
            chosen = [(low - origin, high - origin) for low, high in sets[axis.name].spans]
            if spans == [(0, width)]:
                spans = [(low * width, high * width) for low, high in chosen]
            else:
                spans = [
                    (row * width + low, row * width + high)
                    for first, end in chosen
                    for row in range(first, end)
                    for low, high in spans
                ]
            width *= axis.width
        return Ordinals.joined(spans)

    def boxes(self, ordinals: Ordinals) -> list[dict[str, Ordinals]]:
        """The set as combinations of sets on the axes, no two of which overlap. Costs the number of its runs."""
        found: list[tuple[dict[str, Ordinals], Ordinals]] = [({}, ordinals)]
        width = 1
        for axis in self._order[1:]:
            width *= axis.width
        for place, axis in enumerate(self._order):
            origin = axis.origin if place else 0
            split: list[tuple[dict[str, Ordinals], Ordinals]] = []
            for box, rest in found:
                for rows, inner in _rows(rest, width):
                    moved = Ordinals(tuple((low + origin, high + origin) for low, high in rows.spans))
                    split.append(({**box, axis.name: moved}, inner))
            found = split
            width //= self._order[place + 1].width if place + 1 < len(self._order) else 1
        return [box for box, _ in found]

    def along(self, name: str, ordinals: Ordinals) -> Ordinals:
        """The ordinals of one axis that occur in a set."""
        return Ordinals.joined(span for box in self.boxes(ordinals) for span in box[name].spans)

    def window(self, ordinal: int) -> Window | None:
        """The time that a partition covers, when there is one axis of time."""
        name = self.time_axis
        definition = self.axes[name] if name is not None else None
        return (
            definition.window(self.coordinates(ordinal)[name or ""]) if isinstance(definition, TimeDefinition) else None
        )

    def meaning(self) -> str:
        """What the keys mean beside their text: the axes in their order, with what theirs mean."""
        return "|".join(f"{name}={definition.meaning()}" for name, definition in self._pairs)

    def key(self, ordinal: int) -> str:
        """The keys of the axes with `|` between them."""
        places = self.coordinates(ordinal)
        return BETWEEN.join(definition.key(places[name]) for name, definition in self._pairs)

    def ordinal(self, key: str) -> int:
        """The partition that has this key."""
        parts = key.split(BETWEEN)
        if len(parts) != len(self._pairs):
            raise UsageError(f"`{key}` is no key of {self}", fix=self._form())
        return self.at({name: axis.ordinal(part) for (name, axis), part in zip(self._pairs, parts, strict=True)})

    def keys_until(self, now: datetime) -> Ordinals:
        """Every combination of the partitions that exist on the axes."""
        return self.of({name: definition.keys_until(now) for name, definition in self._pairs})

    def clip(self, ordinals: Ordinals) -> Ordinals:
        """Those that every axis has."""
        clipped = (
            self.of({name: definition.clip(box[name]) for name, definition in self._pairs})
            for box in self.boxes(ordinals)
        )
        return Ordinals.joined(span for part in clipped for span in part.spans)

    def named(self, text: str) -> Span:
        """The run of one key."""
        ordinal = self.ordinal(text)
        return ordinal, ordinal + 1

    def text(self, ordinals: Ordinals) -> str:
        """A set as text: `2026-01-01..2026-01-31|JFK, 2026-02-01|*`."""
        items: list[str] = []
        for box in self.boxes(ordinals):
            pieces = [_pieces(axis, box[name]) for name, axis in self._pairs]
            items += [BETWEEN.join(piece) for piece in product(*pieces)]
        return ", ".join(items)

    def parse_item(self, item: str, existing: Ordinals) -> Ordinals:
        """What one item names: a part for each axis (`2026-01|JFK`, `latest:7|*`), `airport=JFK`, or only the time."""
        if item == EVERY:
            return existing
        given = self._parts(item)
        sets: dict[str, Ordinals] = {}
        for name, definition in self._pairs:
            known = self.along(name, existing)
            sets[name] = definition.parse_item(given[name], known) if name in given else known
        found = self.of(sets) & existing
        if not found:
            raise UsageError(f"no partition of `{item}` exists", fix=self.example(existing))
        return found

    def example(self, existing: Ordinals) -> str:
        """A sentence with a key that exists."""
        return (
            f"write keys such as `{self.key(existing.last)}`"
            if existing
            else "add a partition first: there is none yet"
        )

    def to_json(self) -> dict[str, object]:
        """The definition as JSON-able values."""
        return {"kind": self.kind, "axes": {name: definition.to_json() for name, definition in self._pairs}}

    def __str__(self) -> str:
        return f"partitions by {' and '.join(name for name, _ in self._pairs)}"

    def _parts(self, item: str) -> dict[str, str]:
        """The text for each axis that an item speaks of."""
        parts = [part.strip() for part in item.split(BETWEEN)]
        if all(_NAMED in part for part in parts):
            given = {name.strip(): text.strip() for name, _, text in (part.partition(_NAMED) for part in parts)}
            unknown = next((name for name in given if name not in self.axes), None)
            if unknown is not None:
                fix = did_you_mean(unknown, self.axes) or f"the axes are {', '.join(self.axes)}"
                raise UsageError(f"there is no axis `{unknown}`", fix=fix)
            return given
        if len(parts) == len(self._pairs):
            return {name: part for (name, _), part in zip(self._pairs, parts, strict=True)}
        if len(parts) == 1 and self.time_axis is not None:
            return {self.time_axis: parts[0]}
        raise UsageError(f"`{item}` does not say what it takes of each axis", fix=self._form())

    def _form(self) -> str:
        form = BETWEEN.join(name.upper() for name, _ in self._pairs)
        return f"write `{form}`, where each part is a key, a range with `{TO}`, `{LATEST}` or `{EVERY}`"


def _rank(definition: Definition) -> int | None:
    if isinstance(definition, TimeDefinition):
        return 0
    if isinstance(definition, Dynamic):
        return 1
    return 2 if isinstance(definition, Static) else None


def _axis(name: str, definition: Definition) -> _Axis:
    if isinstance(definition, Static):
        return _Axis(name, definition, 0, len(definition.names))
    if isinstance(definition, Dynamic):
        return _Axis(name, definition, 0, max(len(definition.added), 1))
    return _Axis(name, definition, -_WIDE // 2, _WIDE)


def _rows(ordinals: Ordinals, width: int) -> list[tuple[Ordinals, Ordinals]]:
    """Rows of `width` ordinals with what each has: rows that have the same are told once, together."""
    full: list[Span] = []
    parts: dict[int, list[Span]] = {}
    for low, high in ordinals.spans:
        first, left = divmod(low, width)
        last, right = divmod(high, width)
        if first == last:
            parts.setdefault(first, []).append((left, right))
            continue
        if left:
            parts.setdefault(first, []).append((left, width))
        if right:
            parts.setdefault(last, []).append((0, right))
        full.append((first + bool(left), last))
    groups: dict[tuple[Span, ...], list[Span]] = {}
    for row, spans in parts.items():
        groups.setdefault(tuple(spans), []).append((row, row + 1))
    whole = Ordinals.joined(full)
    found = [(whole, Ordinals.run(0, width))] if whole else []
    found += [(Ordinals.joined(rows), Ordinals.joined(spans)) for spans, rows in groups.items()]
    return sorted(found, key=lambda pair: pair[0].spans)


def _pieces(definition: Definition, ordinals: Ordinals) -> Sequence[str]:
    everything = isinstance(definition, Static) and ordinals.count == len(definition.names)
    return [EVERY] if everything else [definition.run_text(low, high) for low, high in ordinals.spans]
