"""Who watches a run for the screen: live lines on a terminal, one line for each event elsewhere, or JSON lines."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

from assetflow.cli.render_run import Running, live_lines, outcome_line
from assetflow.cli.table import jsonable
from assetflow.cli.text import cells
from assetflow.run.events import EventStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from assetflow.cli.render import LiveLines, Screen
    from assetflow.cli.render_waiting import Waiting
    from assetflow.model.keys import AssetKey
    from assetflow.plan.planner import Plan
    from assetflow.plan.staleness import Reason
    from assetflow.run.outcome import NextTry, RunResult, StepOutcome
    from assetflow.run.reports import Progressed

HEARTBEAT_S = 30.0
_FRAME_S = 0.08  # a terminal is drawn at most about twelve times a second

_WITH_VERSION = ("materialized", "unchanged", "linked", "cut_off", "skipped")
"""States whose version is what the step gave; the others leave an earlier one standing."""


class Watcher:
    """Remembers the plan and says nothing: `--progress=none` and `summary`; the others build on it."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.plan: Plan | None = None
        self.run_id = 0

    def queued(self, behind: str) -> None:
        """Write what is waited for, also where nothing else is written."""
        self.screen.note((f"waiting for {behind}",))

    def run_started(self, run_id: int, plan: Plan, workers: int) -> None:
        """Remember the plan."""
        self.run_id, self.plan = run_id, plan

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

    def run_finished(self, result: RunResult) -> None:
        """Nothing."""

    def stopping(self, running: int) -> None:
        """Write it, also where nothing else is written: who pressed ctrl-c waits for an answer."""
        self.screen.note((stopping_words(running),))

    def warn(self, text: str) -> None:
        """Write the warning."""
        self.screen.warning(text)

    def close(self) -> None:
        """Leave the screen as a finished run leaves it, also after an exception."""


class PlainWatcher(Watcher):
    """One line for each event on stderr, and a sign of life every 30 seconds."""

    def __init__(self, screen: Screen, clock: Callable[[], float] | None = None) -> None:
        super().__init__(screen)
        self._clock = clock or time.time
        self._running: dict[AssetKey, float] = {}
        self._progress: dict[AssetKey, Progressed] = {}
        self._last = 0.0

    def run_started(self, run_id: int, plan: Plan, workers: int) -> None:
        """Write how much is planned."""
        super().run_started(run_id, plan, workers)
        planned = len(plan.run) + len(plan.maybe) + len(plan.link)
        self._say("start", planned=planned, current=plan.current_count, workers=workers, env=plan.env)

    def step_started(self, asset: AssetKey, reasons: tuple[Reason, ...]) -> None:
        """Remember since when it runs."""
        self._running[asset] = self._clock()
        self._progress.pop(asset, None)

    def progressed(self, asset: AssetKey, progress: Progressed) -> None:
        """Remember it for the next sign of life."""
        self._progress[asset] = progress

    def retrying(self, asset: AssetKey, again: NextTry) -> None:
        """Write what failed and when it is tried again."""
        self._running.pop(asset, None)
        facts: dict[str, object] = {"attempt": f"{again.number}/{again.of}", "in_secs": f"{again.wait_s:.1f}"}
        if again.error is not None:
            facts["error"] = f"{again.error.type}: {again.error.message}".partition("\n")[0]
        self._say("", asset=asset, status="retrying", **facts)

    def waiting(self, asset: AssetKey, reason: str) -> None:
        """Write what it waits for."""
        self._say("", asset=asset, status="waiting", reason=reason)

    def step_finished(self, outcome: StepOutcome) -> None:
        """Write the outcome."""
        self._running.pop(outcome.asset, None)
        facts: dict[str, object] = {"asset": outcome.asset, "status": outcome.state}
        if outcome.version is not None and outcome.state in _WITH_VERSION:
            facts["version"] = f"v{outcome.version}"
        facts |= {"rows": outcome.rows, "bytes": outcome.size_bytes}
        if outcome.seconds:
            facts["secs"] = f"{outcome.total_s:.1f}"
        if outcome.reasons:
            facts["reason"] = outcome.reasons[0].code
        if outcome.blocked_by:
            facts["blocked_by"] = ",".join(outcome.blocked_by)
        if outcome.error is not None:
            facts["error"] = f"{outcome.error.type}: {outcome.error.message}".partition("\n")[0]
        self._say("", **facts)

    def tick(self) -> None:
        """Write what runs, when nothing was written for a while: CI systems kill jobs that are silent."""
        now = self._clock()
        if self._running and now - self._last >= HEARTBEAT_S:
            for asset, since in self._running.items():
                self._say("", asset=asset, status="running", secs=f"{now - since:.1f}", **self._how_far(asset))

    def _how_far(self, asset: AssetKey) -> dict[str, object]:
        told = self._progress.get(asset)
        if told is None:
            return {}
        done = {"done": f"{told.done:.10g}"} if told.share is None else {"progress": f"{int(told.share * 100)}%"}
        return {**done, "message": told.message or None}

    def stopping(self, running: int) -> None:
        """Write how many assets are waited for."""
        self._say("stopping", running=running, note=stopping_words(running))

    def run_finished(self, result: RunResult) -> None:
        """Write the counts."""
        facts: dict[str, object] = {"ok": str(result.ok).lower(), **result.counts, "current": result.current}
        self._say("end", **facts, secs=f"{result.seconds:.1f}")

    def _say(self, word: str, /, **facts: object) -> None:
        now = self._last = self._clock()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        pairs = [f"{name}={_word(value)}" for name, value in facts.items() if value is not None]
        self.screen.note((" ".join([stamp, f"run={self.run_id}", *([word] if word else []), *pairs]),))


