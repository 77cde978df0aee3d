"""`@on`: functions that are told what happens in runs, and the `Event` that they get."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeVar, cast

from msgspec import Struct, field

if TYPE_CHECKING:
    from pathlib import Path

    from assetflow.model.keys import AssetKey
    from assetflow.model.records import CheckOutcome

F = TypeVar("F", bound=Callable[..., object])

ATTRIBUTE = "__assetflow_hooks__"
"""The attribute of a function that holds its hooks."""

EVENTS = (
    "run.started", "run.finished", "run.failed",
    "asset.started", "asset.materialized", "asset.unchanged", "asset.failed", "asset.rejected", "asset.retrying",
    "asset.blocked",
    "check.failed", "check.warned",
)  # fmt: skip
"""The names of all events. A run that fails is both `run.failed` and `run.finished`."""

PATTERNS = ("run.*", "asset.*", "check.*", "*")
"""What stands for several of them."""


class Event(Struct, frozen=True):
    """One thing that happened in a run. It is recorded already: a hook changes nothing any more.

    `message` says it in one line. `at` is in UTC seconds. Of assets: `state` (an earlier result that fits again is
    `asset.materialized` with the state `linked`), the `version` that is current now, `rows`, `seconds`, `reasons` for
    which it ran, `error` with its place (`where`, such as `assets.py:12`) and `traceback`, all `checks`, what it is
    `blocked_by`, which `attempt` it was, and `log`, the file of what was printed. Of checks: also the `check` itself.
    Of runs: `state` (`ok`, `failed`, `cancelled`), `seconds`, and `counts`, how many assets ended in each state.
    """

    name: str
    run_id: int
    env: str
    at: float
    message: str = ""
    asset: AssetKey | None = None
    state: str = ""
    version: int | None = None
    rows: int | None = None
    seconds: float | None = None
    reasons: tuple[str, ...] = ()
    error: str | None = None
    where: str | None = None
    traceback: str = ""
    check: CheckOutcome | None = None
    checks: tuple[CheckOutcome, ...] = ()
    blocked_by: tuple[AssetKey, ...] = ()
    attempt: int = 1
    counts: Mapping[str, int] = field(default_factory=dict[str, int])
    log: Path | None = None


class HookDefinition(Struct, frozen=True):
    """What `@on` attached to a function: the names and patterns as they were written."""

    function: Callable[..., object]
    events: tuple[str, ...]
    select: str | None


def on(*events: str, select: str | None = None) -> Callable[[F], F]:
    """Declare a function to be called when something has happened in a run.

    `events` are names such as `run.failed`, `asset.materialized` or `check.failed`, or patterns: `asset.*`, `*`. With
    `select`, a selection such as `tag:gold`, only events of these assets and of their checks count. The function takes
    one `Event`, and resources as assets do. It is called after what it is told has been recorded, in a thread beside
    the run; what it raises is a warning of the run, and what it prints is in `hooks.log` in the folder of the run.

    Example:
        >>> @on("run.failed", "check.failed")
        ... def tell(event: Event) -> None:
        ...     print(event.message)

    Raises:
        TypeError: no event is named.
    """
    if not events or not all(isinstance(event, str) for event in cast("tuple[object, ...]", events)):
        raise TypeError('on() takes the names of events: @on("run.failed")')

    def attach(function: F) -> F:
        found = HookDefinition(function, events, select)
        setattr(function, ATTRIBUTE, (*hooks_of(function), found))
        return function

    return attach


def hooks_of(value: object) -> tuple[HookDefinition, ...]:
    """The hooks that `@on` hung on a function. Never raises, whatever `value` is."""
    attributes = getattr(value, "__dict__", None)
    found = cast("dict[str, object]", attributes).get(ATTRIBUTE) if isinstance(attributes, dict) else None
    given = cast("tuple[object, ...]", found) if isinstance(found, tuple) else ()
    return tuple(one for one in given if isinstance(one, HookDefinition))


def names_in(pattern: str) -> frozenset[str]:
    """The events that a name or a pattern means; none for what is neither."""
    if pattern == "*":
        return frozenset(EVENTS)
    if pattern in PATTERNS:
        return frozenset(name for name in EVENTS if name.startswith(pattern[:-1]))
    return frozenset([pattern]) & frozenset(EVENTS)
