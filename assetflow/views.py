"""What the verbs of a project answer: values that screens, JSON and notebooks show."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from msgspec import Struct, field
from msgspec.structs import replace

from assetflow.model.keys import UNPARTITIONED, AssetKey, split_slot
from assetflow.model.records import Attempt, CheckOutcome, Head, Run
from assetflow.model.spec import AssetSpec
from assetflow.plan.graph import AssetGraph
from assetflow.plan.planner import Plan, Step
from assetflow.plan.staleness import STAYS, Action, Reason
from assetflow.plan.tried import FAILED, is_of_another

if TYPE_CHECKING:
    from assetflow.catalog.catalog import Catalog
    from assetflow.catalog.slots import SlotTotals
    from assetflow.io.sql import TableRef
    from assetflow.plan.freshness import FreshnessState
    from assetflow.plan.lateness import LateCause, LateRoot
    from assetflow.plan.modifiers import Modifier


class AssetStatus(Struct, frozen=True):
    """Where one asset stands on both axes: content (`state`) and time (`freshness`).

    state: missing, stale, maybe, reusable, current, pinned, undecided, failed, blocked, running, or source. It is one
    word for both what the asset needs and what became of the last attempt, if that tried what the asset is now;
    `content` is the first of these alone. `late` is why it is overdue, or has a deadline and no data. Of an asset with
    partitions it is what most needs to be looked at; `parts` counts them by their states, and `newest` is the newest
    head, with the rows and bytes of all together.
    """

    spec: AssetSpec
    state: str
    step: Step
    attempt: Attempt | None
    freshness: FreshnessState
    late: LateCause | None = None
    parts: Mapping[str, int] = field(default_factory=dict[str, int])
    newest: Head | None = None

    @property
    def head(self) -> Head | None:
        """What is current."""
        return self.newest if self.parts else self.step.head

    @property
    def content(self) -> str:
        """What the asset needs, whatever happened last: a state without failed and running; blocked if it cannot be."""
        return content_word(self.step)

    @property
    def has_failed_before(self) -> bool:
        """Whether the last attempt failed with other code or config than that of now, and nothing was made since."""
        attempt = self.attempt
        if attempt is None or self.state not in ("missing", "stale", "maybe", "reusable"):
            return False
        return is_of_another(self.step.spec, attempt) and _is_about_now(self.step, attempt)

    @property
    def modifiers(self) -> tuple[Modifier, ...]:
        """What is to be said of the asset beside its content; `failed` and `blocked` are of the last attempt."""
        from assetflow.plan.modifiers import Modifier

        last: list[Modifier] = []
        if self.state in ("failed", "blocked") and self.attempt is not None and self.content != "blocked":
            last.append(Modifier(self.state, f"in run #{self.attempt.run_id}"))
        elif self.has_failed_before and self.attempt is not None:
            last.append(Modifier("failed", f"in run #{self.attempt.run_id}, as it was then"))
        return (*last, *self.step.modifiers)


class Status(Struct, frozen=True):
    """The state of the selected assets, in topological order.

    `others` are the environments of which something is recorded, where nothing is of this one.
    """

    env: str
    rows: tuple[AssetStatus, ...]
    running: Run | None
    last_run: Run | None
    others: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[AssetStatus]:
        return iter(self.rows)

    def __getitem__(self, key: str) -> AssetStatus:
        for row in self.rows:
            if row.spec.key == key:
                return row
        raise KeyError(key)

    @property
    def counts(self) -> Mapping[str, int]:
        """How many assets (sources too) are in each state."""
        return dict(Counter(row.state for row in self.rows))

    @property
    def overdue(self) -> tuple[AssetKey, ...]:
        """The assets whose data is older than their policy allows, the latest first."""
        from assetflow.plan.freshness import worst

        return tuple(worst({row.spec.key: row.freshness for row in self.rows}))

    @property
    def late_roots(self) -> tuple[LateRoot, ...]:
        """What makes assets late, with the assets that it explains; what explains most comes first."""
        from assetflow.plan.lateness import late_roots

        return late_roots({row.spec.key: row.late for row in self.rows if row.late is not None})


class HistoryEntry(Struct, frozen=True):
    """One move of an asset's head. `head.verified_at` is when; `schema_change` has lines such as `+ currency`."""

    head: Head
    rows_before: int | None
    schema_change: tuple[str, ...]
    reason: str
    by: str
    is_current: bool

    @property
    def seconds(self) -> float:
        """How long the computation took; for a link, that of the result that was linked."""
        return self.head.trace.finished_at - self.head.trace.started_at

    @property
    def kind(self) -> str:
        """What moved the head: `run`, `link` or `observe` of a run, or else `rollback` or `pin`."""
        return self.head.cause.partition(" ")[0] or self.head.trace.kind


