"""The conformance suite of executors: a small project whose assets fail, meet, wait, and say where they are."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from msgspec import Struct

from assetflow.errors import UsageError
from assetflow.io.storage import Storage
from assetflow.load.definitions import load_project
from assetflow.load.live import Loaded
from assetflow.load.modules import ProjectPath
from assetflow.load.settings import Settings, read_settings
from assetflow.model.keys import AssetKey
from assetflow.run.capture import capturing
from assetflow.run.executor import Executor, Means
from assetflow.run.interrupt import Interrupts
from assetflow.run.resources import ResourcePool
from assetflow.run.step import Workbench, run_step
from assetflow.run.storing import storage_of
from assetflow.run.task import NodeResult, Origin, Task

_MODULE = "assetflow_conformance"
_ASSETS = """
import time
from pathlib import Path

from assetflow import Skip, asset

HERE = Path(__file__).parent


def wait_for(name, seconds=30):
    deadline = time.monotonic() + seconds
    while not (HERE / name).exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{name} did not come")
        time.sleep(0.005)


def make(number):
    @asset(key=f"quick_{number}")
    def quick() -> int:
        print(number)
        return number

    @asset(key=f"meets_{number}")
    def meets() -> int:
        (HERE / f"met_{number}").touch()
        wait_for(f"met_{1 - number}", 10)
        return number

    return quick, meets


made = [one for number in range(8) for one in make(number)]


@asset
def fails() -> int:
    raise ValueError("on purpose")


@asset
def leaves() -> int:
    raise SystemExit(3)


@asset
def skips() -> int:
    raise Skip("on purpose")


@asset
def long() -> int:
    (HERE / "begun").touch()
    wait_for("go")
    return 1
