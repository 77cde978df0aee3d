"""How a run goes: executors, how many assets at a time, stopping early, and being interrupted."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from assetflow import Project
from assetflow.catalog.catalog import Catalog
from assetflow.catalog.database import Database
from assetflow.errors import RunConflict, Superseded, UsageError
from assetflow.load.settings import read_settings
from assetflow.model.keys import AssetKey
from assetflow.model.records import NewTrace
from assetflow.plan.planner import Plan
from assetflow.plan.staleness import Reason
from assetflow.run.locks import run_lock
from assetflow.run.outcome import RunResult, SilentObserver, StepOutcome

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

DIAMOND = """
@asset
def start() -> Rows:
    return [{"n": 1}, {"n": 2}]

@asset
def left(start: Rows) -> pa.Table:
    return pa.table({"n": [row["n"] * 10 for row in start]})

@asset
def right(start: Rows) -> int:
    if len(start) > 2:
        raise ValueError("too many")
    return len(start)

@asset(checks=[row_count(1)])
def end(left: pa.Table, right: int) -> pa.Table:
    return left.append_column("right", [[right] * left.num_rows])
"""


def test_both_executors_give_the_same_results(workspace: Workspace) -> None:
    def facts(result: RunResult) -> list[object]:
        return [(one.asset, one.state, one.rows, [(c.name, c.passed) for c in one.checks]) for one in result]

    workspace.assets(DIAMOND)
    found: dict[str, list[Any]] = {}
    for executor in ("inline", "threads"):
        found[executor] = []
        for values in ('[{"n": 1}, {"n": 2}]', '[{"n": 1}, {"n": 2}, {"n": 3}]'):
            workspace.edit('[{"n": 1}, {"n": 2}]', values)
            project = workspace.project(executor)
            found[executor].append(facts(project.materialize(executor=executor, force=True)))
            found[executor].append([row.head and row.head.version.data_hash for row in project.status()])
            workspace.edit(values, '[{"n": 1}, {"n": 2}]')

    assert [one[1] for one in found["inline"][2]] == ["materialized", "materialized", "failed", "blocked"]
    assert found["inline"] == found["threads"]


def test_another_executor_is_refused_and_no_run_is_recorded(workspace: Workspace) -> None:
    workspace.assets(DIAMOND)

    with pytest.raises(UsageError, match="choose one of: threads, inline, processes"):
        workspace.materialize(executor="process")

    assert workspace.project().runs() == ()


def test_the_executor_of_the_project_file_is_used(workspace: Workspace) -> None:
    workspace.assets(
        "@asset\ndef where() -> str:\n    return threading.current_thread().name\n", 'executor = "inline"\n'
    )

    workspace.materialize()

    assert workspace.project().read("where") == threading.current_thread().name


def test_inline_runs_in_the_thread_of_the_caller(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef where() -> str:\n    return threading.current_thread().name\n")

    workspace.materialize(executor="inline")
    inline = workspace.project().read("where")
    workspace.materialize(executor="threads", force=True)

    assert inline == threading.current_thread().name
    assert workspace.project().read("where") != inline


def test_independent_branches_run_at_the_same_time(workspace: Workspace) -> None:
    workspace.assets("""
        together = threading.Barrier(3, timeout=30)

        @asset
        def start() -> int:
            return 1

        @asset
        def one(start: int) -> int:
            return together.wait() >= 0

        @asset
        def two(start: int) -> int:
            return together.wait() >= 0

        @asset
        def three(start: int) -> int:
            return together.wait() >= 0
        """)

    workspace.materialize(executor="threads", workers=3).raise_for_status()


@pytest.mark.parametrize("workers", [1, 2])
def test_no_more_assets_run_at_once_than_there_are_workers(workspace: Workspace, workers: int) -> None:
    workspace.assets("""
        def make(number):
            @asset(key=f"number_{number}")
            def step() -> int:
                return number
            return step

        steps = [make(number) for number in range(6)]
        """)
    watching = Watching()

    workspace.materialize(executor="threads", workers=workers, observer=watching).raise_for_status()

    running, most = 0, 0
    for told in watching.told:
        running += {"started": 1, "finished": -1}.get(told[0], 0) if isinstance(told, tuple) else 0
        most = max(most, running)
    assert (most, running) == (workers, 0)


def test_a_long_branch_does_not_hold_up_the_other(workspace: Workspace) -> None:
    workspace.assets("""
        done = threading.Event()

        @asset
        def slow() -> bool:
            return done.wait(30)

        @asset
        def quick() -> int:
            return 1

        @asset
        def below_quick(quick: int) -> int:
            done.set()
            return 2
        """)

    workspace.materialize(executor="threads", workers=2).raise_for_status()

    assert workspace.project().read("slow") is True


FAILING = """
@asset
def bad() -> int:
    ran("bad")
    raise ValueError("no")

