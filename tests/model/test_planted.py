"""The model sees bugs: each of a list of wrong lines ends in a disagreement within the CI profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.apart import ROOT, campaign_apart, copy_with
from tests.model.planted import PLANTED, Planted

pytestmark = pytest.mark.slow
STEPS = 10_000
SEEDS = {
    "a projection counts as the whole content": 5,
    "a projection is cut off on the number of rows alone": 32,
    "an upstream that a check rejected counts as current": 2,
    "an upstream that failed counts as current": 2,
    "config is not part of what a result depends on": 14,
    "inputs are compared by version number, not by content": 2,
    "outputs of one function are decided one by one": 8,
    "what is pinned is planned like all else": 3,
    "what may run counts as current for what is below": 3,
    "what was forced is linked instead": 6,
    "which asset an input comes from does not count": 40,
}
"""Histories in which a bug is met sooner than in those of seed 1; each is met in those too."""


def name_of(bug: Planted) -> str:
    return bug.name.replace(" ", "_")


@pytest.mark.parametrize("bug", PLANTED, ids=name_of)
def test_the_line_is_there_once(bug: Planted) -> None:
    assert (ROOT / "assetflow" / bug.file).read_text(encoding="utf-8").count(bug.old) == 1


@pytest.mark.timeout(300)
@pytest.mark.parametrize("bug", PLANTED, ids=name_of)
def test_the_bug_is_seen(bug: Planted, tmp_path: Path) -> None:
    copy_with(bug, tmp_path)

    report = campaign_apart(STEPS, SEEDS.get(bug.name, 1), root=tmp_path, shrinks=False)

    assert report["disagreements"] == 1
    assert report["steps"] <= STEPS
