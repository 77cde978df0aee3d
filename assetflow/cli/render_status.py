"""The screens of `ls`, `status` and the bare command, made from a status and a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from assetflow.cli.documents import updated_at
from assetflow.cli.render_glance import ORDER, Clock, Glance, Place
from assetflow.cli.text import (
    Line,
    Piece,
    Span,
    ago,
    aligned,
    bad,
    clip_line,
    count,
    dim,
    head,
    state_mark,
    stripped,
    strong,
)
from assetflow.model.durations import words

if TYPE_CHECKING:
    from assetflow.model.records import Run
    from assetflow.views import AssetStatus, Status

# -------------------------------------------------------------------------------------------------- rows of lists


def glance(row: AssetStatus) -> Glance:
    """The row of an asset in `ls` and `status`."""
    spec, found, fresh = row.spec, row.head, row.freshness
    version, told = _version(row)
    return Glance(
        spec.key, row.state, spec.is_source, ", ".join(spec.kinds) or spec.kind, spec.group, version, told,
        None if found is None else found.version.rows, None if found is None else found.version.size_bytes,
        updated_at(found), row.step.estimate_s, str(fresh.timeliness), fresh.deadline, fresh.late_s,
        status_why(row, is_verbose=False), status_why(row, is_verbose=True),
    )  # fmt: skip


def _version(row: AssetStatus) -> tuple[object, str]:
    if row.parts:
        good, every = counted_parts(row)
        return f"{good}/{every}", parts_words(row)
    return (None, "") if row.head is None else (row.head.version.number, f"v{row.head.version.number}")


def parts_words(row: AssetStatus) -> str:
    """`3/7 parts`: how many of the partitions of an asset need nothing."""
    good, every = counted_parts(row)
    return f"{good:,}/{every:,} parts"


def counted_parts(row: AssetStatus) -> tuple[int, int]:
    """How many of the partitions of an asset need nothing, those of sources and pinned ones too, and of how many."""
    return sum(row.parts.get(state, 0) for state in ("current", "pinned", "source")), sum(row.parts.values())


def status_why(row: AssetStatus, *, is_verbose: bool) -> str:
    """Why an asset is not current, and what else is to be said of it: in short, or in full."""
    said = [one for one in row.modifiers if one.word not in ("failed", "blocked", "lost", "evicted")]
    if is_verbose:
        more = [f"{one.word}: {one.text}" if one.text else one.word for one in said]
    else:
        more = [one.word for one in said if one.word == "nondeterministic"]
    return " · ".join([text for text in (why_text(row), *more) if text])


def why_text(row: AssetStatus) -> str:
    """Why an asset is not current, in one line; empty when it is."""
    if row.state == "failed" and row.attempt is not None:
        error = row.attempt.error or {}
        message = str(error.get("message") or "").partition("\n")[0]
        failed = [check.name for check in row.attempt.checks if not check.passed and check.blocking]
        if failed:
            return f"check {', '.join(failed)} failed in run #{row.attempt.run_id}"
        if row.attempt.state == "died":
            return f"the process of run #{row.attempt.run_id} died while it ran"
        kind = str(error.get("type") or "failed")
        return f"{kind}: {message}" if message else kind
    if row.state == "blocked" and row.attempt is not None and row.attempt.blocked_by:
        return f"waits for {', '.join(row.attempt.blocked_by)}"
    return " · ".join(present_reasons(row))


def present_reasons(row: AssetStatus) -> list[str]:
    """Why an asset is not current, without a failure that is no longer the cause."""
    return [reason.text for reason in row.step.reasons if row.state == "failed" or reason.code != "failed_last"]


# ---------------------------------------------------------------------------------------------------------- home


def home_lines(status: Status, name: str, place: Place, jobs: str = "") -> list[Line]:
    """Counts, what is wrong with the command that tells more, and what to do next. `jobs` says who runs them."""
    own = [row for row in status.rows if not row.spec.is_source]
    title: list[Piece] = [" ", strong(name), f" · env {status.env} · {count(len(own), 'asset')}{jobs}"]
    if status.running is not None:
        title += [" · ", Span(f"▶ run #{status.running.run_id} since {place.clock(status.running.started_at)}", "head")]
    elif status.last_run is not None:
        title += [" · last run ", *_run_words(status.last_run, place)]
    lines: list[Line] = [tuple(title)]
    states = Counter(row.state for row in own)
    marks: list[Piece] = ["   "]
    for state in ORDER:
        if states[state]:
            marks += [_counted(state, states[state]), "   "]
    if status.overdue:
        marks += ["     ", bad(f"⏱ {len(status.overdue)} overdue")]
    lines.append(tuple(marks))
    lines += _trouble(own, place)
    if any(states[state] for state in ORDER if state not in ("current", "pinned", "running")):
        lines.append((head(" next  "), "assetflow plan", dim(" · "), "assetflow materialize"))
    else:
        lines.append((head(" next  "), "assetflow ls", dim(" · "), "assetflow lineage"))
    return [stripped(line) for line in lines]


def _counted(state: str, amount: int) -> Span:
    mark = state_mark(state)
    return Span(f"{mark.text} {amount} {state}", mark.style)


def _run_words(run: Run, clock: Clock) -> list[Piece]:
    total = sum(run.counts.values())
    failed = sum(run.counts.get(state, 0) for state in ("failed", "rejected"))
    mark = state_mark("ok" if run.state == "ok" else "failed")
    note = f" ({failed} of {total})" if failed else ""
    return [
        f"#{run.run_id} ",
        Span(f"{mark.text} {run.state}", mark.style),
        f" {ago(run.finished_at or run.started_at, clock.now)}{note}",
    ]


def _trouble(rows: Sequence[AssetStatus], place: Place, limit: int = 5) -> list[Line]:
    """The assets to look at first: failed, then overdue, then stale by themselves."""
    found: list[tuple[Span, str, str, str]] = []
    for row in rows:
        key = row.spec.key
        if row.state == "failed":
            found.append((state_mark("failed"), key, why_text(row), f"assetflow logs {key}"))
    for row in rows:
        if str(row.freshness.timeliness) == "overdue":
            text = f"{words(row.freshness.late_s)} late" + ("" if row.late is None else f": {row.late.words}")
            found.append((state_mark("overdue"), row.spec.key, text, f"assetflow show {row.spec.key}"))
    for row in rows:
        if row.state == "stale":
            found.append((state_mark("stale"), row.spec.key, why_text(row), f"assetflow show {row.spec.key}"))
    more = len(found) - limit
    if more > 0:
        found = found[:limit]
    wide = max((len(command) for *_, command in found), default=0)
    names = max((len(key) for _, key, _, _ in found), default=0)
    room = max(20, place.width - names - wide - 10)
    lines = aligned(
        [((mark, " ", strong(key)), clip_line((text,), room), dim(command)) for mark, key, text, command in found],
        indent=3,
    )
    if more > 0:
        lines.append((dim(f"   … {more} more: assetflow status"),))
    return lines
