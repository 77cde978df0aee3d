"""What a run did: one outcome for each asset that was planned, and the result of the whole."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

from msgspec import Struct, field

from assetflow.errors import AssetFailed, AssetflowError, did_you_mean, error_classes
from assetflow.model.durations import words
from assetflow.model.keys import AssetKey, find_key
from assetflow.model.records import CheckOutcome, TraceInput
from assetflow.plan.planner import Plan
from assetflow.plan.staleness import Reason
from assetflow.plan.undecided import undecided_names
from assetflow.run.reports import Progressed

MADE = ("materialized", "unchanged", "linked")
"""States of outcomes that moved a head."""

FAILED = ("failed", "rejected")
"""States of outcomes that make a run fail. `blocked` follows from one of them."""


Debugger = Callable[[AssetKey, BaseException], None]
"""Called with an exception of the user's code and the asset that it failed, while its frames are still there."""


class StepError(Struct, frozen=True):
    """Why a step failed, without the exception itself, so that it can be stored and cross processes.

    `frame` holds line numbers and texts around the failing line of the user's code; `text` is the traceback from the
    user's first line on. `code` is an assetflow error code, AF160 for an exception of the user's code.
    """

    code: str
    type: str
    message: str
    file: str | None = None
    line: int | None = None
    function: str | None = None
    frame: tuple[tuple[int, str], ...] = ()
    facts: tuple[str, ...] = ()
    fix: str | None = None
    text: str = ""

    def to_json(self) -> dict[str, object]:
        """The error as JSON-able values."""
        return {
            "code": self.code, "type": self.type, "message": self.message, "file": self.file, "line": self.line,
            "function": self.function, "facts": list(self.facts), "fix": self.fix, "text": self.text,
        }  # fmt: skip

    def to_exception(self) -> AssetflowError:
        """An exception of the class that the code stands for."""
        cls = error_classes().get(self.code, AssetFailed)
        what = f"{self.type}: {self.message}" if cls is AssetFailed else self.message
        return cls(what, facts=self.facts, fix=self.fix)


class StepOutcome(Struct, frozen=True):
    """What happened to one asset in a run.

    state: materialized (a new version), unchanged (computed, same content), linked (an earlier result fits again),
    cut_off (not computed: the content above it did not change), skipped (`raise Skip`), failed, rejected (a blocking
    check), blocked (an upstream failed), cancelled (interrupted, or not started). `seconds` has load, compute, check,
    write, commit. `version` is what is current afterwards, `rejected` the version that a check refused, which is
    kept to be looked at.
    """

    asset: AssetKey
    state: str
    version: int | None = None
    rows: int | None = None
    size_bytes: int | None = None
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    reasons: tuple[Reason, ...] = ()
    error: StepError | None = None
    checks: tuple[CheckOutcome, ...] = ()
    blocked_by: tuple[AssetKey, ...] = ()
    message: str = ""
    attempts: int = 1
    inputs: tuple[TraceInput, ...] = ()
    rejected: int | None = None
    input_rows: Mapping[AssetKey, int] = field(default_factory=dict[AssetKey, int])
    """Rows of the versions that were read, as far as they are tables."""

    @property
    def inputs_read(self) -> list[str]:
        """What was read, as `orders@30 · 9,214 rows`."""
        return inputs_words(self.inputs, self.input_rows)

    @property
    def total_s(self) -> float:
        """Seconds from the first input read to the commit."""
        return sum(self.seconds.values())

    def to_json(self) -> dict[str, object]:
        """The outcome as JSON-able values."""
        return {
            "asset": self.asset, "state": self.state, "version": self.version, "rows": self.rows,
            "bytes": self.size_bytes, "seconds": dict(self.seconds), "reasons": [r.to_json() for r in self.reasons],
            "error": None if self.error is None else self.error.to_json(),
            "checks": [{"name": c.name, "passed": c.passed, "blocking": c.blocking, "message": c.message}
                       for c in self.checks],
            "rejected_version": self.rejected, "blocked_by": list(self.blocked_by), "message": self.message,
            "attempts": self.attempts,
            "inputs": [{"parameter": i.parameter, "asset": i.upstream, "version": i.version_number,
                        "rows": self.input_rows.get(i.upstream)} for i in self.inputs],
        }  # fmt: skip


