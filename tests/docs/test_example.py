"""The example project as its users meet it: it builds, a second call finds nothing to do, its own tests pass."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "example_project"


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    target = tmp_path / "example_project"
    shutil.copytree(EXAMPLE, target, ignore=shutil.ignore_patterns(".assetflow", "outbox", "__pycache__"))
    return target


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("ASSETFLOW_", "PYTEST_", "COV_"))}
    environment["PYTHONPATH"] = str(ROOT)
    command = [sys.executable, "-m", *words]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=100, check=False
    )


@pytest.mark.slow
@pytest.mark.end_to_end
def test_example_builds_once_and_is_then_current(copy: Path) -> None:
    first = run(copy.parent, "assetflow", "-C", "example_project", "materialize")
    second = run(copy.parent, "assetflow", "-C", "example_project", "materialize")

    assert first.returncode == 0, first.stderr
    assert second.returncode == 0, second.stderr
    assert "all 11 current · nothing to do" in second.stdout
    assert (copy / "outbox" / "report.md").read_text().startswith("# Coffee shop")


@pytest.mark.slow
@pytest.mark.end_to_end
def test_going_back_delivers_the_report_again(copy: Path) -> None:
    tax = copy / "coffee" / "tax.py"
    text = tax.read_text()
    run(copy, "assetflow", "materialize")
    first = (copy / "outbox" / "report.md").read_text()
    tax.write_text(text.replace("VAT_RATE = 0.20", "VAT_RATE = 0.10"))
    run(copy, "assetflow", "materialize")
    other = (copy / "outbox" / "report.md").read_text()
    tax.write_text(text)

    done = run(copy, "assetflow", "materialize")

    assert other != first
    assert done.returncode == 0, done.stderr
    assert "7 reused" in done.stdout
    assert (copy / "outbox" / "report.md").read_text() == first


@pytest.mark.slow
@pytest.mark.end_to_end
def test_tests_of_the_example_pass(copy: Path) -> None:
    done = run(copy, "pytest", "-q", "-p", "no:cacheprovider", "tests")

    assert done.returncode == 0, done.stdout + done.stderr


def test_data_of_the_example_is_what_its_script_writes(copy: Path) -> None:
    before = {file.name: file.read_bytes() for file in (copy / "data").iterdir()}
    for file in (copy / "data").iterdir():
        file.unlink()
    subprocess.run([sys.executable, "make_data.py"], cwd=copy, check=True)

    assert {file.name: file.read_bytes() for file in (copy / "data").iterdir()} == before


def test_data_of_the_example_is_small() -> None:
    assert sum(file.stat().st_size for file in (EXAMPLE / "data").iterdir()) < 300_000
