"""One `materialize` from lock to summary: what is set up around a run, and put away again however it ends."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct, field
from msgspec.structs import replace

from assetflow.catalog.backups import back_up
from assetflow.catalog.catalog import Catalog
from assetflow.errors import AssetflowError, RunConflict, UsageError
from assetflow.files import names_disk_errors, storage_error
from assetflow.io.connection import has_turn
from assetflow.io.storage import Storage
from assetflow.load.live import Loaded, make_resource
from assetflow.load.settings import Settings
from assetflow.load.slotted import with_slots
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.secrets import SECRETS
from assetflow.plan.graph import Slots
from assetflow.plan.planner import Plan, make_plan
from assetflow.plan.staleness import Action
from assetflow.plan.undecided import undecided_names
from assetflow.run.ahead import Announce
from assetflow.run.batches import in_batches
from assetflow.run.capture import capturing, with_file, writing_to
from assetflow.run.declared import make_salt
from assetflow.run.discovered import Discovery
from assetflow.run.executor import Executor, InlineExecutor, Means, ThreadExecutor, nothing
from assetflow.run.following import followed
from assetflow.run.handover import Handover, usual_limit
from assetflow.run.interrupt import Interrupts
from assetflow.run.locks import environment_lock, run_lock, store_lock, user_name
from assetflow.run.outcome import Debugger, Observer, RunResult, SilentObserver, is_quiet, nothing_to_do
from assetflow.run.pools import Pools
from assetflow.run.presenting import present
from assetflow.run.reports import Inbox
from assetflow.run.requests import Asked, save_request
from assetflow.run.resources import ResourcePool
from assetflow.run.retrying import with_retries
from assetflow.run.runner import Runner, RunSettings
from assetflow.run.step import Workbench, run_step
from assetflow.run.survey import Survey, means_the_same, remember, survey
from assetflow.run.task import NodeResult, Task

if TYPE_CHECKING:
    from assetflow.model.jobs import Occasion
    from assetflow.plan.saved import SavedPlan
    from assetflow.run.alerting import RunAlerts
    from assetflow.run.processes import Children

EXECUTORS: Mapping[str, Callable[[Means], Executor]] = {
    "threads": ThreadExecutor, "inline": InlineExecutor, "processes": ThreadExecutor,
}  # fmt: skip
"""With `processes` the threads wait for child processes."""
_LEFT = (Action.CURRENT, Action.UNDECIDED)
_REMOVAL_S = 600.0
"""How long a run waits for gc, which holds the store only while it removes files."""


class Request(Struct, frozen=True):
    """What was asked of `materialize`, and at which monotonic time it `began`."""

    expression: str | None = None
    force: bool = False
    with_upstream: bool = True
    executor: str | None = None
    workers: int | None = None
    fail_fast: bool = False
    wait_s: float = 0.0
    began: float = 0.0
    saved: SavedPlan | None = None
    retries: int | None = None
    timeout_s: float | None = None
    config: Mapping[str, Mapping[str, object]] = field(default_factory=dict[str, Mapping[str, object]])
    debugger: Debugger | None = None
    tick: Occasion | None = None
    partitions: str | None = None
    max_failures: int | None = None
    cause: str = "cli"
    rebuild: bool = False

    @property
    def may_fail(self) -> int | None:
        """How many assets may fail before nothing more is started; None: any number."""
        return 0 if self.fail_fast else self.max_failures


@names_disk_errors
def run_session(
    settings: Settings,
    loaded: Loaded,
    arrange: Callable[[Catalog], Slots],
    storage: Storage,
    request: Request,
    observer: Observer | None,
    earlier: tuple[Survey, Plan] | None = None,
) -> RunResult:
    """Plan under the lock of the environment and carry the plan out.

    `earlier` is what the verb has seen before, and what it would have done.

    `arrange` says what the run is about, as the catalog is when the lock is held.

    Raises:
        RunConflict: another run holds the environment for longer than the request waits.
        UsageError: there is no such executor.
        PlanMoved: the plan that was to be carried out is not the one of now.
    """
    if request.debugger is not None:
        request = replace(request, executor=_inline(request))
    elif has_turn() and (request.executor or settings.executor) == "threads":
        request = replace(request, executor="inline")  # it is called by an asset for whose turn threads would wait
    _check_executor(request.executor or settings.executor)
    with followed(SilentObserver() if observer is None else observer, settings, loaded) as watcher:
        return _carry_out(settings, loaded, arrange, storage, request, watcher, earlier)


def _carry_out(
    settings: Settings,
    loaded: Loaded,
    arrange: Callable[[Catalog], Slots],
    storage: Storage,
    request: Request,
    watcher: Observer,
    earlier: tuple[Survey, Plan] | None,
) -> RunResult:
    with ExitStack() as stack:
        stack.enter_context(environment_lock(settings, request.wait_s, on_wait=watcher.queued))
        stack.enter_context(_keeping_versions(settings))
        catalog = stack.enter_context(closing(Catalog(settings.catalog_path, write=True)))
        slots = arrange(catalog)
        graph, targets = slots.graph, slots.targets
        loaded = with_slots(with_retries(loaded, request.retries), graph.specs.values())
        if any(spec.env_vars for spec in graph.specs.values()):
            make_salt(settings.catalog_path)  # before anything is recorded that depends on it
        found = survey(
            slots, settings.env, catalog, storage, lambda: loaded, earlier and earlier[0], root=settings.root,
            code=loaded.code_sources, discover=settings.discover,
        )  # fmt: skip
        remember(catalog, settings.env, found)
        forced = frozenset(targets) if request.force else frozenset[AssetKey]()
        plan = _plan(settings, request, found, targets, forced, earlier)
        plan, world, loaded = in_batches(plan, found.world, loaded)
        alerts = _alerts(settings, loaded, catalog)
        if is_quiet(plan):
            _tidy_up(settings, catalog, storage, watcher, alerts)
            return nothing_to_do(plan, request.began)
        run_id = _begin(catalog, settings, request, plan, alerts)
        stack.enter_context(_finished(catalog, run_id, record := _Record(), alerts))
        storage.sweep(_alive(settings, catalog))
        resources = ResourcePool(lambda cls: make_resource(cls, loaded.resources.get(cls, {})))
        logs = settings.state_path / "runs"
        stack.callback(_tear_down, resources, watcher, logs / str(run_id) / "run.log")
        interrupts, inbox, handover = Interrupts(), Inbox(), Handover(usual_limit())
        stack.callback(handover.close)
        bench = Workbench(
            settings.root, loaded, world.graph.specs, storage, resources, handover, _discovery(settings, loaded, found),
            inbox.put, lambda: interrupts.is_stopping, settings.log_limit, debugger=request.debugger,
        )  # fmt: skip
        children = stack.enter_context(_children(settings, request, bench, plan, watcher, logs / str(run_id)))
        executor = _executor(settings, request, bench, children, interrupts)
        stack.callback(executor.close)
        pools = stack.enter_context(closing(Pools(settings.state_path / "locks", settings.pools)))
        run_settings = RunSettings(
            settings.root, logs, storage, forced, request.may_fail, handover, pools=pools, inbox=inbox,
            stop_grace_s=settings.stop_grace, is_apart=(request.executor or settings.executor) == "processes",
        )  # fmt: skip
        runner = Runner(world, plan, loaded, catalog, executor, found.observations, run_settings, interrupts)
        with interrupts.watched(request.timeout_s), capturing(), record.kept_of(runner):
            result = replace(runner.run(run_id, watcher, request.began), undecided=undecided_names(plan))
        record.take(result)
        if problem := present(settings, {spec.key: spec for spec in loaded.specs}, catalog, storage):
            watcher.warn(problem)
    _back_up(settings, watcher)
    watcher.run_finished(result)
    return result


def _tidy_up(
    settings: Settings, catalog: Catalog, storage: Storage, watcher: Observer, alerts: RunAlerts | None
) -> None:  # fmt: skip
    """Put away what runs left that died, where no other run follows."""
    catalog.end_dead_runs(settings.env, time.time(), None if alerts is None else alerts.died)
    storage.sweep(_alive(settings, catalog))
    _back_up(settings, watcher)


def _discovery(settings: Settings, loaded: Loaded, found: Survey) -> Discovery | None:
    return Discovery(settings, found.known_files, loaded.code_sources) if settings.discover else None


def _plan(
    settings: Settings,
    request: Request,
    found: Survey,
    targets: tuple[AssetKey, ...],
    forced: frozenset[AssetKey],
    earlier: tuple[Survey, Plan] | None,
) -> Plan:
    workers = _workers(settings, request)
    if earlier is not None and _still_holds(*earlier, found, targets):
        plan = replace(earlier[1], workers=workers)
    else:
        plan = make_plan(
            found.world, targets, selection=request.expression or "", with_upstream=request.with_upstream,
            forced=forced, workers=workers,
        )  # fmt: skip
    if request.saved is not None:
        request.saved.must_be(plan)
    return plan


def _still_holds(before: Survey, plan: Plan, now: Survey, targets: tuple[AssetKey, ...]) -> bool:
    """Whether the plan made before the lock was held is the one of now; one that links to other bytes is made again."""
    if plan.targets != targets or any(step.link is not None for step in plan):
        return False
    return means_the_same(before.world, now.world)


def _alerts(settings: Settings, loaded: Loaded, catalog: Catalog) -> RunAlerts | None:
    """Who records what is to be told of the run; nobody where there is nobody to tell."""
    if not settings.alerts:
        return None
    from assetflow.run.alerting import RunAlerts

    return RunAlerts(settings, loaded.specs, catalog)


def _begin(
    catalog: Catalog, settings: Settings, request: Request, plan: Plan, alerts: RunAlerts | None
) -> int:  # fmt: skip
    run_id, _ = catalog.begin_run(
        settings.env,
        selection=request.expression or "",
        cause=request.cause if request.tick is None else request.tick.cause,
        user=user_name(),
        host=platform.node(),
        pid=os.getpid(),
        at=time.time(),
        assets=[*dict.fromkeys(split_slot(step.asset)[0] for step in plan if step.action not in _LEFT)],
        tick=request.tick,
        on_dead=None if alerts is None else alerts.died,
    )
    code = {str(split_slot(step.asset)[0]): step.spec.code for step in plan if step.action not in _LEFT}
    asked = Asked(
        request.expression or "", request.force, request.with_upstream, request.executor, request.workers,
        request.fail_fast, request.retries, request.config, code,
        request.partitions, request.rebuild,
    )  # fmt: skip
    save_request(settings.state_path / "runs" / str(run_id), asked)
    return run_id


class _Record(Struct):
    """How the run is written down if nothing else is learned: an exception of ours leaves it failed."""

    state: str = "failed"
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    result: RunResult | None = None
    error: str = ""

    @contextmanager
    def kept_of(self, runner: Runner) -> Generator[None]:
        """Write down what was done, should the run be ended where it is."""
        try:
            yield
        except KeyboardInterrupt:
            self.counts = runner.counts
            raise

    def take(self, result: RunResult) -> None:
        """Write down how the run ended."""
        self.state = "cancelled" if result.interrupted else "ok" if result.ok else "failed"
        self.counts, self.result = result.counts, result


@contextmanager
def _finished(catalog: Catalog, run_id: int, record: _Record, alerts: RunAlerts | None) -> Generator[None]:
    def tell(at: float) -> None:
        if alerts is not None:
            alerts.ended(run_id, record.state, record.result, record.error, at)

    try:
        yield
    except KeyboardInterrupt:
        record.state = "cancelled"
        raise
    except BaseException as error:
        record.error = error.what if isinstance(error, AssetflowError) else f"{type(error).__name__}: {error}"
        raise
    finally:
        catalog.finish_run(run_id, record.state, record.counts, time.time(), None if alerts is None else tell)


def _back_up(settings: Settings, observer: Observer) -> None:
    try:
        back_up(settings.catalog_path, time.time())
    except AssetflowError as error:
        # The run is recorded; a copy that could not be made is no reason to call it failed.
        observer.warn(f"the catalog could not be backed up: {error.what}")


def _tear_down(resources: ResourcePool, observer: Observer, log: Path) -> None:
    if resources.is_empty:
        return
    with ExitStack() as stack:
        stack.enter_context(capturing())
        try:
            stack.enter_context(writing_to(with_file(log)))
        except OSError:  # a full disk must not keep resources open
            stack.enter_context(redirect_stdout(sys.stderr))
        errors = resources.close()
    for error in errors:
        text = SECRETS.text(f"tear_down raised {type(error).__name__}: {error}")
        # The assets are committed; a resource that does not close is the user's to know about, not a failed run.
        observer.warn(text)


@contextmanager
def _keeping_versions(settings: Settings) -> Generator[None]:
    """Keep gc from removing what this run may read or link to."""
    lock = store_lock(settings)
    try:
        is_shared = lock.acquire(wait_s=_REMOVAL_S, is_shared=True)
    except OSError as error:
        raise storage_error("locking the store with", lock.path, error) from error
    if not is_shared:
        raise RunConflict("`assetflow gc` is removing versions", fix="run the command again when it has finished")
    try:
        yield
    finally:
        lock.release()


def _alive(settings: Settings, catalog: Catalog) -> list[int]:
    """The runs that are going on, this one and those of other environments: their staged files are theirs."""
    return [run.run_id for run in catalog.running() if run_lock(settings, run.env).is_held_by_anyone()]


def _check_executor(name: str) -> None:
    if name not in EXECUTORS:
        raise UsageError(f"there is no executor `{name}`", fix=f"choose one of: {', '.join(EXECUTORS)}")


def _inline(request: Request) -> str:
    if request.executor not in (None, "inline"):
        raise UsageError(
            f"a debugger needs the executor `inline`, not `{request.executor}`", fix="leave --executor out with --pdb"
        )
    return "inline"


def _workers(settings: Settings, request: Request) -> int:
    inline = (request.executor or settings.executor) == "inline"
    return 1 if inline else max(1, request.workers or settings.workers)


def _executor(
    settings: Settings, request: Request, bench: Workbench, children: Children | None, interrupts: Interrupts
) -> Executor:
    name, cancel = request.executor or settings.executor, nothing

    def here(task: Task, announce: Announce | None) -> NodeResult:
        return run_step(bench, task, announce)

    work = here
    if children is not None:
        from assetflow.run.processes import routed

        work, cancel = routed(here, children, bench.loaded.nodes, everything=name == "processes"), children.cancel
    is_strict = request.may_fail is not None
    return EXECUTORS[name](Means(work, _workers(settings, request), interrupts, cancel, is_strict))


@contextmanager
def _children(
    settings: Settings, request: Request, bench: Workbench, plan: Plan, observer: Observer, log_folder: Path
) -> Generator[Children | None]:  # fmt: skip
    """The child processes of the run, if it may need any; if it surely does, the project is loaded for them right away.

    A debugger is for this process: what would have one of its own runs here as well.
    """
    nodes, is_for_all = bench.loaded.nodes, (request.executor or settings.executor) == "processes"
    may_need = is_for_all or any(nodes[s.spec.node].limits.needs_process for s in plan if not s.spec.is_source)
    if not may_need or request.debugger is not None:
        yield None
        return
    from assetflow.run.processes import Children

    children = Children(settings, nodes, bench.storage, log_folder / "processes.log", request.config, bench.report)
    names = {step.spec.node for step in plan if step.action not in _LEFT and not step.spec.is_source}
    try:
        if names and (is_for_all or any(nodes[name].limits.needs_process for name in names)):
            children.begin()
        yield children
    finally:
        children.close()
        for text in children.warnings:
            observer.warn(text)
