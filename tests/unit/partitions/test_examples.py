from __future__ import annotations

import doctest
from importlib import import_module
from pathlib import Path

import pytest

import assetflow.partitions

ROOM = Path(assetflow.partitions.__file__).parent
NAMES = sorted(path.stem for path in ROOM.glob("*.py") if path.stem != "__init__")


@pytest.mark.parametrize("name", NAMES)
def test_examples_of_docstrings_are_true(name: str) -> None:
    assert doctest.testmod(import_module(f"assetflow.partitions.{name}")).failed == 0
