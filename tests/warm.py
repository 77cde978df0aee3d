"""Processes that begin with the large libraries imported: most of what a command costs in a test is pandas' import.

A server imports the libraries and all of assetflow, and forks. The child gets the caller's arguments, environment,
folder and streams, and then does what `python -m MODULE` or `python -c CODE` does. It is a process of its own like any
other, but all have one seed for hashes, and `/proc` shows the server's command and environment. What start-up itself
does (options of Python, encodings, what imports what) is tested with `sys.executable`.

From a shell: `python -S tests/warm.py SOCKET -m assetflow plan` is the same for a server that listens there.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import socket
import sys
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a client begins with as little as it can
    import subprocess
    from collections.abc import Mapping, Sequence

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 - pathlib costs a client 10 ms
CLIENT = os.path.abspath(__file__)  # noqa: PTH100 - as above
LIBRARIES = (
    "pandas", "pyarrow", "pyarrow.compute", "pyarrow.parquet", "pyarrow.dataset", "duckdb", "pydantic", "croniter",
    "xxhash", "sqlite3",
)  # fmt: skip
IS_POSSIBLE = hasattr(os, "pidfd_open") and hasattr(socket, "send_fds")


class Child:
    """A process that the server started. Its parent is the server, which tells how it ended."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self.pid = int(self._line())

    def wait(self, timeout_s: float | None = None) -> int:
        """The exit code, negative for a signal.

        Raises:
            TimeoutError: it has not ended in time.
        """
        self._connection.settimeout(timeout_s)
        code = self._line()
        self._connection.close()
        if not code:
            raise ConnectionError("the server that started the process is gone")
        return int(code)

    def kill(self) -> None:
        """End it, and its group if it leads one; it is gone when this returns."""
        for kill in (os.killpg, os.kill):
            with contextlib.suppress(ProcessLookupError):
                kill(self.pid, 9)
        self.wait()

    def _line(self) -> bytes:
        found = b""
        while not found.endswith(b"\n"):
            piece = self._connection.recv(1)
            if not piece:
                break
            found += piece
        return found


