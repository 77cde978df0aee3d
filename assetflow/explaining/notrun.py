"""Why an asset did not run in the last run."""

from __future__ import annotations

from collections.abc import Callable

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.pointers import Pointers
from assetflow.explaining.answer import WhyNot
from assetflow.model.keys import UNPARTITIONED, AssetKey, arguments_of, slot, split_slot
from assetflow.model.records import Attempt, Run
from assetflow.model.spec import AssetSpec
from assetflow.plan.graph import AssetGraph

_RAN = ("materialized", "unchanged")


def why_not(
    spec: AssetSpec, env: str, catalog: Catalog, graph: AssetGraph, select: Callable[[str], tuple[AssetKey, ...]],
    partition: str = "",
) -> WhyNot:  # fmt: skip
    """Why the asset, or its partition, did not run in the newest run of the environment, or that it did."""
    asset = spec.key
    key = slot(asset, partition) if partition else asset
    if spec.is_source:
        return WhyNot(key, "external", "it is a source: it is made elsewhere and only looked at")
    again = f"assetflow materialize {' '.join(arguments_of(key))}"
    runs = catalog.runs(1, env)
    if not runs:
        return WhyNot(key, "no_run", f"there was no run in env {env} yet", next=again)
    run = runs[0]
    attempts = catalog.attempts(run.run_id)
    own = [one for one in attempts if one.asset == asset and partition in ("", one.partition)]
    if own:
        return _of_attempt(key, run, own[-1])
    pin = Pointers(catalog).pins(env).get((asset, UNPARTITIONED))
    if pin is not None and pin.pinned_at <= run.started_at:
        return WhyNot(key, "pinned", f"it is {pin.words}", run.run_id, run.started_at, next=f"assetflow unpin {key}")
    if run.selection and asset not in _reached(graph, select(run.selection)):
        text = f"the run was asked for `{run.selection}`, and that has nothing to do with it"
        return WhyNot(key, "excluded", text, run.run_id, run.started_at, next=again)
    above = graph.walk([asset], up=True) - {asset}
    made = dict.fromkeys(one.asset for one in attempts if one.asset in above and one.state in (*_RAN, "linked"))
    if made:  # that it was cut off is not recorded: nothing happened to it
        text = f"{', '.join(list(made)[:3])} ran, and what {key} reads came out with the same content"
        return WhyNot(key, "cut_off", text, run.run_id, run.started_at, next=f"assetflow why {_quoted(key)}")
    return WhyNot(
        key, "current", "it was current: code, config and inputs were those of its version", run.run_id, run.started_at,
        next=f"assetflow why {_quoted(key)}",
    )  # fmt: skip


def _quoted(key: AssetKey) -> str:
    """A name as a shell takes it."""
    return f"'{key}'" if split_slot(key)[1] else key


def _reached(graph: AssetGraph, chosen: tuple[AssetKey, ...]) -> set[AssetKey]:
    """What a run of these assets may build: they and all above them."""
    return set(graph.walk(list(chosen), up=True)) | set(chosen)


def _of_attempt(key: AssetKey, run: Run, attempt: Attempt) -> WhyNot:
    at = attempt.finished_at or run.started_at
    message = str((attempt.error or {}).get("message", "")).partition("\n")[0]
    logs = f"assetflow logs {run.run_id} {_quoted(key)}"
    if attempt.state in _RAN:
        codes = [str(reason.get("text") or reason.get("code")) for reason in attempt.reasons]
        return WhyNot(
            key, "ran", "it did run", run.run_id, at, tuple(codes), next=f"assetflow history {split_slot(key)[0]}"
        )
    if attempt.state == "blocked":
        names = ", ".join(attempt.blocked_by)
        text = f"it was blocked: {names or 'something above it'} failed"
        return WhyNot(
            key, "blocked_by_failure", text, run.run_id, at, tuple(attempt.blocked_by), f"assetflow why {_quoted(key)}"
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
    return WhyNot(key, code, text, run.run_id, at, next=logs if code == "failed" else f"assetflow why {_quoted(key)}")
