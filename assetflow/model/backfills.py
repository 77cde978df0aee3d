"""Backfills as values: which partitions somebody asked for in several runs, and how far that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

RUNNING, DONE, FAILED, STOPPED, PAUSED, INTERRUPTED = "running", "done", "failed", "stopped", "paused", "interrupted"
"""The states of a backfill. `failed`: all was tried, and not all could be made; `stopped`: too much failed."""

DIED = "died"
"""What is shown of a running one whose process is gone."""

OLDEST, NEWEST = "oldest", "newest"


class Backfill(Struct, frozen=True):
    """What was asked for, and how far it is.

    `work` says which partitions of which assets that was when it began, in which order, and how many are made at once.
    `planned` of them were to be made, `done` are, and `failed` failed in its last go.
    """

    backfill_id: int
    env: str
    state: str
    selection: str
    partitions: str
    work: Mapping[str, Any]
    planned: int
    done: int
    failed: int
    started_at: float
    ended_at: float | None
    user: str
    host: str

    @property
    def cause(self) -> str:
        """What its runs are recorded as part of."""
        return f"backfill #{self.backfill_id}"

    @property
    def left(self) -> int:
        """How many partitions are yet to be made."""
        return max(0, self.planned - self.done)

    def to_json(self) -> dict[str, object]:
        """What a program reads of it."""
        return {
            "backfill": self.backfill_id,
            "env": self.env,
            "state": self.state,
            "selection": self.selection,
            "partitions": self.partitions,
            "order": self.work.get("order"),
            "chunk": self.work.get("chunk"),
            "planned": self.planned,
            "done": self.done,
            "failed": self.failed,
            "left": self.left,
        }
