"""The CI profile: every harness with a small budget, each scenario in a test of its own; see README.md."""

from __future__ import annotations

import pytest

from tests.faults.chaos import KINDS
from tests.faults.profile import CI, in_workers
from tests.faults.report import Budget
from tests.faults.scenarios import SCENARIOS, skipped

pytestmark = [pytest.mark.fault, pytest.mark.slow]
SEED = 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_nothing_is_lost_or_torn_wherever_the_process_is_killed(scenario: str) -> None:
    if scenario in skipped():
        pytest.skip(skipped()[scenario])

    points = 4 if SCENARIOS[scenario].native else 12
    report = in_workers("kills", Budget(points, 60), SEED, None, {"only": [scenario], "workers": 1})

    assert report.ok, report.summary()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_error_of_the_disk_is_told_and_changes_nothing(scenario: str) -> None:
    if scenario in skipped():
        pytest.skip(skipped()[scenario])

    points = 3 if SCENARIOS[scenario].native else 8
    report = in_workers("errors", Budget(points, 60), SEED, None, {"only": [scenario], "workers": 1})

    assert report.ok, report.summary()


@pytest.mark.timeout(300)
def test_nothing_is_left_of_a_run_whichever_of_its_processes_is_killed() -> None:
    report = in_workers("chaos", CI["chaos"], SEED, None, {"workers": 1})

    assert report.ok, report.summary()
    assert {f"kills of a {kind}" for kind in KINDS} <= report.counts.keys()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("harness", ["full", "races", "contention"])
def test_two_at_once_and_a_full_disk(harness: str) -> None:
    report = in_workers(harness, CI.get(harness, Budget(1, 60)), SEED, None, {"workers": 1})

    assert report.ok, report.summary()
