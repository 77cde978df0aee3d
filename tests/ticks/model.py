"""What must have become of the ticks of one job: an account that looks at each of them by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from assetflow.automation.due import ON_TIME_S, TRIES
from tests.ticks.days import Kind, between


@dataclass
class Open:
    """A tick that was taken up, how often, and the state of its run: None, running, ok or failed."""

    scheduled: int
    tries: int = 1
    run: str | None = None


@dataclass
class Model:
    """The account of one job. `ends` has what became of each tick, `runs` how many runs it got."""

    kind: Kind
    ticks: Sequence[int]
    seen_until: int
    ends: dict[int, str] = field(default_factory=dict[int, str])
    runs: Counter[int] = field(default_factory=Counter[int])
    open: Open | None = None
    is_paused: bool = False

    def is_due(self, now: int) -> bool:
        """Whether something has to become of a tick."""
        return self.open is not None or bool(self._new(now))

    def is_held(self, now: int) -> bool:
        """Whether the clock was ahead."""
        return self.seen_until > now

    def take(self, now: int) -> int | None:
        """Account for what is due; the tick that must run now."""
        left = self._left()
        again = [] if left is None else [left.scheduled]
        due = [*again, *self._new(now)]
        policy = "missed" if self.is_paused else self.kind.catchup
        runs: int | None = None
        if due and policy == "all":
            due = due[:1]
            runs = due[0]
        elif due and (policy == "latest" or (policy == "none" and now - due[-1] <= ON_TIME_S)):
            runs = due[-1]
        self.open = None
        for at in due:
            self.seen_until = max(self.seen_until, at)
            if at != runs:
                self.ends[at] = "missed"
        if runs is not None:
            self.open = Open(runs, 1 if left is None or left.scheduled != runs else left.tries + 1)
        return runs

    def end(self) -> None:
        """The process has recorded how its tick ended."""
        assert self.open is not None
        self.ends[self.open.scheduled] = "done" if self.open.run == "ok" else "failed"
        self.open = None

    def resume(self, now: int) -> None:
        """Somebody lets it go on from now."""
        if not (self.is_paused or self.is_held(now)):
            return
        for at in self._new(now):
            self.ends[at] = "missed"
        self.ends = {at: end for at, end in self.ends.items() if not (end == "missed" and at > now)}
        if self.open is not None and self.open.scheduled > now:
            self.ends[self.open.scheduled] = "failed"
            self.open = None
        self.seen_until, self.is_paused = now, False

    def _new(self, now: int) -> list[int]:
        return [at for at in between(self.ticks, self.seen_until, now) if at not in self.ends]

    def _left(self) -> Open | None:
        """The tick of a process that died, if it may be taken up once more; else it has ended."""
        left = self.open
        if left is None or (left.run is None and left.tries < TRIES):
            return left
        self.ends[left.scheduled] = "done" if left.run == "ok" else "failed"
        return None
