"""The screens of `materialize`: a line for each outcome, the block of a failure, the summary, and the live view."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from assetflow.cli.folding import Folding, alike
from assetflow.cli.render_current import outcome_columns
from assetflow.cli.table import Table, cell
from assetflow.cli.text import (
    BLANK,
    Line,
    Piece,
    Span,
    aligned,
    bad,
    cells,
    clip,
    clip_line,
    count,
    dim,
    good,
    head,
    shell,
    size,
    state_mark,
    strong,
)
from assetflow.model.durations import words
from assetflow.model.keys import arguments_of, split_slot

if TYPE_CHECKING:
    from assetflow.model.keys import AssetKey
    from assetflow.plan.planner import Plan, Step
    from assetflow.run.outcome import RunResult, StepOutcome
    from assetflow.run.reports import Progressed

SUMMARY = (
    ("materialized", "materialized"), ("unchanged", "unchanged"), ("linked", "reused"), ("cut_off", "cut off"),
    ("skipped", "skipped"), ("failed", "failed"), ("rejected", "rejected"), ("blocked", "blocked"),
    ("cancelled", "not finished"),
)  # fmt: skip
"""The states of outcomes in the order of the summary, with their words."""


def outcome_line(
    outcome: StepOutcome, plan: Plan | None, wide: int = 24, states: Mapping[AssetKey, str] | None = None
) -> Line:
    """One asset's outcome in one line; `wide` is the width of the column of keys, `states` what else came out."""
    mark, key = state_mark(outcome.state), outcome.asset + " " * max(0, wide - cells(outcome.asset))
    start: list[Piece] = [" ", mark, " ", strong(key), "  "]
    version = f"v{outcome.version}" if outcome.version is not None else ""
    took = words(outcome.total_s)
    if outcome.state == "materialized":
        rows = count(outcome.rows, "row") if outcome.rows is not None else ""
        reason = outcome.reasons[0].code if outcome.reasons else ""
        tried = f"   attempt {outcome.attempts}" if outcome.attempts > 1 else ""
        facts = f"{version:<5} {rows:>14} {size(outcome.size_bytes):>9} {took:>8}   "
        return (*start, facts, dim(reason + tried + _warnings(outcome) + _note(outcome)))
    if outcome.state == "unchanged":
        return (*start, f"unchanged: same content as {version or 'before'}", dim(f"   {took}{_note(outcome)}"))
    if outcome.state == "linked":
        return (*start, f"{version:<5} an earlier result fits again, nothing was computed")
    if outcome.state == "cut_off":
        return (*start, "not needed: what it reads did not change", dim(_note(outcome)))
    if outcome.state == "blocked":
        served = _served(outcome.asset, plan)
        cause = blocked_cause(outcome.blocked_by, states, Folding(plan))
        return (*start, f"not run{f' ({cause})' if cause else ''}{served}")
    if outcome.state in ("failed", "rejected"):
        return (*start, f"{took}   ", bad(_first_words(outcome)))
    return (*start, f"{outcome.state.replace('_', ' ')}{': ' if outcome.message else ''}{outcome.message}")


def _note(outcome: StepOutcome) -> str:
    return f"   {outcome.message}" if outcome.message else ""


def blocked_cause(
    blocked_by: Sequence[AssetKey], states: Mapping[AssetKey, str] | None, folding: Folding | None = None
) -> str:
    """`orders failed`, or `orders has no version yet` for what did not even run; without `states` all failed."""
    names = (folding or Folding(None)).names
    failed = [key for key in blocked_by if states is None or states.get(key) in ("failed", "rejected")]
    absent = [key for key in blocked_by if key not in failed]
    parts = [f"{', '.join(names(failed))} failed"] if failed else []
    parts += [f"{', '.join(names(absent))} {'has' if len(absent) == 1 else 'have'} no version yet"] if absent else []
    return " and ".join(parts)


def _warnings(outcome: StepOutcome) -> str:
    """`   3 checks passed`, or the names of the checks that warn."""
    if not outcome.checks:
        return ""
    warned = [check.name for check in outcome.checks if not check.passed]
    return f"   ▲ {', '.join(warned)}" if warned else f"   {count(len(outcome.checks), 'check')} passed"


