"""Both type checkers in strict mode agree with what `declarations.py` says about decorated functions."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]


@pytest.mark.slow
@pytest.mark.skipif(find_spec("mypy") is None, reason="mypy is not installed")
def test_mypy_strict_accepts_the_declarations() -> None:
    # The cache is the repository's: in a whole check mypy has just filled it with the same packages.
    command = [sys.executable, "-m", "mypy", "--strict", str(HERE / "declarations.py")]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.skipif(find_spec("pyright") is None, reason="pyright is not installed")
def test_pyright_strict_accepts_the_declarations(tmp_path: Path) -> None:
    settings = {
        "include": [str(HERE / "declarations.py")],
        "extraPaths": [str(REPOSITORY)],
        "typeCheckingMode": "strict",
        "reportUnnecessaryTypeIgnoreComment": "none",  # the comments for mypy are none of pyright's business
        "enableTypeIgnoreComments": False,
    }
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    command = [sys.executable, "-m", "pyright", "--project", str(tmp_path), "--pythonpath", sys.executable]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
