"""What an asset function can ask about the run it is part of, and what it can tell those who watch."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from logging import Logger

    from assetflow.model.keys import AssetKey


class Partition(msgspec.Struct, frozen=True):
    """Which partition a call makes; take it as a parameter: `def orders(partition: Partition)`.

    `start` and `end` bound its time, from and until, in the time zone of the definition; None where it is no time.
    `axes` has the key on each axis of a product by the axis' name. A call for several partitions (`batch=`) has all of
    their `keys`: then `key` is the range, `start` and `end` are its ends, and `axes` has what they have in common.
    """

    key: str
    start: datetime | None = None
    end: datetime | None = None
    axes: Mapping[str, str] = msgspec.field(default_factory=dict[str, str])
    keys: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.key


class Teller(Protocol):
    """Where what a function tells about itself goes."""

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to stop."""
        ...

    def progress(self, done: float, total: float | None, message: str) -> None:
        """How far the function is."""
        ...

    def step(self, name: str) -> AbstractContextManager[None]:
        """A part of the function that is timed."""
        ...


class _Nobody:
    """Outside a run nobody watches."""

    cancelled = False

    def progress(self, done: float, total: float | None, message: str) -> None:
        """Nothing."""

    def step(self, name: str) -> AbstractContextManager[None]:
        """Nothing."""
        return nullcontext()


@dataclass(frozen=True, slots=True)
class Context:
    """Take it as a parameter: `def orders(raw: pd.DataFrame, context: Context)`.

    `log` writes to the log of this attempt (`assetflow logs`); `run_id` is None outside a project; `attempt` counts
    from 1. `teller` is what a run listens with: without one, `progress` and `step` do nothing. `partition` is None for
    an asset without partitions.
    """

    asset_key: AssetKey
    log: Logger
    run_id: int | None = None
    env: str = "dev"
    attempt: int = 1
    metadata: dict[str, object] = field(default_factory=dict[str, object])
    teller: Teller = field(default_factory=_Nobody, repr=False, compare=False)
    partition: Partition | None = None

    def add_metadata(self, **values: object) -> None:
        """Record JSON-able values with the version, as `Result(metadata=...)` does."""
        self.metadata.update(values)

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Say how far the function is: `done` of `total` rows, files, or whatever it counts; without a total, so many.

        It may be called as often as is handy, also from threads: watchers are told about ten times a second, and the
        last call always reaches them. In a run, TypeError or ValueError is raised for what is no number.
        """
        self.teller.progress(done, total, message)

    def step(self, name: str) -> AbstractContextManager[None]:
        """Time a part of the function: `with context.step("join"): ...`.

        The seconds are in the record of the attempt (`assetflow runs show 42 --times`). A step within a step is
        `outer/inner`; a repeated one is added up and counted; one that raises is recorded as well.
        """
        return self.teller.step(name)

    @property
    def cancelled(self) -> bool:
        """Whether the run was asked to stop: a long loop may look, and `raise Skip` or return what it has."""
        return self.teller.cancelled
