"""The model sees bugs: each of a list of wrong lines ends in a disagreement within the CI profile."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.model.apart import ROOT, campaign_apart, copy_with
from tests.model.planted import PLANTED, Planted

pytestmark = pytest.mark.slow
STEPS = 10_000
SEEDS = {
    "which asset an input comes from does not count": 5,
    "a projection counts as the whole content": 5,
    "config is not part of what a result depends on": 3,
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
