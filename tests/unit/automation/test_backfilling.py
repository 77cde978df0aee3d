"""Backfills through the public API: chunks, order, failures, and going on after whatever ended one."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from assetflow import Project
from assetflow.automation.backfilling import BackfillListener, BackfillResult
from assetflow.automation.chunks import BackfillPlan, Chunk
from assetflow.care.restoring import restore
from assetflow.catalog.locks import FileLock
from assetflow.errors import RunConflict, UsageError
from assetflow.model.keys import AssetKey
from assetflow.plan.staleness import Reason
from assetflow.run.outcome import Observer, RunResult, SilentObserver
from tests.unit.conftest import Workspace

ROOT = Path(__file__).resolve().parents[3]
SHOP = """
import os
import signal

HERE = Path(__file__).parent
DAYS = Daily("2026-01-28", end="2026-02-06")


def trouble(kind: str, partition: Partition) -> bool:
    return os.path.isdir(HERE / f"{kind}-{partition.key}")


@asset(partitions=DAYS)
def orders(partition: Partition) -> pa.Table:
    ran(f"orders {partition.key}")
    if trouble("bad", partition):
        raise ValueError("no such day")
    if trouble("interrupted", partition):
        os.kill(os.getpid(), signal.SIGINT)
    if trouble("killed", partition):
        os.kill(os.getpid(), signal.SIGKILL)
    return pa.table({"day": [partition.key]})


@asset(partitions=DAYS)
def week(orders: Annotated[pa.Table, In(window=-6)], partition: Partition) -> pa.Table:
    ran(f"week {partition.key}")
    return pa.table({"days": [len(orders)]})


@asset(partitions=Monthly("2026-01", end="2026-02"))
def month(orders: pa.Table, partition: Partition) -> pa.Table:
    ran(f"month {partition.key}")
    return pa.table({"days": [len(orders)]})


@asset
def total(orders: pa.Table) -> pa.Table:
    ran("total")
    return pa.table({"days": [len(orders)]})
