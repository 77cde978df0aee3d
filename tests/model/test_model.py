"""The CI profile: 20,000 steps of random histories, in which assetflow and the reference must always agree."""

from __future__ import annotations

import pytest

from tests.model.apart import campaign_apart
from tests.model.machine import WEIGHTS

pytestmark = pytest.mark.slow

STEPS, SEEDS = 10_000, (1, 2)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_plans_and_runs_are_what_the_reference_says(seed: int) -> None:
    report = campaign_apart(STEPS, seed)

    assert report["failure"] is None
    assert report["steps"] >= STEPS
    assert set(report["rules"]) == set(WEIGHTS), "every rule has its turn"
