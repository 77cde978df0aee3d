"""Following the logs of a run while it goes on: the catalog and the files are read, and nothing is locked for long."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

from msgspec import Struct

from assetflow.model.keys import UNPARTITIONED, AssetKey
from assetflow.model.records import Attempt
from assetflow.observing.lines import GrowingLog
from assetflow.run.steplog import partitions_in

POLL_S = 0.25


class LogLines(Struct, frozen=True):
    """New lines of the log of one attempt; `is_first` when nothing was given before, `partition` as in `LogFile`."""

    run_id: int
    asset: AssetKey
    attempt: int
    lines: tuple[str, ...]
    is_first: bool = False
    partition: str = UNPARTITIONED


class Moment(Struct, frozen=True):
    """A run as it is now: its attempts so far, and whether more can come."""

    attempts: Sequence[Attempt]
    is_over: bool


def followed(
    run_id: int, look: Callable[[], Moment], path_of: Callable[[Attempt], Path], wait: Callable[[float], None]
) -> Iterator[LogLines]:
    """The lines of the logs as they come, until no more can come. `look` is asked again and again."""
    logs: dict[Path, GrowingLog] = {}
    told: set[Path] = set()
    ended: set[Path] = set()
    with ExitStack() as stack:
        while True:
            # Whether it is over is asked before the files are read: what was written until then is in them.
            moment = look()
            for attempt in moment.attempts:
                path = path_of(attempt)  # the outputs of one function share a log
                if path in ended:
                    continue
                if path not in logs:
                    logs[path] = GrowingLog(path)
                    stack.callback(logs[path].close)
                is_ended = moment.is_over or attempt.state != "running"
                lines = logs[path].lines(is_over=is_ended)
                if is_ended:
                    logs[path].close()
                    ended.add(path)
                if lines:
                    made = partitions_in(path, attempt.partition)
                    yield LogLines(run_id, attempt.asset, attempt.number, tuple(lines), path not in told, made)
                    told.add(path)
            if moment.is_over:
                return
            wait(POLL_S)
