"""The small campaign, for every change of assetflow itself; the long one is `python -m tests.mutations`."""

from __future__ import annotations

import pytest

from tests.mutations.campaign import campaign
from tests.mutations.shapes import all_shapes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_no_edit_is_missed_and_few_assets_are_stale_for_nothing() -> None:
    found = campaign(edits=500, seed=20)  # every edit of every shape once

    assert found.missed == []
    assert found.unstable == []
    assert found.unjustified == []  # an edit that is said to change the meaning changes what an asset computes
    assert len(found.needless) <= 0.02 * found.stale
    assert set(found.by_shape) == {shape.name for shape in all_shapes()}
