"""A project that is to be run is imported once, in the process that runs it, with a time limit and a way out."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from assetflow import Project
from assetflow.errors import ProjectLoadError
from assetflow.load.here import can_load_here, load_here
from assetflow.load.manifest import read_manifest
from assetflow.load.refresh import load_note
from assetflow.load.settings import read_settings

Write = Callable[..., Path]
REPOSITORY = Path(__file__).parents[3]
ONE = "from assetflow import asset\n\n\n@asset\ndef one() -> int:\n    return 1\n"
pytestmark = pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="this system has no timer that interrupts")


def materialize(root: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "assetflow", "-C", str(root), "materialize"], cwd=REPOSITORY, capture_output=True,
        text=True, check=False,
    )  # fmt: skip


def test_first_run_imports_the_project_once(write: Write) -> None:
    root = write(assets="from pathlib import Path\nwith open('imports', 'a') as f: f.write('.')\n" + ONE)

    done = subprocess.run(
        [sys.executable, "-m", "assetflow", "materialize"], cwd=root, capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(REPOSITORY), "PATH": ""},
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert (root / "imports").read_text() == "."
    assert not load_note(read_settings(root, environment={})).exists()


def test_what_was_loaded_to_run_is_known_to_the_next_command(write: Write) -> None:
    root = write(assets=ONE)

    with Project.load(root, to_run=True) as project:
        project.materialize().raise_for_status()
        assert project.read("one") == 1

    assert read_manifest(read_settings(root)) is not None


@pytest.mark.parametrize("guard", ["", "try:\n    "], ids=["plain", "in a try that catches all"])
def test_module_that_hangs_is_named_with_its_line(write: Write, guard: str) -> None:
    end = "\nexcept BaseException:\n    pass\n" if guard else "\n"
    root = write(assets=f"import threading\n{guard}threading.Event().wait(60){end}" + ONE)
    settings = read_settings(root, environment={})

    with pytest.raises(ProjectLoadError) as caught:
        load_here(settings, timeout_s=0.2)

    [problem] = caught.value.problems
    assert problem.what == "module `assets.py` was still being imported after 0.2 s"
    assert problem.where is not None
    assert (problem.where.file, problem.where.line) == ("assets.py", 3 if guard else 2)
    assert not load_note(settings).exists(), "it ended, so the next load may be here again"
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_module_that_ends_the_process_is_loaded_apart_the_next_time(write: Write) -> None:
    root = write(assets="import os\nos._exit(7)\n")

    first, second = materialize(root), materialize(root)

    assert first.returncode == 7
    assert second.returncode == 3
    assert "the process that imported the project died (exit code 7)" in second.stderr
    (root / "assets.py").write_text(ONE)
    third = materialize(root)
    assert third.returncode == 0, third.stderr
    assert not load_note(read_settings(root, environment={})).exists()


def test_only_the_main_thread_loads_for_itself(write: Write) -> None:
    settings = read_settings(write(assets=ONE), environment={})
    found: list[bool] = []

    thread = threading.Thread(target=lambda: found.append(can_load_here(settings)))
    thread.start()
    thread.join()

    assert found == [False]


def test_timer_of_somebody_else_is_left_alone(write: Write) -> None:
    settings = read_settings(write(assets=ONE), environment={})
    signal.setitimer(signal.ITIMER_REAL, 600)
    try:
        assert not can_load_here(settings)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
