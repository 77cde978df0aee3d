"""The coordinator's end of the nursery: it is started, asked for children, and ended with all that is below it."""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

from msgspec import Struct, field

from assetflow.errors import AssetDied, AssetflowError, ImportFailed, UsageError
from assetflow.load.modules import ProjectPath
from assetflow.load.settings import Settings, settings_to_json
from assetflow.run import kernel
from assetflow.run.failure import step_error
from assetflow.run.messages import receive, send
from assetflow.run.nursery import START, Bear, Buried, Bury, Loading, Project
from assetflow.run.outcome import StepError
from assetflow.run.worker import STACK_SIGNAL

_LOAD_S, _ASK_S, _END_S = 180.0, 30.0, 2.0
_MARK = "_ASSETFLOW_CHILD_OF"
_TOLD_LINES = 8


class NoChild(Exception):
    """There can be no child process; `told` says why, as the error of the step that wanted one."""

    def __init__(self, told: StepError) -> None:
        super().__init__(told.message)
        self.told = told


class Child(Struct):
    """A process that carries out one task at a time. `owner` marks what it stages; `ended` is how it ended."""

    pid: int
    connection: socket.socket
    output: int
    stack: int
    handle: int | None
    owner: str = field(default_factory=lambda: uuid4().hex[:8])

    def terminate(self) -> None:
        """Ask the child, and what is in its group, to end."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGTERM)

    def kill(self) -> None:
        """End the child and its group. Safe at any time: until the nursery collects it, its number is its own."""
        for kill in (os.killpg, os.kill):
            with suppress(ProcessLookupError, PermissionError):
                kill(self.pid, signal.SIGKILL)

    def ask_for_stack(self) -> None:
        """Let the child write the stacks of its threads."""
        with suppress(ProcessLookupError, PermissionError):
            os.kill(self.pid, STACK_SIGNAL)

    def close(self) -> None:
        """Free what the coordinator holds of it."""
        self.connection.close()
        for descriptor in (self.output, self.stack, self.handle):
            if descriptor is not None:
                os.close(descriptor)


class Nest:
    """One nursery. Its questions may come from any thread; they are answered one after another."""

    def __init__(self, settings: Settings, config: Mapping[str, Mapping[str, object]], log: Path) -> None:
        """Start it: it loads the project by itself meanwhile.

        Raises:
            NoChild: this system has no such processes, or the config cannot be handed to another process.
        """
        if not hasattr(os, "fork"):
            raise NoChild(step_error(UsageError("child processes need a system that can fork"), None))
        self._log, self._lock = log, threading.Lock()
        self._mark = f"{_MARK}={uuid4().hex}"
        self._loading: Loading | None = None
        self.is_gone = False
        try:
            pickled = pickle.dumps({key: dict(values) for key, values in config.items()})
        except Exception as error:
            told = UsageError("the config that was given cannot be handed to a child process", facts=(str(error),))
            raise NoChild(step_error(told, None)) from error
        self._control, theirs = socket.socketpair()
        with theirs:
            self._process = self._start(theirs)
        path = [str(one) for one in sys.path if not isinstance(one, ProjectPath)]
        self._tell(Project(settings_to_json(settings), pickled, path, os.getpid()))

    def _start(self, theirs: socket.socket) -> subprocess.Popen[bytes]:
        name, _, mark = self._mark.partition("=")
        home = str(Path(__file__).parents[2])
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with open(self._log, "wb") as output:
            # -P: the current folder must not shadow the standard library.
            return subprocess.Popen(
                [sys.executable, "-P", "-c", START, home, str(theirs.fileno())], pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                env={**os.environ, name: mark},
            )  # fmt: skip

    def ready(self) -> Loading:
        """How loading the project went; waits for it.

        Raises:
            NoChild: it could not be loaded there.
        """
        with self._lock:
            loading = self._loading
            if loading is None:
                self._control.settimeout(_LOAD_S)
                loading = self._loading = cast("Loading", self._answer())
            if loading.error is not None:
                raise NoChild(loading.error)
            return loading

    def bear(self) -> Child:
        """A new child.

        Raises:
            NoChild: the nursery cannot make one.
        """
        self.ready()
        ours, theirs = socket.socketpair()
        output, its_output = os.pipe()
        stack, its_stack = os.pipe()
        for descriptor in (output, stack):
            os.set_blocking(descriptor, False)
        try:
            with theirs:
                pid: int = self._ask(Bear(), theirs.fileno(), its_output, its_stack)
            return Child(pid, ours, output, stack, _handle(pid))
        except BaseException:
            ours.close()
            os.close(output)
            os.close(stack)
            raise
        finally:
            os.close(its_output)
            os.close(its_stack)

    def bury(self, child: Child) -> Buried | None:
        """How a child ended, and the end of what it left; None when it lives, or nobody is there to say it."""
        try:
            return self._ask(Bury(child.pid))
        except NoChild:
            return None

    def close(self) -> None:
        """End the nursery and everything that was started below it."""
        self.is_gone = True
        with suppress(OSError):
            self._control.shutdown(socket.SHUT_RDWR)  # who waits for an answer in another thread is woken
        with self._lock:
            self._control.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._end_strays()

    def _ask(self, question: object, *descriptors: int) -> Any:
        with self._lock:
            if self.is_gone:
                raise NoChild(step_error(AssetDied("the process that starts child processes is gone"), None))
            self._control.settimeout(_ASK_S)
            self._tell(question, *descriptors)
            return self._answer()

    def _tell(self, message: object, *descriptors: int) -> None:
        with suppress(OSError):  # the answer will say it
            send(self._control, message, descriptors)

    def _answer(self) -> Any:
        try:
            return receive(self._control)[0]
        except (EOFError, OSError) as error:
            is_first = not self.is_gone
            self.is_gone = True
            self._process.kill()
            code = self._process.wait()
            if is_first:
                self._end_strays()
            raise NoChild(step_error(self._death(code, error), None)) from error

    def _death(self, code: int, error: Exception) -> AssetflowError:
        if self._loading is not None:
            return AssetDied("the process that starts child processes is gone", fix="run the command again")
        how = "took too long" if isinstance(error, TimeoutError) else f"died ({_how(code)})"
        with suppress(OSError):
            lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            return ImportFailed(f"loading the project for child processes {how}", facts=lines[-_TOLD_LINES:])
        return ImportFailed(f"loading the project for child processes {how}")

    def _end_strays(self) -> None:
        """End what was started below the nursery and outlived it; a look at the environment tells whose it is."""
        deadline = time.monotonic() + _END_S
        while (found := kernel.marked(self._mark)) and time.monotonic() < deadline:
            kernel.kill_all(found)
            time.sleep(0.005)


def _handle(pid: int) -> int | None:
    """A descriptor that becomes readable when the process ends; None where there is no such thing."""
    if not hasattr(os, "pidfd_open"):
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


def has_ended(child: Child, wait_s: float = 0.0) -> bool:
    """Whether a child has ended, waiting for it so long; only where the kernel gives a handle of it."""
    if child.handle is None:
        return False
    poller = select.poll()
    poller.register(child.handle, select.POLLIN)
    return bool(poller.poll(wait_s * 1000))


def _how(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"
