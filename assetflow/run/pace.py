"""Recording that is put off: what quick steps give waits for each other, so that one transaction records many of them.

It never waits for long, whatever runs meanwhile. Nothing is told, and nothing that depends on it is started, before it
is recorded.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from assetflow.run.ahead import Announced

if TYPE_CHECKING:
    from types import TracebackType

    from assetflow.run.task import NodeResult

QUICK_S, LOOK_BACK = 0.1, 8
"""Steps are quick while each of so many of the last took less than this."""

_LONGEST_S, _MOST = 0.05, 32
"""So long, and so many results, wait for others."""


class Pace:
    """How quick the last steps were."""

    def __init__(self) -> None:
        self._lasted: deque[float] = deque(maxlen=LOOK_BACK)

    def note(self, results: Iterable[NodeResult | Announced]) -> None:
        """Take in how long those that have ended took."""
        self._lasted.extend(one.finished_at - one.started_at for one in results if not isinstance(one, Announced))

    @property
    def is_quick(self) -> bool:
        """Whether steps take next to no time."""
        return len(self._lasted) >= LOOK_BACK and max(self._lasted, default=0.0) < QUICK_S


class PutOff:
    """Says how long recording may wait, and sees to it when the coordinator's own thread is busy with a step.

    Used as a context: within it the thread that came in has the turn, but for the time in which it is `away`. Then a
    thread of this object may take the turn and call `record`, when something has waited for too long.
    """

    def __init__(self, record: Callable[[], None]) -> None:
        self._record = record
        self._pace = Pace()
        self._turn = threading.Lock()
        self._has_turn = False
        self._since: float | None = None
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def note(self, results: Iterable[NodeResult | Announced]) -> None:
        """Take in how long steps took."""
        self._pace.note(results)

    @property
    def is_quick(self) -> bool:
        """Whether steps take next to no time."""
        return self._pace.is_quick

    def may_wait(self, results: int) -> bool:
        """Whether so many results may go on waiting; when not, they are to be recorded now."""
        if not self._pace.is_quick or results >= _MOST:
            return False
        if self._since is None:
            self._since = time.monotonic()
        return time.monotonic() - self._since < _LONGEST_S

    def recorded(self) -> None:
        """All that waited is recorded."""
        self._since = None

    @property
    def left_s(self) -> float:
        """For how long what waits may go on waiting; infinite when nothing waits."""
        return float("inf") if self._since is None else max(0.0, self._since + _LONGEST_S - time.monotonic())

    def away(self, *, is_long: bool) -> _Away:
        """A block in which the coordinator does nothing of its own; `is_long`: perhaps for as long as a step takes.

        Raises:
            AssetflowError: what was recorded meanwhile was refused.
        """
        if is_long and self._since is not None and self._thread is None:
            self._thread = threading.Thread(target=self._watch, name="assetflow-record", daemon=True)
            self._thread.start()
        return _Away(self)

    def leave_turn(self) -> None:
        """Let the thread beside record."""
        self._has_turn = False
        self._turn.release()

    def take_turn(self) -> None:
        """Wait until nobody else records."""
        self._turn.acquire()
        self._has_turn = True
        if self._error is not None:
            raise self._error

    def __enter__(self) -> None:
        self.take_turn()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._closed.set()
        if self._has_turn:
            self.leave_turn()
        if self._thread is not None:
            self._thread.join()

    def _watch(self) -> None:
        while not self._closed.wait(_LONGEST_S):
            if self.left_s > 0:
                continue
            if not self._turn.acquire(timeout=_LONGEST_S):
                continue
            try:
                if self.left_s == 0 and not self._closed.is_set():
                    self._record()
            except BaseException as error:  # noqa: BLE001 - raised in the coordinator's thread
                self._error = error
                return
            finally:
                self._turn.release()


class _Away:
    __slots__ = ("_put_off",)

    def __init__(self, put_off: PutOff) -> None:
        self._put_off = put_off

    def __enter__(self) -> None:
        self._put_off.leave_turn()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._put_off.take_turn()
