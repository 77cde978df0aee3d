"""The process that has the project loaded and forks a child whenever one is needed.

`multiprocessing` has such a server, but its children import the user's `__main__` again, and cannot be killed with all
that they started. This one is told over a socket what to do, and ends, with everything below it, when that is closed.
"""

from __future__ import annotations

import gc
import importlib
import os
import pickle
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn, cast

from msgspec import Struct

from assetflow.load.definitions import load_project
from assetflow.load.live import Loaded
from assetflow.load.settings import Settings, settings_from_json
from assetflow.run import kernel
from assetflow.run.failure import step_error
from assetflow.run.messages import from_bytes, receive, send, to_bytes
from assetflow.run.outcome import StepError
from assetflow.run.worker import serve

_PRELOADED = ("numpy", "pandas", "pyarrow", "pyarrow.parquet", "assetflow.io.arrow", "assetflow.io.managers")
"""What nearly every step needs. The threads that these start when they are imported survive a fork or do no harm."""

START = (
    "import sys; sys.path.append(sys.argv[1]); from assetflow.run.nursery import main; main(*map(int, sys.argv[2:]))"
)


class Project(Struct, frozen=True):
    """What is loaded: the settings as JSON, config overrides as a pickle, and where Python looks for modules."""

    settings: Mapping[str, object]
    config: bytes
    path: list[str]
    parent: int


class Loading(Struct, frozen=True):
    """The first answer: the project is loaded, or what is wrong. `threads` says that children cannot be forked."""

    error: StepError | None = None
    threads: str = ""


class Bear(Struct, frozen=True):
    """Make a child; its connection, output and stack file come along with the message. The answer is its pid."""


class Bury(Struct, frozen=True):
    """Collect a child that has ended, and end what it left. The answer is `Buried`, or None while it lives."""

    pid: int


class Buried(Struct, frozen=True):
    """How a child ended: its wait status and its largest resident set."""

    status: int
    peak_bytes: int


class _Ended(BaseException):
    """The coordinator is gone."""


def main(descriptor: int, *own: int) -> None:
    """Serve the coordinator at the other end of the socket. With more descriptors: be a child that loads by itself."""
    if own:
        _fresh_child(descriptor, list(own))
    control = socket.socket(fileno=descriptor)
    try:
        project: Project = receive(control)[0]
        kernel.die_with_parent(signal.SIGKILL)
        if os.getppid() != project.parent:
            return
        nursery = _Nursery(control, project)
        if nursery.load():
            nursery.serve()
    except (EOFError, OSError, _Ended, KeyboardInterrupt):
        pass
    finally:
        kernel.kill_family(os.getpid())
        os._exit(0)


class _Nursery:
    """Has the project, and knows its children."""

    def __init__(self, control: socket.socket, project: Project) -> None:
        self._control, self._project = control, project
        self._children: set[int] = set()
        self._others: set[int] = set()
        self._loaded: tuple[Settings, Loaded] | None = None
        self._threads = ""

    def load(self) -> bool:
        """Load the project and say how it went; whether there is something to serve with."""
        for name in _PRELOADED:
            importlib.import_module(name)
        before = kernel.threads()
        settings = _settings(self._project)
        try:
            self._loaded = settings, _load(settings, self._project)
        except BaseException as error:  # noqa: BLE001 - user modules run here
            send(self._control, Loading(step_error(error, settings.root)))
            return False
        others = [thread for thread in threading.enumerate() if thread is not threading.current_thread()]
        known = {thread.native_id for thread in others}
        more = [name for number, name in kernel.threads().items() if number not in before and number not in known]
        self._threads = ", ".join(dict.fromkeys([*(thread.name for thread in others), *more]))
        signal.signal(signal.SIGTERM, _end)
        kernel.die_with_parent(signal.SIGTERM)  # and then whatever lives below is ended first
        kernel.adopt_orphans()
        self._others = {one.pid for one in kernel.processes().values() if one.parent == os.getpid()}
        gc.collect()
        gc.freeze()  # children share these pages for as long as nobody touches them
        send(self._control, Loading(threads=self._threads))
        return True

    def serve(self) -> None:
        """Answer until the coordinator is gone."""
        while True:
            message, descriptors = receive(self._control, 3)
            if isinstance(message, Bear):
                # On macOS the libraries of the system do not survive a fork.
                is_safe = not self._threads and sys.platform != "darwin"
                pid = self._fork(descriptors) if is_safe else self._spawn(descriptors)
                for descriptor in descriptors:
                    os.close(descriptor)
                self._children.add(pid)
                send(self._control, pid)
            else:
                send(self._control, self._bury(cast("Bury", message).pid))

    def _fork(self, descriptors: list[int]) -> int:
        assert self._loaded is not None, "the project is loaded before anything is served"
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            try:
                self._control.close()
                if os.getppid() == parent:
                    serve(*self._loaded, descriptors)
            finally:
                os._exit(1)
        return pid

    def _spawn(self, descriptors: list[int]) -> int:
        """A child that loads the project by itself: with threads about, a fork may stop at a lock of theirs."""
        with tempfile.TemporaryFile() as file:
            file.write(to_bytes(self._project))
            file.flush()
            file.seek(0)
            numbers = [file.fileno(), *descriptors]
            for number in numbers:
                os.set_inheritable(number, True)
            home = str(Path(__file__).parents[2])
            command = [sys.executable, "-P", "-c", START, home, *map(str, numbers)]
            return os.posix_spawn(sys.executable, command, os.environ)

    def _bury(self, pid: int) -> Buried | None:
        try:
            found, status, usage = os.wait4(pid, os.WNOHANG)
        except ChildProcessError:  # not one of ours, or collected by code that the project's modules left here
            found, status, usage = pid, 0, None
        if not found:
            return None
        self._children.discard(pid)
        self._end_strays()
        return Buried(status, 0 if usage is None else kernel.in_bytes(usage.ru_maxrss))

    def _end_strays(self) -> None:
        """End what dead children left: it became ours when they ended."""
        deadline = time.monotonic() + 2.0
        while time.monotonic() < deadline:
            table = kernel.processes()
            own = (one.pid for one in table.values() if one.parent == os.getpid())
            strays = [pid for pid in own if pid not in self._children and pid not in self._others]
            if not strays:
                return
            for pid in strays:
                kernel.kill_all([pid, *kernel.family(pid, known=table)])
            for pid in strays:
                with suppress(ChildProcessError):
                    os.waitpid(pid, os.WNOHANG)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise _Ended


def _settings(project: Project) -> Settings:
    sys.path[:] = project.path
    return settings_from_json(project.settings)


def _load(settings: Settings, project: Project) -> Loaded:
    return load_project(settings, pickle.loads(project.config))  # noqa: S301 - from the process that started this one


def _fresh_child(file: int, descriptors: list[int]) -> NoReturn:
    """A child that was not forked: it loads the project, or says what is wrong with it."""
    kernel.die_with_parent(signal.SIGKILL)
    with open(file, "rb") as stream:
        project: Project = from_bytes(stream.read())
    try:
        settings = _settings(project)
        loaded = _load(settings, project)
    except BaseException as error:  # noqa: BLE001 - user modules run here
        with suppress(OSError):
            send(socket.socket(fileno=descriptors[0]), Loading(step_error(error, Path.cwd())))
        os._exit(1)
    serve(settings, loaded, descriptors)
