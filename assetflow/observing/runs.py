"""How two runs differ, asset by asset."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from msgspec import Struct

from assetflow.model.keys import AssetKey
from assetflow.model.records import Attempt, Run

_MADE = ("materialized", "unchanged", "linked")
"""The states in which an attempt has rows of its own."""
_LEAST_S, _LEAST_SHARE = 0.1, 0.2
"""Times that differ by less than both are the same: the next run would differ as much."""


class AssetPair(Struct, frozen=True):
    """An asset in two runs; None where a run did not have it. `rows` are those of the versions that they made."""

    asset: AssetKey
    old: Attempt | None
    new: Attempt | None
    rows: tuple[int | None, int | None] = (None, None)

    @property
    def seconds(self) -> tuple[float | None, float | None]:
        """How long each took, without waiting; None where nothing was computed."""
        return _seconds(self.old), _seconds(self.new)

    @property
    def changed(self) -> tuple[str, ...]:
        """What differs: `added` or `removed`, or else any of `state`, `version`, `rows` and `seconds`."""
        if self.old is None or self.new is None:
            return ("added",) if self.old is None else ("removed",)
        found = ["state"] if self.old.state != self.new.state else []
        found += ["version"] if self.old.version_number != self.new.version_number else []
        found += ["rows"] if self.rows[0] != self.rows[1] else []
        before, after = self.seconds
        if before is not None and after is not None:
            apart = abs(after - before)
            found += ["seconds"] if apart >= _LEAST_S and apart >= _LEAST_SHARE * max(before, after) else []
        return tuple(found)


class RunComparison(Struct, frozen=True):
    """Two runs and the assets of either, in the order of the newer one."""

    old: Run
    new: Run
    assets: tuple[AssetPair, ...]

    @property
    def different(self) -> tuple[AssetPair, ...]:
        """The assets in which something differs."""
        return tuple(pair for pair in self.assets if pair.changed)


def compared(
    old: Run,
    new: Run,
    before: Mapping[str, Attempt],
    after: Mapping[str, Attempt],
    rows: Callable[[Attempt], int | None],
) -> RunComparison:
    """The comparison of two runs; `rows` gives those of the version of an attempt."""
    pairs: list[AssetPair] = []
    for key in (*after, *(key for key in before if key not in after)):
        first, second = before.get(key), after.get(key)
        counts = tuple(rows(one) if one is not None and one.state in _MADE else None for one in (first, second))
        pairs.append(AssetPair(AssetKey(key), first, second, (counts[0], counts[1])))
    return RunComparison(old, new, tuple(pairs))


def _seconds(attempt: Attempt | None) -> float | None:
    return sum(attempt.seconds.values()) if attempt is not None and attempt.seconds else None