"""


class Site(Struct, frozen=True):
    """What an executor under test is made of.

    `means.work` carries out a task in this process. Executors that work elsewhere load the project of `settings` there;
    `loaded` and `storage` are what it is here.
    """

    means: Means
    settings: Settings
    loaded: Loaded
    storage: Storage

    def task(self, name: str, attempt: int = 1) -> Task:
        """One call of the function of the asset `name`."""
        spec = next(spec for spec in self.loaded.specs if spec.key == name)
        origin = Origin(
            "key", spec.code, spec.code_parts or {}, spec.config or {}, (), None, spec.packages, spec.files,
            spec.env_vars, spec.code_notes, "", spec.code_version,
        )  # fmt: skip
        log = self.settings.state_path / "runs" / "1" / f"{name}.{attempt}.log"
        return Task(spec.node, 1, self.settings.env, attempt, {}, {}, {}, {}, {spec.key: origin}, log)


def check_executor(make: Callable[[Site], Executor], *, workers: int = 2, ends: bool = False) -> None:
    """Run an executor through what a run relies on; return when all holds.

    Each rule runs with a new executor from `make`, which is given the project that the rule works with and `workers` in
    `site.means`. `ends` says that `cancel` ends functions that are running; in a thread that is not possible.

    Example:
        >>> from assetflow.run.executor import ThreadExecutor
        >>> check_executor(lambda site: ThreadExecutor(site.means))

    Raises:
        AssertionError: the executor breaks a rule; the message is the rule.
        UsageError: not even one worker is asked for.
    """
    if workers < 1:
        raise UsageError("an executor has at least one worker")
    rules = [_check_results, _check_room, _check_failures, _check_idle, _check_several_in_turn, _check_close]
    for rule in (*rules, _check_at_once, *([_check_cancel] if ends else [])):
        with _site(workers) as site:
            executor = make(site)
            try:
                rule(site, executor)
            finally:
                executor.close()


@contextmanager
def _site(workers: int) -> Generator[Site]:
    path, modules = [*sys.path], set(sys.modules)
    with TemporaryDirectory(prefix="assetflow-check-") as folder:
        root = Path(folder)
        (root / f"{_MODULE}.py").write_text(_ASSETS, encoding="utf-8")
        (root / "assetflow.toml").write_text(f'modules = ["{_MODULE}"]\n', encoding="utf-8")
        settings = read_settings(root, environment={})
        try:
            loaded = load_project(settings)
            storage = storage_of(settings)
            specs = {spec.key: spec for spec in loaded.specs}
            bench = Workbench(root, loaded, specs, storage, ResourcePool(lambda cls: cls()))
            with capturing():
                means = Means(lambda task, announce: run_step(bench, task, announce), workers, Interrupts())
                yield Site(means, settings, loaded, storage)
        finally:
            sys.path[:] = [one for one in path if not isinstance(one, ProjectPath) or one in sys.path]
            for name in set(sys.modules) - modules:
                if name == _MODULE:
                    del sys.modules[name]


def _check_results(site: Site, executor: Executor) -> None:
    task = site.task("quick_1")
    executor.start(task)
    (result,) = _results(executor, 1)
    _require(result.task == task, "a result names the task that it is of")
    _require(result.error is None and result.skipped is None, f"a function that returns has not failed: {result.error}")
    made = result.outputs[AssetKey("quick_1")].version
    _require(made is not None and site.storage.root.joinpath(made.location).is_dir(), "what was made is in the store")
    _require(task.log_file.read_text() == "1\n", "what a function prints is in the log of its attempt")


def _check_room(site: Site, executor: Executor) -> None:
    workers = executor.workers
    _require(1 <= workers <= max(1, site.means.workers), "there are as many workers as were asked for, or fewer")
    _require(executor.capacity == workers, "at first all workers are idle")
    for number in range(workers):
        executor.start(site.task(f"quick_{number}"))
        _require(executor.capacity == workers - number - 1, "each task that starts takes one worker")
    _results(executor, workers)
    _require(executor.capacity == workers, "a worker is idle again when its result was taken")


def _check_failures(site: Site, executor: Executor) -> None:
    for name, what in (("fails", "ValueError"), ("leaves", "SystemExit")):
        executor.start(site.task(name))
        (result,) = _results(executor, 1)
        _require(
            result.error is not None and result.error.type == what, f"what a function raises is in the result: {what}"
        )
    executor.start(site.task("skips"))
    (result,) = _results(executor, 1)
    _require(result.skipped == "on purpose" and result.error is None, "a function that skips has not failed")


def _check_idle(site: Site, executor: Executor) -> None:
    began = time.monotonic()
    _require(executor.wait(0.05) == [], "there are no results where nothing was started")
    _require(time.monotonic() - began < 5, "waiting ends after the time that was given")


def _check_several_in_turn(site: Site, executor: Executor) -> None:
    seen: list[str] = []
    waiting = [f"quick_{number}" for number in range(8)]
    while waiting or len(seen) < 8:
        while waiting and executor.capacity:
            executor.start(site.task(waiting.pop()))
        seen += [str(next(iter(result.outputs))) for result in _come(executor)]
    _require(sorted(seen) == sorted(f"quick_{n}" for n in range(8)), "every task has one result, and no other has one")


def _check_close(site: Site, executor: Executor) -> None:
    executor.close()
    executor.close()  # what is closed may be closed again


def _check_at_once(site: Site, executor: Executor) -> None:
    if executor.workers < 2:
        return
    for number in range(2):
        executor.start(site.task(f"meets_{number}"))
    found = _results(executor, 2)
    _require(all(result.error is None for result in found), "as many tasks run at the same time as there are workers")


def _check_cancel(site: Site, executor: Executor) -> None:
    executor.start(site.task("long"))
    deadline = time.monotonic() + 30
    while not (site.settings.root / "begun").exists():
        _require(time.monotonic() < deadline, "a task that was started begins")
        _require(executor.wait(0.01) == [], "a function that has not returned has no result")
    executor.cancel()
    began = time.monotonic()
    (result,) = _results(executor, 1)
    _require(result.error is not None, "what was ended has not succeeded")
    _require(time.monotonic() - began < 5, "what is cancelled ends soon")


def _results(executor: Executor, count: int) -> list[NodeResult]:
    found: list[NodeResult] = []
    deadline = time.monotonic() + 60
    while len(found) < count:
        _require(time.monotonic() < deadline, "the results of tasks that were started come")
        found += _come(executor)
    _require(len(found) == count, "every task has one result")
    return found


def _come(executor: Executor) -> list[NodeResult]:
    return [one for one in executor.wait(0.1) if isinstance(one, NodeResult)]


def _require(holds: bool, rule: str) -> None:
    if not holds:
        raise AssertionError(f"rule broken: {rule}")