class AssetView(Struct, frozen=True):
    """All about one asset."""

    status: AssetStatus
    downstream: tuple[AssetKey, ...]
    all_downstream: int
    checks: tuple[CheckOutcome, ...]
    history: tuple[HistoryEntry, ...]
    source_text: str | None


class Preview(Struct, frozen=True):
    """Some rows of a version.

    `rows` are plain Python values in the order of `names`; `total` counts all rows of the version; `table` is the
    `pyarrow.Table` of the rows that are shown.
    """

    key: AssetKey
    version: int | None
    names: tuple[str, ...]
    types: tuple[str, ...]
    rows: tuple[tuple[object, ...], ...]
    total: int | None
    table: Any

    def _repr_html_(self) -> str:
        from assetflow.io.sql import rows_html

        return rows_html(self.names, self.types, self.rows, self.total)


class LogFile(Struct, frozen=True):
    """The log of one attempt: what the function printed and logged, and its traceback; without any there is no file.

    `partition` is what was made: a key, or `2026-01-01..2026-01-10` of a call for several; `env` that of the run.
    """

    run_id: int
    asset: AssetKey
    attempt: int
    path: Path
    text: str
    partition: str = UNPARTITIONED
    env: str = ""


_WORST = (
    "failed", "running", "blocked", "stale", "maybe", "reusable", "missing", "undecided", "pinned", "current", "source",
)  # fmt: skip


def rolled_up(
    rows: Sequence[AssetStatus],
    specs: Mapping[AssetKey, AssetSpec],
    current: Mapping[AssetKey, int],
    totals: Mapping[AssetKey, SlotTotals],
) -> Iterator[AssetStatus]:
    """One row for each asset: those of its partitions, which stand together or apart, as one.

    `current` counts those that have no row, and `totals` has the sums over all that are there.
    """
    together: dict[AssetKey, list[AssetStatus]] = {}
    for row in rows:
        together.setdefault(split_slot(row.spec.key)[0], []).append(row)
    for key, spec in specs.items():
        found = together.get(key, [])
        if spec.partitions is None:
            yield from found
            continue
        if not found:
            yield _of_no_partition(spec)
            continue
        first = min(found, key=lambda row: (_WORST.index(row.state), not row.has_failed_before))
        heads = [row.head for row in found if row.head is not None]
        newest = max(heads, key=lambda head: head.trace.finished_at, default=None)
        if newest is not None and key in totals:
            whole = replace(newest.version, rows=totals[key].rows, size_bytes=totals[key].size_bytes)
            newest = replace(newest, version=whole)
        youngest = max(found, key=lambda row: row.freshness.as_of or 0.0)
        parts: Counter[str] = Counter()
        for row in found:
            parts[row.state] += row.step.count
        parts["current"] += current.get(key, 0)
        yield AssetStatus(
            spec, first.state, replace(first.step, spec=spec), first.attempt, youngest.freshness, youngest.late,
            {state: count for state, count in parts.items() if count},
            newest,
        )  # fmt: skip


def _of_no_partition(spec: AssetSpec) -> AssetStatus:
    """The row of an asset of which no partition exists yet."""
    from assetflow.plan.freshness import FreshnessState, Timeliness

    reason = Reason("never_materialized", "no partition exists yet")
    step = Step(spec, UNPARTITIONED, Action.CURRENT, (reason,), None)
    return AssetStatus(spec, "missing", step, None, FreshnessState(Timeliness.UNKNOWN), None, {}, None)


def content_word(step: Step) -> str:
    """The word of the content axis for what an asset needs, whatever became of the last attempt."""
    if step.action is Action.BLOCKED:
        return "blocked"
    if step.spec.is_source:
        return "source"
    if step.action in STAYS:
        return str(step.action)
    if step.head is None:
        return "missing"
    return {Action.MAYBE: "maybe", Action.LINK: "reusable"}.get(step.action, "stale")


def content_states(steps: Iterable[Step], attempts: Mapping[tuple[AssetKey, str], Attempt]) -> dict[AssetKey, str]:
    """The state of each planned asset, from what it needs and what became of its last attempt.

    The steps come in topological order: an asset stays blocked only as long as what blocked it has not been mended.
    """
    states: dict[AssetKey, str] = {}
    seen: dict[AssetKey, Step] = {}

    def blocks(key: AssetKey) -> bool:
        """Whether what blocked an asset still does: it fails, has no version because it failed, or was not there."""
        last = attempts.get(split_slot(key))
        if states.get(key) in ("failed", "blocked"):
            return True
        if states.get(key) == "missing":
            return last is not None and last.state in ("skipped", *FAILED)
        step = seen.get(key)  # a source that only a function can ask is what it was when it was asked last
        is_asked = step is not None and step.spec.source is not None and step.spec.source.has_token
        return (
            is_asked and step is not None and last is not None and last.state == "failed" and _is_about_now(step, last)
        )

    for step in steps:
        attempt = attempts.get(split_slot(step.asset))
        seen[step.asset] = step
        states[step.asset] = _state(step, attempt, blocks)
    return states