def _first_words(outcome: StepOutcome, root: str = "") -> str:
    from assetflow.cli.render_errors import local_paths

    error = outcome.error
    if outcome.state == "rejected":
        names = [check.name for check in outcome.checks if check.blocking and not check.passed]
        return f"check failed: {', '.join(names)}" if names else "rejected by a check"
    if error is None:
        return outcome.message or "failed"
    first = local_paths(error.message, root).partition("\n")[0]
    return f"{error.type}: {first}" if error.code == "AF160" else f"[{error.code}] {first}"


def _served(asset: AssetKey, plan: Plan | None) -> str:
    step = plan.steps.get(asset) if plan is not None else None
    if step is None or step.head is None or step.spec.is_source or _is_lost_pin(step):
        return ""
    return f" — v{step.head.version.number} is still served"


def _is_lost_pin(step: Step) -> bool:
    """Whether what the asset is pinned to has no bytes, so that nothing is served."""
    return step.pin is not None and str(step.action) == "blocked"


def _what_stays(assets: Sequence[AssetKey], plan: Plan | None) -> str:
    steps = [step for asset in assets if plan is not None and (step := plan.steps.get(asset)) is not None]
    steps = [step for step in steps if not (step.spec.is_source or _is_lost_pin(step))]
    heads = [step.head for step in steps if step.head is not None]
    if not heads:
        return "nothing is published yet" if steps else ""
    if len(steps) == 1:
        return f"v{heads[0].version.number} stays current"
    without = f", and nothing is published of {len(steps) - len(heads):,}" if len(heads) < len(steps) else ""
    return f"{count(len(heads), 'version stays', 'versions stay')} current{without}"


_OTHERS = 3
"""How many other messages are told of partitions that failed at the same place."""

_WAYS = 3
"""How many ways to fail are told of one asset with partitions."""


# ------------------------------------------------------------------------------------------------------- failure


def failure_lines(outcomes: Sequence[StepOutcome], plan: Plan | None, root: str, folding: Folding) -> list[Line]:
    """The block of one failed asset: what, where, the code, what it read, and what is still served.

    Partitions of it that failed in the same way are told together, by what came of the first.
    """
    from assetflow.cli.render_errors import code_lines, local_paths, shown_path

    outcome = outcomes[0]
    took = f"   {words(outcome.total_s)}" if outcome.seconds and len(outcomes) == 1 else ""
    many = f"   {len(outcomes):,} failed" if len(outcomes) > 1 else ""
    first = _first_words(outcome, root)
    lines: list[Line] = [
        (" ", state_mark("failed"), " ", strong(folding.name(outcomes)), f"{took}{many}   ", bad(first))
    ]
    others = {said: one.asset for one in reversed(outcomes) if (said := _first_words(one, root)) != first}
    lines += [(dim(f"     {split_slot(key)[1]}: {clip(text, 100)}"),) for text, key in [*others.items()][-_OTHERS:]]
    if len(others) > _OTHERS:
        lines.append((dim(f"     and {len(others) - _OTHERS:,} other messages"),))
    error = outcome.error
    if error is not None:
        lines += [(f"     {line}",) for line in local_paths(error.message, root).splitlines()[1:8]]
        if error.file is not None:
            inside = f" in {error.function}" if error.function else ""
            place = f"{shown_path(error.file, root)}:{error.line}" if error.line else shown_path(error.file, root)
            lines.append((f"     {place}", dim(inside)))
        lines += code_lines(error.frame, error.line)
        lines += [(f"     {line}",) for fact in error.facts for line in local_paths(fact, root).splitlines()]
    for check in outcome.checks:
        if not check.passed:
            mark = bad("✗ ") if check.blocking else Span("▲ ", "warn")
            lines.append(("     ", mark, check.name, f"   {check.message}" if check.message else ""))
    lines += [(dim("     input  "), read) for read in outcome.inputs_read]
    served = _what_stays([one.asset for one in outcomes], plan)
    if served:
        lines.append((dim("     served "), served))
    if outcome.rejected is not None:
        kept = f"{outcome.asset}@{outcome.rejected}"
        look = shell(["assetflow", "preview", kept]) if outcome.rows is not None else ""
        lines.append((dim("     kept   "), kept, f"   look at it: {look}" if look else ""))
    # What a rejection leaves behind is said above, and what to read about it below the summary.
    if error is not None and error.fix and outcome.state != "rejected":
        lines.append(("     ", head("help"), f": {local_paths(error.fix, root)}"))
    return lines


