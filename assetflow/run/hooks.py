"""Hooks at work: one thread that calls them in order, beside the run and never in its way."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from assetflow.io.connection import turn
from assetflow.model.hooks import Event
from assetflow.model.keys import AssetKey, slot, split_slot
from assetflow.model.records import CheckOutcome
from assetflow.run.capture import with_file, writing_to
from assetflow.run.failure import step_error
from assetflow.run.steplog import log_path

if TYPE_CHECKING:
    from assetflow.load.live import LiveHook
    from assetflow.plan.planner import Plan
    from assetflow.plan.staleness import Reason
    from assetflow.run.outcome import NextTry, RunResult, StepOutcome
    from assetflow.run.resources import ResourcePool

PATIENCE_S = 5.0
"""How long the end of a run waits for hooks."""

FILE = "hooks.log"

_NAMES = {
    "materialized": "asset.materialized", "linked": "asset.materialized", "unchanged": "asset.unchanged",
    "failed": "asset.failed", "rejected": "asset.rejected", "blocked": "asset.blocked",
}  # fmt: skip
"""The event that each state of an outcome is; the other states are none."""


class HookSetup(Struct, frozen=True):
    """What hooks need to know of the project: its folder, that of all runs, and the function of each asset."""

    root: Path
    runs: Path
    nodes: Mapping[AssetKey, str]


class HookThread:
    """Hands events to hooks in a thread of its own, in order. An `Observer`; all its calls return at once.

    Only `close` waits, for at most `PATIENCE_S`. What went wrong is in `problems`, for the coordinator to tell.
    """

    def __init__(self, hooks: Sequence[LiveHook], setup: HookSetup, resources: ResourcePool) -> None:
        self._hooks, self._setup, self._resources = hooks, setup, resources
        self._waiting: SimpleQueue[tuple[LiveHook, Event] | None] = SimpleQueue()
        self._problems: deque[str] = deque()
        self._thread: threading.Thread | None = None
        self._at_work: LiveHook | None = None
        self._is_over = threading.Event()
        self._gives_up = False
        self._run_id, self._env = 0, ""

    def problems(self) -> Iterator[str]:
        """What went wrong since the last time this was asked."""
        while self._problems:
            yield self._problems.popleft()

    # -- what is seen

    def run_started(self, run_id: int, plan: Plan, workers: int) -> None:
        """`run.started`."""
        self._run_id, self._env = run_id, plan.env
        planned = len(plan.run) + len(plan.maybe) + len(plan.link)
        self._tell(self._event("run.started", f"run #{run_id} started: {planned} planned", "running"))

    def step_started(self, asset: AssetKey, reasons: tuple[Reason, ...]) -> None:
        """`asset.started`."""
        said = tuple(reason.text for reason in reasons)
        why = f": {said[0]}" if said else ""
        event = self._event("asset.started", f"{asset} started{why}", "running")
        self._tell(replace(event, asset=asset, reasons=said))

    def step_finished(self, outcome: StepOutcome) -> None:
        """The event of the outcome, and before it those of the checks that did not pass."""
        event = self._of(outcome)
        for check in outcome.checks:
            if not check.passed:
                name = "check.failed" if check.blocking else "check.warned"
                self._tell(replace(event, name=name, check=check, message=_about(check, outcome.asset)))
        if outcome.state in _NAMES:
            self._tell(replace(event, name=_NAMES[outcome.state]))

    def retrying(self, asset: AssetKey, again: NextTry) -> None:
        """`asset.retrying`."""
        if again.failed is not None:
            event = self._of(again.failed)
            message = f"{event.message}; {again.words}"
            self._tell(replace(event, name="asset.retrying", state="retrying", message=message))

    def run_finished(self, result: RunResult) -> None:
        """`run.finished`, and before it `run.failed` when it was not fine."""
        counts = ", ".join(f"{number} {state}" for state, number in result.counts.items())
        state = "cancelled" if result.interrupted else "ok" if result.ok else "failed"
        self._ended(state, counts, result.counts, result.seconds)

    def broke_off(self, error: BaseException) -> None:
        """`run.failed` and `run.finished` of a run that ended without a result."""
        self._ended("failed", f"{type(error).__name__}: {error}".partition("\n")[0])

    # -- the thread

    def close(self, patience_s: float | None = None) -> None:
        """Wait until all hooks have returned, but not for long; what is then still to be done is left undone."""
        if self._thread is None:
            return
        self._waiting.put(None)
        if not self._is_over.wait(PATIENCE_S if patience_s is None else patience_s):
            self._gives_up = True
            hook, left = self._at_work, max(0, self._waiting.qsize() - 1)
            late = f"hook {_named(hook)} did not finish in time" if hook is not None else "the hooks are late"
            self._problems.append(f"{late}{f'; {left} more calls of hooks were left out' if left else ''}")

    def _tell(self, event: Event) -> None:
        for hook in self._hooks:
            if event.name not in hook.events or (hook.assets is not None and event.asset not in hook.assets):
                continue
            self._waiting.put((hook, event))
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="assetflow-hooks", daemon=True)
                self._thread.start()

    def _serve(self) -> None:
        with ExitStack() as stack:
            try:
                stack.enter_context(writing_to(with_file(self._setup.runs / str(self._run_id) / FILE)))
            except OSError:  # hooks are called though their words cannot be kept
                stack.enter_context(writing_to(Path(os.devnull)))
            while (item := self._next()) is not None:
                self._at_work = item[0]
                self._call(*item)
                self._at_work = None
            for error in self._resources.close():
                self._problems.append(f"tear_down of a resource of hooks raised {type(error).__name__}: {error}")
        self._is_over.set()

    def _next(self) -> tuple[LiveHook, Event] | None:
        return None if self._gives_up else self._waiting.get()

    def _call(self, hook: LiveHook, event: Event) -> None:
        try:
            arguments: dict[str, object] = {}
            for binding in hook.bindings:
                if binding.resource_class is not None:
                    arguments[binding.parameter] = self._resources.get(binding.resource_class)
                else:
                    arguments[binding.parameter] = event
            with turn() if hook.shares_duckdb else nullcontext():
                hook.function(**arguments)
        except BaseException as error:  # noqa: BLE001 - user code may raise anything, SystemExit included
            failure = step_error(error, self._setup.root)
            _write(failure.text)
            said = f"{failure.type}: {failure.message}".partition("\n")[0]
            line = f" at {self._place(failure.file, failure.line)}" if failure.file else ""
            self._problems.append(f"hook {_named(hook)} raised {said}{line}, told of {event.name}")

    # -- events

    def _event(self, name: str, message: str, state: str) -> Event:
        return Event(name, self._run_id, self._env, time.time(), message, state=state)

    def _ended(
        self, state: str, what: str, counts: Mapping[str, int] | None = None, seconds: float | None = None
    ) -> None:
        message = f"run #{self._run_id} {state}{f': {what}' if what else ''}"
        event = replace(self._event("run.finished", message, state), counts=dict(counts or {}), seconds=seconds)
        if state != "ok":
            self._tell(replace(event, name="run.failed"))
        self._tell(event)

    def _of(self, outcome: StepOutcome) -> Event:
        """An event of an asset, still without its name."""
        error = outcome.error
        said = None if error is None else f"{error.type}: {error.message}" if error.code == "AF160" else error.message
        about = f"{', '.join(outcome.blocked_by)} failed" if outcome.blocked_by else said or outcome.message
        first = about.partition("\n")[0]
        log = log_path(self._setup.runs, self._run_id, self._node(outcome.asset), outcome.attempts)
        return replace(
            self._event("", f"{outcome.asset} {outcome.state}{f': {first}' if first else ''}", outcome.state),
            asset=outcome.asset, version=outcome.version, rows=outcome.rows, seconds=outcome.total_s,
            reasons=tuple(reason.text for reason in outcome.reasons), error=said,
            where=None if error is None or error.file is None else self._place(error.file, error.line),
            traceback="" if error is None else error.text, checks=outcome.checks, blocked_by=outcome.blocked_by,
            attempt=outcome.attempts, log=log if log.is_file() else None,
        )  # fmt: skip

    def _node(self, asset: AssetKey) -> str:
        """The name of the function that makes it, or of that for one partition."""
        key, partition = split_slot(asset)
        return slot(AssetKey(self._setup.nodes[key]), partition)

    def _place(self, file: str, line: int | None) -> str:
        path = Path(file)
        inside = path.relative_to(self._setup.root).as_posix() if path.is_relative_to(self._setup.root) else file
        return f"{inside}:{line}" if line else inside


def _named(hook: LiveHook) -> str:
    return f"`{hook.name}` ({hook.file}:{hook.line})"


def _about(check: CheckOutcome, asset: AssetKey) -> str:
    found = "failed" if check.blocking else "warns"
    return f"check `{check.name}` of {asset} {found}{f': {check.message}' if check.message else ''}"


def _write(text: str) -> None:
    """Add text to what hooks print, which is in their log."""
    sys.stdout.write(text if text.endswith("\n") else text + "\n")
