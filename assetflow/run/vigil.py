"""Watching a child carry out a task: what it writes, what it tells, its limits, and its end."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from contextlib import suppress
from pickle import UnpicklingError

from assetflow.errors import InternalError
from assetflow.model.policies import Limits
from assetflow.run import kernel
from assetflow.run.deaths import Death
from assetflow.run.failure import step_error
from assetflow.run.messages import receive, send
from assetflow.run.nest import Child, has_ended
from assetflow.run.nursery import Loading
from assetflow.run.reports import Tell
from assetflow.run.steplog import StepLog
from assetflow.run.task import NodeResult, Task
from assetflow.run.worker import Done, Order, Told

TERM_S = 3.5
"""What a child that was asked to end gets to do so; then it is killed, with all that it started."""

_TICK_S, _MEMORY_TICK_S, _FAMILY_S = 0.1, 0.02, 0.3
_STACK_S, _STACK_QUIET_S = 1.0, 0.05
_CHUNK = 1 << 16


class Vigil:
    """One task in one child. `is_stopping` says whether the run asks its children to end, and when it does not wait."""

    def __init__(
        self,
        child: Child,
        task: Task,
        limits: Limits,
        tell: Tell,
        is_stopping: Callable[[], bool],
        log_limit: int,
    ) -> None:
        self._child, self._task, self._limits = child, task, limits
        self._tell, self._is_stopping = tell, is_stopping
        self._began = time.monotonic()
        self._memory_kills = kernel.memory_kills()
        self._why, self._stack, self._silent_s = "", "", None
        self._kill_at: float | None = None
        self._peak = 0
        self._family: tuple[int, ...] = ()
        self._family_at = 0.0
        self.is_lost = False
        self._log: StepLog | None = None
        self._log_limit = log_limit

    def watch(self, *, alone: bool) -> Done | Death:
        """Give the task to the child and wait for the end of one of them."""
        with suppress(OSError):  # it is dead: the loop will see it
            send(self._child.connection, Order(self._task, self._child.owner, alone))
        return self.go_on()

    def go_on(self) -> Done | Death:
        """Wait until the child has answered, or has ended, on its own or by a limit."""
        poller = select.poll()
        for descriptor in (self._child.connection.fileno(), self._child.output):
            poller.register(descriptor, select.POLLIN)
        if self._child.handle is not None:
            poller.register(self._child.handle, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poller.poll(self._tick_s() * 1000)}
            if self._child.output in ready and not self.copy_output():
                poller.unregister(self._child.output)
            if self._child.connection.fileno() in ready and not self.is_lost:
                answer = self._message()
                if answer is not None:
                    return self._judged(answer)
                if self.is_lost:
                    poller.unregister(self._child.connection)
            if self._child.handle in ready or (self.is_lost and self._child.handle is None):
                return self.death()
            self._keep_limits()

    def end(self, why: str, grace_s: float = TERM_S) -> None:
        """Ask the child to end, and let it be killed when it has not after that time."""
        self._why, self._kill_at = why, time.monotonic() + grace_s
        if why == "timeout":
            self._silent_s = self._silence()
            self._stack = self._ask_stack()
        if grace_s > 0:
            self._child.terminate()

    def death(self) -> Death:
        """What is known of the end so far: the status is only known to the nursery."""
        self.copy_output()
        stack = self._stack or _read_all(self._child.stack)
        is_short = not self._why and kernel.memory_kills() > self._memory_kills
        key = next(iter(self._task.origins), self._task.node)
        return Death(
            str(key), self._limits, why=self._why, is_memory_short=is_short, peak_bytes=self._peak,
            silent_s=self._silent_s, stack=stack,
        )  # fmt: skip

    def copy_output(self) -> bool:
        """Move what the child wrote past Python into the log of the attempt; whether there may be more."""
        while True:
            try:
                data = os.read(self._child.output, _CHUNK)
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not data:
                return False
            self._write(data)
            if len(data) < _CHUNK:
                return True

    def write(self, text: str) -> None:
        """Add text to the log of the attempt."""
        self._write((text if text.endswith("\n") else text + "\n").encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """The log is complete."""
        with suppress(OSError):
            if self._log is None:
                self._write(b"")
            if self._log is not None:
                self._log.close()

    @property
    def seconds(self) -> float:
        """How long it took so far."""
        return time.monotonic() - self._began

    def _judged(self, answer: Done) -> Done | Death:
        """The answer counts unless the child was already asked to end: what it then says is about that."""
        self.copy_output()
        return self.death() if self._why else answer

    def _message(self) -> Done | None:
        try:
            message = receive(self._child.connection)[0]
        except (EOFError, OSError, UnpicklingError):
            self.is_lost = True
            # The child has ended, or is about to, or user code has closed our files and computes for nobody.
            if self._child.handle is not None and not has_ended(self._child, 0.5) and not self._why:
                self.end("lost", 0.0)
            return None
        if isinstance(message, Told):
            self._tell(message.report)
        elif isinstance(message, Loading):  # a child that loads by itself could not
            return Done(_failed(self._task, message), "everything")
        elif isinstance(message, Done):
            return message
        return None

    def _tick_s(self) -> float:
        return _MEMORY_TICK_S if self._limits.memory_bytes is not None else _TICK_S

    def _keep_limits(self) -> None:
        now, limits = time.monotonic(), self._limits
        if self._kill_at is not None:
            if now >= self._kill_at:
                self._child.kill()
        elif limits.timeout_s is not None and now - self._began > limits.timeout_s:
            self.end("timeout")
        elif self._is_stopping():
            self.end("stopped", TERM_S / 2)
        elif limits.memory_bytes is not None and self._memory(now) > limits.memory_bytes:
            self.end("memory", 0.0)  # it would take more while it ends

    def _memory(self, now: float) -> int:
        """The memory of the child and of all that it started; who that is, is only looked up now and then."""
        if now - self._family_at > _FAMILY_S:
            self._family, self._family_at = tuple(kernel.family(self._child.pid)), now
        found = sum(kernel.resident_bytes(pid) for pid in (self._child.pid, *self._family))
        self._peak = max(self._peak, found)
        return found

    def _ask_stack(self) -> str:
        self._child.ask_for_stack()
        found, deadline = "", time.monotonic() + _STACK_S
        poller = select.poll()
        poller.register(self._child.stack, select.POLLIN)
        while time.monotonic() < deadline:
            if poller.poll((_STACK_QUIET_S if found else _STACK_S) * 1000):
                part = _read_all(self._child.stack)
                if not part:
                    break
                found += part
            elif found:
                break
        return found

    def _silence(self) -> float | None:
        try:
            found = self._task.log_file.stat()
        except OSError:
            return None
        return max(0.0, time.time() - found.st_mtime) if found.st_size else None

    def _write(self, data: bytes) -> None:
        with suppress(OSError):  # a log that cannot be written must not end the run
            if self._log is None:
                self._log = StepLog(self._task.log_file, self._log_limit)
            self._log.feed(data)


def _failed(task: Task, message: Loading) -> NodeResult:
    now = time.time()
    error = message.error or step_error(InternalError("a child process began twice"), None)
    return NodeResult(task, now, now, {}, error=error)


def _read_all(descriptor: int) -> str:
    parts = b""
    with suppress(BlockingIOError, OSError):
        while part := os.read(descriptor, _CHUNK):
            parts += part
    return parts.decode("utf-8", "replace")
