"""One suite for all executors: it holds for ours, and it finds those that break a rule."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from assetflow.run.ahead import Announced
from assetflow.run.executor import Executor, InlineExecutor, ThreadExecutor
from assetflow.run.processes import Children
from assetflow.run.task import NodeResult, Task
from assetflow.testing import Site, check_executor


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
