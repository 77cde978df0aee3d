"""Assets in child processes: where they run, what crosses, limits, deaths, and what is left when the run has ended."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from assetflow.errors import AssetDied, PlanMoved
from assetflow.run import kernel
from assetflow.run.outcome import SilentObserver, StepOutcome

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs child processes")
linux = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")


def eventually(is_so: Callable[[], object], seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def error_of(outcome: StepOutcome) -> Any:
    assert outcome.error is not None
    return outcome.error


CHAIN = """
import os
import pandas as pd

@asset
def first() -> pd.DataFrame:
    return pd.DataFrame({"n": [1, 2], "pid": [os.getpid()] * 2, "parent": [os.getppid()] * 2})

@asset
def second(first: pd.DataFrame, context: Context) -> Result:
    print("said by second")
    context.log.info("logged by second")
    return Result(first.assign(pid=os.getpid()), metadata={"rows": len(first)})

@asset(checks=[not_null("n")])
def third(second: pa.Table) -> Rows:
    return second.to_pylist()

@check(third, blocking=False)
def few(third: Rows) -> CheckResult:
    return CheckResult(len(third) < 2, "too many")

@asset
def skipped() -> int:
    raise Skip("not today")

@asset
def broken() -> int:
    raise ValueError("no")
"""


def test_all_assets_run_in_children_with_the_same_results(workspace: Workspace) -> None:
    def facts(**options: Any) -> list[object]:
        result = workspace.materialize(force=True, **options)
        return [
            (one.asset, one.state, one.rows, [(c.name, c.passed, c.message) for c in one.checks], one.message)
            + (() if one.error is None else (one.error.message, one.error.line, one.error.frame))
            for one in result
        ]

    workspace.assets(CHAIN)
    threads = facts(executor="threads")
    children = facts(executor="processes")

    assert children == threads
    frame = workspace.project().read("first")
    assert os.getpid() not in {*frame["pid"], *frame["parent"]}
    (log,) = workspace.project().logs(key="second")
    assert "said by second" in log.text
    assert "logged by second" in log.text


def test_a_child_is_used_again_when_its_task_left_it_as_it_was(workspace: Workspace) -> None:
    workspace.assets("""
        import os

        def make(number, dirty):
            @asset(key=f"number_{number}")
            def step() -> int:
                if dirty:
                    os.chdir("/")
                return os.getpid()
            return step

        steps = [make(number, number == 2) for number in range(5)]

        @asset(isolation="process")
        def apart() -> int:
            return os.getpid()
        """)

    workspace.materialize(executor="processes", workers=1).raise_for_status()

    project = workspace.project()
    pids = [project.read(f"number_{number}") for number in range(5)]
    assert len({*pids[:3]}) == 1
    assert len({*pids[3:]}) == 1
    assert pids[2] != pids[3]
    assert project.read("apart") not in pids


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_only_what_asks_for_it_runs_in_a_child(workspace: Workspace, executor: str) -> None:
    workspace.assets("""
        import os

        @asset
        def here() -> int:
            return os.getpid()

        @asset(isolation="process")
        def isolated(here: int) -> int:
            return os.getpid()

        @asset(timeout="1m")
        def timed() -> int:
            return os.getpid()

        @asset(memory="4GB")
        def measured() -> int:
            return os.getpid()
        """)

    result = workspace.materialize(executor=executor)
    result.raise_for_status()

    project = workspace.project()
    assert project.read("here") == os.getpid()
    assert len({project.read(key) for key in ("here", "isolated", "timed", "measured")}) == 4


def test_no_child_is_made_when_none_is_needed(workspace: Workspace) -> None:
    workspace.assets("@asset\ndef one() -> int:\n    return 1\n")

    workspace.materialize(executor="threads").raise_for_status()

    assert not (workspace.root / ".assetflow" / "runs" / "1" / "processes.log").exists()


def test_a_timeout_names_the_limit_and_the_line_where_it_was(workspace: Workspace) -> None:
    workspace.assets("""
        import time

        @asset(timeout="300ms")
        def slow() -> int:
            print("begun")
            time.sleep(600)

        @asset
        def below(slow: int) -> int:
            return 1

        @asset
        def other() -> int:
            return 1
        """)

    result = workspace.materialize()

    error = error_of(result["slow"])
    assert (error.code, error.type, error.function) == ("AF161", "TimeoutError", "slow")
    assert error.message == "slow was ended: it ran longer than its timeout of 0.3 s"
    assert dict(error.frame)[error.line].strip() == "time.sleep(600)"
    assert any("last wrote to its log" in fact for fact in error.facts)
    assert {one.asset: one.state for one in result} == {"slow": "failed", "below": "blocked", "other": "materialized"}
    with pytest.raises(AssetDied, match="longer than its timeout"):
        result.raise_for_status()
    (log,) = workspace.project().logs(key="slow")
    assert "time.sleep" not in log.text.splitlines()[0]
    assert "in slow" in log.text


def test_what_cleans_up_when_asked_to_end_may_do_so(workspace: Workspace) -> None:
    workspace.assets("""
        import time

        @asset(timeout="300ms")
        def slow() -> int:
            try:
                time.sleep(600)
            finally:
                ran("cleaned up")
        """)

    assert error_of(workspace.materialize()["slow"]).type == "TimeoutError"
    assert workspace.ran() == ["cleaned up"]


@linux
def test_a_memory_limit_counts_what_the_asset_starts_as_well(workspace: Workspace) -> None:
    workspace.assets("""
        import subprocess
        import sys

        @asset(memory="500MB")
        def alone() -> int:
            found = []
            while True:
                found.append(bytearray(5_000_000))

        @asset(memory="500MB")
        def together() -> int:
            code = "x = bytearray(700_000_000); import time; time.sleep(600)"
            return subprocess.run([sys.executable, "-c", code]).returncode

        @asset(memory="500MB")
        def modest() -> int:
            return len(bytearray(50_000_000))
        """)

    result = workspace.materialize()

    for name in ("alone", "together"):
        error = error_of(result[name])
        assert (error.code, error.type) == ("AF161", "MemoryError")
        assert "MB of memory; its limit is 500 MB" in error.message
    assert result["modest"].state == "materialized"


@pytest.mark.parametrize(
    ("body", "exception"),
    [("time.sleep(600)", "TimeoutError"), ("os.kill(os.getpid(), 9)", "ChildProcessError")],
)
def test_a_death_is_tried_again_where_the_rule_covers_it(workspace: Workspace, body: str, exception: str) -> None:
    workspace.assets(f"""
        import os, time

        @asset(timeout="1s", retry=Retry(2, on={exception}))
        def flaky(context: Context) -> int:
            ran(f"attempt {{context.attempt}}")
            if context.attempt == 1:
                {body}
            return 1

        @asset(isolation="process", retry=Retry(2, on=ValueError))
        def other(context: Context) -> int:
            os._exit(3)
        """)

    result = workspace.materialize()

    assert (result["flaky"].state, result["flaky"].attempts) == ("materialized", 2)
    assert (result["other"].state, result["other"].attempts) == ("failed", 1)
    assert workspace.ran() == ["attempt 1", "attempt 2"]


def test_what_a_dead_child_was_writing_is_removed_at_once(workspace: Workspace) -> None:
    workspace.assets("""
        import os
        import pyarrow as pa

        def batches():
            yield pa.record_batch({"n": list(range(1000))})
            ran(str(len(list((Path(__file__).parent / ".assetflow" / "data" / "tmp").iterdir()))))
            os.kill(os.getpid(), 9)

        @asset(isolation="process")
        def stream() -> pa.RecordBatchReader:
            return pa.RecordBatchReader.from_batches(pa.schema({"n": pa.int64()}), batches())

        @asset
        def after(stream: pa.Table) -> int:
            return 1
        """)
    seen: list[list[Path]] = []

    class Looking(SilentObserver):
        def step_finished(self, outcome: StepOutcome) -> None:
            seen.append([*(workspace.root / ".assetflow" / "data" / "tmp").glob("*")])

    workspace.materialize("stream", observer=Looking())

    assert workspace.ran() == ["1"]
    assert seen == [[]]


def test_code_that_changed_since_the_plan_is_not_run(workspace: Workspace) -> None:
    workspace.assets("""
        import os

        @asset
        def first() -> int:
            return 1

        @asset(isolation="process")
        def second(first: int) -> int:
            return 2
        """)

    project = workspace.project()
    project.plan()
    loaded = project._load()  # what a run of this project would do now
    assert loaded.nodes
    workspace.edit("return 2", "return 3")

    result = project.materialize()

    error = error_of(result["second"])
    assert error.code == PlanMoved.code
    assert error.message == "the code of second changed while the run was going on"
    assert workspace.materialize().ok
    assert workspace.project().read("second") == 3


def test_config_of_the_call_reaches_the_child(workspace: Workspace) -> None:
    workspace.assets("""
        class Settings(Config):
            rate: float = 1.0

        @asset(isolation="process")
        def rated(config: Settings) -> float:
            return config.rate
        """)

    workspace.materialize(config={"rated": {"rate": 2.5}}).raise_for_status()

    assert workspace.project().read("rated") == 2.5


def test_resources_are_made_and_put_away_in_the_child(workspace: Workspace) -> None:
    workspace.assets("""
        import os

        class Door(Resource):
            def set_up(self) -> None:
                ran(f"open")

            def tear_down(self) -> None:
                ran(f"close")
                raise ValueError("stuck")

        @asset
        def one(door: Door) -> int:
            return 1

        @asset
        def two(one: int, door: Door) -> int:
            return 2

        @asset(isolation="process")
        def apart(two: int, door: Door) -> int:
            return 3
        """)
    warnings: list[str] = []

    class Warned(SilentObserver):
        def warn(self, text: str) -> None:
            warnings.append(text)

    workspace.materialize(executor="processes", workers=1, observer=Warned()).raise_for_status()

    assert workspace.ran() == ["open", "open", "close", "close"]
    assert warnings == ["tear_down raised ValueError: stuck"] * 2


def test_tables_in_the_duckdb_file_are_written_and_read_by_children(workspace: Workspace) -> None:
    workspace.assets(
        """
        import duckdb

        @asset
        def left() -> pa.Table:
            return pa.table({"n": [1, 2, 3]})

        @asset
        def right() -> pa.Table:
            return pa.table({"n": [2, 3, 4]})

        @asset
        def joined(left: duckdb.DuckDBPyRelation, right: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
            return duckdb.sql("SELECT n FROM left JOIN right USING (n) ORDER BY n")
        """.replace("left", "west").replace("right", "east"),
        'io = "duckdb"\nduckdb = "native"\n',
    )

    workspace.materialize(executor="processes", workers=3).raise_for_status()

    assert list(workspace.project().read("joined")["n"]) == [2, 3]


def test_modules_that_start_threads_are_loaded_by_each_child(workspace: Workspace) -> None:
    workspace.assets("""
        import os
        import threading

        idle = threading.Event()
        threading.Thread(target=idle.wait, name="from the module", daemon=True).start()

        @asset
        def one() -> int:
            return os.getpid()

        @asset(isolation="process")
        def two(one: int) -> int:
            return os.getpid()
        """)
    warnings: list[str] = []

    class Warned(SilentObserver):
        def warn(self, text: str) -> None:
            warnings.append(text)

    try:
        workspace.materialize(executor="processes", observer=Warned()).raise_for_status()
    finally:
        sys.modules["assets"].idle.set()

    assert len({workspace.project().read("one"), workspace.project().read("two"), os.getpid()}) == 3
    assert len(warnings) == 1
    assert "starts threads (from the module)" in warnings[0]


def test_a_project_that_does_not_load_in_a_child_is_told_by_each_asset(workspace: Workspace) -> None:
    workspace.assets(
        """
        import os

        if {pid} != os.getpid():
            {body}

        @asset
        def one() -> int:
            return 1
        """.replace("{pid}", str(os.getpid())).replace("{body}", "raise ValueError('only here')")
    )

    error = error_of(workspace.materialize(executor="processes")["one"])
    assert "only here" in error.message

    workspace.edit("raise ValueError('only here')", "print('last words', flush=True); os._exit(7)")
    error = error_of(workspace.materialize(executor="processes")["one"])
    assert "died (exit code 7)" in error.message
    assert error.facts == ("last words",)


@linux
def test_a_nursery_that_is_killed_is_replaced(workspace: Workspace) -> None:
    workspace.assets("""
        import os, signal, time

        @asset
        def first() -> int:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)

        @asset
        def second() -> int:
            return 2
        """)

    result = workspace.materialize(executor="processes", workers=1)

    error = error_of(result["first"])
    assert error.code == "AF161"
    assert "the process that starts child processes was killed" in error.message
    assert result["second"].state == "materialized"


WAITING = """
import time

