from __future__ import annotations

import pytest

from tests.faults import syscalls
from tests.faults.driver import bench
from tests.faults.report import Budget
from tests.faults.scenarios import SCENARIOS

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(600)]

not_attachable = syscalls.why_not_attachable()
needs_attaching = pytest.mark.skipif(not_attachable is not None, reason=str(not_attachable))


@pytest.mark.parametrize("text", ["pwrite64:12:ENOSPC", "write:3:kill", "fsync:2+:EIO"])
def test_a_fault_is_told_and_read_back(text: str) -> None:
    assert str(syscalls.Fault.parse(text)) == text


@needs_attaching
def test_no_kill_or_error_at_a_system_call_breaks_a_promise() -> None:
    report = syscalls.run(Budget(20, 120), seed=1, scenarios=("changed",))

    assert report.ok, report.summary()


@needs_attaching
def test_a_kill_between_calls_shows_a_pointer_that_came_first() -> None:
    scenario = SCENARIOS["changed"]
    with bench() as place:
        kills = [one for one in syscalls.faults(place, scenario, 1) if one.call == "rename" and one.effect == "kill"]
        found = [problem for one in kills for problem in syscalls.attempt(place, scenario, one, "pointer_first")[1]]

    assert any(problem.startswith("P2") for problem in found)


@needs_attaching
def test_every_fault_of_a_call_comes_about_until_there_is_no_such_call() -> None:
    scenario = SCENARIOS["changed"]
    with bench() as place:
        numbers = [one.number for one in syscalls.faults(place, scenario, 1) if one.call == "fdatasync"]
        fired, _ = syscalls.attempt(place, scenario, syscalls.Fault("fdatasync", max(numbers), "kill"))
        beyond, _ = syscalls.attempt(place, scenario, syscalls.Fault("fdatasync", max(numbers) + 50, "kill"))

    assert (fired, beyond) == (True, False)