def _state(step: Step, attempt: Attempt | None, blocks: Callable[[AssetKey], bool]) -> str:
    word = content_word(step)
    if attempt is None or word in ("source", "current", "pinned"):
        return word
    if attempt.state == "running":
        return "running"
    if word == "blocked" or not _is_about_now(step, attempt):
        return word
    if attempt.state in FAILED:
        return word if is_of_another(step.spec, attempt) else "failed"
    return "blocked" if attempt.state == "blocked" and any(map(blocks, attempt.blocked_by)) else word


def _is_about_now(step: Step, attempt: Attempt) -> bool:
    """Whether what came of the last attempt still says something about what the asset needs now."""
    if step.head is None:
        return True
    if attempt.run_id < _moved_by(step.head):
        return False  # the head has moved since
    # An edit that was taken back made the asset current again: that its bytes are gone by now is another matter.
    present = {reason.code for reason in step.reasons} - {"failed_last"}
    return present != {"data_missing"} or any(reason.get("code") == "data_missing" for reason in attempt.reasons)


def _moved_by(head: Head) -> int:
    """The run that made the head's trace, or the last one before somebody accepted it. Runs are numbered in order."""
    after = head.trace.metadata.get("assetflow/after_run")
    return head.trace.run_id or (after if isinstance(after, int) else 0)


def schema_change(before: Head | None, after: Head) -> tuple[str, ...]:
    """How the columns of a version differ from those of the one before."""
    if before is None or before.version.rows is None or after.version.rows is None:
        return ()  # there is no version before, or one of the two is no table
    old, new = before.version.schema, after.version.schema
    lines = [f"+ {name}" for name in new if name not in old]
    lines += [f"- {name}" for name in old if name not in new]
    lines += [f"{name}: {old[name]} → {new[name]}" for name in new if name in old and old[name] != new[name]]
    if [name for name in old if name in new] != [name for name in new if name in old]:
        lines.append("re-ordered")
    return tuple(lines)


def history_entries(
    heads: Sequence[Head], attempts: Mapping[tuple[int, str], Attempt], runs: Mapping[int, Run], limit: int
) -> tuple[HistoryEntry, ...]:
    """The newest `limit` moves of the heads of an asset.

    `heads` has one more where there is one; `attempts` are by run and partition, `runs` by run.
    """
    entries: list[HistoryEntry] = []
    before_of: dict[int, Head] = {}
    later: dict[str, int] = {}
    for place, head in enumerate(heads):
        if (newer := later.get(head.trace.partition)) is not None:
            before_of[newer] = head
        later[head.trace.partition] = place
    newest = {head.trace.partition: place for place, head in reversed([*enumerate(heads)])}
    for place, head in enumerate(heads[:limit]):
        before = before_of.get(place)
        run_id = head.trace.run_id or 0
        run = runs.get(run_id)
        entries.append(
            HistoryEntry(
                head,
                None if before is None else before.version.rows,
                schema_change(before, head),
                reason_code(attempts.get((run_id, head.trace.partition)), head),
                _author(run) if run is not None else _mover(head),
                newest[head.trace.partition] == place,
            )
        )
    return tuple(entries)


def _author(run: Run) -> str:
    """`ann@laptop`, or for a run that nobody started by hand `schedule nightly`."""
    return run.trigger if run.trigger.startswith("schedule ") else f"{run.user}@{run.host}"


Expression = str | Iterable[str] | None
"""A selection, or several that are meant together; None and nothing mean everything."""


def selection_text(expression: Expression) -> str:
    """One selection for what was given."""
    if expression is None or isinstance(expression, str):
        return expression or ""
    return " or ".join(f"({one})" for one in expression)


