"""Partitions that are names: a list in the code, a list that grows while the project is used, or a single whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime

from assetflow.errors import BadDeclaration, UsageError, did_you_mean
from assetflow.partitions.definition import EVERY, LATEST, TO, Definition
from assetflow.partitions.ordinals import Ordinals, Span

BETWEEN = "|"
_FORBIDDEN = (",", BETWEEN, TO, EVERY)
_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Static(Definition):
    """A fixed list of partitions, in this order; an ordinal is a place in the list.

    Places move when the list is edited, so what is kept longer than a process is kept by key.

    Example:
        >>> Static(["eu", "us"]).ordinal("us")
        1
    """

    kind = "static"

    names: Sequence[str]
    _places: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict[str, int])

    def __post_init__(self) -> None:
        if isinstance(self.names, str):
            raise BadDeclaration("Static takes a list of keys", fix=f"write Static([{self.names!r}])")
        object.__setattr__(self, "names", tuple(self.names))
        self._places.update(_places_of(self.names))
        if not self.names:
            raise BadDeclaration("Static has no keys", fix='name at least one, such as Static(["eu", "us"])')

    def key(self, ordinal: int) -> str:
        """The name at a place."""
        return self.names[ordinal]

    def ordinal(self, key: str) -> int:
        """The place of a name."""
        return _place_of(key, self._places, str(self))

    def keys_until(self, now: datetime) -> Ordinals:
        """All of them, at any time."""
        return Ordinals.run(0, len(self.names))

    def clip(self, ordinals: Ordinals) -> Ordinals:
        """Those that are places of the list."""
        return ordinals & Ordinals.run(0, len(self.names))

    def named(self, text: str) -> Span:
        """The place of a name."""
        place = self.ordinal(text)
        return place, place + 1

    def to_json(self) -> dict[str, object]:
        """The definition as JSON-able values."""
        return {"kind": self.kind, "names": list(self.names)}

    def __str__(self) -> str:
        return f"static partitions ({_few(self.names)})"


@dataclass(frozen=True, slots=True)
class Dynamic(Definition):
    """Partitions whose keys are added while the project is used; an ordinal is the place in the order of adding.

    The definition is its name. Keys come from outside by `with_keys`; one that was removed keeps its ordinal, so that
    the others keep theirs, and is no partition any more.

    Example:
        >>> customers = Dynamic("customers").with_keys(["acme", "bolt", "coil"], removed=["bolt"])
        >>> [*customers.keys(customers.clip(Ordinals.run(0, 99)))]
        ['acme', 'coil']
    """

    kind = "dynamic"

    name: str
    _: KW_ONLY
    added: tuple[str, ...] = ()
    removed: frozenset[str] = frozenset()
    _places: dict[str, int] = field(init=False, repr=False, compare=False, default_factory=dict[str, int])
    _holes: Ordinals = field(init=False, repr=False, compare=False, default=Ordinals())

    def __post_init__(self) -> None:
        if not self.name or self.name != self.name.strip():
            raise BadDeclaration("Dynamic needs a name for its set of keys", fix='write Dynamic("customers")')
        self._places.update(_places_of(self.added))
        object.__setattr__(self, "_holes", Ordinals.of(*(self.ordinal(key) for key in self.removed)))

    def with_keys(self, added: Iterable[str], removed: Iterable[str] = ()) -> Dynamic:
        """The same definition with all keys that were ever added, in that order, and those that were removed."""
        return Dynamic(self.name, added=tuple(added), removed=frozenset(removed))

    def key(self, ordinal: int) -> str:
        """The key that was added as this one."""
        return self.added[ordinal]

    def ordinal(self, key: str) -> int:
        """When a key was added, as a place."""
        return _place_of(key, self._places, str(self))

    def keys_until(self, now: datetime) -> Ordinals:
        """All keys that are known and not removed, at any time."""
        return Ordinals.run(0, len(self.added)) - self._holes

    def clip(self, ordinals: Ordinals) -> Ordinals:
        """Those that are known and not removed."""
        return (ordinals & Ordinals.run(0, len(self.added))) - self._holes

    def named(self, text: str) -> Span:
        """The place of a key."""
        place = self.ordinal(text)
        return place, place + 1

    def to_json(self) -> dict[str, object]:
        """The definition as JSON-able values; without keys it is only the name."""
        told: dict[str, object] = {"kind": self.kind, "name": self.name}
        if self.added:
            told["added"] = list(self.added)
        if self.removed:
            told["removed"] = sorted(self.removed)
        return told

    def __str__(self) -> str:
        return f"dynamic partitions of {self.name}"


@dataclass(frozen=True, slots=True)
class Whole(Definition):
    """The one partition of what is not partitioned. Its key is the empty text."""

    kind = "whole"

    def key(self, ordinal: int) -> str:
        """The empty text."""
        return ""

    def ordinal(self, key: str) -> int:
        """0 for the empty text."""
        if key:
            raise UsageError(f"there is no partition `{key}`", fix="leave the partition out: there are none here")
        return 0

    def keys_until(self, now: datetime) -> Ordinals:
        """The one, at any time."""
        return Ordinals.run(0, 1)

    def clip(self, ordinals: Ordinals) -> Ordinals:
        """The one, if it is there."""
        return ordinals & Ordinals.run(0, 1)

    def named(self, text: str) -> Span:
        """The one, for the empty text."""
        return self.ordinal(text), 1

    def to_json(self) -> dict[str, object]:
        """Only the kind."""
        return {"kind": self.kind}

    def __str__(self) -> str:
        return "no partitions"


def check_key(key: str) -> str | None:
    """What is wrong with a key that a user chose, as a sentence without a full stop, or None."""
    if not key or key != key.strip():
        return f"the key {key!r} is empty or has space at its ends"
    if not key.isprintable():
        return f"the key {key!r} has characters that cannot be shown"
    if len(key) > _LENGTH:
        return f"the key `{key[:20]}...` is longer than {_LENGTH} characters"
    if key.partition(":")[0] == LATEST:
        return f"the key `{key}` means the newest partition"
    taken = next((sign for sign in _FORBIDDEN if sign in key), None)
    return None if taken is None else f"the key `{key}` has `{taken}` in it, which stands between or for keys"


def _places_of(keys: Sequence[str]) -> dict[str, int]:
    places: dict[str, int] = {}
    for place, key in enumerate(keys):
        problem = check_key(key)
        if problem is not None:
            raise BadDeclaration(problem, fix="choose another key")
        if places.setdefault(key, place) != place:
            raise BadDeclaration(f"the key `{key}` is there twice", fix="name it once")
    return places


def _place_of(key: str, places: dict[str, int], owner: str) -> int:
    place = places.get(key)
    if place is None:
        fix = did_you_mean(key, places) or f"the keys are {_few([*places])}"
        raise UsageError(f"`{key}` is none of the {owner}", fix=fix if places else "add it first: there is no key yet")
    return place


def _few(keys: Sequence[str], most: int = 5) -> str:
    more = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(keys[:most]) + more
