"""What other interpreters than the one of the tests need to import assetflow's text."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path


def version_of(python: str) -> str:
    """The version of an interpreter, such as `3.12`; empty when it does not run."""
    code = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=False).stdout.strip()


def libraries(version: str) -> str:
    """A folder with msgspec for that version of Python and nothing else, kept in the environment of the tests."""
    pinned = importlib.metadata.version("msgspec")
    folder = Path(sys.prefix) / "other-pythons" / f"{version}-msgspec-{pinned}"
    if not folder.exists():
        aside = folder.with_name(f"{folder.name}-{os.getpid()}")
        wanted = ["--python-version", version, "--only-binary=:all:", "--no-deps", "--target", str(aside)]
        pip = [sys.executable, "-m", "pip", "install", "-qq", "--disable-pip-version-check", *wanted]
        done = subprocess.run([*pip, f"msgspec=={pinned}"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"msgspec for Python {version} cannot be installed: {done.stderr}"
        with suppress(OSError):  # another process was there first
            aside.rename(folder)
        shutil.rmtree(aside, ignore_errors=True)
    return str(folder)
