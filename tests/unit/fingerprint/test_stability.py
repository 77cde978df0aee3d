"""Fingerprints are the same on every Python, with every hash seed, and wherever the checkout lies."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pythons import libraries, version_of

HERE = Path(__file__).parent
GOLDEN = json.loads((HERE / "golden.json").read_text(encoding="utf-8"))
"""A project in all shapes of code, and the fingerprint of each of its functions.

A difference makes every asset of every user stale: it needs a new scheme name and a migration (`same_meaning`).
"""


def interpreters() -> list[str]:
    """The Pythons of this machine that assetflow supports: on the path, and where pyenv keeps them."""
    found = {sys.executable}
    found |= {path for minor in range(11, 16) if (path := shutil.which(f"python3.{minor}"))}
    homes = [Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"]
    found |= {str(path) for home in homes for minor in range(11, 16) for path in home.glob(f"3.{minor}.*/bin/python")}
    return sorted(found)


def tokens(python: str, root: Path, seed: str) -> dict[str, str]:
    for name, text in GOLDEN["files"].items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    checkout = HERE.parents[2]
    environment = {"PYTHONHASHSEED": seed, "PATH": os.environ["PATH"], "PYTHONPATH": libraries(version_of(python))}
    command = [python, "-s", str(HERE / "printer.py"), str(checkout), str(root), *GOLDEN["modules"]]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_tokens_are_those_that_are_pinned(version: str, tmp_path: Path) -> None:
    python = next((one for one in interpreters() if version_of(one) == version), None)
    if python is None:
        pytest.skip(f"no Python {version} on this machine")

    assert tokens(python, tmp_path / "project", "random") == GOLDEN["tokens"]


def test_hash_seed_and_path_make_no_difference(tmp_path: Path) -> None:
    one = tokens(sys.executable, tmp_path / "a", "1")
    other = tokens(sys.executable, tmp_path / "deeper" / "elsewhere", "2")

    assert one == other == GOLDEN["tokens"]
