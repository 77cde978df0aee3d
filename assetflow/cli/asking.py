"""Questions to people before something is removed or moved."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import TYPE_CHECKING

from assetflow.errors import UsageError

if TYPE_CHECKING:
    from assetflow.cli.session import Session


def confirmed(session: Session, options: Namespace, question: str) -> bool:
    """Whether the answer is yes: by `-y`, or by the person at the terminal.

    Raises:
        UsageError: there is nobody to ask, and no `-y`.
    """
    if options.yes:
        return True
    if options.no_input or session.screen.is_json or not _is_somebody_there():
        raise UsageError(f"`{session.verb.name}` asks before it does that, and nobody can answer", fix="add -y")
    session.screen.note((f" {question} [y/N] ",))
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _is_somebody_there() -> bool:
    try:
        return sys.stdin.isatty()
    except (AttributeError, ValueError):  # no input at all, or a closed one
        return False
