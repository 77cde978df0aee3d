"""Trying again: which errors, how often, how long apart, and what is recorded of it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

FLAKY = """
@asset(retry=Retry(3, delay=0.01, on=(OSError,)))
def flaky(context: Context) -> int:
    ran(f"attempt {context.attempt}")
    print("attempt", context.attempt)
    if context.attempt < 3:
        raise ConnectionError(f"no answer to call {context.attempt}")
    return context.attempt

@asset
def below(flaky: int) -> int:
    return flaky + 1
"""


def test_an_asset_is_tried_until_it_succeeds(workspace: Workspace) -> None:
    workspace.assets(FLAKY)

    result = workspace.materialize()

    assert result.ok
    assert workspace.ran() == ["attempt 1", "attempt 2", "attempt 3"]
    assert (result["flaky"].attempts, result["below"].state) == (3, "materialized")
    assert workspace.project().read("flaky") == 3


def test_every_attempt_is_recorded_with_its_error_its_reasons_and_its_log(workspace: Workspace) -> None:
    workspace.assets(FLAKY)
    workspace.materialize("flaky")
    project = workspace.project()

    _, attempts = project.run_details(1)

    assert [(one.number, one.state) for one in attempts] == [(1, "failed"), (2, "failed"), (3, "materialized")]
    assert [one.error and one.error["message"] for one in attempts] == [
        "no answer to call 1", "no answer to call 2", None,
    ]  # fmt: skip
    assert [[reason["code"] for reason in one.reasons] for one in attempts] == [["never_materialized"]] * 3
    assert [log.text.splitlines()[0] for log in project.logs(key="flaky")] == ["attempt 3", "attempt 2", "attempt 1"]
    assert [entry.reason for entry in project.history("flaky")] == ["never_materialized"]


def test_an_error_of_another_type_is_not_tried_again(workspace: Workspace) -> None:
    workspace.assets(FLAKY)
    workspace.edit("raise ConnectionError", "raise ValueError")

    result = workspace.materialize()

    assert workspace.ran() == ["attempt 1"]
    assert {one.asset: one.state for one in result} == {"flaky": "failed", "below": "blocked"}


def test_tries_end_after_the_number_that_was_given(workspace: Workspace) -> None:
    workspace.assets(FLAKY)
    workspace.edit("context.attempt < 3", "True")

    result = workspace.materialize()

    assert workspace.ran() == ["attempt 1", "attempt 2", "attempt 3", "attempt 4"]
    assert (result["flaky"].state, result["flaky"].attempts) == ("failed", 4)
    assert result["flaky"].error is not None
    assert result["flaky"].error.message == "no answer to call 4"


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_the_delay_is_kept_and_other_assets_run_meanwhile(workspace: Workspace, executor: str) -> None:
    workspace.assets("""
        import time

        @asset(retry=Retry(1, delay=0.3))
        def flaky(context: Context) -> int:
            ran(f"flaky {context.attempt}")
            (Path(__file__).parent / f"at{context.attempt}").write_text(str(time.monotonic()))
            if context.attempt == 1:
                raise ValueError("once")
            return 1

        @asset
        def other() -> int:
            ran("other")
            return 2
        """)

    workspace.materialize(executor=executor, workers=1)

    first, second = (float((workspace.root / f"at{number}").read_text()) for number in (1, 2))
    assert second - first >= 0.3
    assert workspace.ran() == ["flaky 1", "other", "flaky 2"]


def test_a_wrong_return_is_not_tried_again(workspace: Workspace) -> None:
    workspace.assets("""
        @asset(retry=3)
        def table() -> pa.Table:
            ran("table")
            return "text"
        """)

    assert workspace.outcomes() == {"table": "failed"}
    assert workspace.ran() == ["table"]


def test_a_failed_check_is_not_tried_again(workspace: Workspace) -> None:
    workspace.assets("""
        @asset(retry=3, checks=[row_count(5)])
        def table() -> pa.Table:
            ran("table")
            return pa.table({"n": [1]})
        """)

    assert workspace.outcomes() == {"table": "rejected"}
    assert workspace.ran() == ["table"]


def test_skip_is_not_tried_again(workspace: Workspace) -> None:
    workspace.assets("@asset(retry=3)\ndef table() -> pa.Table:\n    ran('table')\n    raise Skip('later')\n")

    assert workspace.outcomes() == {"table": "skipped"}
    assert workspace.ran() == ["table"]


def test_the_default_retry_of_the_project_file_counts(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef bad() -> int:\n    ran('bad')\n    raise ValueError\n", "[defaults]\nretry = 2\n")

    workspace.materialize()

    assert workspace.ran() == ["bad", "bad", "bad"]


def test_a_run_that_stops_does_not_wait_for_a_retry_and_keeps_what_is_recorded(workspace: Workspace) -> None:
    workspace.assets("""
        @asset(retry=Retry(1, delay="1h"))
        def flaky() -> int:
            raise ValueError("first")

        @asset(deps=[])
        def hopeless() -> int:
            raise ValueError("hopeless")
        """)
    began = time.monotonic()

    result = workspace.materialize(fail_fast=True, executor="inline")

    assert time.monotonic() - began < 60
    assert {one.asset: one.state for one in result} == {"flaky": "cancelled", "hopeless": "failed"}
    _, attempts = workspace.project().run_details(1)
    flaky = [(one.number, one.state) for one in attempts if one.asset == "flaky"]
    assert flaky == [(1, "failed"), (2, "cancelled")]
