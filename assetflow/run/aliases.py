"""Heads whose code was fingerprinted by another scheme: the same meaning stays current, so that no scheme rebuilds all.

The texts that were kept with the old digests are compared with those of now. What cannot be shown to be equal is stale.
"""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog, Slot
from assetflow.fingerprint.hashing import SCHEME
from assetflow.model.code import CodeSource
from assetflow.model.keys import slot
from assetflow.model.records import Head, Trace
from assetflow.model.spec import AssetSpec
from assetflow.plan.graph import AssetGraph
from assetflow.plan.staleness import input_key


def aliased(
    graph: AssetGraph, heads: Mapping[Slot, Head], catalog: Catalog, code: Mapping[str, CodeSource]
) -> dict[Slot, Head]:
    """The heads of another scheme that mean the same, as if they had been made under the scheme of now. One query.

    `code` is the code of now by digest; it is only looked into when there is a head of another scheme.
    """
    now = SCHEME.decode()
    other = {
        names: head
        for names, head in heads.items()
        if head.trace.scheme not in ("", now) and (key := slot(*names)) in graph.specs
        if not graph.specs[key].is_source
    }
    if not other:
        return {}
    from assetflow.fingerprint.migrate import same_meaning

    kept = catalog.sources(digest for head in other.values() for digest in head.trace.code_parts.values())
    found: dict[Slot, Head] = {}
    for names, head in other.items():
        spec, trace = graph.specs[slot(*names)], head.trace
        if same_meaning(trace.code_parts, kept, spec.code_parts or {}, code):
            key = _key_under(spec, trace)
            if key is not None:
                as_now = replace(
                    trace, input_key=key, code=spec.code, code_parts=spec.code_parts or {}, scheme=now
                )  # fmt: skip
                found[names] = replace(head, trace=as_now)
    return found


def _key_under(spec: AssetSpec, trace: Trace) -> str | None:
    """The key that the trace would have with the code of now, and all else as it was; None when it cannot be told."""
    given = {(one.parameter, one.upstream, one.mode): one for one in spec.inputs}
    digests = [
        (given[one.parameter, one.upstream, one.mode], one.digest)
        for one in trace.inputs
        if (one.parameter, one.upstream, one.mode) in given
    ]
    if len(digests) < len(trace.inputs):
        return None  # it reads something else now, and so is stale whatever its code means
    then = replace(
        spec, code=trace.code, config=trace.config, files=trace.files, env_vars=trace.env_vars,
        code_version=trace.code_version,
    )  # fmt: skip
    if input_key(then, digests) != trace.input_key:
        return None
    return input_key(replace(then, code=spec.code), digests)
