"""The events of a run as JSON objects: for `--progress=jsonl`, and for `events.jsonl` in the folder of each run."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

if TYPE_CHECKING:
    from assetflow.model.keys import AssetKey
    from assetflow.plan.planner import Plan
    from assetflow.plan.staleness import Reason
    from assetflow.run.outcome import NextTry, RunResult, StepOutcome
    from assetflow.run.reports import Progressed

SCHEMA = "assetflow.event/1"
FILE = "events.jsonl"
_FLUSH_S = 1.0


class EventStream:
    """Gives each event of a run to `write` as a JSON-able object; `seq` has no gaps. An `Observer`."""

    def __init__(self, write: Callable[[dict[str, object]], None], clock: Callable[[], float] | None = None) -> None:
        self._write = write
        self._clock = clock or time.time
        self._seq = 0
        self._run_id: int | None = None

    def queued(self, behind: str) -> None:
        """Nothing: what waits has no number yet, and so no event of its own."""

    def run_started(self, run_id: int, plan: Plan, workers: int) -> None:
        """The plan's counts."""
        self._run_id = run_id
        counts = {"run": len(plan.run), "maybe": len(plan.maybe), "link": len(plan.link), "current": plan.current_count}
        self._event("run_started", env=plan.env, selection=plan.selection, planned=counts, workers=workers)

    def step_started(self, asset: AssetKey, reasons: tuple[Reason, ...]) -> None:
        """Which asset began, and why."""
        self._event("asset_started", asset=asset, reasons=[reason.to_json() for reason in reasons])

    def step_finished(self, outcome: StepOutcome) -> None:
        """The outcome."""
        self._event(f"asset_{outcome.state}", **outcome.to_json())

    def retrying(self, asset: AssetKey, again: NextTry) -> None:
        """The attempt that failed, and when the next one begins."""
        facts: dict[str, object] = {} if again.failed is None else again.failed.to_json()
        error = None if again.error is None else again.error.to_json()
        said = {"asset": asset, "state": "retrying", "attempt": again.number, "of": again.of, "wait_s": again.wait_s}
        self._event("asset_retrying", **{**facts, **said, "error": error})

    def waiting(self, asset: AssetKey, reason: str) -> None:
        """What an asset that could start waits for."""
        self._event("asset_waiting", asset=asset, reason=reason)

    def progressed(self, asset: AssetKey, progress: Progressed) -> None:
        """How far an asset is."""
        self._event(
            "asset_progress", asset=asset, attempt=progress.attempt, done=progress.done, total=progress.total,
            message=progress.message,
        )  # fmt: skip

    def tick(self) -> None:
        """Nothing."""

    def stopping(self, running: int) -> None:
        """How many assets are waited for."""
        self._event("stopping", running=running)

    def warn(self, text: str) -> None:
        """The warning."""
        self._event("warning", message=text)

    def run_finished(self, result: RunResult) -> None:
        """The counts."""
        self._event(
            "run_finished", ok=result.ok, counts=dict(result.counts), current=result.current, seconds=result.seconds
        )

    def nothing_to_do(self, result: RunResult) -> None:
        """That there was nothing to do."""
        self._event("nothing_to_do", ok=True, current=result.current, seconds=result.seconds)

    def broke_off(self, error: BaseException) -> None:
        """That the run ended without a result, and why."""
        kind = type(error).__name__
        self._event("run_finished", ok=False, error={"type": kind, "message": str(error).partition("\n")[0]})

    def _event(self, kind: str, **facts: object) -> None:
        self._seq += 1
        now = self._clock()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now * 1000) % 1000:03d}Z"
        self._write({"schema": SCHEMA, "seq": self._seq, "ts": stamp, "run": self._run_id, "type": kind, **facts})


class EventFile(EventStream):
    """Writes the events of a run to its folder. They are derived, so nothing waits for the disk, and none fails a run.

    `problem` says why writing ended before the run did, or nothing.
    """

    def __init__(self, runs: Path) -> None:
        super().__init__(self._put)
        self.problem = ""
        self._runs = runs
        self._file: TextIO | None = None
        self._flushed = 0.0

    def run_started(self, run_id: int, plan: Plan, workers: int) -> None:
        """Make the file, and write the plan's counts."""
        path = self._runs / str(run_id) / FILE
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("w", encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            self._fail(error)
        super().run_started(run_id, plan, workers)

    def tick(self) -> None:
        """Let readers see what has happened, at most once a second."""
        if self._file is not None and time.monotonic() - self._flushed >= _FLUSH_S:
            self._flushed = time.monotonic()
            try:
                self._file.flush()
            except OSError as error:
                self._fail(error)

    def close(self) -> None:
        """Write what is still in memory."""
        if self._file is not None:
            file, self._file = self._file, None
            try:
                file.close()
            except OSError as error:
                self._fail(error)

    def _put(self, event: dict[str, object]) -> None:
        if self._file is not None:
            try:
                self._file.write(json.dumps(event, default=str) + "\n")
            except OSError as error:
                self._fail(error)

    def _fail(self, error: OSError) -> None:
        file, self._file = self._file, None
        self.problem = f"the events of this run are not all recorded: {error.strerror or error}"
        if file is not None:
            try:
                file.close()
            except OSError:
                return  # it is what failed just now, and is closed all the same


def read_events(runs: Path, run_id: int) -> Iterator[Mapping[str, object]]:
    """The events that were recorded of a run, in their order; those of a run that is going on, as far as they are seen.

    Raises:
        OSError: there is a file, and it cannot be read.
    """
    try:
        text = (runs / str(run_id) / FILE).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return
    for line in text.splitlines():
        try:
            event: object = json.loads(line)
        except ValueError:
            continue  # the last line of a run that was killed, or that is being written
        if isinstance(event, dict):
            yield cast("Mapping[str, object]", event)
