"""Virtual environments of the peers: one each, with the versions that `requirements/` pins, made when asked for."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

from benchmarks.peers.processes import own_environment

REQUIREMENTS = Path(__file__).parent / "requirements"


class NotInstalled(Exception):
    """An environment could not be made; the text has the end of what pip said."""


class Environments:
    """The environments in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()

    def python(self, name: str) -> str:
        """The interpreter of an environment, which need not be there."""
        return str(self.folder / name / ("Scripts/python.exe" if os.name == "nt" else "bin/python"))

    def program(self, name: str, program: str) -> str:
        """A program of an environment."""
        return str(Path(self.python(name)).parent / program)

    def make(self, name: str) -> None:
        """Leave an environment with what its requirements say, its bytecode compiled; quick when it is so already.

        Raises:
            NotInstalled: if that cannot be done.
        """
        wanted = REQUIREMENTS / f"{name}.txt"
        mark = hashlib.sha256(wanted.read_bytes() + sys.version.encode()).hexdigest()
        stamp = self.folder / name / "stamp"
        if stamp.is_file() and stamp.read_text() == mark:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._call(sys.executable, "-m", "venv", "--clear", str(self.folder / name))
        # pip compiles the modules that it installs, unless it is told not to
        self._call(self.python(name), "-m", "pip", "install", "--quiet", "--compile", "-r", str(wanted))
        stamp.write_text(mark)

    def versions(self, name: str) -> dict[str, str]:
        """What an environment pins, by package."""
        lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
        pins = (line.split("==") for line in lines if "==" in line and not line.startswith("#"))
        return {package.strip(): version.split()[0] for package, version in pins}

    def _call(self, *arguments: str) -> None:
        done = subprocess.run(arguments, capture_output=True, text=True, check=False, env=own_environment())
        if done.returncode != 0:
            raise NotInstalled((done.stderr or done.stdout)[-1500:].strip())