"""
DAYS = [f"2026-01-{day}" for day in range(28, 32)] + [f"2026-02-0{day}" for day in range(1, 7)]


@pytest.fixture
def shop(workspace: Workspace) -> Workspace:
    workspace.assets(SHOP, 'executor = "inline"\ndiscover = false\n')
    return workspace


def chunks(plan: BackfillPlan) -> list[tuple[str, str]]:
    return [("+".join(chunk.assets), chunk.partitions) for chunk in plan.chunks]


def filled(shop: Workspace, selection: str | None = None, partitions: str = "2026") -> BackfillResult:
    project = shop.project()
    return project.backfill(project.plan_backfill(selection, partitions=partitions))


def test_each_chunk_is_a_run_and_what_has_no_partitions_is_made_once_at_the_end(shop: Workspace) -> None:
    project = shop.project()
    plan = project.plan_backfill(partitions="2026", chunk=4)

    assert chunks(plan) == [
        ("orders+week", "2026-01-28..2026-01-31"),
        ("orders+week", "2026-02-01..2026-02-04"),
        ("orders+week", "2026-02-05..2026-02-06"),
        ("month", "2026-01..2026-02"),
    ]
    assert (plan.total, plan.planned, plan.last) == (22, 22, ("total",))
    result = project.backfill(plan)

    assert result.ok
    assert (result.backfill.state, result.backfill.done, result.counts) == ("done", 22, {"materialized": 22})
    ran = shop.ran()
    assert sorted(ran[:8]) == sorted(f"{name} {day}" for name in ("orders", "week") for day in DAYS[:4])
    assert ran[-3:] == ["month 2026-01", "month 2026-02", "total"]
    runs = project.runs()
    assert [run.run_id for run in reversed(runs)] == list(result.runs)
    assert {run.trigger for run in runs} == {"backfill #1"}
    assert project.plan().is_empty
    again = project.plan_backfill(partitions="2026")
    assert (again.planned, again.chunks, again.last) == (0, (), ())


def test_the_newest_come_first_when_asked_for(shop: Workspace) -> None:
    plan = shop.project().plan_backfill("orders", partitions="2026-01-29..2026-02-02", order="newest", chunk=2)

    assert [what for _, what in chunks(plan)] == ["2026-02-01..2026-02-02", "2026-01-30..2026-01-31", "2026-01-29"]


def test_what_is_current_is_in_no_chunk_and_what_became_so_is_not_made_again(shop: Workspace) -> None:
    shop.materialize("orders", partitions="2026-01-30,2026-02-02")
    project = shop.project()
    plan = project.plan_backfill("orders", partitions="2026-01-29..2026-02-03")
    assert chunks(plan) == [("orders", "2026-01-29, 2026-01-31..2026-02-01, 2026-02-03")]
    assert plan.strips[0].states == ("missing", "current", "missing", "missing", "current", "missing")
    shop.materialize("orders", partitions="2026-01-31")
    shop.ran()

    result = project.backfill(plan)

    assert shop.ran() == ["orders 2026-01-29", "orders 2026-02-01", "orders 2026-02-03"]
    assert (result.ok, result.backfill.done, result.counts) == (True, 4, {"materialized": 3, "current": 1})


def test_what_needs_partitions_beyond_those_is_left_out_with_the_reason(shop: Workspace) -> None:
    result = filled(shop, "total or week", "2026-02-06")

    assert result.ok
    assert result.left_out == {"total": "made of all partitions, of which some are not current: 3 of orders"}
    assert sorted(shop.ran()) == [*(f"orders {day}" for day in DAYS[3:]), "week 2026-02-06"]


def test_partitions_of_others_that_are_needed_are_counted(shop: Workspace) -> None:
    plan = shop.project().plan_backfill("week", partitions="2026-02-06")

    assert (plan.planned, plan.beside) == (1, {"orders": 7})


def test_after_failures_the_rest_is_made_and_resuming_makes_what_is_left(shop: Workspace) -> None:
    (bad := shop.root / "bad-2026-02-05").mkdir()
    result = filled(shop)

    assert (result.backfill.state, result.failed, result.backfill.left) == ("failed", ("orders[2026-02-05]",), 4)
    assert result.left_out == {"total": "not all partitions are made: 4 left"}
    plan = shop.project().plan_backfill("orders or week", partitions="2026-02-04..")
    assert [strip.states for strip in plan.strips] == [("current", "failed", "current"), ("current", *["missing"] * 2)]

    bad.rmdir()
    shop.edit('end="2026-02-06"', 'end="2026-02-08"')
    shop.ran()
    project = shop.project()
    left = project.backfill_left(1)
    assert (left.planned, left.resumes, chunks(left)[0]) == (
        4,
        result.backfill,
        ("orders+week", "2026-02-05..2026-02-06"),
    )
    resumed = project.backfill(left)

    assert (resumed.ok, resumed.backfill.backfill_id, resumed.backfill.done) == (True, 1, 22)
    assert [name for name in shop.ran() if "orders" in name] == [
        "orders 2026-02-05",
        "orders 2026-02-07",
        "orders 2026-02-08",
    ]
    assert [one.state for one in project.backfills()] == ["done"]


def test_too_many_failures_stop_it_and_nothing_more_is_started(shop: Workspace) -> None:
    for day in DAYS[1:5]:
        (shop.root / f"bad-{day}").mkdir()
    project = shop.project()
    result = project.backfill(project.plan_backfill("orders", partitions="2026", chunk=3), max_failures=2)

    assert (result.backfill.state, result.backfill.failed, result.backfill.done) == ("stopped", 3, 1)
    assert shop.ran() == [f"orders {day}" for day in DAYS[:4]]
    assert len(result.runs) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_keeps_what_is_made_and_resuming_goes_on(shop: Workspace) -> None:
    (mark := shop.root / "interrupted-2026-01-30").mkdir()
    result = filled(shop, "orders")

    assert result.backfill.state == "interrupted"
    assert result.signal_number == 2
    done = result.backfill.done
    assert 2 <= done <= 3, "the one that was being made may have been kept"
    mark.rmdir()
    shop.ran()
    project = shop.project()

    assert project.backfill(project.backfill_left(1)).backfill.done == 10
    assert shop.ran() == [f"orders {day}" for day in DAYS[done:]]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_one_whose_process_was_killed_goes_on_with_what_is_left(shop: Workspace) -> None:
    (mark := shop.root / "killed-2026-02-03").mkdir()
    words = ["backfill", "orders", "-p", "2026", "--chunk", "3", "-q"]
    died = subprocess.run(
        [sys.executable, "-m", "assetflow", *words], cwd=shop.root, env={"PYTHONPATH": str(ROOT)}, check=False
    )
    assert died.returncode == -9
    mark.rmdir()
    project = shop.project()
    assert [(one.state, one.done, one.planned) for one in project.backfills()] == [("died", 6, 10)]
    shop.ran()

    resumed = project.backfill(project.backfill_left(1))

    assert (resumed.ok, resumed.backfill.done) == (True, 10)
    assert shop.ran() == [f"orders {day}" for day in DAYS[6:]]


class Doing(BackfillListener, SilentObserver):
    """Does something when the first asset partition of the second run begins, or when the first run has ended."""

    def __init__(self, *, begins: Callable[[], object] = bool, ended: Callable[[], object] = bool) -> None:
        self._begins, self._ended, self._number = begins, ended, 0

    def chunk_begins(self, chunk: Chunk, number: int, of: int) -> Observer | None:
        self._number = number
        return self

    def step_started(self, asset: AssetKey, reasons: tuple[Reason, ...]) -> None:
        if self._number == 2:
            self._number = 0
            self._begins()

    def chunk_ended(self, chunk: Chunk, result: RunResult, number: int, of: int) -> None:
        if number == 1:
            self._ended()


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_pausing_ends_the_run_that_goes_on_and_keeps_what_is_being_made(shop: Workspace) -> None:
    shop.edit("def orders(partition: Partition)", "def orders(partition: Partition, context: Context)")
    wait = 'while partition.key > "2026-02-01" and not context.cancelled:\n        pass'
    shop.edit('    if trouble("interrupted"', f'    {wait}\n    if trouble("interrupted"')
    shop.edit('executor = "inline"', 'executor = "threads"\nworkers = 1', "assetflow.toml")
    project = shop.project()
    pausing = threading.Thread(target=lambda: shop.project().pause_backfill(1))
    plan = project.plan_backfill("orders", partitions="2026", chunk=5)
    result = project.backfill(plan, listener=Doing(begins=pausing.start))
    pausing.join()

    assert (result.backfill.state, result.backfill.done, result.ok) == ("paused", 6, False)
    with pytest.raises(UsageError, match="backfill #1 is not running: it is paused"):
        project.pause_backfill(1)


def test_a_pause_that_comes_when_a_run_is_over_and_not_yet_counted_loses_nothing(shop: Workspace) -> None:
    class Late(Doing):
        def run_finished(self, result: RunResult) -> None:
            with suppress(KeyboardInterrupt):
                shop.project().pause_backfill(1)
            raise KeyboardInterrupt  # the signal arrives just now

    project = shop.project()
    result = project.backfill(project.plan_backfill("orders", partitions="2026", chunk=4), listener=Late())

    assert (result.backfill.state, result.backfill.done, result.ok) == ("paused", 4, False)
    assert [(one.state, one.done) for one in project.backfills()] == [("paused", 4)]
    resumed = project.backfill(project.backfill_left(1))
    assert (resumed.backfill.state, resumed.backfill.done) == ("done", 10)


def test_a_keyboard_interrupt_that_nobody_asked_a_pause_with_is_one(shop: Workspace) -> None:
    class Stopped(Doing):
        def run_finished(self, result: RunResult) -> None:
            raise KeyboardInterrupt

    project = shop.project()
    with pytest.raises(KeyboardInterrupt):
        project.backfill(project.plan_backfill("orders", partitions="2026", chunk=4), listener=Stopped())
    assert [one.state for one in project.backfills()] == ["interrupted"]


def test_one_that_is_paused_between_two_runs_begins_no_other(shop: Workspace) -> None:
    project = shop.project()
    plan = project.plan_backfill("orders", partitions="2026", chunk=4)
    result = project.backfill(plan, listener=Doing(ended=lambda: shop.project().pause_backfill(1)))

    assert (result.backfill.state, result.backfill.done) == ("paused", 4)
    resumed = project.backfill(project.backfill_left(1))
    assert (resumed.backfill.state, resumed.backfill.done) == ("done", 10)
    with pytest.raises(UsageError, match="it is done"):
        project.pause_backfill(1)


def test_only_one_process_is_at_a_backfill(shop: Workspace) -> None:
    (shop.root / "bad-2026-02-05").mkdir()
    filled(shop)
    project = shop.project()
    with FileLock(shop.root / ".assetflow" / "locks" / "backfill-1.lock") as lock:
        assert lock.acquire()
        with pytest.raises(RunConflict, match="another process is at backfill #1"):
            project.backfill(project.backfill_left(1))


def test_what_cannot_be_meant_is_refused(shop: Workspace) -> None:
    project = shop.project()
    with pytest.raises(UsageError, match="no asset of the selection has partitions"):
        project.plan_backfill("total", partitions="2026")
    with pytest.raises(UsageError, match="there is no order `up`"):
        project.plan_backfill(partitions="2026", order="up")
    with pytest.raises(UsageError, match="there is no backfill #7"):
        project.backfill_left(7)
    filled(shop, "orders", "2026-01-28")
    with pytest.raises(UsageError, match="backfill #1 is of env dev"):
        Project.load(shop.root, env="prod").backfill_left(1)


def test_a_catalog_that_is_made_again_says_which_backfills_it_does_not_know(shop: Workspace) -> None:
    filled(shop, "orders", "2026-01-28..2026-01-29")
    settings = shop.project().settings
    assert restore(settings).rebuilt.lost[-1:] == (
        "backfills #1: what they have made is there; ask for the same again, and only the rest is made",
    )
    shop.ran()

    filled(shop, "orders", "2026-01-28..2026-01-30")

    assert shop.ran() == ["orders 2026-01-30"]
    assert len(shop.project().backfills()) == 1
