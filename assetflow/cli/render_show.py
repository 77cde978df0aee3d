"""The screens of `show` and `history`: one asset, and how it came to be what it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from assetflow.cli.render_glance import Place, due_words
from assetflow.cli.render_status import counted_parts, present_reasons, why_text
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import (
    BLANK,
    Line,
    Piece,
    ago,
    bad,
    clip,
    count,
    dim,
    good,
    head,
    iso,
    number,
    shell,
    size,
    state_words,
    strong,
    warn,
    wrapped,
)
from assetflow.model.durations import words

if TYPE_CHECKING:
    from assetflow.model.records import CheckOutcome, Head
    from assetflow.model.spec import AssetSpec
    from assetflow.views import AssetStatus, AssetView, HistoryEntry

_LABEL = 13
_MOST_OPENED = 8
_GONE = {"evicted": " removed by gc", "condemned": " being removed", "lost": " lost", "damaged": " damaged"}
"""What to say of versions that are not to be read any more."""


def show_lines(view: AssetView, place: Place, *, with_code: bool = False, with_schema: bool = False) -> list[Line]:
    """Everything about one asset: state and why, freshness, version, inputs, what it feeds, schema, checks, config."""
    status = view.status
    spec = status.spec
    facts = [
        spec.group,
        "source" if spec.is_source else "",
        ", ".join(spec.kinds),
        *(f"owner {o}" for o in spec.owners),
    ]
    tags = ", ".join(f"{name}={value}" if value else name for name, value in sorted(spec.tags.items()))
    facts.append(f"tags {tags}" if tags else "")
    late = str(status.freshness.timeliness) == "overdue"
    title: list[Piece] = [" ", strong(spec.key), "  ", state_words(status.state)]
    if late:
        title += [" · ", bad(f"⏱ overdue {words(status.freshness.late_s)}")]
    lines: list[Line] = [tuple(title), (dim(" " + " · ".join([fact for fact in facts if fact])),)]
    if spec.description:
        lines += wrapped((" ",), spec.description.split(), width=place.width, separator=" ")
    lines += [(dim(f" {spec.file}:{spec.line}"),), BLANK]
    for label, pieces in _rows(view, place, with_schema=with_schema):
        lines += wrapped((" ", head(f"{label:<{_LABEL}}")), pieces, width=place.width)
    lines.append((" ", head(f"{'next':<{_LABEL}}"), *_next(status)))
    if with_code and view.source_text is not None:
        lines += [BLANK, *((" ", line) for line in view.source_text.splitlines())]
    return lines


def _rows(view: AssetView, place: Place, *, with_schema: bool) -> Iterable[tuple[str, Sequence[Piece]]]:
    status = view.status
    spec, found = status.spec, status.head
    why = why_text(status)
    reasons = present_reasons(status)
    if status.state in ("failed", "blocked") and why:
        yield f"why {status.state}", [why]
    elif reasons and status.state != "current":
        label = "why" if status.state == "undecided" else f"why {status.state}"
        yield label if not spec.is_source else "note", reasons
    said = [one for one in status.modifiers if one.word not in ("failed", "blocked", "lost", "evicted")]
    if said:
        yield "noted", [f"{one.word}: {one.text}" if one.text else one.word for one in said]
    if spec.freshness is not None:
        yield "freshness", _freshness(status, place)
    if status.parts:
        yield from _of_parts(status, place)
    elif found is not None:
        yield "version", _version(found, place)
    inputs = _inputs(view)
    if inputs:
        yield "inputs", inputs
    if view.downstream:
        more = view.all_downstream - len(view.downstream)
        yield "feeds", [*view.downstream, *([dim(f"(and {more} behind them)")] if more else [])]
    if found is not None and found.version.schema:
        yield "schema", _schema(found, everything=with_schema)
    checks = _checks(view)
    if checks:
        yield "checks", checks
    if spec.config:
        yield "config", [f"{name} = {text}" for name, text in sorted(spec.config.items())]
    if beside := _counts(spec):
        yield "counts too", beside
    if found is not None and (opened := _opened(found)):
        yield "opened", opened
    if spec.retries:
        yield "retries", [str(spec.retries)]


def _opened(found: Head) -> list[Piece]:
    """The files that its function was seen to open, and modules that it ran, which it does not declare."""
    names = sorted({*found.trace.discovered.files, *found.trace.discovered.code})
    more = [dim(f"(and {len(names) - _MOST_OPENED} more)")] if len(names) > _MOST_OPENED else []
    return [*names[:_MOST_OPENED], *more]


_EDITS = {"forward": "edits forward only", "ask": "edits ask what they are for"}


def _counts(spec: AssetSpec) -> list[Piece]:
    """What counts beside code, config and inputs."""
    found: list[Piece] = [*spec.files, *(f"${name}" for name in spec.env_vars)]
    if spec.code_version is not None:
        found.append(f"code version {spec.code_version} (in place of the code)")
    if spec.cue is not None:
        left_out = [name for name, value in spec.cue.to_json().items() if value is False]
        found += [f"cue {spec.cue.mode}"] if spec.cue.mode != "thorough" else []
        found += [f"counts for {words(spec.cue.ttl_s)}"] if spec.cue.ttl_s is not None else []
        found += [_EDITS[spec.cue.on_code_change]] if spec.cue.on_code_change in _EDITS else []
        found += [f"not its {', '.join(left_out)}"] if left_out else []
    return found


def _freshness(status: AssetStatus, place: Place) -> list[Piece]:
    fresh = status.freshness
    found: list[Piece] = [str(status.spec.freshness), due_words(fresh, place)]
    if fresh.as_of is not None:
        found.append(f"data of {place.clock(fresh.as_of)}" + (f" (from {fresh.because})" if fresh.because else ""))
    return found


def _of_parts(status: AssetStatus, place: Place) -> Iterable[tuple[str, Sequence[Piece]]]:
    """How many partitions are in which state, what they hold together, and which one was made last."""
    good, every = counted_parts(status)
    pieces: list[Piece] = [f"{number(good)} of {number(every)} current"]
    others = [state for state in sorted(status.parts) if state not in ("current", "source")]
    pieces += [f"{number(status.parts[state])} {state}" for state in others]
    whole = None if status.head is None else status.head.version
    if whole is not None and whole.rows is not None:
        pieces.append(count(whole.rows, "row"))
    if whole is not None and whole.size_bytes is not None:
        pieces.append(f"{size(whole.size_bytes)} {whole.io}")
    yield "partitions", pieces
    if status.head is not None:
        trace = status.head.trace
        last: list[Piece] = [
            strong(f"{trace.partition} v{trace.version_number}"),
            f"{place.clock(trace.finished_at)} ({ago(trace.finished_at, place.now)})",
        ]
        yield "last made", [*last, *([] if trace.run_id is None else [f"run #{trace.run_id}"])]


def _version(found: Head, place: Place) -> list[Piece]:
    version, trace = found.version, found.trace
    pieces: list[Piece] = [
        strong(f"v{version.number}"),
        f"{place.clock(trace.finished_at)} ({ago(trace.finished_at, place.now)})",
    ]
    if trace.run_id is not None:
        pieces.append(f"run #{trace.run_id}")
    if version.rows is not None:
        pieces.append(count(version.rows, "row"))
    if version.size_bytes is not None:
        pieces.append(f"{size(version.size_bytes)}{' ' + version.io if version.io != 'source' else ''}")
    if trace.kind == "run":
        pieces.append(f"took {words(max(0.0, trace.finished_at - trace.started_at))}")
    pieces.append(dim(f"content {_short(version.data_hash)}"))
    return pieces


def _short(digest: str) -> str:
    return digest.rpartition(":")[2][:8]


def _inputs(view: AssetView) -> list[Piece]:
    found = view.status.head
    read = {one.upstream: one.version_number for one in found.trace.inputs} if found is not None else {}
    pieces: list[Piece] = []
    inputs = view.status.spec.inputs
    for given in inputs[:_MOST_OPENED] if view.status.step.partition else inputs:
        version = read.get(given.upstream)
        text = given.upstream + (f" v{version}" if version is not None else "")
        if given.mode == "columns":
            text += f" ({', '.join(given.columns)})"
        elif given.mode == "order":
            text += " (order only)"
        pieces.append(text)
    more = len(inputs) - len(pieces)
    return [*pieces, dim(f"(and {more} more)")] if more else pieces


def _schema(found: Head, *, everything: bool, limit: int = 8) -> list[Piece]:
    columns = list(found.version.schema.items())
    shown = columns if everything else columns[:limit]
    pieces: list[Piece] = [f"{name} {kind}" for name, kind in shown]
    if len(shown) < len(columns):
        pieces.append(dim(f"and {len(columns) - len(shown)} more (--schema)"))
    return pieces


def _checks(view: AssetView) -> list[Piece]:
    done = {outcome.name: outcome for outcome in view.checks}
    pieces: list[Piece] = [_check(outcome) for outcome in view.checks]
    pieces += [dim(f"· {one.name}") for one in view.status.spec.checks if one.name not in done]
    return pieces


def _check(outcome: CheckOutcome) -> Piece:
    if outcome.passed:
        return good(f"✓ {outcome.name}")
    text = f"{outcome.name}: {outcome.message}" if outcome.message else outcome.name
    return bad(f"✗ {text}") if outcome.blocking else warn(f"▲ {text}")


def _can_be_seen(status: AssetStatus) -> bool:
    """Whether `preview` has something to show."""
    if status.spec.is_source:
        return status.state != "blocked"
    is_lost = any(reason.code == "data_missing" for reason in status.step.reasons)
    return status.head is not None and status.head.version.io != "none" and not is_lost


def _next(status: AssetStatus) -> list[Piece]:
    key = status.spec.key
    verbs = ["history"]
    if _can_be_seen(status):
        verbs.insert(0, "preview")
    if status.step.pin is not None:
        verbs.insert(0, "unpin")
    elif status.state not in ("current", "source"):
        verbs.insert(0, "plan")
    commands = [shell(["assetflow", verb, key]) for verb in verbs]
    pieces: list[Piece] = []
    for command in commands[:2]:
        pieces += [dim(" · ") if pieces else "", command]
    return pieces


# ------------------------------------------------------------------------------------------------------- history


def history_table(entries: Sequence[HistoryEntry], place: Place) -> Table:
    """One row for each move of the head, newest first; the current one has an arrow."""
    has_partitions = any(entry.head.trace.partition for entry in entries)
    columns = (
        Column("version", "VERSION"),
        *([Column("partition", "PARTITION")] if has_partitions else ()),
        Column("when", "WHEN"),
        Column("run", "RUN", is_right=True, leave=3),
        Column("rows", "ROWS", is_right=True),
        Column("bytes", "SIZE", is_right=True, leave=4),
        Column("seconds", "TOOK", is_right=True, leave=2),
        Column("code", "CODE", leave=6),
        Column("reason", "REASON"),
        Column("schema_change", "SCHEMA", leave=1),
        Column("by", "BY", leave=5),
    )
    return Table(
        columns,
        tuple(
            (
                cell(entry.head.version.number, _version_words(entry)),
                *([cell(entry.head.trace.partition)] if has_partitions else ()),
                cell(iso(entry.head.verified_at), place.clock(entry.head.verified_at)),
                cell(
                    entry.head.trace.run_id, None if entry.head.trace.run_id is None else f"#{entry.head.trace.run_id}"
                ),
                cell(entry.head.version.rows, _rows_words(entry)),
                cell(entry.head.version.size_bytes, size(entry.head.version.size_bytes)),
                cell(round(entry.seconds, 3), words(max(0.0, entry.seconds))),
                cell(_short(entry.head.trace.code) or None),
                cell(entry.reason or None),
                cell(", ".join(entry.schema_change) or None, clip(", ".join(entry.schema_change), 40)),
                cell(entry.by or None, dim("–") if entry.head.cause else None),  # the reason says it too
            )
            for entry in entries
        ),
    )


def _version_words(entry: HistoryEntry) -> str:
    version = entry.head.version
    return f"v{version.number}{' ←' if entry.is_current else ''}{_GONE.get(version.state, '')}"


def _rows_words(entry: HistoryEntry) -> Piece:
    rows, before = entry.head.version.rows, entry.rows_before
    if rows is None:
        return dim("–")
    if before is None or rows == before:
        return number(rows)
    return f"{number(rows)} ({'+' if rows > before else '−'}{number(abs(rows - before))})"
