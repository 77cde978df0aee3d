"""What is defined otherwise than in another environment, or than a run had it: the definitions alone, not the data."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from assetflow.model.keys import AssetKey
from assetflow.model.records import Head
from assetflow.model.spec import AssetSpec
from assetflow.plan.staleness import Reason, local_reasons

_NOT_OF_THE_DEFINITION = ("data_missing", "forced", "expired", "invalidated", "discovered_file", "discovered_code")


@dataclass(frozen=True, slots=True)
class Other:
    """One asset that is defined otherwise there. change: `changed`, `added` (only here) or `removed` (only there)."""

    asset: AssetKey
    change: str
    version: int | None
    reasons: tuple[Reason, ...] = ()

    def to_json(self) -> dict[str, object]:
        """The difference as JSON-able values."""
        return {
            "asset": self.asset, "change": self.change, "version": self.version,
            "reasons": [reason.to_json() for reason in self.reasons],
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Against:
    """The assets whose definitions differ from those that `name` (`env prod`, `run #41`) has, and how many do not."""

    name: str
    others: tuple[Other, ...]
    same: int

    def to_json(self) -> dict[str, object]:
        """The comparison as JSON-able values."""
        return {"against": self.name, "items": [one.to_json() for one in self.others], "same": self.same}


def against(
    name: str, specs: Iterable[AssetSpec], there: Mapping[AssetKey, Head], *, is_whole: bool
) -> Against:  # fmt: skip
    """These assets held against what is `there`; `is_whole` when what is there and not here is gone, too."""
    others: list[Other] = []
    same = 0
    known: set[AssetKey] = set()
    for spec in specs:
        known.add(spec.key)
        head = there.get(spec.key)
        if head is None:
            others += [Other(spec.key, "added", None)] if is_whole else []
            continue
        reasons = local_reasons(spec, head, is_forced=False, is_lost=False)
        counting = tuple(one for one in reasons if one.code not in _NOT_OF_THE_DEFINITION)
        if counting:
            others.append(Other(spec.key, "changed", head.version.number, counting))
        else:
            same += 1
    if is_whole:
        gone = sorted(key for key, head in there.items() if key not in known and head.version.io != "source")
        others += [Other(key, "removed", there[key].version.number) for key in gone]
    return Against(name, tuple(others), same)
