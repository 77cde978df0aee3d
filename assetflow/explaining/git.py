"""Who last touched some lines, when the project is in a git work tree and git answers in time."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from assetflow.explaining.answer import GitChange

_LIMIT_S = 2.0
_NOT_COMMITTED = "0" * 40


def in_work_tree(folder: Path) -> bool:
    """Whether a folder lies in a git work tree, without asking git."""
    return any((one / ".git").exists() for one in (folder, *folder.parents))


def blame(root: Path, file: str, lines: range) -> GitChange | None:
    """The newest change of these lines of a file; None without git, elsewhere, or when it takes long."""
    if not lines or not in_work_tree(root):
        return None
    span = f"{lines.start},{lines.stop - 1}"
    text = _git(root, "blame", "--porcelain", "-L", span, "--", file)
    return None if text is None else _newest(text)


def last_commit(root: Path, file: str) -> GitChange | None:
    """The last change of a whole file; None when git does not know it."""
    if not in_work_tree(root):
        return None
    if _git(root, "status", "--porcelain", "--", file):
        return GitChange("")
    text = _git(root, "log", "-1", "--format=%H%x00%an%x00%at%x00%s", "--", file)
    parts = (text or "").rstrip("\n").split("\0")
    return GitChange(parts[0], parts[1], float(parts[2]), parts[3]) if len(parts) == 4 else None


def _newest(text: str) -> GitChange | None:
    """The newest of the commits that `git blame --porcelain` tells of."""
    found: dict[str, dict[str, str]] = {}
    commit = ""
    for line in text.splitlines():
        words = line.split(" ")
        if line.startswith("\t"):
            continue
        if len(words[0]) == len(_NOT_COMMITTED) and len(words) >= 3:
            commit = words[0]
            found.setdefault(commit, {})
        elif commit:
            name, _, value = line.partition(" ")
            found[commit].setdefault(name, value)
    if not found:
        return None
    if _NOT_COMMITTED in found:
        return GitChange("")
    newest = max(found, key=lambda one: int(found[one].get("author-time", "0")))
    facts = found[newest]
    return GitChange(newest, facts.get("author", ""), float(facts.get("author-time", "0")), facts.get("summary", ""))


def _git(root: Path, *arguments: str) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_PAGER": "cat", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, timeout=_LIMIT_S, env=environment, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None  # who did it is a kindness; the answer does not need it
    return done.stdout.decode("utf-8", "replace") if done.returncode == 0 else None
