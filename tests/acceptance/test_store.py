"""Acceptance scenarios 16 and 17: readers never block what is published, and gc never takes what is needed."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from tests.model.walk import op_of
from tests.unit.conftest import Workspace

ROOT = Path(__file__).resolve().parents[2]

ASSETS = """
@asset(io="duckdb")
def orders() -> pa.Table:
    return pa.table({"id": [1]})
"""

READER = """
import sys
import duckdb

with duckdb.connect(sys.argv[1], read_only=True) as held:
    for _ in sys.stdin:  # each line asks once more, on the connection that was opened first
        print(held.sql("select max(id) from orders").fetchall()[0][0], flush=True)
"""


def test_16_a_reader_that_holds_the_duckdb_file_open_does_not_block_what_is_published(workspace: Workspace) -> None:
    workspace.assets(ASSETS)
    workspace.materialize().raise_for_status()
    file = workspace.project().settings.views_path / "dev.duckdb"
    with subprocess.Popen(
        [sys.executable, "-c", READER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as reader:
        assert answer_of(reader) == 1
        workspace.edit("[1]", "[2]")

        result = workspace.materialize()

        assert {one.asset: one.state for one in result} == {"orders": "materialized"}
        assert answer_of(reader) == 1  # what it holds is whole, and what it was
        fresh = subprocess.run(
            [sys.executable, "-c", READER, str(file)], input="?\n", capture_output=True, text=True, check=True
        )
        assert fresh.stdout == "2\n"


def answer_of(reader: subprocess.Popen[str]) -> int:
    assert reader.stdin is not None
    assert reader.stdout is not None
    reader.stdin.write("?\n")
    reader.stdin.flush()
    return int(reader.stdout.readline())


RULES = ("source", "body", "helper", "take", "all", "all", "some", "rollback", "pin", "unpin", "revert", "gc", "gc")

HISTORIES = """
import json, sys
from tests.model.walk import problem_of
for seed, ops in json.load(sys.stdin):
    problem = problem_of(seed, [tuple(op) for op in ops])
    if problem:
        sys.exit(f"seed {seed}: {problem}")
"""


@pytest.mark.slow
def test_17_gc_never_takes_what_something_refers_to() -> None:
    import json

    draw = random.Random(17)
    histories = [
        (seed, [op_of(draw.choice(RULES), [draw.randrange(100) for _ in range(4)]) for _ in range(50)])
        for seed in range(12)
    ]

    done = subprocess.run(
        [sys.executable, "-c", HISTORIES], input=json.dumps(histories), cwd=ROOT, capture_output=True, text=True,
        check=False,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
