"""Errors as blocks for people and as objects for programs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from assetflow.cli.text import BLANK, Line, Span, bad, dim, strong
from assetflow.errors import AssetflowError, InternalError, Location, ProjectLoadError


def error_lines(failure: AssetflowError, root: str | None = None) -> list[Line]:
    """The block of an error: code and what, the code frame, the facts, the help. Problems of a load come one by one."""
    if isinstance(failure, ProjectLoadError) and failure.problems:
        lines: list[Line] = []
        for problem in failure.problems:
            lines += [*error_lines(problem, root), BLANK]
        if len(failure.problems) > 1:
            lines.append((bad("error"), f": {failure.what}"))
        else:
            lines.pop()
        return lines
    kind = "error"
    if isinstance(failure, InternalError):
        kind, root = "internal error", None  # the file of the report is to be found from anywhere
    what, *more = local_paths(failure.what, root).splitlines() or [""]
    lines = [(bad(f"{kind}[{failure.code}]"), ": ", strong(what)), *(("  " + line,) for line in more)]
    if failure.where is not None and not isinstance(failure, InternalError):
        lines += frame_lines(failure.where, root)
    lines += [(f"  {line}",) for fact in failure.facts for line in local_paths(fact, root).splitlines()]
    if failure.fix:
        first, *rest = local_paths(failure.fix, root).splitlines()
        lines.append((Span("  help", "head"), f": {first}"))
        lines += [(f"        {line}",) for line in rest]
    return lines


def frame_lines(where: Location, root: str | None) -> list[Line]:
    """The place and, when its file can be read, its line with carets under the columns that matter."""
    lines: list[Line] = [(dim("  --> "), shown_path(where.file, root) + (f":{where.line}" if where.line else ""))]
    text = _source_line(where, root)
    if text is None:
        return lines
    label = f"   {where.line} │ "
    lines.append((dim(label), text.expandtabs(4)))
    if where.column:
        # Tabs before the caret count as the columns that they were expanded to.
        before = len(text[: where.column - 1].expandtabs(4))
        length = max(1, min(where.length, len(text) - where.column + 1))
        lines.append((dim(" " * (len(label) - 2) + "│ "), " " * before, bad("^" * length)))
    return lines


def code_lines(frame: Sequence[tuple[int, str]], line: int | None, indent: str = "       ") -> list[Line]:
    """Lines of code with their numbers, a mark at the one that failed."""
    wide = max((len(str(number)) for number, _ in frame), default=0)
    lines: list[Line] = []
    for number, text in frame:
        is_it = number == line
        mark = bad("❱ ") if is_it else "  "
        shown = text.expandtabs(4).rstrip()
        lines.append((indent, mark, dim(f"{number:>{wide}} │ "), strong(shown) if is_it else shown))
    return lines


def shown_path(file: str, root: str | None) -> str:
    """The path relative to the project's folder where it lies in it, else as it is."""
    if root is not None:
        try:
            return Path(file).relative_to(root).as_posix()
        except ValueError:
            pass
    return file


def local_paths(text: str, root: str | None) -> str:
    """The text with every path in the project's folder relative to it, which is also how settings name them."""
    if not root or root == "/" or root not in text:
        return text
    import re

    return re.sub(r"(?<![\w.~/-])" + re.escape(root.rstrip("/\\")) + r"[/\\](?=\S)", "", text)


def error_json(failure: AssetflowError, root: str | None = None) -> dict[str, object]:
    """The error as JSON-able values."""
    found: dict[str, object] = {
        "code": failure.code,
        "message": failure.what,
        "facts": list(failure.facts),
        "fix": failure.fix,
        "exit_code": failure.exit_code,
    }
    if failure.where is not None:
        where = failure.where
        found["where"] = {"file": shown_path(where.file, root), "line": where.line, "column": where.column or None}
    if isinstance(failure, ProjectLoadError):
        found["problems"] = [error_json(problem, root) for problem in failure.problems]
    return found


def _source_line(where: Location, root: str | None) -> str | None:
    path = Path(where.file)
    if not path.is_absolute() and root is not None:
        path = Path(root) / path
    if where.line < 1:
        return None
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None  # the place is shown all the same
    if where.line > len(lines):
        return None
    line = lines[where.line - 1].rstrip()
    return _without_addresses(line) if path.suffix == ".toml" else line


def _without_addresses(line: str) -> str:
    """A line of a project file with stars for the addresses in it, which may hold what nobody else may see."""
    if "url" not in line and "://" not in line:
        return line
    import re

    line = re.sub(r"""(\burl["']?\s*=\s*).*""", r"\1***", line)
    return re.sub(r"""(?i)(?!sqlite)\b[a-z][a-z0-9+.-]*://[^\s"']+""", "***", line)