@asset
def good() -> int:
    ran("good")
    return 1

@asset
def below_good(good: int) -> int:
    ran("below_good")
    return 2
"""


def test_a_failure_does_not_stop_what_does_not_depend_on_it(workspace: Workspace) -> None:
    workspace.assets(FAILING)

    assert workspace.outcomes() == {"bad": "failed", "good": "materialized", "below_good": "materialized"}


def test_fail_fast_starts_nothing_more_after_the_first_failure(workspace: Workspace) -> None:
    workspace.assets(FAILING)

    result = workspace.materialize(executor="inline", fail_fast=True)

    assert {one.asset: one.state for one in result} == {"bad": "failed", "good": "cancelled", "below_good": "cancelled"}
    assert workspace.ran() == ["bad"]
    assert result["good"].message == "not started: the run was stopped"
    assert (result.ok, result.interrupted) == (False, False)
    assert workspace.states() == {"bad": "failed", "good": "missing", "below_good": "missing"}


def test_fail_fast_lets_what_runs_finish_and_keeps_it(workspace: Workspace) -> None:
    workspace.assets("""
        running, failed = threading.Event(), threading.Event()

        @asset
        def bad() -> int:
            running.wait(30)
            failed.set()
            raise ValueError("no")

        @asset
        def long() -> bool:
            running.set()
            return failed.wait(30)

        @asset
        def below(long: bool) -> int:
            return 1
        """)

    result = workspace.materialize(executor="threads", workers=2, fail_fast=True)

    states: dict[str, str] = {one.asset: one.state for one in result}
    assert (states["bad"], states["long"]) == ("failed", "materialized")
    assert workspace.project().read("long") is True


INTERRUPTED = """
import signal

@asset
def first() -> int:
    ran("first")
    return 1

@asset
def second(first: int) -> int:
    ran("second")
    signal.raise_signal(signal.SIGNAL)
    ran("second went on")
    return 2

@asset
def third(second: int) -> int:
    ran("third")
    return 3
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_the_inline_step_and_keeps_what_was_committed(workspace: Workspace, name: str) -> None:
    workspace.assets(INTERRUPTED.replace("SIGNAL", name))

    result = workspace.materialize(executor="inline")

    assert workspace.ran() == ["first", "second"]
    assert {one.asset: one.state for one in result} == {
        "first": "materialized", "second": "cancelled", "third": "cancelled",
    }  # fmt: skip
    assert result["second"].message == "stopped: the run was interrupted"
    assert (result.ok, result.interrupted, result.signal_number) == (False, True, getattr(signal, name))
    (run,) = workspace.project().runs()
    assert (run.state, run.counts) == ("cancelled", {"materialized": 1, "cancelled": 2})
    assert workspace.project().read("first") == 1
    assert workspace.states() == {"first": "current", "second": "missing", "third": "missing"}


WAITING = """
running, go = threading.Event(), threading.Event()

@asset
def long() -> bool:
    running.set()
    return go.wait(30)

@asset
def below(long: bool) -> int:
    ran("below")
    return 1
"""


def test_a_signal_during_threads_lets_what_runs_finish(workspace: Workspace) -> None:
    workspace.assets(WAITING)

    class Interrupting(Watching):
        def tick(self) -> None:
            assets: Any = sys.modules["assets"]
            if assets.running.is_set() and not assets.go.is_set():
                signal.raise_signal(signal.SIGINT)

        def stopping(self, running: int) -> None:
            super().stopping(running)
            sys.modules["assets"].go.set()

    watching = Interrupting()
    result = workspace.materialize(executor="threads", observer=watching)

    assert {one.asset: one.state for one in result} == {"long": "materialized", "below": "cancelled"}
    assert result["below"].message == "not started: the run was interrupted"
    assert ("stopping", 1) in watching.told
    assert workspace.ran() == []
    assert workspace.materialize().counts == {"materialized": 1}


def test_a_second_signal_gives_up_what_runs_and_records_it_as_cancelled(workspace: Workspace) -> None:
    workspace.assets(WAITING)

    class Impatient(Watching):
        def tick(self) -> None:
            if sys.modules["assets"].running.is_set():
                signal.raise_signal(signal.SIGINT)

    try:
        with pytest.raises(KeyboardInterrupt):
            workspace.materialize(executor="threads", observer=Impatient())
    finally:
        sys.modules["assets"].go.set()
        for thread in threading.enumerate():
            if thread.name.startswith("assetflow-"):
                thread.join(30)

    run, attempts = workspace.project().run_details(1)
    assert run.state == "cancelled"
    assert [(one.asset, one.state) for one in attempts] == [("long", "cancelled")]
    assert workspace.states() == {"long": "missing", "below": "missing"}
    workspace.edit("go.wait(30)", "True")
    assert workspace.materialize().ok


