"""A child process that carries out tasks: what it is given, what it answers, and what a task left behind.

The coordinator holds the other end of `connection`, and reads what the child writes to its standard output and error.
User code runs in the main thread, and may do anything: so nothing here relies on the process being well afterwards.
"""

from __future__ import annotations

import faulthandler
import locale
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, NoReturn, cast

from msgspec import Struct
from msgspec.structs import replace

from assetflow.errors import PlanMoved
from assetflow.load.live import Loaded, make_resource
from assetflow.load.settings import Settings
from assetflow.load.slotted import with_slots
from assetflow.model.keys import split_slot
from assetflow.run import kernel
from assetflow.run.capture import capturing
from assetflow.run.discovered import Discovery
from assetflow.run.failure import step_error
from assetflow.run.handover import FileHandover
from assetflow.run.messages import receive, send
from assetflow.run.reports import Report
from assetflow.run.resources import ResourcePool
from assetflow.run.step import Workbench, run_step
from assetflow.run.storing import storage_of
from assetflow.run.task import NodeResult, Task

LOST = 87
"""The exit code of a child whose connection is gone: its coordinator ended, or user code closed it."""

STACK_SIGNAL = int(
    getattr(signal, "SIGRTMIN", getattr(signal, "SIGUSR2", 12)) + (9 if hasattr(signal, "SIGRTMIN") else 0)
)
"""The signal that makes a child write the stacks of its threads, in the handler of C: nothing can hold that up."""

_HIGH = 200
"""Our files get numbers from here on: code that closes "all" files often means the first few."""


class Order(Struct, frozen=True):
    """One task for a child. `owner` marks what it writes; `alone` means that the child ends with the task."""

    task: Task
    owner: str
    alone: bool


class Done(Struct, frozen=True):
    """The answer to an order. `left_behind` names what is not as it was, `warnings` what did not fail the task."""

    result: NodeResult
    left_behind: str = ""
    warnings: tuple[str, ...] = ()


class Told(Struct, frozen=True):
    """Something that a step tells while it runs."""

    report: Report


class Goodbye(Struct, frozen=True):
    """The child has put its resources away and ends."""

    warnings: tuple[str, ...] = ()


def serve(settings: Settings, loaded: Loaded, descriptors: list[int]) -> NoReturn:
    """Be a child process until the coordinator says that it is enough: this never returns.

    `descriptors` are the connection to the coordinator, the output, and where stacks of threads go.
    """
    code = LOST
    with suppress(EOFError, OSError, KeyboardInterrupt):
        _Child(settings, loaded, *_settle_in(descriptors)).serve()
        code = 0
    os._exit(code)


def _settle_in(descriptors: list[int]) -> tuple[socket.socket, int, int]:
    """Leave the group of the parent, tie the own life to it, and put every open file in its place.

    The connection, where logs go, and where stacks go.
    """
    os.setsid()
    kernel.die_with_parent(signal.SIGKILL)
    kernel.adopt_orphans()
    kernel.prefer_to_kill(os.getpid())
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)
    connection, output, stack = (_moved_up(one) for one in descriptors)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, place in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, place)
    os.close(nothing)
    faulthandler.enable(stack)
    faulthandler.register(STACK_SIGNAL, file=stack, all_threads=True)
    for name in ("stdout", "stderr"):
        stream = open(  # noqa: SIM115 - for as long as the process lives
            1 if name == "stdout" else 2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False
        )
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    numpy: Any = sys.modules.get("numpy")
    if numpy is not None:
        numpy.random.seed()  # siblings must not draw the same numbers; `random` looks after that by itself
    return socket.socket(fileno=connection), output, stack


def _moved_up(descriptor: int) -> int:
    import fcntl

    try:
        found = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _HIGH)
    except OSError:  # so many are not allowed
        return descriptor
    os.close(descriptor)
    return found


