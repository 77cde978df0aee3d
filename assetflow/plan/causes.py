"""The root causes of a plan: what was edited, changed or lost, and how much of the plan each of them explains."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType

from msgspec import Struct

from assetflow.model.keys import AssetKey
from assetflow.plan.staleness import Reason

MOST = 5
"""Causes of which it is told how much they explain: those of the most assets."""


class RootCause(Struct, frozen=True):
    """One thing that makes assets run. `assets` have it as a reason; `explains` counts those with all below them."""

    code: str
    subject: str
    assets: tuple[AssetKey, ...]
    explains: int

    @property
    def words(self) -> str:
        """`net_of_tax changed`, `raw has new content`."""
        return _WORDS.get(self.code, "{} " + self.code).format(self.subject)

    def to_json(self) -> dict[str, object]:
        """The cause as JSON-able values."""
        return {
            "code": self.code,
            "subject": self.subject,
            "text": self.words,
            "assets": list(self.assets),
            "explains": self.explains,
        }


_WORDS = {
    "never_materialized": "nothing was made yet",
    "code_changed": "an edit in {}",
    "helper_changed": "an edit of {}",
    "dependency_changed": "{}",
    "config_changed": "config {}",
    "files_changed": "new content of {}",
    "env_changed": "another ${}",
    "discovered_file": "new content of {}",
    "discovered_code": "an edit in {}",
    "input_changed": "new content of {}",
    "input_added": "a new input {}",
    "input_removed": "{} no more read",
    "data_missing": "bytes that are gone",
    "forced": "--force",
    "expired": "a cue that says always, or a time that is over",
    "invalidated": "what was invalidated",
    "source_unavailable": "{} not there",
    "upstream_missing": "{} has no version",
}


def root_causes(
    reasons: Mapping[AssetKey, Sequence[Reason]],
    below: Callable[[AssetKey], Iterable[AssetKey]],
    counts: Mapping[AssetKey, int] = MappingProxyType({}),
) -> tuple[RootCause, ...]:
    """The root causes of planned assets, those that explain most first.

    `below` gives what takes an asset, `counts` for how many a key stands where that is not just one. Linear in the
    edges: only the `MOST` causes with the most assets are followed.
    """
    found: dict[tuple[str, str], dict[AssetKey, None]] = {}
    for key, ones in reasons.items():
        for reason in ones:
            if reason.is_root:
                for subject in _subjects(reason):
                    found.setdefault((reason.code, subject), {})[key] = None
    order = sorted(found, key=lambda cause: (-len(found[cause]), cause))
    causes = [
        RootCause(*cause, tuple(found[cause]), _explained(found[cause], reasons, below, counts) if place < MOST else 0)
        for place, cause in enumerate(order)
    ]
    return tuple(sorted(causes, key=lambda cause: -cause.explains))


def _explained(
    start: Iterable[AssetKey],
    planned: Mapping[AssetKey, Sequence[Reason]],
    below: Callable[[AssetKey], Iterable[AssetKey]],
    counts: Mapping[AssetKey, int],
) -> int:
    seen = set(start)
    waiting = list(seen)
    while waiting:
        for key in below(waiting.pop()):
            if key in planned and key not in seen:
                seen.add(key)
                waiting.append(key)
    return sum(counts.get(key, 1) for key in seen)


def _subjects(reason: Reason) -> list[str]:
    """What a reason is about, so that the reasons of several assets for one and the same change are told together."""
    data = reason.data
    if reason.code == "code_changed":
        return [str(data.get("file") or "a definition")]
    for name in ("changed", "files", "variables"):
        if isinstance(found := data.get(name), list):
            return [str(one) for one in found]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if reason.code == "dependency_changed":
        return [reason.text]
    return [str(data.get("field") or data.get("input") or data.get("source") or "")]