def _word(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if " " in text or '"' in text or not text else text


class JsonWatcher(Watcher):
    """One JSON object for each event on stdout; `seq` has no gaps. Warnings are on stderr as well."""

    def __init__(self, screen: Screen, clock: Callable[[], float] | None = None) -> None:
        super().__init__(screen)
        self._events = EventStream(lambda event: screen.event(json.dumps(jsonable(event))), clock)

    def run_started(self, run_id: int, plan: Plan, workers: int) -> None:
        """Write the plan's counts."""
        super().run_started(run_id, plan, workers)
        self._events.run_started(run_id, plan, workers)

    def step_started(self, asset: AssetKey, reasons: tuple[Reason, ...]) -> None:
        """Write which asset began, and why."""
        self._events.step_started(asset, reasons)

    def retrying(self, asset: AssetKey, again: NextTry) -> None:
        """Write what failed and when it is tried again."""
        self._events.retrying(asset, again)

    def waiting(self, asset: AssetKey, reason: str) -> None:
        """Write what it waits for."""
        self._events.waiting(asset, reason)

    def progressed(self, asset: AssetKey, progress: Progressed) -> None:
        """Write how far it is."""
        self._events.progressed(asset, progress)

    def step_finished(self, outcome: StepOutcome) -> None:
        """Write the outcome."""
        self._events.step_finished(outcome)

    def stopping(self, running: int) -> None:
        """Write how many assets are waited for."""
        self._events.stopping(running)

    def warn(self, text: str) -> None:
        """Write the warning."""
        super().warn(text)
        self._events.warn(text)

    def run_finished(self, result: RunResult) -> None:
        """Write the counts."""
        self._events.run_finished(result)

    def nothing_to_do(self, result: RunResult) -> None:
        """Write that there was nothing to do."""
        self._events.nothing_to_do(result)


class LiveWatcher(Watcher):
    """Finished assets as lines that stay, and below them what is running, on a terminal."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(screen)
        self._live: LiveLines | None = None
        self._running: dict[AssetKey, float] = {}
        self._waiting: dict[AssetKey, Waiting] = {}
        self._progress: dict[AssetKey, Progressed] = {}
        self._done = 0
        self._states: dict[AssetKey, str] = {}
        self._total = 0
        self._began = time.monotonic()
        self._wide = 24
        self._drawn = 0.0

    def run_started(self, run_id: int, plan: Plan, workers: int) -> None:
        """Write the title and begin to draw."""
        super().run_started(run_id, plan, workers)
        planned = (*plan.run, *plan.maybe, *plan.link)
        self._total = len(planned) + len(plan.blocked)
        self._wide = min(max((cells(step.asset) for step in planned), default=24), 40)
        self.screen.note(
            (f" run #{run_id} · env {plan.env} · {len(planned)} planned · {workers} workers · ctrl-c stops it",)
        )
        self._live = self.screen.live()
        self._live.__enter__()
        self._draw()

    def step_started(self, asset: AssetKey, reasons: tuple[Reason, ...]) -> None:
        """Add it to what is running."""
        self._waiting.pop(asset, None)
        self._running[asset] = time.monotonic()
        self._progress.pop(asset, None)
        self._draw()

    def progressed(self, asset: AssetKey, progress: Progressed) -> None:
        """Show it in the line of the asset."""
        self._progress[asset] = progress
        self._draw()

    def retrying(self, asset: AssetKey, again: NextTry) -> None:
        """Show below what is running when it is tried again."""
        from assetflow.cli.render_waiting import Waiting

        self._running.pop(asset, None)
        self._waiting[asset] = Waiting(asset, until=time.monotonic() + again.wait_s, again=again)
        self._draw(at_once=True)

    def waiting(self, asset: AssetKey, reason: str) -> None:
        """Show below what is running what it waits for."""
        from assetflow.cli.render_waiting import Waiting

        self._waiting[asset] = Waiting(asset, reason)
        self._draw(at_once=True)

    def step_finished(self, outcome: StepOutcome) -> None:
        """Write its line; the block of a failure comes at the end, with the answer."""
        self._running.pop(outcome.asset, None)
        self._waiting.pop(outcome.asset, None)
        self._done += 1
        self._states[outcome.asset] = outcome.state
        # The block first: it is drawn again below each line that is written above it.
        self._draw(at_once=True)
        if self._live is not None:
            self._live.above([outcome_line(outcome, self.plan, self._wide, self._states)])

    def tick(self) -> None:
        """Draw anew."""
        self._draw()

    def run_finished(self, result: RunResult) -> None:
        """Stop drawing."""
        self.close()

    def stopping(self, running: int) -> None:
        """Write it above what is running."""
        if self._live is None:
            super().stopping(running)
        else:
            self._live.above([(f" {stopping_words(running)}",)])

    def warn(self, text: str) -> None:
        """Write the warning above what is running."""
        if self._live is None:
            super().warn(text)
        else:
            self.screen.warnings.append(text)
            self._live.above([(f"warning: {text}",)])

    def close(self) -> None:
        """Take the block away."""
        if self._live is not None:
            self._live.__exit__()
            self._live = None

    def _draw(self, *, at_once: bool = False) -> None:
        now = time.monotonic()
        if self._live is None or (now - self._drawn < _FRAME_S and not at_once):
            return
        from assetflow.cli.render_waiting import waiting_lines

        self._drawn = now
        running = [
            Running(str(key), now - since, self._usual_s(key), self._progress.get(key))
            for key, since in self._running.items()
        ]
        lines = live_lines(
            title=f"run #{self.run_id}",
            running=running,
            done=self._done,
            total=self._total,
            elapsed_s=now - self._began,
            size_of_screen=(self.screen.width, self.screen.height),
        )
        waiting = waiting_lines(tuple(self._waiting.values()), now, self.screen.width)
        self._live.update([*lines[:-1], *waiting, lines[-1]])

    def _usual_s(self, key: AssetKey) -> float | None:
        step = self.plan.steps.get(key) if self.plan is not None else None
        return None if step is None else step.estimate_s


def stopping_words(running: int) -> str:
    """What the first ctrl-c does."""
    if not running:
        return "stopping: nothing is running, no new assets start"
    get = "1 running asset gets" if running == 1 else f"{running:,} running assets get"
    return f"stopping: {get} a few seconds, no new ones start (ctrl-c again to stop at once)"


def watcher_for(choice: str, screen: Screen, root: Path | None = None) -> Watcher:
    """The watcher that `--progress` asks for; `auto` is live on a terminal, plain elsewhere, silent with --quiet.

    `root` is the project's folder, for who names files.
    """
    if choice == "auto":
        if screen.is_quiet:
            choice = "none"
        else:
            choice = "rich" if screen.is_terminal_err and not is_dumb() else "plain"
    if choice == "rich":
        return LiveWatcher(screen)
    if choice == "plain":
        from assetflow.cli.github import GithubWatcher, is_github

        return GithubWatcher(screen, root or Path()) if is_github() else PlainWatcher(screen)
    return JsonWatcher(screen) if choice == "jsonl" else Watcher(screen)


def is_dumb() -> bool:
    """Whether the terminal cannot move its cursor, or a CI system reads it."""
    import os

    return os.environ.get("TERM") == "dumb" or bool(os.environ.get("CI"))
