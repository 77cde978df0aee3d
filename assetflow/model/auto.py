"""`auto=`: when an asset is made without anybody asking for it."""

from __future__ import annotations

from msgspec import Struct

EAGER, MISSING, CRON = "eager", "missing", "cron"


class Auto(Struct, frozen=True):
    """A policy: `eager`, `missing`, or `cron` with an expression and the zone of its times."""

    kind: str
    cron: str = ""
    tz: str = "UTC"

    def __post_init__(self) -> None:
        if self.kind not in (EAGER, MISSING, CRON) or (self.kind == CRON) != bool(self.cron):
            raise ValueError(f'auto= takes "{EAGER}", "{MISSING}" or cron("0 6 * * *"), not {self.kind!r}')

    def __str__(self) -> str:
        return f"cron `{self.cron}` {self.tz}" if self.kind == CRON else self.kind

    def to_json(self) -> list[str]:
        """The policy as JSON-able values."""
        return [self.kind, self.cron, self.tz]


def cron(expression: str, tz: str = "UTC") -> Auto:
    """For `@asset(auto=cron("0 6 * * *", tz="Europe/London"))`: the asset is made at these times, when it is stale.

    Example:
        >>> print(cron("0 6 * * *"))
        cron `0 6 * * *` UTC
    """
    return Auto(CRON, expression, tz)


def auto_of(value: Auto | str | None) -> Auto | None:
    """What `auto=` was given, as a policy.

    Raises:
        ValueError: there is no such policy.
    """
    return Auto(value) if isinstance(value, str) else value