def blocked_lines(
    outcomes: Sequence[StepOutcome],
    plan: Plan | None,
    states: Mapping[AssetKey, str],
    folding: Folding,
    limit: int = 8,
) -> list[Line]:
    """One line for all assets that did not run for the same cause; `states` is how each asset of the run ended.

    Partitions of one asset that were blocked by partitions of the same assets are told together, too.
    """
    groups: dict[tuple[AssetKey, ...], list[StepOutcome]] = {}
    for outcome in outcomes:
        asset, partition = split_slot(outcome.asset)
        causes = sorted({split_slot(key)[0] for key in outcome.blocked_by})
        groups.setdefault((asset, *causes) if partition else outcome.blocked_by, []).append(outcome)
    lines: list[Line] = []
    for members in groups.values():
        names = folding.names(member.asset for member in members)
        more = f" and {len(names) - limit} more" if len(names) > limit else ""
        blocked_by = dict.fromkeys(key for member in members for key in member.blocked_by)
        cause = blocked_cause([*blocked_by], states, folding) or "upstream failed"
        heads = [step.head for m in members if plan is not None and (step := plan.steps.get(m.asset)) is not None]
        versions = [f"{found.version.asset}@{found.version.number}" for found in heads if found is not None]
        many = f"   {len(members):,}" if len(names) < len(members) else "  "
        title = strong(", ".join(names[:limit]) + more)
        lines.append((" ", state_mark("blocked"), " ", title, f"{many} not run ({cause})"))
        if versions and len(names) < len(members):
            lines.append((dim(f"     {_what_stays([one.asset for one in members], plan)}"),))
        elif versions:
            verb = "is" if len(versions) == 1 else "are"
            lines.append((dim(f"     {', '.join(versions[:limit])}{more if versions else ''} {verb} still served"),))
    return lines


def _failed_lines(result: RunResult, failed: Sequence[StepOutcome], plan: Plan | None, root: str) -> list[Line]:
    """The blocks of what failed: of one asset with partitions, the first ways in which some of them did."""
    lines: list[Line] = []
    folding, told = Folding(plan), dict[str, int]()
    left: dict[AssetKey, list[StepOutcome]] = {}
    for outcomes in alike(failed):
        asset, partition = split_slot(outcomes[0].asset)
        told[asset] = told.get(asset, 0) + 1
        if partition and told[asset] > _WAYS:
            left.setdefault(asset, []).extend(outcomes)
        else:
            lines += [*failure_lines(outcomes, plan, root, folding), BLANK]
    for outcomes in left.values():
        where = "" if result.run_id is None else f": assetflow runs show {result.run_id}"
        lines += [(" ", state_mark("failed"), " ", strong(folding.name(outcomes)),
                   f"   {len(outcomes):,} failed in other ways{where}"), BLANK]  # fmt: skip
    return lines


# ------------------------------------------------------------------------------------------------------- summary


def run_lines(result: RunResult, plan: Plan | None, root: str, *, every_outcome: bool) -> list[Line]:
    """What stdout gets at the end of a run: outcomes if asked for, failures in full, and the summary."""
    lines: list[Line] = []
    wide = min(max((cells(outcome.asset) for outcome in result), default=0), 40)
    states = {outcome.asset: outcome.state for outcome in result}
    failed = [outcome for outcome in result if outcome.state in ("failed", "rejected")]
    blocked = [outcome for outcome in result if outcome.state == "blocked"]
    if every_outcome:
        lines += [outcome_line(o, plan, wide, states) for o in result if o not in failed and o not in blocked]
    lines += _failed_lines(result, failed, plan, root)
    lines += blocked_lines(blocked, plan, states, Folding(plan))
    if blocked or (lines and not failed):
        lines.append(BLANK)
    lines.append(summary_line(result))
    return lines


def summary_line(result: RunResult) -> Line:
    """` run #42 ✓ 4 materialized · 1 unchanged · 9 already current   4.2 s (saved ≈ 38 s)`."""
    counts = result.counts
    parts = [f"{counts[state]} {word}" for state, word in SUMMARY if counts.get(state)]
    if result.current:
        parts.append(f"{result.current} already current")
    name = f"run #{result.run_id}" if result.run_id is not None else "run"
    mark = good("✓") if result.ok else bad("✗")
    if result.interrupted:
        parts.insert(0, "interrupted")
    saved = dim(f" (saved ≈ {words(result.saved_s)})") if result.saved_s >= 0.1 else ""
    return (f" {name} ", mark, f" {' · '.join(parts) or 'nothing to do'}   {words(result.seconds)}", saved)


