"""The screens of `backfill`: a strip for each asset before it begins, a line for each run, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from assetflow.cli.folding import Folding, alike
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import (
    BLANK,
    MARKS,
    STYLES,
    Line,
    Piece,
    Span,
    aligned,
    bad,
    cells,
    clip,
    count,
    dim,
    good,
    head,
    iso,
    state_words,
    strong,
)
from assetflow.model.durations import words
from assetflow.model.keys import AssetKey, split_slot

if TYPE_CHECKING:
    from assetflow.automation.backfilling import BackfillResult
    from assetflow.automation.chunks import BackfillPlan, Chunk, Strip
    from assetflow.cli.session import Session
    from assetflow.model.backfills import Backfill
    from assetflow.plan.planner import Plan
    from assetflow.run.outcome import RunResult

_WORST = ("failed", "blocked", "missing", "stale", "maybe", "reusable", "undecided", "pinned", "current")
"""Of several partitions that share a cell, the first of these is shown."""

_MOST_NAMED = 3
_NAME = 40
_NARROWEST, _WIDEST = 10, 100


def plan_lines(plan: BackfillPlan, width: int, apply: str) -> list[Line]:
    """What would be made, with a strip for each asset."""
    which = plan.selection or "everything"
    title = f"Backfill of {which}" if plan.resumes is None else f"What is left of backfill #{plan.resumes.backfill_id}"
    assets, current = count(len(plan.strips), "asset"), plan.total - plan.planned
    lines: list[Line] = [
        (strong(f" {title}"), f" · env {plan.env} · {count(plan.total, 'partition')} of {assets}"),
        BLANK,
        *strip_lines(plan.strips, width),
        BLANK,
    ]
    facts: list[tuple[Line | Piece, ...]] = [(dim("to make"), f"{plan.planned:,} · {current:,} current")]
    if plan.beside:
        with_them = ", ".join(f"{number:,} of {asset}" for asset, number in plan.beside.items())
        facts.append((dim("with them"), f"{with_them}, which they need"))
    if plan.last:
        facts.append((dim("at the end"), ", ".join(plan.last)))
    if plan.chunks:
        runs = count(len(plan.chunks), "run")
        facts.append(
            (dim("runs"), f"{runs}, the {plan.order} first · up to {plan.size:,} partitions of an asset in each")
        )
    if plan.work_s:
        facts.append((dim("estimate"), f"{words(plan.work_s)} of work · {words(plan.wall_s)} with all workers"))
    facts += [(dim("apply"), apply)] if plan.planned or plan.last else []
    return [*lines, *aligned(facts, gap=3)]


def strip_lines(strips: Sequence[Strip], width: int) -> list[Line]:
    """A line of cells for each asset, and what the glyphs mean. Where there is no room, partitions share a cell."""
    name = min(_NAME, max((cells(strip.asset) for strip in strips), default=0))
    tails = [f"{strip.counts.get('current', 0):,} of {strip.ordinals.count:,} current" for strip in strips]
    room = max(_NARROWEST, min(_WIDEST, width - name - max(map(cells, tails), default=0) - 7))
    shared = max((-(-strip.ordinals.count // room) for strip in strips), default=1)
    rows: list[tuple[Line | Piece, ...]] = [
        (strong(clip(strip.asset, name)), tuple(_cells(strip.states, room)), tail)
        for strip, tail in zip(strips, tails, strict=True)
    ]
    seen = [state for state in reversed(_WORST) if any(state in strip.states for strip in strips)]
    legend: list[Piece] = [" "]
    for state in seen:
        legend += [state_words(state), "  "]
    if shared > 1:
        legend.append(dim(f"· one glyph stands for up to {shared:,} partitions, by the one that needs most"))
    return [*aligned(rows, gap=3, limit=_WIDEST), tuple(legend[:-1]) if shared == 1 else tuple(legend)]


def _cells(states: Sequence[str], room: int) -> Iterator[Piece]:
    """The states as glyphs, at most `room` of them."""
    per = max(1, -(-len(states) // room))
    shown = [
        min(states[start : start + per], key=_WORST.index) if per > 1 else states[start]
        for start in range(0, len(states), per)
    ]
    for state, run in groupby(shown):
        yield Span(MARKS[state] * len(list(run)), STYLES.get(state, ""))


def chunk_line(chunk: Chunk, result: RunResult, number: int, of: int) -> Line:
    """` ✓ run #12  2026-01-01..2026-01-20  40 made   0.6 s  2/4`."""
    counts = result.counts
    made = counts.get("materialized", 0)
    same = sum(counts.get(state, 0) for state in ("unchanged", "linked", "cut_off"))
    facts = [f"{made:,} made", *([f"{same:,} the same"] if same else [])]
    troubles = {
        "failed": counts.get("failed", 0) + counts.get("rejected", 0) + counts.get("died", 0),
        "blocked": counts.get("blocked", 0),
        "not run": counts.get("cancelled", 0),
    }
    wrong = [bad(f" · {amount:,} {word}") for word, amount in troubles.items() if amount]
    what = chunk.partitions or ", ".join(chunk.assets)
    run = "nothing to do" if result.run_id is None else f"run #{result.run_id}"
    return (
        " ", good("✓") if result.ok else bad("✗"), f" {number}/{of}  ", strong(run), f"  {clip(what, 48)}  ",
        dim(" · ".join(facts)) if result.run_id is not None else "", *wrong, dim(f"  {words(result.seconds)}"),
    )  # fmt: skip


def failure_lines(result: RunResult, plan: Plan | None = None) -> list[Line]:
    """The first partitions that failed in a run, with their errors: those that failed in the same way together."""
    groups = alike(outcome for outcome in result if outcome.state in ("failed", "rejected"))
    folding, lines = Folding(plan), list[Line]()
    for outcomes in groups[:_MOST_NAMED]:
        first = outcomes[0]
        error = "" if first.error is None else f"{first.error.type}: {first.error.message}".partition("\n")[0]
        many = f"{len(outcomes):,} failed  " if len(outcomes) > 1 else ""
        lines.append(("   ", bad("✗"), f" {folding.name(outcomes)}  ", many, dim(clip(error, 80))))
    if len(groups) > _MOST_NAMED:
        left = sum(len(outcomes) for outcomes in groups[_MOST_NAMED:])
        lines.append((dim(f"     and {left:,} more: assetflow runs show {result.run_id}"),))
    return lines


def result_lines(result: BackfillResult) -> list[Line]:
    """How it ended."""
    found = result.backfill
    mark = good("✓") if result.ok else bad("✗")
    facts = [f"{found.done:,} of {found.planned:,} partitions done"]
    facts += [f"{len(result.failed):,} failed"] if result.failed else []
    facts += [f"{found.left:,} left"] if found.left else []
    facts += [count(len(result.runs), "run")]
    lines: list[Line] = [
        (" ", strong(f"backfill #{found.backfill_id} "), mark, f" {found.state} · {' · '.join(facts)}   ",
         dim(words(result.seconds)))
    ]  # fmt: skip
    notes: list[tuple[Line | Piece, ...]] = []
    if result.failed:
        notes.append((dim("failed"), "  ".join(_named(result.failed))))
    notes += [(dim("left out"), f"{asset}: {why}") for asset, why in result.left_out.items()]
    return [*lines, *aligned(notes, indent=3)]


def _named(failed: Iterable[AssetKey]) -> list[str]:
    """`orders: 2026-01-05, 2026-01-09 and 3 more`, for each asset."""
    keys: dict[AssetKey, list[str]] = {}
    for one in failed:
        asset, partition = split_slot(one)
        keys.setdefault(asset, []).append(partition)
    return [f"{asset}: {_few(own)}" if any(own) else asset for asset, own in keys.items()]


def _few(keys: Sequence[str]) -> str:
    shown = ", ".join(keys[:_MOST_NAMED])
    return f"{shown} and {len(keys) - _MOST_NAMED:,} more" if len(keys) > _MOST_NAMED else shown


def resume_line(found: Backfill) -> Line:
    """The command that goes on with it."""
    return (head(" resume  "), f"assetflow backfill --resume {found.backfill_id}")


def backfills_table(found: Sequence[Backfill], session: Session) -> Table:
    """One row for each backfill, newest first."""
    columns = (
        Column("backfill", "BACKFILL", is_right=True), Column("state", "STATE"),
        Column("selection", "SELECTION", leave=2, least=12), Column("partitions", "PARTITIONS", leave=3, least=12),
        Column("done", "DONE", is_right=True), Column("planned", "OF", is_right=True),
        Column("failed", "FAILED", is_right=True), Column("started_at", "STARTED"), Column("env", "ENV", leave=1),
        Column("by", "BY", leave=4),
    )  # fmt: skip
    return Table(
        columns,
        tuple(
            (
                cell(one.backfill_id, strong(f"#{one.backfill_id}")),
                cell(one.state, _state(one.state)),
                cell(one.selection or None, one.selection or dim("all")),
                cell(one.partitions),
                cell(one.done),
                cell(one.planned),
                cell(one.failed),
                cell(iso(one.started_at), session.clock(one.started_at)),
                cell(one.env),
                cell(f"{one.user}@{one.host}"),
            )
            for one in found
        ),
    )


_STATES: Mapping[str, tuple[str, str]] = {
    "running": ("▶", "head"), "done": ("✓", "good"), "failed": ("✗", "bad"), "stopped": ("✗", "bad"),
    "paused": ("·", "warn"), "interrupted": ("·", "warn"), "died": ("✗", "bad"),
}  # fmt: skip


def _state(state: str) -> Span:
    mark, style = _STATES[state]
    return Span(f"{mark} {state}", style)
