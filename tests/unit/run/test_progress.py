"""What functions tell while they run: progress and timed steps, on their way to observers and into the record."""

from __future__ import annotations

import logging
import pickle
import threading
import time
from typing import TYPE_CHECKING

import pytest

from assetflow import Context, materialize
from assetflow.model.declare import asset
from assetflow.model.keys import AssetKey
from assetflow.model.records import SpanTime
from assetflow.run.outcome import SilentObserver
from assetflow.run.reports import EVERY_S, Inbox, Progressed, Report, Stepped, StepTeller

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

Executor = pytest.mark.parametrize("executor", ["inline", "threads"])


class Hearing(SilentObserver):
    """An observer that keeps what assets say, and lets them go on once it has heard something."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Progressed]] = []
        self.threads: set[int] = set()

    def progressed(self, asset: AssetKey, progress: Progressed) -> None:
        self.heard.append((asset, progress))
        self.threads.add(threading.get_ident())


def spans(workspace: Workspace, run_id: int = 1) -> dict[tuple[str, int], list[SpanTime]]:
    _, attempts = workspace.project().run_details(run_id)
    return {(attempt.asset, attempt.number): list(attempt.spans) for attempt in attempts}


@Executor
def test_an_observer_hears_how_far_an_asset_is_in_its_own_thread(workspace: Workspace, executor: str) -> None:
    workspace.assets("""
        @assets("left", "right")
        def both(context: Context) -> tuple:
            context.progress(0, 8, "fitting\\ncohort")
            context.progress(8, 8)
            return 1, 2
        """)
    hearing = Hearing()

    workspace.materialize(executor=executor, observer=hearing).raise_for_status()

    assert hearing.threads == {threading.get_ident()}
    for name in ("left", "right"):
        last = [one for asset, one in hearing.heard if asset == name][-1]
        assert (last.done, last.total, last.attempt, last.share) == (8.0, 8.0, 1, 1.0)


def test_progress_arrives_while_the_function_runs(workspace: Workspace) -> None:
    workspace.assets("""
        heard = threading.Event()

        @asset
        def slow(context: Context) -> bool:
            context.progress(1, None, "first")
            context.progress(2, None, "so far")
            return heard.wait(30)  # the second one came too soon after the first, and must arrive all the same
        """)

    class Releasing(Hearing):
        def progressed(self, asset: AssetKey, progress: Progressed) -> None:
            super().progressed(asset, progress)
            if progress.done == 2:
                import sys

                sys.modules["assets"].heard.set()

    hearing = Releasing()
    workspace.materialize(observer=hearing).raise_for_status()

    assert workspace.project().read("slow") is True
    assert hearing.heard[-1][1].message == "so far"
    assert hearing.heard[-1][1].share is None


def test_a_tight_loop_is_heard_seldom_and_its_last_word_always() -> None:
    told: list[Report] = []
    teller = StepTeller("fit", 1, told.append, bool)
    began = time.monotonic()
    for done in range(20_000):
        teller.progress(done, 20_000, "")
        with teller.step("inner"):
            pass
    teller.close()
    at_most = (time.monotonic() - began) / EVERY_S + 2

    assert len([one for one in told if isinstance(one, Progressed)]) <= at_most
    assert len([one for one in told if isinstance(one, Stepped)]) <= at_most
    assert told[-1] == Progressed("fit", 1, 19_999.0, 20_000.0, "")
    last = [one for one in told if isinstance(one, Stepped)][-1]
    assert (last.name, last.count, last.failed) == ("inner", 20_000, 0)
    teller.progress(1, 2, "after the end")
    assert told[-1].attempt == 1
    assert told[-1] == Progressed("fit", 1, 19_999.0, 20_000.0, "")


def test_reports_cross_processes() -> None:
    for report in (Progressed("fit", 1, 2.0, 3.0, "é"), Stepped("fit", 1, "a/b", 0.5, 2, 1, 3)):
        assert pickle.loads(pickle.dumps(report)) == report


@pytest.mark.parametrize(
    ("done", "total", "share"),
    [(5, 8, 0.625), (9, 8, 1.0), (-1, 8, 0.0), (5, 0, None), (5, None, None), (5, float("inf"), None)],
)
def test_a_share_is_known_only_with_a_total(done: float, total: float | None, share: float | None) -> None:
    told: list[Report] = []
    teller = StepTeller("fit", 1, told.append, bool)
    teller.progress(done, total, "")
    (report,) = told
    assert isinstance(report, Progressed)
    assert report.share == share


@Executor
def test_steps_within_a_function_are_recorded_with_their_times(workspace: Workspace, executor: str) -> None:
    workspace.assets("""
        @asset
        def fitted(context: Context) -> int:
            with context.step("load"):
                for _ in range(3):
                    with context.step("page"):
                        pass
            with context.step("fit/predict"):
                pass
            return 1
        """)

    workspace.materialize(executor=executor).raise_for_status()

    found = spans(workspace)["fitted", 1]
    assert [(one.path, one.count, one.failed) for one in found] == [
        ("load", 1, 0), ("load/page", 3, 0), ("fit|predict", 1, 0),
    ]  # fmt: skip
    assert 0 <= found[1].seconds <= found[0].seconds < 30


@Executor
def test_a_step_that_raises_is_recorded_of_each_attempt(workspace: Workspace, executor: str) -> None:
    workspace.assets("""
        @asset(retry=Retry(1))
        def shaky(context: Context) -> int:
            with context.step("outer"):
                with context.step("fetch"):
                    if context.attempt == 1:
                        raise ValueError("not yet")
            return 1
        """)

    workspace.materialize(executor=executor).raise_for_status()

    found = spans(workspace)
    assert [(one.path, one.failed) for one in found["shaky", 1]] == [("outer", 1), ("outer/fetch", 1)]
    assert [(one.path, one.failed) for one in found["shaky", 2]] == [("outer", 0), ("outer/fetch", 0)]


def test_names_of_steps_without_end_are_added_up() -> None:
    inbox = Inbox()
    teller = StepTeller("fit", 1, inbox.put, bool)
    for number in range(2_000):
        with teller.step(f"row {number}"):
            pass
    teller.close()
    inbox.deliver()

    found = inbox.spans("fit", 1)
    assert len(found) == 501
    assert sum(one.count for one in found) == 2_000
    assert (found[0].path, found[-1].path) == ("row 0", "(others)")


def test_steps_in_threads_do_not_mix() -> None:
    inbox = Inbox()
    teller = StepTeller("fit", 1, inbox.put, bool)
    together = threading.Barrier(2, timeout=30)

    def work(name: str) -> None:
        with teller.step(name):
            together.wait()
            with teller.step("inner"):
                together.wait()

    threads = [threading.Thread(target=work, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    teller.close()
    inbox.deliver()

    assert {one.path for one in inbox.spans("fit", 1)} == {"one", "one/inner", "two", "two/inner"}


def test_what_is_no_number_is_refused_where_it_is_said(workspace: Workspace) -> None:
    workspace.assets("""
        @asset
        def odd(context: Context) -> int:
            context.progress("many")
            return 1
        """)

    error = workspace.materialize()["odd"].error

    assert error is not None
    assert error.type == "ValueError"


def test_a_function_sees_that_the_run_is_to_stop(workspace: Workspace) -> None:
    workspace.assets("""
        import os
        import signal
        import time

        @asset
        def long(context: Context) -> Rows:
            before = context.cancelled
            os.kill(os.getpid(), signal.SIGINT)
            deadline = time.monotonic() + 30
            while not context.cancelled and time.monotonic() < deadline:
                time.sleep(0.01)
            return [{"before": before, "after": context.cancelled}]
        """)

    result = workspace.materialize(executor="threads")

    assert result.interrupted
    assert workspace.project().read("long", as_="python") == [{"before": False, "after": True}]


def test_outside_a_run_a_context_works_and_does_nothing() -> None:
    @asset
    def one(context: Context) -> int:
        context.progress(1, 2, "half")
        with context.step("outer"), context.step("inner"):
            pass
        return int(context.cancelled)

    assert one(Context(AssetKey("one"), logging.getLogger("test"))) == 0
    assert materialize([one])["one"].value == 0


def test_waiting_and_every_part_of_an_attempt_are_in_the_record(workspace: Workspace) -> None:
    workspace.assets("""
        import time

        @asset
        def first() -> int:
            time.sleep(0.05)
            return 1

        @asset
        def second() -> int:
            return 2
        """)

    workspace.materialize(workers=1).raise_for_status()

    _, attempts = workspace.project().run_details(1)
    by_key = {str(attempt.asset): attempt for attempt in attempts}
    for attempt in attempts:
        assert set(attempt.seconds) == {"load", "compute", "check", "write", "commit"}
        assert all(seconds >= 0 for seconds in attempt.seconds.values())
        assert attempt.peak_memory_bytes is None  # threads share the memory of the process
        assert attempt.version_number == 1
    assert by_key["first"].wait_s is not None
    assert by_key["second"].wait_s is not None
    assert by_key["second"].wait_s >= 0.05  # there was one worker
