"""What all partitions of an asset have in common, worked out once and not once for each of very many."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """For each name the last value, which holds for as long as all that it rests on is equal.

    Specs and traces of partitions hold the same objects, and Python compares those by their identity first: to ask
    costs little. There are no more than `most` names, so a process that lives long does not grow.
    """

    def __init__(self, most: int = 1000) -> None:
        self._known: dict[Hashable, tuple[object, T]] = {}
        self._most = most

    def get(self, name: Hashable, rests_on: object, make: Callable[[], T]) -> T:
        """The value; it is made when there is none for the name that rests on this."""
        found = self._known.get(name)
        if found is None or found[0] != rests_on:
            if len(self._known) >= self._most:
                self._known.clear()
            self._known[name] = found = (rests_on, make())
        return found[1]
