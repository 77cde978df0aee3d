"""Acceptance scenarios 13, 14 and 15: what cannot be seen, what is never the same, and another scheme."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.unit.conftest import Workspace

ROOT = Path(__file__).resolve().parents[2]

OPAQUE = """
SHOP = memoryview(b"north")

@asset
def orders() -> str:
    return bytes(SHOP).decode()

@asset
def apart() -> int:
    return 1
"""


def words(shop: Workspace, key: str) -> set[str]:
    return {one.word for one in shop.project().status()[key].modifiers}


def test_13_what_cannot_be_looked_into_is_said_and_equals_nothing_else(workspace: Workspace) -> None:
    workspace.assets(OPAQUE)
    workspace.materialize().raise_for_status()

    assert "opaque" in words(workspace, "orders")
    assert words(workspace, "apart") == set()
    assert workspace.project().plan().is_empty, "the same text made it"
    workspace.edit('(b"north")', '(b"south")')
    assert {step.asset for step in workspace.project().plan().run} == {"orders"}
    assert workspace.outcomes() == {"orders": "materialized"}
    assert workspace.project().read("orders") == "south"


RANDOM = """
@asset
def drawn() -> int:
    import os
    return int.from_bytes(os.urandom(8), "big") >> 12

@asset
def fixed() -> int:
    return 1
"""


def test_14_an_asset_that_gives_now_this_and_now_that_is_flagged(workspace: Workspace) -> None:
    workspace.assets(RANDOM)
    workspace.materialize().raise_for_status()
    assert "nondeterministic" not in words(workspace, "drawn")

    workspace.materialize("drawn or fixed", force=True).raise_for_status()

    assert "nondeterministic" in words(workspace, "drawn")
    assert "nondeterministic" not in words(workspace, "fixed")
    assert workspace.project().plan().is_empty, "being flagged does not make it stale"


PLANNED = """
import sys
from pathlib import Path
from assetflow import Project
from assetflow.fingerprint.hashing import SCHEME

assert SCHEME == b"afp-of-tomorrow"
print({step.asset: str(step.action) for step in Project.load(Path(sys.argv[1])).plan()})
"""


def test_15_another_scheme_of_fingerprints_makes_nothing_stale(workspace: Workspace, tmp_path: Path) -> None:
    workspace.assets("@asset\ndef orders() -> int:\n    return 1\n")
    workspace.materialize().raise_for_status()
    shutil.copytree(ROOT / "assetflow", tmp_path / "assetflow", ignore=shutil.ignore_patterns("__pycache__"))
    hashing = tmp_path / "assetflow" / "fingerprint" / "hashing.py"
    hashing.write_text(hashing.read_text().replace('SCHEME = b"afp1"', 'SCHEME = b"afp-of-tomorrow"'))

    done = subprocess.run(
        [sys.executable, "-c", PLANNED, str(workspace.root)], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert done.stdout == "{'orders': 'current'}\n"
