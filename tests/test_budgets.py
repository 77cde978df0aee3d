"""What must not get slower or heavier: what importing the package, and declaring assets, loads."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pythons import libraries

ROOT = Path(__file__).resolve().parent.parent
MINOR = f"{sys.version_info[0]}.{sys.version_info[1]}"
HEAVY = {
    "apprise", "asyncio", "croniter", "duckdb", "httpx", "importlib.metadata", "logging", "multiprocessing", "numpy",
    "pandas", "polars", "pyarrow", "pydantic", "rich", "sqlite3", "subprocess", "tomllib", "unittest", "xxhash",
}  # fmt: skip


def loaded(statement: str) -> set[str]:
    """The modules that a statement loads in a fresh interpreter, besides those that were there before it."""
    code = f"import sys; before = set(sys.modules); {statement}; print('\\n'.join(set(sys.modules) - before))"
    done = subprocess.run(
        [sys.executable, "-S", "-E", "-c", f"import sys; sys.path[:0] = {[str(ROOT), libraries(MINOR)]!r}; {code}"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "statement",
    [
        "import assetflow",
        "from assetflow import asset, source",
        "from assetflow import assets, check, Freshness, Retry",
    ],
)
def test_declaring_assets_loads_nothing_heavy(statement: str) -> None:
    found = loaded(statement)

    assert "assetflow" in found
    assert not {module for module in found if module.partition(".")[0] in HEAVY or module in HEAVY}


def test_importing_the_package_loads_none_of_its_rooms() -> None:
    assert {module for module in loaded("import assetflow") if module.startswith("assetflow.")} == set()


def test_the_door_to_a_project_loads_nothing_heavy_but_sqlite() -> None:
    found = loaded("from assetflow import Project")

    assert {module for module in found if module in HEAVY} <= {"sqlite3"}


CALL = "from assetflow.cli.main import run; run()"


def cpu_s(folder: Path, *arguments: str, code: str = CALL) -> float:
    """Seconds of processor time that a call of the command line takes, with the processes that it starts."""
    import os
    import resource

    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", code, *arguments], cwd=folder, check=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


@pytest.mark.budget
@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="resource is of POSIX")
def test_check_of_the_example_takes_little_more_than_importing_pandas(tmp_path: Path) -> None:
    folder = tmp_path / "example"
    shutil.copytree(ROOT / "example_project", folder, ignore=shutil.ignore_patterns(".assetflow"))

    first = cpu_s(folder, "check", "--static")
    again = min(cpu_s(folder, "check", "--static") for _ in range(3))
    pandas = min(cpu_s(folder, code="import pandas") for _ in range(3))

    assert first < 5 * pandas, "the project's modules import it, and are read and understood"
    assert again < 2 * pandas