def start(
    address: str,
    words: Sequence[str],
    *,
    cwd: str,
    env: Mapping[str, str],
    streams: Sequence[int],
    session: bool = False,
) -> Child:
    """Start `python WORDS...`, where the first of the words is `-m` or `-c`.

    Args:
        address: where the server listens.
        words: the arguments of Python.
        cwd: the folder it works in.
        env: all of its environment.
        streams: descriptors of its standard streams.
        session: whether it leads a session, and so a group of processes, of its own.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(address)
    request = json.dumps({"words": [*words], "cwd": cwd, "env": {**env}, "session": session}).encode()
    head = len(request).to_bytes(4, "big")
    connection.sendmsg([head], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", streams))])
    connection.sendall(request)
    return Child(connection)


class Server:
    """Starts the server when it is first asked for, and ends it when closed."""

    def __init__(self) -> None:
        self._held: contextlib.ExitStack | None = None
        self._address, self._owner = "", 0
        self._lock = threading.Lock()

    @property
    def address(self) -> str:
        """Where the server listens."""
        with self._lock:
            if self._held is None:
                self._begin()
            return self._address

    def _begin(self) -> None:
        import atexit
        import subprocess
        import tempfile

        with contextlib.ExitStack() as held:
            folder = held.enter_context(tempfile.TemporaryDirectory(prefix="warm-"))
            self._address = os.path.join(folder, "s")  # noqa: PTH118 - as above
            ours, theirs = socket.socketpair()
            with theirs:
                command = [sys.executable, CLIENT, "--serve", self._address]
                process = subprocess.Popen(command, stdin=theirs.fileno(), stdout=subprocess.DEVNULL)
            held.callback(process.wait)
            held.enter_context(ours)  # the server ends when this is closed
            assert ours.recv(1), "the server has ended"
            self._held, self._owner = held.pop_all(), os.getpid()
        atexit.register(self.close)

    def close(self) -> None:
        """End the server, if this process started it and not the one that it was forked from."""
        if self._held is not None and self._owner == os.getpid():
            self._held.close()
            self._held = None

    def start(self, command: Sequence[str], *, cwd: str | os.PathLike[str] = ".") -> Child | subprocess.Popen[bytes]:
        """A process with this one's environment and streams. The command begins with `sys.executable`."""
        import subprocess

        if not IS_POSSIBLE:
            return subprocess.Popen(command, cwd=cwd)
        folder = os.path.abspath(cwd)  # noqa: PTH100 - as above
        return start(self.address, command[1:], cwd=folder, env=os.environ, streams=(0, 1, 2))

    def run(
        self, command: Sequence[str], *, env: Mapping[str, str], cwd: str | os.PathLike[str] = ".", timeout: float = 100
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run` with the output captured as text. The command begins with `sys.executable`.

        Raises:
            TimeoutError: it has not ended in time; then it was killed.
        """
        import subprocess
        import tempfile

        if not IS_POSSIBLE:
            return subprocess.run(
                command, env=env, cwd=cwd, timeout=timeout, capture_output=True, text=True, check=False
            )
        assert command[0] == sys.executable
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(os.devnull, "rb") as nothing:
            streams = (nothing.fileno(), out.fileno(), err.fileno())
            child = start(self.address, command[1:], cwd=os.path.abspath(cwd), env=env, streams=streams)  # noqa: PTH100
            try:
                code = child.wait(timeout)
            except TimeoutError:
                child.kill()
                raise
            texts: list[str] = []
            for stream in (out, err):
                stream.seek(0)
                texts.append(stream.read().decode())
            return subprocess.CompletedProcess(command, code, *texts)


SERVER = Server()


# ----------------------------------------------------------------------------------------------------- the server


def serve(address: str) -> None:
    """Answer until the other end of standard input is closed."""
    import gc
    import importlib
    import pkgutil
    import selectors
    import signal

    gc.disable()
    sys.path.insert(0, ROOT)
    package = importlib.import_module("assetflow")
    ours = [one.name for one in pkgutil.walk_packages(package.__path__, "assetflow.") if "__main__" not in one.name]
    for name in (*LIBRARIES, *ours):
        importlib.import_module(name)
    sys.path.remove(ROOT)
    gc.enable()
    gc.freeze()  # children share these pages for as long as nobody touches them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the tests
    for name in os.environ.get("PYTHONPATH", "").split(os.pathsep):
        while name in sys.path:
            sys.path.remove(name)
    sys.path.remove(os.path.dirname(CLIENT))  # noqa: PTH120
    known = {*sys.modules}
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    caller = socket.socket(fileno=os.dup(0))
    caller.send(b"+")
    events = selectors.DefaultSelector()
    events.register(listening, selectors.EVENT_READ)
    events.register(caller, selectors.EVENT_READ)
    while True:
        for key, _ in events.select():
            if key.fileobj is caller:
                os._exit(0)  # DuckDB's library complains when Python takes itself apart
            if key.fileobj is listening:
                connection, _ = listening.accept()
                with contextlib.suppress(OSError, ValueError):
                    pid = _fork(connection, (listening, caller), known)
                    events.register(os.pidfd_open(pid), selectors.EVENT_READ, (pid, connection))
                    connection.sendall(b"%d\n" % pid)
            else:
                pid, connection = key.data
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                events.unregister(key.fileobj)
                os.close(key.fd)
                with connection, contextlib.suppress(OSError):
                    connection.sendall(b"%d\n" % code)


def _fork(connection: socket.socket, others: Sequence[socket.socket], known: set[str]) -> int:
    import traceback

    head, streams, _, _ = socket.recv_fds(connection, 4, 3)
    size, request = int.from_bytes(head, "big"), b""
    while len(request) < size:
        piece = connection.recv(size - len(request))
        if not piece:
            raise ConnectionError("the caller is gone")
        request += piece
    pid = os.fork()
    if pid:
        for stream in streams:
            os.close(stream)
        return pid
    try:
        connection.close()
        for other in others:
            other.close()
        _become(json.loads(request), streams, known)
    except BaseException:  # noqa: BLE001 - it must not go on as a second server
        traceback.print_exc()
    os._exit(1)


def _become(request: Mapping[str, object], streams: Sequence[int], known: set[str]) -> None:
    """Be a Python that was started with these words."""
    import signal
    import time

    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    os.closerange(3, 256)  # what the server holds for itself and for others
    if request["session"]:
        os.setsid()
    os.environ.clear()
    os.environ.update(request["env"])  # type: ignore[arg-type]
    time.tzset()
    os.chdir(str(request["cwd"]))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115 - for the life of the process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", 1, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
    for name in {*sys.modules} - known:
        del sys.modules[name]
    words = request["words"]
    assert isinstance(words, list)
    safe = words[0] == "-P"
    if safe:
        words = words[1:]
    added = [one for one in os.environ.get("PYTHONPATH", "").split(os.pathsep) if one]
    found = [one for one in sys.path if one not in added]  # a folder of PYTHONPATH is not added again by a `.pth` file
    sys.path[:] = [*added, *found] if safe else ["" if words[0] == "-c" else str(request["cwd"]), *added, *found]
    _leave(_run(words))


def _run(words: Sequence[str]) -> int:
    import runpy
    import traceback
    import types

    option, what, *rest = words
    assert option in ("-m", "-c"), words
    try:
        if option == "-m":
            sys.argv[:] = ["-m", *rest]
            runpy.run_module(what, run_name="__main__", alter_sys=True)
        else:
            sys.argv[:] = ["-c", *rest]
            sys.modules["__main__"] = main = types.ModuleType("__main__")
            exec(compile(what, "<string>", "exec"), main.__dict__)
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            sys.stderr.write(f"{end.code}\n")
        return 0 if end.code is None else end.code if isinstance(end.code, int) else 1
    except BaseException:  # noqa: BLE001 - as Python does with what a program raises
        traceback.print_exc()
        return 1
    return 0


def _leave(code: int) -> None:
    import atexit
    import threading

    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code & 255)


if __name__ == "__main__":
    if sys.argv[1] == "--serve":
        serve(sys.argv[2])
    else:
        os._exit(start(sys.argv[1], sys.argv[2:], cwd=os.getcwd(), env=os.environ, streams=(0, 1, 2)).wait() & 255)  # noqa: PTH109
