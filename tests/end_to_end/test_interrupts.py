"""Ctrl-C at moments all over a run of the example project: the shell is back, nothing is left, nothing is lost.

Twelve moments each; ASSETFLOW_INTERRUPTS=200 takes as many (the long profile). A moment is a share of how long a clean
run takes on this machine, from the start of the interpreter, so the import of the project's modules is among them.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from assetflow.catalog.catalog import Catalog
from assetflow.catalog.locks import FileLock
from assetflow.load.settings import read_settings
from assetflow.run.storing import storage_of

ROOT = Path(__file__).parents[2]
MOMENTS = int(os.environ.get("ASSETFLOW_INTERRUPTS", "12"))
ONCE_S, TWICE_S = 10.0, 1.0
GONE_S = 2.0
INTERRUPTED = (130, -signal.SIGINT)
"""The second is what a shell shows as 130 too: the interpreter was interrupted before any of our code ran."""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks for processes in /proc"),
]


@dataclass(frozen=True)
class Clean:
    """A run that nobody disturbed: how long it took, and the content of every asset."""

    seconds: float
    hashes: Mapping[str, str]


def copy(folder: Path) -> Path:
    """The example project as it is checked out: no caches, and nothing was built."""
    ignored = shutil.ignore_patterns(".assetflow", "__pycache__")
    return shutil.copytree(ROOT / "example_project", folder / "shop", ignore=ignored)


def start(project: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "assetflow", "materialize"], cwd=project, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def finished(process: subprocess.Popen[str]) -> tuple[int, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out + err


def hashes(project: Path) -> dict[str, str]:
    settings = read_settings(project, environment={})
    with closing(Catalog(settings.catalog_path)) as catalog:
        heads = catalog.heads(settings.env)
    # What a function delivered itself has no content that could be compared.
    return {key: head.version.data_hash for (key, _), head in heads.items() if head.version.io != "none"}


def members(session: int) -> list[str]:
    """The processes of a session that are alive."""
    found: list[str] = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except (FileNotFoundError, ProcessLookupError):
            continue
        fields = rest.split()
        if int(fields[3]) == session and fields[0] != "Z":
            found.append(name)
    return found


def assert_nothing_is_left(project: Path, session: int) -> None:
    deadline = time.monotonic() + GONE_S
    while (alive := members(session)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert alive == []
    state = project / ".assetflow"
    held = [path.name for path in state.rglob("*.lock") if FileLock(path).is_held_by_anyone()]
    assert held == []


def assert_what_was_committed_is_whole(project: Path) -> None:
    settings = read_settings(project, environment={})
    storage = storage_of(settings)
    with closing(Catalog(settings.catalog_path)) as catalog:
        heads = catalog.heads(settings.env)
    stored = [head.version for head in heads.values() if head.version.io != "source"]
    assert {version.asset: storage.verify(version, deep=True) for version in stored} == {
        version.asset: [] for version in stored
    }


def assert_the_next_run_converges(project: Path, clean: Clean) -> None:
    code, text = finished(start(project))
    assert code == 0, text
    assert hashes(project) == clean.hashes
    staging = project / ".assetflow" / "data" / "tmp"
    assert not staging.is_dir() or list(staging.iterdir()) == []
    temporary = [path.name for path in (project / ".assetflow").rglob("*.tmp")]
    assert temporary == []


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Clean:
    project = copy(tmp_path_factory.mktemp("clean"))
    began = time.monotonic()
    code, text = finished(start(project))
    assert code == 0, text
    return Clean(time.monotonic() - began, hashes(project))


@pytest.mark.parametrize("place", range(MOMENTS))
def test_one_ctrl_c_at_any_moment(tmp_path: Path, clean: Clean, place: int) -> None:
    project = copy(tmp_path)
    process = start(project)
    time.sleep(clean.seconds * (place + 0.5) / MOMENTS)
    pressed = time.monotonic()
    os.killpg(process.pid, signal.SIGINT)
    code, text = finished(process)

    assert time.monotonic() - pressed < ONCE_S
    assert code in (0, *INTERRUPTED), text
    assert "internal error" not in text
    if code == 130:
        assert "Traceback" not in text
    assert_nothing_is_left(project, process.pid)
    assert_what_was_committed_is_whole(project)
    staging = project / ".assetflow" / "data" / "tmp"
    assert not staging.is_dir() or list(staging.iterdir()) == []
    assert_the_next_run_converges(project, clean)


@pytest.mark.parametrize("place", range(max(3, MOMENTS // 3)))
def test_two_of_them_end_it_at_once(tmp_path: Path, clean: Clean, place: int) -> None:
    project = copy(tmp_path)
    process = start(project)
    time.sleep(clean.seconds * (place + 0.5) / max(3, MOMENTS // 3))
    os.killpg(process.pid, signal.SIGINT)
    time.sleep(0.1)
    pressed = time.monotonic()
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGINT)
    code, text = finished(process)

    # How long it takes to leave is measured against how long the machine needs for the whole: it may be busy.
    assert time.monotonic() - pressed < max(TWICE_S, clean.seconds / 4)
    assert code in (0, *INTERRUPTED), text
    assert_nothing_is_left(project, process.pid)
    assert_what_was_committed_is_whole(project)
    assert_the_next_run_converges(project, clean)
