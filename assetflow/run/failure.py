"""Exceptions as values that can be shown and stored, with a traceback that starts at the user's line."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import cast

from msgspec.structs import replace

from assetflow.errors import AssetFailed, AssetflowError, DamagedVersion, ProjectLoadError, Superseded
from assetflow.model.keys import AssetKey
from assetflow.model.secrets import SECRETS
from assetflow.plan.planner import Step
from assetflow.run.capture import error_record
from assetflow.run.outcome import StepError

OUR_FOLDER = str(Path(__file__).resolve().parent.parent)
_CONTEXT_LINES = 1


def unpinned_first(error: StepError | None, pinned: Iterable[Step]) -> StepError | None:
    """The error with advice that can be followed: what is pinned must be let go before it is made again."""
    if error is None or error.code != DamagedVersion.code:
        return error
    key = next((step.asset for step in pinned if f"`{step.asset}@" in error.message), None)
    if key is None:
        return error
    return replace(error, fix=f"it is pinned: assetflow unpin {key}, and then assetflow materialize {key} --force")


def step_error(error: BaseException, root: Path | None) -> StepError:
    """What went wrong. For errors of the user's code, the place is the innermost line within the project."""
    if isinstance(error, ProjectLoadError) and error.problems:  # the settings of a resource
        first, *others = error.problems
        told = step_error(first, root)
        return replace(told, facts=(*told.facts, *(other.what for other in others)))
    if isinstance(error, AssetflowError):
        file, line = (error.where.file, error.where.line) if error.where else (None, None)
        return _without_secrets(
            StepError(error.code, type(error).__name__, error.what, file, line, facts=error.facts, fix=error.fix)
        )
    trace = user_part(error.__traceback__)
    summary = traceback.TracebackException(type(error), error, trace)
    place = _place(trace, root)
    file, line, function = place if place is not None else (None, None, None)
    found = StepError(
        AssetFailed.code,
        type(error).__qualname__,
        _text(error),
        file,
        line,
        function,
        source_lines(file, line),
        _notes(error),
        _hint(error),
        "".join(summary.format()),
    )
    return _without_secrets(found)


def log_text(error: StepError) -> str:
    """What the log of a step has of its error: the traceback, or a record in one line where there is none."""
    if error.text:
        return error.text
    help_ = [] if error.fix is None else [f"help: {error.fix}"]
    words = " ".join("; ".join([error.message, *error.facts, *help_]).split())
    return error_record(f"{error.code}: {words}") + "\n"


def _without_secrets(error: StepError) -> StepError:
    clean = SECRETS.text
    return replace(
        error,
        message=clean(error.message),
        frame=tuple((number, clean(line)) for number, line in error.frame),
        facts=tuple(map(clean, error.facts)),
        fix=None if error.fix is None else clean(error.fix),
        text=clean(error.text),
    )


def user_part(trace: TracebackType | None) -> TracebackType | None:
    """The traceback without the frames of ours that come before the user's."""
    current = trace
    while current is not None and current.tb_frame.f_code.co_filename.startswith(OUR_FOLDER):
        current = current.tb_next
    return current or trace


def is_users(file: str, root: Path | None) -> bool:
    """Whether code in a file is the user's own: in the project, and not installed there."""
    return "site-packages" not in file and (root is None or file.startswith(f"{root}/"))


def _place(trace: TracebackType | None, root: Path | None) -> tuple[str, int, str] | None:
    found: tuple[str, int, str] | None = None
    while trace is not None:
        code = trace.tb_frame.f_code
        if found is None or is_users(code.co_filename, root):
            found = (code.co_filename, trace.tb_lineno, code.co_name)
        trace = trace.tb_next
    return found


def source_lines(file: str | None, line: int | None) -> tuple[tuple[int, str], ...]:
    """The line of a file and those around it, with their numbers."""
    if file is None or line is None:
        return ()
    numbers = range(max(1, line - _CONTEXT_LINES), line + _CONTEXT_LINES + 1)
    lines = [(number, linecache.getline(file, number).rstrip()) for number in numbers]
    return tuple((number, text) for number, text in lines if text or number == line)


def _notes(error: BaseException) -> tuple[str, ...]:
    """What was added to the exception; a user's class may hold anything there."""
    notes: object = getattr(error, "__notes__", ())
    return tuple(map(str, cast("Sequence[object]", notes))) if isinstance(notes, (list, tuple)) else ()


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception as broken:  # noqa: BLE001 - str() of a user's exception runs the user's code
        return f"<its message could not be read: {type(broken).__name__}>"


def _hint(error: BaseException) -> str | None:
    if not type(error).__module__.startswith(("duckdb", "_duckdb")):
        return None
    if "another database" in str(error):
        return "query relations on the connection of the step: add a parameter `con: duckdb.DuckDBPyConnection`"
    if type(error).__name__ == "ResourceInUseException":
        return "use a connection of your own: a parameter `con: duckdb.DuckDBPyConnection`, or `duckdb.connect()`"
    return None


def overtaken(key: AssetKey) -> Superseded:
    """The error of a result that came too late to be current."""
    return Superseded(
        f"another run moved {key} while this one computed it; its version stays current",
        fix="run `assetflow plan` to see what is left to do",
    )