class Tables(Mapping[str, "TableRef"]):
    """The tables that a query can name: every asset by its key, and the versions that the text has in quotes."""

    def __init__(self, graph: AssetGraph, text: str, make: Callable[[str], TableRef]) -> None:
        versions = [name for name in _QUOTED_VERSION.findall(text) if graph.named(name.partition("@")[0])]
        self._names = [*graph.order, *versions]
        self._make = make

    def __getitem__(self, name: str) -> TableRef:
        return self._make(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


_QUOTED_VERSION = re.compile(r'"([A-Za-z_][A-Za-z0-9_.]*@[^"\s][^"]*)"')


class Facts:
    """What a selection may ask about a project. `rows` is called at most once, and only when a state is asked for."""

    def __init__(self, saved: Mapping[str, str], rows: Callable[[], list[AssetStatus]]) -> None:
        self._saved = saved
        self._make_rows = rows
        self._rows: list[AssetStatus] | None = None

    def _statuses(self) -> list[AssetStatus]:
        if self._rows is None:
            self._rows = self._make_rows()
        return self._rows

    def state(self) -> Mapping[AssetKey, frozenset[str]]:
        """The words of `is:` for each asset."""
        return {row.spec.key: frozenset(_words(row)) for row in self._statuses()}

    def reasons(self) -> Mapping[AssetKey, frozenset[str]]:
        """The codes of the reasons for which each asset would run."""
        return {row.spec.key: frozenset(reason.code for reason in row.step.reasons) for row in self._statuses()}

    def saved(self) -> Mapping[str, str]:
        """The saved selections by name."""
        return self._saved

    def last(self) -> Mapping[AssetKey, str]:
        """The state of each asset's last attempt."""
        return {row.spec.key: row.attempt.state for row in self._statuses() if row.attempt is not None}


def _words(row: AssetStatus) -> list[str]:
    found = [row.state, str(row.freshness.timeliness)]
    # A failed or blocked asset is also what it would be without its last attempt: it is missing or stale.
    if row.step.pin is not None and row.state != "pinned":
        found.append("pinned")
    if row.has_failed_before:  # what was edited to mend it is still what is to be tried again
        found.append("failed")
    if row.state in ("failed", "blocked", "running", "reusable") and not row.spec.is_source:
        found.append("missing" if row.head is None else "stale")
    return found


def with_failures(plan: Plan, attempts: Mapping[tuple[AssetKey, str], Attempt]) -> Plan:
    """The plan with `failed_last` among the reasons of what failed when it was last tried."""
    steps = dict(plan.steps)
    for key, step in plan.steps.items():
        attempt = attempts.get(split_slot(key))
        if step.action is not Action.RUN or attempt is None or attempt.state not in FAILED:
            continue
        if _is_about_now(step, attempt):
            message = str((attempt.error or {}).get("message", "")).partition("\n")[0]
            word = "died" if attempt.state == "died" else "failed"
            text = f"{word} in run #{attempt.run_id}" + (f": {message}" if message else "")
            reason = Reason("failed_last", text, {"run": attempt.run_id, "message": message}, is_root=False)
            steps[key] = replace(step, reasons=(*step.reasons, reason))
    return replace(plan, steps=steps)


def _mover(head: Head) -> str:
    """Who moved a head without a run; the cause ends with it, and with the reason that was given."""
    found = re.match(r"\w+(?: \w+)?(?: to v\d+)? by (.+?)(?:: |$)", head.cause)
    return found[1] if found is not None else ""


def reason_code(attempt: Attempt | None, head: Head) -> str:
    """The first reason for which a head moved, from the attempt that moved it, or what else did."""
    if head.cause:
        return head.cause
    if head.trace.kind == "observe":
        return "observed"
    codes = [str(reason.get("code", "")) for reason in attempt.reasons] if attempt is not None else []
    prefix = "linked: " if head.trace.kind == "link" else ""
    return prefix + (codes[0] if codes else "")


def source_text(file: Path, line: int) -> str | None:
    """The text of the declaration that begins at this line, up to the end of its indented block."""
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # the file may have gone since the manifest; the screen then has no code to show
        return None
    block = lines[max(0, line - 1) :]
    end = next(
        (n for n, text in enumerate(block) if n and text and not text[0].isspace() and _starts(text, block[:n])), None
    )
    return "\n".join(block[:end]).rstrip()


def _starts(text: str, before: list[str]) -> bool:
    """Whether an unindented line begins something new, rather than the `def` below its decorators."""
    has_definition = any(one.startswith(("def ", "async def ", "class ")) for one in before)
    is_simple = not before[0].startswith(("@", "def ", "async def "))
    return (has_definition or is_simple) and not text.startswith((")", "]", "}"))


def counted(run: Run, catalog: Catalog) -> Run:
    """The run; one that died could not count what it had committed, so that is done here."""
    if run.state != "died" or run.counts:
        return run
    last = {(one.asset, one.partition): one.state for one in catalog.attempts(run.run_id)}
    return replace(run, counts=Counter("died" if state == "running" else state for state in last.values()))
