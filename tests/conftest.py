"""Settings that every test shares: how hard Hypothesis tries, here and in CI."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from assetflow.load import refresh
from tests import warm as warm_processes

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


@pytest.fixture(scope="session")
def warm() -> Iterator[warm_processes.Server]:
    """Runs commands in processes that begin with the libraries imported."""
    yield warm_processes.SERVER
    warm_processes.SERVER.close()


COLD_LOAD = refresh._run


@pytest.fixture(scope="session", autouse=True)
def warm_loads(warm: warm_processes.Server) -> Iterator[None]:
    """Projects that are loaded in a process of their own are loaded in one that begins warm: an edit costs a tenth."""

    def run(folder: Path, timeout_s: float) -> tuple[bool, int]:
        words = ["-P", "-c", refresh._START, str(Path(__file__).parents[1]), str(folder)]
        with open(folder / "output.txt", "wb") as output, open(os.devnull, "rb") as nothing:
            streams = (nothing.fileno(), output.fileno(), output.fileno())
            child = warm_processes.start(
                warm.address, words, cwd=str(Path.cwd()), env=os.environ, streams=streams, session=True
            )
        try:
            code = child.wait(timeout_s + 1)
        except TimeoutError:
            child.kill()
            return False, -1
        return not (folder / "stack.txt").stat().st_size, code

    with pytest.MonkeyPatch.context() as patch:
        if warm_processes.IS_POSSIBLE:
            patch.setattr(refresh, "_run", run)
        yield


@pytest.fixture
def cold_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests of the loading process itself: it is started as it is for users."""
    monkeypatch.setattr(refresh, "_run", COLD_LOAD)
