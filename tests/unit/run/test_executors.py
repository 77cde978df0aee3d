"""One suite for all executors: it holds for ours, and it finds those that break a rule."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from assetflow.run.ahead import Announce, Announced
from assetflow.run.executor import Executor, InlineExecutor, Means, ThreadExecutor
from assetflow.run.interrupt import Interrupts
from assetflow.run.processes import Children
from assetflow.run.task import NodeResult, Task
from assetflow.testing import Site, check_executor

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace


@pytest.fixture
def cleanup() -> Generator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("workers", [1, 3])
def test_inline_and_threads_hold_to_the_rules(workers: int) -> None:
    check_executor(lambda site: InlineExecutor(site.means), workers=workers)
    check_executor(lambda site: ThreadExecutor(site.means), workers=workers)


class WithChildren(ThreadExecutor):
    """Threads that wait for child processes, which end with the executor."""

    def __init__(self, site: Site) -> None:
        log = site.settings.state_path / "processes.log"
        self._children = Children(site.settings, site.loaded.nodes, site.storage, log)
        super().__init__(
            replace(
                site.means, work=lambda task, announce: self._children.carry_out(task), cancel=self._children.cancel
            )
        )

    def close(self) -> None:
        super().close()
        self._children.close()


def test_processes_hold_to_the_rules() -> None:
    check_executor(WithChildren, ends=True)


class Doubled(InlineExecutor):
    def wait(self, timeout_s: float) -> list[NodeResult | Announced]:
        return super().wait(timeout_s) * 2


class Boundless(ThreadExecutor):
    @property
    def capacity(self) -> int:
        return 1000


class OneAfterAnother(InlineExecutor):
    @property
    def workers(self) -> int:
        return 2

    @property
    def capacity(self) -> int:
        return 2 - len(self._waiting)


class Raising(InlineExecutor):
    def start(self, task: Task) -> None:
        super().start(replace(task, attempt=9))


@pytest.mark.parametrize(
    ("broken", "rule"),
    [
        (Doubled, "every task has one result|not enough values|too many values"),
        (Boundless, "at first all workers are idle"),
        pytest.param(OneAfterAnother, "at the same time", marks=pytest.mark.slow),
        (Raising, "names the task"),
    ],
)
def test_what_breaks_a_rule_is_found(broken: type[Executor], rule: str) -> None:
    with pytest.raises(AssertionError, match=rule):
        check_executor(lambda site: broken(site.means))  # pyright: ignore[reportCallIssue]


def a_task(name: str = "quick") -> Task:
    return Task(name, 1, "dev", 1, {}, {}, {}, {}, {}, Path("log"))


def test_threads_take_some_tasks_in_advance_while_all_are_quick() -> None:
    def room_after(seconds: float, *, strict: bool = False) -> int:
        def work(task: Task, announce: Announce | None) -> NodeResult:
            return NodeResult(task, 100.0, 100.0 + seconds, {})

        executor = ThreadExecutor(Means(work, 2, Interrupts(), strict=strict))
        done = 0
        while done < 20:
            executor.start(a_task())
            done += len(executor.wait(5))
        executor.close()
        return executor.capacity

    assert room_after(0.01) > 2
    assert room_after(1.0) == 2
    assert room_after(0.01, strict=True) == 2


@pytest.mark.parametrize("computes", [True, False])
def test_one_thread_carries_out_tiny_tasks_that_compute_and_never_keeps_the_others_waiting(
    computes: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, meeting = list[int](), threading.Barrier(2)
    if computes:  # by a clock that no other program delays
        monkeypatch.setattr(time, "thread_time", time.monotonic)

    def work(task: Task, announce: Announce | None) -> NodeResult:
        if task.node == "slow":
            meeting.wait(30)  # until the other one has been begun too
        else:
            served.append(threading.get_ident())
            time.sleep(0.001)
        return NodeResult(task, 100.0, 100.01, {})

    # A time in which a busy machine lets tasks take long, so that both threads are tried again, ends.
    executor = ThreadExecutor(Means(work, 2, Interrupts()))
    under_way, until = 0, time.monotonic() + 60
    while len(served) < 100 or len(set(served[-50:])) != (1 if computes else 2):
        assert time.monotonic() < until
        while executor.capacity:
            executor.start(a_task())
            under_way += 1
        under_way -= len(executor.wait(5))
    calm = 0
    while computes and calm < 5:  # it begins no other task while who hands them out is at work
        assert time.monotonic() < until
        while executor.capacity:
            executor.start(a_task())
            under_way += 1
        under_way -= len(executor.wait(5))
        before, began = len(served), time.monotonic()
        time.sleep(0.006)
        lasted = time.monotonic() - began
        calm = 0 if len(served) - before > 1 else calm + (lasted < 0.015)
    while under_way:
        under_way -= len(executor.wait(5))

    executor.start(a_task("slow"))
    executor.start(a_task("slow"))
    ended = 0
    while ended < 2:
        ended += len(executor.wait(0.05))
    executor.close()


def test_task_that_waits_for_a_thread_is_given_back_when_the_run_is_stopped() -> None:
    interrupts, begun = Interrupts(), list[str]()
    is_there, go_on = threading.Event(), threading.Event()

    def work(task: Task, announce: Announce | None) -> NodeResult:
        begun.append(task.node)
        if task.node == "last":
            is_there.set()
            assert go_on.wait(10)
        return NodeResult(task, 100.0, 100.01, {})

    executor = ThreadExecutor(Means(work, 1, interrupts))
    done = 0
    while done < 20:
        executor.start(a_task())
        done += len(executor.wait(5))
    assert executor.capacity > 2
    executor.start(a_task("last"))
    executor.start(a_task("never"))
    assert is_there.wait(10)
    interrupts.is_expired = True
    go_on.set()

    results: list[NodeResult] = []
    while len(results) < 2:
        results += [one for one in executor.wait(5) if isinstance(one, NodeResult)]
    executor.close()
    assert [(one.task.node, one.is_denied) for one in results] == [("last", False), ("never", True)]
    assert "never" not in begun


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_an_error_of_ours_ends_the_run_and_leaves_nobody_waiting(workspace: Workspace, executor: str) -> None:
    workspace.assets("""
        @asset
        def orders() -> int:
            skip = Skip("later")
            skip.reason = 5  # which nothing of ours expects
            raise skip

        @asset
        def apart() -> int:
            return 1
        """)

    with pytest.raises((AttributeError, TypeError)):  # the one or the other, as there are secrets to look for
        workspace.materialize(executor=executor)
