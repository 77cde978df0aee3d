"""Another scheme of fingerprints: what means the same stays current, and nothing else does."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.unit.conftest import Workspace

SHOP = """
RATE = 2

def doubled(n):
    return n * RATE

@asset
def first() -> int:
    ran("first")
    return doubled(4)

@asset
def second(first: int) -> int:
    ran("second")
    return first + 1
"""


@pytest.fixture
def newer(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A project that was built under the scheme of today, seen by an assetflow with the scheme of tomorrow."""
    workspace.assets(SHOP)
    assert workspace.materialize(executor="inline").ok
    workspace.ran()
    shutil.rmtree(workspace.root / ".assetflow" / "cache")
    for place in ("fingerprint.hashing", "run.aliases", "run.pinned", "run.accepting"):
        monkeypatch.setattr(f"assetflow.{place}.SCHEME", b"afp-of-tomorrow")
    return workspace


def test_a_new_scheme_rebuilds_nothing_that_means_the_same(newer: Workspace) -> None:
    plan = newer.project().plan()
    assert plan["first"].head is not None
    assert plan.is_empty
    assert newer.outcomes() == {}
    assert newer.ran() == []


def test_an_edit_is_seen_under_the_new_scheme_too(newer: Workspace) -> None:
    newer.edit("return n * RATE", "return n + RATE")
    assert [step.asset for step in newer.project().plan().run] == ["first"]
    assert newer.materialize().ok
    assert newer.ran() == ["first", "second"]
    assert newer.project().plan().is_empty


def test_a_constant_of_another_value_is_seen(newer: Workspace) -> None:
    newer.edit("RATE = 2", "RATE = 3")
    assert [step.asset for step in newer.project().plan().run] == ["first"]