class _Child:
    """What a child holds while it lives."""

    def __init__(self, settings: Settings, loaded: Loaded, connection: socket.socket, output: int, stack: int) -> None:
        self._settings, self._loaded = settings, loaded
        self._connection, self._output, self._stack = connection, output, stack
        self._inode = os.fstat(connection.fileno()).st_ino
        self._specs = {spec.key: spec for spec in loaded.specs}
        self._sending = threading.Lock()
        self._is_in_step, self._is_asked, self._keeps = False, False, 0
        self._resources = ResourcePool(lambda cls: make_resource(cls, loaded.resources.get(cls, {})))

    def serve(self) -> None:
        """Carry out orders until there are no more."""
        signal.signal(signal.SIGTERM, self._asked_to_end)
        # A copy that user code forks must not answer in our place, nor keep the connection open.
        os.register_at_fork(after_in_child=self._connection.close)
        with capturing():
            while True:
                order, _ = receive(self._connection)
                if not isinstance(order, Order):
                    self._send(Goodbye(self._tear_down()))
                    return
                self._send(self._done(order))

    def _done(self, order: Order) -> Done:
        before = {} if order.alone else _surroundings()
        kernel.forget_peak()
        result = replace(self._carry_out(order), task=cast("Task", None), peak_memory_bytes=kernel.peak_bytes())
        for stream in (sys.stdout, sys.stderr):
            with suppress(Exception):  # user code may have closed or replaced them
                stream.flush()
        if order.alone:
            return Done(result, warnings=self._tear_down())
        after = _surroundings()
        changed = [name for name, was in before.items() if after[name] != was]
        return Done(result, ", ".join(changed))

    def _carry_out(self, order: Order) -> NodeResult:
        task, began = order.task, time.time()
        try:
            self._must_be_planned(task)
            settings, storage = self._settings, storage_of(self._settings, order.owner)
            loaded = with_slots(self._loaded, task.slots) if task.slots else self._loaded
            specs = {**self._specs, **{spec.key: spec for spec in task.slots}} if task.slots else self._specs
            files = FileHandover(task, storage)
            bench = Workbench(
                settings.root, loaded, specs, storage, self._resources, files,
                discovery=Discovery(settings, {}, loaded.code_sources) if settings.discover else None,
                report=self.report, is_stopping=lambda: self._is_asked, log_descriptor=self._output,
            )  # fmt: skip
            self._is_in_step = True
            try:
                result = run_step(bench, task)
                return replace(result, on_files=files.written)
            finally:
                self._is_in_step = False
        except BaseException as error:  # noqa: BLE001 - the request to end may come at any line, also of ours
            return NodeResult(task, began, time.time(), {}, error=step_error(error, self._settings.root))

    def _must_be_planned(self, task: Task) -> None:
        """Raise when the code here is not what the run was planned with.

        Raises:
            PlanMoved: a file was saved between the planning and the start of this process.
        """
        for key, origin in task.origins.items():
            spec = self._specs.get(split_slot(key)[0])
            if spec is None or spec.code != origin.code or dict(spec.config or {}) != dict(origin.config):
                raise PlanMoved(f"the code of {key} changed while the run was going on", fix="run the command again")

    def _tear_down(self) -> tuple[str, ...]:
        return tuple(f"tear_down raised {type(error).__name__}: {_text(error)}" for error in self._resources.close())

    def report(self, value: Report) -> None:
        """Tell the coordinator something, from any thread."""
        self._send(Told(value))

    def _send(self, message: object) -> None:
        with self._undisturbed(), self._sending:
            if os.fstat(self._connection.fileno()).st_ino != self._inode:
                raise OSError("user code has put another file in the place of the connection")
            send(self._connection, message)

    @contextmanager
    def _undisturbed(self) -> Generator[None]:
        """Keep the request to end from cutting a message in half; only the main thread is ever asked."""
        is_main = threading.current_thread() is threading.main_thread()
        self._keeps += is_main
        try:
            yield
        finally:
            self._keeps -= is_main
        if is_main and self._is_asked and self._is_in_step and not self._keeps:
            self._end_step()

    def _asked_to_end(self, number: int, frame: FrameType | None) -> None:
        self._is_asked = True
        if not self._is_in_step:
            return
        if not self._keeps:
            self._end_step()

    def _end_step(self) -> NoReturn:
        self._is_in_step = False
        raise KeyboardInterrupt


def _surroundings() -> dict[str, object]:
    """What a task should leave as it was, by name; a child that is not as it was is not used again."""
    mask = os.umask(0o077)
    os.umask(mask)
    return {
        "the working directory": _attempt(os.getcwd),
        "the umask": mask,
        "the search path": tuple(sys.path),
        "environment variables": dict(os.environ),
        "signal handlers": tuple(signal.getsignal(number) for number in signal.valid_signals()),
        "the locale": _attempt(lambda: locale.setlocale(locale.LC_ALL)),
        "the recursion limit": sys.getrecursionlimit(),
        "threads": sum(type(thread) is not threading.Timer for thread in threading.enumerate()),
        "standard streams": tuple(_attempt(lambda number=number: os.fstat(number).st_ino) for number in range(3)),
        "processes": _has_children(),
    }


def _attempt(look: Any) -> object:
    try:
        return look()
    except Exception as error:  # noqa: BLE001 - what cannot be looked at any more has changed
        return type(error).__name__


def _has_children() -> bool:
    """Whether processes are there that a task has started, after those that have ended were collected."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
        return True
    return False


def _text(error: BaseException) -> str:
    return str(_attempt(lambda: str(error)))
