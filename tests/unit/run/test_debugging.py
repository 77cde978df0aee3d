"""A debugger sees exceptions of user code while their frames are there, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from assetflow.errors import UsageError

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

ASSETS = """
    @asset(retry=Retry(times=3, delay="1ms"))
    def bad() -> int:
        answer = 42
        ran("bad")
        raise ValueError("no luck")

    @asset
    def skipped() -> int:
        raise Skip("not today")

    @asset
    def wrong() -> object:
        return object()

    @asset
    def fine() -> int:
        return 1

    @check(fine)
    def looks(fine: int) -> bool:
        seen = fine
        raise LookupError("in the check")
    """


def test_it_sees_each_exception_once_with_its_frames(workspace: Workspace) -> None:
    workspace.assets(ASSETS)
    seen: list[tuple[str, str, object]] = []

    def debugger(asset: str, error: BaseException) -> None:
        trace = error.__traceback__
        assert trace is not None
        while trace.tb_next is not None:
            trace = trace.tb_next
        inside = trace.tb_frame.f_locals
        seen.append((asset, type(error).__name__, inside.get("answer", inside.get("seen"))))

    result = workspace.materialize(debugger=debugger)

    assert sorted(seen) == [("bad", "ValueError", 42), ("fine", "LookupError", 1)]
    assert workspace.ran() == ["bad"]
    assert {one.asset: one.state for one in result} == {
        "bad": "failed", "skipped": "skipped", "wrong": "failed", "fine": "rejected",
    }  # fmt: skip
    assert result["bad"].attempts == 1


@pytest.mark.parametrize("executor", ["threads", "inlined"])
def test_it_needs_the_inline_executor(workspace: Workspace, executor: str) -> None:
    workspace.assets(ASSETS)

    with pytest.raises(UsageError, match="needs the executor `inline`"):
        workspace.materialize(debugger=lambda asset, error: None, executor=executor)

    assert workspace.ran() == []
