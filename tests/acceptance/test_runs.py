"""Acceptance scenarios 8, 9 and 10: runs that overlap, are killed, or want the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path

import pytest

from assetflow import Project
from assetflow.catalog.catalog import Catalog
from tests.unit.conftest import Workspace
from tests.warm import SERVER

ROOT = Path(__file__).resolve().parents[2]


def command(root: Path, *arguments: str) -> list[str]:
    return [sys.executable, "-m", "assetflow", "-C", str(root), *arguments]


def environment() -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ASSETFLOW_")}
    return {**kept, "PYTHONPATH": str(ROOT), "NO_COLOR": "1"}


# -- 8: B computes from A while A changes; a clock would say that B, which ends last, is up to date

OVERLAP = """
TOKEN = Path(__file__).parent / "token.txt"

a = source("a", version=TOKEN.read_text, load=TOKEN.read_text)

@asset
def b(a: str) -> str:
    ran("b")
    if a == "1":
        TOKEN.write_text("2")  # somebody else changes A while B computes
    return a
"""


def test_08_what_was_computed_while_its_input_changed_is_stale_afterwards(workspace: Workspace) -> None:
    workspace.assets(OVERLAP)
    workspace.file("token.txt", "1")

    workspace.materialize().raise_for_status()

    step = workspace.project().plan()["b"]
    assert (step.action, [reason.code for reason in step.reasons]) == ("run", ["input_changed"])
    workspace.materialize().raise_for_status()
    assert workspace.project().read("b") == "2"
    assert workspace.ran() == ["b", "b"]
    assert workspace.project().plan().is_empty


GATED = """
HERE = Path(__file__).parent

@asset
def a() -> int:
    ran("a")
    return 1

@asset
def b(a: int) -> int:
    ran("b")
    (HERE / "b-began").touch()
    while (HERE / "b-waits").exists():
        threading.Event().wait(0.01)
    return a * 10
"""


def test_08_a_second_run_in_the_environment_is_refused_or_waits(workspace: Workspace) -> None:
    workspace.assets(GATED)
    workspace.file("b-waits", "")
    first = subprocess.Popen(command(workspace.root, "materialize", "-q"), env=environment())
    wait_for(workspace.root / "b-began")
    workspace.edit("return 1\n", "return 2\n")  # A is edited while B computes from the old one

    refused = subprocess.run(
        command(workspace.root, "materialize", "a"), env=environment(), capture_output=True, text=True, check=False
    )
    (workspace.root / "b-waits").unlink()

    assert refused.returncode != 0
    assert "is materializing in env" in refused.stderr
    assert first.wait(60) == 0
    assert {step.asset: str(step.action) for step in workspace.project().plan()} == {"a": "run", "b": "maybe"}
    workspace.materialize().raise_for_status()
    assert workspace.project().read("b") == 20


# -- 9: killed at each step of a commit

COMMIT = """
raw = source("raw", path="raw.txt", format="file")

@asset(io="json")
def first(raw: Path) -> dict:
    return {"first": raw.read_text()}

@asset(io="json")
def second(first: dict) -> dict:
    return {"second": first}
"""

KILLED = """
import os, sys
from pathlib import Path
from assetflow import Project
from assetflow.testing.failpoints import Failpoints

root, at = Path(sys.argv[1]), int(sys.argv[2])
project = Project.load(root)
points = Failpoints(root / ".assetflow", at=at)
points.install()
project.materialize(executor="inline").raise_for_status()
print("\\n".join(points.log), flush=True)
os._exit(0)
"""


def materialize_killed_at(root: Path, at: int) -> tuple[int, list[str]]:
    """A run in a process that is killed at this operation (0: never); its exit code and the operations it did."""
    done = SERVER.run([sys.executable, "-c", KILLED, str(root), str(at)], env=environment())
    return done.returncode, done.stdout.splitlines()


def kinds_of(log: list[str]) -> dict[str, int]:
    """One operation of each kind, by what it does and to which kind of file, with its number: the last of its kind."""
    found: dict[str, int] = {}
    for number, name in enumerate(log, 1):
        operation, _, path = name.partition(" ")
        parent, _, file = path.rpartition("/")
        home = parent if parent in ("journal", "locks", "tmp", "_", "first", "second") else "a version"
        found[f"{operation} {home} {file if '_version' in file or 'value' in file else ''}"] = number
    return found


@pytest.mark.slow
@pytest.mark.fault
def test_09_a_kill_at_any_step_of_a_commit_leaves_a_catalog_that_is_right(workspace: Workspace) -> None:
    workspace.assets(COMMIT, settings='executor = "inline"\n')
    workspace.file("raw.txt", "0")
    workspace.materialize().raise_for_status()
    workspace.file("raw.txt", "rehearsal")
    code, log = materialize_killed_at(workspace.root, 0)
    assert code == 0
    kinds = kinds_of(log)
    operations = {kind.partition(" ")[0] for kind in kinds}
    assert {"mkdir", "open", "write", "fsync", "rename"} <= operations  # data, sidecar, publish, journal: all are there

    for round_number, at in enumerate(sorted(kinds.values())):
        workspace.file("raw.txt", f"round {round_number}")
        code, _ = materialize_killed_at(workspace.root, at)
        if code == 0:
            continue  # this run took fewer operations
        assert code == -signal.SIGKILL
        check_heads(workspace.project())
        workspace.materialize().raise_for_status()
        assert workspace.project().read("second") == {"second": {"first": f"round {round_number}"}}
        assert workspace.project().plan().is_empty
        check_nothing_is_left(workspace.project())


def check_heads(project: Project) -> None:
    """No head is at missing bytes, and what is there is what was written."""
    with closing(Catalog(project.settings.catalog_path)) as catalog:
        for (key, _), head in catalog.heads("dev").items():
            if head.version.io != "source":
                assert project.storage.verify(head.version, deep=True) == [], key
    assert project.doctor().damage == ()


def check_nothing_is_left(project: Project) -> None:
    """Orphans are collected: what is stored is what the catalog has."""
    project.gc(grace_s=0)
    with closing(Catalog(project.settings.catalog_path)) as catalog:
        known = {one.location for one in catalog.live_versions(project.select("first or second"))}
    root = project.settings.storage_path
    assert {str(path.parent.relative_to(root)) for path in root.rglob("value.json")} == known


# -- 10: two processes, one slot

SLOW = """
@asset
def a() -> int:
    ran("a")
    threading.Event().wait(0.5)
    return 1
"""


def test_10_two_processes_that_materialize_the_same_run_it_once(workspace: Workspace) -> None:
    workspace.assets(SLOW)
    workspace.project()
    both = [
        subprocess.Popen(command(workspace.root, "materialize", "-q", "--wait", "1m"), env=environment())
        for _ in range(2)
    ]

    assert [one.wait(60) for one in both] == [0, 0]
    assert workspace.ran() == ["a"]
    assert len(workspace.project().history("a")) == 1


def wait_for(path: Path) -> None:
    for _ in range(6000):
        if path.exists():
            return
        threading.Event().wait(0.01)
    raise AssertionError(f"{path} did not come")
