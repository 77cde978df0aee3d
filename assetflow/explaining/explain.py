"""The answer of `why`, put together from a plan, or from two versions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetflow.catalog.pointers import Pointers
from assetflow.explaining.answer import Standing, Why
from assetflow.explaining.evidence import Library, causes_of, head_reasons
from assetflow.explaining.walk import Found, deciders, roots, steady
from assetflow.model.code import CodeSource
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Head
from assetflow.model.spec import AssetSpec
from assetflow.model.versions import VersionName
from assetflow.plan.modifiers import drift_words
from assetflow.plan.planner import Plan, Step
from assetflow.plan.staleness import Action

if TYPE_CHECKING:
    from assetflow.views import AssetStatus, HistoryEntry

_BY_EDIT = frozenset(["code_changed", "helper_changed", "config_changed", "dependency_changed"])
_UNTOLD = frozenset(["failed", "blocked", "drift", "lost", "evicted"])


def explained(
    plan: Plan, key: AssetKey, library: Library, last: HistoryEntry | None, status: AssetStatus | None = None
) -> Why:
    """Why a plan does with an asset what it does; with a `status`, also why it is late."""
    step = plan.steps[key]
    causes = causes_of([one for one in roots(plan, key) if one.reason.code != "pinned"], library)
    spec = step.spec
    notes = [reason.text for reason in step.reasons if reason.code in ("failed_last", "pinned")]
    notes += [f"{one.word}: {one.text}" if one.text else one.word for one in step.modifiers if one.word not in _UNTOLD]
    if step.head is not None and (drift := drift_words(spec, step.head)):
        notes.append(f"{drift} (drift, not stale)")
    codes = {cause.code for cause in causes if cause.asset == key}
    return Why(
        key, plan.env, _action(step), causes, None if step.head is None else _standing(step.head, last),
        maybe_skipped=deciders(plan, step), below=len(library.graph.walk([split_slot(key)[0]], up=False)) - 1,
        not_causes=_not_causes(plan, step, codes), notes=tuple(notes),
        link=None if step.link is None else step.link.version.number,
        can_accept=bool(codes) and codes <= _BY_EDIT and step.head is not None and step.action is Action.RUN,
        late_s=0.0 if status is None else status.freshness.late_s, late=None if status is None else status.late,
    )  # fmt: skip


def compared(key: AssetKey, now: Head, name: VersionName | None, library: Library, env: str) -> Why:
    """What differs between what the current version and another one were made of."""
    if name is None:
        name = VersionName("back", "HEAD~1", 1)
    then = Pointers(library.catalog).find(env, key, name)
    spec, reasons = head_reasons(now, then)
    declared = library.graph.specs[split_slot(key)[0]]
    step = Step(_placed(spec, declared), now.trace.partition, Action.CURRENT, tuple(reasons), then)
    digests = set((spec.code_parts or {}).values())
    texts: dict[str, CodeSource] = library.catalog.sources(digests)
    # Those of now, where they are the same, know also what they refer to.
    texts.update({digest: library.texts[digest] for digest in digests if digest in library.texts})
    then_library = Library(library.root, library.graph, library.catalog, texts, library.diff)
    causes = causes_of([Found(step, reason, (key,)) for reason in reasons], then_library)
    return Why(
        key, env, "compared", causes, _standing(now, None), against=_name_of(then, name),
        not_causes=_same_inputs(now, then),
    )  # fmt: skip


def _placed(spec: AssetSpec, declared: AssetSpec) -> AssetSpec:
    from msgspec.structs import replace

    return replace(spec, file=declared.file, line=declared.line)


def _name_of(then: Head, name: VersionName) -> str:
    number = then.version.name
    return number if name.kind == "number" else f"{number} ({name.text})"


def _same_inputs(now: Head, then: Head) -> tuple[str, ...]:
    before = {(one.parameter, one.upstream): one.digest for one in then.trace.inputs if one.mode != "order"}
    same = [
        f"{one.upstream} (the same content)"
        for one in now.trace.inputs
        if one.mode != "order" and before.get((one.parameter, one.upstream)) == one.digest
    ]
    same += ["code (the same)"] if now.trace.code == then.trace.code else []
    same += ["config (the same)"] if now.trace.config and now.trace.config == then.trace.config else []
    return tuple(same)


def _action(step: Step) -> str:
    if step.spec.is_source:
        return "blocked" if step.action is Action.BLOCKED else "source"
    return str(step.action)


def _standing(head: Head, last: HistoryEntry | None) -> Standing:
    trace = head.trace
    return Standing(
        head.version.number, trace.finished_at, head.verified_at, trace.as_of, trace.run_id,
        trace.kind if last is None else last.kind, "" if last is None else last.reason,
        tuple((one.upstream, one.version_number) for one in trace.inputs if one.mode != "order"),
    )  # fmt: skip


def _not_causes(plan: Plan, step: Step, codes: set[str]) -> tuple[str, ...]:
    """What one might suspect, and what is as it was."""
    if step.head is None or step.spec.is_source or step.action in (Action.CURRENT, Action.PINNED):
        return ()
    found = steady(plan, step)
    if not codes & {"code_changed", "helper_changed"}:
        found.append("its code (unchanged)")
    if step.spec.config and "config_changed" not in codes:
        found.append("config (unchanged)")
    if step.spec.packages and "dependency_changed" not in codes and not drift_words(step.spec, step.head):
        found.append("packages (unchanged)")
    return tuple(found)
