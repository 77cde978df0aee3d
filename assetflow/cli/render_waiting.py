"""The assets of a run that wait: for their next try, or for slots of a pool. Lines of the live view."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from assetflow.cli.text import Line, cells, clip_line, dim

if TYPE_CHECKING:
    from assetflow.run.outcome import NextTry

_ROOM = 4
"""So many are shown: the others wait for the same things."""


class Waiting(Struct, frozen=True):
    """An asset that waits for a `reason`, or `until` a monotonic time for another try."""

    key: str
    reason: str = ""
    until: float = 0.0
    again: NextTry | None = None

    def words(self, now: float) -> str:
        """`waiting for pool warehouse`, `attempt 2 of 4 in 3.1 s   ConnectionError: no answer`."""
        if self.again is None:
            return f"waiting {self.reason}"
        error = self.again.error
        why = "" if error is None else f"   {error.type}: {error.message}".partition("\n")[0]
        return replace(self.again, wait_s=max(0.0, self.until - now)).words + why


def waiting_lines(waiting: Sequence[Waiting], now: float, width: int) -> list[Line]:
    """One line for each, at most four; `now` is monotonic."""
    shown = waiting[:_ROOM]
    wide = max((cells(one.key) for one in shown), default=0)
    lines: list[Line] = [
        (dim(" · "), one.key + " " * (wide - cells(one.key)), "  ", dim(one.words(now))) for one in shown
    ]
    if len(waiting) > _ROOM:
        lines.append((dim(f"   … {len(waiting) - _ROOM} more waiting"),))
    return [clip_line(line, width - 1) for line in lines]
