"""Steps in child processes: for assets that need one, and for all with `executor = "processes"`.

A thread of the coordinator waits for each child that works, so this is only another way to carry out a task. Children
are used again when their task left them as they were; one that has a limit to keep is not.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Mapping
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from assetflow.errors import AssetDied, AssetflowError
from assetflow.io.storage import Storage
from assetflow.load.live import LiveNode
from assetflow.load.settings import Settings
from assetflow.run.ahead import Announce
from assetflow.run.deaths import Death, death_error, equal_exception
from assetflow.run.executor import Work
from assetflow.run.failure import step_error
from assetflow.run.messages import receive, send
from assetflow.run.nest import Child, Nest, NoChild, has_ended
from assetflow.run.nursery import Buried
from assetflow.run.reports import Tell, tell_nobody
from assetflow.run.task import NodeResult, Task
from assetflow.run.vigil import Vigil
from assetflow.run.worker import Done, Goodbye

_GOODBYE_S, _BURY_S = 5.0, 5.0
_NESTS = 4
"""A nursery that is killed is replaced, but not for ever."""


class Children:
    """The child processes of one run."""

    def __init__(
        self,
        settings: Settings,
        nodes: Mapping[str, LiveNode],
        storage: Storage,
        log: Path,
        config: Mapping[str, Mapping[str, object]] | None = None,
        tell: Tell = tell_nobody,
    ) -> None:
        self._settings, self._nodes, self._storage = settings, nodes, storage
        self._log, self._config, self._tell = log, config or {}, tell
        self._lock = threading.Lock()
        self._nest: Nest | None = None
        self._nests = 0
        self._idle: deque[tuple[Nest, Child]] = deque()
        self._busy: dict[int, Child] = {}
        self._is_stopping = False
        self._is_closed = False
        self.warnings: list[str] = []

    def begin(self) -> None:
        """Let the project be loaded for them, while other things go on; without this it begins with the first task."""
        try:
            self._current_nest()
        except NoChild:
            return  # the first task that wants a child is told

    def carry_out(self, task: Task) -> NodeResult:
        """Carry out a task in a child; whatever goes wrong, up to the death of the child, is in the result."""
        began, node = time.time(), self._nodes[task.node]
        try:
            nest, child = self._take(alone=node.limits.needs_process)
        except NoChild as error:
            return NodeResult(task, began, time.time(), {}, error=error.told)
        limit = self._settings.log_limit
        with closing(Vigil(child, task, node.limits, self._tell, lambda: self._is_stopping, limit)) as vigil:
            return self._watched(vigil, nest, child, task, began)

    def _watched(self, vigil: Vigil, nest: Nest, child: Child, task: Task, began: float) -> NodeResult:
        node = self._nodes[task.node]
        alone = node.limits.needs_process
        try:
            try:
                answer = vigil.watch(alone=alone)
            except KeyboardInterrupt:  # the thread of the caller, in which a debugger would work as well
                vigil.end("stopped")
                answer = vigil.go_on()
            if isinstance(answer, Done) and not alone and not answer.left_behind and not self._is_closed:
                with self._lock:
                    self._idle.append((nest, child))
                    self._busy.pop(child.pid, None)
                return replace(answer.result, task=task)
        except BaseException:
            self._end(nest, child, vigil)
            raise
        buried = self._end(nest, child, vigil)
        if isinstance(answer, Done):
            self.warnings += answer.warnings
            self._sweep(child, answer.result)
            return replace(answer.result, task=task)
        self._sweep(child, None)
        return self._died(task, node, answer, buried, began, vigil)

    def cancel(self) -> None:
        """Ask all children to end; those that do not within two seconds are killed."""
        self._is_stopping = True

    def close(self) -> None:
        """End all children. Those that have nothing to do put their resources away first, the others are killed."""
        self._is_closed = True
        with self._lock:
            idle, busy = [*self._idle], [*self._busy.values()]
            self._idle.clear()
        for child in busy:
            child.kill()
        deadline = time.monotonic() + (0.0 if busy or self._is_stopping else _GOODBYE_S)
        for _, child in idle:
            if time.monotonic() < deadline:
                self._say_goodbye(child, deadline)
            child.kill()
        if self._nest is not None:
            self._nest.close()
        for _, child in idle:
            child.close()
        with suppress(OSError):
            if not self._log.stat().st_size:
                self._log.unlink()

    def _current_nest(self) -> Nest:
        with self._lock:
            if self._nest is not None and not self._nest.is_gone:
                return self._nest
            if self._nest is not None:
                self._nest.close()
            if self._is_closed or self._is_stopping:
                raise NoChild(step_error(KeyboardInterrupt(), None))
            if self._nests >= _NESTS:
                gone = AssetDied("the process that starts child processes was killed again and again")
                raise NoChild(step_error(gone, None))
            self._nests += 1
            self._nest = Nest(self._settings, self._config, self._log)
            return self._nest

    def _take(self, *, alone: bool) -> tuple[Nest, Child]:
        with self._lock:
            while self._idle and not alone:
                nest, child = self._idle.pop()
                if not has_ended(child):
                    self._busy[child.pid] = child
                    return nest, child
                nest.bury(child)
                child.close()
        nest = self._current_nest()
        self._warn_of_threads(nest)
        if self._is_stopping:
            raise NoChild(step_error(KeyboardInterrupt(), None))
        child = nest.bear()
        with self._lock:
            self._busy[child.pid] = child
        return nest, child

    def _warn_of_threads(self, nest: Nest) -> None:
        threads = nest.ready().threads
        text = (
            f"importing the project starts threads ({threads}), so child processes cannot be forked: each of them "
            "imports the project by itself, which is slower"
        )
        if threads and text not in self.warnings:
            self.warnings.append(text)

    def _end(self, nest: Nest, child: Child, vigil: Vigil) -> Buried | None:
        """End a child with all that it has started, whatever it is doing."""
        # Without a handle it may have ended by itself just now: then that is how it ended.
        buried = _buried(nest, child, 0.2) if child.handle is None and vigil.is_lost else None
        child.kill()
        has_ended(child, _BURY_S)
        buried = buried or _buried(nest, child, _BURY_S)
        vigil.copy_output()
        with self._lock:
            self._busy.pop(child.pid, None)
        child.close()
        return buried

    def _sweep(self, child: Child, result: NodeResult | None) -> None:
        """Remove what a child that has ended was writing, or a copy that it forked, but not what waits for others."""
        files = () if result is None else tuple(result.on_files.values())
        with suppress(AssetflowError):  # the next run sweeps as well
            spared = {Path(value.path).parent.name for value in files}
            self._storage.sweep((), dead_owner=child.owner, spared=spared)

    def _died(
        self, task: Task, node: LiveNode, death: Death, buried: Buried | None, began: float, vigil: Vigil
    ) -> NodeResult:  # fmt: skip
        if buried is not None:
            peak = max(death.peak_bytes, buried.peak_bytes)
            death = replace(death, status=buried.status, peak_bytes=peak)
        error = death_error(death, self._settings.root)
        vigil.write("\n".join(part for part in (error.text, error.message) if part))
        retry = node.retry
        is_retryable = death.why != "stopped" and retry is not None and retry.covers(equal_exception(death))
        return NodeResult(
            task, began, time.time(), {"compute": vigil.seconds}, error=error, is_retryable=is_retryable,
            peak_memory_bytes=death.peak_bytes or None,
        )  # fmt: skip

    def _say_goodbye(self, child: Child, deadline: float) -> None:
        try:
            child.connection.settimeout(max(0.1, deadline - time.monotonic()))
            send(child.connection, None)
            answer: Any = receive(child.connection)[0]
        except (EOFError, OSError):
            return
        if isinstance(answer, Goodbye):
            self.warnings += answer.warnings


def _buried(nest: Nest, child: Child, most_s: float) -> Buried | None:
    deadline = time.monotonic() + most_s
    while (found := nest.bury(child)) is None and not nest.is_gone and time.monotonic() < deadline:
        time.sleep(0.01)
    return found


def routed(here: Work, children: Children, nodes: Mapping[str, LiveNode], *, everything: bool) -> Work:
    """Carries out a task in a child where the asset needs one, or `everything` is to be; else `here`."""

    def carry_out(task: Task, announce: Announce | None) -> NodeResult:
        apart = everything or nodes[task.node].limits.needs_process
        return children.carry_out(task) if apart else here(task, announce)

    return carry_out
