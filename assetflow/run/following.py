"""All who follow a run: its event file, the hooks of the project, and whoever the caller brought along."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from assetflow.load.live import Loaded, make_resource
from assetflow.run.capture import capturing
from assetflow.run.events import EventFile
from assetflow.run.resources import ResourcePool

if TYPE_CHECKING:
    from assetflow.load.settings import Settings
    from assetflow.model.keys import AssetKey
    from assetflow.plan.planner import Plan
    from assetflow.plan.staleness import Reason
    from assetflow.run.hooks import HookThread
    from assetflow.run.outcome import NextTry, Observer, RunResult, StepOutcome
    from assetflow.run.reports import Progressed


_HURRY_S = 0.3


@contextmanager
def followed(watcher: Observer, settings: Settings, loaded: Loaded) -> Generator[Observer]:
    """An observer that tells the hooks of the project, the event file of the run, and `watcher`."""
    runs = settings.state_path / "runs"
    hooks: HookThread | None = None
    if loaded.hooks:
        from assetflow.run.hooks import HookSetup, HookThread

        setup = HookSetup(settings.root, runs, {spec.key: spec.node for spec in loaded.specs})
        # Hooks outlive the resources of assets: they are told how the run ended.
        resources = ResourcePool(lambda cls: make_resource(cls, loaded.resources.get(cls, {})))
        hooks = HookThread(loaded.hooks, setup, resources)
    followers = _Followers(watcher, EventFile(runs), hooks)
    # What a hook prints between two parts of a run, or after the last one, is not for the terminal either.
    with capturing() if hooks is not None else nullcontext():
        try:
            yield followers
        except BaseException as error:
            followers.broke_off(error)
            raise


class _Followers:
    """Tells all of them the same, and gives what goes wrong with hooks and file to the watcher."""

    def __init__(self, watcher: Observer, file: EventFile, hooks: HookThread | None) -> None:
        self._watcher, self._file, self._hooks = watcher, file, hooks
        self._all: tuple[Observer, ...] = (file, watcher)
        self._is_running = False

    def run_started(self, run_id: int, plan: Plan, workers: int) -> None:
        self._is_running = True
        for one in self._all:
            one.run_started(run_id, plan, workers)
        if self._hooks is not None:
            self._hooks.run_started(run_id, plan, workers)

    def queued(self, behind: str) -> None:
        self._watcher.queued(behind)

    def step_started(self, asset: AssetKey, reasons: tuple[Reason, ...]) -> None:
        for one in self._all:
            one.step_started(asset, reasons)
        if self._hooks is not None:
            self._hooks.step_started(asset, reasons)

    def step_finished(self, outcome: StepOutcome) -> None:
        for one in self._all:
            one.step_finished(outcome)
        if self._hooks is not None:
            self._hooks.step_finished(outcome)

    def retrying(self, asset: AssetKey, again: NextTry) -> None:
        for one in self._all:
            one.retrying(asset, again)
        if self._hooks is not None:
            self._hooks.retrying(asset, again)

    def waiting(self, asset: AssetKey, reason: str) -> None:
        for one in self._all:
            one.waiting(asset, reason)

    def progressed(self, asset: AssetKey, progress: Progressed) -> None:
        for one in self._all:
            one.progressed(asset, progress)

    def tick(self) -> None:
        for one in self._all:
            one.tick()
        self._tell_problems()

    def stopping(self, running: int) -> None:
        for one in self._all:
            one.stopping(running)

    def warn(self, text: str) -> None:
        for one in self._all:
            one.warn(text)

    def run_finished(self, result: RunResult) -> None:
        is_told, self._is_running = self._is_running, False
        try:
            if self._hooks is not None and is_told:
                self._hooks.run_finished(result)
                self._hooks.close()
        finally:  # ctrl-c ends the waiting for hooks; how the run ended is known
            self._tell_problems()
            try:
                for one in self._all:
                    one.run_finished(result)
            finally:
                self._end()

    def broke_off(self, error: BaseException) -> None:
        """The run ends without a result: it was interrupted for the second time, or something of ours went wrong."""
        if not self._is_running:
            return
        self._file.broke_off(error)
        if self._hooks is not None:
            self._hooks.broke_off(error)
            # Who pressed ctrl-c twice does not want to wait long.
            self._hooks.close(_HURRY_S if isinstance(error, KeyboardInterrupt) else None)
        self._tell_problems()
        self._end()

    def _end(self) -> None:
        self._is_running = False
        self._file.close()
        self._tell_file_problem()

    def _tell_problems(self) -> None:
        for problem in self._hooks.problems() if self._hooks is not None else ():
            self.warn(problem)
        self._tell_file_problem()

    def _tell_file_problem(self) -> None:
        if self._file.problem:
            problem, self._file.problem = self._file.problem, ""
            self._watcher.warn(problem)
