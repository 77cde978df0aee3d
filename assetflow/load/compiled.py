"""The compiled code of the project's modules, kept in the cache folder and found by the text that it was compiled from.

One file for each module. It opens with a digest of all that the code depends on: the text, the path, which tracebacks
show, and the Python that compiled it. The code behind it is locked by the same (`load/locked.py`): what stands in a
module can be read only by who has the module. What is damaged, cut or of another text is compiled again.
"""

from __future__ import annotations

import marshal
import os
import sys
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from importlib.util import MAGIC_NUMBER
from types import CodeType
from typing import TYPE_CHECKING, cast

from assetflow.fingerprint.hashing import digest
from assetflow.load.caches import make_cache_folder, write_sealed
from assetflow.load.locked import locked, unlocked
from assetflow.load.sealed import unsealed

if TYPE_CHECKING:
    from pathlib import Path

_FORMAT = b"1"
_KEY_LENGTH = 32


class CompiledModules:
    """What a load compiles or finds compiled, in `folder`; what it compiled is written by `keep`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._python = _python()
        self._used: set[str] = set()
        self._new: dict[str, tuple[str, str, bytes]] = {}

    def code(self, path: str, content: bytes, compiled: Callable[[], CodeType]) -> CodeType:
        """The code of the module at `path` with this content: what is kept, else what `compiled` gives.

        What raises a warning is not kept, so that the next load shows it as well.
        """
        place = os.fsencode(path)
        name = digest("compiled name", place)
        key = digest("compiled", self._python, place, content)
        lock = digest("compiled lock", self._python, place, content)
        self._used.add(name)
        found = self._read(name, key, lock)
        if found is not None:
            return found
        with _listening() as warned:
            code = compiled()
        if not warned:
            self._new[name] = (key, lock, marshal.dumps(code))  # before it runs, which rewrites instructions
        return code

    def keep(self, *, is_whole: bool) -> None:
        """Write what was compiled. When all modules of the project were loaded, remove the files of others."""
        if not self._new:
            return
        with suppress(OSError):
            make_cache_folder(self._folder.parent)
            for name, (key, lock, data) in self._new.items():
                if write_sealed(self._path(name), (key + locked(data, lock.encode())).encode()) < 0:
                    return
            if is_whole:
                self._prune()

    def _prune(self) -> None:
        for file in self._folder.iterdir():
            if file.name not in self._used:
                with suppress(OSError):
                    file.unlink()

    def _read(self, name: str, key: str, lock: str) -> CodeType | None:
        try:
            with open(self._path(name), "rb") as stream:
                data = unsealed(stream.read()).decode()
            if data[:_KEY_LENGTH] != key:
                return None
            code = marshal.loads(unlocked(data[_KEY_LENGTH:], lock.encode()))  # noqa: S302 - sealed, and our own
        except (OSError, ValueError, EOFError, TypeError):
            return None
        return code if isinstance(code, CodeType) else None

    def _path(self, name: str) -> str:
        return f"{self._folder}{os.sep}{name}"


def _python() -> bytes:
    """What code depends on besides path and text: the form of these files, the Python, `-O`, and `no_debug_ranges`."""
    has_columns = next(iter(compile("0", "<columns>", "eval").co_positions()))[2] is not None
    return repr((_FORMAT, MAGIC_NUMBER, sys.version, sys.flags.optimize, has_columns)).encode()


class _Ear(list[str]):
    """Stands where a filter of warnings has its pattern: fits no warning, and notes each that it is asked about."""

    def match(self, text: str) -> bool:
        self.append(text)
        return False


@contextmanager
def _listening() -> Generator[list[str]]:
    """The warnings that are raised while it lasts; what becomes of them is for the other filters to say.

    `warnings.catch_warnings` would hide from the user's filters what it records, and show again what was shown once.
    """
    ear = _Ear()
    entry = ("ignore", ear, Warning, None, 0)
    filters = cast("list[object]", warnings.filters)
    filters.insert(0, entry)
    try:
        yield ear
    finally:
        with suppress(ValueError):  # another thread may have put filters of its own in their place
            filters.remove(entry)
