"""Records for the tests of the catalog, filled in every field."""

from __future__ import annotations

from collections.abc import Mapping

from msgspec.structs import replace

from assetflow.catalog.catalog import Catalog, Committed
from assetflow.model.keys import AssetKey
from assetflow.model.records import Attempt, CheckOutcome, Head, NewTrace, NewVersion, SpanTime, TraceInput

ORDERS, CUSTOMERS, REPORT = AssetKey("orders"), AssetKey("customers"), AssetKey("marts.report")


def new_version(content: str, **changes: object) -> NewVersion:
    made = NewVersion(
        data_hash=f"hash of {content}", io="parquet", location=f"store/{content}", rows=3, size_bytes=1024,
        schema={"id": "int64", "émail": "string"}, columns={"id": "c1", "émail": "c2"},
        details={"format": 2, "parts": ["a", "b"], "nested": {"none": None, "yes": True, "pi": 3.141592653589793}},
    )  # fmt: skip
    return replace(made, **changes)


def new_trace(key: AssetKey, content: str, seen: int | None = None, **changes: object) -> NewTrace:
    """A trace whose input key and content both come from `content`."""
    made = NewTrace(
        asset=key, input_key=f"key of {content}", code="code 1", code_parts={"build": "p1", "a_helper": "p2"},
        config={"rate": "0.25", "name": '"ünï"'}, inputs=(), kind="run", started_at=1700000000.25,
        finished_at=1700000002.125, as_of=None, metadata={}, version=new_version(content), reuse_version_id=None,
        seen_trace_id=seen,
    )  # fmt: skip
    return replace(made, **changes)


def commit(catalog: Catalog, key: AssetKey, content: str, env: str = "dev", **changes: object) -> Committed:
    """Commit one trace over whatever is current."""
    head = catalog.heads(env).get((key, ""))
    seen = None if head is None else head.trace.trace_id
    return catalog.commit(env, None, [new_trace(key, content, seen, **changes)], at=1700000003.0)[0]


def begin(catalog: Catalog, env: str = "dev", at: float = 1700000000.5) -> int:
    run_id, _ = catalog.begin_run(
        env, selection="+orders", cause="cli", user="ann", host="laptop", pid=4711, at=at
    )  # fmt: skip
    return run_id


def attempt(run_id: int, key: AssetKey, state: str = "running", number: int = 1, **changes: object) -> Attempt:
    return replace(Attempt(run_id, key, "", number, state, 1700000001.0, None), **changes)


def full_attempt(run_id: int, key: AssetKey) -> Attempt:
    """An attempt that has something in every field."""
    return Attempt(
        run_id, key, "", 2, "rejected", 1700000001.5, 1700000009.25, 7,
        reasons=({"code": "input_changed", "text": "orders v1 → v2", "root": True, "from": 1, "to": 2},),
        error={"type": "CheckFailed", "message": "no", "file": "a.py", "line": 3, "text": "Traceback …", "fix": None},
        checks=(CheckOutcome("not_null", False, True, "2 rows"), CheckOutcome("positive", True, False)),
        seconds={"load": 0.5, "compute": 1.25}, blocked_by=(ORDERS, CUSTOMERS), wait_s=0.125,
        peak_memory_bytes=1 << 28, spans=(SpanTime("join", 0.75, 3, 1), SpanTime("join/sort", 0.5)),
    )  # fmt: skip


def read(
    parameter: str, upstream: AssetKey, mode: str = "value", digest: str = "d", number: int | None = 1
) -> TraceInput:
    return TraceInput(parameter, upstream, mode, digest, number)


def numbers(heads: Mapping[tuple[AssetKey, str], Head]) -> dict[str, int]:
    """The current version number of each asset."""
    return {key: head.version.number for (key, _), head in heads.items()}
