"""Each tick has exactly its run or its recorded miss, whatever dies and whatever the clock does."""

from __future__ import annotations

import pytest

from tests.ticks.world import STEPS, simulate


@pytest.mark.parametrize("seed", [1, 2])
def test_no_tick_is_lost_or_run_twice_in_sixty_days(seed: int) -> None:
    world = simulate(days=60, seed=seed)

    assert world.problems == []
    assert world.counts["ticks"] > 900
    assert all(world.counts[f"killed {step}"] for step in STEPS)
