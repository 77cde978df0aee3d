"""Campaigns in processes of their own: they fork, jump with the clock and raise signals."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.model.planted import Planted

ROOT = Path(__file__).resolve().parents[2]


def campaign_apart(steps: int, seed: int, *, root: Path = ROOT, shrinks: bool = True) -> dict[str, Any]:
    """What `python -m tests.model` says of the assetflow below `root`."""
    command = [sys.executable, "-m", "tests.model", "--json", f"--steps={steps}", f"--seed={seed}"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASSETFLOW_")}
    done = subprocess.run(
        [*command, *([] if shrinks else ["--no-shrink"])],
        cwd=root, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode in (0, 1), done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    assert Path(found["package"]).is_relative_to(root), f"it ran {found['package']}"
    return found


def copy_with(bug: Planted, folder: Path) -> None:
    """A copy of the package with a bug, and of the model without."""
    for place in (Path("assetflow"), Path("tests/model")):  # with what is compiled, which need not be done once more
        shutil.copytree(ROOT / place, folder / place)
    path = folder / "assetflow" / bug.file
    path.write_text(path.read_text(encoding="utf-8").replace(bug.old, bug.new), encoding="utf-8")
