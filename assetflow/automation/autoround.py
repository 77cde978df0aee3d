"""The round over assets with `auto=`: reads what the decision rests on, and asks for one run of all that are wanted."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from assetflow.automation.eager import Facts, Verdict, cursor_with, memory_after, memory_of, verdicts
from assetflow.automation.sensing import Looked
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.sensors import Sensors
from assetflow.fingerprint.hashing import digest
from assetflow.model.keys import split_slot
from assetflow.model.sensors import AUTO, Look, Requested, SensorState

if TYPE_CHECKING:
    from collections.abc import Mapping

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
    wanted = [str(key) for key, one in found.items() if one.is_wanted]
    cursor = cursor_with(seen.cursor, settings.env, memory_after(found, facts, look))
    asked = Requested(0, AUTO, AUTO, str(look), settings.env, " ".join(wanted), None, {}, now)
    return Looked(Look(AUTO, look, "", now, now), cursor, (asked,) if wanted else ())


def _decided(
    settings: Settings, plan: Plan, graph: AssetGraph, state: SensorState, catalog: Catalog, now: float
) -> tuple[dict[AssetKey, Verdict], Facts]:
    record = Sensors(catalog)
    specs = [graph.specs[key] for key in graph.order]
    above = {split_slot(one.upstream)[0] for spec in specs if spec.auto is not None for one in spec.inputs}
    contents = {
        asset: digest("contents", *(text.encode() for part in parts for text in part))
        for asset, parts in record.contents(settings.env, sorted(above)).items()
    }
    requests = {one.key: one for one in record.requests(AUTO) if one.key is not None}
    facts = Facts(
        memory_of(state.cursor, settings.env), now, contents, catalog.last_attempts(settings.env, ()), requests,
        state.paused_by if state.is_paused else None,
    )  # fmt: skip
    return verdicts(plan, specs, facts), facts
