"""Settings that every test shares: how hard Hypothesis tries, here and in CI."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, settings

# Derandomized: the same examples every time, so a red test stays red until it is mended. The nightly profile, chosen
# with HYPOTHESIS_PROFILE=nightly, looks for new ones. No deadline: the machines are shared and noisy.
_SLOW_MACHINE = [HealthCheck.too_slow]
settings.register_profile(
    "dev", max_examples=60, stateful_step_count=12, deadline=None, derandomize=True, suppress_health_check=_SLOW_MACHINE
)
settings.register_profile(
    "ci", max_examples=200, stateful_step_count=20, deadline=None, derandomize=True, suppress_health_check=_SLOW_MACHINE
)
settings.register_profile(
    "nightly", max_examples=4000, stateful_step_count=40, deadline=None, suppress_health_check=_SLOW_MACHINE
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))

# Where tests run in a job of GitHub's, commands would write for its page.
for _name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", "GITHUB_WORKSPACE"):
    os.environ.pop(_name, None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the screens of tests/golden/screens anew")
