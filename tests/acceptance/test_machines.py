"""Acceptance scenario 4: the same code has the same fingerprint wherever and however it is looked at."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pythons import libraries, version_of

ROOT = Path(__file__).resolve().parents[2]

HELPERS = """
from dataclasses import dataclass, field

CODES = {"north", "south", "east", "west"}
RATES = {"GBP": 1.0, "EUR": 0.87, None: 0.5, ("a", 1): b"x"}


@dataclass(frozen=True)
class Rule:
    low: int = 1
    names: frozenset = frozenset({"b", "a"})
    more: list = field(default_factory=list)


def convert(x, *, rules=(Rule(2), Rule()), **options):
    match x:
        case {"net": net, **rest} if net > 0:
            return [one.low * net for one in rules], rest, RATES, CODES
        case [first, *_]:
            return (lambda y: f"{y!r:>{10}}")(first)
    return {k: v for k, v in sorted(options.items())}
"""

ASSETS = """
from assetflow import asset
from helpers import convert


@asset
def orders(raw: list, limit: int = 3) -> list:
    try:
        return [convert(one) for one in raw if one][:limit]
    except (ValueError, KeyError) as error:
        raise RuntimeError("no") from error


@asset
def total(orders: list) -> int:
    async def inner():
        return [x async for x in orders]
    global counted
    counted = lambda *, a=1, **b: (a, b)
    return sum(len(one) for one in orders)
"""

SCRIPT = """
import json, sys
sys.path[:0] = sys.argv[1:]
import assets
from assetflow.fingerprint.code import code_fingerprint
found = {name: code_fingerprint(getattr(assets, name), [sys.argv[2]]) for name in ("orders", "total")}
print(json.dumps({name: [one.digest, dict(one.parts)] for name, one in found.items()}))
"""


def pythons() -> Iterator[str]:
    """Interpreters of this machine that assetflow supports, besides the one that runs the tests."""
    known = [shutil.which(f"python3.{minor}") for minor in range(11, 15)]
    folders = [Path.home() / ".pyenv" / "versions", Path.home() / ".local" / "share" / "uv" / "python"]
    known += [str(path) for folder in folders for path in sorted(folder.glob("*3.1[1-4]*/bin/python3"))]
    for path in dict.fromkeys(one for one in known if one):
        asked = subprocess.run(
            [path, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True, text=True, check=False
        )
        if asked.returncode == 0 and tuple(map(int, asked.stdout.split())) >= (3, 11):
            yield path


def fingerprints(folder: Path, *, python: str = sys.executable, cwd: Path = ROOT, seed: str = "0") -> object:
    environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"}
    environment.pop("PYTHONPATH", None)
    done = subprocess.run(
        [python, "-c", SCRIPT, str(ROOT), str(folder), libraries(version_of(python))],
        cwd=cwd, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "helpers.py").write_text(HELPERS)
    (folder / "assets.py").write_text(ASSETS)
    return folder


def test_04_hash_seeds_folders_and_checkouts_make_no_difference(checkout: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "a folder" / "of somebody else"
    shutil.copytree(checkout, elsewhere)
    first = fingerprints(checkout)

    assert [fingerprints(checkout, seed=seed) for seed in ("1", "77", "random")] == [first] * 3
    assert fingerprints(checkout, cwd=checkout) == first
    assert fingerprints(checkout, cwd=tmp_path) == first
    assert fingerprints(elsewhere, seed="5") == first


def test_04_what_a_library_writes_for_a_dataclass_does_not_count(checkout: Path) -> None:
    found = fingerprints(checkout)

    assert isinstance(found, dict)
    assert [name for name in found["orders"][1] if "__repr__" in name] == []


def test_04_python_versions_make_no_difference(checkout: Path) -> None:
    found = list(pythons())
    if not found:
        pytest.skip("there is no other Python here")

    assert [fingerprints(checkout, python=python) for python in found] == [fingerprints(checkout)] * len(found)
