"""The CI profile: 4,000 steps of random histories, in which assetflow and the reference must always agree."""

from __future__ import annotations

import pytest

from tests.model.apart import campaign_apart
from tests.model.machine import WEIGHTS
from tests.model.walk import Op, problem_of

pytestmark = pytest.mark.slow

STEPS, SEEDS = 2_000, (1, 2)

ONCE_WRONG: list[tuple[int, list[Op]]] = [
    # Killed between a line of the journal and its commit; what the line spoke of was removed, then the catalog lost.
    (8000501, [("some", 0, 0, 0, 0), ("source", 1, 1, 0, 0), ("killed", 1, 0, 23, 0), ("lose_catalog", 0, 0, 0, 0)]),
    (
        7000281,
        [
            ("some", 0, 0, 1, 0), ("killed", 1, 0, 0, 0), ("columns", 0, 0, 0, 0), ("lose", 0, 0, 0, 0),
            ("mend", 0, 0, 0, 0), ("killed", 0, 0, 41, 0), ("lose_catalog", 0, 0, 0, 0),
        ],
    ),
]  # fmt: skip
"""Histories that a campaign found, as short as they could be made."""


@pytest.mark.parametrize(("seed", "ops"), ONCE_WRONG)
def test_what_was_wrong_once_stays_right(seed: int, ops: list[Op]) -> None:
    assert problem_of(seed, ops) == ""


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_plans_and_runs_are_what_the_reference_says(seed: int) -> None:
    report = campaign_apart(STEPS, seed)

    assert report["failure"] is None
    assert report["steps"] >= STEPS
    assert set(report["rules"]) == set(WEIGHTS), "every rule has its turn"