class RunResult(Struct, frozen=True):
    """What `materialize` did. `run_id` is None when there was nothing to do and so no run.

    `current` counts assets that were current already; `saved_s` is how long everything that did not run took last time.
    `signal_number` is that of the signal that interrupted the run, or 0.
    """

    run_id: int | None
    env: str
    outcomes: Mapping[AssetKey, StepOutcome]
    current: int
    seconds: float
    saved_s: float = 0.0
    interrupted: bool = False
    signal_number: int = 0
    pinned: tuple[str, ...] = ()
    """The assets that stay where they are pinned, as `orders@3`, when there was nothing to do."""
    timed_out: bool = False
    """Whether it was interrupted because the time that it was given was over."""
    undecided: tuple[str, ...] = ()
    """Partitions that are left until somebody says whether an edit is for them, as `net[2026-01-01..2026-01-31]`."""

    @property
    def ok(self) -> bool:
        """Whether nothing failed, was blocked or was interrupted."""
        return not self.interrupted and all(o.state not in (*FAILED, "blocked") for o in self.outcomes.values())

    @property
    def counts(self) -> Mapping[str, int]:
        """How many assets ended in each state."""
        return dict(Counter(outcome.state for outcome in self.outcomes.values()))

    def __getitem__(self, key: str) -> StepOutcome:
        found = find_key(key, self.outcomes)
        if found is None:
            hint = did_you_mean(key, self.outcomes)
            raise KeyError(f"{key} was not part of this run" + (f"; {hint}" if hint else ""))
        return self.outcomes[found]

    def __iter__(self) -> Iterator[StepOutcome]:
        return iter(self.outcomes.values())

    def raise_for_status(self) -> None:
        """Raise the error of the first asset that failed.

        Raises:
            AssetflowError: the run was not ok; `AssetFailed` where the user's code raised.
        """
        for outcome in self:
            if outcome.error is not None:
                raise outcome.error.to_exception()
        if not self.ok:
            raise AssetFailed("the run was interrupted" if self.interrupted else "some assets were blocked")

    def to_json(self) -> dict[str, object]:
        """The result as JSON-able values."""
        return {
            "run": self.run_id, "env": self.env, "ok": self.ok, "interrupted": self.interrupted,
            "timed_out": self.timed_out, "undecided": list(self.undecided),
            "current": self.current, "seconds": self.seconds, "saved_seconds": self.saved_s,
            "counts": dict(self.counts), "outcomes": [outcome.to_json() for outcome in self],
        }  # fmt: skip

    def _repr_html_(self) -> str:
        from assetflow.run.notebook import result_html

        return result_html(self)


class NextTry(Struct, frozen=True):
    """A failed asset is tried again: as attempt `number` of at most `of`, in `wait_s` seconds, because of `error`.

    `failed` is what became of the attempt before.
    """

    number: int
    of: int
    wait_s: float
    error: StepError | None = None
    failed: StepOutcome | None = None

    @property
    def words(self) -> str:
        """`attempt 2 of 4 in 3.1 s`."""
        return f"attempt {self.number} of {self.of} {f'in {words(self.wait_s)}' if self.wait_s >= 0.05 else 'at once'}"


class Observer(Protocol):
    """Who watches a run. All calls come from the thread that coordinates it."""

    def queued(self, behind: str) -> None:
        """The run does not begin yet: it waits for another one in this environment, `run #41 (pid 7, …)`."""
        ...

    def run_started(self, run_id: int, plan: Plan, workers: int) -> None:
        """The run exists and begins."""
        ...

    def step_started(self, asset: AssetKey, reasons: tuple[Reason, ...]) -> None:
        """An asset is being computed."""
        ...

    def retrying(self, asset: AssetKey, again: NextTry) -> None:
        """An attempt at an asset failed, and there will be another one."""
        ...

    def waiting(self, asset: AssetKey, reason: str) -> None:
        """An asset that could start waits: `for pool warehouse (run #41)`. Told again when the reason is another."""
        ...

    def progressed(self, asset: AssetKey, progress: Progressed) -> None:
        """An asset that is being computed said how far it is: at most about ten times a second."""
        ...

    def step_finished(self, outcome: StepOutcome) -> None:
        """An asset has reached its outcome."""
        ...

    def tick(self) -> None:
        """Time passes: about ten times a second while assets are being computed."""
        ...

    def stopping(self, running: int) -> None:
        """The run was interrupted: so many assets that are being computed finish, and no new ones start."""
        ...

    def warn(self, text: str) -> None:
        """Something that does not make the run fail went wrong."""
        ...

    def run_finished(self, result: RunResult) -> None:
        """The run has ended."""
        ...


class SilentObserver:
    """Watches and says nothing."""

    def queued(self, behind: str) -> None:
        """Nothing."""

    def run_started(self, run_id: int, plan: Plan, workers: int) -> None:
        """Nothing."""

    def step_started(self, asset: AssetKey, reasons: tuple[Reason, ...]) -> None:
        """Nothing."""

    def retrying(self, asset: AssetKey, again: NextTry) -> None:
        """Nothing."""

    def waiting(self, asset: AssetKey, reason: str) -> None:
        """Nothing."""

    def progressed(self, asset: AssetKey, progress: Progressed) -> None:
        """Nothing."""

    def step_finished(self, outcome: StepOutcome) -> None:
        """Nothing."""

    def tick(self) -> None:
        """Nothing."""

    def stopping(self, running: int) -> None:
        """Nothing."""

    def warn(self, text: str) -> None:
        """Nothing."""

    def run_finished(self, result: RunResult) -> None:
        """Nothing."""


def inputs_words(inputs: Iterable[TraceInput], rows: Mapping[AssetKey, int]) -> list[str]:
    """Each input with its version, and the rows of that as far as they are known: `orders@30 · 9,214 rows`."""
    found: list[str] = []
    for one in inputs:
        version = f"@{one.version_number}" if one.version_number is not None else ""
        count = rows.get(one.upstream)
        amount = "" if count is None else f" · {count:,} row{'' if count == 1 else 's'}"
        found.append(f"{one.upstream}{version}{amount}")
    return found


def is_quiet(plan: Plan) -> bool:
    """Whether there is nothing to do and nothing to record."""
    return plan.is_empty and not plan.changed_sources and all(step.head is not None for step in plan)


def nothing_to_do(plan: Plan, began: float) -> RunResult:
    """The result of a `materialize` that found everything current; `began` is monotonic."""
    pinned = tuple(f"{step.asset}@{step.head.version.number}" for step in plan.pinned if step.head is not None)
    return RunResult(
        None, plan.env, {}, plan.current_count, time.monotonic() - began, plan.saved_s, pinned=pinned,
        undecided=undecided_names(plan),
    )  # fmt: skip
