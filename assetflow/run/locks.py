"""The lock that one run at a time holds for an environment."""

from __future__ import annotations

from assetflow.catalog.locks import FileLock
from assetflow.load.settings import Settings


def run_lock(settings: Settings, env: str) -> FileLock:
    """The lock of an environment's runs. Held means that the run is alive: the kernel frees it with the process."""
    return FileLock(settings.state_path / "locks" / f"run-{env}.lock")
