"""Every sabotage build must be caught: a harness that does not see one is blind for that promise."""

from __future__ import annotations

import pytest

from tests.faults.profile import clean_report, sabotage_report
from tests.faults.sabotage import SABOTAGES

pytestmark = [pytest.mark.fault, pytest.mark.slow]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SABOTAGES)
def test_the_sabotage_is_caught_where_assetflow_as_it_is_is_clean(name: str) -> None:
    sabotage = SABOTAGES[name]
    (harness,) = sabotage.caught_by

    caught = sabotage_report(name, harness)
    clean = clean_report(harness, sabotage.scenario, caught.points)

    assert caught.violations, f"{name} went unseen by {harness}"
    assert not clean.violations, clean.summary()
