"""Where steps are carried out: in this thread, or in a pool of threads, each of which may wait for a child process.

All behind one small interface; `assetflow.testing.check_executor` is the suite for it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Protocol

from msgspec import Struct

from assetflow.run.ahead import Announce, Announced
from assetflow.run.interrupt import Interrupts
from assetflow.run.pace import LOOK_BACK, QUICK_S, Pace
from assetflow.run.task import NodeResult, Task

_QUEUED = 4
"""Tasks for each thread while they are quick."""

_TINY_S, _BUSY = 0.02, 0.6
"""Of steps that take less, threads mostly wait for each other when together they compute for this share of the time."""

_NAP_S = 0.02
"""So long at most results of tiny steps come together before they are taken."""

Work = Callable[[Task, Announce | None], NodeResult]
"""Carries out one task. It never raises: what goes wrong is in the result.

It may announce what it has made before it is published, where somebody listens.
"""


def nothing() -> None:
    """What runs in this process cannot be ended from outside."""


class Means(Struct, frozen=True):
    """What an executor is made of: a way to carry out a task, and how many at a time.

    `cancel` ends what `work` has started elsewhere, such as child processes, so that the calls return. A `strict`
    executor takes no task that it cannot begin at once: the next one may depend on how those before it end.
    """

    work: Work
    workers: int
    interrupts: Interrupts
    cancel: Callable[[], None] = nothing
    strict: bool = False


class Executor(Protocol):
    """Carries out tasks. `start` is only called while there is `capacity`."""

    @property
    def workers(self) -> int:
        """How many tasks can be carried out at the same time."""
        ...

    @property
    def capacity(self) -> int:
        """How many more tasks can be started now."""
        ...

    @property
    def is_here(self) -> bool:
        """Whether tasks are carried out within `wait`, however long they take."""
        ...

    def start(self, task: Task) -> None:
        """Begin a task."""
        ...

    def wait(self, timeout_s: float) -> list[NodeResult | Announced]:
        """The results and announcements that have come, waiting at most `timeout_s` for the first."""
        ...

    def cancel(self) -> None:
        """End what runs, as far as that can be ended from outside: its results, of whatever kind, come by `wait`."""
        ...

    def close(self) -> None:
        """Free what the executor holds; tasks that are still running are left alone."""
        ...


class InlineExecutor:
    """Carries out each task in the calling thread when `wait` is called: a debugger works, nothing runs at once."""

    def __init__(self, means: Means) -> None:
        self._work, self._interrupts, self._cancel = means.work, means.interrupts, means.cancel
        self._waiting: deque[Task] = deque()

    @property
    def workers(self) -> int:
        """One."""
        return 1

    @property
    def capacity(self) -> int:
        """One when nothing waits."""
        return 1 - len(self._waiting)

    @property
    def is_here(self) -> bool:
        """Yes."""
        return True

    def start(self, task: Task) -> None:
        """Keep the task until somebody waits for it."""
        self._waiting.append(task)

    def wait(self, timeout_s: float) -> list[NodeResult | Announced]:
        """Carry out the task that waits."""
        if not self._waiting:
            return []
        with self._interrupts.raising():
            return [self._work(self._waiting.popleft(), None)]

    def cancel(self) -> None:
        """End what the work has started elsewhere."""
        self._cancel()

    def close(self) -> None:
        """Nothing is held."""


class ThreadExecutor:
    """Carries out tasks in threads of this process: pandas, Arrow and DuckDB release the lock for heavy work.

    The threads are daemons, so that a second Ctrl-C ends the process though a step does not.

    While tasks take next to no time some more are taken than there are threads: these then need not wait for who hands
    them out, who records several ends at once. Tiny ones that compute in Python keep each other from the interpreter,
    which only one thread has at a time, and pay for each change of hands: then one thread carries them all out, and
    begins none while who hands them out is at work outside `wait`, unless that takes longer than `_NAP_S`.
    """

    def __init__(self, means: Means) -> None:
        self._work, self._workers, self._cancel = means.work, means.workers, means.cancel
        self._interrupts, self._strict = means.interrupts, means.strict
        self._pace = Pace()
        self._running = 0
        self._tasks: SimpleQueue[Task | None] = SimpleQueue()
        self._results: SimpleQueue[NodeResult | Announced | BaseException] = SimpleQueue()
        self._threads: list[threading.Thread] = []
        self._took: deque[tuple[float, float]] = deque(maxlen=LOOK_BACK)
        self._several = threading.Event()
        self._several.set()
        self._may_go_on = threading.Event()
        self._may_go_on.set()
        self._last_result = 0.0

    @property
    def workers(self) -> int:
        """The size of the pool."""
        return self._workers

    @property
    def capacity(self) -> int:
        """The workers that are idle, and room for what they do next while all is quick."""
        return self._workers * (_QUEUED if self._pace.is_quick and not self._strict else 1) - self._running

    @property
    def is_here(self) -> bool:
        """No, in threads."""
        return False

    def start(self, task: Task) -> None:
        """Hand the task to an idle thread, starting one if there are fewer than allowed."""
        self._running += 1
        if len(self._threads) < min(self._running, self._workers):
            number = len(self._threads)
            thread = threading.Thread(target=self._serve, args=[number], name=f"assetflow-{number}", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._tasks.put(task)

    def wait(self, timeout_s: float) -> list[NodeResult | Announced]:
        """The results and announcements that have come, waiting at most `timeout_s` for the first.

        An error of ours in a thread is raised here: nobody would ever hear of its task.
        """
        results: list[NodeResult | Announced] = []
        self._may_go_on.set()
        try:
            results.append(_unless_broken(self._results.get(timeout=timeout_s)))
            if not self._several.is_set():
                time.sleep(self._nap_s())  # to take more at once: each look takes the interpreter from the one thread
            while True:
                results.append(_unless_broken(self._results.get_nowait()))
        except Empty:
            pass
        now = time.monotonic()
        if results:
            self._running -= sum(isinstance(one, NodeResult) for one in results)
            self._pace.note(results)
            self._choose()
            self._last_result = now
        elif now - self._last_result > QUICK_S:  # what runs now is not tiny, and the others shall not wait for it
            self._several.set()
        if not self._several.is_set():
            self._may_go_on.clear()
        return results

    def _choose(self) -> None:
        """Decide whether one thread is to carry out all, by how long the last steps took and how much they computed."""
        took = [*self._took]
        wall_s, cpu_s = sum(wall for wall, _ in took), sum(cpu for _, cpu in took)
        threads = self._workers if self._several.is_set() else 1
        is_tiny = self._pace.is_quick and len(took) == LOOK_BACK and wall_s < LOOK_BACK * _TINY_S
        if is_tiny and cpu_s * threads > _BUSY * wall_s:
            self._several.clear()
        else:
            self._several.set()

    def _nap_s(self) -> float:
        """For how long the thread that is left has enough to do, by half."""
        wall_s = sum(wall for wall, _ in [*self._took])
        return min(_NAP_S, wall_s / LOOK_BACK * max(0, self._running - 1) / 2)

    def cancel(self) -> None:
        """End what the work has started elsewhere; a function that runs in a thread goes on."""
        self._cancel()

    def close(self) -> None:
        """Let idle threads end, and see them do so: one that ends with the interpreter may take it down."""
        threads, self._threads = self._threads, []
        self._several.set()
        self._may_go_on.set()
        for _ in threads:
            self._tasks.put(None)
        if not self._running:
            for thread in threads:
                thread.join(timeout=1.0)

    def _next_task(self, number: int) -> Task | None:
        if number:
            self._several.wait()
        task = self._tasks.get()
        self._may_go_on.wait(_NAP_S)
        return task

    def _serve(self, number: int) -> None:
        while (task := self._next_task(number)) is not None:
            if self._interrupts.is_stopping:  # it waited here, and was not begun
                now = time.time()
                self._results.put(NodeResult(task, now, now, {}, is_denied=True))
            else:
                began, computed = time.monotonic(), time.thread_time()
                try:
                    result = self._work(task, self._results.put)
                except BaseException as error:  # noqa: BLE001 - raised again by who waits for the result
                    self._results.put(error)
                    return
                self._took.append((time.monotonic() - began, time.thread_time() - computed))
                self._results.put(result)


def _unless_broken(found: NodeResult | Announced | BaseException) -> NodeResult | Announced:
    if isinstance(found, BaseException):
        raise found
    return found
