"""This command line once more, in a process of its own, so that the code it runs is what is on the disk then."""

from __future__ import annotations

import sys
from pathlib import Path

_START = "import sys; sys.path.append(sys.argv.pop(1)); from assetflow.cli.main import run; run()"
_HOME = str(Path(__file__).parents[2])


def again(verb: str, *arguments: str) -> list[str]:
    """The words of a call of a verb, for a child process."""
    return [sys.executable, "-P", "-c", _START, _HOME, verb, *arguments]
