"""The report of a bug in assetflow: written to a file, so that the screen stays readable."""

from __future__ import annotations

import os
import platform
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

from assetflow.errors import AssetflowError, InternalError, Location
from assetflow.model.secrets import SECRETS

if TYPE_CHECKING:
    from assetflow.cli.session import Session


def internal_error(error: Exception, arguments: list[str], session: Session | None) -> InternalError:
    """The error that a user sees for a bug, after the details were written to a file. Environment and data stay out."""
    folder = _folder(session)
    name = f"{time.strftime('%Y-%m-%dT%H-%M-%S')}-{os.getpid()}.txt"
    text = SECRETS.text(_report(error, arguments))
    written: Path | None = None
    for candidate in (folder, Path(tempfile.gettempdir())):
        if candidate is None:
            continue
        try:
            candidate.mkdir(parents=True, exist_ok=True)
            path = candidate / name
            path.write_text(text, encoding="utf-8", errors="backslashreplace")
        except OSError:
            continue  # the next place; the error itself is shown in any case
        written = path
        break
    found = InternalError(
        SECRETS.text(f"{type(error).__name__}: {error}".partition("\n")[0]),
        facts=() if written is None else (f"details in {written}",),
        fix="please report it with that file" if written is not None else "run it again with --traceback full",
        where=_place(error),
    )
    found.__cause__ = error
    return found


def _folder(session: Session | None) -> Path | None:
    from assetflow.load.settings import find_project

    if session is not None:
        root = session.root_text
        return None if root is None else Path(root) / ".assetflow" / "crash"
    try:
        return find_project(Path.cwd()).parent / ".assetflow" / "crash"
    except (AssetflowError, OSError):
        return None  # outside of a project: the temporary folder


def _report(error: Exception, arguments: list[str]) -> str:
    from assetflow import __version__

    # Values of --set may be secrets; everything else on the command line names things.
    shown = ["…" if before == "--set" else word for before, word in zip(["", *arguments], arguments, strict=False)]
    head = f"assetflow {__version__}, Python {platform.python_version()}, {sys.platform}\narguments: {shown}\n\n"
    return head + "".join(traceback.format_exception(error))


def _place(error: Exception) -> Location | None:
    frames = traceback.extract_tb(error.__traceback__)
    return Location(frames[-1].filename, frames[-1].lineno or 0) if frames else None
