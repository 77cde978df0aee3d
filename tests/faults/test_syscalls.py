from __future__ import annotations

import pytest

from tests.faults import syscalls
from tests.faults.apart import apart
from tests.faults.report import Budget

pytestmark = [pytest.mark.fault, pytest.mark.slow, pytest.mark.timeout(600)]

not_attachable = syscalls.why_not_attachable()
needs_attaching = pytest.mark.skipif(not_attachable is not None, reason=str(not_attachable))


@pytest.mark.parametrize("text", ["pwrite64:12:ENOSPC", "write:3:kill", "fsync:2+:EIO"])
def test_a_fault_is_told_and_read_back(text: str) -> None:
    assert str(syscalls.Fault.parse(text)) == text


@needs_attaching
def test_no_kill_or_error_at_a_system_call_breaks_a_promise() -> None:
    report = apart(syscalls.run, Budget(20, 120), seed=1, scenarios=("changed",))

    assert report.ok, report.summary()


@needs_attaching
def test_a_kill_between_calls_shows_a_pointer_that_came_first() -> None:
    found = apart(syscalls.problems_at_renames, "pointer_first")

    assert any(problem.startswith("P2") for problem in found)


@needs_attaching
def test_every_fault_of_a_call_comes_about_until_there_is_no_such_call() -> None:
    assert apart(syscalls.fired_at_and_beyond_the_last, "fdatasync") == (True, False)