def test_the_next_run_goes_on_where_an_interrupted_one_stopped(workspace: Workspace) -> None:
    workspace.assets(INTERRUPTED.replace("SIGNAL", "SIGINT"))
    workspace.materialize(executor="inline")
    workspace.ran()
    workspace.edit("    signal.raise_signal(signal.SIGINT)\n", "")

    assert workspace.outcomes() == {"second": "materialized", "third": "materialized"}
    assert workspace.ran() == ["second", "second went on", "third"]


def test_the_handlers_of_signals_are_back_after_a_run(workspace: Workspace) -> None:
    workspace.assets(FAILING)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    workspace.materialize()

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_keyboard_interrupt_that_user_code_raises_is_a_failure(workspace: Workspace) -> None:
    workspace.assets(FAILING)
    workspace.edit('raise ValueError("no")', "raise KeyboardInterrupt")

    assert workspace.outcomes()["bad"] == "failed"


def test_a_run_may_be_started_in_any_thread(workspace: Workspace) -> None:
    workspace.assets(DIAMOND)
    found: list[RunResult] = []

    thread = threading.Thread(target=lambda: found.append(workspace.materialize()))
    thread.start()
    thread.join()

    assert found[0].counts == {"materialized": 4}


class Watching(SilentObserver):
    """An observer that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def run_started(self, run_id: int, plan: Plan, workers: int) -> None:
        self.told.append(("run started", run_id, len(plan.run), workers))

    def step_started(self, asset: str, reasons: tuple[Reason, ...]) -> None:
        self.told.append(("started", asset, [reason.code for reason in reasons]))

    def step_finished(self, outcome: StepOutcome) -> None:
        self.told.append(("finished", outcome.asset, outcome.state))

    def stopping(self, running: int) -> None:
        self.told.append(("stopping", running))

    def warn(self, text: str) -> None:
        self.told.append(text)

    def run_finished(self, result: RunResult) -> None:
        self.told.append(("run finished", result.ok))


def test_an_observer_is_told_of_everything_in_order_by_the_calling_thread(workspace: Workspace) -> None:
    workspace.assets(FAILING)
    watching = Watching()

    workspace.materialize("bad or below_good", executor="inline", observer=watching)

    assert watching.told == [
        ("run started", 1, 3, 1),
        ("started", "bad", ["never_materialized"]),
        ("finished", "bad", "failed"),
        ("started", "good", ["never_materialized"]),
        ("finished", "good", "materialized"),
        ("started", "below_good", ["never_materialized"]),
        ("finished", "below_good", "materialized"),
        ("run finished", False),
    ]


def test_a_run_in_the_same_environment_is_refused_while_one_is_going_on(workspace: Workspace) -> None:
    workspace.assets(DIAMOND)
    project = workspace.project()
    lock = run_lock(read_settings(workspace.root, {}), "dev")

    with lock:
        assert lock.acquire(note='{"pid": 7, "user": "ann", "host": "desk", "since": 0}')
        with pytest.raises(RunConflict, match=r"pid 7, ann@desk"):
            project.materialize()
        assert workspace.materialize(env="other").ok

    assert project.materialize().ok


def test_a_run_waits_for_the_one_that_is_going_on(workspace: Workspace) -> None:
    workspace.assets(DIAMOND)
    lock = run_lock(read_settings(workspace.root, {}), "dev")
    assert lock.acquire()
    release = threading.Timer(0.05, lock.release)
    release.start()

    assert workspace.materialize(wait_s=30).ok
    release.join()


def test_what_another_run_made_since_the_first_look_counts(workspace: Workspace) -> None:
    workspace.assets(DIAMOND)
    lock = run_lock(read_settings(workspace.root, {}), "dev")
    assert lock.acquire()

    class Overtaken(SilentObserver):
        def queued(self, behind: str) -> None:  # it has looked, and waits for the lock
            lock.release()
            assert workspace.project().materialize().ok

    result = workspace.project().materialize(wait_s=30, observer=Overtaken())

    assert result.ok
    assert [run.run_id for run in workspace.project().runs()] == [1]


def test_heads_are_read_once_where_nothing_was_recorded_since(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.assets(DIAMOND)
    real, read = Database.rows, list[str]()

    def rows(database: Database, name: str, *parameters: object) -> list[tuple[object, ...]]:
        read.append(name)
        return real(database, name, *parameters)

    monkeypatch.setattr(Database, "rows", rows)
    assert workspace.project().materialize().ok
    assert read.count("heads_in") == 1


def test_a_head_moves_only_when_its_asset_succeeded(workspace: Workspace) -> None:
    workspace.assets(FAILING)
    project = workspace.project()
    project.materialize()

    heads = {row.spec.key: row.head.version.number if row.head else None for row in project.status()}

    assert heads == {"bad": None, "good": 1, "below_good": 1}
    assert project.history("bad") == ()


def test_what_was_committed_is_there_when_the_run_goes_on(workspace: Workspace) -> None:
    workspace.assets(FAILING)

    class Reading(Watching):
        def step_finished(self, outcome: StepOutcome) -> None:
            if outcome.asset == "good":
                self.told.append(workspace.project().read("good"))

    watching = Reading()
    workspace.materialize(executor="inline", observer=watching)

    assert 1 in watching.told


def test_assets_in_one_duckdb_file_are_made_at_the_same_time(workspace: Workspace) -> None:
    workspace.assets(
        """
        together = threading.Barrier(4, timeout=30)

        def make(number):
            @asset(key=f"marts.part_{number}", io="duckdb")
            def part() -> pa.Table:
                together.wait()
                return pa.table({"n": [number] * 100})
            return part

        parts = [make(number) for number in range(4)]
        """,
        settings='duckdb = "native"',
    )

    workspace.materialize(executor="threads", workers=4).raise_for_status()

    project = workspace.project()
    found = [project.read(f"part_{number}", as_=list[dict]) for number in range(4)]
    assert found == [[{"n": number}] * 100 for number in range(4)]


def test_a_duckdb_file_that_does_not_open_after_the_run_is_told_and_the_result_stands(workspace: Workspace) -> None:
    workspace.assets(
        """
        @asset(io="duckdb")
        def table() -> pa.Table:
            return pa.table({"n": [1]})

        @asset
        def apart() -> int:
            return 1
        """,
        settings='duckdb = "native"',
    )
    project = workspace.project()
    project.materialize().raise_for_status()
    project.settings.warehouse_path.write_bytes(b"not a database")
    watching = Watching()

    result = project.materialize("apart", force=True, observer=watching)

    assert result.ok
    assert watching.told[-2:] == [
        "the views in the DuckDB file are not up to date: warehouse.duckdb cannot be opened", ("run finished", True),
    ]  # fmt: skip
    assert project.runs()[0].state == "ok"


def test_an_asset_that_another_run_moved_meanwhile_keeps_the_newer_version(workspace: Workspace) -> None:
    workspace.assets(
        "@asset\ndef number() -> int:\n    return 1\n\n@asset\ndef below(number: int) -> int:\n    return 2\n"
    )
    project = workspace.project()
    project.materialize()
    workspace.edit("return 1", "return 11")

    class Overtaking(Watching):
        def step_started(self, asset: str, reasons: tuple[Reason, ...]) -> None:
            move_head(project, asset)

    result = workspace.materialize("number", observer=Overtaking())

    assert result["number"].state == "failed"
    assert result["number"].error is not None
    assert result["number"].error.code == Superseded.code
    assert project.read("number") == 1
    assert workspace.materialize("number").ok
    assert project.read("number") == 11


def move_head(project: Project, asset: str) -> None:
    """What another run does that found the current content again."""
    catalog = Catalog(project.settings.catalog_path, write=True)
    head = catalog.heads(project.env)[AssetKey(asset), ""]
    again = NewTrace(
        AssetKey(asset), "afk1:other", "", {}, {}, (), "run", 0.0, 0.0, None, {}, None, head.version.version_id,
        head.trace.trace_id,
    )  # fmt: skip
    assert catalog.commit(project.env, None, [again], 0.0)[0].moved
    catalog.close()


def test_a_run_that_was_ended_from_outside_records_nothing_more(workspace: Workspace) -> None:
    workspace.assets(FAILING)
    project = workspace.project()

    class Ending(Watching):
        def step_started(self, asset: str, reasons: tuple[Reason, ...]) -> None:
            catalog = Catalog(project.settings.catalog_path, write=True)
            catalog.finish_run(1, "died", {}, 0.0)
            catalog.close()

    with pytest.raises(Superseded, match="run #1 has been ended by another process"):
        project.materialize("good", observer=Ending())

    assert project.history("good") == ()
    assert [run.state for run in project.runs()] == ["died"]
    assert workspace.materialize("good").ok
