"""The screen of `plan`: what would run, what may run, and why."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from assetflow.cli.folding import range_name
from assetflow.cli.render_current import nothing_line, pinned_words, plan_columns
from assetflow.cli.table import Column, Table, cell
from assetflow.cli.text import (
    BLANK,
    Line,
    Span,
    aligned,
    cells,
    clip,
    clip_line,
    count,
    dim,
    good,
    head,
    shell,
    state_mark,
    strong,
    warn,
    wrapped,
)
from assetflow.model.durations import words
from assetflow.model.keys import AssetKey, split_slot
from assetflow.plan.undecided import undecided_names

if TYPE_CHECKING:
    from assetflow.explaining.against import Against, Other
    from assetflow.plan.planner import Plan, Step


def plan_lines(
    plan: Plan,
    *,
    name: str,
    width: int,
    elapsed_s: float,
    apply: str,
    max_rows: int = 40,
    every_reason: bool = False,
    root: str = "",
) -> list[Line]:
    """The whole screen. `apply` is the command that would carry the plan out; `max_rows` 0 shows every row."""
    own = [step for step in plan if not step.spec.is_source]
    considered = _amount(own) + sum(plan.settled.values())
    if plan.is_empty:
        amount, is_asked = considered - len(plan.undecided), bool(plan.undecided)
        line = nothing_line(amount, _pinned_names(plan), elapsed_s, is_undecided=is_asked)
        return [line, *_undecided(plan, width, max_rows, every_reason=every_reason)]
    title = f" · env {plan.env} · {count(considered, 'asset')} considered in {words(elapsed_s)}"
    lines: list[Line] = [(" Plan for ", strong(name), title)]
    sections = (
        ("RUN", plan.run, "run them now"),
        ("MAYBE", plan.maybe, "run only if the content above them really changes"),
        ("REUSE", plan.link, "an earlier result fits again; nothing is computed"),
    )
    shown = [one for _, steps, _ in sections for one in _folded(steps)[: max_rows or None]]
    wide = min(max((cells(one.name) for one in shown), default=0), 40)
    for title, steps, meaning in sections:
        if steps:
            note = "" if title == "RUN" else f"   {meaning}"
            lines += [BLANK, (head(f" {title} ({_amount(steps):,})"), dim(note))]
            lines += _section(steps, wide, width, max_rows, every_reason=every_reason)
    if plan.blocked:
        lines += [BLANK, (head(f" BLOCKED ({_amount(plan.blocked):,})"), dim("   cannot be built now"))]
        lines += _blocked(plan.blocked, width, root)
    lines += _undecided(plan, width, max_rows, every_reason=every_reason)
    lines += [BLANK, *_foot(plan, apply)]
    return lines


def _blocked(steps: Sequence[Step], width: int, root: str) -> list[Line]:
    """The blocked assets by what blocks them, which is said once and in full."""
    causes: dict[str, list[Step]] = {}
    for step in steps:
        causes.setdefault(step.reasons[0].text if step.reasons else "", []).append(step)
    lines: list[Line] = []
    for cause, members in causes.items():
        names = [strong(f"{step.asset}{',' if step is not members[-1] else ''}") for step in members]
        lines += wrapped(("  ", state_mark("blocked"), " "), names, width=width, separator=" ")
        lines.append((f"    {cause.replace(root.rstrip('/') + '/', '') if root else cause}",))
    return lines


def _undecided(plan: Plan, width: int, max_rows: int, *, every_reason: bool) -> list[Line]:
    """The partitions that stay until somebody says what an edit is for, and how that is said."""
    if not plan.undecided:
        return []
    wide = min(max(cells(one.name) for one in _folded(plan.undecided)[: max_rows or None]), 40)
    meaning = "   made before an edit; somebody has to say whether it is for them"
    rows = _section(plan.undecided, wide, width, max_rows, every_reason=every_reason)
    return [
        BLANK, (head(f" UNDECIDED ({len(plan.undecided)})"), dim(meaning)), *rows,
        *undecided_lines(undecided_names(plan))[1:],
    ]  # fmt: skip


def undecided_lines(names: Sequence[str]) -> list[Line]:
    """What was left out because somebody has to say what an edit is for, and the commands that say it."""
    if not names:
        return []
    assets = [split_slot(AssetKey(name))[0] for name in names]
    own = [split_slot(AssetKey(name))[1] for name in names]
    again = [*assets, *(["-p", own[0]] if len(own) == 1 else []), "--rebuild"]
    return [
        (warn(" undecided  "), f"made before an edit, and left as they are: {', '.join(names)}"),
        (head(" keep       "), strong(shell(["assetflow", "accept", *names]))),
        (head(" make again "), strong(shell(["assetflow", "materialize", *again]))),
    ]


def empty_facts(plan: Plan) -> dict[str, object]:
    """What the line says of a plan that is empty."""
    own = [step for step in plan if not step.spec.is_source]
    return {"assets": _amount(own) + sum(plan.settled.values()), "pinned": _pinned_names(plan)}


def _pinned_names(plan: Plan) -> list[str]:
    return [f"{step.asset}@{step.head.version.number}" for step in plan.pinned if step.head is not None]


def _section(steps: Sequence[Step], wide: int, width: int, max_rows: int, *, every_reason: bool) -> list[Line]:
    lines: list[Line] = []
    folded = _folded(steps)
    shown = folded[: max_rows or None]
    for one in shown:
        step, estimate = one.steps[0], one.estimate_s
        last = "" if estimate is None else words(estimate)
        room = max(12, width - wide - 6 - 9)
        texts = [*one.texts, *([count(one.count, "partition")] if one.count > 1 else [])]
        first = " · ".join(texts[:1] if every_reason else texts)
        key = one.name + " " * max(0, wide - cells(one.name))
        shown_first = first if every_reason else clip(first, room)
        space = " " * max(2, room - cells(shown_first) + 9 - cells(last))
        lines.append(("  ", _mark(step), " ", strong(key), "  ", shown_first, *((space, dim(last)) if last else ())))
        if every_reason:
            lines += [(" " * (wide + 6), text) for text in texts[1:]]
    if len(folded) > len(shown):
        lines.append((dim(f"  … {len(folded) - len(shown):,} more (--max-rows 0 shows all)"),))
    return lines


class _Folded(Struct):
    """A step, or partitions of one asset that stand together for the same reasons."""

    steps: list[Step]
    texts: tuple[str, ...]

    @property
    def name(self) -> str:
        first = self.steps[0]
        alone = [step.partition for step in self.steps if step.crowd is None]
        together = [step.crowd.members for step in self.steps if step.crowd is not None]
        return range_name(split_slot(first.asset)[0], alone, first.spec.partitions, together)

    @property
    def count(self) -> int:
        return _amount(self.steps)

    @property
    def estimate_s(self) -> float | None:
        known = [step.estimate_s for step in self.steps if step.estimate_s is not None]
        return sum(known) if known else None


def _folded(steps: Sequence[Step]) -> list[_Folded]:
    found: list[_Folded] = []
    for step in steps:
        mine = split_slot(step.asset)[0]
        texts = tuple(re.sub(r"\[[^\]]*\]", "", one.text) if step.partition else one.text for one in step.reasons)
        last = found[-1] if found and step.partition else None
        is_same = last is not None and [*map(_without_count, last.texts)] == [*map(_without_count, texts)]
        if last is not None and split_slot(last.steps[0].asset)[0] == mine and is_same:
            last.steps.append(step)
            last.texts = texts if step.crowd is not None else last.texts
        else:
            found.append(_Folded([step], texts))
    return found


def _amount(steps: Iterable[Step]) -> int:
    return sum(step.count for step in steps)


def _without_count(text: str) -> str:
    return re.sub(r" \([\d,]+ partitions\)", "", text)


def _mark(step: Step) -> Span:
    codes = {reason.code for reason in step.reasons}
    if "failed_last" in codes:
        return state_mark("failed")
    if str(step.action) == "run":
        return state_mark("missing" if step.head is None else "stale")
    return state_mark({"link": "reusable", "undecided": "undecided"}.get(str(step.action), "maybe"))


def _foot(plan: Plan, apply: str) -> list[Line]:
    rows: list[tuple[Line | Span | str, ...]] = [(head("current"), str(plan.current_count))]
    if plan.pinned:
        rows.append((head("pinned"), pinned_words(_pinned_names(plan)).replace(" pinned: ", ": ", 1)))
    changed = plan.changed_sources
    if changed:
        names = [step.asset for step in changed]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        rows.append((head("changed sources"), ", ".join(names[:4]) + more))
    if roots := _root_causes(plan):
        rows.append((head("root causes"), roots))
    first, *more = _estimate(plan)
    rows += [(head("estimate"), first), *((head(""), text) for text in more)]
    rows.append((head("apply"), strong(apply)))
    return aligned(rows, gap=3, limit=200)


_TOLD_ELSEWHERE = ("never_materialized", "forced", "source_unavailable", "upstream_missing")
"""Causes that the rows of the screen, or the command itself, say clearly enough."""

_WORTH_S = 1.0
"""Work that takes less is not worth a word on how it could be done faster."""


def _root_causes(plan: Plan, limit: int = 3) -> str:
    """What explains how much of the plan, when one cause explains several assets."""
    found = [cause for cause in plan.root_causes if cause.code not in _TOLD_ELSEWHERE]
    told = [cause for cause in found if cause.explains][:limit]
    if not any(cause.explains > 1 for cause in told):
        return ""
    parts = [f"{cause.words} explains {cause.explains:,}" for cause in told]
    more = len(found) - len(parts)
    return " · ".join([*parts, *([f"{more} more"] if more > 0 else [])])


def _estimate(plan: Plan, longest: int = 5) -> list[str]:
    """How much work it is and how long that takes, and below that the chain that decides it."""
    found = plan.estimate
    parts: list[str] = []
    known = _amount((*plan.run, *plan.maybe)) > found.unknown
    if known:
        parts.append(f"{words(found.work_s)} of work")
        if found.workers > 1 and found.wall_s < found.work_s and found.work_s >= _WORTH_S:
            parts.append(f"{words(found.wall_s)} on {found.workers} workers")
    if found.unknown:
        parts.append(f"{count(found.unknown, 'asset')} never finished before")
    if found.saved_s >= _WORTH_S:
        parts.append(f"saves {words(found.saved_s)}")
    lines = [" · ".join(parts) or "nothing is computed"]
    path = found.critical_path
    if len(path) > 1 and found.path_s >= _WORTH_S:
        names = [*path[:longest], *([f"… {len(path) - longest} more"] if len(path) > longest else [])]
        lines.append(f"longest chain {words(found.path_s)}: {' → '.join(names)}")
    return lines


def against_table(found: Against) -> Table:
    """One row for each asset that is defined otherwise, for programs and pull requests."""
    columns = (
        Column("change", "CHANGE"),
        Column("asset", "ASSET"),
        Column("version", "VERSION THERE", is_right=True),
        Column("reasons", "WHY"),
    )
    return Table(
        columns,
        tuple(
            (
                cell(one.change),
                cell(one.asset),
                cell(one.version, None if one.parts is None else _there(one)),
                cell("; ".join(reason.code for reason in one.reasons), one.words),
            )
            for one in found.others
        ),
    )


def against_lines(found: Against, width: int) -> list[Line]:
    """The same for people."""
    counts = {**{one.asset: one.parts for one in found.others if one.parts is not None}, **found.mixed}
    mixed = [(dim(f" {asset}: {parts.words}"),) for asset, parts in counts.items() if parts.words]
    if not found.others:
        return [(" ", good("the same definitions"), f" as in {found.name}: {count(found.same, 'asset')}"), *mixed]
    title = (" ", strong(count(len(found.others), "asset")), f" defined otherwise than in {found.name}")
    rows = [
        (
            warn(one.change),
            strong(one.asset),
            _there(one),
            "; ".join(r.text for r in one.reasons),
        )
        for one in found.others
    ]
    lines: list[Line] = [title, BLANK, *(clip_line(line, width) for line in aligned(rows, indent=2))]
    return [*lines, BLANK, (dim(f" {count(found.same, 'asset')} the same"),), *mixed]


def _there(one: Other) -> str:
    """The version that is there, or how many partitions."""
    if one.parts is not None:
        return count(one.parts.count, "partition")
    return "" if one.version is None else f"v{one.version}"


def plan_table(plan: Plan) -> Table:
    """One row for each asset that is not current, for programs and pull requests."""
    columns = plan_columns()
    steps = (*plan.run, *plan.maybe, *plan.link, *plan.blocked)
    return Table(
        columns,
        tuple(
            (
                cell(str(step.action)),
                cell(step.asset),
                cell("; ".join(reason.code for reason in step.reasons), "; ".join(r.text for r in step.reasons)),
                cell(step.estimate_s, None if step.estimate_s is None else words(step.estimate_s)),
            )
            for step in steps
        ),
    )