@asset
def first() -> int:
    return 1

@asset
def long(first: int) -> int:
    (Path(__file__).parent / "begun").touch()
    {body}
    return 1

@asset
def below(long: int) -> int:
    return 1
"""


class Interrupting(SilentObserver):
    """Sends a signal when the long asset has begun, once or with every tick."""

    def __init__(self, root: Path, *, always: bool = False) -> None:
        self.file, self.always, self.sent = root / "begun", always, 0.0

    def tick(self) -> None:
        if self.file.exists() and (self.always or not self.sent):
            self.sent = self.sent or time.monotonic()
            signal.raise_signal(signal.SIGINT)


def test_a_signal_lets_children_finish_within_the_grace(workspace: Workspace) -> None:
    workspace.assets(WAITING.replace("{body}", "time.sleep(0.5)"))

    result = workspace.materialize(executor="processes", observer=Interrupting(workspace.root))

    assert {one.asset: one.state for one in result} == {
        "first": "materialized", "long": "materialized", "below": "cancelled",
    }  # fmt: skip


STUBBORN = """while True:
        try:
            time.sleep(9)
        except BaseException:
            pass"""


@pytest.mark.parametrize("body", ["time.sleep(600)", STUBBORN])
def test_a_child_that_does_not_finish_in_the_grace_is_ended(workspace: Workspace, body: str) -> None:
    workspace.assets(WAITING.replace("{body}", body), 'stop_grace = "4s"\n')
    watching = Interrupting(workspace.root)

    result = workspace.materialize(executor="processes", observer=watching)

    assert time.monotonic() - watching.sent < 4.5
    assert {one.asset: one.state for one in result} == {
        "first": "materialized", "long": "cancelled", "below": "cancelled",
    }  # fmt: skip


def test_a_second_signal_kills_children_at_once(workspace: Workspace) -> None:
    workspace.assets(WAITING.replace("{body}", "time.sleep(600)"))
    watching = Interrupting(workspace.root, always=True)

    with pytest.raises(KeyboardInterrupt):
        workspace.materialize(executor="processes", observer=watching)

    assert time.monotonic() - watching.sent < 1.5
    assert [one.state for one in workspace.project().run_details(1)[1] if one.asset == "long"] == ["cancelled"]
    for thread in threading.enumerate():
        if thread.name.startswith("assetflow-"):
            thread.join(10)


def test_a_signal_while_the_caller_waits_for_a_child_ends_it(workspace: Workspace) -> None:
    workspace.assets(
        WAITING.replace("{body}", "time.sleep(600)").replace("@asset\ndef long", "@asset(timeout=500)\ndef long")
    )

    def interrupt() -> None:
        assert eventually((workspace.root / "begun").exists)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    result = workspace.materialize(executor="inline")
    thread.join(10)

    assert {one.asset: one.state for one in result} == {
        "first": "materialized", "long": "cancelled", "below": "cancelled",
    }  # fmt: skip


LIBRARIES = """
import numpy as np
import pandas as pd
import polars as pl

