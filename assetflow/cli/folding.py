"""Partitions in what people read: those of one asset that stand side by side are one range with one line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from assetflow.errors import UsageError
from assetflow.model.keys import AssetKey, slot, split_slot

if TYPE_CHECKING:
    from assetflow.partitions.definition import Definition
    from assetflow.partitions.ordinals import Ordinals
    from assetflow.plan.planner import Plan
    from assetflow.run.outcome import StepOutcome

MOST_RUNS = 3
"""How many runs of partitions are named in one line."""


def range_name(
    asset: AssetKey, partitions: Sequence[str], definition: Definition | None, crowds: Iterable[Ordinals] = ()
) -> str:
    """`orders[2026-01-01..2026-01-07, 2026-02-03]`: at most `MOST_RUNS` runs, with dots for those in the middle.

    `crowds` are more of them, by their places.
    """
    together = [*crowds]
    if len(partitions) == 1 and not together:
        return slot(asset, partitions[0])
    try:
        runs = [*partitions] if definition is None else _runs(partitions, definition, together)
    except UsageError:  # a key that was removed meanwhile
        runs = [*partitions]
    shown = runs if len(runs) <= MOST_RUNS else [*runs[: MOST_RUNS - 1], "…", runs[-1]]
    return f"{asset}[{', '.join(shown)}]"


def _runs(partitions: Sequence[str], definition: Definition, crowds: Sequence[Ordinals]) -> list[str]:
    found = definition.ordinals(partitions)
    for members in crowds:
        found |= members
    return definition.text(found).split(", ")


class Folding:
    """Puts the partitions of each asset together, by the definitions of the assets in a plan."""

    def __init__(self, plan: Plan | None) -> None:
        self._definitions: dict[AssetKey, Definition | None] = {}
        for step in () if plan is None else plan.steps.values():
            self._definitions[split_slot(step.asset)[0]] = step.spec.partitions

    def names(self, keys: Iterable[AssetKey]) -> list[str]:
        """The names of these keys in their order: one for each asset, with its partitions as ranges."""
        found: dict[AssetKey, list[str]] = {}
        for key in keys:
            asset, partition = split_slot(key)
            found.setdefault(asset, []).append(partition)
        return [range_name(asset, parts, self._definitions.get(asset)) for asset, parts in found.items()]

    def name(self, outcomes: Sequence[StepOutcome]) -> str:
        """The name of outcomes of one asset."""
        return ", ".join(self.names(outcome.asset for outcome in outcomes))


def alike(outcomes: Iterable[StepOutcome]) -> list[list[StepOutcome]]:
    """Outcomes that failed in the same way at the same place, as far as they are of partitions of one asset."""
    found: dict[tuple[object, ...], list[StepOutcome]] = {}
    for outcome in outcomes:
        asset, partition = split_slot(outcome.asset)
        error = outcome.error
        what = () if error is None else (error.type, error.code, error.file, error.line)
        refused = tuple(check.name for check in outcome.checks if not check.passed)
        way = (asset, outcome.state, what, refused) if partition else (outcome.asset,)
        found.setdefault(way, []).append(outcome)
    return [*found.values()]
