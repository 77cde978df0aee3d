"""How an asset behaves over time and under failure: freshness, retries, cues, limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import cast

import msgspec
from msgspec.structs import force_setattr, replace

from assetflow.model.amounts import memory_bytes
from assetflow.model.durations import seconds


@dataclass(frozen=True, slots=True, init=False)
class Freshness:
    """How old the data behind an asset may be, measured on the data's own time through the lineage.

    `within="24h"`: the oldest source behind the asset is at most that old.
    `by="0 8 * * *", tz="Europe/London"`: at each tick the data includes the period that ended at the tick before.
    `warn`: how long before a deadline the state changes from on time to due (default: a tenth of the period).

    Example:
        >>> Freshness(within="24h").within_s
        86400.0

    Raises:
        ValueError: neither or both of `within` and `by` are given, or a duration cannot be read.
    """

    within_s: float | None
    by: str | None
    tz: str
    warn_s: float | None

    def __init__(
        self,
        *,
        within: str | float | timedelta | None = None,
        by: str | None = None,
        tz: str = "UTC",
        warn: str | float | timedelta | None = None,
    ) -> None:
        if (within is None) == (by is None):
            raise ValueError("Freshness takes either within= or by=")
        object.__setattr__(self, "within_s", None if within is None else seconds(within))
        object.__setattr__(self, "by", by)
        object.__setattr__(self, "tz", tz)
        object.__setattr__(self, "warn_s", None if warn is None else seconds(warn))

    def __str__(self) -> str:
        from assetflow.model.durations import words

        return f"within {words(self.within_s)}" if self.within_s is not None else f"by `{self.by}` {self.tz}"


@dataclass(frozen=True, slots=True, init=False)
class Retry:
    """Try a failed asset again: at most `times` more attempts, waiting `delay`, then `backoff` times longer each time.

    No wait is longer than `max_delay`. `jitter=True` draws each wait between nothing and the full one, so that assets
    that failed together do not come back together; `jitter="10%"` (or 0.1) makes it up to so much shorter or longer.
    `on` limits retries to these exception types (and their subclasses); without it every `Exception` is retried. What
    is in `not_on` is never retried, also when it is in `on`. Errors of assetflow itself are not retried.

    Example:
        >>> [Retry(4, delay="2s", backoff=2, max_delay="10s").wait_s(n) for n in (1, 2, 3, 4)]
        [2.0, 4.0, 8.0, 10.0]

    Raises:
        ValueError: a number is negative, a duration cannot be read, or the jitter is no share of 0 to 100 %.
    """

    times: int
    delay_s: float
    backoff: float
    max_delay_s: float | None
    jitter: bool | float
    on: tuple[type[BaseException], ...] = field(compare=False)
    not_on: tuple[type[BaseException], ...] = field(compare=False)

    def __init__(
        self,
        times: int = 1,
        *,
        delay: str | float | timedelta = 0,
        backoff: float = 1.0,
        max_delay: str | float | timedelta | None = None,
        jitter: bool | str | float = False,
        on: tuple[type[BaseException], ...] | type[BaseException] = (),
        not_on: tuple[type[BaseException], ...] | type[BaseException] = (),
    ) -> None:
        if times < 0:
            raise ValueError("Retry takes a number of retries of 0 or more")
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "delay_s", seconds(delay))
        object.__setattr__(self, "backoff", float(backoff))
        object.__setattr__(self, "max_delay_s", None if max_delay is None else seconds(max_delay))
        object.__setattr__(self, "jitter", jitter_share(jitter))
        object.__setattr__(self, "on", on if isinstance(on, tuple) else (on,))
        object.__setattr__(self, "not_on", not_on if isinstance(not_on, tuple) else (not_on,))

    def wait_s(self, attempt: int, chance: Callable[[], float] | None = None) -> float:
        """Seconds to wait after the failed attempt number `attempt` (from 1).

        `chance` gives a number from 0 up to 1 for the jitter; without it there is none.
        """
        longest = _LONGEST_S if self.max_delay_s is None else self.max_delay_s
        try:
            wait = min(self.delay_s * self.backoff ** (attempt - 1), longest)
        except OverflowError:
            wait = longest if self.delay_s else 0.0
        if chance is None or not self.jitter:
            return wait
        if self.jitter is True:
            return wait * chance()
        return min(wait * (1 + self.jitter * (2 * chance() - 1)), longest)

    def covers(self, error: BaseException) -> bool:
        """Whether this error is one to retry."""
        return isinstance(error, self.on or Exception) and not isinstance(error, self.not_on)

    def having(self, times: int) -> Retry:
        """The same with another number of tries."""
        return Retry(
            times, delay=self.delay_s, backoff=self.backoff, max_delay=self.max_delay_s, jitter=self.jitter,
            on=self.on, not_on=self.not_on,
        )  # fmt: skip

    def to_json(self) -> list[object]:
        """What settings can say of it: times, delay, backoff, longest delay, jitter."""
        return [self.times, self.delay_s, self.backoff, self.max_delay_s, self.jitter]


_LONGEST_S = 10 * 365 * 86_400.0
"""No wait is longer, whatever it grows to."""


def jitter_share(jitter: bool | str | float) -> bool | float:
    """A jitter as it is written (`True`, `"10%"`, 0.1): True for a full one, else the share of the wait.

    Raises:
        ValueError: it is no share of 0 to 100 %.
    """
    if isinstance(jitter, bool):
        return jitter
    text = str(jitter).strip()
    try:
        share = float(text.removesuffix("%")) / 100 if text.endswith("%") else float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ValueError(f'`{jitter}` is not a jitter; write true, or a share of the delay such as "10%"')
    return share


CUE_MODES = ("thorough", "always", "never")


REBUILD, FORWARD, ASK = "rebuild", "forward", "ask"
CODE_CHANGES = (REBUILD, FORWARD, ASK)
"""What an edit does to the partitions that were made before it."""


class Cue(msgspec.Struct, frozen=True):
    """What makes an asset run.

    `mode`: `thorough` runs it when anything that counts has changed; `always` runs it in every `materialize`; `never`
    runs it only when it has no version, was invalidated, or is forced. What is False does not count: the `code`, the
    `config`, the declared `files`, the `env` variables. `ttl`: how long a result counts after it was made, such
    as `1h`. `on_code_change` is that of the asset.

    Example:
        >>> Cue(code=False, ttl="1h").to_json()
        {'code': False, 'ttl': 3600.0}

    Raises:
        ValueError: there is no such mode, or the duration cannot be read.
    """

    mode: str = "thorough"
    code: bool = True
    config: bool = True
    files: bool = True
    env: bool = True
    ttl: str | float | timedelta | None = None
    on_code_change: str = "rebuild"

    def __post_init__(self) -> None:
        if self.mode not in CUE_MODES:
            raise ValueError(f"a cue is {', '.join(CUE_MODES[:-1])} or {CUE_MODES[-1]}, not `{self.mode}`")
        if self.on_code_change not in CODE_CHANGES:
            known = f"{', '.join(CODE_CHANGES[:-1])} or {CODE_CHANGES[-1]}"
            raise ValueError(f"on_code_change is {known}, not `{self.on_code_change}`")
        if self.ttl is not None:
            force_setattr(self, "ttl", seconds(self.ttl))

    @property
    def ttl_s(self) -> float | None:
        """How long a result counts, in seconds; None: for ever."""
        return None if self.ttl is None else seconds(self.ttl)

    def is_expired(self, made_at: float, at: float) -> bool:
        """Whether what was made then does not count any more."""
        return self.ttl_s is not None and at - made_at >= self.ttl_s

    def to_json(self) -> dict[str, object]:
        """What differs from the default, as JSON-able values."""
        found: dict[str, object] = {
            name: False for name in ("code", "config", "files", "env") if not getattr(self, name)
        }
        found.update({} if self.ttl is None else {"ttl": self.ttl_s})
        found.update({} if self.on_code_change == REBUILD else {"on_code_change": self.on_code_change})
        return found if self.mode == "thorough" else {"mode": self.mode, **found}


def cue_of(cue: Cue | str | None, on_code_change: str = REBUILD, *, has_partitions: bool = False) -> Cue | None:
    """The cue of an asset, from what its decorator was given.

    Raises:
        ValueError: there is no such cue, or `on_code_change` is of an asset without partitions.
    """
    found = Cue(cue) if isinstance(cue, str) else cue
    if on_code_change == REBUILD:
        return found
    if not has_partitions:
        raise ValueError(
            "on_code_change= is for assets with partitions; cue=Cue(code=False) leaves edits out of others"
        )
    return replace(found or Cue(), on_code_change=on_code_change)


Pools = str | Mapping[str, int]
"""The pool that an asset takes one slot of, or how many slots of each pool."""


class Limits(msgspec.Struct, frozen=True):
    """What an asset may take while it is computed; None and empty say nothing.

    `timeout_s` is wall time from the first input read; `memory_bytes` is the memory of the process. Either of them
    gives the asset a process of its own, and so does `isolation`: only a process can be ended from outside. `pools`
    says how many slots of each pool the asset holds while it is computed.
    """

    timeout_s: float | None = None
    memory_bytes: int | None = None
    isolation: str | None = None
    pools: Mapping[str, int] = msgspec.field(default_factory=dict[str, int])

    @property
    def needs_process(self) -> bool:
        """Whether the asset is computed in a process of its own whatever the executor is."""
        return self.isolation == "process" or self.timeout_s is not None or self.memory_bytes is not None

    def over(self, below: Limits) -> Limits:
        """These limits, with those of `below` where these say nothing."""
        return Limits(
            below.timeout_s if self.timeout_s is None else self.timeout_s,
            below.memory_bytes if self.memory_bytes is None else self.memory_bytes,
            self.isolation or below.isolation,
            self.pools or below.pools,
        )

    def to_json(self) -> dict[str, object]:
        """What is said, as JSON-able values."""
        found = {
            "timeout_s": self.timeout_s,
            "memory_bytes": self.memory_bytes,
            "isolation": self.isolation,
            "pools": dict(self.pools),
        }
        return {name: value for name, value in found.items() if value}


NO_LIMITS = Limits()
ISOLATIONS = ("process",)


def limits(
    timeout: str | float | timedelta | None = None,
    memory: str | int | None = None,
    isolation: str | None = None,
    pool: Pools | None = None,
) -> Limits:
    """Limits as declarations and settings write them.

    Raises:
        ValueError: an amount cannot be read or is zero, the isolation is unknown, or a pool is asked for no slot.
    """
    if timeout is memory is isolation is pool is None:
        return NO_LIMITS
    timeout_s = None if timeout is None else seconds(timeout)
    if timeout_s == 0:
        raise ValueError("a timeout is more than nothing; leave it out for no limit")
    if isolation is not None and isolation not in ISOLATIONS:
        raise ValueError(f'isolation={isolation!r} is not known; "process" is')
    pools = {pool: 1} if isinstance(pool, str) else dict(cast("Mapping[str, int]", pool or {}))
    for name, slots in pools.items():
        if slots < 1:
            raise ValueError(f"pool `{name}`: an asset takes at least one slot, not {slots}")
    return Limits(timeout_s, None if memory is None else memory_bytes(memory), isolation, pools)