def outcome_table(result: RunResult) -> Table:
    """One row for each outcome, for programs."""
    return Table(
        outcome_columns(),
        tuple(
            (
                cell(outcome.asset),
                cell(outcome.state),
                cell(outcome.version),
                cell(outcome.rows),
                cell(outcome.size_bytes),
                cell(round(outcome.total_s, 3), words(outcome.total_s)),
                cell(outcome.message or (_first_words(outcome) if outcome.error else None)),
            )
            for outcome in result
        ),
    )


# ---------------------------------------------------------------------------------------------------------- live


class Running(Struct, frozen=True):
    """An asset that is being computed: seconds so far, how long it took last time, and what it said of itself."""

    key: str
    seconds: float
    usual_s: float | None = None
    progress: Progressed | None = None

    @property
    def share(self) -> float | None:
        """The part that is done: as it said, else by the time that it took before."""
        told = None if self.progress is None else self.progress.share
        return min(1.0, self.seconds / self.usual_s) if told is None and self.usual_s else told

    @property
    def eta_s(self) -> float | None:
        """Seconds that are left: by what it said, else by the time that it took before."""
        told = None if self.progress is None else self.progress.share
        if told is not None:
            return self.seconds * (1 - told) / told if told else None
        return self.usual_s - self.seconds if self.usual_s and self.usual_s > self.seconds else None


def done_words(progress: Progressed) -> str:
    """`62 %` where a total is known, else `12,000 done`."""
    share = progress.share
    return f"{progress.done:,.10g} done" if share is None else f"{int(share * 100)} %"


def live_lines(
    *,
    title: str,
    running: Sequence[Running],
    done: int,
    total: int,
    elapsed_s: float,
    size_of_screen: tuple[int, int],
) -> list[Line]:
    """The block below the finished lines: each running asset with its time, and how far the run is.

    At most half of the screen is used.
    """
    width, height = size_of_screen
    lines: list[Line] = []
    room = max(1, height // 2 - 3)
    wide = max((cells(one.key) for one in running[:room]), default=0)
    said = [done_words(one.progress) if one.progress is not None else "" for one in running[:room]]
    wide_said = max(map(cells, said), default=0)
    for one, how_far in zip(running[:room], said, strict=False):
        eta = f"  eta {words(one.eta_s)}" if one.eta_s is not None else ""
        usual = f"  (last time {words(one.usual_s)})" if one.usual_s and one.progress is None else ""
        message = f"  {one.progress.message}" if one.progress is not None and one.progress.message else ""
        padded = f" {how_far:>{wide_said}}" if wide_said else ""
        times = f"{padded} {words(one.seconds):>8}{eta}"
        name = one.key + " " * (wide - cells(one.key))
        lines.append((" ", state_mark("running"), f" {name}  ", _bar(one.share), times, dim(usual), dim(message)))
    if len(running) > room:
        lines.append((dim(f"   … {len(running) - room} more running"),))
    rule = "─" * max(4, min(40, width - 40))
    lines.append((dim(f" {rule} {title} · {done}/{total} · {words(elapsed_s)}"),))
    return [clip_line(line, width - 1) for line in lines]


def _bar(share: float | None, wide: int = 18) -> Span:
    full = int((share or 0.0) * wide)
    return Span("━" * full + "─" * (wide - full), "head")


def next_lines(result: RunResult, with_log: Collection[AssetKey] = ()) -> list[Line]:
    """The commands that help after a failure; `with_log` are the assets whose logs have something to read."""
    failed = [outcome.asset for outcome in result if outcome.state in ("failed", "rejected")]
    if result.ok or not (failed or result.interrupted):
        return []
    left = sum(outcome.state in ("failed", "rejected", "blocked", "cancelled") for outcome in result)
    what = f"{left} left; what is built stays" if left else "what is built stays"
    rows: list[tuple[Piece, ...]] = [(head("resume"), strong(f"assetflow retry {result.run_id}"), dim(what))]
    logged = [key for key in failed if key in with_log]
    raised = [key for key in failed if (error := result.outcomes[key].error) is not None and error.code == "AF160"]
    commands = [shell(["assetflow", "materialize", *arguments_of(key), "--pdb"]) for key in raised[:1]]
    commands += [shell(["assetflow", "logs", str(result.run_id), key]) for key in logged[:1]]
    lines = aligned(rows, gap=3, limit=80)
    if commands:  # a line of its own: it is longer than what the notes are aligned behind
        lines.append((" ", head("debug"), "   ", strong(" · ".join(commands))))
    return lines
