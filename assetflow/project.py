"""One open project and the verbs that every edge shares. The only place that chooses implementations."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from assetflow.automation.backfilling import Backfilling
from assetflow.care import Care
from assetflow.catalog.backups import unfinished
from assetflow.catalog.catalog import Catalog
from assetflow.checking import Checking
from assetflow.comparing import Comparing
from assetflow.errors import AssetflowError, UsageError
from assetflow.explaining import Explaining
from assetflow.keying import Keying, keyed
from assetflow.load.manifest import read_manifest, write_manifest
from assetflow.load.settings import Settings, read_settings
from assetflow.looking import Looking
from assetflow.marking import Marking
from assetflow.model.code import CodeSource
from assetflow.model.keys import AssetKey, split_slot
from assetflow.model.records import Attempt, Run
from assetflow.observing import Observing
from assetflow.plan.graph import AssetGraph, Slots
from assetflow.plan.named import apart
from assetflow.plan.planner import Plan, World, make_plan
from assetflow.plan.tried import FAILED
from assetflow.pointing import Pointing
from assetflow.reading import Reading
from assetflow.run.arranged import Arranging
from assetflow.run.locks import run_lock
from assetflow.run.noting import ALWAYS, Before, ground_of, is_at_rest
from assetflow.run.storing import storage_of
from assetflow.run.survey import Survey, remember_if_possible
from assetflow.views import (
    Expression,
    Facts,
    counted,
    selection_text,
    with_failures,
)

if TYPE_CHECKING:
    from assetflow.load.live import Loaded
    from assetflow.model.jobs import Occasion
    from assetflow.plan.saved import SavedPlan
    from assetflow.run.outcome import Debugger, Observer, RunResult
    from assetflow.run.requests import Asked
    from assetflow.run.session import Request


class Project(
    Looking, Pointing, Reading, Comparing, Care, Marking, Checking, Explaining, Observing, Backfilling, Keying
):
    """A project on disk: what it declares, what was built, and what to build.

    Example:
        project = Project.load()
        project.materialize("+marts.daily_revenue").raise_for_status()
        frame = project.read("marts.daily_revenue")
    """

    def __init__(
        self,
        settings: Settings,
        graph: AssetGraph,
        manifest: str = "",
        code: Mapping[str, CodeSource] = MappingProxyType({}),
    ) -> None:
        self.settings = settings
        self._manifest, self._code = manifest, code
        self.graph = graph
        self.storage = storage_of(settings)
        self._loaded: Loaded | None = None

    @classmethod
    def load(
        cls,
        path: str | Path | None = None,
        *,
        env: str | None = None,
        reload: bool = False,
        overrides: Mapping[str, str] | None = None,
        to_run: bool = False,
    ) -> Project:
        """The project at `path`, or in the nearest folder above it (default: the working directory).

        User code is imported only when a file changed since the last time, and then in a child process; in this one
        when the project is loaded `to_run`, which needs it here anyway.

        Raises:
            ProjectNotFound: there is no project file.
            ProjectLoadError: the configuration or the declarations have problems; all of them are in `problems`.
        """
        given = dict(overrides or {})
        if env is not None:
            given["env"] = env
        settings = read_settings(Path(path or "."), given)
        manifest = None if reload else read_manifest(settings)
        if manifest is None and to_run and (found := cls._loaded_here(settings)) is not None:
            return found
        if manifest is None:
            from assetflow.load.refresh import refresh_in_child

            manifest = refresh_in_child(settings)
        return cls(settings, keyed(AssetGraph(manifest.specs), settings), manifest.content, manifest.code_sources)

    @classmethod
    def _loaded_here(cls, settings: Settings) -> Project | None:
        """The project with its functions, loaded in this process, or None where that is better done in another."""
        from assetflow.load.here import can_load_here, load_here

        if not can_load_here(settings):
            return None
        loaded = load_here(settings)
        manifest = write_manifest(settings, loaded)
        project = cls(settings, keyed(AssetGraph(loaded.specs), settings), manifest.content, loaded.code_sources)
        project._loaded = loaded
        return project

    @property
    def root(self) -> Path:
        """The folder of the project file."""
        return self.settings.root

    @property
    def name(self) -> str:
        """The project's name."""
        return self.settings.name

    @property
    def env(self) -> str:
        """The environment that verbs read and write."""
        return self.settings.env

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Project {self.name}: {len(self.graph.specs)} assets, env {self.env}>"

    def close(self) -> None:
        """Nothing is held between verbs; here for `with`."""

    # -- looking

    def select(self, expression: Expression = None) -> tuple[AssetKey, ...]:
        """The assets and sources that a selection such as `+orders and not tag:slow` names; all without one.

        A list of keys, or of selections, means all of them together.

        Raises:
            SelectionSyntaxError: the expression cannot be read.
            NoSuchAsset: it names an asset that does not exist.
        """
        return self._select(self.graph, expression)

    def plan(
        self, expression: Expression = None, *, partitions: str | None = None, force: bool = False,
        rebuild: bool = False, with_upstream: bool = True, in_crowds: bool = True, now: float | None = None,
    ) -> Plan:  # fmt: skip
        """What `materialize` would do for a selection (default: everything), and why. Changes nothing.

        Partitions that are current are mostly only counted in `Plan.settled`. Of more than a thousand of an asset that
        are not, those that stand alike have one step (`Step.count`), unless `in_crowds` is False. `now` is what a `ttl`
        is held against. `"orders[2026-01-05]"` is the selection `orders` with `partitions="2026-01-05"`.
        """
        return self._planned(
            expression, partitions, force=force, rebuild=rebuild, with_upstream=with_upstream, in_crowds=in_crowds,
            now=now,
        )  # fmt: skip

    def _planned(  # noqa: PLR0913 - what may be asked of a plan
        self, expression: Expression, partitions: str | None, *, force: bool = False, rebuild: bool = False,
        with_upstream: bool = True, shows_newest: bool = False, in_bulk: bool = True, in_crowds: bool = False,
        now: float | None = None,
    ) -> Plan:  # fmt: skip
        """`plan`; the newest partition of each asset has a step if `shows_newest`, and unless `in_bulk` all have."""
        expression, partitions = apart(self.graph, expression, partitions)
        is_plain = not (force or rebuild or partitions) and with_upstream and now is None
        with self._catalog() as catalog:
            before = self._before(catalog)
            targets = self.select(expression)
            arranging = self._arranging(ask=True)
            arranged = arranging(
                self.graph, targets, partitions, catalog, force=force, rebuild=rebuild, shows_newest=shows_newest,
                in_bulk=in_bulk, in_crowds=in_crowds,
            )  # fmt: skip
            found = arranging.survey(arranged.slots, catalog)
            world = replace(found.world, at=now or found.world.at)
            plan = self._plan(world, arranged.slots.targets, expression, force, with_upstream, {})
            plan = replace(plan, partitions=partitions)
            if plan.run:
                tried = [split_slot(step.asset) for step in plan.run]
                plan = with_failures(plan, self._last(catalog, tried, (*FAILED, "running")))
        if arranged.settled is not None:
            arranged.settled.remember(plan)
        self._rest_on(plan, expression, found, before if is_plain else None)
        return plan

    def _rest_on(self, plan: Plan, expression: Expression, found: Survey, before: Before | None) -> None:
        """Let answers that are given from a plan be kept, if it says that nothing is to be done."""
        self._ground = None
        is_timed = bool(expression) and any(spec.freshness is not None for spec in self.graph.specs.values())
        if before is not None and is_at_rest(plan) and not is_timed:
            self._ground = lambda: ground_of(self.settings, self.storage, before, found, ALWAYS, asks=True)

    def _before(self, catalog: Catalog) -> Before | None:
        if not self.keeps_answers or any(spec.partitions is not None for spec in self.graph.specs.values()):
            return None  # of their many heads nothing is kept, so they are not counted either
        return Before.of(self.settings, self._manifest, catalog.token(self.env))

    def runs(self, limit: int = 20) -> tuple[Run, ...]:
        """The newest runs, newest first. A run whose process is gone is shown as died."""
        with self._catalog() as catalog:
            return tuple(counted(self._seen_alive(run), catalog) for run in catalog.runs(limit))

    def run_details(self, run_id: int) -> tuple[Run, tuple[Attempt, ...]]:
        """One run and its attempts, in the order they began.

        Raises:
            UsageError: there is no such run.
        """
        with self._catalog() as catalog:
            run = catalog.run(run_id)
            if run is None:
                raise UsageError(f"there is no run #{run_id}", fix="`assetflow runs` lists the runs")
            return counted(self._seen_alive(run), catalog), tuple(catalog.attempts(run_id))

    def events(self, run_id: int) -> tuple[Mapping[str, object], ...]:
        """What happened in a run, in order, as `--progress=jsonl` writes it; nothing when that was not recorded.

        Raises:
            UsageError: there is no such run, or its events cannot be read.
        """
        from assetflow.run.events import read_events

        self.run_details(run_id)
        try:
            return tuple(read_events(self.settings.state_path / "runs", run_id))
        except OSError as error:
            raise UsageError(f"the events of run #{run_id} cannot be read: {error.strerror}") from error

    # -- doing

    def materialize(  # noqa: PLR0913 - the settings of a run, all by keyword
        self,
        expression: Expression = None,
        *,
        force: bool = False,
        with_upstream: bool = True,
        executor: str | None = None,
        workers: int | None = None,
        fail_fast: bool = False,
        config: Mapping[str, Mapping[str, object]] | None = None,
        wait_s: float = 0.0,
        observer: Observer | None = None,
        saved: SavedPlan | None = None,
        retries: int | None = None,
        timeout_s: float | None = None,
        debugger: Debugger | None = None,
        tick: Occasion | None = None,
        partitions: str | None = None,
        max_failures: int | None = None,
        cause: str = "cli",
        now: float | None = None,
        rebuild: bool = False,
    ) -> RunResult:
        """Build what is stale in a selection (default: everything) with its upstreams, and nothing else.

        `partitions` says which of those that exist `now` are meant (`2026-01-01..2026-01-31`, `latest:7`; default:
        all); assets without partitions that are made of all of them are then left out. `"orders[2026-01-05]"` says
        both. `now` is the time by the clock.
        `force` runs the selected assets though they are current, `rebuild` what is undecided of them after an edit
        (`on_code_change="ask"`); `with_upstream=False` runs only the selection, on the inputs as they are; `config`
        overrides fields of asset configs; `wait_s` waits for another run in this environment; `retries` is how often a
        failed asset is tried again, whatever it declares. After `timeout_s` nothing more is started, and what still
        runs after the `stop_grace` is given up; what was committed stays. `saved` is a plan from a file
        (`read_saved_plan`): then exactly that is done, or nothing. `debugger` is called with each exception of an asset
        or a check while its frames are there; assets then run one after the other in this thread, without retries.
        `tick` is the tick of a job that this run is of, `cause` else what it is part of. When more than `max_failures`
        assets have failed, nothing more is started.

        Raises:
            RunConflict: another run is going on in this environment.
            PlanMoved: a saved plan is not the one of now.
            NotWritable, DiskFull: the folder of the project cannot be written.
        """
        from assetflow.run.outcome import is_quiet, nothing_to_do
        from assetflow.run.session import Request, run_session

        began, self._ground = time.monotonic(), None
        if saved is not None:
            expression, force, with_upstream = saved.selection, saved.force, saved.with_upstream
            partitions, rebuild = saved.partitions, saved.rebuild
        expression, partitions = apart(self.graph, expression, partitions)
        request = Request(
            selection_text(expression), force, with_upstream, executor, workers, fail_fast, wait_s, began, saved,
            retries, timeout_s, config or {}, debugger, tick, partitions, max_failures, cause, rebuild,
        )  # fmt: skip
        earlier, arranging = None, self._arranging(ask=True, now=now)
        if not config:
            found, plan, is_tidy = self._look(request, arranging)
            if saved is not None:
                saved.must_be(plan)
            if is_quiet(plan) and is_tidy:
                remember_if_possible(self.settings.catalog_path, self.env, found)
                self._present_again()
                return nothing_to_do(plan, began)
            earlier = found, plan
        loaded = self._load(config)
        graph = keyed(AssetGraph(loaded.specs), self.settings) if config else self.graph
        targets = self._select(graph, expression)

        anew = replace(arranging, code=self._code)

        def arrange(catalog: Catalog) -> Slots:
            return anew(graph, targets, partitions, catalog, force=force, rebuild=rebuild).slots

        result = run_session(self.settings, loaded, arrange, self.storage, request, observer, earlier)
        if not config and any(spec.partitions is not None for spec in graph.specs.values()):
            with suppress(AssetflowError), self._catalog() as catalog:  # it only saves time later
                anew.note_anew(graph, catalog)
        return result

    def cancel(self, run_id: int, *, at_once: bool = False) -> tuple[Run, bool]:
        """Stop a run of any environment that is going on in another process; see `run.cancelling.cancel`."""
        from assetflow.run.cancelling import cancel

        return cancel(self.settings, run_id, at_once=at_once)

    def asked(self, run_id: int) -> Asked:
        """What a run was asked to do, as far as that is known: its selection always is."""
        from assetflow.run.requests import Asked, read_request

        found = read_request(self.settings.state_path / "runs" / str(run_id))
        return found or Asked(self.run_details(run_id)[0].selection)

    def _look(self, request: Request, arranging: Arranging) -> tuple[Survey, Plan, bool]:
        """What there is to do, found from the manifest and the catalog alone, unless a source must be asked.

        And whether no run died here that has yet to be tidied up after.
        """
        from assetflow.run.outcome import is_quiet

        is_plain = not (request.force or request.rebuild or request.partitions or request.saved)
        is_plain = is_plain and request.with_upstream and arranging.now is None
        with self._catalog() as catalog:
            before = self._before(catalog)
            targets = self.select(request.expression)
            arranged = arranging(
                self.graph,
                targets,
                request.partitions,
                catalog,
                force=request.force,
                rebuild=request.rebuild,
                in_crowds=request.saved is None,
            )
            found, targets = arranging.survey(arranged.slots, catalog), arranged.slots.targets
            plan = self._plan(found.world, targets, request.expression, request.force, request.with_upstream, {})
            if arranged.settled is not None and is_quiet(plan):
                arranged.settled.remember(plan)
                found = replace(found, rehashed=(*found.rehashed, *arranged.settled.rehashed.values()))
            self._rest_on(plan, request.expression, found, before if is_plain else None)
            is_tidy = self.env not in {run.env for run in catalog.running()} or self._is_alive(self.env)
            return found, plan, is_tidy and not (unfinished(self.settings.catalog_path) or self.storage.has_begun())

    # -- helpers

    def keep_noop(self, question: str, data: Mapping[str, object]) -> None:
        """`keep` for a `materialize` that had nothing to do: also nothing to tidy up, and all is shown as it should."""
        from assetflow.run.presenting import stamps_of

        stamps = stamps_of(self.settings, self.graph.specs)
        if stamps is not None:
            self.keep(question, data, stamps=stamps, empty=[str(self.storage.root / "tmp")])

    def _present_again(self) -> None:
        """Make what other programs open anew, when it was lost or changed: it is derived."""
        from assetflow.run.presenting import present_again

        present_again(self.settings, self.graph.specs, self.storage)

    @contextmanager
    def _catalog(self) -> Generator[Catalog]:
        catalog = Catalog(self.settings.catalog_path)
        try:
            yield catalog
        finally:
            catalog.close()

    def _arranging(self, *, ask: bool, now: float | None = None) -> Arranging:
        return Arranging(self.settings, self.storage, self._code, self._load if ask else None, now=now)

    def _survey(self, catalog: Catalog, *, ask: bool, graph: Slots | None = None) -> Survey:
        return self._arranging(ask=ask).survey(graph or self.graph, catalog)

    def _load(self, config: Mapping[str, Mapping[str, object]] | None = None) -> Loaded:
        """The live project: imports user code in this process, once. With `config` it is one of its own."""
        if self._loaded is not None and not config:
            return self._loaded
        from assetflow.load.definitions import load_project

        loaded = load_project(self.settings, config or {})
        if not config:
            self._loaded = loaded
            self._manifest, self._code = write_manifest(self.settings, loaded).content, loaded.code_sources
            self.graph = keyed(AssetGraph(loaded.specs), self.settings)
        return loaded

    def _code_texts(self) -> Mapping[str, CodeSource]:
        return self._code

    def _select(self, graph: AssetGraph, expression: Expression) -> tuple[AssetKey, ...]:
        if not expression:
            return graph.order
        from assetflow.plan.selection import parse_selection

        text = selection_text(expression)
        return parse_selection(text).select(graph, Facts(self.settings.selections, lambda: list(self.status())))

    def _plan(
        self,
        world: World,
        targets: tuple[AssetKey, ...],
        expression: Expression,
        force: bool,
        with_upstream: bool,
        attempts: Mapping[tuple[AssetKey, str], Attempt],
    ) -> Plan:
        forced = frozenset(targets) if force else frozenset[AssetKey]()
        text = selection_text(expression)
        plan = make_plan(
            world, targets, selection=text, with_upstream=with_upstream, forced=forced, workers=self.settings.workers
        )
        return with_failures(plan, attempts)

    def _attempts(self, catalog: Catalog, graph: AssetGraph) -> dict[tuple[AssetKey, str], Attempt]:
        return self._last(catalog, [split_slot(key) for key in graph.specs])

    def _last(
        self, catalog: Catalog, slots: Sequence[tuple[AssetKey, str]], states: Sequence[str] = ()
    ) -> dict[tuple[AssetKey, str], Attempt]:
        """The last attempts; what a process that is gone left as running is shown as died."""
        attempts = catalog.last_attempts(self.env, slots, states)
        if any(attempt.state == "running" for attempt in attempts.values()) and not self._is_alive(self.env):
            for slot, attempt in attempts.items():
                if attempt.state == "running":
                    attempts[slot] = replace(attempt, state="died")
        return attempts

    def _is_alive(self, env: str) -> bool:
        return run_lock(self.settings, env).is_held_by_anyone()

    def _seen_alive(self, run: Run) -> Run:
        if run.state == "running" and not self._is_alive(run.env):
            return replace(run, state="died")
        return run
