"""What files are now that functions were seen to open or to run. Light: every plan goes through here.

Files go through the same states as `files=` and sources do: one that stays as it is costs one `stat`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from assetflow.errors import SourceChanged, SourceMissing, SourceUnreadable
from assetflow.model.records import ABSENT, UNKNOWN, Discovered, Head

if TYPE_CHECKING:
    from assetflow.fingerprint.files import ProjectFiles
    from assetflow.io.sources import FileState

Times = tuple[int, int, int, int]
"""Size, time of change, inode, and when that changed, in nanoseconds: when all are equal, so is the content."""

UNREADABLE = "unreadable"


class FilesNow(Mapping[str, str]):
    """The digest of a file of the project by its path, found out when it is first asked for.

    What had to be read is in `rehashed`, by absolute path.
    """

    def __init__(self, root: Path, remembered: Callable[[], Mapping[str, FileState]], now_ns: int) -> None:
        self._root, self._remembered, self._now_ns = str(root), remembered, now_ns
        self._found: dict[str, str] = {}
        self.rehashed: dict[str, FileState] = {}

    def __getitem__(self, name: str) -> str:
        if name not in self._found:
            self._found[name] = self.look(name)[0]
        return self._found[name]

    def look(self, name: str) -> tuple[str, Times | None]:
        """The digest of a file with its times; those are None when it is not there or cannot be read."""
        path = f"{self._root}{os.sep}{name.replace('/', os.sep)}"
        if not os.path.lexists(path):  # an error of a source would first look for files of a similar name
            return ABSENT, None
        from assetflow.io.sources import observe_file

        known = self._remembered().get(path)
        try:
            state = observe_file(path, known, self._now_ns)
        except SourceMissing:
            return ABSENT, None
        except SourceChanged:
            return UNKNOWN, None
        except SourceUnreadable:
            return UNREADABLE, None
        except OSError:  # it went while it was read
            return UNKNOWN, None
        if known != state:
            self.rehashed[path] = state
        return f"xxh3:{state.digest}", (state.size, state.mtime_ns, state.inode, state.ctime_ns)

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


class CodeNow(Mapping[str, str]):
    """The digest of what a module of the project says, without comments and docstrings, by its path."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._found: dict[str, str] = {}
        self._files: ProjectFiles | None = None

    @property
    def files(self) -> ProjectFiles:
        """The project's files, as they are on the disk now."""
        if self._files is None:
            from assetflow.fingerprint.files import ProjectFiles

            self._files = ProjectFiles([folder for folder in (self._root / "src", self._root) if folder.is_dir()])
        return self._files

    def __getitem__(self, name: str) -> str:
        if name not in self._found:
            self._found[name] = self._look(str(self._root / name))
        return self._found[name]

    def _look(self, path: str) -> str:
        return self.files.tree(path) if os.path.isfile(path) else ABSENT  # noqa: PTH113

    def __iter__(self) -> Iterator[str]:
        return iter(self._found)

    def __len__(self) -> int:
        return len(self._found)


def discovered_now(
    heads: Iterable[Head] | None, root: Path, remembered: Callable[[], Mapping[str, FileState]]
) -> tuple[Discovered | None, Mapping[str, FileState]]:
    """What files that functions of these heads opened are now, and which of them had to be read.

    Files that only other traces speak of are looked at when they are asked for. Without heads nobody looks.
    """
    files = FilesNow(root, remembered, time.time_ns())
    if heads is None:
        return None, {}
    for head in heads:
        for name in (*head.trace.discovered.files, *head.trace.discovered.code):
            files.get(name)
    return Discovered(files, CodeNow(root)), files.rehashed
