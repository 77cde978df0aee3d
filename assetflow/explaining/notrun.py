"""Why an asset did not run in the last run."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from datetime import UTC, datetime

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.pointers import Pointers, history_of
from assetflow.errors import UsageError
from assetflow.explaining.answer import WhyNot
from assetflow.model.keys import AssetKey, arguments_of, slot, split_slot
from assetflow.model.records import Attempt, Run
from assetflow.plan.graph import AssetGraph

_RAN = ("materialized", "unchanged")


def why_not(
    key: AssetKey,
    env: str,
    catalog: Catalog,
    graph: AssetGraph,
    select: Callable[[str], tuple[AssetKey, ...]],
    partitions: Callable[[int], str | None],
) -> WhyNot:
    """Why the asset, or the partition of one, did not run in the newest run of the environment, or that it did.

    `partitions` gives those that a run was asked for.
    """
    asset, partition = split_slot(key)
    words = shlex.join(arguments_of(key))
    if graph.specs[asset].is_source:
        return WhyNot(key, "external", "it is a source: it is made elsewhere and only looked at")
    runs = catalog.runs(1, env)
    if not runs:
        return WhyNot(key, "no_run", f"there was no run in env {env} yet", next=f"assetflow materialize {words}")
    run = runs[0]
    attempts = catalog.attempts(run.run_id)
    own = [one for one in attempts if one.asset == asset and partition in ("", one.partition)]
    if own:
        return _of_attempt(key, run, own[-1])
    pin = Pointers(catalog).pins(env).get((asset, partition))
    if pin is not None and pin.pinned_at <= run.started_at:
        return WhyNot(key, "pinned", f"it is {pin.words}", run.run_id, run.started_at, next=_unpin(key))
    if run.selection and asset not in _reached(graph, select(run.selection)):
        text = f"the run was asked for `{run.selection}`, and that has nothing to do with it"
        return WhyNot(key, "excluded", text, run.run_id, run.started_at, next=f"assetflow materialize {words}")
    asked = partitions(run.run_id) if partition else None
    if asked is not None and _is_left_out(key, asked, run, graph, select):
        text = f"the run was asked for partitions {asked}, and this is none of them"
        return WhyNot(key, "excluded", text, run.run_id, run.started_at, next=f"assetflow materialize {words}")
    above = _read_by(key, env, catalog) if partition else graph.walk([key], up=True) - {key}
    made = dict.fromkeys(
        name for one in attempts
        if one.state in (*_RAN, "linked") and (name := slot(one.asset, one.partition if partition else "")) in above
    )  # fmt: skip
    if made:  # that it was cut off is not recorded: nothing happened to it
        text = f"{', '.join(list(made)[:3])} ran, and what {key} reads came out with the same content"
        return WhyNot(key, "cut_off", text, run.run_id, run.started_at, next=_why(key))
    return WhyNot(
        key, "current", "it was current: code, config and inputs were those of its version", run.run_id, run.started_at,
        next=_why(key),
    )  # fmt: skip


def _read_by(key: AssetKey, env: str, catalog: Catalog) -> set[AssetKey]:
    """What the current version of a partition was made of."""
    head = catalog.heads(env, [split_slot(key)]).get(split_slot(key))
    return set() if head is None else {one.upstream for one in head.trace.inputs}


def _is_left_out(
    key: AssetKey, asked: str, run: Run, graph: AssetGraph, select: Callable[[str], tuple[AssetKey, ...]]
) -> bool:
    """Whether a run for some partitions was not for this one; what another one needs of it is not told from here."""
    asset, partition = split_slot(key)
    chosen = set(select(run.selection) if run.selection else graph.order)
    if asset not in chosen or chosen & (graph.walk([asset], up=False) - {asset}):
        return False
    definition = graph.specs[asset].partitions
    try:
        meant = None if definition is None else definition.parse(asked, datetime.fromtimestamp(run.started_at, UTC))
        return definition is not None and meant is not None and not definition.ordinals([partition]) <= meant
    except UsageError:
        return False  # is:missing, or a tick


def _why(key: AssetKey) -> str:
    return f"assetflow why {shlex.quote(key)}"


def _unpin(key: AssetKey) -> str:
    return f"assetflow unpin {shlex.quote(key)}"


def _reached(graph: AssetGraph, chosen: tuple[AssetKey, ...]) -> set[AssetKey]:
    """What a run of these assets may build: they and all above them."""
    return set(graph.walk(list(chosen), up=True)) | set(chosen)


def _of_attempt(key: AssetKey, run: Run, attempt: Attempt) -> WhyNot:
    at = attempt.finished_at or run.started_at
    message = str((attempt.error or {}).get("message", "")).partition("\n")[0]
    logs = f"assetflow logs {run.run_id} {shlex.quote(key)}"
    if attempt.state in _RAN:
        codes = [str(reason.get("text") or reason.get("code")) for reason in attempt.reasons]
        return WhyNot(key, "ran", "it did run", run.run_id, at, tuple(codes), next=history_of(key))
    if attempt.state == "blocked":
        names = ", ".join(attempt.blocked_by)
        text = f"it was blocked: {names or 'something above it'} failed"
        return WhyNot(
            key,
            "blocked_by_failure",
            text,
            run.run_id,
            at,
            tuple(attempt.blocked_by),
            _why(key),
        )
    if attempt.state == "rejected":
        bad = tuple(f"check {one.name}: {one.message}" for one in attempt.checks if not one.passed)
        text = "it ran, and a blocking check kept the new version back"
        return WhyNot(key, "blocked_by_check", text, run.run_id, at, bad, logs)
    words = {
        "linked": ("current", "an earlier result of it fitted again, so nothing was computed"),
        "skipped": ("skipped", f"it skipped itself{': ' if message else ''}{message}"),
        "failed": ("failed", f"it ran and failed: {message}"),
        "died": ("cancelled", "the process died while it ran"),
    }
    code, text = words.get(attempt.state, ("cancelled", "the run ended before its turn"))
    return WhyNot(key, code, text, run.run_id, at, next=logs if code == "failed" else _why(key))
