"""The screens of `runs`: one run with its attempts, where their time went, and how two runs differ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assetflow.cli.documents import run_document
from assetflow.cli.table import Cell, Column, Table, cell
from assetflow.cli.text import Line, count, dim, size, state_mark, strong
from assetflow.model.durations import words
from assetflow.model.keys import slot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from assetflow.model.records import Attempt, SpanTime
    from assetflow.observing.runs import AssetPair, RunComparison

PARTS = ("load", "compute", "check", "write", "commit")
_SPANS = 6
"""So many timed steps are listed below an attempt; `--times` has all."""


def attempt_lines(attempts: Sequence[Attempt]) -> list[Line]:
    """A line for each attempt of a run, and below it the steps that it timed."""
    names = [slot(attempt.asset, attempt.partition) for attempt in attempts]
    wide = max(map(len, names), default=0)
    lines: list[Line] = []
    for name, attempt in zip(names, attempts, strict=True):
        took = sum(attempt.seconds.values())
        version = f"v{attempt.version_number}" if attempt.version_number is not None else ""
        note = ""
        if attempt.error:
            note = f"{attempt.error.get('type', '')}: {str(attempt.error.get('message', '')).partition(chr(10))[0]}"
        elif attempt.blocked_by:
            note = f"waited for {', '.join(attempt.blocked_by)}"
        elif attempt.reasons:
            note = str(attempt.reasons[0].get("text", ""))
        state = attempt.state.replace("_", " ")
        again = f" (attempt {attempt.number})" if attempt.number > 1 else ""
        lines.append(
            (" ", state_mark(attempt.state), " ", strong(f"{name:<{wide}}"), f"  {state:<12} {version:<5} ",
             f"{words(took) if took else '':>8}   ", dim(note + again))
        )  # fmt: skip
        lines += [
            (dim(f"   {_indented(span):<{wide + 19}} {words(span.seconds):>10}   {_often(span)}".rstrip()),)
            for span in attempt.spans[:_SPANS]
        ]
        if len(attempt.spans) > _SPANS:
            lines.append((dim(f"     … {len(attempt.spans) - _SPANS} more (--times lists all)"),))
    return lines


def _indented(span: SpanTime) -> str:
    return "  " * (span.path.count("/") + 1) + span.path.rpartition("/")[2]


def _often(span: SpanTime) -> str:
    times = f"{span.count:,} times" if span.count > 1 else ""
    failed = "failed" if span.failed and span.count == 1 else f"{span.failed:,} failed" if span.failed else ""
    return " · ".join(part for part in (times, failed) if part)


def attempts_table(attempts: Sequence[Attempt]) -> Table:
    """One row for each attempt of a run."""
    columns = (
        Column("asset", "ASSET"), Column("state", "STATE"), Column("version", "VERSION", is_right=True),
        Column("seconds", "TOOK", is_right=True), Column("attempt", "ATTEMPT", is_right=True), Column("error", "ERROR"),
    )  # fmt: skip
    return Table(
        columns,
        tuple(
            (
                cell(slot(attempt.asset, attempt.partition)),
                cell(attempt.state),
                cell(attempt.version_number),
                cell(round(sum(attempt.seconds.values()), 3)),
                cell(attempt.number),
                cell((attempt.error or {}).get("message")),
            )
            for attempt in attempts
        ),
    )


def times_table(attempts: Sequence[Attempt]) -> Table:
    """Where the time of each attempt went, and below each the steps that it timed."""
    columns = (
        Column("asset", "ASSET", least=16),
        Column("attempt", "TRY", is_right=True, leave=5),
        Column("step", "STEP", least=8),
        Column("wait", "WAIT", is_right=True, leave=1),
        Column("load", "LOAD", is_right=True),
        Column("compute", "COMPUTE", is_right=True),
        Column("check", "CHECK", is_right=True, leave=3),
        Column("write", "WRITE", is_right=True),
        Column("commit", "COMMIT", is_right=True, leave=2),
        Column("peak_memory_bytes", "PEAK", is_right=True, leave=4),
        Column("count", "TIMES", is_right=True, leave=6),
    )
    rows: list[tuple[Cell, ...]] = []
    for attempt in attempts:
        if not attempt.seconds and attempt.wait_s is None:
            continue  # nothing was computed
        name = slot(attempt.asset, attempt.partition)
        rows.append((
            cell(name, strong(name)), cell(attempt.number), cell(None, ""), _time(attempt.wait_s),
            *(_time(attempt.seconds.get(part)) for part in PARTS),
            cell(attempt.peak_memory_bytes, size(attempt.peak_memory_bytes)
                 if attempt.peak_memory_bytes is not None else None), cell(None, ""),
        ))  # fmt: skip
        rows += [
            (cell(name, ""), cell(attempt.number, ""), cell(span.path), cell(None, ""), cell(None, ""),
             _time(span.seconds), *(cell(None, "") for _ in range(4)), cell(span.count))
            for span in attempt.spans
        ]  # fmt: skip
    return Table(columns, tuple(rows))


def _time(seconds: float | None) -> Cell:
    return cell(None) if seconds is None else cell(round(seconds, 6), words(max(0.0, seconds)))


def comparison_title(found: RunComparison) -> Line:
    """` run #41 → #42 · 3 of 14 assets differ`."""
    same = len(found.assets) - len(found.different)
    what = (
        f"{len(found.different)} of {count(len(found.assets), 'asset')} differ" if found.different else "no difference"
    )
    return (" ", strong(f"run #{found.old.run_id} → #{found.new.run_id}"), f" · {what}",
            dim(f" · {same} as before" if same and found.different else ""))  # fmt: skip


def comparison_table(found: RunComparison) -> Table:
    """One row for each asset that differs."""
    columns = (
        Column("asset", "ASSET", least=16),
        Column("old_state", "BEFORE"),
        Column("new_state", "AFTER"),
        Column("old_version", "V BEFORE", is_right=True, leave=2),
        Column("new_version", "V AFTER", is_right=True, leave=2),
        Column("old_rows", "ROWS BEFORE", is_right=True, leave=1),
        Column("new_rows", "ROWS AFTER", is_right=True, leave=1),
        Column("old_seconds", "TOOK BEFORE", is_right=True),
        Column("new_seconds", "TOOK AFTER", is_right=True),
    )
    return Table(columns, tuple(_comparison_row(pair) for pair in found.different))


def _comparison_row(pair: AssetPair) -> tuple[Cell, ...]:
    sides = (pair.old, pair.new)
    return (
        cell(pair.asset, strong(pair.asset)),
        *(cell(one.state if one else None, one.state.replace("_", " ") if one else None) for one in sides),
        *(cell(one.version_number if one else None) for one in sides),
        *(cell(amount, None if amount is None else f"{amount:,}") for amount in pair.rows),
        *(_time(amount) for amount in pair.seconds),
    )


def comparison_document(found: RunComparison) -> dict[str, object]:
    """The comparison as --json has it: all assets, with what of each differs."""
    return {
        "old": run_document(found.old),
        "new": run_document(found.new),
        "assets": [
            {
                "asset": pair.asset,
                "changed": list(pair.changed),
                **{
                    side: None if one is None else {
                        "state": one.state, "version": one.version_number, "rows": rows, "seconds": seconds,
                        "attempt": one.number,
                    }
                    for side, one, rows, seconds in zip(
                        ("old", "new"), (pair.old, pair.new), pair.rows, pair.seconds, strict=True
                    )
                },
            }
            for pair in found.assets
        ],
    }  # fmt: skip