matrix = np.random.default_rng(1).random((400, 400))
product = matrix @ matrix

@asset
def one() -> pd.DataFrame:
    again = matrix @ matrix
    frame = pl.DataFrame({"n": list(range(100_000))}).group_by(pl.col("n") % 7).len().sort("n").to_pandas()
    return frame.assign(same=bool((again == product).all()), draw=np.random.random())

@asset
def two(one: pd.DataFrame) -> pa.Table:
    return pa.table({"n": list(range(1_000_000))}).sort_by([("n", "descending")]).slice(0, 3)

@asset(isolation="process")
def three(two: pl.DataFrame) -> pl.DataFrame:
    return two.lazy().with_columns(m=pl.col("n") * 2).collect()

@asset(isolation="process")
def draw() -> float:
    return float(np.random.random())
"""


def test_libraries_that_have_threads_work_in_children(workspace: Workspace) -> None:
    pytest.importorskip("polars")
    workspace.assets(LIBRARIES)

    workspace.materialize(executor="processes", workers=2).raise_for_status()

    project = workspace.project()
    assert project.read("one")["same"].all()
    assert list(project.read("three")["m"]) == [1_999_998, 1_999_996, 1_999_994]
    assert project.read("one")["draw"].iloc[0] != project.read("draw")


def test_a_thread_that_does_not_finish_in_the_grace_is_given_up(workspace: Workspace) -> None:
    workspace.assets(
        """
        running, go = threading.Event(), threading.Event()

        @asset
        def long() -> bool:
            (Path(__file__).parent / "begun").touch()
            return go.wait(30)
        """,
        'stop_grace = "300ms"\n',
    )
    watching = Interrupting(workspace.root)
    try:
        result = workspace.materialize(executor="threads", observer=watching)
        assert time.monotonic() - watching.sent < 2
        assert (result.interrupted, result["long"].state) == (True, "cancelled")
    finally:
        sys.modules["assets"].go.set()
        for thread in threading.enumerate():
            if thread.name.startswith("assetflow-"):
                thread.join(30)


@linux
@pytest.mark.parametrize("options", ["", "start_new_session=True"])
def test_what_a_task_leaves_running_ends_with_the_task(workspace: Workspace, options: str) -> None:
    workspace.assets(f"""
        import subprocess

        @asset
        def leaves() -> int:
            return subprocess.Popen(["sleep", "600"], {options}).pid

        @asset
        def looks(leaves: int) -> bool:
            return Path(f"/proc/{{leaves}}").exists()
        """)

    workspace.materialize(executor="processes", workers=1).raise_for_status()

    assert workspace.project().read("looks") is False


def test_a_system_without_handles_of_processes_tells_the_same(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "pidfd_open", raising=False)
    workspace.assets("""
        import os, time

        @asset
        def well() -> int:
            return 1

        @asset(timeout="500ms")
        def slow(well: int) -> int:
            time.sleep(600)

        @asset(isolation="process")
        def exits(well: int) -> int:
            os._exit(3)

        @asset
        def killed(well: int) -> int:
            os.kill(os.getpid(), 9)
        """)

    result = workspace.materialize(executor="processes")

    assert result["well"].state == "materialized"
    assert error_of(result["slow"]).type == "TimeoutError"
    assert "exit code 3" in error_of(result["exits"]).message
    assert "SIGKILL" in error_of(result["killed"]).message


@linux
def test_nothing_is_left_below_this_process(workspace: Workspace) -> None:
    before = set(kernel.family(os.getpid()))  # what other tests of this process started
    workspace.assets(CHAIN)

    workspace.materialize(executor="processes")

    assert eventually(lambda: set(kernel.family(os.getpid())) <= before)
