"""What steps tell while they run: values that a worker hands to the coordinator, from a thread or over a pipe."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

from msgspec import Struct

from assetflow.model.records import SpanTime

EVERY_S = 0.1
"""A step is heard at most about ten times a second."""

_NAMES = 500
"""So many names of spans are told apart in one attempt; what comes after is added up under one."""
_OTHERS = "(others)"


class Progressed(Struct, frozen=True):
    """How far a step is: `done` of `total`, which may not be known. `message` is one line."""

    node: str
    attempt: int
    done: float
    total: float | None = None
    message: str = ""

    @property
    def share(self) -> float | None:
        """The part that is done, from 0 to 1, where a total is known."""
        return min(1.0, max(0.0, self.done / self.total)) if self.total is not None and self.total > 0 else None


class Stepped(Struct, frozen=True):
    """The totals so far of one span of a step. `place` tells the order in which spans first began."""

    node: str
    attempt: int
    name: str
    seconds: float
    count: int = 1
    failed: int = 0
    place: int = 0


Report = Progressed | Stepped
Tell = Callable[[Report], None]


def tell_nobody(report: Report) -> None:
    """Nobody watches."""


class StepTeller:
    """What one attempt tells: `Context` calls it, from any thread. Close it when the attempt has ended.

    What changes faster than `EVERY_S` is told a moment later, so the newest state always arrives.
    """

    def __init__(
        self, node: str, attempt: int, tell: Tell, is_stopping: Callable[[], bool], clean: Callable[[str], str] = str
    ) -> None:
        self._node, self._attempt, self._tell, self._is_stopping, self._clean = node, attempt, tell, is_stopping, clean
        self._lock = threading.Lock()
        self._open = threading.local()
        self._progress: Progressed | None = None
        self._spans: dict[str, Stepped] = {}
        self._changed: set[str] = set()
        self._told_at = -math.inf
        self._later: threading.Timer | None = None
        self._is_closed = False

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to stop."""
        return self._is_stopping()

    def progress(self, done: float, total: float | None, message: str) -> None:
        """Take in how far the step is.

        Raises:
            TypeError, ValueError: `done` or `total` is no number.
        """
        of = None if total is None else float(total)
        known = of if of is not None and math.isfinite(of) else None
        amount = float(done)
        if not math.isfinite(amount):
            raise ValueError(f"progress is a number: {done}")
        line = self._clean(" ".join(str(message).split())) if message else ""
        with self._lock:
            self._progress = Progressed(self._node, self._attempt, amount, known, line)
            self._soon()

    @contextmanager
    def step(self, name: str) -> Generator[None]:
        """Time a span; the ones that are open in this thread are above it."""
        above: str = getattr(self._open, "path", "")
        own = self._clean(" ".join(str(name).split()).replace("/", "|")) or "?"
        path = self._begin(f"{above}/{own}" if above else own)
        self._open.path = path
        began, failed = time.perf_counter(), 1
        try:
            yield
            failed = 0
        finally:
            seconds = time.perf_counter() - began
            self._open.path = above
            with self._lock:
                so_far = self._spans[path]
                self._spans[path] = Stepped(
                    self._node, self._attempt, path, so_far.seconds + seconds, so_far.count + 1,
                    so_far.failed + failed, so_far.place,
                )  # fmt: skip
                self._changed.add(path)
                self._soon()

    def close(self) -> None:
        """Tell what has not been told; what a thread that goes on says from now on is not heard."""
        with self._lock:
            if self._later is not None:
                self._later.cancel()
            self._tell_now()
            self._is_closed = True

    def _begin(self, path: str) -> str:
        with self._lock:
            if path not in self._spans and len(self._spans) >= _NAMES:
                path = _OTHERS
            if path not in self._spans:
                self._spans[path] = Stepped(self._node, self._attempt, path, 0.0, 0, 0, len(self._spans))
            return path

    def _soon(self) -> None:
        """Tell now, or when it is time again. The lock is held."""
        wait_s = self._told_at + EVERY_S - time.monotonic()
        if wait_s <= 0:
            self._tell_now()
        elif self._later is None:
            self._later = threading.Timer(wait_s, self._tell_later)
            self._later.daemon = True
            self._later.start()

    def _tell_later(self) -> None:
        with self._lock:
            self._later = None
            if self._changed or self._progress is not None:
                self._soon()

    def _tell_now(self) -> None:
        if self._is_closed:
            return
        for path in sorted(self._changed):
            self._tell(self._spans[path])
        self._changed.clear()
        if self._progress is not None:
            self._tell(self._progress)
            self._progress = None
        self._told_at = time.monotonic()


class Inbox:
    """Where reports arrive: any thread puts them in, the coordinator's thread takes them out."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Report] = SimpleQueue()
        self._spans: dict[tuple[str, int], dict[str, Stepped]] = {}
        self._listener: Callable[[Progressed], None] | None = None
        self._thread = 0

    def listen(self, listener: Callable[[Progressed], None]) -> None:
        """Let `listener` hear progress in the calling thread, which is the coordinator's."""
        self._listener, self._thread = listener, threading.get_ident()

    def put(self, report: Report) -> None:
        """Take a report in; one of a step that the coordinator's own thread carries out is delivered at once."""
        self._queue.put(report)
        if threading.get_ident() == self._thread:
            self.deliver()

    def deliver(self) -> None:
        """Tell the listener the newest progress of each step, and keep the spans. Only in the coordinator's thread."""
        newest: dict[str, Progressed] = {}
        while True:
            try:
                report = self._queue.get_nowait()
            except Empty:
                break
            if isinstance(report, Stepped):
                self._spans.setdefault((report.node, report.attempt), {})[report.name] = report
            else:
                newest[report.node] = report
        for progress in newest.values():
            if self._listener is not None:
                self._listener(progress)

    def spans(self, node: str, attempt: int) -> tuple[SpanTime, ...]:
        """The spans of an attempt as they are recorded, in the order in which they first began."""
        found = sorted(self._spans.get((node, attempt), {}).values(), key=lambda one: one.place)
        return tuple(SpanTime(one.name, one.seconds, one.count, one.failed) for one in found)
