"""The locks of a store: one run at a time in an environment, and nothing is removed while a run goes on."""

from __future__ import annotations

from assetflow.catalog.locks import FileLock
from assetflow.load.settings import Settings


def run_lock(settings: Settings, env: str) -> FileLock:
    """The lock of an environment's runs. Held means that the run is alive: the kernel frees it with the process."""
    return FileLock(settings.state_path / "locks" / f"run-{env}.lock")


def store_lock(settings: Settings) -> FileLock:
    """The lock of stored versions: every run shares it, and who removes versions has it alone."""
    return FileLock(settings.state_path / "locks" / "store.lock")
