"""Whether the channels of alerts can be told anything: what one would otherwise learn when something is wrong."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

from assetflow.automation.sending import why_not
from assetflow.checking.findings import Finding
from assetflow.errors import AssetflowError, BadConfig, Location
from assetflow.load.audience import DeclaredFacts
from assetflow.load.settings import FILE, Settings
from assetflow.model.alerts import Channel, channels_of
from assetflow.plan.graph import AssetGraph
from assetflow.plan.selection import parse_selection


def alert_findings(
    settings: Settings, graph: AssetGraph, environment: Mapping[str, str] = os.environ
) -> Iterator[Finding]:
    """What keeps the channels of a project from being told. Nothing is sent."""
    for channel in channels_of(settings.alerts):
        if not channel.enabled:
            continue
        if channel.assets:
            yield from _about_assets(settings, channel, graph)
        problem = why_not(channel, environment)
        if problem:
            # A variable that is not set here may well be set where the runs are.
            severity = "note" if problem.startswith("the variable") else "warning"
            where = settings.place("alerts", channel.name, "url") or Location(FILE, 1)
            what = f"the alert channel `{channel.name}` cannot be told from here: {problem}"
            fix = f"then try it: assetflow alert test {channel.name}"
            yield Finding(severity, BadConfig.code, "alert", what, where, (), fix)


def _about_assets(settings: Settings, channel: Channel, graph: AssetGraph) -> Iterator[Finding]:
    found: Sequence[str] = ()
    what, fix = f"`{channel.assets}` names no asset", "correct the selection, or leave it out"
    try:
        found = parse_selection(channel.assets).select(graph, DeclaredFacts(settings.selections))
    except AssetflowError as error:
        what, fix = error.what, error.fix or fix
    if not found:
        where = settings.place("alerts", channel.name, "assets") or Location(FILE, 1)
        said = f"the alert channel `{channel.name}` is for no asset: {what}"
        yield Finding("error", BadConfig.code, "alert", said, where, (), fix)
