"""The round over assets with `auto=`: reads what the decision rests on, and asks for one run of all that are wanted."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from assetflow.automation.eager import Facts, Verdict, cursor_with, memory_after, memory_of, verdicts
from assetflow.automation.sensing import Looked
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.sensors import Sensors
from assetflow.fingerprint.hashing import digest
from assetflow.model.keys import slot, split_slot
from assetflow.model.sensors import AUTO, QUEUED, Look, Requested, SensorState

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from assetflow.load.settings import Settings
    from assetflow.model.keys import AssetKey
    from assetflow.plan.graph import AssetGraph
    from assetflow.plan.planner import Plan


def auto_verdicts(settings: Settings, plan: Plan, graph: AssetGraph, now: float) -> Mapping[AssetKey, Verdict]:
    """What becomes of every asset with `auto=` now. Changes nothing."""
    with closing(Catalog(settings.catalog_path)) as catalog:
        return _decided(settings, plan, graph, Sensors(catalog).state(AUTO), catalog, now)[0]


def ask_round(settings: Settings, plan: Plan, graph: AssetGraph, seen: SensorState, now: float) -> Looked:
    """What the round asks for: one run of all assets that are wanted, or nothing. Records nothing."""
    with closing(Catalog(settings.catalog_path)) as catalog:
        found, facts = _decided(settings, plan, graph, seen, catalog, now)
    look = seen.looks + 1
    wanted, partitions = _asked(found, plan)
    cursor = cursor_with(seen.cursor, settings.env, memory_after(found, facts, look))
    asked = Requested(0, AUTO, AUTO, str(look), settings.env, " ".join(wanted), partitions, {}, now)
    return Looked(Look(AUTO, look, "", now, now), cursor, (asked,) if wanted else ())


def _asked(found: Mapping[AssetKey, Verdict], plan: Plan) -> tuple[list[str], str | None]:
    """The assets that are wanted, and which partitions of them, as a run is told."""
    wanted: dict[AssetKey, list[str]] = {}
    for key, one in found.items():
        if one.is_wanted:
            asset, partition = split_slot(key)
            wanted.setdefault(asset, []).append(partition)
    parts: dict[AssetKey, str] = {}
    for asset, own in wanted.items():
        definition = plan.steps[slot(asset, own[0])].spec.partitions if own[0] else None
        if definition is not None:
            parts[asset] = definition.text(definition.ordinals(own))
    if not parts:
        return [str(key) for key in wanted], None
    from assetflow.plan.slots import each_of

    return [str(key) for key in wanted], each_of(parts)


def _at_work(requests: Iterable[Requested]) -> frozenset[str]:
    """The assets of which partitions were asked for in requests that have not ended."""
    waiting = [one.partitions for one in requests if one.state in (QUEUED, "claimed") and one.partitions]
    if not waiting:
        return frozenset()
    from assetflow.plan.slots import of_each

    return frozenset(str(key) for text in waiting for key in of_each(text) or ())


def _decided(
    settings: Settings, plan: Plan, graph: AssetGraph, state: SensorState, catalog: Catalog, now: float
) -> tuple[dict[AssetKey, Verdict], Facts]:
    record = Sensors(catalog)
    specs = [graph.specs[key] for key in graph.order]
    whole = [spec for spec in specs if spec.auto is not None and spec.partitions is None]
    above = {split_slot(one.upstream)[0] for spec in whole for one in spec.inputs}
    parts = [split_slot(key) for key, step in plan.steps.items() if step.spec.auto is not None and step.partition]
    contents = {
        asset: digest("contents", *(text.encode() for part in parts for text in part))
        for asset, parts in record.contents(settings.env, sorted(above)).items()
    }
    requests = {one.key: one for one in record.requests(AUTO) if one.key is not None}
    facts = Facts(
        memory_of(state.cursor, settings.env), now, contents, catalog.last_attempts(settings.env, parts), requests,
        state.paused_by if state.is_paused else None, _at_work(requests.values()),
    )  # fmt: skip
    return verdicts(plan, specs, facts), facts
