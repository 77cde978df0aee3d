"""Accepting: the trace that says that what there is stands for what the code and the inputs of now would give."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from assetflow.fingerprint.hashing import SCHEME
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Discovered, Head, NewTrace, TraceInput
from assetflow.model.spec import AssetSpec
from assetflow.plan.planner import World, source_content
from assetflow.plan.staleness import Content, digest_of, input_key


def contents_now(world: World, spec: AssetSpec) -> dict[AssetKey, Content | None]:
    """What each upstream of an asset holds now, whatever a run would make of it."""
    found: dict[AssetKey, Content | None] = {}
    for given in spec.inputs:
        head = world.head(given.upstream)
        if world.graph.specs[given.upstream].is_source:
            found[given.upstream] = source_content(world.sources[given.upstream], head)
        else:
            found[given.upstream] = None if head is None else Content.of(head.version)
    return found


def missing_inputs(world: World, spec: AssetSpec) -> list[AssetKey]:
    """What an asset reads and that has no version, or is not there."""
    contents = contents_now(world, spec)
    return [
        one.upstream
        for one in spec.inputs
        if one.mode != "order" and (contents[one.upstream] is None or _is_gone(world, one.upstream))
    ]


def standing(
    world: World, spec: AssetSpec, head: Head, *, kind: str, cause: str, notes: Mapping[str, object]
) -> NewTrace:
    """A trace from the definition and the inputs of now to the version that is current; nothing was computed.

    `notes` go into its metadata. What the trace says of time is that of the computation.
    """
    asset, partition = split_slot(spec.key)
    contents = contents_now(world, spec)
    known = [(one, content) for one in spec.inputs if (content := contents[one.upstream]) is not None]
    digests = [(one, digest_of(one, content)) for one, content in known]
    inputs = tuple(
        TraceInput(one.parameter, one.upstream, one.mode, digest_of(one, content), _number(world, one.upstream))
        for one, content in known
    )
    made = NewTrace(
        asset, input_key(spec, digests), spec.code, spec.code_parts or {}, spec.config or {}, inputs, kind,
        head.trace.started_at, head.trace.finished_at, _as_of(world, spec, head), {**head.trace.metadata, **notes},
        None, head.version.version_id, head.trace.trace_id, partition, cause=cause,
    )  # fmt: skip
    return replace(
        made, packages=spec.packages, files=spec.files, env_vars=spec.env_vars, notes=spec.code_notes,
        scheme=SCHEME.decode(), code_version=spec.code_version, discovered=_still_seen(head, world.discovered),
    )  # fmt: skip


def _still_seen(head: Head, now: Discovered | None) -> Discovered:
    """What the function opened when it ran, as it is now."""
    seen = head.trace.discovered
    if now is None:
        return seen
    return Discovered({name: now.files[name] for name in seen.files}, {name: now.code[name] for name in seen.code})


def _number(world: World, key: AssetKey) -> int | None:
    head = world.head(key)
    return None if head is None else head.version.number


def _is_gone(world: World, key: AssetKey) -> bool:
    source = world.sources.get(key)
    return source is not None and source.problem is not None


def _as_of(world: World, spec: AssetSpec, head: Head) -> float | None:
    """The time of the oldest data that it stands for now."""
    times: list[float] = []
    for one in spec.inputs:
        source, above = world.sources.get(one.upstream), world.head(one.upstream)
        moment = source.as_of if source is not None else above.trace.as_of if above is not None else None
        if one.mode != "order" and moment is not None:
            times.append(moment)
    return min(times, default=head.trace.as_of)
