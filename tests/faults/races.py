"""Two commands at once, stopped and let go at the worst moment: what contention finds in hours, each in one try.

The first command waits in the middle (its first publish) until the second has ended. Files tell them so.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from assetflow import Project
from assetflow.catalog.catalog import Catalog
from assetflow.io.storage import Storage
from assetflow.model.records import NewTrace
from tests.faults import checker, project as workload
from tests.faults.driver import Bench, Ended, bench as new_bench, forked, read_acks, run_here
from tests.faults.report import Budget, Report
from tests.faults.scenarios import SCENARIOS, Acks, Scenario, collect, materialize
from tests.faults.trial import last_lines

WAIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Race:
    """What happens while the first command waits, and which errors each of the two may end with."""

    meanwhile: Callable[[Bench, str | None], Ended]
    first_may_fail: tuple[str, ...] = ()
    second_may_fail: tuple[str, ...] = ()
    second_must_fail: bool = False


def same_environment(bench: Bench, sabotage: str | None) -> Ended:
    """Another run in the environment: it must be turned away."""
    return _second(bench, sabotage, materialize)


def zombie(bench: Bench, sabotage: str | None) -> Ended:
    """The first run is taken for dead though it is not, as on a system without locks: it must not change anything."""
    return _second(bench, sabotage, materialize, setup=_lose_locks)


def other_environment(bench: Bench, sabotage: str | None) -> Ended:
    """A whole run in another environment: neither may notice the other."""

    def act(_: Project, acks: Acks) -> None:
        other = Project.load(bench.root, env="prod")
        materialize(other, acks)

    return _second(bench, sabotage, act)


def moved_head(bench: Bench, sabotage: str | None) -> Ended:
    """Somebody moves the heads back to where they were, as a rollback does."""

    def act(project: Project, acks: Acks) -> None:
        catalog = Catalog(project.settings.catalog_path, write=True)
        traces: list[NewTrace] = []
        for key in ("plain", "arrows", "facts", "blob", "left", "right"):
            now, earlier = catalog.history(project.env, key)[:2]  # pyright: ignore[reportArgumentType]
            old = earlier.trace
            traces.append(NewTrace(
                now.trace.asset, old.input_key, old.code, old.code_parts, old.config, old.inputs, "link",
                old.started_at, old.finished_at, old.as_of, old.metadata, None, old.version_id, now.trace.trace_id,
            ))  # fmt: skip
        catalog.commit(project.env, None, traces, time.time())
        catalog.close()

    return _second(bench, sabotage, act)


def collection(bench: Bench, sabotage: str | None) -> Ended:
    """Somebody collects: what goes may be decided, but no bytes may go while a run is at work."""

    def act(project: Project, acks: Acks) -> None:
        folders = set(bench.store.glob("data/*/_/*"))
        collect(project, acks)
        gone = sorted(path.name for path in folders - set(bench.store.glob("data/*/_/*")))
        assert not gone, f"gc deleted {gone} while a run was going on"

    return _second(bench, sabotage, act)


RACES = {
    "same environment": Race(same_environment, second_may_fail=("RunConflict",), second_must_fail=True),
    "zombie": Race(zombie, first_may_fail=("Superseded",)),
    "other environment": Race(other_environment),
    "collection": Race(collection),
    "moved head": Race(moved_head, first_may_fail=("Superseded",)),
}


def run(sabotage: str | None = None, budget: Budget | None = None, seed: int = 0, **_: object) -> Report:
    """Every race once."""
    del budget
    report = Report("races", seed)
    began = time.monotonic()
    with new_bench() as bench:
        for name, race in RACES.items():
            report.points += 1
            for problem in _one(bench, race, sabotage):
                option = f" --sabotage {sabotage}" if sabotage else ""
                report.violation(f"{name}: {problem}", f"python -m tests.faults.profile ci --only races{option}")
    report.seconds = time.monotonic() - began
    return report


START = Scenario("race", SCENARIOS["no-op"].prepare, materialize)
"""Two versions of everything; then the source changes."""


def _one(bench: Bench, race: Race, sabotage: str | None) -> list[str]:
    before, earlier = bench.begin(START)
    workload.set_generation(bench.root, workload.generation_of(bench.root) + 1)
    ack, here, go = bench.folder / "acks", bench.folder / "here", bench.folder / "go"
    for path in (ack, here, go):
        path.unlink(missing_ok=True)
    first = bench.start(START, ack, sabotage=sabotage, setup=lambda project: _pause(project, here, go))
    problems: list[str] = []
    try:
        if not _wait_for(here):
            return ["the first command never came to its first publish"]
        second = race.meanwhile(bench, sabotage)
        problems += _judged_end("second", second, race.second_may_fail, must_fail=race.second_must_fail)
        if second.facts.get("class") is None and not race.second_must_fail:
            problems += checker.check(bench.store, [*earlier, *read_acks(ack)], before=before)
    finally:
        go.touch()
        ended = first.wait()
    problems += _judged_end("first", ended, race.first_may_fail)
    problems += checker.check(bench.store, [*earlier, *read_acks(ack)], before=before)
    next_one = bench.recover(START, ack)
    problems += _judged_end("next", next_one, ())
    return problems + checker.check(bench.store, [*earlier, *read_acks(ack)], before=before, is_clean=True)


def _judged_end(which: str, ended: Ended, may_fail: tuple[str, ...], *, must_fail: bool = False) -> list[str]:
    name = ended.facts.get("class")
    if ended.code or ("error" in ended.facts and name not in may_fail):
        return [f"P4: the {which} command failed: {last_lines(ended)}"]
    if must_fail and name is None:
        return [f"P4: the {which} command was let in"]
    return []


def _second(
    bench: Bench,
    sabotage: str | None,
    act: Callable[[Project, Acks], None],
    setup: Callable[[Project], None] | None = None,
) -> Ended:
    acks = Acks(bench.folder / "acks")

    def work() -> dict[str, Any]:
        return run_here(act, bench.project, acks, None, sabotage, setup)

    return forked(work)


def _pause(project: Project, here: Path, go: Path) -> None:
    """Wait once, when the first version is about to be published."""
    publish = Storage.publish

    def paused(self: Storage, *arguments: Any, **options: Any) -> Any:
        if not here.exists():
            here.touch()
            _wait_for(go)
        return publish(self, *arguments, **options)

    Storage.publish = paused


def _lose_locks(project: Project) -> None:
    from tests.faults.sabotage import apply

    apply("no_run_lock")


def _wait_for(path: Path) -> bool:
    deadline = time.monotonic() + WAIT_S
    while not os.path.exists(path):  # noqa: PTH110 - polled a lot
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True
