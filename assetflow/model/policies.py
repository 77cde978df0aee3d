"""How an asset behaves over time and under failure: freshness and retries."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

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

    `on` limits retries to these exception types (and their subclasses); without it every `Exception` is retried.

    Example:
        >>> [Retry(3, delay="2s", backoff=2).wait_s(n) for n in (1, 2, 3)]
        [2.0, 4.0, 8.0]
    """

    times: int
    delay_s: float
    backoff: float
    on: tuple[type[BaseException], ...] = field(compare=False)

    def __init__(
        self,
        times: int = 1,
        *,
        delay: str | float | timedelta = 0,
        backoff: float = 1.0,
        on: tuple[type[BaseException], ...] | type[BaseException] = (),
    ) -> None:
        if times < 0:
            raise ValueError("Retry takes a number of retries of 0 or more")
        object.__setattr__(self, "times", times)
        object.__setattr__(self, "delay_s", seconds(delay))
        object.__setattr__(self, "backoff", float(backoff))
        object.__setattr__(self, "on", on if isinstance(on, tuple) else (on,))

    def wait_s(self, attempt: int) -> float:
        """Seconds to wait after the failed attempt number `attempt` (from 1)."""
        return self.delay_s * self.backoff ** (attempt - 1)

    def covers(self, error: BaseException) -> bool:
        """Whether this error is one to retry."""
        return isinstance(error, self.on or Exception)


CUE_MODES = ("thorough", "always", "never")


@dataclass(frozen=True, slots=True)
class Cue:
    """What makes an asset run.

    `mode`: `thorough` runs it when anything that counts has changed; `always` runs it in every `materialize`; `never`
    runs it only when it has no version, was invalidated, or is forced. What is False does not count: the `code`, the
    `config`, the declared `files`, the `env` variables.

    Example:
        >>> Cue(code=False).to_json()
        {'code': False}

    Raises:
        ValueError: there is no such mode.
    """

    mode: str = "thorough"
    code: bool = True
    config: bool = True
    files: bool = True
    env: bool = True

    def __post_init__(self) -> None:
        if self.mode not in CUE_MODES:
            raise ValueError(f"a cue is {', '.join(CUE_MODES[:-1])} or {CUE_MODES[-1]}, not `{self.mode}`")

    def to_json(self) -> dict[str, object]:
        """What differs from the default, as JSON-able values."""
        found: dict[str, object] = {
            name: False for name in ("code", "config", "files", "env") if not getattr(self, name)
        }
        return found if self.mode == "thorough" else {"mode": self.mode, **found}
