"""Whole processes, measured by the operating system's own account of each that has ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

FOREIGN = ("PYTHONDONTWRITEBYTECODE", "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUNBUFFERED")
"""What would make one side slower, or have it import another's modules."""
LAUNCH = Path(__file__).resolve().parent / "launch.py"


@dataclass(frozen=True, slots=True)
class Command:
    """A process to be started.

    Attributes:
        arguments: the program and its arguments.
        folder: where it is started.
        environment: what is set besides the environment of this process.
    """

    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str] = field(default_factory=dict[str, str])


@dataclass(frozen=True, slots=True)
class Took:
    """What a process took, with all processes that it started.

    Attributes:
        wall_s: seconds of the clock, until it had ended itself.
        cpu_s: seconds of the processors, of user and system.
        peak_mib: the resident memory of the largest of its processes at its peak.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


class ProcessFailed(Exception):
    """A process ended otherwise than well; the text has the end of what it printed.

    Attributes:
        late_s: after so long it was not done, and was ended; None if it ended itself.
    """

    late_s: float | None = None


def own_environment() -> dict[str, str]:
    """The environment of this process, without what would change how Python starts."""
    return {name: value for name, value in os.environ.items() if name not in FOREIGN}


def run(command: Command, timeout_s: float = 600) -> Took:
    """What a process took.

    Raises:
        ProcessFailed: if it ended with another code than 0, was not done in time, or did not start.
    """
    with tempfile.TemporaryDirectory() as folder:
        result, output = Path(folder) / "took.json", Path(folder) / "output"
        with output.open("wb") as printed:
            launcher = subprocess.Popen(
                [sys.executable, "-I", "-S", str(LAUNCH), str(result), str(timeout_s), *command.arguments],
                cwd=command.folder,
                env=own_environment() | dict(command.environment),
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                launcher.wait()
            except BaseException:
                launcher.terminate()  # and it ends what it has started
                launcher.wait()
                raise
        found: dict[str, Any] = json.loads(result.read_text()) if result.is_file() else {"code": None, "is_late": False}
        if found["code"] != 0 or found["is_late"]:
            why = f"not done after {timeout_s:.0f} s" if found["is_late"] else f"exit code {found['code']}"
            lines = output.read_text(errors="replace")[-1500:].strip().splitlines() or [""]
            problem = ProcessFailed("\n".join((f"{why}: {lines[-1]}", " ".join(command.arguments)[:200], *lines)))
            problem.late_s = timeout_s if found["is_late"] else None
            raise problem
    return Took(found["wall_s"], found["cpu_s"], found["peak_mib"])
