"""Values go from one asset to the next in memory, and are let go of when the last one has them."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from assetflow.run import session

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

SEEN = """
import gc, sys, weakref
import numpy as np
import pandas as pd

def seen():
    return sys.modules.setdefault("seen_by_the_test", type(sys)("seen_by_the_test")).__dict__

@asset
def start() -> pd.DataFrame:
    frame = pd.DataFrame({"x": np.arange(100_000.0)})
    return frame

def removed():
    for file in Path(__file__).parent.glob(".assetflow/data/start/_/*/data.parquet"):
        file.rename(file.with_suffix(".away"))
    return True
"""

TWO = """
@asset
def left(start: pd.DataFrame) -> list:
    start["x"] += 1
    return [float(start["x"].sum())]

@asset
def between(left: list) -> bool:
    return removed()

@asset
def right(start: pd.DataFrame, between: bool) -> float:
    return float(start["x"].sum())
"""


@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_consumers_get_what_was_made_though_the_stored_file_is_away(workspace: Workspace, executor: str) -> None:
    workspace.assets(SEEN + TWO)
    project = workspace.project()

    project.materialize(executor=executor, workers=2).raise_for_status()

    assert project.read("right") == sum(range(100_000))
    assert project.read("left") == [sum(range(1, 100_001))]


def test_a_value_that_is_too_large_to_wait_is_read(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "usual_limit", lambda: 799_999)
    workspace.assets(SEEN + TWO)
    project = workspace.project()

    result = project.materialize()

    assert (result["left"].state, result["right"].state) == ("materialized", "failed")
    assert result["right"].error is not None
    assert result["right"].error.code == "AF402" or "damaged" in result["right"].error.message


def test_a_consumer_that_is_tried_again_reads_the_store(workspace: Workspace) -> None:
    workspace.assets(
        SEEN
        + """
@asset(retry=Retry(1))
def left(start: pd.DataFrame, context: Context) -> float:
    start["x"] += 1
    if context.attempt == 1:
        raise OSError("not yet")
    return float(start["x"].sum())
"""
    )
    project = workspace.project()

    project.materialize().raise_for_status()

    assert project.read("left") == sum(range(1, 100_001))


def test_a_version_that_was_rejected_is_not_handed_on(workspace: Workspace) -> None:
    workspace.assets(
        SEEN.replace("@asset\ndef start", "@asset(checks=[in_range('x', 0, 10)])\ndef start")
        + """
@asset
def left(start: pd.DataFrame) -> float:
    return 1.0
"""
    )
    result = workspace.project().materialize()

    assert (result["start"].state, result["left"].state) == ("rejected", "blocked")


FILES = """
import pandas as pd

@asset
def start() -> pd.DataFrame:
    return pd.DataFrame({"n": range(1000), "name": [f"row {n}" for n in range(1000)]})

@asset(deps=["start"])
def breaks_the_stored_file() -> int:
    for file in Path(__file__).parent.glob(".assetflow/data/start/_/*/data.parquet"):
        file.unlink()
    return len(list(Path(__file__).parent.glob(".assetflow/data/tmp/*/table.arrow")))

@asset
def end(start: pd.DataFrame, breaks_the_stored_file: int) -> int:
    start["n"] += 1
    return int(start["n"].sum())

@asset
def again(end: int, start: Annotated[pa.Table, In(columns=["name"])]) -> list:
    return [start.num_rows, start.column_names]
"""


def test_child_processes_hand_on_tables_in_files_that_the_last_one_leaves_nothing_of(workspace: Workspace) -> None:
    workspace.assets(FILES)
    project = workspace.project()

    project.materialize(executor="processes", workers=2).raise_for_status()

    assert project.read("end") == sum(range(1, 1001))
    assert project.read("again") == [1000, ["name"]]
    assert project.read("breaks_the_stored_file") == 1
    assert list((workspace.root / ".assetflow" / "data" / "tmp").iterdir()) == []


def test_what_is_not_taken_any_more_is_removed(workspace: Workspace) -> None:
    workspace.assets(FILES.replace("return int(start", "raise ValueError('bad')\n    return int(start"))

    result = workspace.project().materialize(executor="processes", workers=2)

    assert (result["end"].state, result["again"].state) == ("failed", "blocked")
    assert list((workspace.root / ".assetflow" / "data" / "tmp").iterdir()) == []


CHAIN = """
import numpy as np
import pandas as pd
from assetflow import asset

@asset
def a() -> pd.DataFrame:
    return pd.DataFrame({f"c{n}": np.full(2_500_000, n / 3) for n in range(10)})
"""
LINK = """
@asset
def {name}({before}: pd.DataFrame) -> pd.DataFrame:
    return {before} + 1
"""
MEASURE = """
import resource, sys
import pandas, duckdb, pyarrow.parquet
from assetflow import Project
project = Project.load(".")
project.status()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
project.materialize(executor=sys.argv[1], workers=2).raise_for_status()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


@pytest.mark.slow
@pytest.mark.parametrize("executor", ["inline", "threads"])
def test_a_chain_of_five_frames_never_holds_three_of_them(workspace: Workspace, executor: str) -> None:
    names = "abcde"
    links = [LINK.format(name=name, before=before) for before, name in itertools.pairwise(names)]
    workspace.root.joinpath("chain.py").write_text(CHAIN + "".join(links))
    workspace.root.joinpath("assetflow.toml").write_text('modules = ["chain"]\n')

    done = subprocess.run(
        [sys.executable, "-c", MEASURE, executor], cwd=workspace.root, capture_output=True, text=True, check=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip

    assert int(done.stdout.split()[-1]) < 2.6 * 200e6
