"""What --json documents contain: records and status rows as JSON-able values. Times are ISO 8601 in UTC."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetflow.cli.text import iso
from assetflow.model.records import Attempt, CheckOutcome, Head, Pin, Run

if TYPE_CHECKING:
    from assetflow.views import AssetStatus, AssetView, HistoryEntry, Status

Document = dict[str, object]

_GOOD = frozenset(["materialized", "unchanged", "linked", "cut_off"])


def status_document(status: Status) -> Document:
    """The data of `status` and of the home screen."""
    return {**status_facts(status), "assets": [asset_document(row) for row in status.rows]}


def status_facts(status: Status) -> Document:
    """What `status` tells beside the assets."""
    return {
        "env": status.env,
        "counts": dict(status.counts),
        "overdue": list(status.overdue),
        "late_roots": [root.to_json() for root in status.late_roots],
        "running": None if status.running is None else run_document(status.running),
        "last_run": None if status.last_run is None else run_document(status.last_run),
    }


def asset_document(row: AssetStatus) -> Document:
    """One asset as `ls`, `status` and `show` tell it."""
    spec, found, fresh = row.spec, row.head, row.freshness
    return {
        "asset": spec.key,
        "kind": spec.kind,
        "kinds": list(spec.kinds),
        "state": row.state,
        "content": row.content,
        "modifiers": [one.to_json() for one in row.modifiers],
        "reasons": [reason.to_json() for reason in row.step.reasons],
        "pin": None if row.step.pin is None else pin_document(row.step.pin),
        "version": None if found is None or row.parts else found.version.number,
        "partitions": dict(row.parts) or None,
        "newest": None
        if found is None or not row.parts
        else {
            "partition": found.trace.partition,
            "version": found.version.number,
        },
        "rows": None if found is None else found.version.rows,
        "bytes": None if found is None else found.version.size_bytes,
        "updated_at": time_or_none(updated_at(found)),
        "last_good_at": time_or_none(last_good_at(row)),
        "changed_at": None if found is None else iso(found.version.created_at),
        "run": None if found is None else found.trace.run_id,
        "timeliness": str(fresh.timeliness),
        "freshness": None if spec.freshness is None else str(spec.freshness),
        "as_of": time_or_none(fresh.as_of),
        "deadline": time_or_none(fresh.deadline),
        "late_seconds": fresh.late_s,
        "because": fresh.because,
        "late": None if row.late is None else row.late.to_json(),
        "last_attempt": None if row.attempt is None else attempt_document(row.attempt),
        "group": spec.group,
        "owners": list(spec.owners),
        "tags": dict(spec.tags),
        "io": spec.io,
        "description": spec.description,
        "file": spec.file,
        "line": spec.line,
    }


def pin_document(pin: Pin) -> Document:
    """Why an asset is left as it is."""
    return {"cause": pin.cause, "user": pin.user, "pinned_at": iso(pin.pinned_at)}


def view_document(view: AssetView) -> Document:
    """The data of `show`."""
    spec = view.status.spec
    found = view.status.head
    return {
        **asset_document(view.status),
        "inputs": [
            {"parameter": one.parameter, "asset": one.upstream, "mode": one.mode, "version": one.version_number}
            for one in (() if found is None else found.trace.inputs)
        ],
        "upstream": [
            {"parameter": one.parameter, "asset": one.upstream, "mode": one.mode, "columns": list(one.columns)}
            for one in spec.inputs
        ],
        "downstream": list(view.downstream),
        "all_downstream": view.all_downstream,
        "schema": {} if found is None else dict(found.version.schema),
        "data_hash": None if found is None or view.status.parts else found.version.data_hash,
        "declared_checks": [{"name": one.name, "blocking": one.blocking} for one in spec.checks],
        "checks": [check_document(one) for one in view.checks],
        "config": dict(spec.config or {}),
        "retries": spec.retries,
        "history": [history_document(entry) for entry in view.history],
    }


def history_document(entry: HistoryEntry) -> Document:
    """One line of `history`."""
    trace, version = entry.head.trace, entry.head.version
    return {
        "version": version.number,
        "partition": version.partition or None,
        "state": version.state,
        "when": iso(entry.head.verified_at),
        "is_current": entry.is_current,
        "run": trace.run_id,
        "kind": entry.kind,
        "rows": version.rows,
        "rows_before": entry.rows_before,
        "bytes": version.size_bytes,
        "seconds": entry.seconds,
        "code": trace.code,
        "reason": entry.reason,
        "schema_change": list(entry.schema_change),
        "by": entry.by,
        "data_hash": version.data_hash,
    }


def run_document(run: Run) -> Document:
    """One run; of a lost one, whose number alone is known, the times are null."""
    is_lost = run.state == "lost"
    return {
        "run": run.run_id,
        "env": run.env,
        "state": run.state,
        "trigger": run.trigger,
        "selection": run.selection,
        "started_at": None if is_lost else iso(run.started_at),
        "finished_at": None if is_lost else time_or_none(run.finished_at),
        "user": run.user,
        "host": run.host,
        "counts": dict(run.counts),
    }


def attempt_document(attempt: Attempt) -> Document:
    """One try at one asset."""
    return {
        "run": attempt.run_id,
        "asset": attempt.asset,
        "partition": attempt.partition or None,
        "number": attempt.number,
        "state": attempt.state,
        "started_at": time_or_none(attempt.started_at),
        "finished_at": time_or_none(attempt.finished_at),
        "version": attempt.version_number,
        "wait_seconds": attempt.wait_s,
        "seconds": dict(attempt.seconds),
        "steps": [
            {"name": one.path, "seconds": one.seconds, "count": one.count, "failed": one.failed}
            for one in attempt.spans
        ],
        "peak_memory_bytes": attempt.peak_memory_bytes,
        "reasons": [dict(reason) for reason in attempt.reasons],
        "error": None if attempt.error is None else dict(attempt.error),
        "checks": [check_document(one) for one in attempt.checks],
        "blocked_by": list(attempt.blocked_by),
    }


def check_document(outcome: CheckOutcome) -> Document:
    """One check."""
    return {
        "name": outcome.name, "passed": outcome.passed, "blocking": outcome.blocking, "message": outcome.message,
    }  # fmt: skip


def updated_at(found: Head | None) -> float | None:
    """When the current version of an asset was last computed or observed."""
    return None if found is None else found.trace.finished_at


def last_good_at(row: AssetStatus) -> float | None:
    """When the current version of an asset was made, or last found to be what its inputs give."""
    if row.head is None:
        return None
    last = row.attempt.finished_at if row.attempt is not None and row.attempt.state in _GOOD else None
    return max(row.head.trace.finished_at, row.head.verified_at, last or 0.0)


def time_or_none(moment: float | None) -> str | None:
    """ISO time, or None for nothing."""
    return None if moment is None else iso(moment)
