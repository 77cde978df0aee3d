"""What moving pointers is about: where heads are to go, and what became of it."""

from __future__ import annotations

from collections.abc import Callable

from msgspec import Struct

from assetflow.model.keys import AssetKey
from assetflow.model.records import Head


class PointerMove(Struct, frozen=True):
    """One asset, or partition, whose head goes `before` -> `after` (version numbers); equal when it only gets pinned.

    `is_selected` is False for those that a rollback takes along because they are made of a selected one.
    """

    asset: AssetKey
    before: int | None
    after: int
    is_selected: bool = True


class PointerMoves(Struct, frozen=True):
    """What `rollback` or `pin` did, or would do when it is not `done`.

    `left` are assets that stay as they are, each with the reason.
    """

    env: str
    moves: tuple[PointerMove, ...]
    left: tuple[tuple[AssetKey, str], ...]
    done: bool
    warnings: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The moves as JSON-able values."""
        return {
            "env": self.env,
            "done": self.done,
            "moves": [
                {"asset": one.asset, "from": one.before, "to": one.after, "selected": one.is_selected}
                for one in self.moves
            ],
            "left": [{"asset": key, "why": why} for key, why in self.left],
        }


Confirm = Callable[[PointerMoves], bool]
"""Asked before anything changes; False leaves all as it is."""


class Aim(Struct, frozen=True):
    """An asset and where its head is to go."""

    asset: AssetKey
    head: Head | None
    target: Head
    is_selected: bool = True
    is_read: bool = True
    """Whether the bytes of the target are read and checked before anything moves; else they are only looked at."""

    @property
    def moves(self) -> bool:
        """Whether the head goes to another trace: equal content that was made of something else is not the same."""
        return self.head is None or self.head.trace.trace_id != self.target.trace.trace_id

    @property
    def changes(self) -> bool:
        """Whether the head goes to other content."""
        return self.head is None or self.head.version.version_id != self.target.version.version_id

    @property
    def shown(self) -> PointerMove:
        """The move as it is told."""
        before = None if self.head is None else self.head.version.number
        return PointerMove(self.asset, before, self.target.version.number, self.is_selected)


class Chosen(Struct, frozen=True):
    """What a selection means: assets or partitions, sources that are left alone, and which are named outright."""

    keys: tuple[AssetKey, ...]
    sources: tuple[AssetKey, ...]
    named: frozenset[AssetKey]
