"""Every sabotage build must be caught: a harness that does not see one is blind for that promise."""

from __future__ import annotations

import pytest

from tests.faults.profile import sabotage_report
from tests.faults.sabotage import SABOTAGES

pytestmark = [pytest.mark.fault, pytest.mark.slow]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SABOTAGES)
def test_the_sabotage_is_caught(name: str) -> None:
    harnesses = SABOTAGES[name].caught_by

    assert any(sabotage_report(name, harness).violations for harness in harnesses), f"{name} went unseen by {harnesses}"
