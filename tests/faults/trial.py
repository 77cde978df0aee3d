"""One trial: a store as a scenario begins, a fault during its command, the judge, the next command, the judge again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assetflow.testing.failpoints import Failpoints
from tests.faults import checker, project as workload
from tests.faults.driver import Bench, Ended, read_acks
from tests.faults.scenarios import Scenario


@dataclass(slots=True)
class Outcome:
    """What a trial showed: how the command ended, how often it was killed, and the broken promises."""

    ended: Ended
    kills: int = 0
    problems: list[str] = field(default_factory=list)


def trial(
    bench: Bench,
    scenario: Scenario,
    points: Failpoints,
    *,
    sabotage: str | None = None,
    again: Sequence[Failpoints] = (),
) -> Outcome:
    """Run the scenario with the fault and then recover; `again` are more faults, one during each recovery."""
    before, earlier = bench.begin(scenario)
    ack = bench.folder / "acks"
    ack.unlink(missing_ok=True)
    outcome = Outcome(bench.act(scenario, ack, points, sabotage))
    if points.action != "error":
        outcome.problems += _unexpected(outcome.ended)
    if scenario.is_whole_before_recovery:
        outcome.problems += judged(bench, scenario, ack, before, earlier)
    outcome.kills = int(outcome.ended.was_killed)
    for later in again:
        if outcome.problems:
            break
        next_one = bench.recover(scenario, ack, later, sabotage)
        outcome.kills += next_one.was_killed
        outcome.problems += _unexpected(next_one)
        if scenario.is_whole_before_recovery:
            outcome.problems += judged(bench, scenario, ack, before, earlier)
        if not next_one.was_killed:  # it came to its end before that operation
            break
    if not outcome.problems:
        outcome.problems += recovered(bench, scenario, ack, before, earlier, sabotage)
    return outcome


def judged(
    bench: Bench, scenario: Scenario, ack: Path, before: checker.Snapshot, earlier: list, *, is_clean: bool = False
) -> list[str]:
    """What the judge says about the store as it lies there."""
    return checker.check(
        bench.store, [*earlier, *read_acks(ack)], before=before, damaged=scenario.damaged, is_clean=is_clean,
        generation=workload.generation_of(bench.root) if is_clean and scenario.ends_newest else None,
    )  # fmt: skip


def recovered(
    bench: Bench, scenario: Scenario, ack: Path, before: checker.Snapshot, earlier: list, sabotage: str | None
) -> list[str]:
    """The next command, which must do all that is missing and leave nothing of the dead."""
    next_one = bench.recover(scenario, ack, None, sabotage)
    if next_one.code or "error" in next_one.facts:
        return [f"P7: the next command failed: {last_lines(next_one)}"]
    return [f"after recovery: {one}" for one in judged(bench, scenario, ack, before, earlier, is_clean=True)]


def last_lines(ended: Ended) -> str:
    """What a child said when it ended, on one line."""
    text = str(ended.facts.get("error") or f"exit {ended.code}")
    return " | ".join(text.strip().splitlines()[-8:])


def _unexpected(ended: Ended) -> list[str]:
    """What is wrong with how a child ended that nobody made fail."""
    if ended.was_killed or (ended.code == 0 and "error" not in ended.facts):
        return []
    return [f"P14: the command ended by itself: {last_lines(ended)}"]
