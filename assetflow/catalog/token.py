"""Whether the catalog is what it was, by one query and a look at the files around it. Imports little beside SQLite."""

from __future__ import annotations

import os
from collections.abc import Sequence


def query() -> str:
    """The query of the token; its one parameter is the environment."""
    with open(f"{os.path.dirname(__file__)}{os.sep}token.sql", encoding="utf-8") as file:  # noqa: PTH120
        return file.read()


def token_of(row: Sequence[object] | None) -> list[object]:
    """What the query gave, as JSON holds it."""
    return [*(row or ())]


def is_quiet(token: Sequence[object]) -> bool:
    """Whether no run went on, or died, when the token was taken."""
    return len(token) == 10 and token[6] == 0


def token_now(path: str, env: str, version: int) -> list[object] | None:
    """The token of the catalog at `path`; None when it is not one of this version, or cannot be read just now."""
    import sqlite3
    from contextlib import closing

    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23").replace("\\", "/")
    try:
        with closing(sqlite3.connect(f"file:{quoted}?mode=ro", uri=True, isolation_level=None)) as connection:
            if connection.execute("PRAGMA user_version").fetchone() != (version,):
                return None
            return token_of(connection.execute(query(), (env,)).fetchone())
    except (sqlite3.Error, UnicodeDecodeError):
        return None


def files_around(path: str) -> list[object]:
    """What lies beside a catalog that has to fit it: which file it is, the end of its journal, unfinished backups."""
    folder = os.path.dirname(path)  # noqa: PTH120
    found = os.stat(path)  # noqa: PTH116
    lines = max((name for name in _names(f"{folder}{os.sep}journal") if name.endswith(".jsonl")), default="")
    end = os.stat(f"{folder}{os.sep}journal{os.sep}{lines}") if lines else None  # noqa: PTH116
    unfinished = [name for name in _names(f"{folder}{os.sep}backups") if name.endswith(".new")]
    return [
        [found.st_dev, found.st_ino], None if end is None else [lines, end.st_size, end.st_mtime_ns], sorted(unfinished)
    ]  # fmt: skip


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208
    except OSError:
        return []
